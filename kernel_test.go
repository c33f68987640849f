package trellis

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/guard"
	"github.com/gotrellis/trellis/internal/tier"
	"github.com/gotrellis/trellis/internal/view"
)

// The kernels of every tier against their specification in generic.go, bit for bit,
// with arguments that lie between guard pages. A NaN is as good as any other.

// bitsOf returns the bits of x, those of one NaN for all.
func bitsOf[F Float](x F) uint64 {
	switch {
	case x != x:
		return 1<<63 - 1
	case fp.IsFloat32[F]():
		return uint64(math.Float32bits(float32(x)))
	}
	return math.Float64bits(float64(x))
}

// fromBits returns the number that has these bits, the lower half for float32. It is
// made in memory: a conversion would change a signalling NaN.
func fromBits[F Float](b uint64) (x F) {
	if fp.IsFloat32[F]() {
		*(*uint32)(unsafe.Pointer(&x)) = uint32(b)
	} else {
		*(*uint64)(unsafe.Pointer(&x)) = b
	}
	return x
}

func inf[F Float]() F { return F(math.Inf(1)) }

// minusZero is −0, which a constant is not.
func minusZero[F Float]() F { return F(math.Copysign(0, -1)) }

// limits returns the largest number, the least normal one, and the arguments between
// which exp is a normal number.
func limits[F Float]() (largest, normal, expMin, expMax F) {
	expMin, expMax = fp.ExpRange[F]()
	if fp.IsFloat32[F]() {
		return F(math.Float32frombits(0x7f7fffff)), F(math.Float32frombits(1 << 23)), expMin, expMax
	}
	return F(math.Float64frombits(1<<63 - 1 - 1<<52)), F(math.Float64frombits(1 << 52)), expMin, expMax
}

// moved returns the number so many ref.ULPs above x.
func moved[F Float](x F, ulps int) F {
	if fp.IsFloat32[F]() {
		return fromBits[F](uint64(int(math.Float32bits(float32(x))) + ulps))
	}
	return fromBits[F](math.Float64bits(float64(x)) + uint64(ulps))
}

// someNaN returns a quiet NaN of any sign and payload.
func someNaN[F Float](r *rand.Rand) F {
	payloads := [...]uint64{0, 1, 0x12345, 1 << 21, 1<<22 - 1}
	b := payloads[r.IntN(len(payloads))]
	if fp.IsFloat32[F]() {
		return fromBits[F](b | 0x1ff<<22 | r.Uint64N(2)<<31)
	}
	if r.IntN(2) == 0 {
		b <<= 29
	}
	return fromBits[F](b | 0xfff<<51 | r.Uint64N(2)<<63)
}

// signallingNaN returns a NaN that is not quiet.
func signallingNaN[F Float](r *rand.Rand) F {
	if fp.IsFloat32[F]() {
		return fromBits[F](1 + r.Uint64N(1<<22-1) | 0xff<<23 | r.Uint64N(2)<<31)
	}
	return fromBits[F](1 + r.Uint64N(1<<51-1) | 0x7ff<<52 | r.Uint64N(2)<<63)
}

// isSignalling reports whether x is a NaN that is not quiet.
func isSignalling[F Float](x F) bool {
	if fp.IsFloat32[F]() {
		return x != x && *(*uint32)(unsafe.Pointer(&x))>>22&1 == 0
	}
	return x != x && *(*uint64)(unsafe.Pointer(&x))>>51&1 == 0
}

// input is a way to make scores.
type input[F Float] struct {
	name string
	// element returns element i of n; salt is one number for all of them.
	element func(r *rand.Rand, i, n, salt int) F
}

// finite, special and random inputs.
func inputs[F Float]() []input[F] {
	largest, normal, expMin, expMax := limits[F]()
	gauss := func(r *rand.Rand, spread F) F { return F(r.NormFloat64()) * spread }
	pick := func(r *rand.Rand, from ...F) F { return from[r.IntN(len(from))] }
	all := []input[F]{
		{"normal", func(r *rand.Rand, _, _, _ int) F { return gauss(r, 3) }},
		{"wide", func(r *rand.Rand, _, _, _ int) F { return gauss(r, expMax/3) }},
		{"huge", func(r *rand.Rand, _, _, _ int) F { return F(2*r.Float64()-1) * largest }},
		{"tiny", func(r *rand.Rand, _, _, _ int) F { return F(4*r.Float64()-2) * normal }},
		{"some −Inf", func(r *rand.Rand, _, _, _ int) F { return pick(r, gauss(r, 3), fp.NegInf[F]()) }},
		{"few above −Inf", func(r *rand.Rand, i, n, salt int) F {
			if i%max(n/2, 1) == salt%max(n/2, 1) {
				return gauss(r, 3)
			}
			return fp.NegInf[F]()
		}},
		{"all −Inf", func(*rand.Rand, int, int, int) F { return fp.NegInf[F]() }},
		{"some +Inf", func(r *rand.Rand, _, _, _ int) F { return pick(r, gauss(r, 3), gauss(r, 3), inf[F](), fp.NegInf[F]()) }},
		{"all +Inf", func(*rand.Rand, int, int, int) F { return inf[F]() }},
		{"one NaN", func(r *rand.Rand, i, n, salt int) F {
			if i == salt%n {
				return someNaN[F](r)
			}
			return gauss(r, 3)
		}},
		{"some NaN", func(r *rand.Rand, _, _, _ int) F { return pick(r, gauss(r, 3), someNaN[F](r)) }},
		{"all NaN", func(r *rand.Rand, _, _, _ int) F { return someNaN[F](r) }},
		{"NaN and Inf", func(r *rand.Rand, _, _, _ int) F { return pick(r, inf[F](), fp.NegInf[F](), someNaN[F](r)) }},
		{"equal maxima", func(r *rand.Rand, _, _, _ int) F { return F(r.IntN(3)) }},
		{"all equal", func(_ *rand.Rand, _, _, salt int) F { return F(salt%7) - 3 }},
		{"zeros", func(r *rand.Rand, _, _, _ int) F { return pick(r, 0, minusZero[F]()) }},
		{"zeros above", func(r *rand.Rand, _, _, _ int) F {
			return pick(r, minusZero[F](), minusZero[F](), 0, -F(r.ExpFloat64()))
		}},
		{"all −0", func(*rand.Rand, int, int, int) F { return minusZero[F]() }},
		{"ascending", func(_ *rand.Rand, i, n, _ int) F { return F(i) * 40 / F(n) }},
		{"descending", func(_ *rand.Rand, i, n, _ int) F { return -F(i) * 40 / F(n) }},
		{"least exp", func(r *rand.Rand, i, n, salt int) F {
			if i == salt%n {
				return 0
			}
			return moved(expMin, r.IntN(7)-3)
		}},
		{"largest exp", func(r *rand.Rand, _, _, _ int) F { return moved(expMax, r.IntN(7)-3) }},
		{"any bits", func(r *rand.Rand, _, _, _ int) F {
			x := fromBits[F](r.Uint64())
			if isSignalling(x) {
				return someNaN[F](r)
			}
			return x
		}},
	}
	simple := slices.Clone(all)
	all = append(all, input[F]{"some signalling NaN", func(r *rand.Rand, _, _, _ int) F {
		return pick(r, gauss(r, 3), gauss(r, 3), signallingNaN[F](r))
	}})
	return append(all, input[F]{"mixed", func(r *rand.Rand, i, n, salt int) F {
		return simple[r.IntN(len(simple))].element(r, i, n, salt)
	}})
}

// make returns n elements.
func (in input[F]) make(r *rand.Rand, n int) []F {
	x := make([]F, n)
	for i, salt := 0, r.IntN(1<<20); i < n; i++ {
		x[i] = in.element(r, i, n, salt)
	}
	return x
}

// Places for the arguments of a call: at the guard pages, or so many elements behind
// a multiple of 64 bytes.
const (
	atStart = -2
	atEnd   = -1
)

// pageSizes are those of the memory for an argument, which lies in the smallest that
// will do: what is small is soon filled with canaries.
var pageSizes = []int{4 << 10, 160 << 10, 480 << 10}

// trial is one call of a kernel.
type trial[F Float] struct {
	t     *testing.T
	r     *rand.Rand
	n     int // length
	input input[F]
	place int
	pages [8][]*guard.Pages // for each argument, by size
	used  int               // number of arguments so far
	after []func() error    // what is checked after the call
	notes []any             // further parameters, for messages
}

func newTrial[F Float](t *testing.T) *trial[F] {
	c := &trial[F]{t: t, r: rand.New(rand.NewPCG(1, 2))}
	for i := range c.pages {
		for _, size := range pageSizes {
			p, err := guard.New(size)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, p.Free()) })
			c.pages[i] = append(c.pages[i], p)
		}
	}
	return c
}

func (c *trial[F]) String() string {
	place := map[int]string{atStart: "behind a guard page", atEnd: "before a guard page"}[c.place]
	if place == "" {
		place = fmt.Sprintf("%d elements behind 64 bytes", c.place)
	}
	return fmt.Sprintf("n = %d, %s, %s, %v", c.n, c.input.name, place, c.notes)
}

// scores returns n elements of the kind that the trial is about.
func (c *trial[F]) scores(n int) []F { return c.input.make(c.r, n) }

// placed returns a copy of x in pages of its own. Each argument has another alignment.
func placed[F Float, T any](c *trial[F], x []T) []T {
	fits := slices.IndexFunc(pageSizes, func(size int) bool { return len(bytesOf(x))+256 <= size })
	p := c.pages[c.used][fits]
	var y []T
	switch c.place {
	case atStart:
		y = guard.First[T](p, len(x))
	case atEnd:
		y = guard.Last[T](p, len(x))
	default:
		y = guard.Inside[T](p, len(x), (c.place+5*c.used)%fp.Lanes[F]())
	}
	copy(y, x)
	name := fmt.Sprintf("the argument %d", c.used)
	c.used++
	c.after = append(c.after, func() error {
		if !guard.Intact(p, y) {
			return fmt.Errorf("something beside %s was written", name)
		}
		return nil
	})
	return y
}

// constant is placed for arguments that the kernel must not change.
func constant[F Float, T any](c *trial[F], x []T) []T {
	y := placed(c, x)
	c.after = append(c.after, func() error {
		if !slices.Equal(bytesOf(x), bytesOf(y)) {
			return fmt.Errorf("an input was written")
		}
		return nil
	})
	return y
}

func bytesOf[T any](x []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(*new(T))))
}

// call calls the kernel, and fails if it touches what it was not given. The next
// call has the pages to itself.
func (c *trial[F]) call(kernel func()) {
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		if r := recover(); r != nil {
			require.Fail(c.t, "the kernel panics", "%v: %v", c, r)
		}
	}(debug.SetPanicOnFault(true))
	kernel()
	for _, check := range c.after {
		if err := check(); err != nil {
			require.Fail(c.t, err.Error(), "%v", c)
		}
	}
	c.after, c.used = c.after[:0], 0
}

// same requires the same bits.
func same[F, G Float](c *trial[F], what string, want, got []G) {
	for i := range want {
		if bitsOf(want[i]) != bitsOf(got[i]) {
			require.Fail(c.t, "other bits", "%v: %s[%d] = %v (%x), want %v (%x)",
				c, what, i, got[i], bitsOf(got[i]), want[i], bitsOf(want[i]))
		}
	}
}

func sameOne[F, G Float](c *trial[F], what string, want, got G) {
	same(c, what, []G{want}, []G{got})
}

// isPlain reports whether the trial has one of the inputs for which everything else
// is varied: with all of them it would take too long.
func (c *trial[F]) isPlain() bool {
	return (c.input.name == "normal" || c.input.name == "mixed") && !isBrief()
}

// isBrief reports whether a few trials are enough.
func isBrief() bool { return testing.Short() || tier.Active == tier.Generic }

// places are those to try the length and the input of the trial in.
func (c *trial[F]) places() (all []int) {
	all = []int{atStart, atEnd, c.r.IntN(fp.Lanes[F]())}
	switch {
	case isBrief():
		i := c.r.IntN(len(all))
		return all[i : i+1]
	case c.isPlain():
		for offset := range fp.Lanes[F]() {
			all = append(all, offset)
		}
	}
	return all
}

// sameTop is sameOne for the largest element of x. FMAXNM of NEON takes a signalling
// NaN for the largest, after which it is forgotten: there it is of no use.
func sameTop[F Float](c *trial[F], x []F, want, got F) {
	if tier.Active != tier.NEON || !slices.ContainsFunc(x, isSignalling[F]) {
		sameOne(c, "top", want, got)
	}
}

// eachTrial does trials of a kernel for all lengths up to four vectors and the long
// ones, with all inputs, and for some of these in all places. Of the specification
// beside itself there are few.
func eachTrial[F Float](t *testing.T, long []int, do func(c *trial[F])) {
	eachOf(t, append(slices.Clone(long), upTo(0, 4*fp.Lanes[F]()+1)...), inputs[F](), do)
}

// eachOf is eachTrial for other lengths and inputs.
func eachOf[F Float](t *testing.T, lengths []int, kinds []input[F], do func(c *trial[F])) {
	c := newTrial[F](t)
	for i, n := range lengths {
		if tier.Active == tier.Generic && i%7 > 0 {
			continue
		}
		c.n = n
		for _, c.input = range kinds {
			for _, c.place = range c.places() {
				c.notes = c.notes[:0]
				do(c)
			}
		}
	}
}

// rounded returns n rounded up to whole vectors.
func rounded[F Float](n int) int { return (n + fp.Lanes[F]() - 1) / fp.Lanes[F]() * fp.Lanes[F]() }

func TestKernels(t *testing.T) {
	EachTier(t, func(t *testing.T) {
		t.Run("float32", testKernels[float32])
		t.Run("float64", testKernels[float64])
		t.Run("log1p", testLog1p)
		t.Run("maxIndex", testMaxIndex)
		for name, test := range latticeTests {
			t.Run(name, test)
		}
		if !t.Failed() {
			testedTiers = append(testedTiers, tier.Active.String())
		}
	})
}

func testKernels[F Float](t *testing.T) {
	for name, test := range kernelTests[F]() {
		t.Run(name, test)
	}
}

// kernelTests are the tests of the kernels that exist for both element types.
func kernelTests[F Float]() map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		"sumExpBlock":    testSumExpBlock[F],
		"expBlock":       testExpBlock[F],
		"sumExpBelow":    testSumExpBelow[F],
		"expBelow":       testExpBelow[F],
		"expCopy":        testExpCopy[F],
		"maxBlock":       testMaxBlock[F],
		"sumExpRows":     testSumExpRows[F],
		"softmaxRows":    testSoftmaxRows[F],
		"logSoftmaxRows": testLogSoftmaxRows[F],
		"dotLogSoftmax":  testDotLogSoftmax[F],
		"mulAdd":         testMulAdd[F],
		"multiply":       testMultiply[F],
		"subtract":       testSubtract[F],
		"scale":          testScale[F],
		"maxStrided":     testMaxStrided[F],
		"expStrided":     testExpStrided[F],
		"scaleStrided":   testScaleStrided[F],
		"addLogSoftmax":  testAddLogSoftmax[F],

		"scaleStridedStream": testScaleStridedStream[F],

		"subtractProducts": testSubtractProducts[F],
		"gather":           testGather[F],

		"expFrames":      testExpFrames[F],
		"emit":           testEmit[F],
		"addOccupancies": testAddOccupancies[F],
	}
}

// No kernel is without a test: the file for machines without assembly lists all.
func TestAllKernelsAreTested(t *testing.T) {
	tested := kernelTests[float32]()
	tested["log1p"], tested["maxIndex"] = testLog1p, testMaxIndex
	maps.Copy(tested, latticeTests)
	file, err := parser.ParseFile(token.NewFileSet(), "kernel_noasm.go", nil, 0)
	require.NoError(t, err)
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name != "assemblyTiers" {
			assert.Contains(t, tested, f.Name.Name)
			delete(tested, f.Name.Name)
		}
	}
	assert.Empty(t, tested, "tests of no kernel")
}

// The lengths at which a whole block is just not, and just, reached.
var blocks = []int{1000, block - 1, block}

// maxima are numbers to begin a search for the largest element of x with: above and
// below it, and x's own.
func (c *trial[F]) maxima(x []F) []F {
	top := maxBlockGeneric(x)
	all := []F{fp.NegInf[F](), top, top - 1, top + 1, 0, minusZero[F](), inf[F](), c.input.element(c.r, 0, 1, 0)}
	return slices.DeleteFunc(all, func(m F) bool { return m != m })
}

func testSumExpBlock[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x := c.scores(c.n)
		for _, m := range c.maxima(x) {
			c.notes = []any{"m", m}
			wantTop, wantSum := sumExpBlockGeneric(x, m)
			var top, sum F
			y := constant(c, x)
			c.call(func() { top, sum = sumExpBlock(y, m) })
			sameTop(c, x, wantTop, top)
			sameOne(c, "sum", wantSum, sum)
		}
	})
}

func testExpBlock[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x, want := c.scores(c.n), make([]F, c.n)
		for _, m := range c.maxima(x) {
			wantTop, wantSum := expBlockGeneric(want, x, m)
			for _, inPlace := range []bool{false, true} {
				c.notes = []any{"m", m, "in place", inPlace}
				dst, y := c.destination(x, inPlace)
				var top, sum F
				c.call(func() { top, sum = expBlock(dst, y, m) })
				sameTop(c, x, wantTop, top)
				sameOne(c, "sum", wantSum, sum)
				if wantSum == wantSum {
					same(c, "dst", want, dst)
				}
			}
		}
	})
}

// destination returns x, placed, and a destination of its length, which may be x.
func (c *trial[F]) destination(x []F, inPlace bool) (dst, y []F) {
	if inPlace {
		dst = placed(c, x)
		return dst, dst
	}
	return placed(c, make([]F, len(x))), constant(c, x)
}

// bounds are numbers that no element of x is above: the largest, if there is one, and
// some beyond.
func (c *trial[F]) bounds(x []F) []F {
	top := maxBlockGeneric(x)
	_, _, expMin, _ := limits[F]()
	return []F{top, max(moved(top, 1), top), top + 1, max(top, 0), top - expMin, inf[F]()}
}

func testSumExpBelow[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x := c.scores(c.n)
		top := maxBlockGeneric(x)
		for _, m := range append(c.bounds(x), top-1, min(moved(top, -1), top)) {
			c.notes = []any{"m", m}
			want, wantReached := sumExpBelowGeneric(x, m)
			var sum F
			var reached int
			y := constant(c, x)
			c.call(func() { sum, reached = sumExpBelow(y, m) })
			if !(top > m) { // or the sum is of no use
				sameOne(c, "sum", want, sum)
			}
			// A NaN may or may not count as one that reaches m.
			if want == want && (wantReached != 0) != (reached != 0) {
				require.Fail(t, "reached", "%v: %d, the largest is %v", c, reached, top)
			}
		}
	})
}

func testExpBelow[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x, want := c.scores(c.n), make([]F, c.n)
		for _, m := range c.bounds(x) {
			wantSum := expBelowGeneric(want, x, m)
			for _, inPlace := range []bool{false, true} {
				c.notes = []any{"m", m, "in place", inPlace}
				dst, y := c.destination(x, inPlace)
				var sum F
				c.call(func() { sum = expBelow(dst, y, m) })
				sameOne(c, "sum", wantSum, sum)
				if wantSum == wantSum {
					same(c, "dst", want, dst)
				}
			}
		}
	})
}

func testExpCopy[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x, want := c.scores(c.n), make([]F, c.n)
		lanes := fp.Lanes[F]()
		for _, m := range c.bounds(x) {
			vectors := c.r.IntN(c.n/lanes+1) * lanes
			c.notes = []any{"m", m, "out", vectors}
			in := c.factors(vectors + c.r.IntN(lanes))
			wantOut := make([]F, lanes+vectors)
			room := placed(c, wantOut)
			start := int(-uintptr(unsafe.Pointer(&room[0]))%64) / fp.Size[F]()
			wantSum, wantTies := expCopyGeneric(want, x, m, wantOut[start:][:vectors], in, 0)
			dst, y, from := placed(c, make([]F, c.n)), constant(c, x), constant(c, in)
			var sum, ties F
			ahead := []int{0, 64, 1 << 20, -1 << 20}[c.r.IntN(4)]
			c.call(func() { sum, ties = expCopy(dst, y, m, room[start:][:vectors], from, ahead) })
			sameOne(c, "sum and ties", wantSum+wantTies, sum+ties)
			same(c, "out", wantOut, room)
			if total := wantSum + wantTies; total == total {
				sameOne(c, "sum", wantSum, sum)
				sameOne(c, "ties", wantTies, ties)
				same(c, "dst", want, dst)
			}
		}
	})
}

func testMaxBlock[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x := c.scores(c.n)
		var top F
		y := constant(c, x)
		c.call(func() { top = maxBlock(y) })
		sameTop(c, x, maxBlockGeneric(x), top)
	})
}

func testSumExpRows[F Float](t *testing.T) {
	eachTrial(t, []int{shortRow - 1, shortRow}, func(c *trial[F]) {
		for _, rows := range []int{0, 1, 2, 3, 4 + c.r.IntN(5), min(block/max(c.n, 1), shortRows)} {
			if c.n == 0 || rows > 8 && c.place >= 0 { // a row has an element
				continue
			}
			c.notes = []any{"rows", rows}
			var x []F
			for range rows { // by rows, so that each has what the input is about
				x = append(x, c.scores(c.n)...)
			}
			fours := (rows + 3) / 4 * 4
			wantM, wantSum := make([]F, rows), make([]float64, rows)
			sumExpRowsGeneric(wantM, wantSum, nil, x, c.n, rows)
			m, sum, y := placed(c, make([]F, fours)), placed(c, make([]float64, fours)), constant(c, x)
			scratch := placed(c, make([]F, fours*rowScratch))
			c.call(func() { sumExpRows(m, sum, scratch, y, c.n, rows) })
			for r := range rows {
				c.notes = []any{"rows", rows, "row", r}
				sameTop(c, x[r*c.n:][:c.n], wantM[r], m[r])
				sameOne(c, "sum", wantSum[r], sum[r])
			}
		}
	})
}

// factors returns numbers that a row can be Shifted or scaled by.
func (c *trial[F]) factors(n int) []F {
	x := c.scores(n)
	for i := range x {
		switch c.r.IntN(6) {
		case 0:
			x[i] = 0
		case 1:
			x[i] = 1
		case 2, 3:
			x[i] = F(c.r.NormFloat64())
		}
	}
	return x
}

// testRows tests a kernel that writes rows, in place and not.
func testRows[F Float](t *testing.T, generic, kernel func(dst, x []F, n int, a, b []F)) {
	eachTrial(t, blocks, func(c *trial[F]) {
		for _, rows := range []int{0, 1, 3, block / max(c.n, 1)} {
			if rows > 3 && (c.place >= 0 || c.n%7 > 0) || rows*c.n > block {
				continue
			}
			x, a, b := c.scores(rows*c.n), c.factors(rows), c.factors(rows)
			if c.r.IntN(2) == 0 {
				clear(a)
			}
			want := make([]F, rows*c.n)
			generic(want, x, c.n, a, b)

			for _, inPlace := range []bool{false, true} {
				c.notes = []any{"rows", rows, "in place", inPlace}
				dst, y := c.destination(x, inPlace)
				a1, b1 := constant(c, a), constant(c, b)
				c.call(func() { kernel(dst, y, c.n, a1, b1) })
				same(c, "dst", want, dst)
			}
		}
	})
}

func testSoftmaxRows[F Float](t *testing.T) { testRows(t, softmaxRowsGeneric[F], softmaxRows[F]) }

func testLogSoftmaxRows[F Float](t *testing.T) {
	testRows(t, logSoftmaxRowsGeneric[F], logSoftmaxRows[F])
}

// targetsFor returns soft targets for scores.
func (c *trial[F]) targetsFor(x []F) []F {
	w := make([]F, len(x))
	for i := range w {
		w[i] = [...]F{0, minusZero[F](), 1, F(c.r.Float64()), F(c.r.NormFloat64())}[c.r.IntN(5)]
		if !fp.IsFinite(x[i]) && c.r.IntN(4) > 0 { // a term that is left out, mostly, or every sum is NaN
			w[i] = 0
		}
	}
	return w
}

func testDotLogSoftmax[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x := c.scores(c.n)
		w := c.targetsFor(x)
		hi, lo := c.factors(1)[0], F(c.r.NormFloat64())*0x1p-20
		c.notes = []any{"hi", hi, "lo", lo}
		wantDot, wantSum := dotLogSoftmaxGeneric(w, x, hi, lo)
		var dot, sum F
		w1, y := constant(c, w), constant(c, x)
		c.call(func() { dot, sum = dotLogSoftmax(w1, y, hi, lo) })
		sameOne(c, "dot", wantDot, dot)
		sameOne(c, "sum", wantSum, sum)
	})
}

func testMulAdd[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x, f := c.scores(c.n), c.factors(2)
		c.notes = []any{"factor", f[0], "summand", f[1]}
		want := make([]F, c.n)
		mulAddGeneric(want, x, f[0], f[1])
		dst, y := placed(c, make([]F, c.n)), constant(c, x)
		c.call(func() { mulAdd(dst, y, f[0], f[1]) })
		same(c, "dst", want, dst)
		mulAdd(y, y, f[0], f[1])
		same(c, "dst in place", want, y)
		copy(y, x)
	})
}

func testMultiply[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x, w := c.scores(c.n), c.factors(c.n)
		want := slices.Clone(x)
		multiplyGeneric(want, w)
		dst, w1 := placed(c, x), constant(c, w)
		c.call(func() { multiply(dst, w1) })
		same(c, "dst", want, dst)
	})
}

func testSubtract[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x, w, scale := c.scores(c.n), c.factors(c.n), c.factors(1)[0]
		c.notes = []any{"scale", scale}
		want := slices.Clone(x)
		subtractGeneric(want, w, scale)
		dst, w1 := placed(c, x), constant(c, w)
		c.call(func() { subtract(dst, w1, scale) })
		same(c, "dst", want, dst)
	})
}

func testScale[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x, factor := c.scores(c.n), c.factors(1)[0]
		c.notes = []any{"factor", factor}
		want := slices.Clone(x)
		scaleGeneric(want, factor)
		dst := placed(c, x)
		c.call(func() { scale(dst, factor) })
		same(c, "dst", want, dst)
	})
}

// strides are the strides, as what they exceed n by, and the class counts of trials.
func (c *trial[F]) strides() (all [][2]int) {
	for _, count := range []int{0, 1, 2, 5, stridedBlock} {
		for _, gap := range []int{0, 1, 2*fp.Lanes[F]() + 3} {
			if count < stridedBlock || c.place < 0 {
				all = append(all, [2]int{c.n + gap, count})
			}
		}
	}
	if !c.isPlain() {
		i := c.r.IntN(len(all))
		return all[i : i+1]
	}
	return all
}

// classScores returns scores for the classes of a strided axis, the last one without
// what lies between it and the next.
func (c *trial[F]) classScores(stride, count int) []F {
	if count == 0 {
		return nil
	}
	return c.scores((count-1)*stride + c.n)
}

// padding returns n elements and what makes whole vectors of them: anything.
func (c *trial[F]) padding(n int) []F {
	x := make([]F, rounded[F](n))
	for i := range x {
		x[i] = fromBits[F](c.r.Uint64())
	}
	return x
}

var stridedLengths = []int{itemPositions - 1, itemPositions}

func testMaxStrided[F Float](t *testing.T) {
	eachTrial(t, stridedLengths, func(c *trial[F]) {
		width := rounded[F](c.n)
		for _, s := range c.strides() {
			stride, count := s[0], s[1]
			c.notes = []any{"stride", stride, "count", count}
			m, x, dst := c.scores(width), c.classScores(stride, count), c.padding(count*width)
			for j := range m {
				if m[j] != m[j] || j%3 > 0 { // it is never NaN
					m[j] = fp.NegInf[F]()
				}
			}
			m1, dst1, y := placed(c, m), placed(c, dst), constant(c, x)
			maxStridedGeneric(m, view.Of(dst, width, width), view.Of(x, c.n, stride), count)
			c.call(func() { maxStrided(m1, view.Of(dst1, width, width), view.Of(y, c.n, stride), count) })
			for j := range m {
				var column []F
				for i := j; i < len(dst); i += width {
					column = append(column, dst[i])
				}
				sameTop(c, column, m[j], m1[j])
			}
			same(c, "dst", dst, dst1)
		}
	})
}

func testExpStrided[F Float](t *testing.T) {
	eachTrial(t, stridedLengths, func(c *trial[F]) {
		width := rounded[F](c.n)
		for _, s := range c.strides() {
			stride, count := s[0], s[1]
			c.notes = []any{"count", count}
			sum, ties, m, x := make([]float64, width), make([]F, width), make([]F, width), make([]F, count*width)
			for j := range m {
				sum[j], ties[j], m[j] = c.r.ExpFloat64(), F([...]int{0, 1, 2, 1 << 24, 1<<30 - 64}[c.r.IntN(5)]), fp.NegInf[F]()
			}
			maxStridedGeneric(m, view.Of(x, width, width), view.Of(c.classScores(stride, count), c.n, stride), count)
			for j := range m {
				if c.r.IntN(3) == 0 { // a maximum in other classes
					m[j] = max(m[j], F(c.r.NormFloat64()))
				}
			}
			sum1, ties1, m1, x1 := placed(c, sum), placed(c, ties), constant(c, m), placed(c, x)
			last := F(c.r.IntN(2))
			expStridedGeneric(sum, ties, m, view.Of(x, width, width), count, last)
			c.call(func() { expStrided(sum1, ties1, m1, view.Of(x1, width, width), count, last) })
			same(c, "ties", ties, ties1)
			for j := range m {
				if ties[j] != ties[j] { // with which all else is of no use
					continue
				}
				sameOne(c, fmt.Sprintf("position %d: sum", j), sum[j], sum1[j])
				for i := j; i < len(x); i += width {
					sameOne(c, fmt.Sprintf("position %d: class %d", j, i/width), x[i], x1[i])
				}
			}
		}
	})
}

func testScaleStrided[F Float](t *testing.T) {
	eachTrial(t, stridedLengths, func(c *trial[F]) {
		width := rounded[F](c.n)
		for _, s := range c.strides() {
			stride, count := s[0], s[1]
			c.notes = []any{"stride", stride, "count", count}
			factor, x := c.padding(c.n), c.scores(count*width)
			copy(factor, c.factors(c.n))
			want := c.classScores(stride, count) // what lies between the classes stays as it is
			dst, y, factor1 := placed(c, want), constant(c, x), constant(c, factor)
			scaleStridedGeneric(view.Of(want, c.n, stride), view.Of(x, width, width), count, factor)
			c.call(func() { scaleStrided(view.Of(dst, c.n, stride), view.Of(y, width, width), count, factor1) })
			same(c, "dst", want, dst)
		}
	})
}

func testScaleStridedStream[F Float](t *testing.T) {
	eachTrial(t, stridedLengths, func(c *trial[F]) {
		width, lanes := rounded[F](c.n), fp.Lanes[F]()
		for _, s := range c.strides() {
			stride, count := rounded[F](s[0]), s[1]
			c.notes = []any{"stride", stride, "count", count}
			factor, x := c.padding(c.n), c.scores(count*width)
			copy(factor, c.factors(c.n))
			want := make([]F, (count+1)*stride+lanes)
			room, y, factor1 := placed(c, want), constant(c, x), constant(c, factor)
			start := int(-uintptr(unsafe.Pointer(&room[0]))%64) / fp.Size[F]()
			scaleStridedStreamGeneric(view.Of(want[start:], c.n, stride), view.Of(x, width, width), count, factor)
			c.call(func() {
				scaleStridedStream(view.Of(room[start:], c.n, stride), view.Of(y, width, width), count, factor1)
			})
			same(c, "dst", want, room)
		}
	})
}

func testAddLogSoftmax[F Float](t *testing.T) {
	eachTrial(t, stridedLengths, func(c *trial[F]) {
		x, width := c.scores(c.n), rounded[F](c.n)
		w, hi, lo := c.padding(c.n), c.padding(c.n), c.padding(c.n)
		copy(w, c.targetsFor(x))
		copy(hi, c.factors(c.n))
		for j := range c.n {
			lo[j] = F(c.r.NormFloat64()) * 0x1p-20
		}
		wantDot, wantSum := make([]float64, width), make([]float64, width)
		for j := range wantDot {
			wantDot[j], wantSum[j] = c.r.NormFloat64(), c.r.Float64()
		}
		dot, sum := placed(c, wantDot), placed(c, wantSum)
		w1, y, hi1, lo1 := constant(c, w), constant(c, x), constant(c, hi), constant(c, lo)
		addLogSoftmaxGeneric(wantDot, wantSum, w, x, hi, lo)
		c.call(func() { addLogSoftmax(dot, sum, w1, y, hi1, lo1) })
		same(c, "dot", wantDot[:c.n], dot)
		same(c, "sum", wantSum[:c.n], sum)
	})
}

func testSubtractProducts[F Float](t *testing.T) {
	eachTrial(t, blocks, func(c *trial[F]) {
		x, w, scale := c.scores(c.n), c.factors(c.n), c.factors(c.n)
		want := slices.Clone(x)
		subtractProductsGeneric(want, w, scale)
		dst, w1, scale1 := placed(c, x), constant(c, w), constant(c, scale)
		c.call(func() { subtractProducts(dst, w1, scale1) })
		same(c, "dst", want, dst)
	})
}

func testGather[F Float](t *testing.T) {
	eachTrial(t, []int{1000, indexBlock}, func(c *trial[F]) {
		for _, size := range []int{1, 2, 17, 1000} {
			src, index := c.scores(size), make([]int32, c.n)
			for i := range index {
				index[i] = int32([...]int{0, size - 1, c.r.IntN(size)}[c.r.IntN(3)])
			}
			want := make([]F, c.n)
			gatherGeneric(want, src, index)
			dst, src1, index1 := placed(c, make([]F, c.n)), constant(c, src), constant(c, index)
			c.call(func() { gather(dst, src1, index1) })
			same(c, "dst", want, dst)
		}
	})
}

func testMaxIndex(t *testing.T) {
	eachTrial(t, []int{1000, indexBlock}, func(c *trial[float32]) {
		for _, largest := range []int32{0, 1, 1000, math.MaxInt32, -1, math.MinInt32} {
			index := make([]int32, c.n)
			for i := range index {
				index[i] = c.r.Int32N(100)
			}
			if c.n > 0 {
				index[c.r.IntN(c.n)] = largest
			}
			x := constant(c, index)
			var most uint32
			c.call(func() { most = maxIndex(x) })
			if want := maxIndexGeneric(index); most != want {
				require.Fail(t, "another maximum", "%v: %d, want %d", c, most, want)
			}
		}
	})
}

func testLog1p(t *testing.T) {
	eachTrial(t, blocks, func(c *trial[float64]) {
		x := c.scores(c.n)
		for i, v := range x {
			x[i] = [...]float64{math.Abs(v), math.Abs(v), 1e300 * c.r.Float64(), math.Ldexp(c.r.Float64(), c.r.IntN(2000)-1000),
				moved(1.0, c.r.IntN(9)-4), moved(math.Ldexp(math.Sqrt2, c.r.IntN(50)), c.r.IntN(3)-1) - 1}[c.r.IntN(6)]
		}
		want := make([]float64, c.n)
		log1pGeneric(want, x)
		dst, y := placed(c, make([]float64, c.n)), constant(c, x)
		c.call(func() { log1p(dst, y) })
		same(c, "dst", want, dst)
		dst = placed(c, x)
		c.call(func() { log1p(dst, dst) })
		same(c, "dst in place", want, dst)
	})
}

// exponentials returns how the kernels compute exp of up to block float32: for any
// argument, and for those that are not above 0.
func exponentials() (of, ofNegative func(dst, x []float32)) {
	zero, one := make([]float32, block), []float32{1}
	terms, ties, sum := make([]float32, block), make([]float32, block), make([]float64, block)
	of = func(dst, x []float32) { softmaxRows(dst, x, len(x), zero[:1], one) }
	ofNegative = func(dst, x []float32) {
		clear(sum)
		clear(ties)
		copy(terms, x)
		expStrided(sum, ties, zero, view.Of(terms, len(x), len(x)), 1, 0)
		for i := range dst {
			dst[i] = float32(sum[i]) + ties[i]
		}
	}
	return of, ofNegative
}

// The kernels' exp is Exp32: of a sample of all inputs, or with
// TRELLIS_EXHAUSTIVE=1 of every one.
func TestKernelExp32(t *testing.T) {
	step := uint64(389)
	if testing.Short() {
		step = 4099
	}
	if os.Getenv("TRELLIS_EXHAUSTIVE") != "" {
		step = 1
	}
	EachTier(t, func(t *testing.T) {
		if tier.Active == tier.Generic && step == 1 {
			t.Skip("generic is exp32")
		}
		of, ofNegative := exponentials()
		x, got, gotNegative := make([]float32, block), make([]float32, block), make([]float32, block)
		for b := uint64(0); b < 1<<32; b += step * block {
			for i := range x {
				x[i] = math.Float32frombits(uint32(b + step*uint64(i))) // the last ones begin again
			}
			of(got, x)
			ofNegative(gotNegative, x)
			for i, v := range x {
				want := fp.Exp32(v)
				if got[i] != want && (got[i] == got[i] || want == want) {
					require.Fail(t, "softmaxRows", "fp.Exp(%v) = %v, want %v", v, got[i], want)
				}
				if !(v > 0) && gotNegative[i] != want && (gotNegative[i] == gotNegative[i] || want == want) {
					require.Fail(t, "expStrided", "fp.Exp(%v) = %v, want %v", v, gotNegative[i], want)
				}
			}
		}
	})
}

// The Go runtime cannot interrupt assembly: no call has more than 64 KiB to read or
// to write. Rows are put together to calls of at most block elements, or of one row.
func TestCallsAreShort(t *testing.T) {
	const most, float = 64 << 10, 8
	assert.LessOrEqual(t, block*float, most)
	assert.LessOrEqual(t, shortRow, block)
	assert.LessOrEqual(t, softBlock*float, most)
	assert.LessOrEqual(t, indexBlock*float, most)
	assert.LessOrEqual(t, stridedBlock*itemPositions*float, most)
	assert.LessOrEqual(t, itemPositions*float, most)
	assert.Zero(t, itemPositions%16, "arrays of one element for each position have whole vectors")
	// backward reads α, emissions and occupancies of all frames, and factors and β once.
	assert.LessOrEqual(t, (callPositions*(2+1+1)+chunk*(3+2))*float, most)
	assert.LessOrEqual(t, 3*2*chunk*float, most) // normalizeRow, rescale
	assert.LessOrEqual(t, chunk, callPositions)
	assert.Zero(t, chunk%16)
}

// A gradient that is written past the caches has the same bits.
func TestStreamedGradient(t *testing.T) {
	EachTier(t, func(t *testing.T) {
		t.Run("float32", testStreamedGradient[float32])
		t.Run("float64", testStreamedGradient[float64])
	})
}

func testStreamedGradient[F Float](t *testing.T) {
	defer func(size int) { streamBytes = size }(streamBytes)
	r := rand.New(rand.NewPCG(11, 12))
	x := Tensor[F]{Shape: []int{2, 70, 16, 21}, Data: make([]F, 2*70*16*21)}
	for i := range x.Data {
		x.Data[i] = F(3 * r.NormFloat64())
	}
	targets := make([]int, 2*16*21)
	for i := range targets {
		targets[i] = r.IntN(71) // 70 is left out
	}
	ignored := 70
	room := make([]F, len(x.Data)+16)
	start := int(-uintptr(unsafe.Pointer(&room[0]))%64) / fp.Size[F]()
	for _, at := range []int{start, start + 1} { // rows that begin where a vector does, or not
		for _, smoothing := range []F{0, 0.125} {
			var grads [2][]F
			for i, size := range []int{math.MaxInt, 0} {
				streamBytes = size
				grad := room[at:][:len(x.Data)]
				l := CrossEntropyLoss[F]{IgnoreIndex: &ignored, Workers: 1, LabelSmoothing: smoothing}
				_, err := l.Grad(grad, x, targets)
				require.NoError(t, err)
				grads[i] = slices.Clone(grad)
			}
			require.Equal(t, grads[0], grads[1])
		}
	}
}

// Rows longer than wholeRow, which are summed as they are read.
func TestLongRows(t *testing.T) {
	t.Run("float32", testLongRows[float32])
	t.Run("float64", testLongRows[float64])
}

func testLongRows[F Float](t *testing.T) {
	const n = wholeRow + 3*block + 5
	r := rand.New(rand.NewPCG(13, 14))
	row := func(f func(i int) F) []F {
		x := make([]F, n)
		for i := range x {
			x[i] = f(i)
		}
		return x
	}
	with := func(at int, v F) []F { // among normal ones
		x := row(func(int) F { return F(r.NormFloat64()) })
		x[at] = v
		return x
	}
	rows := map[string][]F{
		"normal":     row(func(int) F { return F(3 * r.NormFloat64()) }),
		"ascending":  row(func(i int) F { return F(i) / 4000 }),
		"descending": row(func(i int) F { return F(-i) / 4000 }),
		"equal":      row(func(int) F { return 7 }),
		"−Inf, then some": row(func(i int) F {
			if i < n/2 {
				return fp.NegInf[F]()
			}
			return F(r.NormFloat64())
		}),
		"all −Inf":             row(func(int) F { return fp.NegInf[F]() }),
		"+Inf in the end":      with(n-1, inf[F]()),
		"NaN at first":         with(0, fp.NaN[F]()),
		"NaN in the end":       with(n-1, fp.NaN[F]()),
		"−Inf in the midst":    with(n/2, fp.NegInf[F]()),
		"one large in the end": with(n-1, 30),
		// The maximum 0 is met again as −0, which must count as equal.
		"−0": row(func(i int) F {
			switch {
			case i == 5:
				return 0
			case i >= settled && i%block < 16:
				return minusZero[F]()
			}
			return -17
		}),
	}
	rows["NaN beside −Inf"] = slices.Clone(rows["all −Inf"])
	rows["NaN beside −Inf"][3] = fp.NaN[F]()
	for name, x := range rows {
		var want []F
		EachTier(t, func(t *testing.T) {
			got := []F{LogSumExp(x)}
			for _, f := range []func(dst, x []F){Softmax[F], LogSoftmax[F]} {
				dst := make([]F, n)
				f(dst, x)
				got = append(got, dst...)
				dst = slices.Clone(x)
				f(dst, dst)
				got = append(got, dst...)
			}
			grad := make([]F, n)
			loss, err := CrossEntropyLoss[F]{LabelSmoothing: 0.125}.Grad(grad, Tensor[F]{x, []int{1, n}}, []int{n / 3})
			require.NoError(t, err)
			got = append(append(got, loss), grad...)
			if want == nil {
				want = got
				requireLogSumExp(t, name, x, got[0])
			}
			for i := range want {
				if bitsOf(want[i]) != bitsOf(got[i]) {
					require.Fail(t, "other bits", "%s: %d: %v, want %v", name, i, got[i], want[i])
				}
			}
		})
	}
}

// requireLogSumExp compares with an exact sum of math.Exp.
func requireLogSumExp[F Float](t *testing.T, name string, x []F, got F) {
	m, sum := math.Inf(-1), new(big.Float).SetPrec(200)
	for _, v := range x {
		m = max(m, float64(v))
	}
	if math.IsInf(m, 0) || m != m {
		require.Equal(t, bitsOf(F(m)), bitsOf(got), name)
		return
	}
	for _, v := range x {
		sum.Add(sum, big.NewFloat(math.Exp(float64(v)-m)))
	}
	total, _ := sum.Float64()
	want, epsilon := m+math.Log(total), math.Abs(float64(F(1)-moved(F(1), -1)))
	require.InDelta(t, want, float64(got), 8*epsilon*max(1, math.Abs(want)), name)
}
