package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/stretchr/testify/require"
)

// TestCTCPrecision takes long inputs, where logarithms of probabilities in
// float32 would be off by 1e-3 to 1e-2. The gradient is off by three roundings or so, and by
// what errors of exp in other frames do to an alignment, which is more with few classes.
// At 4000 frames and 800 labels the allowed errors are the largest of 100 inputs, which
// TRELLIS_EXHAUSTIVE tries, rounded up: see docs/ctc.md. Of the first two none is above 2.5e-7.
func TestCTCPrecision(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		frames, classes, labels int
		scale, grad             float64
	}{
		{2000, 28, 200, 1, 2.5e-7},
		{2000, 28, 200, 5, 2.5e-7},
		{1000, 80, 200, 1, 2.5e-7},
		{1000, 80, 200, 5, 2.5e-7},
		{4000, 80, 700, 10, 2.5e-7},
		{4000, 2, 800, 1, 1.6e-7},
		{4000, 3, 800, 1, 2.3e-7},
		{4000, 5, 800, 1, 3.7e-7},
		{4000, 28, 800, 1, 4e-7},
		{4000, 80, 800, 1, 5e-7},
		{4000, 1000, 800, 1, 5e-7},
		{30000, 2, 10000, 1, 2.5e-7},
	} {
		t.Run(fmt.Sprintf("frames=%d/classes=%d/labels=%d/scale=%g", test.frames, test.classes, test.labels, test.scale), func(t *testing.T) {
			if testing.Short() && test.frames*test.classes > 200000 {
				t.Skip("slow")
			}
			inputs := 1
			if test.labels == 800 && !testing.Short() {
				inputs = 2
				if os.Getenv("TRELLIS_EXHAUSTIVE") != "" {
					inputs = 100
				}
			}
			var worst []float64
			for seed := range inputs {
				rng := rand.New(rand.NewPCG(uint64(test.classes), uint64(seed)))
				logits := make([]float32, test.frames*test.classes)
				for i := range logits {
					logits[i] = float32(test.scale * rng.NormFloat64())
				}
				targets := labelsOf(rng, test.labels, test.classes, 0)
				want, wantGrad := bindLogits(Cast[float64](logits), test.classes, targets).byReduction(t, "sum", len(logits), nil)
				got, grad := bindLogits(logits, test.classes, targets).byReduction(t, "sum", len(logits), nil)
				a := accuracy{loss: 2e-7, grad: test.grad}
				if inputs < 100 {
					a.grad = min(a.grad, 2.5e-7)
				}
				a.checkLosses(t, want, got, 0)
				a.checkGrad(t, wantGrad, grad)
				worst = append(worst, a.worstGrad)
			}
			slices.Sort(worst)
			t.Logf("largest errors of %d gradients: median %.1e, worst %.1e", inputs, worst[inputs/2], worst[inputs-1])
		})
	}
}

// bindLogits binds the logits of one sequence to CTCLoss.
func bindLogits[F trellis.Float](x []F, classes int, targets []int) Methods[F] {
	loss := trellis.CTCLoss[F]{Scores: trellis.Logits, Reduction: trellis.Sum}
	tensor := trellis.Tensor[F]{Data: x, Shape: []int{len(x) / classes, classes}}
	return BindCTC(loss, tensor, targets, nil, []int{len(targets)})
}

// Long sequences that spell their target plainly have losses of a few nats, which
// float32 must get right although α has come through thousands of frames.
func TestSmallLossesOfLongSequences(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		frames int
		peak   float64
	}{{1000, 8}, {1000, 9}, {1000, 10}, {1000, 11}, {1000, 12}, {3000, 9}, {3000, 10}, {3000, 11}, {3000, 12}, {3000, 13}} {
		if testing.Short() && test.frames > 1000 {
			continue
		}
		const classes = 28
		rng := rand.New(rand.NewPCG(uint64(test.frames), uint64(test.peak)))
		logits := make([]float32, test.frames*classes)
		for i := range logits {
			logits[i] = 4*rng.Float32() - 2
			if rng.IntN(61) == 0 {
				logits[i] = float32(math.Inf(-1))
			}
		}
		targets := make([]int, test.frames/6)
		for i := range targets {
			targets[i] = 1 + (i*i+i/7)%(classes-1)
		}
		for frame := range test.frames {
			class := 0
			if i := frame / 6; i < len(targets) && frame%6 < 2 {
				class = targets[i]
			}
			logits[frame*classes+class] = float32(test.peak) + float32(frame%5)/4
		}
		want, err := bindLogits(Cast[float64](logits), classes, targets).Loss()
		require.NoError(t, err)
		got, err := bindLogits(logits, classes, targets).Loss()
		require.NoError(t, err)
		t.Logf("%d frames, peak %v: loss %.5g, relative error %.1e", test.frames, test.peak, want, math.Abs(float64(got)/want-1))
		require.Less(t, want, 50.0)
		require.InEpsilon(t, want, got, 1e-6)
	}
}
