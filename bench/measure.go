package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/gotrellis/trellis/bench/internal/results"
	"github.com/gotrellis/trellis/bench/internal/side"
)

const (
	turn        = 60 * time.Millisecond // of a side, or one call if that is longer
	leastRounds = 3
	longWork    = 15 * time.Second // no round begins later, but for the least
)

// contender is a job on a side.
type contender struct {
	name   string // of package results
	side   *side.Side
	job    side.Job
	exact  bool        // whether its results are those of the first one, bit by bit
	rounds [][]float64 // samples of each round
}

// contenders are the sides of a work that there are.
func contenders(w work, s sides) (all []*contender) {
	add := func(name string, by *side.Side, op string, workers int, exact bool) {
		if by != nil {
			j := w.job
			j.Op, j.Workers = op, workers
			all = append(all, &contender{name: name, side: by, job: j, exact: exact})
		}
	}
	tiers := s.tiers
	if w.bestOnly {
		tiers = tiers[len(tiers)-1:]
	}
	for _, workers := range w.workers {
		for _, t := range tiers {
			add(t.About, t, w.job.Op, workers, true)
		}
		if !w.nan {
			add(results.PyTorch, s.peers[results.PyTorch], w.job.Op, workers, false)
		}
		if w.memory != "" {
			add(results.Memory, s.best(), w.memory, workers, false)
		}
	}
	if !w.nan {
		add(results.CUDA, s.peers[results.CUDA], w.job.Op, 1, false)
	}
	for _, name := range w.peers {
		add(name, s.peers[name], w.job.Op, 1, false)
	}
	return all
}

// measure checks that all sides of a work agree, and then lets them take turns. It calls
// progress after every turn, with what is left out in the end.
func measure(w work, s sides, rounds int, progress func(turns int)) (results.Work, error) {
	r := results.Work{Group: w.group, Name: w.name, X: w.x, Type: w.job.Type, Bytes: w.bytes(), Elements: w.elements, Unit: w.unit}
	for _, by := range s.all() {
		if _, err := by.Ask(side.Request{Job: side.Job{Op: side.Forget}}); err != nil {
			return r, err
		}
	}
	all := contenders(w, s)
	if err := check(all); err != nil {
		return r, err
	}
	order := slices.Clone(all)
	for round, start := 0, time.Now(); round < rounds; round++ {
		if round >= leastRounds && time.Since(start) > longWork {
			progress((rounds - round) * len(all))
			break
		}
		for _, c := range order {
			a, err := c.side.Ask(side.Request{Job: c.job, Seconds: turn.Seconds()})
			if err != nil {
				return r, err
			}
			c.rounds = append(c.rounds, a.Samples)
			progress(1)
		}
		slices.Reverse(order) // so that no one always follows the same one
	}
	for _, c := range all {
		r.Times = append(r.Times, c.time())
	}
	return r, nil
}

// time sums up what was measured.
func (c *contender) time() results.Time {
	t := results.Time{Side: c.name, Workers: c.job.Workers}
	for _, samples := range c.rounds {
		t.Rounds = append(t.Rounds, quantile(samples, 0.5))
	}
	samples := slices.Concat(c.rounds...)
	t.Calls, t.Median = len(samples), quantile(samples, 0.5)
	t.Quartiles = [2]float64{quantile(samples, 0.25), quantile(samples, 0.75)}
	return t
}

// quantile returns that of x, which it sorts.
func quantile(x []float64, p float64) float64 {
	slices.Sort(x)
	return stat.Quantile(p, stat.Empirical, x, nil)
}

// check reports contenders that do not compute what the first one does: to the last
// bit on another tier and with other workers, and as far as they can otherwise.
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
		if c.name == results.Memory || c.job.Op == opAlignment && (c.name == results.PyTorch || c.name == results.CUDA) {
			continue // they do something else
		}
		if !agree(a.Values, want, precision(c.name, c.job)) || c.exact && !slices.Equal(a.Values, want) {
			return side.Error(fmt.Sprintf("%s computes %v where %s computes %v", c.name, a.Values, all[0].name, want))
		}
	}
	return nil
}

// precision is what a side that is not exact has to agree to. Plain loops compute in
// float64. Others' CTC computes gradients from sums of logarithms: float32 keeps three
// digits of them, and fewer where there are thousands of frames. PyTorch adds up what the
// smoothing gives to thousands of classes one after the other, which are as few.
func precision(name string, j side.Job) float64 {
	rounded := j.Type == "float32" && name != results.Naive && (strings.HasSuffix(j.Op, andGrad) || strings.HasSuffix(j.Op, vjp))
	switch {
	case rounded && lossOf(j.Op) == opCTC:
		return max(1e-3, 1e-5*float64(j.Shape[0]))
	case rounded && j.Smoothing != 0:
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
