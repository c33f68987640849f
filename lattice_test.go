package trellis

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gotrellis/trellis/internal/tier"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Cutting the frames into segments changes memory and time, and no bit of what is above
// leastOccupancy.
func TestSegments(t *testing.T) {
	t.Run("float32", testSegments[float32])
	t.Run("float64", testSegments[float64])
}

func testSegments[F Float](t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, classes := range []int{7, 400} { // exp by class and by name
		for _, frames := range []int{1, 2, 3, 4, 15, 16, 17, 99, 100, 101} {
			x := make([]F, frames*classes)
			for i := range x {
				x[i] = F(3 * r.NormFloat64())
			}
			targets := make([]int, frames/3)
			for i := range targets {
				targets[i] = 1 + r.IntN(classes-1)
			}
			whole := sequenceOf(x, make([]F, len(x)), classes)
			whole.fromLogits = true
			loss := whole.compute(targets, 0, keptBytes)
			require.Equal(t, frames, whole.trellis.segment)
			for _, kept := range []int{1, 20000, 60000} {
				for _, inPlace := range []bool{false, true} {
					scores, grad := x, make([]F, len(x))
					if inPlace { // segments are read again before they are overwritten
						scores = append(grad[:0], x...)
					}
					cut := sequenceOf(scores, grad, classes)
					cut.fromLogits = true
					assert.Equal(t, loss, cut.compute(targets, 0, kept))
					assert.Equal(t, whole.grad.Data, grad, "%d frames of %d classes in segments of %d, in place: %v", frames, classes, cut.trellis.segment, inPlace)
					if kept == 1 && frames > 3 {
						assert.Less(t, cut.trellis.segment, frames/2+1)
					}
				}
			}
		}
	}
}

// sequenceOf returns a sequence whose gradient is asked for, in memory of its own or in
// that of the scores.
func sequenceOf[F Float](x, grad []F, classes int) *ctcSequence[F] {
	frames := len(x) / classes
	return &ctcSequence[F]{
		x: view.Of(x, classes, classes), frames: frames,
		grad: view.Of(grad, classes, classes), gradFrames: frames, inPlace: overlap(x, grad), wantSoftmax: true, scale: 1,
	}
}

// ctcOf returns the loss and the gradient of one sequence, and checks that all methods
// agree on the loss.
func ctcOf[F Float](t *testing.T, l CTCLoss[F], x []F, classes int, targets []int) (F, []F) {
	l.Reduction = Sum
	tensor, grad := Tensor[F]{x, []int{len(x) / classes, classes}}, make([]F, len(x))
	lengths := []int{len(targets)}
	loss, err := l.Grad(grad, tensor, targets, nil, lengths)
	require.NoError(t, err)
	alone, err := l.Loss(tensor, targets, nil, lengths)
	require.NoError(t, err)
	require.Equal(t, bitsOf(loss), bitsOf(alone), "Grad says %v, Loss %v", loss, alone)
	inPlace := slices.Clone(x)
	tensor.Data = inPlace
	again, err := l.Grad(inPlace, tensor, targets, nil, lengths)
	require.NoError(t, err)
	require.Equal(t, bitsOf(loss), bitsOf(again), "Grad says %v, in place %v", loss, again)
	for i := range grad {
		require.Equal(t, bitsOf(grad[i]), bitsOf(inPlace[i]), "element %d: %v, in place %v", i, grad[i], inPlace[i])
	}
	return loss, grad
}

// Targets and alphabets that take a call for every frame, on all tiers.
func TestLongTargetsOfManyClasses(t *testing.T) {
	t.Run("float32", testLongTargets[float32])
	t.Run("float64", testLongTargets[float64])
}

func testLongTargets[F Float](t *testing.T) {
	const frames, classes = 1200, 1100
	r := rand.New(rand.NewPCG(21, 22))
	x, targets := make([]F, frames*classes), make([]int, 1060)
	for i := range x {
		x[i] = F(r.NormFloat64())
	}
	for i := range targets {
		targets[i] = 1 + i%2
	}
	for _, fromLogits := range []bool{true, false} {
		if testing.Short() && !fromLogits {
			break
		}
		var want F
		EachTier(t, func(t *testing.T) {
			loss, _ := ctcOf(t, CTCLoss[F]{FromLogits: fromLogits}, x, classes, targets)
			if tier.Active == tier.Generic {
				want = loss
			}
			require.Equal(t, want, loss)
		})
	}
}

// Where frames are cut into segments, and where the common factor is a product of
// thousands of numbers below or above 1.
func TestLossesOfManyFrames(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	const classes = 30
	x, targets := make([]float64, 2500*classes), make([]int, 500)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	for i := range targets {
		targets[i] = 1 + r.IntN(classes-1)
	}
	ctcOf(t, CTCLoss[float64]{FromLogits: true}, x, classes, targets)

	for _, score := range []float64{-0.34, 0.34, 0} {
		confident := make([]float64, 4000*2)
		for i := range confident {
			confident[i] = score - float64(i%2)*100
		}
		loss, _ := ctcOf(t, CTCLoss[float64]{FromLogits: true}, confident, 2, nil)
		require.InEpsilon(t, 4000*3.720075976020836e-44, loss, 1e-9) // ln(1+e⁻¹⁰⁰)
	}
}

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
		loss, grad := ctcOf(t, CTCLoss[float64]{FromLogits: true}, x, classes, []int{1, 2})
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
			want, _ := ctcOf(t, CTCLoss[float32]{FromLogits: true}, make([]float32, len(x)), classes, []int{1, 2, 3})
			got, _ := ctcOf(t, CTCLoss[float32]{FromLogits: true}, x, classes, []int{1, 2, 3})
			require.InEpsilon(t, want, got, 1e-6, "%d classes, offset %v", classes, offset)
		}
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

// The sum over 4096 classes of a frame, nearly all of which have the same logit, rounds in
// float32: docs/ctc.md has these numbers.
func TestSmallLossOfEqualLogits(t *testing.T) {
	const classes = 4096
	t.Run("float32", func(t *testing.T) {
		loss, _ := ctcOf(t, CTCLoss[float32]{FromLogits: true}, equalLogits[float32](classes), classes, []int{classes - 1, classes - 2})
		assert.Equal(t, float32(2.5316976e-05), loss)
	})
	t.Run("float64", func(t *testing.T) {
		loss, _ := ctcOf(t, CTCLoss[float64]{FromLogits: true}, equalLogits[float64](classes), classes, []int{classes - 1, classes - 2})
		assert.InEpsilon(t, 2.5317043e-05, loss, 2e-8)
	})
}

// equalLogits returns three frames of logits 0, but for a 20 at the last class, at class 0 and
// at the class before the last.
func equalLogits[F Float](classes int) []F {
	x := make([]F, 3*classes)
	x[classes-1], x[classes], x[3*classes-2] = 20, 20, 20
	return x
}
