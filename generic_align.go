package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
)

// The best path through the trellis of CTC (A. J. Viterbi, IEEE Trans. Inf. Theory 13, 1967): the
// recursion of generic_ctc.go with the largest of what comes into a state in place of the
// sum, and with logarithms, which a maximum does not round:
//
//	b'[i] = max(b[i], l[i−1]) + ln y(blank)
//	l'[i] = max(l[i], b[i], l[i−1] + ln skip[i]) + ln y(label i)
//
// Rows of states and spans of positions are those of generic_ctc.go. A state that cannot be
// reached is −Inf. No number is NaN, +Inf or −0: see pathEmission.

const (
	// blockFrames is the number of frames that toBlocks takes at a time, and that a panel is
	// swept through: its emissions are 17 KiB.
	blockFrames = 2 * frameBlock
	// blockScratch is how much room emitBlock needs to find the least of each frame.
	blockScratch = 4 * frameBlock
	// leastColumns is the least number of columns that toBlocks takes.
	leastColumns = 4
	// pathStride is how far rows of emissions of a panel are apart: those of panelWidth positions, and
	// room that keeps rows in different sets of the first cache.
	pathStride = 128 + 8
)

// viterbiGeneric computes α of len(blanks) frames by the recursion above. Rows of alpha, a stride
// apart, may be one and the same, and the boundary, the row before the first, as well. y has the
// emissions of the labels, rows that are pathStride apart, and blanks that of the blank for every frame.
// column has for every frame the label in front of the first position, in the frame before,
// and gets that of the last position, in the frame before.
func viterbiGeneric(alpha view.Rows[float64], boundary, column, blanks, y, skipExponents []float64, positions int) {
	src := boundary
	for k, blank := range blanks {
		row, before := alpha.Data[k*alpha.Stride:], column[k]
		for i := range positions {
			s, d := statesAt(src, i), statesAt(row, i)
			b, l := s[onBlank], s[onLabel]
			d[onBlank] = max(b, before) + blank
			d[onLabel] = max(l, b, before+skipExponents[i]) + y[k*pathStride+i]
			before = l
		}
		column[k], src = before, row
	}
}

// toBlocksGeneric writes, for blockFrames rows of x, blocks of frameBlock frames of every class,
//
//	p[k·size + frameBlock·c + r] = x[k·frameBlock + r][c]
//
// and returns 0, or NaN if a score is NaN or its size is not below largestScore. There are
// leastColumns at least.
func toBlocksGeneric[F Float](p []float64, size int, x view.Rows[F]) (poison F) {
	for t := range blockFrames {
		for c, v := range x.Row(t) {
			p[t/frameBlock*size+frameBlock*c+t%frameBlock] = float64(v)
			if !fp.IsFloat32[F]() {
				v = F(v * aboveLargest) // not fused with the difference
			}
			poison += v - v
		}
	}
	return poison
}

// largestScore is where a score counts as infinite: the sum of maxFrames of them is finite. aboveLargest times
// such a number is infinite.
const largestScore, aboveLargest = 0x1p900, 0x1p124

// emitBlockGeneric writes to rows of y what p has for the places of positions,
//
//	y[r][i] = p[frameBlock·places[i] + r]
//
// for frameBlock rows, and to least the least of each, which is of no use if there is a NaN. There are a multiple of
// 8 places, and scratch has blockScratch elements.
func emitBlockGeneric(y view.Rows[float64], p []float64, places []int32, least, scratch []float64) {
	for r := range frameBlock {
		least[r] = math.Inf(1)
		for i, place := range places {
			v := p[frameBlock*int(place)+r]
			y.Data[r*y.Stride+i] = v
			if v < least[r] {
				least[r] = v + 0
			}
		}
	}
}

// logsGeneric writes dst[i] = ln x[i], for finite x[i] of at least 0. dst may be x.
func logsGeneric(dst, x []float64) {
	for i, v := range x {
		dst[i] = fp.LogFrom0(v)
	}
}
