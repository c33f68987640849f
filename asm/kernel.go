package asm

import (
	"math/bits"
	"strconv"
)

// Param returns the float parameter of the kernel that has this name, in all
// lanes.
func (k *Kernel) Param(t Type, name string) Vec {
	return k.vec(instr{op: opParamVec, t: t, name: name})
}

// Arg returns an integer or pointer parameter, or with the suffix "_base" or
// "_len" the address or length of a slice.
func (k *Kernel) Arg(name string) Int { return k.int(instr{op: opParamInt, name: name}) }

// Return sets a float result to the first lane of v.
func (k *Kernel) Return(name string, v Vec) {
	k.emit(instr{op: opResultVec, t: v.t, dst: none, a: v.arg, name: name})
}

// ReturnInt sets an integer result.
func (k *Kernel) ReturnInt(name string, i Int) {
	k.emit(instr{op: opResultInt, dst: none, a: i.arg, name: name})
}

// Int returns an integer constant.
func (k *Kernel) Int(i int) Int { return Int{k, arg{argImm, 0, uint64(i)}} }

// Copy returns a variable with the value of i.
func (k *Kernel) Copy(i Int) Int {
	x := k.int(instr{op: opMoveInt, a: i.arg})
	k.values[x.id].isVar = true
	return x
}

// Set gives the variable i the value of j.
func (i Int) Set(j Int) {
	i.k.mustBeVar(i.arg)
	i.k.emit(instr{op: opMoveInt, dst: i.id, a: j.arg})
}

// Inc adds j to the variable i.
func (i Int) Inc(j Int) { i.change(opAddInt, j) }

// Dec subtracts j from the variable i.
func (i Int) Dec(j Int) { i.change(opSubInt, j) }

func (i Int) change(o op, j Int) {
	i.k.mustBeVar(i.arg)
	i.k.emit(instr{op: o, dst: i.id, a: i.arg, b: j.arg})
}

// Plus returns i + j.
func (i Int) Plus(j Int) Int { return i.k.int(instr{op: opAddInt, a: i.arg, b: j.arg}) }

// Minus returns i − j.
func (i Int) Minus(j Int) Int { return i.k.int(instr{op: opSubInt, a: i.arg, b: j.arg}) }

// Times returns i·j.
func (i Int) Times(j Int) Int { return i.k.int(instr{op: opMulInt, a: i.arg, b: j.arg}) }

// Shl returns i·2ⁿ.
func (i Int) Shl(n int) Int {
	return i.k.int(instr{op: opShlInt, a: i.arg, b: arg{argImm, 0, uint64(n)}})
}

// Splat returns i, cut to the width of an integer type, in all lanes.
func (i Int) Splat(t Type) Vec { return i.k.vec(instr{op: opSplat, t: t, a: i.arg}) }

// Cond is a comparison of two integers.
type Cond struct {
	a, b arg
	c    cond
}

func (i Int) Equal(j Int) Cond     { return Cond{i.arg, j.arg, condEqual} }
func (i Int) NotEqual(j Int) Cond  { return Cond{i.arg, j.arg, condNotEqual} }
func (i Int) Less(j Int) Cond      { return Cond{i.arg, j.arg, condLess} }
func (i Int) LessEqual(j Int) Cond { return Cond{i.arg, j.arg, condLessEqual} }
func (i Int) AtLeast(j Int) Cond   { return Cond{i.arg, j.arg, condGreaterEqual} }
func (i Int) Greater(j Int) Cond   { return Cond{i.arg, j.arg, condGreater} }

// not returns the opposite.
func (c Cond) not() Cond {
	c.c = [...]cond{condNotEqual, condEqual, condGreaterEqual, condLess, condGreater, condLessEqual}[c.c]
	return c
}

// Label is a place in the kernel to jump to.
type Label string

// NewLabel returns a label that is placed later by Kernel.Place.
func (k *Kernel) NewLabel(name string) Label {
	k.labels++
	return Label(name + strconv.Itoa(k.labels))
}

// Place puts a label here.
func (k *Kernel) Place(l Label) { k.emit(instr{op: opLabel, dst: none, label: string(l)}) }

// Jump goes to a label.
func (k *Kernel) Jump(l Label) { k.emit(instr{op: opJump, dst: none, label: string(l)}) }

// JumpIf goes to a label if the condition holds.
func (k *Kernel) JumpIf(c Cond, l Label) {
	k.emit(instr{op: opBranch, dst: none, a: c.a, b: c.b, cond: c.c, label: string(l)})
}

// If does body if the condition holds.
func (k *Kernel) If(c Cond, body func()) {
	end := k.NewLabel("endif")
	k.JumpIf(c.not(), end)
	body()
	k.Place(end)
}

// IfElse does one of two things, as the condition holds or not.
func (k *Kernel) IfElse(c Cond, then, otherwise func()) {
	elseLabel, end := k.NewLabel("else"), k.NewLabel("endif")
	k.JumpIf(c.not(), elseLabel)
	then()
	k.Jump(end)
	k.Place(elseLabel)
	otherwise()
	k.Place(end)
}

// While does body as long as the condition holds, testing it before each turn.
func (k *Kernel) While(c Cond, body func()) {
	loop, end := k.NewLabel("loop"), k.NewLabel("end")
	k.JumpIf(c.not(), end)
	k.Place(loop)
	body()
	k.JumpIf(c, loop)
	k.Place(end)
}

// Lanes is a part of an array that is worked on at once: a whole vector, or the
// first few lanes of one at the end of the array.
type Lanes struct {
	k    *Kernel
	tail arg
}

// All is a whole vector.
func (k *Kernel) All() Lanes { return Lanes{k: k} }

// Each goes through n elements of type t, a vector at a time. The address
// variables, which are those of arrays of elements of this size, move on with it, and
// in the end are behind the last element: body finds the lanes at hand at offset 0.
// It is written twice, for whole vectors and for a tail.
func (k *Kernel) Each(t Type, n Int, arrays []Int, body func(l Lanes)) {
	k.EachUnrolled(t, n, arrays, 1, func(l Lanes, _ int) { body(l) })
}

// EachUnrolled is Each with several vectors in one turn, numbered by u from 0:
// they find their lanes at the offset 64·u bytes. What is left over is number 0.
func (k *Kernel) EachUnrolled(t Type, n Int, arrays []Int, unroll int, body func(l Lanes, u int)) {
	left := k.Copy(n)
	lanes := k.Int(t.Lanes())
	advance := func(vectors int) {
		for _, p := range arrays {
			p.Inc(k.Int(vecBytes * vectors))
		}
	}
	if unroll > 1 {
		k.While(left.AtLeast(k.Int(unroll*t.Lanes())), func() {
			for u := range unroll {
				body(Lanes{k: k}, u)
			}
			advance(unroll)
			left.Dec(k.Int(unroll * t.Lanes()))
		})
	}
	k.While(left.AtLeast(lanes), func() {
		body(Lanes{k: k}, 0)
		advance(1)
		left.Dec(lanes)
	})
	k.If(left.Greater(k.Int(0)), func() {
		body(Lanes{k, left.arg}, 0)
		bytes := left.Shl(bits.TrailingZeros(uint(t.Size())))
		for _, p := range arrays {
			p.Inc(bytes)
		}
	})
}

// Load reads the lanes at the address p + offset bytes. Lanes beyond a tail are
// not read but set to fill, a constant.
func (l Lanes) Load(p Int, offset int, fill Vec) Vec {
	if fill.kind != argConst {
		l.k.fail("the fill of a load is no constant")
	}
	return l.k.vec(instr{op: opLoad, t: fill.t, c: fill.arg, mem: address{p.id, none, 0, offset}, tail: l.tail})
}

// Store writes the lanes of v at the address p + offset bytes, and nothing
// beyond a tail.
func (l Lanes) Store(p Int, offset int, v Vec) {
	l.k.emit(instr{op: opStore, t: v.t, dst: none, a: v.arg, mem: address{p.id, none, 0, offset}, tail: l.tail})
}

// Stream is Store for what is too much to be read back from the caches: on AVX it
// goes past them. The address of a whole vector must be a multiple of 64.
func (l Lanes) Stream(p Int, offset int, v Vec) {
	l.k.emit(instr{op: opStream, t: v.t, dst: none, a: v.arg, mem: address{p.id, none, 0, offset}, tail: l.tail})
}

// LoadWiden reads an I32 for each lane of an I64, 0 beyond a tail.
func (l Lanes) LoadWiden(p Int, offset int) Vec {
	return l.k.vec(instr{op: opLoadWiden, t: I64, mem: address{p.id, none, 0, offset}, tail: l.tail})
}

// StoreNarrow writes the I64 lanes of v as I32.
func (l Lanes) StoreNarrow(p Int, offset int, v Vec) {
	l.k.emit(instr{op: opStoreNarrow, t: I64, dst: none, a: v.arg, mem: address{p.id, none, 0, offset}, tail: l.tail})
}

// Broadcast returns the element at p + offset bytes in all lanes.
func (k *Kernel) Broadcast(t Type, p Int, offset int) Vec {
	return k.vec(instr{op: opBroadcast, t: t, mem: address{p.id, none, 0, offset}})
}

// Gather returns the elements of type t at p + index·size bytes, one for each lane of
// index, which is of the integer type of the same width. Indices are not checked, and
// all lanes are read: those beyond a tail need a valid index, too, such as 0. It saves
// no time by itself: on Zen 4 a float32 in the first cache takes 0.37 ns, and moving
// it on its own 0.33.
func (k *Kernel) Gather(t Type, p Int, index Vec) Vec {
	if index.t != t.Int() {
		k.fail("Gather of %v by %v", t, index.t)
	}
	return k.vec(instr{op: opGather, t: t, a: index.arg, mem: address{p.id, none, 0, 0}})
}

// GatherTable is Gather of 32-bit elements from a table of n vectors at p, 1 to 8: the
// indices are from 0 to 16·n−1, and all of the table can be read. AVX-512 looks them
// up in registers, as AVX2 does for one vector or two.
func (k *Kernel) GatherTable(t Type, p Int, n int, index Vec) Vec {
	if t.Size() != 4 || index.t != I32 || n < 1 || n > 8 {
		k.fail("GatherTable of %d·%v by %v", n, t, index.t)
	}
	return k.vec(instr{op: opGatherTable, t: t, a: index.arg, b: arg{argImm, 0, uint64(n)}, mem: address{p.id, none, 0, 0}})
}

// StoreFirst writes the first lane of v at p + offset bytes.
func (k *Kernel) StoreFirst(p Int, offset int, v Vec) {
	k.emit(instr{op: opStoreFirst, t: v.t, dst: none, a: v.arg, mem: address{p.id, none, 0, offset}})
}

// StoreFour writes the first four lanes of v at p + offset bytes.
func (k *Kernel) StoreFour(p Int, offset int, v Vec) {
	k.emit(instr{op: opStoreFour, t: v.t, dst: none, a: v.arg, mem: address{p.id, none, 0, offset}})
}

// AddTo adds the 16 bytes at src + srcOffset, four F32 or two F64, to those at
// dst + offset.
func (k *Kernel) AddTo(t Type, dst Int, offset int, src Int, srcOffset int) {
	if !t.IsFloat() {
		k.fail("AddTo of %v", t)
	}
	k.emit(instr{op: opAddTo, t: t, dst: none, a: src.arg, b: arg{argImm, 0, uint64(srcOffset)}, mem: address{dst.id, none, 0, offset}})
}

// Prefetch asks for the cache line at p + offset bytes, which may lie outside of any
// array, in the first or the second cache.
func (k *Kernel) Prefetch(cache int, p Int, offset int) {
	k.emit(instr{op: opPrefetch, dst: none, a: arg{argImm, 0, uint64(cache)}, mem: address{p.id, none, 0, offset}})
}

// LoadInt reads one element of type t, sign-extended, from p + index·size.
func (k *Kernel) LoadInt(t Type, p, index Int) Int {
	return k.int(instr{op: opLoadInt, t: t, mem: element(t, p, index)})
}

// StoreInt writes i as one element of type t to p + index·size.
func (k *Kernel) StoreInt(t Type, p, index, i Int) {
	k.emit(instr{op: opStoreInt, t: t, dst: none, a: i.arg, mem: element(t, p, index)})
}

// element is the address of an element of an array.
func element(t Type, p, index Int) address {
	if index.kind == argImm {
		return address{p.id, none, 0, int(index.imm) * t.Size()}
	}
	return address{p.id, index.id, t.Size(), 0}
}
