package trellis

import (
	"fmt"
	"strings"
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
)

// ArgumentError is the error of all methods of the losses: an argument that the method
// cannot work with. When a method returns one, it has written nothing, and its loss is 0.
type ArgumentError struct {
	Method   string // the method, as in "CTCLoss.Grad"
	Argument string // the argument or field, as in "targets", "x.Shape" or "len(targets)"
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

// clone copies a shape into an error, so that the caller's does not escape.
func clone(shape []int) []int { return append([]int(nil), shape...) }

// overflowError reports a shape with more elements, or rows or positions, than an int can count.
func overflowError(method, argument string, shape []int) error {
	return &ArgumentError{method, argument + ".Shape", nil, clone(shape), "the product of the axes overflows an int"}
}

// overlap reports whether two slices share an element.
func overlap[F fp.Float](a, b []F) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	a0, b0 := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	width := unsafe.Sizeof(a[0])
	return a0 < b0+uintptr(len(b))*width && b0 < a0+uintptr(len(a))*width
}

// inexactOverlap reports whether two slices share elements without beginning
// at the same one: neither in place nor apart.
func inexactOverlap[F fp.Float](a, b []F) bool {
	return overlap(a, b) && &a[0] != &b[0]
}

// checkApart reports a destination that shares memory with an argument that is
// still read while the destination is written. dst and src are the names of a and b.
func checkApart[F fp.Float](method, dst, src string, a, b []F) error {
	if overlap(a, b) {
		return overlapError(method, dst, src, a)
	}
	return nil
}

// overlapError reports a destination a, named dst, that overlaps src.
func overlapError[F fp.Float](method, dst, src string, a []F) error {
	return &ArgumentError{method, dst, nil, fmt.Sprintf("slice of %d", len(a)), "overlaps " + src}
}
