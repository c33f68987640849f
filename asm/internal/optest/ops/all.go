package ops

import (
	"math"
	"slices"

	"github.com/gotrellis/trellis/asm"
)

// All returns the operations.
func All() []Op {
	var all []Op
	for t := asm.F32; t <= asm.I64; t++ {
		if t.IsFloat() {
			all = append(all, floats(t)...)
		} else {
			all = append(all, integers(t)...)
		}
		all = append(all, masks(t)...)
		all = append(all, moves(t)...)
		all = append(all, gathers(t)...)
	}
	return append(append(all, tables()...), conversions()...)
}

// both are the operations on floats and integers.
func both(t asm.Type) []Op {
	larger := lanewise("max", t, func(v vectors) asm.Vec { return v.x.Max(v.y) },
		func(x, y, _ uint64) uint64 { return maximum(t)(x, y) })
	smaller := lanewise("min", t, func(v vectors) asm.Vec { return v.x.Min(v.y) },
		func(x, y, _ uint64) uint64 { return minimum(t)(x, y) })
	foldMax := single("foldMax", t, t, func(v vectors) asm.Vec { return v.x.FoldMax() },
		func(x, _, _ []uint64) uint64 { return fold(x, maximum(t)) })
	foldMin := single("foldMin", t, t, func(v vectors) asm.Vec { return v.x.FoldMin() },
		func(x, _, _ []uint64) uint64 { return fold(x, minimum(t)) })
	// With constants, which are no NaN.
	clamp := lanewise("clamp", t, func(v vectors) asm.Vec {
		return v.x.Max(v.k.Const(t, -2)).Min(v.k.Const(t, 3))
	}, func(x, _, _ uint64) uint64 {
		return minimum(t)(maximum(t)(x, Constant(t, -2)), Constant(t, 3))
	})
	for _, o := range []*Op{&larger, &smaller, &foldMax, &foldMin, &clamp} {
		o.NumberY = t.IsFloat()
		if t == asm.I64 {
			o.Without = []asm.Target{asm.AVX2}
		}
	}
	foldMax.NumberX, foldMin.NumberX = t.IsFloat(), t.IsFloat()
	return []Op{
		larger, smaller, foldMax, foldMin, clamp,
		lanewise("add", t, func(v vectors) asm.Vec { return v.x.Add(v.y) },
			func(x, y, _ uint64) uint64 { return add(t)(x, y) }),
		lanewise("sub", t, func(v vectors) asm.Vec { return v.x.Sub(v.y) },
			func(x, y, _ uint64) uint64 { return sub(t)(x, y) }),
		lanewise("addLoaded", t, func(v vectors) asm.Vec { return v.z.Add(v.y) }, // z is what was loaded last
			func(_, y, z uint64) uint64 { return add(t)(z, y) }),
		lanewise("subLoaded", t, func(v vectors) asm.Vec { return v.y.Sub(v.z) },
			func(_, y, z uint64) uint64 { return sub(t)(y, z) }),
		lanewise("subFromLoaded", t, func(v vectors) asm.Vec { return v.z.Sub(v.y) },
			func(_, y, z uint64) uint64 { return sub(t)(z, y) }),
		lanewise("and", t, func(v vectors) asm.Vec { return v.x.And(v.y) },
			func(x, y, _ uint64) uint64 { return x & y }),
		lanewise("or", t, func(v vectors) asm.Vec { return v.x.Or(v.y) },
			func(x, y, _ uint64) uint64 { return x | y }),
		lanewise("addConst", t, func(v vectors) asm.Vec { return v.x.Add(v.k.Const(t, 5)) },
			func(x, _, _ uint64) uint64 { return add(t)(x, Constant(t, 5)) }),
		// The operands of a variable's new value are its old value, on either side.
		lanewise("subVar", t, func(v vectors) asm.Vec {
			a := v.k.Var(v.y)
			a.Set(v.x.Sub(a))
			a.Set(a.Sub(v.z))
			a.Set(a.Add(a))
			return a
		}, func(x, y, z uint64) uint64 {
			a := sub(t)(sub(t)(x, y), z)
			return add(t)(a, a)
		}),
		single("foldAdd", t, t, func(v vectors) asm.Vec { return v.x.FoldAdd() },
			func(x, _, _ []uint64) uint64 { return fold(x, add(t)) }),
		// What is the same in all lanes may take another way.
		lanes("uniform", t, func(v vectors) asm.Vec {
			a := v.k.Var(v.k.Const(t, 1))
			b := v.k.Pointer(t, "x").Broadcast()
			a.Set(a.Add(b))
			a.Set(a.Sub(v.k.Const(t, 7)))
			return v.x.Add(b.Less(a).Select(a, b))
		}, nil).with(func(x, _, _ []uint64) []uint64 {
			dst := make([]uint64, len(x))
			for i := range x {
				b := x[0]
				a := sub(t)(add(t)(Constant(t, 1), b), Constant(t, 7))
				dst[i] = add(t)(x[i], pick(less(t, b, a), a, b))
			}
			return dst
		}),
	}
}

func floats(t asm.Type) []Op {
	var coefficients = []float64{0.5, -3, 1.0 / 1024}
	atLeast := lanewise("atLeast", t, func(v vectors) asm.Vec { return v.x.AtLeast(v.y) },
		func(x, y, _ uint64) uint64 { return pick(less(t, x, y), y, x) })
	atMost := lanewise("atMost", t, func(v vectors) asm.Vec { return v.x.AtMost(v.y) },
		func(x, y, _ uint64) uint64 { return pick(less(t, y, x), y, x) })
	atLeast.NumberY, atMost.NumberY = true, true
	return append(append(both(t), atLeast, atMost,
		lanewise("between", t, func(v vectors) asm.Vec { return v.x.AtLeast(v.k.Const(t, -2)).AtMost(v.k.Const(t, 3)) },
			func(x, _, _ uint64) uint64 {
				x = pick(less(t, x, Constant(t, -2)), Constant(t, -2), x)
				return pick(less(t, Constant(t, 3), x), Constant(t, 3), x)
			}),
		lanewise("mul", t, func(v vectors) asm.Vec { return v.x.Mul(v.y) },
			func(x, y, _ uint64) uint64 {
				return arithmetic(t, func(x, y float64) float64 { return x * y }, nil)(x, y)
			}),
		lanewise("div", t, func(v vectors) asm.Vec { return v.x.Div(v.y) },
			func(x, y, _ uint64) uint64 {
				return arithmetic(t, func(x, y float64) float64 { return x / y }, nil)(x, y)
			}),
		lanewise("mulAdd", t, func(v vectors) asm.Vec { return v.x.MulAdd(v.y, v.z) },
			func(x, y, z uint64) uint64 { return mulAdd(t, x, y, z) }),
		lanewise("negMulAdd", t, func(v vectors) asm.Vec { return v.x.NegMulAdd(v.y, v.z) },
			func(x, y, z uint64) uint64 { return mulAdd(t, negative(t, x), y, z) }),
		// The addend is needed again.
		lanewise("mulAddKept", t, func(v vectors) asm.Vec {
			return v.x.MulAdd(v.y, v.z).Add(v.z)
		}, func(x, y, z uint64) uint64 { return add(t)(mulAdd(t, x, y, z), z) }),
		// A variable as a factor and as the addend.
		lanewise("mulAddVar", t, func(v vectors) asm.Vec {
			a := v.k.Var(v.x)
			a.Set(a.MulAdd(v.y, v.z))
			a.Set(v.y.MulAdd(a, v.z))
			a.Set(v.y.NegMulAdd(v.z, a))
			a.Set(a.NegMulAdd(a, a))
			a.Set(a.MulAdd(v.z, v.y.Add(v.z)))
			a.Set(v.z.MulAdd(a, v.x.Add(v.z)))
			return a
		}, func(x, y, z uint64) uint64 {
			a := mulAdd(t, x, y, z)
			a = mulAdd(t, y, a, z)
			a = mulAdd(t, negative(t, y), z, a)
			a = mulAdd(t, negative(t, a), a, a)
			a = mulAdd(t, a, z, add(t)(y, z))
			return mulAdd(t, z, a, add(t)(x, z))
		}),
		// Constants as factors and as addends.
		lanewise("polynomial", t, func(v vectors) asm.Vec {
			p := v.k.Const(t, 2)
			for _, c := range coefficients {
				p = p.MulAdd(v.x, v.k.Const(t, c))
			}
			return p.NegMulAdd(v.y, v.k.Const(t, 0))
		}, func(x, y, _ uint64) uint64 {
			p := Constant(t, 2)
			for _, c := range coefficients {
				p = mulAdd(t, p, x, Constant(t, c))
			}
			return mulAdd(t, negative(t, p), y, 0)
		}),
		lanewise("round", t, func(v vectors) asm.Vec { return v.x.Round() },
			func(x, _, _ uint64) uint64 { return round(t, x) }),
		// A variable, and what is the same in all lanes.
		lanes("roundVar", t, func(v vectors) asm.Vec {
			a := v.k.Var(v.x)
			a.Set(a.Round())
			return a.Sub(v.x).Add(v.firstOfY().Round())
		}, nil).with(func(x, y, _ []uint64) []uint64 {
			dst := make([]uint64, len(x))
			for i := range x {
				dst[i] = add(t)(sub(t)(round(t, x[i]), x[i]), round(t, y[0]))
			}
			return dst
		}),
		pressure(t),
		pieces(t),
		gatherPieces(t),
	), folds(t)...)
}

// pressure has more values at a time than there are registers for values and
// constants.
func pressure(t asm.Type) Op {
	const terms = 11
	return lanewise("pressure", t, func(v vectors) asm.Vec {
		sum := v.k.Var(v.k.Const(t, 0))
		sum.Set(sum.Add(v.z))
		for i := range terms {
			c := v.k.Const(t, float64(i+2))
			sum.Set(v.x.Mul(c).MulAdd(v.y.Sub(c), sum))
		}
		return sum
	}, func(x, y, z uint64) uint64 {
		sum := add(t)(0, z)
		for i := range terms {
			c := Constant(t, float64(i+2))
			product := arithmetic(t, func(x, y float64) float64 { return x * y }, nil)(x, c)
			sum = mulAdd(t, product, sub(t)(y, c), sum)
		}
		return sum
	})
}

func integers(t asm.Type) []Op {
	all := append(both(t),
		lanes("iota", t, func(v vectors) asm.Vec { return v.x.Add(v.k.Iota(t)) },
			func(x, _, _ []uint64) []uint64 {
				for i := range x {
					x[i] = add(t)(x[i], uint64(i))
				}
				return x
			}),
		lanes("splat", t, func(v vectors) asm.Vec {
			return v.x.Add(v.k.Pointer(t, "y").LoadInt(v.k.Int(0)).Splat(t))
		}, nil).with(func(x, y, _ []uint64) []uint64 {
			dst := make([]uint64, len(x))
			for i := range x {
				dst[i] = add(t)(x[i], y[0])
			}
			return dst
		}),
	)
	for _, shift := range []struct {
		name string
		n    int
	}{{"1", 1}, {"All", 8*t.Size() - 1}} {
		all = append(all,
			lanewise("shl"+shift.name, t, func(v vectors) asm.Vec { return v.x.Shl(shift.n) },
				func(x, _, _ uint64) uint64 { return encode(t, number{i: int64(x << shift.n)}) }),
			lanewise("keepShl"+shift.name, t, func(v vectors) asm.Vec { return v.y.Less(v.z).Keep(v.x.Shl(shift.n)) },
				func(x, y, z uint64) uint64 {
					return pick(less(t, y, z), encode(t, number{i: int64(x << shift.n)}), 0)
				}),
			lanewise("shr"+shift.name, t, func(v vectors) asm.Vec { return v.x.Shr(shift.n) },
				func(x, _, _ uint64) uint64 { return x >> shift.n }),
		)
	}
	if t == asm.I32 {
		umax := func(x, y uint64) uint64 { return max(x, y) }
		all = append(all,
			lanewise("umax", t, func(v vectors) asm.Vec { return v.x.UMax(v.y) },
				func(x, y, _ uint64) uint64 { return umax(x, y) }),
			single("foldUMax", t, t, func(v vectors) asm.Vec { return v.x.FoldUMax() },
				func(x, _, _ []uint64) uint64 { return fold(x, umax) }),
		)
	}
	return all
}

// masks are comparisons and what is done with their results, in all pairs: a back
// end may hold a mask as its opposite.
func masks(t asm.Type) []Op {
	type comparison struct {
		name string
		mask func(v, w asm.Vec) asm.Mask
		want func(x, y uint64) bool
	}
	comparisons := []comparison{
		{"Less", asm.Vec.Less, func(x, y uint64) bool { return less(t, x, y) }},
		{"Equal", asm.Vec.Equal, func(x, y uint64) bool { return equal(t, x, y) }},
		{"NotEqual", asm.Vec.NotEqual, func(x, y uint64) bool { return !equal(t, x, y) }},
	}
	if t.IsFloat() {
		comparisons = append(comparisons, comparison{
			"NotLess", asm.Vec.NotLess, func(x, y uint64) bool { return !less(t, x, y) },
		})
	}
	var all []Op
	for _, c := range comparisons {
		all = append(all,
			lanewise("select"+c.name, t, func(v vectors) asm.Vec { return c.mask(v.x, v.y).Select(v.z, v.y) },
				func(x, y, z uint64) uint64 { return pick(c.want(x, y), z, y) }),
			// The mask and the vectors are needed again.
			lanewise("selectKept"+c.name, t, func(v vectors) asm.Vec {
				m := c.mask(v.x, v.y)
				a := m.Select(v.x, v.z)
				return a.Or(m.Select(v.z, v.x)).Or(m.Select(v.z, v.k.Const(t, 7)))
			}, func(x, y, z uint64) uint64 {
				m := c.want(x, y)
				return pick(m, x, z) | pick(m, z, x) | pick(m, z, Constant(t, 7))
			}),
			lanewise("selectVar"+c.name, t, func(v vectors) asm.Vec {
				a := v.k.Var(v.x)
				m := c.mask(v.x, v.y)
				a.Set(m.Select(a, v.z))
				a.Set(m.Select(v.y, a))
				return a
			}, func(x, y, z uint64) uint64 { return pick(c.want(x, y), y, z) }),
			lanewise("keep"+c.name, t, func(v vectors) asm.Vec { return c.mask(v.x, v.y).Keep(v.z) },
				func(x, y, z uint64) uint64 { return pick(c.want(x, y), z, 0) }),
			lanewise("not"+c.name, t, func(v vectors) asm.Vec { return c.mask(v.x, v.y).Not().Select(v.x, v.z) },
				func(x, y, z uint64) uint64 { return pick(c.want(x, y), z, x) }),
			lanewise("addWhere"+c.name, t, func(v vectors) asm.Vec {
				a := v.k.Var(v.k.Const(t, 1))
				a.AddWhere(c.mask(v.x, v.y), v.z)
				return a
			}, func(x, y, z uint64) uint64 {
				return pick(c.want(x, y), add(t)(Constant(t, 1), z), Constant(t, 1))
			}),
			lanewise("countWhere"+c.name, t, func(v vectors) asm.Vec {
				a := v.k.Var(v.z.As(t.Int()))
				m := c.mask(v.x, v.y)
				a.AddWhere(m, v.k.Const(t.Int(), -1))
				a.AddWhere(m.Not(), v.k.Const(t.Int(), -1))
				a.AddWhere(m, v.k.Const(t.Int(), -1))
				return a.As(t)
			}, func(x, y, z uint64) uint64 {
				minus := func(n float64) uint64 { return add(t.Int())(z, Constant(t.Int(), n)) }
				return pick(c.want(x, y), minus(-2), minus(-1))
			}),
			integer("first"+c.name, t, func(v vectors) asm.Int { return c.mask(v.x, v.y).First() },
				func(x, y, _ []uint64) uint64 {
					return first(x, func(i int) bool { return c.want(x[i], y[i]) })
				}),
		)
		for _, d := range comparisons {
			if c.name == "Equal" || d.name == "Equal" || c.name == "NotLess" || d.name == "NotLess" {
				continue // held like one of the others
			}
			all = append(all, lanewise("and"+c.name+d.name, t, func(v vectors) asm.Vec {
				return c.mask(v.x, v.y).And(d.mask(v.y, v.z)).Select(v.x, v.z)
			}, func(x, y, z uint64) uint64 { return pick(c.want(x, y) && d.want(y, z), x, z) }))
		}
	}
	return all
}

// moves are operations that move lanes.
func moves(t asm.Type) []Op {
	return []Op{
		lanes("shiftIn", t, func(v vectors) asm.Vec { return v.x.ShiftIn(v.y) },
			func(x, y, _ []uint64) []uint64 {
				return append([]uint64{y[len(y)-1]}, x[:len(x)-1]...)
			}),
		lanes("shiftOut", t, func(v vectors) asm.Vec { return v.x.ShiftOut(v.y) },
			func(x, y, _ []uint64) []uint64 { return append(x[1:], y[0]) }),
		// A variable is shifted in place, or is what is shifted in.
		lanes("shiftVar", t, func(v vectors) asm.Vec {
			a := v.k.Var(v.x)
			a.Set(a.ShiftIn(v.y))
			a.Set(v.z.ShiftOut(a))
			a.Set(v.x.ShiftIn(a))
			a.Set(a.ShiftOut(a))
			return a
		}, func(x, y, z []uint64) []uint64 {
			a := append(append([]uint64{}, z[1:]...), y[len(y)-1])
			return append(append([]uint64{}, x[:len(x)-1]...), a[len(a)-1])
		}),
		lanes("zipLower", t, func(v vectors) asm.Vec { return v.x.ZipLower(v.y) },
			func(x, y, _ []uint64) []uint64 { return zip(t, x, y, 0) }),
		lanes("zipUpper", t, func(v vectors) asm.Vec { return v.x.ZipUpper(v.y) },
			func(x, y, _ []uint64) []uint64 { return zip(t, x, y, 1) }),
		// A variable as either operand and as both.
		lanes("zipVar", t, func(v vectors) asm.Vec {
			a := v.k.Var(v.x)
			a.Set(a.ZipLower(v.y))
			a.Set(v.z.ZipUpper(a))
			a.Set(a.ZipUpper(a))
			return a.Add(v.x)
		}, func(x, y, z []uint64) []uint64 {
			a := zip(t, z, zip(t, x, y, 0), 1)
			a = zip(t, a, a, 1)
			for i := range a {
				a[i] = add(t)(a[i], x[i])
			}
			return a
		}),
		lanes("zipUniform", t, func(v vectors) asm.Vec {
			b := v.firstOfY().ZipLower(v.k.Const(t, 2))
			return b.ZipUpper(v.x).ZipLower(v.k.Const(t, 3)).Add(b)
		}, nil).with(func(x, y, z []uint64) (dst []uint64) {
			eachVector(t, x, y, z, func(x, _, _ []uint64) {
				same := func(bits uint64) []uint64 { return slices.Repeat([]uint64{bits}, t.Lanes()) }
				b := zip(t, same(y[0]), same(Constant(t, 2)), 0)
				a := zip(t, zip(t, b, x, 1), same(Constant(t, 3)), 0)
				for i := range a {
					dst = append(dst, add(t)(a[i], b[i]))
				}
			})
			return dst[:len(x)]
		}),
		lanes("spread", t, func(v vectors) asm.Vec { return v.x.Spread().Add(v.y) },
			func(x, y, _ []uint64) []uint64 {
				for i := range y {
					y[i] = add(t)(x[0], y[i])
				}
				return y
			}),
		single("broadcast", t, t, func(v vectors) asm.Vec {
			v.k.Pointer(t, "x").Vector(1 << 14).Prefetch(1)
			v.k.Pointer(t, "x").Vector(-1).Prefetch(2)
			v.k.Fence()
			return v.firstOfY()
		}, nil).with(func(x, y, _ []uint64) (dst []uint64) {
			for i := 0; i < len(x); i += t.Lanes() {
				dst = append(dst, y[0])
			}
			return dst
		}),
		spreadFour("spreadLane", t, func(v vectors) asm.Vec { return v.x }, func(x, _, _ []uint64) []uint64 { return x }),
		perVector("storeLast", t, t, func(dst asm.Array, v vectors) { dst.StoreLast(v.x) },
			func(x, _, _ []uint64) uint64 { return x[len(x)-1] }),
		firstFour("storeFour", t, t, func(v vectors) asm.Vec { return v.x },
			func(x, _, _ []uint64) []uint64 { return x[:4] }),
		firstFour("storeFourUniform", t, t, func(v vectors) asm.Vec {
			return v.firstOfY().SpreadLane(3).Add(v.k.Const(t, 5))
		}, nil).with(func(x, y, _ []uint64) (dst []uint64) {
			for i := 0; i < len(x); i += t.Lanes() {
				sum := add(t)(y[0], Constant(t, 5))
				dst = append(dst, sum, sum, sum, sum)
			}
			return dst
		}),
		unrolled(t),
		offsets(t),
	}
}

// with replaces what is wanted by a function of the whole arrays.
func (o Op) with(want func(x, y, z []uint64) []uint64) Op {
	o.Want = want
	return o
}

// unrolled adds two vectors in a turn, from other offsets than 0.
func unrolled(t asm.Type) Op {
	return Op{
		Name: "unrolled" + suffix(t), In: t, Out: t,
		Build: func(k *asm.Kernel) {
			dst, x, y, _, n := pointers(k, t)
			k.EachUnrolled(n, []asm.Array{dst, x, y}, 2, func(l asm.Lanes, u int) {
				c := fill(k, t)
				l.Store(dst.Vector(u), l.LoadOr(x.Vector(u), c).Add(l.LoadOr(y.Vector(u), c)))
			})
		},
		Want: func(x, y, _ []uint64) []uint64 {
			dst := make([]uint64, len(x))
			for i := range x {
				dst[i] = add(t)(x[i], y[i])
			}
			return dst
		},
	}
}

// offsets computes x + y + z − y + z from the start of each vector and then from
// behind it, at negative offsets, and adds integers to the bits of the first lane. It
// has 12 integers at a time.
func offsets(t asm.Type) Op {
	const behind = 3 // vectors
	return Op{
		Name: "offsets" + suffix(t), In: t, Out: t,
		Build: func(k *asm.Kernel) {
			dst, x, y, z, n := pointers(k, t)
			arrays := []asm.Array{dst, x, y, z}
			for _, a := range arrays {
				arrays = append(arrays, a.Vector(behind).Copy())
			}
			a, b, c := k.Copy(k.Int(1)), k.Copy(k.Int(1)), k.Copy(k.Int(1))
			k.Each(n, arrays, func(l asm.Lanes) {
				near := func(i int) asm.Vec { return l.LoadOr(arrays[i], fill(k, t)) }
				far := func(i int) asm.Array { return arrays[4+i].Vector(-behind) }
				loadFar := func(i int) asm.Vec { return l.LoadOr(far(i), fill(k, t)) }
				l.Store(dst, near(1).Add(near(2)).Add(near(3)))
				l.Store(far(0), loadFar(0).Sub(loadFar(2)).Add(loadFar(3)))
				far(0).StoreInt(k.Int(0), far(0).LoadInt(k.Int(0)).Plus(a).Plus(b).Plus(c))
				a.Inc(b)
				b.Inc(c)
				c.Inc(a)
			})
		},
		Want: func(x, y, z []uint64) []uint64 {
			dst := make([]uint64, len(x))
			var a, b, c uint64 = 1, 1, 1
			for i := range x {
				dst[i] = add(t)(sub(t)(add(t)(add(t)(x[i], y[i]), z[i]), y[i]), z[i])
				if i%t.Lanes() == 0 {
					dst[i] = encode(t.Int(), number{i: int64(dst[i] + a + b + c)})
					a += b
					b += c
					c += a
				}
			}
			return dst
		},
	}
}

// zip returns lanes of x and y in turn, half of each in 16 bytes: the lower or the
// upper half.
func zip(t asm.Type, x, y []uint64, half int) []uint64 {
	var z []uint64
	block := 16 / t.Size()
	for i := half * block / 2; i < len(x); i += block {
		for j := i; j < i+block/2; j++ {
			z = append(z, x[j], y[j])
		}
	}
	return z
}

// gatherPieces reads a vector from four places in no order, two of which are one.
func gatherPieces(t asm.Type) Op {
	lanes, block := t.Lanes(), 16/t.Size()
	places := [4]int{2*block + 1, 0, lanes + 1, 0}
	return manyPerVector("gatherPieces", t, t, 2*lanes+block, func(dst asm.Array, v vectors) {
		dst.Store(v.x)
		dst.Vector(1).Store(v.y)
		var at [4]asm.Distance
		for i, place := range places {
			at[i] = dst.Elements(v.k.Copy(v.k.Int(place)))
		}
		dst.From(lanes + block).Store(dst.From(1).GatherPieces(at))
	}, func(x, y, _ []uint64) []uint64 {
		all := slices.Concat(x, y)
		dst := slices.Clone(all[:lanes+block])
		for _, place := range places {
			dst = append(dst, all[1+place:][:block]...)
		}
		return dst
	})
}

// pieces reads a vector from four places, and writes its pieces one over the end of the
// other. What is the same in all lanes has pieces, too.
func pieces(t asm.Type) Op {
	lanes, block := t.Lanes(), 16/t.Size()
	return manyPerVector("pieces", t, t, 3*lanes, func(dst asm.Array, v vectors) {
		for i, w := range []asm.Vec{v.x, v.y, v.z} {
			dst.Vector(i).Store(w)
		}
		p := dst.From(1).LoadPieces(dst.Elements(v.k.Copy(v.k.Int(2*block + 1))))
		for i := range 4 {
			dst.From(lanes+i*(block-1)).StorePiece(p, i)
			dst.From(2*lanes+i*block).StorePiece(v.firstOfY(), i)
		}
	}, nil).with(func(x, y, z []uint64) (dst []uint64) {
		wholeY := y
		eachVector(t, x, y, z, func(x, y, z []uint64) {
			all := slices.Concat(x, y, z)
			var p []uint64
			for i := range 4 {
				p = append(p, all[1+i*(2*block+1):][:block]...)
			}
			for i := range 4 {
				copy(all[lanes+i*(block-1):], p[i*block:][:block])
			}
			dst = append(append(dst, all[:2*lanes]...), slices.Repeat(wholeY[:1], lanes)...)
		})
		return dst
	})
}

// conversions change the type or the width, and go between vectors and integers.
func conversions() []Op {
	widen := func(x uint64) uint64 { return encode(asm.F64, decode(asm.F32, x)) }
	narrow := func(x uint64) uint64 { return encode(asm.F32, decode(asm.F64, x)) }
	return []Op{
		// Widening, turning by one lane and narrowing.
		lanes("widen", asm.F32, func(v vectors) asm.Vec {
			lower, upper := v.x.Widen()
			return lower.ShiftIn(upper).Narrow(upper.ShiftIn(lower))
		}, func(x, _, _ []uint64) []uint64 {
			return append([]uint64{x[len(x)-1]}, x[:len(x)-1]...)
		}),
		lanes("narrow", asm.F32, func(v vectors) asm.Vec {
			xl, xu := v.x.Widen()
			yl, yu := v.y.Widen()
			return xl.Mul(yl).Narrow(xu.Mul(yu))
		}, func(x, y, _ []uint64) []uint64 {
			for i := range x {
				x[i] = narrow(encode(asm.F64, number{f: decode(asm.F64, widen(x[i])).f * decode(asm.F64, widen(y[i])).f}))
			}
			return x
		}),
		copyWidth("loadWiden", asm.I32, asm.I64),
		copyWidth("storeNarrow", asm.I64, asm.I32),
		backwards(),
		// Of what is folded and of a sum of it.
		firstFour("widenFour", asm.F32, asm.F64, func(v vectors) asm.Vec {
			f := v.foldFour(asm.FoldAdd4)
			lower, _ := f.Widen()
			twice, _ := f.Add(f).Widen()
			return twice.MulAdd(lower, lower)
		}, func(x, y, z []uint64) []uint64 {
			f := foldFour(asm.F32, x, y, z, add(asm.F32))
			for i := range f {
				once, twice := widen(f[i]), widen(add(asm.F32)(f[i], f[i]))
				f[i] = mulAdd(asm.F64, twice, once, once)
			}
			return f
		}),
		firstFour("widenFirst", asm.F32, asm.F64, func(v vectors) asm.Vec {
			f, _ := v.foldFour(asm.FoldAdd4).Widen()
			x, _ := v.x.Widen()
			y, _ := v.firstOfY().Widen()
			return f.SpreadLane(2).Add(x).Add(y)
		}, nil).with(func(x, y, z []uint64) (dst []uint64) {
			eachVector(asm.F32, x, y, z, func(vx, vy, vz []uint64) {
				f := widen(foldFour(asm.F32, vx, vy, vz, add(asm.F32))[2])
				for i := range 4 {
					dst = append(dst, add(asm.F64)(add(asm.F64)(f, widen(vx[i])), widen(y[0])))
				}
			})
			return dst
		}),
		countdown(),
	}
}

// copyWidth copies integers of one width to another.
func copyWidth(name string, in, out asm.Type) Op {
	return Op{
		Name: name, In: in, Out: out,
		Build: func(k *asm.Kernel) {
			dst, x, _, _, n := pointers(k, in)
			dst = dst.As(out)
			if in == asm.I64 {
				k.Each(n, []asm.Array{x}, func(l asm.Lanes) {
					l.StoreNarrow(dst, l.LoadOr(x, fill(k, in)))
					dst.Advance(in.Lanes())
				})
				return
			}
			k.Each(n, []asm.Array{dst}, func(l asm.Lanes) {
				l.Store(dst, l.LoadWiden(x))
				x.Advance(out.Lanes())
			})
		},
		Want: func(x, _, _ []uint64) []uint64 {
			dst := make([]uint64, len(x))
			for i := range x {
				dst[i] = encode(out, decode(in, x[i]))
			}
			return dst
		},
	}
}

// backwards copies elements one by one, dst[i] = x[n−1−i] − 7·i, with integers alone.
func backwards() Op {
	return Op{
		Name: "backwardsI32", In: asm.I32, Out: asm.I32,
		Build: func(k *asm.Kernel) {
			dst, x, _, _, n := pointers(k, asm.I32)
			i := k.Copy(k.Int(0))
			k.While(i.Less(n), func() {
				e := x.From(-1).LoadInt(n.Minus(i))
				dst.From(3).StoreInt(i.Minus(k.Int(3)), e.Minus(i.Times(k.Int(7))))
				i.Inc(k.Int(1))
			})
		},
		Want: func(x, _, _ []uint64) []uint64 {
			dst := make([]uint64, len(x))
			for i := range x {
				dst[i] = encode(asm.I32, number{i: decode(asm.I32, x[len(x)-1-i]).i - 7*int64(i)})
			}
			return dst
		},
	}
}

// countdown takes every kind of comparison and jump: dst[i] tells, in bits, how
// x[i] and y[i] compare, and 8·x[i] + y[i] − z[i] above them.
func countdown() Op {
	return Op{
		Name: "compareI64", In: asm.I64, Out: asm.I64,
		Build: func(k *asm.Kernel) {
			dst, x, y, z, n := pointers(k, asm.I64)
			left := k.Copy(n)
			start, end := k.NewLabel("start"), k.NewLabel("end")
			k.Place(start)
			k.JumpIf(left.LessEqual(k.Int(0)), end)
			a, b, c := x.LoadInt(k.Int(0)), y.LoadInt(k.Int(0)), z.LoadInt(k.Int(0))
			bits := k.Copy(k.Int(0))
			for i, cond := range []asm.Cond{
				a.Equal(b), a.NotEqual(b), a.Less(b), a.LessEqual(b), a.AtLeast(b), a.Greater(b),
				a.Less(k.Int(0)), a.Greater(k.Int(-5)),
			} {
				k.If(cond, func() { bits.Inc(k.Int(1 << i)) })
			}
			bits.Inc(a.Shl(3).Plus(b).Minus(c).Shl(8))
			dst.StoreInt(k.Int(0), bits)
			for _, a := range []asm.Array{dst, x, y, z} {
				a.Advance(1)
			}
			left.Dec(k.Int(1))
			k.Jump(start)
			k.Place(end)
		},
		Want: func(x, y, z []uint64) []uint64 {
			dst := make([]uint64, len(x))
			for i := range x {
				a, b := int64(x[i]), int64(y[i])
				for j, cond := range []bool{a == b, a != b, a < b, a <= b, a >= b, a > b, a < 0, a > -5} {
					if cond {
						dst[i] += 1 << j
					}
				}
				dst[i] += (x[i]<<3 + y[i] - z[i]) << 8
			}
			return dst
		},
	}
}

// ParamsSignature is that of Params.
const ParamsSignature = "func(a float32, b float64, i int32, u uint8, j int, x []float32) (s float32, d float64, n int, m int32, w uint32)"

// Params is a kernel with parameters and results of every sort: s = a + x[0],
// d = b·b, n = i + u + j, m = len(x), and w the bits of x[1].
func Params(k *asm.Kernel) {
	x := k.Base("x")
	k.Return("s", k.Param("a").Add(x.Broadcast()))
	b := k.Param("b")
	k.Return("d", b.Mul(b))
	k.ReturnInt("n", k.Arg("i").Plus(k.Arg("u")).Plus(k.Arg("j")))
	k.ReturnInt("m", k.Len("x"))
	k.Return("w", x.As(asm.I32).From(1).Broadcast())
}

// Specials are the bits of elements on which operations tend to differ.
func Specials(t asm.Type) []uint64 {
	switch t {
	case asm.F32, asm.F64:
		var s []uint64
		for _, x := range []float64{0, math.Copysign(0, -1), 1, -1, 2.5, math.Inf(1), math.Inf(-1), math.NaN()} {
			s = append(s, Constant(t, x))
		}
		mantissa := 23
		if t == asm.F64 {
			mantissa = 52
		}
		// From where on all numbers are integers, or multiples of a half: what is
		// halfway between integers, and its neighbors.
		border := math.Ldexp(1, mantissa)
		for _, x := range []float64{0.5, 1.5, border/2 - 0.25, border/2 - 0.5, border/2 + 0.5, border - 0.5, border, border + 1} {
			bits := Constant(t, x)
			for _, b := range []uint64{bits - 1, bits, bits + 1} {
				s = append(s, b, negative(t, b))
			}
		}
		infinity := Constant(t, math.Inf(1))
		smallest := uint64(1) << mantissa
		for _, x := range []uint64{1, smallest - 1, smallest, infinity - 1} {
			s = append(s, x, negative(t, x))
		}
		return s
	case asm.I32:
		return []uint64{0, 1, math.MaxUint32, math.MaxInt32, 1 << 31, 1<<31 + 1, 7}
	}
	return []uint64{0, 1, math.MaxUint64, math.MaxInt64, 1 << 63, 1<<63 + 1, math.MaxUint32, 1 << 32, 7}
}
