//go:build !purego

package trellis

import (
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/tier"
	"github.com/gotrellis/trellis/internal/view"
)

func maxStrided[F fp.Float](m []F, dst, x view.Rows[F], count int) {
	switch tier.Active {
	case tier.AVX512:
		if fp.IsFloat32[F]() {
			maxStridedF32AVX512(fp.AsFloat32(m), fp.AsFloat32(dst.Data), dst.Stride, fp.AsFloat32(x.Data), x.Columns, x.Stride, count)
			return
		}
		maxStridedF64AVX512(fp.AsFloat64(m), fp.AsFloat64(dst.Data), dst.Stride, fp.AsFloat64(x.Data), x.Columns, x.Stride, count)
		return
	case tier.AVX2:
		if fp.IsFloat32[F]() {
			maxStridedF32AVX2(fp.AsFloat32(m), fp.AsFloat32(dst.Data), dst.Stride, fp.AsFloat32(x.Data), x.Columns, x.Stride, count)
			return
		}
		maxStridedF64AVX2(fp.AsFloat64(m), fp.AsFloat64(dst.Data), dst.Stride, fp.AsFloat64(x.Data), x.Columns, x.Stride, count)
		return
	}
	maxStridedGeneric(m, dst, x, count)
}

func expStrided[F fp.Float](sum []float64, ties, m []F, x view.Rows[F], count int, last F) {
	switch tier.Active {
	case tier.AVX512:
		if fp.IsFloat32[F]() {
			expStridedF32AVX512(sum, fp.AsFloat32(ties), fp.AsFloat32(m), fp.AsFloat32(x.Data), x.Stride, count, float32(last))
			return
		}
		expStridedF64AVX512(sum, fp.AsFloat64(ties), fp.AsFloat64(m), fp.AsFloat64(x.Data), x.Stride, count, float64(last))
		return
	case tier.AVX2:
		if fp.IsFloat32[F]() {
			expStridedF32AVX2(sum, fp.AsFloat32(ties), fp.AsFloat32(m), fp.AsFloat32(x.Data), x.Stride, count, float32(last))
			return
		}
		expStridedF64AVX2(sum, fp.AsFloat64(ties), fp.AsFloat64(m), fp.AsFloat64(x.Data), x.Stride, count, float64(last))
		return
	}
	expStridedGeneric(sum, ties, m, x, count, last)
}

func scaleStrided[F fp.Float](dst, x view.Rows[F], count int, factor []F) {
	switch tier.Active {
	case tier.AVX512:
		if fp.IsFloat32[F]() {
			scaleStridedF32AVX512(fp.AsFloat32(dst.Data), dst.Columns, dst.Stride, fp.AsFloat32(x.Data), x.Stride, count, fp.AsFloat32(factor))
			return
		}
		scaleStridedF64AVX512(fp.AsFloat64(dst.Data), dst.Columns, dst.Stride, fp.AsFloat64(x.Data), x.Stride, count, fp.AsFloat64(factor))
		return
	case tier.AVX2:
		if fp.IsFloat32[F]() {
			scaleStridedF32AVX2(fp.AsFloat32(dst.Data), dst.Columns, dst.Stride, fp.AsFloat32(x.Data), x.Stride, count, fp.AsFloat32(factor))
			return
		}
		scaleStridedF64AVX2(fp.AsFloat64(dst.Data), dst.Columns, dst.Stride, fp.AsFloat64(x.Data), x.Stride, count, fp.AsFloat64(factor))
		return
	}
	scaleStridedGeneric(dst, x, count, factor)
}

func scaleStridedStream[F fp.Float](dst, x view.Rows[F], count int, factor []F) {
	switch tier.Active {
	case tier.AVX512:
		if fp.IsFloat32[F]() {
			scaleStridedStreamF32AVX512(fp.AsFloat32(dst.Data), dst.Columns, dst.Stride, fp.AsFloat32(x.Data), x.Stride, count, fp.AsFloat32(factor))
			return
		}
		scaleStridedStreamF64AVX512(fp.AsFloat64(dst.Data), dst.Columns, dst.Stride, fp.AsFloat64(x.Data), x.Stride, count, fp.AsFloat64(factor))
		return
	case tier.AVX2:
		if fp.IsFloat32[F]() {
			scaleStridedStreamF32AVX2(fp.AsFloat32(dst.Data), dst.Columns, dst.Stride, fp.AsFloat32(x.Data), x.Stride, count, fp.AsFloat32(factor))
			return
		}
		scaleStridedStreamF64AVX2(fp.AsFloat64(dst.Data), dst.Columns, dst.Stride, fp.AsFloat64(x.Data), x.Stride, count, fp.AsFloat64(factor))
		return
	}
	scaleStridedStreamGeneric(dst, x, count, factor)
}

func expFrames[F fp.Float](p view.Rows[F], top, ref []F, sum []float64, scratch []F, x view.Rows[F], rows int) {
	switch tier.Active {
	case tier.AVX512:
		if fp.IsFloat32[F]() {
			expFramesF32AVX512(fp.AsFloat32(p.Data), fp.AsFloat32(top), fp.AsFloat32(ref), sum, fp.AsFloat32(scratch), fp.AsFloat32(x.Data), x.Columns, x.Stride, p.Stride, rows)
			return
		}
		expFramesF64AVX512(fp.AsFloat64(p.Data), fp.AsFloat64(top), fp.AsFloat64(ref), sum, fp.AsFloat64(scratch), fp.AsFloat64(x.Data), x.Columns, x.Stride, p.Stride, rows)
		return
	case tier.AVX2:
		if fp.IsFloat32[F]() {
			expFramesF32AVX2(fp.AsFloat32(p.Data), fp.AsFloat32(top), fp.AsFloat32(ref), sum, fp.AsFloat32(scratch), fp.AsFloat32(x.Data), x.Columns, x.Stride, p.Stride, rows)
			return
		}
		expFramesF64AVX2(fp.AsFloat64(p.Data), fp.AsFloat64(top), fp.AsFloat64(ref), sum, fp.AsFloat64(scratch), fp.AsFloat64(x.Data), x.Columns, x.Stride, p.Stride, rows)
		return
	}
	expFramesGeneric(p, top, ref, sum, scratch, x, rows)
}

func emit[F fp.Float](y view.Rows[float64], p view.Rows[F], index []int32, rows int) F {
	switch tier.Active {
	case tier.AVX512:
		if fp.IsFloat32[F]() {
			return F(emitF32AVX512(y.Data, fp.AsFloat32(p.Data), index, y.Stride, p.Stride, rows))
		}
		return F(emitF64AVX512(y.Data, fp.AsFloat64(p.Data), index, y.Stride, p.Stride, rows))
	case tier.AVX2:
		if fp.IsFloat32[F]() {
			return F(emitF32AVX2(y.Data, fp.AsFloat32(p.Data), index, y.Stride, p.Stride, rows))
		}
		return F(emitF64AVX2(y.Data, fp.AsFloat64(p.Data), index, y.Stride, p.Stride, rows))
	}
	return emitGeneric(y, p, index, rows)
}

func forwardFactors(factors, exponents, skipExponents []float64, positions view.Span) float64 {
	switch tier.Active {
	case tier.AVX512:
		return forwardFactorsAVX512(factors, exponents, skipExponents, positions.From, positions.To)
	case tier.AVX2:
		return forwardFactorsAVX2(factors, exponents, skipExponents, positions.From, positions.To)
	}
	return forwardFactorsGeneric(factors, exponents, skipExponents, positions)
}

func forward(alpha, boundary []float64, y view.Rows[float64], factors []float64, positions view.Span, frames int) {
	switch tier.Active {
	case tier.AVX512:
		forwardAVX512(alpha, boundary, y.Data, factors, y.Stride, y.Columns-1, positions.From, positions.To, frames)
		return
	case tier.AVX2:
		forwardAVX2(alpha, boundary, y.Data, factors, y.Stride, y.Columns-1, positions.From, positions.To, frames)
		return
	}
	forwardGeneric(alpha, boundary, y, factors, positions, frames)
}

func backward(occupancy, blanks, beta, carry, alpha []float64, y view.Rows[float64], factors []float64, positions view.Span) {
	switch tier.Active {
	case tier.AVX512:
		backwardAVX512(occupancy, blanks, beta, carry, alpha, y.Data, factors, y.Stride, y.Columns-1, positions.From, positions.To, len(blanks))
		return
	case tier.AVX2:
		backwardAVX2(occupancy, blanks, beta, carry, alpha, y.Data, factors, y.Stride, y.Columns-1, positions.From, positions.To, len(blanks))
		return
	}
	backwardGeneric(occupancy, blanks, beta, carry, alpha, y, factors, positions)
}

func addOccupancies[F fp.Float](dst, p view.Rows[F], softmax []F, scale F, occupancy view.Rows[float64], offsets []int32, scratch []F) {
	switch tier.Active {
	case tier.AVX512:
		if fp.IsFloat32[F]() {
			addOccupanciesF32AVX512(fp.AsFloat32(dst.Data), fp.AsFloat32(p.Data), fp.AsFloat32(softmax), float32(scale), occupancy.Data, offsets, fp.AsFloat32(scratch), occupancy.Columns, dst.Columns, dst.Stride, p.Stride, occupancy.Stride, len(softmax))
			return
		}
		addOccupanciesF64AVX512(fp.AsFloat64(dst.Data), fp.AsFloat64(p.Data), fp.AsFloat64(softmax), float64(scale), occupancy.Data, offsets, fp.AsFloat64(scratch), occupancy.Columns, dst.Columns, dst.Stride, p.Stride, occupancy.Stride, len(softmax))
		return
	case tier.AVX2:
		if fp.IsFloat32[F]() {
			addOccupanciesF32AVX2(fp.AsFloat32(dst.Data), fp.AsFloat32(p.Data), fp.AsFloat32(softmax), float32(scale), occupancy.Data, offsets, fp.AsFloat32(scratch), occupancy.Columns, dst.Columns, dst.Stride, p.Stride, occupancy.Stride, len(softmax))
			return
		}
		addOccupanciesF64AVX2(fp.AsFloat64(dst.Data), fp.AsFloat64(p.Data), fp.AsFloat64(softmax), float64(scale), occupancy.Data, offsets, fp.AsFloat64(scratch), occupancy.Columns, dst.Columns, dst.Stride, p.Stride, occupancy.Stride, len(softmax))
		return
	}
	addOccupanciesGeneric(dst, p, softmax, scale, occupancy, offsets, scratch)
}
