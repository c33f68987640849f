package trellis

import (
	"math/bits"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The Go runtime cannot interrupt assembly: no call has more than 64 KiB to read or
// to write. Rows are put together to calls of at most block elements, or of one row.
func TestCallsAreShort(t *testing.T) {
	const most, float = 64 << 10, 8
	assert.LessOrEqual(t, block*float, most)
	assert.LessOrEqual(t, shortRow, block)
	assert.LessOrEqual(t, softBlock*float, most)
	assert.LessOrEqual(t, indexBlock*float, most)
	assert.LessOrEqual(t, stridedBlock*itemPositions*float, most)
	assert.LessOrEqual(t, fewSampleScores*stridedPositions*float, most)
	assert.LessOrEqual(t, itemLanes*float, most)
	assert.GreaterOrEqual(t, itemLanes, itemPositions)
	assert.Zero(t, itemLanes%16, "arrays of one element for each lane have whole vectors")
	// backward has α, emissions and occupancies of all frames, and takes some 5 µs.
	assert.LessOrEqual(t, groupPositions*(2+1+1)*float, 2*most)
	assert.Equal(t, 1, bits.OnesCount(panelWidth))
	assert.GreaterOrEqual(t, panelWidth, 16)
}
