// Package optest runs every operation of the vector assembler on every target that
// the machine has, against plain Go.
package optest

import "github.com/gotrellis/trellis/asm"

// The kernels take two megabytes of assembly, which git does not keep.
//go:generate go run ./gen

// opFunc is a kernel of one operation.
type opFunc func(dst, x, y, z *byte, n int)

// kernels are those of one target.
type kernels struct {
	ops    map[string]opFunc
	params func(a float32, b float64, i int32, u uint8, j int, x []float32) (s float32, d float64, n int, m int32, w uint32)
}

// generated has the kernels of the files that go generate writes, or nothing before
// it has.
var generated = map[asm.Target]kernels{}
