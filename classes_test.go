package trellis

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/tiertest"
	"github.com/gotrellis/trellis/internal/view"
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
	for _, sample := range [][]int{{1}, {2}, {3}, {10}, {16}, {17}, {32}, {33}, {200}, {2, 2}, {2, 4}, {3, 5}, {10, 3}, {2, 8}, {2, 16}, {2, 48}, {2, 144}, {4, 15}, {3, 16}, {5, 40}, {300, 3}} {
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
			for _, few := range []int{2, 4, 8, 9} { // and the sum is that of a batch whose other samples count nothing
				some, what := Tensor[F]{x[:few*scores], slices.Concat([]int{few}, sample)}, fmt.Sprint(few, " of ", what)
				most, rest := slices.Clone(targets), slices.Clone(probs)
				for i := few * inner; i < len(most); i++ {
					most[i] = -100
				}
				clear(rest[few*scores:])
				want, err := l.Loss(all, most)
				require.NoError(t, err, what)
				someGrad := make([]F, len(some.Data))
				loss, err := l.Grad(someGrad, some, targets[:few*inner])
				require.NoError(t, err, what)
				if len(someGrad) > smallScores { // else losses are added one by one
					requireSame(t, []F{want}, []F{loss}, what)
				}
				requireSame(t, grad[:few*scores], someGrad, what)
				want, err = l.LossProbs(all, Tensor[F]{rest, shape})
				require.NoError(t, err, what)
				loss, err = l.GradProbs(someGrad, some, Tensor[F]{probs[:few*scores], some.Shape})
				require.NoError(t, err, what)
				if len(someGrad) > smallScores && options.smoothing == 0 { // which makes targets of none
					requireSame(t, []F{want}, []F{loss}, what)
				}
				requireSame(t, gradOfProbs[:few*scores], someGrad, what)
			}
		}
	}
}

// What an item gives does not depend on the one before: samples that are there twice have the same losses and gradients.
func TestSamplesTwice(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testSamplesTwice[float32])
		t.Run("float64", testSamplesTwice[float64])
	})
}

func testSamplesTwice[F Float](t *testing.T) {
	for _, shape := range [][]int{{itemPositions, 10}, {itemPositions, 40}, {1, 300, 7}, {itemPositions / 16, 2, 16}, {1, 2, itemPositions}, {1, 3, itemPositions}} {
		n, _ := view.Size(shape)
		classes := shape[1]
		count := n / classes
		once, targets := normalScores[F](n), randomBelow[int](count, classes)
		p, upstream := normalScores[F](n), normalScores[F](count)
		for i, v := range p {
			p[i] = v * v
		}
		twice := slices.Clone(shape)
		twice[0] *= 2
		x, probs := Tensor[F]{slices.Repeat(once, 2), twice}, Tensor[F]{slices.Repeat(p, 2), twice}
		targets, upstream = slices.Repeat(targets, 2), slices.Repeat(upstream, 2)
		losses, grad := make([]F, 2*count), make([]F, 2*n)
		for _, smoothing := range []F{0, 0.25} {
			for _, weight := range [][]F{nil, normalScores[F](classes)} {
				l := CrossEntropyLoss[F]{Weight: weight, LabelSmoothing: smoothing, Workers: 1}
				check := func(err error, method string) {
					what := fmt.Sprint(shape, smoothing, weight != nil, method)
					require.NoError(t, err, what)
					requireSame(t, losses[:count], losses[count:], what)
					requireSame(t, grad[:n], grad[n:], what)
				}
				_, err := l.LossesGrad(losses, grad, x, targets)
				check(err, "LossesGrad")
				check(l.VJP(grad, upstream, x, targets), "VJP")
				_, err = l.LossesGradProbs(losses, grad, x, probs)
				check(err, "LossesGradProbs")
				check(l.VJPProbs(grad, upstream, x, probs), "VJPProbs")
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

// Loss and Grad have a short way for a few rows. It gives the bits of the way that LossesGrad takes,
// and leaves everything that is not plain to that.
func TestSimpleCalls(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testSimpleCalls[float32])
		t.Run("float64", testSimpleCalls[float64])
	})
}

// classLoss is what NLLLoss and CrossEntropyLoss have in common.
type classLoss[F Float] interface {
	Loss(x Tensor[F], targets []int) (F, error)
	Grad(grad []F, x Tensor[F], targets []int) (F, error)
	LossesGrad(losses, grad []F, x Tensor[F], targets []int) (F, error)
}

func testSimpleCalls[F Float](t *testing.T) {
	inf, zero := F(math.Inf(1)), 0
	for _, shape := range [][]int{{1, 1}, {1, 2}, {2, 2}, {16, 2}, {17, 2}, {5, 3}, {7, 4}, {3, 10}, {1, 17}, {1, 32}, {1, 33}, {7, 5}, {12, 10}, {16, 32}, {33, 10}, {3, 5000}, {5, 14000}} {
		rows, classes := shape[0], shape[1]
		for _, special := range [][]F{nil, {0}, {-inf}, {inf}, {fp.NaN[F]()}, {1, 1}, {-inf, -inf}, {-inf, fp.NaN[F]()}, {-500, 300}} {
			if special != nil && classes > 1000 {
				continue
			}
			x := Tensor[F]{normalScores[F](rows * classes), shape}
			copy(x.Data[:min(classes, len(x.Data))], special)
			targets := randomBelow[int](rows, classes)
			targets[0] = 0
			check := func(l classLoss[F], targets []int) {
				what := fmt.Sprintf("%T %v begins with %v", l, shape, special)
				losses, want, grad := make([]F, rows), make([]F, len(x.Data)), make([]F, len(x.Data))
				wantLoss, wantErr := l.LossesGrad(losses, want, x, targets)
				loss, err := l.Loss(x, targets)
				gradLoss, gradErr := l.Grad(grad, x, targets)
				if wantErr != nil {
					for method, err := range map[string]error{".Loss:": err, ".Grad:": gradErr} {
						require.EqualError(t, err, strings.Replace(wantErr.Error(), ".LossesGrad:", method, 1), what)
					}
				} else {
					require.NoError(t, errors.Join(err, gradErr), what)
				}
				requireSame(t, []F{wantLoss, wantLoss}, []F{loss, gradLoss}, what)
				requireSame(t, want, grad, what)
				if err == nil { // in place, too, but not shifted
					room := append(slices.Clone(x.Data), 0)
					copied := Tensor[F]{room[:len(x.Data)], shape}
					if len(x.Data) > 1 {
						_, err = l.Grad(room[1:], copied, targets)
						require.ErrorContains(t, err, "overlaps x without being x", what)
					}
					_, err = l.Grad(copied.Data, copied, targets)
					require.NoError(t, err, what)
					requireSame(t, want, copied.Data, what)
				}
			}
			for _, reduction := range []Reduction{Mean, Sum, 2} {
				for _, workers := range []int{1, -1} {
					check(NLLLoss[F]{Reduction: reduction, Workers: workers}, targets)
					check(CrossEntropyLoss[F]{Reduction: reduction, Workers: workers}, targets)
				}
				ones := slices.Repeat([]F{0.5}, classes)
				check(NLLLoss[F]{Reduction: reduction, Workers: 1, Weight: ones}, targets)
				check(CrossEntropyLoss[F]{Reduction: reduction, Workers: 1, Weight: ones}, targets)
				check(CrossEntropyLoss[F]{Reduction: reduction, Workers: 1, LabelSmoothing: 0.5}, targets)
				check(NLLLoss[F]{Reduction: reduction, Workers: 1, IgnoreIndex: &zero}, targets)
				check(CrossEntropyLoss[F]{Reduction: reduction, Workers: 1, IgnoreIndex: &zero}, targets)
			}
			for _, y := range []int{-1, -100, classes, math.MaxInt, math.MinInt} {
				other := slices.Clone(targets)
				other[rows-1] = y
				check(NLLLoss[F]{Workers: 1}, other)
				check(CrossEntropyLoss[F]{Workers: 1}, other)
			}
			check(NLLLoss[F]{Workers: 1}, targets[1:])
			check(CrossEntropyLoss[F]{Workers: 1}, targets[1:])
		}
	}
}

// What an item leaves out does not reach the next one, and a wrong target is found in any of them.
func TestTargetsOfItems(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testTargetsOfItems[float32])
		t.Run("float64", testTargetsOfItems[float64])
	})
}

func testTargetsOfItems[F Float](t *testing.T) {
	for _, shape := range [][]int{{777, 10}, {40, 600}, {333, 3, 4}, {222, 2, 8}, {111, 2, 16}, {111, 5, 13}, {55, 2, 20}, {5, 4, 700}, {9, 600, 3}} {
		count, _ := view.Size(shape)
		classes := shape[1]
		x, positions := Tensor[F]{normalScores[F](count), shape}, count/classes
		targets := randomBelow[int](positions, classes)
		some := slices.Clone(targets)
		for i := positions / 7; i < positions/5; i++ {
			some[i] = -100
		}
		for _, smoothing := range []F{0, 0.25} {
			l, what := CrossEntropyLoss[F]{Reduction: Sum, Workers: 1, LabelSmoothing: smoothing}, fmt.Sprint(shape, " smoothing ", smoothing)
			all, losses := make([]F, positions), make([]F, positions)
			require.NoError(t, l.Losses(all, x, targets), what)
			require.NoError(t, l.Losses(losses, x, some), what)
			var sum float64
			for i, y := range some {
				if y == -100 {
					all[i] = 0
				}
				sum += float64(all[i])
			}
			requireSame(t, all, losses, what)
			grad, left := make([]F, count), positions/5-positions/7
			for _, l.Reduction = range []Reduction{Sum, Mean} {
				want := sum
				if l.Reduction == Mean {
					want /= float64(positions - left)
				}
				got, err := l.Loss(x, some)
				require.NoError(t, err, what)
				require.InEpsilon(t, want, got, 1e-6, what)
				same, err := l.Grad(grad, x, some)
				require.NoError(t, err, what)
				require.Equal(t, same, got, what)
			}
			for _, bad := range []int{0, positions / 3, positions - 1} {
				for _, y := range []int{-1, classes, math.MinInt, math.MaxInt} {
					wrong, clean := slices.Clone(some), make([]F, count)
					wrong[bad] = y
					_, err := l.Loss(x, wrong)
					reason := fmt.Sprintf("targets[%d] = %d: class outside [0,%d)", bad, y, classes)
					require.ErrorContains(t, err, reason, what)
					_, err = l.Grad(clean, x, wrong)
					require.ErrorContains(t, err, reason, what)
					require.Equal(t, make([]F, count), clean, what)
				}
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
