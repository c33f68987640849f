package trellis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/stretchr/testify/assert"
)

// kernelWork is a call of a kernel that can be repeated: what it changes in place stays
// what it is, or at least a normal number.
type kernelWork struct {
	name string
	amount
	call func()
}

func BenchmarkKernel(b *testing.B) {
	b.Run("type=float32", func(b *testing.B) { benchmarkKernels(b, kernelWorks[float32]()) })
	b.Run("type=float64", func(b *testing.B) { benchmarkKernels(b, append(kernelWorks[float64](), latticeWorks()...)) })
	b.Run("type=int32", func(b *testing.B) { benchmarkKernels(b, []kernelWork{maxIndexWork()}) })
}

func benchmarkKernels(b *testing.B, works []kernelWork) {
	for _, w := range works {
		b.Run(fmt.Sprintf("kernel=%s/n=%d", w.name, w.count), func(b *testing.B) {
			measure(b, 1, w.amount, func(*testing.B) { w.call() })
		})
	}
}

// No kernel is without a benchmark, as none is without a test.
func TestAllKernelsAreBenchmarked(t *testing.T) {
	tested := []string{"log1p", "maxIndex"}
	for name := range kernelTests[float64]() {
		tested = append(tested, name)
	}
	for name := range latticeTests {
		tested = append(tested, name)
	}
	var measured []string
	for _, w := range append(append(kernelWorks[float64](), latticeWorks()...), maxIndexWork()) {
		measured = append(measured, w.name)
	}
	assert.ElementsMatch(t, tested, measured)
}

// aligned returns n elements that begin at a multiple of 64 bytes.
func aligned[F Float](n int) []F {
	room := make([]F, n+16)
	return room[int(-uintptr(unsafe.Pointer(&room[0]))%64)/fp.Size[F]():][:n]
}

func kernelWorks[F Float]() []kernelWork {
	return slices.Concat(rowWorks[F](), targetWorks[F](), stridedWorks[F](), frameWorks[F]())
}

// rowWorks are calls with as much as one takes: a block of a row, or some rows.
func rowWorks[F Float]() []kernelWork {
	const n, rows, short = 1000, block / 1000, 32
	x, dst, in, out := normalScores[F](block), make([]F, block), make([]F, block), aligned[F](block)
	largest, top, sum := slices.Max(x), make([]F, shortRows), make([]float64, shortRows)
	scratch, ones, zeros := make([]F, shortRows*rowScratch), slices.Repeat([]F{1}, block), make([]F, rows)
	index := randomBelow[int32](indexBlock, block)
	gathered := elementsOf[F](indexBlock, 2)
	gathered.bytes += len(bytesOf(index))
	one, two, four := elementsOf[F](block, 1), elementsOf[F](block, 2), elementsOf[F](block, 4)
	return []kernelWork{
		{"sumExpBlock", one, func() { top[0], top[1] = sumExpBlock(x, fp.NegInf[F]()) }},
		{"expBlock", two, func() { top[0], top[1] = expBlock(dst, x, fp.NegInf[F]()) }},
		{"sumExpBelow", one, func() { top[0], _ = sumExpBelow(x, largest) }},
		{"expBelow", two, func() { top[0] = expBelow(dst, x, largest) }},
		{"expCopy", four, func() { top[0], top[1] = expCopy(dst, x, largest, out, in, 0) }},
		{"maxBlock", one, func() { top[0] = maxBlock(x) }},
		{"sumExpRows", elementsOf[F](short*shortRows, 1), func() { sumExpRows(top, sum, scratch, x, short, shortRows) }},
		{"softmaxRows", elementsOf[F](n*rows, 2), func() { softmaxRows(dst, x, n, zeros, ones) }},
		{"scale", two, func() { scale(ones, 1) }},
		{"logSoftmaxRows", elementsOf[F](n*rows, 2), func() { logSoftmaxRows(dst, x, n, zeros, zeros) }},
		{"gather", gathered, func() { gather(dst, x, index) }},
	}
}

// targetWorks are calls with a part of a soft target.
func targetWorks[F Float]() []kernelWork {
	x, u, dst, ones := normalScores[F](softBlock), make([]F, softBlock), make([]F, softBlock), slices.Repeat([]F{1}, softBlock)
	for i := range u {
		u[i] = F(i+1) / softBlock
	}
	two, three := elementsOf[F](softBlock, 2), elementsOf[F](softBlock, 3)
	return []kernelWork{
		{"dotLogSoftmax", two, func() { dst[0], dst[1] = dotLogSoftmax(u, x, 1, 1) }},
		{"mulAdd", two, func() { mulAdd(dst, u, 0.5, 0.5) }},
		{"multiply", three, func() { multiply(u, ones) }},
		{"subtract", three, func() { subtract(x, u, 0) }},
	}
}

// stridedWorks are calls with all classes of some pixels of an image.
func stridedWorks[F Float]() []kernelWork {
	const classes, pixels = 21, 64 * 64
	image, grad, terms := normalScores[F](classes*pixels), aligned[F](classes*pixels), normalScores[F](classes*itemPositions)
	largest := slices.Repeat([]F{max(slices.Max(image), slices.Max(terms))}, itemPositions)
	ties, ones, zeros := make([]F, itemPositions), slices.Repeat([]F{1}, itemPositions), make([]F, itemPositions)
	sum, dot, x := make([]float64, itemPositions), make([]float64, itemPositions), image[:itemPositions]
	two, four := elementsOf[F](classes*itemPositions, 2), elementsOf[F](itemPositions, 4)
	sums := four
	sums.bytes += 2*len(bytesOf(sum)) + 2*len(bytesOf(dot))
	return []kernelWork{
		{"maxStrided", two, func() {
			maxStrided(largest, view.Of(grad, itemPositions, itemPositions), view.Of(image, itemPositions, pixels), classes)
		}},
		{"expStrided", two, func() { expStrided(sum, ties, largest, view.Of(terms, itemPositions, itemPositions), classes, 1) }},
		{"scaleStrided", two, func() {
			scaleStrided(view.Of(grad, itemPositions, pixels), view.Of(terms, itemPositions, itemPositions), classes, ones)
		}},
		{"scaleStridedStream", two, func() {
			scaleStridedStream(view.Of(grad, itemPositions, pixels), view.Of(terms, itemPositions, itemPositions), classes, ones)
		}},
		{"addLogSoftmax", sums, func() { addLogSoftmax(dot, sum, ones, x, zeros, zeros) }},
		{"subtractProducts", four, func() { subtractProducts(x, ones, zeros) }},
	}
}

// The calls of CTC are those for a sequence of T150_N16_C28_S40.
const (
	benchLabels  = 40
	benchSpan    = (benchLabels + 8) &^ 7 // also the width of a row
	benchClasses = 28
	benchFrames  = callPositions / benchSpan
)

// frameWorks are calls with the scores or the gradient of some frames.
func frameWorks[F Float]() []kernelWork {
	const n = groupFrames * benchClasses
	pitch := fp.WholeVectors[F](benchClasses)
	x, p, dst := normalScores[F](n), make([]F, groupFrames*pitch), make([]F, n)
	top, ref, sum := make([]F, groupFrames), make([]F, groupFrames), make([]float64, groupFrames)
	least, softmax := make([]F, 1), slices.Repeat([]F{1}, groupFrames)
	y, index, place := make([]float64, groupFrames*benchSpan), make([]int32, benchSpan), make([]int32, benchSpan)
	for i, class := range randomBelow[int32](benchLabels, benchClasses-1) {
		index[i] = 1 + class
	}
	for i, class := range index {
		place[i] = int32(sumOffset[F](int(class)))
		if i > benchLabels {
			place[i] = int32(sumOffset[F](pitch))
		}
	}
	scratch := make([]F, max(groupFrames*rowScratch, occupancyScratch[F](benchClasses, groupFrames)))
	expFramesGeneric(view.Of(p, pitch, pitch), top, ref, sum, nil, view.Of(x, benchClasses, benchClasses), groupFrames)
	emitGeneric(view.Of(y, benchSpan, benchSpan), view.Of(p, pitch, pitch), index, groupFrames)
	return []kernelWork{
		{"expFrames", elementsOf[F](n, 2), func() {
			expFrames(view.Of(p, pitch, pitch), top, ref, sum, scratch, view.Of(x, benchClasses, benchClasses), groupFrames)
		}},
		{"emit", amount{len(y), "element", len(bytesOf(p)) + len(bytesOf(y))}, func() {
			least[0] = emit(view.Of(y, benchSpan, benchSpan), view.Of(p, pitch, pitch), index, groupFrames)
		}},
		{"addOccupancies", amount{n, "element", len(bytesOf(y)) + len(bytesOf(p)) + len(bytesOf(dst))}, func() {
			addOccupancies(view.Of(dst, benchClasses, benchClasses), view.Of(p, pitch, pitch), softmax, 1, view.Of(y, benchLabels+1, benchSpan), place, scratch)
		}},
	}
}

// latticeWorks are the calls of the sweeps, and log1p of some sums.
func latticeWorks() []kernelWork {
	const states, double = 2*benchLabels + 1, 8
	r := rand.New(rand.NewPCG(7, 8))
	sums, logs, y := make([]float64, itemPositions), make([]float64, itemPositions), make([]float64, benchFrames*benchSpan)
	for i := range sums {
		sums[i] = 1000 * r.Float64()
	}
	for i := range y {
		y[i] = 0.25 + r.Float64()/4
	}

	// In the lattice all states are 1.
	ones, e := make([]float64, 2*benchSpan), slices.Repeat([]float64{never}, 2*benchSpan)
	skip := slices.Repeat([]float64{-never}, benchSpan)
	for i := range benchLabels {
		ones[blankAt(i)], ones[blankAt(i)+8] = 1, 1
		e[blankAt(i)], e[blankAt(i)+8] = 0, 0
		skip[i] = 0
	}
	ones[blankAt(benchLabels)], e[blankAt(benchLabels)] = 1, 0
	factors, alpha := make([]float64, 3*benchSpan), make([]float64, benchFrames*2*benchSpan)
	forwardFactorsGeneric(factors, e, skip, view.Span{From: 0, To: benchSpan})
	forwardGeneric(alpha, ones, view.Of(y, benchLabels+1, benchSpan), factors, view.Span{From: 0, To: benchSpan}, benchFrames)

	row, rowE, scaled := make([]float64, 2*benchSpan), slices.Clone(e), slices.Clone(ones)
	occupancy, blanks := make([]float64, len(y)), make([]float64, benchFrames)
	beta, carry, result := make([]float64, 2*benchSpan), make([]float64, 16), make([]float64, 1)
	return []kernelWork{
		{"log1p", elementsOf[float64](itemPositions, 2), func() { log1p(logs, sums) }},
		{"normalizeRow", amount{states, "state", 4 * len(row) * double}, func() {
			result[0] = normalizeRow(row, alpha[:len(row)], rowE)
		}},
		{"forwardFactors", amount{states, "state", (len(factors) + len(e) + len(skip)) * double}, func() {
			result[0] = forwardFactors(factors, e, skip, view.Span{From: 0, To: benchSpan})
		}},
		{"forward", amount{benchFrames * states, "state", (2*len(alpha) + len(y)) * double}, func() {
			forward(alpha, ones, view.Of(y, benchLabels+1, benchSpan), factors, view.Span{From: 0, To: benchSpan}, benchFrames)
		}},
		{"rescale", amount{states, "state", 5 * len(scaled) * double}, func() { rescale(scaled, ones, e, e) }},
		{"backward", amount{benchFrames * states, "state", (len(alpha) + len(y) + len(occupancy)) * double}, func() {
			copy(beta, ones) // or it would leave the range of a float64
			backward(occupancy, blanks, beta, carry, alpha, view.Of(y, benchLabels+1, benchSpan), factors, view.Span{From: 0, To: benchSpan})
		}},
	}
}

func maxIndexWork() kernelWork {
	index, most := randomBelow[int32](indexBlock, block), make([]uint32, 1)
	return kernelWork{"maxIndex", amount{indexBlock, "element", len(bytesOf(index))}, func() { most[0] = maxIndex(index) }}
}
