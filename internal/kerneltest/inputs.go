package kerneltest

import (
	"math/rand/v2"
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
)

// Input is a way to make scores.
type Input[F fp.Float] struct {
	Name string
	// Element returns element i of n; salt is one number for all of them.
	Element func(r *rand.Rand, i, n, salt int) F
}

// Make returns n scores.
func (in Input[F]) Make(r *rand.Rand, n int) []F {
	x := make([]F, n)
	for i, salt := 0, r.IntN(1<<20); i < n; i++ {
		x[i] = in.Element(r, i, n, salt)
	}
	return x
}

// Plain and Mixed are the names of the inputs for which everything else is varied, too:
// with all of them it would take too long.
const (
	Plain = "normal"
	Mixed = "mixed"
)

// Inputs are scores of every sort: ordinary ones, and those where a kernel may go wrong.
func Inputs[F fp.Float]() []Input[F] {
	largest, normal := limits[F]()
	expMin, expMax := fp.ExpRange[F]()
	gauss := func(r *rand.Rand, spread F) F { return F(r.NormFloat64()) * spread }
	pick := func(r *rand.Rand, from ...F) F { return from[r.IntN(len(from))] }
	all := []Input[F]{
		{Plain, func(r *rand.Rand, _, _, _ int) F { return gauss(r, 3) }},
		{"wide", func(r *rand.Rand, _, _, _ int) F { return gauss(r, expMax/3) }},
		{"huge", func(r *rand.Rand, _, _, _ int) F { return F(2*r.Float64()-1) * largest }},
		{"tiny", func(r *rand.Rand, _, _, _ int) F { return F(4*r.Float64()-2) * normal }},
		{"some −Inf", func(r *rand.Rand, _, _, _ int) F { return pick(r, gauss(r, 3), fp.NegInf[F]()) }},
		{"few above −Inf", func(r *rand.Rand, i, n, salt int) F {
			if i%max(n/2, 1) == salt%max(n/2, 1) {
				return gauss(r, 3)
			}
			return fp.NegInf[F]()
		}},
		{"all −Inf", func(*rand.Rand, int, int, int) F { return fp.NegInf[F]() }},
		{"some +Inf", func(r *rand.Rand, _, _, _ int) F {
			return pick(r, gauss(r, 3), gauss(r, 3), Inf[F](), fp.NegInf[F]())
		}},
		{"all +Inf", func(*rand.Rand, int, int, int) F { return Inf[F]() }},
		{"one NaN", func(r *rand.Rand, i, n, salt int) F {
			if i == salt%n {
				return SomeNaN[F](r)
			}
			return gauss(r, 3)
		}},
		{"some NaN", func(r *rand.Rand, _, _, _ int) F { return pick(r, gauss(r, 3), SomeNaN[F](r)) }},
		{"all NaN", func(r *rand.Rand, _, _, _ int) F { return SomeNaN[F](r) }},
		{"NaN and Inf", func(r *rand.Rand, _, _, _ int) F {
			return pick(r, Inf[F](), fp.NegInf[F](), SomeNaN[F](r))
		}},
		{"equal maxima", func(r *rand.Rand, _, _, _ int) F { return F(r.IntN(3)) }},
		{"all equal", func(_ *rand.Rand, _, _, salt int) F { return F(salt%7) - 3 }},
		{"zeros", func(r *rand.Rand, _, _, _ int) F { return pick(r, 0, MinusZero[F]()) }},
		{"zeros above", func(r *rand.Rand, _, _, _ int) F {
			return pick(r, MinusZero[F](), MinusZero[F](), 0, -F(r.ExpFloat64()))
		}},
		{"all −0", func(*rand.Rand, int, int, int) F { return MinusZero[F]() }},
		{"ascending", func(_ *rand.Rand, i, n, _ int) F { return F(i) * 40 / F(n) }},
		{"descending", func(_ *rand.Rand, i, n, _ int) F { return -F(i) * 40 / F(n) }},
		{"least exp", func(r *rand.Rand, i, n, salt int) F {
			if i == salt%n {
				return 0
			}
			return Moved(expMin, r.IntN(7)-3)
		}},
		{"largest exp", func(r *rand.Rand, _, _, _ int) F { return Moved(expMax, r.IntN(7)-3) }},
		{"any bits", func(r *rand.Rand, _, _, _ int) F {
			x := FromBits[F](r.Uint64())
			if isSignalling(x) {
				return SomeNaN[F](r)
			}
			return x
		}},
	}
	simple := slices.Clone(all)
	all = append(all, Input[F]{"some signalling NaN", func(r *rand.Rand, _, _, _ int) F {
		return pick(r, gauss(r, 3), gauss(r, 3), signallingNaN[F](r))
	}})
	return append(all, Input[F]{Mixed, func(r *rand.Rand, i, n, salt int) F {
		return simple[r.IntN(len(simple))].Element(r, i, n, salt)
	}})
}
