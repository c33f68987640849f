// Package optest runs every operation of the vector assembler on every target that
// the machine has, against plain Go.
package optest

// opFunc is a kernel of one operation.
type opFunc func(dst, x, y, z *byte, n int)

// kernels are those of one target.
type kernels struct {
	ops    map[string]opFunc
	params func(a float32, b float64, i int32, u uint8, j int, x []float32) (s float32, d float64, n int, m int32, w uint32)
}
