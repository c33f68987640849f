//go:build purego || !(amd64 || arm64)

package trellis

import (
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
)

func maxStrided[F fp.Float](m []F, dst, x view.Rows[F], count int) {
	maxStridedGeneric(m, dst, x, count)
}

func expStrided[F fp.Float](sum []float64, ties, m []F, x view.Rows[F], count int, last F) {
	expStridedGeneric(sum, ties, m, x, count, last)
}

func scaleStrided[F fp.Float](dst, x view.Rows[F], count int, factor []F) {
	scaleStridedGeneric(dst, x, count, factor)
}

func scaleStridedStream[F fp.Float](dst, x view.Rows[F], count int, factor []F) {
	scaleStridedStreamGeneric(dst, x, count, factor)
}

func expFrames[F fp.Float](p view.Rows[F], top, ref []F, sum []float64, scratch []F, x view.Rows[F], rows int) {
	expFramesGeneric(p, top, ref, sum, scratch, x, rows)
}

func emit[F fp.Float](y view.Rows[float64], p view.Rows[F], index []int32, rows int) F {
	return emitGeneric(y, p, index, rows)
}

func forwardFactors(factors, exponents, skipExponents []float64, positions view.Span) float64 {
	return forwardFactorsGeneric(factors, exponents, skipExponents, positions)
}

func forward(alpha, boundary []float64, y view.Rows[float64], factors []float64, positions view.Span, frames int) {
	forwardGeneric(alpha, boundary, y, factors, positions, frames)
}

func backward(occupancy, blanks, beta, carry, alpha []float64, y view.Rows[float64], factors []float64, positions view.Span) {
	backwardGeneric(occupancy, blanks, beta, carry, alpha, y, factors, positions)
}

func addOccupancies[F fp.Float](dst, p view.Rows[F], softmax []F, scale F, occupancy view.Rows[float64], offsets []int32, scratch []F) {
	addOccupanciesGeneric(dst, p, softmax, scale, occupancy, offsets, scratch)
}
