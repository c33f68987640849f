package trellis

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/view"
)

// nllShapes have rows and runs of all lengths up to some fours.
func nllShapes() (all [][]int) {
	for n := range 14 {
		all = append(all, []int{1 + n, 3})
		for _, inner := range []int{2, 3, 7, 8, 9, 10, 11, 12, 21} {
			all = append(all, []int{1 + n%5, 3, inner})
		}
	}
	return append(all, []int{2, 20, 2*nllBlock + 5}, []int{3*nllBlock + 6, 3}, []int{nllBlock, 3, 3}) // several blocks
}

// Scores are integers, whose sums are exact in any order.
func TestNLLSums(t *testing.T) {
	t.Run("float32", testNLLSums[float32])
	t.Run("float64", testNLLSums[float64])
}

func testNLLSums[F Float](t *testing.T) {
	for _, shape := range nllShapes() {
		n, _ := view.Size(shape)
		classes := shape[1]
		inner := n / classes / shape[0]
		x, grad := Tensor[F]{make([]F, n), shape}, make([]F, n)
		for i := range x.Data {
			x.Data[i] = F(i % 1001)
		}
		for _, ignored := range []int{-100, 1} { // no class, and one
			for every := range 4 { // none, every target, every second, every third is left out
				targets := randomBelow[int](n/classes, classes)
				var want F
				wantGrad := make([]F, n)
				for i := range targets {
					if every > 0 && i%every == 0 {
						targets[i] = ignored
					}
					if y := targets[i]; y != ignored {
						at := (i/inner*classes+y)*inner + i%inner
						want -= x.Data[at]
						wantGrad[at] = -1
					}
				}
				for _, workers := range []int{1, 3} {
					what := fmt.Sprint(shape, ignored, every, workers)
					l := NLLLoss[F]{IgnoreIndex: &ignored, Reduction: Sum, Workers: workers}
					loss, err := l.Loss(x, targets)
					require.NoError(t, err, what)
					require.Equal(t, want, loss, what)
					loss, err = l.Grad(grad, x, targets)
					require.NoError(t, err, what)
					require.Equal(t, want, loss, what)
					requireSame(t, wantGrad, grad, what)
				}
			}
		}
	}
}

// All methods add losses in the same order, whoever adds them, with or without weights of 1 and an ignored
// class that there is not: block by block, and by four sums that take turns in a block.
func TestNLLOrderOfSums(t *testing.T) {
	for _, shape := range append(nllShapes(), []int{2, 65, 129}, []int{7, 40000}, []int{3, 9000, 11}, []int{1, 17, 5001}) {
		n, _ := view.Size(shape)
		classes := shape[1]
		x, targets := Tensor[float64]{normalScores[float64](n), shape}, randomBelow[int](n/classes, classes-1)
		losses, grad := make([]float64, len(targets)), make([]float64, n)
		wantLosses, wantGrad := make([]float64, len(targets)), make([]float64, n)
		want, err := NLLLoss[float64]{Workers: 1}.LossesGrad(wantLosses, wantGrad, x, targets)
		require.NoError(t, err)
		requireSame(t, []float64{sumInOrder(wantLosses) / float64(len(targets))}, []float64{want}, fmt.Sprint(shape))
		no := classes - 1
		for _, ignore := range []*int{nil, &no} {
			for _, weight := range [][]float64{nil, slices.Repeat([]float64{1}, classes)} {
				for _, workers := range []int{1, 3} {
					l, what := NLLLoss[float64]{Weight: weight, IgnoreIndex: ignore, Workers: workers}, fmt.Sprint(shape, ignore, weight != nil, workers)
					loss, lossErr := l.Loss(x, targets)
					gradLoss, gradErr := l.Grad(grad, x, targets)
					requireSame(t, wantGrad, grad, what)
					bothLoss, bothErr := l.LossesGrad(losses, grad, x, targets)
					requireSame(t, wantGrad, grad, what)
					requireSame(t, wantLosses, losses, what)
					requireSame(t, []float64{want, want, want}, []float64{loss, gradLoss, bothLoss}, what)
					clear(losses)
					require.NoError(t, errors.Join(lossErr, gradErr, bothErr, l.Losses(losses, x, targets)), what)
					requireSame(t, wantLosses, losses, what)
				}
			}
		}
	}
}

// Targets that are left out take their turn in the sums.
func TestNLLOrderOfSumsWithIgnored(t *testing.T) {
	for _, shape := range append(nllShapes(), []int{nllBlock + 300, 10}, []int{200, 10, 11}) {
		n, _ := view.Size(shape)
		x, targets := Tensor[float64]{normalScores[float64](n), shape}, randomBelow[int](n/shape[1], shape[1])
		for i := range targets {
			if rand.IntN(7) == 0 {
				targets[i] = defaultIgnoreIndex
			}
		}
		losses, grad := make([]float64, len(targets)), make([]float64, n)
		l := NLLLoss[float64]{Reduction: Sum}
		require.NoError(t, l.Losses(losses, x, targets))
		loss, lossErr := l.Loss(x, targets)
		gradLoss, gradErr := l.Grad(grad, x, targets)
		require.NoError(t, errors.Join(lossErr, gradErr))
		want := sumInOrder(losses)
		requireSame(t, []float64{want, want}, []float64{loss, gradLoss}, fmt.Sprint(shape))
	}
}

// sumInOrder adds losses as NLLLoss does.
func sumInOrder(losses []float64) float64 {
	sum := 0.0
	for block := range slices.Chunk(losses, nllBlock) {
		var sums [4]float64
		for i, loss := range block {
			sums[i%4] += loss
		}
		sum += (sums[0] + sums[1]) + (sums[2] + sums[3])
	}
	return sum
}

// A target that is no class is an error wherever it is, and nothing is written.
func TestNLLTargetsOutOfRange(t *testing.T) {
	for _, shape := range nllShapes() {
		n, _ := view.Size(shape)
		x, grad := Tensor[float32]{make([]float32, n), shape}, make([]float32, n)
		grad[0] = 7
		for i := range min(n/shape[1], 50) {
			for _, wrong := range []int{-1, shape[1], math.MaxInt, math.MinInt} {
				targets := make([]int, n/shape[1])
				targets[i] = wrong
				for _, workers := range []int{1, 2} {
					l := NLLLoss[float32]{Workers: workers}
					_, err := l.Loss(x, targets)
					_, gradErr := l.Grad(grad, x, targets)
					for _, err := range []error{err, gradErr} {
						var wrongArgument *ArgumentError
						require.ErrorAs(t, err, &wrongArgument)
						require.Equal(t, []int{i}, wrongArgument.Index, "%v", shape)
						require.Equal(t, wrong, wrongArgument.Value)
					}
					require.Equal(t, float32(7), grad[0])
				}
			}
		}
	}
}

// TestNLLVJPOfWeights compares VJP with its definition: with weights and without, a target that is ignored,
// and inner axes.
func TestNLLVJPOfWeights(t *testing.T) {
	const samples, classes, ignored = 5, 4, 2
	for _, inner := range []int{1, 3, 9} {
		for _, weight := range [][]float32{nil, {0.5, 2, 3, -1}} {
			x := Tensor[float32]{Data: make([]float32, samples*classes*inner), Shape: []int{samples, classes, inner}}
			upstream, targets := normalScores[float32](samples*inner), randomBelow[int](samples*inner, classes)
			want, grad, ignore := make([]float32, len(x.Data)), normalScores[float32](len(x.Data)), ignored
			for i, y := range targets {
				w := float32(1)
				if weight != nil {
					w = weight[y]
				}
				if y != ignored {
					want[(i/inner*classes+y)*inner+i%inner] = -w * upstream[i]
				}
			}
			l := NLLLoss[float32]{Weight: weight, IgnoreIndex: &ignore}
			require.NoError(t, l.VJP(grad, upstream, x, targets))
			require.Equal(t, want, grad, "%d inner positions, weights %v", inner, weight)
		}
	}
}

// Gradients that are too large for the caches are cleared in large parts by several workers: every method has the
// same bits, in place as well.
func TestNLLLargeGradients(t *testing.T) {
	defer func(size int) { streamBytes = size }(streamBytes)
	r := rand.New(rand.NewPCG(31, 32))
	for _, shape := range [][]int{{700, 300}, {200, 300, 4}} {
		n := shape[0] * product(shape[2:])
		x := Tensor[float32]{make([]float32, n*shape[1]), shape}
		targets, upstream := make([]int, n), make([]float32, n)
		for i := range x.Data {
			x.Data[i] = float32(r.NormFloat64())
		}
		for i := range targets {
			targets[i], upstream[i] = r.IntN(shape[1]), float32(r.NormFloat64())
			if r.IntN(9) == 0 {
				targets[i] = defaultIgnoreIndex
			}
		}
		l := NLLLoss[float32]{Workers: 1}
		want, wantVJP := make([]float32, len(x.Data)), make([]float32, len(x.Data))
		wantLoss, err := l.Grad(want, x, targets)
		require.NoError(t, err)
		require.NoError(t, l.VJP(wantVJP, upstream, x, targets))
		for _, streamBytes = range []int{1 << 10, 1 << 30} {
			for _, l.Workers = range []int{2, 3} {
				grad := slices.Repeat([]float32{7}, len(x.Data))
				require.NoError(t, l.VJP(grad, upstream, x, targets))
				require.Equal(t, wantVJP, grad)
				copy(grad, x.Data)
				loss, err := l.Grad(grad, Tensor[float32]{grad, shape}, targets)
				require.NoError(t, err)
				require.Equal(t, wantLoss, loss)
				require.Equal(t, want, grad)
			}
		}
	}
}

// A few rows of very many classes have a gradient that workers share: the loss has the same bits as with a gradient and
// with several workers, and so have samples of few positions.
func TestNLLFewRowsOfManyClasses(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 34))
	for _, shape := range [][]int{{3, 70000}, {7, 20000}, {32, 5000}, {9, 16000, 1}, {5, 9000, 3}, {6, 12000, 7}} {
		n := shape[0] * product(shape[2:])
		x, targets := Tensor[float64]{make([]float64, n*shape[1]), shape}, make([]int, n)
		for i := range x.Data {
			x.Data[i] = r.Float64()
		}
		l, losses, grad := NLLLoss[float64]{Reduction: Sum}, make([]float64, n), make([]float64, len(x.Data))
		for range 30 { // in some of which another order of the sums shows
			for i := range targets {
				targets[i] = r.IntN(shape[1])
			}
			l.Workers = 1
			want, err := l.Grad(grad, x, targets)
			require.NoError(t, err)
			for _, l.Workers = range []int{1, 2} {
				loss, err := l.Loss(x, targets)
				require.NoError(t, err)
				require.Equal(t, want, loss, "%v", shape)
				require.NoError(t, l.Losses(losses, x, targets))
				for i, y := range targets {
					inner := product(shape[2:])
					require.Equal(t, -x.Data[(i/inner*shape[1]+y)*inner+i%inner], losses[i], "%v", shape)
				}
			}
		}
	}
}

// A few rows are checked like many, and no rows of no classes have a gradient of no scores.
func TestNLLFewRowsAreChecked(t *testing.T) {
	x, targets := Tensor[float32]{make([]float32, 6), []int{2, 3}}, []int{1, 2}
	memory := slices.Repeat([]float32{1}, 8)
	_, err := NLLLoss[float32]{Weight: memory[:4]}.Loss(x, targets)
	require.ErrorAs(t, err, new(*ArgumentError))
	_, err = NLLLoss[float32]{Weight: memory[5:]}.Grad(memory[:6], x, targets)
	require.ErrorAs(t, err, new(*ArgumentError))
	err = NLLLoss[float32]{Weight: memory[1:4]}.Losses(memory[:2], x, targets)
	require.ErrorAs(t, err, new(*ArgumentError))
	loss, err := NLLLoss[float32]{Reduction: Sum}.Grad(nil, Tensor[float32]{nil, []int{0, 0}}, nil)
	require.NoError(t, err)
	require.Zero(t, loss)
}

// A shape whose number of scores an int cannot hold is an error, also where what is left of the number fits: 641·6700417
// is 2³² + 1.
func TestShapesThatOverflow(t *testing.T) {
	for _, shape := range [][]int{{641, 6700417}, {32, 1<<27 + 1}, {1 << 16, 1 << 16}} {
		x, targets := Tensor[float32]{make([]float32, 1), shape}, make([]int, shape[0])
		_, err := NLLLoss[float32]{}.Loss(x, targets)
		require.ErrorAs(t, err, new(*ArgumentError), "NLLLoss %v", shape)
		_, err = CrossEntropyLoss[float32]{}.Loss(x, targets)
		require.ErrorAs(t, err, new(*ArgumentError), "CrossEntropyLoss %v", shape)
	}
}
