package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/fp"
)

// Sums of exp over rows of any length, and what is made of them.

// sumExpRow returns the maximum m of x and Σ exp(x[i]−m) without the first
// maximum: ln(1+sum) + m is the log-sum-exp. If m is not finite the sum is NaN, and m
// is the log-sum-exp. ahead is the distance in bytes from x to the row that is read next.
func sumExpRow[F Float](x []F, ahead int) (m F, sum float64) {
	switch {
	case len(x) <= block:
		top, s := sumExpBlock(x, fp.NegInf[F](), ahead)
		m, sum = top, float64(s)
	case len(x) <= wholeRow:
		m, sum = sumExpWhole(nil, x, ahead)
	default:
		m, sum = sumExpLong(x)
	}
	if sum != sum || len(x) == 0 {
		return nanOr(x, m), math.NaN()
	}
	return m, sum
}

// expRow does for a row that is not empty what sumExpRow does up to wholeRow, and
// writes dst[i] = exp(x[i]−m). If the sum is NaN, m and dst are of no use. dst may be x.
func expRow[F Float](dst, x []F, ahead int) (m F, sum float64) {
	if len(x) <= block {
		top, s := expBlock(dst, x, fp.NegInf[F](), ahead)
		m, sum = top, float64(s)
	} else {
		m, sum = sumExpWhole(dst, x, ahead)
	}
	return m, sum
}

// sumExpWhole is sumExpRow for rows that are not empty, but for what it returns of those without a
// log-sum-exp: the sum is NaN, and m may be the largest element beside a NaN. It finds the maximum
// first. It writes exp(x[i]−m) to dst unless dst is nil.
func sumExpWhole[F Float](dst, x []F, ahead int) (m F, sum float64) {
	m = maxRow(x)
	var ties float64
	for at := 0; at < len(x); at += block {
		b := x[at:min(at+block, len(x))]
		var s, t F
		if dst == nil {
			s, t = sumExpBelow(b, m, ahead)
		} else {
			s, t = expCopy(dst[at:][:len(b)], b, m, nil, nil, ahead)
		}
		sum += float64(s)
		ties += float64(t)
	}
	return m, sum + (ties - 1)
}

// maxRow returns the largest element of a row of any length, leaving out NaN.
func maxRow[F Float](x []F) F {
	m := fp.NegInf[F]()
	for ; len(x) > 0; x = x[min(block, len(x)):] {
		m = max(m, maxBlock(x[:min(block, len(x))]))
	}
	return m
}

// sumExpLong is sumExpRow for rows that are longer than wholeRow: it reads x once from
// memory, and a new maximum rescales the sum so far.
func sumExpLong[F Float](x []F) (m F, sum float64) {
	m = fp.NegInf[F]()
	for at := 0; at < len(x); at += block {
		b := x[at:min(at+block, len(x))]
		if at >= settled && fp.IsFinite(m) {
			if s, ties := sumExpBelow(b, m, nearAhead); ties == 0 {
				sum += float64(s)
				continue
			}
		}
		top, s := sumExpBlock(b, m, nearAhead)
		if top > m && fp.IsFinite(m) {
			sum = float64((1 + sum) * fp.Exp64(float64(m)-float64(top)))
		}
		m = top
		if fp.IsFinite(m) {
			sum += float64(s)
		} else if m = nanOr(b, m); m != fp.NegInf[F]() {
			break
		}
	}
	if !fp.IsFinite(m) {
		sum = math.NaN()
	}
	return m, sum
}

// nanOr returns a NaN of x if it has one, else m, the largest element.
func nanOr[F Float](x []F, m F) F {
	for _, v := range x {
		if v != v {
			return v
		}
	}
	return m
}

// rowSums is what sumExpRow finds out about each of some rows, and scratch for it.
type rowSums[F Float] struct {
	max     [itemLanes]F
	sum     [itemLanes]float64
	scratch [shortRows * rowScratch]F
}

// sumExpEach sets max and sum to what sumExpRow returns, for rows of n elements, at most
// itemPositions. But where the sum is NaN, max may be the largest element beside a NaN.
func (s *rowSums[F]) sumExpEach(x []F, n, rows int) {
	m, sum := s.max[:rows], s.sum[:rows]
	if n == 0 || n > shortRow {
		for r := range m {
			m[r], sum[r] = sumExpRow(x[r*n:][:n], n*fp.Size[F]())
		}
		return
	}
	perCall := min(shortRows, block/n&^3) // in fours, as sumExpRows writes them
	for r := 0; r < rows; r += perCall {
		count := min(perCall, rows-r)
		sumExpRows(s.max[r:], s.sum[r:], s.scratch[:], x[r*n:][:count*n], n, count)
	}
}

// sumFewRows is sumExpRows for up to simpleRows rows.
func sumFewRows[F Float](top *[simpleRows]F, sums *[simpleRows]float64, x []F, rows, n int) {
	if rows == 1 {
		var scratch [rowScratch]F
		sumExpRows(top[:], sums[:], scratch[:], x, n, rows)
		return
	}
	var scratch [simpleRows * rowScratch]F // to clear it takes as long as a row
	sumExpRows(top[:], sums[:], scratch[:], x, n, rows)
}

// rowsOp is what is computed of every row.
type rowsOp uint8

const (
	opLogSumExp rowsOp = iota
	opLogSoftmax
	opSoftmax
)

// writeRows writes the log-softmax or softmax of rows of n elements. a and b have one
// element for each row: for the log-softmax hi and lo of splitLogSumExp, for the softmax the
// maximum and the factor 1/(1+sum).
func writeRows[F Float](op rowsOp, dst, x []F, n int, a, b []F) {
	perCall := max(1, block/max(n, 1))
	for r := 0; r < len(a); r += perCall {
		end := min(r+perCall, len(a))
		for from := r * n; from < end*n; from += block {
			to := min(from+block, end*n)
			width := min(n, to-from) // less than n where a row takes several calls
			if op == opLogSoftmax {
				logSoftmaxRows(dst[from:to], x[from:to], width, a[r:end], b[r:end])
			} else {
				softmaxRows(dst[from:to], x[from:to], width, a[r:end], b[r:end])
			}
		}
	}
}

// softmaxRow writes the softmax of a row of any length. dst may be x.
func softmaxRow[F Float](dst, x []F) {
	ahead := len(x) * fp.Size[F]()
	if len(x) > wholeRow {
		m, sum := sumExpRow(x, ahead)
		writeRows(opSoftmax, dst, x, len(x), []F{m}, []F{F(1 / (1 + sum))})
		return
	}
	_, sum := expRow(dst, x, ahead)
	scaleRow(dst, F(1/(1+sum)))
}

// scaleRow multiplies a row of any length by a factor.
func scaleRow[F Float](dst []F, factor F) {
	for ; len(dst) > 0; dst = dst[min(block, len(dst)):] {
		scale(dst[:min(block, len(dst))], factor)
	}
}
