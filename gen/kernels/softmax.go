package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// softmax has the kernels that write a row, or read it beside weights.
func softmax(c constants) group {
	return group{"softmax", []kernel{
		{
			name: "softmaxRows", types: floats, params: "dst []F, x []F, n int, m []F, scale []F",
			describe: func(k *asm.Kernel, t asm.Type) {
				e, negInf := newExponential(k, t, c), k.Const(t, math.Inf(-1))
				eachRow(k, t, "m", "scale", func(l asm.Lanes, dst, x asm.Int, m, scale asm.Vec) {
					l.Store(dst, 0, e.of(l.Load(x, 0, negInf).Sub(m)).Mul(scale))
				})
			},
		},
		{
			name: "scale", types: floats, params: "dst []F, factor F",
			describe: func(k *asm.Kernel, t asm.Type) {
				dst, factor, zero := k.Copy(k.Arg("dst_base")), k.Param(t, "factor"), k.Const(t, 0)
				k.EachUnrolled(t, k.Arg("dst_len"), []asm.Int{dst}, 4, func(l asm.Lanes, u int) {
					l.Store(dst, 64*u, l.Load(dst, 64*u, zero).Mul(factor))
				})
			},
		},
		{
			name: "logSoftmaxRows", types: floats, params: "dst []F, x []F, n int, hi []F, lo []F",
			describe: func(k *asm.Kernel, t asm.Type) {
				zero := k.Const(t, 0)
				eachRow(k, t, "hi", "lo", func(l asm.Lanes, dst, x asm.Int, hi, lo asm.Vec) {
					l.Store(dst, 0, l.Load(x, 0, zero).Sub(hi).Sub(lo))
				})
			},
		},
		{
			name: "dotLogSoftmax", types: floats, params: "w []F, x []F, hi F, lo F", results: "dot F, sum F",
			describe: dotLogSoftmax,
		},
		{
			name: "mulAdd", types: floats, params: "dst []F, x []F, factor F, summand F",
			describe: func(k *asm.Kernel, t asm.Type) {
				dst, x, zero := k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("x_base")), k.Const(t, 0)
				factor, summand := k.Param(t, "factor"), k.Param(t, "summand")
				k.Each(t, k.Arg("dst_len"), []asm.Int{dst, x}, func(l asm.Lanes) {
					l.Store(dst, 0, l.Load(x, 0, zero).MulAdd(factor, summand))
				})
			},
		},
		{
			name: "multiply", types: floats, params: "dst []F, w []F",
			describe: func(k *asm.Kernel, t asm.Type) {
				dst, w, zero := k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("w_base")), k.Const(t, 0)
				k.Each(t, k.Arg("dst_len"), []asm.Int{dst, w}, func(l asm.Lanes) {
					l.Store(dst, 0, l.Load(dst, 0, zero).Mul(l.Load(w, 0, zero)))
				})
			},
		},
		{
			name: "subtract", types: floats, params: "dst []F, w []F, scale F",
			describe: func(k *asm.Kernel, t asm.Type) {
				dst, w, scale := k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("w_base")), k.Param(t, "scale")
				zero := k.Const(t, 0)
				k.Each(t, k.Arg("w_len"), []asm.Int{dst, w}, func(l asm.Lanes) {
					l.Store(dst, 0, l.Load(w, 0, zero).NegMulAdd(scale, l.Load(dst, 0, zero)))
				})
			},
		},
	}}
}

// eachRow writes a kernel that goes through rows of n elements, with two numbers for
// each row.
func eachRow(k *asm.Kernel, t asm.Type, first, second string, body func(l asm.Lanes, dst, x asm.Int, a, b asm.Vec)) {
	dst, x, n := k.Copy(k.Arg("dst_base")), k.Copy(k.Arg("x_base")), k.Arg("n")
	a, b := k.Copy(k.Arg(first+"_base")), k.Copy(k.Arg(second+"_base"))
	count(k, k.Arg(first+"_len"), 1, func() {
		u, v := k.Broadcast(t, a, 0), k.Broadcast(t, b, 0)
		k.Each(t, n, []asm.Int{dst, x}, func(l asm.Lanes) { body(l, dst, x, u, v) })
		a.Inc(k.Int(t.Size()))
		b.Inc(k.Int(t.Size()))
	})
}

func dotLogSoftmax(k *asm.Kernel, t asm.Type) {
	w, x, n := k.Copy(k.Arg("w_base")), k.Copy(k.Arg("x_base")), k.Arg("w_len")
	hi, lo, zero := k.Param(t, "hi"), k.Param(t, "lo"), k.Const(t, 0)
	dot, sum := k.Var(zero), k.Var(zero)
	k.Each(t, n, []asm.Int{w, x}, func(l asm.Lanes) {
		w, x := l.Load(w, 0, zero), l.Load(x, 0, zero)
		logp := x.Sub(hi).Sub(lo)
		dot.Set(w.NotEqual(zero).Select(w.MulAdd(logp, dot), dot))
		sum.Set(w.Add(sum))
	})
	k.Return("dot", dot.FoldAdd())
	k.Return("sum", sum.FoldAdd())
}
