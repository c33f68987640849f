package trellis

import (
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/workspace"
)

// rowStream makes exp of rows of scores that are too long for the first cache and lie
// apart in memory. While it makes one, it fetches the next, and writes the last one
// that was finished to where it belongs.
type rowStream[F Float] struct {
	rows    [2][]F
	turn    int
	out, in []F // where the rest of the last row is to be written, and that rest
}

// exp returns the largest score m of a row, exp(x−m), and their sum without the first
// 1, which is NaN if there is no softmax. The row that is read next is so many bytes away.
// The result goes into dst, or into a row of r, which is kept until the row after the
// next.
func (r *rowStream[F]) exp(dst, x []F, ahead int) (made []F, m F, sum float64) {
	if made = dst; dst == nil {
		r.turn ^= 1
		r.rows[r.turn] = workspace.Resize(r.rows[r.turn], len(x))
		made = r.rows[r.turn]
	}
	m = fp.NegInf[F]()
	for at := 0; at < len(x); at += block {
		m = max(m, maxBlock(x[at:min(at+block, len(x))]))
	}
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

// finish has a row of r written to dst.
func (r *rowStream[F]) finish(dst, row []F) {
	size := fp.Size[F]()
	head := min(int(-uintptr(unsafe.Pointer(&dst[0]))%64)/size, len(dst))
	copy(dst[:head], row)
	r.out, r.in = dst[head:], row[head:]
}

// flush writes what is left.
func (r *rowStream[F]) flush() {
	copy(r.out, r.in)
	r.out, r.in = nil, nil
}
