package main

import (
	"fmt"
	"math"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/results"
	"github.com/gotrellis/trellis/bench/internal/side"
)

// exactnessName is what the measuring of errors is chosen by.
const exactnessName = "float32 error of CTC's gradient"

// agreement is how close PyTorch in float64 must be to the truth that float32 is
// compared with, trellis in float64.
const agreement = 1e-9

// errorsOf measures how far float32 gradients are off.
func errorsOf(peer *side.Side) (all []results.Error, err error) {
	for _, scale := range []float64{1, 5} {
		for _, frames := range []int{50, 100, 200, 500, 1000, 2000, 4000} {
			e, err := errorOf(peer, results.Error{Scale: scale, Frames: frames, Labels: frames / 5, Classes: 80})
			if err != nil {
				return nil, err
			}
			if !(e.Double <= agreement) {
				return nil, fmt.Errorf("PyTorch and trellis differ by %.2e in float64: neither is the truth", e.Double)
			}
			all = append(all, e)
		}
	}
	return all, nil
}

func errorOf(peer *side.Side, e results.Error) (results.Error, error) {
	j := ctc(opCTCGradient, "float64", e.Labels, e.Labels, e.Frames, 1, e.Classes)
	j.Scale, j.Workers = e.Scale, 1
	truth, err := gradient[float64](j)
	if err != nil {
		return e, err
	}
	ours, err := gradient[float32](j)
	if err != nil {
		return e, err
	}
	e.Trellis = farthest(ours, truth)
	for typ, far := range map[string]*float64{"float32": &e.PyTorch, "float64": &e.Double} {
		j.Type = typ
		a, err := peer.Ask(side.Request{Job: j})
		if err != nil {
			return e, err
		}
		if len(a.Values) != len(truth) {
			return e, fmt.Errorf("PyTorch: %d derivatives for %d logits", len(a.Values), len(truth))
		}
		*far = farthest(a.Values, truth)
	}
	return e, nil
}

// gradient is trellis' of a job.
func gradient[F trellis.Float](j side.Job) ([]F, error) {
	x := trellis.Tensor[F]{Data: side.Normal[F](j), Shape: j.Shape}
	targets, lengths := side.Targets(j)
	grad := make([]F, len(x.Data))
	_, err := trellis.CTCLoss[F]{Scores: trellis.Logits, Reduction: trellis.Sum}.Grad(grad, x, targets, nil, lengths)
	return grad, err
}

// farthest returns the largest difference, NaN if there is one.
func farthest[F trellis.Float](x []F, truth []float64) (far float64) {
	for i, v := range x {
		far = math.Max(far, math.Abs(float64(v)-truth[i]))
	}
	return far
}
