// Package kerneltest tests kernels: assembly that must give, for any arguments, the bits of
// the plain Go that is its specification, and touch nothing but its arguments.
//
// A package with kernels has a Suite of them, with a test and a benchmark of each. That none
// is left out is part of the Suite's test, and that no package is left out a test here. All
// of it, for a package with one kernel, best, which is specified by bestGeneric in
// generic.go and called through the generated dispatchers in kernels_*.go:
//
//	func TestMain(m *testing.M)        { tiertest.Main(m) }
//	func TestKernels(t *testing.T)     { kernels().Test(t) }
//	func BenchmarkKernel(b *testing.B) { kernels().Benchmark(b) }
//
//	func kernels() kerneltest.Suite {
//		return kerneltest.Suite{
//			{Type: "float32", Tests: tests[float32](), Works: works[float32]},
//			{Type: "float64", Tests: tests[float64](), Works: works[float64]},
//		}
//	}
//
//	func tests[F fp.Float]() map[string]func(t *testing.T) {
//		return map[string]func(t *testing.T){"best": testBest[F]}
//	}
//
//	func testBest[F fp.Float](t *testing.T) {
//		kerneltest.Each(t, []int{1000}, func(c *kerneltest.Trial[F]) {
//			x, want := c.Scores(c.N), make([]F, c.N)
//			wantBest := bestGeneric(want, x)
//			for _, inPlace := range []bool{false, true} {
//				dst, y := c.Destination(x, inPlace)
//				var got F
//				c.Call(func() { got = best(dst, y) })
//				kerneltest.SameOne(c, "best", wantBest, got)
//				kerneltest.Same(c, "dst", want, dst)
//			}
//		})
//	}
//
//	func works[F fp.Float]() []kerneltest.Work {
//		dst, x := make([]F, 1000), make([]F, 1000)
//		amount := kerneltest.Elements[F](len(x), 2)
//		return []kerneltest.Work{kerneltest.NewWork("best", amount, func() { best(dst, x) })}
//	}
package kerneltest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/tiertest"
)

// Suite has the kernels of a package, by the type of their elements.
type Suite []Kernels

// Kernels are those for elements of one type.
type Kernels struct {
	Type  string // "float32", "float64", or what else the elements are
	Tests map[string]func(t *testing.T)
	Works func() []Work // one of each kernel
}

// Test tests all kernels on every tier. It fails if those of the package in the working
// directory are others.
func (s Suite) Test(t *testing.T) {
	t.Run("complete", func(t *testing.T) {
		kernels, err := readPackage(".")
		require.NoError(t, err)
		assert.Empty(t, s.missing(kernels))
	})
	tiertest.Each(t, func(t *testing.T) {
		tiertest.Tested(t)
		for _, k := range s {
			t.Run(k.Type, func(t *testing.T) {
				t.Parallel()
				for name, test := range k.Tests {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						test(t)
					})
				}
			})
		}
	})
}

// Benchmark measures all kernels on every tier.
func (s Suite) Benchmark(b *testing.B) {
	for _, k := range s {
		b.Run("type="+k.Type, func(b *testing.B) {
			for _, w := range k.Works() {
				w.benchmark(b)
			}
		})
	}
}
