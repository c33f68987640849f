package main

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/gotrellis/trellis"
)

// layer is a convolution: it multiplies windows of vectors with a matrix.
type layer struct {
	in, window, step, out int            // size of a vector, vectors in a window and from one to the next, results
	weight                blas32.General // has a row for each number of a window, and one for what is added
	first, second         []float32      // moments of the gradient
	windows               blas32.General // of the last call, a row each, which ends in a 1
}

// network is layers with a rectifier between any two: it makes logits of frames from
// columns of pixels.
type network []*layer

func newNetwork(classes int, r *rand.Rand) network {
	n := network{
		{in: height, window: 16, step: perFrame, out: 48},
		{in: 48, window: 7, step: 1, out: 96},
		{in: 96, window: 1, step: 1, out: classes},
	}
	for _, l := range n {
		l.weight = matrix(l.window*l.in+1, l.out)
		for i := range l.weight.Data {
			l.weight.Data[i] = float32(r.NormFloat64() * math.Sqrt(2/float64(l.weight.Rows)))
		}
		l.first, l.second = make([]float32, len(l.weight.Data)), make([]float32, len(l.weight.Data))
	}
	return n
}

func matrix(rows, columns int) blas32.General {
	return blas32.General{Rows: rows, Cols: columns, Stride: columns, Data: make([]float32, rows*columns)}
}

// pad is how many numbers there are beside those that windows are in the middle of.
func (l *layer) pad() int { return (l.window - l.step) / 2 * l.in }

// forward returns the logits of lines, of shape (N,T,C).
func (n network) forward(l lines) trellis.Tensor[float32] {
	x := l.pixels
	for _, layer := range n {
		width, shift := layer.weight.Rows, layer.step*layer.in
		layer.windows = matrix(len(x)/shift, width)
		x = slices.Concat(make([]float32, layer.pad()), x, make([]float32, layer.pad()))
		for t := range layer.windows.Rows {
			row := layer.windows.Data[t*width:][:width]
			for k, v := range x[t*shift:][:width-1] {
				row[k] = max(v, 0) // of pixels, this takes off noise
			}
			row[width-1] = 1
		}
		y := matrix(layer.windows.Rows, layer.out)
		blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, layer.windows, layer.weight, 0, y)
		x = y.Data
	}
	classes := n[len(n)-1].out
	return trellis.Tensor[float32]{Data: x, Shape: []int{len(l.texts), len(x) / (len(l.texts) * classes), classes}}
}

// train takes a step against the gradient of the mean loss of a character.
func (n network) train(l lines, step int, rate float64) (float32, error) {
	x := n.forward(l)
	grad := make([]float32, len(x.Data))
	targets, lengths := encode(l.texts)
	loss, err := trellis.CTCLoss[float32]{Scores: trellis.Logits, BatchFirst: true}.Grad(grad, x, targets, l.frames, lengths)
	for i := len(n) - 1; i >= 0; i-- {
		layer := n[i]
		y := blas32.General{Rows: layer.windows.Rows, Cols: layer.out, Stride: layer.out, Data: grad}
		if i > 0 {
			back := matrix(y.Rows, layer.weight.Rows)
			blas32.Gemm(blas.NoTrans, blas.Trans, 1, y, layer.weight, 0, back)
			grad = make([]float32, y.Rows*layer.step*layer.in+2*layer.pad())
			for i, g := range back.Data {
				t, k := i/back.Cols, i%back.Cols
				if k < back.Cols-1 && layer.windows.Data[i] > 0 { // the rectifier let it through
					grad[t*layer.step*layer.in+k] += g
				}
			}
			grad = grad[layer.pad():][:y.Rows*layer.step*layer.in]
		}
		slope := matrix(layer.weight.Rows, layer.out)
		blas32.Gemm(blas.Trans, blas.NoTrans, 1, layer.windows, y, 0, slope)
		layer.adam(slope.Data, step, rate)
	}
	return loss, err
}

// adam is the optimiser of Kingma and Ba.
func (l *layer) adam(grad []float32, step int, rate float64) {
	const decay, secondDecay = 0.9, 0.99
	rate /= 1 - math.Pow(decay, float64(step+1))
	scale := 1 / (1 - math.Pow(secondDecay, float64(step+1)))
	for i, g := range grad {
		l.first[i] += (1 - decay) * (g - l.first[i])
		l.second[i] += (1 - secondDecay) * (g*g - l.second[i])
		l.weight.Data[i] -= float32(rate * float64(l.first[i]) / (math.Sqrt(scale*float64(l.second[i])) + 1e-8))
	}
}
