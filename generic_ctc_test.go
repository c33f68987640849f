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

// part is what one call does of a trellis.
type part struct {
	width, labels int
	positions     view.Span
	frames        int
}

func (p part) String() string {
	return fmt.Sprintf("positions %v of %d, labels: %d, frames: %d", p.positions, p.width, p.labels, p.frames)
}

// emissions returns y, of which only the useful is not NaN.
func (p part) emissions(c *kerneltest.Trial[float64], v values) []float64 {
	y := numbers(c, (p.frames-1)*p.width+max(p.positions.To, p.labels+1), v.emission)
	return onlyIn(y, p.width, p.positions, view.Span{From: p.labels, To: p.labels + 1})
}

// rows returns emissions as the kernels take them.
func (p part) rows(y []float64) view.Rows[float64] { return view.Of(y, p.labels+1, p.width) }

// scaled returns the part of a row that has so many numbers for each position.
func (p part) scaled(numbers int) view.Span {
	return view.Span{From: numbers * p.positions.From, To: numbers * p.positions.To}
}

// withLabelBefore returns the part of a row of states, with the label in front of the first
// position.
func (p part) withLabelBefore() view.Span {
	return view.Span{From: 2*p.positions.From - 1, To: 2 * p.positions.To}
}

// parts returns all positions for c.N labels, and parts of them.
func parts(c *kerneltest.Trial[float64]) []part {
	inUse := (c.N + 8) &^ 7
	width := (inUse+15)&^15 + 16*c.R.IntN(2)
	frames := func() int { return 1 + c.R.IntN(9) }
	all := []part{{width, c.N, view.Span{From: 0, To: inUse}, frames()}}
	if inUse > 8 {
		cut := 8 * (1 + c.R.IntN(inUse/8-1))
		from := 8 * c.R.IntN(inUse/8)
		to := from + 8*(1+c.R.IntN((inUse-from)/8))
		all = append(all,
			part{width, c.N, view.Span{From: 0, To: cut}, frames()}, part{width, c.N, view.Span{From: cut, To: inUse}, frames()},
			part{width, c.R.IntN(to), view.Span{From: from, To: to}, frames()}, part{width, c.N, view.Span{From: from, To: to}, 1})
	}
	return all
}

func testNormalizeRow(t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(0, 10), 2*callWidth/16), func(c *kerneltest.Trial[float64], v values) {
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
			n := p.positions.To
			exponents := onlyIn(someExponents(c, 2*n, someBase(c)), 2*n, p.withLabelBefore())
			skipExponents := onlyIn(someSkips(c, n), n, p.positions)
			want := numbers(c, 3*n, near)
			factors, exponents1, skipExponents1 := kerneltest.Placed(c, want), kerneltest.Constant(c, exponents), kerneltest.Constant(c, skipExponents)
			wantLargest := forwardFactorsGeneric(want, exponents, skipExponents, p.positions)
			var largest float64
			c.Call(func() { largest = forwardFactors(factors, exponents1, skipExponents1, p.positions) })
			kerneltest.Same(c, "factors", want, factors)
			kerneltest.SameOne(c, "largest", wantLargest, largest)
		}
	})
}

func testForward(t *testing.T) {
	eachTrellis(t, labelCounts, func(c *kerneltest.Trial[float64], v values) {
		for _, p := range kerneltest.Some(c, parts(c)) {
			c.Notes = []any{p}
			n := p.positions.To
			boundary, y := onlyIn(numbers(c, 2*n, v.state), 2*n, p.withLabelBefore()), p.emissions(c, v)
			factors := onlyIn(numbers(c, 3*n, v.factor), 3*n, p.scaled(3))
			want := numbers(c, (p.frames-1)*2*p.width+2*n, near)
			alpha, boundary1 := kerneltest.Placed(c, want), kerneltest.Constant(c, boundary)
			y1, factors1 := kerneltest.Constant(c, y), kerneltest.Constant(c, factors)
			forwardGeneric(want, boundary, p.rows(y), factors, p.positions, p.frames)
			c.Call(func() { forward(alpha, boundary1, p.rows(y1), factors1, p.positions, p.frames) })
			kerneltest.Same(c, "alpha", want, alpha)
		}
	})
}

func testRescale(t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(0, 10), 2*callWidth/16), func(c *kerneltest.Trial[float64], v values) {
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
			n := p.positions.To
			wantBeta, y := onlyIn(numbers(c, 2*n, v.state), 2*n, p.scaled(2)), p.emissions(c, v)
			alpha := onlyIn(numbers(c, (p.frames-1)*2*p.width+2*n, v.state), 2*p.width, p.scaled(2))
			factors := onlyIn(numbers(c, 3*n, v.factor), 3*n, p.scaled(3))
			wantCarry := onlyIn(numbers(c, 16, v.state), 16, view.Span{From: 0, To: 1}) // of the position behind only the first
			want, wantBlanks := numbers(c, (p.frames-1)*p.width+n, near), numbers(c, p.frames, near)
			occupancy, blanks := kerneltest.Placed(c, want), kerneltest.Placed(c, wantBlanks)
			beta, carry := kerneltest.Placed(c, wantBeta), kerneltest.Placed(c, wantCarry)
			alpha1, y1, factors1 := kerneltest.Constant(c, alpha), kerneltest.Constant(c, y), kerneltest.Constant(c, factors)
			backwardGeneric(want, wantBlanks, wantBeta, wantCarry, alpha, p.rows(y), factors, p.positions)
			c.Call(func() { backward(occupancy, blanks, beta, carry, alpha1, p.rows(y1), factors1, p.positions) })
			kerneltest.Same(c, "occupancy", want, occupancy)
			kerneltest.Same(c, "blanks", wantBlanks, blanks)
			kerneltest.Same(c, "beta", wantBeta, beta)
			kerneltest.Same(c, "carry", wantCarry, carry)
		}
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
			stride, pitch := c.N+someGap(c), whole+someGap(c)
			x := inRows(rows, c.N, stride, func() []F { return c.Scores(c.N) })
			want := make([]F, len(inRows(rows, whole, pitch, func() []F { return nil })))
			for i := range want {
				want[i] = F(near(c.R))
			}
			fours := (rows + 3) &^ 3
			wantTop, wantRef, wantSum := make([]F, rows), make([]F, rows), make([]float64, rows)
			p, y, scratch := kerneltest.Placed(c, want), kerneltest.Constant(c, x), kerneltest.Placed(c, slices.Repeat([]F{fp.NaN[F]()}, fours*rowScratch))
			top, ref, sum := kerneltest.Placed(c, make([]F, fours)), kerneltest.Placed(c, make([]F, fours)), kerneltest.Placed(c, make([]float64, fours))
			expFramesGeneric(view.Of(want, pitch, pitch), wantTop, wantRef, wantSum, nil, view.Of(x, c.N, stride), rows)
			c.Call(func() { expFrames(view.Of(p, pitch, pitch), top, ref, sum, scratch, view.Of(y, c.N, stride), rows) })
			for r := range rows {
				c.Notes = []any{"rows", rows, "stride", stride, "pitch", pitch, "row", r}
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

func isNaN[F Float](x F) bool { return x != x }

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
				return append(narrowed[F](numbers(c, c.N, v.emission)), slices.Repeat([]F{fp.NaN[F]()}, pitch-c.N)...)
			})
			want := numbers(c, max(0, rows-1)*width+min(rows, 1)*len(index), near)
			y, p1, index1 := kerneltest.Placed(c, want), kerneltest.Constant(c, p), kerneltest.Constant(c, index)
			wantLeast := emitGeneric(view.Of(want, width, width), view.Of(p, pitch, pitch), index, rows)
			var least F
			c.Call(func() { least = emit(view.Of(y, width, width), view.Of(p1, pitch, pitch), index1, rows) })
			kerneltest.Same(c, "y", want, y)
			kerneltest.SameOne(c, "least", wantLeast, least)
		}
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

func testAddOccupancies[F Float](t *testing.T) {
	eachTrellis(t, append(kerneltest.UpTo(1, 4*fp.Lanes[F]()+1), 1000), func(c *kerneltest.Trial[F], v values) {
		whole := fp.WholeVectors[F](c.N)
		for _, rows := range kerneltest.Some(c, []int{0, 1, 2, 3, 4, 5 + c.R.IntN(5)}) {
			labels := c.R.IntN(70)
			offsets := slices.Repeat([]int32{int32(sumOffset[F](whole))}, (labels+15)&^15)
			few := 1 + c.R.IntN(c.N) // which occur often
			for i := range labels {
				offsets[i] = int32(sumOffset[F]([...]int{c.N - 1, c.R.IntN(few), c.R.IntN(c.N)}[c.R.IntN(3)]))
			}
			stride, pitch, width := c.N+someGap(c), whole+someGap(c), len(offsets)+[...]int{0, 3, 16}[c.R.IntN(3)]
			scale := F(near(c.R))
			c.Notes = []any{"rows", rows, "labels", labels, "offsets", offsets, "stride", stride, "pitch", pitch, "width", width}

			fours := (rows + 3) &^ 3
			read := inRows(rows, len(offsets), width, func() []float64 {
				return append(numbers(c, labels, v.emission), slices.Repeat([]float64{math.NaN()}, len(offsets)-labels)...)
			})
			occupancy := slices.Repeat([]float64{math.NaN()}, max(0, fours-1)*width+min(fours, 1)*len(offsets))
			copy(occupancy, read)
			p := inRows(rows, whole, pitch, func() []F {
				return append(narrowed[F](numbers(c, c.N, v.emission)), slices.Repeat([]F{fp.NaN[F]()}, whole-c.N)...)
			})
			softmax := narrowed[F](numbers(c, rows, near))
			want := narrowed[F](numbers(c, max(0, rows-1)*stride+min(rows, 1)*c.N, near))
			scratch := slices.Repeat([]F{fp.NaN[F]()}, occupancyScratch[F](c.N, rows))

			dst, scratch1 := kerneltest.Placed(c, want), kerneltest.Placed(c, scratch)
			p1, softmax1, occupancy1, offsets1 := kerneltest.Constant(c, p), kerneltest.Constant(c, softmax), kerneltest.Constant(c, occupancy), kerneltest.Constant(c, offsets)
			addOccupanciesGeneric(view.Of(want, c.N, stride), view.Of(p, pitch, pitch), softmax, scale, view.Of(occupancy, labels, width), offsets, scratch)
			c.Call(func() {
				addOccupancies(view.Of(dst, c.N, stride), view.Of(p1, pitch, pitch), softmax1, scale, view.Of(occupancy1, labels, width), offsets1, scratch1)
			})
			kerneltest.Same(c, "dst", want, dst)
		}
	})
}
