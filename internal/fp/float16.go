package fp

import "math"

// FromFloat16 returns the number that the bits of an IEEE 754 binary16 stand for: a sign, 5 bits
// of exponent less 15, 10 of the mantissa. A float32 has all of them.
func FromFloat16(h uint16) float32 {
	sign, exponent, mantissa := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 0: // subnormal numbers count in the least one, 2⁻²⁴
		return math.Float32frombits(sign | math.Float32bits(float32(mantissa)*0x1p-24))
	case 31: // infinities and NaN
		return math.Float32frombits(sign | 255<<23 | mantissa<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | mantissa<<13)
}

// ToFloat16 returns the bits of the binary16 next to x, the even one of two.
func ToFloat16(x float64) uint16 {
	bits := math.Float64bits(x)
	sign, size := uint16(bits>>48&0x8000), math.Abs(x)
	switch {
	case math.IsNaN(x):
		return sign | 0x7e00
	case size >= 65520: // half an ulp above the largest
		return sign | 0x7c00
	case size < 0x1p-14: // the carry of the largest of them makes the least normal number
		return sign | uint16(math.RoundToEven(size*0x1p24))
	}
	bits = math.Float64bits(size)
	bits += 1<<41 - 1 + bits>>42&1 // 42 bits are too many
	return sign | uint16(bits>>42-(1023-15)<<10)
}
