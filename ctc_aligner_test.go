package trellis_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/tiertest"
)

// A batch gives each sequence what it has alone, for any number of workers, however scores and targets are
// laid out.
func TestAlignWorkers(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testAlignWorkers[float32])
		t.Run("float64", testAlignWorkers[float64])
	})
}

func testAlignWorkers[F trellis.Float](t *testing.T) {
	const frames, n, classes, width = 90, 7, 11, 30
	r := rand.New(rand.NewPCG(1, 2))
	byFrame, bySequence := make([]F, frames*n*classes), make([]F, frames*n*classes)
	for i := range byFrame {
		byFrame[i] = F(2 * r.NormFloat64())
		frame, sequence, class := i/(n*classes), i/classes%n, i%classes
		bySequence[(sequence*frames+frame)*classes+class] = byFrame[i]
	}
	var padded, concatenated, inputs, lengths []int
	for range n {
		labels := make([]int, r.IntN(width+1))
		for i := range labels {
			if labels[i] = 1 + r.IntN(classes-1); r.IntN(9) == 0 {
				labels[i] = wild
			}
		}
		lengths, inputs = append(lengths, len(labels)), append(inputs, r.IntN(frames+1))
		concatenated = append(concatenated, labels...)
		padded = append(append(padded, labels...), slices.Repeat([]int{-7}, width-len(labels))...)
	}
	for scores := range trellis.Scores(2) {
		a := trellis.CTCAligner[F]{Scores: scores, AnyScore: -2, Confidence: true}
		var want []trellis.Span
		var wantScores []float64
		found := 0
		for i, length := range lengths {
			x := trellis.Tensor[F]{Data: bySequence[i*frames*classes:][:inputs[i]*classes], Shape: []int{inputs[i], classes}}
			spans, score := make([]trellis.Span, length), make([]float64, 1)
			require.NoError(t, a.Align(spans, score, x, padded[i*width:][:length], nil, nil))
			want, wantScores = append(want, spans...), append(wantScores, score[0])
			if !math.IsInf(score[0], -1) {
				found++
			}
		}
		assert.Greater(t, found, n/2)
		for _, a.BatchFirst = range []bool{false, true} {
			x := trellis.Tensor[F]{Data: byFrame, Shape: []int{frames, n, classes}}
			if a.BatchFirst {
				x = trellis.Tensor[F]{Data: bySequence, Shape: []int{n, frames, classes}}
			}
			for _, targets := range [][]int{padded, concatenated} {
				for _, a.Workers = range []int{0, 1, 3} {
					spans, got := make([]trellis.Span, len(want)), make([]float64, n)
					require.NoError(t, a.Align(spans, got, x, targets, inputs, lengths))
					require.Equal(t, want, spans)
					require.Equal(t, wantScores, got)
				}
			}
		}
	}
}

// Scores that are no numbers spoil what the loss has NaN for, and nothing else.
func TestAlignNotNumbers(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testAlignNotNumbers[float32])
		t.Run("float64", testAlignNotNumbers[float64])
	})
}

func testAlignNotNumbers[F trellis.Float](t *testing.T) {
	const frames, n, classes = 50, 2, 6
	inf, nan := F(math.Inf(1)), F(math.NaN())
	labels := []int{1, 2, 2, 3, 1, 2} // of two sequences; 4 and 5 are named by none
	for scores := range trellis.Scores(3) {
		for _, bad := range []F{nan, inf, -inf, -1, 1.01, 0} {
			for class := range classes {
				for _, frame := range []int{0, 17, 40, 49} {
					x := trellis.Tensor[F]{Data: slices.Repeat([]F{0.1, 0.2, 0.3, 0.15, 0.2, 0.05}, frames*n), Shape: []int{frames, n, classes}}
					x.Data[frame*n*classes+class] = bad
					inputs, lengths := []int{45, 50}, []int{3, 3}
					spans, got, losses := make([]trellis.Span, 6), make([]float64, n), make([]F, n)
					require.NoError(t, trellis.CTCAligner[F]{Scores: scores, Confidence: true}.Align(spans, got, x, labels, inputs, lengths))
					require.NoError(t, trellis.CTCLoss[F]{Scores: scores}.Losses(losses, x, labels, inputs, lengths))
					what := []any{"scores", scores, "bad", bad, "class", class, "frame", frame}
					assert.Equal(t, math.IsNaN(float64(losses[0])), math.IsNaN(got[0]), what)
					if losses[0] == losses[0] {
						assert.LessOrEqual(t, float64(losses[0]), -got[0]+1e-4, what)
						assert.Less(t, spans[0].Start, spans[0].End, what)
						assert.InDelta(t, 0.5, spans[0].Confidence, 0.5+1e-9, what)
					} else {
						for _, s := range spans[:3] {
							assert.Equal(t, []any{0, 0, true, true}, []any{s.Start, s.End, math.IsNaN(s.Score), math.IsNaN(s.Confidence)}, what)
						}
					}
					assert.False(t, math.IsNaN(got[1]), what)
				}
			}
		}
	}
}

// Targets that cannot be spelled, and scores at the ends of the range.
func TestAlignExtremes(t *testing.T) {
	none := trellis.Span{Score: math.Inf(-1)}
	align := func(x []float64, classes int, labels ...int) ([]trellis.Span, float64) {
		spans, score := make([]trellis.Span, len(labels)), []float64{7}
		tensor := trellis.Tensor[float64]{Data: x, Shape: []int{len(x) / classes, classes}}
		require.NoError(t, trellis.CTCAligner[float64]{Confidence: true}.Align(spans, score, tensor, labels, nil, nil))
		return spans, score[0]
	}
	spans, score := align(make([]float64, 8), 4, 2, 2)
	assert.Equal(t, []trellis.Span{none, none}, spans, "two frames for three")
	assert.Equal(t, math.Inf(-1), score)
	spans, score = align([]float64{math.NaN(), 0, 0, 0, 0, 0, 0, 0}, 4, 2, 2)
	assert.True(t, math.IsNaN(score) && math.IsNaN(spans[1].Score), "too few frames, and one of them NaN")
	spans, score = align([]float64{0, math.Inf(-1), 0, math.Inf(-1)}, 2, 1)
	assert.Equal(t, []trellis.Span{none}, spans, "a class that is at −Inf")
	assert.Equal(t, math.Inf(-1), score)
	_, score = align(nil, 4)
	assert.Equal(t, 0.0, score, "no frames, no labels")
	spans, score = align(nil, 4, 3)
	assert.Equal(t, []trellis.Span{none}, spans)
	assert.Equal(t, math.Inf(-1), score)
	_, score = align([]float64{-1, 0, -2, 0}, 2)
	assert.Equal(t, -3.0, score, "blanks only")

	spans, score = align([]float64{-1e270, 0, 0, 0, -1e269, -1e270}, 2, 1)
	assert.Equal(t, 0, spans[0].Start)
	assert.Equal(t, 1, spans[0].End, "the blank stays")
	assert.Equal(t, -1e269, score)
	_, score = align([]float64{-1e300, -1e300}, 2, 1)
	assert.Equal(t, math.Inf(-1), score, "counts as −Inf")
	_, score = align([]float64{0, 1e300}, 2, 1)
	assert.True(t, math.IsNaN(score), "counts as +Inf")
}

// A wildcard takes frames that fit nothing else, and needs no blank beside it.
func TestAlignAnyLabel(t *testing.T) {
	const ln = -0.1
	x := trellis.Tensor[float64]{Shape: []int{7, 4}, Data: []float64{
		-5, -5, -5, ln,
		-5, ln, -5, -5,
		-5, -5, -5, ln,
		-5, -5, -5, ln,
		-5, -5, ln, -5,
		-5, -5, -5, ln,
		ln, -5, -5, -5,
	}}
	spans, score := make([]trellis.Span, 5), make([]float64, 1)
	a := trellis.CTCAligner[float64]{AnyScore: -1, Confidence: true}
	require.NoError(t, a.Align(spans, score, x, []int{wild, 1, wild, 2, wild}, nil, nil))
	var bounds []int
	for _, s := range spans {
		bounds = append(bounds, s.Start, s.End)
	}
	assert.Equal(t, []int{0, 1, 1, 2, 2, 4, 4, 5, 5, 6}, bounds)
	assert.InDelta(t, -4-3*0.1, score[0], 1e-15)
	assert.Equal(t, -1.0, spans[2].Score)
	path := make([]int, 7)
	trellis.Path(path, spans, []int{wild, 1, wild, 2, wild}, 0)
	assert.Equal(t, []int{wild, 1, wild, wild, 2, wild, 0}, path)

	// Two of them need two frames, and no blank.
	two := trellis.Tensor[float64]{Data: x.Data[:8], Shape: []int{2, 4}}
	require.NoError(t, a.Align(spans[:2], score, two, []int{wild, wild}, nil, nil))
	assert.Equal(t, -2.0, score[0])
	a.AnyScore = -0x1p900
	require.NoError(t, a.Align(spans[:2], score, two, []int{wild, wild}, nil, nil))
	assert.Equal(t, math.Inf(-1), score[0], "counts as −Inf")
	_, err := trellis.CTCLoss[float64]{}.Loss(two, []int{wild, wild}, nil, nil)
	require.Error(t, err, "the loss has none")
}
