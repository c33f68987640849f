package trellis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/view"
)

// The kernels of generic_ctc.go, as in generic_test.go. What a kernel may read but must not
// use is NaN here, and so is what it may write without a meaning. All else stays as it is.

// values is a way to make the numbers of a trellis.
type values struct {
	name                    string
	state, emission, factor func(r *rand.Rand) float64
}

func near(r *rand.Rand) float64 { return math.Ldexp(1+r.Float64(), r.IntN(7)-3) }

func zero(*rand.Rand) float64 { return 0 }

// power2 returns a function that makes numbers with exponents from one to another.
func power2(from, to int) func(r *rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return math.Ldexp(1+r.Float64(), from+r.IntN(to-from+1)) }
}

// oneOf returns a function that calls one of some at random.
func oneOf(all ...func(r *rand.Rand) float64) func(r *rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return all[r.IntN(len(all))](r) }
}

func anyNumber(r *rand.Rand) float64 {
	return [...]float64{0, near(r), near(r), near(r), near(r), power2(-400, 400)(r), power2(-1074, 1023)(r), 0x1p-1074,
		math.MaxFloat64, math.Inf(1), kerneltest.SomeNaN[float64](r)}[r.IntN(11)]
}

var trellisValues = []values{
	{kerneltest.Plain, near, near, near},
	{"range", power2(-runExponents, runExponents), oneOf(zero, power2(-250, 0), power2(-20, 0)), oneOf(zero, power2(-1022, runExponents), power2(-20, 20))},
	{"impossible", oneOf(zero, zero, zero, near), oneOf(zero, near), oneOf(zero, near)},
	{"zero", zero, near, near},
	{kerneltest.Mixed, anyNumber, anyNumber, anyNumber},
	{"rarely no number", oneOf(near, near, near, near, near, near, anyNumber), near, near},
}

// eachTrellis is kerneltest.EachOf with numbers of a trellis for inputs.
func eachTrellis[F Float](t *testing.T, lengths []int, do func(c *kerneltest.Trial[F], v values)) {
	var inputs []kerneltest.Input[F]
	for _, v := range trellisValues {
		inputs = append(inputs, kerneltest.Input[F]{Name: v.name})
	}
	kerneltest.EachOf(t, lengths, inputs, func(c *kerneltest.Trial[F]) {
		do(c, trellisValues[slices.IndexFunc(trellisValues, func(v values) bool { return v.name == c.Input.Name })])
	})
}

// labelCounts are the numbers of labels of trials.
var labelCounts = kerneltest.UpTo(0, 4*16+2)

// numbers returns n numbers.
func numbers[F Float](c *kerneltest.Trial[F], n int, of func(r *rand.Rand) float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = of(c.R)
	}
	return x
}

// someExponents returns n exponents: many equal, some as far apart as matters to power.
func someExponents[F Float](c *kerneltest.Trial[F], n int, base float64) []float64 {
	edges := [...]float64{-1025, -1024, -1023, -1022, -1021, -512, -511, 998, 999, 1000, 1001, 1002, 1023, 1024}
	return numbers(c, n, func(r *rand.Rand) float64 {
		switch r.IntN(24) {
		case 0:
			return [...]float64{-never, never, 0, -never + base, 1 << 40, -1 << 40, 3, -3}[r.IntN(8)]
		case 1, 2, 3, 4, 5, 6, 7, 8:
			return base + edges[r.IntN(len(edges))]
		case 9, 10:
			return base + float64(r.IntN(3000)-1500)
		case 11, 12, 13, 14:
			return base + float64(r.IntN(11)-5)
		}
		return base
	})
}

// someBase returns what exponents are near to.
func someBase[F Float](c *kerneltest.Trial[F]) float64 {
	return [...]float64{0, 0, float64(c.R.IntN(2000) - 1000), 1 << 40, -1 << 40, 1<<27 + 12345}[c.R.IntN(6)]
}

// someSkips returns n exponents of skip.
func someSkips[F Float](c *kerneltest.Trial[F], n int) []float64 {
	return numbers(c, n, func(r *rand.Rand) float64 { return [...]float64{0, -never}[r.IntN(2)] })
}

// onlyIn makes NaN of what is in no span of a row.
func onlyIn(x []float64, width int, spans ...view.Span) []float64 {
	for i := range x {
		if !slices.ContainsFunc(spans, func(s view.Span) bool { return s.From <= i%width && i%width < s.To }) {
			x[i] = math.NaN()
		}
	}
	return x
}

// part is what one call does of a trellis: some positions of rows that have more of them behind.
type part struct{ width, labels, positions, frames int }

func (p part) String() string {
	return fmt.Sprintf("%d positions of %d, labels: %d, frames: %d", p.positions, p.width, p.labels, p.frames)
}

// emissions returns y, of which only the useful is not NaN.
func (p part) emissions(c *kerneltest.Trial[float64], v values) []float64 {
	y := numbers(c, (p.frames-1)*p.width+max(p.positions, p.labels+1), v.emission)
	return onlyIn(y, p.width, p.scaled(1), view.Span{From: p.labels, To: p.labels + 1})
}

// rows returns emissions as the kernels take them.
func (p part) rows(y []float64) view.Rows[float64] { return view.Of(y, p.labels+1, p.width) }

// scaled returns the part of a row that has so many numbers for each position.
func (p part) scaled(numbers int) view.Span { return view.Span{To: numbers * p.positions} }

// parts returns all positions for c.N labels, and parts of them.
func parts(c *kerneltest.Trial[float64]) []part {
	inUse := (c.N + 8) &^ 7
	width := (inUse+15)&^15 + 16*c.R.IntN(2)
	frames := func() int { return 1 + c.R.IntN(9) }
	all := []part{{width, c.N, inUse, frames()}}
	if inUse > 8 {
		cut := 8 * (1 + c.R.IntN(inUse/8-1))
		all = append(all, part{width, c.N, cut, frames()}, part{width, c.R.IntN(cut), cut, frames()}, part{width, c.N, cut, 1})
	}
	return all
}

func testNormalizeRow(t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(0, 10), 2*panelWidth/16), func(c *kerneltest.Trial[float64], v values) {
		x, e := numbers(c, 16*c.N, v.state), someExponents(c, 16*c.N, someBase(c))
		for i := range x {
			if v.name == kerneltest.Mixed && c.R.IntN(2) == 0 {
				x[i] = kerneltest.FromBits[float64](c.R.Uint64())
			}
			if e[i] == 0 {
				e[i] = 0 // not −0, which no sum of exponents is
			}
		}
		want, wantE := make([]float64, len(x)), slices.Clone(e)
		wantZeros := normalizeRowGeneric(want, x, wantE)
		for _, inPlace := range []bool{false, true} {
			c.Notes = []any{"in place", inPlace}
			dst, src := c.Destination(x, inPlace)
			e1 := kerneltest.Placed(c, e)
			var zeros float64
			c.Call(func() { zeros = normalizeRow(dst, src, e1) })
			kerneltest.Same(c, "dst", want, dst)
			kerneltest.Same(c, "e", wantE, e1)
			kerneltest.SameOne(c, "zeros", wantZeros, zeros)
		}
	})
}

func testForwardFactors(t *testing.T) {
	eachTrellis(t, labelCounts, func(c *kerneltest.Trial[float64], v values) {
		for _, p := range kerneltest.Some(c, parts(c)) {
			c.Notes = []any{p}
			n, base := p.positions, someBase(c)
			exponents, skipExponents := someExponents(c, 2*n, base), someSkips(c, n)
			before := someExponents(c, 1, base)[0]
			want := numbers(c, 3*n, near)
			factors, exponents1, skipExponents1 := kerneltest.Placed(c, want), kerneltest.Constant(c, exponents), kerneltest.Constant(c, skipExponents)
			wantLargest := forwardFactorsGeneric(want, exponents, skipExponents, before, n)
			var largest float64
			c.Call(func() { largest = forwardFactors(factors, exponents1, skipExponents1, before, n) })
			kerneltest.Same(c, "factors", want, factors)
			kerneltest.SameOne(c, "largest", wantLargest, largest)
		}
	})
}

func testLeastFactors(t *testing.T) {
	eachTrellis(t, labelCounts, func(c *kerneltest.Trial[float64], v values) {
		for _, p := range kerneltest.Some(c, parts(c)) {
			c.Notes = []any{p}
			n, base := p.positions, someBase(c)
			exponents := someExponents(c, 2*n, base)
			before := someExponents(c, 1, base)[0]
			exponents1 := kerneltest.Constant(c, exponents)
			wantBlank, wantLabel := leastFactorsGeneric(exponents, before, n)
			var toBlank, toLabel float64
			c.Call(func() { toBlank, toLabel = leastFactors(exponents1, before, n) })
			kerneltest.SameOne(c, "toBlank", wantBlank, toBlank)
			kerneltest.SameOne(c, "toLabel", wantLabel, toLabel)
		}
	})
}

func testDropUnreached(t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(0, 10), 2*panelWidth/16), func(c *kerneltest.Trial[float64], v values) {
		want, alpha := numbers(c, 16*c.N, v.state), numbers(c, 16*c.N, v.state)
		beta, alpha1 := kerneltest.Placed(c, want), kerneltest.Constant(c, alpha)
		dropUnreachedGeneric(want, alpha)
		c.Call(func() { dropUnreached(beta, alpha1) })
		kerneltest.Same(c, "beta", want, beta)
	})
}

func testForward(t *testing.T) {
	eachTrellis(t, labelCounts, func(c *kerneltest.Trial[float64], v values) {
		for _, p := range kerneltest.Some(c, parts(c)) {
			c.Notes = []any{p}
			n := p.positions
			boundary, wantColumn, y := numbers(c, 2*n, v.state), numbers(c, p.frames, v.state), p.emissions(c, v)
			factors, stride := numbers(c, 3*n, v.factor), 2*p.width*c.R.IntN(2)
			want := numbers(c, (p.frames-1)*stride+2*n, near)
			alpha, boundary1, column := kerneltest.Placed(c, want), kerneltest.Constant(c, boundary), kerneltest.Placed(c, wantColumn)
			y1, factors1 := kerneltest.Constant(c, y), kerneltest.Constant(c, factors)
			forwardGeneric(view.Of(want, 2*n, stride), boundary, wantColumn, p.rows(y), factors, n, p.frames)
			c.Call(func() { forward(view.Of(alpha, 2*n, stride), boundary1, column, p.rows(y1), factors1, n, p.frames) })
			kerneltest.Same(c, "alpha", want, alpha)
			kerneltest.Same(c, "column", wantColumn, column)
		}
	})
}

func testExtent(t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(0, 10), 2*panelWidth/16), func(c *kerneltest.Trial[float64], v values) {
		states := numbers(c, 16*c.N, v.state)
		wantLeast, wantLargest := extentGeneric(states)
		states1 := kerneltest.Constant(c, states)
		var least, largest float64
		c.Call(func() { least, largest = extent(states1) })
		kerneltest.SameOne(c, "least", wantLeast, least)
		kerneltest.SameOne(c, "largest", wantLargest, largest)
	})
}

func testRescale(t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(0, 10), 2*panelWidth/16), func(c *kerneltest.Trial[float64], v values) {
		n, base := 16*c.N, someBase(c)
		want, alpha, from, to := numbers(c, n, v.state), numbers(c, n, v.state), someExponents(c, n, base), someExponents(c, n, base)
		for i := range want {
			switch c.R.IntN(4) {
			case 0:
				want[i] = kerneltest.Moved(leastOccupancy, c.R.IntN(5)-2)
			case 1:
				want[i] = 0
			}
		}
		beta, alpha1, from1, to1 := kerneltest.Placed(c, want), kerneltest.Constant(c, alpha), kerneltest.Constant(c, from), kerneltest.Constant(c, to)
		rescaleGeneric(want, alpha, from, to)
		c.Call(func() { rescale(beta, alpha1, from1, to1) })
		kerneltest.Same(c, "beta", want, beta)
	})
}

func testBackward(t *testing.T) {
	eachTrellis(t, labelCounts, func(c *kerneltest.Trial[float64], v values) {
		for _, p := range kerneltest.Some(c, parts(c)) {
			c.Notes = []any{p}
			n := p.positions
			wantBeta, y, factors := numbers(c, 2*n, v.state), p.emissions(c, v), numbers(c, 3*n, v.factor)
			alpha := onlyIn(numbers(c, (p.frames-1)*2*p.width+2*n, v.state), 2*p.width, p.scaled(2))
			wantColumn, wantBlanks := numbers(c, p.frames, v.state), numbers(c, p.frames, near)
			stride := n + 8*c.R.IntN(3)
			want := numbers(c, (p.frames-1)*stride+n, near)
			occupancy, blanks := kerneltest.Placed(c, want), kerneltest.Placed(c, wantBlanks)
			beta, column := kerneltest.Placed(c, wantBeta), kerneltest.Placed(c, wantColumn)
			alpha1, y1, factors1 := kerneltest.Constant(c, alpha), kerneltest.Constant(c, y), kerneltest.Constant(c, factors)
			backwardGeneric(view.Of(want, n, stride), wantBlanks, wantBeta, wantColumn, alpha, p.rows(y), factors, nil, n)
			sums := make([]float64, 8*p.frames)
			c.Call(func() {
				backward(view.Of(occupancy, n, stride), blanks, beta, column, alpha1, p.rows(y1), factors1, sums, n)
			})
			kerneltest.Same(c, "occupancy", want, occupancy)
			kerneltest.Same(c, "blanks", wantBlanks, blanks)
			kerneltest.Same(c, "beta", wantBeta, beta)
			kerneltest.Same(c, "column", wantColumn, column)
		}
	})
}

func testWideFactors(t *testing.T) {
	eachTrellis(t, labelCounts, func(c *kerneltest.Trial[float64], v values) {
		n, base := (c.N+8)&^7, someBase(c)
		exponents, emissions, skipExponents := someExponents(c, 2*n, base), someExponents(c, n, 0), someSkips(c, n)
		before, blank := someExponents(c, 1, base)[0], someExponents(c, 1, 0)[0]
		want, wantNext := numbers(c, 5*n, near), numbers(c, 2*n, near)
		factors, next := kerneltest.Placed(c, want), kerneltest.Placed(c, wantNext)
		exponents1, emissions1, skipExponents1 := kerneltest.Constant(c, exponents), kerneltest.Constant(c, emissions), kerneltest.Constant(c, skipExponents)
		wideFactorsGeneric(want, wantNext, exponents, emissions, skipExponents, before, blank, n)
		c.Call(func() { wideFactors(factors, next, exponents1, emissions1, skipExponents1, before, blank, n) })
		kerneltest.Same(c, "factors", want, factors)
		kerneltest.Same(c, "next", wantNext, next)
	})
}

func testForwardWide(t *testing.T) {
	eachTrellis(t, labelCounts, func(c *kerneltest.Trial[float64], v values) {
		n := (c.N + 8) &^ 7
		boundary, y, factors := numbers(c, 2*n, v.state), numbers(c, n, v.emission), numbers(c, 5*n, v.factor)
		before, blank, want := v.state(c.R), v.emission(c.R), numbers(c, 2*n, near)
		alpha, boundary1 := kerneltest.Placed(c, want), kerneltest.Constant(c, boundary)
		y1, factors1 := kerneltest.Constant(c, y), kerneltest.Constant(c, factors)
		forwardWideGeneric(want, boundary, y, factors, before, blank, n)
		c.Call(func() { forwardWide(alpha, boundary1, y1, factors1, before, blank, n) })
		kerneltest.Same(c, "alpha", want, alpha)
	})
}

func testBackwardWide(t *testing.T) {
	eachTrellis(t, labelCounts, func(c *kerneltest.Trial[float64], v values) {
		n := (c.N + 8) &^ 7
		wantBeta, alpha, y, factors := numbers(c, 2*n, v.state), numbers(c, 2*n, v.state), numbers(c, n, v.emission), numbers(c, 5*n, v.factor)
		after, blank, want := v.state(c.R), v.emission(c.R), numbers(c, n, near)
		occupancy, beta, alpha1 := kerneltest.Placed(c, want), kerneltest.Placed(c, wantBeta), kerneltest.Constant(c, alpha)
		y1, factors1 := kerneltest.Constant(c, y), kerneltest.Constant(c, factors)
		wantBlanks, wantDown := backwardWideGeneric(want, wantBeta, alpha, y, factors, after, blank, n)
		var blanks, down float64
		c.Call(func() { blanks, down = backwardWide(occupancy, beta, alpha1, y1, factors1, after, blank, n) })
		kerneltest.Same(c, "occupancy", want, occupancy)
		kerneltest.Same(c, "beta", wantBeta, beta)
		kerneltest.SameOne(c, "blanks", wantBlanks, blanks)
		kerneltest.SameOne(c, "down", wantDown, down)
	})
}

// frameInputs are rows of scores at the limits of expFrames.
func frameInputs[F Float]() []kerneltest.Input[F] {
	top := func(salt int) F { return F(salt%(2*fp.MaxScore)-fp.MaxScore) / 1.1 }
	return []kerneltest.Input[F]{
		{Name: "far from 0", Element: func(r *rand.Rand, _, _, salt int) F { return top(salt) + F(3*r.NormFloat64()) }},
		{Name: "at the largest score", Element: func(r *rand.Rand, i, n, salt int) F {
			return F(salt%2*2-1)*kerneltest.Moved[F](fp.MaxScore, r.IntN(7)-3) - F(r.IntN(2))*F(r.ExpFloat64())
		}},
		{Name: "at the reach", Element: func(r *rand.Rand, i, n, salt int) F {
			if i == salt%n {
				return top(salt)
			}
			return kerneltest.Moved(top(salt)-fp.ExpReach[F](), r.IntN(9)-4)
		}},
	}
}

// inRows returns rows that are stride apart, with NaN between them.
func inRows[T Float](rows, n, stride int, row func() []T) []T {
	if rows == 0 {
		return nil
	}
	x := slices.Repeat([]T{T(math.NaN())}, (rows-1)*stride+n)
	for r := range rows {
		copy(x[r*stride:][:n], row())
	}
	return x
}

// someGap returns by how much rows are further apart than they are long.
func someGap[F Float](c *kerneltest.Trial[F]) int {
	return [...]int{0, 1, 3, fp.Lanes[F](), 2*fp.Lanes[F]() + 5}[c.R.IntN(5)]
}

func testExpFrames[F Float](t *testing.T) {
	lengths := append(kerneltest.UpTo(1, 4*fp.Lanes[F]()+1), 1000, block-1, block)
	kerneltest.EachOf(t, lengths, append(kerneltest.Inputs[F](), frameInputs[F]()...), func(c *kerneltest.Trial[F]) {
		whole := fp.WholeVectors[F](c.N)
		for _, rows := range kerneltest.Some(c, []int{0, 1, 2, 3, 4, 5 + c.R.IntN(5)}) {
			if rows > 1 && rows*c.N > block {
				continue
			}
			stride, pitch, inPlace := c.N+someGap(c), whole+someGap(c), c.R.IntN(3) == 0
			if inPlace {
				stride = pitch
			}
			x := inRows(rows, c.N, stride, func() []F { return c.Scores(c.N) })
			want := make([]F, len(inRows(rows, whole, pitch, func() []F { return nil })))
			for i := range want {
				want[i] = F(near(c.R))
			}
			for r := 0; r < rows && inPlace; r++ {
				copy(want[r*pitch:], x[r*stride:][:c.N])
			}
			fours := (rows + 3) &^ 3
			wantTop, wantRef, wantSum := make([]F, rows), make([]F, rows), make([]float64, rows)
			p, y, scratch := kerneltest.Placed(c, want), kerneltest.Constant(c, x), kerneltest.Placed(c, slices.Repeat([]F{fp.NaN[F]()}, fours*rowScratch))
			top, ref, sum := kerneltest.Placed(c, make([]F, fours)), kerneltest.Placed(c, make([]F, fours)), kerneltest.Placed(c, make([]float64, fours))
			if inPlace {
				y = p
			}
			expFramesGeneric(view.Of(want, pitch, pitch), wantTop, wantRef, wantSum, nil, view.Of(x, c.N, stride), rows)
			c.Call(func() { expFrames(view.Of(p, pitch, pitch), top, ref, sum, scratch, view.Of(y, c.N, stride), rows) })
			for r := range rows {
				c.Notes = []any{"rows", rows, "stride", stride, "pitch", pitch, "row", r, "in place", inPlace}
				lost := kerneltest.LosesTop(x[r*stride:][:c.N])
				if !lost {
					kerneltest.SameOne(c, "top", wantTop[r], top[r])
					kerneltest.SameOne(c, "ref", wantRef[r], ref[r])
				}
				switch row := p[r*pitch:][:whole]; {
				case wantTop[r] < -fp.MaxScore || wantTop[r] > fp.MaxScore:
					copy(row, want[r*pitch:]) // of no use
				case lost:
					require.True(t, isNaN(sum[r]) && slices.ContainsFunc(row, isNaN[F]), "%v", c)
					copy(row, want[r*pitch:])
				default:
					kerneltest.SameOne(c, "sum", wantSum[r], sum[r])
				}
			}
			c.Notes = []any{"rows", rows, "stride", stride, "pitch", pitch}
			kerneltest.Same(c, "p", want, p)
		}
	})
}

// Differences from 0 to beyond fp.MinScore, and what rounding takes from them.
func testExpWide(t *testing.T) {
	inputs := []kerneltest.Input[float64]{
		{Name: kerneltest.Plain, Element: func(r *rand.Rand, _, _, salt int) float64 { return float64(salt%1000) - 700*r.Float64() }},
		{Name: "far", Element: func(r *rand.Rand, _, _, salt int) float64 {
			return float64(salt%1000) - math.Exp2(30*r.Float64()-4)
		}},
		{Name: "at the least", Element: func(r *rand.Rand, _, _, salt int) float64 {
			return kerneltest.Moved(float64(salt%1000)+fp.MinScore, r.IntN(9)-4)
		}},
		{Name: "masked", Element: func(r *rand.Rand, _, _, salt int) float64 {
			return [...]float64{math.Inf(-1), -1e4, float64(salt % 1000), kerneltest.SomeNaN[float64](r)}[r.IntN(4)]
		}},
	}
	kerneltest.EachOf(t, append(kerneltest.UpTo(0, 33), block), inputs, func(c *kerneltest.Trial[float64]) {
		x, best := c.Scores(c.N), 0.0
		for _, v := range x {
			best = max(best, v)
		}
		if best != best {
			best = 3
		}
		want, wantE := make([]float64, len(x)), make([]float64, len(x))
		v, e, x1 := kerneltest.Placed(c, want), kerneltest.Placed(c, wantE), kerneltest.Constant(c, x)
		expWideGeneric(want, wantE, x, best)
		c.Call(func() { expWide(v, e, x1, best) })
		kerneltest.Same(c, "v", want, v)
		kerneltest.Same(c, "e", wantE, e)
	})
}

func isNaN[F Float](x F) bool { return x != x }

func testWiden[F Float](t *testing.T) {
	eachRows(t, func(c *kerneltest.Trial[F], rows, stride, pitch int) {
		whole := fp.WholeVectors[F](c.N)
		x := inRows(rows, c.N, stride, func() []F { return c.Scores(c.N) })
		want := inRows(rows, whole, pitch, func() []float64 { return numbers(c, whole, near) })
		dst, x1 := kerneltest.Placed(c, want), kerneltest.Constant(c, x)
		widenGeneric(view.Of(want, pitch, pitch), view.Of(x, c.N, stride), rows)
		c.Call(func() { widen(view.Of(dst, pitch, pitch), view.Of(x1, c.N, stride), rows) })
		kerneltest.Same(c, "dst", want, dst)
	})
}

func testNarrow[F Float](t *testing.T) {
	small := oneOf(power2(-130, -122), power2(-160, -120), zero)
	eachRows(t, func(c *kerneltest.Trial[F], rows, stride, pitch int) {
		whole := fp.WholeVectors[F](c.N)
		x := inRows(rows, whole, pitch, func() []float64 {
			row := numbers(c, whole, oneOf(near, small))
			if len(row) > 0 {
				row[c.R.IntN(len(row))] = kerneltest.Moved(leastNarrow, c.R.IntN(5)-2)
			}
			return row
		})
		want := narrowed[F](inRows(rows, whole, pitch, func() []float64 { return numbers(c, whole, near) }))
		dst, x1 := kerneltest.Placed(c, want), kerneltest.Constant(c, x)
		narrowGeneric(view.Of(want, c.N, pitch), view.Of(x, whole, pitch), rows)
		c.Call(func() { narrow(view.Of(dst, c.N, pitch), view.Of(x1, whole, pitch), rows) })
		kerneltest.Same(c, "dst", want, dst)
	})
}

// eachRows calls f with numbers of rows, how far those of N elements are apart, and those of whole vectors.
func eachRows[F Float](t *testing.T, f func(c *kerneltest.Trial[F], rows, stride, pitch int)) {
	kerneltest.Each(t, append(kerneltest.UpTo(1, 4*fp.Lanes[F]()+1), 1000), func(c *kerneltest.Trial[F]) {
		for _, rows := range kerneltest.Some(c, []int{0, 1, 2, 3 + c.R.IntN(4)}) {
			stride, pitch := c.N+someGap(c), fp.WholeVectors[F](c.N)+someGap(c)
			c.Notes = []any{"rows", rows, "stride", stride, "pitch", pitch}
			f(c, rows, stride, pitch)
		}
	})
}

func testEmit[F Float](t *testing.T) {
	lanes := fp.Lanes[F]()
	eachTrellis(t, append(kerneltest.UpTo(1, 4*lanes+1), 6*lanes, 7*lanes-1, 8*lanes, 8*lanes+1, 1000), func(c *kerneltest.Trial[F], v values) {
		for _, rows := range kerneltest.Some(c, []int{0, 1, 2 + c.R.IntN(8)}) {
			index := make([]int32, 16*c.R.IntN(6))
			for i := range index {
				index[i] = int32([...]int{0, c.N - 1, c.R.IntN(c.N)}[c.R.IntN(3)])
			}
			width, pitch := len(index)+[...]int{0, 3, 16}[c.R.IntN(3)], fp.WholeVectors[F](c.N)+[...]int{0, 0, lanes, 3}[c.R.IntN(4)]
			c.Notes = []any{"rows", rows, "index", index, "width", width, "pitch", pitch}
			p := inRows(rows, pitch, pitch, func() []F {
				row := append(narrowed[F](numbers(c, c.N, v.emission)), slices.Repeat([]F{fp.NaN[F]()}, pitch-c.N)...)
				if c.R.IntN(4) == 0 {
					row[c.R.IntN(c.N)] = F(math.Copysign(0, -1))
				}
				return row
			})
			want := numbers(c, max(0, rows-1)*width+min(rows, 1)*len(index), near)
			y, p1, index1 := kerneltest.Placed(c, want), kerneltest.Constant(c, p), kerneltest.Constant(c, index)
			wantLeasts := numbers(c, rows, near)
			leasts := kerneltest.Placed(c, wantLeasts)
			wantPoison := emitGeneric(view.Of(want, width, width), view.Of(p, pitch, pitch), index, wantLeasts)
			var poison F
			c.Call(func() { poison = emit(view.Of(y, width, width), view.Of(p1, pitch, pitch), index1, leasts) })
			kerneltest.Same(c, "y", want, y)
			kerneltest.Same(c, "leasts", wantLeasts, leasts)
			kerneltest.SameOne(c, "poison", wantPoison, poison)
		}
	})
}

func testNearest[F Float](t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(0, 4*fp.Lanes[F]()+1), 1000), func(c *kerneltest.Trial[F], _ values) {
		x := make([]F, c.N)
		for i := range x {
			x[i] = F([...]float64{c.R.NormFloat64(), -100 * c.R.Float64(), -1e4, math.Inf(-1), -0x1p101, 0}[c.R.IntN(6)])
		}
		bound := F([...]float64{-86, 0, 1, -1e4, -0x1p100, -0x1p102}[c.R.IntN(6)])
		c.Notes = []any{"bound", bound}
		wantBelow, wantAbove := nearestGeneric(x, bound)
		var below, above F
		x1 := kerneltest.Constant(c, x)
		c.Call(func() { below, above = nearest(x1, bound) })
		kerneltest.SameOne(c, "below", wantBelow, below)
		kerneltest.SameOne(c, "above", wantAbove, above)
	})
}

// narrowed returns x rounded.
func narrowed[F Float](x []float64) []F {
	y := make([]F, len(x))
	for i, v := range x {
		y[i] = F(v)
	}
	return y
}

func testAddOccupancies(t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(1, 33), 1000), func(c *kerneltest.Trial[float64], v values) {
		whole := (c.N + 7) &^ 7
		for _, rows := range kerneltest.Some(c, []int{0, 1, 2, 7, 8, 9 + c.R.IntN(10)}) {
			labels := 8 * c.R.IntN(9)
			offsets := slices.Repeat([]int32{int32(8 * frameBlock * whole)}, labels)
			few := 1 + c.R.IntN(c.N) // which occur often
			for i := range labels - c.R.IntN(min(labels, 7)+1) {
				offsets[i] = int32(8 * frameBlock * [...]int{c.N - 1, c.R.IntN(few), c.R.IntN(c.N)}[c.R.IntN(3)])
			}
			stride, width := sumStride(whole), labels+[...]int{0, 3, 16}[c.R.IntN(3)]
			c.Notes = []any{"rows", rows, "labels", labels, "offsets", offsets, "width", width}
			blocks := (rows + frameBlock - 1) / frameBlock
			occupancy := inRows(frameBlock*blocks, labels, width, func() []float64 { return numbers(c, labels, v.emission) })
			want := numbers(c, blocks*stride, near)
			sums, occupancy1, offsets1 := kerneltest.Placed(c, want), kerneltest.Constant(c, occupancy), kerneltest.Constant(c, offsets)
			addOccupanciesGeneric(view.Of(want, 0, stride), view.Of(occupancy, labels, width), offsets, rows)
			c.Call(func() {
				addOccupancies(view.Of(sums, 0, stride), view.Of(occupancy1, labels, width), offsets1, rows)
			})
			for i := range want { // what counts nowhere, and the rows behind the last
				if i%stride/frameBlock >= whole || i/stride*frameBlock+i%frameBlock >= rows {
					want[i], sums[i] = 0, 0
				}
			}
			kerneltest.Same(c, "sums", want, sums)
		}
	})
}

func testRowsOfSums[F Float](t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(1, 4*fp.Lanes[F]()+1), 1000), func(c *kerneltest.Trial[F], v values) {
		whole := (c.N + 7) &^ 7
		sumsStride := sumStride(whole)
		for _, rows := range kerneltest.Some(c, []int{0, 1, 2, 7, 8, 9 + c.R.IntN(10)}) {
			pitch := whole + someGap(c)
			c.Notes = []any{"rows", rows, "pitch", pitch}
			blocks := (rows + frameBlock - 1) / frameBlock
			sums := numbers(c, blocks*sumsStride, v.emission)
			want := narrowed[F](inRows(frameBlock*blocks, whole, pitch, func() []float64 { return numbers(c, whole, near) }))
			dst, sums1 := kerneltest.Placed(c, want), kerneltest.Constant(c, sums)
			rowsOfSumsGeneric(view.Of(want, whole, pitch), view.Of(sums, 0, sumsStride), rows)
			c.Call(func() { rowsOfSums(view.Of(dst, whole, pitch), view.Of(sums1, 0, sumsStride), rows) })
			for r := rows; r < frameBlock*blocks; r++ { // of no use
				copy(dst[r*pitch:][:whole], want[r*pitch:])
			}
			kerneltest.Same(c, "dst", want, dst)
		}
	})
}

func testWriteGradients[F Float](t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(1, 4*fp.Lanes[F]()+1), 1000), func(c *kerneltest.Trial[F], v values) {
		whole := fp.WholeVectors[F](c.N)
		for _, rows := range kerneltest.Some(c, []int{0, 1, 2, 3 + c.R.IntN(7)}) {
			stride, pitch, sumsPitch := c.N+someGap(c), whole+someGap(c), whole+someGap(c)
			scale := F(near(c.R))
			c.Notes = []any{"rows", rows, "stride", stride, "pitch", pitch, "sumsPitch", sumsPitch}
			p, sums := termsAndNaN(c, v, rows, c.N, pitch), termsAndNaN(c, v, rows, c.N, sumsPitch)
			softmax := narrowed[F](numbers(c, rows, near))
			want := narrowed[F](numbers(c, max(0, rows-1)*stride+min(rows, 1)*c.N, near))
			dst := kerneltest.Placed(c, want)
			p1, softmax1, sums1 := kerneltest.Constant(c, p), kerneltest.Constant(c, softmax), kerneltest.Constant(c, sums)
			writeGradientsGeneric(view.Of(want, c.N, stride), view.Of(p, pitch, pitch), softmax, scale, view.Of(sums, whole, sumsPitch))
			c.Call(func() {
				writeGradients(view.Of(dst, c.N, stride), view.Of(p1, pitch, pitch), softmax1, scale, view.Of(sums1, whole, sumsPitch))
			})
			kerneltest.Same(c, "dst", want, dst)
		}
	})
}

// termsAndNaN returns rows of so many numbers, filled up with NaN to whole vectors, a pitch apart.
func termsAndNaN[F Float](c *kerneltest.Trial[F], v values, rows, columns, pitch int) []F {
	whole := fp.WholeVectors[F](columns)
	return inRows(rows, whole, pitch, func() []F {
		return append(narrowed[F](numbers(c, columns, v.emission)), slices.Repeat([]F{fp.NaN[F]()}, whole-columns)...)
	})
}

func testWriteFewGradients[F Float](t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(1, 4*fp.Lanes[F]()+1), 1000), func(c *kerneltest.Trial[F], v values) {
		for _, rows := range kerneltest.Some(c, []int{0, 1, 2, 3 + c.R.IntN(7)}) {
			scale, classes := F(near(c.R)), make([]int32, 1+c.R.IntN(min(c.N, 40)))
			for i, class := range c.R.Perm(c.N)[:len(classes)] {
				classes[i] = int32(class)
			}
			few := fp.WholeVectors[F](len(classes))
			stride, pitch, sumsPitch := c.N+someGap(c), fp.WholeVectors[F](c.N)+someGap(c), few+someGap(c)
			c.Notes = []any{"rows", rows, "stride", stride, "pitch", pitch, "sumsPitch", sumsPitch, "classes", classes}
			p, sums := termsAndNaN(c, v, rows, c.N, pitch), termsAndNaN(c, v, rows, len(classes), sumsPitch)
			softmax := narrowed[F](numbers(c, rows, near))
			want := narrowed[F](numbers(c, max(0, rows-1)*stride+min(rows, 1)*c.N, near))
			dst := kerneltest.Placed(c, want)
			p1, softmax1, sums1, classes1 := kerneltest.Constant(c, p), kerneltest.Constant(c, softmax), kerneltest.Constant(c, sums), kerneltest.Constant(c, classes)
			writeFewGradientsGeneric(view.Of(want, c.N, stride), view.Of(p, pitch, pitch), softmax, scale, view.Of(sums, few, sumsPitch), classes)
			c.Call(func() {
				writeFewGradients(view.Of(dst, c.N, stride), view.Of(p1, pitch, pitch), softmax1, scale, view.Of(sums1, few, sumsPitch), classes1)
			})
			kerneltest.Same(c, "dst", want, dst)
		}
	})
}
