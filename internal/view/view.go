// Package view has the shapes in which kernels take their arguments, and sizes of tensors.
package view

import (
	"math"
	"math/bits"
)

// Rows is rows of numbers in memory: each has Columns elements, and begins Stride
// elements after the one before it.
type Rows[T any] struct {
	Data            []T
	Columns, Stride int
}

// Of returns rows of so many columns, stride elements apart.
func Of[T any](data []T, columns, stride int) Rows[T] { return Rows[T]{data, columns, stride} }

// Methods have pointers: the compiler keeps no struct of more than 32 bytes in registers, and copies a value.

// Row returns row i.
func (r *Rows[T]) Row(i int) []T { return r.Data[i*r.Stride:][:r.Columns] }

// From returns the rows from row i on.
func (r *Rows[T]) From(i int) Rows[T] { return Rows[T]{r.Data[i*r.Stride:], r.Columns, r.Stride} }

// Span is the integers from From up to, but not including, To.
type Span struct{ From, To int }

// Len returns how many they are.
func (s Span) Len() int { return s.To - s.From }

// Size returns the product of a shape, and false if an axis is negative or the
// product overflows an int. An axis of length 0 makes any product 0.
func Size(shape []int) (int, bool) {
	n, empty, overflow := uint64(1), false, false
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		empty = empty || d == 0
		var high uint64
		high, n = bits.Mul64(n, uint64(d))
		overflow = overflow || high != 0 || n > math.MaxInt
	}
	if empty {
		return 0, true
	}
	return int(n), !overflow
}
