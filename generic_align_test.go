package trellis

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/view"
)

// The kernels of generic_align.go, as in generic_test.go. What a kernel may read but must not
// use is NaN here.

func logScore(r *rand.Rand) float64 { return -8 * r.ExpFloat64() }

func noPath(*rand.Rand) float64 { return math.Inf(-1) }

func smallInteger(r *rand.Rand) float64 { return float64(r.IntN(3)) - 2 }

// pathValues are ways to make the numbers of the best path: none is NaN or +Inf.
var pathValues = []values{
	{kerneltest.Plain, logScore, logScore, logScore},
	{"ties", smallInteger, smallInteger, oneOf(zero, noPath)},
	{"impossible", oneOf(noPath, noPath, logScore), oneOf(noPath, logScore), oneOf(zero, noPath)},
	{kerneltest.Mixed, oneOf(noPath, logScore, smallInteger, hugeScore), oneOf(noPath, logScore, smallInteger, hugeScore), oneOf(zero, noPath)},
}

func hugeScore(r *rand.Rand) float64 { return (2*r.Float64() - 1) * largestScore }

// eachPath is eachTrellis with numbers of the best path.
func eachPath(t *testing.T, lengths []int, do func(c *kerneltest.Trial[float64], v values)) {
	var inputs []kerneltest.Input[float64]
	for _, v := range pathValues {
		inputs = append(inputs, kerneltest.Input[float64]{Name: v.name})
	}
	kerneltest.EachOf(t, lengths, inputs, func(c *kerneltest.Trial[float64]) {
		for _, v := range pathValues {
			if v.name == c.Input.Name {
				do(c, v)
			}
		}
	})
}

func testViterbi(t *testing.T) {
	eachPath(t, kerneltest.UpTo(1, panelWidth/8), func(c *kerneltest.Trial[float64], v values) {
		n, frames := 8*c.N, 1+c.R.IntN(blockFrames)
		boundary, skip, blanks, column := numbers(c, 2*n, v.state), numbers(c, n, v.factor), numbers(c, frames, v.emission), numbers(c, frames, v.state)
		y := onlyIn(numbers(c, (frames-1)*pathStride+n, v.emission), pathStride, view.Span{To: n})
		for _, stride := range kerneltest.Some(c, []int{0, 2*n + 8*c.R.IntN(3)}) {
			c.Notes = []any{"frames", frames, "stride", stride}
			want, wantBoundary, wantColumn := numbers(c, (frames-1)*stride+2*n, near), boundary, slices.Clone(column)
			if stride == 0 { // in place
				want = slices.Clone(boundary)
				wantBoundary = want
			}
			alpha, column1 := kerneltest.Placed(c, want), kerneltest.Placed(c, column)
			boundary1 := alpha
			if stride > 0 {
				boundary1 = kerneltest.Constant(c, boundary)
			}
			blanks1, y1, skip1 := kerneltest.Constant(c, blanks), kerneltest.Constant(c, y), kerneltest.Constant(c, skip)
			viterbiGeneric(view.Of(want, 2*n, stride), wantBoundary, wantColumn, blanks, y, skip, n)
			c.Call(func() { viterbi(view.Of(alpha, 2*n, stride), boundary1, column1, blanks1, y1, skip1, n) })
			kerneltest.Same(c, "alpha", want, alpha)
			kerneltest.Same(c, "column", wantColumn, column1)
		}
	})
}

func testToBlocks[F Float](t *testing.T) {
	inputs := append(kerneltest.Inputs[F](), kerneltest.Input[F]{Name: "at the largest", Element: func(r *rand.Rand, _, _, salt int) F {
		if fp.IsFloat32[F]() || r.IntN(9) > 0 {
			return F(r.NormFloat64())
		}
		largest := largestScore
		return F(kerneltest.Moved(largest, r.IntN(3)-2+salt%2))
	}})
	kerneltest.EachOf(t, append(kerneltest.UpTo(leastColumns, 4*fp.Lanes[F]()+1), 1000), inputs, func(c *kerneltest.Trial[F]) {
		stride, size := c.N+someGap(c), frameBlock*(c.N+c.R.IntN(3))
		x := inRows(blockFrames, c.N, stride, func() []F { return c.Scores(c.N) })
		want := numbers(c, size+frameBlock*c.N, near)
		p, x1 := kerneltest.Placed(c, want), kerneltest.Constant(c, x)
		wantPoison := toBlocksGeneric(want, size, view.Of(x, c.N, stride))
		var poison F
		c.Call(func() { poison = toBlocks(p, size, view.Of(x1, c.N, stride)) })
		kerneltest.Same(c, "p", want, p)
		kerneltest.SameOne(c, "poison", wantPoison, poison)
	})
}

func testEmitBlock(t *testing.T) {
	kerneltest.EachOf(t, append(kerneltest.UpTo(1, 20), 1000), kerneltest.Inputs[float64](), func(c *kerneltest.Trial[float64]) {
		p, places := c.Scores(frameBlock*c.N), make([]int32, 8*(1+c.R.IntN(panelWidth/8)))
		for i := range places {
			places[i] = int32([...]int{0, c.N - 1, c.R.IntN(c.N)}[c.R.IntN(3)])
		}
		stride := len(places) + [...]int{0, 8, 3}[c.R.IntN(3)]
		c.Notes = []any{"places", places, "stride", stride}
		want := numbers(c, (frameBlock-1)*stride+len(places), near)
		y, p1, places1 := kerneltest.Placed(c, want), kerneltest.Constant(c, p), kerneltest.Constant(c, places)
		wantLeast, least := make([]float64, frameBlock), kerneltest.Placed(c, make([]float64, frameBlock))
		scratch := kerneltest.Placed(c, make([]float64, blockScratch))
		emitBlockGeneric(view.Of(want, len(places), stride), p, places, wantLeast, nil)
		c.Call(func() { emitBlock(view.Of(y, len(places), stride), p1, places1, least, scratch) })
		kerneltest.Same(c, "y", want, y)
		if !slices.ContainsFunc(p, func(v float64) bool { return v != v }) {
			kerneltest.Same(c, "least", wantLeast, least)
		}
	})
}

func testLogs(t *testing.T) {
	inputs := []kerneltest.Input[float64]{
		{Name: kerneltest.Plain, Element: func(r *rand.Rand, _, _, _ int) float64 { return r.Float64() }},
		{Name: "near 1", Element: func(r *rand.Rand, _, _, _ int) float64 { return kerneltest.Moved(1.0, r.IntN(2001)-1000) }},
		{Name: "any size", Element: func(r *rand.Rand, _, _, _ int) float64 { return math.Ldexp(1+r.Float64(), r.IntN(1900)-1074) }},
		{Name: kerneltest.Mixed, Element: func(r *rand.Rand, _, _, _ int) float64 {
			return [...]float64{0, 1, 0x1p-1074, kerneltest.Moved(0x1p-1022, r.IntN(3)-1), math.Ldexp(r.Float64(), -1022), math.Sqrt2 / 2, r.Float64()}[r.IntN(7)]
		}},
	}
	kerneltest.EachOf(t, append(kerneltest.UpTo(0, 33), block), inputs, func(c *kerneltest.Trial[float64]) {
		x, want := c.Scores(c.N), make([]float64, c.N)
		logsGeneric(want, x)
		for _, inPlace := range []bool{false, true} {
			dst, y := c.Destination(x, inPlace)
			c.Call(func() { logs(dst, y) })
			kerneltest.Same(c, "dst", want, dst)
		}
	})
}
