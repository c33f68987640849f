package trellis

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/guard"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/tier"
	"github.com/gotrellis/trellis/internal/tiertest"
)

// arguments makes the arguments of a call out of what they are to hold.
type arguments[F Float] struct {
	scores func([]F) []F
	ints   func([]int) []int
	index  func([]int32) []int32
	dst    func([]F) []F // may be written
}

// freshArguments are copies that lie anywhere.
func freshArguments[F Float]() arguments[F] {
	return arguments[F]{slices.Clone[[]F], slices.Clone[[]int], slices.Clone[[]int32], slices.Clone[[]F]}
}

// guardedArguments lie between guard pages.
func guardedArguments[F Float](c *kerneltest.Trial[F]) arguments[F] {
	return arguments[F]{
		func(x []F) []F { return kerneltest.Constant(c, x) },
		func(x []int) []int { return kerneltest.Constant(c, x) },
		func(x []int32) []int32 { return kerneltest.Constant(c, x) },
		func(x []F) []F { return kerneltest.Placed(c, x) },
	}
}

// call is a call of a public function. It returns what was written and the result.
type call[F Float] func(a arguments[F]) (dst []F, result F, err error)

// check makes the call with arguments in all places and requires the bits of plain Go.
func check[F Float](c *kerneltest.Trial[F], f call[F], notes ...any) {
	c.Notes = notes
	before := tier.Active
	tier.Active = tier.Generic
	wantDst, want, err := f(freshArguments[F]())
	tier.Active = before
	require.NoError(c.T, err, "%v", c)
	places := []kerneltest.Place{kerneltest.AtStart, kerneltest.AtEnd, kerneltest.Place(c.R.IntN(fp.Lanes[F]()))}
	if kerneltest.Brief() {
		i := c.R.IntN(len(places))
		places = places[i : i+1]
	}
	for _, c.Place = range places {
		var dst []F
		var got F
		c.Call(func() { dst, got, err = f(guardedArguments(c)) })
		require.NoError(c.T, err, "%v", c)
		kerneltest.SameOne(c, "result", want, got)
		kerneltest.Same(c, "dst", wantDst, dst)
	}
}

// Every public function with its arguments between guard pages, on every tier. The
// results are those of plain Go.
func TestPublicBetweenGuardPages(t *testing.T) {
	if !guard.Enforced {
		t.Log("no guard pages on this system: nothing notices what is only read")
	}
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testPublicBetweenGuardPages[float32])
		t.Run("float64", testPublicBetweenGuardPages[float64])
	})
}

func testPublicBetweenGuardPages[F Float](t *testing.T) {
	c := kerneltest.NewTrial[F](t)
	inputs := kerneltest.Inputs[F]()
	next := func() { c.Input = inputs[c.R.IntN(len(inputs))] }
	every, times := 1, 5 // which of the short lengths, and how often the long ones
	switch {
	case tier.Active == tier.Generic:
		every, times = 7, 1
	case testing.Short():
		every, times = 3, 2
	}
	for n := range 4*fp.Lanes[F]() + 2 {
		if n%every > 0 {
			continue
		}
		next()
		c.N = n
		guardRows(c, 3)
		guardRows(c, 1)
		if n == 0 {
			continue
		}
		guardClasses(c, []int{n})
		guardClasses(c, []int{3, n})
		guardClasses(c, []int{2, n, 5})
		guardClasses(c, []int{2, 3, n})
		guardCTC(c, 2, 6, n+1, 2)
		guardCTC(c, 1, 2*n+1, 4, n)
	}
	for _, n := range []int{shortRow, shortRow + 1, 1000, block - 1, block, block + 1, 2*block + 3} {
		for range times {
			next()
			c.N = n
			guardRows(c, 1)
			guardClasses(c, []int{1, n})
		}
	}
	next()
	c.N = 1
	guardRows(c, 33) // which fill a vector, but for pieces of 16 bytes
	for _, shape := range [][]int{{33, 1}, {34, 1}, {itemPositions + 1, 1}, {itemPositions + 1, 3}, {1, stridedBlock, itemPositions + 1}, {1, stridedBlock + 1, itemPositions - 1}} {
		next()
		guardClasses(c, shape)
	}
	for _, in := range inputs { // new maxima in every block, among others
		c.Input, c.N = in, 2*block+1
		guardRows(c, 1)
		x := c.Scores(settled + 2*block + 7)
		check(c, func(a arguments[F]) ([]F, F, error) { return nil, LogSumExp(a.scores(x)), nil }, "LogSumExp of a long row")
	}
}

// guardRows tests the functions of rows of n elements.
func guardRows[F Float](c *kerneltest.Trial[F], rows int) {
	x := c.Scores(rows * c.N)
	blank := make([]F, len(x))
	shape := []int{rows, c.N}
	check(c, func(a arguments[F]) ([]F, F, error) { return nil, LogSumExp(a.scores(x)), nil }, "LogSumExp")
	for name, f := range map[string]func(dst, x []F){
		"LogSoftmax":     LogSoftmax[F],
		"Softmax":        Softmax[F],
		"LogSoftmaxRows": func(dst, x []F) { LogSoftmaxRows(dst, Tensor[F]{x, shape}) },
		"SoftmaxRows":    func(dst, x []F) { SoftmaxRows(dst, Tensor[F]{x, shape}) },
	} {
		check(c, func(a arguments[F]) ([]F, F, error) {
			dst := a.dst(blank)
			f(dst, a.scores(x))
			return dst, 0, nil
		}, name, rows)
		check(c, func(a arguments[F]) ([]F, F, error) {
			dst := a.dst(x)
			f(dst, dst)
			return dst, 0, nil
		}, name, rows, "in place")
	}
	check(c, func(a arguments[F]) ([]F, F, error) {
		dst := a.dst(make([]F, rows))
		LogSumExpRows(dst, Tensor[F]{a.scores(x), shape})
		return dst, 0, nil
	}, "LogSumExpRows", rows)
	index := make([]int32, rows*c.N)
	for i := range index {
		index[i] = int32(c.R.IntN(c.N))
	}
	check(c, func(a arguments[F]) ([]F, F, error) {
		dst := a.dst(blank)
		Gather(dst, a.scores(x), a.index(index))
		return dst, 0, nil
	}, "Gather", rows)
	check(c, func(a arguments[F]) ([]F, F, error) {
		dst := a.dst(blank)
		GatherRows(dst, Tensor[F]{a.scores(x), shape}, a.index(index))
		return dst, 0, nil
	}, "GatherRows", rows)
}

// lossMethods are what all losses have, with their targets bound.
type lossMethods[F Float] struct {
	loss   func(x Tensor[F]) (F, error)
	losses func(dst []F, x Tensor[F]) error
	grad   func(grad []F, x Tensor[F]) (F, error)
	vjp    func(grad, upstream []F, x Tensor[F]) error
}

// guardLoss tests the methods of a loss that bind makes, with so many samples.
func guardLoss[F Float](c *kerneltest.Trial[F], shape []int, samples int, bind func(a arguments[F]) lossMethods[F], notes ...any) {
	size := 1
	for _, d := range shape {
		size *= d
	}
	x, blank, upstream := c.Scores(size), make([]F, size), make([]F, samples)
	for i := range upstream {
		upstream[i] = F(c.R.NormFloat64())
	}
	notes = append(notes, shape)
	check(c, func(a arguments[F]) ([]F, F, error) {
		loss, err := bind(a).loss(Tensor[F]{a.scores(x), shape})
		return nil, loss, err
	}, append(notes, "Loss")...)
	check(c, func(a arguments[F]) ([]F, F, error) {
		dst := a.dst(make([]F, samples))
		return dst, 0, bind(a).losses(dst, Tensor[F]{a.scores(x), shape})
	}, append(notes, "Losses")...)
	check(c, func(a arguments[F]) ([]F, F, error) {
		grad := a.dst(blank)
		loss, err := bind(a).grad(grad, Tensor[F]{a.scores(x), shape})
		return grad, loss, err
	}, append(notes, "Grad")...)
	check(c, func(a arguments[F]) ([]F, F, error) {
		grad := a.dst(x)
		loss, err := bind(a).grad(grad, Tensor[F]{grad, shape})
		return grad, loss, err
	}, append(notes, "Grad in place")...)
	check(c, func(a arguments[F]) ([]F, F, error) {
		grad := a.dst(blank)
		return grad, 0, bind(a).vjp(grad, a.scores(upstream), Tensor[F]{a.scores(x), shape})
	}, append(notes, "VJP")...)
}

// guardClasses tests the losses of classes.
func guardClasses[F Float](c *kerneltest.Trial[F], shape []int) {
	classes, count := shape[min(1, len(shape)-1)], 1
	for i, d := range shape {
		if i != min(1, len(shape)-1) {
			count *= d
		}
	}
	targets, weight, probs := make([]int, count), make([]F, classes), make([]F, classes*count)
	for i := range targets {
		targets[i] = c.R.IntN(classes)
	}
	for i := range weight {
		weight[i] = F(c.R.Float64())
	}
	for i := range probs {
		probs[i] = F(max(0, c.R.Float64()-0.3))
	}
	ignored := targets[c.R.IntN(count)]
	guardLoss(c, shape, count, func(a arguments[F]) lossMethods[F] {
		l, y := NLLLoss[F]{Weight: a.scores(weight), IgnoreIndex: &ignored, Workers: 1}, a.ints(targets)
		return lossMethods[F]{
			func(x Tensor[F]) (F, error) { return l.Loss(x, y) },
			func(dst []F, x Tensor[F]) error { return l.Losses(dst, x, y) },
			func(grad []F, x Tensor[F]) (F, error) { return l.Grad(grad, x, y) },
			func(grad, upstream []F, x Tensor[F]) error { return l.VJP(grad, upstream, x, y) },
		}
	}, "NLLLoss")
	for _, smoothing := range []F{0, 0.125} {
		guardLoss(c, shape, count, func(a arguments[F]) lossMethods[F] {
			l, y := CrossEntropyLoss[F]{Weight: a.scores(weight), IgnoreIndex: &ignored, LabelSmoothing: smoothing, Workers: 1}, a.ints(targets)
			return lossMethods[F]{
				func(x Tensor[F]) (F, error) { return l.Loss(x, y) },
				func(dst []F, x Tensor[F]) error { return l.Losses(dst, x, y) },
				func(grad []F, x Tensor[F]) (F, error) { return l.Grad(grad, x, y) },
				func(grad, upstream []F, x Tensor[F]) error { return l.VJP(grad, upstream, x, y) },
			}
		}, "CrossEntropyLoss", smoothing)
	}
	guardLoss(c, shape, count, func(a arguments[F]) lossMethods[F] {
		l, y := CrossEntropyLoss[F]{Weight: a.scores(weight), Workers: 1}, Tensor[F]{a.scores(probs), shape}
		return lossMethods[F]{
			func(x Tensor[F]) (F, error) { return l.LossProbs(x, y) },
			func(dst []F, x Tensor[F]) error { return l.LossesProbs(dst, x, y) },
			func(grad []F, x Tensor[F]) (F, error) { return l.GradProbs(grad, x, y) },
			func(grad, upstream []F, x Tensor[F]) error { return l.VJPProbs(grad, upstream, x, y) },
		}
	}, "CrossEntropyLoss", "probabilities")
}

// guardCTC tests CTCLoss with targets of so many labels.
func guardCTC[F Float](c *kerneltest.Trial[F], batch, frames, classes, labels int) {
	targets, inputs, lengths := make([]int, batch*labels), make([]int, batch), make([]int, batch)
	for i := range targets {
		targets[i] = 1 + c.R.IntN(classes-1)
	}
	for n := range batch {
		inputs[n], lengths[n] = frames-c.R.IntN(2), labels-c.R.IntN(2)
	}
	for _, scores := range []Scores{Logits, LogProbabilities, Probabilities} {
		guardLoss(c, []int{frames, batch, classes}, batch, func(a arguments[F]) lossMethods[F] {
			l := CTCLoss[F]{Scores: scores, Workers: 1}
			y, t, s := a.ints(targets), a.ints(inputs), a.ints(lengths)
			return lossMethods[F]{
				func(x Tensor[F]) (F, error) { return l.Loss(x, y, t, s) },
				func(dst []F, x Tensor[F]) error { return l.Losses(dst, x, y, t, s) },
				func(grad []F, x Tensor[F]) (F, error) { return l.Grad(grad, x, y, t, s) },
				func(grad, upstream []F, x Tensor[F]) error { return l.VJP(grad, upstream, x, y, t, s) },
			}
		}, "CTCLoss", fmt.Sprintf("scores %d, %d labels", scores, labels))
	}
}
