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
	min, over, inf             asm.Vec
	least                      float64 // min
}

// newExponential loads the constants of Exp32 or Exp64: see internal/fp/exp.go.
func newExponential(k *builder) exponential {
	t, bits := k.F, layoutOf(k.F).bits
	min, over := k.get("expMin%d", bits), k.get("expMax%d", bits)
	degree := 11
	if t == asm.F32 { // over is the least number above expMax
		degree, over = 6, float64(math.Nextafter32(float32(over), math.MaxFloat32))
	} else {
		over = math.Nextafter(over, math.MaxFloat64)
	}
	named := func(name string) asm.Vec { return k.Const(t, k.get("%sF%d", name, bits)) }
	e := exponential{t: t, log2e: named("log2e"), shift: k.Const(t, k.get("shift%d", bits)), ln2Hi: named("ln2Hi"), ln2Lo: named("ln2Lo"),
		least: min, min: k.Const(t, min), over: k.Const(t, over), inf: k.Const(t, math.Inf(1))}
	e.c = []asm.Vec{k.Const(t, 1), k.Const(t, 1)}
	for i := 2; i <= degree; i++ {
		e.c = append(e.c, k.Const(t, k.get("expF%dC%d", bits, i)))
	}
	return e
}

// reduced returns e^d as p·2ⁿ with n in the last bits of z, and r, the argument of
// the polynomial p:
//
//	n = round(d·log₂e)
//	r = (d − n·ln2Hi) − n·ln2Lo
//	p = 1 + r + c₂·r² + c₃·r³ + …
//
// Where d is NaN so are r and p.
func (e *exponential) reduced(d asm.Vec) (p, z, r asm.Vec) {
	z = d.MulAdd(e.log2e, e.shift)
	n := z.Sub(e.shift)
	r = n.NegMulAdd(e.ln2Lo, n.NegMulAdd(e.ln2Hi, d))
	return e.polynomial(r), z, r
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

// scale returns p·2ⁿ for n in the last bits of z.
func (e *exponential) scale(p, z asm.Vec) asm.Vec {
	i := e.t.Int()
	return z.As(i).Shl(layoutOf(e.t).mantissa).Add(p.As(i)).As(e.t)
}

// of returns e^d for any d: the sum in the exponent would make a number of a NaN
// with a payload, and more than the largest number of what is too large.
func (e *exponential) of(d asm.Vec) asm.Vec {
	p, z, _ := e.reduced(d)
	v := d.NotLess(e.min).Keep(e.scale(p, z))
	return d.NotLess(e.over).Select(d.Add(e.inf), v)
}

// expSum adds up e^d for d = x−m ≤ 0.
type expSum struct {
	e               *exponential
	zero            asm.Vec
	total           asm.Vec // of what is below m
	ties            asm.Vec // how often m was, or NaN
	least, minusInf asm.Vec // see add
}

func (e *exponential) newSum(k *builder) expSum {
	zero, i := k.Const(e.t, 0), e.t.Int()
	least := math.Float64bits(e.least)
	if e.t == asm.F32 {
		least = uint64(math.Float32bits(float32(e.least)))
	}
	return expSum{e, zero, k.Var(zero), k.Var(zero), k.Bits(i, least+1), k.Const(e.t, math.Inf(-1)).As(i)}
}

// add adds e^d, where what is below the normal numbers is 0. As integers, negative
// floats are in reverse order, NaN of either sign is above −Inf, and 0 above all of
// them: two comparisons tell what is normal, and what is 0 or NaN. d must not be −0.
func (s *expSum) add(d asm.Vec) {
	i := d.As(s.e.t.Int())
	normal, ties := i.Less(s.least), s.minusInf.Less(i)
	p, z, _ := s.e.reduced(d)
	s.ties.AddWhere(ties, p) // 1, or NaN
	s.total.AddWhere(normal, s.e.scale(p, z))
}

// addKept adds e^d and returns it.
func (s *expSum) addKept(d asm.Vec) asm.Vec {
	normal, below := d.NotLess(s.e.min), d.Less(s.zero)
	p, z, _ := s.e.reduced(d)
	s.ties.AddWhere(below.Not(), p)
	v := normal.Keep(s.e.scale(p, z))
	s.total.AddWhere(below, v)
	return v
}
