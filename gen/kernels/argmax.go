package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// argMaxes are the kernels that find where a row is largest.
func argMaxes() []kernel {
	return []kernel{argMax(), argMaxAllowed(), argMaxRows(), argMaxAllowedRows()}
}

// argMax returns the index of the first NaN or, without one, of the first of the largest
// elements, if they are above m; else −1.
func argMax() kernel {
	return kernel{
		name:    "argMax",
		params:  []parameter{slice("x", F), number("m", F)},
		results: []parameter{integer("index")},
		body: func(k *builder) {
			negInf := k.Const(k.F, math.Inf(-1))
			firstLargest(k, 3, arrays{k.Base("x")}, func(l asm.Lanes, at arrays, u int) asm.Vec {
				return l.LoadOr(at[0].Vector(u), negInf)
			})
		},
	}
}

// argMaxAllowed is argMax of the elements beside which allowed is not 0.
func argMaxAllowed() kernel {
	return kernel{
		name:    "argMaxAllowed",
		params:  []parameter{slice("x", F), slice("allowed", F), number("m", F)},
		results: []parameter{integer("index")},
		body: func(k *builder) {
			negInf, zero := k.Const(k.F, math.Inf(-1)), k.Const(k.F, 0)
			firstLargest(k, 2, arrays{k.Base("x"), k.Base("allowed")}, func(l asm.Lanes, at arrays, u int) asm.Vec {
				return l.Load(at[1].Vector(u)).NotEqual(zero).Select(l.Load(at[0].Vector(u)), negInf)
			})
		},
	}
}

// argMaxRows writes to place, for short rows of n elements, the index of the first of the largest
// ones, and −1 for a row with NaN or without an element above −Inf.
func argMaxRows() kernel {
	return kernel{
		name:   "argMaxRows",
		params: []parameter{slice("place", F), slice("x", F), integer("n")},
		body: func(k *builder) {
			negInf := k.Const(k.F, math.Inf(-1))
			largestOfRows(k, func(n asm.Int, row asm.Array, each func(v asm.Vec)) {
				k.Each(n, arrays{row}, func(l asm.Lanes) { each(l.LoadOr(row, negInf)) })
			})
		},
	}
}

// argMaxAllowedRows is argMaxRows of the elements beside which allowed, as long as a row, is not 0.
func argMaxAllowedRows() kernel {
	return kernel{
		name:   "argMaxAllowedRows",
		params: []parameter{slice("place", F), slice("x", F), integer("n"), slice("allowed", F)},
		body: func(k *builder) {
			negInf, zero, allowed := k.Const(k.F, math.Inf(-1)), k.Const(k.F, 0), k.Base("allowed")
			largestOfRows(k, func(n asm.Int, row asm.Array, each func(v asm.Vec)) {
				mask := allowed.Copy()
				k.Each(n, arrays{row, mask}, func(l asm.Lanes) {
					each(l.Load(mask).NotEqual(zero).Select(l.Load(row), negInf))
				})
			})
		},
	}
}

// largestOfRows is argMaxRows of the vectors that through, going through a row, gives to each. No branch
// depends on what is in a row: each lane has the largest of its elements and the number of the first
// of these, of which the least one is wanted among lanes that have the row's largest.
func largestOfRows(k *builder, through func(n asm.Int, row asm.Array, each func(v asm.Vec))) {
	place, row, n := k.Array("place"), k.Array("x"), k.Arg("n")
	inf, negInf, none := k.Const(k.F, math.Inf(1)), k.Const(k.F, math.Inf(-1)), k.Const(k.F, -1)
	zero, one, step := k.Const(k.F, 0), k.Const(k.F, 1), k.Const(k.F, float64(k.F.Lanes()))
	// The last bits of 2 to the number of bits of the mantissa count by ones.
	whole := k.Const(k.F, float64(int(1)<<layoutOf(k.F).mantissa))
	first := k.Iota(k.F.Int()).Or(whole.As(k.F.Int())).As(k.F).Sub(whole)
	repeat(k, k.Len("place"), 1, func() {
		best, at, number, nans := k.Var(negInf), k.Var(none), k.Var(first), k.Var(zero)
		through(n, row, func(v asm.Vec) {
			at.Set(best.Less(v).Select(number, at))
			best.Set(v.Max(best))
			number.Set(number.Add(step))
			nans.AddWhere(v.NotEqual(v), one)
		})
		odd := nans.NotEqual(zero)
		at.Set(odd.Select(none, at))
		best.Set(odd.Select(inf, best))
		top := best.FoldMax().Spread()
		place.StoreFirst(best.Equal(top).Select(at, inf).FoldMin())
		place.Advance(1)
	})
}

// firstLargest is argMax of what load returns for vector u of some arrays. It finds the maximum
// first, and a sum that is NaN if an element is. On the way it notes which piece of the row the
// maximum was new in: only there the element has to be looked for.
func firstLargest(k *builder, unroll int, from arrays, load func(l asm.Lanes, at arrays, u int) asm.Vec) {
	copies := func(from arrays) (all arrays) {
		for _, a := range from {
			all = append(all, a.Copy())
		}
		return all
	}
	const ahead = 48 // vectors before its use that memory is asked for
	n, lanes := k.Len("x"), k.F.Lanes()
	best := k.Var(k.Param("m"))
	var tops, sums []asm.Vec
	for range unroll {
		tops = append(tops, k.Var(k.Param("m")))
	}
	for range 2 {
		sums = append(sums, k.Var(k.Const(k.F, 0)))
	}
	at, left, piece := copies(from), k.Copy(n), k.Copy(k.Int(0))
	k.While(left.Greater(k.Int(0)), func() {
		count := k.Copy(k.Int(16 * unroll * lanes))
		k.If(count.Greater(left), func() { count.Set(left) })
		k.EachUnrolled(count, at, unroll, func(l asm.Lanes, u int) {
			at[0].Vector(u + ahead).Prefetch(1)
			v, sum := load(l, at, u), sums[u%2]
			tops[u].Set(v.Max(tops[u]))
			sum.Set(sum.Add(v))
		})
		top := tops[0].Max(tops[1])
		for _, t := range tops[2:] {
			top = top.Max(t)
		}
		k.If(best.Less(top).First().Less(k.Int(lanes)), func() {
			best.Set(top.FoldMax().Spread())
			piece.Set(n.Minus(left))
		})
		left.Dec(count)
	})

	done := k.NewLabel("done")
	index, lane := k.Copy(k.Int(0)), k.Copy(k.Int(0))
	search := func(wanted func(v asm.Vec) asm.Mask) {
		at := copies(from)
		for _, a := range at {
			a.Move(a.Elements(index))
		}
		k.Each(n.Minus(index), at, func(l asm.Lanes) {
			lane.Set(wanted(load(l, at, 0)).First())
			k.JumpIf(lane.Less(k.Int(lanes)), done)
			index.Inc(k.Int(lanes))
		})
	}
	// Of +Inf and −Inf the sum is NaN, too: then there may be none to find.
	sum := sums[0].Add(sums[1])
	k.If(sum.NotEqual(sum).First().Less(k.Int(lanes)), func() {
		search(func(v asm.Vec) asm.Mask { return v.NotEqual(v) })
	})
	index.Set(piece)
	k.If(k.Param("m").Less(best).First().Equal(k.Int(0)), func() {
		search(func(v asm.Vec) asm.Mask { return v.Equal(best) })
	})
	index.Set(k.Copy(k.Int(-1)))
	lane.Set(k.Copy(k.Int(0)))
	k.Place(done)
	k.ReturnInt("index", index.Plus(lane))
}
