package fp

import (
	"math"
	"unsafe"
)

// The elementary functions of the kernels. math.Exp and math.Log are assembly
// on some architectures and are compiled with or without fused steps on
// others, so their last bit depends on the machine; these do not: each is a
// fixed sequence of IEEE-754 operations. A product that feeds a sum is either
// fused by name or rounded by a conversion, which keeps the compiler from
// fusing it where an architecture could.

// FMA32 returns x·y + z rounded once, as an FMA instruction does.
//
// The product of two float32 is exact in float64, so s is the exact result
// rounded to 53 bits, and rounding it again to 24 is wrong only if s lies
// half way between two float32: its low 29 bits say so, and where the result is
// subnormal more bits than these.
func FMA32(x, y, z float32) float32 {
	s := float64(x)*float64(y) + float64(z)
	if tie(s) == 0 || math.Abs(s) < 0x1p-126 {
		s = breakTie(s, float64(x)*float64(y), float64(z))
	}
	return float32(s)
}

// tie returns 0 if s is half way between two neighbouring float32.
func tie(s float64) uint64 { return math.Float64bits(s)<<35 ^ 1<<63 }

// breakTie rounds p + z, of which s is the nearest float64, to odd instead: if s
// is even and not exact it moves one ulp towards the exact sum, after which
// rounding to fewer bits goes to the right side. The rounding error of a sum is by
// Knuth's TwoSum.
func breakTie(s, p, z float64) float64 {
	v := s - p
	err := (p - (s - v)) + (z - v)
	if err == 0 || math.Float64bits(s)&1 == 1 {
		return s
	}
	return math.Nextafter(s, math.Copysign(math.Inf(1), err))
}

// FMA returns x·y + z rounded once.
func FMA[F Float](x, y, z F) F {
	if unsafe.Sizeof(x) == 4 {
		return F(FMA32(float32(x), float32(y), float32(z)))
	}
	return F(math.FMA(float64(x), float64(y), float64(z)))
}

// Exp returns eˣ within 1 ulp: 0 where the result would not be normal, +Inf
// where it overflows, NaN for NaN.
func Exp[F Float](x F) F {
	if unsafe.Sizeof(x) == 4 {
		return F(Exp32(float32(x)))
	}
	return F(Exp64(float64(x)))
}

// The arguments beyond which exp is not a normal number: the largest x with
// eˣ below the smallest normal number, and the largest with a finite eˣ.
const (
	expMin32, expMax32 = -0x1.5d589ep+6, 0x1.62e42ep+6
	expMin64, expMax64 = -0x1.6232bdd7abcd2p+9, 0x1.62e42fefa39efp+9
)

// ExpRange returns the least and the largest argument of which exp is a normal number.
func ExpRange[F Float]() (least, largest F) {
	if IsFloat32[F]() {
		least, largest := float32(expMin32), float32(expMax32)
		return F(least), F(largest)
	}
	least64, largest64 := expMin64, expMax64
	return F(least64), F(largest64)
}

// Exp32 is within 0.892 ulp, the worst of all 2³² inputs being −5.848642. It multiplies
// the polynomial of expParts32 by 2ⁿ in the exponent field, which cannot overflow: n = 128
// meets a polynomial below 1, n = −126 one that is at least 1.
func Exp32(x float32) float32 {
	switch {
	case x != x:
		return x
	case x < expMin32:
		return 0
	case x > expMax32:
		return float32(math.Inf(1))
	}
	p, z := expParts32(x)
	return math.Float32frombits(math.Float32bits(p) + math.Float32bits(z)<<23)
}

// expParts32 returns e^x as p·2ⁿ with z = n + shift32: it writes x = n·ln 2 + r with
// |r| ≤ ½ ln 2, and p is a polynomial in r. This is
//
//	z := FMA32(x, log2eF32, shift32)
//	p := expPoly32(FMA32(-k, ln2LoF32, reduce32(x, k))), with k := z - shift32
//
// in float64, three times as fast as by calls of FMA32. Only where a sum is on a
// tie, and rounding it again may go wrong, is it done by them.
func expParts32(x float32) (p, z float32) {
	y := float64(x)*log2eF32 + shift32
	z = float32(y)
	k := float64(z) - shift32
	q := (float64(x) - float64(k*ln2HiF32)) - k*ln2LoF32
	r := float64(float32(q))
	a := expF32C6*r + expF32C5
	b := float64(float32(a))*r + expF32C4
	c := float64(float32(b))*r + expF32C3
	d := float64(float32(c))*r + expF32C2
	e := float64(float32(d))*r + 1
	f := float64(float32(e))*r + 1
	if min(tie(y), tie(q), tie(a), tie(b), tie(c), tie(d), tie(e), tie(f)) == 0 {
		z = FMA32(x, log2eF32, shift32)
		k := z - shift32
		return expPoly32(FMA32(-k, ln2LoF32, reduce32(x, k))), z
	}
	return float32(f), z
}

// shift32 is 1.5·2²³, shift64 1.5·2⁵²: added to a float32 or float64 they leave no bits
// for a fraction.
const shift32, shift64 = 0x1.8p23, 0x1.8p52

// reduce32 returns x − k·ln2Hi. The difference needs no rounding, so neither
// does the product.
func reduce32(x, k float32) float32 {
	return float32(float64(x) - float64(float64(k)*ln2HiF32))
}

// expPoly32 is the polynomial of Exp32 by Horner's rule.
func expPoly32(r float32) float32 {
	p := FMA32(expF32C6, r, expF32C5)
	p = FMA32(p, r, expF32C4)
	p = FMA32(p, r, expF32C3)
	p = FMA32(p, r, expF32C2)
	p = FMA32(p, r, 1)
	return FMA32(p, r, 1)
}

// Exp64 is Exp32 with a polynomial of degree 11. Of 3.4·10⁷ arguments the worst is
// 0x1.cf61f4691f38cp+08, with 0.874 ulp.
func Exp64(x float64) float64 {
	switch {
	case x != x:
		return x
	case x < expMin64:
		return 0
	case x > expMax64:
		return math.Inf(1)
	}
	k, n := nearest64(x)
	r := math.FMA(-k, ln2LoF64, math.FMA(-k, ln2HiF64, x))
	return math.Float64frombits(math.Float64bits(expPoly64(r)) + uint64(n)<<52)
}

// nearest64 returns n = round(x/ln 2), as a float too, for |x| ≤ 2²¹.
func nearest64(x float64) (k float64, n int32) {
	k = math.FMA(x, log2eF64, shift64) - shift64
	return k, int32(k)
}

// expPoly64 is the polynomial of Exp64.
func expPoly64(r float64) float64 {
	p := math.FMA(expF64C11, r, expF64C10)
	p = math.FMA(p, r, expF64C9)
	p = math.FMA(p, r, expF64C8)
	p = math.FMA(p, r, expF64C7)
	p = math.FMA(p, r, expF64C6)
	p = math.FMA(p, r, expF64C5)
	p = math.FMA(p, r, expF64C4)
	p = math.FMA(p, r, expF64C3)
	p = math.FMA(p, r, expF64C2)
	p = math.FMA(p, r, 1)
	return math.FMA(p, r, 1)
}

// Scores of a frame go through exp without their largest taken off, which would round:
// exp(x)/2^k loses nothing, for any k near where the scores are.

const (
	// expReach32 and expReach64 are how far below the largest score exp(x)/2^k is still a
	// normal number where 2^k is within a factor of √2 of the largest.
	expReach32, expReach64 = 86, 700

	// MaxScore is the largest |x| for which x − n·ln 2 is exact enough in float32.
	MaxScore = 1 << 16
)

// ExpReach is expReach32 or expReach64.
func ExpReach[F Float]() F {
	if IsFloat32[F]() {
		return expReach32
	}
	return expReach64
}

// Shifted returns round(x/ln 2) + shift32 or shift64: the integer is in the last bits.
func Shifted[F Float](x F) F {
	if IsFloat32[F]() {
		return F(FMA32(float32(x), log2eF32, shift32))
	}
	return F(math.FMA(float64(x), log2eF64, shift64))
}

// Unshifted returns the integer in the last bits of ref, which Shifted made.
func Unshifted[F Float](ref F) float64 {
	if IsFloat32[F]() {
		return float64(ref) - shift32
	}
	return float64(ref) - shift64
}

// ExpOver returns eˣ/2^k for ref = k + shift32 or shift64, where that is a normal number.
func ExpOver[F Float](x, ref F) F {
	if IsFloat32[F]() {
		p, z := expParts32(float32(x))
		return F(p * math.Float32frombits((math.Float32bits(z)-math.Float32bits(float32(ref))+127)<<23))
	}
	z := math.FMA(float64(x), log2eF64, shift64)
	n := z - shift64
	p := expPoly64(math.FMA(-n, ln2LoF64, math.FMA(-n, ln2HiF64, float64(x))))
	return F(p * math.Float64frombits((math.Float64bits(z)-math.Float64bits(float64(ref))+1023)<<52))
}

// MinScore is the least difference to the best of a frame's scores, in nats, that is told
// from −Inf.
const MinScore = -1 << 21

// ExpScaled returns e^(x+err) as v·2^e with v near 1, for x ≤ 0, where err is a correction below an
// ulp of x. Anything not above MinScore, NaN too, gives zero.
func ExpScaled(x, err float64) (v, e float64) {
	if !(x > MinScore) {
		return 0, 0
	}
	n := math.FMA(x, log2eF64, shift64) - shift64
	return expPoly64(math.FMA(-n, ln2HiF64, x) + math.FMA(-n, ln2LoF64, err)), n
}

// Difference returns a−b rounded, and what rounding left out (Knuth's TwoSum).
// A very unlikely label's score has few bits after the point; the emission
// needs them.
func Difference[F Float](a, b F) (d, err F) {
	d = a - b
	v := d - a
	return d, (a - (d - v)) - (b + v)
}

// Log returns ln x within 1 ulp for a normal, finite x > 0.
func Log(x float64) float64 { return logCorrected(x, 0) }

// Log1p returns ln(1+x) within 1 ulp for −½ ≤ x < 2⁵³, NaN for NaN; of 3.4·10⁷
// arguments the worst is 0x1.9a98a1330bb34p-02, with 0.838 ulp. What 1+x rounds away,
// which is x−(u−1) exactly, returns as a correction of the logarithm.
func Log1p(x float64) float64 {
	u := 1 + x
	return logCorrected(u, (x-(u-1))/u)
}

// logCorrected returns ln x + c for a normal x > 0 and a small c. With
// x = 2^k·(1+f), 1+f between √½ and √2, and s = f/(2+f),
//
//	ln(1+f) = 2 artanh s = f − (f²/2 − s·(f²/2 + R(s²))):
//
// f enters unrounded, and the rest is small beside it. (W. J. Cody, W. Waite,
// Software Manual for the Elementary Functions, 1980; the grouping is that of
// FreeBSD's msun.)
func logCorrected(x, c float64) float64 {
	const sqrtHalf = 0x3fe6a09e_667f3bcd
	b := math.Float64bits(x) - sqrtHalf
	k := float64(int64(b) >> 52)
	f := math.Float64frombits(b&(1<<52-1)+sqrtHalf) - 1
	s := f / (2 + f)
	half := float64(0.5 * f * f)
	tail := math.FMA(s, half+logPoly(s*s), math.FMA(k, ln2LoF64, c))
	return math.FMA(k, ln2HiF64, f-(half-tail))
}

// logPoly returns R(z) of logCorrected.
func logPoly(z float64) float64 {
	p := math.FMA(logC7, z, logC6)
	p = math.FMA(p, z, logC5)
	p = math.FMA(p, z, logC4)
	p = math.FMA(p, z, logC3)
	p = math.FMA(p, z, logC2)
	p = math.FMA(p, z, logC1)
	return float64(p * z)
}
