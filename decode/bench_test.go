package decode

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
)

// BenchmarkGreedy reads 85 frames of each kind of scores with one worker, of all classes and with a mask.
// lse is LogSumExpRows of the logits, which their score cannot do without.
func BenchmarkGreedy(b *testing.B) {
	const frames = 85
	names := map[trellis.Scores]string{trellis.LogProbabilities: "logprobs", trellis.Logits: "logits", trellis.Probabilities: "probs"}
	for _, classes := range []int{32, 60, 128, 1000, 6625} {
		allowed := slices.Repeat([]bool{true}, classes)
		for _, scores := range kinds {
			x := randomEmissions[float32](rand.New(rand.NewPCG(1, 2)), scores, frames, classes, 0).x
			for _, mask := range [][]bool{nil, allowed} {
				g := Greedy[float32]{Scores: scores, Allowed: mask, Workers: 1}
				b.Run(fmt.Sprintf("classes=%d/scores=%s/mask=%v", classes, names[scores], mask != nil), func(b *testing.B) {
					var readings []Reading
					var err error
					for b.Loop() {
						readings, err = g.Decode(readings, x, nil)
					}
					require.NoError(b, err)
				})
			}
			if scores == trellis.Logits {
				b.Run(fmt.Sprintf("classes=%d/lse", classes), func(b *testing.B) {
					dst := make([]float32, frames)
					for b.Loop() {
						trellis.LogSumExpRows(dst, x)
					}
				})
			}
		}
	}
}

// BenchmarkBeam reads what a network wrote for a line, once and many times on end: a frame takes about as long, however many
// there are. OCR is 85 frames of 6625 classes, of which the best 40 of each count.
func BenchmarkBeam(b *testing.B) {
	line, shape, err := npy.ReadFile[float32]("../bench/emissions/line/emissions.npy")
	require.NoError(b, err)
	run := func(name string, beam Beam[float32], x trellis.Tensor[float32]) {
		b.Run(name, func(b *testing.B) {
			var found [][]Hypothesis
			for b.Loop() {
				found, err = beam.Decode(found, x, nil)
			}
			require.NoError(b, err)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*x.Shape[0]), "ns/frame")
		})
	}
	for _, times := range []int{1, 11, 121} {
		x := trellis.Tensor[float32]{Data: slices.Repeat(line, times), Shape: []int{times * shape[0], shape[1]}}
		run(fmt.Sprintf("T=%d/width=10/p=0.001", x.Shape[0]), Beam[float32]{Scores: trellis.Logits, Width: 10, Threshold: 0.001, Workers: 1}, x)
	}
	ocr := randomEmissions[float32](rand.New(rand.NewPCG(1, 2)), trellis.Probabilities, 85, 6625, 0).x
	for _, width := range []int{10, 100} {
		run(fmt.Sprintf("ocr/width=%d/top=40", width), Beam[float32]{Scores: trellis.Probabilities, Width: width, TopK: 40, Workers: 1}, ocr)
	}
}
