// Package ops describes kernels of one operation each, with what they compute in
// plain Go.
package ops

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/gotrellis/trellis/asm"
)

// Signature is that of all kernels but Params: x, y and z have n elements each.
const Signature = "func(dst, x, y, z *byte, n int)"

// Op is a kernel with one operation. Elements are held as their bits, in the low
// bits of a uint64.
type Op struct {
	Name string
	// In and Out are the types of the elements of x, y, z and of dst.
	In, Out asm.Type
	// Build describes the kernel.
	Build func(k *asm.Kernel)
	// Want returns what dst should be.
	Want func(x, y, z []uint64) []uint64
	// Without has the targets that lack the operation.
	Without []asm.Target
	// NumberX and NumberY want no NaN in x and y, as the operation has no rule for
	// it. Zeros of both signs are then the same.
	NumberX, NumberY bool
}

// Runs reports whether a target has the operation.
func (o *Op) Runs(target asm.Target) bool { return !slices.Contains(o.Without, target) }

// vectors are what a kernel computes with at once.
type vectors struct {
	k       *asm.Kernel
	x, y, z asm.Vec
}

// firstOfY returns the first element of y, all of it, in all lanes.
func (v vectors) firstOfY() asm.Vec { return v.k.Pointer(v.y.Type(), "y").Broadcast() }

// fill is what the lanes beyond a tail are loaded as, which operations on several
// lanes see: 3.
func fill(k *asm.Kernel, t asm.Type) asm.Vec { return k.Const(t, 3) }

// pointers returns the kernel's arguments, all arrays being of type t.
func pointers(k *asm.Kernel, t asm.Type) (dst, x, y, z asm.Array, n asm.Int) {
	return k.Pointer(t, "dst"), k.Pointer(t, "x"), k.Pointer(t, "y"), k.Pointer(t, "z"), k.Arg("n")
}

// lanewise is an operation of which each lane of the result is stored.
func lanewise(name string, t asm.Type, f func(v vectors) asm.Vec, want func(x, y, z uint64) uint64) Op {
	return lanes(name, t, f, func(x, y, z []uint64) []uint64 {
		dst := make([]uint64, len(x))
		for i := range dst {
			dst[i] = want(x[i], y[i], z[i])
		}
		return dst
	})
}

// lanes is an operation on whole vectors.
func lanes(name string, t asm.Type, f func(v vectors) asm.Vec, want func(x, y, z []uint64) []uint64) Op {
	return Op{
		Name: name + suffix(t), In: t, Out: t,
		Build: func(k *asm.Kernel) {
			dst, x, y, z, n := pointers(k, t)
			k.Each(n, []asm.Array{dst, x, y, z}, func(l asm.Lanes) {
				c := fill(k, t)
				l.Store(dst, f(vectors{k, l.LoadOr(x, c), l.LoadOr(y, c), l.LoadOr(z, c)}))
			})
		},
		Want: func(x, y, z []uint64) (dst []uint64) {
			eachVector(t, x, y, z, func(x, y, z []uint64) { dst = append(dst, want(x, y, z)...) })
			return dst[:len(x)]
		},
	}
}

// single is an operation of which the first lane is stored, for each vector.
func single(name string, in, out asm.Type, f func(v vectors) asm.Vec, want func(x, y, z []uint64) uint64) Op {
	return perVector(name, in, out, func(dst asm.Array, v vectors) { dst.StoreFirst(f(v)) }, want)
}

// integer is an operation with an integer result for each vector.
func integer(name string, in asm.Type, f func(v vectors) asm.Int, want func(x, y, z []uint64) uint64) Op {
	return perVector(name, in, asm.I64, func(dst asm.Array, v vectors) { dst.StoreInt(v.k.Int(0), f(v)) }, want)
}

func perVector(name string, in, out asm.Type, body func(dst asm.Array, v vectors), want func(x, y, z []uint64) uint64) Op {
	return manyPerVector(name, in, out, 1, body, func(x, y, z []uint64) []uint64 {
		return []uint64{want(x, y, z)}
	})
}

// manyPerVector is an operation that writes so many elements for each vector.
func manyPerVector(name string, in, out asm.Type, elements int, body func(dst asm.Array, v vectors), want func(x, y, z []uint64) []uint64) Op {
	return Op{
		Name: name + suffix(in), In: in, Out: out,
		Build: func(k *asm.Kernel) {
			dst, x, y, z, n := pointers(k, in)
			dst = dst.As(out)
			k.Each(n, []asm.Array{x, y, z}, func(l asm.Lanes) {
				c := fill(k, in)
				body(dst, vectors{k, l.LoadOr(x, c), l.LoadOr(y, c), l.LoadOr(z, c)})
				dst.Advance(elements)
			})
		},
		Want: func(x, y, z []uint64) (dst []uint64) {
			eachVector(in, x, y, z, func(x, y, z []uint64) { dst = append(dst, want(x, y, z)...) })
			return dst
		},
	}
}

// eachVector calls f with the elements of a vector at a time, filled up.
func eachVector(t asm.Type, x, y, z []uint64, f func(x, y, z []uint64)) {
	for i := 0; i < len(x); i += t.Lanes() {
		cut := func(s []uint64) []uint64 {
			v := make([]uint64, t.Lanes())
			for j := range v {
				v[j] = Constant(t, 3)
			}
			copy(v, s[i:])
			return v
		}
		f(cut(x), cut(y), cut(z))
	}
}

// Constant returns the bits of a number.
func Constant(t asm.Type, x float64) uint64 {
	switch t {
	case asm.F32:
		return uint64(math.Float32bits(float32(x)))
	case asm.F64:
		return math.Float64bits(x)
	case asm.I32:
		return uint64(uint32(int32(x)))
	}
	return uint64(int64(x))
}

func suffix(t asm.Type) string { return [...]string{"F32", "F64", "I32", "I64"}[t] }

// Get returns element i of an array.
func Get(t asm.Type, b []byte, i int) uint64 {
	if t.Size() == 4 {
		return uint64(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return binary.LittleEndian.Uint64(b[8*i:])
}

// Put sets element i of an array.
func Put(t asm.Type, b []byte, i int, bits uint64) {
	if t.Size() == 4 {
		binary.LittleEndian.PutUint32(b[4*i:], uint32(bits))
	} else {
		binary.LittleEndian.PutUint64(b[8*i:], bits)
	}
}

// IsZero reports whether a number is 0, of either sign.
func IsZero(t asm.Type, bits uint64) bool { return equal(t, bits, 0) }
