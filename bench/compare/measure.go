package main

import (
	"fmt"
	"math"
	"slices"
)

// turn is how long a side measures before the next one does, in seconds.
const turn = 0.1

// contender is a job on a side.
type contender struct {
	side   *side
	job    job
	exact  bool        // whether its results are those of the first one, bit by bit
	rounds [][]float64 // samples of each round
}

// median returns the median of all samples, and whether there are any: a nil
// contender has none.
func (c *contender) median() (ns float64, ok bool) {
	if c == nil {
		return 0, false
	}
	all := slices.Concat(c.rounds...)
	return median(all), len(all) > 0
}

// median returns the median of x, which it sorts.
func median(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	slices.Sort(x)
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// result is a work with its times.
type result struct {
	work
	tiers  map[string]*contender // by name
	best   *contender            // one of them
	beside []*contender          // as work.beside; nil where there is no peer
}

// all lists the contenders.
func (r result) all(s sides) (all []*contender) {
	for _, t := range s.tiers {
		if c := r.tiers[t.about]; c != nil {
			all = append(all, c)
		}
	}
	for _, c := range r.beside {
		if c != nil {
			all = append(all, c)
		}
	}
	return all
}

// measure checks that all sides agree, and then lets them take turns. It calls
// progress after every round.
func measure(w work, s sides, rounds int, progress func()) (result, error) {
	r := result{work: w, tiers: map[string]*contender{}}
	for _, t := range s.tiers {
		if !w.bestOnly || t == s.best() {
			r.best = &contender{side: t, job: w.job, exact: true}
			r.tiers[t.about] = r.best
		}
	}
	for _, b := range w.beside {
		side := s.best()
		if b.peer {
			side = s.peer
		}
		if side == nil {
			r.beside = append(r.beside, nil)
			continue
		}
		r.beside = append(r.beside, &contender{side: side, job: b.job})
	}

	all := r.all(s)
	for _, c := range all {
		if _, err := c.side.ask(request{job: job{Op: forget}}); err != nil {
			return r, err
		}
	}
	if err := check(all); err != nil {
		return r, err
	}
	for range rounds {
		for _, c := range all {
			a, err := c.side.ask(request{c.job, turn})
			if err != nil {
				return r, err
			}
			c.rounds = append(c.rounds, a.Samples)
		}
		slices.Reverse(all) // so that no one always follows the same one
		progress()
	}
	return r, nil
}

// check reports contenders that do not compute what the first one does: to the last
// bit on another tier, and to 10⁻⁵ otherwise.
func check(all []*contender) error {
	var want []float64
	for i, c := range all {
		a, err := c.side.ask(request{job: c.job})
		if err != nil {
			return err
		}
		if i == 0 {
			want = a.Values
		}
		if c.job.Op == opRead {
			continue
		}
		if !agree(a.Values, want) || c.exact && !slices.Equal(a.Values, want) {
			return fmt.Errorf("%s computes %v where %s computes %v", c.side.about, a.Values, all[0].side.about, want)
		}
	}
	return nil
}

// agree reports whether results are the same to 10⁻⁵, of 1 or of the result if that
// is larger.
func agree(got, want []float64) bool {
	return slices.EqualFunc(got, want, func(g, w float64) bool {
		return math.Abs(g-w) <= 1e-5*max(1, math.Abs(w))
	})
}
