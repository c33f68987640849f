package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// logSumExp has the kernels that read a row.
func logSumExp(c constants) group {
	return group{"logsumexp", []kernel{
		{
			name: "sumExpBlock", types: floats, params: "x []F, m F", results: "top F, sum F",
			describe: func(k *asm.Kernel, t asm.Type) { sumExpBlock(k, t, c, false) },
		},
		{
			name: "expBlock", types: floats, params: "dst []F, x []F, m F", results: "top F, sum F",
			describe: func(k *asm.Kernel, t asm.Type) { sumExpBlock(k, t, c, true) },
		},
		{
			name: "sumExpBelow", types: floats, params: "x []F, m F", results: "sum F, reached int",
			describe: func(k *asm.Kernel, t asm.Type) { sumExpBelow(k, t, c) },
		},
		{
			name: "expBelow", types: floats, params: "dst []F, x []F, m F", results: "sum F",
			describe: func(k *asm.Kernel, t asm.Type) { expBelow(k, t, c) },
		},
		{
			name: "expCopy", types: floats, params: "dst []F, x []F, m F, out []F, in []F, ahead int", results: "sum F, ties F",
			describe: func(k *asm.Kernel, t asm.Type) { expCopy(k, t, c) },
		},
		{
			name: "maxBlock", types: floats, params: "x []F", results: "top F",
			describe: func(k *asm.Kernel, t asm.Type) {
				negInf := k.Const(t, math.Inf(-1))
				k.Return("top", spreadMax(k, t, k.Arg("x_base"), k.Arg("x_len"), negInf, negInf))
			},
		},
		{
			name: "sumExpRows", types: floats, params: "m []F, sum []float64, scratch []F, x []F, n int, rows int",
			describe: func(k *asm.Kernel, t asm.Type) { sumExpRows(k, t, c) },
		},
		{
			name: "log1p", types: []asm.Type{asm.F64}, params: "dst []F, x []F",
			describe: func(k *asm.Kernel, t asm.Type) { log1p(k, c) },
		},
	}}
}

// sumExpBlock finds the maximum and then the sum, whose terms it may store.
func sumExpBlock(k *asm.Kernel, t asm.Type, c constants, store bool) {
	x, n := k.Copy(k.Arg("x_base")), k.Arg("x_len")
	negInf, e := k.Const(t, math.Inf(-1)), newExponential(k, t, c)
	top := spreadMax(k, t, x, n, k.Param(t, "m"), negInf)
	arrays, dst := []asm.Int{x}, asm.Int{}
	if store {
		dst = k.Copy(k.Arg("dst_base"))
		arrays = append(arrays, dst)
	}
	sum := e.newSum(k)
	minus := k.Const(t, 0).Sub(top) // then ±0 less ±0 is +0
	k.Each(t, n, arrays, func(l asm.Lanes) {
		if d := l.Load(x, 0, negInf).Add(minus); store {
			l.Store(dst, 0, sum.addKept(d))
		} else {
			sum.add(d)
		}
	})
	top = k.Const(t, 0).Sub(minus)
	first := k.Param(t, "m").Less(top).Keep(k.Const(t, 1)) // if the maximum is new, its 1 is left out
	k.Return("top", top)
	k.Return("sum", sum.total.FoldAdd().Add(sum.ties.FoldAdd().Sub(first)))
}

// sumExpBelow tells by the signs of all x−m whether m is reached.
func sumExpBelow(k *asm.Kernel, t asm.Type, c constants) {
	x, n, m := k.Copy(k.Arg("x_base")), k.Arg("x_len"), k.Param(t, "m")
	negInf, e, i := k.Const(t, math.Inf(-1)), newExponential(k, t, c), t.Int()
	ones := k.Bits(i, ^uint64(0)>>(64-8*t.Size()))
	signs, sum := k.Var(ones), e.newSumAll(k)
	minus := k.Const(t, 0).Sub(m) // then ±0 less ±0 is +0
	k.Each(t, n, []asm.Int{x}, func(l asm.Lanes) {
		k.Prefetch(1, x, 4096)
		d := l.Load(x, 0, negInf).Add(minus)
		signs.Set(d.As(i).And(signs))
		sum.add(d, false)
	})
	k.Return("sum", sum.fold())
	k.ReturnInt("reached", k.Int(t.Lanes()).Minus(ones.Less(signs).First()))
}

// expBelow is sumExpBelow where m is known not to be exceeded, and stores the terms.
func expBelow(k *asm.Kernel, t asm.Type, c constants) {
	dst, x, n, m := k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("x_base")), k.Arg("x_len"), k.Param(t, "m")
	negInf, e := k.Const(t, math.Inf(-1)), newExponential(k, t, c)
	sum := e.newSumAll(k)
	k.Each(t, n, []asm.Int{dst, x}, func(l asm.Lanes) {
		l.Store(dst, 0, sum.add(l.Load(x, 0, negInf).Sub(m), true))
	})
	k.Return("sum", sum.fold())
}

// expCopy does not let the memory wait: a row goes out and another comes in while exp is
// made.
func expCopy(k *asm.Kernel, t asm.Type, c constants) {
	dst, x, next := k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("x_base")), k.Copy(k.Arg("x_base"))
	next.Inc(k.Arg("ahead"))
	out, in := k.Copy(k.Arg("out_base")), k.Copy(k.Arg("in_base"))
	zero, negInf, e := k.Const(t, 0), k.Const(t, math.Inf(-1)), newExponential(k, t, c)
	sum, minus := e.newSum(k), zero.Sub(k.Param(t, "m")) // then ±0 less ±0 is +0
	term := func(l asm.Lanes) {
		l.Store(dst, 0, sum.addKept(l.Load(x, 0, negInf).Add(minus)))
		k.Prefetch(2, next, 0)
	}
	all := k.All()
	k.Each(t, k.Arg("out_len"), []asm.Int{dst, x, next, out, in}, func(l asm.Lanes) {
		all.Stream(out, 0, all.Load(in, 0, zero))
		term(all)
	})
	k.Each(t, k.Arg("x_len").Minus(k.Arg("out_len")), []asm.Int{dst, x, next}, term)
	k.Return("sum", sum.total.FoldAdd())
	k.Return("ties", sum.ties.FoldAdd())
}

// spreadMax returns the largest of m and n elements, leaving out NaN, in all
// lanes, and +0 for −0.
func spreadMax(k *asm.Kernel, t asm.Type, x, n asm.Int, m, negInf asm.Vec) asm.Vec {
	var top [4]asm.Vec
	for u := range top {
		top[u] = k.Var(m)
	}
	p := k.Copy(x)
	k.EachUnrolled(t, n, []asm.Int{p}, len(top), func(l asm.Lanes, u int) {
		top[u].Set(l.Load(p, 64*u, negInf).Max(top[u]))
	})
	return top[0].Max(top[1]).Max(top[2].Max(top[3])).FoldMax().Add(k.Const(t, 0)).Spread()
}

// sumExpRows is sumExpBlock for short rows, in four passes: what depends on what lies
// then in different rows, and four rows are folded at a time. Between the passes there
// are two vectors for each row in scratch.
func sumExpRows(k *asm.Kernel, t asm.Type, c constants) {
	const pair = 2 * 64 // bytes of scratch for a row
	x, n, rows := k.Arg("x_base"), k.Arg("n"), k.Arg("rows")
	m, scratch := k.Arg("m_base"), k.Arg("scratch_base")
	negInf, zero, all := k.Const(t, math.Inf(-1)), k.Const(t, 0), k.All()
	e := newExponential(k, t, c)

	p, to := k.Copy(x), k.Copy(scratch)
	count(k, rows, 1, func() {
		most := k.Var(negInf)
		k.Each(t, n, []asm.Int{p}, func(l asm.Lanes) {
			most.Set(l.Load(p, 0, negInf).Max(most))
		})
		all.Store(to, 0, most)
		to.Inc(k.Int(pair))
	})

	from, top := k.Copy(scratch), k.Copy(m)
	count(k, rows, 4, func() {
		k.StoreFour(top, 0, asm.FoldMax4(four(k, t, from, pair, 0)).Add(zero))
		from.Inc(k.Int(4 * pair))
		top.Inc(k.Int(4 * t.Size()))
	})

	p.Set(x)
	to.Set(scratch)
	top.Set(m)
	count(k, rows, 1, func() {
		terms, minus := e.newSum(k), zero.Sub(k.Broadcast(t, top, 0)) // then ±0 less ±0 is +0
		k.Each(t, n, []asm.Int{p}, func(l asm.Lanes) {
			terms.add(l.Load(p, 0, negInf).Add(minus))
		})
		all.Store(to, 0, terms.total)
		all.Store(to, 64, terms.ties)
		to.Inc(k.Int(pair))
		top.Inc(k.Int(t.Size()))
	})

	sum := k.Copy(k.Arg("sum_base"))
	from.Set(scratch)
	count(k, rows, 4, func() {
		total := asm.FoldAdd4(four(k, t, from, pair, 0))
		s := total.Add(asm.FoldAdd4(four(k, t, from, pair, 64)).Sub(k.Const(t, 1)))
		if t == asm.F32 {
			s, _ = s.Widen()
		}
		k.StoreFour(sum, 0, s)
		from.Inc(k.Int(4 * pair))
		sum.Inc(k.Int(4 * 8))
	})
}

// four loads the vectors of four rows at an offset, rows being so many bytes apart.
func four(k *asm.Kernel, t asm.Type, p asm.Int, row, offset int) (a, b, c, d asm.Vec) {
	load := func(r int) asm.Vec { return k.All().Load(p, r*row+offset, k.Const(t, 0)) }
	return load(0), load(1), load(2), load(3)
}

// count does body for every step of n.
func count(k *asm.Kernel, n asm.Int, step int, body func()) {
	left := k.Copy(n)
	k.While(left.Greater(k.Int(0)), func() {
		body()
		left.Dec(k.Int(step))
	})
}

// log1p is log1p64 for arguments of at least 0.
func log1p(k *asm.Kernel, c constants) {
	const t = asm.F64
	dst, x, n := k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("x_base")), k.Arg("dst_len")
	zero, one, two, half := k.Const(t, 0), k.Const(t, 1), k.Const(t, 2), k.Const(t, 0.5)
	const sqrtHalf = 0x3fe6a09e_667f3bcd
	root, mantissa, power := k.Bits(asm.I64, sqrtHalf), k.Bits(asm.I64, 1<<52-1), k.Const(t, 0x1p52)
	k.Each(t, n, []asm.Int{dst, x}, func(l asm.Lanes) {
		x := l.Load(x, 0, zero)
		u := x.Add(one)
		correction := x.Sub(u.Sub(one)).Div(u)
		b := u.As(asm.I64).Sub(root)
		exponent := b.Shr(52).Or(power.As(asm.I64)).As(t).Sub(power)
		f := b.And(mantissa).Add(root).As(t).Sub(one)
		s := f.Div(f.Add(two))
		z := s.Mul(s)
		p := k.Const(t, c.get("logC7")).MulAdd(z, k.Const(t, c.get("logC6")))
		for i := 5; i >= 1; i-- {
			p = p.MulAdd(z, k.Const(t, c.get("logC%d", i)))
		}
		square := half.Mul(f).Mul(f)
		tail := s.MulAdd(square.Add(p.Mul(z)), exponent.MulAdd(k.Const(t, c.get("ln2LoF64")), correction))
		l.Store(dst, 0, exponent.MulAdd(k.Const(t, c.get("ln2HiF64")), f.Sub(square.Sub(tail))))
	})
}
