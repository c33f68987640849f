package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// expRows is exp of scores, in rows, each divided by a power of two of its own.
type expRows[F Float] struct {
	rows              view.Rows[F] // whole vectors
	top, ref, scratch []F          // of a group: see expFramesGeneric
	sum               []float64
	columns           int       // of rows that are turned into blocks
	blocks            []float64 // two of these, of emit: see toBlocksGeneric
}

// resize makes room for rows of so many scores, in a width of whole vectors.
func (p *expRows[F]) resize(columns, width, rows int) {
	p.columns = max(columns, leastColumns)
	p.rows = view.Of(workspace.Resize(p.rows.Data, rows*width), width, width)
	group := groupFrames + 3 // four are written at a time
	p.top, p.ref, p.sum = workspace.Resize(p.top, group), workspace.Resize(p.ref, group), workspace.Resize(p.sum, group)
	p.scratch = workspace.Resize(p.scratch, group*rowScratch)
}

// exp does some frames of x, into the rows from row at on. The first is frame r of the group.
func (p *expRows[F]) exp(at, r int, x view.Rows[F], frames int) {
	perCall := max(1, block/x.Columns&^3)
	for k := 0; k < frames; k += perCall {
		expFrames(p.rows.From(at+k), p.top[r+k:], p.ref[r+k:], p.sum[r+k:], p.scratch, x.From(k), min(perCall, frames-k))
	}
}

// narrow writes to the rows from row at on those that q has of a group of so many frames, rounded.
func (p *expRows[F]) narrow(at int, q *expRows[float64], frames int) {
	perCall := max(1, block/q.rows.Columns)
	for k := 0; k < frames; k += perCall {
		narrow(p.rows.From(at+k), q.rows.From(k), min(perCall, frames-k))
	}
}

// exponent returns that of the power of two by which row r of the group was divided.
func (p *expRows[F]) exponent(r int) float64 { return fp.Unshifted(p.ref[r]) }

// inRange reports whether exp of frame r of the group is of use.
func (p *expRows[F]) inRange(r int) bool { return p.top[r] <= fp.MaxScore && p.top[r] >= -fp.MaxScore }

// frame returns what is known of frame r of the group.
func (p *expRows[F]) frame(r int) (exponent, top, sum float64, inRange bool) {
	return p.exponent(r), float64(p.top[r]), p.sum[r], p.inRange(r)
}

// allInRange is inRange for the first frames of the group.
func (p *expRows[F]) allInRange(frames int) bool {
	for r := range frames {
		if !p.inRange(r) {
			return false
		}
	}
	return true
}

// emit makes the emissions y of a group of so many frames, from row at on, and returns the
// least, or NaN if one is not finite.
func (p *expRows[F]) emit(y view.Rows[float64], at int, index []int32, frames int) (least float64) {
	least = math.Inf(1)
	r := 0
	if p.columns < len(index) { // else there are more classes to turn round than emissions to make
		size := frameBlock * p.columns
		p.blocks = workspace.Resize(p.blocks, 2*size)
		for ; r+blockFrames <= frames; r += blockFrames {
			poison := toBlocks(p.blocks, size, view.Of(p.rows.From(at+r).Data, p.columns, p.rows.Stride))
			first := emitBlock(y.From(r), p.blocks, index)
			second := emitBlock(y.From(r+frameBlock), p.blocks[size:], index)
			least = min(least+float64(poison), first, second)
		}
	}
	perCall := max(1, block/len(index))
	for ; r < frames; r += perCall {
		l := emit(y.From(r), p.rows.From(at+r), index, min(perCall, frames-r))
		least = min(least, float64(l))
	}
	return least
}
