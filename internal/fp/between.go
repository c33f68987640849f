package fp

import "math"

// exp and log of float64 where there is no FMA instruction. Their steps are made with sums and
// products, whose errors have a bound. So the result lies between two numbers, and if these are
// the same, it is known. Else, about once in a hundred times, it is computed by fused steps.

// expsBetween is expsFused.
func expsBetween(dst, x []float64, m, least, largest, k float64) {
	shift := shift64 - k
	for len(x) >= 4 {
		d, s := (*[4]float64)(dst), (*[4]float64)(x)
		dst, x = dst[4:], x[4:]
		x0, x1, x2, x3 := s[0]-m, s[1]-m, s[2]-m, s[3]-m
		if !(x0 >= least && x0 <= largest && x1 >= least && x1 <= largest && x2 >= least && x2 <= largest && x3 >= least && x3 <= largest) {
			y := [4]float64{x0, x1, x2, x3}
			inside := zeroOutside(y, least, largest)
			expsBetween(d[:], inside[:], 0, math.Inf(-1), math.Inf(1), k)
			expOutside(d, y, least, largest)
			continue
		}
		r0, q0, n0 := reduce64(x0, shift)
		r1, q1, n1 := reduce64(x1, shift)
		r2, q2, n2 := reduce64(x2, shift)
		r3, q3, n3 := reduce64(x3, shift)
		p0, h0 := middle64(lower64(r0), r0)
		p1, h1 := middle64(lower64(r1), r1)
		p2, h2 := middle64(lower64(r2), r2)
		p3, h3 := middle64(lower64(r3), r3)
		p0, h0 = upper64(p0, h0, r0, q0)
		p1, h1 = upper64(p1, h1, r1, q1)
		p2, h2 = upper64(p2, h2, r2, q2)
		p3, h3 = upper64(p3, h3, r3, q3)
		p0, h0 = upper64(p0, h0, r0, q0)
		p1, h1 = upper64(p1, h1, r1, q1)
		p2, h2 = upper64(p2, h2, r2, q2)
		p3, h3 = upper64(p3, h3, r3, q3)
		d[0], d[1], d[2], d[3] = scale64(p0, n0), scale64(p1, n1), scale64(p2, n2), scale64(p3, n3)
		if !isSure(h0, r0) {
			d[0] = exp64(x0, k)
		}
		if !isSure(h1, r1) {
			d[1] = exp64(x1, k)
		}
		if !isSure(h2, r2) {
			d[2] = exp64(x2, k)
		}
		if !isSure(h3, r3) {
			d[3] = exp64(x3, k)
		}
	}
	if n := len(x); n > 0 {
		v := x[0]
		s := [4]float64{v, v, v, v}
		copy(s[:], x)
		expsBetween(s[:], s[:], m, least, largest, k)
		copy(dst[:n], s[:])
	}
}

// ln2LoF64 in two parts: their products with an n of exp64 are exact.
const (
	ln2LoUpperF64 = -0x1.718432ap-35
	ln2LoLowerF64 = ln2LoF64 - ln2LoUpperF64
)

// reduce64 returns r of exp64, the upper half of r, and n + shift for a shift of shift64 less an
// integer. All is exact but for the last sum, unless x/ln 2 is so near half way between two integers
// that n may be the other one: then isSure says no.
func reduce64(x, shift float64) (r, upper, n float64) {
	n = float64(x*log2eF64) + shift
	k := n - shift
	x -= float64(k * ln2HiF64)
	y := float64(k * ln2LoUpperF64)
	s := x - y
	r = s + (((x - s) - y) - float64(k*ln2LoLowerF64))
	return r, (r + 0x1p-27*shift64) - 0x1p-27*shift64, n
}

// lower64 returns the polynomial's first eight steps, within 1.13 ulp of the fused ones.
func lower64(r float64) float64 {
	p := float64(r*expF64C11) + expF64C10
	p = float64(p*r) + expF64C9
	p = float64(p*r) + expF64C8
	p = float64(p*r) + expF64C7
	p = float64(p*r) + expF64C6
	p = float64(p*r) + expF64C5
	p = float64(p*r) + expF64C4
	return float64(p*r) + expF64C3
}

// middle64 returns low and half: the next step is between low and low + 2·half. To what p is off,
// 1.13·2⁻⁵⁵, come the roundings of the product and of the product less the error, each below
// 2⁻⁵³ of 0.184·r.
func middle64(p, r float64) (low, half float64) {
	p, e := float64(p*r), math.Abs(r)*0x1.6p-54
	low = expF64C2 + (p - e)
	return low, ((expF64C2 + (p + e)) - low) / 2
}

// upper64 returns p·r + 1, in the same way, for the p between low and low + 2·half. q is the upper
// half of r. p is cut in two, too, so that the product of the upper halves, and its sum with 1, are
// exact. The rest has an error below 2⁻⁷⁸.
func upper64(low, half, r, q float64) (float64, float64) {
	p := (low + 0x1p-25*shift64) - 0x1p-25*shift64
	s := 1 + p*q
	t := p*(r-q) + ((low-p)+half)*r
	e := math.Abs(r)*half + 0x1p-75
	low = s + (t - e)
	return low, ((s + (t + e)) - low) / 2
}

// isSure reports whether exp is known for r: nothing is left between the bounds, and r is not at the
// end of its range.
func isSure(half, r float64) bool { return half == 0 && math.Abs(r) < math.Ln2/2-0x1p-28 }

// logBetween returns bounds of what logFused returns: its steps without fusing. In units of 2⁻⁵³ the sum of
// half and R has an error of 2.9 times itself, with those of R and of rounding it here and there. So
// tail has one of 7 times the product, of which 2 are its own roundings, and of 6 times what is added
// to it.
func logBetween(x, c float64) (low, high float64) {
	k, f := splitLog(x)
	s := f / (2 + f)
	half := float64(0.5 * f * f)
	z := float64(s * s)
	p := float64(z*logC7) + logC6
	p = float64(p*z) + logC5
	p = float64(p*z) + logC4
	p = float64(p*z) + logC3
	p = float64(p*z) + logC2
	p = float64(p*z) + logC1
	product, summand := float64(s*(half+float64(p*z))), float64(k*ln2LoF64)
	tail := product + (summand + c)
	e := float64(math.Abs(product)*0x1p-50) + float64((math.Abs(summand)+math.Abs(c))*0x1p-50)
	n := float64(k * ln2HiF64) // exact
	return n + (f - (half - (tail - e))), n + (f - (half - (tail + e)))
}

// logPolyBetween returns bounds of what logPolyFused returns. As in middle64, all steps but the last
// have an error of 1.06·2⁻⁵⁴, times z in the last one, whose product is rounded, and once more with
// the error.
func logPolyBetween(z float64) (low, high float64) {
	p := float64(z*logC7) + logC6
	p = float64(p*z) + logC5
	p = float64(p*z) + logC4
	p = float64(p*z) + logC3
	p = float64(p*z) + logC2
	p = float64(p * z)
	e := float64(z*0x1.2p-54) + float64(p*0x1p-52)
	return float64((logC1 + (p - e)) * z), float64((logC1 + (p + e)) * z)
}
