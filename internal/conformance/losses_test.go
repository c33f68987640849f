package conformance

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/stretchr/testify/require"
)

// requireReference compares everything with the reference.
func (call Call[F]) requireReference(t *testing.T, rng *rand.Rand) {
	t.Helper()
	upstream := normals[F](rng, call.samples, 1)
	for _, reduction := range []trellis.Reduction{trellis.Mean, trellis.Sum} {
		got := call.Run(t, reduction, 1, upstream)
		call.requireLosses(t, got.Losses)
		call.requireReduced(t, reduction, got.Loss)
		call.requireReduced(t, reduction, got.GradLoss)
		call.requireGrad(t, "gradient", call.want().upstream(reduction), call.want().gradient(reduction), got.Grad)
		call.requireGrad(t, "VJP", Cast[float64](upstream), call.want().vjp(Cast[float64](upstream)), got.VJP)
	}
}

func TestLossesMatchReference(t *testing.T) {
	bothTypes(t, testLossesMatchReference[float32], testLossesMatchReference[float64])
}

func testLossesMatchReference[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	for _, call := range callsOf[F]().all() {
		call.requireReference(t, rng)
	}
}

// disturb replaces some scores, and sometimes all of a row, by infinities and NaN.
func disturb[F trellis.Float](rng *rand.Rand, x []F, kinds ...float64) {
	for i := range x {
		if rng.IntN(12) == 0 {
			x[i] = F(kinds[rng.IntN(len(kinds))])
		}
	}
}

func TestSpecialScoresMatchReference(t *testing.T) {
	bothTypes(t, testSpecialScoresMatchReference[float32], testSpecialScoresMatchReference[float64])
}

func testSpecialScoresMatchReference[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(42, 1))
	masked := []float64{math.Inf(-1)}
	wild := []float64{math.Inf(-1), math.Inf(1), math.NaN()}
	for i, c := range classCases(rng) {
		call := randomClassCall[F](rng, c)
		x := trellis.Tensor[F]{Data: slices.Clone(call.X.Data), Shape: c.Shape}
		disturb(rng, x.Data, [][]float64{masked, wild}[i%2]...)
		if c.Kind != "probs" {
			ClassCall(c, x, c.randomTargets(rng)).requireReference(t, rng)
			continue
		}
		target := trellis.Tensor[F]{Data: normals[F](rng, len(x.Data), 1), Shape: c.Shape}
		for k, v := range target.Data {
			target.Data[k] = max(v, 0)
			if math.IsInf(float64(x.Data[k]), -1) && i%4 == 0 {
				target.Data[k] = 0 // 0·ln 0
			}
		}
		ProbsCall(c, x, target).requireReference(t, rng)
	}
	for i, c := range ctcCases(rng) {
		x := trellis.Tensor[F]{Data: Cast[F](c.randomScores(rng)), Shape: c.Shape()}
		disturb(rng, x.Data, [][]float64{masked, wild}[i%2]...)
		CTCCall(c, x).requireReference(t, rng)
	}
}

func TestLogitsThatAreNoNumbersGiveNaN(t *testing.T) {
	bothTypes(t, testLogitsThatAreNoNumbersGiveNaN[float32], testLogitsThatAreNoNumbersGiveNaN[float64])
}

// testLogitsThatAreNoNumbersGiveNaN has a bad row among two good ones, with
// contiguous classes and without, and with targets of no mass, too.
func testLogitsThatAreNoNumbersGiveNaN[F trellis.Float](t *testing.T) {
	inf := math.Inf(1)
	for _, shape := range [][]int{{3, 3}, {1, 3, 3}} {
		at := classScores(shape)
		for _, row := range [][]float64{{1, math.NaN(), 2}, {inf, 0, 0}, {-inf, -inf, -inf}, {-inf, inf, math.NaN()}} {
			x := trellis.Tensor[F]{Data: make([]F, 9), Shape: shape}
			for i, v := range row {
				x.Data[at[1][i]] = F(v)
			}
			for _, mass := range []F{0, 1} {
				target := trellis.Tensor[F]{Data: slices.Repeat([]F{mass}, 9), Shape: shape}
				call := ProbsCall(ClassCase{Kind: "probs", Shape: shape}, x, target)
				call.requireReference(t, rand.New(rand.NewPCG(41, 1)))
				require.True(t, math.IsNaN(call.want().losses[1]) && !math.IsNaN(call.want().losses[0]))
			}
			for _, smoothing := range []float64{0, 0.5, 1} {
				c := ClassCase{Kind: "CE", Shape: shape, Smoothing: smoothing}
				ClassCall(c, x, []int{2, 2, 2}).requireReference(t, rand.New(rand.NewPCG(41, 1)))
			}
		}
	}
}

// Far from 0 a log-sum-exp has few digits after the point in float32; losses and
// gradients have all of theirs.
func TestShiftedLogitsMatchReference(t *testing.T) {
	bothTypes(t, testShiftedLogitsMatchReference[float32], testShiftedLogitsMatchReference[float64])
}

func testShiftedLogitsMatchReference[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 1))
	for _, offset := range []F{-3000, 100, 20000} {
		for _, shape := range [][]int{{3, 5}, {2, 5, 3}, {2, 700}} {
			c := ClassCase{Kind: "CE", Shape: shape, spread: 1}
			call := randomClassCall[F](rng, c)
			for i := range call.X.Data {
				call.X.Data[i] += offset
			}
			ClassCall(c, call.X, c.randomTargets(rng)).requireReference(t, rng)
			ProbsCall(c, call.X, oneHot[F](shape, make([]int, c.positions()), 0.5)).requireReference(t, rng)
		}
		for _, c := range ctcCases(rng) {
			c.Scores = trellis.Logits
			x := trellis.Tensor[F]{Data: Cast[F](c.randomScores(rng)), Shape: c.Shape()}
			for i := range x.Data {
				x.Data[i] += offset
			}
			CTCCall(c, x).requireReference(t, rng)
		}
	}
}

// α of long inputs is not kept for all frames but made again in segments: here
// one frame more than a segment, and two segments.
func TestLongInputsMatchReference(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	t.Parallel()
	rng := rand.New(rand.NewPCG(32, 1))
	for _, frames := range []int{1537, 3072} {
		c := torchCase(rng, frames, 30, 3, 1023)
		c.Scores = trellis.Logits
		call := randomCTCCall[float32](rng, c)
		out := call.Run(t, trellis.Sum, 1, []float32{0.5})
		call.requireLosses(t, out.Losses)
		call.requireGrad(t, "gradient", []float64{1}, call.want().grad, out.Grad)
		call.requireGrad(t, "VJP", []float64{0.5}, call.want().vjp([]float64{0.5}), out.VJP)
	}
}

// A small loss is −ln(1−q) where q is what all other paths have: a sum of small
// positive numbers, without cancellation.
func TestSmallCTCLossesAreRelativelyExact(t *testing.T) {
	bothTypes(t, testSmallCTCLossesAreRelativelyExact[float32], testSmallCTCLossesAreRelativelyExact[float64])
}

func testSmallCTCLossesAreRelativelyExact[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 1))
	smallest := 1.0
	for i := range 600 {
		c := CTCCase{Frames: 1 + rng.IntN(5), Batch: 1, Classes: 2 + rng.IntN(3), Scores: trellis.Logits}
		c.Blank, c.InputLengths = rng.IntN(c.Classes), []int{c.Frames}
		x := normals[F](rng, c.Frames*c.Classes, 1)
		path := make([]int, c.Frames)
		for frame := range path {
			path[frame] = rng.IntN(c.Classes)
			x[c.At(0, frame)+path[frame]] += F(i%40 + 3)
		}
		c.Targets = [][]int{collapse(path, c.Blank)}
		_, miss, _ := refCTCBrute(c.scores(Cast[float64](x), 0), c.Targets[0], c.Blank)
		want := -math.Log1p(-miss)
		targets, lengths := c.flatten()
		var loss [1]F
		err := ctcLoss[F](c).Losses(loss[:], trellis.Tensor[F]{Data: x, Shape: []int{c.Frames, c.Classes}}, targets, nil, lengths)
		require.NoError(t, err)
		// exp(x − max) carries the rounding of the difference, relatively.
		rounding := Epsilon[F]() / 2 * float64(slices.Max(x)-slices.Min(x))
		require.InEpsilon(t, want, float64(loss[0]), promisedRelative[F]()+rounding, "%v %v", x, targets)
		smallest = min(smallest, want)
	}
	require.Less(t, smallest, 1e-15) // or the test has lost its subject
}

func TestLossesAreNeverNegative(t *testing.T) {
	bothTypes(t, testLossesAreNeverNegative[float32], testLossesAreNeverNegative[float64])
}

func testLossesAreNeverNegative[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(18, 1))
	for i := range 3000 {
		c := CTCCase{Frames: 1 + rng.IntN(30), Batch: 1, Classes: 2 + rng.IntN(8), Scores: trellis.Logits}
		c.InputLengths = []int{c.Frames}
		x := normals[F](rng, c.Frames*c.Classes, 1)
		path := make([]int, c.Frames) // that the scores make likely
		for frame := range path {
			path[frame] = rng.IntN(c.Classes)
			x[c.At(0, frame)+path[frame]] += F(rng.ExpFloat64() * float64(i%60))
		}
		c.Targets = [][]int{collapse(path, 0)}
		targets, lengths := c.flatten()
		loss, err := ctcLoss[F](c).Loss(trellis.Tensor[F]{Data: x, Shape: []int{c.Frames, c.Classes}}, targets, nil, lengths)
		require.NoError(t, err)
		require.False(t, math.Signbit(float64(loss)), "CTC %g: %v %v", loss, x, targets)
		loss, err = trellis.CrossEntropyLoss[F]{}.Loss(trellis.Tensor[F]{Data: x[:c.Classes], Shape: []int{c.Classes}}, path[:1])
		require.NoError(t, err)
		require.False(t, math.Signbit(float64(loss)), "cross-entropy %g: %v %v", loss, x[:c.Classes], path[0])
	}
}
