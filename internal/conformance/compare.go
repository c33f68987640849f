package conformance

import (
	"math"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/stretchr/testify/require"
)

// sentinel fills destinations, so that an element that should be written and
// is not, or the other way round, shows.
const sentinel = -12345.5

// Filled returns a destination of n elements.
func Filled[F trellis.Float](n int) []F { return slices.Repeat([]F{sentinel}, n) }

// Cast converts numbers to another type.
func Cast[To, From trellis.Float](x []From) []To {
	y := make([]To, len(x))
	for i, v := range x {
		y[i] = To(v)
	}
	return y
}

// RequireSameBits fails unless all elements have the same bits; NaN, whose bits
// are not promised, is as good as NaN.
func RequireSameBits[F trellis.Float](t *testing.T, what string, want, got []F) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		a, b := float64(want[i]), float64(got[i])
		if math.Float64bits(a) != math.Float64bits(b) && (a == a || b == b) {
			require.Failf(t, "other bits", "%s[%d]: want %.17g, got %.17g", what, i, a, b)
		}
	}
}

// near reports whether two numbers differ by at most tolerance, are the same
// infinity or are both NaN. An infinite tolerance, that of an infinite loss, is none, and one that is NaN
// lets anything pass.
func near(a, b, tolerance float64) bool {
	return a == b || math.IsNaN(tolerance) || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= min(tolerance, math.MaxFloat64)
}

// requireNear fails unless every element is within tolerance of what is wanted.
// NaN is near NaN, and an infinity near itself.
func requireNear[F trellis.Float](t *testing.T, what string, want []float64, got []F, tolerance float64) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		if !near(want[i], float64(got[i]), tolerance) {
			failNear(t, what, i, want[i], float64(got[i]), tolerance)
		}
	}
}

// RequireRounded fails unless every element is within its tolerance of what is wanted, or
// is what becomes of that in F: an infinity beyond its range, and 0 below it.
func RequireRounded[F trellis.Float](t *testing.T, what string, want []float64, got []F, tolerance func(i int) float64) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		if allowed := tolerance(i) + tiny[F](); !near(want[i], float64(got[i]), allowed) && F(want[i]) != got[i] {
			failNear(t, what, i, want[i], float64(got[i]), allowed)
		}
	}
}

func failNear(t *testing.T, what string, i int, want, got, tolerance float64) {
	t.Helper()
	require.Failf(t, "not near", "%s[%d]: want %.17g, got %.17g, off by %.3g, allowed %.3g",
		what, i, want, got, math.Abs(want-got), tolerance)
}

// promisedRelative is the promised relative error of a loss: in float32 that is the
// 1e-6 of the project's goals, about 16 roundings. In float64 it is far from
// the type's precision, 1e-12 is 4500 roundings, because the reference is in
// float64 too, and in the log domain: a logarithm of 10³ has an ulp of 1e-13
// and carries one such error for every frame.
func promisedRelative[F trellis.Float]() float64 {
	if fp.IsFloat32[F]() {
		return 1e-6
	}
	return 1e-12
}

// promisedAbsolute is the promised error of a gradient whose factors are about 1. That
// of float64 is the reference's: see promisedRelative.
func promisedAbsolute[F trellis.Float]() float64 {
	if fp.IsFloat32[F]() {
		return 2e-6
	}
	return 1e-12
}

// Epsilon returns the distance from 1 to the next number.
func Epsilon[F trellis.Float]() float64 {
	if fp.IsFloat32[F]() {
		return 0x1p-23
	}
	return 0x1p-52
}

// tiny returns what exp is at least: below it is 0.
func tiny[F trellis.Float]() float64 {
	if fp.IsFloat32[F]() {
		return 0x1.6a09e8p-126 // 2^−125.5
	}
	return 0x1.6a09e8p-1022
}

// requireLosses compares the losses with the reference's.
func (c Call[F]) requireLosses(t *testing.T, got []F) {
	t.Helper()
	for i, want := range c.want().losses {
		if tolerance := promisedRelative[F]()*math.Abs(want) + c.want().floor; !near(want, float64(got[i]), tolerance) {
			failNear(t, c.Name+": losses", i, want, float64(got[i]), tolerance)
		}
	}
}

// requireReduced compares the reduced loss with the reference's.
func (c Call[F]) requireReduced(t *testing.T, reduction trellis.Reduction, got F) {
	t.Helper()
	want := c.want()
	var tolerance float64
	for i, u := range want.upstream(reduction) {
		if loss := want.losses[i]; !math.IsInf(loss, 0) && !math.IsNaN(loss) {
			tolerance += math.Abs(u) * (promisedRelative[F]()*math.Abs(loss) + want.floor)
		}
	}
	requireNear(t, c.Name+": "+reduction.String(), []float64{want.reduced(reduction)}, []F{got}, tolerance)
}

// requireGrad compares a gradient with the reference's, where the losses have
// the given factors.
func (c Call[F]) requireGrad(t *testing.T, what string, upstream, want []float64, got []F) {
	t.Helper()
	factor := 0.0
	for _, u := range upstream {
		factor = max(factor, math.Abs(u))
	}
	requireNear(t, c.Name+": "+what, want, got, promisedAbsolute[F]()*factor*c.want().term)
}

// RequireClose compares the results of a call, whatever its scores are, with the
// reference. The scores are at most size. The reference adds logarithms of that size, with an
// error that shows in float64; in float32 it is exact beside the type. A loss near
// 0 is a sum of exponentials, whose arguments, up to twice the size of the scores
// and at most 88 before they vanish, are rounded by half an ulp: 2⁻²⁵ of them in
// float32.
func (c Call[F]) RequireClose(t *testing.T, reduction trellis.Reduction, out Results[F], upstream []F, size float64) {
	t.Helper()
	want, slack := c.want(), 0x1p-50*size
	loss := func(i int) float64 {
		return promisedRelative[F]()*(1+min(size, 44)/16)*math.Abs(want.losses[i]) + want.floor + slack
	}
	RequireRounded(t, c.Name+": losses", want.losses, out.Losses, loss)
	var sum, factor float64
	for i, u := range want.upstream(reduction) {
		if l := want.losses[i]; !math.IsInf(l, 0) && !math.IsNaN(l) {
			sum += math.Abs(u) * loss(i)
		}
		if !math.IsNaN(u) {
			factor = max(factor, math.Abs(u))
		}
	}
	RequireRounded(t, c.Name+": reduced loss", []float64{want.reduced(reduction)}, []F{out.Loss}, func(int) float64 { return sum })
	gradient := want.gradient(reduction)
	RequireRounded(t, c.Name+": gradient", gradient, out.Grad, func(i int) float64 {
		return (promisedAbsolute[F]()+slack)*max(factor, want.mass*factor, math.Abs(gradient[i])) + want.missing(i, factor)
	})
	vjp := want.vjp(Cast[float64](upstream))
	RequireRounded(t, c.Name+": VJP", vjp, out.VJP, func(i int) float64 {
		factor := math.Abs(float64(upstream[want.owner[i]]))
		return (promisedAbsolute[F]()+slack)*max(factor, want.mass*factor, math.Abs(vjp[i])) + want.missing(i, factor)
	})
}

// RequireAllPaths compares the losses of a call of CTCLoss, and the occupancies that the true
// gradient consists of, with the enumeration of all paths, for sequences whose scores are
// such that their products are numbers.
func (c Call[F]) RequireAllPaths(t *testing.T, in CTCCase, out Results[F], upstream []F) {
	t.Helper()
	for n, target := range in.Targets {
		scores := in.scores(Cast[float64](c.X.Data), n)
		if slices.ContainsFunc(slices.Concat(scores...), func(v float64) bool {
			return !(v < 50 && (v > -50 || math.IsInf(v, -1)))
		}) {
			continue
		}
		loss, _, occupancy := refCTCBrute(scores, target, in.Blank)
		if in.ZeroInfinity && math.IsInf(loss, 1) {
			loss = 0
		}
		RequireRounded(t, c.Name+": loss of all paths", []float64{loss}, out.Losses[n:n+1], func(int) float64 {
			return promisedRelative[F]()*math.Abs(loss) + c.want().floor + 1e-13
		})
		if !in.ScoresGradient {
			continue
		}
		for frame, row := range occupancy {
			share := slices.Repeat([]float64{1}, len(row))
			for class, o := range row {
				if in.Scores == trellis.Probabilities && o != 0 {
					share[class] = math.Exp(-scores[frame][class])
				}
				row[class] *= -float64(upstream[n]) * share[class]
			}
			RequireRounded(t, c.Name+": VJP of all paths", row, out.VJP[in.At(n, frame):][:in.Classes], func(i int) float64 {
				return 2 * promisedAbsolute[F]() * share[i]
			})
		}
	}
}
