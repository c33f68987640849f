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

// sumExpBelowGeneric returns Σ exp(x[i]−m) over a block, added in lanes, and reached, which is not
// 0 if an x[i] is m or above it. If one is above m the sum is unspecified. A NaN makes it NaN.
func sumExpBelowGeneric[F fp.Float](x []F, m F) (sum F, reached int) {
	var lanes, e [16]F
	width := fp.Lanes[F]()
	for len(x) > 0 {
		n := min(width, len(x))
		fp.Exps(e[:n], x[:n], m)
		for i, v := range x[:n] {
			if v >= m {
				reached = 1
			}
			lanes[i] += e[i]
		}
		x = x[n:]
	}
	for half := width / 2; half > 0; half /= 2 {
		for i := range half {
			lanes[i] += lanes[i+half]
		}
	}
	return lanes[0], reached
}

// expsGeneric writes dst[i] = exp(x[i]), as fp.Exp64 has it. dst may be x.
func expsGeneric(dst, x []float64) { fp.Exps(dst, x, 0) }
