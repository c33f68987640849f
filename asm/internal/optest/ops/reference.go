package ops

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// number is what the bits of an element mean: a float64 that holds any float32, or
// an int64 that holds any int32.
type number struct {
	f float64
	i int64
}

func decode(t asm.Type, bits uint64) number {
	switch t {
	case asm.F32:
		return number{f: float64(math.Float32frombits(uint32(bits)))}
	case asm.F64:
		return number{f: math.Float64frombits(bits)}
	case asm.I32:
		return number{i: int64(int32(bits))}
	}
	return number{i: int64(bits)}
}

func encode(t asm.Type, n number) uint64 {
	switch t {
	case asm.F32:
		return uint64(math.Float32bits(float32(n.f)))
	case asm.F64:
		return math.Float64bits(n.f)
	case asm.I32:
		return uint64(uint32(n.i))
	}
	return uint64(n.i)
}

// arithmetic makes an operation on numbers one on bits. The sum, difference,
// product and quotient of two float32 rounded to float64 and then to float32 are
// those rounded once.
func arithmetic(t asm.Type, float func(x, y float64) float64, integer func(x, y int64) int64) func(x, y uint64) uint64 {
	return func(x, y uint64) uint64 {
		v, w := decode(t, x), decode(t, y)
		if t.IsFloat() {
			return encode(t, number{f: float(v.f, w.f)})
		}
		return encode(t, number{i: integer(v.i, w.i)})
	}
}

func add(t asm.Type) func(x, y uint64) uint64 {
	return arithmetic(t, func(x, y float64) float64 { return x + y }, func(x, y int64) int64 { return x + y })
}

func sub(t asm.Type) func(x, y uint64) uint64 {
	return arithmetic(t, func(x, y float64) float64 { return x - y }, func(x, y int64) int64 { return x - y })
}

func maximum(t asm.Type) func(x, y uint64) uint64 {
	return arithmetic(t, func(x, y float64) float64 {
		if x > y {
			return x
		}
		return y
	}, func(x, y int64) int64 { return max(x, y) })
}

func minimum(t asm.Type) func(x, y uint64) uint64 {
	return arithmetic(t, func(x, y float64) float64 {
		if x < y {
			return x
		}
		return y
	}, func(x, y int64) int64 { return min(x, y) })
}

func less(t asm.Type, x, y uint64) bool {
	v, w := decode(t, x), decode(t, y)
	return v.f < w.f || v.i < w.i
}

func equal(t asm.Type, x, y uint64) bool {
	v, w := decode(t, x), decode(t, y)
	return v.f == w.f && v.i == w.i
}

// mulAdd returns x·y + z, rounded once.
func mulAdd(t asm.Type, x, y, z uint64) uint64 {
	v, w, u := decode(t, x).f, decode(t, y).f, decode(t, z).f
	if t == asm.F32 {
		return encode(t, number{f: mulAddOdd(v, w, u)})
	}
	return encode(t, number{f: math.FMA(v, w, u)})
}

// mulAddOdd returns x·y + z of float32 numbers rounded to odd, which is rounded to
// float32 as the exact sum is (Boldo and Melquiond 2008). The product is exact.
func mulAddOdd(x, y, z float64) float64 {
	p := float64(x * y)
	sum := p + z
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return sum
	}
	t := sum - p
	rest := (p - (sum - t)) + (z - t) // the rounding error of the sum
	bits := math.Float64bits(sum)
	if rest == 0 || bits&1 != 0 {
		return sum
	}
	if (rest > 0) == (sum > 0) {
		return math.Float64frombits(bits + 1)
	}
	return math.Float64frombits(bits - 1)
}

// negative returns −x.
func negative(t asm.Type, x uint64) uint64 { return x ^ 1<<(8*t.Size()-1) }

// round returns the nearest integer, the even one of two.
func round(t asm.Type, x uint64) uint64 {
	return encode(t, number{f: math.RoundToEven(decode(t, x).f)})
}

// fold folds the upper half of the lanes onto the lower half until one is left.
func fold(v []uint64, f func(x, y uint64) uint64) uint64 {
	for h := len(v) / 2; h > 0; h /= 2 {
		for i := range h {
			v[i] = f(v[i], v[i+h])
		}
	}
	return v[0]
}

func pick(c bool, x, y uint64) uint64 {
	if c {
		return x
	}
	return y
}

// first returns the number of the first lane for which f holds.
func first(v []uint64, f func(i int) bool) uint64 {
	for i := range v {
		if f(i) {
			return uint64(i)
		}
	}
	return uint64(len(v))
}
