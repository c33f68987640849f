package trellis

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/tiertest"
)

// What a sample gives does not depend on what is beside it: alone, where a small call has a way
// of its own, and in a batch it has the same bits.
func TestSamplesAlone(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testSamplesAlone[float32])
		t.Run("float64", testSamplesAlone[float64])
	})
}

func testSamplesAlone[F Float](t *testing.T) {
	const batch = 37
	for _, sample := range [][]int{{1}, {2}, {3}, {10}, {16}, {17}, {32}, {33}, {200}, {2, 2}, {3, 5}, {10, 3}, {2, 8}, {4, 15}, {3, 16}, {5, 40}, {300, 3}} {
		classes, inner := sample[0], 1
		if len(sample) > 1 {
			inner = sample[1]
		}
		shape, scores := append([]int{batch}, sample...), classes*inner
		x, probs := normalScores[F](batch*scores), normalScores[F](batch*scores)
		for i, v := range probs {
			probs[i] = v * v
		}
		targets := randomBelow[int](batch*inner, classes)
		for i := range targets {
			if i%5 == 4 {
				targets[i] = -100
			}
		}
		for _, options := range []struct {
			weight    []F
			smoothing F
		}{{nil, 0}, {nil, 0.25}, {normalScores[F](classes), 0}, {normalScores[F](classes), 0.25}} {
			l := CrossEntropyLoss[F]{Weight: options.weight, LabelSmoothing: options.smoothing, Reduction: Sum}
			what := fmt.Sprint(shape, " weights ", options.weight != nil, " smoothing ", options.smoothing)
			all := Tensor[F]{x, shape}
			losses, grad := make([]F, batch*inner), make([]F, len(x))
			_, err := l.LossesGrad(losses, grad, all, targets)
			require.NoError(t, err, what)
			lossesOfProbs, gradOfProbs := make([]F, batch*inner), make([]F, len(x))
			_, err = l.LossesGradProbs(lossesOfProbs, gradOfProbs, all, Tensor[F]{probs, shape})
			require.NoError(t, err, what)
			upstream, product := normalScores[F](batch*inner), make([]F, len(x))
			require.NoError(t, l.VJP(product, upstream, all, targets), what)
			one, oneGrad := make([]F, inner), make([]F, scores)
			for n := range batch {
				alone := Tensor[F]{x[n*scores:][:scores], slices.Concat([]int{1}, sample)}
				_, err := l.LossesGrad(one, oneGrad, alone, targets[n*inner:][:inner])
				require.NoError(t, err, what)
				requireSame(t, losses[n*inner:][:inner], one, what)
				requireSame(t, grad[n*scores:][:scores], oneGrad, what)
				require.NoError(t, l.VJP(oneGrad, upstream[n*inner:][:inner], alone, targets[n*inner:][:inner]), what)
				requireSame(t, product[n*scores:][:scores], oneGrad, what)
				_, err = l.LossesGradProbs(one, oneGrad, alone, Tensor[F]{probs[n*scores:][:scores], alone.Shape})
				require.NoError(t, err, what)
				requireSame(t, lossesOfProbs[n*inner:][:inner], one, what)
				requireSame(t, gradOfProbs[n*scores:][:scores], oneGrad, what)
			}
		}
	}
}

// A row has the same bits alone, in a small call and in a large one.
func TestRowsAlone(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testRowsAlone[float32])
		t.Run("float64", testRowsAlone[float64])
	})
}

func testRowsAlone[F Float](t *testing.T) {
	const rows = 40
	for n := range 40 {
		x := normalScores[F](rows * n)
		if n > 2 {
			x[n], x[3*n+1], x[5*n] = F(math.Inf(-1)), F(math.Inf(1)), fp.NaN[F]()
		}
		all, some := make([]F, rows*n), make([]F, 2*n)
		sums, someSums := make([]F, rows), make([]F, 2)
		LogSumExpRows(sums, Tensor[F]{x, []int{rows, n}})
		for r := 0; r < rows; r += 2 {
			LogSumExpRows(someSums, Tensor[F]{x[r*n:][:2*n], []int{2, n}})
			requireSame(t, sums[r:][:2], someSums, n, r)
			requireSame(t, sums[r:][:1], []F{LogSumExp(x[r*n:][:n])}, n, r)
		}
		for _, f := range []struct {
			rows func(dst []F, x Tensor[F])
			one  func(dst, x []F)
		}{{SoftmaxRows[F], Softmax[F]}, {LogSoftmaxRows[F], LogSoftmax[F]}} {
			f.rows(all, Tensor[F]{x, []int{rows, n}})
			for r := 0; r < rows; r += 2 {
				f.rows(some, Tensor[F]{x[r*n:][:2*n], []int{2, n}})
				requireSame(t, all[r*n:][:2*n], some, n, r)
				f.one(some[:n], x[r*n:][:n])
				requireSame(t, all[r*n:][:n], some[:n], n, r)
			}
		}
	}
}

// requireSame requires the same bits, but a NaN is as good as any other.
func requireSame[F Float](t *testing.T, want, got []F, what ...any) {
	require.Len(t, got, len(want), "%v", what)
	for i := range want {
		if kerneltest.Bits(want[i]) != kerneltest.Bits(got[i]) {
			require.Fail(t, "other bits", "%v: %v and %v", what, want, got)
		}
	}
}
