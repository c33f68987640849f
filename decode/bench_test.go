package decode

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
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
