package trellis

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/ref"
)

func TestCTCValues(t *testing.T) { both(t, testCTCValues[float32], testCTCValues[float64]) }

func testCTCValues[F Float](t *testing.T) {
	inf := math.Inf(1)
	ramp := make([]float64, 15)
	for i := range ramp {
		ramp[i] = float64(i + 1)
	}
	for _, c := range []struct {
		name   string
		x      Tensor[F]
		blank  int
		target []int
		want   float64
	}{
		{"uniform frame", tensor[F]([]int{1, 5}, .2, .2, .2, .2, .2), 0, []int{1}, 1.6094379124341004},
		{"repeated label", tensor[F]([]int{3, 5}, ramp...), 0, []int{3, 3}, 7.3557431878127797},
		{"descending frames", tensor[F]([]int{3, 5}, -5, -4, -3, -2, -1, -10, -9, -8, -7, -6, -15, -14, -13, -12, -11), 0, []int{2, 3}, 4.9388498670180189},
		{"two frames, two labels", tensor[F]([]int{2, 5}, .1, .6, .1, .1, .1, .1, .1, .6, .1, .1), 0, []int{1, 2}, 2.4628583915467428},
		{"uniform, blank last", tensor[F]([]int{3, 4}, make([]float64, 12)...), 3, []int{1, 2}, 2.5494451709255715},
		{"certain", tensor[F]([]int{3, 2}, 0, -inf, -inf, 0, 0, -inf), 1, []int{0, 0}, 0},
		{"halves", tensor[F]([]int{3, 2}, make([]float64, 6)...), 0, []int{1, 1}, 3 * math.Ln2},
		{"thirds", tensor[F]([]int{3, 3}, make([]float64, 9)...), 2, []int{0, 1}, -math.Log(5. / 27)},
		{"nearly certain", tensor[F]([]int{2, 2}, 0, 17, 0, 17), 0, []int{1}, 1.7139082896325e-15},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := CTCLoss[F]{Blank: c.blank, Scores: Logits, Reduction: Sum}.Loss(c.x, c.target, nil, []int{len(c.target)})
			require.NoError(t, err)
			assertLoss(t, c.want, got)
		})
	}
}

func TestCTCBatches(t *testing.T) { both(t, testCTCBatches[float32], testCTCBatches[float64]) }

func testCTCBatches[F Float](t *testing.T) {
	for _, c := range []struct {
		x       Tensor[F]
		targets []int
		inputs  []int
		lengths []int
		want    []float64
		mean    float64
	}{
		{sines[F](5, 3, 4), []int{1, 2, 1, 3, 2, 1}, nil, []int{2, 1, 3},
			[]float64{3.5236571890748943, 3.4953140629497055, 4.2626775859983157}, 2.2260117287177526},
		{sines[F](8, 4, 6), []int{1, 1, 2, 2, 3, 2, 1, 5, 1, 2, 3, 4}, nil, []int{3, 4, 1, 4},
			[]float64{8.8420310437577726, 9.023029409774218, 9.3980248146516333, 9.0080665525326085}, 0},
		{sines[F](12, 3, 5), []int{1, 4, 2, 3, 1, 2, 4, 1, 3}, []int{12, 7, 10}, []int{3, 2, 4},
			[]float64{10.595506283260189, 6.807850817505941, 7.7050567857260482}, 0},
	} {
		got := make([]F, len(c.want))
		loss := CTCLoss[F]{Scores: Logits}
		require.NoError(t, loss.Losses(got, c.x, c.targets, c.inputs, c.lengths))
		sum, mean := 0.0, 0.0
		for n, want := range c.want {
			assertLoss(t, want, got[n])
			sum += want
			mean += want / float64(c.lengths[n]) / float64(len(c.want))
		}
		if c.mean != 0 {
			require.InEpsilon(t, c.mean, mean, 1e-14, "the mean of this test")
		}
		reduced, err := loss.Loss(c.x, c.targets, c.inputs, c.lengths)
		require.NoError(t, err)
		assertLoss(t, mean, reduced)
		loss.Reduction = Sum
		reduced, err = loss.Loss(c.x, c.targets, c.inputs, c.lengths)
		require.NoError(t, err)
		assertLoss(t, sum, reduced)
	}
}

// A class at −Inf has no gradient, and a loss that needs it is +Inf.
func TestCTCMaskedClasses(t *testing.T) {
	both(t, testCTCMaskedClasses[float32], testCTCMaskedClasses[float64])
}

func testCTCMaskedClasses[F Float](t *testing.T) {
	inf := math.Inf(1)
	x := tensor[F]([]int{4, 3}, 0, 1, -inf, 1, 0, -inf, 2, 1, -inf, 0, 0, -inf)
	grad := make([]F, 12)
	ctc := CTCLoss[F]{Scores: Logits}
	loss, err := ctc.Grad(grad, x, []int{1, 1}, nil, []int{2})
	require.NoError(t, err)
	assert.False(t, math.IsNaN(float64(loss)) || math.IsInf(float64(loss), 0))
	for i := 2; i < 12; i += 3 {
		assert.Zero(t, grad[i])
	}
	for i := range grad {
		assert.False(t, grad[i] != grad[i])
	}
	loss, err = ctc.Grad(grad, x, []int{1, 2}, nil, []int{2})
	require.NoError(t, err)
	assertLoss(t, inf, loss)
	assert.Equal(t, make([]F, 12), grad)

	long := tensor[F]([]int{40, 3}, slices.Repeat([]float64{-inf, -inf, 0}, 40)...) // exponents must not wrap
	loss, err = ctc.Grad(long.Data, long, []int{1}, nil, []int{1})
	require.NoError(t, err)
	assertLoss(t, inf, loss)
	assert.Equal(t, make([]F, 120), long.Data)
}

func TestInfeasibleTargets(t *testing.T) {
	both(t, testInfeasibleTargets[float32], testInfeasibleTargets[float64])
}

func testInfeasibleTargets[F Float](t *testing.T) {
	x := sines[F](3, 2, 4)
	grad, dst := make([]F, len(x.Data)), make([]F, 2)
	targets, lengths := []int{1, 1, 2, 3}, []int{3, 1} // 1 1 2 needs 4 frames
	ctc := CTCLoss[F]{Scores: Logits}
	loss, err := ctc.Grad(grad, x, targets, nil, lengths)
	require.NoError(t, err)
	assertLoss(t, math.Inf(1), loss)
	require.NoError(t, ctc.Losses(dst, x, targets, nil, lengths))
	assertLoss(t, math.Inf(1), dst[0])
	feasible := dst[1]

	ctc.ZeroInfinity = true
	again := make([]F, len(x.Data))
	loss, err = ctc.Grad(again, x, targets, nil, lengths)
	require.NoError(t, err)
	assertLoss(t, float64(feasible)/2, loss) // the other one still counts
	assert.Equal(t, grad, again)
	require.NoError(t, ctc.Losses(dst, x, targets, nil, lengths))
	assert.Equal(t, []F{0, feasible}, dst)
	for frame := range 3 {
		assert.Equal(t, make([]F, 4), grad[frame*8:][:4])
		assert.NotEqual(t, make([]F, 4), grad[frame*8+4:][:4])
	}
}

func TestEmptyTargetsAndInputs(t *testing.T) {
	both(t, testEmptyTargetsAndInputs[float32], testEmptyTargetsAndInputs[float64])
}

func testEmptyTargetsAndInputs[F Float](t *testing.T) {
	x := Tensor[F]{Data: make([]F, 4*3*5), Shape: []int{4, 3, 5}}
	LogSoftmaxRows(x.Data, sines[F](4, 3, 5))
	grad, dst := make([]F, len(x.Data)), make([]F, 3)
	ctc := CTCLoss[F]{Blank: 2, Reduction: Sum}
	inputs, lengths := []int{4, 0, 0}, []int{0, 0, 1}
	require.NoError(t, ctc.Losses(dst, x, []int{1}, inputs, lengths))
	var blanks float64
	for frame := range 4 {
		blanks -= float64(x.Data[frame*15+2])
	}
	assertLoss(t, blanks, dst[0])
	assertLoss(t, 0, dst[1])
	assertLoss(t, math.Inf(1), dst[2])

	for i := range grad {
		grad[i] = -7
	}
	_, err := ctc.Grad(grad, x, []int{1}, inputs, lengths)
	require.NoError(t, err)
	for frame := range 4 {
		assert.Equal(t, make([]F, 10), grad[frame*15+5:][:10])
		assert.InDelta(t, math.Exp(float64(x.Data[frame*15+2]))-1, grad[frame*15+2], 1e-6)
	}
}

func TestNaNScores(t *testing.T) { both(t, testNaNScores[float32], testNaNScores[float64]) }

func testNaNScores[F Float](t *testing.T) {
	x := sines[F](4, 2, 5)
	clean := Tensor[F]{Data: append([]F(nil), x.Data...), Shape: x.Shape}
	x.Data[1*10+3] = F(math.NaN()) // frame 1 of sequence 0, a class that no target names
	x.Data[3*10+5] = F(math.NaN()) // frame 3 of sequence 1, which is not read
	inputs, lengths, targets := []int{4, 3}, []int{2, 2}, []int{1, 2, 4, 2}

	for _, scores := range []Scores{Logits, LogProbabilities} {
		ctc, everywhere := CTCLoss[F]{Scores: scores, Reduction: Sum}, scores == Logits
		dst, want := make([]F, 2), make([]F, 2)
		require.NoError(t, ctc.Losses(dst, x, targets, inputs, lengths))
		require.NoError(t, ctc.Losses(want, clean, targets, inputs, lengths))
		assert.Equal(t, want[1], dst[1])
		assert.Equal(t, everywhere, dst[0] != dst[0])
		grad := make([]F, len(x.Data))
		_, err := ctc.Grad(grad, x, targets, inputs, lengths)
		require.NoError(t, err)
		assert.True(t, grad[1*10+3] != grad[1*10+3])
		assert.Equal(t, everywhere, grad[0] != grad[0])
		assert.Equal(t, make([]F, 5), grad[3*10+5:])
	}
	x.Data[1*10+3] = clean.Data[1*10+3]
	for _, poison := range []float64{math.NaN(), math.Inf(1)} {
		x.Data[0*10+2] = F(poison) // a label that cannot be reached yet
		for _, scores := range []Scores{Logits, LogProbabilities} {
			dst := make([]F, 2)
			require.NoError(t, CTCLoss[F]{Scores: scores}.Losses(dst, x, targets, inputs, lengths))
			assert.True(t, dst[0] != dst[0])
			assert.False(t, dst[1] != dst[1])
		}
	}
}

// Masks of a large negative number mean what −Inf does, and common offsets of a
// frame's scores cost nothing.
func TestHugeScores(t *testing.T) { both(t, testHugeScores[float32], testHugeScores[float64]) }

func testHugeScores[F Float](t *testing.T) {
	x := tensor[F]([]int{2, 3}, 1, 2, -1e9, 2, 1, -1e9)
	loss, err := CTCLoss[F]{Scores: Logits}.Loss(x, []int{2}, nil, []int{1})
	require.NoError(t, err)
	assertLoss(t, math.Inf(1), loss)
	want, err := CTCLoss[F]{}.Loss(tensor[F]([]int{2, 2}, 1, 2, 2, 1), []int{1}, nil, []int{1})
	require.NoError(t, err)
	for _, offset := range []float64{1 << 20, -(1 << 20)} {
		x := tensor[F]([]int{2, 2}, 1+offset, 2+offset, 2+offset, 1+offset)
		got, err := CTCLoss[F]{}.Loss(x, []int{1}, nil, []int{1})
		require.NoError(t, err)
		assertLoss(t, float64(want)-2*offset, got)
		got, err = CTCLoss[F]{Scores: Logits}.Loss(x, []int{1}, nil, []int{1})
		require.NoError(t, err)
		assertLoss(t, -math.Log1p(-0.7310585786300049*0.2689414213699951), got)
	}
	for _, huge := range []float64{1e38, -1e38} { // exponents must not wrap
		got, err := CTCLoss[F]{}.Loss(tensor[F]([]int{2, 2}, huge, huge, huge, huge), []int{1}, nil, []int{1})
		require.NoError(t, err)
		assertLoss(t, float64(F(-2*float64(F(huge)))), got)
	}
}

// A target that cannot be spelled costs little, however long it is, and NaN wins.
func TestImpossiblyLongTarget(t *testing.T) {
	x := sines[float32](40, 1, 3)
	targets := make([]int, 1<<20)
	for i := range targets {
		targets[i] = 1
	}
	ctc := CTCLoss[float32]{Scores: Logits, Reduction: Sum}
	grad := make([]float32, len(x.Data))
	loss, err := ctc.Grad(grad, x, targets, nil, []int{len(targets)})
	require.NoError(t, err)
	assertLoss(t, math.Inf(1), loss)
	assert.Equal(t, make([]float32, len(grad)), grad)
	for _, poison := range []float64{math.NaN(), math.Inf(1)} {
		for _, class := range []int{0, 1} {
			x := sines[float32](40, 1, 3)
			x.Data[3*20+class] = float32(poison)
			for _, ctc.Scores = range []Scores{Logits, LogProbabilities} {
				loss, err = ctc.Grad(grad, x, targets[:30], nil, []int{30})
				require.NoError(t, err)
				assert.True(t, loss != loss)
				assert.True(t, grad[0] != grad[0])
			}
		}
	}
}

// ctcOf returns the loss and the gradient of one sequence, and checks that all methods
// agree on the loss.
func ctcOf[F Float](t *testing.T, l CTCLoss[F], x []F, classes int, targets []int) (F, []F) {
	l.Reduction = Sum
	tensor, grad := Tensor[F]{x, []int{len(x) / classes, classes}}, make([]F, len(x))
	lengths := []int{len(targets)}
	loss, err := l.Grad(grad, tensor, targets, nil, lengths)
	require.NoError(t, err)
	alone, err := l.Loss(tensor, targets, nil, lengths)
	require.NoError(t, err)
	require.Equal(t, kerneltest.Bits(loss), kerneltest.Bits(alone), "Grad says %v, Loss %v", loss, alone)
	inPlace := slices.Clone(x)
	tensor.Data = inPlace
	again, err := l.Grad(inPlace, tensor, targets, nil, lengths)
	require.NoError(t, err)
	require.Equal(t, kerneltest.Bits(loss), kerneltest.Bits(again), "Grad says %v, in place %v", loss, again)
	for i := range grad {
		if kerneltest.Bits(grad[i]) != kerneltest.Bits(inPlace[i]) {
			require.Fail(t, "other bits", "element %d: %v, in place %v", i, grad[i], inPlace[i])
		}
	}
	return loss, grad
}

// scaledDouble is d·2^e.
type scaledDouble struct {
	d ref.Double
	e int
}

func (a scaledDouble) plus(b scaledDouble) scaledDouble {
	if a.d.Hi == 0 || b.d.Hi != 0 && a.e < b.e {
		a, b = b, a
	}
	if b.d.Hi == 0 || a.e-b.e > 300 {
		return a
	}
	return scaledDouble{a.d.Plus(b.d.Scaled(b.e - a.e)), a.e}
}

func (a scaledDouble) times(b scaledDouble) scaledDouble {
	d := a.d.Times(b.d)
	_, e := math.Frexp(d.Hi)
	return scaledDouble{d.Scaled(-e), a.e + b.e + e}
}

// over returns a/b as a float64.
func (a scaledDouble) over(b scaledDouble) float64 {
	q := a.d.Hi / b.d.Hi
	rest := a.d.Plus(b.d.Times(ref.Double{Hi: -q}))
	return math.Ldexp(q+rest.Hi/b.d.Hi, a.e-b.e)
}

// doubleCTC returns the loss of one sequence of logits and its gradient by the trellis in
// double float64, where a state has an exponent of its own.
func doubleCTC(x []float64, classes int, targets []int) (loss float64, grad []float64) {
	frames, states := len(x)/classes, 2*len(targets)+1
	class := func(s int) int {
		if s%2 == 0 {
			return 0
		}
		return targets[s/2]
	}
	skips := func(s int) bool { return s%2 == 1 && s >= 3 && class(s) != class(s-2) } // from s−2 to s
	p, sum := make([]scaledDouble, len(x)), make([]scaledDouble, frames)
	for i, v := range x {
		d, n := ref.ExpDouble(v)
		p[i] = scaledDouble{d, n}
		sum[i/classes] = sum[i/classes].plus(p[i])
	}
	alpha := make([][]scaledDouble, frames)
	for t := range alpha {
		alpha[t] = make([]scaledDouble, states)
		for s := range alpha[t] {
			var from scaledDouble
			if t == 0 && s < 2 {
				from = scaledDouble{ref.Double{Hi: 1}, 0}
			} else if t > 0 {
				from = alpha[t-1][s]
				if s > 0 {
					from = from.plus(alpha[t-1][s-1])
				}
				if skips(s) {
					from = from.plus(alpha[t-1][s-2])
				}
			}
			alpha[t][s] = from.times(p[t*classes+class(s)])
		}
	}
	target := alpha[frames-1][states-1].plus(alpha[frames-1][states-2])
	loss = -math.Log(target.d.Hi) - float64(target.e)*math.Ln2
	grad = make([]float64, len(x))
	beta := make([]scaledDouble, states)
	beta[states-1], beta[states-2] = scaledDouble{ref.Double{Hi: 1}, 0}, scaledDouble{ref.Double{Hi: 1}, 0}
	for t := frames - 1; t >= 0; t-- {
		loss += math.Log(sum[t].d.Hi) + float64(sum[t].e)*math.Ln2
		occupancy := make([]scaledDouble, classes)
		for s := range beta {
			occupancy[class(s)] = occupancy[class(s)].plus(alpha[t][s].times(beta[s]))
			beta[s] = beta[s].times(p[t*classes+class(s)])
		}
		for c := range classes {
			grad[t*classes+c] = p[t*classes+c].over(sum[t]) - occupancy[c].over(target)
		}
		for s := range beta {
			if s+1 < states {
				beta[s] = beta[s].plus(beta[s+1])
			}
			if s+2 < states && skips(s+2) {
				beta[s] = beta[s].plus(beta[s+2])
			}
		}
	}
	return loss, grad
}

// Long sequences against double float64. The bounds are those of docs/ctc.md: roundings
// of the result, and errors of exp in float32.
func TestCTCAgainstDouble(t *testing.T) {
	const frames, classes, labels = 1000, 80, 200
	for _, scale := range []float64{1, 5} {
		r := rand.New(rand.NewPCG(25, uint64(scale)))
		x, x32, targets := make([]float64, frames*classes), make([]float32, frames*classes), make([]int, labels)
		for i := range x {
			x32[i] = float32(scale * r.NormFloat64())
			x[i] = float64(x32[i])
		}
		for i := range targets {
			targets[i] = 1 + r.IntN(classes-1)
		}
		wantLoss, want := doubleCTC(x, classes, targets)
		loss, grad := ctcOf(t, CTCLoss[float64]{Scores: Logits}, x, classes, targets)
		loss32, grad32 := ctcOf(t, CTCLoss[float32]{Scores: Logits}, x32, classes, targets)
		assert.InEpsilon(t, wantLoss, loss, 1e-14)
		assert.InEpsilon(t, wantLoss, loss32, 6e-8)
		worst, worst32 := 0.0, 0.0
		for i, g := range want {
			worst, worst32 = max(worst, math.Abs(grad[i]-g)), max(worst32, math.Abs(float64(grad32[i])-g))
		}
		t.Logf("logits × %v: loss %.8g, off by %.1e; gradients by %.1e and in float32 by %.1e", scale, wantLoss, loss-wantLoss, worst, worst32)
		assert.Less(t, worst, 1e-14)
		assert.Less(t, worst32, 3e-7)
	}
}
