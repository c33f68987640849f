package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// softmax has the kernels that write a row, or read it beside weights.
func softmax() []kernel {
	return []kernel{
		softmaxRows(), scale(), logSoftmaxRows(), dotLogSoftmax(), mulAdd(), multiply(), subtract(),
	}
}

// softmaxRows writes, for rows r of n elements,
//
//	dst[r·n+i] = exp(x[r·n+i] − m[r])·scale[r]
func softmaxRows() kernel {
	return kernel{
		name:   "softmaxRows",
		params: []parameter{slice("dst", F), slice("x", F), integer("n"), slice("m", F), slice("scale", F)},
		body: func(k *builder) {
			e, negInf := newFactoredExponential(k), k.Const(k.F, math.Inf(-1))
			eachRow(k, "m", "scale", func(l asm.Lanes, dst, x asm.Array, m, scale asm.Vec) {
				l.Store(dst, e.of(l.LoadOr(x, negInf).Sub(m)).Mul(scale))
			})
		},
	}
}

// logSoftmaxRows writes, for rows r of n elements,
//
//	dst[r·n+i] = (x[r·n+i] − hi[r]) − lo[r]
func logSoftmaxRows() kernel {
	return kernel{
		name:   "logSoftmaxRows",
		params: []parameter{slice("dst", F), slice("x", F), integer("n"), slice("hi", F), slice("lo", F)},
		body: func(k *builder) {
			eachRow(k, "hi", "lo", func(l asm.Lanes, dst, x asm.Array, hi, lo asm.Vec) {
				l.Store(dst, l.Load(x).Sub(hi).Sub(lo))
			})
		},
	}
}

// eachRow goes through the rows of n elements of dst and x, with two numbers for each row:
// those of the slices first and second.
func eachRow(k *builder, first, second string, body func(l asm.Lanes, dst, x asm.Array, a, b asm.Vec)) {
	dst, x, n := k.Array("dst"), k.Array("x"), k.Arg("n")
	a, b := k.Array(first), k.Array(second)
	repeat(k, k.Len(first), 1, func() {
		u, v := a.Broadcast(), b.Broadcast()
		k.Each(n, arrays{dst, x}, func(l asm.Lanes) { body(l, dst, x, u, v) })
		a.Advance(1)
		b.Advance(1)
	})
}

// dotLogSoftmax returns
//
//	dot = Σ w[i]·((x[i] − hi) − lo)    where w[i] is not 0
//	sum = Σ w[i]
func dotLogSoftmax() kernel {
	return kernel{
		name:    "dotLogSoftmax",
		params:  []parameter{slice("w", F), slice("x", F), number("hi", F), number("lo", F)},
		results: []parameter{number("dot", F), number("sum", F)},
		body: func(k *builder) {
			w, x, n := k.Array("w"), k.Array("x"), k.Len("w")
			hi, lo, zero := k.Param("hi"), k.Param("lo"), k.Const(k.F, 0)
			dot, sum := k.Var(zero), k.Var(zero)
			k.Each(n, arrays{w, x}, func(l asm.Lanes) {
				w, x := l.Load(w), l.Load(x)
				logp := x.Sub(hi).Sub(lo)
				dot.Set(w.NotEqual(zero).Select(w.MulAdd(logp, dot), dot))
				sum.Set(w.Add(sum))
			})
			k.Return("dot", dot.FoldAdd())
			k.Return("sum", sum.FoldAdd())
		},
	}
}

// scale does
//
//	dst[i] *= factor
func scale() kernel {
	return kernel{
		name:   "scale",
		params: []parameter{slice("dst", F), number("factor", F)},
		body: func(k *builder) {
			dst, factor := k.Array("dst"), k.Param("factor")
			k.EachUnrolled(k.Len("dst"), arrays{dst}, 4, func(l asm.Lanes, u int) {
				dst := dst.Vector(u)
				l.Store(dst, l.Load(dst).Mul(factor))
			})
		},
	}
}

// mulAdd writes, rounded once,
//
//	dst[i] = x[i]·factor + summand
func mulAdd() kernel {
	return kernel{
		name:   "mulAdd",
		params: []parameter{slice("dst", F), slice("x", F), number("factor", F), number("summand", F)},
		body: func(k *builder) {
			dst, x, factor, summand := k.Array("dst"), k.Array("x"), k.Param("factor"), k.Param("summand")
			k.Each(k.Len("dst"), arrays{dst, x}, func(l asm.Lanes) {
				l.Store(dst, l.Load(x).MulAdd(factor, summand))
			})
		},
	}
}

// multiply does
//
//	dst[i] *= w[i]
func multiply() kernel {
	return kernel{
		name:   "multiply",
		params: []parameter{slice("dst", F), slice("w", F)},
		body: func(k *builder) {
			dst, w := k.Array("dst"), k.Array("w")
			k.Each(k.Len("dst"), arrays{dst, w}, func(l asm.Lanes) {
				l.Store(dst, l.Load(dst).Mul(l.Load(w)))
			})
		},
	}
}

// subtract does, rounded once,
//
//	dst[i] −= w[i]·scale
func subtract() kernel {
	return kernel{
		name:   "subtract",
		params: []parameter{slice("dst", F), slice("w", F), number("scale", F)},
		body: func(k *builder) {
			dst, w, scale := k.Array("dst"), k.Array("w"), k.Param("scale")
			k.Each(k.Len("w"), arrays{dst, w}, func(l asm.Lanes) {
				l.Store(dst, l.Load(w).NegMulAdd(scale, l.Load(dst)))
			})
		},
	}
}
