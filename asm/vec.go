package asm

import (
	"fmt"
	"math"
)

// Type is the element type of a vector.
type Type uint8

const (
	F32 Type = iota
	F64
	I32
	I64
)

// Size is the number of bytes of an element.
func (t Type) Size() int { return []int{4, 8, 4, 8}[t] }

// Lanes is the number of elements of a vector.
func (t Type) Lanes() int { return vecBytes / t.Size() }

// IsFloat reports whether elements are floating-point numbers.
func (t Type) IsFloat() bool { return t <= F64 }

// Int is the integer type of the same width.
func (t Type) Int() Type { return t | I32 }

// String returns the name of the type in a signature: "float32" and so on.
func (t Type) String() string { return []string{"float32", "float64", "int32", "int64"}[t] }

// vecBytes is the size of a vector on every target: one register of AVX-512, two
// of AVX2, four of NEON. What a kernel computes in lanes is therefore the same
// everywhere, bit by bit.
const vecBytes = 64

// Vec is a vector of 64 bytes: 16 lanes of four bytes or 8 of eight. It is a
// constant, or the result of an operation, which later operations do not change,
// or a variable made by Kernel.Var.
type Vec struct {
	k *Kernel
	t Type
	arg
}

// Mask has a truth value for every lane of a vector.
type Mask struct {
	k  *Kernel
	t  Type // of the lanes
	id int
}

// Int is a 64-bit integer or an address in a general register, or a constant.
type Int struct {
	k *Kernel
	arg
}

// Type is the element type.
func (v Vec) Type() Type { return v.t }

// As is the same bits taken for elements of another type.
func (v Vec) As(t Type) Vec { v.t = t; return v }

// Const returns a vector with the same number in all lanes.
func (k *Kernel) Const(t Type, x float64) Vec {
	bits := uint64(math.Float64bits(x))
	switch t {
	case F32:
		if float64(float32(x)) != x && x == x {
			k.fail("%v is no float32", x)
		}
		bits = uint64(math.Float32bits(float32(x)))
	case I32:
		bits = uint64(uint32(int32(x)))
	case I64:
		bits = uint64(int64(x))
	}
	return k.Bits(t, bits)
}

// Bits returns a vector with the same bits in all lanes.
func (k *Kernel) Bits(t Type, bits uint64) Vec {
	if t.Size() == 4 {
		if bits>>32 != 0 {
			k.fail("%#x has more than 32 bits", bits)
		}
		bits |= bits << 32
	}
	return Vec{k, t, arg{argConst, 0, bits}}
}

// Iota returns the vector 0, 1, 2, … of an integer type.
func (k *Kernel) Iota(t Type) Vec { return k.vec(instr{op: opIota, t: t}) }

// Add returns v + w, which wraps for integers.
func (v Vec) Add(w Vec) Vec { return v.binary(opAdd, w) }

// Sub returns v − w, which wraps for integers.
func (v Vec) Sub(w Vec) Vec { return v.binary(opSub, w) }

// Mul returns v·w of floats.
func (v Vec) Mul(w Vec) Vec { v.want("Mul", v.t.IsFloat()); return v.binary(opMul, w) }

// Div returns v/w of floats.
func (v Vec) Div(w Vec) Vec { v.want("Div", v.t.IsFloat()); return v.binary(opDiv, w) }

// Max returns the larger of v and w. If one of two floats is a quiet NaN, the
// result is w on AVX and the other number on NEON: keep NaN out of w, and both
// are w. Of two zeros it may return either. AVX2 has no Max of I64.
func (v Vec) Max(w Vec) Vec { return v.binary(opMax, w) }

// Min is to Max as smaller is to larger.
func (v Vec) Min(w Vec) Vec { return v.binary(opMin, w) }

// AtLeast returns v of floats where v is above w, NaN where v is NaN, and else w, which is no NaN. Of two
// zeros it may return either.
func (v Vec) AtLeast(w Vec) Vec { v.want("AtLeast", v.t.IsFloat()); return v.binary(opAtLeast, w) }

// AtMost returns v of floats where v is below w, NaN where v is NaN, and else w, which is no NaN. Of two
// zeros it may return either.
func (v Vec) AtMost(w Vec) Vec { v.want("AtMost", v.t.IsFloat()); return v.binary(opAtMost, w) }

// UMax returns the larger of v and w as unsigned integers of 32 bits.
func (v Vec) UMax(w Vec) Vec { v.want("UMax", v.t == I32); return v.binary(opUMax, w) }

// And returns the bits set in both v and w.
func (v Vec) And(w Vec) Vec { return v.binary(opAnd, w) }

// Or returns the bits set in v or w.
func (v Vec) Or(w Vec) Vec { return v.binary(opOr, w) }

// Shl returns v·2ⁿ for integers.
func (v Vec) Shl(n int) Vec { return v.shift(opShl, n) }

// Shr returns v/2ⁿ for unsigned integers.
func (v Vec) Shr(n int) Vec { return v.shift(opShr, n) }

// MulAdd returns v·w + x, rounded once.
func (v Vec) MulAdd(w, x Vec) Vec { return v.fused(opMulAdd, w, x) }

// NegMulAdd returns x − v·w, rounded once.
func (v Vec) NegMulAdd(w, x Vec) Vec { return v.fused(opNegMulAdd, w, x) }

// Round returns floats rounded to the nearest integer, the even one of two that are
// equally near. What becomes zero keeps its sign.
func (v Vec) Round() Vec { v.want("Round", v.t.IsFloat()); return v.unary(opRound) }

// Less tells where v < w. A NaN is not less.
func (v Vec) Less(w Vec) Mask { return v.compare(opLess, w) }

// NotLess tells where v < w is false, and so where one is NaN. Floats only.
func (v Vec) NotLess(w Vec) Mask {
	v.want("NotLess", v.t.IsFloat())
	return v.compare(opNotLess, w)
}

// Equal tells where v == w.
func (v Vec) Equal(w Vec) Mask { return v.compare(opEqual, w) }

// NotEqual tells where v == w is false.
func (v Vec) NotEqual(w Vec) Mask { return v.compare(opNotEqual, w) }

// And tells where both m and n are true.
func (m Mask) And(n Mask) Mask {
	id := m.k.newValue(kindMask)
	m.k.emit(instr{op: opMaskAnd, t: m.t, dst: id, a: arg{argMask, m.id, 0}, b: arg{argMask, n.id, 0}})
	return Mask{m.k, m.t, id}
}

// Not tells where m is false.
func (m Mask) Not() Mask {
	id := m.k.newValue(kindMask)
	m.k.emit(instr{op: opMaskNot, t: m.t, dst: id, a: arg{argMask, m.id, 0}})
	return Mask{m.k, m.t, id}
}

// Select returns v where m is true and w elsewhere.
func (m Mask) Select(v, w Vec) Vec {
	m.k.sameType("Select", v, w)
	return m.k.vec(instr{op: opSelect, t: v.t, a: v.arg, b: w.arg, mask: m.arg()})
}

// Keep returns v where m is true and 0 elsewhere.
func (m Mask) Keep(v Vec) Vec {
	return m.k.vec(instr{op: opKeep, t: v.t, a: v.arg, mask: m.arg()})
}

// AddWhere adds w to the variable v in the lanes where m is true.
func (v Vec) AddWhere(m Mask, w Vec) {
	v.k.mustBeVar(v.arg)
	v.k.sameType("AddWhere", v, w)
	v.k.emit(instr{op: opAddWhere, t: v.t, dst: v.id, a: v.arg, b: w.arg, mask: m.arg()})
}

// First returns the number of the first lane where m is true, or the number of
// lanes if there is none.
func (m Mask) First() Int {
	return m.k.int(instr{op: opFirst, t: m.t, mask: m.arg()})
}

// FoldAdd returns the sum of the lanes in the first lane of a vector: the upper
// half of the lanes is added to the lower half until one is left. The other lanes
// have any value.
func (v Vec) FoldAdd() Vec { return v.unary(opFoldAdd) }

// FoldMax is FoldAdd with the larger number in place of the sum.
func (v Vec) FoldMax() Vec { return v.unary(opFoldMax) }

// FoldMin is FoldAdd with the smaller number in place of the sum.
func (v Vec) FoldMin() Vec { return v.unary(opFoldMin) }

// FoldUMax is FoldMax for unsigned integers of 32 bits.
func (v Vec) FoldUMax() Vec { v.want("FoldUMax", v.t == I32); return v.unary(opFoldUMax) }

// FoldAdd4 returns a.FoldAdd(), b.FoldAdd(), c.FoldAdd() and d.FoldAdd(), of floats,
// in the first four lanes of a vector. The other lanes have any value. It takes
// little more than one FoldAdd.
func FoldAdd4(a, b, c, d Vec) Vec { return fold4(opFoldAdd4, a, b, c, d) }

// FoldMax4 is FoldAdd4 with the larger number in place of the sum.
func FoldMax4(a, b, c, d Vec) Vec { return fold4(opFoldMax4, a, b, c, d) }

// Spread returns the first lane in all lanes.
func (v Vec) Spread() Vec { return v.SpreadLane(0) }

// SpreadLane returns lane i, one of the first four, in all lanes.
func (v Vec) SpreadLane(i int) Vec {
	if i < 0 || i > 3 {
		v.k.fail("SpreadLane of lane %d", i)
	}
	return v.k.vec(instr{op: opSpread, t: v.t, a: v.arg, b: arg{argImm, 0, uint64(i)}})
}

// ShiftIn returns v moved up by one lane: lane i is lane i−1 of v, and lane 0 the
// last lane of before.
func (v Vec) ShiftIn(before Vec) Vec { return v.binary(opShiftIn, before) }

// ShiftOut returns v moved down by one lane: lane i is lane i+1 of v, and the last
// lane the first of after.
func (v Vec) ShiftOut(after Vec) Vec { return v.binary(opShiftOut, after) }

// ZipLower returns, in each 16 bytes, the lower lanes of v and w in turn: v₀, w₀, v₁
// and w₁ where there are four, v₀ and w₀ where there are two.
func (v Vec) ZipLower(w Vec) Vec { return v.binary(opZipLower, w) }

// ZipUpper is ZipLower of the upper lanes: v₂, w₂, v₃ and w₃, or v₁ and w₁.
func (v Vec) ZipUpper(w Vec) Vec { return v.binary(opZipUpper, w) }

// Widen returns the lower and the upper half of v, a vector of F32, as F64.
func (v Vec) Widen() (lower, upper Vec) {
	v.want("Widen", v.t == F32)
	return v.k.vec(instr{op: opWidenLower, t: F64, a: v.arg}), v.k.vec(instr{op: opWidenUpper, t: F64, a: v.arg})
}

// Narrow returns v and upper, vectors of F64, rounded to F32 in the lower and
// upper half of one vector.
func (v Vec) Narrow(upper Vec) Vec {
	v.want("Narrow", v.t == F64 && upper.t == F64)
	return v.k.vec(instr{op: opNarrow, t: F32, a: v.arg, b: upper.arg})
}

// Var returns a variable with the value of v.
func (k *Kernel) Var(v Vec) Vec {
	x := k.vec(instr{op: opMove, t: v.t, a: v.arg})
	k.values[x.id].isVar = true
	return x
}

// Set gives the variable v the value of w. If w is the result of the last
// operation this costs nothing, but w may not be used after.
func (v Vec) Set(w Vec) {
	v.k.mustBeVar(v.arg)
	v.k.sameType("Set", v, w)
	if v.k.retarget(w.arg, v.id) {
		return
	}
	v.k.emit(instr{op: opMove, t: v.t, dst: v.id, a: w.arg})
}

func (v Vec) unary(o op) Vec { return v.k.vec(instr{op: o, t: v.t, a: v.arg}) }

func fold4(o op, a, b, c, d Vec) Vec {
	a.want(o.String(), a.t.IsFloat())
	a.k.sameType(o.String(), a, b, c, d)
	return a.k.vec(instr{op: o, t: a.t, a: a.arg, b: b.arg, c: c.arg, d: d.arg})
}

func (v Vec) binary(o op, w Vec) Vec {
	v.k.sameType(o.String(), v, w)
	return v.k.vec(instr{op: o, t: v.t, a: v.arg, b: w.arg})
}

func (v Vec) shift(o op, n int) Vec {
	v.want(o.String(), !v.t.IsFloat())
	return v.k.vec(instr{op: o, t: v.t, a: v.arg, b: arg{argImm, 0, uint64(n)}})
}

func (v Vec) fused(o op, w, x Vec) Vec {
	v.want(o.String(), v.t.IsFloat())
	v.k.sameType(o.String(), v, w, x)
	return v.k.vec(instr{op: o, t: v.t, a: v.arg, b: w.arg, c: x.arg})
}

func (v Vec) compare(o op, w Vec) Mask {
	v.k.sameType(o.String(), v, w)
	id := v.k.newValue(kindMask)
	v.k.emit(instr{op: o, t: v.t, dst: id, a: v.arg, b: w.arg})
	return Mask{v.k, v.t, id}
}

func (m Mask) arg() arg { return arg{argMask, m.id, 0} }

func (v Vec) want(what string, ok bool) {
	if !ok {
		v.k.fail("%s of %v", what, v.t)
	}
}

func (k *Kernel) sameType(what string, v ...Vec) {
	for _, w := range v[1:] {
		if w.t != v[0].t {
			k.fail("%s of %v and %v", what, v[0].t, w.t)
		}
	}
}

// fail stops the generator: a kernel that is described wrongly has no code.
func (k *Kernel) fail(format string, a ...any) {
	panic(fmt.Sprintf("asm: "+k.name+": "+format, a...))
}
