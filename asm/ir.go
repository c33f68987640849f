package asm

import (
	"fmt"
	"go/types"

	"github.com/mmcloughlin/avo/gotypes"
)

// A kernel is recorded as a list of instructions on values, which the back ends
// lower to registers. Values are vectors, masks and integers; each is written once,
// unless it is a variable.

//go:generate go tool stringer -type=op -trimprefix=op -output=op_string.go
type op uint8

const (
	opNone op = iota
	// Vectors.
	opIota
	opMove
	opAdd
	opSub
	opMul
	opDiv
	opMax
	opMin
	opAtLeast
	opAtMost
	opUMax
	opAnd
	opOr
	opShl
	opShr
	opMulAdd    // a·b + c
	opNegMulAdd // c − a·b
	opRound
	opLess
	opNotLess
	opEqual
	opNotEqual
	opMaskAnd
	opMaskNot
	opSelect   // mask ? a : b
	opKeep     // mask ? a : 0
	opAddWhere // dst += mask ? b : 0; a is dst
	opFirst
	opFoldAdd
	opFoldMax
	opFoldMin
	opFoldUMax
	opFoldAdd4 // of a, b, c and d
	opFoldMax4
	opSpread // lane b of a
	opShiftIn
	opShiftOut
	opZipLower
	opZipUpper
	opWidenLower
	opWidenUpper
	opNarrow
	// Memory. The address is mem; with a tail only the first tail lanes are there.
	opLoad         // lanes beyond the tail are c, a constant
	opStore        // a
	opLoadWiden    // as many I32 as there are lanes of I64, sign-extended
	opStream       // opStore past the caches; without a tail mem is a multiple of 64
	opStoreNarrow  // the lower halves of the I64 in a
	opBroadcast    // one element in all lanes
	opGather       // the elements whose numbers are the lanes of a
	opGatherTable  // opGather from so many vectors as b says
	opGatherBy     // the elements whose numbers are as many I32 at the integer a + b
	opStoreFirst   // the first lane of a
	opStoreLast    // the last lane of a
	opStoreFour    // the first four lanes of a
	opLoadPieces   // four times 16 bytes, a bytes apart
	opGatherPieces // four times 16 bytes, a, b, c and d bytes behind mem
	opStorePiece   // 16 bytes of a, piece b
	opPrefetch     // the cache line at mem, into cache a
	opFence        // waits for what opStream has written
	opParamVec     // a float parameter in all lanes
	opResultVec    // the first lane of a, as a result
	opSplat        // an integer a in all lanes
	opLoadInt      // an element of type t, sign-extended
	opStoreInt     // the low bytes of a, as an element of type t
	// Integers.
	opParamInt
	opResultInt
	opMoveInt
	opAddInt
	opSubInt
	opMulInt
	opShlInt
	// Control.
	opLabel
	opJump
	opBranch // to the label if a cond b
)

// fold reports whether an operation folds the lanes, and with which operation.
func (o op) fold() (op, bool) {
	switch o {
	case opFoldAdd:
		return opAdd, true
	case opFoldMax:
		return opMax, true
	case opFoldMin:
		return opMin, true
	case opFoldUMax:
		return opUMax, true
	}
	return opNone, false
}

// fold4 is fold for the operations that fold four vectors.
func (o op) fold4() (op, bool) {
	switch o {
	case opFoldAdd4:
		return opAdd, true
	case opFoldMax4:
		return opMax, true
	}
	return opNone, false
}

type argKind uint8

const (
	argNone  argKind = iota
	argVec           // value id
	argMask          // value id
	argInt           // value id
	argConst         // a vector with imm in every 64 bits
	argImm           // an integer
)

// arg is an operand of an instruction.
type arg struct {
	kind argKind
	id   int
	imm  uint64
}

// isMinusOne reports whether the operand is −1 in every lane of integers: what a true mask is in AVX2 and NEON.
func (a arg) isMinusOne() bool { return a.kind == argConst && a.imm == ^uint64(0) }

// isValue reports whether the operand is a value, which lives in registers.
func (a arg) isValue() bool { return a.kind == argVec || a.kind == argMask || a.kind == argInt }

// address is base + index·scale + offset.
type address struct {
	base   int // value id of an Int
	index  int // likewise, or none
	scale  int
	offset int
}

const none = -1

// cond compares two signed integers.
type cond uint8

const (
	condEqual cond = iota
	condNotEqual
	condLess
	condGreaterEqual
	condLessEqual
	condGreater
)

// instr is one instruction.
type instr struct {
	op      op
	t       Type
	dst     int // value id, or none
	a, b, c arg
	d       arg // the fourth of four vectors
	mask    arg
	mem     address
	tail    arg // an argInt: number of lanes; argNone for all
	cond    cond
	label   string
	name    string // of a parameter or result
}

// operands calls f for every value that the instruction reads.
func (in *instr) operands(f func(id int)) {
	for _, a := range [...]arg{in.a, in.b, in.c, in.d, in.mask, in.tail} {
		if a.isValue() {
			f(a.id)
		}
	}
	if in.hasMem() {
		f(in.mem.base)
		if in.mem.index != none {
			f(in.mem.index)
		}
	}
}

func (in *instr) hasMem() bool {
	switch in.op {
	case opLoad, opStore, opStream, opLoadWiden, opStoreNarrow, opBroadcast, opGather, opGatherTable, opGatherBy,
		opStoreFirst, opStoreLast, opStoreFour, opLoadPieces, opGatherPieces, opStorePiece, opPrefetch, opLoadInt, opStoreInt:
		return true
	}
	return false
}

type kind uint8

const (
	kindVec kind = iota
	kindMask
	kindInt
)

type value struct {
	kind  kind
	isVar bool
}

// Kernel is one function while it is written.
type Kernel struct {
	name       string
	doc        []string
	parameters *types.Tuple
	signature  *gotypes.Signature // where parameters and results are
	target     Target
	values     []value
	code       []instr
	labels     int
}

func (k *Kernel) newValue(kind kind) int {
	k.values = append(k.values, value{kind: kind})
	return len(k.values) - 1
}

// emit appends an instruction.
func (k *Kernel) emit(in instr) {
	k.code = append(k.code, in)
}

// vec appends an instruction with a new vector as its result.
func (k *Kernel) vec(in instr) Vec {
	in.dst = k.newValue(kindVec)
	k.emit(in)
	return Vec{k, in.t, arg{argVec, in.dst, 0}}
}

// int appends an instruction with a new integer as its result.
func (k *Kernel) int(in instr) Int {
	in.dst = k.newValue(kindInt)
	k.emit(in)
	return Int{k, arg{argInt, in.dst, 0}}
}

func (k *Kernel) mustBeVar(a arg) {
	if !a.isValue() || !k.values[a.id].isVar {
		k.fail("only a variable can change")
	}
}

// retarget makes the last instruction write to the variable dst if its result is
// a, a value that is no variable.
func (k *Kernel) retarget(a arg, dst int) bool {
	if !a.isValue() || len(k.code) == 0 || k.values[a.id].isVar {
		return false
	}
	last := &k.code[len(k.code)-1]
	if last.dst != a.id || last.op == opLabel {
		return false
	}
	last.dst = dst
	return true
}

// liveAfter returns, for every instruction, the values that are read after it
// before they are written again.
func (k *Kernel) liveAfter() []map[int]bool {
	at := map[string]int{}
	for i, in := range k.code {
		if in.op == opLabel {
			at[in.label] = i
		}
	}
	after := make([]map[int]bool, len(k.code))
	before := make([]map[int]bool, len(k.code)+1)
	for i := range before {
		before[i] = map[int]bool{}
	}
	for changed := true; changed; {
		changed = false
		for i := len(k.code) - 1; i >= 0; i-- {
			in := &k.code[i]
			live := map[int]bool{}
			if in.op != opJump {
				for id := range before[i+1] {
					live[id] = true
				}
			}
			if in.op == opJump || in.op == opBranch {
				for id := range before[at[in.label]] {
					live[id] = true
				}
			}
			after[i] = live
			entry := map[int]bool{}
			for id := range live {
				if id != in.dst {
					entry[id] = true
				}
			}
			in.operands(func(id int) { entry[id] = true })
			if len(entry) != len(before[i]) {
				before[i], changed = entry, true
			}
		}
	}
	return after
}

// check stops the generator if a value is read that was not written on every way
// there: after Set has taken it, or because only one branch has a result.
func (k *Kernel) check() {
	if len(k.code) == 0 {
		k.fail("empty")
	}
	first := &k.code[0]
	unwritten := k.liveAfter()[0]
	delete(unwritten, first.dst)
	first.operands(func(id int) { unwritten[id] = true })
	for i := range k.code {
		in := &k.code[i]
		in.operands(func(id int) {
			if unwritten[id] {
				k.fail("instruction %d, %v, reads a value that nothing may have written", i, in.op)
			}
		})
	}
}

func (in *instr) String() string {
	return fmt.Sprintf("v%d = %v.%v %v %v %v %v mask %v tail %v mem %v %s", in.dst, in.op, in.t, in.a, in.b, in.c, in.d, in.mask, in.tail, in.mem, in.label)
}
