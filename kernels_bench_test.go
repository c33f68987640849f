package trellis

import (
	"math/rand/v2"
	"slices"
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/view"
)

// aligned returns n elements that begin at a multiple of 64 bytes.
func aligned[F Float](n int) []F {
	room := make([]F, n+16)
	return room[int(-uintptr(unsafe.Pointer(&room[0]))%64)/fp.Size[F]():][:n]
}

func kernelWorks[F Float]() []kerneltest.Work {
	return slices.Concat(rowWorks[F](), targetWorks[F](), stridedWorks[F](), positionWorks[F](), columnWorks[F](), frameWorks[F]())
}

// rowWorks are calls with as much as one takes: a block of a row, or some rows.
func rowWorks[F Float]() []kerneltest.Work {
	const n, rows, short = 1000, block / 1000, 32
	x, dst, in, out := normalScores[F](block), make([]F, block), make([]F, block), aligned[F](block)
	largest, top, sum := slices.Max(x), make([]F, shortRows), make([]float64, shortRows)
	scratch, ones, zeros := make([]F, shortRows*rowScratch), slices.Repeat([]F{1}, block), make([]F, rows)
	index := randomBelow[int32](indexBlock, block)
	gathered := kerneltest.Elements[F](indexBlock, 2)
	gathered.Bytes += sizeOf(index)
	one, two, four := kerneltest.Elements[F](block, 1), kerneltest.Elements[F](block, 2), kerneltest.Elements[F](block, 4)
	return []kerneltest.Work{
		kerneltest.NewWork("sumExpBlock", one, func() { top[0], top[1] = sumExpBlock(x, fp.NegInf[F](), 0) }),
		kerneltest.NewWork("expBlock", two, func() { top[0], top[1] = expBlock(dst, x, fp.NegInf[F](), 0) }),
		kerneltest.NewWork("sumExpBelow", one, func() { top[0], top[1] = sumExpBelow(x, largest, 0) }),
		kerneltest.NewWork("expCopy", four, func() { top[0], top[1] = expCopy(dst, x, largest, out, in, 0) }),
		kerneltest.NewWork("maxBlock", one, func() { top[0] = maxBlock(x) }),
		kerneltest.NewWork("sumExpRows", kerneltest.Elements[F](short*shortRows, 1), func() { sumExpRows(top, sum, scratch, x, short, shortRows) }),
		kerneltest.NewWork("softmaxRows", kerneltest.Elements[F](n*rows, 2), func() { softmaxRows(dst, x, n, zeros, ones) }),
		kerneltest.NewWork("scale", two, func() { scale(ones, 1) }),
		kerneltest.NewWork("logSoftmaxRows", kerneltest.Elements[F](n*rows, 2), func() { logSoftmaxRows(dst, x, n, zeros, zeros) }),
		kerneltest.NewWork("gather", gathered, func() { gather(dst, x, index, 0, len(index)) }),
		kerneltest.NewWork("fetch", gathered, func() { fetch(view.Of(x, n, n), index, 1) }),
		kerneltest.NewWork("argMax", one, func() { index[0] = int32(argMax(x, fp.NegInf[F]())) }),
		kerneltest.NewWork("argMaxAllowed", two, func() { index[0] = int32(argMaxAllowed(x, ones, fp.NegInf[F]())) }),
		kerneltest.NewWork("argMaxRows", kerneltest.Elements[F](short*shortRows, 1), func() { argMaxRows(top, x, short) }),
		kerneltest.NewWork("argMaxAllowedRows", kerneltest.Elements[F](short*shortRows, 1), func() { argMaxAllowedRows(top, x, short, ones[:short]) }),
	}
}

// targetWorks are calls with a part of a soft target.
func targetWorks[F Float]() []kerneltest.Work {
	x, u, dst, ones := normalScores[F](softBlock), make([]F, softBlock), make([]F, softBlock), slices.Repeat([]F{1}, softBlock)
	for i := range u {
		u[i] = F(i+1) / softBlock
	}
	two, three := kerneltest.Elements[F](softBlock, 2), kerneltest.Elements[F](softBlock, 3)
	return []kerneltest.Work{
		kerneltest.NewWork("dotLogSoftmax", two, func() { dst[0], dst[1] = dotLogSoftmax(u, x, 1, 1) }),
		kerneltest.NewWork("mulAdd", two, func() { mulAdd(dst, u, 0.5, 0.5) }),
		kerneltest.NewWork("multiply", three, func() { multiply(u, ones) }),
		kerneltest.NewWork("subtract", three, func() { subtract(x, u, 0) }),
	}
}

// stridedWorks are calls with all classes of some pixels of an image.
func stridedWorks[F Float]() []kerneltest.Work {
	const classes, pixels = 21, 64 * 64
	image, grad, terms := normalScores[F](classes*pixels), aligned[F](classes*pixels), normalScores[F](classes*itemPositions)
	largest := slices.Repeat([]F{max(slices.Max(image), slices.Max(terms))}, itemPositions)
	ties, ones, zeros := make([]F, itemPositions), slices.Repeat([]F{1}, itemPositions), make([]F, itemPositions)
	sum, dot, u := make([]float64, itemPositions), make([]float64, itemPositions), slices.Repeat([]F{1}, classes)
	class := make([]int32, itemPositions)
	one, two, three := kerneltest.Elements[F](classes*itemPositions, 1), kerneltest.Elements[F](classes*itemPositions, 2), kerneltest.Elements[F](classes*itemPositions, 3)
	return []kerneltest.Work{
		kerneltest.NewWork("maxStrided", two, func() {
			maxStrided(largest, zeros, class, view.Of(grad, itemPositions, itemPositions), view.Of(image, itemPositions, pixels), classes, 0)
		}),
		kerneltest.NewWork("expStrided", two, func() {
			expStrided(sum, ties, largest, view.Of(terms, itemPositions, itemPositions), classes, 1, view.Of(image, itemPositions, pixels))
		}),
		kerneltest.NewWork("scaleStrided", two, func() {
			scaleStrided(view.Of(grad, itemPositions, pixels), view.Of(terms, itemPositions, itemPositions), classes, ones)
		}),
		kerneltest.NewWork("gradientStrided", two, func() {
			gradientStrided(view.Of(grad, itemPositions, pixels), view.Of(terms, itemPositions, itemPositions), classes, ones, class, 0, zeros)
		}),
		kerneltest.NewWork("gradientStridedStream", two, func() {
			gradientStridedStream(view.Of(grad, itemPositions, pixels), view.Of(terms, itemPositions, itemPositions), classes, ones, class, 0, zeros, 1)
		}),
		kerneltest.NewWork("logSoftmaxColumns", two, func() {
			logSoftmaxColumns(view.Of(grad, itemPositions, pixels), view.Of(terms, itemPositions, itemPositions), classes, zeros, zeros)
		}),
		kerneltest.NewWork("gradientStridedUniform", two, func() {
			gradientStridedUniform(view.Of(grad, itemPositions, pixels), view.Of(terms, itemPositions, itemPositions), classes, ones, class, 0, zeros, u, zeros)
		}),
		kerneltest.NewWork("gradientStridedUniformStream", two, func() {
			gradientStridedUniformStream(view.Of(grad, itemPositions, pixels), view.Of(terms, itemPositions, itemPositions), classes, ones, class, 0, zeros, u, zeros, 1)
		}),
		kerneltest.NewWork("spreadTargets", two, func() {
			spreadTargets(view.Of(grad, itemPositions, itemPositions), view.Of(image, itemPositions, pixels), u, 0.5, 0.5, classes)
		}),
		kerneltest.NewWork("addLogSoftmax", two, func() {
			addLogSoftmax(dot, sum, view.Of(terms, itemPositions, itemPositions), view.Of(image, itemPositions, pixels), zeros, zeros, classes, 0)
		}),
		kerneltest.NewWork("addLogSoftmaxUniform", one, func() {
			addLogSoftmaxUniform(dot, u, view.Of(image, itemPositions, pixels), zeros, zeros, 0)
		}),
		kerneltest.NewWork("gradientStridedSoft", three, func() {
			gradientStridedSoft(view.Of(grad, itemPositions, pixels), view.Of(terms, itemPositions, itemPositions), view.Of(image, itemPositions, pixels), classes, ones, zeros)
		}),
	}
}

// positionWorks are calls for the positions of an item.
func positionWorks[F Float]() []kerneltest.Work {
	logit, largest, factor, dst := normalScores[F](itemPositions), make([]F, itemPositions), slices.Repeat([]F{1}, itemPositions), make([]F, itemPositions)
	for i := range largest {
		largest[i] = 20
	}
	ones, zeros, sum := slices.Repeat([]float64{1}, itemPositions), make([]float64, itemPositions), make([]float64, 1)
	a := kerneltest.Elements[float64](itemPositions, 4)
	pairs, grad, targets, hard := normalScores[F](2*itemPositions), make([]F, 2*itemPositions), randomBelow[int](itemPositions, 2), make([]float64, itemPositions)
	top, score, sums := make([]F, itemPositions), make([]F, itemPositions), make([]float64, itemPositions)
	two, side := kerneltest.Elements[F](2*itemPositions, 1), 16/fp.Size[F]()
	return []kerneltest.Work{
		kerneltest.NewWork("targetLosses", a, func() { sum[0] = targetLosses(dst, ones, ones, zeros, largest, logit) }),
		kerneltest.NewWork("gradientFactors", a, func() { gradientFactors(dst, ones, zeros, ones, 1) }),
		kerneltest.NewWork("targetGradients", a, func() { targetGradients(dst, ones, ones, largest, logit, factor, 1) }),
		kerneltest.NewWork("targetGradientsSoft", a, func() { targetGradientsSoft(dst, ones, largest, logit, factor, factor, factor, 1) }),
		kerneltest.NewWork("splitLogSums", a, func() { splitLogSums(top, score, largest, ones) }),
		kerneltest.NewWork("pairTerms", two, func() {
			targets[0] = pairTerms(top, sums, score, hard, pairs, targets, 1, 1, itemPositions, itemPositions, side, 2*side)
		}),
		kerneltest.NewWork("pairGradients", two, func() {
			pairGradients(grad, largest, ones, logit, ones, targets, 1, itemPositions, itemPositions, side, 2*side)
		}),
	}
}

// columnWorks are calls with rows of ten classes.
func columnWorks[F Float]() []kerneltest.Work {
	const classes, room, pitch = 10, 12, itemPositions
	rows, columns, terms := normalScores[F](classes*itemPositions+room-classes), make([]F, room*pitch), make([]F, room*pitch)
	class, largest, sum, scratch := make([]int32, itemPositions), make([]F, itemPositions), make([]float64, itemPositions), make([]F, fp.Lanes[F]()*fp.Lanes[F]())
	two := kerneltest.Elements[F](classes*itemPositions, 2)
	toColumnsGeneric(view.Of(columns, pitch, pitch), view.Of(rows, classes, classes), itemPositions)
	return []kerneltest.Work{
		kerneltest.NewWork("toColumns", two, func() {
			toColumns(view.Of(columns, pitch, pitch), view.Of(rows, classes, classes), itemPositions)
		}),
		kerneltest.NewWork("toRows", two, func() {
			toRows(view.Of(rows, classes, classes), view.Of(columns, pitch, pitch), itemPositions)
		}),
		kerneltest.NewWork("targetLogits", kerneltest.Elements[F](classes*itemPositions, 1), func() {
			targetLogits(largest, class, view.Of(columns, itemPositions, pitch), classes)
		}),
		kerneltest.NewWork("sumExpColumns", kerneltest.Elements[F](classes*itemPositions, 1), func() {
			sumExpColumns(largest, sum, view.Of(columns, pitch, pitch), scratch, classes)
		}),
		kerneltest.NewWork("expColumns", two, func() {
			expColumns(largest, sum, view.Of(terms, pitch, pitch), view.Of(columns, pitch, pitch), scratch, classes)
		}),
	}
}

// The calls of CTC are those for a sequence of T150_N16_C28_S40.
const (
	benchLabels  = 40
	benchSpan    = (benchLabels + 8) &^ 7 // also the width of a row
	benchClasses = 28
	benchFrames  = groupFrames
)

// frameWorks are calls with the scores or the gradient of some frames.
func frameWorks[F Float]() []kerneltest.Work {
	const n = groupFrames * benchClasses
	pitch := fp.WholeVectors[F](benchClasses)
	x, p, dst := normalScores[F](n), make([]F, groupFrames*pitch), make([]F, n)
	top, ref, sum := make([]F, groupFrames), make([]F, groupFrames), make([]float64, groupFrames)
	least, softmax := make([]F, 1), slices.Repeat([]F{1}, groupFrames)
	y, leasts, index, scratch := make([]float64, groupFrames*benchSpan), make([]float64, groupFrames), make([]int32, benchSpan), make([]F, groupFrames*rowScratch)
	for i, class := range randomBelow[int32](benchLabels, benchClasses-1) {
		index[i] = 1 + class
	}
	wide := make([]float64, groupFrames*pitch)
	stride, blocks := sumStride(pitch), make([]float64, blockFrames*benchClasses)
	sums, sumRows := view.Of(make([]float64, groupFrames/frameBlock*stride), 0, stride), view.Of(make([]F, groupFrames*pitch), pitch, pitch)
	expFramesGeneric(view.Of(p, pitch, pitch), top, ref, sum, nil, view.Of(x, benchClasses, benchClasses), groupFrames)
	emitGeneric(view.Of(y, benchSpan, benchSpan), view.Of(p, pitch, pitch), index, leasts)
	return []kerneltest.Work{
		kerneltest.NewWork("expFrames", kerneltest.Elements[F](n, 2), func() {
			expFrames(view.Of(p, pitch, pitch), top, ref, sum, scratch, view.Of(x, benchClasses, benchClasses), groupFrames)
		}),
		kerneltest.NewWork("widen", kerneltest.Amount{Count: n, Unit: "element", Bytes: sizeOf(x) + sizeOf(wide)}, func() {
			widen(view.Of(wide, pitch, pitch), view.Of(x, benchClasses, benchClasses), groupFrames)
		}),
		kerneltest.NewWork("narrow", kerneltest.Amount{Count: n, Unit: "element", Bytes: sizeOf(wide) + sizeOf(p)}, func() {
			narrow(view.Of(p, benchClasses, pitch), view.Of(wide, pitch, pitch), groupFrames)
		}),
		kerneltest.NewWork("emit", kerneltest.Amount{Count: len(y), Unit: "element", Bytes: sizeOf(p) + sizeOf(y)}, func() {
			least[0] = emit(view.Of(y, benchSpan, benchSpan), view.Of(p, pitch, pitch), index, leasts)
		}),
		kerneltest.NewWork("nearest", kerneltest.Elements[F](benchClasses, 1), func() { least[0], _ = nearest(x[:benchClasses], -1) }),
		kerneltest.NewWork("toBlocks", kerneltest.Amount{Count: blockFrames * benchClasses, Unit: "element", Bytes: blockFrames * benchClasses * (8 + fp.Size[F]())}, func() {
			top[0] = toBlocks(blocks, frameBlock*benchClasses, view.Of(x, benchClasses, benchClasses))
		}),
		kerneltest.NewWork("rowsOfSums", kerneltest.Amount{Count: n, Unit: "element", Bytes: sizeOf(sums.Data) + sizeOf(sumRows.Data)}, func() {
			rowsOfSums(sumRows, sums, groupFrames)
		}),
		kerneltest.NewWork("writeGradients", kerneltest.Amount{Count: n, Unit: "element", Bytes: sizeOf(sumRows.Data) + sizeOf(p) + sizeOf(dst)}, func() {
			writeGradients(view.Of(dst, benchClasses, benchClasses), view.Of(p, pitch, pitch), softmax, 1, sumRows)
		}),
		kerneltest.NewWork("writeFewGradients", kerneltest.Amount{Count: n, Unit: "element", Bytes: sizeOf(p) + sizeOf(dst)}, func() {
			writeFewGradients(view.Of(dst, benchClasses, benchClasses), view.Of(p, pitch, pitch), softmax, 1, sumRows, index[:8])
		}),
	}
}

// doubleWorks are the calls of the sweeps, and log1p of some sums.
func doubleWorks() []kerneltest.Work {
	const states, double = 2*benchLabels + 1, 8
	r := rand.New(rand.NewPCG(7, 8))
	sums, logs1, y := make([]float64, itemPositions), make([]float64, itemPositions), make([]float64, benchFrames*benchSpan)
	for i := range sums {
		sums[i] = 1000 * r.Float64()
	}
	for i := range y {
		y[i] = 0.25 + r.Float64()/4
	}

	// In the trellis all states are 1.
	rows, column := view.Of(y, benchLabels+1, benchSpan), make([]float64, benchFrames)
	ones, exponents := make([]float64, 2*benchSpan), slices.Repeat([]float64{never}, 2*benchSpan)
	skipExponents := slices.Repeat([]float64{-never}, benchSpan)
	for i := range benchLabels {
		statesAt(ones, i)[onBlank], statesAt(ones, i)[onLabel] = 1, 1
		statesAt(exponents, i)[onBlank], statesAt(exponents, i)[onLabel] = 0, 0
		skipExponents[i] = 0
	}
	statesAt(ones, benchLabels)[onBlank], statesAt(exponents, benchLabels)[onBlank] = 1, 0
	factors, alpha := make([]float64, 3*benchSpan), make([]float64, benchFrames*2*benchSpan)
	blankSums, alphaRows := make([]float64, 8*benchFrames), view.Of(alpha, 2*benchSpan, 2*benchSpan)
	forwardFactorsGeneric(factors, exponents, skipExponents, -never, benchSpan)
	forwardGeneric(alphaRows, ones, column, rows, factors, benchSpan, benchFrames)

	row, rowExponents, scaled := make([]float64, 2*benchSpan), slices.Clone(exponents), slices.Clone(ones)
	occupancy, blanks := make([]float64, len(y)), make([]float64, benchFrames)
	wide, offsets := make([]float64, itemPositions), make([]int32, benchSpan)
	for i, class := range randomBelow[int32](benchSpan, benchClasses) {
		offsets[i] = 8 * frameBlock * class
	}
	classTargets, narrow := make([]int, itemPositions), make([]int32, itemPositions)
	stride := sumStride((benchClasses + 7) &^ 7)
	occupancySums := view.Of(make([]float64, benchFrames/frameBlock*stride), 0, stride)
	wideRow, zeros := make([]float64, 5*benchSpan), make([]float64, benchSpan)
	beta, result := make([]float64, 2*benchSpan), make([]float64, 1)
	path, blocks, emitted := make([]float64, 2*benchSpan), make([]float64, frameBlock*benchClasses), make([]float64, blockFrames*pathStride)
	pathLeast, pathColumn, pathBlanks, places, noSkips := make([]float64, blockScratch), make([]float64, blockFrames), make([]float64, blockFrames), make([]int32, benchSpan), make([]float64, benchSpan)
	for i, class := range randomBelow[int32](benchSpan, benchClasses) {
		places[i] = class
	}
	return []kerneltest.Work{
		kerneltest.NewWork("viterbi", kerneltest.Amount{Count: blockFrames * states, Unit: "state", Bytes: (2*len(path) + benchSpan) * blockFrames * double}, func() {
			viterbi(view.Of(path, len(path), 0), path, pathColumn, pathBlanks, emitted, noSkips, benchSpan)
		}),
		kerneltest.NewWork("emitBlock", kerneltest.Amount{Count: frameBlock * benchSpan, Unit: "element", Bytes: 2 * frameBlock * benchSpan * double}, func() {
			emitBlock(view.Of(emitted, benchSpan, pathStride), blocks, places, pathLeast, pathLeast)
		}),
		kerneltest.NewWork("logs", kerneltest.Elements[float64](itemPositions, 2), func() { logs(logs1, sums) }),
		kerneltest.NewWork("otherTargets", kerneltest.Amount{Count: itemPositions, Unit: "target", Bytes: 8 * itemPositions}, func() {
			otherTargets(classTargets, 2)
		}),
		kerneltest.NewWork("narrowTargets", kerneltest.Amount{Count: itemPositions, Unit: "target", Bytes: 12 * itemPositions}, func() {
			narrowTargets(narrow, classTargets, 2)
		}),
		kerneltest.NewWork("log1p", kerneltest.Elements[float64](itemPositions, 2), func() { log1p(logs1, sums) }),
		kerneltest.NewWork("normalizeRow", kerneltest.Amount{Count: states, Unit: "state", Bytes: 4 * len(row) * double}, func() {
			result[0] = normalizeRow(row, alpha[:len(row)], rowExponents)
		}),
		kerneltest.NewWork("forwardFactors", kerneltest.Amount{Count: states, Unit: "state", Bytes: (len(factors) + len(exponents) + len(skipExponents)) * double}, func() {
			result[0] = forwardFactors(factors, exponents, skipExponents, -never, benchSpan)
		}),
		kerneltest.NewWork("leastFactors", kerneltest.Amount{Count: states, Unit: "state", Bytes: len(exponents) * double}, func() {
			result[0], _ = leastFactors(exponents, -never, benchSpan)
		}),
		kerneltest.NewWork("dropUnreached", kerneltest.Amount{Count: states, Unit: "state", Bytes: 3 * len(ones) * double}, func() {
			dropUnreached(scaled, ones)
		}),
		kerneltest.NewWork("forward", kerneltest.Amount{Count: benchFrames * states, Unit: "state", Bytes: (2*len(alpha) + len(y)) * double}, func() {
			forward(alphaRows, ones, column, rows, factors, benchSpan, benchFrames)
		}),
		kerneltest.NewWork("expWide", kerneltest.Elements[float64](itemPositions, 3), func() { expWide(logs1, wide, sums, 1000) }),
		kerneltest.NewWork("extent", kerneltest.Amount{Count: states, Unit: "state", Bytes: len(ones) * double}, func() {
			result[0], _ = extent(ones)
		}),
		kerneltest.NewWork("wideFactors", kerneltest.Amount{Count: states, Unit: "state", Bytes: (len(wideRow) + 3*len(exponents)) * double}, func() {
			wideFactors(wideRow, rowExponents, exponents, zeros, skipExponents, -never, 0, benchSpan)
		}),
		kerneltest.NewWork("forwardWide", kerneltest.Amount{Count: states, Unit: "state", Bytes: (len(wideRow) + 3*len(ones)) * double}, func() {
			forwardWide(row, ones, y, wideRow, 0, 1, benchSpan)
		}),
		kerneltest.NewWork("backwardWide", kerneltest.Amount{Count: states, Unit: "state", Bytes: (len(wideRow) + 4*len(ones)) * double}, func() {
			copy(beta, ones)
			result[0], _ = backwardWide(occupancy, beta, ones, y, wideRow, 0, 1, benchSpan)
		}),
		kerneltest.NewWork("addOccupancies", kerneltest.Amount{Count: benchFrames * benchLabels, Unit: "label", Bytes: sizeOf(occupancy)}, func() {
			addOccupancies(occupancySums, view.Of(occupancy, benchSpan, benchSpan), offsets, benchFrames)
		}),
		kerneltest.NewWork("rescale", kerneltest.Amount{Count: states, Unit: "state", Bytes: 5 * len(scaled) * double}, func() { rescale(scaled, ones, exponents, exponents) }),
		kerneltest.NewWork("backward", kerneltest.Amount{Count: benchFrames * states, Unit: "state", Bytes: (len(alpha) + len(y) + len(occupancy)) * double}, func() {
			copy(beta, ones) // or it would leave the range of a float64
			backward(view.Of(occupancy, benchSpan, benchSpan), blanks, beta, column, alpha, rows, factors, blankSums, benchSpan)
		}),
	}
}

// indexWorks is the call with indices alone.
func indexWorks() []kerneltest.Work {
	index, most := randomBelow[int32](indexBlock, block), make([]uint32, 1)
	a := kerneltest.Amount{Count: indexBlock, Unit: "element", Bytes: sizeOf(index)}
	return []kerneltest.Work{kerneltest.NewWork("maxIndex", a, func() { most[0] = maxIndex(index) })}
}
