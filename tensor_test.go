package trellis

import (
	"math"
	"testing"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/stretchr/testify/assert"
)

// tensor returns a tensor of the given numbers.
func tensor[F Float](shape []int, values ...float64) Tensor[F] {
	x := Tensor[F]{Data: make([]F, len(values)), Shape: shape}
	for i, v := range values {
		x.Data[i] = F(v)
	}
	return x
}

// sines is a deterministic input: sin(0.1(7t+13n+3c)).
func sines[F Float](frames, n, c int) Tensor[F] {
	x := Tensor[F]{Shape: []int{frames, n, c}}
	for t := range frames {
		for i := range n {
			for k := range c {
				x.Data = append(x.Data, F(math.Sin(0.1*float64(7*t+13*i+3*k))))
			}
		}
	}
	return x
}

// both runs a test in both element types.
func both(t *testing.T, f32 func(*testing.T), f64 func(*testing.T)) {
	t.Run("float32", f32)
	t.Run("float64", f64)
}

// relative is the accuracy of losses by element type.
func relative[F Float]() float64 {
	if fp.IsFloat32[F]() {
		return 1e-6
	}
	return 1e-12
}

// assertLoss compares a loss with its exact value. Those in the tests come from a computation
// with 60 digits.
func assertLoss[F Float](t *testing.T, want float64, got F) {
	t.Helper()
	if want == 0 || math.IsInf(want, 0) {
		assert.Equal(t, F(want), got)
		assert.False(t, math.Signbit(float64(got)), "−0")
		return
	}
	assert.InEpsilon(t, want, got, relative[F]())
}
