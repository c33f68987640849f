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
	blockScratch      [blockScratch]float64
}

// resize makes room for rows of so many scores, in a width of whole vectors.
func (p *expRows[F]) resize(columns, width, rows int) {
	p.columns = max(columns, leastColumns)
	p.rows = view.Of(workspace.Resize(p.rows.Data, rows*width), width, width)
	group := lossFrames + 3 // four are written at a time
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

// allInRange is inRange for the first frames of the group.
func (p *expRows[F]) allInRange(frames int) bool {
	for r := range frames {
		if !p.inRange(r) {
			return false
		}
	}
	return true
}

// emit makes the emissions y of a group of len(leasts) frames, from row at on, and the least of each. It returns
// the least of all, or NaN if one is not finite.
func (p *expRows[F]) emit(y view.Rows[float64], at int, index []int32, leasts []float64) (least float64) {
	least = math.Inf(1)
	r := 0
	if p.columns < len(index) { // else there are more classes to turn round than emissions to make
		size := frameBlock * p.columns
		p.blocks = workspace.Resize(p.blocks, 2*size)
		var poison F
		for ; r+blockFrames <= len(leasts); r += blockFrames {
			poison += toBlocks(p.blocks, size, view.Of(p.rows.From(at+r).Data, p.columns, p.rows.Stride))
			for b := range blockFrames / frameBlock {
				frame := r + b*frameBlock
				emitBlock(y.From(frame), p.blocks[b*size:], index, leasts[frame:], p.blockScratch[:])
			}
		}
		all := math.Float64bits(least) // whose order is that of numbers that are not negative
		for _, l := range leasts[:r] {
			all = min(all, math.Float64bits(l))
		}
		least = math.Float64frombits(all) + float64(poison)
	}
	perCall := max(1, block/len(index))
	for ; r < len(leasts); r += perCall {
		rows := leasts[r:min(r+perCall, len(leasts))]
		l := float64(emit(y.From(r), p.rows.From(at+r), index, len(rows)))
		for k := range rows {
			if rows[k] = l; l == 0 { // of which?
				rows[k] = float64(emit(y.From(r+k), p.rows.From(at+r+k), index, 1))
			}
		}
		least = min(least, l)
	}
	return least
}
