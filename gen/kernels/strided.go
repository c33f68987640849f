package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// strided has the kernels for classes that are not contiguous: lanes go across
// neighbouring positions. The positions at hand are copied, so that their classes,
// which may lie a power of two apart, do not drive each other out of the caches. The
// copy and what there is once for each position are read and written in whole vectors.
func strided(c constants) group {
	return group{"strided", []kernel{
		{
			name: "maxStrided", types: floats,
			params:   "m []F, at []int32, dst []F, width int, x []F, n int, stride int, first int, count int",
			describe: maxStrided,
		},
		{
			name: "expStrided", types: floats, params: "sum []float64, m []F, at []int32, x []F, width int, first int, count int",
			describe: func(k *asm.Kernel, t asm.Type) { expStrided(k, t, c) },
		},
		{
			name: "scaleStrided", types: floats, params: "dst []F, n int, stride int, x []F, width int, count int, factor []F",
			describe: scaleStrided,
		},
	}}
}

// eachClass is a loop over the classes of the positions at hand.
func eachClass(k *asm.Kernel, body func()) {
	left := k.Copy(k.Arg("count"))
	k.While(left.Greater(k.Int(0)), func() {
		body()
		left.Dec(k.Int(1))
	})
}

// next is the distance in bytes to the positions that the next call works on, as a
// rule: they are asked for in time.
func next(t asm.Type) int { return 128 * t.Size() }

// inBytes returns an integer parameter, a number of elements, in bytes.
func inBytes(k *asm.Kernel, t asm.Type, name string) asm.Int {
	return k.Arg(name).Shl(map[int]int{4: 2, 8: 3}[t.Size()])
}

// loadClasses and storeClasses move class numbers, which are I32 in memory.
func loadClasses(k *asm.Kernel, t asm.Type, p asm.Int) asm.Vec {
	if t == asm.F64 {
		return k.All().LoadHalf(p, 0)
	}
	return k.All().Load(p, 0, k.Bits(asm.I32, 0))
}

func storeClasses(k *asm.Kernel, t asm.Type, p asm.Int, v asm.Vec) {
	if t == asm.F64 {
		k.All().StoreHalf(p, 0, v)
	} else {
		k.All().Store(p, 0, v)
	}
}

func maxStrided(k *asm.Kernel, t asm.Type) {
	m, at, x, n := k.Copy(k.Arg("m_base")), k.Copy(k.Arg("at_base")), k.Copy(k.Arg("x_base")), k.Arg("n")
	dst, width, stride := k.Copy(k.Arg("dst_base")), inBytes(k, t, "width"), inBytes(k, t, "stride")
	first, negInf, one := k.Arg("first"), k.Const(t, math.Inf(-1)), k.Bits(t.Int(), 1)
	k.Each(t, n, []asm.Int{x}, func(l asm.Lanes) {
		most, latest := k.Var(k.All().Load(m, 0, negInf)), k.Var(loadClasses(k, t, at))
		class, from, to := k.Var(first.Splat(t.Int())), k.Copy(x), k.Copy(dst)
		eachClass(k, func() {
			k.Prefetch(from, next(t))
			v := l.Load(from, 0, negInf)
			k.All().Store(to, 0, v)
			more := most.Less(v)
			latest.Set(more.Select(class, latest))
			most.Set(more.Select(v, most))
			class.Set(class.Add(one))
			from.Inc(stride)
			to.Inc(width)
		})
		k.All().Store(m, 0, most)
		storeClasses(k, t, at, latest)
		m.Inc(k.Int(64))
		at.Inc(k.Int(4 * t.Lanes()))
		dst.Inc(k.Int(64))
	})
}

func expStrided(k *asm.Kernel, t asm.Type, c constants) {
	sum, m, at := k.Copy(k.Arg("sum_base")), k.Copy(k.Arg("m_base")), k.Copy(k.Arg("at_base"))
	x, width, first := k.Copy(k.Arg("x_base")), inBytes(k, t, "width"), k.Arg("first")
	zero, one := k.Const(t, 0), k.Bits(t.Int(), 1)
	e, all := newExponential(k, t, c), k.All()
	end := x.Plus(width)
	k.While(x.Less(end), func() {
		terms, class, p := e.newSum(k), k.Var(first.Splat(t.Int())), k.Copy(x)
		eachClass(k, func() { // m and at are loaded where they are needed: AVX2 has few registers
			v, normal := terms.term(all.Load(p, 0, zero).Sub(all.Load(m, 0, zero)))
			kept := normal.Keep(v)
			all.Store(p, 0, kept)
			terms.total.AddWhere(class.NotEqual(loadClasses(k, t, at)), kept)
			class.Set(class.Add(one))
			p.Inc(width)
		})
		addTo(k, sum, 0, terms.lanes(all.Load(m, 0, zero)))
		x.Inc(k.Int(64))
		m.Inc(k.Int(64))
		at.Inc(k.Int(4 * t.Lanes()))
		sum.Inc(k.Int(8 * t.Lanes()))
	})
}

// addTo adds v to as many F64 in memory.
func addTo(k *asm.Kernel, p asm.Int, offset int, v asm.Vec) {
	if v.Type() == asm.F32 {
		lower, upper := v.Widen()
		addTo(k, p, offset, lower)
		addTo(k, p, offset+64, upper)
		return
	}
	all := k.All()
	all.Store(p, offset, all.Load(p, offset, k.Const(asm.F64, 0)).Add(v))
}

func scaleStrided(k *asm.Kernel, t asm.Type) {
	dst, n, stride := k.Copy(k.Arg("dst_base")), k.Arg("n"), inBytes(k, t, "stride")
	x, width, factor := k.Copy(k.Arg("x_base")), inBytes(k, t, "width"), k.Copy(k.Arg("factor_base"))
	zero, all := k.Const(t, 0), k.All()
	k.Each(t, n, []asm.Int{dst}, func(l asm.Lanes) {
		f, from, to := all.Load(factor, 0, zero), k.Copy(x), k.Copy(dst)
		eachClass(k, func() {
			k.Prefetch(to, next(t))
			l.Store(to, 0, all.Load(from, 0, zero).Mul(f))
			from.Inc(width)
			to.Inc(stride)
		})
		x.Inc(k.Int(64))
		factor.Inc(k.Int(64))
	})
}
