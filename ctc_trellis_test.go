package trellis

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/ref"
	"github.com/gotrellis/trellis/internal/tiertest"
	"github.com/gotrellis/trellis/internal/view"
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

// Exponents are renewed seldom, whatever the scores are: a run is as long as its states stay in range.
func TestRunsAreLong(t *testing.T) {
	const frames, classes, n = 320, 32, 100 // ten groups
	r := rand.New(rand.NewPCG(27, 28))
	labels := make([]int, n)
	for i := range labels {
		labels[i] = 1 + (i*7+i/31)%(classes-1)
	}
	for _, test := range []struct {
		name  string
		score func(onPath bool) float64
		most  int
	}{
		{"normal", func(bool) float64 { return r.NormFloat64() }, 10},
		{"peaked", func(onPath bool) float64 {
			if onPath {
				return 12 + r.NormFloat64()
			}
			return -8 * r.ExpFloat64()
		}, 15},
		{"normal times 30", func(bool) float64 { return 30 * r.NormFloat64() }, 110},
		{"impossible now and then", maskedBy(r, math.Inf(-1), 100), 30},
		{"masked often", maskedBy(r, -1e4, 10), 30},
		{"far apart and impossible often", func(bool) float64 {
			if r.IntN(10) == 0 {
				return math.Inf(-1)
			}
			return 10 * r.NormFloat64()
		}, 40},
		{"below float32 and impossible often", func(bool) float64 {
			if r.IntN(10) == 0 {
				return math.Inf(-1)
			}
			return 30 * r.NormFloat64()
		}, 400},
	} {
		x := make([]float32, frames*classes)
		for frame := range frames {
			class := 0
			if at := frame * (2*n + 1) / frames; at%2 == 1 {
				class = labels[at/2]
			}
			for c := range classes {
				x[frame*classes+c] = float32(test.score(c == class))
			}
		}
		s := sequenceOf(x, make([]float32, len(x)), classes)
		s.scores = Logits
		s.compute(labels, 0, math.MaxInt)
		runs := len(s.trellis.runs)
		t.Logf("%s: %d runs", test.name, runs)
		assert.LessOrEqual(t, runs, test.most, test.name)
		for _, r := range s.trellis.runs {
			for frame := r.frames.From; frame < r.frames.To && !r.wide; frame++ {
				least, largest := extent(s.trellis.alphaFrom(frame, r.positions.From)[:2*r.positions.Len()])
				const most = runExponents + 3 // up is a bit too low: 3√2 is more than 4
				require.True(t, exponent(largest) <= most && exponent(least) >= -most, "%s: frame %d: %v to %v", test.name, frame, least, largest)
			}
		}
	}
}

// As many frames follow as keep within both bounds for sure; one may be tried that could grow beyond, but not so far that
// it could overflow, for which the label in front of a panel may be the reason, too.
func TestMovement(t *testing.T) {
	leasts := []float64{0x1p-9, 0x1p-99, 0x1p-9, 1}
	m := movement{up: 100, down: 1, above: 700, below: 700}
	for _, test := range []struct{ above, below, want int }{
		{0, 0, 4}, {300, 0, 4}, {301, 0, 3}, {600, 0, 1}, {601, 0, 0},
		{0, 579, 4}, {0, 580, 3}, {0, 581, 2}, {0, 590, 2}, {0, 591, 1}, {0, 691, 0},
	} {
		assert.Equal(t, test.want, m.frames(leasts, test.above, test.below), "%+v", test)
	}
	behind := movement{up: 100, down: 1, above: 500, below: 700}
	assert.True(t, m.mayTry(0x1p-9, 900, 690) && behind.mayTry(0x1p-9, 700, 690))
	assert.False(t, m.mayTry(0x1p-9, 901, 690) || behind.mayTry(0x1p-9, 701, 690) || m.mayTry(0x1p-9, 900, 691))
}

// maskedBy returns a function for standard normal scores of which one in so many is a mask.
func maskedBy(r *rand.Rand, mask float64, many int) func(bool) float64 {
	return func(bool) float64 {
		if r.IntN(many) == 0 {
			return mask
		}
		return r.NormFloat64()
	}
}

// Eights of states that are all 0, or of which none is, inherit what they would one by one.
func TestInherit(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 44))
	for range 20000 {
		var w trellis[float64]
		var front edge
		w.from, front[0] = &front, number{float64(r.IntN(2)), float64(r.IntN(4000) - 2000)}
		labels := make([]int, r.IntN(60))
		for i := range labels {
			labels[i] = 1 + r.IntN(3)
		}
		w.target.set(labels, 0)
		at := 8 * r.IntN(len(labels)/8+1)
		p := panel{positions: view.Span{From: at, To: at + 8*(1+r.IntN((w.target.inUse-at)/8))}, isFirst: at == 0}
		n := p.positions.Len()
		states := numberRow{make([]float64, 2*n), make([]float64, 2*n)}
		var zeros float64
		for i := range 2 * n {
			if i%16 == 0 {
				zeros = [...]float64{0, 0, 1, 1, 0.1, 0.5, 0.9}[r.IntN(7)]
			}
			position, isLabel := i/16*8+i%8, i%16 >= 8
			switch {
			case at+position > len(labels) || at+position == len(labels) && isLabel:
				states.exponents[i] = never // a pad
				continue
			case r.Float64() >= zeros:
				states.v[i] = 1 + r.Float64()
			}
			states.exponents[i] = float64(r.IntN(4000) - 2000)
		}

		want := slices.Clone(states.exponents)
		before, isZero := w.before(p, 0).e, w.before(p, 0).v == 0
		for i := range min(n, len(labels)+1-at) {
			v, e := statesAt(states.v, i), statesAt(want, i)
			if v[onBlank] == 0 {
				e[onBlank] = before
			}
			if at+i == len(labels) {
				break
			}
			if v[onLabel] == 0 {
				if e[onLabel] = e[onBlank]; v[onBlank] == 0 || !isZero {
					e[onLabel] = max(e[onBlank], before+w.target.skipExponents[at+i])
				}
			}
			before, isZero = e[onLabel], v[onLabel] == 0
		}
		w.inherit(states, p, 0)
		require.Equal(t, want, states.exponents, "%v of %v", p.positions, labels)
	}
}

// Long inputs of which no row of exponents holds all states: a tenth of all scores is masked, and a
// network is sure of itself. The loss is that of the recursion in logarithms, and the occupancies of a frame
// add up to 1.
func TestLongHardInputs(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	const classes = 32
	for _, test := range []struct {
		name           string
		frames, labels int
		score          func(onPath bool) float64
	}{
		{"masked", 20000, 500, maskedBy(r, -1e4, 10)},
		{"masked, some panels", 600, 150, maskedBy(r, -1e4, 10)},
		{"impossible, some panels", 600, 150, maskedBy(r, math.Inf(-1), 100)},
		{"as improbable as what is left out", 300, 80, maskedBy(r, -1200, 10)},
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
			if testing.Short() && test.frames > 1000 {
				t.Skip("slow")
			}
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
				requireSound(t, "", lossByLogarithms(x, classes, labels), loss, grad, classes)
			}
		})
	}
}

// Some classes are improbable in every frame, so that states of neighbours move apart, and now and then a frame has one
// class alone, or a few: states that it made 0 come back from such neighbours, and on the way back β of them is far too
// large.
func TestRunsThroughZeros(t *testing.T) {
	r := rand.New(rand.NewPCG(29, 30))
	const classes = 6
	for trial := range 1000 {
		frames := 20 + r.IntN(140)
		labels := make([]int, 2+r.IntN(12))
		for i := range labels {
			labels[i] = 1 + (i+r.IntN(2))%(classes-1)
		}
		depth, often := [...]float64{3, 10, 30, 100}[r.IntN(4)], 1/float64(5+r.IntN(40))
		var usual [classes]float64
		for c := range usual {
			usual[c] = -depth * float64(r.IntN(3)) / 2
		}
		x := make([]float64, frames*classes)
		few, one := 1.0, 0
		for i := range x {
			if i%classes == 0 {
				if few, one = 1, r.IntN(classes); r.Float64() < often {
					few = 0.5 * r.Float64()
				}
			}
			if x[i] = usual[i%classes] + r.NormFloat64(); i%classes != one && r.Float64() > few {
				x[i] = math.Inf(-1)
			}
		}
		loss, grad := ctcOf(t, CTCLoss[float64]{Scores: Logits, Reduction: Sum}, x, classes, labels)
		want := lossByLogarithms(softened(x, classes), classes, labels)
		requireSound(t, fmt.Sprintf("trial %d", trial), want, loss, grad, classes)
	}
}

// A loss without a gradient has longer groups if its target is short, and the same bits.
func TestGroupsOfLosses(t *testing.T) {
	const frames, classes = 450, 5
	r := rand.New(rand.NewPCG(43, 44))
	for labels, group := range map[int]int{7: lossFrames, 70: 48, 200: groupFrames} {
		target, x := make([]int, labels), make([]float32, frames*classes)
		for i := range target {
			target[i] = 1 + r.IntN(classes-1)
		}
		for i := range x {
			if x[i] = float32(10 * r.NormFloat64()); r.IntN(20) == 0 {
				x[i] -= 500
			}
		}
		both, alone := sequenceOf(x, make([]float32, len(x)), classes), sequenceOf(x, nil, classes)
		both.scores, alone.scores = Logits, Logits
		loss := both.compute(target, 0, math.MaxInt)
		require.Equal(t, loss, alone.compute(target, 0, math.MaxInt), "%d labels", labels)
		require.Equal(t, [2]int{groupFrames, group}, [2]int{both.trellis.emission.group, alone.trellis.segment}, "%d labels", labels)
	}
}

// TestBetaOfUnreachedStates has β of states that are 0 grow by hundreds of powers of two from frame to frame: one
// frame makes all states 0 but that of a label behind five improbable ones, in a run whose exponents
// tell how improbable.
func TestBetaOfUnreachedStates(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		const frames, classes, only = 60, 5, 3
		labels := []int{1, 2, 1, 2, 1, only, 4}
		x := make([]float64, frames*classes)
		for frame := range groupFrames {
			x[frame*classes+1], x[frame*classes+2] = -200, -200
		}
		for c := range classes {
			if c != only {
				x[groupFrames*classes+c] = math.Inf(-1)
			}
		}
		s := sequenceOf(x, make([]float64, len(x)), classes)
		s.scores = Logits
		loss := s.compute(labels, 0, math.MaxInt)
		runs := s.trellis.runs
		at := slices.IndexFunc(runs, func(r run) bool { return r.frames.From == groupFrames })
		require.True(t, runs[at].lasting > 0 && runs[at].frames.Len() > 8, "%+v", runs[at])
		requireSound(t, "", lossByLogarithms(x, classes, labels), loss, s.grad.Data, classes)
	})
}

// One run has states ahead of all paths that no path has reached yet, beside one that a frame of few classes has
// left alone with its label: on the way back, β of the former grows for the whole run.
func TestBetaOfStatesNotReachedYet(t *testing.T) {
	const classes, first, last, apart = 5, 1, 2, 33
	labels := []int{first}
	for i := range apart {
		labels = append(labels, 3+i%2)
	}
	labels = append(labels, last)
	impossible := math.Inf(-1)
	var x []float64
	for frame := range 100 {
		row := make([]float64, classes)
		switch {
		case frame < 2*groupFrames-1:
			row = []float64{-100, 0, -14, -14, -14}
		case frame == 2*groupFrames-1:
			row = []float64{impossible, 0, 0, impossible, impossible}
		case frame < 3*groupFrames:
			row = []float64{0.34, 0.34, -6.8, 0.34, 0.34}
		case frame == 3*groupFrames:
			row = []float64{impossible, impossible, 0, impossible, impossible}
		}
		x = append(x, row...)
	}
	loss, grad := ctcOf(t, CTCLoss[float64]{Scores: Logits, Reduction: Sum}, x, classes, labels)
	requireSound(t, "", lossByLogarithms(x, classes, labels), loss, grad, classes)
}

// requireSound compares a loss of logits with what it should be, and requires that the gradient of each frame adds
// up to 0: then its occupancies add up to 1, which takes α and β that belong to each other.
func requireSound(t *testing.T, what string, want, loss float64, grad []float64, classes int) {
	t.Helper()
	if math.IsInf(want, 1) {
		require.Equal(t, want, loss, what)
		return
	}
	require.InEpsilon(t, want, loss, 1e-12, what)
	for at := 0; at < len(grad); at += classes {
		var sum float64
		for _, v := range grad[at:][:classes] {
			sum += v
		}
		require.InDelta(t, 0, sum, 1e-10, "%s: frame %d", what, at/classes)
	}
}

// softened returns the log-softmax of rows.
func softened(x []float64, classes int) []float64 {
	y := make([]float64, len(x))
	LogSoftmaxRows(y, Tensor[float64]{x, []int{len(x) / classes, classes}})
	return y
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

// sequence is a CTC loss of one sequence, where class 0 is the blank.
type sequence[F Float] struct {
	x               []F
	frames, classes int
	labels          []int
	CTCLoss[F]
}

func (s sequence[F]) String() string {
	return fmt.Sprintf("%T, %d frames of %d classes, labels %v, scores: %d, gradient: %d, scores %v",
		s.x, s.frames, s.classes, s.labels, s.Scores, s.Gradient, s.x)
}

// run returns the loss, its gradient, and the trellis, which has all frames in one segment
// if kept is large.
func (s sequence[F]) run(t *testing.T, kept int, inPlace bool) (loss float64, grad []F, w *trellis[F]) {
	x := slices.Clone(s.x)
	if grad = x; !inPlace {
		grad = slices.Repeat([]F{fp.NaN[F]()}, len(x))
	}
	q := sequenceOf(x, grad, s.classes)
	q.scores, q.wantSoftmax = s.Scores, s.Gradient == LogitsGradient
	return q.compute(s.labels, 0, kept), grad, &q.trellis
}

// bigTrellis is the loss and the gradient by the recursions of Graves et al. over labels
// and blanks, in long numbers that have any exponent.
func (s sequence[F]) bigTrellis() (loss float64, grad []float64) {
	states := make([]int, 2*len(s.labels)+1) // their classes
	for i, label := range s.labels {
		states[2*i+1] = label
	}
	y, exps := make([][]*big.Float, s.frames), map[F]*big.Float{} // emissions of all classes
	for t := range y {
		y[t] = s.bigEmissions(t, states, exps)
	}
	zero := func() *big.Float { return new(big.Float).SetPrec(ref.Bits) }
	row := func() []*big.Float {
		row := make([]*big.Float, len(states))
		for i := range row {
			row[i] = zero()
		}
		return row
	}
	leads := func(from, to int) bool {
		skips := to == from+2 && states[to] != 0 && states[to] != states[from]
		return from == to || to == from+1 || skips
	}

	alpha := [][]*big.Float{row()} // what is before the first frame is added there
	for t := range y {
		now := row()
		for to, class := range states {
			if t == 0 && to < 2 {
				now[to].SetInt64(1)
			}
			for from := max(0, to-2); from <= to; from++ {
				if leads(from, to) {
					addBig(now[to], alpha[t][from])
				}
			}
			now[to].Mul(now[to], y[t][class])
		}
		alpha = append(alpha, now)
	}
	beta, total := row(), zero()
	for i := max(0, len(states)-2); i < len(states); i++ {
		beta[i].SetInt64(1)
		addBig(total, alpha[s.frames][i])
	}
	if s.frames == 0 && len(s.labels) == 0 {
		total.SetInt64(1)
	}

	grad = make([]float64, len(s.x))
	if total.Sign() == 0 {
		return math.Inf(1), grad
	}
	for t := s.frames - 1; t >= 0; t-- {
		occupancy, before := make([]*big.Float, s.classes), row()
		for i, class := range states {
			if occupancy[class] == nil {
				occupancy[class] = zero()
			}
			product := zero().Mul(alpha[t+1][i], beta[i])
			addBig(occupancy[class], product.Quo(product, total))
			for from := max(0, i-2); from <= i; from++ {
				if leads(from, i) {
					addBig(before[from], zero().Mul(beta[i], y[t][class]))
				}
			}
		}
		beta = before
		for c, o := range occupancy {
			g := &grad[t*s.classes+c]
			if s.Gradient == LogitsGradient {
				*g, _ = y[t][c].Float64()
			}
			if o != nil && o.Sign() != 0 {
				if s.overProbabilities() {
					o.Quo(o, y[t][c])
				}
				v, _ := o.Float64()
				*g -= v
			}
		}
	}
	mantissa := zero()
	e := total.MantExp(mantissa)
	if f, _ := mantissa.Float64(); e < -2 || e > 1000 {
		return -(math.Log(f) + float64(e)*math.Ln2), grad
	}
	f, _ := total.Float64()
	loss, _ = ref.Log(total, math.Log(f)).Float64()
	return -loss, grad
}

// addBig does sum += x, where big.Float would shift by the difference of the exponents,
// whatever it is.
func addBig(sum, x *big.Float) {
	switch d := sum.MantExp(nil) - x.MantExp(nil); {
	case x.Sign() == 0 || sum.Sign() != 0 && d > 2*ref.Bits:
	case sum.Sign() == 0 || d < -2*ref.Bits:
		sum.Set(x)
	default:
		sum.Add(sum, x)
	}
}

// overProbabilities reports whether the gradient is occupancies over probabilities.
func (s sequence[F]) overProbabilities() bool {
	return s.Scores == Probabilities && s.Gradient == ScoresGradient
}

// bigEmissions returns the emissions of a frame. A score that is too far below the best
// of the target's is none. exps are those that are known.
func (s sequence[F]) bigEmissions(t int, states []int, exps map[F]*big.Float) []*big.Float {
	x, best := s.x[t*s.classes:][:s.classes], math.Inf(-1)
	for _, class := range states {
		best = max(best, float64(x[class]))
	}
	y, sum := make([]*big.Float, s.classes), new(big.Float).SetPrec(ref.Bits)
	for c, v := range x {
		y[c] = new(big.Float).SetPrec(ref.Bits)
		if s.Scores == Probabilities {
			y[c].SetFloat64(float64(v))
			continue
		}
		if v != fp.NegInf[F]() {
			if exps[v] == nil {
				exps[v] = ref.Exp(float64(v)).SetPrec(ref.Bits)
			}
			addBig(sum, y[c].Set(exps[v]))
		}
	}
	for c, v := range x {
		if s.Scores == Logits {
			y[c].Quo(y[c], sum)
		}
		if s.Scores != Probabilities && slices.Contains(states, c) && !(float64(v)-best > fp.MinScore) {
			y[c].SetInt64(0)
		}
	}
	return y
}

// tolerances returns the errors that roundings explain. The emission of a frame has one of
// exp in F, where exp is done by class and the frame is not wide, and some of float64;
// in α·β over the probability of the target there are two for every frame. The sum of
// a softmax has one in F for every element of a lane. What is common to all emissions of a
// frame is added up in float64, where the error is in proportion to the sum so far.
func (s sequence[F]) tolerances(w *trellis[F], loss float64) (ofLoss, ofGrad float64) {
	double, single := 0x1p-53, float64(1-kerneltest.Moved[F](1, -1))
	emission, norm := 8*double, 0.0
	if w.emission.expByClass && slices.ContainsFunc(w.emission.kinds[:s.frames], func(f frameKind) bool { return !f.isWide() }) {
		emission += 2 * single
	}
	if s.Scores == Logits {
		norm = (4 + float64(s.classes/fp.Lanes[F]())) * single
	}
	var common, largest, term float64
	for t := range s.frames {
		x := s.x[t*s.classes:][:s.classes]
		top, best := float64(slices.Max(x)), math.Inf(-1)
		for _, class := range append([]int{0}, s.labels...) {
			best = max(best, float64(x[class]))
		}
		if s.Scores == Probabilities {
			top, best = 0, math.Log(best)
		}
		if math.IsInf(best, -1) {
			continue
		}
		largest = max(largest, math.Abs(top))
		if s.Scores == Logits {
			best -= top
		} else {
			term = max(term, math.Exp(top))
		}
		common += math.Abs(best) + 1
	}
	n := float64(s.frames)
	ofLoss = n*(emission+norm) + 2*n*double*(common+largest) + 4*double*math.Abs(loss)
	return ofLoss, 2*n*emission + 8*single*max(1, term)
}

// requireBig compares with bigTrellis, and returns the trellis.
func (s sequence[F]) requireBig(t *testing.T, what string) *trellis[F] {
	loss, grad, w := s.run(t, math.MaxInt, false)
	wantLoss, wantGrad := s.bigTrellis()
	lossTolerance, gradTolerance := s.tolerances(w, wantLoss)
	if math.IsInf(wantLoss, 1) {
		require.Equal(t, wantLoss, loss, "%s: %v", what, s)
	} else {
		require.InDelta(t, wantLoss, loss, lossTolerance, "%s: %v", what, s)
	}
	s.requireGradient(t, what, wantGrad, grad, gradTolerance)
	for _, inPlace := range []bool{true, false} {
		for _, kept := range []int{math.MaxInt, 1} { // in segments
			again, gradAgain, _ := s.run(t, kept, inPlace)
			require.Equal(t, loss, again, "%s: %v", what, s)
			for i, want := range grad { // but for what is as good as 0: see leastOccupancy
				if d := gradAgain[i] - want; gradAgain[i] != want && !(math.Abs(float64(d))*s.share(i) < 0x1p30*leastOccupancy) {
					require.Fail(t, "other bits", "%s: frame %d, class %d: %v, want %v: %v", what, i/s.classes, i%s.classes, gradAgain[i], want, s)
				}
			}
		}
	}
	return w
}

// share returns what makes an occupancy of an element of the gradient.
func (s sequence[F]) share(i int) float64 {
	if s.overProbabilities() {
		return float64(s.x[i])
	}
	return 1
}

// requireGradient compares a gradient with another. A tolerance is that of an occupancy.
func (s sequence[F]) requireGradient(t *testing.T, what string, want []float64, grad []F, tolerance float64) {
	for i, w := range want {
		if F(w) != grad[i] && !(math.Abs(float64(grad[i])-w)*s.share(i) <= tolerance) {
			require.InDelta(t, w, float64(grad[i]), tolerance/s.share(i), "%s: frame %d, class %d: %v", what, i/s.classes, i%s.classes, s)
		}
	}
}

// widened returns x in float64.
func widened[F Float](x []F) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// randomLabels returns labels, of which none or many are like the one before.
func randomLabels(r *rand.Rand, n, classes int) []int {
	labels, repeat := make([]int, n), r.IntN(2) == 0
	for i := range labels {
		labels[i] = 1 + r.IntN(classes-1)
		if i > 0 && repeat && r.IntN(2) == 0 {
			labels[i] = labels[i-1]
		} else if i > 0 && !repeat && classes > 2 {
			labels[i] = 1 + (labels[i-1]+r.IntN(classes-2))%(classes-1)
		}
	}
	return labels
}

// wideScores are ways to make scores that are further apart than a float64 reaches, and
// others.
type wideScores[F Float] struct {
	name string
	wide bool // there are wide frames for sure
	// row changes frame t, whose scores are normal; only these classes have labels.
	row func(r *rand.Rand, s sequence[F], t int, row []F)
}

func someWideScores[F Float]() []wideScores[F] {
	some := func(of func(r *rand.Rand) F) func(*rand.Rand, sequence[F], int, []F) {
		return func(r *rand.Rand, s sequence[F], t int, row []F) {
			for c := range row {
				if r.IntN(2) == 0 {
					row[c] = of(r)
				}
			}
		}
	}
	always := func(v F) func(*rand.Rand) F { return func(*rand.Rand) F { return v } }
	far := func(r *rand.Rand) F { return -[...]F{1e3, 1e4, 1e5}[r.IntN(3)] * F(r.Float64()) }
	return []wideScores[F]{
		{"normal", false, some(func(r *rand.Rand) F { return F(r.NormFloat64()) })},
		{"far below", true, some(far)},
		{"at −1e3", true, some(always(-1e3))},
		{"at −1e4", true, some(always(-1e4))},
		{"at −1e5", true, some(always(-1e5))},
		{"masked", false, some(func(r *rand.Rand) F { return [...]F{fp.NegInf[F](), 0, 1, 2}[r.IntN(4)] })},
		{"far below and masked", true, some(func(r *rand.Rand) F { return [...]F{fp.NegInf[F](), far(r), far(r)}[r.IntN(3)] })},
		{"taken for −Inf", true, some(func(r *rand.Rand) F { return [...]F{-1 << 22, -1<<21 + 100}[r.IntN(2)] })},
		{"some frames", true, func(r *rand.Rand, s sequence[F], t int, row []F) {
			if t%5 == 2 {
				some(far)(r, s, t, row)
			}
		}},
		{"a label at −1e4", true, func(_ *rand.Rand, s sequence[F], _ int, row []F) { row[append(s.labels, 0)[len(s.labels)/2]] = -1e4 }},
		{"the blank at −1e5", true, func(_ *rand.Rand, _ sequence[F], _ int, row []F) { row[0] = -1e5 }},
		{"the blank masked", false, func(_ *rand.Rand, _ sequence[F], _ int, row []F) { row[0] = fp.NegInf[F]() }},
		{"the target far below", true, func(r *rand.Rand, s sequence[F], _ int, row []F) {
			for _, c := range append([]int{0}, s.labels...) {
				row[c] = far(r)
			}
		}},
		{"far apart, of both signs", true, func(r *rand.Rand, _ sequence[F], _ int, row []F) {
			for c := range row {
				row[c] = 1e5 * F(2*r.Float64()-1)
			}
		}},
		// Emissions in range, for so long that states are not.
		{"few labels at a time", true, func(_ *rand.Rand, s sequence[F], t int, row []F) {
			for c := range row {
				if c%3 != t/4%3 {
					row[c] = -330
				}
			}
		}},
	}
}

// Scores and states that are further apart than float64 reaches.
func TestWideScores(t *testing.T) {
	t.Run("float32", testWideScores[float32])
	t.Run("float64", testWideScores[float64])
}

func testWideScores[F Float](t *testing.T) {
	r, count := rand.New(rand.NewPCG(31, 32)), 24
	if testing.Short() {
		count = 8
	}
	for _, scores := range someWideScores[F]() {
		var wide, infinite int
		for i := range count {
			s := sequence[F]{classes: 2 + r.IntN(8)}
			s.labels = randomLabels(r, r.IntN(1+[...]int{5, 10, 30}[i%3]), s.classes)
			s.frames = LeastFrames(s.labels) + [...]int{0, r.IntN(4), r.IntN(40)}[r.IntN(3)]
			named := s.classes
			if i%4 == 3 {
				s.classes = 200 // exp by label
			}
			s.Scores, s.Gradient = Scores(r.IntN(2)), CTCGradient(r.IntN(2))
			if scores.name == "far apart, of both signs" && s.Scores != Logits {
				s.Gradient = ScoresGradient // exp of scores is infinite
			}
			s.x = make([]F, s.frames*s.classes)
			for t := range s.frames {
				row := s.x[t*s.classes:][:s.classes]
				for c := range row {
					if row[c] = F(3 * r.NormFloat64()); c >= named {
						row[c] = F(c%4) - 8
					}
				}
				row = row[:named]
				scores.row(r, s, t, row)
				if slices.Max(row) == fp.NegInf[F]() {
					row[r.IntN(named)] = 0
				}
			}
			w := s.requireBig(t, scores.name)
			if slices.ContainsFunc(w.runs, func(r run) bool { return r.wide }) {
				wide++
			}
			if w.probability().v == 0 {
				infinite++
			}
		}
		t.Logf("%s: %d sequences, %d with wide frames, %d impossible", scores.name, count, wide, infinite)
		if scores.wide {
			require.NotZero(t, wide, scores.name)
		}
		require.Less(t, infinite, count, scores.name)
	}
}

// What the target names is far below classes that it does not name, or is further apart than exp reaches: what exp
// takes for 0 may be left out only beside what the target has, and only if no other score is lost with it.
func TestScoresBelowOthers(t *testing.T) {
	both(t, testScoresBelowOthers[float32], testScoresBelowOthers[float64])
}

func testScoresBelowOthers[F Float](t *testing.T) {
	impossible := fp.NegInf[F]()
	for what, s := range map[string]sequence[F]{
		"a mask beside all, but not beside the blank": {classes: 3, labels: []int{1}, x: []F{-400, fp.MinScore - 300, 0}},
		"masks alone":                    {classes: 3, labels: []int{1}, x: []F{-3e6, -3e6 - 5, 0}},
		"few classes":                    {classes: 3, labels: []int{1, 1, 1}, x: slices.Repeat([]F{-450, -800, 0}, 5)},
		"a mask, and below float32":      {classes: 5, labels: []int{1, 2}, x: []F{-80, -100, 0, -1e4, 0, 0, -85, 0, 0, 0, 0, 0, 0, 0, 0}},
		"impossible, and below float32":  {classes: 3, labels: []int{1, 2}, x: []F{0, -100, impossible, 0, impossible, -200}},
		"impossible, and nearly too low": {classes: 4, labels: []int{1}, x: slices.Repeat([]F{impossible, -80, -100, 0}, 40)},
		"impossible, and low, of few classes": {classes: 5, labels: []int{1, 3, 1, 3},
			x: append(slices.Repeat([]F{impossible, -400, -450, impossible, 0}, 20), make([]F, 4*5)...)},
		"impossible, and low": {classes: 4, labels: []int{1}, x: slices.Repeat([]F{impossible, -400, -450, 0}, 40)},
	} {
		s.frames = len(s.x) / s.classes
		for _, s.Scores = range []Scores{Logits, LogProbabilities} {
			s.requireBig(t, what)
		}
	}
}

// A number that is added to all logits of a frame changes nothing, and makes the frame
// wide if it is large.
func TestWideIsPlain(t *testing.T) {
	t.Run("float32", testWideIsPlain[float32])
	t.Run("float64", testWideIsPlain[float64])
}

func testWideIsPlain[F Float](t *testing.T) {
	r := rand.New(rand.NewPCG(33, 34))
	isWide := func(r run) bool { return r.wide }
	count := 200
	if testing.Short() {
		count = 52
	}
	for i := range count {
		s := sequence[F]{classes: 2 + r.IntN(30), CTCLoss: CTCLoss[F]{Scores: Logits, Gradient: CTCGradient(i % 2)}}
		s.labels = randomLabels(r, r.IntN(30), s.classes)
		if i%100 == 1 || i%100 == 50 { // a row takes several calls
			s.labels = randomLabels(r, panelWidth+r.IntN(2*panelWidth), s.classes)
		}
		s.frames = LeastFrames(s.labels) + r.IntN(30)
		if i%5 == 4 {
			s.classes = 200
		}
		s.x = make([]F, s.frames*s.classes)
		spread := 1 << 9
		if len(s.labels) >= panelWidth { // with which states do not get far apart either
			spread = 1 << 6
		}
		for j := range s.x {
			s.x[j] = F(r.IntN(spread)-spread/2) / 32
		}
		want, wantGrad, w := s.run(t, math.MaxInt, false)
		require.False(t, slices.ContainsFunc(w.runs, isWide))
		plainLoss, plainGrad := s.tolerances(w, want)

		for t := range s.frames { // all, or some
			for j := range s.x[t*s.classes:][:s.classes] {
				if i%4 < 2 || t%3 == i%3 {
					s.x[t*s.classes+j] += F(2*fp.MaxScore) * F(1-2*(t%2)) // exactly
				}
			}
		}
		loss, grad, w := s.run(t, math.MaxInt, false)
		for _, run := range w.runs {
			require.Equal(t, i%4 < 2 || run.frames.From%3 == i%3, run.wide)
		}
		lossTolerance, gradTolerance := s.tolerances(w, loss)
		require.InDelta(t, want, loss, lossTolerance+plainLoss, "%v", s)
		s.requireGradient(t, "with numbers added", widened(wantGrad), grad, gradTolerance+plainGrad)
	}
}
