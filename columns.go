package trellis

import (
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// columns is a transposed copy of a matrix: column c of that is row c here. Its rows have whole
// vectors.
type columns[F Float] struct {
	view.Rows[F]
	data []F // there is more than Rows needs if its rows are shorter than a piece of 16 bytes
	edge []F // the last rows of the matrix, followed by room
}

// load copies a matrix with so many rows of n elements, without gaps. What is beyond them in
// the last vector of a row here is of no use.
func (t *columns[F]) load(x []F, n, rows int) {
	width := fp.WholeVectors[F](rows)
	t.data = workspace.Resize(t.data, max(n, pieceOf[F]())*width)
	t.Rows = view.Of(t.data, width, width)
	direct := t.direct(n, rows)
	for from, perCall := 0, t.perCall(n); from < direct; from += perCall {
		toColumns(t.part(t.data, from), view.Of(x[from*n:], n, n), min(perCall, direct-from))
	}
	if direct < rows {
		last := fp.WholeVectors[F](rows - direct)
		copy(t.makeEdge(n, last), x[direct*n:rows*n])
		toColumns(t.part(t.data, direct), view.Of(t.edge, n, n), last)
	}
}

// store writes a matrix that src has as load made it, in its size and place of rows.
func (t *columns[F]) store(dst, src []F, n, rows int) {
	direct := t.direct(n, rows)
	for from, perCall := 0, t.perCall(n); from < direct; from += perCall {
		toRows(view.Of(dst[from*n:], n, n), t.part(src, from), min(perCall, direct-from))
	}
	if direct < rows {
		last := fp.WholeVectors[F](rows - direct)
		toRows(view.Of(t.makeEdge(n, last), n, n), t.part(src, direct), last)
		copy(dst[direct*n:rows*n], t.edge)
	}
}

// direct returns how many rows of a matrix a kernel reads or writes itself: whole vectors of
// them, as long as the piece at the last one ends within the matrix.
func (t *columns[F]) direct(n, rows int) int {
	behind := (pieceOf[F]() - 1) / n // rows that a piece reaches beyond its own
	return max(rows-behind, 0) &^ (fp.Lanes[F]() - 1)
}

// perCall returns how many rows of n elements a kernel takes in one call.
func (t *columns[F]) perCall(n int) int {
	lanes := fp.Lanes[F]()
	return max(lanes, block/n&^(lanes-1))
}

// part returns what data has of the matrix from a row on, which is the first of a vector.
func (t *columns[F]) part(data []F, from int) view.Rows[F] {
	return view.Of(data[from:], t.Columns-from, t.Stride)
}

// makeEdge returns room for so many rows of n elements.
func (t *columns[F]) makeEdge(n, rows int) []F {
	t.edge = workspace.Resize(t.edge, (rows-1)*n+max(n, pieceOf[F]()))
	return t.edge
}

// loadPairs copies samples of two classes with n positions each, a multiple of leastPairs: row c here
// is class c of all of them.
func (t *columns[F]) loadPairs(x []F, n, samples int) {
	width := fp.WholeVectors[F](n * samples)
	t.data = workspace.Resize(t.data, 2*width)
	t.Rows = view.Of(t.data, width, width)
	for i := range samples {
		copyPieces(t.data[i*n:], x[2*i*n:], n)
		copyPieces(t.data[width+i*n:], x[(2*i+1)*n:], n)
	}
}

// storePairs copies what has the places of loadPairs to samples.
func (t *columns[F]) storePairs(dst, src []F, n, samples int) {
	for i := range samples {
		copyPieces(dst[2*i*n:], src[i*n:], n)
		copyPieces(dst[(2*i+1)*n:], src[t.Stride+i*n:], n)
	}
}

// copyPieces copies n elements, a multiple of leastPairs, which are too few for a call of copy.
func copyPieces[F Float](dst, src []F, n int) {
	i := 0
	for ; i+4*leastPairs <= n; i += 4 * leastPairs {
		*(*[4 * leastPairs]F)(dst[i:]) = [4 * leastPairs]F(src[i:])
	}
	for ; i < n; i += leastPairs {
		*(*[leastPairs]F)(dst[i:]) = [leastPairs]F(src[i:])
	}
}

// pieceOf returns how many elements a piece of 16 bytes has.
func pieceOf[F Float]() int { return 16 / fp.Size[F]() }
