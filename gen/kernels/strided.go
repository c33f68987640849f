package main

import (
	"math"
	"math/bits"

	"github.com/gotrellis/trellis/asm"
)

// strided has the kernels for classes that are not contiguous: lanes go across
// neighbouring positions. The positions at hand are copied, so that their classes,
// which may lie a power of two apart, do not drive each other out of the caches. The
// copy and what there is once for each position are read and written in whole vectors.
func strided() []kernel {
	return []kernel{
		narrowTargets(), targetLogits(), maxStrided(), expStrided(), scaleStrided(), logSoftmaxColumns(),
		gradientStrided(), gradientStridedStream(), gradientStridedUniform(), gradientStridedUniformStream(), gradientStridedSoft(),
		spreadTargets(), splitLogSums(), addLogSoftmax(), addLogSoftmaxUniform(),
		targetLosses(), gradientFactors(), targetGradients(), targetGradientsSoft(),
		toColumns(), toRows(), sumExpColumns(), expColumns(), pairTerms(), pairGradients(),
	}
}

// eachClass is a loop over the classes of the positions at hand.
func eachClass(k *builder, body func()) { repeat(k, k.Arg("count"), 1, body) }

// narrowTargets writes class[i] = targets[i], and returns others, which is 0 if all targets are in [0,classes).
func narrowTargets() kernel {
	return kernel{
		name:    "narrowTargets",
		params:  []parameter{slice("class", i32), slice("targets", ints), integer("classes")},
		results: []parameter{integer("others")},
		body: func(k *builder) {
			class, targets, zero := k.Array("class"), k.Array("targets"), k.Const(asm.I64, 0)
			last, signs := k.Arg("classes").Minus(k.Int(1)).Splat(asm.I64), k.Var(zero)
			k.Each(k.Len("targets"), arrays{targets}, func(l asm.Lanes) {
				y := l.Load(targets)
				l.StoreNarrow(class, y)
				signs.Set(signs.Or(y).Or(last.Sub(y)))
				class.Advance(asm.I64.Lanes())
			})
			k.ReturnInt("others", k.Int(asm.I64.Lanes()).Minus(signs.Less(zero).First()))
		},
	}
}

// targetLogits writes, for positions j and classes c,
//
//	logit[j] = x[c][j]    where c is class[j]
func targetLogits() kernel {
	logit, class, x, count := slice("logit", F), slice("class", i32), view("x", F), integer("count")
	return kernel{
		name:   "targetLogits",
		params: []parameter{logit, class, x, count},
		stub:   []parameter{logit, class, x.data(), x.columns(), x.stride(), count},
		body: func(k *builder) {
			logit, class, x := k.Array("logit"), k.Array("class"), k.Array("x")
			row := x.Elements(k.Arg("xStride"))
			repeat(k, k.Arg("xColumns"), k.F.Lanes(), func() {
				target, from, classes, number := k.Var(logit.Load()), x.Copy(), loadIndices(k, class), k.Copy(k.Int(0))
				eachClass(k, func() {
					target.Set(classes.Equal(number.Splat(k.F.Int())).Select(from.Load(), target))
					from.Move(row)
					number.Inc(k.Int(1))
				})
				logit.Store(target)
				logit.Advance(k.F.Lanes())
				class.Advance(k.F.Lanes())
				x.Advance(k.F.Lanes())
			})
		},
	}
}

// maxStrided writes, for positions j and classes c counted from first,
//
//	dst[c][j] = x[c][j]
//	m[j]      = max(m[j], x[0][j], x[1][j], …)
//	logit[j]  = x[c][j]    where first + c is class[j]
//
// with m[j] = −Inf and logit[j] = 0 before, if first is 0. In columns beyond those of x it finds −Inf.
func maxStrided() kernel {
	m, logit, class, dst, x := slice("m", F), slice("logit", F), slice("class", i32), view("dst", F), view("x", F)
	count, first := integer("count"), integer("first")
	return kernel{
		name:   "maxStrided",
		params: []parameter{m, logit, class, dst, x, count, first},
		stub:   []parameter{m, logit, class, dst.data(), dst.stride(), x.data(), x.columns(), x.stride(), count, first},
		body: func(k *builder) {
			m, logit, class, dst, x := k.Array("m"), k.Array("logit"), k.Array("class"), k.Array("dst"), k.Array("x")
			dstRow, xRow, first := dst.Elements(k.Arg("dstStride")), x.Elements(k.Arg("xStride")), k.Arg("first")
			negInf, zero := k.Const(k.F, math.Inf(-1)), k.Const(k.F, 0)
			k.Each(k.Arg("xColumns"), arrays{x, dst, m, logit}, func(l asm.Lanes) {
				top, target, number := k.Var(negInf), k.Var(zero), k.Copy(first)
				k.If(first.NotEqual(k.Int(0)), func() {
					top.Set(m.Load())
					target.Set(logit.Load())
				})
				from, to, classes := x.Copy(), dst.Copy(), loadIndices(k, class)
				eachClass(k, func() {
					v := l.LoadOr(from, negInf)
					to.Store(v)
					top.Set(v.Max(top))
					target.Set(classes.Equal(number.Splat(k.F.Int())).Select(v, target))
					from.Move(xRow)
					to.Move(dstRow)
					number.Inc(k.Int(1))
				})
				m.Store(top.Add(zero))
				logit.Store(target)
				class.Advance(k.F.Lanes())
			})
		},
	}
}

// expStrided writes, for positions j and classes c, where no x[c][j] is above m[j],
//
//	x[c][j]  = exp(x[c][j] − m[j])
//	ties[j] += Σ x[c][j] over the c where that is 1
//	sum[j]  += Σ x[c][j] over the other c, and (ties[j] − 1)·last
//
// Meanwhile it asks for next, as many vectors, row by row: memory has all the time that exp takes.
func expStrided() kernel {
	sum, ties, m, x := slice("sum", f64), slice("ties", F), slice("m", F), view("x", F)
	count, last, next := integer("count"), number("last", F), view("next", F)
	return kernel{
		name:   "expStrided",
		params: []parameter{sum, ties, m, x, count, last, next},
		stub:   []parameter{sum, ties, m, x.data(), x.stride(), count, last, next.data(), next.columns(), next.stride()},
		body: func(k *builder) {
			sum, ties, m, x := k.Array("sum"), k.Array("ties"), k.Array("m"), k.Array("x")
			row := x.Elements(k.Arg("xStride")) // which has whole vectors
			next, left := k.Array("next"), k.Copy(k.Arg("nextColumns"))
			one, e := k.Const(k.F, 1), newFactoredExponential(k)
			end := x.Plus(row)
			k.While(x.Before(end), func() {
				terms, class := e.newSum(k), x.Copy()
				eachClass(k, func() { // m is loaded where it is needed: AVX2 has few registers
					p, power := terms.add(k, class.Load().Sub(m.Load()))
					class.Store(p.Mul(power))
					class.Move(row)
					next.Prefetch(2)
					next.Advance(k.F.Lanes())
					left.Dec(k.Int(k.F.Lanes()))
					k.If(left.LessEqual(k.Int(0)), func() {
						next.Move(next.Elements(left.Plus(k.Arg("nextStride")).Minus(k.Arg("nextColumns"))))
						left.Set(k.Arg("nextColumns"))
					})
				})
				counted := ties.Load().Add(terms.ties())
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
func scaleStrided() kernel {
	dst, x, count, factor := view("dst", F), view("x", F), integer("count"), slice("factor", F)
	return kernel{
		name:   "scaleStrided",
		params: []parameter{dst, x, count, factor},
		stub:   []parameter{dst.data(), dst.columns(), dst.stride(), x.data(), x.stride(), count, factor},
		body: func(k *builder) {
			dst, x := k.Array("dst"), k.Array("x")
			dstRow, xRow := dst.Elements(k.Arg("dstStride")), x.Elements(k.Arg("xStride"))
			eachClass(k, func() {
				factor, from, to := k.Array("factor"), x.Copy(), dst.Copy()
				k.Each(k.Arg("dstColumns"), arrays{to, from, factor}, func(l asm.Lanes) {
					l.Store(to, from.Load().Mul(factor.Load()))
				})
				x.Move(xRow)
				dst.Move(dstRow)
			})
		},
	}
}

// logSoftmaxColumns writes, for rows j and elements c of each,
//
//	dst[c][j] = (x[c][j] − hi[j]) − lo[j]
func logSoftmaxColumns() kernel {
	dst, x, count, hi, lo := view("dst", F), view("x", F), integer("count"), slice("hi", F), slice("lo", F)
	return kernel{
		name:   "logSoftmaxColumns",
		params: []parameter{dst, x, count, hi, lo},
		stub:   []parameter{dst.data(), dst.columns(), dst.stride(), x.data(), x.stride(), count, hi, lo},
		body: func(k *builder) {
			dst, x := k.Array("dst"), k.Array("x")
			dstRow, xRow := dst.Elements(k.Arg("dstStride")), x.Elements(k.Arg("xStride"))
			eachClass(k, func() {
				hi, lo, from, to := k.Array("hi"), k.Array("lo"), x.Copy(), dst.Copy()
				k.Each(k.Arg("dstColumns"), arrays{to, from, hi, lo}, func(l asm.Lanes) {
					l.Store(to, from.Load().Sub(hi.Load()).Sub(lo.Load()))
				})
				x.Move(xRow)
				dst.Move(dstRow)
			})
		},
	}
}

// gradientStrided writes, for positions j and classes c,
//
//	dst[c][j] = x[c][j]·factor[j]
//	dst[c][j] = target[j]            where first + c is class[j]
func gradientStrided() kernel { return gradientStridedTo("gradientStrided", false, false) }

// gradientStridedStream is gradientStrided past the caches. It does not wait for memory if wait is 0: the next call does.
func gradientStridedStream() kernel {
	return gradientStridedTo("gradientStridedStream", false, true)
}

// gradientStridedUniform is gradientStrided with
//
//	dst[c][j] = x[c][j]·factor[j] − u[c]·scale[j]
//
// elsewhere, where the difference is rounded once more.
func gradientStridedUniform() kernel {
	return gradientStridedTo("gradientStridedUniform", true, false)
}

// gradientStridedUniformStream is gradientStridedUniform past the caches, as gradientStridedStream is.
func gradientStridedUniformStream() kernel {
	return gradientStridedTo("gradientStridedUniformStream", true, true)
}

func gradientStridedTo(name string, uniform, stream bool) kernel {
	dst, x, count, factor := view("dst", F), view("x", F), integer("count"), slice("factor", F)
	class, first, target := slice("class", i32), integer("first"), slice("target", F)
	last := []parameter{count, factor, class, first, target}
	if uniform {
		last = append(last, slice("u", F), slice("scale", F))
	}
	if stream {
		last = append(last, integer("wait"))
	}
	return kernel{
		name:   name,
		params: append([]parameter{dst, x}, last...),
		stub:   append([]parameter{dst.data(), dst.columns(), dst.stride(), x.data(), x.stride()}, last...),
		body: func(k *builder) {
			dst, x, number := k.Array("dst"), k.Array("x"), k.Copy(k.Arg("first"))
			dstRow, xRow := dst.Elements(k.Arg("dstStride")), x.Elements(k.Arg("xStride"))
			var u asm.Array
			if uniform {
				u = k.Array("u")
			}
			eachClass(k, func() {
				factor, from, to := k.Array("factor"), x.Copy(), dst.Copy()
				class, target, this := k.Array("class"), k.Array("target"), number.Splat(k.F.Int())
				through, scale := arrays{to, from, factor, target}, asm.Array{}
				if uniform {
					scale = k.Array("scale")
					through = append(through, scale)
				}
				k.Each(k.Arg("dstColumns"), through, func(l asm.Lanes) {
					v := from.Load().Mul(factor.Load())
					if uniform {
						v = u.Broadcast().NegMulAdd(scale.Load(), v)
					}
					v = loadIndices(k, class).Equal(this).Select(target.Load(), v)
					if stream {
						l.Stream(to, v)
					} else {
						l.Store(to, v)
					}
					class.Advance(k.F.Lanes())
				})
				x.Move(xRow)
				dst.Move(dstRow)
				number.Inc(k.Int(1))
				if uniform {
					u.Advance(1)
				}
			})
			if stream {
				k.If(k.Arg("wait").NotEqual(k.Int(0)), k.Fence)
			}
		},
	}
}

// gradientStridedSoft writes, for positions j and classes c,
//
//	dst[c][j] = x[c][j]·factor[j] − u[c][j]·scale[j]
//
// where the difference is rounded once more.
func gradientStridedSoft() kernel {
	dst, x, u, count, factor, scale := view("dst", F), view("x", F), view("u", F), integer("count"), slice("factor", F), slice("scale", F)
	return kernel{
		name:   "gradientStridedSoft",
		params: []parameter{dst, x, u, count, factor, scale},
		stub:   []parameter{dst.data(), dst.columns(), dst.stride(), x.data(), x.stride(), u.data(), u.stride(), count, factor, scale},
		body: func(k *builder) {
			dst, x, u := k.Array("dst"), k.Array("x"), k.Array("u")
			dstRow, xRow, uRow := dst.Elements(k.Arg("dstStride")), x.Elements(k.Arg("xStride")), u.Elements(k.Arg("uStride"))
			eachClass(k, func() {
				factor, scale, from, soft, to := k.Array("factor"), k.Array("scale"), x.Copy(), u.Copy(), dst.Copy()
				k.Each(k.Arg("dstColumns"), arrays{to, from, soft, factor, scale}, func(l asm.Lanes) {
					l.Store(to, l.Load(soft).NegMulAdd(scale.Load(), from.Load().Mul(factor.Load())))
				})
				x.Move(xRow)
				u.Move(uRow)
				dst.Move(dstRow)
			})
		},
	}
}

// loadIndices reads an I32 for each lane of F, as the integer of its size.
func loadIndices(k *builder, from asm.Array) asm.Vec {
	if k.F == asm.F64 {
		return k.All().LoadWiden(from)
	}
	return from.Load()
}

// spreadTargets writes, for positions j and classes c,
//
//	u[c][j] = (p[c][j]·keep + share)·weight[c]
//
// where the sum is rounded once.
func spreadTargets() kernel {
	u, p, weight, count := view("u", F), view("p", F), slice("weight", F), integer("count")
	keep, share := number("keep", F), number("share", F)
	return kernel{
		name:   "spreadTargets",
		params: []parameter{u, p, weight, keep, share, count},
		stub:   []parameter{u.data(), u.stride(), p.data(), p.columns(), p.stride(), weight, keep, share, count},
		body: func(k *builder) {
			u, p, keep, share := k.Array("u"), k.Array("p"), k.Param("keep"), k.Param("share")
			uRow, pRow := u.Elements(k.Arg("uStride")), p.Elements(k.Arg("pStride"))
			k.Each(k.Arg("pColumns"), arrays{u, p}, func(l asm.Lanes) {
				weight, from, to := k.Array("weight"), p.Copy(), u.Copy()
				eachClass(k, func() {
					l.Store(to, l.Load(from).MulAdd(keep, share).Mul(weight.Broadcast()))
					from.Move(pRow)
					to.Move(uRow)
					weight.Advance(1)
				})
			})
		},
	}
}

// splitLogSums writes m[i] + ln[i] in two parts,
//
//	hi[i] = m[i] + ln[i]
//	lo[i] = what rounding that left out
func splitLogSums() kernel {
	return kernel{
		name:   "splitLogSums",
		params: []parameter{slice("hi", F), slice("lo", F), slice("m", F), slice("ln", f64)},
		body: func(k *builder) {
			hi, lo, m, ln := k.Array("hi"), k.Array("lo"), k.Array("m"), k.Array("ln")
			repeat(k, k.Len("hi"), k.F.Lanes(), func() {
				var sums, errs, rest []asm.Vec
				for i, top := range halves(m.Load()) {
					sum := top.Add(ln.Vector(i).Load())
					v := sum.Sub(top)
					sums = append(sums, sum)
					errs = append(errs, top.Sub(sum.Sub(v)).Sub(v.Sub(ln.Vector(i).Load())))
				}
				rounded := whole(sums)
				hi.Store(rounded)
				for i, h := range halves(rounded) {
					rest = append(rest, sums[i].Sub(h).Add(errs[i]))
				}
				lo.Store(whole(rest))
				for _, a := range (arrays{hi, lo, m, ln}) {
					a.Advance(k.F.Lanes())
				}
			})
		},
	}
}

// addLogSoftmax does, for positions j and classes c,
//
//	dot[j]  += Σ u[c][j]·((x[c][j] − hi[j]) − lo[j])    where u[c][j] is not 0
//	mass[j] += Σ u[c][j]
//
// with 0 for both before, if first is 0.
func addLogSoftmax() kernel {
	dot, mass, u, x := slice("dot", f64), slice("mass", f64), view("u", F), view("x", F)
	hi, lo, count, first := slice("hi", F), slice("lo", F), integer("count"), integer("first")
	return kernel{
		name:   "addLogSoftmax",
		params: []parameter{dot, mass, u, x, hi, lo, count, first},
		stub:   []parameter{dot, mass, u.data(), u.stride(), x.data(), x.columns(), x.stride(), hi, lo, count, first},
		body: func(k *builder) {
			mass, u := k.Array("mass"), k.Array("u")
			uRow := u.Elements(k.Arg("uStride"))
			addLogSoftmaxTo(k, arrays{u}, func(l asm.Lanes, dot wideSum, logp func(x asm.Array) asm.Vec, x asm.Array, xRow asm.Distance) {
				total, from := loadUnlessFirst(k, mass), u.Copy()
				eachClass(k, func() {
					w := l.Load(from)
					total.add(w)
					dot.add(w.NotEqual(k.Const(k.F, 0)).Keep(w.Mul(logp(x))))
					from.Move(uRow)
					x.Move(xRow)
				})
				total.store(mass)
				mass.Advance(k.F.Lanes())
			})
		},
	}
}

// addLogSoftmaxUniform does, for positions j and classes c,
//
//	dot[j] += Σ u[c]·((x[c][j] − hi[j]) − lo[j])    where u[c] is not 0
//
// with dot[j] = 0 before, if first is 0.
func addLogSoftmaxUniform() kernel {
	dot, u, x, hi, lo, first := slice("dot", f64), slice("u", F), view("x", F), slice("hi", F), slice("lo", F), integer("first")
	return kernel{
		name:   "addLogSoftmaxUniform",
		params: []parameter{dot, u, x, hi, lo, first},
		stub:   []parameter{dot, u, x.data(), x.columns(), x.stride(), hi, lo, first},
		body: func(k *builder) {
			addLogSoftmaxTo(k, nil, func(l asm.Lanes, dot wideSum, logp func(x asm.Array) asm.Vec, x asm.Array, xRow asm.Distance) {
				u := k.Array("u")
				repeat(k, k.Len("u"), 1, func() {
					w := u.Broadcast()
					dot.add(w.NotEqual(k.Const(k.F, 0)).Keep(w.Mul(logp(x))))
					u.Advance(1)
					x.Move(xRow)
				})
			})
		},
	}
}

// addLogSoftmaxTo goes through the positions of x and of more arrays. For those at hand body adds to
// dot; logp returns the log-softmax of the class that x is at.
func addLogSoftmaxTo(k *builder, more arrays, body func(l asm.Lanes, dot wideSum, logp func(x asm.Array) asm.Vec, x asm.Array, xRow asm.Distance)) {
	dot, x, hi, lo := k.Array("dot"), k.Array("x"), k.Array("hi"), k.Array("lo")
	xRow := x.Elements(k.Arg("xStride"))
	k.Each(k.Arg("xColumns"), append(more, x, hi, lo), func(l asm.Lanes) {
		total := loadUnlessFirst(k, dot)
		body(l, total, func(x asm.Array) asm.Vec { return l.Load(x).Sub(hi.Load()).Sub(lo.Load()) }, x.Copy(), xRow)
		total.store(dot)
		dot.Advance(k.F.Lanes())
	})
}

// wideSum is variables of F64 with a sum for each lane of F: one, or two for F32.
type wideSum []asm.Vec

// loadUnlessFirst returns the sums that an array begins with, or zeros if first is 0.
func loadUnlessFirst(k *builder, from asm.Array) (s wideSum) {
	for range k.F.Lanes() / asm.F64.Lanes() {
		s = append(s, k.Var(k.Const(asm.F64, 0)))
	}
	k.If(k.Arg("first").NotEqual(k.Int(0)), func() {
		for i, v := range s {
			v.Set(from.Vector(i).Load())
		}
	})
	return s
}

// add adds the lanes of v.
func (s wideSum) add(v asm.Vec) {
	if len(s) == 1 {
		s[0].Set(v.Add(s[0]))
		return
	}
	lower, upper := v.Widen()
	s[0].Set(lower.Add(s[0]))
	s[1].Set(upper.Add(s[1]))
}

// store writes the sums back.
func (s wideSum) store(to asm.Array) {
	for i, v := range s {
		to.Vector(i).Store(v)
	}
}

// halves are the lanes of a vector as F64: two vectors for F32.
func halves(v asm.Vec) []asm.Vec {
	if v.Type() == asm.F64 {
		return []asm.Vec{v}
	}
	lower, upper := v.Widen()
	return []asm.Vec{lower, upper}
}

// whole makes one vector of halves, which rounds F64 to F32.
func whole(h []asm.Vec) asm.Vec {
	if len(h) == 1 {
		return h[0]
	}
	return h[0].Narrow(h[1])
}

// targetLosses writes
//
//	loss[i] = hard[i]·(ln[i] + max[i] − logit[i]) − dot[i]
//
// without max and logit where hard[i] is 0, and returns the sum.
func targetLosses() kernel {
	return kernel{
		name:    "targetLosses",
		params:  []parameter{slice("loss", F), slice("hard", f64), slice("ln", f64), slice("dot", f64), slice("max", F), slice("logit", F)},
		results: []parameter{number("sum", f64)},
		body: func(k *builder) {
			loss, hard, ln, dot := k.Array("loss"), k.Array("hard"), k.Array("ln"), k.Array("dot")
			top, logit, zero := k.Array("max"), k.Array("logit"), k.Const(asm.F64, 0)
			sum := k.Var(zero)
			repeat(k, k.Len("loss"), k.F.Lanes(), func() {
				var v []asm.Vec
				tops := halves(top.Load())
				for i, x := range halves(logit.Load()) {
					h, l := hard.Vector(i).Load(), ln.Vector(i).Load()
					below := l.Add(tops[i].Sub(x))
					term := h.NotEqual(zero).Select(below, l).Mul(h).Add(zero.Sub(dot.Vector(i).Load()))
					sum.Set(term.Add(sum))
					v = append(v, term)
				}
				loss.Store(whole(v))
				for _, a := range (arrays{loss, hard, ln, dot, top, logit}) {
					a.Advance(k.F.Lanes())
				}
			})
			k.Return("sum", sum.FoldAdd())
		},
	}
}

// gradientFactors writes
//
//	factor[i] = scale·(hard[i] + mass[i])/(1 + sum[i])
func gradientFactors() kernel {
	return kernel{
		name:   "gradientFactors",
		params: []parameter{slice("factor", F), slice("hard", f64), slice("mass", f64), slice("sum", f64), number("scale", f64)},
		body: func(k *builder) {
			factor, hard, mass, sum := k.Array("factor"), k.Array("hard"), k.Array("mass"), k.Array("sum")
			scale, one := k.Param("scale"), k.Const(asm.F64, 1)
			repeat(k, k.Len("factor"), k.F.Lanes(), func() {
				var v []asm.Vec
				for i := range k.F.Lanes() / asm.F64.Lanes() {
					weight := hard.Vector(i).Load().Add(mass.Vector(i).Load())
					v = append(v, scale.Mul(weight).Div(one.Add(sum.Vector(i).Load())))
				}
				factor.Store(whole(v))
				for _, a := range (arrays{factor, hard, mass, sum}) {
					a.Advance(k.F.Lanes())
				}
			})
		},
	}
}

// targetGradients writes
//
//	dst[i] = exp(logit[i] − max[i])·factor[i] − scale·hard[i]
//	dst[i] = −scale·hard[i]·(sum[i]/(1 + sum[i]))    where logit[i] is max[i]
func targetGradients() kernel {
	return kernel{
		name: "targetGradients",
		params: []parameter{slice("dst", F), slice("hard", f64), slice("sum", f64), slice("max", F), slice("logit", F),
			slice("factor", F), number("scale", f64)},
		body: func(k *builder) {
			dst, hard, sum := k.Array("dst"), k.Array("hard"), k.Array("sum")
			top, logit, factor := k.Array("max"), k.Array("logit"), k.Array("factor")
			scale, one, zero, e := k.Param("scale"), k.Const(asm.F64, 1), k.Const(asm.F64, 0), newFactoredExponential(k)
			repeat(k, k.Len("dst"), k.F.Lanes(), func() {
				term := e.ofNegative(logit.Load().Sub(top.Load())).Mul(factor.Load())
				var usual, best []asm.Vec
				for i, t := range halves(term) {
					s, gh := sum.Vector(i).Load(), scale.Mul(hard.Vector(i).Load())
					usual = append(usual, t.Sub(gh))
					best = append(best, zero.Sub(gh).Mul(s.Div(one.Add(s))))
				}
				isBest := logit.Load().Equal(top.Load())
				dst.Store(isBest.Select(whole(best), whole(usual)))
				for _, a := range (arrays{dst, hard, sum, top, logit, factor}) {
					a.Advance(k.F.Lanes())
				}
			})
		},
	}
}

// targetGradientsSoft writes
//
//	dst[i] = (exp(logit[i] − max[i])·factor[i] − u[i]·scale[i]) − hardScale·hard[i]
//
// where both differences are rounded once more.
func targetGradientsSoft() kernel {
	return kernel{
		name: "targetGradientsSoft",
		params: []parameter{slice("dst", F), slice("hard", f64), slice("max", F), slice("logit", F), slice("factor", F),
			slice("u", F), slice("scale", F), number("hardScale", f64)},
		body: func(k *builder) {
			dst, hard, top, logit := k.Array("dst"), k.Array("hard"), k.Array("max"), k.Array("logit")
			factor, u, scale, hardScale, e := k.Array("factor"), k.Array("u"), k.Array("scale"), k.Param("hardScale"), newFactoredExponential(k)
			repeat(k, k.Len("dst"), k.F.Lanes(), func() {
				term := e.ofNegative(logit.Load().Sub(top.Load())).Mul(factor.Load())
				var v []asm.Vec
				for i, t := range halves(u.Load().NegMulAdd(scale.Load(), term)) {
					v = append(v, t.Sub(hardScale.Mul(hard.Vector(i).Load())))
				}
				dst.Store(whole(v))
				for _, a := range (arrays{dst, hard, top, logit, factor, u, scale}) {
					a.Advance(k.F.Lanes())
				}
			})
		},
	}
}

// toColumns writes, for rows r and columns c,
//
//	dst[c][r] = x[r][c]
//
// A tile is as many rows as a vector has lanes, and the columns of a piece. The last one of a row begins so early
// that it ends where the row does, unless the row is shorter than a piece.
func toColumns() kernel {
	dst, x, count := view("dst", F), view("x", F), integer("count")
	return kernel{
		name:   "toColumns",
		params: []parameter{dst, x, count},
		stub:   []parameter{dst.data(), dst.stride(), x.data(), x.columns(), x.stride(), count},
		body: func(k *builder) {
			dst, x := k.Array("dst"), k.Array("x")
			dstRow, xRow := dst.Elements(k.Arg("dstStride")), x.Elements(k.Arg("xStride"))
			side := pieceOf(k.F)
			apart, next := xRow.Times(k.Int(side)), x.Vector(soonVectors).Copy()
			repeat(k, k.Arg("count"), k.F.Lanes(), func() {
				from, to := x.Copy(), dst.Copy()
				eachTile(k, "xColumns", from, to, dstRow, func() {
					prefetchTile(next, side)
					for _, column := range columnsOf(from, xRow, apart, side) {
						to.Store(column)
						to.Move(dstRow)
					}
					from.Advance(side)
				})
				x.Move(xRow.Times(k.Int(k.F.Lanes())))
				dst.Advance(k.F.Lanes())
			})
		},
	}
}

// eachTile goes through the tiles of some rows, which have so many columns. body moves on in the rows, and by a
// row for each column in the columns.
func eachTile(k *builder, columns string, inRows, inColumns asm.Array, columnsRow asm.Distance, body func()) {
	side, left := pieceOf(k.F), k.Copy(k.Arg(columns))
	k.While(left.Greater(k.Int(0)), func() {
		k.If(left.Less(k.Int(side)), func() {
			k.If(k.Arg(columns).AtLeast(k.Int(side)), func() {
				back := left.Minus(k.Int(side))
				inRows.Move(inRows.Elements(back))
				inColumns.Move(columnsRow.Times(back))
			})
		})
		body()
		left.Dec(k.Int(side))
	})
}

// soonVectors is how many vectors ahead of their use tiles are asked for.
const soonVectors = 64

// prefetchTile asks for as much memory as a tile takes, and goes on to the next one.
func prefetchTile(next asm.Array, side int) {
	for i := range side {
		next.Vector(i).Prefetch(1)
	}
	next.Advance(side * next.Type().Lanes())
}

// toRows writes, for rows r and columns c,
//
//	dst[r][c] = x[c][r]
//
// in the tiles of toColumns. That of a row that is shorter than a piece writes behind its end, where the next one
// begins: so the rows of a tile are written in their order.
func toRows() kernel {
	dst, x, count := view("dst", F), view("x", F), integer("count")
	return kernel{
		name:   "toRows",
		params: []parameter{dst, x, count},
		stub:   []parameter{dst.data(), dst.columns(), dst.stride(), x.data(), x.stride(), count},
		body: func(k *builder) {
			dst, x := k.Array("dst"), k.Array("x")
			dstRow, xRow := dst.Elements(k.Arg("dstStride")), x.Elements(k.Arg("xStride"))
			side := pieceOf(k.F)
			next := dst.Vector(soonVectors).Copy()
			repeat(k, k.Arg("count"), k.F.Lanes(), func() {
				from, to := x.Copy(), dst.Copy()
				eachTile(k, "dstColumns", to, from, xRow, func() {
					prefetchTile(next, side)
					var columns []asm.Vec
					for range side {
						columns = append(columns, from.Load())
						from.Move(xRow)
					}
					rows, row := transposed(columns), to.Copy()
					for piece := range 4 {
						for _, v := range rows {
							row.StorePiece(v, piece)
							row.Move(dstRow)
						}
					}
					to.Advance(side)
				})
				x.Advance(k.F.Lanes())
				dst.Move(dstRow.Times(k.Int(k.F.Lanes())))
			})
		},
	}
}

// pieceOf returns how many elements a piece of 16 bytes has.
func pieceOf(t asm.Type) int { return 16 / t.Size() }

// columnsOf reads the next side elements of as many rows as a vector has lanes, xRow apart, and returns a
// vector for each column. apart is side rows, as far as what the pieces of a vector are read from.
func columnsOf(x asm.Array, xRow, apart asm.Distance, side int) []asm.Vec {
	var rows []asm.Vec
	row := x.Copy()
	for i := range side {
		rows = append(rows, row.LoadPieces(apart))
		if i+1 < side {
			row.Move(xRow)
		}
	}
	return transposed(rows)
}

// transposed transposes the squares that the pieces of some vectors are: as many vectors as a
// piece has elements.
func transposed(v []asm.Vec) []asm.Vec {
	if len(v) == 2 {
		return []asm.Vec{v[0].ZipLower(v[1]), v[0].ZipUpper(v[1])}
	}
	t := v[0].Type()
	pair := func(a, b asm.Vec) (lower, upper asm.Vec) {
		return a.ZipLower(b).As(asm.F64), a.ZipUpper(b).As(asm.F64)
	}
	a, b := pair(v[0], v[1])
	c, d := pair(v[2], v[3])
	return []asm.Vec{a.ZipLower(c).As(t), a.ZipUpper(c).As(t), b.ZipLower(d).As(t), b.ZipUpper(d).As(t)}
}

// sumExpColumns writes, for columns j of count elements x[c][j],
//
//	m[j]   = max(x[0][j], x[1][j], …)
//	sum[j] = Σ exp(x[c][j] − m[j]), less 1
//
// The terms are added up as the lanes of a row are: element c goes to sum c mod lanes in
// scratch, and the upper half of the sums is added to the lower half until one is left.
func sumExpColumns() kernel {
	m, sum, x, scratch, count := slice("m", F), slice("sum", f64), view("x", F), slice("scratch", F), integer("count")
	return kernel{
		name:   "sumExpColumns",
		params: []parameter{m, sum, x, scratch, count},
		stub:   []parameter{m, sum, x.data(), x.columns(), x.stride(), scratch, count},
		body:   func(k *builder) { sumColumns(k, false) },
	}
}

// expColumns is sumExpColumns and writes
//
//	dst[c][j] = exp(x[c][j] − m[j])
func expColumns() kernel {
	m, sum, dst, x := slice("m", F), slice("sum", f64), view("dst", F), view("x", F)
	scratch, count := slice("scratch", F), integer("count")
	return kernel{
		name:   "expColumns",
		params: []parameter{m, sum, dst, x, scratch, count},
		stub:   []parameter{m, sum, dst.data(), dst.stride(), x.data(), x.columns(), x.stride(), scratch, count},
		body:   func(k *builder) { sumColumns(k, true) },
	}
}

// sumColumns is the body of both, which may store the terms.
func sumColumns(k *builder, store bool) {
	m, sum, x, scratch := k.Array("m"), k.Array("sum"), k.Array("x"), k.Base("scratch")
	xRow, through := x.Elements(k.Arg("xStride")), arrays{m, x, sum}
	var dst asm.Array
	var dstRow asm.Distance
	if store {
		dst = k.Array("dst")
		dstRow = dst.Elements(k.Arg("dstStride"))
		through = append(through, dst)
	}
	zero, e := k.Const(k.F, 0), newFactoredExponential(k)
	columns := k.Copy(k.Arg("xColumns"))
	k.If(k.Arg("count").Equal(k.Int(2)), func() {
		k.While(columns.Greater(k.Int(0)), func() {
			one, x0, x1 := k.Const(k.F, 1), x, x.Plus(xRow)
			term := pairTerm(k, e, m, x0.Load, x1.Load) // the larger one has 1, so this is the sum
			storeWide(sum, term)
			if store {
				dst.Store(x0.Load().Equal(m.Load()).Select(one, term))
				dst.Plus(dstRow).Store(x1.Load().Equal(m.Load()).Select(one, term))
			}
			for _, a := range through {
				a.Advance(k.F.Lanes())
			}
			columns.Dec(k.Int(k.F.Lanes()))
		})
	})
	k.While(columns.Greater(k.Int(0)), func() {
		most, from := k.Var(k.Const(k.F, math.Inf(-1))), x.Copy()
		eachClass(k, func() {
			most.Set(from.Load().Max(most))
			from.Move(xRow)
		})
		m.Store(most.Add(zero))

		terms, to := e.newTerms(k), asm.Array{}
		if store {
			to = dst.Copy()
		}
		from.Set(x)
		plus := func(total asm.Vec) asm.Vec {
			sum, p, power := terms.plus(k, total, from.Load().Sub(m.Load()))
			from.Move(xRow)
			if store {
				to.Store(p.Mul(power))
				to.Move(dstRow)
			}
			return sum
		}
		left, sums := k.Copy(k.Arg("count")), scratch.Copy()
		lanes := k.Int(k.F.Lanes())
		inUse := k.Copy(left)
		k.If(inUse.Greater(lanes), func() { inUse.Set(k.Copy(lanes)) })
		for half := k.F.Lanes() / 2; half > 0; half /= 2 { // the first step of folding is done on the way
			k.If(left.Greater(k.Int(half)), func() {
				k.If(left.LessEqual(k.Int(2*half)), func() { inUse.Set(k.Copy(k.Int(half))) })
			})
		}
		repeat(k, inUse, 1, func() {
			sums.Store(plus(zero))
			sums.Advance(k.F.Lanes())
		})
		left.Dec(inUse)
		k.While(left.Greater(k.Int(0)), func() {
			sums.Set(scratch)
			end := scratch.Plus(scratch.Elements(inUse.Shl(bits.TrailingZeros(uint(k.F.Lanes()))))).Copy()
			next := k.NewLabel("next")
			k.Place(next)
			sums.Store(plus(sums.Load()))
			sums.Advance(k.F.Lanes())
			left.Dec(k.Int(1))
			k.If(left.Greater(k.Int(0)), func() { k.JumpIf(sums.Before(end), next) })
		})
		const kept = 8 // sums that are folded in registers
		k.If(inUse.Greater(k.Int(kept)), func() {
			lower := scratch.Copy()
			repeat(k, k.Int(kept), 1, func() {
				lower.Store(lower.Load().Add(lower.Vector(kept).Load()))
				lower.Advance(k.F.Lanes())
			})
			inUse.Set(k.Copy(k.Int(kept)))
		})
		total := k.Var(scratch.Load())
		for n := 2; n <= kept; n *= 2 {
			k.If(inUse.Equal(k.Int(n)), func() { total.Set(foldVectors(scratch, n, 0, 1)) })
		}
		storeWide(sum, total.Add(terms.ties().Sub(k.Const(k.F, 1))))
		for _, a := range through {
			a.Advance(k.F.Lanes())
		}
		columns.Dec(k.Int(k.F.Lanes()))
	})
}

// foldVectors adds every step-th of n vectors, from the i-th on, the upper half to the lower half until one is left.
func foldVectors(from asm.Array, n, i, step int) asm.Vec {
	if step == n {
		return from.Vector(i).Load()
	}
	return foldVectors(from, n, i, 2*step).Add(foldVectors(from, n, i+step, 2*step))
}

// pairTerm writes the larger one of two elements to m, and returns exp of what the other one is below it.
func pairTerm(k *builder, e *factoredExponential, m asm.Array, load0, load1 func() asm.Vec) asm.Vec {
	zero := k.Const(k.F, 0)
	top := load1().Max(load0().Max(k.Const(k.F, math.Inf(-1)))).Add(zero)
	m.Store(top)
	return e.ofNegative(load0().Sub(top).Add(load1().Sub(top))) // of 0 and what is below, or NaN
}

// pairPlaces goes through the scores of positions with two classes by vectors: those of a run of positions
// for one class, then as many for the other. A vector has as many runs as fill it, or a run some vectors.
type pairPlaces struct {
	k         *builder
	run, left asm.Int
	at        [4]asm.Distance // of the pieces of a vector
	other     asm.Distance    // from one class to the other
}

// pairParameters are the parameters of pairPlaces, in elements: the run, the other class, and the second
// and the third piece of a vector.
func pairParameters() []parameter {
	return []parameter{integer("run"), integer("other"), integer("second"), integer("third")}
}

func newPairPlaces(k *builder, a asm.Array) *pairPlaces {
	p := &pairPlaces{k: k, run: k.Arg("run"), other: a.Elements(k.Arg("other"))}
	p.left = k.Copy(p.run)
	second, third := k.Arg("second"), k.Arg("third")
	for i, n := range [...]asm.Int{k.Copy(k.Int(0)), second, third, second.Plus(third)} {
		p.at[i] = a.Elements(n)
	}
	return p
}

// load reads the vector of each class.
func (p *pairPlaces) load(a asm.Array) (first, other asm.Vec) {
	return a.GatherPieces(p.at), a.Plus(p.other).GatherPieces(p.at)
}

// store writes them.
func (p *pairPlaces) store(a asm.Array, first, other asm.Vec) {
	to := a.Copy()
	for _, v := range []asm.Vec{first, other} {
		to.StorePiece(v, 0)
		for i, d := range p.at[1:] {
			to.Plus(d).StorePiece(v, i+1)
		}
		to.Move(p.other)
	}
}

// advance goes on to the next vectors.
func (p *pairPlaces) advance(a asm.Array) {
	a.Advance(p.k.F.Lanes())
	p.left.Dec(p.k.Int(p.k.F.Lanes()))
	p.k.If(p.left.LessEqual(p.k.Int(0)), func() {
		a.Move(a.Elements(p.run))
		p.left.Set(p.run)
	})
}

// pairTerms writes, for positions j with the scores x[0][j] and x[1][j] and the targets y = targets[j],
//
//	m[j]     = max(x[0][j], x[1][j])
//	sum[j]   = exp(min(x[0][j], x[1][j]) − m[j])
//	logit[j] = x[y][j]
//	hard[j]  = w0 or w1    as y is 0 or 1
//
// and returns others, which is 0 if all targets are 0 or 1. Else what depends on y is of no use.
func pairTerms() kernel {
	return kernel{
		name: "pairTerms",
		params: append([]parameter{slice("m", F), slice("sum", f64), slice("logit", F), slice("hard", f64),
			slice("x", F), slice("targets", ints), number("w0", f64), number("w1", f64)}, pairParameters()...),
		results: []parameter{integer("others")},
		body: func(k *builder) {
			m, sum, logit, hard := k.Array("m"), k.Array("sum"), k.Array("logit"), k.Array("hard")
			x, targets, w0, w1 := k.Array("x"), k.Array("targets"), k.Param("w0"), k.Param("w1")
			places, e, seen := newPairPlaces(k, x), newFactoredExponential(k), k.Var(k.Const(asm.I64, 0))
			repeat(k, k.Len("targets"), k.F.Lanes(), func() {
				odd := oddTargets(k, targets)
				for i, v := range odd {
					seen.Set(seen.Or(targets.Vector(i).Load()))
					hard.Vector(i).Store(v.NotEqual(k.Const(asm.F64, 0)).Select(w1, w0))
				}
				first, other := places.load(x)
				logit.Store(whole(odd).NotEqual(k.Const(k.F, 0)).Select(other, first))
				storeWide(sum, pairTerm(k, e, m, func() asm.Vec { return first }, func() asm.Vec { return other }))
				for _, a := range (arrays{m, sum, logit, hard, targets}) {
					a.Advance(k.F.Lanes())
				}
				places.advance(x)
			})
			k.ReturnInt("others", k.Int(asm.I64.Lanes()).Minus(k.Const(asm.I64, 0).Less(seen.Shr(1)).First()))
		},
	}
}

// oddTargets returns 2 or −2 for the targets at hand that are odd, and 0 or −0 for the others.
func oddTargets(k *builder, targets asm.Array) (odd []asm.Vec) {
	for i := range k.F.Lanes() / asm.F64.Lanes() {
		odd = append(odd, targets.Vector(i).Load().Shl(62).As(asm.F64))
	}
	return odd
}

// pairGradients writes, for positions j of pairTerms and their targets y,
//
//	dst[y][j] = −g·s/(1 + s)     and for the other class s·f     where logit[j] is m[j]
//	dst[y][j] = s·f − g          and for the other class f       where it is not
//
// with s = sum[j], g = scale·hard[j] and f = g/(1 + s).
func pairGradients() kernel {
	return kernel{
		name: "pairGradients",
		params: append([]parameter{slice("dst", F), slice("m", F), slice("sum", f64), slice("logit", F), slice("hard", f64),
			slice("targets", ints), number("scale", f64)}, pairParameters()...),
		body: func(k *builder) {
			m, sum, logit, hard := k.Array("m"), k.Array("sum"), k.Array("logit"), k.Array("hard")
			dst, targets, scale := k.Array("dst"), k.Array("targets"), k.Param("scale")
			places, one, zero := newPairPlaces(k, dst), k.Const(asm.F64, 1), k.Const(asm.F64, 0)
			repeat(k, k.Len("targets"), k.F.Lanes(), func() {
				each := func(of func(s, g asm.Vec) asm.Vec) asm.Vec { // reads again what registers have no room for
					var all []asm.Vec
					for i := range k.F.Lanes() / asm.F64.Lanes() {
						all = append(all, of(sum.Vector(i).Load(), scale.Mul(hard.Vector(i).Load())))
					}
					return whole(all)
				}
				least := each(func(s, g asm.Vec) asm.Vec { return zero.Sub(g).Mul(s.Div(one.Add(s))) })
				factor := each(func(s, g asm.Vec) asm.Vec { return g.Div(one.Add(s)) })
				below := each(func(s, _ asm.Vec) asm.Vec { return s }).Mul(factor)
				var usual []asm.Vec
				for i, v := range halves(below) {
					usual = append(usual, v.Sub(scale.Mul(hard.Vector(i).Load())))
				}
				isBest := logit.Load().Equal(m.Load())
				target, rest := isBest.Select(least, whole(usual)), isBest.Select(below, factor)
				isOther := whole(oddTargets(k, targets)).NotEqual(k.Const(k.F, 0))
				places.store(dst, isOther.Select(rest, target), isOther.Select(target, rest))
				for _, a := range (arrays{m, sum, logit, hard, targets}) {
					a.Advance(k.F.Lanes())
				}
				places.advance(dst)
			})
		},
	}
}

// storeWide writes the lanes of v as F64.
func storeWide(to asm.Array, v asm.Vec) {
	for i, h := range halves(v) {
		to.Vector(i).Store(h)
	}
}
