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
	doubles["exps"] = testExps
	return kerneltest.Suite{
		{Type: "float32", Tests: kernelTests[float32](), Works: kernelWorks[float32]},
		{Type: "float64", Tests: doubles, Works: func() []kerneltest.Work { return append(kernelWorks[float64](), expWork()) }},
	}
}

func kernelTests[F fp.Float]() map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		"notBelow":    testNotBelow[F],
		"pieceMaxima": testPieceMaxima[F],
		"sumExpBelow": testSumExpBelow[F],
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

func testSumExpBelow[F fp.Float](t *testing.T) {
	kerneltest.Each(t, lengths, func(c *kerneltest.Trial[F]) {
		x := c.Scores(c.N)
		m := fp.NegInf[F]()
		for _, v := range x {
			if v > m {
				m = v
			}
		}
		for _, above := range kerneltest.Some(c, []F{0, 1}) {
			c.Notes = []any{"above", above}
			wantSum, wantReached := sumExpBelowGeneric(x, m+above)
			y := kerneltest.Constant(c, x)
			var sum F
			var reached int
			c.Call(func() { sum, reached = sumExpBelow(y, m+above) })
			kerneltest.SameOne(c, "sum", wantSum, sum)
			if sum == sum {
				require.Equal(t, wantReached > 0, reached > 0, "%v", c)
			}
		}
	})
}

func testExps(t *testing.T) {
	kerneltest.Each(t, lengths, func(c *kerneltest.Trial[float64]) {
		x := c.Scores(c.N)
		want := make([]float64, c.N)
		expsGeneric(want, x)
		dst, y := kerneltest.Placed(c, make([]float64, c.N)), kerneltest.Constant(c, x)
		c.Call(func() { exps(dst, y) })
		kerneltest.Same(c, "dst", want, dst)
		dst = kerneltest.Placed(c, x)
		c.Call(func() { exps(dst, dst) })
		kerneltest.Same(c, "dst in place", want, dst)
	})
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
		kerneltest.NewWork("sumExpBelow", one, func() { dst[0], _ = sumExpBelow(x, 1) }),
	}
}

func expWork() kerneltest.Work {
	x, dst := make([]float64, block), make([]float64, block)
	for i := range x {
		x[i] = -float64(i) / block
	}
	return kerneltest.NewWork("exps", kerneltest.Elements[float64](block, 2), func() { exps(dst, x) })
}
