package trellis

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// NaN in a frame makes the loss NaN, even if the target is impossible, by what frames
// behind it have, and the alphabet large.
func TestNaNBesideImpossibleTarget(t *testing.T) {
	for _, classes := range []int{5, 2000} {
		x := make([]float64, 4*classes)
		x[classes-1] = math.NaN()
		x[2*classes+1] = -1e4
		for frame := range 4 {
			x[frame*classes+2] = math.Inf(-1)
		}
		loss, grad := ctcOf(t, CTCLoss[float64]{Scores: Logits}, x, classes, []int{1, 2})
		require.True(t, loss != loss && grad[0] != grad[0], "%v", loss)
	}
}

// A number added to all logits of a frame, however large, does not change the loss.
func TestLargeCommonOffset(t *testing.T) {
	for _, classes := range []int{5, 2000} {
		for _, offset := range []float32{1e5, 1e15, 1e30, -1e30} {
			x := make([]float32, 50*classes)
			for c := range classes {
				x[7*classes+c] = offset
			}
			want, _ := ctcOf(t, CTCLoss[float32]{Scores: Logits}, make([]float32, len(x)), classes, []int{1, 2, 3})
			got, _ := ctcOf(t, CTCLoss[float32]{Scores: Logits}, x, classes, []int{1, 2, 3})
			require.InEpsilon(t, want, got, 1e-6, "%d classes, offset %v", classes, offset)
		}
	}
}
