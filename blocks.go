package trellis

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
	// indexBlock is the number of indices that one call of gather or maxIndex takes.
	indexBlock = 4096
)

// Lengths of rows from which on another way is faster.
const (
	// wholeRow is the length up to which a row's maximum is found before anything is
	// summed: 256 KiB of float32 are still in the second cache when they are read
	// again.
	wholeRow = 16 * block
	// settled is how far into a longer row a new maximum is rare, so that looking for
	// it before summing takes longer than summing twice where there is one.
	settled = 8 * block
	// leastStrided is the least number of neighbouring positions across which the lanes of
	// a kernel go: fewer would leave most lanes empty.
	leastStrided = 8
)

// Sizes of the items into which a call is divided for its workers.
const (
	// itemElements is the least number of contiguous elements in an item, so that
	// handing it out costs little beside the work.
	itemElements = 1 << 14
	// itemPositions is the most positions in an item of a class loss, and the most
	// rows that are summed at a time: arrays with one element for each have this length.
	itemPositions = 128
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
	// callWidth is the number of positions that one call of a sweep works on, and
	// callPositions that in all frames of a call: α, emissions and occupancies of so
	// many are 40 KiB.
	callWidth, callPositions = 512, 1280
	// keptBytes is the memory that a gradient takes before its frames are cut into
	// segments, which then have an eighth of it: making α again in the second cache is
	// faster than getting it from memory.
	keptBytes = 8 << 20
	// hugeBytes is the size from which on a workspace is not kept for the next
	// sequence.
	hugeBytes = 64 << 20
)

// streamBytes is the size from which on a gradient whose rows are apart in memory is
// written past the caches: it is more than most of them hold, and its lines need not be
// read before. (For classes that are not contiguous that is a tenth faster; for
// contiguous ones it would be a fifth slower.) A variable for tests.
var streamBytes = 32 << 20
