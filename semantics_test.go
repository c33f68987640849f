package trellis_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/fp"
)

// The losses corner by corner, with values from a 60-digit computation.

// relative is the accuracy of losses by element type.
func relative[F trellis.Float]() float64 {
	if F(1)+F(1e-10) == 1 {
		return 1e-6
	}
	return 1e-12
}

// assertLoss compares a loss with its exact value.
func assertLoss[F trellis.Float](t *testing.T, want float64, got F) {
	t.Helper()
	if want == 0 || math.IsInf(want, 0) {
		assert.Equal(t, F(want), got)
		assert.False(t, math.Signbit(float64(got)), "−0")
		return
	}
	assert.InEpsilon(t, want, got, relative[F]())
}

func tensor[F trellis.Float](shape []int, values ...float64) trellis.Tensor[F] {
	x := trellis.Tensor[F]{Data: make([]F, len(values)), Shape: shape}
	for i, v := range values {
		x.Data[i] = F(v)
	}
	return x
}

// both runs a test in both element types.
func both(t *testing.T, f32 func(*testing.T), f64 func(*testing.T)) {
	t.Run("float32", f32)
	t.Run("float64", f64)
}

// sines is a deterministic input: sin(0.1(7t+13n+3c)).
func sines[F trellis.Float](frames, n, c int) trellis.Tensor[F] {
	x := trellis.Tensor[F]{Shape: []int{frames, n, c}}
	for t := range frames {
		for i := range n {
			for k := range c {
				x.Data = append(x.Data, F(math.Sin(0.1*float64(7*t+13*i+3*k))))
			}
		}
	}
	return x
}

func TestCTCValues(t *testing.T) { both(t, testCTCValues[float32], testCTCValues[float64]) }

func testCTCValues[F trellis.Float](t *testing.T) {
	inf := math.Inf(1)
	ramp := make([]float64, 15)
	for i := range ramp {
		ramp[i] = float64(i + 1)
	}
	for _, c := range []struct {
		name   string
		x      trellis.Tensor[F]
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
			got, err := trellis.CTCLoss[F]{Blank: c.blank, FromLogits: true, Reduction: trellis.Sum}.Loss(c.x, c.target, nil, []int{len(c.target)})
			require.NoError(t, err)
			assertLoss(t, c.want, got)
		})
	}
}

func TestCTCBatches(t *testing.T) { both(t, testCTCBatches[float32], testCTCBatches[float64]) }

func testCTCBatches[F trellis.Float](t *testing.T) {
	for _, c := range []struct {
		x       trellis.Tensor[F]
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
		loss := trellis.CTCLoss[F]{FromLogits: true}
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
		loss.Reduction = trellis.Sum
		reduced, err = loss.Loss(c.x, c.targets, c.inputs, c.lengths)
		require.NoError(t, err)
		assertLoss(t, sum, reduced)
	}
}

func TestCrossEntropyValues(t *testing.T) {
	both(t, testCrossEntropyValues[float32], testCrossEntropyValues[float64])
}

func testCrossEntropyValues[F trellis.Float](t *testing.T) {
	x := tensor[F]([]int{2, 3}, 1.2, -.8, -.5, .9, -1.2, 1.1)
	dst := make([]F, 2)
	require.NoError(t, trellis.CrossEntropyLoss[F]{}.Losses(dst, x, []int{0, 1}))
	assertLoss(t, .27612970554553755, dst[0])
	assertLoss(t, 2.9517987958544252, dst[1])

	x = tensor[F]([]int{2, 3}, .2, .3, .5, .5, .2, .3)
	weighted := trellis.CrossEntropyLoss[F]{Weight: []F{2, 4, 6}}
	require.NoError(t, weighted.Losses(dst, x, []int{2, 1}))
	assertLoss(t, 5.6389863650667604, dst[0])
	assertLoss(t, 4.9593242433778402, dst[1])
	mean, err := weighted.Loss(x, []int{2, 1})
	require.NoError(t, err)
	assertLoss(t, 1.0598310608444601, mean)
}

func TestCrossEntropyNearZero(t *testing.T) {
	both(t, testCrossEntropyNearZero[float32], testCrossEntropyNearZero[float64])
}

func testCrossEntropyNearZero[F trellis.Float](t *testing.T) {
	for _, x := range []trellis.Tensor[F]{tensor[F]([]int{2}, 30, 0), tensor[F]([]int{1, 2, 1}, 30, 0), tensor[F]([]int{1, 2, 2}, 30, 5, 0, 9)} {
		grad, targets := make([]F, len(x.Data)), []int{0, 1}[:len(x.Data)/2]
		loss, err := trellis.CrossEntropyLoss[F]{}.Grad(grad, x, targets[:1:1])
		if len(targets) == 2 {
			dst := make([]F, 2)
			require.NoError(t, trellis.CrossEntropyLoss[F]{}.Losses(dst, x, targets))
			loss, err = dst[0], trellis.CrossEntropyLoss[F]{}.VJP(grad, []F{1, 1}, x, targets)
		}
		require.NoError(t, err)
		assertLoss(t, 9.357622968839861e-14, loss)
		assertLoss(t, -9.357622968839423e-14, grad[0]) // p − 1, as exact as the loss
	}
}

// A sum over many classes of one logit is where float32 rounds most.
func TestCrossEntropyOfEqualLogits(t *testing.T) {
	for _, inner := range []int{1, 20} {
		for _, c := range []int{100, 1000, 4096, 50000} {
			for _, lead := range []float32{0, 1.7, 8.53, 17.7, 23.5, 40.3, 59.7} {
				x := tensorOf(1, c, inner)
				clear(x.Data)
				x.Data[0] = lead
				losses := make([]float32, inner)
				require.NoError(t, trellis.CrossEntropyLoss[float32]{}.Losses(losses, x, make([]int, inner)))
				want := math.Log1p(float64(c-1) * math.Exp(-float64(lead)))
				require.InEpsilon(t, want, losses[0], float64(lead)*0x1p-25+0x1p-18, "%d classes, %g", c, lead)
			}
		}
	}
}

// A class at −Inf has no gradient, and a loss that needs it is +Inf.
func TestMaskedClasses(t *testing.T) { both(t, testMaskedClasses[float32], testMaskedClasses[float64]) }

func testMaskedClasses[F trellis.Float](t *testing.T) {
	inf := math.Inf(1)
	x := tensor[F]([]int{4, 3}, 0, 1, -inf, 1, 0, -inf, 2, 1, -inf, 0, 0, -inf)
	grad := make([]F, 12)
	ctc := trellis.CTCLoss[F]{FromLogits: true}
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

	ce := trellis.CrossEntropyLoss[F]{}
	row := tensor[F]([]int{3}, 0, 1, -inf)
	loss, err = ce.Grad(grad[:3], row, []int{0})
	require.NoError(t, err)
	assertLoss(t, 1.3132616875182228, loss)
	assert.Zero(t, grad[2])
	loss, err = ce.Loss(row, []int{2})
	require.NoError(t, err)
	assertLoss(t, inf, loss)
	loss, err = ce.LossProbs(row, tensor[F]([]int{3}, 1, 0, 0)) // 0·ln 0 = 0
	require.NoError(t, err)
	assertLoss(t, 1.3132616875182228, loss)
}

// A class target of weight 0 whose class is masked has loss 0 and no gradient, as its
// one-hot probabilities do, wherever the classes lie.
func TestMaskedTargetOfWeightZero(t *testing.T) {
	both(t, testMaskedTargetOfWeightZero[float32], testMaskedTargetOfWeightZero[float64])
}

func testMaskedTargetOfWeightZero[F trellis.Float](t *testing.T) {
	const masked = 1
	rng := rand.New(rand.NewPCG(51, 1))
	for _, shape := range [][]int{{3}, {4, 3}, {150, 5}, {3, 200}, {2, 5000}, {2, 70000}, {2, 3, 1}, {2, 4, 5}, {2, 80, 20}, {1, 3, 300}} {
		at := classScores(shape)
		x := trellis.Tensor[F]{Data: normals[F](rng, product(shape), 2), Shape: shape}
		weight := narrow[F](positive(rng, len(at[0])))
		weight[masked] = 0
		targets := make([]int, len(at))
		for i, row := range at {
			x.Data[row[masked]] = F(math.Inf(-1))
			if targets[i] = masked; i%3 == 2 {
				targets[i] = 2
			}
		}
		for _, smoothing := range []F{0, 0.125, 1} {
			l := trellis.CrossEntropyLoss[F]{Weight: weight, Reduction: trellis.Sum, LabelSmoothing: smoothing}
			requireLikeOneHot(t, fmt.Sprint(shape, " smoothing ", smoothing), l, x, targets)
		}
		nll := trellis.NLLLoss[F]{Weight: weight}
		losses, grad := make([]F, len(at)), make([]F, len(x.Data))
		require.NoError(t, nll.Losses(losses, x, targets))
		require.NoError(t, nll.VJP(grad, normals[F](rng, len(at), 1), x, targets))
		for i, y := range targets {
			if y == masked {
				require.Zero(t, losses[i], "%v: %d", shape, i)
				require.Zero(t, grad[at[i][y]], "%v: %d", shape, i)
			}
		}
		requireMeanOfNothing(t, nll, x, masked)
		requireMeanOfNothing(t, trellis.CrossEntropyLoss[F]{Weight: weight}, x, masked)
	}
}

// requireLikeOneHot fails unless class targets give the numbers that their one-hot
// probabilities do, and no NaN. The reduction is Sum.
func requireLikeOneHot[F trellis.Float](t *testing.T, what string, l trellis.CrossEntropyLoss[F], x trellis.Tensor[F], targets []int) {
	t.Helper()
	hot, upstream := oneHot[F](x.Shape, targets, 0), make([]F, len(targets))
	for i := range upstream {
		upstream[i] = F(i%5) - 1.5
	}
	var losses, grad, vjp [2][]F
	var sum [2]F
	for i := range 2 {
		m := bindClasses(l, x, targets)
		if i == 1 {
			m = bindProbs(l, x, hot)
		}
		losses[i], grad[i], vjp[i] = make([]F, len(targets)), make([]F, len(x.Data)), make([]F, len(x.Data))
		var err error
		require.NoError(t, m.losses(losses[i]), what)
		sum[i], err = m.grad(grad[i])
		require.NoError(t, err, what)
		require.NoError(t, m.vjp(vjp[i], upstream), what)
	}
	near := func(name string, want, got []F) {
		for i, w := range want {
			require.True(t, fp.IsFinite(w), "%s: %s %d of one-hot probabilities: %v", what, name, i, w)
			require.InDelta(t, float64(w), float64(got[i]), 4*relative[F]()*(1+math.Abs(float64(w))), "%s: %s %d", what, name, i)
		}
	}
	near("loss", losses[1], losses[0])
	near("sum", sum[1:], sum[:1])
	near("gradient", grad[1], grad[0])
	near("VJP", vjp[1], vjp[0])
}

// requireMeanOfNothing fails unless targets of weight 0 alone have NaN as their mean, and
// no gradient.
func requireMeanOfNothing[F trellis.Float](t *testing.T, l classLoss[F], x trellis.Tensor[F], class int) {
	t.Helper()
	targets, grad := slices.Repeat([]int{class}, len(classScores(x.Shape))), filled[F](len(x.Data))
	loss, err := l.Grad(grad, x, targets)
	require.NoError(t, err)
	require.True(t, loss != loss)
	require.Equal(t, make([]F, len(x.Data)), grad)
	loss, err = l.Loss(x, targets)
	require.NoError(t, err)
	require.True(t, loss != loss)
}

func TestInfeasibleTargets(t *testing.T) {
	both(t, testInfeasibleTargets[float32], testInfeasibleTargets[float64])
}

func testInfeasibleTargets[F trellis.Float](t *testing.T) {
	x := sines[F](3, 2, 4)
	grad, dst := make([]F, len(x.Data)), make([]F, 2)
	targets, lengths := []int{1, 1, 2, 3}, []int{3, 1} // 1 1 2 needs 4 frames
	ctc := trellis.CTCLoss[F]{FromLogits: true}
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

func testEmptyTargetsAndInputs[F trellis.Float](t *testing.T) {
	x := trellis.Tensor[F]{Data: make([]F, 4*3*5), Shape: []int{4, 3, 5}}
	trellis.LogSoftmaxRows(x.Data, sines[F](4, 3, 5))
	grad, dst := make([]F, len(x.Data)), make([]F, 3)
	ctc := trellis.CTCLoss[F]{Blank: 2, Reduction: trellis.Sum}
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

func testNaNScores[F trellis.Float](t *testing.T) {
	x := sines[F](4, 2, 5)
	clean := trellis.Tensor[F]{Data: append([]F(nil), x.Data...), Shape: x.Shape}
	x.Data[1*10+3] = F(math.NaN()) // frame 1 of sequence 0, a class that no target names
	x.Data[3*10+5] = F(math.NaN()) // frame 3 of sequence 1, which is not read
	inputs, lengths, targets := []int{4, 3}, []int{2, 2}, []int{1, 2, 4, 2}

	for _, fromLogits := range []bool{true, false} {
		ctc := trellis.CTCLoss[F]{FromLogits: fromLogits, Reduction: trellis.Sum}
		dst, want := make([]F, 2), make([]F, 2)
		require.NoError(t, ctc.Losses(dst, x, targets, inputs, lengths))
		require.NoError(t, ctc.Losses(want, clean, targets, inputs, lengths))
		assert.Equal(t, want[1], dst[1])
		assert.Equal(t, fromLogits, dst[0] != dst[0])
		grad := make([]F, len(x.Data))
		_, err := ctc.Grad(grad, x, targets, inputs, lengths)
		require.NoError(t, err)
		assert.True(t, grad[1*10+3] != grad[1*10+3])
		assert.Equal(t, fromLogits, grad[0] != grad[0])
		assert.Equal(t, make([]F, 5), grad[3*10+5:])
	}
	x.Data[1*10+3] = clean.Data[1*10+3]
	for _, poison := range []float64{math.NaN(), math.Inf(1)} {
		x.Data[0*10+2] = F(poison) // a label that cannot be reached yet
		for _, fromLogits := range []bool{true, false} {
			dst := make([]F, 2)
			require.NoError(t, trellis.CTCLoss[F]{FromLogits: fromLogits}.Losses(dst, x, targets, inputs, lengths))
			assert.True(t, dst[0] != dst[0])
			assert.False(t, dst[1] != dst[1])
		}
	}
}

// Masks of a large negative number mean what −Inf does, and common offsets of a
// frame's scores cost nothing.
func TestHugeScores(t *testing.T) { both(t, testHugeScores[float32], testHugeScores[float64]) }

func testHugeScores[F trellis.Float](t *testing.T) {
	x := tensor[F]([]int{2, 3}, 1, 2, -1e9, 2, 1, -1e9)
	loss, err := trellis.CTCLoss[F]{FromLogits: true}.Loss(x, []int{2}, nil, []int{1})
	require.NoError(t, err)
	assertLoss(t, math.Inf(1), loss)
	want, err := trellis.CTCLoss[F]{}.Loss(tensor[F]([]int{2, 2}, 1, 2, 2, 1), []int{1}, nil, []int{1})
	require.NoError(t, err)
	for _, offset := range []float64{1 << 20, -(1 << 20)} {
		x := tensor[F]([]int{2, 2}, 1+offset, 2+offset, 2+offset, 1+offset)
		got, err := trellis.CTCLoss[F]{}.Loss(x, []int{1}, nil, []int{1})
		require.NoError(t, err)
		assertLoss(t, float64(want)-2*offset, got)
		got, err = trellis.CTCLoss[F]{FromLogits: true}.Loss(x, []int{1}, nil, []int{1})
		require.NoError(t, err)
		assertLoss(t, -math.Log1p(-0.7310585786300049*0.2689414213699951), got)
	}
	for _, huge := range []float64{1e38, -1e38} { // exponents must not wrap
		got, err := trellis.CTCLoss[F]{}.Loss(tensor[F]([]int{2, 2}, huge, huge, huge, huge), []int{1}, nil, []int{1})
		require.NoError(t, err)
		assertLoss(t, float64(F(-2*float64(F(huge)))), got)
	}
}

func TestLogSumExpCorners(t *testing.T) {
	both(t, testLogSumExpCorners[float32], testLogSumExpCorners[float64])
}

func testLogSumExpCorners[F trellis.Float](t *testing.T) {
	inf, nan := F(math.Inf(1)), F(math.NaN())
	assert.Equal(t, -inf, trellis.LogSumExp([]F{}))
	assert.Equal(t, -inf, trellis.LogSumExp([]F(nil)))
	assert.Equal(t, -inf, trellis.LogSumExp([]F{-inf, -inf}))
	assert.Equal(t, inf, trellis.LogSumExp([]F{1, inf, -inf}))
	assert.Equal(t, F(1), trellis.LogSumExp([]F{1, -inf}))
	for _, x := range [][]F{{nan}, {inf, nan}, {nan, inf}, {-inf, nan}, {0, nan, 1}} {
		got := trellis.LogSumExp(x)
		assert.True(t, got != got, "%v", x)
	}
	long := make([]F, 10000)
	long[7], long[9999] = nan, inf
	got := trellis.LogSumExp(long)
	assert.True(t, got != got)
	for _, x := range [][]F{{1, inf}, {-inf, -inf}, {0, nan}} {
		for _, f := range []func(dst, x []F){trellis.LogSoftmax[F], trellis.Softmax[F]} {
			dst := make([]F, len(x))
			f(dst, x)
			for i := range dst {
				assert.True(t, dst[i] != dst[i], "%v", x)
			}
		}
	}
	big := make([]F, 5000) // the maximum moves from block to block
	for i := range big {
		big[i] = F(i) / 16
	}
	assertLoss(t, float64(big[4999])-math.Log(-math.Expm1(-1./16)), trellis.LogSumExp(big))
}

// The log-probability of a class that is nearly certain keeps its digits.
func TestLogSoftmaxNearZero(t *testing.T) {
	both(t, testLogSoftmaxNearZero[float32], testLogSoftmaxNearZero[float64])
}

func testLogSoftmaxNearZero[F trellis.Float](t *testing.T) {
	x := []F{0, 30, 0}
	trellis.LogSoftmax(x, x)
	assertLoss(t, -1.8715245937680347e-13, x[1])
	long := make([]F, 9000) // the maximum is in the last block
	long[8999] = 40
	trellis.LogSoftmax(long, long)
	assertLoss(t, -8999*4.248354255291589e-18, long[8999])
}

// Long sequences that spell their target plainly have losses of a few nats, which
// float32 must get right although α has come through thousands of frames.
func TestSmallLossesOfLongSequences(t *testing.T) {
	for _, c := range []struct {
		frames int
		peak   float64
	}{{1000, 8}, {1000, 9}, {1000, 10}, {1000, 11}, {1000, 12}, {3000, 9}, {3000, 10}, {3000, 11}, {3000, 12}, {3000, 13}} {
		g := generator(c.frames)
		const classes = 28
		targets := make([]int, c.frames/6)
		x32 := trellis.Tensor[float32]{Data: goldenScores[float32](&g, c.frames*classes, 2), Shape: []int{c.frames, classes}}
		for i := range targets {
			targets[i] = 1 + (i*i+i/7)%(classes-1)
		}
		for frame := range c.frames {
			class := 0
			if i := frame / 6; i < len(targets) && frame%6 < 2 {
				class = targets[i]
			}
			x32.Data[frame*classes+class] = float32(c.peak) + float32(frame%5)/4
		}
		x64 := trellis.Tensor[float64]{Shape: x32.Shape}
		for _, v := range x32.Data {
			x64.Data = append(x64.Data, float64(v))
		}
		got, err := trellis.CTCLoss[float32]{FromLogits: true, Reduction: trellis.Sum}.Loss(x32, targets, nil, []int{len(targets)})
		require.NoError(t, err)
		want, err := trellis.CTCLoss[float64]{FromLogits: true, Reduction: trellis.Sum}.Loss(x64, targets, nil, []int{len(targets)})
		require.NoError(t, err)
		t.Logf("%d frames, peak %v: loss %.5g, relative error %.1e", c.frames, c.peak, want, math.Abs(float64(got)/want-1))
		assert.Less(t, want, 50.0)
		assert.InEpsilon(t, want, got, 1e-6)
	}
}

// A target that cannot be spelled costs little, however long it is, and NaN wins.
func TestImpossiblyLongTarget(t *testing.T) {
	x := sines[float32](40, 1, 3)
	targets := make([]int, 1<<20)
	for i := range targets {
		targets[i] = 1
	}
	ctc := trellis.CTCLoss[float32]{FromLogits: true, Reduction: trellis.Sum}
	grad := make([]float32, len(x.Data))
	loss, err := ctc.Grad(grad, x, targets, nil, []int{len(targets)})
	require.NoError(t, err)
	assertLoss(t, math.Inf(1), loss)
	assert.Equal(t, make([]float32, len(grad)), grad)
	for _, poison := range []float64{math.NaN(), math.Inf(1)} {
		for _, class := range []int{0, 1} {
			x := sines[float32](40, 1, 3)
			x.Data[3*20+class] = float32(poison)
			for _, ctc.FromLogits = range []bool{true, false} {
				loss, err = ctc.Grad(grad, x, targets[:30], nil, []int{30})
				require.NoError(t, err)
				assert.True(t, loss != loss)
				assert.True(t, grad[0] != grad[0])
			}
		}
	}
}
