package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// argMaxes are the kernels that find where a row is largest.
func argMaxes() []kernel { return []kernel{argMax(), argMaxAllowed()} }

// argMax returns the index of the first NaN or, without one, of the first of the largest
// elements, if they are above m; else −1.
func argMax() kernel {
	return kernel{
		name:    "argMax",
		params:  []parameter{slice("x", F), number("m", F)},
		results: []parameter{integer("index")},
		body: func(k *builder) {
			negInf := k.Const(k.F, math.Inf(-1))
			firstLargest(k, 4, arrays{k.Base("x")}, func(l asm.Lanes, at arrays, u int) asm.Vec {
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

// firstLargest is argMax of what load returns for vector u of some arrays. It goes through them
// once for the maximum and a sum, which is NaN if an element is, and then up to the element that
// it has to find: a comparison and a choice for every element would take longer.
func firstLargest(k *builder, unroll int, from arrays, load func(l asm.Lanes, at arrays, u int) asm.Vec) {
	n := k.Len("x")
	copies := func() (all arrays) {
		for _, a := range from {
			all = append(all, a.Copy())
		}
		return all
	}
	var tops, sums []asm.Vec
	for range unroll {
		tops = append(tops, k.Var(k.Param("m")))
	}
	for range max(1, unroll/2) {
		sums = append(sums, k.Var(k.Const(k.F, 0)))
	}
	at := copies()
	k.EachUnrolled(n, at, unroll, func(l asm.Lanes, u int) {
		v, sum := load(l, at, u), sums[u%len(sums)]
		tops[u].Set(v.Max(tops[u]))
		sum.Set(sum.Add(v))
	})
	for len(tops) > 1 {
		tops = append(tops[2:], tops[0].Max(tops[1]))
	}
	for len(sums) > 1 {
		sums = append(sums[2:], sums[0].Add(sums[1]))
	}
	top, sum := tops[0].FoldMax().Spread(), sums[0].FoldAdd().Spread()

	lanes, done := k.Int(k.F.Lanes()), k.NewLabel("done")
	index, lane := k.Copy(k.Int(0)), k.Copy(k.Int(0))
	search := func(wanted func(v asm.Vec) asm.Mask) {
		at := copies()
		k.Each(n, at, func(l asm.Lanes) {
			lane.Set(wanted(load(l, at, 0)).First())
			k.JumpIf(lane.Less(lanes), done)
			index.Inc(lanes)
		})
	}
	// Of +Inf and −Inf the sum is NaN, too: then there may be none to find.
	k.If(sum.NotEqual(sum).First().Equal(k.Int(0)), func() {
		search(func(v asm.Vec) asm.Mask { return v.NotEqual(v) })
		index.Set(k.Copy(k.Int(0)))
	})
	k.If(k.Param("m").Less(top).First().Equal(k.Int(0)), func() {
		search(func(v asm.Vec) asm.Mask { return v.Equal(top) })
	})
	index.Set(k.Copy(k.Int(-1)))
	lane.Set(k.Copy(k.Int(0)))
	k.Place(done)
	k.ReturnInt("index", index.Plus(lane))
}
