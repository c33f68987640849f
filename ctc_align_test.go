package trellis

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bestPath returns the best score of all paths that spell labels, by trying every one: Σ of the
// scores, frames added in order, each of a wildcard being anyScore.
func bestPath(x [][]float64, labels []int, blank int, anyScore float64) (best float64) {
	best = math.Inf(-1)
	// A state is 2i for the blank in front of label i, 2i+1 for label i.
	var try func(t, state int, sum float64)
	try = func(t, state int, sum float64) {
		if t == len(x) {
			if state >= 2*len(labels)-1 {
				best = max(best, sum)
			}
			return
		}
		for next := state; next <= min(state+2, 2*len(labels)); next++ {
			if next == state+2 && (next%2 == 0 || state < 1 || labels[next/2] == labels[state/2] && labels[next/2] != AnyLabel) {
				continue
			}
			e := anyScore
			if next%2 == 0 {
				e = x[t][blank]
			} else if labels[next/2] != AnyLabel {
				e = x[t][labels[next/2]]
			}
			try(t+1, next, sum+e)
		}
	}
	try(0, 0, 0)
	return best
}

func TestAlignBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for k := range 2000 {
		frames, classes := r.IntN(7), 2+r.IntN(3)
		labels := make([]int, r.IntN(4))
		for i := range labels {
			if labels[i] = 1 + r.IntN(classes-1); r.IntN(5) == 0 {
				labels[i] = AnyLabel
			}
		}
		x := Tensor[float64]{Shape: []int{frames, classes}}
		rows := make([][]float64, frames)
		for i := range rows {
			for range classes {
				v := -float64(r.IntN(4))
				if r.IntN(10) == 0 {
					v = math.Inf(-1)
				}
				x.Data = append(x.Data, v)
			}
			rows[i] = x.Data[i*classes:]
		}
		a := CTCAligner[float64]{AnyScore: -float64(r.IntN(3)), Confidence: true}
		spans, scores := make([]Span, len(labels)), make([]float64, 1)
		require.NoError(t, a.Align(spans, scores, x, labels, nil, []int{len(labels)}))
		want := bestPath(rows, labels, 0, a.AnyScore)
		require.Equal(t, want, scores[0], "case %d", k)
		path := make([]int, frames)
		Path(path, spans, labels, 0)
		if math.IsInf(want, -1) {
			continue
		}
		var sum float64
		for i, c := range path {
			if c == AnyLabel {
				sum += a.AnyScore
			} else {
				sum += rows[i][c]
			}
		}
		assert.Equal(t, want, sum)
		for _, s := range spans {
			assert.Greater(t, s.End, s.Start)
			assert.True(t, s.Confidence > 0 && s.Confidence < 1+1e-12, "%v", s)
		}
	}
}
