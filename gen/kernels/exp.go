package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// exponential has what exp needs, as vectors of one kernel.
type exponential struct {
	t                          asm.Type
	log2e, shift, ln2Hi, ln2Lo asm.Vec
	c                          []asm.Vec // coefficients from the constant term on
	min, over, inf             asm.Vec
	least                      float64 // min
}

// newExponential loads the constants of exp32 or exp64: see exp.go.
func newExponential(k *asm.Kernel, t asm.Type, all constants) exponential {
	bits, degree := 32, 6
	if t == asm.F64 {
		bits, degree = 64, 11
	}
	min, over := all.get("expMin%d", bits), all.get("expMax%d", bits)
	if t == asm.F32 { // over is the least number above expMax
		over = float64(math.Nextafter32(float32(over), math.MaxFloat32))
	} else {
		over = math.Nextafter(over, math.MaxFloat64)
	}
	named := func(name string) asm.Vec { return k.Const(t, all.get("%sF%d", name, bits)) }
	e := exponential{t: t, log2e: named("log2e"), shift: k.Const(t, all.get("shift%d", bits)), ln2Hi: named("ln2Hi"), ln2Lo: named("ln2Lo"),
		least: min, min: k.Const(t, min), over: k.Const(t, over), inf: k.Const(t, math.Inf(1))}
	e.c = []asm.Vec{k.Const(t, 1), k.Const(t, 1)}
	for i := 2; i <= degree; i++ {
		e.c = append(e.c, k.Const(t, all.get("expF%dC%d", bits, i)))
	}
	return e
}

// reduced returns e^d as p·2ⁿ with n in the last bits of z, and r, the argument of
// the polynomial p: see exp32. Where d is NaN so are r and p.
func (e *exponential) reduced(d asm.Vec) (p, z, r asm.Vec) {
	z = d.MulAdd(e.log2e, e.shift)
	n := z.Sub(e.shift)
	r = n.NegMulAdd(e.ln2Lo, n.NegMulAdd(e.ln2Hi, d))
	last := len(e.c) - 1
	p = e.c[last].MulAdd(r, e.c[last-1])
	for i := last - 2; i >= 0; i-- {
		p = p.MulAdd(r, e.c[i])
	}
	return p, z, r
}

// scale returns p·2ⁿ for n in the last bits of z.
func (e *exponential) scale(p, z asm.Vec) asm.Vec {
	mantissa := 23
	if e.t == asm.F64 {
		mantissa = 52
	}
	i := e.t.Int()
	return z.As(i).Shl(mantissa).Add(p.As(i)).As(e.t)
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

func (e *exponential) newSum(k *asm.Kernel) expSum {
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

// expSumAll adds up e^d for d = x−m ≤ 0, where m is not counted apart.
type expSumAll struct {
	e          *exponential
	total, nan asm.Vec // nan is NaN in lanes that have seen one
}

func (e *exponential) newSumAll(k *asm.Kernel) expSumAll {
	zero := k.Const(e.t, 0)
	return expSumAll{e, k.Var(zero), k.Var(zero)}
}

// add adds e^d. With keep it returns it, too.
func (s *expSumAll) add(d asm.Vec, keep bool) (v asm.Vec) {
	normal := d.NotLess(s.e.min)
	p, z, r := s.e.reduced(d)
	s.nan.AddWhere(normal, r)
	v = s.e.scale(p, z)
	if keep {
		v = normal.Keep(v)
	}
	s.total.AddWhere(normal, v)
	return v
}

// fold returns the sum of all lanes in the first one.
func (s *expSumAll) fold() asm.Vec { return s.total.Add(s.nan.Sub(s.nan)).FoldAdd() }
