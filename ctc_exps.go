package trellis

import (
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/tier"
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

// emit makes the emissions y of a group of len(leasts) frames, from row at on, and the least of each. It reports
// whether all are finite; it may say no because of a class that no emission is of.
func (p *expRows[F]) emit(y view.Rows[float64], at int, index []int32, leasts []float64) (finite bool) {
	finite = true
	r, x := 0, p.rows.Data[at*p.rows.Stride:]
	if p.columns < len(index) && !p.inRegisters() { // or there are more classes to turn round than emissions to make
		size := frameBlock * p.columns
		p.blocks = workspace.Resize(p.blocks, 2*size)
		for ; r+blockFrames <= len(leasts); r += blockFrames {
			if toBlocks(p.blocks, size, view.Of(x[r*p.rows.Stride:], p.columns, p.rows.Stride)) != 0 {
				finite = false
			}
			for k := r; k < r+blockFrames; k += frameBlock {
				emitBlock(view.Of(y.Data[k*y.Stride:], y.Columns, y.Stride), p.blocks[(k-r)/frameBlock*size:], index, leasts[k:], p.blockScratch[:])
			}
		}
	}
	perCall := max(1, block/len(index))
	for ; r < len(leasts); r += perCall {
		rows := leasts[r:min(r+perCall, len(leasts))]
		if emit(view.Of(y.Data[r*y.Stride:], y.Columns, y.Stride), view.Of(x[r*p.rows.Stride:], p.rows.Columns, p.rows.Stride), index, rows) != 0 {
			finite = false
		}
	}
	return finite
}

// inRegisters reports whether emit has registers for a whole row, which takes less time than to turn rows into blocks.
// (On AVX2, which has some for 32 classes, both take as long.)
func (p *expRows[F]) inRegisters() bool {
	return tier.Active == tier.AVX512 && fp.IsFloat32[F]() && p.rows.Stride <= 8*fp.Lanes[F]()
}
