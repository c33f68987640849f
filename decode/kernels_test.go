package decode

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/tiertest"
)

func TestMain(m *testing.M) { tiertest.Main(m) }

func TestKernels(t *testing.T) { kernels().Test(t) }

func BenchmarkKernel(b *testing.B) { kernels().Benchmark(b) }

func kernels() kerneltest.Suite {
	doubles := kernelTests[float64]()
	doubles["exps"] = testDoubles(exps, expsGeneric, func(v float64) float64 { return v })
	doubles["log1p"] = testDoubles(log1p, log1pGeneric, math.Abs)
	doubles["logs"] = testDoubles(logs, logsGeneric, func(v float64) float64 {
		if !fp.IsFinite(v) {
			return 0
		}
		return math.Abs(v)
	})
	return kerneltest.Suite{
		{Type: "float32", Tests: kernelTests[float32](), Works: kernelWorks[float32]},
		{Type: "float64", Tests: doubles, Works: func() []kerneltest.Work { return append(kernelWorks[float64](), doubleWorks()...) }},
	}
}

func kernelTests[F fp.Float]() map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		"notBelow":    testNotBelow[F],
		"pieceMaxima": testPieceMaxima[F],
		"sumExpTops":  testSumExpTops[F],
	}
}

var lengths = []int{1000, block}

func testNotBelow[F fp.Float](t *testing.T) {
	kerneltest.Each(t, lengths, func(c *kerneltest.Trial[F]) {
		x := c.Scores(c.N)
		cuts := []F{0, 1, -F(math.MaxFloat32), kerneltest.Inf[F]()}
		for _, v := range x[:min(len(x), 2)] {
			if v > fp.NegInf[F]() {
				cuts = append(cuts, v)
			}
		}
		for _, cut := range kerneltest.Some(c, cuts) {
			c.Notes = []any{"cut", cut}
			const first = 1 << 20
			want := slices.Repeat([]int32{-7}, c.N)
			wantCount := notBelowGeneric(want, x, cut, first)
			index, y, count := kerneltest.Placed(c, slices.Repeat([]int32{-7}, c.N)), kerneltest.Constant(c, x), 0
			c.Call(func() { count = notBelow(index, y, cut, first) })
			require.Equal(t, wantCount, count, "%v", c)
			require.Equal(t, want, index, "%v", c)
		}
	})
}

func testPieceMaxima[F fp.Float](t *testing.T) {
	kerneltest.Each(t, lengths, func(c *kerneltest.Trial[F]) {
		x := c.Scores(c.N)
		for _, vectors := range kerneltest.Some(c, []int{1, 2, 3, 7, 1000}) {
			c.Notes = []any{"vectors", vectors}
			piece := vectors * fp.Lanes[F]()
			want := make([]F, (c.N+piece-1)/piece*fp.Lanes[F]())
			pieceMaximaGeneric(want, x, vectors)
			dst, y := kerneltest.Placed(c, make([]F, len(want))), kerneltest.Constant(c, x)
			c.Call(func() { pieceMaxima(dst, y, vectors) })
			if !kerneltest.LosesTop(x) {
				kerneltest.Same(c, "dst", want, dst)
			}
		}
	})
}

func testSumExpTops[F fp.Float](t *testing.T) {
	kerneltest.Each(t, lengths, func(c *kerneltest.Trial[F]) {
		for _, n := range kerneltest.Some(c, []int{1, 2, 15, 16, 17, 33, c.N}) {
			rows := 0
			if n > 0 {
				rows = min(c.N/n, 9)
			}
			x, top := c.Scores(c.N)[:rows*n], make([]F, rows)
			for r := range top {
				top[r] = fp.NegInf[F]()
				for _, v := range x[r*n:][:n] {
					if v > top[r] {
						top[r] = v
					}
				}
				top[r] += F(r % 3) // as in the pieces of a long row
			}
			c.Notes = []any{"n", n}
			wantSum, wantTies := make([]F, rows), make([]F, rows)
			sumExpTopsGeneric(wantSum, wantTies, x, n, top)
			sum, ties := kerneltest.Placed(c, make([]F, rows)), kerneltest.Placed(c, make([]F, rows))
			y, m := kerneltest.Constant(c, x), kerneltest.Constant(c, top)
			c.Call(func() { sumExpTops(sum, ties, y, n, m) })
			kerneltest.Same(c, "sum", wantSum, sum)
			for r, v := range sum {
				if v != v {
					wantTies[r], ties[r] = 0, 0
				}
			}
			kerneltest.Same(c, "ties", wantTies, ties)
		}
	})
}

// testDoubles tests a kernel that writes a function of each number; number makes a score one that it takes.
func testDoubles(kernel, generic func(dst, x []float64), number func(v float64) float64) func(t *testing.T) {
	return func(t *testing.T) {
		kerneltest.Each(t, lengths, func(c *kerneltest.Trial[float64]) {
			x, want := c.Scores(c.N), make([]float64, c.N)
			for i, v := range x {
				x[i] = number(v)
			}
			generic(want, x)
			for _, inPlace := range []bool{false, true} {
				dst, y := c.Destination(x, inPlace)
				c.Call(func() { kernel(dst, y) })
				kerneltest.Same(c, "dst", want, dst)
			}
		})
	}
}

func kernelWorks[F fp.Float]() []kerneltest.Work {
	x, dst, index := make([]F, block), make([]F, block), make([]int32, block)
	for i := range x {
		x[i] = F(i*7919%block) / block
	}
	one := kerneltest.Elements[F](block, 1)
	return []kerneltest.Work{
		kerneltest.NewWork("notBelow", one, func() { index[0] = int32(notBelow(index, x, 0.999, 0)) }),
		kerneltest.NewWork("pieceMaxima", one, func() { pieceMaxima(dst, x, 32) }),
		kerneltest.NewWork("sumExpTops", one, func() { sumExpTops(dst[:1], dst[1:2], x, block, x[block-1:]) }),
	}
}

func doubleWorks() (works []kerneltest.Work) {
	x, dst := make([]float64, block), make([]float64, block)
	for i := range x {
		x[i] = float64(i) / block
	}
	for name, kernel := range map[string]func(dst, x []float64){"exps": exps, "log1p": log1p, "logs": logs} {
		works = append(works, kerneltest.NewWork(name, kerneltest.Elements[float64](block, 2), func() { kernel(dst, x) }))
	}
	return works
}
