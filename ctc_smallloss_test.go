package trellis

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/view"
)

func TestFindTop(t *testing.T) {
	for _, c := range []struct {
		x    []float32
		want [3]int
	}{
		{[]float32{5}, [3]int{0, -1, -1}},
		{[]float32{1, 2}, [3]int{1, 0, -1}},
		{[]float32{1, 4, 2, 3}, [3]int{1, 3, 2}},
		{[]float32{7, 7, 7, 7}, [3]int{0, 1, 2}}, // the first of equal ones
		{[]float32{0, 3, 1, 3, 2}, [3]int{1, 3, 4}},
	} {
		var k smallLoss[float32]
		k.findTop(c.x)
		assert.Equal(t, c.want, k.class, "%v", c.x)
	}
}

func TestSort3(t *testing.T) {
	for _, a := range [][3]int{{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}} {
		sort3(&a)
		assert.Equal(t, [3]int{1, 2, 3}, a)
	}
	equal := [3]int{4, 4, 0}
	sort3(&equal)
	assert.Equal(t, [3]int{0, 4, 4}, equal)
}

// The rest is the sum over all classes but the top three, wherever these are.
func TestSumRest(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 20, block + 2, 2*block + 3} {
		for _, top := range [][3]int{{0, 1, 2}, {n - 1, n - 2, n - 3}, {n / 2, 0, n - 1}, {block, block - 1, block + 1}} {
			x := make([]float64, n)
			for i := range x {
				x[i] = -float64(i%7) - 5
			}
			for i, c := range top {
				if c >= 0 && c < n && x[c] <= -5 {
					x[c] = -float64(i)
				}
			}
			var k smallLoss[float64]
			k.findTop(x)
			m, want := x[k.class[0]], 0.0
			for i, v := range x {
				if i != k.class[0] && i != k.class[1] && i != k.class[2] {
					want += math.Exp(v - m)
				}
			}
			assert.InDelta(t, want, k.sumRest(x, m), 1e-14*float64(n), "%d classes, the largest at %v", n, k.class)
		}
	}
}

// What leaves some classes is what the other ones have.
func TestLeaving(t *testing.T) {
	x := []float64{0.5, 3, 2.5, -1, 2, 0, 1.5}
	target := ctcTarget{}
	target.set([]int{1, 5, 2, 3}, 0)
	var k smallLoss[float64]
	k.reset(target.length + 1)
	k.to = target.length // so that all labels are read
	norm := k.read(x, target.named())
	var sum float64
	for _, v := range x {
		sum += math.Exp(v)
	}
	assert.InEpsilon(t, math.Log(sum), norm, 1e-15)
	for _, places := range [][3]int{{-1, -1, -1}, {4, -1, -1}, {0, -1, -1}, {4, 0, -1}, {4, 1, 2}, {0, 2, 3}, {4, 3, 1}} {
		want := sum
		for _, i := range places {
			if i >= 0 {
				want -= math.Exp(x[target.named()[i]])
			}
		}
		assert.InEpsilon(t, want/sum, k.leaving(places[0], places[1], places[2]), 1e-14, "%v", places)
	}
}

// Losses that refine takes on, from 1 down to what a sum of probabilities near 1 cannot show,
// beside long numbers.
func TestSmallLossIsRelativelyExact(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	for i := range 60 {
		s := sequence[float64]{classes: 2 + r.IntN(6), CTCLoss: CTCLoss[float64]{Scores: Scores(i % 3)}}
		s.labels = randomLabels(r, r.IntN(5), s.classes)
		s.frames = leastFrames(s.labels) + r.IntN(12)
		path := pathOf(s.labels, s.frames)
		s.x = make([]float64, s.frames*s.classes)
		for frame, class := range path {
			row := s.x[frame*s.classes:][:s.classes]
			for c := range row {
				row[c] = r.NormFloat64()
			}
			row[class] += float64(2 + i*2/3)
			switch s.Scores {
			case LogProbabilities:
				LogSoftmax(row, row)
			case Probabilities:
				Softmax(row, row)
			}
		}
		var target ctcTarget
		target.set(s.labels, 0)
		var k smallLoss[float64]
		got := k.refine(math.NaN(), &target, view.Of(s.x, s.classes, s.classes), s.frames, s.Scores)
		want, _ := s.bigTrellis()
		tolerance := 1e-13 * math.Abs(want)
		if s.Scores == LogProbabilities { // whose sums are not exactly 1
			tolerance += float64(s.frames) * 0x1p-52
		}
		assert.InDelta(t, want, got, tolerance, "%v", s)
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
	assert.True(t, isSmall[float64](0.05, 100))
	assert.False(t, isSmall[float64](0.2, 100))
	assert.True(t, isSmall[float32](1e-7, 100))
	assert.False(t, isSmall[float32](1e-5, 100))
	for _, loss := range []float64{math.Inf(1), math.NaN()} {
		assert.False(t, isSmall[float64](loss, 1<<20))
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
	var target ctcTarget
	target.set(labels, 0)
	var k smallLoss[float64]
	k.reset(n + 1)
	widest := 0
	for frame := range n {
		k.read(x[frame*classes:][:classes], target.named())
		k.step(&target)
		widest = max(widest, k.to-k.from)
	}
	assert.Less(t, widest, 10)
	missed, spelled := k.end()
	require.InEpsilon(t, 1, spelled, 1e-15)
	require.InEpsilon(t, n*2*math.Exp(-300), missed, 1e-12)
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
