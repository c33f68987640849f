package trellis

import (
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/workspace"
)

// rowStream computes exp(x−m) of one row of scores after the other, where the rows are
// longer than the first cache and lie apart in memory. Three rows are under way at a
// time: exp reads one row, the processor is told to fetch the row that is read next, and
// a result that the caller has finished is copied past the caches to its place.
type rowStream[F Float] struct {
	rows [2][]F // results of exp that have no place yet, the last two
	turn int    // which of them is the last
	out  []F    // the place of a finished row, as far as it is not written
	in   []F    // what is to be copied there
}

// exp returns the largest score m of the row x, made[i] = exp(x[i]−m), and their sum
// without the first 1, which is NaN if the row has no softmax. ahead is the distance in
// bytes from x to the row that is read next. made is dst, or if that is nil a row of r,
// which stays until exp has been called twice more.
func (r *rowStream[F]) exp(dst, x []F, ahead int) (made []F, m F, sum float64) {
	if made = dst; dst == nil {
		r.turn ^= 1
		r.rows[r.turn] = workspace.Resize(r.rows[r.turn], len(x))
		made = r.rows[r.turn]
	}
	m = maxRow(x)
	var ties float64
	for at := 0; at < len(x); at += block {
		b := x[at:min(at+block, len(x))]
		n := min(len(r.out), len(b)) &^ (fp.Lanes[F]() - 1)
		s, t := expCopy(made[at:][:len(b)], b, m, r.out[:n], r.in[:n], ahead)
		sum += float64(s)
		ties += float64(t)
		r.out, r.in = r.out[n:], r.in[n:]
	}
	r.flush()
	return made, m, sum + (ties - 1)
}

// finish takes note that row, a result of exp, belongs to dst as it is now. The next
// call of exp, or flush, copies it there.
func (r *rowStream[F]) finish(dst, row []F) {
	size := fp.Size[F]()
	head := min(int(-uintptr(unsafe.Pointer(&dst[0]))%64)/size, len(dst)) // up to where a vector begins
	copy(dst[:head], row)
	r.out, r.in = dst[head:], row[head:]
}

// flush copies what is left of the last finished row.
func (r *rowStream[F]) flush() {
	copy(r.out, r.in)
	r.out, r.in = nil, nil
}
