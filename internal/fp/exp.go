package fp

import "math"

// The elementary functions of the kernels. math.Exp and math.Log are assembly
// on some architectures and are compiled with or without fused steps on
// others, so their last bit depends on the machine; these do not: each is a
// fixed sequence of IEEE-754 operations. A product that feeds a sum is either exact,
// or fused by name, or rounded by a conversion, which keeps the compiler from
// fusing it where an architecture could.

// The arguments beyond which exp is 0 or +Inf: the least x of which x/ln 2 is rounded to −125, or −1021 in float64,
// so that a power of two one less is still a normal number, and the largest x with a finite eˣ.
const (
	expMin32, expMax32 = -0x1.5bf5bap+6, 0x1.62e42ep+6
	expMin64, expMax64 = -0x1.62066151add8bp+9, 0x1.62e42fefa39efp+9
)

// shift32 is 1.5·2²³, shift64 1.5·2⁵²: added to a float32 or float64 they leave no bits
// for a fraction. So a power of two times shift64, added and subtracted again, rounds a number to a
// multiple of the power.
const shift32, shift64 = 0x1.8p23, 0x1.8p52

// ExpRange returns the least and the largest argument of which exp is neither 0 nor +Inf.
func ExpRange[F Float]() (least, largest F) {
	if IsFloat32[F]() {
		least, largest := float32(expMin32), float32(expMax32)
		return F(least), F(largest)
	}
	least64, largest64 := expMin64, expMax64
	return F(least64), F(largest64)
}

// Exp32 returns eˣ: 0 where the result would be below 2^−125.5, +Inf where it overflows, NaN for NaN. It
// is within 0.892 ulp, the worst of all 2³² inputs being −5.848642. It multiplies
// the polynomial by 2ⁿ in the exponent field, which cannot overflow: n = 128 meets a
// polynomial below 1.
func Exp32(x float32) float32 {
	if !(x >= expMin32 && x <= expMax32) {
		return outside(x, expMin32)
	}
	return exp32(x, 0)
}

// Exp is Exp32 or Exp64.
func Exp[F Float](x F) F {
	if IsFloat32[F]() {
		return F(Exp32(float32(x)))
	}
	return F(Exp64(float64(x)))
}

// outside returns eˣ where it is no normal number, x being below least, too large or NaN.
func outside[F Float](x, least F) F {
	switch {
	case x != x:
		return x
	case x < least:
		return 0
	}
	return F(math.Inf(1))
}

// exp32 returns eˣ/2^k for |x| ≤ MaxScore, where that is a normal number: it writes
// x = n·ln 2 + r with |r| ≤ ½ ln 2, and has a polynomial in r. This is
//
//	z := FMA32(x, log2eF32, shift32)
//	n := z - shift32
//	r := FMA32(-n, ln2LoF32, x - n·ln2HiF32) // the difference needs no rounding
//	p := FMA32(expF32C6, r, expF32C5), and so on to FMA32(p, r, 1)
//
// in float64, where products are exact, so that it is all one whether a compiler fuses them. Sums
// that are rounded to float64 and then to float32 could be wrong where they are half way between
// two float32, but none of them is.
func exp32(x float32, k float64) float32 {
	p, r, n := lower32(x, shift64-k)
	return upper32(p, r, n)
}

// lower32 returns the first three steps of the polynomial, r, and n + shift for a shift of shift64 less
// an integer. Each step is between the same two powers of two for every r, so that its last bit is
// known, and rounding to a multiple of that is faster than two conversions. The float64 that is
// rounded to r is exact.
func lower32(x float32, shift float64) (p, r, n float64) {
	n = float64(x)*log2eF32 + shift
	k := n - shift
	r = float64(float32((float64(x) - k*ln2HiF32) - k*ln2LoF32))
	p = (r*expF32C6 + (expF32C5 + 0x1p-30*shift64)) - 0x1p-30*shift64
	p = (p*r + (expF32C4 + 0x1p-28*shift64)) - 0x1p-28*shift64
	return (p*r + (expF32C3 + 0x1p-26*shift64)) - 0x1p-26*shift64, r, n
}

// upperSteps has what upper32 adds and subtracts, for r that are not negative, and for negative
// ones, with which a sum is below ½ or 1 and has another last bit. (It is below ½ for some
// positive r, too. But they are so small that the bit does not matter.)
var upperSteps = [2]struct{ add2, sub2, add1, sub1 float64 }{
	{expF32C2 + 0x1p-24*shift64, 0x1p-24 * shift64, 1 + 0x1p-23*shift64, 0x1p-23 * shift64},
	{expF32C2 + 0x1p-25*shift64, 0x1p-25 * shift64, 1 + 0x1p-24*shift64, 0x1p-24 * shift64},
}

// upper32 returns the polynomial, whose first steps gave p, times 2ⁿ, for the n in the last bits of
// shifted.
func upper32(p, r, shifted float64) float32 {
	c := &upperSteps[math.Float64bits(r)>>63]
	p = (p*r + c.add2) - c.sub2
	p = (p*r + c.add1) - c.sub1
	return math.Float32frombits(math.Float32bits(float32(p*r+1)) + uint32(math.Float64bits(shifted))<<23)
}

// Exp64 is Exp32 with a polynomial of degree 11. Of 3.4·10⁷ arguments the worst is
// 0x1.cf61f4691f38cp+08, with 0.874 ulp.
func Exp64(x float64) float64 {
	if !(x >= expMin64 && x <= expMax64) {
		return outside(x, expMin64)
	}
	return exp64(x, 0)
}

// exp64 returns eˣ/2^k for |x| ≤ 2²¹, where that is a normal number. n·ln2HiF64 is exact.
func exp64(x, k float64) float64 {
	z := FMA64(x, log2eF64, shift64)
	n := z - shift64
	return scale64(expPoly64(FMA64(-n, ln2LoF64, x-n*ln2HiF64)), z-k)
}

// scale64 returns p·2ⁿ for the n in the last bits of shifted.
func scale64(p, shifted float64) float64 {
	return math.Float64frombits(math.Float64bits(p) + math.Float64bits(shifted)<<52)
}

// expPoly64 is the polynomial of Exp64.
func expPoly64(r float64) float64 {
	p := FMA64(expF64C11, r, expF64C10)
	p = FMA64(p, r, expF64C9)
	p = FMA64(p, r, expF64C8)
	p = FMA64(p, r, expF64C7)
	p = FMA64(p, r, expF64C6)
	p = FMA64(p, r, expF64C5)
	p = FMA64(p, r, expF64C4)
	p = FMA64(p, r, expF64C3)
	p = FMA64(p, r, expF64C2)
	p = FMA64(p, r, 1)
	return FMA64(p, r, 1)
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
	return F(FMA64(float64(x), log2eF64, shift64))
}

// Unshifted returns the integer in the last bits of ref, which Shifted made.
func Unshifted[F Float](ref F) float64 {
	if IsFloat32[F]() {
		return float64(ref) - shift32
	}
	return float64(ref) - shift64
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
	n := FMA64(x, log2eF64, shift64) - shift64
	return expPoly64((x - n*ln2HiF64) + FMA64(-n, ln2LoF64, err)), n
}

// LessPowers returns x − n·ln 2 for an integer n: the logarithm of eˣ/2ⁿ. n·ln2HiF64 is exact for
// |n| ≤ 2²¹.
func LessPowers(x, n float64) float64 { return FMA64(-n, ln2LoF64, x-n*ln2HiF64) }

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

// LogFrom0 returns ln x for any finite x ≥ 0: Log of normal ones, of those below within 2 ulp, and −Inf for
// 0. Of NaN it is NaN.
func LogFrom0(x float64) float64 {
	switch {
	case x >= leastNormal:
		return Log(x)
	case x > 0:
		return Log(x*subnormalScale) - subnormalShift
	case x == 0:
		return math.Inf(-1)
	}
	return x
}

// What makes a number below leastNormal a normal one, and the logarithm of that.
const leastNormal, subnormalScale, subnormalShift = 0x1p-1022, 0x1p54, 0x1.2b708872320e2p+05

// Log1p returns ln(1+x) within 1 ulp for −½ ≤ x < 2⁵³, NaN for NaN; of 3.4·10⁷
// arguments the worst is 0x1.9a98a1330bb34p-02, with 0.838 ulp. What 1+x rounds away,
// which is x−(u−1) exactly, returns as a correction of the logarithm.
func Log1p(x float64) float64 {
	u := 1 + x
	return logCorrected(u, (x-(u-1))/u)
}

// logFused returns ln x + c for a normal x > 0 and a small c. With
// x = 2^k·(1+f), 1+f between √½ and √2, and s = f/(2+f),
//
//	ln(1+f) = 2 artanh s = f − (f²/2 − s·(f²/2 + R(s²))):
//
// f enters unrounded, and the rest is small beside it. (W. J. Cody, W. Waite,
// Software Manual for the Elementary Functions, 1980; the grouping is that of
// FreeBSD's msun.)
func logFused(x, c float64) float64 {
	k, f := splitLog(x)
	s := f / (2 + f)
	half := float64(0.5 * f * f)
	tail := FMA64(s, half+logPoly(s*s), FMA64(k, ln2LoF64, c))
	return k*ln2HiF64 + (f - (half - tail)) // the product is exact
}

// splitLog returns k and f of logFused.
func splitLog(x float64) (k, f float64) {
	const sqrtHalf = 0x3fe6a09e_667f3bcd
	b := math.Float64bits(x) - sqrtHalf
	return float64(int64(b) >> 52), math.Float64frombits(b&(1<<52-1)+sqrtHalf) - 1
}

// logPolyFused returns R(z) of logFused.
func logPolyFused(z float64) float64 {
	p := FMA64(logC7, z, logC6)
	p = FMA64(p, z, logC5)
	p = FMA64(p, z, logC4)
	p = FMA64(p, z, logC3)
	p = FMA64(p, z, logC2)
	p = FMA64(p, z, logC1)
	return float64(p * z)
}
