// Package view has the shapes in which kernels take their arguments.
package view

// Rows is rows of numbers in memory: each has Columns elements, and begins Stride
// elements after the one before it.
type Rows[T any] struct {
	Data            []T
	Columns, Stride int
}

// Of returns rows of so many columns, stride elements apart.
func Of[T any](data []T, columns, stride int) Rows[T] { return Rows[T]{data, columns, stride} }

// Row returns row i.
func (r Rows[T]) Row(i int) []T { return r.Data[i*r.Stride:][:r.Columns] }

// From returns the rows from row i on.
func (r Rows[T]) From(i int) Rows[T] { return Rows[T]{r.Data[i*r.Stride:], r.Columns, r.Stride} }

// Span is the integers from From up to, but not including, To.
type Span struct{ From, To int }

// Len returns how many they are.
func (s Span) Len() int { return s.To - s.From }
