package asm

import (
	"go/types"
	"strconv"
)

// Target is what the kernel is for.
func (k *Kernel) Target() Target { return k.target }

// Param returns the float parameter of the kernel that has this name, in all
// lanes.
func (k *Kernel) Param(name string) Vec {
	return k.vec(instr{op: opParamVec, t: k.typeOf(name, k.parameter(name)), name: name})
}

// Arg returns an integer parameter.
func (k *Kernel) Arg(name string) Int { return k.int(instr{op: opParamInt, name: name}) }

// Len returns the length of a slice parameter.
func (k *Kernel) Len(name string) Int { return k.Arg(name + "_len") }

// parameter returns the Go type of a parameter.
func (k *Kernel) parameter(name string) types.Type {
	for p := range k.parameters.Variables() {
		if p.Name() == name {
			return p.Type()
		}
	}
	k.fail("there is no parameter %s", name)
	return nil
}

// sliceType returns the element type of a slice parameter. An int has 64 bits on all targets.
func (k *Kernel) sliceType(name string) Type {
	s, ok := k.parameter(name).(*types.Slice)
	if !ok {
		k.fail("%s is no slice", name)
	}
	if s.Elem().String() == "int" {
		return I64
	}
	return k.typeOf(name, s.Elem())
}

// typeOf returns the Type that a Go type of a parameter is.
func (k *Kernel) typeOf(name string, goType types.Type) Type {
	for t := F32; t <= I64; t++ {
		if t.String() == goType.String() {
			return t
		}
	}
	k.fail("%s is of %v, which is no element of a vector", name, goType)
	return 0
}

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

// Each goes through n elements of some arrays, a vector at a time. The arrays are
// variables, of elements of one size; they move on with it, and in the end are behind the
// last element: body finds the lanes at hand at their first. It is written twice, for
// whole vectors and for a tail.
func (k *Kernel) Each(n Int, arrays []Array, body func(l Lanes)) {
	k.EachUnrolled(n, arrays, 1, func(l Lanes, _ int) { body(l) })
}

// EachUnrolled is Each with several vectors in one turn, numbered by u from 0: they find
// their lanes at vector u of the arrays. What is left over is number 0.
func (k *Kernel) EachUnrolled(n Int, arrays []Array, unroll int, body func(l Lanes, u int)) {
	for _, a := range arrays {
		if a.t.Size() != arrays[0].t.Size() {
			k.fail("Each of arrays of %v and %v", arrays[0].t, a.t)
		}
	}
	t := arrays[0].t
	left := k.Copy(n)
	lanes := k.Int(t.Lanes())
	advance := func(vectors int) {
		for _, a := range arrays {
			a.Advance(vectors * t.Lanes())
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
		rest := arrays[0].Elements(left)
		for _, a := range arrays {
			a.Move(rest)
		}
	})
}

// Load reads the lanes. Those beyond a tail are not read but 0.
func (l Lanes) Load(a Array) Vec { return l.LoadOr(a, l.k.Bits(a.t, 0)) }

// LoadOr is Load with fill, a constant, beyond a tail.
func (l Lanes) LoadOr(a Array, fill Vec) Vec {
	l.k.sameType("LoadOr", fill, Vec{t: a.t})
	if fill.kind != argConst {
		l.k.fail("the fill of a load is no constant")
	}
	return l.k.vec(instr{op: opLoad, t: a.t, c: fill.arg, mem: a.mem(), tail: l.tail})
}

// Store writes the lanes of v, and nothing beyond a tail.
func (l Lanes) Store(a Array, v Vec) { a.store(opStore, v, l.tail) }

// Stream is Store for what is too much to be read back from the caches: on AVX it
// goes past them. The address of a whole vector must be a multiple of 64. A kernel that streams
// ends with a Fence, unless it has one elsewhere.
func (l Lanes) Stream(a Array, v Vec) { a.store(opStream, v, l.tail) }

// Fence waits until memory has what was streamed: other processors may see it later than what is stored afterwards.
func (k *Kernel) Fence() { k.emit(instr{op: opFence, dst: none}) }

// LoadWiden reads an I32 for each lane of an I64, 0 beyond a tail.
func (l Lanes) LoadWiden(a Array) Vec {
	if a.t != I32 {
		l.k.fail("LoadWiden of %v", a.t)
	}
	return l.k.vec(instr{op: opLoadWiden, t: I64, mem: a.mem(), tail: l.tail})
}

// StoreNarrow writes the I64 lanes of v as I32.
func (l Lanes) StoreNarrow(a Array, v Vec) {
	if a.t != I32 || v.t != I64 {
		l.k.fail("StoreNarrow of %v to an array of %v", v.t, a.t)
	}
	l.k.emit(instr{op: opStoreNarrow, t: I64, dst: none, a: v.arg, mem: a.mem(), tail: l.tail})
}
