// Package fp has the arithmetic of the kernels: exp and log as fixed sequences of
// IEEE-754 operations, fused multiply-add for both element types, and what is known of
// an element type.
package fp

import (
	"math"
	"unsafe"
)

// Float is the set of element types.
type Float interface{ float32 | float64 }

// NegInf returns −∞.
func NegInf[F Float]() F { return F(math.Inf(-1)) }

// NaN returns a quiet NaN.
func NaN[F Float]() F { return F(math.NaN()) }

// IsFinite reports whether x is neither infinite nor NaN.
func IsFinite[F Float](x F) bool { return x-x == 0 }

// IsFloat32 reports which of the two element types F is; the compiler knows.
func IsFloat32[F Float]() bool { return unsafe.Sizeof(F(0)) == 4 }

// Size returns the number of bytes of an element.
func Size[F Float]() int { return int(unsafe.Sizeof(F(0))) }

// Lanes returns the number of elements in 64 bytes: the lanes of a virtual vector.
func Lanes[F Float]() int { return 64 / Size[F]() }

// WholeVectors returns n rounded up to whole vectors of F.
func WholeVectors[F Float](n int) int { return (n + Lanes[F]() - 1) &^ (Lanes[F]() - 1) }

// AsFloat32 returns x, whose elements are float32.
func AsFloat32[F Float](x []F) []float32 { return *(*[]float32)(unsafe.Pointer(&x)) }

// AsFloat64 returns x, whose elements are float64.
func AsFloat64[F Float](x []F) []float64 { return *(*[]float64)(unsafe.Pointer(&x)) }
