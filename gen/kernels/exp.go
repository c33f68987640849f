package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// layout is where an IEEE-754 number has its exponent.
type layout struct {
	bits, mantissa int
	bias           float64
}

// layoutOf returns that of the numbers of a type.
func layoutOf(t asm.Type) layout {
	if t == asm.F32 {
		return layout{32, 23, 127}
	}
	return layout{64, 52, 1023}
}

// exponential has what exp needs, as vectors of one kernel.
type exponential struct {
	t                          asm.Type
	log2e, shift, ln2Hi, ln2Lo asm.Vec
	c                          []asm.Vec // coefficients from the constant term on
}

// newExponential loads the constants of Exp32 or Exp64: see internal/fp/exp.go.
func newExponential(k *builder) exponential { return scaledExponential(k, 1, 0) }

// scaledExponential multiplies p by a power of two, and adds an integer to z.
func scaledExponential(k *builder, power, more float64) exponential {
	t, bits, degree := k.F, layoutOf(k.F).bits, 11
	if t == asm.F32 {
		degree = 6
	}
	named := func(name string) asm.Vec { return k.Const(t, k.get("%sF%d", name, bits)) }
	e := exponential{t: t, log2e: named("log2e"), shift: k.Const(t, k.get("shift%d", bits)+more), ln2Hi: named("ln2Hi"), ln2Lo: named("ln2Lo")}
	e.c = []asm.Vec{k.Const(t, power), k.Const(t, power)}
	for i := 2; i <= degree; i++ {
		e.c = append(e.c, k.Const(t, power*k.get("expF%dC%d", bits, i)))
	}
	return e
}

// reduced returns e^d as p·2ⁿ with n in the last bits of z:
//
//	n = round(d·log₂e)
//	r = (d − n·ln2Hi) − n·ln2Lo
//	p = 1 + r + c₂·r² + c₃·r³ + …
//
// Where d is NaN so is p.
func (e *exponential) reduced(d asm.Vec) (p, z asm.Vec) {
	z = d.MulAdd(e.log2e, e.shift)
	n := z.Sub(e.shift)
	return e.polynomial(n.NegMulAdd(e.ln2Lo, n.NegMulAdd(e.ln2Hi, d))), z
}

// polynomial returns p for r.
func (e *exponential) polynomial(r asm.Vec) asm.Vec {
	last := len(e.c) - 1
	p := e.c[last].MulAdd(r, e.c[last-1])
	for i := last - 2; i >= 0; i-- {
		p = p.MulAdd(r, e.c[i])
	}
	return p
}

// factoredExponential is exp by few instructions: a processor has only so many of them under way at a time that
// their number decides what exp costs. 2ⁿ is not put into p, but 2p is multiplied by 2ⁿ⁻¹, where d is between what
// has the exponents of 0 and of infinity as its n−1.
type factoredExponential struct {
	exponential    // with 2p, and a shift that adds the bias of an exponent to n−1
	floor, ceiling asm.Vec
}

func newFactoredExponential(k *builder) *factoredExponential {
	bias := layoutOf(k.F).bias
	powerOfTwo := func(n float64) asm.Vec { return k.Const(k.F, float64(float32(n*math.Ln2))) }
	return &factoredExponential{scaledExponential(k, 2, bias-1), powerOfTwo(1 - bias), powerOfTwo(bias + 2)}
}

// factors returns e^d as p·power for a d that is not above 0, or NaN: then p is NaN.
func (e *factoredExponential) factors(d asm.Vec) (p, power asm.Vec) {
	p, z := e.reduced(d.AtLeast(e.floor))
	return p, z.As(e.t.Int()).Shl(layoutOf(e.t).mantissa).As(e.t)
}

// of returns e^d for any d.
func (e *factoredExponential) of(d asm.Vec) asm.Vec { return e.ofNegative(d.AtMost(e.ceiling)) }

// ofNegative returns e^d where d is not above 0, or NaN.
func (e *factoredExponential) ofNegative(d asm.Vec) asm.Vec {
	p, power := e.factors(d)
	return p.Mul(power)
}

// expTerms are e^d for d = x−m ≤ 0. Where x is m they are only counted.
type expTerms struct {
	*factoredExponential
	none, count asm.Vec // the number that counting begins with, and its bits less 1 for each that was counted
}

func (e *factoredExponential) newTerms(k *builder) expTerms {
	none := k.Const(e.t, k.get("shift%d", layoutOf(e.t).bits))
	return expTerms{e, none, k.Var(none.As(e.t.Int()))}
}

// plus returns the sum of e^d and a total, or only counts, and e^d as p·power. That product is exact, and so rounded
// once, with its sum. Where d is NaN sum and p are NaN, and that counts, too.
func (s *expTerms) plus(k *builder, total, d asm.Vec) (sum, p, power asm.Vec) {
	isTie := d.NotLess(k.Const(s.t, 0))
	s.count.AddWhere(isTie, k.Const(s.t.Int(), -1))
	below := isTie.Not()
	p, power = s.factors(d)
	return below.Keep(power).MulAdd(p, total), p, power
}

// ties returns what was counted.
func (s *expTerms) ties() asm.Vec { return s.none.Sub(s.count.As(s.t)) }

// expSum adds up terms.
type expSum struct {
	expTerms
	total asm.Vec
}

func (e *factoredExponential) newSum(k *builder) expSum {
	return expSum{e.newTerms(k), k.Var(k.Const(e.t, 0))}
}

// add adds e^d, and returns it as p·power.
func (s *expSum) add(k *builder, d asm.Vec) (p, power asm.Vec) {
	sum, p, power := s.plus(k, s.total, d)
	s.total.Set(sum)
	return p, power
}
