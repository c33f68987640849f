package trellis_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

// A class at −Inf has no gradient, and a loss that needs it is +Inf.
func TestCTCMaskedClasses(t *testing.T) {
	both(t, testCTCMaskedClasses[float32], testCTCMaskedClasses[float64])
}

func testCTCMaskedClasses[F trellis.Float](t *testing.T) {
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
