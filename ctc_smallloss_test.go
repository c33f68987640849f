package trellis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/view"
)

// windowOf reads a row as the frame in which all labels of a target are in reach.
func windowOf[F Float](x []F, labels []int, scores Scores) *smallLoss[F] {
	target, m := ctcTarget{}, emission[F]{}
	target.set(labels, 0)
	m.begin(&target, view.Of(x, len(x), len(x)), 1, emissionOptions{scores: scores})
	m.max, m.sum = make([]F, 1), make([]float64, 1)
	m.max[0], m.sum[0] = sumExpRow(x, 0)
	var k smallLoss[F]
	k.begin(&m)
	k.to = len(labels)
	switch scores {
	case LogProbabilities:
		k.readLogProbabilities(x)
	case Logits:
		k.readLogits(&m, 0)
	case Probabilities:
		k.readProbabilities(x)
	}
	return &k
}

// What leaves some classes is what the other ones have, in frames that are in doubt and in others.
func TestWithout(t *testing.T) {
	labels := []int{1, 5, 2, 3, 1}
	rows := map[string][]float64{
		"normal":              {0.5, 3, 2.5, -1, 2, 0, 1.5},
		"sure":                {0, 30, 1, 2, 1, 2, 3, 4},
		"sure of another one": {0, 2, 1, 2, 1, 2, 3, 40},
		"one other":           {50, 20, 0, 0, -1, -2, -3},
		"two others":          {50, 20, 0, 0, -1, 20.5, -3},
		"three others":        {50, 20, 0.5, 19, -1, 20.5, -3},
		"a tie":               {0, 30, 30, 2, 1, 2, 3, 4},
		"a tie of three":      {30, 30, 30, 2, 1, 2, 3, 4},
		"all equal":           {1, 1, 1, 1, 1, 1, 1},
		"masked":              {0, math.Inf(-1), 30, math.Inf(-1), 2, 3, math.Inf(-1)},
		"one only":            {math.Inf(-1), 7, math.Inf(-1), math.Inf(-1), math.Inf(-1), math.Inf(-1)},
	}
	for _, n := range []int{40, block, block + 7, 2*block + 3} {
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(i%7) / 8
		}
		x[5], x[2] = 50, 40
		rows[fmt.Sprint(n, " classes")] = x
	}
	for name, x := range rows {
		for _, scores := range []Scores{Logits, LogProbabilities, Probabilities} {
			row, m := x, slices.Max(x)
			if scores == Probabilities {
				row = make([]float64, len(x))
				Softmax(row, x)
			}
			if scores != Logits { // of which only the named classes count
				m = slices.Max(x[:6])
			}
			k := windowOf(row, labels, scores)
			for _, places := range [][2]int{{-1, -1}, {0, -1}, {4, -1}, {1, 2}, {2, 3}, {3, 4}, {0, 1}} {
				out, terms := []int{0}, emittedTerm(k.blank)
				for _, j := range places {
					if j >= 0 {
						out, terms = append(out, labels[j]), terms.and(emittedTerm(k.labels[j]))
					}
				}
				counts := func(c int) bool { return scores == Logits || slices.Contains([]int{0, 1, 2, 3, 5}, c) }
				var others []float64
				for c, v := range x {
					if counts(c) && !slices.Contains(out, c) {
						others = append(others, math.Exp(v-m))
					}
				}
				slices.Sort(others) // so that small ones add up
				var want float64
				for _, v := range others {
					want += v
				}
				what := fmt.Sprint(name, " scores ", scores, " without ", out)
				if got, sure := k.without(terms); k.sum <= mostSure && sure {
					assert.InDelta(t, want, got, 1e-13*want, what)
				}
				doubtful := *k
				doubtful.doubt = doubt{}
				assert.InDelta(t, want, doubtful.withoutInDoubt(places[0], places[1]), 1e-13*want, what)
			}
		}
	}
}

// requireRelativelyExact compares a small loss with bigTrellis, where refine gives one.
func (s sequence[F]) requireRelativelyExact(t *testing.T, relative float64) {
	t.Helper()
	loss, _, w := s.run(t, math.MaxInt, false)
	want, _ := s.bigTrellis()
	var k smallLoss[F]
	got := k.refine(math.NaN(), &w.emission)
	if want > 0.69 && got != got { // left to the trellis
		return
	}
	tolerance := relative * math.Abs(want)
	if s.Scores == LogProbabilities { // whose sums are not exactly 1
		tolerance += float64(s.frames) * float64(1-kerneltest.Moved[F](1, -1)) * 2
	}
	require.InDelta(t, want, got, tolerance, "%v", s)
	if isSmall[F](want, s.frames, s.Scores) {
		require.Equal(t, got, loss, "%v", s)
	}
	q := sequenceOf(s.x, nil, s.classes)
	q.scores = s.Scores
	q.grad.Data = nil
	require.Equal(t, loss, q.compute(s.labels, 0, 0), "without a gradient: %v", s)
}

// Losses that refine takes on, from ln 2 down to what a sum of probabilities near 1 cannot show,
// beside long numbers.
func TestSmallLossIsRelativelyExact(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	for i := range 90 {
		s := sequence[float64]{classes: 2 + r.IntN(6), CTCLoss: CTCLoss[float64]{Scores: Scores(i % 3)}}
		s.labels = randomLabels(r, r.IntN(5), s.classes)
		s.frames = LeastFrames(s.labels) + r.IntN(12)
		if i%5 == 4 {
			s.classes = 1100 // exp by label
		}
		s.x = make([]float64, s.frames*s.classes)
		for frame, class := range pathOf(s.labels, s.frames) {
			row := s.x[frame*s.classes:][:s.classes]
			for c := range row {
				row[c] = math.Round(r.NormFloat64()*32) / 32
			}
			row[class] += float64(2 + i/2)
			s.normalize(row)
		}
		s.requireRelativelyExact(t, 1e-13)
	}
}

// normalize makes of logits what scores are.
func (s sequence[F]) normalize(row []F) {
	switch s.Scores {
	case LogProbabilities:
		LogSoftmax(row, row)
	case Probabilities:
		Softmax(row, row)
	}
}

// Frames in which the largest score is that of several classes that all go on with the target, or of
// nearly all of it, and what does not is 30 nats below.
func TestSmallLossInDoubt(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testSmallLossInDoubt[float32](t, 4e-7) })
	t.Run("float64", func(t *testing.T) { testSmallLossInDoubt[float64](t, 1e-13) })
}

func testSmallLossInDoubt[F Float](t *testing.T, relative float64) {
	for _, classes := range []int{6, 1100} {
		for _, scores := range []Scores{Logits, LogProbabilities, Probabilities} {
			for _, below := range []float64{0, 0x1p-60, 0.5, 3, 5, 12, 25} {
				s := sequence[F]{classes: classes, labels: []int{1, 2, 1, 3, 3}, CTCLoss: CTCLoss[F]{Scores: scores}}
				path := []int{1, 1, 0, 0, 2, 2, 1, 1, 1, 0, 3, 3, 0, 3, 3, 0, 0}
				s.frames = len(path)
				s.x = make([]F, s.frames*classes)
				for frame, class := range path {
					row := s.x[frame*classes:][:classes]
					for c := range row {
						row[c] = F(-30 - float64(c%3)/4)
					}
					row[class] = 0
					if frame > 0 && path[frame-1] != class && !(class == 0 && path[frame+1] == 3 && path[frame-1] == 3) {
						row[path[frame-1]] = F(-below) // the step to the class may as well come later
					}
					s.normalize(row)
				}
				s.requireRelativelyExact(t, relative)
			}
		}
	}
}

// Errors of many frames do not add up to more, and what left long ago counts.
func TestSmallLossOfLongSequence(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 44))
	for _, ahead := range []float64{12, 20, 60} {
		s := sequence[float64]{classes: 4, frames: 1500, labels: randomLabels(r, 6, 4), CTCLoss: CTCLoss[float64]{Scores: Logits}}
		s.x = make([]float64, s.frames*s.classes)
		for frame, class := range pathOf(s.labels, s.frames) {
			for c := range s.classes {
				s.x[frame*s.classes+c] = float64(r.IntN(17)) / 8
			}
			s.x[frame*s.classes+class] += ahead
		}
		s.requireRelativelyExact(t, 1e-13)
	}
}

// pathOf returns classes of frames that spell a target as early as they can, with blanks behind.
func pathOf(labels []int, frames int) []int {
	var path []int
	for i, label := range labels {
		if i > 0 && label == labels[i-1] {
			path = append(path, 0)
		}
		path = append(path, label)
	}
	return append(path, make([]int, frames-len(path))...)
}

func TestIsSmall(t *testing.T) {
	assert.True(t, isSmall[float64](0.05, 100, LogProbabilities))
	assert.False(t, isSmall[float64](0.2, 100, LogProbabilities))
	assert.True(t, isSmall[float32](1e-7, 100, LogProbabilities))
	assert.False(t, isSmall[float32](1e-5, 100, LogProbabilities))
	assert.True(t, isSmall[float64](0.69, 5000, LogProbabilities))
	assert.False(t, isSmall[float64](0.7, 5000, LogProbabilities)) // P is below ½
	assert.True(t, isSmall[float64](-0.05, 100, LogProbabilities))
	assert.False(t, isSmall[float64](-0.2, 100, LogProbabilities)) // scores that are not normalised
	assert.True(t, isSmall[float64](-0.2, 100, Logits))
	for _, loss := range []float64{math.Inf(1), math.NaN()} {
		assert.False(t, isSmall[float64](loss, 1<<20, LogProbabilities))
	}
}

// States that do not matter any more are left out: a long sequence takes as long as it has
// frames, not as it has labels, and its loss is that of short ones.
func TestSmallLossTrims(t *testing.T) {
	const classes, n = 3, 400
	labels := make([]int, n)
	for i := range labels {
		labels[i] = 1 + i%2
	}
	x := make([]float64, n*classes)
	for frame, class := range pathOf(labels, n) {
		x[frame*classes+class] = 300
	}
	var w trellis[float64]
	w.target.set(labels, 0)
	w.begin(view.Of(x, classes, classes), n, emissionOptions{scores: Logits}, 0)
	var k smallLoss[float64]
	k.begin(&w.emission)
	widest := 0
	for frame := range n {
		k.readLogits(&w.emission, frame)
		k.step(&w.target)
		widest = max(widest, k.to-k.from)
	}
	assert.Less(t, widest, 10)
	require.InEpsilon(t, 1, k.b[n]+k.l[n-1], 1e-15)
	require.InEpsilon(t, n*2*math.Exp(-300), k.end(), 1e-12)
}

// The sum over 4096 classes of a frame, nearly all of which have the same logit, rounds in
// float32: docs/ctc.md has these numbers.
func TestSmallLossOfEqualLogits(t *testing.T) {
	const classes = 4096
	t.Run("float32", func(t *testing.T) {
		loss, _ := ctcOf(t, CTCLoss[float32]{Scores: Logits}, equalLogits[float32](classes), classes, []int{classes - 1, classes - 2})
		assert.Equal(t, float32(2.5316976e-05), loss)
	})
	t.Run("float64", func(t *testing.T) {
		loss, _ := ctcOf(t, CTCLoss[float64]{Scores: Logits}, equalLogits[float64](classes), classes, []int{classes - 1, classes - 2})
		assert.InEpsilon(t, 2.5317043e-05, loss, 2e-8)
	})
}

// equalLogits returns three frames of logits 0, but for a 20 at the last class, at class 0 and
// at the class before the last.
func equalLogits[F Float](classes int) []F {
	x := make([]F, 3*classes)
	x[classes-1], x[classes], x[3*classes-2] = 20, 20, 20
	return x
}
