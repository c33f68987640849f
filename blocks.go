package trellis

import "github.com/gotrellis/trellis/internal/tier"

// Every size that decides how work is divided, with its reason. Those that a sum
// depends on, block, stridedBlock, softBlock and the sizes of items, are part of the
// specification: other ones give other bits.

// Sizes of one call of a kernel: see generic.go.
const (
	// block is the number of contiguous elements that a sum takes in one call: 16 KiB
	// of float32, so that the second reading finds them in the first cache.
	block = 4096
	// shortRow is the length up to which rows are summed many to a call, and
	// shortRows how many at most.
	shortRow, shortRows = 128, 64
	// rowScratch is the number of elements that such a row needs of scratch.
	rowScratch = 32
	// stridedBlock is the number of classes that are added up in F in one position of
	// a strided axis, where a position has a single lane.
	stridedBlock = 64
	// softBlock is the number of neighbouring classes of one position whose soft
	// targets are made at a time.
	softBlock = 512
	// indexedBlock is the number of elements whose largest one is looked for in one call: as many as a
	// call may read, for each one has to look again where it was.
	indexedBlock = 8192
	// indexBlock is the number of indices that one call of gather, maxIndex or otherTargets takes.
	indexBlock = 4096
)

// Lengths of rows from which on another way is faster.
const (
	// wholeRow is the length up to which a row's maximum is found before anything is
	// summed: 256 KiB of float32 are still in the second cache when they are read
	// again.
	wholeRow = 16 * block
	// nearAhead is how many bytes before its use the next part of a longer row is asked for.
	nearAhead = 4096
	// settled is how far into a longer row a new maximum is rare, so that looking for
	// it before summing takes longer than summing twice where there is one.
	settled = 8 * block
	// fewClasses is the length up to which rows are turned into columns, so that lanes go
	// across rows: many would be empty within one.
	fewClasses = 32
	// fewSampleScores is the number of scores up to which samples with fewer positions than a
	// vector has lanes are turned into columns, as rows are: 16 of them are 32 KiB of float32.
	// With as many positions as lanes they are up to fewVectorScores: a call for each sample
	// takes longer then.
	fewSampleScores, fewVectorScores = 512, 64
	// fewTargets is the number of classes up to which the scores of class targets are picked in columns by vectors.
	fewTargets = 16
	// leastPairs is the least number of neighbouring positions with two classes that are copied to rows of a
	// class each: pieces of 16 bytes of float32.
	leastPairs = 4
	// leastPairGroup is the number of such positions from which on those of a sample are read where they are, and not
	// copied, if there are soft targets: it is worth a call of each kernel.
	leastPairGroup = 32
	// leastFetched is the length of a row, a page of memory, from which on the processor does not fetch by itself what
	// the target names.
	leastFetched = 1024
	// smallScores is the number of scores up to which CrossEntropyLoss takes positions for rows, whatever the
	// axes. Losses of so few are added one by one, which is part of the specification.
	smallScores = 32
	// simpleRows is the most rows that CrossEntropyLoss or a function of rows does without setting up
	// a task. More of them are faster in columns, as are more than smallLossRows with weights or soft targets.
	simpleRows, smallLossRows = 16, 8
	// leastSequential is the least number of neighbouring positions whose classes are added
	// up one by one, and not as the lanes of a row are. It is part of the specification.
	leastSequential = 8
)

// Sizes of the items into which a call is divided for its workers.
const (
	// itemElements is the least number of contiguous elements in an item, so that
	// handing it out costs little beside the work.
	itemElements = 1 << 14
	// itemPositions is the most positions in an item of a class loss, and the most
	// rows that are summed at a time.
	itemPositions = 128
	// itemLanes is the most lanes that they have, some of which are empty. Arrays with one
	// element for each have this length.
	itemLanes = stridedPositions * stridedPositions
	// nllFew is the most rows that NLLLoss does without setting up a task, and nllMostClasses the most classes
	// of them: an int of 32 bits can count their scores.
	nllFew, nllMostClasses = 64, 1 << 24
	// nllBlock is the number of positions whose losses NLLLoss adds up before it adds them to those
	// before, and an item of it. It is part of the specification.
	nllBlock = 1 << 10
	// nllPeriod is the most positions that NLLLoss takes for a period, which is whole samples and a multiple of four:
	// up to seven positions a sample, or a multiple of four up to this, have one.
	nllPeriod = 28
	// nllAhead is the number of scores of a gradient of rows that are cleared before any of them is set: 16 KiB of
	// float32, which are still in the first cache then. That takes a sixth less time where there are up to nllAheadScores
	// of ten classes; beyond the second cache it is as fast to clear all at once, or faster.
	nllAhead, nllAheadScores = 1 << 12, 1 << 18
	// nllClearScores is the number of scores of a gradient that a worker clears at a time.
	nllClearScores = 1 << 16
	// stridedPositions is the least number of positions in an item whose classes are
	// not contiguous, if there are so many: a whole vector of float32.
	stridedPositions = 16
	// stridedElements is the most elements of such an item that has more positions
	// than those: their copy, 256 KiB of float32, stays in the second cache.
	stridedElements = 1 << 16
)

// Sizes of CTC. Its results do not depend on them.
const (
	// groupFrames is the largest number of frames whose emissions are made at a time, and so
	// of a run: its length follows from the least emission, which is known for a group. Calls
	// of kernels are few then, while the emissions of 40 labels, 12 KiB, stay in the first cache.
	groupFrames = 32
	// lossFrames is groupFrames where there is no gradient and a panel has few positions: frames times positions
	// are at most groupPositions.
	lossFrames, groupPositions = 64, groupFrames * panelWidth
	// panelWidth is the number of positions that are swept through a group together, a power of
	// two: α, emissions and occupancies of a panel are 128 KiB.
	panelWidth = 128
	// keptBytes is the memory that a gradient takes before its frames are cut into
	// segments, which then have an eighth of it: making α again in the second cache is
	// faster than getting it from memory.
	keptBytes = 8 << 20
	// checkpointShare times as much may be used for α at the start of segments, so that those of long
	// targets are short: √T frames of them would be read from memory again.
	checkpointShare = 16
	// hugeBytes is the size from which on a workspace is not kept for the next
	// sequence.
	hugeBytes = 64 << 20
)

// Sizes of the best path. Its results do not depend on them.
const (
	// keptPositions is the number of positions up to which α of all frames of a segment is kept, 1 MiB: up to
	// that it takes less time than to make α again.
	keptPositions = 64 << 10
	// cutPositions is the number of positions that are kept of α where segments begin, 16 MiB, and a
	// quarter of it in segments that are cut from others. leastCut is the least number of frames of a
	// segment.
	cutPositions, leastCut = 1 << 20, 32
	// keptEmissions is the number of emissions up to which those of all frames are kept, 1 MiB, for a segment
	// that is swept again.
	keptEmissions = 1 << 17
	// pathLevels is how often segments are cut: each time into 4 at least.
	pathLevels = 13
)

// streamBytes is the size from which on a gradient whose rows are apart in memory is
// written past the caches: it is more than most of them hold, and its lines need not be
// read before. (For classes that are not contiguous that is a tenth faster; for
// contiguous ones it would be a fifth slower.) A variable for tests.
var streamBytes = 32 << 20

// What things cost, in nanoseconds, as far as it decides whether work is worth sharing: what
// `make costs` printed for AVX2, rounded, if nothing else is said. A loss with its gradient takes up to
// twice as long.
const (
	// nllPositionCost is that of a position in NLLLoss, and clearByteCost that of a byte of its
	// gradient.
	nllPositionCost, clearByteCost = 0.6, 0.02
	// positionCost is that of a position in CrossEntropyLoss, or of a row.
	positionCost = 5
	// rowCost is that of a row of which ArgMaxRows reads each element once, and readCost that of an
	// element: BenchmarkArgMaxRows measures them.
	rowCost, readCost = 30, 0.15
	// frameCost is that of a frame in CTCLoss, and stateCost that of a label in a frame.
	frameCost, stateCost = 35, 0.9
)

// scoreCost returns that of a score whose exp is made, with all that follows.
func scoreCost() float64 {
	switch tier.Active {
	case tier.Generic:
		return 8
	case tier.AVX512:
		return 0.3
	}
	return 0.5
}
