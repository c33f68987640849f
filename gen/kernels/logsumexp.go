package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// logSumExp has the kernels that read a row.
func logSumExp() []kernel {
	return []kernel{
		sumExpBlock(), expBlock(), sumExpBelow(), expCopy(), maxBlock(), sumExpRows(), log1p(),
	}
}

// sumExpBlock returns
//
//	top = max(m, x[0], x[1], …)
//	sum = Σ exp(x[i] − top)        less 1 if top is new, above m
func sumExpBlock() kernel {
	return kernel{
		name:    "sumExpBlock",
		params:  []parameter{slice("x", F), number("m", F), integer("ahead")},
		results: []parameter{number("top", F), number("sum", F)},
		body:    func(k *builder) { maxThenSum(k, false) },
	}
}

// expBlock is sumExpBlock and writes
//
//	dst[i] = exp(x[i] − top)
func expBlock() kernel {
	return kernel{
		name:    "expBlock",
		params:  []parameter{slice("dst", F), slice("x", F), number("m", F), integer("ahead")},
		results: []parameter{number("top", F), number("sum", F)},
		body:    func(k *builder) { maxThenSum(k, true) },
	}
}

// maxThenSum finds the maximum and then the sum, whose terms it may store in dst.
func maxThenSum(k *builder, store bool) {
	x, n := k.Array("x"), k.Len("x")
	negInf, e := k.Const(k.F, math.Inf(-1)), newFactoredExponential(k)
	top := spreadMax(k, x, n, k.Param("m"), negInf)
	next, dst := ahead(k), asm.Array{}
	through := arrays{x, next}
	if store {
		dst = k.Array("dst")
		through = append(through, dst)
	}
	sum := e.newSum(k)
	minus := k.Const(k.F, 0).Sub(top) // AVX2 can add x, not subtract from it, where it is in memory
	k.Each(n, through, func(l asm.Lanes) {
		next.Prefetch(2)
		if p, power := sum.add(k, l.LoadOr(x, negInf).Add(minus)); store {
			l.Store(dst, p.Mul(power))
		}
	})
	top = k.Const(k.F, 0).Sub(minus)
	first := k.Param("m").Less(top).Keep(k.Const(k.F, 1)) // if the maximum is new, its 1 is left out
	k.Return("top", top)
	k.Return("sum", sum.total.FoldAdd().Add(sum.ties().FoldAdd().Sub(first)))
}

// ahead returns what is read next, ahead bytes behind x.
func ahead(k *builder) asm.Array {
	next := k.Array("x")
	next.Move(asm.Bytes(k.Arg("ahead")))
	return next
}

// spreadMax returns the largest of m and n elements, leaving out NaN, in all
// lanes, and +0 for −0.
func spreadMax(k *builder, x asm.Array, n asm.Int, m, negInf asm.Vec) asm.Vec {
	var top [4]asm.Vec
	for u := range top {
		top[u] = k.Var(m)
	}
	x = x.Copy()
	k.EachUnrolled(n, arrays{x}, len(top), func(l asm.Lanes, u int) {
		top[u].Set(l.LoadOr(x.Vector(u), negInf).Max(top[u]))
	})
	return top[0].Max(top[1]).Max(top[2].Max(top[3])).FoldMax().Add(k.Const(k.F, 0)).Spread()
}

// maxBlock returns
//
//	top = max(−Inf, x[0], x[1], …)
func maxBlock() kernel {
	return kernel{
		name:    "maxBlock",
		params:  []parameter{slice("x", F)},
		results: []parameter{number("top", F)},
		body: func(k *builder) {
			negInf := k.Const(k.F, math.Inf(-1))
			k.Return("top", spreadMax(k, k.Base("x"), k.Len("x"), negInf, negInf))
		},
	}
}

// sumExpBelow returns, where no x[i] is above m, the sum of the terms exp(x[i] − m) below 1 and
// the sum of those that are 1. It asks for what is read next, ahead bytes behind x.
func sumExpBelow() kernel {
	return kernel{
		name:    "sumExpBelow",
		params:  []parameter{slice("x", F), number("m", F), integer("ahead")},
		results: []parameter{number("sum", F), number("ties", F)},
		body: func(k *builder) {
			x, next := k.Array("x"), ahead(k)
			zero, negInf, e := k.Const(k.F, 0), k.Const(k.F, math.Inf(-1)), newFactoredExponential(k)
			sum, minus := e.newSum(k), zero.Sub(k.Param("m"))
			k.Each(k.Len("x"), arrays{x, next}, func(l asm.Lanes) {
				next.Prefetch(2)
				sum.add(k, l.LoadOr(x, negInf).Add(minus))
			})
			k.Return("sum", sum.total.FoldAdd())
			k.Return("ties", sum.ties().FoldAdd())
		},
	}
}

// expCopy writes, where no x[i] is above m,
//
//	dst[i] = exp(x[i] − m)
//	out[i] = in[i]
//
// and returns the sum of the terms below 1 and the sum of those that are 1. It does not
// let the memory wait: a row goes out, past the caches, and another comes in, ahead bytes
// behind x, while exp is made.
func expCopy() kernel {
	return kernel{
		name:    "expCopy",
		params:  []parameter{slice("dst", F), slice("x", F), number("m", F), slice("out", F), slice("in", F), integer("ahead")},
		results: []parameter{number("sum", F), number("ties", F)},
		body: func(k *builder) {
			dst, x, next := k.Array("dst"), k.Array("x"), ahead(k)
			out, in := k.Array("out"), k.Array("in")
			zero, negInf, e := k.Const(k.F, 0), k.Const(k.F, math.Inf(-1)), newFactoredExponential(k)
			sum, minus := e.newSum(k), zero.Sub(k.Param("m"))
			term := func(l asm.Lanes) {
				p, power := sum.add(k, l.LoadOr(x, negInf).Add(minus))
				l.Store(dst, p.Mul(power))
				next.Prefetch(2)
			}
			all := k.All() // out has whole vectors
			k.Each(k.Len("out"), arrays{dst, x, next, out, in}, func(asm.Lanes) {
				all.Stream(out, in.Load())
				term(all)
			})
			k.Each(k.Len("x").Minus(k.Len("out")), arrays{dst, x, next}, term)
			k.Return("sum", sum.total.FoldAdd())
			k.Return("ties", sum.ties().FoldAdd())
		},
	}
}

// sumExpRows is sumExpBlock for short rows of n elements, with m = −Inf:
//
//	m[r]   = max(x[r·n], x[r·n+1], …)
//	sum[r] = Σ exp(x[r·n+i] − m[r]), less 1
//
// in four passes: what depends on what lies then in different rows, and four rows are
// folded at a time.
func sumExpRows() kernel {
	return kernel{
		name:   "sumExpRows",
		params: []parameter{slice("m", F), slice("sum", f64), slice("scratch", F), slice("x", F), integer("n"), integer("rows")},
		body: func(k *builder) {
			x, n, rows := k.Base("x"), k.Arg("n"), k.Arg("rows")
			m, scratch := k.Base("m"), k.Base("scratch")
			negInf, zero := k.Const(k.F, math.Inf(-1)), k.Const(k.F, 0)
			e := newFactoredExponential(k)

			// The maximum of a row in lanes,
			row, pair := x.Copy(), scratch.Copy()
			repeat(k, rows, 1, func() {
				most := k.Var(negInf)
				k.Each(n, arrays{row}, func(l asm.Lanes) {
					most.Set(l.LoadOr(row, negInf).Max(most))
				})
				pair.Store(most)
				advancePairs(pair, 1)
			})

			// and in one;
			pairs, top := scratch.Copy(), m.Copy()
			repeat(k, rows, 4, func() {
				top.StoreFour(asm.FoldMax4(fourRows(pairs)).Add(zero))
				advancePairs(pairs, 4)
				top.Advance(4)
			})

			// the sum of a row in lanes, and what is equal to the maximum apart,
			row.Set(x)
			pair.Set(scratch)
			top.Set(m)
			repeat(k, rows, 1, func() {
				terms, minus := e.newSum(k), zero.Sub(top.Broadcast())
				k.Each(n, arrays{row}, func(l asm.Lanes) {
					terms.add(k, l.LoadOr(row, negInf).Add(minus))
				})
				pair.Store(terms.total)
				pair.Vector(1).Store(terms.ties())
				advancePairs(pair, 1)
				top.Advance(1)
			})

			// and in one.
			sum := k.Array("sum")
			pairs.Set(scratch)
			repeat(k, rows, 4, func() {
				total := asm.FoldAdd4(fourRows(pairs))
				s := total.Add(asm.FoldAdd4(fourRows(pairs.Vector(1))).Sub(k.Const(k.F, 1)))
				if k.F == asm.F32 {
					s, _ = s.Widen()
				}
				sum.StoreFour(s)
				advancePairs(pairs, 4)
				sum.Advance(4)
			})
		},
	}
}

// scratchPair is the number of vectors that a row has in scratch from one pass to the next:
// rowScratch elements.
const scratchPair = 2

// fourRows loads the first vector that each of four rows has in scratch.
func fourRows(pairs asm.Array) (a, b, c, d asm.Vec) {
	load := func(row int) asm.Vec { return pairs.Vector(row * scratchPair).Load() }
	return load(0), load(1), load(2), load(3)
}

// advancePairs goes on to what a later row has in scratch.
func advancePairs(pair asm.Array, rows int) {
	pair.Advance(rows * scratchPair * pair.Type().Lanes())
}

// repeat does body for every step of n.
func repeat(k *builder, n asm.Int, step int, body func()) {
	left := k.Copy(n)
	k.While(left.Greater(k.Int(0)), func() {
		body()
		left.Dec(k.Int(step))
	})
}

// log1p writes dst[i] = ln(1 + x[i]) for x[i] of at least 0, as Log1p does: the logarithm of
// u = 1 + x, and (x − (u−1))/u, which is what the rounding of u has lost.
func log1p() kernel {
	return kernel{
		name:   "log1p",
		params: []parameter{slice("dst", f64), slice("x", f64)},
		body: func(k *builder) {
			dst, x, log, one := k.Array("dst"), k.Array("x"), newLogarithm(k), k.Const(asm.F64, 1)
			k.Each(k.Len("dst"), arrays{dst, x}, func(l asm.Lanes) {
				x := l.Load(x)
				u := x.Add(one)
				l.Store(dst, log.of(u, x.Sub(u.Sub(one)).Div(u)))
			})
		},
	}
}

// logarithm makes logarithms.
type logarithm struct {
	k                                *builder
	one, two, half, bias             asm.Vec
	root, biasedRoot, mantissa, ulps asm.Vec
}

func newLogarithm(k *builder) *logarithm {
	const sqrtHalf, bias = 0x3fe6a09e_667f3bcd, 1024
	of, bits := func(x float64) asm.Vec { return k.Const(asm.F64, x) }, func(b uint64) asm.Vec { return k.Bits(asm.I64, b) }
	return &logarithm{k, of(1), of(2), of(0.5), of(0x1p52 + bias),
		bits(sqrtHalf), bits(1<<64 + sqrtHalf - bias<<52), bits(1<<52 - 1), of(0x1p52).As(asm.I64)}
}

// of returns ln x + c for a normal x > 0 and a small c, as Log and Log1p do:
//
//	x  = 2ⁿ·(1+f) with 1+f from √½ to √2
//	s  = f/(2+f), z = s²
//	ln = n·ln 2 + (f − (f²/2 − s·(f²/2 + z·p(z)))) + c
func (m *logarithm) of(x, c asm.Vec) asm.Vec {
	k := m.k
	b := x.As(asm.I64).Sub(m.biasedRoot)
	n := b.Shr(52).Or(m.ulps).As(asm.F64).Sub(m.bias) // the last bits of 2⁵² count by ones
	f := b.And(m.mantissa).Add(m.root).As(asm.F64).Sub(m.one)
	s := f.Div(f.Add(m.two))
	z := s.Mul(s)
	p := k.Const(asm.F64, k.get("logC7")).MulAdd(z, k.Const(asm.F64, k.get("logC6")))
	for i := 5; i >= 1; i-- {
		p = p.MulAdd(z, k.Const(asm.F64, k.get("logC%d", i)))
	}
	square := m.half.Mul(f).Mul(f)
	tail := s.MulAdd(square.Add(p.Mul(z)), n.MulAdd(k.Const(asm.F64, k.get("ln2LoF64")), c))
	return n.MulAdd(k.Const(asm.F64, k.get("ln2HiF64")), f.Sub(square.Sub(tail)))
}
