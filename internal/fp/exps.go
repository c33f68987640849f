package fp

import "math"

// exp of many numbers. Each takes a long row of steps that wait for each other, so four are
// under way at a time.

// Exps writes dst[i] = exp(x[i]−m), as Exp32 or Exp64 has it. dst may be x.
func Exps[F Float](dst, x []F, m F) {
	if IsFloat32[F]() {
		exps32(AsFloat32(dst), AsFloat32(x), float32(m), expMin32, expMax32, 0)
	} else {
		exps64(AsFloat64(dst), AsFloat64(x), float64(m), expMin64, expMax64, 0)
	}
}

// ExpsOver writes dst[i] = exp(x[i])/2^k for ref = k + shift32 or shift64, where that is a normal
// number: 0 where x[i] is below least, and NaN for NaN. dst may be x.
func ExpsOver[F Float](dst, x []F, ref, least F) {
	if IsFloat32[F]() {
		exps32(AsFloat32(dst), AsFloat32(x), 0, float32(least), math.MaxFloat32, Unshifted(ref))
	} else {
		exps64(AsFloat64(dst), AsFloat64(x), 0, float64(least), math.MaxFloat64, Unshifted(ref))
	}
}

// exps32 writes dst[i] = e^(x[i]−m)/2^k, and what outside returns where x[i]−m is not from
// least to largest.
func exps32(dst, x []float32, m, least, largest float32, k float64) {
	shift := shift64 - k
	for len(x) >= 4 {
		d, s := (*[4]float32)(dst), (*[4]float32)(x)
		dst, x = dst[4:], x[4:]
		x0, x1, x2, x3 := s[0]-m, s[1]-m, s[2]-m, s[3]-m
		if !(x0 >= least && x0 <= largest && x1 >= least && x1 <= largest && x2 >= least && x2 <= largest && x3 >= least && x3 <= largest) {
			y := [4]float32{x0, x1, x2, x3}
			inside := zeroOutside(y, least, largest)
			exps32(d[:], inside[:], 0, NegInf[float32](), -NegInf[float32](), k)
			expOutside(d, y, least, largest)
			continue
		}
		p0, r0, n0 := lower32(x0, shift)
		p1, r1, n1 := lower32(x1, shift)
		p2, r2, n2 := lower32(x2, shift)
		p3, r3, n3 := lower32(x3, shift)
		d[0], d[1], d[2], d[3] = upper32(p0, r0, n0), upper32(p1, r1, n1), upper32(p2, r2, n2), upper32(p3, r3, n3)
	}
	if n := len(x); n > 0 {
		v := x[0]
		s := [4]float32{v, v, v, v}
		copy(s[:], x)
		exps32(s[:], s[:], m, least, largest, k)
		copy(dst[:n], s[:])
	}
}

// zeroOutside returns y, with 0 where it is not from least to largest.
func zeroOutside[F Float](y [4]F, least, largest F) [4]F {
	for i, v := range y {
		if !(v >= least && v <= largest) {
			y[i] = 0
		}
	}
	return y
}

// expOutside writes to d what outside returns where y is not from least to largest.
func expOutside[F Float](d *[4]F, y [4]F, least, largest F) {
	for i, v := range y {
		if !(v >= least && v <= largest) {
			d[i] = outside(v, least)
		}
	}
}

// expsFused is exps32 for float64.
func expsFused(dst, x []float64, m, least, largest, k float64) {
	dst = dst[:len(x)]
	for i, v := range x {
		v -= m
		if !(v >= least && v <= largest) {
			dst[i] = outside(v, least)
			continue
		}
		z := FMA64(v, log2eF64, shift64)
		n := z - shift64
		dst[i] = scale64(expPoly64(FMA64(-n, ln2LoF64, v-n*ln2HiF64)), z-k)
	}
}
