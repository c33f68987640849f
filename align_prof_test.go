package trellis

import (
	"os"
	"testing"

	"github.com/gotrellis/trellis/internal/npy"
)

func BenchmarkAlignLibri(b *testing.B) {
	dir := os.Getenv("TRELLIS_TESTDATA") + "/emissions/ctclib_libri/"
	x, shape, err := npy.ReadFile[float32](dir + "emissions.npy")
	if err != nil {
		b.Fatal(err)
	}
	labels := libriTokens()
	spans, scores := make([]Span, len(labels)), make([]float64, 1)
	for _, s := range []Scores{LogProbabilities, Logits} {
		b.Run([]string{"log", "logits"}[s], func(b *testing.B) {
			for b.Loop() {
				CTCAligner[float32]{Workers: 1, Scores: s}.Align(spans, scores, Tensor[float32]{x, shape}, labels, nil, nil)
			}
		})
	}
	b.Run("conf", func(b *testing.B) {
		for b.Loop() {
			CTCAligner[float32]{Workers: 1, Confidence: true}.Align(spans, scores, Tensor[float32]{x, shape}, labels, nil, nil)
		}
	})
	b.Run("loss", func(b *testing.B) {
		for b.Loop() {
			CTCLoss[float32]{Workers: 1}.Loss(Tensor[float32]{x, shape}, labels, nil, nil)
		}
	})
	g := make([]float32, len(x))
	b.Run("grad", func(b *testing.B) {
		for b.Loop() {
			CTCLoss[float32]{Workers: 1}.Grad(g, Tensor[float32]{x, shape}, labels, nil, nil)
		}
	})
}
