package conformance

import (
	"math"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/stretchr/testify/require"
)

// accuracy compares results with references, and keeps the worst errors.
type accuracy struct {
	loss, grad           float64 // allowed errors: relative, absolute
	worstLoss, worstGrad float64
	cases                int
}

// newAccuracy returns what trellis promises where inputs are exact.
func newAccuracy[F trellis.Float]() *accuracy {
	if fp.IsFloat32[F]() {
		return &accuracy{loss: 1e-6, grad: 2e-6}
	}
	return &accuracy{loss: 1e-10, grad: 1e-11}
}

// checkLosses compares losses whose references may be off by slack themselves.
func (a *accuracy) checkLosses(t *testing.T, want, got []float64, slack float64) {
	t.Helper()
	require.Len(t, got, len(want))
	worst, at := farthest(want, got, func(w, off float64) float64 { return (off - slack) / math.Abs(w) })
	a.worstLoss = max(a.worstLoss, worst)
	require.LessOrEqualf(t, worst, a.loss, "relative error of loss %d of %d: want %.17g, got %.17g", at, len(want), want[at], got[at])
}

// checkGrad compares gradients.
func (a *accuracy) checkGrad(t *testing.T, want, got []float64) {
	t.Helper()
	require.Len(t, got, len(want))
	worst, at := farthest(want, got, func(_, off float64) float64 { return off })
	a.worstGrad = max(a.worstGrad, worst)
	require.LessOrEqualf(t, worst, a.grad, "error of gradient %d of %d: want %.17g, got %.17g", at, len(want), want[at], got[at])
}

// farthest returns the largest error of what differs, and where it is. It is
// infinite if only one of two numbers is NaN, or an infinity.
func farthest(want, got []float64, size func(want, off float64) float64) (worst float64, at int) {
	for i, w := range want {
		if near(w, got[i], 0) {
			continue
		}
		e := size(w, math.Abs(got[i]-w))
		if math.IsNaN(e) || math.IsInf(w, 0) {
			e = math.Inf(1)
		}
		if e > worst {
			worst, at = e, i
		}
	}
	return worst, at
}

// report logs the worst errors, and fails unless there were so many cases.
func (a *accuracy) report(t *testing.T, cases int) {
	t.Helper()
	t.Logf("%d cases, worst errors: losses %.2g relative, gradients %.2g absolute", a.cases, a.worstLoss, a.worstGrad)
	require.Equal(t, cases, a.cases)
}

// byReduction returns the reduced loss of a call on so many scores, and its gradient; or, with
// the reduction "none", all losses and the gradient of Σ upstream·losses.
func (m Methods[F]) byReduction(t *testing.T, reduction string, scores int, upstream []F) (losses, grad []float64) {
	t.Helper()
	g := Filled[F](scores)
	if reduction == "none" {
		l := Filled[F](len(upstream))
		require.NoError(t, m.Losses(l))
		require.NoError(t, m.VJP(g, upstream))
		return Cast[float64](l), Cast[float64](g)
	}
	alone, err := m.Loss()
	require.NoError(t, err)
	loss, err := m.Grad(g)
	require.NoError(t, err)
	require.Equal(t, alone, loss)
	return []float64{float64(loss)}, Cast[float64](g)
}

// reductionOf is the zero value for "none", which the methods do not heed.
func reductionOf(name string) trellis.Reduction {
	if name == "sum" {
		return trellis.Sum
	}
	return trellis.Mean
}

// ones is the upstream of a sum.
func ones[F trellis.Float](n int) []F { return slices.Repeat([]F{1}, n) }
