package decode

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/tiertest"
)

func TestGreedyByHand(t *testing.T) {
	x := trellis.Tensor[float64]{Shape: []int{6, 3}, Data: []float64{
		0.1, 0.8, 0.1,
		0.2, 0.5, 0.3,
		0.9, 0.0, 0.1,
		0.1, 0.6, 0.3,
		0.0, 0.3, 0.7,
		0.25, 0.25, 0.5,
	}}
	got, err := Greedy[float64]{Scores: trellis.Probabilities}.Decode(nil, x, nil)
	require.NoError(t, err)
	ln := math.Log
	r := got[0]
	assert.Equal(t, []int{1, 1, 2}, r.Labels)
	assert.InDelta(t, ln(0.8)+ln(0.5)+ln(0.9)+ln(0.6)+ln(0.7)+ln(0.5), r.Score, 1e-12)
	assert.InDelta(t, 4.0/6, r.Confidence, 1e-12)
	assert.Equal(t, 0.5, r.Least)
	for i, want := range []trellis.Span{
		{Start: 0, End: 2, Score: (ln(0.8) + ln(0.5)) / 2, Confidence: 0.65},
		{Start: 3, End: 4, Score: ln(0.6), Confidence: 0.6},
		{Start: 4, End: 6, Score: (ln(0.7) + ln(0.5)) / 2, Confidence: 0.6},
	} {
		assert.Equal(t, []int{want.Start, want.End}, []int{r.Spans[i].Start, r.Spans[i].End})
		assert.InDelta(t, want.Score, r.Spans[i].Score, 1e-12)
		assert.InDelta(t, want.Confidence, r.Spans[i].Confidence, 1e-12)
	}
	got, err = Greedy[float64]{Scores: trellis.Probabilities, Allowed: []bool{true, false, true}}.Decode(got, x, []int{4})
	require.NoError(t, err)
	assert.Equal(t, []int{2, 2}, got[0].Labels) // of 0.2 and 0.3 the second, and of two equal ones the first, the blank
	assert.InDelta(t, ln(0.1)+ln(0.3)+ln(0.9)+ln(0.3), got[0].Score, 1e-12)
	got, err = Greedy[float64]{}.Decode(got, x, []int{0})
	require.NoError(t, err)
	assert.Equal(t, []Reading{{Labels: []int{}, Spans: []trellis.Span{}, Confidence: 1, Least: 1}}, got)
}

// plainGreedy reads rows of probabilities. Those of classes that may not be read are there for the
// others' sake.
func plainGreedy(rows [][]float64, blank int, allowed []bool) (r Reading) {
	before := blank
	r.Confidence, r.Least = 1, 1
	sum := 0.0
	for i, row := range rows {
		best := -1
		for c, p := range row {
			if (allowed == nil || allowed[c]) && (best < 0 || p > row[best]) {
				best = c
			}
		}
		p := row[best]
		r.Score += math.Log(p)
		sum += p
		r.Least = min(r.Least, p)
		if best != blank && best != before {
			r.Labels = append(r.Labels, best)
			r.Spans = append(r.Spans, trellis.Span{Start: i})
		}
		if best != blank {
			r.Spans[len(r.Spans)-1].End = i + 1
		}
		before = best
	}
	if len(rows) > 0 {
		r.Confidence = sum / float64(len(rows))
	}
	return r
}

func TestGreedyIsPlainLoop(t *testing.T) {
	both(t, testGreedyIsPlainLoop[float32], testGreedyIsPlainLoop[float64])
}

func testGreedyIsPlainLoop[F trellis.Float](t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(21, 22))
		for i := range 150 {
			frames, classes := r.IntN(30), 1+r.IntN(50)
			if i%50 == 0 {
				classes = block + r.IntN(3000)
			}
			e := randomEmissions[F](r, kinds[r.IntN(3)], frames, classes, 0)
			g := Greedy[F]{Blank: r.IntN(classes), Scores: e.scores}
			if r.IntN(2) == 0 {
				g.Allowed = make([]bool, classes)
				for c := range g.Allowed {
					g.Allowed[c] = r.IntN(2) == 0
				}
				g.Allowed[g.Blank] = true
			}
			got, err := g.Decode(nil, e.x, nil)
			require.NoError(t, err)
			want := plainGreedy(e.rows, g.Blank, g.Allowed)
			require.True(t, slices.Equal(want.Labels, got[0].Labels))
			require.InDelta(t, want.Score, got[0].Score, 1e-5)
			require.InDelta(t, want.Confidence, got[0].Confidence, 1e-6)
			require.InDelta(t, want.Least, got[0].Least, 1e-6)
			for k, s := range want.Spans {
				require.Equal(t, [2]int{s.Start, s.End}, [2]int{got[0].Spans[k].Start, got[0].Spans[k].End})
			}
		}
	})
}

// The largest logit of a row counts as 1, wherever it is and however often, and the rest keeps its digits.
func TestGreedyLongRows(t *testing.T) {
	both(t, testGreedyLongRows[float32], testGreedyLongRows[float64])
}

func testGreedyLongRows[F trellis.Float](t *testing.T) {
	const n, low = 2*block + 5, -20
	for _, largest := range [][]int{{0}, {block + 1}, {n - 1}, {1, n - 1}, {block - 1, block, 2 * block}} {
		x := trellis.Tensor[F]{Shape: []int{1, n}, Data: slices.Repeat([]F{low}, n)}
		for _, c := range largest {
			x.Data[c] = 0
		}
		got, err := Greedy[F]{Scores: trellis.Logits, Blank: 2}.Decode(nil, x, nil)
		require.NoError(t, err)
		assert.Equal(t, largest[:1], got[0].Labels)
		more := float64(len(largest) - 1)
		const rounding = block / 16 * 0x1p-24 // of the terms of a lane of a block
		assert.InEpsilon(t, -math.Log1p(more+float64(n-len(largest))*math.Exp(low)), got[0].Score, rounding, "%v", largest)
	}
}

// What is no score makes a sequence NaN, if it is looked at, and no other one.
func TestDecodeNotANumber(t *testing.T) {
	both(t, testDecodeNotANumber[float32], testDecodeNotANumber[float64])
}

func testDecodeNotANumber[F trellis.Float](t *testing.T) {
	nan, inf := F(math.NaN()), F(math.Inf(1))
	const frames, classes = 5, 20
	for _, scores := range kinds {
		bad := []F{nan, inf}
		if scores == trellis.Probabilities {
			bad = append(bad, 1.01)
		}
		for _, v := range bad {
			for class := range 3 {
				x := trellis.Tensor[F]{Shape: []int{2, frames, classes}, Data: slices.Repeat([]F{0.05}, 2*frames*classes)}
				x.Data[(frames+3)*classes+class] = v
				for _, lengths := range [][]int{nil, {frames, 3}} {
					message := fmt.Sprint(scores, v, class, lengths)
					wantNaN := lengths == nil
					greedy, err := Greedy[F]{Scores: scores, BatchFirst: true}.Decode(nil, x, lengths)
					require.NoError(t, err)
					assert.Equal(t, []bool{false, wantNaN}, []bool{math.IsNaN(greedy[0].Score), math.IsNaN(greedy[1].Score)}, message)
					if wantNaN {
						assert.Empty(t, greedy[1].Labels)
						assert.True(t, math.IsNaN(greedy[1].Confidence) && math.IsNaN(greedy[1].Least))
					}
					for _, beam := range []Beam[F]{{}, {TopK: 2}, {Threshold: 0.01}, {Spans: true}} {
						beam.Scores, beam.BatchFirst, beam.NBest = scores, true, 3
						got, err := beam.Decode(nil, x, lengths)
						require.NoError(t, err)
						assert.Equal(t, []bool{false, wantNaN}, []bool{math.IsNaN(got[0][0].LogProb), math.IsNaN(got[1][0].LogProb)}, message)
						if wantNaN {
							assert.Len(t, got[1], 1)
							assert.Empty(t, got[1][0].Labels)
							assert.True(t, math.IsNaN(got[1][0].Score))
						}
					}
				}
			}
		}
	}
	// A class that may not be read may be anything, unless a softmax has it.
	x := trellis.Tensor[F]{Shape: []int{1, 3}, Data: []F{nan, 0.5, 0.25}}
	g := Greedy[F]{Scores: trellis.Probabilities, Allowed: []bool{false, true, true}}
	got, err := g.Decode(nil, x, nil)
	require.NoError(t, err)
	assert.Equal(t, []int{1}, got[0].Labels)
	g.Scores = trellis.Logits
	got, err = g.Decode(nil, x, nil)
	require.NoError(t, err)
	assert.True(t, math.IsNaN(got[0].Score))
	// A frame of logits without a softmax.
	x.Data = []F{-inf, -inf, -inf}
	got, err = Greedy[F]{Scores: trellis.Logits}.Decode(nil, x, nil)
	require.NoError(t, err)
	assert.True(t, math.IsNaN(got[0].Score))
	texts, err := Beam[F]{Scores: trellis.Logits}.Decode(nil, x, nil)
	require.NoError(t, err)
	assert.True(t, math.IsNaN(texts[0][0].LogProb))
	texts, err = Beam[F]{}.Decode(nil, x, nil)
	require.NoError(t, err)
	assert.True(t, math.IsInf(texts[0][0].LogProb, -1) && len(texts[0][0].Labels) == 0)
}

// Batches in both layouts, with any number of workers, give the bits of their sequences alone.
func TestDecodeWorkers(t *testing.T) { both(t, testDecodeWorkers[float32], testDecodeWorkers[float64]) }

func testDecodeWorkers[F trellis.Float](t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	const n, frames, classes = 7, 40, 300
	for _, scores := range kinds {
		e := randomEmissions[F](r, scores, n*frames, classes, 0)
		batch := trellis.Tensor[F]{Data: e.x.Data, Shape: []int{n, frames, classes}}
		turned := trellis.Tensor[F]{Shape: []int{frames, n, classes}}
		for t := range frames {
			for i := range n {
				turned.Data = append(turned.Data, e.x.Data[(i*frames+t)*classes:][:classes]...)
			}
		}
		lengths := []int{40, 0, 13, 40, 39, 1, 27}
		var wantRead []Reading
		var wantTexts [][]Hypothesis
		greedy := Greedy[F]{Scores: scores, Blank: 3}
		beam := Beam[F]{Scores: scores, Blank: 3, Width: 10, NBest: 3, TopK: 10}
		for i, length := range lengths {
			x := trellis.Tensor[F]{Data: e.x.Data[i*frames*classes:][:length*classes], Shape: []int{length, classes}}
			one, err := greedy.Decode(nil, x, nil)
			require.NoError(t, err)
			texts, err := beam.Decode(nil, x, nil)
			require.NoError(t, err)
			wantRead, wantTexts = append(wantRead, one[0]), append(wantTexts, texts[0])
		}
		var reads []Reading
		var texts [][]Hypothesis
		for _, workers := range []int{0, 1, 2, 9} {
			greedy.Workers, beam.Workers = workers, workers
			for _, x := range []trellis.Tensor[F]{batch, turned} {
				greedy.BatchFirst = x.Shape[0] == n
				beam.BatchFirst = greedy.BatchFirst
				var err error
				reads, err = greedy.Decode(reads, x, lengths)
				require.NoError(t, err)
				texts, err = beam.Decode(texts, x, lengths)
				require.NoError(t, err)
				for i := range lengths {
					require.True(t, slices.Equal(wantRead[i].Labels, reads[i].Labels))
					require.True(t, slices.Equal(wantRead[i].Spans, reads[i].Spans))
					require.Equal(t, wantRead[i].Score, reads[i].Score)
					require.Len(t, texts[i], len(wantTexts[i]))
					for k, h := range wantTexts[i] {
						require.True(t, slices.Equal(h.Labels, texts[i][k].Labels))
						require.Equal(t, h.LogProb, texts[i][k].LogProb)
					}
				}
			}
		}
	}
}

// Every tier reads the same bits.
func TestDecodeTiers(t *testing.T) { both(t, testDecodeTiers[float32], testDecodeTiers[float64]) }

func testDecodeTiers[F trellis.Float](t *testing.T) {
	var want []any
	tiertest.Each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(41, 42))
		var got []any
		for _, scores := range kinds {
			for _, classes := range []int{5, 33, 700} {
				e := randomEmissions[F](r, scores, 30, classes, 0)
				reads, err := Greedy[F]{Scores: scores}.Decode(nil, e.x, nil)
				require.NoError(t, err)
				got = append(got, reads)
				for _, beam := range []Beam[F]{{Width: 7}, {TopK: 9}, {Threshold: 0.02}} {
					beam.Scores, beam.NBest = scores, 4
					texts, err := beam.Decode(nil, e.x, nil)
					require.NoError(t, err)
					got = append(got, texts)
				}
			}
		}
		if want == nil {
			want = got
		}
		require.Equal(t, want, got)
	})
}

// What is wrong with arguments is said, and the results are as they were.
func TestDecodeErrors(t *testing.T) {
	x := trellis.Tensor[float32]{Data: make([]float32, 24), Shape: []int{2, 3, 4}}
	before := []Reading{{Score: 7}}
	for _, c := range []struct {
		g       Greedy[float32]
		x       trellis.Tensor[float32]
		lengths []int
		want    string
	}{
		{Greedy[float32]{Blank: 4}, x, nil, "trellis: Greedy.Decode: Blank = 4: class outside [0,4)"},
		{Greedy[float32]{Blank: -1}, x, nil, "trellis: Greedy.Decode: Blank = -1: class outside [0,4)"},
		{Greedy[float32]{Workers: -1}, x, nil, "trellis: Greedy.Decode: Workers = -1: negative"},
		{Greedy[float32]{Scores: 3}, x, nil, "trellis: Greedy.Decode: Scores = 3: neither LogProbabilities nor Logits nor Probabilities"},
		{Greedy[float32]{Allowed: make([]bool, 3)}, x, nil, "trellis: Greedy.Decode: len(Allowed) = 3: want one for each class of x"},
		{Greedy[float32]{Allowed: make([]bool, 4)}, x, nil, "trellis: Greedy.Decode: Allowed = false for all: no class may be read"},
		{Greedy[float32]{}, x, []int{1}, "trellis: Greedy.Decode: len(inputLengths) = 1: want 3, one for each sequence: x.Shape is [2 3 4]"},
		{Greedy[float32]{}, x, []int{1, 3, 2}, "trellis: Greedy.Decode: inputLengths[1] = 3: outside [0,2]: x.Shape is [2 3 4]"},
		{Greedy[float32]{BatchFirst: true}, x, []int{1, -1}, "trellis: Greedy.Decode: inputLengths[1] = -1: outside [0,3]: x.Shape is [2 3 4]"},
		{Greedy[float32]{}, trellis.Tensor[float32]{Shape: []int{4}}, nil, "trellis: Greedy.Decode: x.Shape = [4]: want (T,C), (T,N,C), or (N,T,C) with BatchFirst"},
		{Greedy[float32]{}, trellis.Tensor[float32]{Data: x.Data, Shape: []int{5, 5}}, nil, "trellis: Greedy.Decode: x.Shape = [5 5]: needs 25 elements, Data has 24"},
		{Greedy[float32]{}, trellis.Tensor[float32]{Shape: []int{-5, 5}}, nil, "trellis: Greedy.Decode: x.Shape[0] = -5: negative axis"},
		{Greedy[float32]{}, trellis.Tensor[float32]{Shape: []int{1 << 30, 1 << 30, 1 << 30}}, nil, "trellis: Greedy.Decode: x.Shape = [1073741824 1073741824 1073741824]: the product of the axes overflows an int"},
		{Greedy[float32]{}, trellis.Tensor[float32]{Shape: []int{1 << 30, 0, 5}}, nil, "trellis: Greedy.Decode: x.Shape = [1073741824 0 5]: more than 2²⁶ frames"},
	} {
		got, err := c.g.Decode(before, c.x, c.lengths)
		assert.EqualError(t, err, c.want)
		assert.Equal(t, []Reading{{Score: 7}}, got)
	}
	for _, c := range []struct {
		b    Beam[float32]
		want string
	}{
		{Beam[float32]{Width: -1}, "Width = -1: negative"},
		{Beam[float32]{TopK: -1}, "TopK = -1: negative"},
		{Beam[float32]{NBest: -1}, "NBest = -1: negative"},
		{Beam[float32]{Workers: -1}, "Workers = -1: negative"},
		{Beam[float32]{Threshold: 1}, "Threshold = 1: outside [0,1)"},
		{Beam[float32]{Threshold: -0.1}, "Threshold = -0.1: outside [0,1)"},
		{Beam[float32]{Threshold: math.NaN()}, "Threshold = NaN: outside [0,1)"},
		{Beam[float32]{Scorers: []Scorer{nil}}, "Scorers[0] = <nil>: no scorer"},
		{Beam[float32]{Blank: 9}, "Blank = 9: class outside [0,4)"},
	} {
		_, err := c.b.Decode(nil, x, nil)
		assert.EqualError(t, err, "trellis: Beam.Decode: "+c.want)
		_, err = c.b.Stream(4)
		assert.EqualError(t, err, "trellis: Beam.Stream: "+c.want)
	}
	_, err := Beam[float32]{}.Stream(-1)
	assert.EqualError(t, err, "trellis: Beam.Stream: Blank = 0: class outside [0,-1)")
	s, err := Beam[float32]{}.Stream(4)
	require.NoError(t, err)
	assert.EqualError(t, s.Write(x), "trellis: Stream.Write: x.Shape = [2 3 4]: want (T,4)")
	assert.EqualError(t, s.Write(trellis.Tensor[float32]{Shape: []int{2, 4}}), "trellis: Stream.Write: x.Shape = [2 4]: needs 8 elements, Data has 0")
}

// FuzzDecode compares the beam with a plain search, and a stream that is cut with one that is not.
func FuzzDecode(f *testing.F) {
	f.Add(uint64(1), uint8(5), uint8(4), uint8(3), uint8(0))
	f.Add(uint64(2), uint8(30), uint8(2), uint8(1), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, frames, classes, width, options uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := 1 + int(classes)%20
		e := randomEmissions[float64](r, trellis.Probabilities, int(frames)%30, c, []int{0, 2, 4, 8}[options%4])
		b := Beam[float64]{Blank: int(seed % uint64(c)), Scores: e.scores, Width: 1 + int(width), NBest: 10, TopK: int(options>>2) % 4, Threshold: []float64{0, 0.1}[options>>4&1]}
		got, err := b.Decode(nil, e.x, nil)
		require.NoError(t, err)
		if int(frames)%30 <= 12 { // else sums of equal ones are rounded
			want := plainBeam{b.Blank, b.Width, b.TopK, b.Threshold, nil}.decode(e.rows)
			if len(want) > 0 {
				sameHypotheses(t, want[:min(10, len(want))], got[0], 1e-9, b, e.rows)
			}
		}
		s, err := b.Stream(c)
		require.NoError(t, err)
		for i := range e.rows {
			require.NoError(t, s.Write(trellis.Tensor[float64]{Data: e.x.Data[i*c:][:c], Shape: []int{1, c}}))
		}
		require.Equal(t, got[0], s.Finish(nil))
	})
}

// With one worker no goroutine is started, however many rows and however few classes there are.
func TestGreedyWithoutGoroutines(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which starts some
	created := func() uint64 {
		sample := []metrics.Sample{{Name: "/sched/goroutines-created:goroutines"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	for _, classes := range []int{1, 2, 5, 40, 2000} {
		const elements = 1 << 19
		x := trellis.Tensor[float32]{Data: make([]float32, elements/classes*classes), Shape: []int{elements / classes, classes}}
		before := created()
		_, err := Greedy[float32]{Workers: 1}.Decode(nil, x, nil)
		require.NoError(t, err)
		assert.Equal(t, before, created(), "%d classes", classes)
	}
}
