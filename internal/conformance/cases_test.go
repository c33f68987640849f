package conformance

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/gotrellis/trellis"
)

// bothTypes runs a test for both element types, beside other tests.
func bothTypes(t *testing.T, f32, f64 func(t *testing.T)) {
	t.Parallel()
	t.Run("float32", func(t *testing.T) { t.Parallel(); f32(t) })
	t.Run("float64", func(t *testing.T) { t.Parallel(); f64(t) })
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// normals returns n normal numbers with the given spread.
func normals[F trellis.Float](rng *rand.Rand, n int, spread float64) []F {
	x := make([]F, n)
	for i := range x {
		x[i] = F(spread * rng.NormFloat64())
	}
	return x
}

// normalRows returns rows of n normal numbers with the given spread.
func normalRows(rng *rand.Rand, rows, n int, spread float64) [][]float64 {
	x := make([][]float64, rows)
	for i := range x {
		for range n {
			x[i] = append(x[i], spread*rng.NormFloat64())
		}
	}
	return x
}

// labelsOf returns n random classes other than blank, often equal to their
// neighbour.
func labelsOf(rng *rand.Rand, n, classes, blank int) []int {
	labels := []int{}
	for i := range n {
		label := rng.IntN(classes - 1)
		if label >= blank {
			label++
		}
		if i > 0 && rng.IntN(3) == 0 {
			label = labels[i-1]
		}
		labels = append(labels, label)
	}
	return labels
}

// positive returns n positive weights.
func positive(rng *rand.Rand, n int) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = 0.1 + 2*rng.Float64()
	}
	return w
}

// randomTargets returns random targets; some are to be ignored.
func (c ClassCase) randomTargets(rng *rand.Rand) []int {
	targets := make([]int, c.positions())
	for i := range targets {
		if targets[i] = c.ignored(); rng.IntN(5) > 0 {
			targets[i] = rng.IntN(c.classes())
		}
	}
	return targets
}

// randomClassCall makes a case of the given type from random numbers.
func randomClassCall[F trellis.Float](rng *rand.Rand, c ClassCase) Call[F] {
	x := trellis.Tensor[F]{Data: normals[F](rng, product(c.Shape), c.spread), Shape: c.Shape}
	if c.Kind == "probs" {
		target := trellis.Tensor[F]{Data: normals[F](rng, product(c.Shape), 1), Shape: c.Shape}
		for i, v := range target.Data {
			target.Data[i] = max(v, 0) // half of them 0, and no row adds up to 1
		}
		return ProbsCall(c, x, target)
	}
	return ClassCall(c, x, c.randomTargets(rng))
}

// classCases returns every combination of options at every kind of shape.
func classCases(rng *rand.Rand) (cases []ClassCase) {
	for _, shape := range [][]int{{5}, {1}, {4, 3}, {2, 4, 3}, {3, 2, 2, 3}, {2, 70, 3}, {2, 1, 1, 600}, {0, 3}, {2, 3, 5, 7, 0}} {
		c := ClassCase{Shape: shape, spread: 3}
		withZero := positive(rng, c.classes())
		withZero[0] = 0
		for _, c.Weight = range [][]float64{nil, positive(rng, c.classes()), withZero} {
			for _, c.Ignore = range []*int{nil, new(0), new(255), new(-1)} {
				for _, c.Smoothing = range []float64{0, 0.1, 1} {
					for _, c.Kind = range []string{"NLL", "CE", "probs"} {
						if c.Kind != "NLL" || c.Smoothing == 0 {
							cases = append(cases, c)
						}
					}
				}
			}
		}
	}
	return cases
}

// largeClassCases returns cases whose work is divided between workers, and into
// blocks, at edges of all kinds.
func largeClassCases(rng *rand.Rand) (cases []ClassCase) {
	for _, shape := range [][]int{{300, 50}, {4, 4097}, {2, 8193}, {9000}, {1000, 1}, {2, 130, 5}, {2, 7, 16, 17}, {2, 65, 129}, {1, 3, 1000}} {
		for i, kind := range []string{"NLL", "CE", "probs"} {
			c := ClassCase{Kind: kind, Shape: shape, spread: 4}
			if (i+len(cases))%2 == 0 {
				c.Weight = positive(rng, c.classes())
				c.Ignore = new(0)
			}
			if len(cases)%4 == 0 {
				c.Smoothing = 0.05
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// randomScores returns random scores: logits, log-probabilities, probabilities, or scores that
// are none of these.
func (c CTCCase) randomScores(rng *rand.Rand) []float64 {
	rows := normalRows(rng, c.Frames*c.Batch, c.Classes, c.spread)
	for i := range rows {
		switch {
		case c.Scores == trellis.Probabilities:
			rows[i] = RefSoftmax(rows[i])
		case c.Scores == trellis.LogProbabilities && !c.raw:
			rows[i] = RefLogSoftmax(rows[i])
		}
	}
	return slices.Concat(rows...)
}

// randomCTCCall makes a case of the given type from random numbers.
func randomCTCCall[F trellis.Float](rng *rand.Rand, c CTCCase) Call[F] {
	return CTCCall(c, trellis.Tensor[F]{Data: Cast[F](c.randomScores(rng)), Shape: c.Shape()})
}

// ctcCases returns every combination of options.
func ctcCases(rng *rand.Rand) (cases []CTCCase) {
	for i := range 3 << 6 {
		bit := func(k int) bool { return i>>k&1 == 1 }
		for blank := range 3 {
			c := CTCCase{padding: -1, spread: 1.5, raw: rng.IntN(2) == 0}
			c.Frames, c.Batch, c.Classes, c.Blank = 7, 4, 5, 2*blank
			c.BatchFirst, c.Scores, c.ZeroInfinity, c.ScoresGradient, c.Unbatched = bit(0), trellis.Scores(i>>6), bit(1), bit(2), bit(3)
			labels := []int{0, 2, 3, 5}
			c.InputLengths = []int{7, 7, 7, 7}
			if bit(4) {
				c.padding = rng.IntN(3)
			}
			if bit(5) {
				c.InputLengths = []int{5, 0, 7, 6}
			}
			if c.Unbatched {
				c.Batch = 1
				labels, c.InputLengths = labels[blank:blank+1], c.InputLengths[blank:blank+1]
			}
			for _, n := range labels {
				c.Targets = append(c.Targets, labelsOf(rng, n, c.Classes, c.Blank))
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// largeCTCCases returns batches of some length.
func largeCTCCases(rng *rand.Rand) (cases []CTCCase) {
	for _, size := range []struct{ frames, batch, classes, labels int }{{50, 16, 20, 30}, {80, 4, 80, 40}, {5, 3, 4100, 2}} {
		for i := range 6 {
			c := CTCCase{padding: -1 + 2*(i%2), spread: 2}
			c.Frames, c.Batch, c.Classes, c.Blank = size.frames, size.batch, size.classes, i%size.classes
			c.Scores, c.ScoresGradient, c.BatchFirst = []trellis.Scores{1, 1, 1, 0, 2, 2}[i], i == 2 || i == 5, i >= 2
			for range c.Batch {
				c.Targets = append(c.Targets, labelsOf(rng, rng.IntN(size.labels+1), c.Classes, c.Blank))
				c.InputLengths = append(c.InputLengths, c.Frames-rng.IntN(min(10, c.Frames)))
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// calls are calls of every loss: with every combination of options, and with
// enough work to divide. No test writes to them.
type calls[F trellis.Float] struct{ small, large []Call[F] }

var (
	calls32 = sync.OnceValue(newCalls[float32])
	calls64 = sync.OnceValue(newCalls[float64])
)

func newCalls[F trellis.Float]() (all calls[F]) {
	rng, ctc := rand.New(rand.NewPCG(3, 1)), rand.New(rand.NewPCG(3, 2))
	for _, c := range classCases(rng) {
		all.small = append(all.small, randomClassCall[F](rng, c))
	}
	for _, c := range ctcCases(ctc) {
		all.small = append(all.small, randomCTCCall[F](ctc, c))
	}
	for _, c := range largeClassCases(rng) {
		all.large = append(all.large, randomClassCall[F](rng, c))
	}
	for _, c := range largeCTCCases(ctc) {
		all.large = append(all.large, randomCTCCall[F](ctc, c))
	}
	return all
}

// callsOf returns the calls of a type.
func callsOf[F trellis.Float]() calls[F] {
	if s, ok := any(calls32).(func() calls[F]); ok {
		return s()
	}
	return any(calls64).(func() calls[F])()
}

func (c calls[F]) all() []Call[F] { return slices.Concat(c.small, c.large) }
