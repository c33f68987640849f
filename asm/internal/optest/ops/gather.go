package ops

import (
	"math/bits"

	"github.com/gotrellis/trellis/asm"
)

// gathering is what a kernel gathers with at once: the array x and n, the number of
// its elements, with indices into it.
type gathering struct {
	k       *asm.Kernel
	x       asm.Array
	n       asm.Int
	mask    asm.Vec // a power of two less 1: what is left under it is an index
	rest    asm.Vec // an index, and still one when what is left under mask is added
	index   asm.Vec
	element asm.Vec // of y
}

// at gathers elements of x.
func (g gathering) at(index asm.Vec) asm.Vec { return g.x.Gather(index) }

// gathered is a lane of a gathering.
type gathered struct {
	t                   asm.Type
	x                   []uint64
	mask, rest, y, z, i uint64 // i is the number of the lane
}

// index is as far from the start of x as the low bits of y say, or from the end if
// z < y as integers: any element may be meant.
func (g gathered) index() uint64 {
	return g.y&g.mask + pick(less(g.t.Int(), g.z, g.y), g.rest, 0)
}

// gatherOp is an operation on what is gathered.
func gatherOp(name string, t asm.Type, f func(g gathering) asm.Vec, want func(g gathered) uint64) Op {
	integers := t.Int()
	return Op{
		Name: name + suffix(t), In: t, Out: t,
		Build: func(k *asm.Kernel) {
			dst, x, y, z, n := pointers(k, t)
			power := powerBelow(k, n)
			mask, rest := power.Minus(k.Int(1)).Splat(integers), n.Minus(power).Splat(integers)
			k.Each(n, []asm.Array{dst, y, z}, func(l asm.Lanes) {
				element := l.Load(y)
				i := element.As(integers)
				j := l.Load(z.As(integers))
				index := i.And(mask).Add(j.Less(i).Keep(rest))
				l.Store(dst, f(gathering{k, x, n, mask, rest, index, element}))
			})
		},
		Want: func(x, y, z []uint64) []uint64 {
			dst := make([]uint64, len(x))
			for i := range x {
				mask := maskBelow(len(x))
				dst[i] = want(gathered{t, x, mask, uint64(len(x)) - mask - 1, y[i], z[i], uint64(i)})
			}
			return dst
		},
	}
}

// gathers are gathers of elements that touch a guard, whatever their number is.
func gathers(t asm.Type) []Op {
	integers := t.Int()
	all := []Op{
		gatherOp("gather", t, func(g gathering) asm.Vec { return g.at(g.index) },
			func(g gathered) uint64 { return g.x[g.index()] }),
		// One element in all lanes.
		gatherOp("gatherSame", t, func(g gathering) asm.Vec {
			return g.at(g.k.Const(integers, 0)).Add(g.at(g.rest))
		}, func(g gathered) uint64 { return add(t)(g.x[0], g.x[g.rest]) }),
		// The first elements, and the last ones.
		gatherOp("gatherIota", t, func(g gathering) asm.Vec {
			first := g.k.Iota(integers).And(g.mask)
			return g.at(first).Add(g.at(first.Add(g.rest)))
		}, func(g gathered) uint64 {
			first := g.i % uint64(t.Lanes()) & g.mask
			return add(t)(g.x[first], g.x[first+g.rest])
		}),
		// From another element on than the first.
		gatherOp("gatherFrom", t, func(g gathering) asm.Vec {
			return g.x.From(1).Gather(g.index.Sub(g.k.Const(integers, 1)))
		}, func(g gathered) uint64 { return g.x[g.index()] }),
		// Negative indices, from the end.
		gatherOp("gatherBack", t, func(g gathering) asm.Vec {
			return g.x.Plus(g.x.Elements(g.n)).Gather(g.index.Sub(g.n.Splat(integers)))
		}, func(g gathered) uint64 { return g.x[g.index()] }),
		// Into a variable that is needed before, by an index that is needed after.
		gatherOp("gatherVar", t, func(g gathering) asm.Vec {
			a := g.k.Var(g.element)
			b := a.Add(a)
			a.Set(g.at(g.index))
			b = b.Add(a)
			a.Set(g.at(g.index.And(g.mask)))
			return a.Add(b)
		}, func(g gathered) uint64 {
			b := add(t)(add(t)(g.y, g.y), g.x[g.index()])
			return add(t)(g.x[g.index()&g.mask], b)
		}),
		// Into the variable that is the index, as integers.
		gatherOp("gatherChain", t, func(g gathering) asm.Vec {
			a := g.k.Var(g.index)
			for range 2 {
				a.Set(g.x.As(integers).Gather(a))
				a.Set(a.And(g.mask))
			}
			a.Set(g.x.As(integers).Gather(a))
			return a.As(t)
		}, func(g gathered) uint64 { return g.x[g.x[g.x[g.index()]&g.mask]&g.mask] }),
		gatherOp("gatherLoop", t, func(g gathering) asm.Vec {
			k := g.k
			sum, index := k.Var(g.element), k.Var(g.index)
			turns := k.Copy(k.Int(3))
			k.While(turns.Greater(k.Int(0)), func() {
				sum.Set(sum.Add(g.at(index)))
				index.Set(index.Add(k.Const(integers, 1)).And(g.mask))
				turns.Dec(k.Int(1))
			})
			return sum
		}, func(g gathered) uint64 {
			sum, index := g.y, g.index()
			for range 3 {
				sum = add(t)(sum, g.x[index])
				index = (index + 1) & g.mask
			}
			return sum
		}),
	}
	if t.Size() == 8 {
		all = append(all, gatherByI32(t), gatherBy(t))
	}
	return all
}

// gatherByI32 takes the indices from integers of half the width, which fill half of
// y. Beyond a tail they are 0.
func gatherByI32(t asm.Type) Op {
	return Op{
		Name: "gatherByI32" + suffix(t), In: t, Out: t,
		Build: func(k *asm.Kernel) {
			dst, x, y, _, n := pointers(k, t)
			mask := powerBelow(k, n).Minus(k.Int(1)).Splat(asm.I64)
			index := y.As(asm.I32)
			k.Each(n, []asm.Array{dst}, func(l asm.Lanes) {
				l.Store(dst, x.Gather(l.LoadWiden(index).And(mask)))
				index.Advance(t.Lanes())
			})
		},
		Want: func(x, y, _ []uint64) []uint64 {
			dst := make([]uint64, len(x))
			for i := range x {
				dst[i] = x[y[i/2]>>(i%2*32)&maskBelow(len(x))]
			}
			return dst
		},
	}
}

// gatherBy is gatherByI32 with GatherBy, which has all lanes: their indices are written to dst first.
func gatherBy(t asm.Type) Op {
	op := gatherByI32(t)
	op.Name = "gatherBy" + suffix(t)
	op.Build = func(k *asm.Kernel) {
		dst, x, y, _, n := pointers(k, t)
		mask := powerBelow(k, n).Minus(k.Int(1)).Splat(asm.I64)
		index, isWhole := y.As(asm.I32), true
		k.Each(n, []asm.Array{dst}, func(l asm.Lanes) {
			at := l.LoadWiden(index).And(mask)
			if isWhole {
				l.StoreNarrow(dst.As(asm.I32).From(3), at)
				l.Store(dst, x.GatherBy(dst.As(asm.I32).From(3)))
			} else {
				l.Store(dst, x.Gather(at))
			}
			isWhole = false
			index.Advance(t.Lanes())
		})
	}
	return op
}

// powerBelow returns the largest power of two that is not above n.
func powerBelow(k *asm.Kernel, n asm.Int) asm.Int {
	power, twice := k.Copy(k.Int(1)), k.Copy(k.Int(2))
	k.While(twice.LessEqual(n), func() {
		power.Set(twice)
		twice.Inc(twice)
	})
	return power
}

// maskBelow returns the largest power of two that is not above n, less 1.
func maskBelow(n int) uint64 { return 1<<(bits.Len(uint(n))-1) - 1 }
