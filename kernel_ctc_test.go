package trellis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/tier"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/stretchr/testify/require"
)

// The kernels of CTC, as in kernel_test.go. What a kernel may read but must not use is
// NaN here, and so is what it may write without a meaning. All else stays as it is.

// latticeTests are the tests of the kernels that are float64 alone.
var latticeTests = map[string]func(t *testing.T){
	"normalizeRow":   testNormalizeRow,
	"forwardFactors": testForwardFactors,
	"forward":        testForward,
	"rescale":        testRescale,
	"backward":       testBackward,
}

// values is a way to make the numbers of a lattice.
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
		math.MaxFloat64, math.Inf(1), someNaN[float64](r)}[r.IntN(11)]
}

var latticeValues = []values{
	{"normal", near, near, near},
	{"range", power2(-runExponents, runExponents), oneOf(zero, power2(-250, 0), power2(-20, 0)), oneOf(zero, power2(-1022, runExponents), power2(-20, 20))},
	{"impossible", oneOf(zero, zero, zero, near), oneOf(zero, near), oneOf(zero, near)},
	{"zero", zero, near, near},
	{"mixed", anyNumber, anyNumber, anyNumber},
	{"rarely no number", oneOf(near, near, near, near, near, near, anyNumber), near, near},
}

// eachLattice is eachTrial with numbers of a lattice for inputs.
func eachLattice[F Float](t *testing.T, lengths []int, do func(c *trial[F], v values)) {
	var kinds []input[F]
	for _, v := range latticeValues {
		kinds = append(kinds, input[F]{name: v.name})
	}
	eachOf(t, lengths, kinds, func(c *trial[F]) {
		do(c, latticeValues[slices.IndexFunc(latticeValues, func(v values) bool { return v.name == c.input.name })])
	})
}

// upTo returns the numbers from one to another.
func upTo(from, to int) (all []int) {
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}

// labelCounts are the numbers of labels of trials.
var labelCounts = upTo(0, 4*16+2)

// some returns n numbers.
func (c *trial[F]) some(n int, of func(r *rand.Rand) float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = of(c.r)
	}
	return x
}

// exponents returns n exponents: many equal, some as far apart as matters to power.
func (c *trial[F]) exponents(n int, base float64) []float64 {
	edges := [...]float64{-1025, -1024, -1023, -1022, -1021, -512, -511, 998, 999, 1000, 1001, 1002, 1023, 1024}
	return c.some(n, func(r *rand.Rand) float64 {
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

// base returns what exponents are near to.
func (c *trial[F]) base() float64 {
	return [...]float64{0, 0, float64(c.r.IntN(2000) - 1000), 1 << 40, -1 << 40, 1<<27 + 12345}[c.r.IntN(6)]
}

// skips returns n values of skip.
func (c *trial[F]) skips(n int) []float64 {
	return c.some(n, func(r *rand.Rand) float64 { return [...]float64{0, -never}[r.IntN(2)] })
}

// onlyIn makes NaN of what is in no range of a row.
func onlyIn(x []float64, width int, ranges ...[2]int) []float64 {
	for i := range x {
		if !slices.ContainsFunc(ranges, func(r [2]int) bool { return r[0] <= i%width && i%width < r[1] }) {
			x[i] = math.NaN()
		}
	}
	return x
}

// part is what one call does of a lattice.
type part struct{ width, last, from, to, frames int }

func (p part) String() string {
	return fmt.Sprintf("positions %d to %d of %d, the last at %d, frames: %d", p.from, p.to, p.width, p.last, p.frames)
}

// emissions returns y, of which only the useful is not NaN.
func (c *trial[F]) emissions(p part, v values) []float64 {
	y := c.some((p.frames-1)*p.width+max(p.to, p.last+1), v.emission)
	return onlyIn(y, p.width, [2]int{p.from, p.to}, [2]int{p.last, p.last + 1})
}

// parts returns all positions for n labels, and parts of them.
func (c *trial[F]) parts() []part {
	span := (c.n + 8) &^ 7
	width := (span+15)&^15 + 16*c.r.IntN(2)
	frames := func() int { return 1 + c.r.IntN(9) }
	all := []part{{width, c.n, 0, span, frames()}}
	if span > 8 {
		cut := 8 * (1 + c.r.IntN(span/8-1))
		from := 8 * c.r.IntN(span/8)
		to := from + 8*(1+c.r.IntN((span-from)/8))
		all = append(all, part{width, c.n, 0, cut, frames()}, part{width, c.n, cut, span, frames()},
			part{width, c.r.IntN(to), from, to, frames()}, part{width, c.n, from, to, 1})
	}
	return all
}

func testNormalizeRow(t *testing.T) {
	eachLattice(t, append(upTo(0, 10), 2*callWidth/16), func(c *trial[float64], v values) {
		x, e := c.some(16*c.n, v.state), c.exponents(16*c.n, c.base())
		for i := range x {
			if v.name == "mixed" && c.r.IntN(2) == 0 {
				x[i] = fromBits[float64](c.r.Uint64())
			}
			if e[i] == 0 {
				e[i] = 0 // not −0, which no sum of exponents is
			}
		}
		want, wantE := make([]float64, len(x)), slices.Clone(e)
		wantZeros := normalizeRowGeneric(want, x, wantE)
		for _, inPlace := range []bool{false, true} {
			c.notes = []any{"in place", inPlace}
			dst, src := c.destination(x, inPlace)
			e1 := placed(c, e)
			var zeros float64
			c.call(func() { zeros = normalizeRow(dst, src, e1) })
			same(c, "dst", want, dst)
			same(c, "e", wantE, e1)
			sameOne(c, "zeros", wantZeros, zeros)
		}
	})
}

func testForwardFactors(t *testing.T) {
	eachLattice(t, labelCounts, func(c *trial[float64], v values) {
		for _, p := range c.parts() {
			c.notes = []any{p}
			e := onlyIn(c.exponents(2*p.to, c.base()), 2*p.to, [2]int{2*p.from - 1, 2 * p.to})
			skip, want := onlyIn(c.skips(p.to), p.to, [2]int{p.from, p.to}), c.some(3*p.to, near)
			factors, e1, skip1 := placed(c, want), constant(c, e), constant(c, skip)
			wantLargest := forwardFactorsGeneric(want, e, skip, view.Span{From: p.from, To: p.to})
			var largest float64
			c.call(func() { largest = forwardFactors(factors, e1, skip1, view.Span{From: p.from, To: p.to}) })
			same(c, "factors", want, factors)
			sameOne(c, "largest", wantLargest, largest)
		}
	})
}

func testForward(t *testing.T) {
	eachLattice(t, labelCounts, func(c *trial[float64], v values) {
		for _, p := range c.parts() {
			c.notes = []any{p}
			row := [2]int{2*p.from - 1, 2 * p.to} // with the label in front of the first position
			src, y := onlyIn(c.some(2*p.to, v.state), 2*p.to, row), c.emissions(p, v)
			factors := onlyIn(c.some(3*p.to, v.factor), 3*p.to, [2]int{3 * p.from, 3 * p.to})
			want := c.some((p.frames-1)*2*p.width+2*p.to, near)
			dst, src1, y1, factors1 := placed(c, want), constant(c, src), constant(c, y), constant(c, factors)
			forwardGeneric(want, src, view.Of(y, p.last+1, p.width), factors, view.Span{From: p.from, To: p.to}, p.frames)
			c.call(func() {
				forward(dst, src1, view.Of(y1, p.last+1, p.width), factors1, view.Span{From: p.from, To: p.to}, p.frames)
			})
			same(c, "dst", want, dst)
		}
	})
}

func testRescale(t *testing.T) {
	eachLattice(t, append(upTo(0, 10), 2*callWidth/16), func(c *trial[float64], v values) {
		n, base := 16*c.n, c.base()
		want, alpha, from, to := c.some(n, v.state), c.some(n, v.state), c.exponents(n, base), c.exponents(n, base)
		for i := range want {
			switch c.r.IntN(4) {
			case 0:
				want[i] = moved(leastOccupancy, c.r.IntN(5)-2)
			case 1:
				want[i] = 0
			}
		}
		beta, alpha1, from1, to1 := placed(c, want), constant(c, alpha), constant(c, from), constant(c, to)
		rescaleGeneric(want, alpha, from, to)
		c.call(func() { rescale(beta, alpha1, from1, to1) })
		same(c, "beta", want, beta)
	})
}

func testBackward(t *testing.T) {
	eachLattice(t, labelCounts, func(c *trial[float64], v values) {
		for _, p := range c.parts() {
			c.notes = []any{p}
			n, used := 2*p.to, [2]int{2 * p.from, 2 * p.to}
			wantBeta, y := onlyIn(c.some(n, v.state), n, used), c.emissions(p, v)
			alpha := onlyIn(c.some((p.frames-1)*2*p.width+n, v.state), 2*p.width, used)
			factors := onlyIn(c.some(3*p.to, v.factor), 3*p.to, [2]int{3 * p.from, 3 * p.to})
			wantCarry := onlyIn(c.some(16, v.state), 16, [2]int{0, 1}) // of the state above only the first
			want, wantBlanks := c.some((p.frames-1)*p.width+p.to, near), c.some(p.frames, near)
			occupancy, blanks, beta, carry := placed(c, want), placed(c, wantBlanks), placed(c, wantBeta), placed(c, wantCarry)
			alpha1, y1, factors1 := constant(c, alpha), constant(c, y), constant(c, factors)
			backwardGeneric(want, wantBlanks, wantBeta, wantCarry, alpha, view.Of(y, p.last+1, p.width), factors, view.Span{From: p.from, To: p.to})
			c.call(func() {
				backward(occupancy, blanks, beta, carry, alpha1, view.Of(y1, p.last+1, p.width), factors1, view.Span{From: p.from, To: p.to})
			})
			same(c, "occupancy", want, occupancy)
			same(c, "blanks", wantBlanks, blanks)
			same(c, "beta", wantBeta, beta)
			same(c, "carry", wantCarry, carry)
		}
	})
}

// frameInputs are rows of scores at the limits of expFrames.
func frameInputs[F Float]() []input[F] {
	top := func(salt int) F { return F(salt%(2*fp.MaxScore)-fp.MaxScore) / 1.1 }
	return []input[F]{
		{"far from 0", func(r *rand.Rand, _, _, salt int) F { return top(salt) + F(3*r.NormFloat64()) }},
		{"at the largest score", func(r *rand.Rand, i, n, salt int) F {
			return F(salt%2*2-1)*moved[F](fp.MaxScore, r.IntN(7)-3) - F(r.IntN(2))*F(r.ExpFloat64())
		}},
		{"at the reach", func(r *rand.Rand, i, n, salt int) F {
			if i == salt%n {
				return top(salt)
			}
			return moved(top(salt)-fp.ExpReach[F](), r.IntN(9)-4)
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

// gap returns by how much rows are further apart than they are long.
func (c *trial[F]) gap() int {
	return [...]int{0, 1, 3, fp.Lanes[F](), 2*fp.Lanes[F]() + 5}[c.r.IntN(5)]
}

func testExpFrames[F Float](t *testing.T) {
	lengths := append(upTo(1, 4*fp.Lanes[F]()+1), 1000, block-1, block)
	eachOf(t, lengths, append(inputs[F](), frameInputs[F]()...), func(c *trial[F]) {
		whole := rounded[F](c.n)
		for _, rows := range []int{0, 1, 2, 3, 4, 5 + c.r.IntN(5)} {
			if rows > 1 && rows*c.n > block {
				continue
			}
			stride, pitch := c.n+c.gap(), whole+c.gap()
			x := inRows(rows, c.n, stride, func() []F { return c.scores(c.n) })
			want := make([]F, len(inRows(rows, whole, pitch, func() []F { return nil })))
			for i := range want {
				want[i] = F(near(c.r))
			}
			fours := (rows + 3) &^ 3
			wantTop, wantRef, wantSum := make([]F, rows), make([]F, rows), make([]float64, rows)
			p, y, scratch := placed(c, want), constant(c, x), placed(c, slices.Repeat([]F{fp.NaN[F]()}, fours*rowScratch))
			top, ref, sum := placed(c, make([]F, fours)), placed(c, make([]F, fours)), placed(c, make([]float64, fours))
			expFramesGeneric(view.Of(want, pitch, pitch), wantTop, wantRef, wantSum, nil, view.Of(x, c.n, stride), rows)
			c.call(func() { expFrames(view.Of(p, pitch, pitch), top, ref, sum, scratch, view.Of(y, c.n, stride), rows) })
			for r := range rows {
				c.notes = []any{"rows", rows, "stride", stride, "pitch", pitch, "row", r}
				lost := tier.Active == tier.NEON && slices.ContainsFunc(x[r*stride:][:c.n], isSignalling[F]) // see sameTop
				if !lost {
					sameOne(c, "top", wantTop[r], top[r])
					sameOne(c, "ref", wantRef[r], ref[r])
				}
				switch row := p[r*pitch:][:whole]; {
				case wantTop[r] < -fp.MaxScore || wantTop[r] > fp.MaxScore:
					copy(row, want[r*pitch:]) // of no use
				case lost:
					require.True(t, isNaN(sum[r]) && slices.ContainsFunc(row, isNaN[F]), "%v", c)
					copy(row, want[r*pitch:])
				default:
					sameOne(c, "sum", wantSum[r], sum[r])
				}
			}
			c.notes = []any{"rows", rows, "stride", stride, "pitch", pitch}
			same(c, "p", want, p)
		}
	})
}

func isNaN[F Float](x F) bool { return x != x }

func testEmit[F Float](t *testing.T) {
	lanes := fp.Lanes[F]()
	eachLattice(t, append(upTo(1, 4*lanes+1), 6*lanes, 7*lanes-1, 8*lanes, 8*lanes+1, 1000), func(c *trial[F], v values) {
		for _, rows := range []int{0, 1, 2 + c.r.IntN(8)} {
			index := make([]int32, 16*c.r.IntN(6))
			for i := range index {
				index[i] = int32([...]int{0, c.n - 1, c.r.IntN(c.n)}[c.r.IntN(3)])
			}
			width, pitch := len(index)+[...]int{0, 3, 16}[c.r.IntN(3)], rounded[F](c.n)+[...]int{0, 0, lanes, 3}[c.r.IntN(4)]
			c.notes = []any{"rows", rows, "index", index, "width", width, "pitch", pitch}
			p := inRows(rows, pitch, pitch, func() []F {
				return append(narrowed[F](c.some(c.n, v.emission)), slices.Repeat([]F{fp.NaN[F]()}, pitch-c.n)...)
			})
			want := c.some(max(0, rows-1)*width+min(rows, 1)*len(index), near)
			y, p1, index1 := placed(c, want), constant(c, p), constant(c, index)
			wantLeast := emitGeneric(view.Of(want, width, width), view.Of(p, pitch, pitch), index, rows)
			var least F
			c.call(func() { least = emit(view.Of(y, width, width), view.Of(p1, pitch, pitch), index1, rows) })
			same(c, "y", want, y)
			sameOne(c, "least", wantLeast, least)
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
	eachLattice(t, append(upTo(1, 4*fp.Lanes[F]()+1), 1000), func(c *trial[F], v values) {
		whole := rounded[F](c.n)
		for _, rows := range []int{0, 1, 2, 3, 4, 5 + c.r.IntN(5)} {
			labels := c.r.IntN(70)
			place := slices.Repeat([]int32{int32(sumOffset[F](whole))}, (labels+15)&^15)
			few := 1 + c.r.IntN(c.n) // which occur often
			for i := range labels {
				place[i] = int32(sumOffset[F]([...]int{c.n - 1, c.r.IntN(few), c.r.IntN(c.n)}[c.r.IntN(3)]))
			}
			stride, pitch, width := c.n+c.gap(), whole+c.gap(), len(place)+[...]int{0, 3, 16}[c.r.IntN(3)]
			scale := F(near(c.r))
			c.notes = []any{"rows", rows, "labels", labels, "place", place, "stride", stride, "pitch", pitch, "width", width}

			fours := (rows + 3) &^ 3
			read := inRows(rows, len(place), width, func() []float64 {
				return append(c.some(labels, v.emission), slices.Repeat([]float64{math.NaN()}, len(place)-labels)...)
			})
			occupancy := slices.Repeat([]float64{math.NaN()}, max(0, fours-1)*width+min(fours, 1)*len(place))
			copy(occupancy, read)
			p := inRows(rows, whole, pitch, func() []F {
				return append(narrowed[F](c.some(c.n, v.emission)), slices.Repeat([]F{fp.NaN[F]()}, whole-c.n)...)
			})
			softmax := narrowed[F](c.some(rows, near))
			want := narrowed[F](c.some(max(0, rows-1)*stride+min(rows, 1)*c.n, near))
			scratch := slices.Repeat([]F{fp.NaN[F]()}, occupancyScratch[F](c.n, rows))

			dst, scratch1 := placed(c, want), placed(c, scratch)
			p1, softmax1, occupancy1, place1 := constant(c, p), constant(c, softmax), constant(c, occupancy), constant(c, place)
			addOccupanciesGeneric(view.Of(want, c.n, stride), view.Of(p, pitch, pitch), softmax, scale, view.Of(occupancy, labels, width), place, scratch)
			c.call(func() {
				addOccupancies(view.Of(dst, c.n, stride), view.Of(p1, pitch, pitch), softmax1, scale, view.Of(occupancy1, labels, width), place1, scratch1)
			})
			same(c, "dst", want, dst)
		}
	})
}
