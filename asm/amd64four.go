package asm

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A vector of which only the first four lanes matter has one register of AVX2, not
// two. Where four vectors were folded, the results are at first spaced: each fills
// a quarter of the register, from where one instruction spreads it. What is
// computed from them stays so; they are brought together, by one instruction or
// two, only for those who need that.

// form is how the lanes of a vector or mask lie in its registers. When vectors meet
// in an elementwise operation, the result has the last of their forms.
type form uint8

const (
	formSame   form = iota // all lanes are the same
	formSpaced             // lane 0…3 in all lanes of a quarter of one register
	formFour               // only the first four lanes matter
	formFull
)

// findForms finds the forms of all values, and which spaced ones are brought
// together.
func (w *amd64) findForms() {
	w.forms = make([]form, len(w.k.values))
	w.sizes = make([]int, len(w.k.values))
	together := make([]bool, len(w.k.values)) // masks, which cannot be brought together later
	for again := true; again; {
		again = false
		for i := range w.k.code {
			in := &w.k.code[i]
			if in.dst == none {
				continue
			}
			f := w.formOf(in)
			if w.k.values[in.dst].isVar {
				f = formFull
			}
			if f == formSpaced && together[in.dst] {
				f = formFour
			}
			w.forms[in.dst], w.sizes[in.dst] = f, in.t.Size()
		}
		w.togetherUses(func(in *instr, id int) {
			if w.k.values[id].kind == kindMask && !together[id] {
				together[id], again = true, true
			}
		})
	}
	w.together = map[int][]reg.VecVirtual{}
	w.picks = map[int]reg.VecVirtual{}
	pick := func(size int) {
		if _, ok := w.picks[size]; w.k.target == AVX512 && !ok {
			r := w.newReg()
			w.ctx.VMOVUPS(w.pool.quarters(size), r)
			w.picks[size] = r
		}
	}
	w.togetherUses(func(in *instr, id int) {
		w.together[id] = nil
		pick(w.sizes[id])
	})
	for i := range w.k.code {
		if in := &w.k.code[i]; in.isFold4() && w.forms[in.dst] == formFull {
			pick(in.t.Size())
		}
	}
}

func (in *instr) isFold4() bool { _, ok := in.op.fold4(); return ok }

// formOf returns the form of an instruction's result.
func (w *amd64) formOf(in *instr) form {
	switch in.op {
	case opParamVec, opBroadcast, opSplat, opSpread:
		return formSame
	case opFoldAdd4, opFoldMax4:
		if w.k.target == AVX2 && in.t.Size() == 8 {
			return formFour // a lane is a quarter
		}
		return formSpaced
	case opWidenLower:
		if in.a.kind == argVec && (w.forms[in.a.id] == formSpaced || w.forms[in.a.id] == formFour) {
			return formFour
		}
	}
	if !in.elementwise() {
		return formFull
	}
	f := formSame
	in.operands(func(id int) { f = max(f, w.formAs(in, id)) })
	return f
}

// formAs returns the form of an operand. A spaced one is not, as lanes of another
// size.
func (w *amd64) formAs(in *instr, id int) form {
	if w.forms[id] == formSpaced && w.sizes[id] != in.t.Size() {
		return formFour
	}
	return w.forms[id]
}

// isSpaced reports whether an instruction takes its operands as they are spaced.
func (w *amd64) isSpaced(in *instr) bool {
	switch in.op {
	case opSpread, opStoreFirst, opResultVec:
		return in.a.kind == argVec && w.formAs(in, in.a.id) == formSpaced
	}
	return in.dst != none && in.elementwise() && w.forms[in.dst] == formSpaced
}

// togetherUses calls f for every instruction that needs a spaced operand brought
// together.
func (w *amd64) togetherUses(f func(in *instr, id int)) {
	for i := range w.k.code {
		in := &w.k.code[i]
		if w.isSpaced(in) {
			continue
		}
		in.operands(func(id int) {
			if w.k.values[id].kind != kindInt && w.forms[id] == formSpaced {
				f(in, id)
			}
		})
	}
}

// isOne reports whether a value has one register of AVX2.
func (w *amd64) isOne(id int) bool {
	return w.k.target == AVX2 && (w.forms[id] == formSpaced || w.forms[id] == formFour)
}

// bringTogether does so after a spaced vector was written, if anyone needs it.
func (w *amd64) bringTogether(in *instr) {
	if in.dst == none {
		return
	}
	if _, ok := w.together[in.dst]; ok {
		w.together[in.dst] = w.same(w.quarters(in.t.Size(), w.vecs[in.dst][0]))
	}
}

// quarters returns the first lane of each quarter in the first four lanes.
func (w *amd64) quarters(size int, v reg.VecVirtual) reg.VecVirtual {
	d := w.newReg()
	switch {
	case w.k.target == AVX512 && size == 4:
		w.ctx.VPERMPS(v, w.picks[size], d)
	case w.k.target == AVX512:
		w.ctx.VPERMPD(v, w.picks[size], d)
	case size == 4:
		w.ctx.VPERM2F128(operand.U8(0x01), v, v, d)
		w.ctx.VSHUFPS(operand.U8(0x88), d, v, d)
	default:
		return v
	}
	return d
}

// fold4 folds four vectors, in each step two that were separate before in one.
func (w *amd64) fold4(in *instr) {
	o, _ := in.op.fold4()
	f := w.instruction(o, in.t)
	fold := w.foldTwo256
	if w.k.target == AVX512 {
		fold = w.foldTwo512
	}
	v := fold(f, in)
	if in.t.Size() == 4 {
		t := w.newReg()
		w.ctx.VPERMILPS(operand.U8(0xb1), v, t)
		f(t, v, v)
	}
	if w.forms[in.dst] != formFull {
		w.vecs[in.dst] = w.same(v)
		return
	}
	v = w.quarters(in.t.Size(), v)
	for _, r := range w.dst(in.dst) {
		w.ctx.VMOVAPS(v, r)
	}
}

// foldTwo512 leaves 16 bytes of four vectors, and then one lane or two.
func (w *amd64) foldTwo512(f func(ops ...operand.Op), in *instr) reg.VecVirtual {
	halves := func(lower, upper operand.U8, v, x reg.VecVirtual) reg.VecVirtual {
		l, u := w.newReg(), w.newReg()
		w.ctx.VSHUFF64X2(lower, x, v, l)
		w.ctx.VSHUFF64X2(upper, x, v, u)
		f(u, l, l)
		return l
	}
	ab := halves(0x44, 0xee, w.regs(in.a)[0], w.regs(in.b)[0])
	cd := halves(0x44, 0xee, w.regs(in.c)[0], w.regs(in.d)[0])
	v := halves(0x88, 0xdd, ab, cd)
	t := w.newReg()
	w.ctx.VPERMILPD(operand.U8(0x55), v, t)
	f(t, v, v)
	return v
}

// foldTwo256 is foldTwo512 for AVX2. What is blended has the halves of one of two
// vectors in place and those of the other crossed, and takes no shuffle.
func (w *amd64) foldTwo256(f func(ops ...operand.Op), in *instr) reg.VecVirtual {
	parts := func(a arg) reg.VecVirtual {
		r, d := w.regs(a), w.newReg()
		f(r[1], r[0], d)
		return d
	}
	halves := func(a, b arg) reg.VecVirtual {
		v, x := parts(a), parts(b)
		crossed := w.newReg()
		w.ctx.VPERM2F128(operand.U8(0x21), x, v, crossed)
		w.ctx.VBLENDPD(operand.U8(0xc), x, v, v)
		f(crossed, v, v)
		return v
	}
	v, x := halves(in.a, in.c), halves(in.b, in.d)
	crossed := w.newReg()
	w.ctx.VSHUFPD(operand.U8(0x5), x, v, crossed)
	w.ctx.VBLENDPD(operand.U8(0xa), x, v, v)
	f(crossed, v, v)
	return v
}

// spreadLane writes one of the first four lanes to all.
func (w *amd64) spreadLane(in *instr) {
	v, lane := w.regs(in.a)[0], operand.U8(in.b.imm*0x55) // two bits, four times
	for _, r := range w.uniform(in.dst) {
		switch {
		case lane == 0:
			w.broadcast(in.t, v.AsX(), r)
		case w.k.target == AVX512 && w.spaced:
			w.ctx.VSHUFF64X2(lane, v, v, r)
		case w.k.target == AVX2 && (w.spaced || in.t.Size() == 8):
			w.ctx.VPERMPD(lane, v, r)
		case in.t.Size() == 4:
			x := w.ctx.XMM()
			w.ctx.VPERMILPS(lane, v.AsX(), x)
			w.broadcast(in.t, x, r)
		default:
			y := w.ctx.YMM()
			w.ctx.VPERMPD(lane, v.AsY(), y)
			w.broadcast(in.t, y.AsX(), r)
		}
	}
}
