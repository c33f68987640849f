package trellis

import (
	"fmt"
	"math"
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/workspace"
)

// LogSumExp returns ln Σ exp(x[i]), in nats, without overflow: −Inf for an
// empty x and for one of only −Inf, +Inf if there is a +Inf and no NaN, and NaN
// if there is a NaN.
func LogSumExp[F Float](x []F) F {
	m, sum := sumExpRow(x)
	if sum != sum {
		return m
	}
	return F(float64(m) + fp.Log1p(sum))
}

// LogSoftmax writes dst[i] = x[i] − LogSumExp(x). dst may be x, but must not
// overlap it otherwise. A row that holds +Inf or NaN or only −Inf gives NaN
// everywhere. It panics, before it writes anything, if the lengths differ or
// dst overlaps x as it must not.
func LogSoftmax[F Float](dst, x []F) {
	if len(dst) != len(x) {
		panic("trellis: LogSoftmax: lengths of dst and x differ")
	}
	if inexactOverlap(dst, x) {
		panic("trellis: LogSoftmax: dst overlaps x without being x")
	}
	m, sum := sumExpRow(x)
	hi, lo := addLog(m, fp.Log1p(sum))
	writeRows(opLogSoftmax, dst, x, len(x), []F{hi}, []F{lo})
}

// Softmax writes dst[i] = exp(x[i] − LogSumExp(x)). dst may be x, but must not
// overlap it otherwise. A row that holds +Inf or NaN or only −Inf gives NaN
// everywhere. It panics, before it writes anything, if the lengths differ or
// dst overlaps x as it must not.
func Softmax[F Float](dst, x []F) {
	if len(dst) != len(x) {
		panic("trellis: Softmax: lengths of dst and x differ")
	}
	if inexactOverlap(dst, x) {
		panic("trellis: Softmax: dst overlaps x without being x")
	}
	softmaxRow(dst, x)
}

// Gather writes dst[i] = src[index[i]]. dst must not overlap src. It panics,
// before it writes anything, if the lengths of dst and index differ, if dst
// overlaps src, or if an index is out of range.
func Gather[F Float](dst, src []F, index []int32) {
	if len(dst) != len(index) {
		panic("trellis: Gather: lengths of dst and index differ")
	}
	if overlap(dst, src) {
		panic("trellis: Gather: dst overlaps src")
	}
	checkIndex(index, len(src), "trellis: Gather: index out of range: ")
	gatherEach(dst, src, index)
}

// LogSumExpRows writes the log-sum-exp over the last axis of x: dst has one
// element for each row, in order, and must not overlap x. It panics, before it
// writes anything, if x's Shape is empty or does not describe its Data, or if
// dst has another length or overlaps x. Large inputs are spread over GOMAXPROCS
// goroutines.
func LogSumExpRows[F Float](dst []F, x Tensor[F]) {
	rows, n := rowsOf(x, "trellis: LogSumExpRows: x.Shape is empty or does not describe x.Data")
	if len(dst) != rows {
		panic("trellis: LogSumExpRows: the length of dst is not the number of rows")
	}
	if overlap(dst, x.Data) {
		panic("trellis: LogSumExpRows: dst overlaps x")
	}
	runRows(opLogSumExp, dst, x.Data, rows, n)
}

// LogSoftmaxRows writes the log-softmax over the last axis of x: dst has x's
// length and layout and may be x.Data, but must not overlap it otherwise. It
// panics, before it writes anything, if x's Shape is empty or does not describe
// its Data, or if dst has another length or overlaps x as it must not. Large
// inputs are spread over GOMAXPROCS goroutines.
func LogSoftmaxRows[F Float](dst []F, x Tensor[F]) {
	rows, n := rowsOf(x, "trellis: LogSoftmaxRows: x.Shape is empty or does not describe x.Data")
	if len(dst) != len(x.Data) {
		panic("trellis: LogSoftmaxRows: lengths of dst and x differ")
	}
	if inexactOverlap(dst, x.Data) {
		panic("trellis: LogSoftmaxRows: dst overlaps x without being x")
	}
	runRows(opLogSoftmax, dst, x.Data, rows, n)
}

// SoftmaxRows writes the softmax over the last axis of x: dst has x's length
// and layout and may be x.Data, but must not overlap it otherwise. It panics,
// before it writes anything, if x's Shape is empty or does not describe its
// Data, or if dst has another length or overlaps x as it must not. Large inputs
// are spread over GOMAXPROCS goroutines.
func SoftmaxRows[F Float](dst []F, x Tensor[F]) {
	rows, n := rowsOf(x, "trellis: SoftmaxRows: x.Shape is empty or does not describe x.Data")
	if len(dst) != len(x.Data) {
		panic("trellis: SoftmaxRows: lengths of dst and x differ")
	}
	if inexactOverlap(dst, x.Data) {
		panic("trellis: SoftmaxRows: dst overlaps x without being x")
	}
	runRows(opSoftmax, dst, x.Data, rows, n)
}

// GatherRows gathers along the last axis of src, as torch.gather does: index
// has k elements for each row of src, and
//
//	dst[r·k+i] = src[r, index[r·k+i]]
//
// dst must not overlap src. It panics, before it writes anything, if src's Shape
// is empty or does not describe its Data, if the lengths of dst and index differ
// or are not a multiple of the number of rows, if dst overlaps src, or if an
// index is out of range.
func GatherRows[F Float](dst []F, src Tensor[F], index []int32) {
	rows, n := rowsOf(src, "trellis: GatherRows: src.Shape is empty or does not describe src.Data")
	if len(dst) != len(index) {
		panic("trellis: GatherRows: lengths of dst and index differ")
	}
	if rows == 0 && len(index) > 0 || rows > 0 && len(index)%rows != 0 {
		panic("trellis: GatherRows: the length of index is not a multiple of the number of rows")
	}
	if overlap(dst, src.Data) {
		panic("trellis: GatherRows: dst overlaps src")
	}
	checkIndex(index, n, "trellis: GatherRows: index out of range: ")
	if len(index) == 0 {
		return
	}
	k := len(index) / rows
	for r := range rows {
		gatherEach(dst[r*k:][:k], src.Data[r*n:][:n], index[r*k:][:k])
	}
}

// checkIndex panics if an index is not in [0, n), and says which.
func checkIndex(index []int32, n int, message string) {
	for from := 0; from < len(index); from += indexBlock {
		b := index[from:min(from+indexBlock, len(index))]
		if int64(maxIndex(b)) >= min(int64(n), 1<<31) {
			i := slices.IndexFunc(b, func(k int32) bool { return k < 0 || int(k) >= n })
			panic(fmt.Sprintf("%sindex[%d] = %d, outside [0,%d)", message, from+i, b[i], n))
		}
	}
}

// indexBlock is the number of indices that one call works on.
const indexBlock = 4096

// gatherEach gathers by any number of indices.
func gatherEach[F Float](dst, src []F, index []int32) {
	for from := 0; from < len(index); from += indexBlock {
		to := min(from+indexBlock, len(index))
		gather(dst[from:to], src, index[from:to])
	}
}

// rowsOf returns the number and the length of the rows of x.
func rowsOf[F Float](x Tensor[F], message string) (rows, n int) {
	total, ok := size(x.Shape)
	if len(x.Shape) == 0 || !ok || total != len(x.Data) {
		panic(message)
	}
	last := len(x.Shape) - 1
	rows, ok = size(x.Shape[:last])
	if !ok { // rows without elements, more than an int can count
		panic(message)
	}
	return rows, x.Shape[last]
}

// wholeRow is the length up to which a row's maximum is found before anything is
// summed: 256 KiB of float32 are still in the second cache when they are read again.
const wholeRow = 16 * block

// sumExpRow returns the maximum m of x and Σ exp(x[i]−m) without the first
// maximum. If m is not finite the sum is NaN, and m is the log-sum-exp.
func sumExpRow[F Float](x []F) (m F, sum float64) {
	switch {
	case len(x) <= block:
		top, s := sumExpBlock(x, fp.NegInf[F]())
		m, sum = top, float64(s)
	case len(x) <= wholeRow:
		m, sum = sumExpWhole(nil, x)
	default:
		m, sum = sumExpLong(x)
	}
	if sum != sum || len(x) == 0 {
		return nanOr(x, m), math.NaN()
	}
	return m, sum
}

// expRow does for a row that is not empty what sumExpRow does up to wholeRow, and writes
// dst[i] = exp(x[i]−m). If the sum is NaN, m and dst are of no use. dst may be x.
func expRow[F Float](dst, x []F) (m F, sum float64) {
	if len(x) <= block {
		top, s := expBlock(dst, x, fp.NegInf[F]())
		m, sum = top, float64(s)
	} else {
		m, sum = sumExpWhole(dst, x)
	}
	return m, sum
}

// sumExpWhole is sumExpRow for rows of several blocks, and writes the terms to dst if
// there is one.
func sumExpWhole[F Float](dst, x []F) (m F, sum float64) {
	m, first := fp.NegInf[F](), 0 // first is the block with the first maximum
	for at := 0; at < len(x); at += block {
		if top := maxBlock(x[at:min(at+block, len(x))]); top > m {
			m, first = top, at
		}
	}
	for at := 0; at < len(x); at += block {
		b := x[at:min(at+block, len(x))]
		var s F
		switch {
		case at == first && dst == nil:
			_, s = sumExpBlock(b, fp.NegInf[F]())
		case at == first:
			_, s = expBlock(dst[at:][:len(b)], b, fp.NegInf[F]())
		case dst == nil:
			s, _ = sumExpBelow(b, m)
		default:
			s = expBelow(dst[at:][:len(b)], b, m)
		}
		sum += float64(s)
	}
	return m, sum
}

// settled is how far into a row a new maximum is rare, so that looking for it before
// summing takes longer than summing twice where there is one.
const settled = 8 * block

// sumExpLong is sumExpWhole for long rows: it reads x once from memory, and a new
// maximum rescales the sum so far.
func sumExpLong[F Float](x []F) (m F, sum float64) {
	m = fp.NegInf[F]()
	for at := 0; at < len(x); at += block {
		b := x[at:min(at+block, len(x))]
		if at >= settled && fp.IsFinite(m) {
			if s, reached := sumExpBelow(b, m); reached == 0 {
				sum += float64(s)
				continue
			}
		}
		top, s := sumExpBlock(b, m)
		if top > m && fp.IsFinite(m) {
			sum = float64((1 + sum) * fp.Exp64(float64(m)-float64(top)))
		}
		m = top
		if fp.IsFinite(m) {
			sum += float64(s)
		} else if m = nanOr(b, m); m != fp.NegInf[F]() {
			break
		}
	}
	if !fp.IsFinite(m) {
		sum = math.NaN()
	}
	return m, sum
}

// nanOr returns a NaN of x if it has one, else m, the largest element.
func nanOr[F Float](x []F, m F) F {
	for _, v := range x {
		if v != v {
			return v
		}
	}
	return m
}

// sumExpEach does sumExpRow for rows of n elements, at most positions. But where the
// sum is NaN the maximum may be that of what is no NaN.
func (s *rowSums[F]) sumExpEach(x []F, n, rows int) {
	m, sum := s.max[:rows], s.sum[:rows]
	if n == 0 || n > shortRow {
		for r := range m {
			m[r], sum[r] = sumExpRow(x[r*n:][:n])
		}
		return
	}
	perCall := min(shortRows, block/n&^3)
	for r := 0; r < rows; r += perCall {
		count := min(perCall, rows-r)
		sumExpRows(s.max[r:], s.sum[r:], s.scratch[:], x[r*n:][:count*n], n, count)
	}
}

// addLog returns m + ln, where ln is the logarithm of 1 plus a sum of sumExpRow, in
// two parts: hi is the result, and lo what rounding it left out, so that x−hi−lo is
// accurate where x and hi nearly cancel. NaN gives NaN.
func addLog[F Float](m F, ln float64) (hi, lo F) {
	s, err := fp.Difference(float64(m), -ln)
	hi = F(s)
	return hi, F((s - float64(hi)) + err)
}

// rowsOp is what is computed of every row.
type rowsOp uint8

const (
	opLogSumExp rowsOp = iota
	opLogSoftmax
	opSoftmax
)

// rowSums is what sumExpRow finds out about some rows, and the room for it.
type rowSums[F Float] struct {
	max     [positions]F
	sum     [positions]float64
	scratch [shortRows * rowScratch]F
}

// rowBatch is what is known of some rows at a time.
type rowBatch[F Float] struct {
	rowSums[F]
	hi, lo [positions]F // see addLog
	factor [positions]F // of exp(x−max)
}

var rowBatches workspace.Pools

// do writes to dst the result for some rows of n elements, at most positions.
func (s *rowBatch[F]) do(op rowsOp, dst, x []F, n, rows int) {
	if op == opSoftmax && n > shortRow {
		for r := range rows {
			softmaxRow(dst[r*n:][:n], x[r*n:][:n])
		}
		return
	}
	s.sumExpEach(x, n, rows)
	m, sum := s.max[:rows], s.sum[:rows]
	if op == opSoftmax {
		for r := range m {
			s.factor[r] = F(1 / (1 + sum[r]))
		}
		writeRows(op, dst, x, n, m, s.factor[:rows])
		return
	}
	log1p(sum, sum)
	if op == opLogSumExp {
		for r, ln := range sum {
			if dst[r] = F(float64(m[r]) + ln); ln != ln {
				dst[r] = nanOr(x[r*n:][:n], m[r])
			}
		}
		return
	}
	for r, ln := range sum {
		s.hi[r], s.lo[r] = addLog(m[r], ln)
	}
	writeRows(op, dst, x, n, s.hi[:rows], s.lo[:rows])
}

// softmaxRow writes the softmax of a row.
func softmaxRow[F Float](dst, x []F) {
	if len(x) > wholeRow {
		m, sum := sumExpRow(x)
		writeRows(opSoftmax, dst, x, len(x), []F{m}, []F{F(1 / (1 + sum))})
		return
	}
	_, sum := expRow(dst, x)
	scaleRow(dst, F(1/(1+sum)))
}

// scaleRow multiplies a row of any length by a factor.
func scaleRow[F Float](dst []F, factor F) {
	for ; len(dst) > 0; dst = dst[min(block, len(dst)):] {
		scale(dst[:min(block, len(dst))], factor)
	}
}

// writeRows writes the log-softmax or softmax of rows of n elements: a and b have
// what logSoftmaxRows or softmaxRows needs of each row.
func writeRows[F Float](op rowsOp, dst, x []F, n int, a, b []F) {
	perCall := max(1, block/max(n, 1))
	for r := 0; r < len(a); r += perCall {
		end := min(r+perCall, len(a))
		for from := r * n; from < end*n; from += block {
			to := min(from+block, end*n)
			width := min(n, to-from) // less than n where a row takes several calls
			if op == opLogSoftmax {
				logSoftmaxRows(dst[from:to], x[from:to], width, a[r:end], b[r:end])
			} else {
				softmaxRows(dst[from:to], x[from:to], width, a[r:end], b[r:end])
			}
		}
	}
}

// itemElements is the least number of elements in an item of a task, so that
// handing it out costs little beside the work.
const itemElements = 1 << 14

// rowsTask is a row function over all rows of a matrix.
type rowsTask[F Float] struct {
	op      rowsOp
	dst, x  []F
	rows, n int // number and length of the rows
	perItem int // rows of one item
}

var rowsTasks workspace.Pools

// runRows does op for all rows.
func runRows[F Float](op rowsOp, dst, x []F, rows, n int) {
	if len(dst) == 0 { // there may be 2⁶⁰ rows of no elements
		return
	}
	t := workspace.Take[rowsTask[F], F](&rowsTasks)
	*t = rowsTask[F]{op, dst, x, rows, n, max(1, itemElements/max(n, 1))}
	parallel.Run(t, (rows+t.perItem-1)/t.perItem, 0)
	*t = rowsTask[F]{}
	workspace.Give[F](&rowsTasks, t)
}

func (t *rowsTask[F]) Item(i int) {
	s := workspace.Take[rowBatch[F], F](&rowBatches)
	defer workspace.Give[F](&rowBatches, s)
	width := len(t.dst) / t.rows // of a row in dst
	end := min((i+1)*t.perItem, t.rows)
	for r := i * t.perItem; r < end; r += positions {
		rows := min(positions, end-r)
		s.do(t.op, t.dst[r*width:][:rows*width], t.x[r*t.n:][:rows*t.n], t.n, rows)
	}
}
