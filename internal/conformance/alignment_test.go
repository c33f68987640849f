package conformance

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Spans and scores of alignments, against those that others expect, and those of a plain Viterbi
// algorithm in float64 over the emissions of real networks.

// alignmentFixture is an entry of fixtures/alignment.json.
type alignmentFixture struct {
	Name      string
	LogProbs  [][]number `json:"log_probs"`
	Targets   []int
	Blank     int
	Path      []int   `json:"expected_path"`
	PeerScore *number `json:"expected_score"`
	RefPath   []int   `json:"ref_path"`
	Score     number  `json:"ref_score"`
}

func TestAlignmentFixtures(t *testing.T) {
	var fixtures []alignmentFixture
	readJSON(t, testdata(t, "fixtures", "alignment.json"), &fixtures)
	require.Len(t, fixtures, 17)
	for _, f := range fixtures {
		t.Run(f.Name, func(t *testing.T) {
			x := trellis.Tensor[float64]{Shape: []int{len(f.LogProbs), len(f.LogProbs[0])}}
			for _, row := range f.LogProbs {
				for _, v := range row {
					x.Data = append(x.Data, float64(v))
				}
			}
			spans, score := align(t, trellis.CTCAligner[float64]{Blank: f.Blank}, x, f.Targets)
			assert.InDelta(t, float64(f.Score), score, 1e-12)
			if f.PeerScore != nil {
				assert.InDelta(t, float64(*f.PeerScore), score, 1e-6, "the peer's own")
			}
			path := make([]int, len(f.LogProbs))
			trellis.Path(path, spans, f.Targets, f.Blank)
			assert.Equal(t, f.RefPath, path)
			assert.Equal(t, f.Path, path)
		})
	}
}

// align aligns a single sequence.
func align[F trellis.Float](t *testing.T, a trellis.CTCAligner[F], x trellis.Tensor[F], targets []int) (spans []trellis.Span, score float64) {
	t.Helper()
	spans = make([]trellis.Span, len(targets))
	scores := make([]float64, 1)
	require.NoError(t, a.Align(spans, scores, x, targets, nil, []int{len(targets)}))
	return spans, scores[0]
}

// aligned is the part of an index.json with the path of the transcript.
type aligned struct {
	emission
	Viterbi struct {
		Score float64
		Path  []int
		Spans [][2]int
	}
}

// The references are of rows that are normalised, but for probabilities, so scores are taken as Logits. From float32
// the norms of frames have the errors of a float32 sum.
func TestAlignmentEmissions(t *testing.T) {
	bothTypes(t, testAlignmentEmissions[float32], testAlignmentEmissions[float64])
}

func testAlignmentEmissions[F trellis.Float](t *testing.T) {
	tolerance := 1e-12
	if Epsilon[F]() > 1e-10 {
		tolerance = 1e-6
	}
	paths := slices.Concat(glob(t, "emissions", "*", "index.json"), glob(t, "ocr", "*", "index.json"))
	require.NotEmpty(t, paths)
	worst, cases := 0.0, 0
	for _, path := range paths {
		folder := filepath.Dir(path)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			var e aligned
			readJSON(t, path, &e)
			if e.Viterbi.Spans == nil {
				return // a batch of the others
			}
			cases++
			data, shape := readArray[float32](t, filepath.Join(folder, "emissions.npy"))
			x := trellis.Tensor[F]{Data: Cast[F](data), Shape: shape}
			a := trellis.CTCAligner[F]{Blank: e.Blank, Scores: trellis.Logits, Confidence: true}
			bound := tolerance
			if e.Kind == "probs" {
				a.Scores, bound = trellis.Probabilities, 1e-12
			}
			spans, score := align(t, a, x, e.TargetTokens)
			off := math.Abs(score - e.Viterbi.Score)
			worst = max(worst, off)
			assert.LessOrEqual(t, off, bound, "score %v, want %v", score, e.Viterbi.Score)
			var got [][2]int
			for _, s := range spans {
				got = append(got, [2]int{s.Start, s.End})
			}
			assert.Equal(t, e.Viterbi.Spans, got)
			if e.Viterbi.Path != nil {
				frames := make([]int, shape[0])
				trellis.Path(frames, spans, e.TargetTokens, e.Blank)
				assert.Equal(t, e.Viterbi.Path, frames)
			}
			logits := Cast[float64](data)
			if e.Kind == "probs" {
				for i, p := range logits {
					logits[i] = math.Log(p)
				}
			}
			requireConfidence(t, logits, shape, e.TargetTokens, e.Blank, spans)
		})
	}
	assert.Greater(t, cases, 10)
	t.Logf("%d cases, scores are off by %.2g at most", cases, worst)
}

// glob returns files of the test data.
func glob(t *testing.T, path ...string) []string {
	paths, err := filepath.Glob(testdata(t, path...))
	require.NoError(t, err)
	return paths
}

// requireConfidence compares with the occupancies of the reference, which has all states of all frames.
func requireConfidence(t *testing.T, x []float64, shape, targets []int, blank int, spans []trellis.Span) {
	t.Helper()
	occupancy := positionOccupancies(x, shape, targets, blank)
	for i, s := range spans {
		var want float64
		for frame := s.Start; frame < s.End; frame++ {
			want += occupancy[frame][2*i+1]
		}
		assert.InDelta(t, want/float64(s.End-s.Start), s.Confidence, 1e-9, "label %d", i)
	}
}

// positionOccupancies returns the probability of every state in every frame, given the target, by sums of
// logarithms. Scores are logits.
func positionOccupancies(x []float64, shape, targets []int, blank int) [][]float64 {
	n, frames := 2*len(targets)+1, shape[0]
	rows := make([][]float64, frames)
	for t := range rows {
		for s := range n {
			class := blank
			if s%2 == 1 {
				class = targets[s/2]
			}
			rows[t] = append(rows[t], x[t*shape[1]+class])
		}
	}
	from := func(s int) int { // the first state that may come before s
		if s%2 == 1 && s > 1 && targets[s/2] != targets[s/2-1] {
			return s - 2
		}
		return max(s-1, 0)
	}
	alpha, beta := make([][]float64, frames), make([][]float64, frames)
	before := slices.Repeat([]float64{math.Inf(-1)}, n)
	before[0] = 0
	for t := range frames {
		for s := range n {
			alpha[t] = append(alpha[t], RefLogSumExp(before[from(s):s+1]...)+rows[t][s])
		}
		before = alpha[t]
	}
	after := slices.Repeat([]float64{math.Inf(-1)}, n)
	after[n-1], after[max(n-2, 0)] = 0, 0
	for t := frames - 1; t >= 0; t-- {
		beta[t], after = after, make([]float64, n)
		for s := range n {
			var terms []float64
			for to := s; to < min(s+3, n); to++ {
				if from(to) <= s {
					terms = append(terms, beta[t][to]+rows[t][to])
				}
			}
			after[s] = RefLogSumExp(terms...)
		}
	}
	last := alpha[frames-1]
	total := RefLogSumExp(last[max(n-2, 0):]...)
	for t := range alpha {
		for s := range n {
			alpha[t][s] = math.Exp(alpha[t][s] + beta[t][s] - total)
		}
	}
	return alpha
}
