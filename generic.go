package trellis

import (
	"math"
	"unsafe"
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

// expCopyGeneric writes dst[i] = exp(x[i]−m) over a block where no element is above m, and
// returns the sum of what is below 1, and how often it is 1: NaN if x has one. On the way
// it copies in to out, past the caches: out has whole vectors, no more than x, and an
// address that is a multiple of 64. ahead is how many bytes behind x lies what is read
// next.
func expCopyGeneric[F Float](dst, x []F, m F, out, in []F, ahead int) (sum, ties F) {
	copy(out, in)
	var s lanes[F]
	mask := laneCount[F]() - 1
	for i, v := range x {
		d := v - m
		dst[i] = exp(d)
		if d < 0 {
			s[i&mask] += dst[i]
		} else {
			ties += dst[i]
		}
	}
	return s.fold(), ties
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
		var total, tied F
		for c := range count {
			d := x[c*width+j] - m[j]
			x[c*width+j] = exp(d)
			if d < 0 {
				total += x[c*width+j]
			} else {
				tied += x[c*width+j]
			}
		}
		ties[j] += tied // by ones it would not get past 2²⁴ in float32
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
// blank before each and after the last. At position i, b[i] is the blank before
// label i, l[i] is label i, and a frame goes
//
//	b'[i] = (b[i] + l[i−1]) · y(blank)
//	l'[i] = (l[i] + b[i] + skip[i]·l[i−1]) · y(label i)
//
// where y is the emission and skip[i] is 0 if label i equals label i−1, else 1.
//
// A state is v·2^e in float64, with an integer e of its own, so it never underflows.
// The exponents change only now and then, when normalizeRow puts into them what v has
// become. Between that and the next time, in a run of frames, a summand from another
// state is multiplied by 2 to the difference of the exponents, which is part of a
// fused operation.
//
// A row of states has eight blanks, their eight labels, the next eight blanks and so
// on: see stateAt. Its width is a multiple of 16 positions, of which those up to S,
// rounded up to eights, are in use. l[S] and what is beyond S are no states: they are
// zero, and the exponents of these pads let nothing in or out. Kernels work on positions
// from to to, multiples of eight, so that a call is short.

const (
	// never is beyond the difference of any two exponents.
	never = 1 << 50
	// minFactor is the exponent from which on a factor is 0, and maxFactor the largest.
	minFactor, maxFactor = -1023, 1000
)

// stateAt returns where a row has the blank of a position; the label is eight further.
func stateAt(position int) int { return position + position&^7 }

// expFramesGeneric writes p[i] = exp(x[i])/2^k for rows of n scores, 2^k being near the
// exp of the largest, and their sum. Rows of x are stride apart; those of p are pitch
// apart, and zeros make up whole vectors. top is the largest score, leaving out NaN, and
// ref is shifted(top), which has k in its last bits. What is more than expReach below
// the largest is 0. If x has a NaN so have p and sum; if |top| is above maxScore they, and
// the zeros, are of no use. top, ref and sum have a multiple of four elements, of which
// those beyond the rows are of no use, and scratch has rowScratch for each.
func expFramesGeneric[F Float](p, top, ref []F, sum []float64, scratch, x []F, n, stride, pitch, rows int) {
	for r := range rows {
		row := x[r*stride:][:n]
		top[r] = maxBlockGeneric(row)
		ref[r] = shifted(top[r])
		low := top[r] - expReach[F]()
		var s lanes[float64]
		for i := range wholeVectors[F](n) {
			var v F
			if i < n && !(row[i] < low) {
				v = expOver(row[i], ref[r])
			}
			p[r*pitch+i] = v
			s[i&7] += float64(v)
		}
		sum[r] = s.fold()
	}
}

// emitGeneric writes y[i] = p[index[i]] for some frames, and returns the least of them,
// or NaN if one is not finite. index has a multiple of 16 elements, rows of y are width
// apart, and those of p, which are whole vectors, pitch.
func emitGeneric[F Float](y []float64, p []F, index []int32, width, pitch, rows int) (least F) {
	least = F(math.Inf(1))
	var poison F
	for r := range rows {
		for i, k := range index {
			v := p[r*pitch+int(k)]
			y[r*width+i] = float64(v)
			least = min(least, v)
			poison += v - v
		}
	}
	return least + poison
}

// normalizeRowGeneric writes src to dst, which may be src, with v in [1, 2), and adds
// what that takes to the exponents e, of which none is −0. Zero stays as it is; returned is
// how many there are. There are a multiple of 16 states.
func normalizeRowGeneric(dst, src, e []float64) (zeros float64) {
	for i, v := range src {
		if v == 0 {
			dst[i] = 0
			zeros++
			continue
		}
		bits := math.Float64bits(v)
		dst[i] = math.Float64frombits(bits&(1<<52-1) | 1023<<52)
		e[i] += float64(int(bits>>52) - 1023)
	}
	return zeros
}

// power returns 2ⁿ for an integer n: at most 2^maxFactor, and 0 from minFactor down.
func power(n float64) float64 {
	n = min(max(n, minFactor), maxFactor)
	return math.Float64frombits(uint64(int64(n)+1023) << 52)
}

// forwardFactorsGeneric makes the factors of the forward sweep from the exponents of the
// states, eight of each kind by turns. skip[i] is 0 where label i may follow label i−1
// directly, else −never. Returned is the largest factor.
func forwardFactorsGeneric(factors, e, skip []float64, from, to int) (largest float64) {
	for i := from; i < to; i++ {
		before := -float64(never)
		if i > 0 {
			before = e[stateAt(i-1)+8]
		}
		b, l := e[stateAt(i)], e[stateAt(i)+8]
		f := factors[i&^7*3+i&7:][:17]
		f[0], f[8], f[16] = power(before-b), power(b-l), power((before-l)+skip[i])
		largest = max(largest, f[0], f[8], f[16])
	}
	return largest
}

// forwardGeneric is some frames of α by the recursion above. Rows of dst follow on one
// another, the first comes from src, and y[last] is the emission of the blank.
func forwardGeneric(dst, src, y, factors []float64, width, last, from, to, frames int) {
	for k := range frames {
		row, emission := dst[k*2*width:], y[k*width:]
		for i := from; i < to; i++ {
			var before float64
			if i > 0 {
				before = src[stateAt(i-1)+8]
			}
			at, f := stateAt(i), factors[i&^7*3+i&7:][:17]
			b, l := src[at], src[at+8]
			row[at] = math.FMA(before, f[0], b) * emission[last]
			row[at+8] = math.FMA(before, f[16], math.FMA(b, f[8], l)) * emission[i]
		}
		src = row
	}
}

// rescaleGeneric turns β of a frame from the exponents of one run to those of another:
// where α is not 0 and β at least leastOccupancy, β[i] = β[i]·2^(to[i]−from[i]), and else 0.
// There are a multiple of 16 states.
func rescaleGeneric(beta, alpha, from, to []float64) {
	for i, v := range alpha {
		if v == 0 || beta[i] < leastOccupancy {
			beta[i] = 0
		} else {
			beta[i] *= power(to[i] - from[i])
		}
	}
}

// leastOccupancy is what is as good as 0. It keeps β of a run in the range of normal
// numbers, but where it comes from a state that was 0 at the end of the run.
const leastOccupancy = 0x1p-200

// backwardGeneric is some frames of β and of the occupancies, from the last to the
// first. β of a state has the exponent of the target's probability less that of α, so
// that α·β is the occupancy, but for the mantissa of that probability. On entry beta is
// that of the last frame, on return of the one before the first, by
//
//	b(t−1)[i] = b'[i] + l'[i]
//	l(t−1)[i] = l'[i] + b'[i+1] + skip[i+1]·l'[i+1]
//
// where b' and l' are b and l of frame t times their emissions, with the factors of
// the forward sweep. A row of occupancy has those of the labels, and blanks their sum
// over the blanks of a frame. carry[:8] has what comes down from position to, and
// carry[8:] gets what goes down from position from; with several frames it is 0.
func backwardGeneric(occupancy, blanks, beta, carry, alpha, y, factors []float64, width, last, from, to, frames int) {
	for k := frames - 1; k >= 0; k-- {
		row, emission := alpha[k*2*width:], y[k*width:]
		var sum lanes[float64]
		down := [8]float64(carry[:8])
		for at := to - 8; at >= from; at -= 8 {
			var here [8]float64
			for j := range here {
				i, f := at+j, factors[at*3+j:][:17]
				state := beta[stateAt(i):][:9]
				sum[j] = math.FMA(row[stateAt(i)], state[0], sum[j])
				occupancy[k*width+i] = row[stateAt(i)+8] * state[8]
				b, l := float64(state[0]*emission[last]), float64(state[8]*emission[i])
				state[0], state[8] = math.FMA(l, f[8], b), l
				here[j] = math.FMA(l, f[16], float64(b*f[0]))
			}
			for j := range here[:7] {
				beta[stateAt(at+j)+8] += here[j+1]
			}
			beta[stateAt(at+7)+8] += down[0]
			down = here
		}
		copy(carry[8:], down[:])
		blanks[k] = sum.fold()
	}
}

// addOccupanciesGeneric writes some rows of the gradient,
//
//	dst[c] = p[c]·softmax[r] − scale·Σ occupancy[i] over all i of class c
//
// for n classes. Rows of dst, p and occupancy are stride, pitch and width apart; those of p
// are whole vectors. place has
// placeOf the class of each label, and up to a multiple of 16 that of n rounded up to
// whole vectors, where nothing counts. The sums run upwards and need scratch, see
// occupancyScratch. Occupancies are read as if there were a multiple of four rows.
func addOccupanciesGeneric[F Float](dst, p, softmax []F, scale F, occupancy []float64, place []int32, scratch []F, labels, n, stride, pitch, width, rows int) {
	sums := scratch[:wholeVectors[F](n)+1]
	for r := range rows {
		clear(sums)
		for i, at := range place[:labels] {
			sums[at/16] += F(occupancy[r*width+i])
		}
		for c, v := range p[r*pitch:][:n] {
			dst[r*stride+c] = fma(-sums[placeOf[F](c)/16], scale, v*softmax[r])
		}
	}
}

// wholeVectors returns n rounded up to whole vectors of F.
func wholeVectors[F Float](n int) int { return (n + laneCount[F]() - 1) &^ (laneCount[F]() - 1) }

// placeOf returns where addOccupancies has the sum of a class, in bytes. It does as many
// rows at a time as fit into 16 bytes, where they lie side by side, so that an addition is
// for all of them. Vectors of every so many classes are then transposed into rows.
func placeOf[F Float](class int) int {
	lanes := laneCount[F]()
	rows := lanes / 4
	return class/lanes*(16*lanes) + class%rows*64 + class%lanes/rows*16
}

// occupancyScratch returns the number of elements that addOccupancies needs for rows of n
// classes.
func occupancyScratch[F Float](n, rows int) int {
	group := laneCount[F]() / 4
	rows = (rows + group - 1) / group * group
	return group*(laneCount[F]()+wholeVectors[F](n)) + rows*(wholeVectors[F](n)+1)
}
