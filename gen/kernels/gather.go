package main

import "github.com/gotrellis/trellis/asm"

// gathers are the kernels for lists of indices.
func gathers() []kernel { return []kernel{gather(), fetch(), maxIndex(), otherTargets()} }

// gather writes, for rows r of k indices,
//
//	dst[r·k+i] = src[r·n+index[r·k+i]]
//
// one element at a time. On Zen 4 that is 10 % faster than the gather instruction from
// the first cache and as fast from further away. Intel's processors from Skylake to Ice
// Lake gather slowly since they must not leak what they gather, and NEON has no such
// instruction.
func gather() kernel {
	return kernel{
		name:   "gather",
		params: []parameter{slice("dst", F), slice("src", F), slice("index", i32), integer("n"), integer("k")},
		body: func(k *builder) {
			dst, row, index, all := k.Array("dst"), k.Array("src"), k.Array("index"), k.Copy(k.Len("index"))
			k.While(all.Greater(k.Int(0)), func() {
				left := k.Copy(k.Arg("k"))
				all.Dec(left)
				for _, count := range []int{4, 1} {
					k.While(left.AtLeast(k.Int(count)), func() {
						for i := range count {
							dst.StoreInt(k.Int(i), row.LoadInt(index.LoadInt(k.Int(i))))
						}
						index.Advance(count)
						dst.Advance(count)
						left.Dec(k.Int(count))
					})
				}
				row.Move(row.Elements(k.Arg("n")))
			})
		},
	}
}

// fetch asks for x[r][index[i]] of some rows, for the second cache: what lies in different pages is
// there in a tenth of the time if the processor need not wait for one after the other.
func fetch() kernel {
	x, index, rows := view("x", F), slice("index", i32), integer("rows")
	return kernel{
		name:   "fetch",
		params: []parameter{x, index, rows},
		stub:   []parameter{x.data(), x.stride(), index, rows},
		body: func(k *builder) {
			row := k.Array("x")
			repeat(k, k.Arg("rows"), 1, func() {
				index, left := k.Array("index"), k.Copy(k.Len("index"))
				k.While(left.Greater(k.Int(0)), func() {
					row.Plus(row.Elements(index.LoadInt(k.Int(0)))).Prefetch(2)
					index.Advance(1)
					left.Dec(k.Int(1))
				})
				row.Move(row.Elements(k.Arg("xStride")))
			})
		},
	}
}

// maxIndex returns
//
//	most = max(0, index[0], index[1], …)
//
// of unsigned numbers: a negative index is larger than any other.
func maxIndex() kernel {
	return kernel{
		name:    "maxIndex",
		params:  []parameter{slice("index", i32)},
		results: []parameter{number("most", u32)},
		body: func(k *builder) {
			index, most := k.Array("index"), k.Var(k.Const(asm.I32, 0))
			k.Each(k.Len("index"), arrays{index}, func(l asm.Lanes) {
				most.Set(l.Load(index).UMax(most))
			})
			k.Return("most", most.FoldUMax())
		},
	}
}

// otherTargets returns 0 if all targets are in [0,classes).
func otherTargets() kernel {
	return kernel{
		name:    "otherTargets",
		params:  []parameter{slice("targets", ints), integer("classes")},
		results: []parameter{integer("others")},
		body: func(k *builder) {
			targets, zero := k.Array("targets"), k.Const(asm.I64, 0)
			last, signs := k.Arg("classes").Minus(k.Int(1)).Splat(asm.I64), k.Var(zero)
			k.Each(k.Len("targets"), arrays{targets}, func(l asm.Lanes) {
				y := l.Load(targets)
				signs.Set(signs.Or(y).Or(last.Sub(y)))
			})
			k.ReturnInt("others", k.Int(asm.I64.Lanes()).Minus(signs.Less(zero).First()))
		},
	}
}
