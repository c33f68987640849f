package trellis

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func BenchmarkProf(b *testing.B) {
	for _, c := range [][3]int{{50, 10, 32}, {200, 40, 5000}} {
		r := rand.New(rand.NewPCG(3, 4))
		x, labels := make([]float32, c[0]*c[2]), make([]int, c[1])
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		for i := range labels {
			labels[i] = 1 + r.IntN(c[2]-1)
		}
		shape := []int{c[0], c[2]}
		LogSoftmaxRows(x, Tensor[float32]{x, shape})
		p := make([]float32, len(x))
		SoftmaxRows(p, Tensor[float32]{x, shape})
		spans, scores := make([]Span, len(labels)), make([]float64, 1)
		for _, s := range []Scores{LogProbabilities, Logits, Probabilities} {
			t := Tensor[float32]{x, shape}
			if s == Probabilities {
				t.Data = p
			}
			b.Run(fmt.Sprint(c, "/align", s), func(b *testing.B) {
				for b.Loop() {
					CTCAligner[float32]{Workers: 1, Scores: s}.Align(spans, scores, t, labels, nil, nil)
				}
			})
			b.Run(fmt.Sprint(c, "/loss", s), func(b *testing.B) {
				for b.Loop() {
					CTCLoss[float32]{Workers: 1, Scores: s}.Loss(t, labels, nil, nil)
				}
			})
		}
	}
}
