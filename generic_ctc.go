package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
)

// The trellis of CTC (A. Graves et al., Connectionist Temporal Classification,
// ICML 2006, §4.1) has a state for every label of the target and one for the
// blank before each and after the last. At position i, b[i] is the blank before
// label i, l[i] is label i, and a frame goes
//
//	b'[i] = (b[i] + l[i−1]) · y(blank)
//	l'[i] = (l[i] + b[i] + skip[i]·l[i−1]) · y(label i)
//
// where y is the emission and skip[i] is 0 if label i equals label i−1, else 1.
//
// A state is v·2^e in float64, with an integer exponent e of its own, so it never
// underflows. The exponents change only now and then, when normalizeRow puts into them
// what v has become. Between that and the next time, in a run of frames, a summand from
// another state is multiplied by 2 to the difference of the exponents, which is part of a
// fused operation. skip, too, is kept as an exponent: skip[i] = 2^skipExponents[i].
//
// A row of states has eight blanks, their eight labels, the next eight blanks and so on:
// see statesAt. A row of factors has eight of each of three kinds by turns: see factorsAt.
// The positions of a row are a multiple of 16, of which those up to S, the number of
// labels, rounded up to eights, are in use. l[S] and what is beyond S are no states: they
// are zero, and the exponents of these pads let nothing in or out. Kernels work on a span
// of positions, multiples of eight, so that a call is short.

const (
	// never is the exponent of what is not there. It is beyond the difference of any two
	// exponents of states: 2 to a difference with it is 0.
	never = 1 << 50
	// minFactor is the exponent at and below which a factor is 0, and maxFactor the largest
	// exponent of one.
	minFactor, maxFactor = -1023, 1000
)

// frameBlock is the number of frames that a block has together for each class: a vector.
const frameBlock = 8

// Where the states of a position are, from statesAt on.
const onBlank, onLabel = 0, 8

// statesAt returns what a row of states has from position i on.
func statesAt(row []float64, i int) *[9]float64 { return (*[9]float64)(row[blankAt(i):]) }

// statesFrom returns what a row of states has of eight positions from i, a multiple of 8, on.
func statesFrom(row []float64, i int) *[16]float64 { return (*[16]float64)(row[2*i:]) }

// blankAt and labelAt return where a row of states has those of position i.
func blankAt(i int) int { return i + i&^7 }
func labelAt(i int) int { return i + i&^7 + onLabel }

// Where the factors of a position are, from factorsAt on: of what comes from the label
// before to the blank, from the blank to the label, and from the label before to the label.
const blankFromLabel, labelFromBlank, labelFromLabel = 0, 8, 16

// factorsAt returns what a row of factors has from position i on.
func factorsAt(row []float64, i int) *[17]float64 { return (*[17]float64)(row[i&^7*3+i&7:]) }

// factorsFrom returns what a row of factors has of eight positions from i, a multiple of 8, on.
func factorsFrom(row []float64, i int) *[24]float64 { return (*[24]float64)(row[3*i:]) }

// expFramesGeneric writes p[r][c] = exp(x[r][c])/2^k for some rows of scores, 2^k being
// near the exp of the largest of the row, and their sum. Rows of p are whole vectors: zeros
// fill them up. top[r] is the largest score, leaving out NaN, and ref[r] = fp.Shifted(top[r]),
// which has k in its last bits. What is more than fp.ExpReach below the largest is 0. If a
// row has a NaN so have its p and sum; if |top| is above fp.MaxScore they, and the zeros,
// are of no use. top, ref and sum have a multiple of four elements, of which those beyond
// the rows are of no use, and scratch has rowScratch for each. p may begin where x does, with its stride.
func expFramesGeneric[F Float](p view.Rows[F], top, ref []F, sum []float64, scratch []F, x view.Rows[F], rows int) {
	for r := range rows {
		row, made := x.Row(r), p.Data[r*p.Stride:][:fp.WholeVectors[F](x.Columns)]
		top[r] = maxBlockGeneric(row)
		ref[r] = fp.Shifted(top[r])
		fp.ExpsOver(made, row, ref[r], top[r]-fp.ExpReach[F]())
		clear(made[len(row):])
		var s lanes[float64]
		for c, v := range made {
			s[c&7] += float64(v)
		}
		sum[r] = s.fold()
	}
}

// expWideGeneric writes exp(x[i]−best), whose exponents are e, to v: fp.ExpScaled.
func expWideGeneric(v, e, x []float64, best float64) {
	for i, score := range x {
		v[i], e[i] = fp.ExpScaled(fp.Difference(score, best))
	}
}

// widenGeneric writes dst[r][c] = x[r][c] for some rows. Rows of dst are of whole vectors of F, 0 beyond x.
func widenGeneric[F Float](dst view.Rows[float64], x view.Rows[F], rows int) {
	for r := range rows {
		row, to := x.Row(r), dst.Data[r*dst.Stride:][:fp.WholeVectors[F](x.Columns)]
		for c, v := range row {
			to[c] = float64(v)
		}
		clear(to[len(row):])
	}
}

// leastNarrow is the least number that narrow takes: below it float32 is slow.
const leastNarrow = 0x1p-126

// narrowGeneric writes dst[r][c] = x[r][c], or 0 where that is below leastNarrow, for some rows of whole vectors of
// F. No x is negative.
func narrowGeneric[F Float](dst view.Rows[F], x view.Rows[float64], rows int) {
	for r := range rows {
		to, from := dst.Data[r*dst.Stride:][:fp.WholeVectors[F](dst.Columns)], x.Data[r*x.Stride:]
		for c := range to {
			if to[c] = 0; !(from[c] < leastNarrow) {
				to[c] = F(from[c])
			}
		}
	}
}

// emitGeneric writes y[r][i] = p[r][index[i]] for some rows, and the least of each row to leasts. It returns 0, or NaN
// if one is not finite. index has a multiple of 16 elements, which may be more than y has columns, and rows of p are
// whole vectors.
func emitGeneric[F Float](y view.Rows[float64], p view.Rows[F], index []int32, leasts []float64) (poison F) {
	for r := range leasts {
		from, to := p.Data[r*p.Stride:], y.Data[r*y.Stride:][:len(index)]
		least := F(math.Inf(1))
		for i, k := range index {
			v := from[k]
			to[i] = float64(v)
			if v < least {
				least = v
			}
			poison += v - v
		}
		leasts[r] = float64(least + 0)
	}
	return poison
}

// leastNear is what nearest takes lower numbers for, −Inf too.
const leastNear = -0x1p100

// nearestGeneric returns the largest element below a bound, at least leastNear, or −Inf if there is none,
// and the least element that is not below it, or +Inf. No element is NaN.
func nearestGeneric[F Float](x []F, bound F) (below, above F) {
	below, above = fp.NegInf[F](), F(math.Inf(1))
	for _, v := range x {
		if v < bound {
			below = max(below, v, leastNear)
		} else {
			above = min(above, v)
		}
	}
	return below + 0, above + 0
}

// normalizeRowGeneric writes src to dst, which may be src, with v in [1, 2), and adds
// what that takes to the exponents, of which none is −0. A zero stays zero, and
// zeros is their number. There are a multiple of 16 states.
func normalizeRowGeneric(dst, src, exponents []float64) (zeros float64) {
	for i, v := range src {
		if v == 0 {
			dst[i] = 0
			zeros++
			continue
		}
		bits := math.Float64bits(v)
		dst[i] = math.Float64frombits(bits&(1<<52-1) | 1023<<52)
		exponents[i] += float64(int(bits>>52) - 1023)
	}
	return zeros
}

// power returns 2ⁿ for an integer n: at most 2^maxFactor, and 0 from minFactor down.
func power(n float64) float64 {
	switch {
	case n <= minFactor:
		return 0
	case n > maxFactor:
		n = maxFactor
	}
	return math.Float64frombits(uint64(int64(n)+1023) << 52)
}

// forwardFactorsGeneric makes the factors of both sweeps from the exponents of the states of some
// positions. With e(s) for that of a state,
//
//	blankFromLabel[i] = 2^(e(l[i−1]) − e(b[i]))
//	labelFromBlank[i] = 2^(e(b[i]) − e(l[i]))
//	labelFromLabel[i] = 2^(e(l[i−1]) − e(l[i])) · skip[i]
//
// where before is e(l[−1]), of the label in front of the first position. Returned is the largest
// factor.
func forwardFactorsGeneric(factors, exponents, skipExponents []float64, before float64, positions int) (largest float64) {
	for i := range positions {
		e, f := statesAt(exponents, i), factorsAt(factors, i)
		b, l := e[onBlank], e[onLabel]
		f[blankFromLabel], f[labelFromBlank], f[labelFromLabel] = power(before-b), power(b-l), power((before-l)+skipExponents[i])
		for _, factor := range [...]float64{f[blankFromLabel], f[labelFromBlank], f[labelFromLabel]} {
			if factor > largest {
				largest = factor
			}
		}
		before = l
	}
	return largest
}

// leastExponent is what the difference of two exponents is below if one is not there.
const leastExponent = -never / 4

// leastFactorsGeneric returns the least exponent of blankFromLabel and of labelFromBlank at some positions, or 0 if
// none is below it: see forwardFactorsGeneric. Factors of what is not there do not count.
func leastFactorsGeneric(exponents []float64, before float64, positions int) (toBlank, toLabel float64) {
	for i := range positions {
		e := statesAt(exponents, i)
		if d := before - e[onBlank]; d >= leastExponent {
			toBlank = min(toBlank, d)
		}
		if d := e[onBlank] - e[onLabel]; d >= leastExponent {
			toLabel = min(toLabel, d)
		}
		before = e[onLabel]
	}
	return toBlank, toLabel
}

// forwardGeneric computes α of some frames by the recursion above. The first row of alpha comes from boundary, the row
// before it; with a stride of 0 all frames have the same row. y has the emissions of the labels, and in its last column
// that of the blank. column has for every frame the label in front of the first position, in the frame before, and gets
// that of the last position.
func forwardGeneric(alpha view.Rows[float64], boundary, column []float64, y view.Rows[float64], factors []float64, positions, frames int) {
	src := boundary
	for k := range frames {
		row, emission := alpha.Data[k*alpha.Stride:], y.Data[k*y.Stride:]
		blank, before := emission[y.Columns-1], column[k]
		for at := 0; at < positions; at += 8 {
			s, d, f, labels := statesFrom(src, at), statesFrom(row, at), factorsFrom(factors, at), emission[at:at+8]
			for j, label := range labels {
				b, l := s[onBlank+j], s[onLabel+j]
				d[onBlank+j] = fp.AddScaled(b, before, f[blankFromLabel+j]) * blank
				d[onLabel+j] = fp.AddScaled(fp.AddScaled(l, b, f[labelFromBlank+j]), before, f[labelFromLabel+j]) * label
				before = l
			}
		}
		column[k] = before
		src = row
	}
}

// extentGeneric returns the least number of a row that is not 0, or +Inf, and the largest one. There are a
// multiple of 16.
func extentGeneric(row []float64) (least, largest float64) {
	least = math.Inf(1)
	for _, v := range row {
		if v != 0 && v < least {
			least = v
		}
		if v > largest {
			largest = v
		}
	}
	return least, largest
}

// rescaleGeneric turns β of a frame from the exponents of one run to those of another:
// where α is not 0 and β at least leastOccupancy, beta[i] = beta[i]·2^(to[i]−from[i]), and
// else 0. There are a multiple of 16 states.
func rescaleGeneric(beta, alpha, from, to []float64) {
	for i, v := range alpha {
		if v == 0 || beta[i] < leastOccupancy {
			beta[i] = 0
		} else {
			beta[i] *= power(to[i] - from[i])
		}
	}
}

// dropUnreachedGeneric makes β 0 where α is. There are a multiple of 16 states.
func dropUnreachedGeneric(beta, alpha []float64) {
	for i, v := range alpha {
		if v == 0 {
			beta[i] = 0
		}
	}
}

// leastOccupancy is what is as good as 0. It keeps β of a run in the range of normal
// numbers, but where it comes from a state that was 0 at the end of the run.
const leastOccupancy = 0x1p-200

// backwardGeneric computes β and the occupancies of len(blanks) frames, from the last to the
// first. β of a state has the exponent of the
// target's probability less that of α, so that α·β is the occupancy, but for the mantissa
// of that probability. On entry beta is that of the last frame, on return of the one
// before the first, by
//
//	b(t−1)[i] = b'[i] + l'[i]
//	l(t−1)[i] = l'[i] + b'[i+1] + skip[i+1]·l'[i+1]
//
// where b' and l' are b and l of frame t times their emissions, with the factors of
// the forward sweep. Rows of alpha are 2·y.Stride apart, and y is as in forward.
// A row of occupancy has those of the labels, and blanks their sum over the blanks of a
// frame. column has for every frame what the position behind the last one adds to the label of
// that, and gets what the first position adds to the label in front of it. The last slice is room that assembly needs: a
// vector for each frame.
func backwardGeneric(occupancy view.Rows[float64], blanks, beta, column, alpha []float64, y view.Rows[float64], factors, _ []float64, positions int) {
	for k := len(blanks) - 1; k >= 0; k-- {
		row, emission, o := alpha[k*2*y.Stride:], y.Data[k*y.Stride:], occupancy.Data[k*occupancy.Stride:]
		blank, down := emission[y.Columns-1], column[k]
		var sum lanes[float64]
		for at := positions - 8; at >= 0; at -= 8 {
			var here [8]float64
			a, s, f, labels, places := statesFrom(row, at), statesFrom(beta, at), factorsFrom(factors, at), emission[at:at+8], o[at:at+8]
			fp.AddProducts(sum[:], a[onBlank:onLabel], s[onBlank:onLabel], -1)
			for j, label := range labels {
				places[j] = a[onLabel+j] * s[onLabel+j]
				b, l := float64(s[onBlank+j]*blank), float64(s[onLabel+j]*label)
				s[onBlank+j], s[onLabel+j] = fp.AddScaled(b, l, f[labelFromBlank+j]), l
				here[j] = fp.AddScaled(float64(b*f[blankFromLabel+j]), l, f[labelFromLabel+j])
			}
			for j, v := range here[1:] {
				s[onLabel+j] += v
			}
			s[onLabel+7] += down
			down = here[0]
		}
		column[k], blanks[k] = down, sum.fold()
	}
}

// A wide frame has a range of emissions or of states that one row of exponents does not hold from
// the frame before to this one: each has its own. A row of wide factors has eight of each of
// five kinds by turns: what the blank has from itself and from the label before, and what the
// label has from itself, from the blank and from the label before.
const wideBlank, wideBlankFromLabel, wideLabel, wideLabelFromBlank, wideLabelFromLabel = 0, 8, 16, 24, 32

// wideFactorsAt returns what a row of wide factors has from position i on.
func wideFactorsAt(row []float64, i int) *[33]float64 { return (*[33]float64)(row[i&^7*5+i&7:]) }

// wideFactorsFrom returns what a row of wide factors has of eight positions from i, a multiple of
// 8, on.
func wideFactorsFrom(row []float64, i int) *[40]float64 { return (*[40]float64)(row[5*i:]) }

// wideFactorsGeneric makes the exponents of the states in a frame, and the factors into it, from the
// exponents of the states in the frame before and of the emissions, of which blank is the blank's.
// With m for the largest exponent that a state comes from,
//
//	next(s)    = m + emission's
//	factor(s') = 2^(e(s') − m)
//
// where before is e(l[−1]).
func wideFactorsGeneric(factors, next, exponents, emissions, skipExponents []float64, before, blank float64, positions int) {
	for i := range positions {
		e, n, f := statesAt(exponents, i), statesAt(next, i), wideFactorsAt(factors, i)
		b, l, skipped := e[onBlank], e[onLabel], before+skipExponents[i]
		m := max(b, before)
		n[onBlank] = m + blank
		f[wideBlank], f[wideBlankFromLabel] = power(b-m), power(before-m)
		m = max(max(l, b), skipped)
		n[onLabel] = m + emissions[i]
		f[wideLabel], f[wideLabelFromBlank], f[wideLabelFromLabel] = power(l-m), power(b-m), power(skipped-m)
		before = l
	}
}

// forwardWideGeneric computes α of a wide frame from the row boundary before it, where before is
// l[−1] and blank the emission of the blank.
func forwardWideGeneric(alpha, boundary, y, factors []float64, before, blank float64, positions int) {
	for i := range positions {
		s, d, f := statesAt(boundary, i), statesAt(alpha, i), wideFactorsAt(factors, i)
		b, l := s[onBlank], s[onLabel]
		d[onBlank] = fp.AddScaled(float64(b*f[wideBlank]), before, f[wideBlankFromLabel]) * blank
		d[onLabel] = fp.AddScaled(fp.AddScaled(float64(l*f[wideLabel]), b, f[wideLabelFromBlank]), before, f[wideLabelFromLabel]) * y[i]
		before = l
	}
}

// backwardWideGeneric takes β from a wide frame to the one before it and makes the occupancies, as
// backwardGeneric does: after is what the position behind the last one adds to the label of that, and
// down what the first position adds to the label in front of it.
func backwardWideGeneric(occupancy, beta, alpha, y, factors []float64, after, blank float64, positions int) (blanks, down float64) {
	var sum lanes[float64]
	down = after
	for at := positions - 8; at >= 0; at -= 8 {
		var here [8]float64
		a, s, f, labels, places := statesFrom(alpha, at), statesFrom(beta, at), wideFactorsFrom(factors, at), y[at:at+8], occupancy[at:at+8]
		fp.AddProducts(sum[:], a[onBlank:onLabel], s[onBlank:onLabel], -1)
		for j, label := range labels {
			places[j] = a[onLabel+j] * s[onLabel+j]
			b, l := float64(s[onBlank+j]*blank), float64(s[onLabel+j]*label)
			s[onBlank+j] = fp.AddScaled(float64(b*f[wideBlank+j]), l, f[wideLabelFromBlank+j])
			s[onLabel+j] = float64(l * f[wideLabel+j])
			here[j] = fp.AddScaled(float64(b*f[wideBlankFromLabel+j]), l, f[wideLabelFromLabel+j])
		}
		for j, v := range here[1:] {
			s[onLabel+j] += v
		}
		s[onLabel+7] += down
		down = here[0]
	}
	return sum.fold(), down
}

// addOccupanciesGeneric adds occupancies up by class,
//
//	sums[r/8][8·c + r%8] += Σ occupancy[r][i] over all i of class c
//
// for some rows, eight of which are side by side in a row of the view, so that they are added together:
// offsets[i] is 64·c of column i, in bytes, and that of what counts nowhere for columns up to a multiple
// of 8. Sums run upwards. Occupancies are read, and added to something, as if the number of rows were a multiple of 8.
func addOccupanciesGeneric(sums, occupancy view.Rows[float64], offsets []int32, rows int) {
	for r := range rows {
		side := sums.Data[r/frameBlock*sums.Stride+r%frameBlock:]
		for i, o := range occupancy.Row(r) {
			side[offsets[i]/8] += o
		}
	}
}

// sumStride returns how far apart are the sums for so many classes, a multiple of 8, of eight rows and of the next:
// there is room for what counts nowhere, one class more.
func sumStride(classes int) int { return frameBlock * (classes + 1) }

// rowsOfSumsGeneric writes rows of the sums that addOccupancies makes, of a multiple of 8 columns,
//
//	dst[r][c] = sums[r/8][8·c + r%8]
//
// rounded. It writes as many rows as there are up to a multiple of 8, the last of which are of no use.
func rowsOfSumsGeneric[F Float](dst view.Rows[F], sums view.Rows[float64], rows int) {
	for r := range rows {
		side := sums.Data[r/frameBlock*sums.Stride+r%frameBlock:]
		for c := range dst.Row(r) {
			dst.Row(r)[c] = F(side[frameBlock*c])
		}
	}
}

// writeGradientsGeneric writes rows of the gradient, as many as softmax has elements,
//
//	dst[r][c] = p[r][c]·softmax[r] − scale·sums[r][c]
//
// Rows of p and of sums are whole vectors.
func writeGradientsGeneric[F Float](dst, p view.Rows[F], softmax []F, scale F, sums view.Rows[F]) {
	for r, factor := range softmax {
		d, terms := dst.Row(r), p.Data[r*p.Stride:]
		for c := range d {
			d[c] = terms[c] * factor
		}
		fp.AddMultiples(d, sums.Data[r*sums.Stride:][:len(d)], -scale)
	}
}

// writeFewGradientsGeneric is writeGradientsGeneric where sums are those of some classes: column j is that of
// classes[j].
func writeFewGradientsGeneric[F Float](dst, p view.Rows[F], softmax []F, scale F, sums view.Rows[F], classes []int32) {
	for r, factor := range softmax {
		d, terms, row := dst.Row(r), p.Data[r*p.Stride:], sums.Data[r*sums.Stride:]
		for c := range d {
			d[c] = F(terms[c]*factor) + 0
		}
		for j, c := range classes {
			fp.AddMultiples(d[c:][:1], row[j:][:1], -scale)
		}
	}
}
