package trellis

import (
	"fmt"
	"math"
	"strings"
	"unsafe"
)

// Float is the set of element types: every function and loss of the package
// exists for both.
type Float interface{ float32 | float64 }

// Tensor is a dense array in row-major (C) order: the last axis is contiguous.
// It borrows Data; nothing in this package keeps a reference to it after a
// call returns. len(Data) must equal the product of Shape, and the empty Shape
// is a scalar with one element.
type Tensor[F Float] struct {
	Data  []F
	Shape []int
}

// Reduction says how the losses of a batch become one number. The zero value
// is PyTorch's default.
type Reduction uint8

const (
	// Mean is the weighted mean for class losses (divided by the weights of
	// the targets that count), and for CTC the mean over the batch of each
	// loss divided by its target's length.
	Mean Reduction = iota
	// Sum adds the losses.
	Sum
)

// String returns "mean" or "sum".
func (r Reduction) String() string {
	switch r {
	case Mean:
		return "mean"
	case Sum:
		return "sum"
	}
	return fmt.Sprintf("Reduction(%d)", uint8(r))
}

// ArgumentError is the error of every method in this package: an argument that
// the method cannot work with. When a method returns one, it has written
// nothing.
type ArgumentError struct {
	Method   string // the method, as in "CTCLoss.Grad"
	Argument string // the argument or field, as in "targets"
	Index    []int  // which element; for CTC targets sequence and position; nil for the argument as a whole
	Value    any    // what was found there
	Reason   string // what is wrong with it
}

// Error names the method, the argument, the element and its value, and what is
// wrong with it: "trellis: CTCLoss.Grad: targets[2,17] = 80: label outside [0,80)".
func (e *ArgumentError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "trellis: %s: %s", e.Method, e.Argument)
	for i, k := range e.Index {
		b.WriteString([]string{"[", ","}[min(i, 1)])
		fmt.Fprint(&b, k)
	}
	if e.Index != nil {
		b.WriteByte(']')
	}
	fmt.Fprintf(&b, " = %v: %s", e.Value, e.Reason)
	return b.String()
}

// size returns the product of a shape, and false if an axis is negative or the
// product overflows an int. An axis of length 0 makes any product 0.
func size(shape []int) (int, bool) {
	n, empty := 1, false
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		empty = empty || d == 0
	}
	if empty {
		return 0, true
	}
	for _, d := range shape {
		if n > math.MaxInt/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// check reports a Shape that is impossible or does not describe Data.
func (x Tensor[F]) check(method, argument string) error {
	for i, d := range x.Shape {
		if d < 0 {
			return &ArgumentError{method, argument + ".Shape", []int{i}, d, "negative axis"}
		}
	}
	n, ok := size(x.Shape)
	if !ok {
		return &ArgumentError{method, argument + ".Shape", nil, clone(x.Shape), "the product of the axes overflows an int"}
	}
	if n != len(x.Data) {
		return &ArgumentError{method, argument + ".Shape", nil, clone(x.Shape),
			fmt.Sprintf("needs %d elements, Data has %d", n, len(x.Data))}
	}
	return nil
}

// clone copies a shape into an error, so that the caller's does not escape.
func clone(shape []int) []int { return append([]int(nil), shape...) }

// checkLen reports an argument that has not exactly want elements.
func checkLen(method, argument string, got, want int) error {
	if got == want {
		return nil
	}
	return &ArgumentError{method, "len(" + argument + ")", nil, got, fmt.Sprintf("want %d", want)}
}

// overlap reports whether two slices share an element.
func overlap[F Float](a, b []F) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	a0, b0 := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	width := unsafe.Sizeof(a[0])
	return a0 < b0+uintptr(len(b))*width && b0 < a0+uintptr(len(a))*width
}

// inexactOverlap reports whether two slices share elements without beginning
// at the same one: neither in place nor apart.
func inexactOverlap[F Float](a, b []F) bool {
	return overlap(a, b) && &a[0] != &b[0]
}

// checkApart reports a destination that shares memory with an argument that is
// still read while it is written.
func checkApart[F Float](method, dst, src string, a, b []F) error {
	if overlap(a, b) {
		return overlapError(method, dst, src, a)
	}
	return nil
}

// overlapError reports a destination that overlaps src.
func overlapError[F Float](method, dst, src string, a []F) error {
	return &ArgumentError{method, dst, nil, fmt.Sprintf("slice of %d", len(a)), "overlaps " + src}
}
