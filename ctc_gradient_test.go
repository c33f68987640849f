package trellis

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
)

// sequenceOf returns a sequence whose gradient is asked for, in memory of its own or in
// that of the scores.
func sequenceOf[F Float](x, grad []F, classes int) *ctcSequence[F] {
	frames := len(x) / classes
	return &ctcSequence[F]{
		x: view.Of(x, classes, classes), frames: frames,
		grad: view.Of(grad, classes, classes), gradFrames: frames, inPlace: overlap(x, grad), wantSoftmax: true, scale: 1,
	}
}

// Factors of the loss that are too large for a term of the gradient, or none.
func TestExtremeUpstream(t *testing.T) {
	for _, classes := range []int{3, 2000} {
		x := make([]float32, classes)
		copy(x, []float32{60, -40, 0})
		grad := make([]float32, classes)
		product := func(gradient CTCGradient, upstream float32) []float32 {
			l := CTCLoss[float32]{Gradient: gradient}
			require.NoError(t, l.VJP(grad, []float32{upstream}, Tensor[float32]{x, []int{1, classes}}, []int{2}, nil, []int{1}))
			return grad
		}
		require.InEpsilon(t, 1e21*4.248354255291589e-18, product(LogitsGradient, 1e21)[1], 1e-5)
		x[0] = 95 // beyond exp in float32
		for _, v := range product(LogitsGradient, 0) {
			require.Equal(t, float32(0), v)
		}
		for _, v := range product(ScoresGradient, float32(math.NaN())) {
			require.True(t, v != v)
		}
		// What exp makes of these is no number, also times 0.
		for _, v := range []float64{math.NaN(), math.Inf(1)} {
			x[1] = float32(v)
			for c, v := range product(LogitsGradient, 0) {
				require.Equal(t, c == 1, v != v, "class %d", c)
			}
		}
	}
}

// The gradient of logits has exp of the scores, up to where it overflows.
func TestGradientOfLargeScores(t *testing.T) {
	t.Run("float32", testGradientOfLargeScores[float32])
	t.Run("float64", testGradientOfLargeScores[float64])
}

func testGradientOfLargeScores[F Float](t *testing.T) {
	_, expMax := fp.ExpRange[F]()
	for classes, step := range map[int]F{3: 0.25, 200: 2.75} {
		for below := F(0.25); below < 20; below += step {
			s := sequence[F]{classes: classes, frames: 2, labels: []int{1}, x: make([]F, 2*classes)}
			for i := range s.x {
				s.x[i] = expMax - below - F(i%classes)/8
			}
			_, grad, _ := s.run(t, math.MaxInt, false)
			_, want := s.bigTrellis()
			for i := range grad {
				require.InEpsilon(t, 1, float64(grad[i])/want[i], 1e-6, "class %d: %v, want %v: %v", i%classes, grad[i], want[i], s)
			}
		}
	}
}
