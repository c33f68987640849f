package trellis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// BenchmarkBesideLoop measures cross-entropy of a few sizes beside the loop that one would write instead, on the best
// tier, where bench cannot run: wasm has no other processes.
func BenchmarkBesideLoop(b *testing.B) {
	for _, shape := range [][]int{{32, 1000}, {256, 10}, {256, 3}, {1, 10}} {
		r := rand.New(rand.NewPCG(1, 2))
		n, classes := shape[0], shape[1]
		x, targets := Tensor[float32]{make([]float32, n*classes), shape}, make([]int, n)
		for i := range x.Data {
			x.Data[i] = float32(r.NormFloat64())
		}
		for i := range targets {
			targets[i] = r.IntN(classes)
		}
		l := CrossEntropyLoss[float32]{Workers: 1}
		for _, grad := range [][]float32{nil, make([]float32, n*classes)} {
			name := fmt.Sprintf("%d×%d/grad=%t", n, classes, grad != nil)
			var ours, loop float32
			b.Run(name+"/trellis", func(b *testing.B) {
				for b.Loop() {
					var err error
					if grad == nil {
						ours, err = l.Loss(x, targets)
					} else {
						ours, err = l.Grad(grad, x, targets)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"/loop", func(b *testing.B) {
				for b.Loop() {
					loop = crossEntropyByLoop(grad, x.Data, targets, classes)
				}
			})
			if ours != 0 && loop != 0 && math.Abs(float64(ours-loop)) > 1e-5*float64(loop) {
				b.Fatalf("%s: %v, and by the loop %v", name, ours, loop)
			}
		}
	}
}

// crossEntropyByLoop is the mean of the losses, and writes its gradient unless that is nil.
func crossEntropyByLoop(grad, x []float32, targets []int, classes int) float32 {
	n, total := float64(len(targets)), 0.0
	for i, y := range targets {
		row := x[i*classes:][:classes]
		most, sum := row[0], 0.0
		for _, v := range row {
			if v > most {
				most = v
			}
		}
		for c, v := range row {
			e := math.Exp(float64(v - most))
			sum += e
			if grad != nil {
				grad[i*classes+c] = float32(e)
			}
		}
		total += float64(most) + math.Log(sum) - float64(row[y])
		if grad != nil {
			of := grad[i*classes:][:classes]
			for c := range of {
				of[c] = float32(float64(of[c]) / (sum * n))
			}
			of[y] -= float32(1 / n)
		}
	}
	return float32(total / n)
}
