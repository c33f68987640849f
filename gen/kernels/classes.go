package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// classes are the kernels that find the classes of a frame that are worth a look, and what makes
// probabilities of scores.
func classes() []kernel {
	return []kernel{notBelow(), pieceMaxima(), sumExpTops(), exps(), log1p(), logs()}
}

// sumExpTops writes, for rows of n elements, none above top[r],
//
//	sum[r]  = Σ exp(x[r·n+i] − top[r])    of the elements below top[r]
//	ties[r] = how many are equal to it
func sumExpTops() kernel {
	return kernel{
		name:   "sumExpTops",
		params: []parameter{slice("sum", F), slice("ties", F), slice("x", F), integer("n"), slice("top", F)},
		body: func(k *builder) {
			sum, ties, x, n, top := k.Array("sum"), k.Array("ties"), k.Array("x"), k.Arg("n"), k.Array("top")
			negInf, zero, e := k.Const(k.F, math.Inf(-1)), k.Const(k.F, 0), newFactoredExponential(k)
			repeat(k, k.Len("top"), 1, func() {
				terms, minus := e.newSum(k), zero.Sub(top.Broadcast())
				k.Each(n, arrays{x}, func(l asm.Lanes) {
					terms.add(k, l.LoadOr(x, negInf).Add(minus))
				})
				sum.StoreFirst(terms.total.FoldAdd())
				ties.StoreFirst(terms.ties().FoldAdd())
				sum.Advance(1)
				ties.Advance(1)
				top.Advance(1)
			})
		},
	}
}

// exps writes dst[i] = exp(x[i]).
func exps() kernel {
	return kernel{
		name:   "exps",
		params: []parameter{slice("dst", f64), slice("x", f64)},
		body: func(k *builder) {
			dst, x, e := k.Array("dst"), k.Array("x"), newFactoredExponential(k)
			k.Each(k.Len("x"), arrays{dst, x}, func(l asm.Lanes) { l.Store(dst, e.of(l.Load(x))) })
		},
	}
}

// notBelow writes the numbers, counted from first, of the elements that are not below cut, NaN among
// them, and returns how many they are. Few are, as a rule: one comparison passes over a vector.
func notBelow() kernel {
	return kernel{
		name:    "notBelow",
		params:  []parameter{slice("index", i32), slice("x", F), number("cut", F), integer("first")},
		results: []parameter{integer("count")},
		body: func(k *builder) {
			x, index, cut, lanes := k.Array("x"), k.Base("index"), k.Param("cut"), k.Int(k.F.Lanes())
			count, number, lane := k.Copy(k.Int(0)), k.Copy(k.Arg("first")), k.Copy(k.Int(0))
			iota, negInf := k.Iota(k.F.Int()), k.Const(k.F, math.Inf(-1))
			k.Each(k.Len("x"), arrays{x}, func(l asm.Lanes) {
				v := l.LoadOr(x, negInf)
				lane.Set(v.NotLess(cut).First())
				k.While(lane.Less(lanes), func() {
					index.StoreInt(count, number.Plus(lane))
					count.Inc(k.Int(1))
					lane.Set(v.NotLess(cut).And(lane.Splat(k.F.Int()).Less(iota)).First())
				})
				number.Inc(lanes)
			})
			k.ReturnInt("count", count)
		},
	}
}

// pieceMaxima writes, for each piece of so many vectors, the largest element in each lane,
// leaving out NaN: −Inf for none, +0 for −0.
func pieceMaxima() kernel {
	return kernel{
		name:   "pieceMaxima",
		params: []parameter{slice("dst", F), slice("x", F), integer("vectors")},
		body: func(k *builder) {
			dst, x, left := k.Array("dst"), k.Array("x"), k.Copy(k.Len("x"))
			negInf, zero := k.Const(k.F, math.Inf(-1)), k.Const(k.F, 0)
			k.While(left.Greater(k.Int(0)), func() {
				count := k.Copy(k.Arg("vectors").Shl(map[asm.Type]int{asm.F32: 4, asm.F64: 3}[k.F]))
				k.If(count.Greater(left), func() { count.Set(left) })
				tops := []asm.Vec{k.Var(negInf), k.Var(negInf)}
				k.EachUnrolled(count, arrays{x}, len(tops), func(l asm.Lanes, u int) {
					tops[u].Set(l.LoadOr(x.Vector(u), negInf).Max(tops[u]))
				})
				dst.Store(tops[0].Max(tops[1]).Add(zero))
				dst.Advance(k.F.Lanes())
				left.Dec(count)
			})
		},
	}
}
