//go:build !race

// Under the race detector sync.Pool drops what it is given at random.

package decode

import (
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
)

// Nothing is allocated once the results are large enough. There is one worker: of several, any may be
// the first to need a workspace of its own.
func TestDecodeAllocates(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	r := rand.New(rand.NewPCG(51, 52))
	const n, frames, classes = 3, 20, 40
	allowed := slices.Repeat([]bool{true}, classes)
	for _, scores := range kinds {
		e := randomEmissions[float32](r, scores, frames, classes, 0)
		x := trellis.Tensor[float32]{Data: slices.Repeat(e.x.Data, n), Shape: []int{n, frames, classes}}
		var reads []Reading
		var texts [][]Hypothesis
		var err error
		greedy := Greedy[float32]{Scores: scores, BatchFirst: true, Workers: 1, Allowed: allowed}
		call := func() { reads, err = greedy.Decode(reads, x, nil) }
		testing.AllocsPerRun(20, call)
		assert.Zero(t, testing.AllocsPerRun(10, call), "greedy")
		require.NoError(t, err)
		for _, beam := range []Beam[float32]{{Width: 10}, {Width: 40, NBest: 3}, {TopK: 5}, {Threshold: 0.01, Scorers: []Scorer{oddScorer(1)}}} {
			beam.Scores, beam.Workers, beam.BatchFirst = scores, 1, true
			call := func() { texts, err = beam.Decode(texts, x, nil) }
			testing.AllocsPerRun(20, call) // which fill the pools
			assert.Zero(t, testing.AllocsPerRun(10, call), "%+v", beam)
			require.NoError(t, err)
		}
	}
}
