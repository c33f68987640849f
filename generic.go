package trellis

import "unsafe"

// The kernels in plain Go. They are the specification of every assembly
// kernel, operation by operation, and what runs where there is none.
//
//   - A sum over an axis runs in fixed virtual lanes, 16 for float32 and 8 for
//     float64, which is one 512-bit register, two of 256 or four of 128:
//     element i belongs to lane i mod lanes, and at the end the upper half of
//     the lanes is added to the lower half until one is left.
//   - A kernel sees at most one block of an axis; sums of blocks are added in
//     float64, in order.
//   - Products that feed a sum are either fused by name or rounded by a
//     conversion.

const (
	// block is the number of contiguous elements that a sum takes in one go:
	// 16 KiB of float32, so that the second reading finds them in the first
	// cache.
	block = 4096
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

// maxGeneric returns the largest element and where it is first; −Inf and −1 for
// none, NaN if there is one.
func maxGeneric[F Float](x []F) (m F, at int) {
	m, at = negInf[F](), -1
	for i, v := range x {
		if v > m || v != v {
			m, at = v, i
		}
	}
	return m, at
}

// sumExpGeneric returns Σ exp(x[i]−m) over a block, where no x[i] is above m
// and m is finite. The element at skip, if there is one, adds nothing: without
// the 1 of the maximum a small sum keeps its digits.
func sumExpGeneric[F Float](x []F, m F, skip int) F {
	var sum lanes[F]
	mask := laneCount[F]() - 1
	for i, v := range x {
		if i != skip {
			sum[i&mask] += exp(v - m)
		}
	}
	return sum.fold()
}

// softmaxGeneric writes dst[i] = exp((x[i]−hi)−lo)·scale.
func softmaxGeneric[F Float](dst, x []F, hi, lo, scale F) {
	for i, v := range x {
		dst[i] = exp((v-hi)-lo) * scale
	}
}

// logSoftmaxGeneric writes dst[i] = (x[i]−hi)−lo.
func logSoftmaxGeneric[F Float](dst, x []F, hi, lo F) {
	for i, v := range x {
		dst[i] = (v - hi) - lo
	}
}

// dotLogSoftmaxGeneric returns Σ w[i]·((x[i]−hi)−lo) over a block. Where w[i]
// is 0 nothing is added, even if x[i] is −Inf: 0·ln 0 is 0 here.
func dotLogSoftmaxGeneric[F Float](w, x []F, hi, lo F) F {
	var sum lanes[F]
	mask := laneCount[F]() - 1
	for i, v := range x {
		if w[i] != 0 {
			sum[i&mask] = fma(w[i], (v-hi)-lo, sum[i&mask])
		}
	}
	return sum.fold()
}

// subtractGeneric does dst[i] −= w[i]·scale, where w may not be dst.
func subtractGeneric[F Float](dst, w []F, scale F) {
	for i, v := range w {
		dst[i] = fma(-v, scale, dst[i])
	}
}

// gatherGeneric writes dst[i] = src[index[i]].
func gatherGeneric[F Float](dst, src []F, index []int32) {
	for i, k := range index {
		dst[i] = src[k]
	}
}

// maxStridedGeneric sets m[j] to the largest x[c·stride+j] of classes c below
// count, and at[j] to the first such c: the strided form has its lanes across
// the positions j.
func maxStridedGeneric[F Float](m []F, at []int32, x []F, stride, count int) {
	for j := range m {
		m[j], at[j] = negInf[F](), -1
	}
	for c := range count {
		for j, v := range x[c*stride:][:len(m)] {
			if v > m[j] || v != v {
				m[j], at[j] = v, int32(c)
			}
		}
	}
}

// sumExpStridedGeneric sets sum[j] to Σ exp(x[c·stride+j]−m[j]) over count
// classes c, at most stridedBlock of them added up in F. The class skip[j] adds
// nothing. Where m[j] is not finite the sum is of no use.
func sumExpStridedGeneric[F Float](sum []float64, m, x []F, stride, count int, skip []int32) {
	clear(sum)
	for first := 0; first < count; first += stridedBlock {
		for j := range m {
			var s F
			for c := first; c < min(first+stridedBlock, count); c++ {
				if int32(c) != skip[j] {
					s += exp(x[c*stride+j] - m[j])
				}
			}
			sum[j] += float64(s)
		}
	}
}

// softmaxStridedGeneric writes exp((x[c·stride+j]−hi[j])−lo[j])·scale[j] to
// dst[c·stride+j] for classes c below count.
func softmaxStridedGeneric[F Float](dst, x []F, stride, count int, hi, lo, scale []F) {
	for c := range count {
		d, row := dst[c*stride:][:len(hi)], x[c*stride:][:len(hi)]
		for j, v := range row {
			d[j] = exp((v-hi[j])-lo[j]) * scale[j]
		}
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
