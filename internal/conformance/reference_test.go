package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/stretchr/testify/require"
)

func TestReferenceCTCAgainstAllPaths(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for frames := 0; frames <= 6; frames++ {
		for labels := 0; labels <= 4; labels++ {
			for range 8 {
				classes := 2 + rng.IntN(3)
				blank := rng.IntN(classes)
				target := labelsOf(rng, labels, classes, blank)
				scores := normalRows(rng, frames, classes, 2)
				what := fmt.Sprintf("T=%d C=%d blank=%d target=%v", frames, classes, blank, target)
				loss, occupancy := refCTC(scores, target, blank)
				brute, _, paths := refCTCBrute(scores, target, blank)
				requireNear(t, "loss of "+what, []float64{brute}, []float64{loss}, 1e-13)
				for i := range paths {
					requireNear(t, "occupancy of "+what, paths[i], occupancy[i], 1e-13)
				}
			}
		}
	}
}

func TestReferenceCollapse(t *testing.T) {
	require.Equal(t, []int{1, 1, 2}, collapse([]int{0, 1, 1, 0, 1, 2, 2}, 0))
	require.Equal(t, []int{0}, collapse([]int{0, 0, 3}, 3))
	require.Empty(t, collapse([]int{3, 3}, 3))
	require.Empty(t, collapse(nil, 0))
}

// differences returns the gradient of f at x by central differences, which are
// good to about the cube root of the rounding error of f.
func differences(x []float64, f func(x []float64) float64) []float64 {
	const h = 1e-5
	grad := make([]float64, len(x))
	at := slices.Clone(x)
	for i := range x {
		at[i] = x[i] + h
		above := f(at)
		at[i] = x[i] - h
		grad[i] = (above - f(at)) / (2 * h)
		at[i] = x[i]
	}
	return grad
}

func TestReferenceGradientsAgainstDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	shape := []int{2, 4, 3}
	x := slices.Concat(normalRows(rng, 6, 4, 2)...)
	target := slices.Concat(normalRows(rng, 6, 4, 1)...)
	targets := []int{0, 3, 7, 2, 2, 1}
	options := classOptions{weight: []float64{1, 0.25, 3, 0.5}, ignore: 7, smoothing: 0.15}
	losses := map[string]func(x []float64) reference{
		"NLL":                func(x []float64) reference { return refNLL(x, shape, targets, options) },
		"CrossEntropy":       func(x []float64) reference { return refCrossEntropy(x, shape, targets, options) },
		"CrossEntropy probs": func(x []float64) reference { return refCrossEntropyProbs(x, shape, target, options) },
	}
	c := CTCCase{Frames: 4, Batch: 2, Classes: 3, Blank: 2, Targets: [][]int{{1, 1}, {0}}, InputLengths: []int{4, 3}}
	for i, scores := range []trellis.Scores{trellis.LogProbabilities, trellis.LogProbabilities, trellis.Logits, trellis.Logits} {
		c := c
		// Not all combinations of Scores and Gradient are the derivative
		// with respect to x; see TestCTCGradientsDifferBySoftmax.
		c.BatchFirst, c.Scores, c.ScoresGradient = i%2 == 1, scores, scores != trellis.Logits
		losses[fmt.Sprint("CTC ", i)] = func(x []float64) reference { return refCTCLoss(x, c) }
	}
	for name, loss := range losses {
		for _, reduction := range []trellis.Reduction{trellis.Mean, trellis.Sum} {
			r := loss(x)
			want := differences(x, func(x []float64) float64 { return loss(x).reduced(reduction) })
			requireNear(t, "gradient of "+name, want, r.gradient(reduction), 1e-8)
		}
	}
}

func TestReferenceSoftmax(t *testing.T) {
	x := []float64{math.Log(1), math.Log(2), math.Log(5)}
	requireNear(t, "log-sum-exp", []float64{math.Log(8)}, []float64{RefLogSumExp(x...)}, 1e-15)
	requireNear(t, "softmax", []float64{0.125, 0.25, 0.625}, RefSoftmax(x), 1e-15)
	requireNear(t, "log-softmax near 0", []float64{-9.3576e-14}, RefLogSoftmax([]float64{30, 0})[:1], 1e-18)
}
