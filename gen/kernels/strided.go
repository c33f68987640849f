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
			params:   "m []F, dst []F, width int, x []F, n int, stride int, count int",
			describe: maxStrided,
		},
		{
			name: "expStrided", types: floats, params: "sum []float64, ties []F, m []F, x []F, width int, count int, last F",
			describe: func(k *asm.Kernel, t asm.Type) { expStrided(k, t, c) },
		},
		{
			name: "scaleStrided", types: floats, params: "dst []F, n int, stride int, x []F, width int, count int, factor []F",
			describe: func(k *asm.Kernel, t asm.Type) { scaleStrided(k, t, false) },
		},
		{
			name: "scaleStridedStream", types: floats, params: "dst []F, n int, stride int, x []F, width int, count int, factor []F",
			describe: func(k *asm.Kernel, t asm.Type) { scaleStrided(k, t, true) },
		},
		{
			name: "addLogSoftmax", types: floats, params: "dot []float64, sum []float64, w []F, x []F, hi []F, lo []F",
			describe: addLogSoftmax,
		},
		{
			name: "subtractProducts", types: floats, params: "dst []F, w []F, scale []F",
			describe: func(k *asm.Kernel, t asm.Type) {
				dst, w, scale, zero := k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("w_base")), k.Copy(k.Arg("scale_base")), k.Const(t, 0)
				k.Each(t, k.Arg("dst_len"), []asm.Int{dst, w, scale}, func(l asm.Lanes) {
					l.Store(dst, 0, l.Load(w, 0, zero).NegMulAdd(l.Load(scale, 0, zero), l.Load(dst, 0, zero)))
				})
			},
		},
	}}
}

// eachClass is a loop over the classes of the positions at hand.
func eachClass(k *asm.Kernel, body func()) { count(k, k.Arg("count"), 1, body) }

// ahead is how many bytes before its use memory is asked for. It is little, because
// classes that lie a power of two apart share few places in a cache.
const ahead = 128

// inBytes returns an integer parameter, a number of elements, in bytes.
func inBytes(k *asm.Kernel, t asm.Type, name string) asm.Int {
	return k.Arg(name).Shl(map[int]int{4: 2, 8: 3}[t.Size()])
}

func maxStrided(k *asm.Kernel, t asm.Type) {
	m, x, n := k.Copy(k.Arg("m_base")), k.Copy(k.Arg("x_base")), k.Arg("n")
	dst, width, stride := k.Copy(k.Arg("dst_base")), inBytes(k, t, "width"), inBytes(k, t, "stride")
	negInf, zero, all := k.Const(t, math.Inf(-1)), k.Const(t, 0), k.All()
	k.Each(t, n, []asm.Int{x}, func(l asm.Lanes) {
		most, from, to := k.Var(all.Load(m, 0, negInf)), k.Copy(x), k.Copy(dst)
		eachClass(k, func() {
			k.Prefetch(1, from, ahead)
			v := l.Load(from, 0, negInf)
			all.Store(to, 0, v)
			most.Set(v.Max(most))
			from.Inc(stride)
			to.Inc(width)
		})
		all.Store(m, 0, most.Add(zero))
		m.Inc(k.Int(64))
		dst.Inc(k.Int(64))
	})
}

func expStrided(k *asm.Kernel, t asm.Type, c constants) {
	sum, ties, m := k.Copy(k.Arg("sum_base")), k.Copy(k.Arg("ties_base")), k.Copy(k.Arg("m_base"))
	x, width := k.Copy(k.Arg("x_base")), inBytes(k, t, "width")
	zero, one, e, all := k.Const(t, 0), k.Const(t, 1), newExponential(k, t, c), k.All()
	end := x.Plus(width)
	k.While(x.Less(end), func() {
		terms, p := e.newSum(k), k.Copy(x)
		eachClass(k, func() { // m is loaded where it is needed: AVX2 has few registers
			all.Store(p, 0, terms.addKept(all.Load(p, 0, zero).Sub(all.Load(m, 0, zero))))
			p.Inc(width)
		})
		counted := all.Load(ties, 0, zero).Add(terms.ties)
		all.Store(ties, 0, counted)
		addTo(k, sum, 0, counted.Sub(one).Mul(k.Param(t, "last")).Add(terms.total))
		x.Inc(k.Int(64))
		m.Inc(k.Int(64))
		ties.Inc(k.Int(64))
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

func scaleStrided(k *asm.Kernel, t asm.Type, stream bool) {
	dst, n, stride := k.Copy(k.Arg("dst_base")), k.Arg("n"), inBytes(k, t, "stride")
	x, width, factor := k.Copy(k.Arg("x_base")), inBytes(k, t, "width"), k.Copy(k.Arg("factor_base"))
	zero, all := k.Const(t, 0), k.All()
	k.Each(t, n, []asm.Int{dst}, func(l asm.Lanes) {
		f, from, to := all.Load(factor, 0, zero), k.Copy(x), k.Copy(dst)
		eachClass(k, func() {
			if v := all.Load(from, 0, zero).Mul(f); stream {
				l.Stream(to, 0, v)
			} else {
				k.Prefetch(1, to, ahead)
				l.Store(to, 0, v)
			}
			from.Inc(width)
			to.Inc(stride)
		})
		x.Inc(k.Int(64))
		factor.Inc(k.Int(64))
	})
}

func addLogSoftmax(k *asm.Kernel, t asm.Type) {
	dot, sum := k.Copy(k.Arg("dot_base")), k.Copy(k.Arg("sum_base"))
	w, x, hi, lo := k.Copy(k.Arg("w_base")), k.Copy(k.Arg("x_base")), k.Copy(k.Arg("hi_base")), k.Copy(k.Arg("lo_base"))
	zero, all := k.Const(t, 0), k.All()
	k.Each(t, k.Arg("x_len"), []asm.Int{w, x, hi, lo}, func(l asm.Lanes) {
		u := all.Load(w, 0, zero)
		logp := l.Load(x, 0, zero).Sub(all.Load(hi, 0, zero)).Sub(all.Load(lo, 0, zero))
		addTo(k, dot, 0, u.NotEqual(zero).Keep(u.Mul(logp)))
		addTo(k, sum, 0, u)
		dot.Inc(k.Int(8 * t.Lanes()))
		sum.Inc(k.Int(8 * t.Lanes()))
	})
}
