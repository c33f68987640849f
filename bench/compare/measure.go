package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/gotrellis/trellis/bench/internal/side"
)

// turn is how long a side measures before the next one does, in seconds.
const turn = 0.1

// contender is a job on a side.
type contender struct {
	side   *side.Side
	job    side.Job
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
		if c := r.tiers[t.About]; c != nil {
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
			r.tiers[t.About] = r.best
		}
	}
	for _, b := range w.beside {
		by := s.best()
		if b.peer {
			by = s.peer
		}
		if by == nil {
			r.beside = append(r.beside, nil)
			continue
		}
		r.beside = append(r.beside, &contender{side: by, job: b.job})
	}

	all := r.all(s)
	for _, c := range all {
		if _, err := c.side.Ask(side.Request{Job: side.Job{Op: side.Forget}}); err != nil {
			return r, err
		}
	}
	if err := check(all); err != nil {
		return r, err
	}
	for range rounds {
		for _, c := range all {
			a, err := c.side.Ask(side.Request{Job: c.job, Seconds: turn})
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
// bit on another tier, and as far as they can otherwise.
func check(all []*contender) error {
	var want []float64
	for i, c := range all {
		a, err := c.side.Ask(side.Request{Job: c.job})
		if err != nil {
			return err
		}
		if i == 0 {
			want = a.Values
		}
		if c.job.Op == opRead {
			continue
		}
		if !agree(a.Values, want, precision(c.job)) || c.exact && !slices.Equal(a.Values, want) {
			return fmt.Errorf("%s computes %v where %s computes %v", c.side.About, a.Values, all[0].side.About, want)
		}
	}
	return nil
}

// precision is what sides that are not exact have to agree to. PyTorch's CTC computes
// gradients from sums of logarithms, of which float32 keeps three digits.
func precision(j side.Job) float64 {
	if j.Op == opCTCGrad && j.Type == "float32" {
		return 1e-3
	}
	return 1e-5
}

// agree reports whether results are the same to a precision, of 1 or of the result if
// that is larger.
func agree(got, want []float64, precision float64) bool {
	return slices.EqualFunc(got, want, func(g, w float64) bool {
		return math.Abs(g-w) <= precision*max(1, math.Abs(w))
	})
}
