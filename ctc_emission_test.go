package trellis

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/tiertest"
	"github.com/gotrellis/trellis/internal/view"
)

// NaN in a frame makes the loss NaN, even if the target is impossible, by what frames
// behind it have, and the alphabet large.
func TestNaNBesideImpossibleTarget(t *testing.T) {
	for _, classes := range []int{5, 2000} {
		x := make([]float64, 4*classes)
		x[classes-1] = math.NaN()
		x[2*classes+1] = -1e4
		for frame := range 4 {
			x[frame*classes+2] = math.Inf(-1)
		}
		loss, grad := ctcOf(t, CTCLoss[float64]{Scores: Logits}, x, classes, []int{1, 2})
		require.True(t, loss != loss && grad[0] != grad[0], "%v", loss)
	}
}

// Scores that are too many for the caches give the same bits, in every layout and for lengths that are
// no multiple of a group.
func TestFarScores(t *testing.T) {
	defer func(size int) { streamBytes = size }(streamBytes)
	r := rand.New(rand.NewPCG(3, 4))
	const frames, batch, labels = lossFrames + 5, 3, 9
	for _, classes := range []int{leastFetched - 1, leastFetched + 3} {
		x := Tensor[float32]{Shape: []int{frames, batch, classes}, Data: make([]float32, frames*batch*classes)}
		for i := range x.Data {
			x.Data[i] = float32(1+r.IntN(1000)) / 1000
		}
		targets := make([]int, batch*labels)
		for i := range targets {
			targets[i] = 1 + r.IntN(classes-1)
		}
		for _, batchFirst := range []bool{false, true} {
			if batchFirst {
				x.Shape = []int{batch, frames, classes}
			}
			inputs := []int{1, groupFrames, frames}
			for scores := LogProbabilities; scores <= Probabilities; scores++ {
				l := CTCLoss[float32]{Scores: scores, BatchFirst: batchFirst, ZeroInfinity: true, Reduction: Sum}
				aligner := CTCAligner[float32]{Scores: scores, BatchFirst: batchFirst, Confidence: true}
				type results struct {
					loss, withGrad float32
					grad           []float32
					spans          []Span
					sums           []float64
				}
				var all [2]results
				for i, size := range []int{math.MaxInt, 0} {
					streamBytes = size
					got := results{grad: make([]float32, len(x.Data)), spans: make([]Span, len(targets)), sums: make([]float64, batch)}
					var err error
					got.loss, err = l.Loss(x, targets, inputs, nil)
					require.NoError(t, err)
					got.withGrad, err = l.Grad(got.grad, x, targets, inputs, nil)
					require.NoError(t, err)
					require.NoError(t, aligner.Align(got.spans, got.sums, x, targets, inputs, nil))
					all[i] = got
				}
				require.NotZero(t, all[0].loss)
				require.Equal(t, all[0], all[1], "%d classes, %v, batch first: %v", classes, scores, batchFirst)
			}
		}
	}
}

// A number added to all logits of a frame, however large, does not change the loss.
func TestLargeCommonOffset(t *testing.T) {
	for _, classes := range []int{5, 2000} {
		for _, offset := range []float32{1e5, 1e15, 1e30, -1e30} {
			x := make([]float32, 50*classes)
			for c := range classes {
				x[7*classes+c] = offset
			}
			want, _ := ctcOf(t, CTCLoss[float32]{Scores: Logits}, make([]float32, len(x)), classes, []int{1, 2, 3})
			got, _ := ctcOf(t, CTCLoss[float32]{Scores: Logits}, x, classes, []int{1, 2, 3})
			require.InEpsilon(t, want, got, 1e-6, "%d classes, offset %v", classes, offset)
		}
	}
}

// someProbabilities are ways to change rows of softmax.
func someProbabilities[F Float]() map[string]func(r *rand.Rand, row []F) {
	least, small := F(1e-45), F(1e-36)
	if !fp.IsFloat32[F]() {
		least, small = F(math.SmallestNonzeroFloat64), F(math.Float64frombits(0x0010000000000000)*3) // near the least normal number
	}
	some := func(of ...F) func(*rand.Rand, []F) {
		return func(r *rand.Rand, row []F) {
			for c := range row {
				if r.IntN(2) == 0 {
					row[c] = of[r.IntN(len(of))] * F(1+r.IntN(9))
				}
			}
		}
	}
	scaled := func(factors ...F) func(*rand.Rand, []F) {
		return func(r *rand.Rand, row []F) {
			factor := factors[r.IntN(len(factors))]
			for c := range row {
				row[c] *= factor
			}
		}
	}
	return map[string]func(r *rand.Rand, row []F){
		"a softmax":               func(*rand.Rand, []F) {},
		"zeros":                   some(0),
		"subnormal":               some(least),
		"subnormal, zeros, small": some(least, small, 0, 1e-20, 1e-9),
		"normalised badly":        scaled(0.5, 0.999, 1.0005),
		"tiny frames":             scaled(1, small, small*64, 1e-20, 1e-5),
		"subnormal frames":        scaled(1, least*1000),
	}
}

// Whatever probabilities there are, results are those of long numbers, in place and in
// segments, too.
func TestProbabilitiesAgainstLongNumbers(t *testing.T) {
	t.Run("float32", testProbabilitiesAgainstLongNumbers[float32])
	t.Run("float64", testProbabilitiesAgainstLongNumbers[float64])
}

func testProbabilitiesAgainstLongNumbers[F Float](t *testing.T) {
	count := 30
	if testing.Short() {
		count = 8
	}
	for name, change := range someProbabilities[F]() {
		r := rand.New(rand.NewPCG(51, 52))
		var infinite, wide int
		for i := range count {
			s := sequence[F]{classes: 2 + r.IntN(8), CTCLoss: CTCLoss[F]{Scores: Probabilities, Gradient: CTCGradient(i % 2)}}
			s.labels = randomLabels(r, r.IntN(1+[...]int{5, 10, 30}[i%3]), s.classes)
			s.frames = LeastFrames(s.labels) + [...]int{0, r.IntN(4), r.IntN(40)}[r.IntN(3)]
			named := s.classes
			if i%4 == 3 {
				s.classes = 600 // more than are kept
			}
			s.x = make([]F, s.frames*s.classes)
			for t := range s.frames {
				row := s.x[t*s.classes:][:s.classes]
				for c := range row {
					if row[c] = F(3 * r.NormFloat64()); c >= named {
						row[c] -= 8
					}
				}
				Softmax(row, row)
				change(r, row[:named])
			}
			w := s.requireBig(t, name)
			if slices.ContainsFunc(w.runs, func(r run) bool { return r.wide }) {
				wide++
			}
			if w.probability().v == 0 {
				infinite++
			}
		}
		t.Logf("%s: %d sequences, %d with wide frames, %d impossible", name, count, wide, infinite)
		require.Less(t, infinite, count, name)
		if name == "zeros" {
			require.Zero(t, wide, "a 0 alone needs no exponents")
		}
	}
}

// From probabilities all methods give what they give from their logarithms, for any number of
// workers.
func TestProbabilitiesAreLikeTheirLogarithms(t *testing.T) {
	r := rand.New(rand.NewPCG(53, 54))
	for i := range 60 {
		batch, frames, classes := 1+r.IntN(5), 1+r.IntN(40), 2+r.IntN(12)
		if i%5 == 4 {
			classes = 700
		}
		x := Tensor[float64]{make([]float64, frames*batch*classes), []int{frames, batch, classes}}
		for j := range x.Data {
			if x.Data[j] = 3 * r.NormFloat64(); r.IntN(20) == 0 {
				x.Data[j] = [...]float64{math.Inf(-1), -700, -745}[r.IntN(3)]
			}
		}
		SoftmaxRows(x.Data, x)
		logs := Tensor[float64]{make([]float64, len(x.Data)), x.Shape}
		for j, p := range x.Data {
			v, e := math.Frexp(p) // math.Log is wrong for subnormal numbers on amd64
			logs.Data[j] = math.Log(v) + float64(e)*math.Ln2
		}
		var targets, inputs, lengths []int
		upstream := make([]float64, batch)
		for n := range batch {
			labels := randomLabels(r, r.IntN(min(frames, 10)+1), classes)
			targets, lengths = append(targets, labels...), append(lengths, len(labels))
			inputs = append(inputs, frames-r.IntN(min(frames, 3)))
			upstream[n] = r.NormFloat64()
		}
		for _, gradient := range []CTCGradient{LogitsGradient, ScoresGradient} {
			l := CTCLoss[float64]{Gradient: gradient, ZeroInfinity: i%2 == 0, Workers: 1 + i%3}
			want, wantGrad := make([]float64, batch), make([]float64, len(x.Data))
			wantLoss, err := l.LossesGrad(want, wantGrad, logs, targets, inputs, lengths)
			require.NoError(t, err)
			wantVJP := make([]float64, len(x.Data))
			require.NoError(t, l.VJP(wantVJP, upstream, logs, targets, inputs, lengths))

			l.Scores = Probabilities
			got, grad, vjp := make([]float64, batch), make([]float64, len(x.Data)), slices.Clone(x.Data)
			loss, err := l.LossesGrad(got, grad, x, targets, inputs, lengths)
			require.NoError(t, err)
			require.NoError(t, l.VJP(vjp, upstream, Tensor[float64]{vjp, x.Shape}, targets, inputs, lengths)) // in place
			near := func(what string, want, got, of float64) {
				if want != got {
					require.InDelta(t, want, got, 1e-12*of, "%s %d", what, i)
				}
			}
			near("loss", wantLoss, loss, 1+math.Abs(wantLoss))
			for n := range want {
				near("losses", want[n], got[n], 1+math.Abs(want[n]))
			}
			for j, p := range x.Data {
				w, v, of := wantGrad[j], wantVJP[j], 1.0
				if gradient == ScoresGradient {
					if p == 0 {
						w, v, of = 0, 0, 0
					} else {
						w, v, of = w/p, v/p, 1/p
					}
				}
				near("gradient", w, grad[j], of)
				near("product", v, vjp[j], of)
			}
		}
	}
}

// What the target names must be probabilities. What other classes have does not matter.
func TestWhatIsNoProbability(t *testing.T) {
	both(t, testWhatIsNoProbability[float32], testWhatIsNoProbability[float64])
}

func testWhatIsNoProbability[F Float](t *testing.T) {
	for _, classes := range []int{4, 700} {
		for _, v := range []float64{-1e-30, -1, 1.0011, 2, math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, gradient := range []CTCGradient{LogitsGradient, ScoresGradient} {
				for _, labels := range [][]int{{1, 2}, {2, 2, 2, 1}} { // the second does not fit
					for class := range 4 {
						x := slices.Repeat([]F{1 / F(classes)}, 3*classes)
						clean, cleanGrad := ctcOf(t, CTCLoss[F]{Scores: Probabilities, Gradient: gradient}, x, classes, labels)
						x[classes+class] = F(v)
						loss, grad := ctcOf(t, CTCLoss[F]{Scores: Probabilities, Gradient: gradient}, x, classes, labels)
						if class < 3 {
							assert.True(t, loss != loss, "%v at class %d of %d", v, class, classes)
							for i, g := range grad {
								assert.True(t, g != g, "%v at class %d of %d: element %d", v, class, classes, i)
							}
							continue
						}
						assert.Equal(t, clean, loss, "%v at class %d of %d", v, class, classes)
						if gradient == LogitsGradient && len(labels) == 2 {
							cleanGrad[classes+class] = F(v)
						}
						assert.Equal(t, widened(cleanGrad)[:classes+class], widened(grad)[:classes+class])
						if v == v {
							assert.Equal(t, cleanGrad[classes+class], grad[classes+class])
						}
					}
				}
			}
		}
		// A little more than 1 is rounding.
		for _, v := range []float64{1, 1.0009, 1.001, 0, math.Copysign(0, -1)} {
			x := slices.Repeat([]F{1 / F(classes)}, 3*classes)
			x[1] = F(v)
			loss, grad := ctcOf(t, CTCLoss[F]{Scores: Probabilities}, x, classes, []int{1})
			assert.False(t, loss != loss || math.IsInf(float64(loss), 0) || grad[0] != grad[0], "%v", v)
		}
	}
}

// The derivative by a probability is as large as it is, and beyond the type's range infinite;
// factors of losses that are as small as the probabilities lose no bits.
func TestGradientByTinyProbabilities(t *testing.T) {
	l := CTCLoss[float64]{Scores: Probabilities, Gradient: ScoresGradient}
	product := func(p, upstream float64) []float64 {
		x := []float64{0, p, 0.5}
		require.NoError(t, l.VJP(x, []float64{upstream}, Tensor[float64]{x, []int{1, 3}}, []int{1}, nil, nil))
		return x
	}
	for _, p := range []float64{1, 0.5, 1e-100, 1e-300, 1e-310, 5e-324} {
		for _, upstream := range []float64{1, -3, 1e-20, 1e-300, 1e300, 0, math.Inf(1), math.NaN()} {
			got, want := product(p, upstream), -upstream/p
			switch {
			case want != want || math.IsInf(upstream, 0):
				require.True(t, got[0] != got[0] && got[1] == want || got[1] != got[1], "%v, %v", p, upstream)
			case math.IsInf(want, 0) || want == 0:
				require.Equal(t, want+0, got[1]+0, "%v, %v", p, upstream)
				require.Equal(t, []float64{0, 0}, []float64{got[0] + 0, got[2] + 0})
			default:
				require.InEpsilon(t, want, got[1], 1e-15, "%v, %v", p, upstream)
				require.Equal(t, []float64{0, 0}, []float64{got[0] + 0, got[2] + 0})
			}
		}
	}
	// An occupancy of 1e-50 times 1e-300, which is less than there is, over 1e-50.
	x := []float64{1, 1e-50, 0, 1}
	require.NoError(t, l.VJP(x, []float64{1e-300}, Tensor[float64]{x, []int{2, 2}}, []int{1}, nil, nil))
	require.InEpsilon(t, -1e-300, x[1], 1e-15)

	_, grad := ctcOf(t, CTCLoss[float32]{Scores: Probabilities, Gradient: ScoresGradient}, []float32{0, 1e-40, 1}, 3, []int{1})
	require.Equal(t, []float32{0, float32(math.Inf(-1)), 0}, grad)
}

// Scores far above 0 are no log-probabilities, but exp of another class stays what it is beside them.
func TestGradientBesideLargeScores(t *testing.T) {
	for _, classes := range []int{3, 40} { // exp in float64, and in float32
		x := slices.Repeat([]float32{-15}, classes)
		x[1] = 80
		_, grad := ctcOf(t, CTCLoss[float32]{}, x, classes, []int{1})
		require.InEpsilon(t, math.Exp(-15), float64(grad[classes-1]), 1e-6, "%d classes", classes)
	}
}

// Frames whose probabilities are all small have runs as long as others.
func TestRunsOfSmallProbabilities(t *testing.T) {
	for _, p := range []float64{0.25, 1e-20, 1e-300} {
		const frames, classes = 2 * groupFrames, 4
		s := sequence[float64]{x: slices.Repeat([]float64{p}, frames*classes), frames: frames, classes: classes, labels: []int{1, 2}}
		s.Scores = Probabilities
		loss, _, w := s.run(t, math.MaxInt, false)
		require.Len(t, w.runs, 2, "%v", p)
		want, _ := s.bigTrellis()
		require.InEpsilon(t, want, loss, 1e-14, "%v", p)
	}
}

// Results do not depend on what the memory of wide frames held before.
func TestWideProbabilitiesInUsedMemory(t *testing.T) {
	const frames, classes = 60, 5
	r := rand.New(rand.NewPCG(45, 46))
	for trial := range 20 {
		x := make([]float64, frames*classes)
		for i := range x {
			x[i] = math.Exp(-200 * r.ExpFloat64())
		}
		fresh, used := sequenceOf(x, make([]float64, len(x)), classes), sequenceOf(x, make([]float64, len(x)), classes)
		fresh.scores, used.scores = Probabilities, Probabilities
		for range 1 << 12 {
			used.trellis.emission.exponents = append(used.trellis.emission.exponents, 900*r.NormFloat64())
		}
		labels := []int{1, 2, 3, 1}
		require.Equal(t, fresh.compute(labels, 0, math.MaxInt), used.compute(labels, 0, math.MaxInt), "trial %d", trial)
		require.Equal(t, fresh.trellis.runs, used.trellis.runs, "trial %d", trial)
		require.Equal(t, fresh.grad.Data, used.grad.Data, "trial %d", trial)
	}
}

// A probability of 0 does not hide how small the others are.
func TestSmallProbabilitiesBesideZero(t *testing.T) {
	const small, classes = 1e-30, 4
	x := append(slices.Repeat([]float64{0, small, 1, 0}, 60), 0, 0, 0, 1, 0, 0, 1, 0)
	s := sequence[float64]{x: x, frames: len(x) / classes, classes: classes, labels: []int{1, 3, 2}}
	s.Scores = Probabilities
	s.requireBig(t, "one path")
}

// Losses of probabilities near 1 keep their digits, whatever the classes have that the target
// does not name: rows need not add up to 1.
func TestSmallLossesOfProbabilities(t *testing.T) {
	both(t, testSmallLossesOfProbabilities[float32], testSmallLossesOfProbabilities[float64])
}

func testSmallLossesOfProbabilities[F Float](t *testing.T) {
	r := rand.New(rand.NewPCG(55, 56))
	smallest := 1.0
	for i := range 60 {
		s := sequence[F]{classes: 2 + r.IntN(6), CTCLoss: CTCLoss[F]{Scores: Probabilities}}
		s.labels = randomLabels(r, r.IntN(5), s.classes)
		s.frames = LeastFrames(s.labels) + r.IntN(12)
		if s.frames == 0 {
			continue
		}
		s.x = make([]F, s.frames*s.classes)
		excess := 0.0 // over 1, which takes digits away
		for frame, class := range pathOf(s.labels, s.frames) {
			row := s.x[frame*s.classes:][:s.classes]
			for c := range row {
				row[c] = F(min(math.Exp(r.NormFloat64()-float64(2+i*2/3)), 0.3))
			}
			row[class] = 1
			if i%3 > 0 { // by one ulp, less or more than 1
				row[class] = F(1) - F(r.IntN(5)-2)*F(1-2*(i%2))*row[class]/(1<<23)
			}
			total := -1.0
			for c, p := range row {
				if c == 0 || slices.Contains(s.labels, c) {
					total += float64(p)
				}
			}
			excess += max(total, 0)
		}
		want, _ := s.bigTrellis()
		got, _ := ctcOf(t, s.CTCLoss, s.x, s.classes, s.labels)
		tolerance := 1e-13
		if fp.IsFloat32[F]() {
			tolerance = 3e-7
		}
		assert.InDelta(t, want, float64(got), tolerance*math.Abs(want)+excess*0x1p-50, "%v", s)
		for frame := range s.frames { // what no label names
			row := s.x[frame*s.classes:][:s.classes]
			for c := range row {
				if c > 0 && !slices.Contains(s.labels, c) {
					row[c] = F([...]float64{-3, 7, math.NaN(), math.Inf(1)}[r.IntN(4)])
				}
			}
		}
		again, err := s.Loss(Tensor[F]{s.x, []int{s.frames, s.classes}}, s.labels, nil, nil)
		require.NoError(t, err)
		if len(s.labels) > 0 {
			again *= F(len(s.labels)) // of the mean
		}
		assert.InEpsilon(t, 1+float64(got), 1+float64(again), 1e-6)
		if want != 0 {
			smallest = min(smallest, math.Abs(want))
		}
	}
	require.Less(t, smallest, 1e-8) // or the test has lost its subject
}

// A class that is no number, and that the target does not name, leaves no emission of its frames unwritten.
func TestEmitWritesAllFrames(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		const classes, positions = 5, 16
		var p expRows[float64]
		p.resize(classes, fp.WholeVectors[float64](classes), groupFrames)
		for i := range p.rows.Data {
			p.rows.Data[i] = 0.5
		}
		p.rows.Row(3)[classes-1] = math.NaN()
		y := view.Of(make([]float64, groupFrames*positions), positions, positions)
		assert.False(t, p.emit(y, 0, make([]int32, positions), make([]float64, groupFrames)))
		for i, v := range y.Data {
			require.Equal(t, 0.5, v, "frame %d", i/positions)
		}
	})
}

// The least emission of each frame is found, 0 included, whether frames are turned into blocks or not.
func TestLeastEmissions(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		seen := map[bool]int{}
		for _, classes := range []int{5, 30, 40, 6, 31, 41} {
			exponents, zeros := 800, 200
			if classes%5 != 0 { // all are plain
				exponents, zeros = 600, math.MaxInt
			}
			const positions = 32
			var p expRows[float64]
			p.resize(classes, fp.WholeVectors[float64](classes), groupFrames)
			r := rand.New(rand.NewPCG(5, uint64(classes)))
			for i := range p.rows.Data {
				if p.rows.Data[i] = math.Ldexp(1+r.Float64(), -r.IntN(exponents)); r.IntN(zeros) == 0 {
					p.rows.Data[i] = 0
				}
			}
			index := make([]int32, positions)
			for i := range index {
				index[i] = int32(r.IntN(classes))
			}
			for _, frames := range []int{1, 7, 16, 31, 32} {
				y := view.Of(make([]float64, groupFrames*positions), positions, positions)
				leasts := make([]float64, frames)
				require.True(t, p.emit(y, 0, index, leasts))
				plain := arePlain(leasts)
				seen[plain]++
				least := slices.Min(leasts)
				for frame, v := range leasts {
					want := slices.Min(y.Row(frame))
					if want == 0 {
						require.Zero(t, v, "frame %d of %d", frame, frames)
					}
					require.LessOrEqual(t, v, want, "frame %d of %d", frame, frames)
					if least == 0 {
						require.Equal(t, want, v, "frame %d of %d", frame, frames)
					}
				}
				require.Equal(t, least >= leastEmission, plain)
			}
		}
		assert.Len(t, seen, 2)
	})
}

// Of each frame that is not wide a bound of the least emission but 0 is known, which is near it, whatever other frames of
// its group are.
func TestLeastsOfAllKinds(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		testLeastsOfAllKinds[float32](t)
		testLeastsOfAllKinds[float64](t)
	})
}

func testLeastsOfAllKinds[F Float](t *testing.T) {
	const frames, classes = 40, 7
	r := rand.New(rand.NewPCG(45, 46))
	seen := map[frameKind]int{}
	for trial := range 300 {
		x := make([]F, frames*classes)
		for i := range x {
			switch x[i] = F(r.NormFloat64()); r.IntN(30) {
			case 0:
				x[i] = F(math.Inf(-1))
			case 1:
				x[i] -= F(100 * r.IntN(12))
			}
		}
		scores := Scores(trial % 3)
		labels := []int{1, 2, 1, 3, 4, 3}[:1+r.IntN(6)]
		s := sequenceOf(x, make([]F, len(x)), classes)
		s.scores = scores
		if scores != Logits {
			LogSoftmaxRows(x, Tensor[F]{x, []int{frames, classes}})
		}
		if scores == Probabilities {
			for i, v := range x {
				x[i] = F(math.Exp(float64(v)))
			}
			down := F(math.Ldexp(1, -20*r.IntN(4)))
			for i := range x[:classes*r.IntN(frames)] {
				x[i] *= down
			}
		}
		s.compute(labels, 0, math.MaxInt)
		m := &s.trellis.emission
		for frame := range frames {
			kind := min(m.kind(frame), 1)
			if seen[kind]++; kind.isWide() {
				continue
			}
			least := math.Inf(1)
			for _, y := range m.rowsFrom(frame, 0).Data[:m.target.width] {
				if y != 0 {
					least = min(least, y)
				}
			}
			bound := m.leastsFrom(frame)[0]
			if math.IsInf(least, 1) { // there is none
				least = 1
			}
			require.LessOrEqual(t, bound, least, "trial %d, frame %d", trial, frame)
			require.Greater(t, bound, least/16, "trial %d, frame %d", trial, frame)
		}
	}
	require.Len(t, seen, 3)
}
