package decode

import (
	"fmt"
	"hash/fnv"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/tiertest"
)

// golden has hashes of results, which are the same on every tier and every machine.
var golden = map[string]string{
	"float32 0 40":  "d2b751e91f405a3f",
	"float32 0 6":   "4bb25fd0505302c7",
	"float32 0 900": "d858869c8837b0f1",
	"float32 1 40":  "f3dd1608e5840b70",
	"float32 1 6":   "9f9021f8e0ab341d",
	"float32 1 900": "155458d3ef043e07",
	"float32 2 40":  "b0ae646d640679a2",
	"float32 2 6":   "d90c3532392c1182",
	"float32 2 900": "5bd478423248b319",
	"float64 0 40":  "d2b751e91f405a3f",
	"float64 0 6":   "4bb25fd0505302c7",
	"float64 0 900": "d858869c8837b0f1",
	"float64 1 40":  "ef168040076be721",
	"float64 1 6":   "386ca0251d89dafd",
	"float64 1 900": "31a6fcf785a49503",
	"float64 2 40":  "b0ae646d640679a2",
	"float64 2 6":   "d90c3532392c1182",
	"float64 2 900": "5bd478423248b319",
}

// goldenScores are frames in which a few classes are likely, made by integer arithmetic alone.
func goldenScores[F trellis.Float](frames, classes int, scores trellis.Scores) trellis.Tensor[F] {
	x := trellis.Tensor[F]{Shape: []int{frames, classes}}
	state := uint64(1)
	for range frames * classes {
		state = state*6364136223846793005 + 1442695040888963407
		v := float64(state>>40) / (1 << 24) // from 0 to 1
		v = v * v * v * v
		if scores == trellis.Probabilities {
			v /= 4
		} else {
			v = 16*v - 12
		}
		x.Data = append(x.Data, F(float32(v)))
	}
	return x
}

func TestGoldenBits(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		for _, scores := range kinds {
			t.Run(fmt.Sprint(scores), func(t *testing.T) {
				checkGolden[float32](t, scores)
				checkGolden[float64](t, scores)
			})
		}
	})
}

func checkGolden[F trellis.Float](t *testing.T, scores trellis.Scores) {
	for _, classes := range []int{6, 40, 900} {
		x := goldenScores[F](50, classes, scores)
		name := fmt.Sprintf("%T %d %d", F(0), scores, classes)
		h := fnv.New64a()
		write := func(labels []int, numbers ...float64) {
			fmt.Fprint(h, labels)
			for _, v := range numbers {
				fmt.Fprintf(h, " %x", math.Float64bits(v))
			}
		}
		reads, err := Greedy[F]{Scores: scores}.Decode(nil, x, nil)
		require.NoError(t, err)
		write(reads[0].Labels, reads[0].Score, reads[0].Confidence, reads[0].Least)
		for _, b := range []Beam[F]{{Width: 9}, {Width: 50, Threshold: 0.01}, {TopK: 7, Scorers: []Scorer{oddScorer(2)}}} {
			b.Scores, b.NBest = scores, 4
			texts, err := b.Decode(nil, x, nil)
			require.NoError(t, err)
			for _, text := range texts[0] {
				write(text.Labels, text.LogProb, text.LM, text.Bonus, text.Score)
			}
		}
		assert.Equal(t, golden[name], fmt.Sprintf("%016x", h.Sum64()), "%s", name)
	}
}
