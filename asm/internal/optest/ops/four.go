package ops

import (
	"slices"

	"github.com/gotrellis/trellis/asm"
)

// firstFour is an operation of which the first four lanes are stored, for each
// vector.
func firstFour(name string, in, out asm.Type, f func(v vectors) asm.Vec, want func(x, y, z []uint64) []uint64) Op {
	return manyPerVector(name, in, out, 4, func(dst asm.Array, v vectors) { dst.StoreFour(f(v)) }, want)
}

// spreadFour is an operation of which each of the first four lanes is spread and
// added to y, for each vector.
func spreadFour(name string, t asm.Type, f func(v vectors) asm.Vec, want func(x, y, z []uint64) []uint64) Op {
	return manyPerVector(name, t, t, 4*t.Lanes(), func(dst asm.Array, v vectors) {
		four := f(v)
		for i := range 4 {
			dst.Vector(i).Store(four.SpreadLane(i).Add(v.y))
		}
	}, func(x, y, z []uint64) (dst []uint64) {
		for _, lane := range want(x, slices.Clone(y), z)[:4] {
			for i := range y {
				dst = append(dst, add(t)(lane, y[i]))
			}
		}
		return dst
	})
}

// foldFour folds x, y, z, and x moved up by one lane.
func (v vectors) foldFour(f func(a, b, c, d asm.Vec) asm.Vec) asm.Vec {
	return f(v.x, v.y, v.z, v.x.ShiftIn(v.y))
}

func foldFour(t asm.Type, x, y, z []uint64, f func(x, y uint64) uint64) []uint64 {
	moved := append([]uint64{y[len(y)-1]}, x[:len(x)-1]...)
	var folded []uint64
	for _, v := range [][]uint64{x, y, z, moved} {
		folded = append(folded, fold(slices.Clone(v), f))
	}
	return folded
}

// folds fold four vectors at once. A back end may hold the result in another way
// than an ordinary vector, until someone needs it as one.
func folds(t asm.Type) []Op {
	plus := add(t)
	total := func(x, y, z []uint64) []uint64 { return foldFour(t, x, y, z, plus) }
	largest := firstFour("foldMax4", t, t, func(v vectors) asm.Vec { return v.foldFour(asm.FoldMax4) },
		func(x, y, z []uint64) []uint64 { return foldFour(t, x, y, z, maximum(t)) })
	// As in a softmax of four rows: zeros become +0.
	spreadMax := spreadFour("spreadMax4", t, func(v vectors) asm.Vec {
		return v.foldFour(asm.FoldMax4).Add(v.k.Const(t, 0))
	}, func(x, y, z []uint64) []uint64 {
		four := foldFour(t, x, y, z, maximum(t))
		for i := range four {
			four[i] = plus(four[i], 0)
		}
		return four
	})
	for _, o := range []*Op{&largest, &spreadMax} {
		o.NumberX, o.NumberY = true, true
	}
	return []Op{
		largest, spreadMax,
		firstFour("foldAdd4", t, t, func(v vectors) asm.Vec { return v.foldFour(asm.FoldAdd4) }, total),
		firstFour("foldAdd4Const", t, t, func(v vectors) asm.Vec {
			c := v.k.Const(t, 1)
			return asm.FoldAdd4(c, v.x, v.firstOfY(), c)
		}, nil).with(func(x, y, z []uint64) (dst []uint64) {
			lanes := Constant(t, float64(t.Lanes()))
			eachVector(t, x, y, z, func(x, _, _ []uint64) {
				same := make([]uint64, t.Lanes())
				for i := range same {
					same[i] = y[0]
				}
				dst = append(dst, lanes, fold(x, plus), fold(same, plus), lanes)
			})
			return dst
		}),
		spreadFour("spreadAdd4", t, func(v vectors) asm.Vec { return v.foldFour(asm.FoldAdd4) }, total),
		spreadFour("spreadRound4", t, func(v vectors) asm.Vec { return v.foldFour(asm.FoldAdd4).Round() },
			func(x, y, z []uint64) []uint64 {
				four := total(x, y, z)
				for i := range four {
					four[i] = round(t, four[i])
				}
				return four
			}),
		single("firstOfFour", t, t, func(v vectors) asm.Vec {
			f := v.foldFour(asm.FoldAdd4)
			return f.Add(f.Spread())
		}, func(x, y, z []uint64) uint64 {
			f := total(x, y, z)
			return plus(f[0], f[0])
		}),
		// Taken for the halves of wider lanes.
		firstFour("fourAs", t, t, func(v vectors) asm.Vec {
			f := v.foldFour(asm.FoldAdd4)
			return f.As(asm.I64).Or(v.k.Bits(asm.I64, 4<<32|1)).As(t)
		}, func(x, y, z []uint64) []uint64 {
			f := total(x, y, z)
			for i := range f {
				switch {
				case t == asm.F64:
					f[i] |= 4<<32 | 1
				case i%2 == 0:
					f[i] |= 1
				default:
					f[i] |= 4
				}
			}
			return f
		}),
		// Brought together to be moved in 16 bytes.
		firstFour("fourZip", t, t, func(v vectors) asm.Vec {
			f, g := v.foldFour(asm.FoldAdd4), asm.FoldAdd4(v.z, v.y, v.x, v.z)
			return f.ZipLower(g).Sub(f.ZipUpper(v.x))
		}, func(x, y, z []uint64) []uint64 {
			f, g := total(x, y, z), total(z, y, x)
			g[3] = g[0]
			lower, upper := zip(t, f, g, 0), zip(t, f, x[:4], 1)
			for i := range f {
				f[i] = sub(t)(lower[i], upper[i])
			}
			return f
		}),
		// Computed with, as it is and with ordinary vectors and variables.
		spreadFour("fourAlone", t, func(v vectors) asm.Vec {
			f, g := v.foldFour(asm.FoldAdd4), asm.FoldAdd4(v.z, v.y, v.x, v.z)
			c := v.k.Const(t, 0.5)
			h := f.Less(g).And(g.NotEqual(c)).Select(f.Sub(c), g.MulAdd(f, c))
			return f.MulAdd(h, g.Add(c))
		}, func(x, y, z []uint64) []uint64 {
			f, g, c := total(x, y, z), total(z, y, x), Constant(t, 0.5)
			g[3] = g[0]
			for i := range f {
				h := pick(less(t, f[i], g[i]) && !equal(t, g[i], c), sub(t)(f[i], c), mulAdd(t, g[i], f[i], c))
				f[i] = mulAdd(t, f[i], h, plus(g[i], c))
			}
			return f
		}),
		firstFour("fourMixed", t, t, func(v vectors) asm.Vec {
			f, g := v.foldFour(asm.FoldAdd4), asm.FoldAdd4(v.z, v.z, v.z, v.z)
			below := f.Less(g)
			a := v.k.Var(below.Select(v.x, v.y)) // the mask is for ordinary vectors
			a.Set(f.MulAdd(v.z, a))
			a.AddWhere(below.Not(), g)
			a.Set(a.Add(v.x.Less(v.z).Keep(f.Mul(g))))
			b := v.k.Var(v.y)
			b.Set(asm.FoldAdd4(v.z, v.y, v.x, v.x))
			return a.Sub(b).Add(f.SpreadLane(1)).Add(below.Keep(f))
		}, func(x, y, z []uint64) []uint64 {
			f, gz := total(x, y, z), fold(slices.Clone(z), plus)
			b := []uint64{gz, fold(slices.Clone(y), plus), fold(slices.Clone(x), plus), fold(slices.Clone(x), plus)}
			dst := make([]uint64, 4)
			for i := range dst {
				below := less(t, f[i], gz)
				a := mulAdd(t, f[i], z[i], pick(below, x[i], y[i]))
				if !below {
					a = plus(a, gz)
				}
				product := arithmetic(t, func(x, y float64) float64 { return x * y }, nil)(f[i], gz)
				a = plus(a, pick(less(t, x[i], z[i]), product, 0))
				dst[i] = plus(plus(sub(t)(a, b[i]), f[1]), pick(below, f[i], 0))
			}
			return dst
		}),
	}
}
