package trellis

import (
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
	assert.LessOrEqual(t, itemPositions*float, most)
	assert.Zero(t, itemPositions%16, "arrays of one element for each position have whole vectors")
	// backward reads α, emissions and occupancies of all frames, and factors and β once.
	assert.LessOrEqual(t, (callPositions*(2+1+1)+callWidth*(3+2))*float, most)
	assert.LessOrEqual(t, 3*2*callWidth*float, most) // normalizeRow, rescale
	assert.LessOrEqual(t, callWidth, callPositions)
	assert.Zero(t, callWidth%16)
}
