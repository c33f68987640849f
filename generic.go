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

// addBelow does add for the x[i] where d[i] is below bound, or NaN, and returns how many the others, which are 1, and
// NaN are.
func (l *lanes[F]) addBelow(x, d []F, bound F) (others F) {
	mask := fp.Lanes[F]() - 1
	d = d[:len(x)]
	for i, v := range x {
		if !(d[i] < bound) {
			others++
			v -= 1
		}
		l[i&mask] += v
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
// and top is not finite, the sum is NaN. A top of −0 is +0. ahead is the distance in bytes, which may be
// negative, from x to what is read next: it is prefetched.
func sumExpBlockGeneric[F Float](x []F, m F, ahead int) (top, sum F) {
	return expBlockGeneric(nil, x, m, ahead)
}

// expBlockGeneric does sumExpBlock and writes dst[i] = exp(x[i]−top), unless dst is nil. dst
// may be x. If the sum is NaN dst is of no use.
func expBlockGeneric[F Float](dst, x []F, m F, ahead int) (top, sum F) {
	top = max(m, maxBlockGeneric(x))
	sum, ties := expSums(dst, x, top)
	if top > m {
		ties--
	}
	return top + 0, sum + ties
}

// expSums writes dst[i] = exp(x[i]−m), unless dst is nil, and returns the sum of what is
// below 1, NaN if x has one, and how often it is 1 or NaN. dst may be x.
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

// sumExpBelowGeneric returns Σ exp(x[i]−m) over what is below 1 of a block where no element is
// above m, NaN if x has one, and how often it is 1 or NaN. If an element is above m the sums are unspecified,
// but ties is not 0. ahead is as in sumExpBlock.
func sumExpBelowGeneric[F Float](x []F, m F, ahead int) (sum, ties F) { return expSums(nil, x, m) }

// expCopyGeneric writes dst[i] = exp(x[i]−m) over a block where no element is above m, and
// returns the sum of what is below 1, NaN if x has one, and how often it is 1 or NaN. dst may be x. On the way
// it copies in to out, past the caches: out has whole vectors, no more than x, and an
// address that is a multiple of 64. ahead is as in sumExpBlock.
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

// gatherGeneric writes dst[r·k+i] = src[r·n+index[r·k+i]] for rows r of k indices, k ≥ 1, that are in
// range. There are whole rows of indices.
func gatherGeneric[F Float](dst, src []F, index []int32, n, k int) {
	dst = dst[:len(index)]
	i := 0
	for at := 0; i < len(index); at += n {
		row := src[at:]
		for end := i + k; i < end; i++ {
			dst[i] = row[index[i]]
		}
	}
}

// fetchGeneric stands for what asks for x[r][index[i]] of some rows, which will be read soon: plain Go can't.
func fetchGeneric[F Float](x view.Rows[F], index []int32, rows int) {}

// maxIndexGeneric returns the largest index as an unsigned number, 0 for none: a
// negative index is larger than any other.
func maxIndexGeneric(index []int32) (most uint32) {
	for ; len(index) >= 4; index = index[4:] { // or each would wait for the one before
		most = max(most, max(uint32(index[0]), uint32(index[1])), max(uint32(index[2]), uint32(index[3])))
	}
	for _, k := range index {
		most = max(most, uint32(k))
	}
	return most
}

// otherTargetsGeneric returns others, which is 0 if all targets are from 0 to classes−1.
func otherTargetsGeneric(targets []int, classes int) (others int) {
	most := uint(classes)
	for ; len(targets) >= 4; targets = targets[4:] {
		if uint(targets[0]) >= most || uint(targets[1]) >= most || uint(targets[2]) >= most || uint(targets[3]) >= most {
			return 1
		}
	}
	for _, y := range targets {
		if uint(y) >= most {
			return 1
		}
	}
	return 0
}

// The strided kernels have their lanes across neighbouring positions. Rows of x and dst
// are classes: row c, column j is the logit of class c at position j. They work on a copy
// of some positions, whose rows are whole vectors, like everything that there is once for
// a position: m, sum, ties, factor.

// narrowTargetsGeneric writes targets to class, and returns others, which is 0 if all of them are from 0 to
// classes−1. Else class is of no use.
func narrowTargetsGeneric(class []int32, targets []int, classes int) (others int) {
	for i, y := range targets {
		if class[i] = int32(y); uint(y) >= uint(classes) {
			others = 1
		}
	}
	return others
}

// targetLogitsGeneric writes the logit of class[j] at position j to logit[j], if that is one of count classes. All
// have whole vectors.
func targetLogitsGeneric[F Float](logit []F, class []int32, x view.Rows[F], count int) {
	for j, c := range class[:x.Columns] {
		if uint(c) < uint(count) {
			logit[j] = x.Data[int(c)*x.Stride+j]
		}
	}
}

// maxStridedGeneric copies count classes, which are counted from first, from x to dst. It brings m[j], the largest
// logit of position j so far, up to date with them, and logit[j], if class[j] is one of them. If first is 0 they are all
// so far, and logit[j] is 0 for another class. NaN are left out of m, and −0 is +0. In the columns that dst has beyond
// those of x logits are −Inf. dst may be x.
func maxStridedGeneric[F Float](m, logit []F, class []int32, dst, x view.Rows[F], count, first int) {
	m = m[:dst.Columns]
	if first == 0 {
		for j := range m {
			m[j], logit[j] = fp.NegInf[F](), 0
		}
	}
	for c := range count {
		d := dst.Row(c)
		for j := copy(d, x.Row(c)); j < len(d); j++ {
			d[j] = fp.NegInf[F]()
		}
		for j, v := range d {
			if v > m[j] {
				m[j] = v
			}
		}
	}
	for j := range m {
		m[j] += 0
		if c := int(class[j]) - first; 0 <= c && c < count {
			logit[j] = dst.Row(c)[j]
		}
	}
}

// expStridedGeneric replaces x by exp(x−m[j]) in count classes, at most stridedBlock,
// and adds the sum of what was below m[j] to sum[j], and how often it was m[j] to
// ties[j]. No element is above m[j]. If an x−m[j] is NaN so is sum[j]. With the last
// classes last is 1, else 0: then ties[j]−1 is added to sum[j], too. What next has is read next: as much
// of it as x is prefetched.
func expStridedGeneric[F Float](sum []float64, ties, m []F, x view.Rows[F], count int, last F, next view.Rows[F]) {
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
				if !(d[j] < 0) {
					tied[j]++
					e -= 1
				}
				total[j] += e
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

// logSoftmaxColumnsGeneric writes dst[c][j] = (x[c][j]−hi[j])−lo[j] for rows j of count elements c. dst may be x.
func logSoftmaxColumnsGeneric[F Float](dst, x view.Rows[F], count int, hi, lo []F) {
	for c := range count {
		d := dst.Row(c)
		for j, v := range x.Row(c)[:len(d)] {
			d[j] = (v - hi[j]) - lo[j]
		}
	}
}

// gradientStridedGeneric does scaleStrided, but writes target[j] to class[j] at position j, where the
// classes are counted from first.
func gradientStridedGeneric[F Float](dst, x view.Rows[F], count int, factor []F, class []int32, first int, target []F) {
	for c := range count {
		d := dst.Row(c)
		for j, v := range x.Row(c)[:len(d)] {
			d[j] = v * factor[j]
		}
	}
	writeTargets(dst, count, class, first, target)
}

// writeTargets writes target[j] to class[j] at position j.
func writeTargets[F Float](dst view.Rows[F], count int, class []int32, first int, target []F) {
	for j, v := range target[:dst.Columns] {
		if c := int(class[j]) - first; 0 <= c && c < count {
			dst.Data[c*dst.Stride+j] = v
		}
	}
}

// gradientStridedStreamGeneric is gradientStrided past the caches. If wait is 0 memory may not have all of it when
// it returns, and other processors may see it later than what is written afterwards. The address of dst and the
// bytes of its stride are multiples of 64.
func gradientStridedStreamGeneric[F Float](dst, x view.Rows[F], count int, factor []F, class []int32, first int, target []F, wait int) {
	gradientStridedGeneric(dst, x, count, factor, class, first, target)
}

// gradientStridedUniformGeneric is gradientStrided and subtracts soft targets that are the same at all positions:
// where there is no target it writes x[c][j]·factor[j] − u[c]·scale[j], whose first product is rounded.
func gradientStridedUniformGeneric[F Float](dst, x view.Rows[F], count int, factor []F, class []int32, first int, target, u, scale []F) {
	scaleStridedGeneric(dst, x, count, factor)
	for c, w := range u[:count] {
		d := dst.Row(c)
		fp.AddMultiples(d, scale[:len(d)], -w)
	}
	writeTargets(dst, count, class, first, target)
}

// gradientStridedUniformStreamGeneric is gradientStridedUniform past the caches: see gradientStridedStream.
func gradientStridedUniformStreamGeneric[F Float](dst, x view.Rows[F], count int, factor []F, class []int32, first int, target, u, scale []F, wait int) {
	gradientStridedUniformGeneric(dst, x, count, factor, class, first, target, u, scale)
}

// gradientStridedSoftGeneric is scaleStrided and subtracts soft targets: it writes x[c][j]·factor[j] − u[c][j]·scale[j],
// whose first product is rounded, for count classes.
func gradientStridedSoftGeneric[F Float](dst, x, u view.Rows[F], count int, factor, scale []F) {
	scaleStridedGeneric(dst, x, count, factor)
	var factors [chunk]F
	for at := 0; at < dst.Columns; at += chunk {
		to := min(at+chunk, dst.Columns)
		for i, v := range scale[at:to] {
			factors[i] = -v
		}
		for c := range count {
			fp.AddProducts(dst.Row(c)[at:to], u.Row(c)[at:to], factors[:], -1)
		}
	}
}

// Soft targets u are spread over count classes: in rows, one for each class, or, where they
// are the same at all positions, in one number for each class.

// spreadTargetsGeneric writes u[c][j] = (p[c][j]·keep + share)·weight[c], whose sum is rounded
// once. u may be p.
func spreadTargetsGeneric[F Float](u, p view.Rows[F], weight []F, keep, share F, count int) {
	for c := range count {
		d := u.Row(c)
		mulAddGeneric(d, p.Row(c), keep, share)
		scaleGeneric(d, weight[c])
	}
}

// addLogSoftmaxGeneric is dotLogSoftmax for rows: it adds Σ u[c][j]·((x[c][j]−hi[j])−lo[j]) to
// dot[j] and Σ u[c][j] to mass[j], class by class. If first is 0 both are 0 before. All but x and u are
// read and written in whole vectors.
func addLogSoftmaxGeneric[F Float](dot, mass []float64, u, x view.Rows[F], hi, lo []F, count, first int) {
	if first == 0 {
		clear(dot[:x.Columns])
		clear(mass[:x.Columns])
	}
	for c := range count {
		w := u.Row(c)
		for j, v := range x.Row(c) {
			if w[j] != 0 {
				dot[j] += float64(w[j] * ((v - hi[j]) - lo[j]))
			}
			mass[j] += float64(w[j])
		}
	}
}

// addLogSoftmaxUniformGeneric is addLogSoftmax, without mass, for soft targets that are the
// same at all positions.
func addLogSoftmaxUniformGeneric[F Float](dot []float64, u []F, x view.Rows[F], hi, lo []F, first int) {
	if first == 0 {
		clear(dot[:x.Columns])
	}
	for c, w := range u {
		if w == 0 {
			continue
		}
		for j, v := range x.Row(c) {
			dot[j] += float64(w * ((v - hi[j]) - lo[j]))
		}
	}
}

// What cross-entropy computes once for each position, with arrays of whole vectors.

// splitLogSumExp returns the log-sum-exp m + ln, where ln is the logarithm of 1 plus a sum of
// sumExpRow, in two parts: hi is the result, and lo what rounding it left out, so that
// x−hi−lo is accurate where x and hi nearly cancel. NaN gives NaN.
func splitLogSumExp[F Float](m F, ln float64) (hi, lo F) {
	s, err := fp.Difference(float64(m), -ln)
	hi = F(s)
	return hi, F((s - float64(hi)) + err)
}

// splitLogSumsGeneric writes splitLogSumExp of m and ln to hi and lo.
func splitLogSumsGeneric[F Float](hi, lo, m []F, ln []float64) {
	for i := range hi {
		hi[i], lo[i] = splitLogSumExp(m[i], ln[i])
	}
}

// targetLossesGeneric writes hard[i]·(ln[i] + max[i] − logit[i]) − dot[i] to loss and returns the
// sum, in the lanes of float64. Where hard[i] is 0 the logit, which may be −Inf, does not count.
func targetLossesGeneric[F Float](loss []F, hard, ln, dot []float64, max, logit []F) float64 {
	var s lanes[float64]
	mask := fp.Lanes[float64]() - 1
	for i := range loss {
		v := ln[i]
		if hard[i] != 0 {
			v += float64(max[i]) - float64(logit[i])
		}
		v = float64(v*hard[i]) + (0 - dot[i])
		s[i&mask] += v
		loss[i] = F(v)
	}
	return s.fold()
}

// gradientFactorsGeneric writes scale·(hard[i]+mass[i])/(1+sum[i]) to factor.
func gradientFactorsGeneric[F Float](factor []F, hard, mass, sum []float64, scale float64) {
	for i := range factor {
		factor[i] = F(scale * (hard[i] + mass[i]) / (1 + sum[i]))
	}
}

// targetGradientsGeneric writes exp(logit[i]−max[i])·factor[i] − scale·hard[i], the gradient at the class
// target, to dst. Where that is the largest logit it is −scale·hard[i]·(1−p), and 1−p is known
// better than p.
func targetGradientsGeneric[F Float](dst []F, hard, sum []float64, max, logit, factor []F, scale float64) {
	for i := range dst {
		dst[i] = logit[i] - max[i]
	}
	fp.Exps(dst, dst, 0)
	for i, e := range dst {
		gh := float64(scale * hard[i])
		if logit[i] == max[i] {
			dst[i] = F((0 - gh) * (sum[i] / (1 + sum[i])))
		} else {
			dst[i] = F(float64(F(e*factor[i])) - gh)
		}
	}
}

// targetGradientsSoftGeneric writes (exp(logit[i]−max[i])·factor[i] − u[i]·scale[i]) − hardScale·hard[i],
// the gradient at the class target if there are soft targets, too, to dst. Both differences are rounded once more.
func targetGradientsSoftGeneric[F Float](dst []F, hard []float64, max, logit, factor, u, scale []F, hardScale float64) {
	for i := range dst {
		dst[i] = logit[i] - max[i]
	}
	fp.Exps(dst, dst, 0)
	for at := 0; at < len(dst); at += chunk {
		var factors [chunk]F
		d := dst[at:min(at+chunk, len(dst))]
		for i := range d {
			d[i] *= factor[at+i]
			factors[i] = -scale[at+i]
		}
		fp.AddProducts(d, u[at:][:len(d)], factors[:], -1)
		for i, v := range d {
			d[i] = F(float64(v) - float64(hardScale*hard[at+i]))
		}
	}
}

// Where a position has few classes, and they are neighbours, rows are turned into columns
// first, so that lanes go across positions here, too. That is done in pieces of 16 bytes.

// toColumnsGeneric writes dst[c][r] = x[r][c] for count rows of x, which fill whole vectors of
// dst. If rows are shorter than a piece, dst has rows for a piece of columns, of which those beyond
// the columns of x are of no use, and x is read up to the end of a piece behind its last row.
func toColumnsGeneric[F Float](dst, x view.Rows[F], count int) {
	for c := range x.Columns {
		at := c
		d := dst.Row(c)[:count]
		for r := range d {
			d[r] = x.Data[at]
			at += x.Stride
		}
	}
}

// toRowsGeneric writes dst[r][c] = x[c][r] for count rows of dst, which fill whole vectors of
// x. The rows of dst are neighbours. If they are shorter than a piece, x has rows for a piece of columns,
// and what follows the last row of dst, up to the end of a piece, is of no use afterwards.
func toRowsGeneric[F Float](dst, x view.Rows[F], count int) {
	for c := range dst.Columns {
		at := c
		for _, v := range x.Row(c)[:count] {
			dst.Data[at] = v
			at += dst.Stride
		}
	}
}

// sumExpColumnsGeneric is sumExpRows for columns: x[c][j] is element c of row j, of count. scratch has
// a vector for every lane.
func sumExpColumnsGeneric[F Float](m []F, sum []float64, x view.Rows[F], scratch []F, count int) {
	expColumnsGeneric(m, sum, view.Rows[F]{}, x, scratch, count)
}

// expColumnsGeneric does sumExpColumns and writes exp(x[c][j]−m[j]) to dst, unless that has no data. dst may be x;
// where the sum is NaN it is of no use.
func expColumnsGeneric[F Float](m []F, sum []float64, dst, x view.Rows[F], scratch []F, count int) {
	mask := fp.Lanes[F]() - 1
	for from := 0; from < x.Columns; from += chunk {
		var s [len(lanes[F]{})][chunk]F
		var ties, room, terms [chunk]F
		d := room[:min(chunk, x.Columns-from)]
		top := m[from:][:len(d)]
		for j := range top {
			top[j] = fp.NegInf[F]()
		}
		for c := range count {
			for j, v := range x.Row(c)[from:][:len(d)] {
				if v > top[j] {
					top[j] = v
				}
			}
		}
		for j := range top {
			top[j] += 0
		}
		for c := range count {
			for j, v := range x.Row(c)[from:][:len(d)] {
				d[j] = v - top[j]
			}
			row, lane := terms[:len(d)], &s[c&mask]
			if dst.Data != nil {
				row = dst.Row(c)[from:][:len(d)]
			}
			fp.Exps(row, d, 0)
			for j, e := range row {
				if d[j] < 0 {
					lane[j] += e
				} else {
					ties[j] += e
				}
			}
		}
		for i := 8; i < min(count, mask+1); i++ { // as lanes.fold does
			for j := range d {
				s[i-8][j] += s[i][j]
			}
		}
		for j := range d {
			even, odd := (s[0][j]+s[4][j])+(s[2][j]+s[6][j]), (s[1][j]+s[5][j])+(s[3][j]+s[7][j])
			sum[from+j] = float64((even + odd) + (ties[j] - 1))
		}
	}
}

// Where there are two classes, and the positions of a sample fill a vector or a part of one, kernels take
// scores from where they are: a run of positions for one class, as many for the other, other elements
// further, and so on. The second, third and fourth piece of 16 bytes of a vector are second, third and
// second + third elements behind the first.

// pairTermsGeneric finds, for positions with two classes, whole vectors of them, the larger score and exp of what
// the other one is below it, in m and sum as sumExpColumns has them, and the score and the weight of the
// class target, in logit and hard. If others is not 0 a target is neither 0 nor 1, and what depends on
// targets is of no use.
func pairTermsGeneric[F Float](m []F, sum []float64, logit []F, hard []float64, x []F, targets []int, w0, w1 float64, run, other, second, third int) (others int) {
	side := 16 / fp.Size[F]()
	for from := 0; from < len(targets); from += chunk {
		var room [2 * chunk]F
		n := min(chunk, len(targets)-from)
		pair := view.Of(room[:], n, chunk)
		for i := 0; i < n; i += side {
			at := pairPlace[F](from+i, run, second, third)
			copy(pair.Row(0)[i:], x[at:][:side])
			copy(pair.Row(1)[i:], x[at+other:][:side])
		}
		for i, y := range targets[from:][:n] {
			if uint(y) > 1 {
				others++
			}
			logit[from+i], hard[from+i] = pair.Row(y & 1)[i], w0
			if y&1 != 0 {
				hard[from+i] = w1
			}
		}
		sumExpColumnsGeneric(m[from:], sum[from:], pair, nil, 2)
	}
	return others
}

// pairPlace returns where position i, the first of a piece, has its score of the first class.
func pairPlace[F Float](i, run, second, third int) int {
	n, side := fp.Lanes[F](), 16/fp.Size[F]()
	vector, piece := i&^(n-1), i&(n-1)/side
	return vector + vector/run*run + piece&1*second + piece>>1*third
}

// pairGradientsGeneric writes the gradient of positions that pairTerms has seen, at the class target as
// targetGradients has it and elsewhere as gradientFactors and the terms have.
func pairGradientsGeneric[F Float](dst, m []F, sum []float64, logit []F, hard []float64, targets []int, scale float64, run, other, second, third int) {
	side := 16 / fp.Size[F]()
	for i, y := range targets {
		s, g := sum[i], float64(scale*hard[i])
		factor := F(g / (1 + s))
		below := F(s) * factor
		target, rest := F(float64(below)-g), factor
		if logit[i] == m[i] {
			target, rest = F((0-g)*(s/(1+s))), below
		}
		if y&1 != 0 {
			target, rest = rest, target
		}
		at := pairPlace[F](i&^(side-1), run, second, third) + i&(side-1)
		dst[at], dst[at+other] = target, rest
	}
}

// argMaxGeneric returns the index of the first NaN of a block or, without one, of the first of its
// largest elements, if they are above m; else −1. m must not be NaN.
func argMaxGeneric[F Float](x []F, m F) (index int) {
	index = -1
	for i, v := range x {
		if v != v {
			return i
		}
		if v > m {
			m, index = v, i
		}
	}
	return index
}

// argMaxAllowedGeneric does argMax of the elements of a block beside which allowed, as long as x,
// is not 0.
func argMaxAllowedGeneric[F Float](x, allowed []F, m F) (index int) {
	index = -1
	for i, v := range x {
		if allowed[i] == 0 {
			continue
		}
		if v != v {
			return i
		}
		if v > m {
			m, index = v, i
		}
	}
	return index
}

// argMaxRowsGeneric writes to place, for rows of 1 ≤ n ≤ shortRow elements, the index of the first of the
// largest ones, and −1 for a row with NaN or without an element above −Inf.
func argMaxRowsGeneric[F Float](place, x []F, n int) {
	for r := range place {
		row := x[r*n:][:n]
		place[r] = placeIn(row, argMaxGeneric(row, fp.NegInf[F]()))
	}
}

// argMaxAllowedRowsGeneric does argMaxRows of the elements of each row beside which allowed, of n elements,
// is not 0.
func argMaxAllowedRowsGeneric[F Float](place, x []F, n int, allowed []F) {
	for r := range place {
		row := x[r*n:][:n]
		place[r] = placeIn(row, argMaxAllowedGeneric(row, allowed, fp.NegInf[F]()))
	}
}

// placeIn returns an index as a number, −1 for that of a NaN.
func placeIn[F Float](row []F, index int) F {
	if index >= 0 && row[index] != row[index] {
		return -1
	}
	return F(index)
}
