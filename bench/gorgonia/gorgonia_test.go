// Package gorgonia measures CTC beside Gorgonia's, in a process of its own:
// Gorgonia stops every program whose Go it does not know, unless the environment
// variable ASSUME_NO_MOVING_GC_UNSAFE_RISK_IT_WITH names it ("go1.26").
package gorgonia

import (
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gotrellis/trellis"
)

func normal(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// BenchmarkCTC is loss and gradient of a batch on one goroutine: trellis from
// logits, Gorgonia from log-probabilities.
func BenchmarkCTC(b *testing.B) {
	const frames, n, classes, labels = 150, 16, 28, 40
	shape := []int{frames, n, classes}
	x := trellis.Tensor[float32]{Data: normal(frames * n * classes), Shape: shape}
	targets, inputs, lengths := make([]int, n*labels), make([]int, n), make([]int, n)
	for i := range targets {
		targets[i] = 1 + (i*i+i/labels)%(classes-1)
	}
	for i := range inputs {
		inputs[i], lengths[i] = frames, labels
	}
	grad := make([]float32, len(x.Data))
	ctc := trellis.CTCLoss[float32]{FromLogits: true, Workers: 1}
	var loss float32
	b.Run("impl=trellis", func(b *testing.B) {
		for b.Loop() {
			loss, _ = ctc.Grad(grad, x, targets, inputs, lengths)
		}
	})
	b.Run("impl=gorgonia", func(b *testing.B) {
		trellis.LogSoftmaxRows(x.Data, x)
		run, value := gorgoniaCTC(b, x, targets, inputs, lengths)
		for b.Loop() {
			run()
		}
		if got := value(); got-loss > 1e-4 || loss-got > 1e-4 {
			b.Fatalf("Gorgonia's loss is %v, ours %v", got, loss)
		}
	})
}

// gorgoniaCTC returns a function that computes loss and gradient, and one that
// returns the loss.
func gorgoniaCTC(b *testing.B, x trellis.Tensor[float32], targets, inputs, lengths []int) (run func(), loss func() float32) {
	g, n := gorgonia.NewGraph(), len(lengths)
	node := func(name string, d tensor.Dtype, backing any, shape ...int) *gorgonia.Node {
		v := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing))
		return gorgonia.NewTensor(g, d, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name), gorgonia.WithValue(v))
	}
	scores := node("scores", tensor.Float32, x.Data, x.Shape...)
	out, err := gorgonia.CTCLoss(scores, node("targets", tensor.Int, targets, n, len(targets)/n),
		node("inputs", tensor.Int, inputs, n), node("lengths", tensor.Int, lengths, n), gorgonia.ReductionMean)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := gorgonia.Grad(out, scores); err != nil {
		b.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(g)
	run = func() {
		if err := vm.RunAll(); err != nil {
			b.Fatal(err)
		}
		vm.Reset()
	}
	return run, func() float32 { return out.Value().Data().(float32) }
}
