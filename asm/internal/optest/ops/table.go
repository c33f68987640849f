package ops

import (
	"math/bits"
	"strconv"

	"github.com/gotrellis/trellis/asm"
)

// tables look elements up in tables of 1 to 8 vectors. What is stored ends with the
// table: nothing behind it is read.
func tables() []Op {
	var all []Op
	for n := 1; n <= 8; n++ {
		all = append(all, tableOp("table", n, func(k *asm.Kernel, table asm.Array, index asm.Vec) asm.Vec {
			return table.As(asm.F32).GatherTable(n, index)
		}, func(table []uint64, index uint64) uint64 { return table[index] }))
		all = append(all, tableOp("tableBy", n, func(k *asm.Kernel, table asm.Array, index asm.Vec) asm.Vec {
			table.Vector(-1).Store(index)
			return table.As(asm.F32).GatherBy(table.Vector(-1))
		}, func(table []uint64, index uint64) uint64 { return table[index] }))
		// The index is needed after, is the variable that is written, and a constant.
		all = append(all, tableOp("tableChain", n, func(k *asm.Kernel, table asm.Array, index asm.Vec) asm.Vec {
			a := k.Var(index)
			a.Set(table.GatherTable(n, a))
			a.Set(a.And(k.Const(asm.I32, 15)))
			a.Set(table.GatherTable(n, a))
			last := table.GatherTable(n, k.Const(asm.I32, float64(16*n-1)))
			return a.Add(table.GatherTable(n, index)).Add(last).As(asm.F32)
		}, func(table []uint64, index uint64) uint64 {
			plus := add(asm.I32)
			return plus(plus(table[table[index]&15], table[index]), table[16*n-1])
		}))
	}
	return all
}

// tableOp makes a table of x with small numbers added, and indices of all of it from y
// and z.
func tableOp(name string, n int, f func(k *asm.Kernel, table asm.Array, index asm.Vec) asm.Vec, want func(table []uint64, index uint64) uint64) Op {
	power := 16 << (bits.Len(uint(n)) - 1) // the largest that is not above 16·n
	return manyPerVector(name+strconv.Itoa(n), asm.F32, asm.F32, 16*(n+1), func(dst asm.Array, v vectors) {
		k, table := v.k, dst.As(asm.I32)
		for i := range n {
			table.Vector(i + 1).Store(v.x.As(asm.I32).Add(k.Const(asm.I32, float64(i))))
		}
		y, z := v.y.As(asm.I32), v.z.As(asm.I32)
		index := y.And(k.Const(asm.I32, float64(power-1)))
		index = index.Add(z.Less(y).Keep(k.Const(asm.I32, float64(16*n-power))))
		dst.Store(f(k, table.Vector(1), index))
	}, func(x, y, z []uint64) []uint64 {
		var table, dst []uint64
		for i := range n {
			for _, e := range x {
				table = append(table, add(asm.I32)(e, uint64(i)))
			}
		}
		for i := range y {
			index := y[i]&uint64(power-1) + pick(less(asm.I32, z[i], y[i]), uint64(16*n-power), 0)
			dst = append(dst, want(table, index))
		}
		return append(dst, table...)
	})
}
