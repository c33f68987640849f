package asm

import "math/bits"

// Array is memory with elements of one type: the address of an element, from which
// those behind it and before it are counted, in elements or in vectors. One that
// [Kernel.Array] or Copy returns is a variable, which moves through the memory.
type Array struct {
	k      *Kernel
	t      Type
	base   arg
	offset int // bytes from base
}

// Array returns a variable with the address of a slice parameter's first element.
func (k *Kernel) Array(name string) Array { return k.Base(name).Copy() }

// Base is Array, but no variable.
func (k *Kernel) Base(name string) Array {
	return Array{k: k, t: k.sliceType(name), base: k.Arg(name + "_base").arg}
}

// Pointer returns a variable with a pointer parameter, of whatever type, as the
// address of elements of type t.
func (k *Kernel) Pointer(t Type, name string) Array {
	return Array{k: k, t: t, base: k.Arg(name).arg}.Copy()
}

// Type is the element type.
func (a Array) Type() Type { return a.t }

// As is the same memory taken for elements of another type.
func (a Array) As(t Type) Array { a.t = t; return a }

// From is the array from element i on, which may be negative.
func (a Array) From(i int) Array { a.offset += i * a.t.Size(); return a }

// Vector is the array from vector i on, which may be negative.
func (a Array) Vector(i int) Array { a.offset += i * vecBytes; return a }

// Plus is the array from a distance on.
func (a Array) Plus(d Distance) Array {
	a.base = Int{a.k, a.base}.Plus(d.bytes).arg
	return a
}

// Copy returns a variable with the same address.
func (a Array) Copy() Array { return Array{k: a.k, t: a.t, base: a.k.Copy(a.address()).arg} }

// Set gives the variable a the address of b.
func (a Array) Set(b Array) {
	a.mustMove()
	Int{a.k, a.base}.Set(b.address())
}

// Advance moves the variable a on by n elements, or back if n is negative.
func (a Array) Advance(n int) {
	a.mustMove()
	bytes := n * a.t.Size()
	if bytes < 0 {
		Int{a.k, a.base}.Dec(a.k.Int(-bytes))
		return
	}
	Int{a.k, a.base}.Inc(a.k.Int(bytes))
}

// Move moves the variable a on by a distance.
func (a Array) Move(d Distance) {
	a.mustMove()
	Int{a.k, a.base}.Inc(d.bytes)
}

// MoveBack moves the variable a back by a distance.
func (a Array) MoveBack(d Distance) {
	a.mustMove()
	Int{a.k, a.base}.Dec(d.bytes)
}

// Before tells whether the address of a is below that of b.
func (a Array) Before(b Array) Cond { return a.address().Less(b.address()) }

// address returns the address as an integer.
func (a Array) address() Int {
	i := Int{a.k, a.base}
	if a.offset != 0 {
		i = i.Plus(a.k.Int(a.offset))
	}
	return i
}

// mustMove stops the generator if a is no variable, or a place beside one.
func (a Array) mustMove() {
	a.k.mustBeVar(a.base)
	if a.offset != 0 {
		a.k.fail("only a variable can move, not a place %d bytes from it", a.offset)
	}
}

// mem is the address of an access.
func (a Array) mem() address { return address{a.base.id, none, 0, a.offset} }

// Distance is how far apart two places of an array are.
type Distance struct{ bytes Int }

// Bytes returns the distance of n bytes.
func Bytes(n Int) Distance { return Distance{n} }

// Vectors returns the distance of n vectors.
func Vectors(n int) Distance { return Distance{Int{arg: arg{argImm, 0, uint64(n * vecBytes)}}} }

// Elements returns the distance of n elements.
func (a Array) Elements(n Int) Distance { return Distance{n.Shl(a.t.log2Size())} }

// Rows returns the distance of n rows of so many elements each.
func (a Array) Rows(n Int, elements int) Distance {
	return Distance{n.Times(a.k.Int(elements * a.t.Size()))}
}

// Twice returns 2d.
func (d Distance) Twice() Distance { return Distance{d.bytes.Shl(1)} }

// Times returns n·d.
func (d Distance) Times(n Int) Distance {
	if n.kind == argImm { // which is no first operand
		return Distance{d.bytes.Times(n)}
	}
	return Distance{n.Times(d.bytes)}
}

// log2Size is the logarithm of the number of bytes of an element.
func (t Type) log2Size() int { return bits.TrailingZeros(uint(t.Size())) }

// Load reads a whole vector.
func (a Array) Load() Vec { return a.k.All().Load(a) }

// Store writes a whole vector.
func (a Array) Store(v Vec) { a.k.All().Store(a, v) }

// Broadcast returns the first element in all lanes.
func (a Array) Broadcast() Vec { return a.k.vec(instr{op: opBroadcast, t: a.t, mem: a.mem()}) }

// StoreFirst writes the first lane of v.
func (a Array) StoreFirst(v Vec) { a.store(opStoreFirst, v, arg{}) }

// StoreLast writes the last lane of v.
func (a Array) StoreLast(v Vec) { a.store(opStoreLast, v, arg{}) }

// StoreFour writes the first four lanes of v.
func (a Array) StoreFour(v Vec) { a.store(opStoreFour, v, arg{}) }

// LoadPieces reads a vector from four places, d apart: 16 bytes, four F32 or two F64, from
// each.
func (a Array) LoadPieces(d Distance) Vec {
	return a.k.vec(instr{op: opLoadPieces, t: a.t, a: d.bytes.arg, mem: a.mem()})
}

// GatherPieces is LoadPieces from four places of their own, so far from the first element.
func (a Array) GatherPieces(at [4]Distance) Vec {
	return a.k.vec(instr{
		op: opGatherPieces, t: a.t, mem: a.mem(),
		a: at[0].bytes.arg, b: at[1].bytes.arg, c: at[2].bytes.arg, d: at[3].bytes.arg,
	})
}

// StorePiece writes piece i of v, from 0 to 3, which is 16 bytes.
func (a Array) StorePiece(v Vec, i int) {
	if v.t != a.t || i < 0 || i > 3 {
		a.k.fail("StorePiece %d of %v to an array of %v", i, v.t, a.t)
	}
	a.k.emit(instr{op: opStorePiece, t: v.t, dst: none, a: v.arg, b: arg{argImm, 0, uint64(i)}, mem: a.mem()})
}

// LoadInt reads element i, sign-extended.
func (a Array) LoadInt(i Int) Int {
	return a.k.int(instr{op: opLoadInt, t: a.t, mem: a.element(i)})
}

// StoreInt writes x as element i.
func (a Array) StoreInt(i, x Int) {
	if x.kind == argImm {
		x = a.k.Copy(x)
	}
	a.k.emit(instr{op: opStoreInt, t: a.t, dst: none, a: x.arg, mem: a.element(i)})
}

// element is the address of element i.
func (a Array) element(i Int) address {
	if i.kind == argImm {
		return a.From(int(i.imm)).mem()
	}
	return address{a.base.id, i.id, a.t.Size(), a.offset}
}

// Gather returns the elements whose numbers are the lanes of index, which is of the
// integer type of the same width. Indices are not checked, and all lanes are read: those
// beyond a tail need a valid index, too, such as 0. It saves no time by itself: on Zen 4 a
// float32 in the first cache takes 0.37 ns, and moving it on its own 0.33.
func (a Array) Gather(index Vec) Vec {
	if index.t != a.t.Int() {
		a.k.fail("Gather of %v by %v", a.t, index.t)
	}
	return a.k.vec(instr{op: opGather, t: a.t, a: index.arg, mem: a.mem()})
}

// GatherTable is Gather of 32-bit elements from a table of n vectors, 1 to 8: the indices
// are from 0 to 16·n−1, and all of the table can be read. AVX-512 looks them up in
// registers, as AVX2 does for one vector or two.
func (a Array) GatherTable(n int, index Vec) Vec {
	if a.t.Size() != 4 || index.t != I32 || n < 1 || n > 8 {
		a.k.fail("GatherTable of %d·%v by %v", n, a.t, index.t)
	}
	return a.k.vec(instr{op: opGatherTable, t: a.t, a: index.arg, b: arg{argImm, 0, uint64(n)}, mem: a.mem()})
}

// TableVectors returns the most vectors of a table that GatherTable looks up in registers.
func (k *Kernel) TableVectors() int {
	return map[Target]int{AVX512: 8, AVX2: 2}[k.target]
}

// GatherBy is Gather by I32 in memory, which index has for all lanes: AVX2 moves
// the elements one by one, which is faster there.
func (a Array) GatherBy(index Array) Vec {
	if index.t != I32 {
		a.k.fail("GatherBy of %v by %v", a.t, index.t)
	}
	switch {
	case a.k.target == AVX2:
	case a.t.Size() == 4:
		return a.Gather(index.Load())
	default:
		return a.Gather(a.k.All().LoadWiden(index))
	}
	return a.k.vec(instr{op: opGatherBy, t: a.t, a: index.base, b: arg{argImm, 0, uint64(index.offset)}, mem: a.mem()})
}

// Prefetch asks for the cache line of the first element, which need not exist, in the
// first or the second cache.
func (a Array) Prefetch(cache int) {
	a.k.emit(instr{op: opPrefetch, dst: none, a: arg{argImm, 0, uint64(cache)}, mem: a.mem()})
}

// store writes a vector of the array's type.
func (a Array) store(o op, v Vec, tail arg) {
	if v.t != a.t {
		a.k.fail("%v of %v to an array of %v", o, v.t, a.t)
	}
	a.k.emit(instr{op: o, t: v.t, dst: none, a: v.arg, mem: a.mem(), tail: tail})
}
