package main

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/gotrellis/trellis"
)

// convolution multiplies windows of a sequence of vectors, cut off below 0, with weights.
type convolution struct {
	in, window, step int            // numbers of a vector, vectors of a window, and from one window to the next
	weights, slopes  blas32.General // (window·in + 1, out), and the derivatives of the loss by them
	windows          blas32.General // of the last forward, a row each, and a 1 for the weights that are just added
	mean, square     []float32      // of slopes in the last steps, and of their squares
}

func matrix(rows, columns int) blas32.General {
	return blas32.General{Rows: rows, Cols: columns, Stride: columns, Data: make([]float32, rows*columns)}
}

func newConvolution(r *rand.Rand, in, window, step, out int) *convolution {
	c := &convolution{in: in, window: window, step: step, weights: matrix(window*in+1, out), slopes: matrix(window*in+1, out)}
	for i := range c.weights.Data {
		c.weights.Data[i] = float32(r.NormFloat64() * math.Sqrt(2/float64(c.weights.Rows)))
	}
	c.mean, c.square = make([]float32, len(c.weights.Data)), make([]float32, len(c.weights.Data))
	return c
}

func (c *convolution) forward(x []float32) []float32 {
	c.windows = matrix(len(x)/(c.step*c.in), c.weights.Rows)
	pad := make([]float32, (c.window-c.step)/2*c.in) // has windows lie around their steps
	x = slices.Concat(pad, x, pad)
	for i := range c.windows.Rows {
		window := c.windows.Data[i*c.windows.Cols:][:c.windows.Cols]
		for k, v := range x[i*c.step*c.in:][:c.window*c.in] {
			window[k] = max(v, 0)
		}
		window[c.window*c.in] = 1
	}
	y := matrix(c.windows.Rows, c.weights.Cols)
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, c.windows, c.weights, 0, y)
	return y.Data
}

// backward makes the slopes, and the derivatives by x of those by what forward returned.
func (c *convolution) backward(dy []float32) []float32 {
	d := blas32.General{Rows: c.windows.Rows, Cols: c.weights.Cols, Stride: c.weights.Cols, Data: dy}
	blas32.Gemm(blas.Trans, blas.NoTrans, 1, c.windows, d, 0, c.slopes)
	dwindows, size, pad := matrix(c.windows.Rows, c.windows.Cols), c.windows.Rows*c.step*c.in, (c.window-c.step)/2*c.in
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, d, c.weights, 0, dwindows)
	dx := make([]float32, size+2*pad)
	for i, v := range dwindows.Data {
		if row, k := i/dwindows.Cols, i%dwindows.Cols; k < c.window*c.in && c.windows.Data[i] > 0 {
			dx[row*c.step*c.in+k] += v
		}
	}
	return dx[pad:][:size]
}

// adam moves the weights down the slopes (D. Kingma and J. Ba, arXiv:1412.6980). Steps count from 1.
func (c *convolution) adam(step int, rate float64) {
	const beta1, beta2 = 0.9, 0.99
	rate *= math.Sqrt(1-math.Pow(beta2, float64(step))) / (1 - math.Pow(beta1, float64(step)))
	for i, s := range c.slopes.Data {
		c.mean[i] += (1 - beta1) * (s - c.mean[i])
		c.square[i] += (1 - beta2) * (s*s - c.square[i])
		c.weights.Data[i] -= float32(rate * float64(c.mean[i]) / (math.Sqrt(float64(c.square[i])) + 1e-8))
	}
}

// network makes logits of the 24 columns around each frame.
type network []*convolution

func newNetwork(r *rand.Rand) network {
	return network{newConvolution(r, height, 8, stride, 32), newConvolution(r, 32, 9, 1, 64), newConvolution(r, 64, 1, 1, classes)}
}

// forward returns logits of shape (N,T,C).
func (n network) forward(b batch) trellis.Tensor[float32] {
	x := b.pixels
	for _, c := range n {
		x = c.forward(x)
	}
	return trellis.Tensor[float32]{Data: x, Shape: []int{len(b.texts), len(x) / (len(b.texts) * classes), classes}}
}

// backward makes all slopes of the derivatives by the logits.
func (n network) backward(grad []float32) {
	for _, c := range slices.Backward(n) {
		grad = c.backward(grad)
	}
}
