//go:build !race

// Under the race detector sync.Pool drops what it is given at random.

package trellis_test

import (
	"runtime/debug"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/tiertest"
)

// Every public function and method, in steady state, allocates nothing. (A collection would
// empty the pools.)
func TestNoAllocations(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testNoAllocations[float32])
		t.Run("float64", testNoAllocations[float64])
	})
}

func testNoAllocations[F trellis.Float](t *testing.T) {
	const frames, n, c, s = 12, 4, 9, 3
	x := trellis.Tensor[F]{Data: make([]F, frames*n*c), Shape: []int{frames, n, c}}
	for i := range x.Data {
		x.Data[i] = F(i%17) / 4
	}
	rows := trellis.Tensor[F]{Data: x.Data, Shape: []int{frames * n, c}}
	images := trellis.Tensor[F]{Data: x.Data, Shape: []int{frames, c, n}}
	grad, dst, upstream := make([]F, len(x.Data)), make([]F, frames*n), make([]F, frames*n)
	classes, index := make([]int, frames*n), make([]int32, frames*n)
	allowed := slices.Repeat([]bool{true}, c)
	weight, labels := make([]F, c), []int{1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 1, 2}
	inputs, lengths := []int{12, 11, 10, 0}, []int{3, 2, 3, 0}
	spans, pathScores := make([]trellis.Span, 8), make([]float64, n)
	path := make([]int, 12)
	words := make([]trellis.Word, 0, 8)

	var err error
	check := func(name string, f func()) {
		assert.Zero(t, testing.AllocsPerRun(20, f), name)
		require.NoError(t, err, name)
	}
	check("LogSumExp", func() { dst[0] = trellis.LogSumExp(x.Data) })
	check("LogSoftmax", func() { trellis.LogSoftmax(grad, x.Data) })
	check("Softmax", func() { trellis.Softmax(grad, x.Data) })
	check("Gather", func() { trellis.Gather(dst, x.Data, index) })
	check("ArgMax", func() { classes[0] = trellis.ArgMax(x.Data, nil) })
	check("ArgMaxRows", func() { trellis.ArgMaxRows(classes, x, allowed) })
	clear(classes)
	check("LogSumExpRows", func() { trellis.LogSumExpRows(dst, x) })
	check("LogSoftmaxRows", func() { trellis.LogSoftmaxRows(grad, x) })
	check("SoftmaxRows", func() { trellis.SoftmaxRows(grad, x) })
	check("GatherRows", func() { trellis.GatherRows(dst, x, index) })

	aligned := []trellis.Span{{Start: 0, End: 1}, {Start: 2, End: 3}, {Start: 4, End: 5}}
	check("Path", func() { trellis.Path(path, aligned, labels[:3], 0) })
	check("AppendWords", func() { words = trellis.AppendWords(words[:0], aligned, labels[:3], 2) })
	check("GrowWords", func() { trellis.GrowWords(words, aligned, labels[:3], trellis.ToNext) })
	for _, workers := range []int{0, 1, 3} {
		for _, x := range []trellis.Tensor[F]{rows, images} {
			nll := trellis.NLLLoss[F]{Weight: weight, Workers: workers}
			check("NLLLoss.Loss", func() { _, err = nll.Loss(x, classes) })
			check("NLLLoss.Losses", func() { err = nll.Losses(dst, x, classes) })
			check("NLLLoss.Grad", func() { _, err = nll.Grad(grad, x, classes) })
			check("NLLLoss.LossesGrad", func() { _, err = nll.LossesGrad(dst, grad, x, classes) })
			check("NLLLoss.VJP", func() { err = nll.VJP(grad, upstream, x, classes) })
			ce := trellis.CrossEntropyLoss[F]{Weight: weight, LabelSmoothing: 0.25, Workers: workers}
			check("CrossEntropyLoss.Loss", func() { _, err = ce.Loss(x, classes) })
			check("CrossEntropyLoss.Losses", func() { err = ce.Losses(dst, x, classes) })
			check("CrossEntropyLoss.Grad", func() { _, err = ce.Grad(grad, x, classes) })
			check("CrossEntropyLoss.LossesGrad", func() { _, err = ce.LossesGrad(dst, grad, x, classes) })
			check("CrossEntropyLoss.VJP", func() { err = ce.VJP(grad, upstream, x, classes) })
			check("CrossEntropyLoss.LossProbs", func() { _, err = ce.LossProbs(x, x) })
			check("CrossEntropyLoss.LossesProbs", func() { err = ce.LossesProbs(dst, x, x) })
			check("CrossEntropyLoss.GradProbs", func() { _, err = ce.GradProbs(grad, x, x) })
			check("CrossEntropyLoss.LossesGradProbs", func() { _, err = ce.LossesGradProbs(dst, grad, x, x) })
			check("CrossEntropyLoss.VJPProbs", func() { err = ce.VJPProbs(grad, upstream, x, x) })
		}
		for _, ctc := range []trellis.CTCLoss[F]{
			{Scores: trellis.Logits, Workers: workers},
			{Scores: trellis.Probabilities, Workers: workers},
			{Scores: trellis.Probabilities, Gradient: trellis.ScoresGradient, Workers: workers},
		} {
			x := x
			if ctc.Scores == trellis.Probabilities {
				x.Data = slices.Clone(x.Data)
				trellis.SoftmaxRows(x.Data, x)
			}
			aligner := trellis.CTCAligner[F]{Scores: ctc.Scores, Workers: workers}
			check("CTCAligner.Align", func() { err = aligner.Align(spans, pathScores, x, labels, inputs, lengths) })
			aligner.Confidence = true
			check("CTCAligner.Align with Confidence", func() { err = aligner.Align(spans, pathScores, x, labels, inputs, lengths) })
			check("CTCLoss.Loss", func() { _, err = ctc.Loss(x, labels, inputs, lengths) })
			check("CTCLoss.Losses", func() { err = ctc.Losses(dst[:n], x, labels, inputs, lengths) })
			check("CTCLoss.Grad", func() { _, err = ctc.Grad(grad, x, labels, inputs, lengths) })
			check("CTCLoss.LossesGrad", func() { _, err = ctc.LossesGrad(dst[:n], grad, x, labels, inputs, lengths) })
			check("CTCLoss.VJP", func() { err = ctc.VJP(grad, upstream[:n], x, labels, nil, lengths) })
		}
	}
}
