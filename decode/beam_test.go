package decode

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/tiertest"
)

// both runs a test for both element types.
func both(t *testing.T, f32, f64 func(t *testing.T)) {
	t.Run("float32", f32)
	t.Run("float64", f64)
}

// emissions are frames of probabilities, which are float32 as well, and what they are made from.
type emissions[F trellis.Float] struct {
	scores trellis.Scores
	x      trellis.Tensor[F]
	rows   [][]float64
}

// randomEmissions returns frames of probabilities that are multiples of a power of two, so that some are
// equal and some 0, or any.
func randomEmissions[F trellis.Float](r *rand.Rand, scores trellis.Scores, frames, classes, grain int) emissions[F] {
	e := emissions[F]{scores: scores, x: trellis.Tensor[F]{Shape: []int{frames, classes}}}
	for range frames {
		row, sum := make([]float64, classes), 0.0
		if grain > 0 { // so many parts of a whole
			for range grain {
				row[r.IntN(classes)] += 1 / float64(grain)
			}
		} else {
			for c := range row {
				row[c] = math.Exp(2 * r.NormFloat64())
				sum += row[c]
			}
			for c := range row {
				row[c] /= sum
			}
		}
		shift := 10 * r.NormFloat64()
		for c, p := range row {
			var v F
			switch scores {
			case trellis.Probabilities:
				v = F(p)
				row[c] = float64(v)
			case trellis.LogProbabilities:
				v = F(math.Log(p))
				row[c] = math.Exp(float64(v))
			case trellis.Logits:
				v = F(math.Log(p) + shift)
				row[c] = math.Exp(float64(v) - shift)
			}
			e.x.Data = append(e.x.Data, v)
		}
		if sum = 0; scores == trellis.Logits {
			for _, p := range row {
				sum += p
			}
			for c := range row {
				row[c] /= sum
			}
		}
		e.rows = append(e.rows, row)
	}
	return e
}

var kinds = []trellis.Scores{trellis.LogProbabilities, trellis.Logits, trellis.Probabilities}

// A beam as wide as there are prefixes has the sum over all paths of every text.
func TestBeamSumsAllPaths(t *testing.T) {
	both(t, testBeamSumsAllPaths[float32], testBeamSumsAllPaths[float64])
}

func testBeamSumsAllPaths[F trellis.Float](t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for range 200 {
			frames, classes := r.IntN(7), 1+r.IntN(4)
			e := randomEmissions[F](r, kinds[r.IntN(3)], frames, classes, []int{0, 4}[r.IntN(2)])
			beam := Beam[F]{Blank: r.IntN(classes), Scores: e.scores, Width: 100000, NBest: 100000}
			got, err := beam.Decode(nil, e.x, nil)
			require.NoError(t, err)
			want := sumOfPaths(e.rows, beam.Blank)
			require.Len(t, got[0], len(want), "%v %v", e.scores, e.rows)
			last := math.Inf(1)
			for _, h := range got[0] {
				text := ""
				for _, l := range h.Labels {
					text += string(rune(l))
				}
				require.InDelta(t, math.Log(want[text]), h.LogProb, 1e-6, "%v", h.Labels)
				require.Equal(t, h.LogProb, h.Score)
				if frames == 0 {
					require.Zero(t, h.LogProb)
				}
				require.LessOrEqual(t, h.Score, last)
				last = h.Score
			}
		}
	})
}

// sameHypotheses requires the same labels in the same order, and sums that are close.
func sameHypotheses(t *testing.T, want, got []Hypothesis, tolerance float64, message ...any) {
	t.Helper()
	require.Len(t, got, len(want), message...)
	for i, w := range want {
		for _, pair := range [][2]float64{{w.LogProb, got[i].LogProb}, {w.LM, got[i].LM}, {w.Bonus, got[i].Bonus}, {w.Score, got[i].Score}} {
			require.InDelta(t, pair[0], pair[1], tolerance, message...)
		}
		require.True(t, slices.Equal(w.Labels, got[i].Labels), "%d of %v\n%v\n%v", i, message, want, got)
	}
}

// The same prefixes are kept, and the same classes looked at, as in a plain search. With probabilities in
// quarters many prefixes are equally good, exactly so.
func TestBeamIsPlainSearch(t *testing.T) {
	both(t, testBeamIsPlainSearch[float32], testBeamIsPlainSearch[float64])
}

func testBeamIsPlainSearch[F trellis.Float](t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for i := range 600 {
		grain := []int{0, 4, 2}[r.IntN(3)]
		frames, classes := r.IntN(12), 1+r.IntN(9)
		scores := kinds[r.IntN(3)]
		if grain > 0 {
			scores = trellis.Probabilities
		}
		e := randomEmissions[F](r, scores, frames, classes, grain)
		b := Beam[F]{Blank: r.IntN(classes), Scores: scores, Width: []int{1, 2, 3, 5, 10, 30, 60}[r.IntN(7)], NBest: 1000,
			TopK: []int{0, 0, 1, 2, 5}[r.IntN(5)], Threshold: []float64{0, 0, 0.05, 0.2}[r.IntN(4)]}
		if grain == 0 && r.IntN(2) == 0 { // no equal ones: rounding would decide
			b.Scorers = []Scorer{oddScorer(3), oddScorer(5)}[:1+r.IntN(2)]
		}
		got, err := b.Decode(nil, e.x, nil)
		require.NoError(t, err)
		want := plainBeam{b.Blank, b.Width, b.TopK, b.Threshold, b.Scorers}.decode(e.rows)
		if len(want) == 0 {
			require.Equal(t, []Hypothesis{{LogProb: math.Inf(-1), Score: math.Inf(-1), LogProbExact: math.Inf(-1)}}, got[0])
			continue
		}
		sameHypotheses(t, want, got[0], 1e-5, fmt.Sprint(i, b, grain, e.rows))
	}
}

// oddScorer is a scorer whose scores are arbitrary, and −Inf for some.
type oddScorer uint64

func (o oddScorer) Start() State { return State(o) }

func (o oddScorer) Next(s State, label int) (State, Score) {
	n := (uint64(s)*31 + uint64(label) + 7) * 0x9e3779b97f4a7c15 >> 40
	if n%11 == 0 {
		return State(n), Score{LM: math.Inf(-1)}
	}
	return State(n), Score{LM: -float64(n%1000) / 300, Bonus: float64(n%100) / 50}
}

func (o oddScorer) End(s State) Score { return Score{LM: -float64(uint64(s) % 7), Bonus: 0.5} }

// hugeScorer gives one label more than can be, and another what is no number.
type hugeScorer struct{}

func (hugeScorer) Start() State { return 0 }

func (hugeScorer) Next(s State, label int) (State, Score) {
	return 0, []Score{{}, {LM: math.Inf(1)}, {Bonus: 1e9}, {LM: math.NaN()}, {LM: math.Inf(1), Bonus: math.Inf(-1)}}[label%5]
}

func (hugeScorer) End(State) Score { return Score{} }

// Whatever a scorer says, sums are numbers.
func TestBeamHugeScores(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	e := randomEmissions[float64](r, trellis.Probabilities, 200, 9, 0)
	got, err := Beam[float64]{Scores: e.scores, Width: 30, NBest: 30, Scorers: []Scorer{hugeScorer{}}}.Decode(nil, e.x, nil)
	require.NoError(t, err)
	require.Len(t, got[0], 30)
	for _, h := range got[0] {
		require.True(t, h.Score-h.Score == 0 && h.LogProb < 0, "%+v", h)
		large := 0
		for _, l := range h.Labels {
			require.Less(t, l%5, 3)
			if l%5 > 0 {
				large++
			}
		}
		require.Equal(t, 250*float64(large), h.Bonus)
	}
}

func TestBeamStream(t *testing.T) { both(t, testBeamStream[float32], testBeamStream[float64]) }

// A stream that is cut anywhere gives the bits of one piece, and what it calls stable is.
func testBeamStream[F trellis.Float](t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 60 {
		frames, classes := r.IntN(60), 2+r.IntN(20)
		e := randomEmissions[F](r, kinds[r.IntN(3)], frames, classes, []int{0, 4}[r.IntN(2)])
		b := Beam[F]{Blank: r.IntN(classes), Scores: e.scores, Width: 1 + r.IntN(20), NBest: 5, Threshold: []float64{0, 0.1}[r.IntN(2)], Spans: r.IntN(2) == 0}
		if r.IntN(3) == 0 {
			b.Scorers = []Scorer{oddScorer(3)}
		}
		want, err := b.Decode(nil, e.x, nil)
		require.NoError(t, err)
		s, err := b.Stream(classes)
		require.NoError(t, err)
		for range 2 { // the second text after the first one
			var stable []int
			for from := 0; from < frames; {
				n := min(r.IntN(10), frames-from)
				require.NoError(t, s.Write(trellis.Tensor[F]{Data: e.x.Data[from*classes:][:n*classes], Shape: []int{n, classes}}))
				from += n
				now := s.Stable()
				require.True(t, slices.Equal(stable, now[:len(stable)]))
				stable = append([]int(nil), now...)
				checkStableSpans(t, s, b.Spans, from)
			}
			tentative := append(append([]int{}, stable...), s.Tentative(nil)...)
			got := s.Finish(nil)
			require.Equal(t, want[0], got)
			if got[0].LogProb > math.Inf(-1) {
				for _, h := range got {
					require.True(t, slices.Equal(stable, h.Labels[:len(stable)]))
				}
				if b.Scorers == nil {
					require.True(t, slices.Equal(got[0].Labels, tentative))
				}
			}
		}
	}
}

// checkStableSpans requires a span for each stable label, in order, within the frames so far.
func checkStableSpans[F trellis.Float](t *testing.T, s *Stream[F], asked bool, frames int) {
	t.Helper()
	spans := s.Spans(nil)
	if !asked || s.reader.impossible {
		require.Empty(t, spans)
		return
	}
	require.Len(t, spans, len(s.Stable()))
	end := 0
	for _, span := range spans {
		require.GreaterOrEqual(t, span.Start, end)
		require.Greater(t, span.End, span.Start)
		end = span.End
	}
	require.LessOrEqual(t, end, frames)
}

// Memory does not grow with the frames, but for the labels.
func TestBeamStreamMemory(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	const frames, classes = 200, 12
	e := randomEmissions[float32](r, trellis.Logits, frames, classes, 0)
	s, err := Beam[float32]{Scores: trellis.Logits, Width: 8}.Stream(classes)
	require.NoError(t, err)
	most := 0
	for i := range 100 {
		require.NoError(t, s.Write(e.x))
		if i == 10 {
			most = cap(s.reader.nodes)
		}
	}
	assert.Equal(t, most, cap(s.reader.nodes))
	assert.Greater(t, len(s.Stable()), 100)
}

// Nothing underflows in long sequences, of blanks only or of labels.
func TestBeamLong(t *testing.T) {
	const frames = 20000
	x := trellis.Tensor[float64]{Shape: []int{frames, 3}}
	for t := range frames {
		row := []float64{1e-9, 1e-12, 3e-12}
		if t%4 == 1 {
			row = []float64{1e-30, 1e-3, 1e-9}
		}
		x.Data = append(x.Data, row...)
	}
	beam := Beam[float64]{Scores: trellis.Probabilities, Width: 10}
	got, err := beam.Decode(nil, x, nil)
	require.NoError(t, err)
	h := got[0][0]
	assert.Len(t, h.Labels, frames/4)
	assert.InEpsilon(t, frames/4*(3*math.Log(1e-9)+math.Log(1e-3)), h.LogProb, 1e-3)

	beam.Spans = true
	const short = 1000
	got, err = beam.Decode(nil, x, []int{short})
	require.NoError(t, err)
	h = got[0][0]
	loss := make([]float64, 1)
	require.NoError(t, trellis.CTCLoss[float64]{Scores: trellis.Probabilities}.Losses(loss, x, h.Labels, []int{short}, nil))
	assert.InEpsilon(t, -loss[0], h.LogProbExact, 1e-12)
	assert.LessOrEqual(t, h.LogProb, h.LogProbExact)
	require.Len(t, h.Spans, short/4)
	for i, s := range h.Spans {
		assert.Equal(t, []int{4*i + 1, 4*i + 2}, []int{s.Start, s.End})
		assert.InDelta(t, math.Log(1e-3), s.Score, 1e-12)
		assert.InDelta(t, 1, s.Confidence, 0.01)
	}
}
