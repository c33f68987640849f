package trellis

import (
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
)

// The kernels in plain Go. They are the specification of every assembly
// kernel, operation by operation, and what runs where there is none. A kernel
// called xGeneric here is described once more in gen/kernels, and x calls the one for
// the tier in use; the bits are the same, but for those of a NaN, and for a maximum
// beside a signalling NaN, which no arithmetic makes: NEON may lose it.
//
//   - A sum over an axis runs in fixed virtual lanes, 16 for float32 and 8 for
//     float64, which is one 512-bit register, two of 256 or four of 128:
//     element i belongs to lane i mod lanes, and at the end the upper half of
//     the lanes is added to the lower half until one is left.
//   - A kernel sees at most one block of an axis; sums of blocks are added in
//     float64, in order. No call has more than 64 KiB to read or to write, because the
//     Go runtime cannot interrupt assembly. (Targets of some thousand labels have rows
//     that are longer.)
//   - Products that feed a sum are either fused by name or rounded by a
//     conversion.

// lanes holds the partial sums of one block.
type lanes[F Float] [16]F

// add adds x, whose first element belongs to the first lane.
func (l *lanes[F]) add(x []F) {
	mask := fp.Lanes[F]() - 1
	for i, v := range x {
		l[i&mask] += v
	}
}

// addBelow does add for the x[i] where d[i] is below bound, and returns the sum of the others.
func (l *lanes[F]) addBelow(x, d []F, bound F) (others F) {
	mask := fp.Lanes[F]() - 1
	d = d[:len(x)]
	for i, v := range x {
		if d[i] < bound {
			l[i&mask] += v
		} else {
			others += v
		}
	}
	return others
}

// fold adds the lanes in halves.
func (l *lanes[F]) fold() F {
	if fp.IsFloat32[F]() {
		return (((l[0] + l[8]) + (l[4] + l[12])) + ((l[2] + l[10]) + (l[6] + l[14]))) +
			(((l[1] + l[9]) + (l[5] + l[13])) + ((l[3] + l[11]) + (l[7] + l[15])))
	}
	return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

// chunk is the number of elements that are computed at a time: whole vectors.
const chunk = 64

// sumExpBlockGeneric returns top, the largest of m and the elements of a block, and
// Σ exp(x[i]−top). If top is above m, one term exp(0) = 1 is left out of the sum: without
// it a small sum keeps its digits. The terms that are 1 are counted, and added last. NaN in
// x are passed over when top is found; m must not be NaN. If x has a NaN, or is not empty
// and top is not finite, the sum is NaN. A top of −0 is +0.
func sumExpBlockGeneric[F Float](x []F, m F) (top, sum F) {
	return expBlockGeneric(nil, x, m)
}

// expBlockGeneric does sumExpBlock and writes dst[i] = exp(x[i]−top), unless dst is nil. dst
// may be x. If the sum is NaN dst is of no use.
func expBlockGeneric[F Float](dst, x []F, m F) (top, sum F) {
	top = max(m, maxBlockGeneric(x))
	sum, ties := expSums(dst, x, top)
	if top > m {
		ties--
	}
	return top + 0, sum + ties
}

// expSums writes dst[i] = exp(x[i]−m), unless dst is nil, and returns the sum of what is
// below 1, and how often it is 1: NaN if x has one. dst may be x.
func expSums[F Float](dst, x []F, m F) (sum, ties F) {
	var s lanes[F]
	var room [chunk]F
	for at := 0; at < len(x); at += chunk {
		d := x[at:min(at+chunk, len(x))]
		e := room[:len(d)]
		fp.Exps(e, d, m)
		ties += s.addBelow(e, d, m)
		if dst != nil {
			copy(dst[at:], e)
		}
	}
	return s.fold(), ties
}

// sumExpBelowGeneric returns Σ exp(x[i]−m) over a block, and reached, which is not 0 if an
// x[i] is m or above it. If one is above m the sum is unspecified. A NaN in x, of either
// sign, makes it NaN.
func sumExpBelowGeneric[F Float](x []F, m F) (sum F, reached int) {
	for _, v := range x {
		if v >= m {
			reached = 1
		}
	}
	return expBelowGeneric(nil, x, m), reached
}

// expBelowGeneric does sumExpBelow where no element is above m, and writes
// dst[i] = exp(x[i]−m), unless dst is nil. dst may be x.
func expBelowGeneric[F Float](dst, x []F, m F) (sum F) {
	var s lanes[F]
	var room [chunk]F
	for at := 0; at < len(x); at += chunk {
		e := room[:min(chunk, len(x)-at)]
		fp.Exps(e, x[at:][:len(e)], m)
		s.add(e)
		if dst != nil {
			copy(dst[at:], e)
		}
	}
	return s.fold()
}

// expCopyGeneric writes dst[i] = exp(x[i]−m) over a block where no element is above m, and
// returns the sum of what is below 1, and how often it is 1: NaN if x has one. On the way
// it copies in to out, past the caches: out has whole vectors, no more than x, and an
// address that is a multiple of 64. ahead is the distance in bytes, which may be
// negative, from x to the row that is read next: it is prefetched.
func expCopyGeneric[F Float](dst, x []F, m F, out, in []F, ahead int) (sum, ties F) {
	copy(out, in)
	return expSums(dst, x, m)
}

// maxBlockGeneric returns the largest element of a block, leaving out NaN: −Inf for
// none, +0 for −0.
func maxBlockGeneric[F Float](x []F) (top F) {
	top = fp.NegInf[F]()
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	return top + 0
}

// sumExpRowsGeneric does sumExpBlock for rows of n ≥ 1 elements with m = −Inf: m[r] is the
// maximum of row r and sum[r] its sum. m and sum have a multiple of four elements, of
// which those beyond the rows are of no use, and scratch has rowScratch for each.
func sumExpRowsGeneric[F Float](m []F, sum []float64, scratch, x []F, n, rows int) {
	var terms [4 * chunk]F // of rows of up to shortRow elements
	perCall := len(terms) / n
	for from := 0; from < rows; from += perCall {
		to := min(from+perCall, rows)
		for r := from; r < to; r++ {
			m[r] = maxBlockGeneric(x[r*n:][:n])
		}
		e := terms[:(to-from)*n]
		expOfRows(e, x[from*n:to*n], n, m[from:to])
		for r := from; r < to; r++ {
			var s lanes[F]
			ties := s.addBelow(e[(r-from)*n:][:n], x[r*n:][:n], m[r])
			sum[r] = float64(s.fold() + (ties - 1))
		}
	}
}

// expOfRows writes dst[r·n+i] = exp(x[r·n+i]−m[r]). dst may be x.
func expOfRows[F Float](dst, x []F, n int, m []F) {
	if n >= 32 {
		for r, top := range m {
			fp.Exps(dst[r*n:][:n], x[r*n:][:n], top)
		}
		return
	}
	for r, top := range m { // many short rows are done as one
		d := dst[r*n:][:n]
		for i, v := range x[r*n:][:n] {
			d[i] = v - top
		}
	}
	fp.Exps(dst[:len(m)*n], dst[:len(m)*n], 0)
}

// log1pGeneric writes dst[i] = ln(1+x[i]) for 0 ≤ x[i] < 2⁵³. dst may be x.
func log1pGeneric(dst, x []float64) {
	for i, v := range x[:len(dst)] {
		dst[i] = fp.Log1p(v)
	}
}

// softmaxRowsGeneric writes dst[r·n+i] = exp(x[r·n+i]−m[r])·scale[r]. dst may be x.
func softmaxRowsGeneric[F Float](dst, x []F, n int, m, scale []F) {
	expOfRows(dst, x, n, m)
	for r, factor := range scale[:len(m)] {
		scaleGeneric(dst[r*n:][:n], factor)
	}
}

// scaleGeneric multiplies dst by a factor.
func scaleGeneric[F Float](dst []F, factor F) {
	for i := range dst {
		dst[i] *= factor
	}
}

// logSoftmaxRowsGeneric writes dst[r·n+i] = (x[r·n+i]−hi[r])−lo[r]. dst may be x.
func logSoftmaxRowsGeneric[F Float](dst, x []F, n int, hi, lo []F) {
	for r := range hi {
		d := dst[r*n:][:n]
		for i, v := range x[r*n:][:n] {
			d[i] = (v - hi[r]) - lo[r]
		}
	}
}

// dotLogSoftmaxGeneric returns Σ w[i]·((x[i]−hi)−lo) and Σ w[i] over a block. Where
// w[i] is 0 nothing is added, even if x[i] is −Inf: 0·ln 0 is 0 here.
func dotLogSoftmaxGeneric[F Float](w, x []F, hi, lo F) (dot, sum F) {
	var d, s, logs lanes[F]
	n := fp.Lanes[F]()
	for at := 0; at < len(w); at += n {
		part := w[at:min(at+n, len(w))]
		for i, v := range x[at:][:len(part)] {
			if logs[i] = (v - hi) - lo; part[i] == 0 {
				logs[i] = -part[i] // the product is −0, which changes no sum
			}
			s[i] += part[i]
		}
		fp.AddProducts(d[:], part, logs[:], -1)
	}
	return d.fold(), s.fold()
}

// mulAddGeneric writes dst[i] = x[i]·factor + summand, rounded once. dst may be x.
func mulAddGeneric[F Float](dst, x []F, factor, summand F) {
	var room [chunk]F
	for at := 0; at < len(dst); at += chunk {
		sums := room[:min(chunk, len(dst)-at)]
		for i := range sums {
			sums[i] = summand
		}
		fp.AddMultiples(sums, x[at:][:len(sums)], factor)
		copy(dst[at:], sums)
	}
}

// multiplyGeneric does dst[i] *= w[i].
func multiplyGeneric[F Float](dst, w []F) {
	for i := range dst {
		dst[i] *= w[i]
	}
}

// subtractGeneric does dst[i] −= w[i]·scale, rounded once, where w may not be dst.
func subtractGeneric[F Float](dst, w []F, scale F) {
	fp.AddMultiples(dst, w, -scale)
}

// gatherGeneric writes dst[i] = src[index[i]], for indices that are in range.
func gatherGeneric[F Float](dst, src []F, index []int32) {
	for i, k := range index {
		dst[i] = src[k]
	}
}

// maxIndexGeneric returns the largest index as an unsigned number, 0 for none: a
// negative index is larger than any other.
func maxIndexGeneric(index []int32) (most uint32) {
	for _, k := range index {
		most = max(most, uint32(k))
	}
	return most
}

// The strided kernels have their lanes across neighbouring positions. Rows of x and dst
// are classes: row c, column j is the logit of class c at position j. They work on a copy
// of some positions, whose rows are whole vectors, like everything that there is once for
// a position: m, sum, ties, factor.

// maxStridedGeneric copies count classes from x to dst and brings m[j], the largest logit
// of position j so far, up to date with them. NaN are left out, and −0 is +0. In the
// columns that dst has beyond those of x it writes −Inf.
func maxStridedGeneric[F Float](m []F, dst, x view.Rows[F], count int) {
	for c := range count {
		d := dst.Row(c)
		for j := range d[x.Columns:] {
			d[x.Columns+j] = fp.NegInf[F]()
		}
		for j, v := range x.Row(c) {
			d[j] = v
			if v > m[j] {
				m[j] = v
			}
		}
	}
	for j := range m[:dst.Columns] {
		m[j] += 0
	}
}

// expStridedGeneric replaces x by exp(x−m[j]) in count classes, at most stridedBlock,
// and adds the sum of what was below m[j] to sum[j], and how often it was m[j] to
// ties[j]. No element is above m[j]. If an x−m[j] is NaN so is ties[j]. With the last
// classes last is 1, else 0: then ties[j]−1 is added to sum[j], too.
func expStridedGeneric[F Float](sum []float64, ties, m []F, x view.Rows[F], count int, last F) {
	var room [chunk]F
	for from := 0; from < x.Columns; from += chunk {
		var total, tied [chunk]F
		d := room[:min(chunk, x.Columns-from)]
		for c := range count {
			row := x.Row(c)[from:][:len(d)]
			for j, v := range row {
				d[j] = v - m[from+j]
			}
			fp.Exps(row, d, 0)
			for j, e := range row {
				if d[j] < 0 {
					total[j] += e
				} else {
					tied[j] += e
				}
			}
		}
		for j := range d {
			ties[from+j] += tied[j] // by ones it would not get past 2²⁴ in float32
			sum[from+j] += float64(F((ties[from+j]-1)*last) + total[j])
		}
	}
}

// scaleStridedGeneric writes x·factor[j], of count classes, to where they came from.
func scaleStridedGeneric[F Float](dst, x view.Rows[F], count int, factor []F) {
	for c := range count {
		d := dst.Row(c)
		for j, v := range x.Row(c)[:len(d)] {
			d[j] = v * factor[j]
		}
	}
}

// scaleStridedStreamGeneric is scaleStrided past the caches. The address of dst and the
// bytes of its stride are multiples of 64.
func scaleStridedStreamGeneric[F Float](dst, x view.Rows[F], count int, factor []F) {
	scaleStridedGeneric(dst, x, count, factor)
}

// addLogSoftmaxGeneric is dotLogSoftmax for one class of some positions: it adds
// w[j]·((x[j]−hi[j])−lo[j]) to dot[j] and w[j] to sum[j]. All but x are read and
// written in whole vectors.
func addLogSoftmaxGeneric[F Float](dot, sum []float64, w, x, hi, lo []F) {
	for j, v := range x {
		if w[j] != 0 {
			dot[j] += float64(w[j] * ((v - hi[j]) - lo[j]))
		}
		sum[j] += float64(w[j])
	}
}

// subtractProductsGeneric does dst[j] −= w[j]·scale[j], rounded once.
func subtractProductsGeneric[F Float](dst, w, scale []F) {
	var factors [chunk]F
	for at := 0; at < len(dst); at += chunk {
		to := min(at+chunk, len(dst))
		for i, v := range scale[at:to] {
			factors[i] = -v
		}
		fp.AddProducts(dst[at:to], w[at:to], factors[:], -1)
	}
}
