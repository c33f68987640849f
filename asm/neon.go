package asm

import (
	"errors"
	"fmt"
	"go/types"
	"math"
	"slices"
	"sort"
	"strconv"

	"github.com/mmcloughlin/avo/gotypes"
)

// A vector of a kernel is four registers of NEON, its parts. A vector that is the
// same in all parts, or of which only the first lane matters, is uniform and has
// one register; what is computed from uniform vectors is computed once. Likewise a
// vector of which only the first four lanes matter has one register, or two if it
// is of 64-bit elements.

const (
	parts     = 4
	partBytes = vecBytes / parts
)

// plan is how a kernel is lowered, given how many registers it has.
type plan struct {
	// hoisted are the constants that have a register in the whole kernel.
	hoisted []uint64
	// group is how many parts of a vector are computed side by side: 4, 2 or 1.
	// Fewer need fewer registers, more keep the pipelines busy.
	group int
	// conservative joining of copies leaves more copies, but takes no registers.
	conservative bool
}

// neon lowers one kernel to machine instructions.
type neon struct {
	k        *Kernel
	live     []map[int]bool // after each of the kernel's instructions
	depth    []int          // how many loops are around it
	width    []int          // how many registers a vector or mask has
	inverted []bool         // masks that are held as their opposite
	regs     [][parts]vreg  // of values, as many as it has; of an integer the first
	plan     plan

	code      []machine
	class     []regClass
	pool      vreg            // the address of the constants
	hoisted   map[uint64]vreg // constants
	temporary map[uint64]vreg // constants in the instruction at hand
	at        int             // the kernel's instruction at hand
	labels    int
}

// lowerNEON returns the machine code of a kernel with the physical registers of
// its virtual ones. It keeps as many constants of loops in registers as it can.
func lowerNEON(k *Kernel) (code []machine, physical []int, err error) {
	base := neon{k: k, live: k.liveAfter(), depth: k.loopDepth(), width: k.widths()}
	constants := base.loopConstants()
	try := func(p plan) (ok bool) {
		for _, p.conservative = range []bool{false, true} {
			n := base
			n.plan = p
			n.lower()
			if code, physical, err = allocate(n.code, n.class, p.conservative); err == nil {
				return true
			}
		}
		return false
	}
	for group := parts; group > 0; group /= 2 {
		if !try(plan{group: group}) {
			continue
		}
		spare := sort.Search(len(constants), func(n int) bool {
			return !try(plan{hoisted: constants[:n+1], group: group})
		})
		try(plan{hoisted: constants[:spare], group: group})
		return code, physical, nil
	}
	var short *shortageError
	if errors.As(err, &short) {
		err = fmt.Errorf("%w, %v", err, k.code[short.from].op)
	}
	return nil, nil, fmt.Errorf("asm: %s: %w", k.name, err)
}

// loopDepth returns how many loops are around each instruction.
func (k *Kernel) loopDepth() []int {
	depth := make([]int, len(k.code))
	at := map[string]int{}
	for i, in := range k.code {
		switch in.op {
		case opLabel:
			at[in.label] = i
		case opJump, opBranch:
			if start, ok := at[in.label]; ok {
				for j := start; j <= i; j++ {
					depth[j]++
				}
			}
		}
	}
	return depth
}

// widths returns how many registers the vectors and masks have: as many as what
// flows into them.
func (k *Kernel) widths() []int {
	width := make([]int, len(k.values))
	for id := range width {
		width[id] = 1
	}
	for changed := true; changed; {
		changed = false
		for i := range k.code {
			in := &k.code[i]
			if in.dst == none || k.values[in.dst].kind == kindInt {
				continue
			}
			if w := in.width(width); w > width[in.dst] {
				width[in.dst] = w
				changed = true
			}
		}
	}
	return width
}

// width returns how many registers an instruction's result needs.
func (in *instr) width(width []int) int {
	switch in.op {
	case opParamVec, opBroadcast, opSplat, opSpread, opFoldAdd, opFoldMax, opFoldMin, opFoldUMax:
		return 1
	case opFoldAdd4, opFoldMax4:
		return 4 * in.t.Size() / partBytes
	case opWidenLower, opWidenUpper:
		if in.a.kind == argConst || width[in.a.id] == 1 {
			return 2
		}
	}
	if !in.partwise() {
		return parts
	}
	most := 1
	in.operands(func(id int) { most = max(most, width[id]) })
	return most
}

// elementwise reports whether a lane of the result depends on the same lane of the
// operands alone.
func (in *instr) elementwise() bool {
	return opMove <= in.op && in.op <= opAddWhere
}

// partwise reports whether a part of the result depends on the same part of the
// operands alone.
func (in *instr) partwise() bool {
	return in.elementwise() || in.op == opZipLower || in.op == opZipUpper
}

// loopConstants returns the constants that instructions in loops need in a
// register, those that are used most first.
func (n *neon) loopConstants() []uint64 {
	var constants []uint64
	uses := map[uint64]float64{}
	for i := range n.k.code {
		in := &n.k.code[i]
		if n.depth[i] == 0 || in.op == opMove {
			continue
		}
		for j, a := range [...]arg{in.a, in.b, in.c} {
			if a.kind != argConst || j == 2 && (in.op == opMulAdd || in.op == opNegMulAdd || in.op == opLoad) {
				continue
			}
			if uses[a.imm] == 0 {
				constants = append(constants, a.imm)
			}
			uses[a.imm] += math.Pow(10, float64(n.depth[i]))
		}
	}
	slices.SortStableFunc(constants, func(x, y uint64) int { return int(uses[y] - uses[x]) })
	return constants
}

// lower translates the whole kernel.
func (n *neon) lower() {
	n.class = []regClass{classV} // of noReg
	n.inverted = make([]bool, len(n.k.values))
	n.regs = make([][parts]vreg, len(n.k.values))
	for id, v := range n.k.values {
		class := classV
		if v.kind == kindInt {
			class = classR
		}
		for p := range parts {
			if p < n.width[id] {
				n.regs[id][p] = n.newReg(class)
			}
		}
	}
	n.pool = n.newReg(classR)
	n.emit(machine{op: nMOVDAddr, d: n.pool, symbol: neonPoolName + "(SB)"})
	n.hoisted = map[uint64]vreg{}
	for _, c := range n.plan.hoisted {
		n.hoisted[c] = n.loadConstant(c)
	}
	for i := 0; i < len(n.k.code); {
		run := n.run(i)
		for p := 0; p < parts; p += n.plan.group {
			for j := i; j < i+run; j++ {
				n.at = j
				n.partwise(&n.k.code[j], p, p+n.plan.group)
			}
		}
		if run == 0 {
			n.at = i
			n.whole(&n.k.code[i])
			run = 1
		}
		i += run
	}
	n.at = len(n.k.code) - 1
	n.emit(machine{op: nRET})
}

// run returns how many instructions from i on can be computed for one group of
// parts after the other: whole loads and partwise ones, whose results have all
// parts. (A uniform variable may change only when all parts have used it.)
func (n *neon) run(i int) int {
	start := i
	for ; i < len(n.k.code); i++ {
		in := &n.k.code[i]
		load := in.op == opLoad && in.tail.kind == argNone
		if !load && !in.partwise() || n.width[in.dst] < parts {
			break
		}
	}
	return i - start
}

func (n *neon) newReg(c regClass) vreg {
	n.class = append(n.class, c)
	return vreg(len(n.class) - 1)
}

func (n *neon) newV() vreg { return n.newReg(classV) }
func (n *neon) newR() vreg { return n.newReg(classR) }

// emit appends a machine instruction.
func (n *neon) emit(x machine) {
	x.from = n.at
	x.depth = n.depth[n.at]
	n.code = append(n.code, x)
}

// op appends an instruction with the vectors v and w as operands and returns its
// result.
func (n *neon) op(o neonOp, t Type, v, w vreg) vreg {
	d := n.newV()
	n.emit(machine{op: o, wide: t.Size() == 8, d: d, n: v, m: w})
	return d
}

// update appends an instruction that changes the vector d, and returns that.
func (n *neon) update(o neonOp, t Type, d, v, w vreg) vreg {
	n.emit(machine{op: o, wide: t.Size() == 8, d: d, n: v, m: w})
	return d
}

// copyV returns a copy of a register, to be changed.
func (n *neon) copyV(v vreg) vreg { return n.op(nVMOV, I32, v, noReg) }

func (n *neon) copyR(i vreg) vreg {
	d := n.newR()
	n.emit(machine{op: nMOVD, d: d, n: i})
	return d
}

// loadConstant returns a register with a constant, to be changed. It comes from
// memory, as the pipelines for vectors have enough to do.
func (n *neon) loadConstant(bits uint64) vreg {
	if bits == 0 {
		return n.op(nVMOVI, I32, noReg, noReg)
	}
	return n.loadPool([2]uint64{bits, bits})
}

func (n *neon) loadPool(c [2]uint64) vreg {
	d := n.newV()
	n.emit(machine{op: nLoadQ, d: d, a: n.pool, constant: &c})
	return d
}

// part returns part p of an operand.
func (n *neon) part(a arg, p int) vreg {
	if a.kind == argConst {
		if r, ok := n.hoisted[a.imm]; ok {
			return r
		}
		if _, ok := n.temporary[a.imm]; !ok {
			n.temporary[a.imm] = n.loadConstant(a.imm)
		}
		return n.temporary[a.imm]
	}
	return n.regs[a.id][p%n.width[a.id]]
}

// own returns a register with part p of an operand, to be changed. Copies of what
// no one reads later are joined with it by the allocator.
func (n *neon) own(a arg, p int) vreg {
	if a.kind == argConst {
		return n.loadConstant(a.imm)
	}
	return n.copyV(n.part(a, p))
}

// set makes v part p of the result.
func (n *neon) set(in *instr, p int, v vreg) {
	n.emit(machine{op: nVMOV, d: n.regs[in.dst][p], n: v})
}

// setAll makes v the result. All operands may be read before.
func (n *neon) setAll(in *instr, v [parts]vreg) {
	for p, r := range v[:n.width[in.dst]] {
		n.set(in, p, r)
	}
}

// dies reports whether part p of an operand is not needed after the instruction
// at hand, so that it may be changed.
func (n *neon) dies(in *instr, a arg) bool {
	if a.kind == argConst {
		return false
	}
	return a.id == in.dst || !n.live[n.at][a.id] && n.width[a.id] >= n.width[in.dst]
}

// partwise lowers a partwise instruction or a whole load for some parts.
func (n *neon) partwise(in *instr, from, to int) {
	n.temporary = map[uint64]vreg{}
	if in.op == opLoad {
		n.load(in, from, to)
		return
	}
	for p := from; p < min(to, n.width[in.dst]); p++ {
		n.set(in, p, n.onePart(in, p))
	}
}

// onePart returns part p of the result of a partwise instruction.
func (n *neon) onePart(in *instr, p int) vreg {
	t := in.t
	switch in.op {
	case opMove:
		return n.own(in.a, p)
	case opAdd, opSub, opMul, opDiv, opMax, opMin, opAtLeast, opAtMost, opUMax, opAnd, opOr:
		return n.binary(in.op, t, n.part(in.a, p), n.part(in.b, p))
	case opShl, opShr:
		if in.b.imm == 0 {
			return n.own(in.a, p)
		}
		d := n.newV()
		o := nVSHL
		if in.op == opShr {
			o = nVUSHR
		}
		if in.b.imm >= uint64(8*t.Size()) {
			n.k.fail("%v by %d", in.op, in.b.imm)
		}
		n.emit(machine{op: o, wide: t.Size() == 8, d: d, n: n.part(in.a, p), imm: int64(in.b.imm)})
		return d
	case opMulAdd, opNegMulAdd:
		o := nVFMLA
		if in.op == opNegMulAdd {
			o = nVFMLS
		}
		v, w := n.part(in.a, p), n.part(in.b, p)
		return n.update(o, t, n.own(in.c, p), v, w)
	case opRound:
		return n.op(nVFRINTN, t, n.part(in.a, p), noReg)
	case opLess, opNotLess:
		n.inverted[in.dst] = in.op == opNotLess
		o := nVFCMGT
		if !t.IsFloat() {
			o = nVCMGT
		}
		return n.op(o, t, n.part(in.b, p), n.part(in.a, p))
	case opEqual, opNotEqual:
		n.inverted[in.dst] = in.op == opNotEqual
		o := nVFCMEQ
		if !t.IsFloat() {
			o = nVCMEQ
		}
		return n.op(o, t, n.part(in.a, p), n.part(in.b, p))
	case opMaskAnd:
		return n.maskAnd(in, p)
	case opMaskNot:
		n.inverted[in.dst] = !n.inverted[in.a.id]
		return n.own(in.a, p)
	case opSelect:
		return n.choose(in, p)
	case opKeep:
		return n.keep(in, in.a, p)
	case opAddWhere:
		if in.b.isMinusOne() && !n.inverted[in.mask.id] {
			return n.binary(opAdd, t, n.part(in.a, p), n.part(in.mask, p))
		}
		return n.binary(opAdd, t, n.part(in.a, p), n.keep(in, in.b, p))
	case opZipLower, opZipUpper:
		o := [2]neonOp{nVZIP1S, nVZIP1D}
		if in.op == opZipUpper {
			o = [2]neonOp{nVZIP2S, nVZIP2D}
		}
		return n.op(o[t.Size()/8], I32, n.part(in.a, p), n.part(in.b, p))
	}
	panic("asm: not partwise: " + in.String())
}

// binary returns v op w.
func (n *neon) binary(o op, t Type, v, w vreg) vreg {
	if t == I64 && (o == opMax || o == opMin) { // no instruction
		if o == opMin {
			return n.update(nVBSL, t, n.op(nVCMGT, t, v, w), w, v)
		}
		return n.update(nVBSL, t, n.op(nVCMGT, t, v, w), v, w)
	}
	var row [2]neonOp // of floats and integers
	switch o {
	case opAdd:
		row = [2]neonOp{nVFADD, nVADD}
	case opSub:
		row = [2]neonOp{nVFSUB, nVSUB}
	case opMul:
		row = [2]neonOp{nVFMUL}
	case opDiv:
		row = [2]neonOp{nVFDIV}
	case opMax:
		row = [2]neonOp{nVFMAXNM, nVSMAX}
	case opAtLeast:
		row = [2]neonOp{nVFMAX}
	case opAtMost:
		row = [2]neonOp{nVFMIN}
	case opMin:
		row = [2]neonOp{nVFMINNM, nVSMIN}
	case opUMax:
		row = [2]neonOp{1: nVUMAX}
	case opAnd:
		return n.op(nVAND, I32, v, w)
	case opOr:
		return n.op(nVORR, I32, v, w)
	}
	if t.IsFloat() {
		return n.op(row[0], t, v, w)
	}
	return n.op(row[1], t, v, w)
}

func (n *neon) maskAnd(in *instr, p int) vreg {
	v, w := n.part(in.a, p), n.part(in.b, p)
	notV, notW := n.inverted[in.a.id], n.inverted[in.b.id]
	n.inverted[in.dst] = notV && notW
	switch {
	case notV && notW:
		return n.op(nVORR, I32, v, w)
	case notV:
		return n.op(nVBIC, I32, w, v)
	case notW:
		return n.op(nVBIC, I32, v, w)
	}
	return n.op(nVAND, I32, v, w)
}

// keep returns a where the mask is true, else 0.
func (n *neon) keep(in *instr, a arg, p int) vreg {
	if n.inverted[in.mask.id] {
		return n.op(nVBIC, I32, n.part(a, p), n.part(in.mask, p))
	}
	return n.op(nVAND, I32, n.part(a, p), n.part(in.mask, p))
}

// choose returns a where the mask is true, else b. There is an instruction that
// changes any of the three.
func (n *neon) choose(in *instr, p int) vreg {
	a, b := in.a, in.b
	if n.inverted[in.mask.id] {
		a, b = b, a
	}
	switch {
	case n.dies(in, in.mask):
		return n.update(nVBSL, I32, n.own(in.mask, p), n.part(a, p), n.part(b, p))
	case n.dies(in, a) || a.kind == argConst && !n.dies(in, b):
		return n.update(nVBIF, I32, n.own(a, p), n.part(b, p), n.part(in.mask, p))
	}
	return n.update(nVBIT, I32, n.own(b, p), n.part(a, p), n.part(in.mask, p))
}

// whole lowers an instruction for all parts at once.
func (n *neon) whole(in *instr) {
	n.temporary = map[uint64]vreg{}
	switch in.op {
	case opLoad, opStore, opStream, opLoadWiden, opStoreNarrow, opBroadcast,
		opStoreFirst, opStoreLast, opStoreFour, opLoadPieces, opGatherPieces,
		opStorePiece, opPrefetch, opLoadInt, opStoreInt:
		n.memory(in)
	case opParamVec, opResultVec, opParamInt, opResultInt:
		n.frame(in)
	case opMoveInt, opAddInt, opSubInt, opMulInt, opShlInt:
		n.integer(in)
	case opFence: // Stream is Store
	case opLabel:
		n.emit(machine{op: nLabel, symbol: in.label})
	case opJump:
		n.emit(machine{op: nB, symbol: in.label})
	case opBranch:
		n.compareInts(in.a, in.b)
		n.emit(machine{op: [...]neonOp{nBEQ, nBNE, nBLT, nBGE, nBLE, nBGT}[in.cond], symbol: in.label})
	case opGather, opGatherTable:
		n.gather(in)
	case opIota:
		n.iota(in)
	case opFirst:
		n.first(in)
	case opFoldAdd, opFoldMax, opFoldMin, opFoldUMax:
		n.set(in, 0, n.fold(in))
	case opFoldAdd4, opFoldMax4:
		n.fold4(in)
	case opSpread:
		i := int(in.b.imm)
		o, from := [...]neonOp{nVDUPS0, nVDUPS1, nVDUPS2, nVDUPS3}[i], 0
		if in.t.Size() == 8 {
			o, from = [...]neonOp{nVDUPD0, nVDUPD1}[i%2], i/2
		}
		n.set(in, 0, n.op(o, in.t, n.part(in.a, from), noReg))
	case opSplat:
		d := n.newV()
		n.emit(machine{op: nVDUPR, wide: in.t.Size() == 8, d: d, n: n.int(in.a)})
		n.set(in, 0, d)
	case opShiftIn, opShiftOut:
		n.shift(in)
	case opWidenLower, opWidenUpper:
		var d [parts]vreg
		for p := range parts {
			from := p / 2
			if in.op == opWidenUpper {
				from += parts / 2
			}
			d[p] = n.op([...]neonOp{nVFCVTL, nVFCVTL2}[p%2], I32, n.part(in.a, from), noReg)
		}
		n.setAll(in, d)
	case opNarrow:
		var d [parts]vreg
		for p := range parts {
			a := []arg{in.a, in.b}[p/2]
			d[p] = n.op(nVFCVTN, I32, n.part(a, p%2*2), noReg)
			n.update(nVFCVTN2, I32, d[p], n.part(a, p%2*2+1), noReg)
		}
		n.setAll(in, d)
	default:
		if !in.partwise() {
			n.k.fail("%v on NEON", in.op)
		}
		n.partwise(in, 0, parts)
	}
}

// iota loads 0, 1, 2, … .
func (n *neon) iota(in *instr) {
	for p := range parts {
		var c [2]uint64
		for i := range c {
			first := uint64(p*2 + i)
			c[i] = first
			if in.t.Size() == 4 {
				c[i] = 2*first | (2*first+1)<<32
			}
		}
		n.set(in, p, n.loadPool(c))
	}
}

// fold adds, or the like, the upper half of the lanes to the lower half until one
// is left.
func (n *neon) fold(in *instr) vreg {
	o, _ := in.op.fold()
	v := n.foldParts(o, in.t, in.a)
	v = n.binary(o, in.t, v, n.op(nVDUPD1, in.t, v, noReg))
	if in.t.Size() == 4 {
		v = n.binary(o, in.t, v, n.op(nVDUPS1, in.t, v, noReg))
	}
	return v
}

// foldParts folds the parts of a vector until one is left.
func (n *neon) foldParts(o op, t Type, a arg) vreg {
	v := n.binary(o, t, n.part(a, 0), n.part(a, 2))
	w := n.binary(o, t, n.part(a, 1), n.part(a, 3))
	return n.binary(o, t, v, w)
}

// fold4 folds four vectors, two or four at once when their parts are folded. The
// last step is of neighboring lanes, for which there is an instruction.
func (n *neon) fold4(in *instr) {
	o, _ := in.op.fold4()
	pairs := nVFADDP
	if o == opMax {
		pairs = nVFMAXNMP
	}
	var v []vreg
	for _, a := range [...]arg{in.a, in.b, in.c, in.d} {
		v = append(v, n.foldParts(o, in.t, a))
	}
	if in.t.Size() == 4 {
		for i := range 2 {
			a, b := v[2*i], v[2*i+1]
			v[i] = n.binary(o, in.t, n.op(nVZIP1D, I32, a, b), n.op(nVZIP2D, I32, a, b))
		}
		v = v[:2]
	}
	for p := range len(v) / 2 {
		n.set(in, p, n.op(pairs, in.t, v[2*p], v[2*p+1]))
	}
}

// first packs the mask into 64 bits, four or eight for each lane, and counts the
// zeros from the lowest.
func (n *neon) first(in *instr) {
	m := [parts]vreg{}
	for p := range parts {
		m[p] = n.part(in.mask, p)
	}
	half, quarter, shift := nVUZP1H, nVUZP1B, int64(2)
	if in.t.Size() == 8 {
		half, quarter, shift = nVUZP1S, nVUZP1H, 3
	}
	v := n.op(quarter, I32, n.op(half, I32, m[0], m[1]), n.op(half, I32, m[2], m[3]))
	v = n.op(nVSHRN, I32, v, noReg)
	d := n.newR()
	n.emit(machine{op: nFMOVDR, d: d, n: v})
	if n.inverted[in.mask.id] {
		d = n.intOp(nMVN, d)
	}
	d = n.intOp(nCLZ, n.intOp(nRBIT, d))
	n.emit(machine{op: nLSR, d: n.regs[in.dst][0], n: d, imm: shift})
}

// shift moves the lanes up or down by one.
func (n *neon) shift(in *instr) {
	var d [parts]vreg
	extract := func(lower, upper vreg, bytes int) vreg {
		d := n.newV()
		n.emit(machine{op: nVEXT, d: d, n: lower, m: upper, imm: int64(bytes)})
		return d
	}
	if in.op == opShiftIn {
		for p := parts - 1; p > 0; p-- {
			d[p] = extract(n.part(in.a, p-1), n.part(in.a, p), partBytes-in.t.Size())
		}
		d[0] = extract(n.part(in.b, parts-1), n.part(in.a, 0), partBytes-in.t.Size())
	} else {
		for p := range parts - 1 {
			d[p] = extract(n.part(in.a, p), n.part(in.a, p+1), in.t.Size())
		}
		d[parts-1] = extract(n.part(in.a, parts-1), n.part(in.b, 0), in.t.Size())
	}
	n.setAll(in, d)
}

// int returns a register with an integer operand.
func (n *neon) int(a arg) vreg {
	if a.kind != argImm {
		return n.regs[a.id][0]
	}
	d := n.newR()
	n.emit(machine{op: nMOVDImm, d: d, imm: int64(a.imm)})
	return d
}

func (n *neon) intOp(o neonOp, i vreg) vreg {
	d := n.newR()
	n.emit(machine{op: o, d: d, n: i})
	return d
}

// addImm returns i + c.
func (n *neon) addImm(i vreg, c int64) vreg {
	d := n.newR()
	if c < 0 {
		n.emit(machine{op: nSUBImm, d: d, n: i, imm: -c})
	} else {
		n.emit(machine{op: nADDImm, d: d, n: i, imm: c})
	}
	return d
}

// address returns the register base + offset of an address, for instructions that have no
// room for an offset.
func (n *neon) address(a address) vreg {
	if a.offset == 0 {
		return n.regs[a.base][0]
	}
	return n.addImm(n.regs[a.base][0], int64(a.offset))
}

func (n *neon) compareInts(a, b arg) {
	v := n.int(a)
	if b.kind == argImm && int64(b.imm) >= 0 {
		n.emit(machine{op: nCMPImm, n: v, imm: int64(b.imm)})
		return
	}
	n.emit(machine{op: nCMP, n: v, m: n.int(b)})
}

// integer lowers arithmetic on integers.
func (n *neon) integer(in *instr) {
	a, b := in.a, in.b
	if in.op == opAddInt && a.kind == argImm {
		a, b = b, a
	}
	var v vreg
	switch in.op {
	case opMoveInt:
		v = n.int(a)
	case opAddInt, opSubInt:
		if c := int64(b.imm); b.kind == argImm && c != math.MinInt64 {
			if in.op == opSubInt {
				c = -c
			}
			v = n.addImm(n.int(a), c)
			break
		}
		o := nADD
		if in.op == opSubInt {
			o = nSUB
		}
		v = n.newR()
		n.emit(machine{op: o, d: v, n: n.int(a), m: n.int(b)})
	case opMulInt:
		v = n.newR()
		n.emit(machine{op: nMUL, d: v, n: n.int(a), m: n.int(b)})
	case opShlInt:
		v = n.newR()
		n.emit(machine{op: nLSL, d: v, n: n.int(a), imm: int64(b.imm)})
	}
	n.emit(machine{op: nMOVD, d: n.regs[in.dst][0], n: v})
}

// frame lowers parameters and results.
func (n *neon) frame(in *instr) {
	tuple := n.k.signature.Params()
	if in.op == opResultVec || in.op == opResultInt {
		tuple = n.k.signature.Results()
	}
	basic, err := lookup(tuple, in.name).Resolve()
	if err != nil {
		n.k.fail("%s: %v", in.name, err)
	}
	symbol := basic.Addr.Asm()
	size := gotypes.Sizes.Sizeof(basic.Type)
	unsigned := basic.Type.Info()&(types.IsUnsigned|types.IsBoolean) != 0
	lane := in.op == opParamVec || in.op == opResultVec
	if lane && int(size) != in.t.Size() || !lane && basic.Type.Info()&types.IsFloat != 0 {
		n.k.fail("%s is %v", in.name, basic.Type)
	}
	float := func(single, double neonOp) neonOp {
		if size == 4 {
			return single
		}
		return double
	}
	switch in.op {
	case opParamVec:
		v := n.newV()
		n.emit(machine{op: float(nLoadFS, nLoadFD), d: v, symbol: symbol})
		n.set(in, 0, n.op(float(nVDUPS0, nVDUPD0), in.t, v, noReg))
	case opResultVec:
		n.emit(machine{op: float(nStoreFS, nStoreFD), n: n.part(in.a, 0), symbol: symbol})
	case opParamInt:
		o := map[int64]neonOp{1: nLoadRB, 2: nLoadRH, 4: nLoadRW, 8: nLoadRD}[size]
		if unsigned {
			o = map[int64]neonOp{1: nLoadRBU, 2: nLoadRHU, 4: nLoadRWU, 8: nLoadRD}[size]
		}
		n.emit(machine{op: o, d: n.regs[in.dst][0], symbol: symbol})
	case opResultInt:
		o := map[int64]neonOp{1: nStoreRB, 2: nStoreRH, 4: nStoreRW, 8: nStoreRD}[size]
		n.emit(machine{op: o, n: n.int(in.a), symbol: symbol})
	}
}

// memory lowers loads and stores.
func (n *neon) memory(in *instr) {
	wide := in.t.Size() == 8
	base := n.regs[in.mem.base][0]
	offset := int64(in.mem.offset)
	size := func(single, double neonOp) neonOp {
		if wide {
			return double
		}
		return single
	}
	switch in.op {
	case opLoad:
		if in.tail.kind == argNone {
			n.load(in, 0, parts)
			return
		}
		var v [parts]vreg
		for p := range v {
			v[p] = n.loadConstant(in.c.imm)
		}
		n.loadTail(in, v[:], in.t.Size())
		n.setAll(in, v)
	case opStore, opStream:
		var v [parts]vreg
		for p := range v {
			v[p] = n.part(in.a, p)
		}
		if in.tail.kind == argNone {
			n.storePair(base, offset, v[0], v[1])
			n.storePair(base, offset+2*partBytes, v[2], v[3])
			return
		}
		n.storeTail(in, v[:], in.t.Size())
	case opLoadWiden:
		var v [parts / 2]vreg
		if in.tail.kind == argNone {
			v[0], v[1] = n.loadPair(base, offset)
		} else {
			for p := range v {
				v[p] = n.loadConstant(0)
			}
			n.loadTail(in, v[:], I32.Size())
		}
		for p := range parts {
			n.set(in, p, n.op([...]neonOp{nVSXTL, nVSXTL2}[p%2], I32, v[p/2], noReg))
		}
	case opStoreNarrow:
		var v [parts / 2]vreg
		for p := range v {
			v[p] = n.op(nVUZP1S, I32, n.part(in.a, 2*p), n.part(in.a, 2*p+1))
		}
		if in.tail.kind == argNone {
			n.storePair(base, offset, v[0], v[1])
			return
		}
		n.storeTail(in, v[:], I32.Size())
	case opBroadcast:
		v := n.newV()
		n.emit(machine{op: size(nLoadS, nLoadD), d: v, a: base, imm: offset})
		n.set(in, 0, n.op(size(nVDUPS0, nVDUPD0), in.t, v, noReg))
	case opStoreFirst:
		n.emit(machine{op: size(nStoreS, nStoreD), n: n.part(in.a, 0), a: base, imm: offset})
	case opStoreLast:
		last := n.op(size(nVDUPS3, nVDUPD1), in.t, n.part(in.a, parts-1), noReg)
		n.emit(machine{op: size(nStoreS, nStoreD), n: last, a: base, imm: offset})
	case opStoreFour:
		if wide {
			n.storePair(base, offset, n.part(in.a, 0), n.part(in.a, 1))
		} else {
			n.emit(machine{op: nStoreQ, n: n.part(in.a, 0), a: base, imm: offset})
		}
	case opLoadPieces:
		from, distance := n.address(in.mem), n.int(in.a)
		for p := range parts {
			v := n.newV()
			n.emit(machine{op: nLoadQ, d: v, a: from})
			n.set(in, p, v)
			if p+1 < parts {
				next := n.newR()
				n.emit(machine{op: nADD, d: next, n: from, m: distance})
				from = next
			}
		}
	case opGatherPieces:
		first := n.address(in.mem)
		for p, distance := range [...]arg{in.a, in.b, in.c, in.d} {
			v, from := n.newV(), n.newR()
			n.emit(machine{op: nADD, d: from, n: first, m: n.int(distance)})
			n.emit(machine{op: nLoadQ, d: v, a: from})
			n.set(in, p, v)
		}
	case opStorePiece:
		n.emit(machine{op: nStoreQ, n: n.part(in.a, int(in.b.imm)), a: base, imm: offset})
	case opPrefetch:
		if offset < 0 || offset%8 != 0 || offset > 8*4095 {
			base, offset = n.addImm(base, offset), 0
		}
		o := nPRFM
		if in.a.imm == 2 {
			o = nPRFM2
		}
		n.emit(machine{op: o, a: base, imm: offset})
	case opLoadInt:
		if in.mem.index == none {
			n.emit(machine{op: size(nLoadW, nLoadX), d: n.regs[in.dst][0], a: base, imm: offset})
		} else {
			n.emit(machine{op: size(nLoadWIndex, nLoadXIndex), d: n.regs[in.dst][0], a: n.address(in.mem), n: n.regs[in.mem.index][0]})
		}
	case opStoreInt:
		i := n.int(in.a)
		if in.mem.index == none {
			n.emit(machine{op: size(nStoreW, nStoreX), n: i, a: base, imm: offset})
		} else {
			n.emit(machine{op: size(nStoreWIndex, nStoreXIndex), m: i, a: n.address(in.mem), n: n.regs[in.mem.index][0]})
		}
	}
}

// gather loads one element after the other: there is no instruction for it. Two
// indices of 32 bits go to an integer register at once.
func (n *neon) gather(in *instr) {
	base, wide := n.address(in.mem), in.t.Size() == 8
	element := func(o neonOp, i vreg) vreg {
		d := n.newV()
		n.emit(machine{op: o, d: d, a: base, n: i})
		return d
	}
	half := func(i vreg) vreg {
		if wide {
			return element(nLoadDIndex, i)
		}
		upper := n.newR()
		n.emit(machine{op: nASR, d: upper, n: i, imm: 32})
		return n.op(nVZIP1S, I32, element(nLoadSIndexW, i), element(nLoadSIndex, upper))
	}
	var d [parts]vreg
	for p := range d {
		var i [2]vreg
		for j, o := range [...]neonOp{nFMOVDR, nVMOVD1R} {
			i[j] = n.newR()
			n.emit(machine{op: o, d: i[j], n: n.part(in.a, p)})
		}
		d[p] = n.op(nVZIP1D, I32, half(i[0]), half(i[1]))
	}
	n.setAll(in, d)
}

// load lowers a whole load for some parts.
func (n *neon) load(in *instr, from, to int) {
	base := n.regs[in.mem.base][0]
	for p := from; p < to; p++ {
		offset := int64(in.mem.offset + p*partBytes)
		if p+1 < to {
			v, w := n.loadPair(base, offset)
			n.set(in, p, v)
			n.set(in, p+1, w)
			p++
			continue
		}
		v := n.newV()
		n.emit(machine{op: nLoadQ, d: v, a: base, imm: offset})
		n.set(in, p, v)
	}
}

// pairs reports whether the offset of a load or store of two registers can be
// encoded.
func pairs(offset int64) bool {
	return offset%partBytes == 0 && -64*partBytes <= offset && offset < 64*partBytes
}

func (n *neon) loadPair(base vreg, offset int64) (v, w vreg) {
	v, w = n.newV(), n.newV()
	if pairs(offset) {
		n.emit(machine{op: nLoadPQ, d: v, e: w, a: base, imm: offset})
		return v, w
	}
	n.emit(machine{op: nLoadQ, d: v, a: base, imm: offset})
	n.emit(machine{op: nLoadQ, d: w, a: base, imm: offset + partBytes})
	return v, w
}

func (n *neon) storePair(base vreg, offset int64, v, w vreg) {
	if pairs(offset) {
		n.emit(machine{op: nStorePQ, n: v, m: w, a: base, imm: offset})
		return
	}
	n.emit(machine{op: nStoreQ, n: v, a: base, imm: offset})
	n.emit(machine{op: nStoreQ, n: w, a: base, imm: offset + partBytes})
}

// tailPieces goes through the pieces that the elements of a tail consist of, of
// 32 bytes down to one element: body is skipped if the tail lacks a piece.
func (n *neon) tailPieces(in *instr, pieces []int, size int, body func(bytes int)) {
	left := n.int(in.tail)
	for _, bytes := range pieces {
		if bytes < size {
			continue
		}
		n.labels++
		skip := "skip" + strconv.Itoa(n.labels) + "x" // a kernel's own labels end in a digit
		bit := int64(0)
		for 1<<bit*size < bytes {
			bit++
		}
		n.emit(machine{op: nTBZ, n: left, imm: bit, symbol: skip})
		body(bytes)
		n.emit(machine{op: nLabel, symbol: skip})
	}
}

// loadTail replaces the first lanes of v, whose elements have this size, by those
// of a tail. It goes from the end to the start, so that what is loaded first can be
// pushed up.
func (n *neon) loadTail(in *instr, v []vreg, size int) {
	shift := int64(2)
	if size == 8 {
		shift = 3
	}
	end := n.newR()
	n.emit(machine{op: nADDShift, d: end, n: n.regs[in.mem.base][0], m: n.int(in.tail), imm: shift})
	if in.mem.offset != 0 {
		end = n.addImm(end, int64(in.mem.offset))
	}
	n.tailPieces(in, []int{4, 8, 16, 32}[:len(v)/2+2], size, func(bytes int) {
		switch bytes {
		case 4:
			n.emit(machine{op: nSUBImm, d: end, n: end, imm: 4})
			n.emit(machine{op: nLoadLaneS, d: v[0], a: end})
		case 8:
			lower := n.newV()
			n.emit(machine{op: nLoadDBack, d: lower, a: end, imm: -8})
			n.update(nVZIP1D, I32, v[0], lower, v[0])
		case 16:
			n.update(nVMOV, I32, v[1], v[0], noReg)
			n.emit(machine{op: nLoadQBack, d: v[0], a: end, imm: -16})
		case 32:
			n.update(nVMOV, I32, v[2], v[0], noReg)
			n.update(nVMOV, I32, v[3], v[1], noReg)
			n.emit(machine{op: nLoadPQBack, d: v[0], e: v[1], a: end, imm: -32})
		}
	})
}

// storeTail stores the first lanes of v, whose elements have this size.
func (n *neon) storeTail(in *instr, v []vreg, size int) {
	to := n.copyR(n.regs[in.mem.base][0])
	if in.mem.offset != 0 {
		to = n.addImm(to, int64(in.mem.offset))
	}
	rest := make([]vreg, len(v))
	for p := range v {
		rest[p] = n.copyV(v[p])
	}
	n.tailPieces(in, []int{32, 16, 8, 4}[2-len(v)/2:], size, func(bytes int) {
		switch bytes {
		case 32:
			n.emit(machine{op: nStorePQOn, n: rest[0], m: rest[1], a: to, imm: 32})
			n.update(nVMOV, I32, rest[0], rest[2], noReg)
			n.update(nVMOV, I32, rest[1], rest[3], noReg)
		case 16:
			n.emit(machine{op: nStoreQOn, n: rest[0], a: to, imm: 16})
			n.update(nVMOV, I32, rest[0], rest[1], noReg)
		case 8:
			n.emit(machine{op: nStoreDOn, n: rest[0], a: to, imm: 8})
			n.update(nVDUPD1, I64, rest[0], rest[0], noReg)
		case 4:
			n.emit(machine{op: nStoreS, n: rest[0], a: to})
		}
	})
}
