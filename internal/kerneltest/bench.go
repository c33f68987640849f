package kerneltest

import (
	"fmt"
	"testing"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/tiertest"
)

// Amount is what one call of a benchmark works on.
type Amount struct {
	Count int
	Unit  string // of Count: "element" is an input, "state" one of CTC's trellis in one frame
	Bytes int    // that are read and that are written, once each
}

// Elements returns an amount of n elements of so many arrays, one that is read and written
// being two.
func Elements[F fp.Float](n, arrays int) Amount {
	return Amount{n, "element", arrays * n * fp.Size[F]()}
}

// Measure measures a call that works on a.
func (a Amount) Measure(b *testing.B, call func()) {
	b.SetBytes(int64(a.Bytes))
	call() // the first one may have to make workspaces
	for b.Loop() {
		call()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(a.Count), "ns/"+a.Unit)
}

// Work is a call of a kernel that can be repeated: what it changes in place stays what it
// is, or at least a normal number.
type Work struct {
	Kernel string
	Amount
	Call func()
}

// NewWork returns a call of a kernel that works on a.
func NewWork(kernel string, a Amount, call func()) Work { return Work{kernel, a, call} }

// benchmark measures the call on every tier.
func (w Work) benchmark(b *testing.B) {
	b.Run(fmt.Sprintf("kernel=%s/n=%d", w.Kernel, w.Count), func(b *testing.B) {
		tiertest.EachBench(b, func(b *testing.B) { w.Measure(b, w.Call) })
	})
}
