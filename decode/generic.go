package decode

import "github.com/gotrellis/trellis/internal/fp"

// The kernels in plain Go, which are the specification of their assembly: see generic.go of
// package trellis. A call takes at most block elements.

// block is the number of elements that one call takes.
const block = 4096

// notBelowGeneric writes to index the numbers, counted from first, of the elements of a block that
// are not below cut, in order, and returns how many they are. A NaN is not below. index has room
// for all; what it holds behind the numbers is left as it was. cut is above −Inf.
func notBelowGeneric[F fp.Float](index []int32, x []F, cut F, first int) (count int) {
	for i, v := range x {
		if !(v < cut) {
			index[count] = int32(first + i)
			count++
		}
	}
	return count
}

// pieceMaximaGeneric writes to dst, a vector for each piece of so many vectors of the block, the
// largest element in each lane, leaving out NaN: −Inf for none, +0 for −0.
func pieceMaximaGeneric[F fp.Float](dst, x []F, vectors int) {
	lanes := fp.Lanes[F]()
	for len(x) > 0 {
		piece := x[:min(vectors*lanes, len(x))]
		for i := range dst[:lanes] {
			dst[i] = fp.NegInf[F]()
		}
		for i, v := range piece {
			if v > dst[i%lanes] {
				dst[i%lanes] = v
			}
		}
		for i := range dst[:lanes] {
			dst[i] += 0
		}
		dst, x = dst[lanes:], x[len(piece):]
	}
}

// sumExpTopsGeneric writes, for rows of n ≥ 1 elements, none of which is above top[r],
//
//	sum[r]  = Σ exp(x[r·n+i]−top[r])
//	ties[r] = how many elements are equal to top[r]
//
// where the sum is of the elements below, added in lanes. If an element is NaN, or as infinite as top[r], sum[r]
// is NaN, and ties[r] of no use.
func sumExpTopsGeneric[F fp.Float](sum, ties, x []F, n int, top []F) {
	width := fp.Lanes[F]()
	for r, m := range top {
		var lanes, e [16]F
		ties[r] = 0
		for row := x[r*n:][:n]; len(row) > 0; row = row[min(width, len(row)):] {
			v := row[:min(width, len(row))]
			fp.Exps(e[:len(v)], v, m)
			for i, v := range v {
				if !(v < m) {
					ties[r]++
					e[i] -= 1
				}
				lanes[i] += e[i]
			}
		}
		for half := width / 2; half > 0; half /= 2 {
			for i := range half {
				lanes[i] += lanes[i+half]
			}
		}
		sum[r] = lanes[0]
	}
}

// expsGeneric writes dst[i] = exp(x[i]), as fp.Exp64 has it. dst may be x.
func expsGeneric(dst, x []float64) { fp.Exps(dst, x, 0) }

// log1pGeneric writes dst[i] = ln(1+x[i]), for x[i] of at least 0, or NaN. dst may be x.
func log1pGeneric(dst, x []float64) {
	for i, v := range x {
		dst[i] = fp.Log1p(v)
	}
}

// logsGeneric writes dst[i] = ln x[i], for finite x[i] of at least 0. dst may be x.
func logsGeneric(dst, x []float64) {
	for i, v := range x {
		dst[i] = fp.LogFrom0(v)
	}
}
