package main

import (
	"errors"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/side"
)

// prepareGorgonia makes a graph for CTC with its gradient, in float32, of targets that are
// all as long: the only job that Gorgonia's side knows. It starts from log-probabilities, which are made
// here, outside of what is measured.
func prepareGorgonia(j side.Job) (computation, error) {
	if j.Op != opCTC+andGrad || j.Type != "float32" || j.Targets[0] != j.Targets[1] {
		return computation{}, errors.New("not a job for Gorgonia")
	}
	logits := trellis.Tensor[float32]{Data: side.Normal[float32](j), Shape: j.Shape}
	x := make([]float32, len(logits.Data))
	trellis.LogSoftmaxRows(x, logits)
	targets, lengths := side.Targets(j)
	inputs := make([]int, len(lengths))
	for n := range inputs {
		inputs[n] = j.Shape[0]
	}

	g := gorgonia.NewGraph()
	node := func(name string, d tensor.Dtype, backing any, shape ...int) *gorgonia.Node {
		v := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing))
		return gorgonia.NewTensor(g, d, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name), gorgonia.WithValue(v))
	}
	scores := node("scores", tensor.Float32, x, j.Shape...)
	loss, err := gorgonia.CTCLoss(scores, node("targets", tensor.Int, targets, len(lengths), len(targets)/len(lengths)),
		node("inputs", tensor.Int, inputs, len(inputs)), node("lengths", tensor.Int, lengths, len(lengths)), gorgonia.ReductionMean)
	if err != nil {
		return computation{}, err
	}
	grads, err := gorgonia.Grad(loss, scores)
	if err != nil {
		return computation{}, err
	}
	var grad gorgonia.Value
	gorgonia.Read(grads[0], &grad)
	vm := gorgonia.NewTapeMachine(g)
	call := func() error {
		vm.Reset()
		return vm.RunAll()
	}
	// The loss is the mean, but the gradient is that of the sum.
	terms := float64(len(lengths) * j.Targets[0])
	return computation{func(int) func() error { return call }, func() []float64 {
		return []float64{float64(loss.Value().Data().(float32)), dot(grad.Data().([]float32), logits.Data) / terms}
	}}, nil
}
