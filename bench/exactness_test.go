package main

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/bench/internal/results"
	"github.com/gotrellis/trellis/bench/internal/side"
	"github.com/gotrellis/trellis/bench/internal/side/sidetest"
)

func TestErrorOf(t *testing.T) {
	const off = 1e-3
	peer := sidetest.Serve(t, "peer", func(r side.Request) (side.Answer, error) {
		grad, err := gradient[float64](r.Job)
		if r.Type == "float32" {
			grad[7] += off
		}
		return side.Answer{Values: grad}, err
	})
	e, err := errorOf(peer, results.Error{Scale: 5, Frames: 50, Labels: 10, Classes: 80})
	require.NoError(t, err)
	assert.InDelta(t, off, e.PyTorch, 1e-12)
	assert.Zero(t, e.Double)
	assert.Less(t, e.Trellis, 1e-6)
	assert.Positive(t, e.Trellis)

	wrong := sidetest.Serve(t, "wrong", func(r side.Request) (side.Answer, error) {
		grad, err := gradient[float64](r.Job)
		grad[0] += 2 * agreement
		return side.Answer{Values: grad}, err
	})
	_, err = errorsOf(wrong)
	assert.ErrorContains(t, err, "neither is the truth")
}

func TestFarthest(t *testing.T) {
	assert.Equal(t, 2.0, farthest([]float32{1, -1, 5}, []float64{0, 1, 5}))
	assert.True(t, math.IsNaN(farthest([]float64{1, math.NaN(), 9}, []float64{1, 1, 1})))
}

// PyTorch's gradient is of the same targets, and of the sum.
func TestErrorOfPyTorch(t *testing.T) {
	e, err := errorOf(pyTorch(t), results.Error{Scale: 5, Frames: 50, Labels: 10, Classes: 80})
	require.NoError(t, err)
	assert.LessOrEqual(t, e.Double, agreement)
	assert.Less(t, e.PyTorch, 1e-2)
}
