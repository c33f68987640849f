package trellis

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/tiertest"
	"github.com/gotrellis/trellis/internal/view"
)

// measure measures a call on every tier, with at most so many workers.
func measure(b *testing.B, workers int, a kerneltest.Amount, call func(b *testing.B)) {
	tiertest.EachBench(b, func(b *testing.B) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(workers))
		a.Measure(b, func() { call(b) })
	})
}

// measureWorkers is measure with one worker, and with all if there is work for them.
func measureWorkers(b *testing.B, most int, a kerneltest.Amount, call func(b *testing.B)) {
	for _, workers := range slices.Compact([]int{1, min(runtime.GOMAXPROCS(0), most)}) {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) { measure(b, workers, a, call) })
	}
}

// measureLoss is measureWorkers of a loss, which must be a number.
func measureLoss[F Float](b *testing.B, most int, a kerneltest.Amount, loss func() (F, error)) {
	measureWorkers(b, most, a, func(b *testing.B) {
		if v, err := loss(); err != nil || !fp.IsFinite(v) {
			b.Fatalf("loss %v, error %v", v, err)
		}
	})
}

// normalScores returns n scores, the same ones every time.
func normalScores[F Float](n int) []F {
	r, x := rand.New(rand.NewPCG(1, 2)), make([]F, n)
	for i := range x {
		x[i] = F(3 * r.NormFloat64())
	}
	return x
}

// randomBelow returns n random numbers from 0 up to limit, without it.
func randomBelow[T int | int32](n, limit int) []T {
	r, x := rand.New(rand.NewPCG(3, 4)), make([]T, n)
	for i := range x {
		x[i] = T(r.IntN(limit))
	}
	return x
}

// sizeOf returns the number of bytes of x.
func sizeOf[T any](x []T) int { return len(x) * int(unsafe.Sizeof(*new(T))) }

func BenchmarkLogSumExp(b *testing.B) {
	b.Run("type=float32", benchmarkLogSumExp[float32])
	b.Run("type=float64", benchmarkLogSumExp[float64])
}

func benchmarkLogSumExp[F Float](b *testing.B) {
	for _, n := range []int{32, 1000, 4096, 50257, 1 << 24} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			x, dst := normalScores[F](n), make([]F, 1)
			measure(b, 1, kerneltest.Elements[F](n, 1), func(*testing.B) { dst[0] = LogSumExp(x) })
		})
	}
}

func BenchmarkGather(b *testing.B) {
	b.Run("type=float32", benchmarkGather[float32])
	b.Run("type=float64", benchmarkGather[float64])
}

func benchmarkGather[F Float](b *testing.B) {
	const size = 50257
	for _, n := range []int{32, 4096, size} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			src, dst, index := normalScores[F](size), make([]F, n), randomBelow[int32](n, size)
			a := kerneltest.Elements[F](n, 2)
			a.Bytes += sizeOf(index)
			measure(b, 1, a, func(*testing.B) { Gather(dst, src, index) })
		})
	}
}

func BenchmarkLogSumExpRows(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkRows(b, true, LogSumExpRows[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkRows(b, true, LogSumExpRows[float64]) })
}

func BenchmarkLogSoftmaxRows(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkRows(b, false, LogSoftmaxRows[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkRows(b, false, LogSoftmaxRows[float64]) })
}

func BenchmarkSoftmaxRows(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkRows(b, false, SoftmaxRows[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkRows(b, false, SoftmaxRows[float64]) })
}

// benchmarkRows measures a function that has one result for each row if it reduces them,
// or else for each element.
func benchmarkRows[F Float](b *testing.B, reduces bool, f func(dst []F, x Tensor[F])) {
	for _, shape := range [][]int{{128, 1000}, {1024, 32}} {
		b.Run(shapeName(shape), func(b *testing.B) {
			n, _ := view.Size(shape)
			x, dst, a := Tensor[F]{normalScores[F](n), shape}, make([]F, n), kerneltest.Elements[F](n, 2)
			if reduces {
				dst, a = dst[:shape[0]], kerneltest.Elements[F](n, 1)
			}
			measureWorkers(b, n/itemElements, a, func(*testing.B) { f(dst, x) })
		})
	}
}

func BenchmarkArgMaxRows(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkArgMaxRows[float32](b) })
	b.Run("type=float64", func(b *testing.B) { benchmarkArgMaxRows[float64](b) })
}

func benchmarkArgMaxRows[F Float](b *testing.B) {
	for _, shape := range [][]int{{128, 1000}, {4096, 4}} { // of elements and of rows: see rowCost
		b.Run(shapeName(shape), func(b *testing.B) {
			n, _ := view.Size(shape)
			x, dst := Tensor[F]{normalScores[F](n), shape}, make([]int, shape[0])
			measureWorkers(b, n/itemElements, kerneltest.Elements[F](n, 1), func(*testing.B) { ArgMaxRows(dst, x, nil) })
		})
	}
}

func shapeName(shape []int) string {
	return "shape=" + strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", "x"), "[]")
}

// classInputs are those of a loss of classes, and room for its gradient.
type classInputs[F Float] struct {
	x, probs Tensor[F]
	targets  []int
	grad     []F
}

func newClassInputs[F Float](shape []int) classInputs[F] {
	n, _ := view.Size(shape)
	classes := shape[1]
	r, probs := rand.New(rand.NewPCG(5, 6)), make([]F, n)
	for i := range probs {
		probs[i] = F(r.Float64() / float64(classes))
	}
	return classInputs[F]{
		Tensor[F]{normalScores[F](n), shape}, Tensor[F]{probs, shape},
		randomBelow[int](n/classes, classes), make([]F, n),
	}
}

var crossEntropyShapes = [][]int{{128, 1000}, {32, 50257}, {8, 21, 64, 64}}

// benchmarkClasses measures a loss that reads or writes so many arrays as long as x.
func benchmarkClasses[F Float](b *testing.B, shapes [][]int, arrays int, loss func(c classInputs[F]) (F, error)) {
	for _, shape := range shapes {
		b.Run(shapeName(shape), func(b *testing.B) {
			c := newClassInputs[F](shape)
			measureLoss(b, len(c.targets), kerneltest.Elements[F](len(c.grad), arrays), func() (F, error) { return loss(c) })
		})
	}
}

// There is no kernel in this loss: all tiers take the same time. Of the scores it reads
// few, and writes a gradient.
func BenchmarkNLLGrad(b *testing.B) {
	shapes := [][]int{{4096, 1000}}
	b.Run("type=float32", func(b *testing.B) { benchmarkClasses(b, shapes, 1, nllGrad[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkClasses(b, shapes, 1, nllGrad[float64]) })
}

func nllGrad[F Float](c classInputs[F]) (F, error) {
	return NLLLoss[F]{}.Grad(c.grad, c.x, c.targets)
}

func BenchmarkCrossEntropyLoss(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkClasses(b, crossEntropyShapes, 1, crossEntropyLoss[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkClasses(b, crossEntropyShapes, 1, crossEntropyLoss[float64]) })
}

func crossEntropyLoss[F Float](c classInputs[F]) (F, error) {
	return CrossEntropyLoss[F]{}.Loss(c.x, c.targets)
}

func BenchmarkCrossEntropyGrad(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkClasses(b, crossEntropyShapes, 2, crossEntropyGrad[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkClasses(b, crossEntropyShapes, 2, crossEntropyGrad[float64]) })
}

func crossEntropyGrad[F Float](c classInputs[F]) (F, error) {
	return CrossEntropyLoss[F]{}.Grad(c.grad, c.x, c.targets)
}

func BenchmarkCrossEntropyLossProbs(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkClasses(b, crossEntropyShapes, 2, crossEntropyLossProbs[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkClasses(b, crossEntropyShapes, 2, crossEntropyLossProbs[float64]) })
}

func crossEntropyLossProbs[F Float](c classInputs[F]) (F, error) {
	return CrossEntropyLoss[F]{}.LossProbs(c.x, c.probs)
}

func BenchmarkCrossEntropyGradProbs(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkClasses(b, crossEntropyShapes, 3, crossEntropyGradProbs[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkClasses(b, crossEntropyShapes, 3, crossEntropyGradProbs[float64]) })
}

func crossEntropyGradProbs[F Float](c classInputs[F]) (F, error) {
	return CrossEntropyLoss[F]{}.GradProbs(c.grad, c.x, c.probs)
}

// ctcSize is a batch of sequences with the same frames and classes.
type ctcSize struct{ frames, batch, classes, least, most int } // least and most labels

var ctcSizes = []ctcSize{
	{50, 16, 20, 10, 30},
	{150, 1, 28, 40, 40},
	{150, 16, 28, 40, 40},
	{500, 16, 32, 100, 100},
	{150, 16, 5000, 20, 20}, // the last: in float64 there are enough without it
}

// String returns a name like T50_N16_C20_S10-30.
func (s ctcSize) String() string {
	name := fmt.Sprintf("T%d_N%d_C%d_S%d", s.frames, s.batch, s.classes, s.least)
	if s.most > s.least {
		name += fmt.Sprintf("-%d", s.most)
	}
	return name
}

// ctcInputs are those of the loss, and room for its gradient.
type ctcInputs[F Float] struct {
	x                Tensor[F]
	targets, lengths []int
	grad             []F
	spans            []Span
	scores           []float64
}

func newCTCInputs[F Float](s ctcSize) ctcInputs[F] {
	n := s.frames * s.batch * s.classes
	targets, lengths := randomBelow[int](s.batch*s.most, s.classes-1), randomBelow[int](s.batch, s.most-s.least+1)
	for i := range targets {
		targets[i]++ // class 0 is the blank
	}
	labels := 0
	for i := range lengths {
		lengths[i] += s.least
		labels += lengths[i]
	}
	x := Tensor[F]{normalScores[F](n), []int{s.frames, s.batch, s.classes}}
	LogSoftmaxRows(x.Data, x) // log-probabilities are logits, too
	return ctcInputs[F]{x, targets, lengths, make([]F, n), make([]Span, labels), make([]float64, s.batch)}
}

// benchmarkCTC measures a loss that reads or writes so many arrays as long as x. A
// sequence is the work of one worker.
func benchmarkCTC[F Float](b *testing.B, sizes []ctcSize, arrays int, loss func(c ctcInputs[F]) (F, error)) {
	for _, s := range sizes {
		b.Run("shape="+s.String(), func(b *testing.B) {
			c, states := newCTCInputs[F](s), 0
			for _, labels := range c.lengths {
				states += s.frames * (2*labels + 1)
			}
			measureLoss(b, s.batch, kerneltest.Amount{Count: states, Unit: "state", Bytes: arrays * sizeOf(c.grad)}, func() (F, error) { return loss(c) })
		})
	}
}

func BenchmarkCTCLoss(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkCTC(b, ctcSizes, 1, ctcLogitsLoss[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkCTC(b, ctcSizes[:4], 1, ctcLogitsLoss[float64]) })
}

func ctcLogitsLoss[F Float](c ctcInputs[F]) (F, error) {
	return CTCLoss[F]{Scores: Logits}.Loss(c.x, c.targets, nil, c.lengths)
}

func BenchmarkCTCGrad(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkCTC(b, ctcSizes, 2, ctcLogitsGrad[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkCTC(b, ctcSizes[:4], 2, ctcLogitsGrad[float64]) })
}

func ctcLogitsGrad[F Float](c ctcInputs[F]) (F, error) {
	return CTCLoss[F]{Scores: Logits}.Grad(c.grad, c.x, c.targets, nil, c.lengths)
}

func BenchmarkCTCGradLogProbs(b *testing.B) {
	sizes := ctcSizes[2:3]
	b.Run("type=float32", func(b *testing.B) { benchmarkCTC(b, sizes, 2, ctcLogProbsGrad[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkCTC(b, sizes, 2, ctcLogProbsGrad[float64]) })
}

func ctcLogProbsGrad[F Float](c ctcInputs[F]) (F, error) {
	return CTCLoss[F]{}.Grad(c.grad, c.x, c.targets, nil, c.lengths)
}

func BenchmarkAlign(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkCTC(b, ctcSizes, 1, alignLogProbs[float32]) })
	b.Run("type=float64", func(b *testing.B) { benchmarkCTC(b, ctcSizes[:4], 1, alignLogProbs[float64]) })
}

func alignLogProbs[F Float](c ctcInputs[F]) (F, error) {
	err := CTCAligner[F]{}.Align(c.spans, c.scores, c.x, c.targets, nil, c.lengths)
	return F(c.scores[0]), err
}
