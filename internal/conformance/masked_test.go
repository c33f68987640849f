package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/stretchr/testify/require"
)

// A class target of weight 0 whose class is masked has loss 0 and no gradient, as its
// one-hot probabilities do, wherever the classes lie.
func TestMaskedTargetOfWeightZero(t *testing.T) {
	bothTypes(t, testMaskedTargetOfWeightZero[float32], testMaskedTargetOfWeightZero[float64])
}

func testMaskedTargetOfWeightZero[F trellis.Float](t *testing.T) {
	const masked = 1
	rng := rand.New(rand.NewPCG(51, 1))
	for _, shape := range [][]int{{3}, {4, 3}, {150, 5}, {3, 200}, {2, 5000}, {2, 70000}, {2, 3, 1}, {2, 4, 5}, {2, 80, 20}, {1, 3, 300}} {
		if testing.Short() && product(shape) > 1e5 {
			continue
		}
		at := classScores(shape)
		x := trellis.Tensor[F]{Data: normals[F](rng, product(shape), 2), Shape: shape}
		weight := Cast[F](positive(rng, len(at[0])))
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
		m := BindClasses(l, x, targets)
		if i == 1 {
			m = BindProbs(l, x, hot)
		}
		losses[i], grad[i], vjp[i] = make([]F, len(targets)), make([]F, len(x.Data)), make([]F, len(x.Data))
		var err error
		require.NoError(t, m.Losses(losses[i]), what)
		sum[i], err = m.Grad(grad[i])
		require.NoError(t, err, what)
		require.NoError(t, m.VJP(vjp[i], upstream), what)
	}
	near := func(name string, want, got []F) {
		for i, w := range want {
			tolerance := 4 * promisedRelative[F]() * (1 + math.Abs(float64(w)))
			if !fp.IsFinite(w) || !(math.Abs(float64(got[i])-float64(w)) <= tolerance) {
				require.Fail(t, "unlike one-hot probabilities", "%s: %s %d: %v, want %v", what, name, i, got[i], w)
			}
		}
	}
	near("loss", losses[1], losses[0])
	near("sum", sum[1:], sum[:1])
	near("gradient", grad[1], grad[0])
	near("VJP", vjp[1], vjp[0])
}

// requireMeanOfNothing fails unless targets of weight 0 alone have NaN as their mean, and
// no gradient.
func requireMeanOfNothing[F trellis.Float](t *testing.T, l ClassLoss[F], x trellis.Tensor[F], class int) {
	t.Helper()
	targets, grad := slices.Repeat([]int{class}, len(classScores(x.Shape))), Filled[F](len(x.Data))
	loss, err := l.Grad(grad, x, targets)
	require.NoError(t, err)
	require.True(t, loss != loss)
	require.Equal(t, make([]F, len(x.Data)), grad)
	loss, err = l.Loss(x, targets)
	require.NoError(t, err)
	require.True(t, loss != loss)
}
