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

// PyTorch's own tests of its losses, in a form that needs no PyTorch.

// torchCase returns a case of full frames with random labels of the given
// lengths, concatenated.
func torchCase(rng *rand.Rand, frames, classes, blank int, lengths ...int) CTCCase {
	c := CTCCase{Frames: frames, Batch: len(lengths), Classes: classes, Blank: blank, padding: -1, spread: 1}
	for _, n := range lengths {
		labels := []int{}
		for range n {
			labels = append(labels, (blank+1+rng.IntN(classes-1))%classes)
		}
		c.Targets = append(c.Targets, labels)
		c.InputLengths = append(c.InputLengths, frames)
	}
	return c
}

// 1. T=4000 N=4 C=3 S=1200 with equal labels, which need 2399 frames. With just
// as many there is a single path, with one less none.
func TestTorchLongTargets(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	t.Parallel()
	const frames, labels = 4000, 1200
	rng := rand.New(rand.NewPCG(31, 1))
	c := torchCase(rng, frames, 3, 0, 0, labels, labels, labels)
	for n := range c.Targets {
		c.Targets[n] = slices.Repeat([]int{1}, labels)
	}
	c.ZeroInfinity, c.InputLengths = true, []int{frames, 2*labels - 1, 2*labels - 2, frames}
	x := trellis.Tensor[float64]{Data: c.randomScores(rng), Shape: c.Shape()}
	losses, grad := make([]float64, 4), make([]float64, len(x.Data))
	targets, lengths := c.flatten()
	loss := ctcLoss[float64](c)
	loss.Reduction = trellis.Sum
	require.NoError(t, loss.Losses(losses, x, targets, c.InputLengths, lengths))
	sum, err := loss.Grad(grad, x, targets, c.InputLengths, lengths)
	require.NoError(t, err)
	require.InEpsilon(t, losses[0]+losses[1]+losses[3], sum, 1e-14)

	want, occupancy := refCTC(c.scores(x.Data, 0), c.Targets[0], c.Blank)
	require.InEpsilon(t, want, losses[0], 1e-12)
	for frame, gamma := range occupancy {
		row := x.Data[c.At(0, frame):][:3]
		expected := []float64{math.Exp(row[0]) - gamma[0], math.Exp(row[1]) - gamma[1], math.Exp(row[2])}
		// The reference's logarithms of 10³ have an ulp of 1e-13, times the frames' square root.
		requireNear(t, fmt.Sprint("frame ", frame), expected, grad[c.At(0, frame):][:3], 2e-11)
	}
	var path float64
	for frame := range 2*labels - 1 {
		path -= x.Data[c.At(1, frame)+(frame+1)%2]
	}
	require.InEpsilon(t, path, losses[1], 1e-12)
	require.Zero(t, losses[2])
	for frame := range frames {
		require.Equal(t, []float64{0, 0, 0}, grad[c.At(2, frame):][:3])
	}
}

// 2. The critical target length of GPU kernels.
func TestTorchCriticalTargetLength(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(33, 1))
	c := torchCase(rng, 500, 10, 0, 256)
	randomCTCCall[float32](rng, c).requireReference(t, rng)
	randomCTCCall[float64](rng, c).requireReference(t, rng)
}

// 3. No frames at all: only an empty target can be spelled.
func TestTorchLengthsOfZero(t *testing.T) {
	rng := rand.New(rand.NewPCG(34, 1))
	c := torchCase(rng, 1, 2, 0, 0, 1, 0)
	c.InputLengths = []int{0, 0, 0}
	call := randomCTCCall[float64](rng, c)
	out := call.Run(t, trellis.Sum, 1, []float64{1, 1, 1})
	require.Equal(t, []float64{0, math.Inf(1), 0}, out.Losses)
	require.Equal(t, make([]float64, 6), out.Grad)
	require.Equal(t, make([]float64, 6), out.VJP)
}

// 4. Targets that are partly too long, with ZeroInfinity.
func TestTorchZeroInfinity(t *testing.T) {
	rng := rand.New(rand.NewPCG(35, 1))
	c := torchCase(rng, 50, 15, 0, 60, 25, 20)
	c.ZeroInfinity = true
	call := randomCTCCall[float32](rng, c)
	call.requireReference(t, rng)
	out := call.Run(t, trellis.Sum, 1, []float32{1, 1, 1})
	require.Zero(t, out.Losses[0])
	require.Equal(t, out.Losses[1]+out.Losses[2], out.Loss)
	require.False(t, slices.ContainsFunc(Cast[float64](out.Grad), math.IsNaN))
}

// 5. Empty targets have only the path of blanks.
func TestTorchEmptyTargets(t *testing.T) {
	rng := rand.New(rand.NewPCG(36, 1))
	for _, lengths := range [][]int{{0, 0, 0}, {0, 9, 0}} {
		c := torchCase(rng, 50, 15, 0, lengths...)
		call := randomCTCCall[float64](rng, c)
		out := call.Run(t, trellis.Mean, 1, []float64{1, 1, 1})
		for _, n := range []int{0, 2} {
			var want float64
			for frame := range c.Frames {
				want -= call.X.Data[c.At(n, frame)]
			}
			require.InEpsilon(t, want, out.Losses[n], 1e-14)
		}
		require.GreaterOrEqual(t, out.Losses[1], 0.0)
		call.requireReference(t, rng)
	}
}

// 6. The gradient in some directions, by finite differences.
func TestTorchGradcheck(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(37, 1))
	for _, frames := range []int{150, 50} {
		c := torchCase(rng, frames, 101, 0, slices.Repeat([]int{15}, 64)...)
		c.Scores = trellis.Logits
		for n := range c.InputLengths {
			c.InputLengths[n] = frames/2 + rng.IntN(frames/2+1)
		}
		x := trellis.Tensor[float64]{Data: c.randomScores(rng), Shape: c.Shape()}
		call := CTCCall(c, x)
		grad := call.Run(t, trellis.Mean, 0, make([]float64, 64)).Grad
		for range 5 {
			direction := normals[float64](rng, len(x.Data), 1)
			along := differences([]float64{0}, func(step []float64) float64 {
				moved := trellis.Tensor[float64]{Data: slices.Clone(x.Data), Shape: x.Shape}
				for i, d := range direction {
					moved.Data[i] += step[0] * d
				}
				loss, err := call.Bind(moved, trellis.Mean, 0).Loss()
				require.NoError(t, err)
				return loss
			})
			var want float64
			for i, d := range direction {
				want += d * grad[i]
			}
			require.InDelta(t, want, along[0], 1e-8)
		}
	}
}

// 7. A blank that is the last class, padded and concatenated.
func TestTorchBlankLast(t *testing.T) {
	rng := rand.New(rand.NewPCG(38, 1))
	c := torchCase(rng, 50, 15, 14, 30, 25, 20)
	x := trellis.Tensor[float64]{Data: c.randomScores(rng), Shape: c.Shape()}
	concatenated := CTCCall(c, x)
	concatenated.requireReference(t, rng)
	c.padding = 0
	upstream := []float64{1, 2, 3}
	want := concatenated.Run(t, trellis.Mean, 1, upstream)
	want.requireSame(t, "padded", CTCCall(c, x).Run(t, trellis.Mean, 1, upstream))
}

// 8. Negative log-likelihood: shapes and options.
func TestTorchNLL(t *testing.T) {
	rng := rand.New(rand.NewPCG(39, 1))
	for _, shape := range [][]int{{15, 4}, {2, 4, 5}, {2, 4, 5, 5}, {2, 4, 5, 5, 2, 2}} {
		for _, weight := range [][]float64{nil, positive(rng, 4)} {
			for _, ignore := range []*int{nil, new(2), new(-1), new(255)} {
				c := ClassCase{Kind: "NLL", Shape: shape, Weight: weight, Ignore: ignore, spread: 1}
				randomClassCall[float32](rng, c).requireReference(t, rng)
				randomClassCall[float64](rng, c).requireReference(t, rng)
			}
		}
	}
}

// 8. Negative log-likelihood of nothing: the mean is NaN, the sum and gradients
// are 0.
func TestTorchNothingCounts(t *testing.T) {
	for _, kind := range []string{"NLL", "CE"} {
		for _, shape := range [][]int{{0, 3}, {0, 3, 5}, {2, 3, 0}, {2, 3, 5, 0}, {2, 3, 5, 7, 0}} {
			requireNothingCounts(t, ClassCase{Kind: kind, Shape: shape}, nil)
		}
		requireNothingCounts(t, ClassCase{Kind: kind, Shape: []int{2, 3}, Ignore: new(255)}, []int{255, 255})
		requireNothingCounts(t, ClassCase{Kind: kind, Shape: []int{2, 3}, Weight: []float64{1, 0, 1}}, []int{1, 1})
	}
	requireNothing(t, ProbsCall(ClassCase{Kind: "probs", Shape: []int{0, 3}},
		trellis.Tensor[float32]{Shape: []int{0, 3}}, trellis.Tensor[float32]{Shape: []int{0, 3}}))
	requireNothing(t, CTCCall(CTCCase{Frames: 5, Classes: 3, padding: -1}, trellis.Tensor[float32]{Shape: []int{5, 0, 3}}))
}

func requireNothingCounts(t *testing.T, c ClassCase, targets []int) {
	t.Helper()
	x := trellis.Tensor[float32]{Data: slices.Repeat([]float32{-1}, product(c.Shape)), Shape: c.Shape}
	requireNothing(t, ClassCall(c, x, targets))
}

func requireNothing(t *testing.T, call Call[float32]) {
	t.Helper()
	ones := slices.Repeat([]float32{1}, call.samples)
	mean, sum := call.Run(t, trellis.Mean, 0, ones), call.Run(t, trellis.Sum, 0, ones)
	RequireSameBits(t, call.Name+": mean", []float32{float32(math.NaN())}, []float32{mean.Loss})
	RequireSameBits(t, call.Name+": mean of Grad", []float32{float32(math.NaN())}, []float32{mean.GradLoss})
	for _, zeros := range [][]float32{{sum.Loss, sum.GradLoss}, sum.Losses, sum.Grad, sum.VJP, mean.Grad, mean.VJP} {
		for _, v := range zeros {
			require.Zero(t, v, call.Name)
		}
	}
}

// 9. Ignored positions: those of another first row, with the same index, give
// the same.
func TestTorchIgnoredCrossEntropy(t *testing.T) {
	for _, ignore := range []int{-100, -2, 2} {
		for _, smoothing := range []float64{0, 0.05, 0.15} {
			c := ClassCase{Kind: "CE", Shape: []int{2, 2}, Ignore: new(ignore), Smoothing: smoothing}
			var out [2]Results[float64]
			for i, data := range [][]float64{{0.3, 0.4, 1, 2}, {0.3, 0.6, 1, 2}} {
				call := ClassCall(c, trellis.Tensor[float64]{Data: data, Shape: c.Shape}, []int{ignore, 1})
				call.requireReference(t, rand.New(rand.NewPCG(40, 1)))
				out[i] = call.Run(t, trellis.Mean, 1, []float64{1, 1})
			}
			out[0].requireSame(t, c.String(), out[1])
		}
	}
}
