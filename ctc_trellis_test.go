package trellis

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/tiertest"
)

// Cutting the frames into segments changes memory and time, and no bit of what is above
// leastOccupancy.
func TestSegments(t *testing.T) {
	t.Run("float32", testSegments[float32])
	t.Run("float64", testSegments[float64])
}

func testSegments[F Float](t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for i, classes := range []int{7, 400, 7, 400} { // exp by class and by label
		kind := []Scores{Logits, Probabilities}[i/2]
		for _, frames := range []int{1, 2, 3, 4, 15, 16, 17, 99, 100, 101} {
			x := make([]F, frames*classes)
			for i := range x {
				x[i] = F(3 * r.NormFloat64())
			}
			if kind == Probabilities {
				SoftmaxRows(x, Tensor[F]{x, []int{frames, classes}})
			}
			targets := make([]int, frames/3)
			for i := range targets {
				targets[i] = 1 + r.IntN(classes-1)
			}
			whole := sequenceOf(x, make([]F, len(x)), classes)
			whole.scores = kind
			loss := whole.compute(targets, 0, keptBytes)
			require.Equal(t, frames, whole.trellis.segment)
			for _, kept := range []int{1, 20000, 60000} {
				for _, inPlace := range []bool{false, true} {
					scores, grad := x, make([]F, len(x))
					if inPlace { // segments are read again before they are overwritten
						scores = append(grad[:0], x...)
					}
					cut := sequenceOf(scores, grad, classes)
					cut.scores = kind
					assert.Equal(t, loss, cut.compute(targets, 0, kept))
					assert.Equal(t, whole.grad.Data, grad, "%d frames of %d classes in segments of %d, in place: %v", frames, classes, cut.trellis.segment, inPlace)
					if kept == 1 && frames > 3 {
						assert.Less(t, cut.trellis.segment, frames/2+1)
					}
				}
			}
		}
	}
}

// Targets and alphabets that take a call for every frame, on all tiers.
func TestLongTargetsOfManyClasses(t *testing.T) {
	t.Run("float32", testLongTargets[float32])
	t.Run("float64", testLongTargets[float64])
}

func testLongTargets[F Float](t *testing.T) {
	const frames, classes, labels = 8*panelWidth + 140, 1100, 8*panelWidth + 36
	r := rand.New(rand.NewPCG(21, 22))
	x, targets := make([]F, frames*classes), make([]int, labels)
	for i := range x {
		x[i] = F(r.NormFloat64())
	}
	for i := range targets {
		targets[i] = 1 + i%2
	}
	for _, scores := range []Scores{Logits, LogProbabilities, Probabilities} {
		if testing.Short() && scores != Logits {
			break
		}
		x := x
		if scores == Probabilities {
			x = slices.Clone(x)
			SoftmaxRows(x, Tensor[F]{x, []int{frames, classes}})
		}
		l := CTCLoss[F]{Scores: scores, Reduction: Sum}
		loss, grad := ctcOf(t, l, x, classes, targets)
		tiertest.Each(t, func(t *testing.T) {
			again := make([]F, len(x))
			got, err := l.Grad(again, Tensor[F]{x, []int{frames, classes}}, targets, nil, nil)
			require.NoError(t, err)
			require.Equal(t, loss, got)
			require.True(t, slices.Equal(grad, again))
		})
	}
}

// Where frames are cut into segments, and where the common factor is a product of
// thousands of numbers below or above 1.
func TestLossesOfManyFrames(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	const classes = 30
	x, targets := make([]float64, 2500*classes), make([]int, 500)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	for i := range targets {
		targets[i] = 1 + r.IntN(classes-1)
	}
	ctcOf(t, CTCLoss[float64]{Scores: Logits}, x, classes, targets)

	for _, score := range []float64{-0.34, 0.34, 0} {
		confident := make([]float64, 4000*2)
		for i := range confident {
			confident[i] = score - float64(i%2)*100
		}
		loss, _ := ctcOf(t, CTCLoss[float64]{Scores: Logits}, confident, 2, nil)
		require.InEpsilon(t, 4000*3.720075976020836e-44, loss, 1e-9) // ln(1+e⁻¹⁰⁰)
	}
}

// Long inputs of which no row of exponents holds all states: a tenth of all scores is masked, and a
// network is sure of itself. The loss is that of the recursion in logarithms, and the occupancies of a frame
// add up to 1, which takes α and β that belong to each other.
func TestLongHardInputs(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	r := rand.New(rand.NewPCG(25, 26))
	const classes = 32
	for _, test := range []struct {
		name           string
		frames, labels int
		score          func(onPath bool) float64
	}{
		{"masked", 20000, 500, func(bool) float64 {
			if r.IntN(10) == 0 {
				return -1e4
			}
			return r.NormFloat64()
		}},
		{"peaked", 6000, 1800, func(onPath bool) float64 {
			if onPath {
				return 12 + r.NormFloat64()
			}
			return -8 * r.ExpFloat64()
		}},
		{"peaked at another path", 3000, 900, func(onPath bool) float64 {
			if onPath == (r.IntN(7) == 0) {
				return 20 * r.NormFloat64()
			}
			return -20 * r.ExpFloat64()
		}},
		{"barely long enough", 1500, 1400, func(bool) float64 { return 30 * r.NormFloat64() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			labels := make([]int, test.labels)
			for i := range labels {
				labels[i] = 1 + (i*7+i/31)%(classes-1)
			}
			x := make([]float64, test.frames*classes)
			for frame := range test.frames {
				class := 0
				if at := frame * (2*test.labels + 1) / test.frames; at%2 == 1 {
					class = labels[at/2]
				}
				for c := range classes {
					x[frame*classes+c] = test.score(c == class)
				}
			}
			for _, scores := range []Scores{Logits, LogProbabilities} {
				if scores == LogProbabilities {
					LogSoftmaxRows(x, Tensor[float64]{x, []int{test.frames, classes}})
				}
				loss, grad := ctcOf(t, CTCLoss[float64]{Scores: scores, Reduction: Sum}, x, classes, labels)
				require.InEpsilon(t, lossByLogarithms(x, classes, labels), loss, 1e-12)
				for frame := range test.frames {
					var sum float64
					for _, v := range grad[frame*classes:][:classes] {
						sum += v
					}
					require.InDelta(t, 0, sum, 1e-10, "frame %d", frame)
				}
			}
		})
	}
}

// States that are 0 hand on no exponent: in wide frames the largest counts.
func TestZerosBeforeWideFrames(t *testing.T) {
	masked := math.Inf(-1)
	for _, test := range []struct {
		x      []float64
		labels []int
	}{
		{[]float64{-1e5, -6.25, 7.25, 0, -3.5, -5.7, -6.9, -746, 3.3, 709.9, masked, 11.9, 2.2, 0.1, -6.75}, []int{1, 1, 2}},
		{[]float64{-10.6, -6.7, -10.9, masked, 7.6, -3.7, 0.75, -10.6, 0.9, -3.1, -6.7, -0.6, -4.4, 5.6, 709.9}, []int{2, 2, 2}},
		{[]float64{0, 3.3, 1.6, 3.75, -12.6, 7.25, 10.1, 709.9, 1.5}, nil},
	} {
		loss, _ := ctcOf(t, CTCLoss[float64]{Scores: Logits, Reduction: Sum}, test.x, 3, test.labels)
		want := lossByLogarithms(test.x, 3, test.labels)
		if math.IsInf(want, 1) {
			require.Equal(t, want, loss)
			continue
		}
		require.InEpsilon(t, want, loss, 1e-12)
	}
	require.NoError(t, CTCLoss[float32]{}.Losses([]float32{0}, Tensor[float32]{nil, []int{0, 1, 3}}, []int{1}, nil, nil))
}

// lossByLogarithms returns the loss of logits by the recursion over logarithms of α.
func lossByLogarithms(x []float64, classes int, labels []int) float64 {
	add := func(a, b float64) float64 {
		if a < b {
			a, b = b, a
		}
		if math.IsInf(b, -1) {
			return a
		}
		return a + math.Log1p(math.Exp(b-a))
	}
	b, l := make([]float64, len(labels)+1), make([]float64, len(labels)+1)
	for i := range b {
		b[i], l[i] = math.Inf(-1), math.Inf(-1)
	}
	b[0] = 0
	row := make([]float64, classes)
	for at := 0; at < len(x); at += classes {
		LogSoftmax(row, x[at:at+classes])
		for i := len(labels); i >= 0; i-- {
			before := math.Inf(-1)
			if i > 0 {
				before = l[i-1]
			}
			if i < len(labels) {
				l[i] = add(l[i], b[i])
				if i > 0 && labels[i] != labels[i-1] {
					l[i] = add(l[i], before)
				}
				l[i] += row[labels[i]]
			}
			b[i] = add(b[i], before) + row[0]
		}
	}
	if len(labels) == 0 {
		return -b[0]
	}
	return -add(b[len(labels)], l[len(labels)-1])
}
