package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// ctc has the kernels of the lattice. All but those that see scores or the gradient are
// float64 for both element types.
func ctc(c constants) group {
	double := []asm.Type{asm.F64}
	return group{"ctc", []kernel{
		{
			name: "expFrames", types: floats,
			params:   "p []F, top []F, ref []F, sum []float64, scratch []F, x []F, n int, stride int, pitch int, rows int",
			describe: func(k *asm.Kernel, t asm.Type) { expFrames(k, t, c) },
		},
		{
			name: "emit", types: floats, params: "y []float64, p []F, index []int32, width int, pitch int, rows int", results: "least F",
			describe: emit,
		},
		{
			name: "normalizeRow", types: double, params: "dst []F, src []F, e []F", results: "zeros F",
			describe: normalizeRow,
		},
		{
			name: "forwardFactors", types: double, params: "factors []F, e []F, skip []F, from int, to int", results: "largest F",
			describe: func(k *asm.Kernel, t asm.Type) { forwardFactors(k, c) },
		},
		{
			name: "forward", types: double,
			params:   "dst []F, src []F, y []F, factors []F, width int, last int, from int, to int, frames int",
			describe: forward,
		},
		{
			name: "rescale", types: double, params: "beta []F, alpha []F, from []F, to []F",
			describe: func(k *asm.Kernel, t asm.Type) { rescale(k, c) },
		},
		{
			name: "backward", types: double,
			params:   "occupancy []F, blanks []F, beta []F, carry []F, alpha []F, y []F, factors []F, width int, last int, from int, to int, frames int",
			describe: backward,
		},
		{
			name: "addOccupancies", types: floats,
			params:   "dst []F, p []F, softmax []F, scale F, occupancy []float64, place []int32, scratch []F, labels int, n int, stride int, pitch int, width int, rows int",
			describe: addOccupancies,
		},
	}}
}

// expFrames goes through rows as sumExpRows does, in four passes.
func expFrames(k *asm.Kernel, t asm.Type, c constants) {
	const pair = 2 * 64 // bytes of scratch for a row
	all, negInf, zero := k.All(), k.Const(t, math.Inf(-1)), k.Const(t, 0)
	bits, mantissa, bias := 32, 23, 127.0
	if t == asm.F64 {
		bits, mantissa, bias = 64, 52, 1023
	}
	rows := func(step int, body func()) { count(k, k.Arg("rows"), step, body) }

	x, scratch := k.Copy(k.Arg("x_base")), k.Copy(k.Arg("scratch_base"))
	rows(1, func() {
		most, at := k.Var(negInf), k.Copy(x)
		eachOverlapping(k, t, k.Arg("n"), []asm.Int{at}, func(l asm.Lanes) {
			most.Set(l.Load(at, 0, negInf).Max(most))
		})
		all.Store(scratch, 0, most)
		scratch.Inc(k.Int(pair))
		x.Inc(inBytes(k, t, "stride"))
	})

	e := newExponential(k, t, c)
	scratch.Set(k.Arg("scratch_base"))
	top, ref := k.Copy(k.Arg("top_base")), k.Copy(k.Arg("ref_base"))
	rows(4, func() {
		m := asm.FoldMax4(four(k, t, scratch, pair, 0)).Add(zero)
		k.StoreFour(top, 0, m)
		k.StoreFour(ref, 0, m.MulAdd(e.log2e, e.shift))
		scratch.Inc(k.Int(4 * pair))
		top.Inc(k.Int(4 * t.Size()))
		ref.Inc(k.Int(4 * t.Size()))
	})

	x.Set(k.Arg("x_base"))
	scratch.Set(k.Arg("scratch_base"))
	top.Set(k.Arg("top_base"))
	ref.Set(k.Arg("ref_base"))
	p, reach := k.Copy(k.Arg("p_base")), k.Const(t, c.get("expReach%d", bits))
	rows(1, func() {
		low := k.Broadcast(t, top, 0).Sub(reach)
		shift := k.Broadcast(t, ref, 0).As(t.Int()).Sub(k.Const(t.Int(), bias))
		sum, at, made := k.Var(k.Const(asm.F64, 0)), k.Copy(x), k.Copy(p)
		k.Each(t, k.Arg("n"), []asm.Int{at}, func(l asm.Lanes) {
			x := l.Load(at, 0, negInf)
			q, z, _ := e.reduced(x)
			power := z.As(t.Int()).Sub(shift).Shl(mantissa).As(t)
			v := x.NotLess(low).Keep(q.Mul(power))
			all.Store(made, 0, v)
			made.Inc(k.Int(64))
			if t == asm.F32 {
				lower, upper := v.Widen()
				sum.Set(lower.Add(sum))
				v = upper
			}
			sum.Set(v.Add(sum))
		})
		all.Store(scratch, 64, sum)
		x.Inc(inBytes(k, t, "stride"))
		p.Inc(inBytes(k, t, "pitch"))
		scratch.Inc(k.Int(pair))
		top.Inc(k.Int(t.Size()))
		ref.Inc(k.Int(t.Size()))
	})

	scratch.Set(k.Arg("scratch_base"))
	sums := k.Copy(k.Arg("sum_base"))
	rows(4, func() {
		k.StoreFour(sums, 0, asm.FoldAdd4(four(k, asm.F64, scratch, pair, 64)))
		scratch.Inc(k.Int(4 * pair))
		sums.Inc(k.Int(4 * 8))
	})
}

// emit looks few classes up in registers, where a target has instructions for that.
func emit(k *asm.Kernel, t asm.Type) {
	y, p, zero, all := k.Copy(k.Arg("y_base")), k.Copy(k.Arg("p_base")), k.Const(t, 0), k.All()
	least, poison := k.Var(k.Const(t, math.Inf(1))), k.Var(zero)
	rows := func(gather func(index asm.Int) asm.Vec) {
		count(k, k.Arg("rows"), 1, func() {
			index, to, left := k.Copy(k.Arg("index_base")), k.Copy(y), k.Copy(k.Arg("index_len"))
			k.While(left.Greater(k.Int(0)), func() {
				v := gather(index)
				least.Set(v.Min(least))
				poison.Set(v.Sub(v).Add(poison))
				store64(k, to, v)
				to.Inc(k.Int(8 * t.Lanes()))
				index.Inc(k.Int(4 * t.Lanes()))
				left.Dec(k.Int(t.Lanes()))
			})
			y.Inc(inBytes(k, asm.F64, "width"))
			p.Inc(inBytes(k, t, "pitch"))
		})
	}
	if t == asm.F64 {
		rows(func(index asm.Int) asm.Vec { return k.Gather(t, p, all.LoadWiden(index, 0)) })
	} else {
		done, load := k.NewLabel("done"), func(index asm.Int) asm.Vec { return all.Load(index, 0, k.Const(asm.I32, 0)) }
		for vectors := 1; vectors <= 8; vectors++ {
			k.If(k.Arg("pitch").Equal(k.Int(vectors*t.Lanes())), func() {
				rows(func(index asm.Int) asm.Vec { return k.GatherTable(t, p, vectors, load(index)) })
				k.Jump(done)
			})
		}
		rows(func(index asm.Int) asm.Vec { return k.Gather(t, p, load(index)) })
		k.Place(done)
	}
	k.Return("least", least.FoldMin().Add(poison.FoldAdd()))
}

// store64 writes the lanes of v as F64.
func store64(k *asm.Kernel, to asm.Int, v asm.Vec) {
	all := k.All()
	if v.Type() == asm.F64 {
		all.Store(to, 0, v)
		return
	}
	lower, upper := v.Widen()
	all.Store(to, 0, lower)
	all.Store(to, 64, upper)
}

// array is the address of what a kernel goes through, and the bytes for eight positions.
type array struct {
	asm.Int
	bytes int
}

// positions writes a loop through the positions of a row, eight at a time.
func positions(k *asm.Kernel, arrays []array, body func()) {
	from := k.Arg("from")
	for _, a := range arrays {
		a.Inc(from.Times(k.Int(a.bytes / 8)))
	}
	left := k.Copy(k.Arg("to").Minus(from))
	k.While(left.Greater(k.Int(0)), func() {
		body()
		for _, a := range arrays {
			a.Inc(k.Int(a.bytes))
		}
		left.Dec(k.Int(8))
	})
}

// positionsDown is positions from the last to the first.
func positionsDown(k *asm.Kernel, arrays []array, body func()) {
	to := k.Arg("to")
	for _, a := range arrays {
		a.Inc(to.Times(k.Int(a.bytes / 8)))
	}
	left := k.Copy(to.Minus(k.Arg("from")))
	k.While(left.Greater(k.Int(0)), func() {
		for _, a := range arrays {
			a.Dec(k.Int(a.bytes))
		}
		body()
		left.Dec(k.Int(8))
	})
}

// before returns a variable with the vector in front of the first position of a row, or
// what is there in front of position 0.
func before(k *asm.Kernel, row asm.Int, nothing asm.Vec) asm.Vec {
	v := k.Var(nothing)
	k.If(k.Arg("from").Greater(k.Int(0)), func() {
		at := row.Plus(k.Arg("from").Shl(4))
		v.Set(k.All().Load(at, -64, k.Const(asm.F64, 0)))
	})
	return v
}

func normalizeRow(k *asm.Kernel, t asm.Type) {
	zero, one := k.Const(t, 0), k.Const(t, 1)
	mantissa, magic := k.Bits(asm.I64, 1<<52-1), k.Const(t, 0x1p52).As(asm.I64)
	zeros, bias := k.Var(zero), k.Const(t, 0x1p52+1023)
	dst, src, e := k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("src_base")), k.Copy(k.Arg("e_base"))
	k.Each(t, k.Arg("src_len"), []asm.Int{dst, src, e}, func(l asm.Lanes) {
		v := l.Load(src, 0, zero)
		some, bits := v.NotEqual(zero), v.As(asm.I64)
		l.Store(e, 0, some.Keep(bits.Shr(52).Or(magic).As(t).Sub(bias)).Add(l.Load(e, 0, zero)))
		l.Store(dst, 0, some.Keep(bits.And(mantissa).Or(one.As(asm.I64)).As(t)))
		zeros.AddWhere(some.Not(), one)
	})
	k.Return("zeros", zeros.FoldAdd())
}

// powers makes factors of differences of exponents.
type powers struct {
	min, max, bias, largest asm.Vec
}

func newPowers(k *asm.Kernel, c constants) powers {
	const t = asm.F64
	return powers{k.Const(t, c.get("minFactor")), k.Const(t, c.get("maxFactor")), k.Const(t, 0x1p52+1023), k.Var(k.Const(t, 0))}
}

func (p *powers) of(n asm.Vec) asm.Vec {
	return n.Max(p.min).Min(p.max).Add(p.bias).As(asm.I64).Shl(52).As(asm.F64)
}

// noted is of, and notes the largest result.
func (p *powers) noted(n asm.Vec) asm.Vec {
	f := p.of(n)
	p.largest.Set(f.Max(p.largest))
	return f
}

func forwardFactors(k *asm.Kernel, c constants) {
	const t = asm.F64
	zero, all, p := k.Const(t, 0), k.All(), newPowers(k, c)
	f, e, skip := k.Copy(k.Arg("factors_base")), k.Copy(k.Arg("e_base")), k.Copy(k.Arg("skip_base"))
	last := before(k, e, k.Const(t, -c.get("never")))
	positions(k, []array{{e, 128}, {skip, 64}, {f, 192}}, func() {
		b, l := all.Load(e, 0, zero), all.Load(e, 64, zero)
		shifted := l.ShiftIn(last)
		last.Set(l)
		all.Store(f, 0, p.noted(shifted.Sub(b)))
		all.Store(f, 64, p.noted(b.Sub(last)))
		all.Store(f, 128, p.noted(shifted.Sub(last).Add(all.Load(skip, 0, zero))))
	})
	k.Return("largest", p.largest.FoldMax())
}

func forward(k *asm.Kernel, t asm.Type) {
	zero, all := k.Const(t, 0), k.All()
	src, dst, y := k.Copy(k.Arg("src_base")), k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("y_base"))
	count(k, k.Arg("frames"), 1, func() {
		blank := k.Broadcast(t, y.Plus(inBytes(k, t, "last")), 0)
		from, to, emission, f := k.Copy(src), k.Copy(dst), k.Copy(y), k.Copy(k.Arg("factors_base"))
		last := before(k, from, zero)
		positions(k, []array{{from, 128}, {to, 128}, {emission, 64}, {f, 192}}, func() {
			b, l := all.Load(from, 0, zero), all.Load(from, 64, zero)
			shifted := l.ShiftIn(last)
			last.Set(l)
			all.Store(to, 0, shifted.MulAdd(all.Load(f, 0, zero), b).Mul(blank))
			stay := b.MulAdd(all.Load(f, 64, zero), last)
			all.Store(to, 64, shifted.MulAdd(all.Load(f, 128, zero), stay).Mul(all.Load(emission, 0, zero)))
		})
		src.Set(dst)
		width := inBytes(k, t, "width")
		y.Inc(width)
		dst.Inc(width.Shl(1))
	})
}

func rescale(k *asm.Kernel, c constants) {
	const t = asm.F64
	zero, least, p := k.Const(t, 0), k.Const(t, c.get("leastOccupancy")), newPowers(k, c)
	beta, alpha, from, to := k.Copy(k.Arg("beta_base")), k.Copy(k.Arg("alpha_base")), k.Copy(k.Arg("from_base")), k.Copy(k.Arg("to_base"))
	k.Each(t, k.Arg("alpha_len"), []asm.Int{beta, alpha, from, to}, func(l asm.Lanes) {
		v := l.Load(beta, 0, zero)
		some := l.Load(alpha, 0, zero).NotEqual(zero).And(v.NotLess(least))
		l.Store(beta, 0, some.Keep(v.Mul(p.of(l.Load(to, 0, zero).Sub(l.Load(from, 0, zero))))))
	})
}

func backward(k *asm.Kernel, t asm.Type) {
	zero, all := k.Const(t, 0), k.All()
	load := func(p asm.Int, offset int) asm.Vec { return all.Load(p, offset, zero) }
	alpha, y := k.Copy(k.Arg("alpha_base")), k.Copy(k.Arg("y_base"))
	occupancy, blanks := k.Copy(k.Arg("occupancy_base")), k.Copy(k.Arg("blanks_base"))
	left := k.Copy(k.Arg("frames"))
	behind := left.Times(inBytes(k, t, "width"))
	y.Inc(behind)
	occupancy.Inc(behind)
	alpha.Inc(behind.Shl(1))
	blanks.Inc(left.Shl(3))
	k.While(left.Greater(k.Int(0)), func() {
		width := inBytes(k, t, "width")
		y.Dec(width)
		occupancy.Dec(width)
		alpha.Dec(width.Shl(1))
		blanks.Dec(k.Int(8))
		blank := k.Broadcast(t, y.Plus(inBytes(k, t, "last")), 0)
		beta, row, emission, to := k.Copy(k.Arg("beta_base")), k.Copy(alpha), k.Copy(y), k.Copy(occupancy)
		f, sum, down := k.Copy(k.Arg("factors_base")), k.Var(zero), k.Var(load(k.Arg("carry_base"), 0))
		positionsDown(k, []array{{beta, 128}, {row, 128}, {emission, 64}, {to, 64}, {f, 192}}, func() {
			b, l := load(beta, 0), load(beta, 64)
			sum.Set(load(row, 0).MulAdd(b, sum))
			all.Store(to, 0, load(row, 64).Mul(l))
			b, l = b.Mul(blank), l.Mul(load(emission, 0))
			all.Store(beta, 0, l.MulAdd(load(f, 64), b))
			here := l.MulAdd(load(f, 128), b.Mul(load(f, 0)))
			all.Store(beta, 64, l.Add(here.ShiftOut(down)))
			down.Set(here)
		})
		all.Store(k.Arg("carry_base"), 64, down)
		k.StoreFirst(blanks, 0, sum.FoldAdd())
		left.Dec(k.Int(1))
	})
}

// addOccupancies does as many rows at a time as there are elements in 16 bytes: see
// placeOf. First the sums of all rows are made, then the rows: a vector that is read
// right after its parts were written waits for them to reach the cache.
func addOccupancies(k *asm.Kernel, t asm.Type) {
	group := 16 / t.Size()
	block := k.Int(64 * group)
	zero, zero64, all := k.Const(t, 0), k.Const(asm.F64, 0), k.All()
	// In scratch there are the transposed occupancies of some positions, then a row that is
	// made, one for each of a group, and then the sums of each group.
	size := k.Copy(k.Int(0)) // of a row in whole vectors
	k.While(size.Less(k.Arg("n").Times(k.Int(t.Size()))), func() { size.Inc(k.Int(64)) })
	made := k.Arg("scratch_base").Plus(block)
	sums := k.Copy(made.Plus(size.Times(k.Int(group))))

	occupancy, left := k.Copy(k.Arg("occupancy_base")), k.Copy(k.Arg("rows"))
	k.While(left.Greater(k.Int(0)), func() {
		clear, end := k.Copy(sums), sums.Plus(size.Times(k.Int(group)))
		k.While(clear.Less(end), func() {
			for r := range group {
				all.Store(clear, 64*r, zero)
			}
			clear.Inc(block)
		})
		transposed := k.Arg("scratch_base")
		from, place, labels := k.Copy(occupancy), k.Copy(k.Arg("place_base")), k.Copy(k.Arg("labels"))
		k.While(labels.Greater(k.Int(0)), func() {
			var v []asm.Vec
			row := k.Copy(from)
			for range group {
				o := all.Load(row, 0, zero64)
				if t == asm.F32 {
					o = o.Narrow(all.Load(row, 64, zero64))
				}
				v = append(v, o)
				row.Inc(inBytes(k, asm.F64, "width"))
			}
			for r, w := range transpose(v) {
				all.Store(transposed, 64*r, w)
			}
			// As many labels as there are rows.
			at, blocks := k.Copy(transposed), k.Copy(k.Int(4))
			k.While(blocks.Greater(k.Int(0)), func() {
				for i := range group {
					sum := sums.Plus(k.LoadInt(asm.I32, place, k.Int(i)))
					k.AddTo(t, sum, 0, at, 64*i)
				}
				at.Inc(k.Int(16))
				place.Inc(k.Int(4 * group))
				labels.Dec(k.Int(group))
				blocks.Dec(k.Int(1))
				k.If(labels.LessEqual(k.Int(0)), func() { blocks.Set(k.Int(0)) })
			})
			from.Inc(k.Int(8 * t.Lanes()))
		})
		sums.Set(end.Plus(k.Int(16)))
		occupancy.Inc(inBytes(k, asm.F64, "width").Times(k.Int(group)))
		left.Dec(k.Int(group))
	})

	dst, p, softmax, scale := k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("p_base")), k.Copy(k.Arg("softmax_base")), k.Param(t, "scale")
	from := k.Copy(made.Plus(size.Times(k.Int(group))))
	left.Set(k.Arg("rows"))
	k.While(left.Greater(k.Int(0)), func() {
		at, end := k.Copy(made), made.Plus(size)
		k.While(at.Less(end), func() {
			var v []asm.Vec
			for r := range group {
				v = append(v, all.Load(from, 64*r, zero))
			}
			to := k.Copy(at)
			for _, w := range transpose(v) {
				all.Store(to, 0, w)
				to.Inc(size)
			}
			at.Inc(k.Int(64))
			from.Inc(block)
		})
		from.Inc(k.Int(16))
		at.Set(made)
		rows := k.Copy(k.Int(group))
		k.While(rows.Greater(k.Int(0)), func() {
			k.If(left.Greater(k.Int(0)), func() {
				factor, to, from, o := k.Broadcast(t, softmax, 0), k.Copy(dst), k.Copy(p), k.Copy(at)
				eachOverlapping(k, t, k.Arg("n"), []asm.Int{to, from, o}, func(l asm.Lanes) {
					l.Store(to, 0, all.Load(o, 0, zero).NegMulAdd(scale, all.Load(from, 0, zero).Mul(factor)))
				})
				at.Inc(size)
				dst.Inc(inBytes(k, t, "stride"))
				p.Inc(inBytes(k, t, "pitch"))
				softmax.Inc(k.Int(t.Size()))
			})
			left.Dec(k.Int(1))
			rows.Dec(k.Int(1))
		})
	})
}

// eachOverlapping is Each for what may be done twice: where there is at least one vector,
// the last one goes back instead of being cut, which is slow on AVX2.
func eachOverlapping(k *asm.Kernel, t asm.Type, n asm.Int, arrays []asm.Int, body func(l asm.Lanes)) {
	move := func(bytes asm.Int) {
		for _, a := range arrays {
			a.Inc(bytes)
		}
	}
	k.IfElse(n.Less(k.Int(t.Lanes())), func() { k.Each(t, n, arrays, body) }, func() {
		left := k.Copy(n.Minus(k.Int(t.Lanes())))
		k.While(left.Greater(k.Int(0)), func() {
			body(k.All())
			move(k.Int(64))
			left.Dec(k.Int(t.Lanes()))
		})
		move(left.Shl(map[int]int{4: 2, 8: 3}[t.Size()]))
		body(k.All())
	})
}

// transpose returns vectors of which the r-th has element r of every vector in each 16 bytes.
func transpose(v []asm.Vec) []asm.Vec {
	if len(v) == 2 {
		return []asm.Vec{v[0].ZipLower(v[1]), v[0].ZipUpper(v[1])}
	}
	a, b := v[0].ZipLower(v[2]), v[1].ZipLower(v[3])
	c, d := v[0].ZipUpper(v[2]), v[1].ZipUpper(v[3])
	return []asm.Vec{a.ZipLower(b), a.ZipUpper(b), c.ZipLower(d), c.ZipUpper(d)}
}
