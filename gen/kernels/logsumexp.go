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
			name: "maxBlock", types: floats, params: "x []F", results: "top F",
			describe: func(k *asm.Kernel, t asm.Type) {
				negInf := k.Const(t, math.Inf(-1))
				k.Return("top", spreadMax(k, t, k.Arg("x_base"), k.Arg("x_len"), negInf, negInf))
			},
		},
		{
			name: "sumExpRows", types: floats, params: "m []F, sum []float64, x []F, n int",
			describe: func(k *asm.Kernel, t asm.Type) { sumExpRows(k, t, c) },
		},
		{
			name: "log1p", types: []asm.Type{asm.F64}, params: "dst []F, x []F",
			describe: func(k *asm.Kernel, t asm.Type) { log1p(k, c) },
		},
	}}
}

// sumExpBlock finds the maximum, then where it is first, then the sum, whose terms it
// may store.
func sumExpBlock(k *asm.Kernel, t asm.Type, c constants, store bool) {
	x, n, m := k.Arg("x_base"), k.Arg("x_len"), k.Param(t, "m")
	negInf, lanes := k.Const(t, math.Inf(-1)), k.Int(t.Lanes())
	e := newExponential(k, t, c)

	top := spreadMax(k, t, x, n, m, negInf)
	// at is the vector with the first maximum and lane its place there, if the
	// maximum is new.
	at, lane := k.Copy(k.Int(0)), k.Copy(k.Int(0))
	k.If(m.Less(top).First().Equal(k.Int(0)), func() {
		at.Set(x)
		left := k.Copy(n)
		near, found := k.NewLabel("near"), k.NewLabel("found")
		k.While(left.AtLeast(k.Int(4*t.Lanes())), func() {
			all := k.All()
			v := all.Load(at, 0, negInf).Max(all.Load(at, 64, negInf))
			w := all.Load(at, 128, negInf).Max(all.Load(at, 192, negInf))
			k.JumpIf(v.Max(w).Equal(top).First().Less(lanes), near)
			at.Inc(k.Int(256))
			left.Dec(k.Int(4 * t.Lanes()))
		})
		k.Place(near)
		k.Each(t, left, []asm.Int{at}, func(l asm.Lanes) {
			lane.Set(l.Load(at, 0, negInf).Equal(top).First())
			k.JumpIf(lane.Less(lanes), found)
		})
		k.Place(found)
	})
	sum, p, i := e.newSum(k), k.Copy(x), t.Int()
	arrays, dst := []asm.Int{p}, asm.Int{}
	if store {
		dst = k.Copy(k.Arg("dst_base"))
		arrays = append(arrays, dst)
	}
	k.Each(t, n, arrays, func(l asm.Lanes) {
		v, normal := sum.term(l.Load(p, 0, negInf).Sub(top))
		if store {
			v = normal.Keep(v)
			l.Store(dst, 0, v)
		}
		k.IfElse(p.Equal(at), func() {
			sum.total.AddWhere(normal.And(k.Iota(i).NotEqual(lane.Splat(i))), v)
		}, func() {
			sum.total.AddWhere(normal, v)
		})
	})
	k.Return("top", top)
	k.Return("sum", sum.lanes(top).FoldAdd())
}

// sumExpBelow tells by the signs of all x−m whether m is reached.
func sumExpBelow(k *asm.Kernel, t asm.Type, c constants) {
	x, n, m := k.Copy(k.Arg("x_base")), k.Arg("x_len"), k.Param(t, "m")
	negInf, i := k.Const(t, math.Inf(-1)), t.Int()
	e := newExponential(k, t, c)
	ones := k.Bits(i, ^uint64(0)>>(64-8*t.Size()))
	signs, sum := k.Var(ones), e.newSum(k)
	k.Each(t, n, []asm.Int{x}, func(l asm.Lanes) {
		k.Prefetch(x, 4096)
		d := l.Load(x, 0, negInf).Sub(m)
		signs.Set(d.As(i).And(signs))
		v, normal := sum.term(d)
		sum.total.AddWhere(normal, v)
	})
	k.Return("sum", sum.lanes(m).FoldAdd())
	k.ReturnInt("reached", ones.Less(signs).First().Minus(k.Int(t.Lanes())))
}

// expBelow is sumExpBelow without a doubt, and stores its terms.
func expBelow(k *asm.Kernel, t asm.Type, c constants) {
	dst, x, n, m := k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("x_base")), k.Arg("x_len"), k.Param(t, "m")
	negInf, e := k.Const(t, math.Inf(-1)), newExponential(k, t, c)
	sum := e.newSum(k)
	k.Each(t, n, []asm.Int{dst, x}, func(l asm.Lanes) {
		v, normal := sum.term(l.Load(x, 0, negInf).Sub(m))
		kept := normal.Keep(v)
		l.Store(dst, 0, kept)
		sum.total.Set(kept.Add(sum.total))
	})
	k.Return("sum", sum.lanes(m).FoldAdd())
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

// sumExpRows is for rows so short that their branches would be foretold badly: the
// first maximum is found in lanes, by the number of its element counted down.
func sumExpRows(k *asm.Kernel, t asm.Type, c constants) {
	m, rows, sum := k.Copy(k.Arg("m_base")), k.Copy(k.Arg("m_len")), k.Copy(k.Arg("sum_base"))
	x, n := k.Copy(k.Arg("x_base")), k.Arg("n")
	negInf, zero, lanes := k.Const(t, math.Inf(-1)), k.Const(t, 0), k.Const(t, float64(t.Lanes()))
	e := newExponential(k, t, c)
	k.While(rows.Greater(k.Int(0)), func() {
		most, p := k.Var(negInf), k.Copy(x)
		k.Each(t, n, []asm.Int{p}, func(l asm.Lanes) {
			most.Set(l.Load(p, 0, negInf).Max(most))
		})
		top := most.FoldMax().Add(zero).Spread()

		number, latest := k.Var(countDown(k, t)), k.Var(negInf)
		p.Set(x)
		k.Each(t, n, []asm.Int{p}, func(l asm.Lanes) {
			latest.Set(l.Load(p, 0, negInf).Equal(top).Select(number, negInf).Max(latest))
			number.Set(number.Sub(lanes))
		})
		// Where offset is 0 is the first maximum.
		offset := k.Var(countDown(k, t).Sub(latest.FoldMax().Spread()))

		terms := e.newSum(k)
		k.Each(t, n, []asm.Int{x}, func(l asm.Lanes) {
			v, normal := terms.term(l.Load(x, 0, negInf).Sub(top))
			terms.total.AddWhere(normal.And(offset.NotEqual(zero)), v)
			offset.Set(offset.Sub(lanes))
		})
		k.StoreFirst(m, 0, top)
		s := terms.lanes(top).FoldAdd()
		if t == asm.F32 {
			s, _ = s.Widen()
		}
		k.StoreFirst(sum, 0, s)
		m.Inc(k.Int(t.Size()))
		sum.Inc(k.Int(8))
		rows.Dec(k.Int(1))
	})
}

// countDown returns 0, −1, −2, … as floats: an integer below 2^p in the last bits
// of 2^p is their sum.
func countDown(k *asm.Kernel, t asm.Type) asm.Vec {
	power := k.Const(t, 0x1p23)
	if t == asm.F64 {
		power = k.Const(t, 0x1p52)
	}
	return power.Sub(k.Iota(t.Int()).Or(power.As(t.Int())).As(t))
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
		err := one.Less(x).Select(one.Sub(u.Sub(x)), x.Sub(u.Sub(one)))
		correction := err.Div(u)

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
