package interop_test

import (
	"fmt"
	"testing"

	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/stretchr/testify/assert"

	"github.com/gotrellis/trellis"
)

// A layer learns the labels 1 and 2 of four frames. The network's graph ends at the logits; trellis
// makes their gradient; and a second graph takes it on to the weights, as that of Σ logits·gradient.
func Example_gomlx() {
	s := newStep()
	weights := tensors.FromFlatDataAndDimensions(make([]float32, 3*3), 3, 3)
	for step := range 31 {
		var loss float32
		loss, weights = s.take(weights, 1)
		if step%10 == 0 {
			fmt.Printf("%2d: %.4f\n", step, loss)
		}
	}
	// Output:
	//  0: 1.6864
	// 10: 0.5286
	// 20: 0.4146
	// 30: 0.3708
}

// step is a training step of a layer without bias.
type step struct {
	features         *tensors.Tensor // (T,3)
	forward, descend *graph.Exec
}

func newStep() step {
	backend, err := simplego.New("")
	if err != nil {
		panic(err)
	}
	layer := func(features, weights *graph.Node) *graph.Node { return graph.Dot(features, weights) }
	return step{
		features: tensors.FromFlatDataAndDimensions([]float32{1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1}, 4, 3),
		forward:  graph.MustNewExec(backend, layer),
		descend: graph.MustNewExec(backend, func(features, weights, slope, rate *graph.Node) *graph.Node {
			surrogate := graph.ReduceAllSum(graph.Mul(layer(features, weights), slope))
			return graph.Sub(weights, graph.Mul(rate, graph.Gradient(surrogate, weights)[0]))
		}),
	}
}

// take returns the loss, and the weights after a step against its gradient.
func (s step) take(weights *tensors.Tensor, rate float32) (loss float32, after *tensors.Tensor) {
	logits := s.forward.MustExec(s.features, weights)[0]
	slope := tensors.FromShape(logits.Shape())
	tensors.MustConstFlatData(logits, func(x []float32) {
		tensors.MustMutableFlatData(slope, func(grad []float32) {
			var err error
			loss, err = trellis.CTCLoss[float32]{Scores: trellis.Logits, Reduction: trellis.Sum}.Grad(
				grad, trellis.Tensor[float32]{Data: x, Shape: logits.Shape().Dimensions}, []int{1, 2}, nil, nil)
			if err != nil {
				panic(err)
			}
		})
	})
	return loss, s.descend.MustExec(s.features, weights, slope, rate)[0]
}

// The gradient by each weight is the slope of the loss.
func TestGomlxGradient(t *testing.T) {
	s := newStep()
	flat := []float32{0.3, -0.2, 0.5, 0.1, 0.8, -0.4, -0.6, 0.2, 0.7}
	at := func(w []float32) *tensors.Tensor { return tensors.FromFlatDataAndDimensions(w, 3, 3) }
	_, after := s.take(at(flat), 1)
	moved := tensors.MustCopyFlatData[float32](after)
	for i := range flat {
		const h = 1.0 / 64
		up, down := append([]float32{}, flat...), append([]float32{}, flat...)
		up[i] += h
		down[i] -= h
		above, _ := s.take(at(up), 1)
		below, _ := s.take(at(down), 1)
		slope := float64(above-below) / (2 * h)
		assert.InDelta(t, slope, float64(flat[i]-moved[i]), 1e-4, "weight %d", i)
	}
}
