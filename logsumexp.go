package trellis

import "math"

func negInf[F Float]() F { return F(math.Inf(-1)) }
func nan[F Float]() F    { return F(math.NaN()) }

// isFinite reports whether x is neither infinite nor NaN.
func isFinite[F Float](x F) bool { return x-x == 0 }

// LogSumExp returns ln Σ exp(x[i]), in nats, without overflow: −Inf for an
// empty x and for one of only −Inf, +Inf if there is a +Inf and no NaN, and NaN
// if there is a NaN.
func LogSumExp[F Float](x []F) F {
	hi, _ := logSumExp(sumExpRow(x))
	return hi
}

// LogSoftmax writes dst[i] = x[i] − LogSumExp(x). dst may be x, but must not
// overlap it otherwise. A row that holds +Inf or NaN or only −Inf gives NaN
// everywhere. It panics if the lengths differ.
func LogSoftmax[F Float](dst, x []F) {
	if len(dst) != len(x) {
		panic("trellis: LogSoftmax: lengths of dst and x differ")
	}
	if inexactOverlap(dst, x) {
		panic("trellis: LogSoftmax: dst overlaps x without being x")
	}
	logSoftmaxRow(dst, x)
}

// Softmax writes dst[i] = exp(x[i] − LogSumExp(x)). dst may be x, but must not
// overlap it otherwise. A row that holds +Inf or NaN or only −Inf gives NaN
// everywhere. It panics if the lengths differ.
func Softmax[F Float](dst, x []F) {
	if len(dst) != len(x) {
		panic("trellis: Softmax: lengths of dst and x differ")
	}
	if inexactOverlap(dst, x) {
		panic("trellis: Softmax: dst overlaps x without being x")
	}
	softmaxRow(dst, x)
}

// Gather writes dst[i] = src[index[i]]. dst must not overlap src. It panics if
// the lengths of dst and index differ and, before anything is written, if an
// index is out of range.
func Gather[F Float](dst, src []F, index []int32) {
	if len(dst) != len(index) {
		panic("trellis: Gather: lengths of dst and index differ")
	}
	if overlap(dst, src) {
		panic("trellis: Gather: dst overlaps src")
	}
	checkIndex(index, len(src), "trellis: Gather: index out of range")
	gatherGeneric(dst, src, index)
}

// LogSumExpRows writes the log-sum-exp over the last axis of x: dst has one
// element for each row, in order, and must not overlap x. It panics if x's
// Shape is empty or does not describe its Data, or if dst has another length.
// Large inputs are spread over GOMAXPROCS goroutines.
func LogSumExpRows[F Float](dst []F, x Tensor[F]) {
	rows, n := rowsOf(x, "trellis: LogSumExpRows: the shape of x does not describe its data")
	if len(dst) != rows {
		panic("trellis: LogSumExpRows: the length of dst is not the number of rows")
	}
	if overlap(dst, x.Data) {
		panic("trellis: LogSumExpRows: dst overlaps x")
	}
	runRows(logSumExpRows, dst, x.Data, rows, n)
}

// LogSoftmaxRows writes the log-softmax over the last axis of x: dst has x's
// length and layout and may be x.Data, but must not overlap it otherwise. It
// panics if x's Shape is empty or does not describe its Data, or if dst has
// another length. Large inputs are spread over GOMAXPROCS goroutines.
func LogSoftmaxRows[F Float](dst []F, x Tensor[F]) {
	rows, n := rowsOf(x, "trellis: LogSoftmaxRows: the shape of x does not describe its data")
	if len(dst) != len(x.Data) {
		panic("trellis: LogSoftmaxRows: lengths of dst and x differ")
	}
	if inexactOverlap(dst, x.Data) {
		panic("trellis: LogSoftmaxRows: dst overlaps x without being x")
	}
	runRows(logSoftmaxRows, dst, x.Data, rows, n)
}

// SoftmaxRows writes the softmax over the last axis of x: dst has x's length
// and layout and may be x.Data, but must not overlap it otherwise. It panics if
// x's Shape is empty or does not describe its Data, or if dst has another
// length. Large inputs are spread over GOMAXPROCS goroutines.
func SoftmaxRows[F Float](dst []F, x Tensor[F]) {
	rows, n := rowsOf(x, "trellis: SoftmaxRows: the shape of x does not describe its data")
	if len(dst) != len(x.Data) {
		panic("trellis: SoftmaxRows: lengths of dst and x differ")
	}
	if inexactOverlap(dst, x.Data) {
		panic("trellis: SoftmaxRows: dst overlaps x without being x")
	}
	runRows(softmaxRows, dst, x.Data, rows, n)
}

// GatherRows gathers along the last axis of src, as torch.gather does: index
// has k elements for each row of src, and
//
//	dst[r·k+i] = src[r, index[r·k+i]]
//
// dst must not overlap src. It panics if src's Shape is empty or does not
// describe its Data, if the lengths of dst and index differ or are not a
// multiple of the number of rows, and, before anything is written, if an index
// is out of range.
func GatherRows[F Float](dst []F, src Tensor[F], index []int32) {
	rows, n := rowsOf(src, "trellis: GatherRows: the shape of src does not describe its data")
	if len(dst) != len(index) {
		panic("trellis: GatherRows: lengths of dst and index differ")
	}
	if rows == 0 && len(index) > 0 || rows > 0 && len(index)%rows != 0 {
		panic("trellis: GatherRows: the length of index is not a multiple of the number of rows")
	}
	if overlap(dst, src.Data) {
		panic("trellis: GatherRows: dst overlaps src")
	}
	checkIndex(index, n, "trellis: GatherRows: index out of range")
	if len(index) == 0 {
		return
	}
	k := len(index) / rows
	for r := range rows {
		gatherGeneric(dst[r*k:][:k], src.Data[r*n:][:n], index[r*k:][:k])
	}
}

// checkIndex panics if an index is not in [0, n).
func checkIndex(index []int32, n int, message string) {
	for _, k := range index {
		if k < 0 || int(k) >= n {
			panic(message)
		}
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

// sumExpRow returns the maximum m of x and Σ exp(x[i]−m) without the first
// maximum, reading x once from memory: each block is summed while it is in the
// cache, and a new maximum rescales the sum so far. If m is not finite the sum
// is of no use.
func sumExpRow[F Float](x []F) (m F, sum float64) {
	m = negInf[F]()
	for first := 0; first < len(x); first += block {
		b := x[first:min(first+block, len(x))]
		top, at := maxGeneric(b)
		switch {
		case top != top:
			return top, 0
		case top > m:
			if isFinite(m) {
				sum = float64((1 + sum) * exp64(float64(m)-float64(top)))
			}
			m = top
		default:
			at = -1
		}
		if isFinite(m) {
			sum += float64(sumExpGeneric(b, m, at))
		}
	}
	return m, sum
}

// logSumExp returns m + ln(1+sum) in two parts: hi is the result, and lo what
// rounding it left out, so that x−hi−lo is accurate where x and hi nearly
// cancel. If m is not finite, hi is m and lo is NaN.
func logSumExp[F Float](m F, sum float64) (hi, lo F) {
	if !isFinite(m) {
		return m, nan[F]()
	}
	return addLog(m, log1p64(sum))
}

// addLog returns m + ln in two parts.
func addLog[F Float](m F, ln float64) (hi, lo F) {
	s, err := difference(float64(m), -ln)
	hi = F(s)
	return hi, F((s - float64(hi)) + err)
}

// logSoftmaxRow writes the log-softmax of one row.
func logSoftmaxRow[F Float](dst, x []F) {
	hi, lo := logSumExp(sumExpRow(x))
	logSoftmaxGeneric(dst, x, hi, lo)
}

// softmaxRow writes the softmax of one row.
func softmaxRow[F Float](dst, x []F) {
	hi, lo := logSumExp(sumExpRow(x))
	softmaxGeneric(dst, x, hi, lo, 1)
}

type rowsOp uint8

const (
	logSumExpRows rowsOp = iota
	logSoftmaxRows
	softmaxRows
)

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

var rowsTasks pools

// runRows does op for all rows.
func runRows[F Float](op rowsOp, dst, x []F, rows, n int) {
	if len(dst) == 0 { // there may be 2⁶⁰ rows of no elements
		return
	}
	t := take[rowsTask[F], F](&rowsTasks)
	*t = rowsTask[F]{op, dst, x, rows, n, max(1, itemElements/max(n, 1))}
	runTask(t, (rows+t.perItem-1)/t.perItem, 0)
	*t = rowsTask[F]{}
	poolOf[F](&rowsTasks).Put(t)
}

func (t *rowsTask[F]) item(i int) {
	for r := i * t.perItem; r < min((i+1)*t.perItem, t.rows); r++ {
		x := t.x[r*t.n:][:t.n]
		switch t.op {
		case logSumExpRows:
			t.dst[r] = LogSumExp(x)
		case logSoftmaxRows:
			logSoftmaxRow(t.dst[r*t.n:][:t.n], x)
		case softmaxRows:
			softmaxRow(t.dst[r*t.n:][:t.n], x)
		}
	}
}
