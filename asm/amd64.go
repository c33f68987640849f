package asm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/buildtags"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

// amd64 lowers kernels to AVX2 and AVX-512, through avo's virtual registers.
type amd64 struct {
	ctx  *build.Context
	pool amd64Pool
	ops  map[op]vectorOp

	// Of the kernel at hand.
	k      *Kernel
	live   []map[int]bool
	vecs   map[int][]reg.VecVirtual // parts of a vector; masks of AVX2 too
	not    map[int]int              // masks of AVX2 that are held as their opposite
	masks  map[int]reg.Register     // masks of AVX-512
	ints   map[int]reg.GPVirtual
	consts map[uint64]reg.VecVirtual // constants that are kept in registers
	tails  map[int]tail              // masks of AVX-512, by the value that counts the lanes
	memory map[int]address           // vectors that an instruction takes from memory
	skips  int                       // labels of storeTail

	// Of vectors of which the first four lanes matter: see form.
	forms    []form
	sizes    []int                    // of the lanes of values
	together map[int][]reg.VecVirtual // registers of spaced vectors brought together
	picks    map[int]reg.VecVirtual   // of AVX-512, to bring lanes of a size together
	spaced   bool                     // the instruction at hand takes operands as they are spaced
}

// vectorOp has the instruction of an operation for each type, or nil, in Intel's
// order reversed, as Go writes it: the last source first, the destination last.
type vectorOp [4]func(ops ...operand.Op)

func newAMD64() *amd64 {
	c := build.NewContext()
	w := &amd64{ctx: c, pool: newAMD64Pool()}
	w.ops = map[op]vectorOp{
		opAdd:       {c.VADDPS, c.VADDPD, c.VPADDD, c.VPADDQ},
		opSub:       {c.VSUBPS, c.VSUBPD, c.VPSUBD, c.VPSUBQ},
		opMul:       {c.VMULPS, c.VMULPD},
		opDiv:       {c.VDIVPS, c.VDIVPD},
		opMax:       {c.VMAXPS, c.VMAXPD, c.VPMAXSD, c.VPMAXSQ},
		opAtLeast:   {c.VMAXPS, c.VMAXPD},
		opAtMost:    {c.VMINPS, c.VMINPD},
		opMin:       {c.VMINPS, c.VMINPD, c.VPMINSD, c.VPMINSQ},
		opUMax:      {2: c.VPMAXUD},
		opAnd:       {c.VANDPS, c.VANDPD, c.VANDPS, c.VANDPD},
		opOr:        {c.VORPS, c.VORPD, c.VORPS, c.VORPD},
		opShl:       {2: c.VPSLLD, 3: c.VPSLLQ},
		opShr:       {2: c.VPSRLD, 3: c.VPSRLQ},
		opMulAdd:    {c.VFMADD213PS, c.VFMADD213PD},
		opNegMulAdd: {c.VFNMADD213PS, c.VFNMADD213PD},

		opZipLower: {c.VUNPCKLPS, c.VUNPCKLPD, c.VPUNPCKLDQ, c.VPUNPCKLQDQ},
		opZipUpper: {c.VUNPCKHPS, c.VUNPCKHPD, c.VPUNPCKHDQ, c.VPUNPCKHQDQ},
	}
	return w
}

// accumulate has the forms of opMulAdd and opNegMulAdd that add to their destination.
func (w *amd64) accumulate(o op) vectorOp {
	if o == opMulAdd {
		return vectorOp{w.ctx.VFMADD231PS, w.ctx.VFMADD231PD}
	}
	return vectorOp{w.ctx.VFNMADD231PS, w.ctx.VFNMADD231PD}
}

func assembleAMD64(f *File) ([]byte, error) {
	w := newAMD64()
	if f.Constraint != "" {
		e, err := buildtags.ParseConstraint(f.Constraint)
		if err != nil {
			return nil, err
		}
		w.ctx.Constraint(e.ToConstraint())
	}
	for _, k := range f.kernels {
		w.kernel(k)
	}
	w.pool.write(w.ctx)
	file, err := w.ctx.Result()
	if err != nil {
		return nil, err
	}
	if err := pass.Concat(pass.Compile, pass.FunctionPass(pruneMoves)).Execute(file); err != nil {
		return nil, err
	}
	for _, k := range f.kernels {
		if err := checkVEX(file.Functions(), k); err != nil {
			return nil, err
		}
	}
	cfg := printer.Config{Name: f.Generator, Pkg: f.Package}
	return printer.NewGoAsm(cfg).Print(file)
}

// parts is the number of registers of a vector.
func (w *amd64) parts() int {
	if w.k.target == AVX512 {
		return 1
	}
	return 2
}

func (w *amd64) newReg() reg.VecVirtual {
	if w.k.target == AVX512 {
		return w.ctx.ZMM()
	}
	return w.ctx.YMM()
}

// bytes is the size of a register.
func (w *amd64) bytes() int { return vecBytes / w.parts() }

func (w *amd64) kernel(k *Kernel) {
	w.k, w.live = k, k.liveAfter()
	w.vecs, w.masks, w.ints = map[int][]reg.VecVirtual{}, map[int]reg.Register{}, map[int]reg.GPVirtual{}
	w.not = map[int]int{}
	w.consts, w.tails, w.memory, w.skips = map[uint64]reg.VecVirtual{}, map[int]tail{}, map[int]address{}, 0
	w.ctx.Function(k.name)
	w.ctx.Attributes(attr.NOSPLIT)
	w.ctx.Signature(k.signature)
	w.ctx.Doc(k.doc...)
	w.findForms()
	if k.target == AVX512 {
		w.keepConstants()
	}
	for i := 0; i < len(k.code); i++ {
		if w.leaveInMemory(i) {
			continue
		}
		w.spaced = w.isSpaced(&k.code[i])
		if k.target == AVX512 && i+1 < len(k.code) && w.lowerMasked(i) {
			i++
		} else {
			w.lower(i)
		}
		w.bringTogether(&k.code[i])
	}
	has := func(o op) bool { return slices.ContainsFunc(k.code, func(in instr) bool { return in.op == o }) }
	if has(opStream) && !has(opFence) {
		w.ctx.SFENCE()
	}
	w.ctx.VZEROUPPER()
	w.ctx.RET()
}

// leaveInMemory leaves a whole vector to the next instruction, if nothing else needs it and it can take an
// operand from memory: that saves an instruction.
func (w *amd64) leaveInMemory(i int) bool {
	in := &w.k.code[i]
	if in.op != opLoad || in.tail.kind != argNone || i+1 == len(w.k.code) || w.k.values[in.dst].isVar || w.live[i+1][in.dst] {
		return false
	}
	next := &w.k.code[i+1]
	isA, isB := next.a.kind == argVec && next.a.id == in.dst, next.b.kind == argVec && next.b.id == in.dst
	switch next.op {
	case opAdd, opMul, opAnd, opOr:
		if next.a.kind == argConst || next.b.kind == argConst {
			return false
		}
	case opSub, opDiv:
		if !isB {
			return false
		}
	case opMulAdd, opNegMulAdd: // what is not the addend, if that becomes the sum
		if next.c.kind != argVec || next.c.id != next.dst {
			return false
		}
	default:
		return false
	}
	if isA == isB || w.isOne(in.dst) || w.isOne(next.dst) {
		return false
	}
	w.memory[in.dst] = in.mem
	return true
}

// isInMemory reports whether an operand is a vector that leaveInMemory has left there.
func (w *amd64) isInMemory(a arg) bool {
	_, ok := w.memory[a.id]
	return ok && a.kind == argVec
}

// keptConstants is how many constants an AVX-512 kernel may keep in registers: 32
// less what a kernel works with.
const keptConstants = 20

// keepConstants loads all constants, if they are few, into registers. AVX2 has
// few registers and takes constants from memory.
func (w *amd64) keepConstants() {
	var order []uint64
	seen := map[uint64]bool{}
	for i := range w.k.code {
		in := &w.k.code[i]
		for _, a := range [...]arg{in.a, in.b, in.c} {
			if a.kind == argConst && !seen[a.imm] {
				seen[a.imm] = true
				order = append(order, a.imm)
			}
		}
	}
	for _, bits := range order[:min(len(order), keptConstants)] {
		r := w.newReg()
		w.loadConst(bits, r)
		w.consts[bits] = r
	}
}

// loadConst loads a constant.
func (w *amd64) loadConst(bits uint64, r reg.VecVirtual) {
	switch {
	case bits == 0 && w.k.target == AVX512:
		w.ctx.VPXORD(r, r, r)
	case bits == 0:
		w.ctx.VXORPS(r, r, r)
	case w.k.target == AVX512:
		w.ctx.VBROADCASTSD(w.pool.constant(bits), r)
	default:
		w.ctx.VMOVUPS(w.pool.constant(bits), r)
	}
}

// regs returns the registers of an operand.
func (w *amd64) regs(a arg) []reg.VecVirtual {
	if a.kind == argConst {
		r, ok := w.consts[a.imm]
		if !ok {
			r = w.newReg()
			w.loadConst(a.imm, r)
		}
		return w.same(r)
	}
	if r, ok := w.together[a.id]; ok && !w.spaced {
		return r
	}
	return w.vecs[a.id]
}

// same returns one register as all parts of a vector.
func (w *amd64) same(r reg.VecVirtual) []reg.VecVirtual {
	parts := make([]reg.VecVirtual, w.parts())
	for i := range parts {
		parts[i] = r
	}
	return parts
}

// sources returns an operand in registers, or as memory if it is a constant there.
func (w *amd64) sources(a arg) []operand.Op {
	ops := make([]operand.Op, w.parts())
	if a.kind == argConst && w.k.target == AVX2 && a.imm != 0 {
		for i := range ops {
			ops[i] = w.pool.constant(a.imm)
		}
		return ops
	}
	if w.isInMemory(a) {
		for i := range ops {
			ops[i] = w.mem(w.memory[a.id], i*w.bytes())
		}
		return ops
	}
	for i, r := range w.regs(a) {
		ops[i] = r
	}
	return ops
}

// dst returns the registers of a result, new ones unless it is a variable that
// has some.
func (w *amd64) dst(id int) []reg.VecVirtual {
	if w.isOne(id) {
		if _, ok := w.vecs[id]; !ok {
			w.vecs[id] = w.same(w.newReg())
		}
		return w.vecs[id][:1]
	}
	if r, ok := w.vecs[id]; ok {
		return r
	}
	r := make([]reg.VecVirtual, w.parts())
	for i := range r {
		r[i] = w.newReg()
	}
	w.vecs[id] = r
	return r
}

// uniform returns the registers of a result that is the same in all parts: one,
// unless it is a variable.
func (w *amd64) uniform(id int) []reg.VecVirtual {
	if w.k.values[id].isVar {
		return w.dst(id)
	}
	r := w.newReg()
	w.vecs[id] = w.same(r)
	return w.vecs[id][:1]
}

func (w *amd64) mask(id int) reg.Register {
	m, ok := w.masks[id]
	if !ok {
		m = w.ctx.K()
		w.masks[id] = m
	}
	return m
}

func (w *amd64) gp(id int) reg.GPVirtual {
	r, ok := w.ints[id]
	if !ok {
		r = w.ctx.GP64()
		w.ints[id] = r
	}
	return r
}

// integer returns an integer operand.
func (w *amd64) integer(a arg) operand.Op {
	if a.kind == argInt {
		return w.gp(a.id)
	}
	if int64(a.imm) != int64(int32(a.imm)) {
		w.k.fail("the integer %d has more than 32 bits", int64(a.imm))
	}
	return operand.I32(int32(a.imm))
}

// mem returns an address, a number of bytes further.
func (w *amd64) mem(a address, more int) operand.Mem {
	m := operand.Mem{Base: w.gp(a.base), Disp: a.offset + more}
	if a.index != none {
		m.Index, m.Scale = w.gp(a.index), uint8(a.scale)
	}
	return m
}

// instruction returns that of an operation for a type.
func (w *amd64) instruction(o op, t Type) func(ops ...operand.Op) {
	f := w.ops[o][t]
	if f == nil || w.k.target == AVX2 && t == I64 && (o == opMax || o == opMin) {
		w.k.fail("%v has no %v of %v", w.k.target, o, t)
	}
	return f
}

// lower writes the instructions of one operation.
func (w *amd64) lower(i int) {
	in := &w.k.code[i]
	if _, ok := in.op.fold(); ok {
		w.fold(in)
		return
	}
	switch in.op {
	case opFoldAdd4, opFoldMax4:
		w.fold4(in)
	case opIota:
		for p, r := range w.dst(in.dst) {
			w.ctx.VMOVUPS(w.pool.iota(in.t, p*w.bytes()), r)
		}
	case opMove:
		w.move(in.a, w.dst(in.dst))
	case opAdd, opSub, opMul, opDiv, opMax, opMin, opUMax, opAnd, opOr, opZipLower, opZipUpper:
		w.binary(in, nil)
	case opAtLeast, opAtMost: // of two numbers, one a NaN, VMAX and VMIN return the second source
		swapped := *in
		swapped.a, swapped.b = in.b, in.a
		w.binary(&swapped, nil)
	case opShl, opShr:
		a := w.regs(in.a)
		for p, r := range w.dst(in.dst) {
			w.instruction(in.op, in.t)(operand.U8(in.b.imm), a[p], r)
		}
	case opMulAdd, opNegMulAdd:
		w.fused(i)
	case opRound:
		w.round(in)
	case opLess, opNotLess, opEqual, opNotEqual:
		w.compare(in, in.dst, nil)
	case opMaskAnd:
		if w.k.target == AVX512 {
			w.ctx.KANDW(w.mask(in.a.id), w.mask(in.b.id), w.mask(in.dst))
			return
		}
		a, b := in.a.id, in.b.id
		if _, ok := w.not[b]; ok {
			a, b = b, a
		}
		other := w.maskVecs(b)
		for p, r := range w.dst(in.dst) {
			w.under(a, p, other[p], r)
		}
	case opMaskNot:
		if w.k.target == AVX512 {
			w.ctx.KNOTW(w.mask(in.a.id), w.mask(in.dst))
			return
		}
		if of, ok := w.not[in.a.id]; ok {
			w.vecs[in.dst] = w.vecs[of]
		} else {
			w.not[in.dst] = in.a.id
		}
	case opSelect, opKeep, opAddWhere:
		w.where(in)
	case opFirst:
		w.first(in)
	case opSpread:
		w.spreadLane(in)
	case opShiftIn:
		w.shiftIn(in)
	case opShiftOut:
		w.shiftOut(in)
	case opWidenLower, opWidenUpper:
		w.widen(in)
	case opNarrow:
		w.narrow(in)
	case opLoad:
		w.load(in)
	case opStore, opStream:
		w.store(in)
	case opLoadWiden:
		w.loadWiden(in)
	case opStoreNarrow:
		w.storeNarrow(in)
	case opBroadcast:
		for _, r := range w.uniform(in.dst) {
			w.broadcast(in.t, w.mem(in.mem, 0), r)
		}
	case opGather:
		w.gather(in)
	case opGatherTable:
		w.gatherTable(in)
	case opGatherBy:
		w.gatherBy(in)
	case opStoreFirst:
		w.storeLane(in.t, w.regs(in.a)[0], w.mem(in.mem, 0))
	case opStoreLast:
		w.storeLast(in)
	case opStoreFour:
		if r := w.regs(in.a)[0]; in.t.Size() == 4 {
			w.ctx.VMOVUPS(r.AsX(), w.mem(in.mem, 0))
		} else {
			w.ctx.VMOVUPS(r.AsY(), w.mem(in.mem, 0))
		}
	case opLoadPieces:
		w.loadPieces(in.dst, w.piecesApart(in))
	case opGatherPieces:
		w.loadPieces(in.dst, w.piecesEach(in))
	case opStorePiece:
		w.storePiece(in)
	case opParamVec:
		for _, r := range w.uniform(in.dst) {
			w.broadcast(in.t, w.resolve(w.k.signature.Params(), in.name), r)
		}
	case opResultVec:
		w.storeLane(in.t, w.regs(in.a)[0], w.resolve(w.k.signature.Results(), in.name))
	case opSplat:
		w.splat(in)
	default:
		w.scalar(in)
	}
}

// scalar writes the operations on integers and the flow of control.
func (w *amd64) scalar(in *instr) {
	switch in.op {
	case opPrefetch:
		if in.a.imm == 1 {
			w.ctx.PREFETCHT0(w.mem(in.mem, 0))
		} else {
			w.ctx.PREFETCHT1(w.mem(in.mem, 0))
		}
	case opFence:
		w.ctx.SFENCE()
	case opLoadInt:
		if in.t.Size() == 4 {
			w.ctx.MOVLQSX(w.mem(in.mem, 0), w.gp(in.dst))
		} else {
			w.ctx.MOVQ(w.mem(in.mem, 0), w.gp(in.dst))
		}
	case opStoreInt:
		if in.t.Size() == 4 {
			w.ctx.MOVL(w.gp(in.a.id).As32(), w.mem(in.mem, 0))
		} else {
			w.ctx.MOVQ(w.gp(in.a.id), w.mem(in.mem, 0))
		}
	case opParamInt:
		w.ctx.Load(lookup(w.k.signature.Params(), in.name), w.gp(in.dst))
	case opResultInt:
		w.resultInt(in)
	case opMoveInt:
		w.ctx.MOVQ(w.integer(in.a), w.gp(in.dst))
	case opAddInt, opSubInt, opMulInt, opShlInt:
		w.arithmetic(in)
	case opLabel:
		w.tails = map[int]tail{}
		w.ctx.Label(in.label)
	case opJump:
		w.ctx.JMP(operand.LabelRef(in.label))
	case opBranch:
		w.branch(in)
	default:
		w.k.fail("%v is not lowered", in.op)
	}
	delete(w.tails, in.dst)
}

func (w *amd64) branch(in *instr) {
	a := in.a
	if a.kind != argInt {
		w.k.fail("comparison of two constants")
	}
	w.ctx.CMPQ(w.gp(a.id), w.integer(in.b))
	to := operand.LabelRef(in.label)
	switch in.cond {
	case condEqual:
		w.ctx.JEQ(to)
	case condNotEqual:
		w.ctx.JNE(to)
	case condLess:
		w.ctx.JLT(to)
	case condGreaterEqual:
		w.ctx.JGE(to)
	case condLessEqual:
		w.ctx.JLE(to)
	case condGreater:
		w.ctx.JGT(to)
	}
}

func (w *amd64) arithmetic(in *instr) {
	dst, b := w.gp(in.dst), w.integer(in.b)
	if in.b.kind == argInt && in.b.id == in.dst && (in.a.kind != argInt || in.a.id != in.dst) {
		t := w.ctx.GP64()
		w.ctx.MOVQ(b, t)
		b = t
	}
	if in.a.kind != argInt || in.a.id != in.dst {
		w.ctx.MOVQ(w.integer(in.a), dst)
	}
	switch in.op {
	case opAddInt:
		w.ctx.ADDQ(b, dst)
	case opSubInt:
		w.ctx.SUBQ(b, dst)
	case opShlInt:
		w.ctx.SHLQ(operand.U8(in.b.imm), dst)
	case opMulInt:
		if imm, ok := b.(operand.I32); ok {
			w.ctx.IMUL3Q(imm, dst, dst)
		} else {
			w.ctx.IMULQ(b, dst)
		}
	}
}

// resultInt stores as many bytes as the result has.
func (w *amd64) resultInt(in *instr) {
	to := lookup(w.k.signature.Results(), in.name)
	r := w.ctx.GP64()
	w.ctx.MOVQ(w.integer(in.a), r)
	switch b, _ := to.Resolve(); gotypes.Sizes.Sizeof(b.Type) {
	case 1:
		w.ctx.MOVB(r.As8(), b.Addr)
	case 2:
		w.ctx.MOVW(r.As16(), b.Addr)
	case 4:
		w.ctx.MOVL(r.As32(), b.Addr)
	default:
		w.ctx.MOVQ(r, b.Addr)
	}
}

// resolve returns the place of a parameter or result in the frame.
func (w *amd64) resolve(in *gotypes.Tuple, name string) operand.Mem {
	b, err := lookup(in, name).Resolve()
	if err != nil {
		w.k.fail("%s: %v", name, err)
	}
	return b.Addr
}

// lookup returns the component of a signature that has this name, as an assembly
// function names it.
func lookup(in *gotypes.Tuple, name string) gotypes.Component {
	if slice, ok := strings.CutSuffix(name, "_base"); ok {
		return in.Lookup(slice).Base()
	}
	if slice, ok := strings.CutSuffix(name, "_len"); ok {
		return in.Lookup(slice).Len()
	}
	return in.Lookup(name)
}

// move copies a vector.
func (w *amd64) move(a arg, dst []reg.VecVirtual) {
	if a.kind == argConst {
		if _, ok := w.consts[a.imm]; !ok {
			for _, r := range dst {
				w.loadConst(a.imm, r)
			}
			return
		}
	}
	from := w.regs(a)
	for p, r := range dst {
		w.ctx.VMOVAPS(from[p], r)
	}
}

func isCommutative(o op) bool {
	return o == opAdd || o == opMul || o == opAnd || o == opOr || o == opUMax
}

// binary writes a ∘ b, where the back end may write it masked.
func (w *amd64) binary(in *instr, emit func(b, a, dst operand.Op)) {
	a, b := in.a, in.b
	if (a.kind == argConst || w.isInMemory(a)) && isCommutative(in.op) {
		a, b = b, a
	}
	if emit == nil {
		f := w.instruction(in.op, in.t)
		emit = func(b, a, dst operand.Op) { f(b, a, dst) }
	}
	x, y := w.regs(a), w.sources(b)
	dst := w.vecs[in.dst]
	if dst == nil && !w.isInMemory(b) && w.isUniform(a) && w.isUniform(b) {
		dst = w.uniform(in.dst)
	} else {
		dst = w.dst(in.dst)
	}
	for p, r := range dst {
		emit(y[p], x[p], r)
	}
}

// isUniform reports whether all parts of an operand are the same.
func (w *amd64) isUniform(a arg) bool {
	return a.kind == argConst || !w.isOwned(a.id) && !w.k.values[a.id].isVar
}

// fused writes a·b + c or c − a·b. These instructions destroy one of their
// operands; a copy is made unless it is not needed any more.
func (w *amd64) fused(i int) {
	in := &w.k.code[i]
	a, b, c := in.a, in.b, in.c
	isDst := func(a arg) bool { return a.kind == argVec && a.id == in.dst }
	if w.isInMemory(a) { // the factor that may be memory is b
		a, b = b, a
	}
	if isDst(b) || !isDst(a) && !w.isInMemory(b) && !w.dies(i, a) && (w.dies(i, b) || b.kind == argConst) {
		a, b = b, a // a is what a copy, if there must be one, is made of: a constant comes from memory
	}
	switch {
	case isDst(c) || w.dies(i, c) && !isDst(a):
		dst := w.take(c, in.dst)
		x, y := w.sources(b), w.regs(a)
		for p, r := range dst {
			w.accumulate(in.op)[in.t](x[p], y[p], r)
		}
	default:
		multiplier, addend := w.regs(b), w.sources(c)
		dst := w.factor(i, a, in)
		for p, r := range dst {
			w.instruction(in.op, in.t)(addend[p], multiplier[p], r)
		}
	}
}

// factor returns the registers of the result of a fused operation, with a in
// them.
func (w *amd64) factor(i int, a arg, in *instr) []reg.VecVirtual {
	if w.dies(i, a) || a.kind == argVec && a.id == in.dst {
		return w.take(a, in.dst)
	}
	dst := w.dst(in.dst)
	w.move(a, dst)
	return dst
}

// dies reports whether a vector is in registers of its own and not read after
// instruction i.
func (w *amd64) dies(i int, a arg) bool {
	return a.kind == argVec && !w.k.values[a.id].isVar && !w.live[i][a.id] &&
		(w.isOwned(a.id) || w.isOne(a.id) && w.isOne(w.k.code[i].dst))
}

// isOwned reports whether no other part or value is in the registers of a vector.
func (w *amd64) isOwned(id int) bool {
	r := w.vecs[id]
	return len(r) == 1 || r[0] != r[1]
}

// take gives the registers of the vector a to the result dst.
func (w *amd64) take(a arg, dst int) []reg.VecVirtual {
	if a.id == dst {
		return w.vecs[dst]
	}
	if w.k.values[dst].isVar {
		to := w.dst(dst)
		w.move(a, to)
		return to
	}
	if w.vecs[dst] = w.regs(a); w.isOne(dst) {
		w.vecs[dst] = w.same(w.vecs[dst][0])
	}
	return w.dst(dst)
}

// round writes the nearest integers, the even ones of two.
func (w *amd64) round(in *instr) {
	f := [2]func(imm, a, dst operand.Op){w.ctx.VROUNDPS, w.ctx.VROUNDPD}[in.t]
	if w.k.target == AVX512 {
		scale := [2]func(ops ...operand.Op){w.ctx.VRNDSCALEPS, w.ctx.VRNDSCALEPD}[in.t]
		f = func(imm, a, dst operand.Op) { scale(imm, a, dst) }
	}
	a := w.regs(in.a)
	for p, r := range w.dst(in.dst) {
		f(operand.U8(8), a[p], r) // 8: without an exception for what is inexact
	}
}

// predicates are the immediates of VCMPPS: LT_OQ, NLT_UQ, EQ_OQ, NEQ_UQ; those of
// VPCMPD are the last three bits.
var predicates = map[op]operand.U8{opLess: 0x11, opNotLess: 0x15, opEqual: 0, opNotEqual: 4}

// compare writes a comparison, of AVX-512 with an optional mask.
func (w *amd64) compare(in *instr, dst int, under operand.Op) {
	a, b := w.regs(in.a), w.sources(in.b)
	imm := predicates[in.op]
	if w.k.target == AVX512 {
		f := [4]func(ops ...operand.Op){w.ctx.VCMPPS, w.ctx.VCMPPD, w.ctx.VPCMPD, w.ctx.VPCMPQ}[in.t]
		if !in.t.IsFloat() {
			imm &= 7
		}
		if under == nil {
			f(imm, b[0], a[0], w.mask(dst))
		} else {
			f(imm, b[0], a[0], under, w.mask(dst))
		}
		return
	}
	for p, r := range w.dst(dst) {
		switch in.t {
		case F32:
			w.ctx.VCMPPS(imm, b[p], a[p], r)
		case F64:
			w.ctx.VCMPPD(imm, b[p], a[p], r)
		default:
			w.compareInts(in, a[p], b[p], w.regs(in.b)[p], r)
		}
	}
}

// compareInts writes a comparison of AVX2, which knows only == and >.
func (w *amd64) compareInts(in *instr, a, b operand.Op, bReg, dst reg.VecVirtual) {
	equal, greater := w.ctx.VPCMPEQD, w.ctx.VPCMPGTD
	if in.t == I64 {
		equal, greater = w.ctx.VPCMPEQQ, w.ctx.VPCMPGTQ
	}
	switch in.op {
	case opLess:
		greater(a, bReg, dst)
	case opEqual:
		equal(b, a, dst)
	case opNotEqual:
		equal(b, a, dst)
		w.ctx.VXORPS(w.pool.constant(^uint64(0)), dst, dst)
	}
}

// lowerMasked writes two operations of AVX-512 as one under a mask: a comparison
// and the And of it with another mask, or an operation and the Keep of its result.
func (w *amd64) lowerMasked(i int) bool {
	in, next := &w.k.code[i], &w.k.code[i+1]
	if in.dst == none || w.live[i+1][in.dst] || w.k.values[in.dst].isVar || w.isSpaced(next) != w.spaced {
		return false
	}
	switch in.op {
	case opLess, opNotLess, opEqual, opNotEqual:
		if next.op != opMaskAnd {
			return false
		}
		under := next.a.id
		if under == in.dst {
			under = next.b.id
		}
		if under == in.dst || next.a.id != in.dst && next.b.id != in.dst {
			return false
		}
		w.compare(in, next.dst, w.mask(under))
		return true
	case opAdd, opMul, opShl:
		if next.op != opKeep || next.a.id != in.dst || next.a.kind != argVec {
			return false
		}
		c := w.ctx
		if in.op == opShl {
			f := map[Type]func(imm, a, k, dst operand.Op){I32: c.VPSLLD_Z, I64: c.VPSLLQ_Z}[in.t]
			f(operand.U8(in.b.imm), w.regs(in.a)[0], w.mask(next.mask.id), w.dst(next.dst)[0])
			return true
		}
		f := map[op][4]func(b, a, k, dst operand.Op){
			opAdd: {c.VADDPS_Z, c.VADDPD_Z, c.VPADDD_Z, c.VPADDQ_Z},
			opMul: {c.VMULPS_Z, c.VMULPD_Z},
		}[in.op][in.t]
		merged := *in
		merged.dst = next.dst
		w.binary(&merged, func(b, a, dst operand.Op) { f(b, a, w.mask(next.mask.id), dst) })
		return true
	}
	return false
}

// where writes the operations under a mask.
func (w *amd64) where(in *instr) {
	if w.k.target == AVX512 {
		w.where512(in)
		return
	}
	for p, r := range w.dst(in.dst) {
		switch in.op {
		case opSelect:
			m, a, b := in.mask.id, in.a, in.b
			if of, ok := w.not[m]; ok {
				m, a, b = of, b, a
			}
			w.ctx.VBLENDVPS(w.vecs[m][p], w.sources(a)[p], w.regs(b)[p], r)
		case opKeep:
			w.under(in.mask.id, p, w.sources(in.a)[p], r)
		case opAddWhere:
			if _, ok := w.not[in.mask.id]; !ok && in.b.isMinusOne() {
				w.instruction(opAdd, in.t)(w.vecs[in.mask.id][p], r, r)
				continue
			}
			t := w.newReg()
			w.under(in.mask.id, p, w.sources(in.b)[p], t)
			w.instruction(opAdd, in.t)(t, r, r)
		}
	}
}

// under writes part p of what is left of v under a mask of AVX2.
func (w *amd64) under(mask, p int, v, dst operand.Op) {
	if of, ok := w.not[mask]; ok {
		w.ctx.VANDNPS(v, w.vecs[of][p], dst)
	} else {
		w.ctx.VANDPS(v, w.vecs[mask][p], dst)
	}
}

// maskVecs returns registers with a mask of AVX2.
func (w *amd64) maskVecs(mask int) []reg.VecVirtual {
	of, ok := w.not[mask]
	if !ok {
		return w.vecs[mask]
	}
	r := make([]reg.VecVirtual, w.parts())
	for p := range r {
		r[p] = w.newReg()
		w.ctx.VXORPS(w.pool.constant(^uint64(0)), w.vecs[of][p], r[p])
	}
	return r
}

func (w *amd64) where512(in *instr) {
	k, dst := w.mask(in.mask.id), w.dst(in.dst)[0]
	wide := in.t.Size() == 8
	switch in.op {
	case opSelect:
		f := w.ctx.VBLENDMPS
		if wide {
			f = w.ctx.VBLENDMPD
		}
		f(w.regs(in.a)[0], w.regs(in.b)[0], k, dst)
	case opKeep:
		f := w.ctx.VMOVAPS_Z
		if wide {
			f = w.ctx.VMOVAPD_Z
		}
		f(w.regs(in.a)[0], k, dst)
	case opAddWhere:
		w.instruction(opAdd, in.t)(w.regs(in.b)[0], dst, k, dst)
	}
}

// first writes the number of the first lane of a mask, by a bit beyond the last
// lane that is always set.
func (w *amd64) first(in *instr) {
	dst := w.gp(in.dst)
	if w.k.target == AVX512 {
		w.ctx.KMOVW(w.mask(in.mask.id), dst.As32())
	} else {
		m, high := w.maskVecs(in.mask.id), w.ctx.GP32()
		move := w.ctx.VMOVMSKPS
		if in.t.Size() == 8 {
			move = w.ctx.VMOVMSKPD
		}
		move(m[0], dst.As32())
		move(m[1], high)
		w.ctx.SHLL(operand.U8(in.t.Lanes()/2), high)
		w.ctx.ORL(high, dst.As32())
	}
	w.ctx.ORL(operand.I32(1<<in.t.Lanes()), dst.As32())
	w.ctx.BSFL(dst.As32(), dst.As32())
}

// fold adds the upper half of the lanes to the lower half until one is left.
func (w *amd64) fold(in *instr) {
	o, _ := in.op.fold()
	f := w.instruction(o, in.t)
	a := w.regs(in.a)
	y := w.ctx.YMM()
	if w.k.target == AVX512 {
		high := w.ctx.YMM()
		w.ctx.VEXTRACTF64X4(operand.U8(1), a[0], high)
		f(high, a[0].AsY(), y)
	} else {
		f(a[1], a[0], y)
	}
	x, high := y.AsX(), w.ctx.XMM()
	if w.k.target == AVX512 {
		w.ctx.VEXTRACTF64X2(operand.U8(1), y, high)
	} else {
		w.ctx.VEXTRACTF128(operand.U8(1), y, high)
	}
	f(high, x, x)
	high = w.ctx.XMM()
	w.ctx.VPERMILPD(operand.U8(1), x, high)
	f(high, x, x)
	if in.t.Size() == 4 {
		high = w.ctx.XMM()
		w.ctx.VMOVSHDUP(x, high)
		f(high, x, x)
	}
	dst := make([]reg.VecVirtual, w.parts())
	for p := range dst {
		dst[p] = y
		if w.k.target == AVX512 {
			dst[p] = y.AsZ().(reg.VecVirtual)
		}
	}
	if w.k.values[in.dst].isVar {
		for p, r := range w.dst(in.dst) {
			w.ctx.VMOVAPS(dst[p], r)
		}
		return
	}
	w.vecs[in.dst] = dst
}

// broadcast loads one element into all lanes of a register.
func (w *amd64) broadcast(t Type, from operand.Op, r reg.VecVirtual) {
	if t.Size() == 4 {
		w.ctx.VBROADCASTSS(from, r)
	} else {
		w.ctx.VBROADCASTSD(from, r)
	}
}

// gather reads the elements whose numbers are the lanes of a vector. The instruction
// zeroes its mask, and it keeps lanes of its destination where the mask is not set: a
// destination that is not zeroed before is waited for. The two and the index must be
// in different registers.
func (w *amd64) gather(in *instr) {
	f := w.ctx.VGATHERDPS
	if in.t.Size() == 8 {
		f = w.ctx.VGATHERQPD
	}
	index := w.regs(in.a)
	for p, r := range w.dst(in.dst) {
		at := w.apart(index[p], r)
		from := w.mem(in.mem, 0)
		from.Index, from.Scale = at, uint8(in.t.Size())
		w.loadConst(0, r)
		if w.k.target == AVX512 {
			m := w.ctx.K()
			w.ctx.KXNORW(reg.K0, reg.K0, m)
			f(from, m, r)
			continue
		}
		m := w.newReg()
		w.ctx.VPCMPEQD(m, m, m)
		f(m, from, r)
	}
}

// gatherBy moves elements one by one: with AVX2's gather, kernel emit of float64 takes twice as long on Zen 3.
func (w *amd64) gatherBy(in *instr) {
	index, i := address{in.a.id, none, 0, int(in.b.imm)}, 0
	element := func() operand.Mem {
		at, from := w.ctx.GP64(), w.mem(in.mem, 0)
		w.ctx.MOVLQSX(w.mem(index, 4*i), at)
		i++
		from.Index, from.Scale = at, uint8(in.t.Size())
		return from
	}
	half := func() reg.VecVirtual {
		x := w.ctx.XMM()
		if in.t.Size() == 4 {
			w.ctx.VMOVSS(element(), x)
			for i := 1; i < 4; i++ {
				w.ctx.VINSERTPS(operand.U8(i<<4), element(), x, x)
			}
			return x
		}
		w.ctx.VMOVSD(element(), x)
		w.ctx.VMOVHPD(element(), x, x)
		return x
	}
	for _, r := range w.dst(in.dst) {
		low, high := half(), half()
		w.ctx.VINSERTF128(operand.U8(1), high, low.AsY(), r)
	}
}

// apart returns the register v, or a copy if it is dst: a variable may be gathered by
// itself.
func (w *amd64) apart(v, dst reg.VecVirtual) reg.VecVirtual {
	if v != dst {
		return v
	}
	c := w.newReg()
	w.ctx.VMOVAPS(v, c)
	return c
}

// gatherTable picks the elements in registers, unless AVX2 would have more than four
// of eight elements each to pick from.
func (w *amd64) gatherTable(in *instr) {
	n, index := int(in.b.imm), w.regs(in.a)
	if w.k.target == AVX512 {
		dst, upper := w.dst(in.dst)[0], map[int]reg.Register{}
		at := w.apart(index[0], dst)
		for half := 2; half < n; half *= 2 {
			upper[half] = w.ctx.K()
			bit := uint64(half * F32.Lanes())
			w.ctx.VPTESTMD_BCST(w.pool.constant(bit|bit<<32), at, upper[half])
		}
		w.pick512(in.mem, 0, n, at, upper, dst)
		return
	}
	if n > w.k.TableVectors() {
		w.gather(in)
		return
	}
	for p, r := range w.dst(in.dst) {
		w.pick256(in.mem, n, w.apart(index[p], r), r)
	}
}

// pick512 picks from n vectors of a table, from one of them on. An instruction picks
// from one or two. Of more than that the masks tell, by the size of a half, where an
// index is in the upper half.
func (w *amd64) pick512(table address, from, n int, index reg.VecVirtual, upper map[int]reg.Register, dst reg.VecVirtual) {
	at := func(i int) operand.Mem { return w.mem(table, i*vecBytes) }
	switch n {
	case 1:
		w.ctx.VPERMPS(at(from), index, dst)
		return
	case 2:
		w.ctx.VMOVUPS(at(from), dst)
		w.ctx.VPERMT2PS(at(from+1), index, dst)
		return
	}
	half := 2
	if n > 4 {
		half = 4
	}
	w.pick512(table, from, half, index, upper, dst)
	if n-half == 1 {
		w.ctx.VPERMPS(at(from+half), index, upper[half], dst)
		return
	}
	t := w.newReg()
	w.pick512(table, from+half, n-half, index, upper, t)
	w.ctx.VMOVAPS(t, upper[half], dst)
}

// pick256 picks from one vector of a table or two, that is two registers or four. Of
// the bits of an index that tell them apart the first becomes the sign of the lane, and
// then the second.
func (w *amd64) pick256(table address, n int, index, dst reg.VecVirtual) {
	m := w.newReg()
	w.ctx.VPSLLD(operand.U8(28), index, m)
	pair := func(from int, d reg.VecVirtual) {
		t := w.newReg()
		w.ctx.VPERMPS(w.mem(table, from), index, d)
		w.ctx.VPERMPS(w.mem(table, from+w.bytes()), index, t)
		w.ctx.VBLENDVPS(m, t, d, d)
	}
	pair(0, dst)
	if n == 2 {
		t := w.newReg()
		pair(vecBytes, t)
		w.ctx.VPSLLD(operand.U8(27), index, m)
		w.ctx.VBLENDVPS(m, t, dst, dst)
	}
}

func (w *amd64) storeLane(t Type, r reg.VecVirtual, to operand.Mem) {
	if t.Size() == 4 {
		w.ctx.VMOVSS(r.AsX(), to)
	} else {
		w.ctx.VMOVSD(r.AsX(), to)
	}
}

func (w *amd64) storeLast(in *instr) {
	a, to, last := w.regs(in.a), w.mem(in.mem, 0), w.ctx.XMM()
	if w.k.target == AVX2 {
		w.ctx.VEXTRACTF128(operand.U8(1), a[1].AsY(), last)
	} else {
		w.ctx.VEXTRACTF32X4(operand.U8(3), a[0], last)
	}
	if in.t.Size() == 4 {
		w.ctx.VEXTRACTPS(operand.U8(3), last, to)
	} else {
		w.ctx.VMOVHPD(last, to)
	}
}

func (w *amd64) splat(in *instr) {
	from := w.ctx.GP64()
	if in.a.kind == argInt {
		from = w.gp(in.a.id)
	} else {
		w.ctx.MOVQ(w.integer(in.a), from)
	}
	dst := w.uniform(in.dst)
	narrow := in.t.Size() == 4
	if w.k.target == AVX512 {
		if narrow {
			w.ctx.VPBROADCASTD(from.As32(), dst[0])
		} else {
			w.ctx.VPBROADCASTQ(from, dst[0])
		}
		return
	}
	x := w.ctx.XMM()
	if narrow {
		w.ctx.VMOVD(from.As32(), x)
	} else {
		w.ctx.VMOVQ(from, x)
	}
	for _, r := range dst {
		w.broadcast(in.t, x, r)
	}
}

// shiftIn writes lane i−1 of a as lane i, and the last of b as lane 0.
func (w *amd64) shiftIn(in *instr) {
	a, b, dst := w.regs(in.a), w.regs(in.b), w.dst(in.dst)
	if w.k.target == AVX512 {
		if in.t.Size() == 4 {
			w.ctx.VALIGND(operand.U8(15), b[0], a[0], dst[0])
		} else {
			w.ctx.VALIGNQ(operand.U8(7), b[0], a[0], dst[0])
		}
		return
	}
	before := b[1]
	t := []reg.VecVirtual{w.ctx.YMM(), w.ctx.YMM()}
	for p := range dst { // the upper half of what is before, the lower half of a
		w.ctx.VPERM2F128(operand.U8(0x21), a[p], before, t[p])
		before = a[p]
	}
	for p, r := range dst {
		if in.t.Size() == 8 { // among floats: a cycle less on Zen
			w.ctx.VSHUFPD(operand.U8(5), a[p], t[p], r)
		} else {
			w.ctx.VPALIGNR(operand.U8(16-in.t.Size()), t[p], a[p], r)
		}
	}
}

// shiftOut writes lane i+1 of a as lane i, and the first of b as the last lane.
func (w *amd64) shiftOut(in *instr) {
	a, b, dst := w.regs(in.a), w.regs(in.b), w.dst(in.dst)
	if w.k.target == AVX512 {
		if in.t.Size() == 4 {
			w.ctx.VALIGND(operand.U8(1), a[0], b[0], dst[0])
		} else {
			w.ctx.VALIGNQ(operand.U8(1), a[0], b[0], dst[0])
		}
		return
	}
	after := []reg.VecVirtual{a[1], b[0]}
	t := []reg.VecVirtual{w.ctx.YMM(), w.ctx.YMM()}
	for p := range dst {
		w.ctx.VPERM2F128(operand.U8(0x21), after[p], a[p], t[p])
	}
	for p, r := range dst {
		if in.t.Size() == 8 { // as in shiftIn
			w.ctx.VSHUFPD(operand.U8(5), t[p], a[p], r)
		} else {
			w.ctx.VPALIGNR(operand.U8(in.t.Size()), a[p], t[p], r)
		}
	}
}

// widen converts half of a vector of F32 to F64.
func (w *amd64) widen(in *instr) {
	a, dst := w.regs(in.a), w.dst(in.dst)
	upper := in.op == opWidenUpper
	if w.k.target == AVX512 {
		half := a[0].AsY()
		if upper {
			y := w.ctx.YMM()
			w.ctx.VEXTRACTF64X4(operand.U8(1), a[0], y)
			half = y
		}
		w.ctx.VCVTPS2PD(half, dst[0])
		return
	}
	from := a[0]
	if upper {
		from = a[1]
	}
	if len(dst) == 1 {
		w.ctx.VCVTPS2PD(from.AsX(), dst[0])
		return
	}
	high := w.ctx.XMM()
	w.ctx.VEXTRACTF128(operand.U8(1), from, high)
	w.ctx.VCVTPS2PD(from.AsX(), dst[0])
	w.ctx.VCVTPS2PD(high, dst[1])
}

// narrow rounds two vectors of F64 to one of F32.
func (w *amd64) narrow(in *instr) {
	a, b, dst := w.regs(in.a), w.regs(in.b), w.dst(in.dst)
	if w.k.target == AVX512 {
		low, high := w.ctx.YMM(), w.ctx.YMM()
		w.ctx.VCVTPD2PS(a[0], low)
		w.ctx.VCVTPD2PS(b[0], high)
		w.ctx.VINSERTF64X4(operand.U8(1), high, low.AsZ(), dst[0])
		return
	}
	for p, from := range [...][]reg.VecVirtual{a, b} {
		low, high := w.ctx.YMM(), w.ctx.XMM()
		w.ctx.VCVTPD2PSY(from[0], low.AsX())
		w.ctx.VCVTPD2PSY(from[1], high)
		w.ctx.VINSERTF128(operand.U8(1), high, low, dst[p])
	}
}

// tail is the mask of a tail: a mask register, or a vector for each part.
type tail struct {
	k reg.Register
	v []reg.VecVirtual
}

// tailOf returns the mask of the first lanes, so many as the integer says, of
// elements that have this size in memory. AVX-512 has registers to keep it in until
// the next label.
func (w *amd64) tailOf(a arg, size int) tail {
	if t, ok := w.tails[a.id]; ok {
		return t
	}
	var t tail
	table := w.ctx.GP64()
	if w.k.target == AVX512 {
		w.ctx.LEAQ(w.pool.bitMasks(), table)
		t.k = w.ctx.K()
		w.ctx.KMOVW(operand.Mem{Base: table, Index: w.gp(a.id), Scale: 2}, t.k)
		w.tails[a.id] = t
		return t
	}
	at := w.ctx.GP64()
	w.ctx.LEAQ(w.pool.byteMasks(), table)
	w.ctx.MOVQ(w.gp(a.id), at)
	w.ctx.NEGQ(at)
	for p := range w.parts() {
		r := w.ctx.YMM()
		w.ctx.VMOVUPS(operand.Mem{Base: table, Index: at, Scale: uint8(size), Disp: vecBytes + p*w.bytes()}, r)
		t.v = append(t.v, r)
	}
	return t
}

func (w *amd64) load(in *instr) {
	dst := w.dst(in.dst)
	if in.tail.kind == argNone {
		for p, r := range dst {
			w.ctx.VMOVUPS(w.mem(in.mem, p*w.bytes()), r)
		}
		return
	}
	m, wide := w.tailOf(in.tail, in.t.Size()), in.t.Size() == 8
	if w.k.target == AVX512 {
		switch {
		case in.c.imm == 0 && wide:
			w.ctx.VMOVUPD_Z(w.mem(in.mem, 0), m.k, dst[0])
		case in.c.imm == 0:
			w.ctx.VMOVUPS_Z(w.mem(in.mem, 0), m.k, dst[0])
		case wide:
			w.move(in.c, dst)
			w.ctx.VMOVUPD(w.mem(in.mem, 0), m.k, dst[0])
		default:
			w.move(in.c, dst)
			w.ctx.VMOVUPS(w.mem(in.mem, 0), m.k, dst[0])
		}
		return
	}
	for p, r := range dst {
		w.maskMove(wide)(w.mem(in.mem, p*w.bytes()), m.v[p], r)
		if in.c.imm != 0 {
			w.ctx.VBLENDVPS(m.v[p], r, w.regs(in.c)[p], r)
		}
	}
}

func (w *amd64) maskMove(wide bool) func(src, mask, dst operand.Op) {
	if wide {
		return w.ctx.VMASKMOVPD
	}
	return w.ctx.VMASKMOVPS
}

func (w *amd64) store(in *instr) {
	a := w.regs(in.a)
	if in.tail.kind == argNone {
		move := w.ctx.VMOVNTPS
		if in.op == opStore {
			move = func(r, to operand.Op) { w.ctx.VMOVUPS(r, to) }
		}
		for p, r := range a {
			move(r, w.mem(in.mem, p*w.bytes()))
		}
		return
	}
	switch {
	case w.k.target == AVX2:
		w.storeTail(in, a)
	case in.t.Size() == 8:
		w.ctx.VMOVUPD(a[0], w.tailOf(in.tail, 8).k, w.mem(in.mem, 0))
	default:
		w.ctx.VMOVUPS(a[0], w.tailOf(in.tail, 4).k, w.mem(in.mem, 0))
	}
}

// storeTail stores the elements of a tail for AVX2 in the pieces that they consist of, of 32 bytes down to
// one element: on Zen, VMASKMOVPS to memory takes a dozen cycles.
func (w *amd64) storeTail(in *instr, a []reg.VecVirtual) {
	left, to, rest, size := w.gp(in.tail.id), w.ctx.GP64(), w.ctx.YMM(), in.t.Size()
	w.ctx.LEAQ(w.mem(in.mem, 0), to)
	w.ctx.VMOVAPS(a[0], rest)
	low, at := rest.AsX(), operand.Mem{Base: to}
	for bytes := 32; bytes >= size; bytes /= 2 {
		skip := "skip" + strconv.Itoa(w.skips) + "x" // a kernel's own labels end in a digit
		w.skips++
		w.ctx.TESTQ(operand.U32(bytes/size), left)
		w.ctx.JZ(operand.LabelRef(skip))
		switch bytes {
		case 32:
			w.ctx.VMOVUPS(rest, at)
			w.ctx.VMOVAPS(a[1], rest)
		case 16:
			w.ctx.VMOVUPS(low, at)
			w.ctx.VEXTRACTF128(operand.U8(1), rest, low)
		case 8:
			w.ctx.VMOVLPS(low, at)
			w.ctx.VMOVHLPS(low, low, low)
		case 4:
			w.ctx.VMOVSS(low, at)
		}
		if bytes > size {
			w.ctx.ADDQ(operand.I32(bytes), to)
		}
		w.ctx.Label(skip)
	}
}

// piecesApart returns where the pieces of opLoadPieces are.
func (w *amd64) piecesApart(in *instr) func(i int) operand.Mem {
	distance, third := w.integer(in.a), w.ctx.GP64()
	at := func(i int) operand.Mem {
		m := w.mem(in.mem, 0)
		switch {
		case i == 3:
			m.Base, m.Disp = third, 0
			fallthrough
		case i == 1:
			m.Index, m.Scale = distance.(reg.Register), 1
		case i == 2:
			m.Index, m.Scale = distance.(reg.Register), 2
		}
		return m
	}
	w.ctx.LEAQ(at(2), third)
	return at
}

// piecesEach returns where the pieces of opGatherPieces are.
func (w *amd64) piecesEach(in *instr) func(i int) operand.Mem {
	distances := [...]arg{in.a, in.b, in.c, in.d}
	return func(i int) operand.Mem {
		m := w.mem(in.mem, 0)
		m.Index, m.Scale = w.integer(distances[i]).(reg.Register), 1
		return m
	}
}

// loadPieces fills a vector piece by piece. The first one fills all of a register, which has
// no other value before, then.
func (w *amd64) loadPieces(id int, at func(i int) operand.Mem) {
	if dst := w.dst(id); w.k.target == AVX512 {
		w.ctx.VBROADCASTF32X4(at(0), dst[0])
		for piece := 1; piece < 4; piece++ {
			w.ctx.VINSERTF32X4(operand.U8(uint64(piece)), at(piece), dst[0], dst[0])
		}
	} else {
		for half, r := range dst {
			w.ctx.VBROADCASTF128(at(2*half), r)
			w.ctx.VINSERTF128(operand.U8(1), at(2*half+1), r, r)
		}
	}
}

func (w *amd64) storePiece(in *instr) {
	a, piece, to := w.regs(in.a), in.b.imm, w.mem(in.mem, 0)
	from := a[0]
	if w.k.target == AVX2 {
		from, piece = a[piece/2], piece%2
	}
	switch {
	case piece == 0:
		w.ctx.VMOVUPS(from.AsX(), to)
	case w.k.target == AVX2:
		w.ctx.VEXTRACTF128(operand.U8(1), from.AsY(), to)
	default:
		w.ctx.VEXTRACTF32X4(operand.U8(piece), from, to)
	}
}

// loadWiden reads I32 into the lanes of I64.
func (w *amd64) loadWiden(in *instr) {
	dst := w.dst(in.dst)
	if in.tail.kind == argNone {
		for p, r := range dst {
			w.ctx.VPMOVSXDQ(w.mem(in.mem, p*w.bytes()/2), r)
		}
		return
	}
	m := w.tailOf(in.tail, 4)
	if w.k.target == AVX512 {
		w.ctx.VPMOVSXDQ_Z(w.mem(in.mem, 0), m.k, dst[0])
		return
	}
	for p, half := range w.halfMasks(m) {
		x := w.ctx.XMM()
		w.ctx.VPMASKMOVD(w.mem(in.mem, p*16), half, x)
		w.ctx.VPMOVSXDQ(x, dst[p])
	}
}

// halfMasks returns the first eight 4-byte lanes of a tail's mask in two halves.
func (w *amd64) halfMasks(m tail) [2]reg.Register {
	high := w.ctx.XMM()
	w.ctx.VEXTRACTF128(operand.U8(1), m.v[0], high)
	return [2]reg.Register{m.v[0].AsX(), high}
}

// storeNarrow writes the lower halves of I64.
func (w *amd64) storeNarrow(in *instr) {
	a := w.regs(in.a)
	if w.k.target == AVX512 {
		if in.tail.kind == argNone {
			w.ctx.VPMOVQD(a[0], w.mem(in.mem, 0))
		} else {
			w.ctx.VPMOVQD(a[0], w.tailOf(in.tail, 4).k, w.mem(in.mem, 0))
		}
		return
	}
	var half [2]reg.Register
	if in.tail.kind != argNone {
		half = w.halfMasks(w.tailOf(in.tail, 4))
	}
	for p, r := range a {
		x := w.ctx.XMM()
		w.ctx.VEXTRACTF128(operand.U8(1), r, x)
		w.ctx.VSHUFPS(operand.U8(0x88), x, r.AsX(), x)
		if in.tail.kind == argNone {
			w.ctx.VMOVUPS(x, w.mem(in.mem, p*16))
		} else {
			w.ctx.VPMASKMOVD(x, half[p], w.mem(in.mem, p*16))
		}
	}
}

// amd64Pool is the read-only data of a file.
type amd64Pool struct {
	offsets map[uint64]int
	order   []uint64
	tables  map[string]bool
}

func newAMD64Pool() amd64Pool {
	return amd64Pool{offsets: map[uint64]int{}, tables: map[string]bool{}}
}

// constantBytes is the size of a constant: AVX2 reads a whole register from
// memory, AVX-512 repeats the first eight bytes.
const constantBytes = 32

func static(name string, offset int) operand.Mem {
	return operand.NewDataAddr(operand.NewStaticSymbol(name), offset)
}

// constant returns the address of a constant.
func (p *amd64Pool) constant(bits uint64) operand.Mem {
	at, ok := p.offsets[bits]
	if !ok {
		at = len(p.order) * constantBytes
		p.offsets[bits] = at
		p.order = append(p.order, bits)
	}
	return static("constants", at)
}

func (p *amd64Pool) table(name string, offset int) operand.Mem {
	p.tables[name] = true
	return static(name, offset)
}

// bitMasks is a table of mask registers with 0, 1, 2, … bits.
func (p *amd64Pool) bitMasks() operand.Mem { return p.table("bitMasks", 0) }

// byteMasks is a vector of ones and a vector of zeros.
func (p *amd64Pool) byteMasks() operand.Mem { return p.table("byteMasks", 0) }

// iota is the vector 0, 1, 2, … of an integer type, from a byte of it on.
func (p *amd64Pool) iota(t Type, offset int) operand.Mem {
	return p.table(fmt.Sprintf("iota%d", t.Size()*8), offset)
}

// quarters has the numbers of the first lanes of quarters.
func (p *amd64Pool) quarters(size int) operand.Mem {
	return p.table(fmt.Sprintf("quarters%d", size*8), 0)
}

// write adds the data to the file.
func (p *amd64Pool) write(c *build.Context) {
	data := func(name string, n int, word func(i int) uint64) {
		c.StaticGlobal(name)
		c.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := range n {
			c.AddDatum(8*i, operand.U64(word(i)))
		}
	}
	if len(p.order) > 0 {
		data("constants", len(p.order)*constantBytes/8, func(i int) uint64 { return p.order[i*8/constantBytes] })
	}
	if p.tables["bitMasks"] {
		data("bitMasks", 5, func(i int) (word uint64) {
			for j := range 4 {
				word |= uint64(uint16(1<<(4*i+j)-1)) << (16 * j)
			}
			return word
		})
	}
	if p.tables["byteMasks"] {
		data("byteMasks", 2*vecBytes/8, func(i int) uint64 {
			if i < vecBytes/8 {
				return ^uint64(0)
			}
			return 0
		})
	}
	if p.tables["iota32"] {
		data("iota32", vecBytes/8, func(i int) uint64 { return uint64(2*i) | uint64(2*i+1)<<32 })
	}
	if p.tables["iota64"] {
		data("iota64", vecBytes/8, func(i int) uint64 { return uint64(i) })
	}
	if p.tables["quarters32"] {
		data("quarters32", vecBytes/8, func(i int) uint64 { return uint64(8*i%16) | uint64((8*i+4)%16)<<32 })
	}
	if p.tables["quarters64"] {
		data("quarters64", vecBytes/8, func(i int) uint64 { return uint64(2 * i % 8) })
	}
}
