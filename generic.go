package trellis

import "unsafe"

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
//     Go runtime cannot interrupt assembly.
//   - Products that feed a sum are either fused by name or rounded by a
//     conversion.

const (
	// block is the number of contiguous elements that a sum takes in one go:
	// 16 KiB of float32, so that the second reading finds them in the first
	// cache.
	block = 4096
	// shortRow is the length up to which rows are summed many to a call, and
	// shortRows how many at most.
	shortRow, shortRows = 128, 64
	// rowScratch is the number of elements that a row needs of scratch.
	rowScratch = 32
	// stridedBlock is the number of classes that are added up in F in one
	// position of a strided axis, where a position has a single lane.
	stridedBlock = 64
)

// lanes holds the partial sums of one block.
type lanes[F Float] [16]F

// laneCount is the number of lanes in use: 64 bytes of them.
func laneCount[F Float]() int { return int(64 / unsafe.Sizeof(F(0))) }

// fold adds the lanes in halves.
func (l *lanes[F]) fold() F {
	for h := laneCount[F]() / 2; h > 0; h /= 2 {
		for i := range l[:h] {
			l[i] += l[i+h]
		}
	}
	return l[0]
}

// sumExpBlockGeneric returns the largest of m and the elements of a block, and
// Σ exp(x[i]−top). If the maximum is new it is left out of the sum once: without its 1
// a small sum keeps its digits. What is equal to top is counted, and added last. A NaN
// in x is not the largest; m is none. With a NaN, and if top is not finite and x not
// empty, the sum is NaN. A top of −0 is +0.
func sumExpBlockGeneric[F Float](x []F, m F) (top, sum F) {
	top = m
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	var s lanes[F]
	var ties F
	mask := laneCount[F]() - 1
	for i, v := range x {
		if d := v - top; d < 0 {
			s[i&mask] += exp(d)
		} else {
			ties += exp(d) // 1, or NaN
		}
	}
	if top > m {
		ties--
	}
	return top + 0, s.fold() + ties
}

// expBlockGeneric does sumExpBlock and writes dst[i] = exp(x[i]−top). dst may be x. If
// the sum is NaN dst is of no use.
func expBlockGeneric[F Float](dst, x []F, m F) (top, sum F) {
	top, sum = sumExpBlockGeneric(x, m)
	for i, v := range x {
		dst[i] = exp(v - top)
	}
	return top, sum
}

// sumExpBelowGeneric returns Σ exp(x[i]−m) over a block where no element is above m,
// and whether one is: then, or if one is m itself, reached is not 0, and if one is above
// it the sum is of no use. With a NaN, which may have either sign, the sum is NaN.
func sumExpBelowGeneric[F Float](x []F, m F) (sum F, reached int) {
	var s lanes[F]
	mask := laneCount[F]() - 1
	for i, v := range x {
		if v >= m {
			reached = 1
		}
		s[i&mask] += exp(v - m)
	}
	return s.fold(), reached
}

// expBelowGeneric does sumExpBelow where no element is above m, and writes
// dst[i] = exp(x[i]−m). dst may be x.
func expBelowGeneric[F Float](dst, x []F, m F) (sum F) {
	sum, _ = sumExpBelowGeneric(x, m)
	for i, v := range x {
		dst[i] = exp(v - m)
	}
	return sum
}

// maxBlockGeneric returns the largest element of a block, leaving out NaN: −Inf for
// none, +0 for −0.
func maxBlockGeneric[F Float](x []F) (top F) {
	top = negInf[F]()
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
	for r := range rows {
		top, s := sumExpBlockGeneric(x[r*n:][:n], negInf[F]())
		m[r], sum[r] = top, float64(s)
	}
}

// log1pGeneric writes dst[i] = ln(1+x[i]) for 0 ≤ x[i] < 2⁵³. dst may be x.
func log1pGeneric(dst, x []float64) {
	for i, v := range x[:len(dst)] {
		dst[i] = log1p64(v)
	}
}

// softmaxRowsGeneric writes dst[r·n+i] = exp(x[r·n+i]−m[r])·scale[r]. dst may be x.
func softmaxRowsGeneric[F Float](dst, x []F, n int, m, scale []F) {
	for r := range m {
		d := dst[r*n:][:n]
		for i, v := range x[r*n:][:n] {
			d[i] = exp(v-m[r]) * scale[r]
		}
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
	var d, s lanes[F]
	mask := laneCount[F]() - 1
	for i, v := range x[:len(w)] {
		if w[i] != 0 {
			d[i&mask] = fma(w[i], (v-hi)-lo, d[i&mask])
		}
		s[i&mask] += w[i]
	}
	return d.fold(), s.fold()
}

// mulAddGeneric writes dst[i] = x[i]·factor + summand, rounded once. dst may be x.
func mulAddGeneric[F Float](dst, x []F, factor, summand F) {
	for i, v := range x[:len(dst)] {
		dst[i] = fma(v, factor, summand)
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
	for i, v := range w {
		dst[i] = fma(-v, scale, dst[i])
	}
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

// The strided kernels have their lanes across n neighbouring positions, for each of
// which x has one element in every class: class first+c of position j is
// x[c·stride+j]. They work on a copy, whose rows have a width of n rounded up to whole
// vectors, like everything that there is once for a position: m, sum, ties, factor.

// maxStridedGeneric copies count classes and brings m[j], the largest element of
// position j so far, up to date with them. NaN are left out, and −0 is +0. What dst has
// beyond n positions is −Inf.
func maxStridedGeneric[F Float](m, dst []F, width int, x []F, n, stride, count int) {
	for c := range count {
		d := dst[c*width:][:width]
		for j := range d[n:] {
			d[n+j] = negInf[F]()
		}
		for j, v := range x[c*stride:][:n] {
			d[j] = v
			if v > m[j] {
				m[j] = v
			}
		}
	}
	for j := range m[:width] {
		m[j] += 0
	}
}

// expStridedGeneric replaces x by exp(x−m[j]) in count classes, at most stridedBlock,
// and adds the sum of what was below m[j] to sum[j], and how often it was m[j] to
// ties[j]. No element is above m[j]. If an x−m[j] is NaN so is ties[j]. With the last
// classes last is 1, else 0: then ties[j]−1 is added to sum[j], too.
func expStridedGeneric[F Float](sum []float64, ties, m, x []F, width, count int, last F) {
	for j := range width {
		var total F
		for c := range count {
			d := x[c*width+j] - m[j]
			x[c*width+j] = exp(d)
			if d < 0 {
				total += x[c*width+j]
			} else {
				ties[j] += x[c*width+j]
			}
		}
		sum[j] += float64(F((ties[j]-1)*last) + total)
	}
}

// scaleStridedGeneric writes x·factor[j], of count classes, to where they came from.
func scaleStridedGeneric[F Float](dst []F, n, stride int, x []F, width, count int, factor []F) {
	for c := range count {
		d, row := dst[c*stride:][:n], x[c*width:][:n]
		for j, v := range row {
			d[j] = v * factor[j]
		}
	}
}

// scaleStridedStreamGeneric is scaleStrided past the caches. The address of dst and the
// bytes of a stride are multiples of 64.
func scaleStridedStreamGeneric[F Float](dst []F, n, stride int, x []F, width, count int, factor []F) {
	scaleStridedGeneric(dst, n, stride, x, width, count, factor)
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
	for j := range dst {
		dst[j] = fma(-w[j], scale[j], dst[j])
	}
}

// The lattice of CTC (A. Graves et al., Connectionist Temporal Classification,
// ICML 2006, §4.1) has a state for every label of the target and one for the
// blank before each and after the last. Labels and blanks are kept apart:
// b[i] is the blank before label i, l[i] is label i, and a frame goes
//
//	b'[i] = (b[i] + l[i−1]) · y(blank)
//	l'[i] = (l[i] + b[i] + skip[i]·l[i−1]) · y(label i)
//
// where y is the emission and skip[i] is 0 if label i equals label i−1, else 1.
//
// A state is a probability m·2^e in a pair of arrays, so it never underflows,
// and a sum needs no logarithm: the summands are shifted to the largest
// exponent among them. A shift by more than 126 makes it exactly 126, which
// changes nothing: 2^−126 beside a number of at least 1 is lost in rounding.
// In float64 a shift by less than 126 is all there is too, for the same reason.

// states is one row of the lattice: S+1 blanks and S labels. l[S] is there
// only to make both halves one length, and is always zero.
type states[F Float] struct {
	bm, lm []F
	be, le []int32
}

// emissions is what a frame gives to every label of the target, and in its
// last element to the blank.
type emissions[F Float] struct {
	m []F
	e []int32
}

// emitGeneric sets y[i] = exp(x[classes[i]] − ref), where ref, the largest of
// these scores, is returned: factors common to a frame are left to the caller.
// If ref is NaN or +Inf, y is of no use.
func emitGeneric[F Float](y emissions[F], x []F, classes []int32) (ref F) {
	ref = negInf[F]()
	for _, c := range classes {
		if v := x[c]; v > ref || v != v {
			ref = v
		}
	}
	for i, c := range classes {
		p := expScaled(difference(x[c], ref)) // −Inf less −Inf is NaN, which is taken for zero
		y.m[i], y.e[i] = p.m, p.e
	}
	return ref
}

// difference returns a−b rounded, and what rounding left out (Knuth's TwoSum).
// A very unlikely label's score has few bits after the point; the emission
// needs them.
func difference[F Float](a, b F) (d, err F) {
	d = a - b
	v := d - a
	return d, (a - (d - v)) - (b + v)
}

// forwardGeneric is one frame of α: dst = src·y by the recursion above.
// skip[i] is 0 where label i may follow label i−1 directly, else zeroExponent.
func forwardGeneric[F Float](dst, src states[F], y emissions[F], skip []int32) {
	n := len(src.bm)
	last := n - 1
	blank := scaled[F]{y.m[last], y.e[last]}
	prev := scaled[F]{1, zeroExponent}
	for i := range n {
		b := scaled[F]{src.bm[i], src.be[i]}
		l := scaled[F]{src.lm[i], src.le[i]}
		m, e := add2(b, prev)
		sb := normalize(m*blank.m, e+blank.e)
		m, e = add3(l, b, scaled[F]{prev.m, prev.e + skip[i]})
		sl := normalize(m*y.m[i], e+y.e[i])
		dst.bm[i], dst.be[i] = sb.m, sb.e
		dst.lm[i], dst.le[i] = sl.m, sl.e
		prev = l
	}
	dst.lm[last], dst.le[last] = 1, zeroExponent
}

// backwardGeneric is one frame of β and of the occupancies. On entry beta holds
// β·y of the next frame, on return that of this one:
//
//	β(b[i]) = b[i] + l[i]
//	β(l[i]) = l[i] + b[i+1] + skip[i+1]·l[i+1]
//
// The occupancy of a state is α·β/2^zExponent, not yet divided by the sum over
// the frame, which is 1 in exact arithmetic if 2^zExponent is the probability
// of the target. occupancy[i] is that of label i; returned are the sums over
// the blanks and over the labels.
func backwardGeneric[F Float](beta, alpha states[F], y emissions[F], skip []int32, zExponent int32, occupancy []F) (blanks, labels F) {
	var blankSum, labelSum lanes[F]
	mask := laneCount[F]() - 1
	n := len(beta.bm)
	last := n - 1
	blank := scaled[F]{y.m[last], y.e[last]}
	nextB, nextL := scaled[F]{1, zeroExponent}, scaled[F]{1, zeroExponent}
	for i := last; i >= 0; i-- {
		b := scaled[F]{beta.bm[i], beta.be[i]}
		l := scaled[F]{beta.lm[i], beta.le[i]}
		m, e := add2(b, l)
		blankSum[i&mask] += product(alpha.bm[i], alpha.be[i]-zExponent, m, e)
		sb := normalize(m*blank.m, e+blank.e)
		m, e = add3(l, nextB, nextL)
		occupancy[i] = product(alpha.lm[i], alpha.le[i]-zExponent, m, e)
		labelSum[i&mask] += occupancy[i]
		sl := normalize(m*y.m[i], e+y.e[i])
		nextB, nextL = b, scaled[F]{l.m, l.e + skip[i]}
		beta.bm[i], beta.be[i] = sb.m, sb.e
		beta.lm[i], beta.le[i] = sl.m, sl.e
	}
	beta.lm[last], beta.le[last] = 1, zeroExponent
	return blankSum.fold(), labelSum.fold()
}

// maxShift is the largest shift to the right that keeps a number of at least 1
// normal in float32.
const maxShift = 126

// add2 returns a + b as m·2^e with m in [1, 4).
func add2[F Float](a, b scaled[F]) (m F, e int32) {
	e = max(a.e, b.e)
	return shift(a, e) + shift(b, e), e
}

// add3 returns a + b + c as m·2^e with m in [1, 6).
func add3[F Float](a, b, c scaled[F]) (m F, e int32) {
	e = max(a.e, b.e, c.e)
	return (shift(a, e) + shift(b, e)) + shift(c, e), e
}

// shift returns a as a multiple of 2^e, which is not below it.
func shift[F Float](a scaled[F], e int32) F {
	return scale2(a.m, max(a.e-e, -maxShift))
}

// product returns (am·2^ae)·(bm·2^be), which is below 2^100, and 0 if the sum of
// the exponents is below −126.
func product[F Float](am F, ae int32, bm F, be int32) F {
	if ae+be < -maxShift {
		return 0
	}
	return scale2(am*bm, ae+be)
}

// scatterGeneric does row[classes[i]] −= occupancy[i]·scale, in order.
func scatterGeneric[F Float](row []F, classes []int32, occupancy []F, scale F) {
	for i, c := range classes {
		row[c] -= F(occupancy[i] * scale)
	}
}
