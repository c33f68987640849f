package trellis

import (
	"math"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/view"
)

// The kernels of generic.go on every tier, beside their specification: bit for bit, with
// arguments that lie between guard pages.

// The lengths at which a whole block is just not, and just, reached.
var blocks = []int{1000, block - 1, block}

// maxima are numbers to begin a search for the largest element of x with: above and
// below it, and x's own.
func maxima[F Float](c *kerneltest.Trial[F], x []F) []F {
	top := maxBlockGeneric(x)
	all := []F{fp.NegInf[F](), top, top - 1, top + 1, 0, kerneltest.MinusZero[F](), kerneltest.Inf[F](), c.Input.Element(c.R, 0, 1, 0)}
	return slices.DeleteFunc(all, func(m F) bool { return m != m })
}

func testSumExpBlock[F Float](t *testing.T) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[F]) {
		x := c.Scores(c.N)
		for _, m := range kerneltest.Some(c, maxima(c, x)) {
			c.Notes = []any{"m", m}
			wantTop, wantSum := sumExpBlockGeneric(x, m, 0)
			var top, sum F
			y, ahead := kerneltest.Constant(c, x), aheads[c.R.IntN(len(aheads))]
			c.Call(func() { top, sum = sumExpBlock(y, m, ahead) })
			kerneltest.SameTop(c, x, wantTop, top)
			kerneltest.SameOne(c, "sum", wantSum, sum)
		}
	})
}

func testExpBlock[F Float](t *testing.T) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[F]) {
		x, want := c.Scores(c.N), make([]F, c.N)
		for _, m := range kerneltest.Some(c, maxima(c, x)) {
			wantTop, wantSum := expBlockGeneric(want, x, m, 0)
			for _, inPlace := range []bool{false, true} {
				c.Notes = []any{"m", m, "in place", inPlace}
				dst, y := c.Destination(x, inPlace)
				ahead := aheads[c.R.IntN(len(aheads))]
				var top, sum F
				c.Call(func() { top, sum = expBlock(dst, y, m, ahead) })
				kerneltest.SameTop(c, x, wantTop, top)
				kerneltest.SameOne(c, "sum", wantSum, sum)
				if wantSum == wantSum {
					kerneltest.Same(c, "dst", want, dst)
				}
			}
		}
	})
}

// bounds are numbers that no element of x is above: the largest, if there is one, and
// some beyond.
func bounds[F Float](x []F) []F {
	top := maxBlockGeneric(x)
	expMin, _ := fp.ExpRange[F]()
	return []F{top, max(kerneltest.Moved(top, 1), top), top + 1, max(top, 0), top - expMin, kerneltest.Inf[F]()}
}

// aheads are distances to what is prefetched, which need not exist.
var aheads = []int{0, 64, 1 << 20, -1 << 20}

func testSumExpBelow[F Float](t *testing.T) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[F]) {
		x := c.Scores(c.N)
		top := maxBlockGeneric(x)
		for _, m := range kerneltest.Some(c, append(bounds(x), top-1, min(kerneltest.Moved(top, -1), top))) {
			c.Notes = []any{"m", m}
			wantSum, wantTies := sumExpBelowGeneric(x, m, 0)
			var sum, ties F
			y, ahead := kerneltest.Constant(c, x), aheads[c.R.IntN(len(aheads))]
			c.Call(func() { sum, ties = sumExpBelow(y, m, ahead) })
			switch total := wantSum + wantTies; {
			case top > m: // or the sums are of no use
				if ties == 0 {
					require.Fail(t, "ties", "%v: 0, the largest is %v", c, top)
				}
			case total == total:
				kerneltest.SameOne(c, "sum", wantSum, sum)
				kerneltest.SameOne(c, "ties", wantTies, ties)
			default:
				kerneltest.SameOne(c, "sum and ties", total, sum+ties)
			}
		}
	})
}

func testExpCopy[F Float](t *testing.T) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[F]) {
		x, want := c.Scores(c.N), make([]F, c.N)
		lanes := fp.Lanes[F]()
		for _, m := range kerneltest.Some(c, bounds(x)) {
			vectors := c.R.IntN(c.N/lanes+1) * lanes
			c.Notes = []any{"m", m, "out", vectors}
			in := factors(c, vectors+c.R.IntN(lanes))
			wantOut := make([]F, lanes+vectors)
			room := kerneltest.Placed(c, wantOut)
			start := int(-uintptr(unsafe.Pointer(&room[0]))%64) / fp.Size[F]()
			wantSum, wantTies := expCopyGeneric(want, x, m, wantOut[start:][:vectors], in, 0)
			dst, y := c.Destination(x, c.R.IntN(2) == 0)
			from := kerneltest.Constant(c, in)
			var sum, ties F
			ahead := aheads[c.R.IntN(len(aheads))]
			c.Call(func() { sum, ties = expCopy(dst, y, m, room[start:][:vectors], from, ahead) })
			kerneltest.SameOne(c, "sum and ties", wantSum+wantTies, sum+ties)
			kerneltest.Same(c, "out", wantOut, room)
			if total := wantSum + wantTies; total == total {
				kerneltest.SameOne(c, "sum", wantSum, sum)
				kerneltest.SameOne(c, "ties", wantTies, ties)
				kerneltest.Same(c, "dst", want, dst)
			}
		}
	})
}

func testMaxBlock[F Float](t *testing.T) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[F]) {
		x := c.Scores(c.N)
		var top F
		y := kerneltest.Constant(c, x)
		c.Call(func() { top = maxBlock(y) })
		kerneltest.SameTop(c, x, maxBlockGeneric(x), top)
	})
}

func testSumExpRows[F Float](t *testing.T) {
	kerneltest.Each(t, []int{shortRow - 1, shortRow}, func(c *kerneltest.Trial[F]) {
		for _, rows := range kerneltest.Some(c, []int{0, 1, 2, 3, 4 + c.R.IntN(5), min(block/max(c.N, 1), shortRows)}) {
			if c.N == 0 || rows > 8 && c.Place >= 0 { // a row has an element
				continue
			}
			c.Notes = []any{"rows", rows}
			var x []F
			for range rows { // by rows, so that each has what the input is about
				x = append(x, c.Scores(c.N)...)
			}
			fours := (rows + 3) / 4 * 4
			wantM, wantSum := make([]F, rows), make([]float64, rows)
			sumExpRowsGeneric(wantM, wantSum, nil, x, c.N, rows)
			m, sum, y := kerneltest.Placed(c, make([]F, fours)), kerneltest.Placed(c, make([]float64, fours)), kerneltest.Constant(c, x)
			scratch := kerneltest.Placed(c, make([]F, fours*rowScratch))
			c.Call(func() { sumExpRows(m, sum, scratch, y, c.N, rows) })
			for r := range rows {
				c.Notes = []any{"rows", rows, "row", r}
				kerneltest.SameTop(c, x[r*c.N:][:c.N], wantM[r], m[r])
				kerneltest.SameOne(c, "sum", wantSum[r], sum[r])
			}
		}
	})
}

// factors returns numbers that a row can be shifted or scaled by.
func factors[F Float](c *kerneltest.Trial[F], n int) []F {
	x := c.Scores(n)
	for i := range x {
		switch c.R.IntN(6) {
		case 0:
			x[i] = 0
		case 1:
			x[i] = 1
		case 2, 3:
			x[i] = F(c.R.NormFloat64())
		}
	}
	return x
}

// testRows tests a kernel that writes rows, in place and not.
func testRows[F Float](t *testing.T, generic, kernel func(dst, x []F, n int, a, b []F)) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[F]) {
		for _, rows := range kerneltest.Some(c, []int{0, 1, 3, block / max(c.N, 1)}) {
			if rows > 3 && (c.Place >= 0 || c.N%7 > 0) || rows*c.N > block {
				continue
			}
			x, a, b := c.Scores(rows*c.N), factors(c, rows), factors(c, rows)
			if c.R.IntN(2) == 0 {
				clear(a)
			}
			want := make([]F, rows*c.N)
			generic(want, x, c.N, a, b)

			for _, inPlace := range []bool{false, true} {
				c.Notes = []any{"rows", rows, "in place", inPlace}
				dst, y := c.Destination(x, inPlace)
				a1, b1 := kerneltest.Constant(c, a), kerneltest.Constant(c, b)
				c.Call(func() { kernel(dst, y, c.N, a1, b1) })
				kerneltest.Same(c, "dst", want, dst)
			}
		}
	})
}

func testSoftmaxRows[F Float](t *testing.T) { testRows(t, softmaxRowsGeneric[F], softmaxRows[F]) }

func testLogSoftmaxRows[F Float](t *testing.T) {
	testRows(t, logSoftmaxRowsGeneric[F], logSoftmaxRows[F])
}

// targetsFor returns soft targets for scores.
func targetsFor[F Float](c *kerneltest.Trial[F], x []F) []F {
	w := make([]F, len(x))
	for i := range w {
		w[i] = [...]F{0, kerneltest.MinusZero[F](), 1, F(c.R.Float64()), F(c.R.NormFloat64())}[c.R.IntN(5)]
		if !fp.IsFinite(x[i]) && c.R.IntN(4) > 0 { // a term that is left out, mostly, or every sum is NaN
			w[i] = 0
		}
	}
	return w
}

func testDotLogSoftmax[F Float](t *testing.T) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[F]) {
		x := c.Scores(c.N)
		w := targetsFor(c, x)
		hi, lo := factors(c, 1)[0], F(c.R.NormFloat64())*0x1p-20
		c.Notes = []any{"hi", hi, "lo", lo}
		wantDot, wantSum := dotLogSoftmaxGeneric(w, x, hi, lo)
		var dot, sum F
		w1, y := kerneltest.Constant(c, w), kerneltest.Constant(c, x)
		c.Call(func() { dot, sum = dotLogSoftmax(w1, y, hi, lo) })
		kerneltest.SameOne(c, "dot", wantDot, dot)
		kerneltest.SameOne(c, "sum", wantSum, sum)
	})
}

func testMulAdd[F Float](t *testing.T) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[F]) {
		x, f := c.Scores(c.N), factors(c, 2)
		c.Notes = []any{"factor", f[0], "summand", f[1]}
		want := make([]F, c.N)
		mulAddGeneric(want, x, f[0], f[1])
		dst, y := kerneltest.Placed(c, make([]F, c.N)), kerneltest.Constant(c, x)
		c.Call(func() { mulAdd(dst, y, f[0], f[1]) })
		kerneltest.Same(c, "dst", want, dst)
		mulAdd(y, y, f[0], f[1])
		kerneltest.Same(c, "dst in place", want, y)
		copy(y, x)
	})
}

func testMultiply[F Float](t *testing.T) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[F]) {
		x, w := c.Scores(c.N), factors(c, c.N)
		want := slices.Clone(x)
		multiplyGeneric(want, w)
		dst, w1 := kerneltest.Placed(c, x), kerneltest.Constant(c, w)
		c.Call(func() { multiply(dst, w1) })
		kerneltest.Same(c, "dst", want, dst)
	})
}

func testSubtract[F Float](t *testing.T) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[F]) {
		x, w, scale := c.Scores(c.N), factors(c, c.N), factors(c, 1)[0]
		c.Notes = []any{"scale", scale}
		want := slices.Clone(x)
		subtractGeneric(want, w, scale)
		dst, w1 := kerneltest.Placed(c, x), kerneltest.Constant(c, w)
		c.Call(func() { subtract(dst, w1, scale) })
		kerneltest.Same(c, "dst", want, dst)
	})
}

func testScale[F Float](t *testing.T) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[F]) {
		x, factor := c.Scores(c.N), factors(c, 1)[0]
		c.Notes = []any{"factor", factor}
		want := slices.Clone(x)
		scaleGeneric(want, factor)
		dst := kerneltest.Placed(c, x)
		c.Call(func() { scale(dst, factor) })
		kerneltest.Same(c, "dst", want, dst)
	})
}

// strides are the strides, as what they exceed n by, and the class counts of trials.
func strides[F Float](c *kerneltest.Trial[F]) (all [][2]int) {
	for _, count := range []int{0, 1, 2, 5, stridedBlock} {
		for _, gap := range []int{0, 1, 2*fp.Lanes[F]() + 3} {
			if count < stridedBlock || c.Place < 0 {
				all = append(all, [2]int{c.N + gap, count})
			}
		}
	}
	if !c.Thorough() {
		i := c.R.IntN(len(all))
		return all[i : i+1]
	}
	return all
}

// classScores returns scores for the classes of a strided axis, the last one without
// what lies between it and the next.
func classScores[F Float](c *kerneltest.Trial[F], stride, count int) []F {
	if count == 0 {
		return nil
	}
	return c.Scores((count-1)*stride + c.N)
}

// padding returns n elements and what makes whole vectors of them: anything.
func padding[F Float](c *kerneltest.Trial[F], n int) []F {
	x := make([]F, fp.WholeVectors[F](n))
	for i := range x {
		x[i] = kerneltest.FromBits[F](c.R.Uint64())
	}
	return x
}

var stridedLengths = []int{itemPositions - 1, itemPositions}

func testNarrowTargets(t *testing.T) {
	kerneltest.Each(t, nil, func(c *kerneltest.Trial[float64]) {
		for _, classes := range []int{1, 5, 1<<31 - 1} {
			c.Notes = []any{"classes", classes}
			targets, class := make([]int, c.N), make([]int32, c.N)
			for i := range targets {
				targets[i] = c.R.IntN(classes)
			}
			if c.N > 0 && c.R.IntN(2) == 0 {
				targets[c.R.IntN(c.N)] = []int{-1, classes, -100, math.MinInt, math.MaxInt, 1 << (strconv.IntSize / 2)}[c.R.IntN(6)]
			}
			class1, y := kerneltest.Placed(c, class), kerneltest.Constant(c, targets)
			others, others1 := narrowTargetsGeneric(class, targets, classes), 0
			c.Call(func() { others1 = narrowTargets(class1, y, classes) })
			if others == 0 {
				require.Equal(t, class, class1)
			}
			require.Equal(t, others == 0, others1 == 0)
		}
	})
}

func testOtherTargets(t *testing.T) {
	kerneltest.Each(t, nil, func(c *kerneltest.Trial[float64]) {
		for _, classes := range []int{1, 5, 1<<31 - 1} {
			c.Notes = []any{"classes", classes}
			targets := make([]int, c.N)
			for i := range targets {
				targets[i] = c.R.IntN(classes)
			}
			hasOther := c.N > 0 && c.R.IntN(2) == 0
			if hasOther {
				targets[c.R.IntN(c.N)] = []int{-1, classes, -100, math.MinInt, math.MaxInt, 1 << (strconv.IntSize / 2)}[c.R.IntN(6)]
			}
			y, others := kerneltest.Constant(c, targets), 0
			require.Equal(t, hasOther, otherTargetsGeneric(targets, classes) != 0)
			c.Call(func() { others = otherTargets(y, classes) })
			require.Equal(t, hasOther, others != 0)
		}
	})
}

func testTargetLogits[F Float](t *testing.T) {
	matrices(t, func(c *kerneltest.Trial[F], rows int) {
		logit, class, x := c.Scores(rows), make([]int32, rows), c.Scores(c.N*rows)
		for j := range class {
			class[j] = int32(c.R.IntN(c.N+3) - 2) // leftOut and noClass among them
		}
		logit1, class1, y := kerneltest.Placed(c, logit), kerneltest.Constant(c, class), kerneltest.Constant(c, x)
		targetLogitsGeneric(logit, class, view.Of(x, rows, rows), c.N)
		c.Call(func() { targetLogits(logit1, class1, view.Of(y, rows, rows), c.N) })
		kerneltest.Same(c, "logit", logit, logit1)
	})
}

func testMaxStrided[F Float](t *testing.T) {
	kerneltest.Each(t, stridedLengths, func(c *kerneltest.Trial[F]) {
		width := fp.WholeVectors[F](c.N)
		for _, s := range strides(c) {
			stride, count := s[0], s[1]
			c.Notes = []any{"stride", stride, "count", count}
			m, logit, class := c.Scores(width), c.Scores(width), make([]int32, width)
			x, dst, first := classScores(c, stride, count), padding(c, count*width), c.R.IntN(2)
			for j := range m {
				if m[j] != m[j] || j%3 > 0 { // it is never NaN
					m[j] = fp.NegInf[F]()
				}
				class[j] = int32(c.R.IntN(count+first+2) - 2) // leftOut and noClass among them
			}
			m1, logit1, dst1 := kerneltest.Placed(c, m), kerneltest.Placed(c, logit), kerneltest.Placed(c, dst)
			class1, y := kerneltest.Constant(c, class), kerneltest.Constant(c, x)
			if stride == width && c.N == width { // in place
				y = dst1[:copy(dst1, x)]
			}
			maxStridedGeneric(m, logit, class, view.Of(dst, width, width), view.Of(x, c.N, stride), count, first)
			c.Call(func() {
				maxStrided(m1, logit1, class1, view.Of(dst1, width, width), view.Of(y, c.N, stride), count, first)
			})
			for j := range m {
				var column []F
				for i := j; i < len(dst); i += width {
					column = append(column, dst[i])
				}
				kerneltest.SameTop(c, column, m[j], m1[j])
			}
			kerneltest.Same(c, "logit", logit, logit1)
			kerneltest.Same(c, "dst", dst, dst1)
		}
	})
}

func testExpStrided[F Float](t *testing.T) {
	kerneltest.Each(t, stridedLengths, func(c *kerneltest.Trial[F]) {
		width := fp.WholeVectors[F](c.N)
		for _, s := range strides(c) {
			stride, count := s[0], s[1]
			c.Notes = []any{"count", count}
			sum, ties, m, x := make([]float64, width), make([]F, width), make([]F, width), make([]F, count*width)
			next := view.Of(classScores(c, stride, count), c.N, stride)
			maxStridedGeneric(m, make([]F, width), make([]int32, width), view.Of(x, width, width), next, count, 0)
			for j := range m {
				sum[j], ties[j] = c.R.ExpFloat64(), F([...]int{0, 1, 2, 1 << 24, 1<<30 - 64}[c.R.IntN(5)])
				if c.R.IntN(3) == 0 { // a maximum in other classes
					m[j] = max(m[j], F(c.R.NormFloat64()))
				}
			}
			sum1, ties1, m1, x1 := kerneltest.Placed(c, sum), kerneltest.Placed(c, ties), kerneltest.Constant(c, m), kerneltest.Placed(c, x)
			last := F(c.R.IntN(2))
			expStridedGeneric(sum, ties, m, view.Of(x, width, width), count, last, next)
			c.Call(func() { expStrided(sum1, ties1, m1, view.Of(x1, width, width), count, last, next) })
			kerneltest.Same(c, "ties", ties, ties1)
			for j := range m {
				if ties[j] != ties[j] { // with which all else is of no use
					sum1[j] = sum[j]
					for i := j; i < len(x); i += width {
						x1[i] = x[i]
					}
				}
			}
			kerneltest.Same(c, "sum", sum, sum1)
			kerneltest.Same(c, "x", x, x1)
		}
	})
}

func testScaleStrided[F Float](t *testing.T) {
	kerneltest.Each(t, stridedLengths, func(c *kerneltest.Trial[F]) {
		width := fp.WholeVectors[F](c.N)
		for _, s := range strides(c) {
			stride, count := s[0], s[1]
			c.Notes = []any{"stride", stride, "count", count}
			factor, x := padding(c, c.N), c.Scores(count*width)
			copy(factor, factors(c, c.N))
			want := classScores(c, stride, count) // what lies between the classes stays as it is
			dst, y, factor1 := kerneltest.Placed(c, want), kerneltest.Constant(c, x), kerneltest.Constant(c, factor)
			scaleStridedGeneric(view.Of(want, c.N, stride), view.Of(x, width, width), count, factor)
			c.Call(func() { scaleStrided(view.Of(dst, c.N, stride), view.Of(y, width, width), count, factor1) })
			kerneltest.Same(c, "dst", want, dst)
		}
	})
}

func testLogSoftmaxColumns[F Float](t *testing.T) {
	kerneltest.Each(t, stridedLengths, func(c *kerneltest.Trial[F]) {
		width := fp.WholeVectors[F](c.N)
		for _, s := range strides(c) {
			stride, count := s[0], s[1]
			c.Notes = []any{"stride", stride, "count", count}
			hi, lo, x := padding(c, c.N), padding(c, c.N), c.Scores(count*width)
			copy(hi, c.Scores(c.N))
			copy(lo, factors(c, c.N))
			want := classScores(c, stride, count) // what lies between the rows stays as it is
			dst, y, hi1, lo1 := kerneltest.Placed(c, want), kerneltest.Constant(c, x), kerneltest.Constant(c, hi), kerneltest.Constant(c, lo)
			logSoftmaxColumnsGeneric(view.Of(want, c.N, stride), view.Of(x, width, width), count, hi, lo)
			c.Call(func() { logSoftmaxColumns(view.Of(dst, c.N, stride), view.Of(y, width, width), count, hi1, lo1) })
			kerneltest.Same(c, "dst", want, dst)
		}
	})
}

func testGradientStrided[F Float](t *testing.T) { gradientStridedTrials[F](t, false, false) }

func testGradientStridedStream[F Float](t *testing.T) { gradientStridedTrials[F](t, false, true) }

func testGradientStridedUniform[F Float](t *testing.T) { gradientStridedTrials[F](t, true, false) }

func testGradientStridedUniformStream[F Float](t *testing.T) {
	gradientStridedTrials[F](t, true, true)
}

func gradientStridedTrials[F Float](t *testing.T, uniform, stream bool) {
	kerneltest.Each(t, stridedLengths, func(c *kerneltest.Trial[F]) {
		width, lanes := fp.WholeVectors[F](c.N), fp.Lanes[F]()
		for _, s := range strides(c) {
			stride, count, first := s[0], s[1], c.R.IntN(3)
			want := classScores(c, stride, count) // what lies between the classes stays as it is
			if stream {
				stride = fp.WholeVectors[F](stride)
				want = c.Scores((count+1)*stride + lanes) // with an aligned place in it
			}
			c.Notes = []any{"stride", stride, "count", count, "first", first}
			factor, target, scale, u, x := padding(c, c.N), padding(c, c.N), padding(c, c.N), factors(c, count), c.Scores(count*width)
			copy(factor, factors(c, c.N))
			copy(scale, factors(c, c.N))
			class := make([]int32, width)
			for j := range class {
				class[j] = int32(c.R.IntN(count+first+2) - 2) // leftOut and noClass among them
			}
			room, y, class1 := kerneltest.Placed(c, want), kerneltest.Constant(c, x), kerneltest.Constant(c, class)
			factor1, target1 := kerneltest.Constant(c, factor), kerneltest.Constant(c, target)
			u1, scale1 := kerneltest.Constant(c, u), kerneltest.Constant(c, scale)
			start := 0
			if stream {
				start = int(-uintptr(unsafe.Pointer(&room[0]))%64) / fp.Size[F]()
			}
			rows, terms := view.Of(want[start:], c.N, stride), view.Of(x, width, width)
			if uniform {
				gradientStridedUniformGeneric(rows, terms, count, factor, class, first, target, u, scale)
			} else {
				gradientStridedGeneric(rows, terms, count, factor, class, first, target)
			}
			c.Call(func() {
				dst, terms := view.Of(room[start:], c.N, stride), view.Of(y, width, width)
				switch wait := c.R.IntN(2); {
				case uniform && stream:
					gradientStridedUniformStream(dst, terms, count, factor1, class1, first, target1, u1, scale1, wait)
				case uniform:
					gradientStridedUniform(dst, terms, count, factor1, class1, first, target1, u1, scale1)
				case stream:
					gradientStridedStream(dst, terms, count, factor1, class1, first, target1, wait)
				default:
					gradientStrided(dst, terms, count, factor1, class1, first, target1)
				}
			})
			kerneltest.Same(c, "dst", want, room)
		}
	})
}

func testSpreadTargets[F Float](t *testing.T) {
	kerneltest.Each(t, stridedLengths, func(c *kerneltest.Trial[F]) {
		for _, s := range strides(c) {
			stride, count := s[0], s[1]
			c.Notes = []any{"stride", stride, "count", count}
			p, weight, keep, share := classScores(c, stride, count), factors(c, count), F(c.R.Float64()), F(c.R.IntN(2))/16
			for _, inPlace := range []bool{false, true} {
				want := slices.Clone(p)
				spreadTargetsGeneric(view.Of(want, c.N, stride), view.Of(p, c.N, stride), weight, keep, share, count)
				u, y := kerneltest.Placed(c, p), kerneltest.Placed(c, p)
				weight1 := kerneltest.Constant(c, weight)
				if inPlace {
					y = u
				}
				c.Call(func() {
					spreadTargets(view.Of(u, c.N, stride), view.Of(y, c.N, stride), weight1, keep, share, count)
				})
				kerneltest.Same(c, "u", want, u)
			}
		}
	})
}

// logSums returns hi and lo of some positions, and sums to add to.
func logSums[F Float](c *kerneltest.Trial[F]) (hi, lo []F, dot, mass []float64) {
	hi, lo = padding(c, c.N), padding(c, c.N)
	copy(hi, factors(c, c.N))
	for j := range c.N {
		lo[j] = F(c.R.NormFloat64()) * 0x1p-20
	}
	dot, mass = make([]float64, len(hi)), make([]float64, len(hi))
	for j := range dot {
		dot[j], mass[j] = c.R.NormFloat64(), c.R.Float64()
	}
	return hi, lo, dot, mass
}

func testAddLogSoftmax[F Float](t *testing.T) {
	kerneltest.Each(t, stridedLengths, func(c *kerneltest.Trial[F]) {
		for _, s := range strides(c) {
			stride, count, first := s[0], s[1], c.R.IntN(2)
			c.Notes = []any{"stride", stride, "count", count, "first", first}
			x := classScores(c, stride, count)
			u := targetsFor(c, x)
			hi, lo, wantDot, wantMass := logSums(c)
			dot, mass := kerneltest.Placed(c, wantDot), kerneltest.Placed(c, wantMass)
			u1, y, hi1, lo1 := kerneltest.Constant(c, u), kerneltest.Constant(c, x), kerneltest.Constant(c, hi), kerneltest.Constant(c, lo)
			addLogSoftmaxGeneric(wantDot, wantMass, view.Of(u, c.N, stride), view.Of(x, c.N, stride), hi, lo, count, first)
			c.Call(func() {
				addLogSoftmax(dot, mass, view.Of(u1, c.N, stride), view.Of(y, c.N, stride), hi1, lo1, count, first)
			})
			kerneltest.Same(c, "dot", wantDot[:c.N], dot)
			kerneltest.Same(c, "mass", wantMass[:c.N], mass)
		}
	})
}

func testAddLogSoftmaxUniform[F Float](t *testing.T) {
	kerneltest.Each(t, stridedLengths, func(c *kerneltest.Trial[F]) {
		for _, s := range strides(c) {
			stride, count, first := s[0], s[1], c.R.IntN(2)
			c.Notes = []any{"stride", stride, "count", count, "first", first}
			x, u := classScores(c, stride, count), factors(c, count)
			hi, lo, wantDot, _ := logSums(c)
			dot, u1, y := kerneltest.Placed(c, wantDot), kerneltest.Constant(c, u), kerneltest.Constant(c, x)
			hi1, lo1 := kerneltest.Constant(c, hi), kerneltest.Constant(c, lo)
			addLogSoftmaxUniformGeneric(wantDot, u, view.Of(x, c.N, stride), hi, lo, first)
			c.Call(func() { addLogSoftmaxUniform(dot, u1, view.Of(y, c.N, stride), hi1, lo1, first) })
			kerneltest.Same(c, "dot", wantDot[:c.N], dot)
		}
	})
}

func testGradientStridedSoft[F Float](t *testing.T) {
	kerneltest.Each(t, stridedLengths, func(c *kerneltest.Trial[F]) {
		width := fp.WholeVectors[F](c.N)
		for _, s := range strides(c) {
			stride, count := s[0], s[1]
			c.Notes = []any{"stride", stride, "count", count}
			factor, scale, x := padding(c, c.N), padding(c, c.N), c.Scores(count*width)
			copy(factor, factors(c, c.N))
			copy(scale, factors(c, c.N))
			want, u := classScores(c, stride, count), classScores(c, stride, count)
			dst, y, u1 := kerneltest.Placed(c, want), kerneltest.Constant(c, x), kerneltest.Constant(c, u)
			factor1, scale1 := kerneltest.Constant(c, factor), kerneltest.Constant(c, scale)
			gradientStridedSoftGeneric(view.Of(want, c.N, stride), view.Of(x, width, width), view.Of(u, c.N, stride), count, factor, scale)
			c.Call(func() {
				gradientStridedSoft(view.Of(dst, c.N, stride), view.Of(y, width, width), view.Of(u1, c.N, stride), count, factor1, scale1)
			})
			kerneltest.Same(c, "dst", want, dst)
		}
	})
}

func testSplitLogSums[F Float](t *testing.T) {
	positions(t, func(c *kerneltest.Trial[F], n int) {
		ln, _, _, _ := positionArrays(c, n)
		m, wantHi, wantLo := c.Scores(n), make([]F, n), make([]F, n)
		hi, lo, m1, ln1 := kerneltest.Placed(c, wantHi), kerneltest.Placed(c, wantLo), kerneltest.Constant(c, m), kerneltest.Constant(c, ln)
		splitLogSumsGeneric(wantHi, wantLo, m, ln)
		c.Call(func() { splitLogSums(hi, lo, m1, ln1) })
		kerneltest.Same(c, "hi", wantHi, hi)
		kerneltest.Same(c, "lo", wantLo, lo)
	})
}

// positionArrays returns what cross-entropy knows of so many positions: ln(1+sum), sum, hard, and
// numbers like dot.
func positionArrays[F Float](c *kerneltest.Trial[F], n int) (ln, sum, hard, dot []float64) {
	for range n {
		s := math.Ldexp(c.R.Float64(), c.R.IntN(60)-50)
		if c.R.IntN(8) == 0 {
			s = [...]float64{0, math.NaN()}[c.R.IntN(2)]
		}
		ln, sum = append(ln, math.Log1p(s)), append(sum, s)
		hard = append(hard, [...]float64{0, 1, c.R.Float64(), -c.R.Float64()}[c.R.IntN(4)])
		dot = append(dot, c.R.NormFloat64())
	}
	return ln, sum, hard, dot
}

// logitsBelow returns scores and as many that are not above them, some of which are equal.
func logitsBelow[F Float](c *kerneltest.Trial[F], n int) (top, logit []F) {
	top, logit = c.Scores(n), c.Scores(n)
	for i, v := range logit {
		if v > top[i] || c.R.IntN(3) == 0 {
			logit[i] = top[i]
		}
	}
	return top, logit
}

// positions are trials for some whole vectors of positions.
func positions[F Float](t *testing.T, do func(c *kerneltest.Trial[F], n int)) {
	kerneltest.EachOf(t, []int{0, 1, 2, 5}, kerneltest.Inputs[F](), func(c *kerneltest.Trial[F]) { do(c, c.N*fp.Lanes[F]()) })
}

func testTargetLosses[F Float](t *testing.T) {
	positions(t, func(c *kerneltest.Trial[F], n int) {
		ln, _, hard, dot := positionArrays(c, n)
		top, logit := logitsBelow(c, n)
		want := make([]F, n)
		loss, hard1, ln1, dot1 := kerneltest.Placed(c, want), kerneltest.Constant(c, hard), kerneltest.Constant(c, ln), kerneltest.Constant(c, dot)
		top1, logit1 := kerneltest.Constant(c, top), kerneltest.Constant(c, logit)
		wantSum := targetLossesGeneric(want, hard, ln, dot, top, logit)
		var sum float64
		c.Call(func() { sum = targetLosses(loss, hard1, ln1, dot1, top1, logit1) })
		kerneltest.Same(c, "loss", want, loss)
		kerneltest.SameOne(c, "sum", wantSum, sum)
	})
}

func testGradientFactors[F Float](t *testing.T) {
	positions(t, func(c *kerneltest.Trial[F], n int) {
		_, sum, hard, mass := positionArrays(c, n)
		want, g := make([]F, n), c.R.NormFloat64()
		factor, hard1 := kerneltest.Placed(c, want), kerneltest.Constant(c, hard)
		mass1, sum1 := kerneltest.Constant(c, mass), kerneltest.Constant(c, sum)
		gradientFactorsGeneric(want, hard, mass, sum, g)
		c.Call(func() { gradientFactors(factor, hard1, mass1, sum1, g) })
		kerneltest.Same(c, "factor", want, factor)
	})
}

func testTargetGradients[F Float](t *testing.T) {
	positions(t, func(c *kerneltest.Trial[F], n int) {
		_, sum, hard, _ := positionArrays(c, n)
		top, logit := logitsBelow(c, n)
		want, factor, g := make([]F, n), factors(c, n), c.R.NormFloat64()
		dst, hard1, sum1 := kerneltest.Placed(c, want), kerneltest.Constant(c, hard), kerneltest.Constant(c, sum)
		top1, logit1, factor1 := kerneltest.Constant(c, top), kerneltest.Constant(c, logit), kerneltest.Constant(c, factor)
		targetGradientsGeneric(want, hard, sum, top, logit, factor, g)
		c.Call(func() { targetGradients(dst, hard1, sum1, top1, logit1, factor1, g) })
		for i := range want {
			if d := logit[i] - top[i]; d != d { // there is no softmax, and no target's gradient
				dst[i] = want[i]
			}
		}
		kerneltest.Same(c, "dst", want, dst)
	})
}

func testTargetGradientsSoft[F Float](t *testing.T) {
	positions(t, func(c *kerneltest.Trial[F], n int) {
		_, _, hard, _ := positionArrays(c, n)
		top, logit := logitsBelow(c, n)
		want, factor, u, scale, g := make([]F, n), factors(c, n), factors(c, n), factors(c, n), c.R.NormFloat64()
		dst, hard1, top1, logit1 := kerneltest.Placed(c, want), kerneltest.Constant(c, hard), kerneltest.Constant(c, top), kerneltest.Constant(c, logit)
		factor1, u1, scale1 := kerneltest.Constant(c, factor), kerneltest.Constant(c, u), kerneltest.Constant(c, scale)
		targetGradientsSoftGeneric(want, hard, top, logit, factor, u, scale, g)
		c.Call(func() { targetGradientsSoft(dst, hard1, top1, logit1, factor1, u1, scale1, g) })
		for i := range want {
			if d := logit[i] - top[i]; d != d { // there is no softmax, and no target's gradient
				dst[i] = want[i]
			}
		}
		kerneltest.Same(c, "dst", want, dst)
	})
}

// roomOf returns how many elements a row of n has room for in toColumns and toRows.
func roomOf[F Float](n int) int {
	if n == 0 {
		return 0
	}
	return max(n, pieceOf[F]())
}

// matrices are the sizes of what is transposed: rows of c.N elements, as many as fill some
// vectors.
func matrices[F Float](t *testing.T, do func(c *kerneltest.Trial[F], rows int)) {
	kerneltest.Each(t, nil, func(c *kerneltest.Trial[F]) {
		for _, vectors := range kerneltest.Some(c, kerneltest.UpTo(0, 3)) {
			rows := vectors * fp.Lanes[F]()
			c.Notes = []any{"rows", rows}
			do(c, rows)
		}
	})
}

func testToColumns[F Float](t *testing.T) {
	matrices(t, func(c *kerneltest.Trial[F], rows int) {
		stride, width := c.N+c.R.IntN(2), rows+fp.Lanes[F]()*c.R.IntN(2)
		x := c.Scores(max(0, rows-1)*stride + roomOf[F](c.N))
		want := make([]F, roomOf[F](c.N)*width)
		dst, y := kerneltest.Placed(c, want), kerneltest.Constant(c, x)
		toColumnsGeneric(view.Of(want, width, width), view.Of(x, c.N, stride), rows)
		c.Call(func() { toColumns(view.Of(dst, width, width), view.Of(y, c.N, stride), rows) })
		kerneltest.Same(c, "dst", want[:c.N*width], dst)
	})
}

func testToRows[F Float](t *testing.T) {
	matrices(t, func(c *kerneltest.Trial[F], rows int) {
		width := rows + fp.Lanes[F]()*c.R.IntN(2)
		x, want := c.Scores(roomOf[F](c.N)*width), make([]F, max(0, rows-1)*c.N+roomOf[F](c.N))
		dst, y := kerneltest.Placed(c, want), kerneltest.Constant(c, x)
		toRowsGeneric(view.Of(want, c.N, c.N), view.Of(x, width, width), rows)
		c.Call(func() { toRows(view.Of(dst, c.N, c.N), view.Of(y, width, width), rows) })
		kerneltest.Same(c, "dst", want[:rows*c.N], dst)
	})
}

func testSumExpColumns[F Float](t *testing.T) {
	matrices(t, func(c *kerneltest.Trial[F], rows int) {
		if c.N == 0 { // a column has an element
			return
		}
		x, wantM, wantSum := c.Scores(c.N*rows), make([]F, rows), make([]float64, rows)
		m, sum, y := kerneltest.Placed(c, wantM), kerneltest.Placed(c, wantSum), kerneltest.Constant(c, x)
		scratch := kerneltest.Placed(c, make([]F, fp.Lanes[F]()*fp.Lanes[F]()))
		sumExpColumnsGeneric(wantM, wantSum, view.Of(x, rows, rows), nil, c.N)
		c.Call(func() { sumExpColumns(m, sum, view.Of(y, rows, rows), scratch, c.N) })
		for r := range rows {
			var column []F
			for i := r; i < len(x); i += rows {
				column = append(column, x[i])
			}
			kerneltest.SameTop(c, column, wantM[r], m[r])
		}
		kerneltest.Same(c, "sum", wantSum, sum)
	})
}

func testExpColumns[F Float](t *testing.T) {
	matrices(t, func(c *kerneltest.Trial[F], rows int) {
		if c.N == 0 { // a column has an element
			return
		}
		width := rows + fp.Lanes[F]()*c.R.IntN(2)
		x := make([]F, c.N*width)
		for r := range rows { // by columns, so that each has what the input is about
			for i, v := range c.Scores(c.N) {
				x[i*width+r] = v
			}
		}
		for _, inPlace := range []bool{false, true} {
			wantM, wantSum, want := make([]F, rows), make([]float64, rows), make([]F, len(x))
			expColumnsGeneric(wantM, wantSum, view.Of(want, rows, width), view.Of(x, rows, width), nil, c.N)
			m, sum, scratch := kerneltest.Placed(c, make([]F, rows)), kerneltest.Placed(c, make([]float64, rows)), kerneltest.Placed(c, make([]F, fp.Lanes[F]()*fp.Lanes[F]()))
			dst, y := c.Destination(x, inPlace)
			c.Call(func() {
				expColumns(m, sum, view.Of(dst, rows, width), view.Of(y, rows, width), scratch, c.N)
			})
			for r := range rows {
				var column, wantTerms, terms []F
				for i := r; i < len(x); i += width {
					column, wantTerms, terms = append(column, x[i]), append(wantTerms, want[i]), append(terms, dst[i])
				}
				kerneltest.SameTop(c, column, wantM[r], m[r])
				kerneltest.SameOne(c, "sum", wantSum[r], sum[r])
				if sum[r] == sum[r] { // else the terms are of no use
					kerneltest.Same(c, "terms", wantTerms, terms)
				}
			}
		}
	})
}

// pairTrials are trials for whole vectors of positions with two classes, in runs of every kind. size is the number
// of elements up to the last one that is read or written.
func pairTrials[F Float](t *testing.T, do func(c *kerneltest.Trial[F], n, size, run, other, second, third int)) {
	positions(t, func(c *kerneltest.Trial[F], n int) {
		lanes, side := fp.Lanes[F](), 16/fp.Size[F]()
		for _, inner := range kerneltest.Some(c, []int{leastPairs, 8, 16, 48, 128}) {
			run, other, second, third := max(inner, lanes), inner, side+side/inner*inner, 2*side+2*side/inner*inner
			size := 0
			if n > 0 {
				size = pairPlace[F](n-side, run, second, third) + other + side
			}
			c.Notes = []any{"inner", inner}
			do(c, n, size, run, other, second, third)
		}
	})
}

func testPairTerms[F Float](t *testing.T) {
	side := 16 / fp.Size[F]()
	pairTrials(t, func(c *kerneltest.Trial[F], n, size, run, other, second, third int) {
		x, targets, w0, w1 := c.Scores(size), make([]int, n), c.R.NormFloat64(), c.R.NormFloat64()
		for i := range targets {
			targets[i] = c.R.IntN(2)
		}
		bad := []int{-1, 2, defaultIgnoreIndex, 1 << (strconv.IntSize / 2), math.MaxInt, math.MinInt}[c.R.IntN(6)]
		for _, isBad := range []bool{false, true} {
			if isBad && n > 0 {
				targets[c.R.IntN(n)] = bad
			}
			wantM, wantSum, wantLogit, wantHard := make([]F, n), make([]float64, n), make([]F, n), make([]float64, n)
			wantOthers := pairTermsGeneric(wantM, wantSum, wantLogit, wantHard, x, targets, w0, w1, run, other, second, third)
			m, logit := kerneltest.Placed(c, make([]F, n)), kerneltest.Placed(c, make([]F, n))
			sum, hard := kerneltest.Placed(c, make([]float64, n)), kerneltest.Placed(c, make([]float64, n))
			y, targets := kerneltest.Constant(c, x), kerneltest.Constant(c, targets)
			var others int
			c.Call(func() { others = pairTerms(m, sum, logit, hard, y, targets, w0, w1, run, other, second, third) })
			require.Equal(t, isBad && n > 0, others != 0)
			require.Equal(t, isBad && n > 0, wantOthers != 0)
			for i, top := range wantM {
				at := pairPlace[F](i&^(side-1), run, second, third) + i&(side-1)
				kerneltest.SameTop(c, []F{x[at], x[at+other]}, top, m[i])
			}
			kerneltest.Same(c, "sum", wantSum, sum)
			if others == 0 {
				kerneltest.Same(c, "logit", wantLogit, logit)
				kerneltest.Same(c, "hard", wantHard, hard)
			}
		}
	})
}

func testPairGradients[F Float](t *testing.T) {
	pairTrials(t, func(c *kerneltest.Trial[F], n, size, run, other, second, third int) {
		_, sum, hard, _ := positionArrays(c, n)
		top, logit := logitsBelow(c, n)
		targets, g := make([]int, n), c.R.NormFloat64()
		for i := range targets {
			targets[i] = c.R.IntN(2)
		}
		before := c.Scores(size) // of which some lies between runs
		want, dst := slices.Clone(before), kerneltest.Placed(c, before)
		top1, logit1, targets1 := kerneltest.Constant(c, top), kerneltest.Constant(c, logit), kerneltest.Constant(c, targets)
		sum1, hard1 := kerneltest.Constant(c, sum), kerneltest.Constant(c, hard)
		pairGradientsGeneric(want, top, sum, logit, hard, targets, g, run, other, second, third)
		c.Call(func() { pairGradients(dst, top1, sum1, logit1, hard1, targets1, g, run, other, second, third) })
		kerneltest.Same(c, "dst", want, dst)
	})
}

func testGather[F Float](t *testing.T) {
	kerneltest.Each(t, []int{1000, indexBlock}, func(c *kerneltest.Trial[F]) {
		for _, size := range kerneltest.Some(c, []int{1, 2, 17, 1000}) {
			rows, k := 1, c.N
			if c.N == 0 || size < 100 && c.R.IntN(2) == 0 {
				k = 1 + c.R.IntN(9)
				rows = min(c.N/k, 100)
			}
			src, index := c.Scores(size*rows), make([]int32, rows*k)
			for i := range index {
				index[i] = int32([...]int{0, size - 1, c.R.IntN(size)}[c.R.IntN(3)])
			}
			want := make([]F, len(index))
			gatherGeneric(want, src, index, size, k)
			dst, src1, index1 := kerneltest.Placed(c, make([]F, len(index))), kerneltest.Constant(c, src), kerneltest.Constant(c, index)
			c.Call(func() { gather(dst, src1, index1, size, k) })
			kerneltest.Same(c, "dst", want, dst)
		}
	})
}

// testFetch shows that fetch reads no index that is not there, and changes nothing.
func testFetch[F Float](t *testing.T) {
	kerneltest.Each(t, []int{100}, func(c *kerneltest.Trial[F]) {
		rows, index := c.R.IntN(4), make([]int32, c.N)
		for i := range index {
			index[i] = c.R.Int32N(1 << 20) // of memory that need not be there
		}
		x := c.Scores(16 * rows)
		y, i := kerneltest.Placed(c, x), kerneltest.Constant(c, index)
		c.Call(func() { fetch(view.Of(y, 16, 16), i, rows) })
		kerneltest.Same(c, "x", x, y)
	})
}

func testMaxIndex(t *testing.T) {
	kerneltest.Each(t, []int{1000, indexBlock}, func(c *kerneltest.Trial[float32]) {
		for _, largest := range []int32{0, 1, 1000, math.MaxInt32, -1, math.MinInt32} {
			index := make([]int32, c.N)
			for i := range index {
				index[i] = c.R.Int32N(100)
			}
			if c.N > 0 {
				index[c.R.IntN(c.N)] = largest
			}
			x := kerneltest.Constant(c, index)
			var most uint32
			c.Call(func() { most = maxIndex(x) })
			if want := maxIndexGeneric(index); most != want {
				require.Fail(t, "another maximum", "%v: %d, want %d", c, most, want)
			}
		}
	})
}

func testLog1p(t *testing.T) {
	kerneltest.Each(t, blocks, func(c *kerneltest.Trial[float64]) {
		x := c.Scores(c.N)
		for i, v := range x {
			x[i] = [...]float64{math.Abs(v), math.Abs(v), 1e300 * c.R.Float64(), math.Ldexp(c.R.Float64(), c.R.IntN(2000)-1000),
				kerneltest.Moved(1.0, c.R.IntN(9)-4), kerneltest.Moved(math.Ldexp(math.Sqrt2, c.R.IntN(50)), c.R.IntN(3)-1) - 1}[c.R.IntN(6)]
		}
		want := make([]float64, c.N)
		log1pGeneric(want, x)
		dst, y := kerneltest.Placed(c, make([]float64, c.N)), kerneltest.Constant(c, x)
		c.Call(func() { log1p(dst, y) })
		kerneltest.Same(c, "dst", want, dst)
		dst = kerneltest.Placed(c, x)
		c.Call(func() { log1p(dst, dst) })
		kerneltest.Same(c, "dst in place", want, dst)
	})
}

func testArgMax[F Float](t *testing.T) {
	kerneltest.Each(t, []int{1000, indexedBlock}, func(c *kerneltest.Trial[F]) {
		x := c.Scores(c.N)
		for _, m := range kerneltest.Some(c, floors(x)) {
			c.Notes = []any{"m", m}
			y, got := kerneltest.Constant(c, x), 0
			c.Call(func() { got = argMax(y, m) })
			require.Equal(t, argMaxGeneric(x, m), got, "%v", c)
		}
	})
}

func testArgMaxAllowed[F Float](t *testing.T) {
	kerneltest.Each(t, []int{1000, indexedBlock}, func(c *kerneltest.Trial[F]) {
		x, allowed := c.Scores(c.N), make([]F, c.N)
		for _, share := range kerneltest.Some(c, []float64{0, 0.1, 0.5, 1}) {
			for i := range allowed {
				allowed[i] = 0
				if c.R.Float64() < share {
					allowed[i] = 1
				}
			}
			for _, m := range kerneltest.Some(c, floors(x)) {
				c.Notes = []any{"m", m, "allowed", share}
				y, a, got := kerneltest.Constant(c, x), kerneltest.Constant(c, allowed), 0
				c.Call(func() { got = argMaxAllowed(y, a, m) })
				require.Equal(t, argMaxAllowedGeneric(x, allowed, m), got, "%v", c)
			}
		}
	})
}

func testArgMaxShortRows[F Float](t *testing.T) {
	kerneltest.Each(t, []int{shortRow - 1, shortRow}, func(c *kerneltest.Trial[F]) {
		for _, rows := range kerneltest.Some(c, []int{0, 1, 2, 5}) {
			if c.N == 0 { // a row has an element
				continue
			}
			c.Notes = []any{"rows", rows}
			var x []F
			for range rows { // by rows, so that each has what the input is about
				x = append(x, c.Scores(c.N)...)
			}
			want := make([]F, rows)
			argMaxRowsGeneric(want, x, c.N)
			place, y := kerneltest.Placed(c, make([]F, rows)), kerneltest.Constant(c, x)
			c.Call(func() { argMaxRows(place, y, c.N) })
			require.Equal(t, want, place, "%v", c)

			allowed := make([]F, c.N)
			for i := range allowed {
				allowed[i] = F(c.R.IntN(2))
			}
			c.Notes = append(c.Notes, "allowed", allowed)
			argMaxAllowedRowsGeneric(want, x, c.N, allowed)
			place, y = kerneltest.Placed(c, make([]F, rows)), kerneltest.Constant(c, x)
			mask := kerneltest.Constant(c, allowed)
			c.Call(func() { argMaxAllowedRows(place, y, c.N, mask) })
			require.Equal(t, want, place, "%v", c)
		}
	})
}

// floors returns what a largest element of x has to be above: anything, an element, the largest.
func floors[F Float](x []F) []F {
	all := []F{fp.NegInf[F](), maxBlockGeneric(x)}
	if len(x) > 0 && x[0] == x[0] {
		all = append(all, x[0])
	}
	return all
}
