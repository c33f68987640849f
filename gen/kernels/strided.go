package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// strided has the kernels for classes that are not contiguous: lanes go across
// neighbouring positions. The positions at hand are copied, so that their classes,
// which may lie a power of two apart, do not drive each other out of the caches. The
// copy and what there is once for each position are read and written in whole vectors.
func strided() []kernel {
	return []kernel{
		maxStrided(), expStrided(), scaleStrided(), scaleStridedStream(), addLogSoftmax(), subtractProducts(),
	}
}

// eachClass is a loop over the classes of the positions at hand.
func eachClass(k *builder, body func()) { repeat(k, k.Arg("count"), 1, body) }

// ahead is how many vectors before its use memory is asked for. It is little, because
// classes that lie a power of two apart share few places in a cache.
const ahead = 2

// maxStrided writes, for positions j and classes c,
//
//	dst[c][j] = x[c][j]
//	m[j]      = max(m[j], x[0][j], x[1][j], …)
//
// and −Inf to the columns that dst has beyond those of x.
func maxStrided() kernel {
	m, dst, x, count := slice("m", F), view("dst", F), view("x", F), integer("count")
	return kernel{
		name:   "maxStrided",
		params: []parameter{m, dst, x, count},
		stub:   []parameter{m, dst.data(), dst.stride(), x.data(), x.columns(), x.stride(), count},
		body: func(k *builder) {
			m, x, columns := k.Array("m"), k.Array("x"), k.Arg("xColumns")
			dst := k.Array("dst")
			dstRow, xRow := dst.Elements(k.Arg("dstStride")), x.Elements(k.Arg("xStride"))
			negInf, zero, all := k.Const(k.F, math.Inf(-1)), k.Const(k.F, 0), k.All()
			k.Each(columns, arrays{x}, func(l asm.Lanes) {
				most, from, to := k.Var(all.LoadOr(m, negInf)), x.Copy(), dst.Copy()
				eachClass(k, func() {
					from.Vector(ahead).Prefetch(1)
					v := l.LoadOr(from, negInf)
					to.Store(v)
					most.Set(v.Max(most))
					from.Move(xRow)
					to.Move(dstRow)
				})
				m.Store(most.Add(zero))
				m.Advance(k.F.Lanes())
				dst.Advance(k.F.Lanes())
			})
		},
	}
}

// expStrided writes, for positions j and classes c, where no x[c][j] is above m[j],
//
//	x[c][j]  = exp(x[c][j] − m[j])
//	ties[j] += Σ x[c][j] over the c where that is 1
//	sum[j]  += Σ x[c][j] over the other c, and (ties[j] − 1)·last
func expStrided() kernel {
	sum, ties, m, x := slice("sum", f64), slice("ties", F), slice("m", F), view("x", F)
	count, last := integer("count"), number("last", F)
	return kernel{
		name:   "expStrided",
		params: []parameter{sum, ties, m, x, count, last},
		stub:   []parameter{sum, ties, m, x.data(), x.stride(), count, last},
		body: func(k *builder) {
			sum, ties, m, x := k.Array("sum"), k.Array("ties"), k.Array("m"), k.Array("x")
			row := x.Elements(k.Arg("xStride")) // which has whole vectors
			one, e := k.Const(k.F, 1), newExponential(k)
			end := x.Plus(row)
			k.While(x.Before(end), func() {
				terms, class := e.newSum(k), x.Copy()
				eachClass(k, func() { // m is loaded where it is needed: AVX2 has few registers
					class.Store(terms.addKept(class.Load().Sub(m.Load())))
					class.Move(row)
				})
				counted := ties.Load().Add(terms.ties)
				ties.Store(counted)
				addTo(sum, counted.Sub(one).Mul(k.Param("last")).Add(terms.total))
				for _, a := range (arrays{x, m, ties, sum}) {
					a.Advance(k.F.Lanes())
				}
			})
		},
	}
}

// addTo adds the lanes of v to as many F64 in memory.
func addTo(sum asm.Array, v asm.Vec) {
	if v.Type() == asm.F32 {
		lower, upper := v.Widen()
		addTo(sum, lower)
		addTo(sum.Vector(1), upper)
		return
	}
	sum.Store(sum.Load().Add(v))
}

// scaleStrided writes, for positions j and classes c,
//
//	dst[c][j] = x[c][j]·factor[j]
func scaleStrided() kernel { return scaleStridedTo("scaleStrided", false) }

// scaleStridedStream is scaleStrided past the caches.
func scaleStridedStream() kernel { return scaleStridedTo("scaleStridedStream", true) }

func scaleStridedTo(name string, stream bool) kernel {
	dst, x, count, factor := view("dst", F), view("x", F), integer("count"), slice("factor", F)
	return kernel{
		name:   name,
		params: []parameter{dst, x, count, factor},
		stub:   []parameter{dst.data(), dst.columns(), dst.stride(), x.data(), x.stride(), count, factor},
		body: func(k *builder) {
			dst, columns := k.Array("dst"), k.Arg("dstColumns")
			dstRow, x := dst.Elements(k.Arg("dstStride")), k.Array("x")
			xRow, factor := x.Elements(k.Arg("xStride")), k.Array("factor")
			k.Each(columns, arrays{dst}, func(l asm.Lanes) {
				f, from, to := factor.Load(), x.Copy(), dst.Copy()
				eachClass(k, func() {
					if v := from.Load().Mul(f); stream {
						l.Stream(to, v)
					} else {
						to.Vector(ahead).Prefetch(1)
						l.Store(to, v)
					}
					from.Move(xRow)
					to.Move(dstRow)
				})
				x.Advance(k.F.Lanes())
				factor.Advance(k.F.Lanes())
			})
		},
	}
}

// addLogSoftmax does, for positions j,
//
//	dot[j] += w[j]·((x[j] − hi[j]) − lo[j])    where w[j] is not 0
//	sum[j] += w[j]
func addLogSoftmax() kernel {
	return kernel{
		name:   "addLogSoftmax",
		params: []parameter{slice("dot", f64), slice("sum", f64), slice("w", F), slice("x", F), slice("hi", F), slice("lo", F)},
		body: func(k *builder) {
			dot, sum := k.Array("dot"), k.Array("sum")
			w, x, hi, lo := k.Array("w"), k.Array("x"), k.Array("hi"), k.Array("lo")
			zero := k.Const(k.F, 0)
			k.Each(k.Len("x"), arrays{w, x, hi, lo}, func(l asm.Lanes) {
				u := w.Load()
				logp := l.Load(x).Sub(hi.Load()).Sub(lo.Load())
				addTo(dot, u.NotEqual(zero).Keep(u.Mul(logp)))
				addTo(sum, u)
				dot.Advance(k.F.Lanes())
				sum.Advance(k.F.Lanes())
			})
		},
	}
}

// subtractProducts does, rounded once,
//
//	dst[j] −= w[j]·scale[j]
func subtractProducts() kernel {
	return kernel{
		name:   "subtractProducts",
		params: []parameter{slice("dst", F), slice("w", F), slice("scale", F)},
		body: func(k *builder) {
			dst, w, scale := k.Array("dst"), k.Array("w"), k.Array("scale")
			k.Each(k.Len("dst"), arrays{dst, w, scale}, func(l asm.Lanes) {
				l.Store(dst, l.Load(w).NegMulAdd(l.Load(scale), l.Load(dst)))
			})
		},
	}
}
