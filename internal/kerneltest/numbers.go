package kerneltest

import (
	"math"
	"math/rand/v2"
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
)

// Bits returns the bits of x, those of one NaN for all.
func Bits[F fp.Float](x F) uint64 {
	switch {
	case x != x:
		return 1<<63 - 1
	case fp.IsFloat32[F]():
		return uint64(math.Float32bits(float32(x)))
	}
	return math.Float64bits(float64(x))
}

// FromBits returns the number that has these bits, the lower half for float32. It is
// made in memory: a conversion would change a signalling NaN.
func FromBits[F fp.Float](b uint64) (x F) {
	if fp.IsFloat32[F]() {
		*(*uint32)(unsafe.Pointer(&x)) = uint32(b)
	} else {
		*(*uint64)(unsafe.Pointer(&x)) = b
	}
	return x
}

// Inf returns +∞.
func Inf[F fp.Float]() F { return F(math.Inf(1)) }

// MinusZero returns −0, which a constant is not.
func MinusZero[F fp.Float]() F { return F(math.Copysign(0, -1)) }

// Moved returns the number so many ulps above x, which may be below it.
func Moved[F fp.Float](x F, ulps int) F {
	if fp.IsFloat32[F]() {
		return FromBits[F](uint64(int(math.Float32bits(float32(x))) + ulps))
	}
	return FromBits[F](math.Float64bits(float64(x)) + uint64(ulps))
}

// SomeNaN returns a quiet NaN of any sign and payload.
func SomeNaN[F fp.Float](r *rand.Rand) F {
	payloads := [...]uint64{0, 1, 0x12345, 1 << 21, 1<<22 - 1}
	b := payloads[r.IntN(len(payloads))]
	if fp.IsFloat32[F]() {
		return FromBits[F](b | 0x1ff<<22 | r.Uint64N(2)<<31)
	}
	if r.IntN(2) == 0 {
		b <<= 29
	}
	return FromBits[F](b | 0xfff<<51 | r.Uint64N(2)<<63)
}

// signallingNaN returns a NaN that is not quiet.
func signallingNaN[F fp.Float](r *rand.Rand) F {
	if fp.IsFloat32[F]() {
		return FromBits[F](1 + r.Uint64N(1<<22-1) | 0xff<<23 | r.Uint64N(2)<<31)
	}
	return FromBits[F](1 + r.Uint64N(1<<51-1) | 0x7ff<<52 | r.Uint64N(2)<<63)
}

// isSignalling reports whether x is a NaN that is not quiet.
func isSignalling[F fp.Float](x F) bool {
	if fp.IsFloat32[F]() {
		return x != x && *(*uint32)(unsafe.Pointer(&x))>>22&1 == 0
	}
	return x != x && *(*uint64)(unsafe.Pointer(&x))>>51&1 == 0
}

// limits returns the largest number and the least normal one.
func limits[F fp.Float]() (largest, normal F) {
	if fp.IsFloat32[F]() {
		return FromBits[F](0x7f7fffff), FromBits[F](1 << 23)
	}
	return FromBits[F](1<<63 - 1 - 1<<52), FromBits[F](1 << 52)
}

// bytesOf returns the memory of x.
func bytesOf[T any](x []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(*new(T))))
}
