package trellis

import (
	"fmt"
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/tier"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// LogSumExp returns ln Σ exp(x[i]), in nats, without overflow: −Inf for an
// empty x and for one of only −Inf, +Inf if there is a +Inf and no NaN, and NaN
// if there is a NaN.
func LogSumExp[F Float](x []F) F {
	m, sum := sumExpRow(x, 0)
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
		panicLengths("LogSoftmax", "x", len(dst), len(x))
	}
	if inexactOverlap(dst, x) {
		panic("trellis: LogSoftmax: dst overlaps x without being x")
	}
	m, sum := sumExpRow(x, 0)
	hi, lo := splitLogSumExp(m, fp.Log1p(sum))
	writeRows(opLogSoftmax, dst, x, len(x), []F{hi}, []F{lo})
}

// Softmax writes dst[i] = exp(x[i] − LogSumExp(x)). dst may be x, but must not
// overlap it otherwise. A row that holds +Inf or NaN or only −Inf gives NaN
// everywhere. It panics, before it writes anything, if the lengths differ or
// dst overlaps x as it must not.
func Softmax[F Float](dst, x []F) {
	if len(dst) != len(x) {
		panicLengths("Softmax", "x", len(dst), len(x))
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
		panicLengths("Gather", "index", len(dst), len(index))
	}
	if overlap(dst, src) {
		panic("trellis: Gather: dst overlaps src")
	}
	checkIndex("Gather", index, len(src))
	gatherRow(dst, src, index)
}

// LogSumExpRows writes the log-sum-exp over the last axis of x: dst has one
// element for each row, in order, and must not overlap x. It panics, before it
// writes anything, if x's Shape is empty or does not describe its Data, or if
// dst has another length or overlaps x. Large inputs are spread over GOMAXPROCS
// goroutines.
func LogSumExpRows[F Float](dst []F, x Tensor[F]) {
	rows, n, ok := rowsOf(x)
	if !ok {
		panicShape("LogSumExpRows", "x", x)
	}
	if len(dst) != rows {
		panic(fmt.Sprintf("trellis: LogSumExpRows: len(dst) = %d, but x has %d rows", len(dst), rows))
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
	rows, n, ok := rowsOf(x)
	if !ok {
		panicShape("LogSoftmaxRows", "x", x)
	}
	if len(dst) != len(x.Data) {
		panicLengths("LogSoftmaxRows", "x.Data", len(dst), len(x.Data))
	}
	if inexactOverlap(dst, x.Data) {
		panic("trellis: LogSoftmaxRows: dst overlaps x.Data without being x.Data")
	}
	runRows(opLogSoftmax, dst, x.Data, rows, n)
}

// SoftmaxRows writes the softmax over the last axis of x: dst has x's length
// and layout and may be x.Data, but must not overlap it otherwise. It panics,
// before it writes anything, if x's Shape is empty or does not describe its
// Data, or if dst has another length or overlaps x as it must not. Large inputs
// are spread over GOMAXPROCS goroutines.
func SoftmaxRows[F Float](dst []F, x Tensor[F]) {
	rows, n, ok := rowsOf(x)
	if !ok {
		panicShape("SoftmaxRows", "x", x)
	}
	if len(dst) != len(x.Data) {
		panicLengths("SoftmaxRows", "x.Data", len(dst), len(x.Data))
	}
	if inexactOverlap(dst, x.Data) {
		panic("trellis: SoftmaxRows: dst overlaps x.Data without being x.Data")
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
	rows, n, ok := rowsOf(src)
	if !ok {
		panicShape("GatherRows", "src", src)
	}
	if len(dst) != len(index) {
		panicLengths("GatherRows", "index", len(dst), len(index))
	}
	if rows == 0 && len(index) > 0 || rows > 0 && len(index)%rows != 0 {
		panic(fmt.Sprintf("trellis: GatherRows: len(index) = %d, not a multiple of the %d rows of src", len(index), rows))
	}
	if overlap(dst, src.Data) {
		panic("trellis: GatherRows: dst overlaps src")
	}
	checkIndex("GatherRows", index, n)
	if len(index) == 0 {
		return
	}
	k := len(index) / rows
	perCall := indexBlock / k
	if perCall == 0 {
		for r := range rows {
			gatherRow(dst[r*k:][:k], src.Data[r*n:][:n], index[r*k:][:k])
		}
		return
	}
	for r := 0; r < rows; r += perCall {
		from, to := r*k, min(r+perCall, rows)*k
		gather(dst[from:to], src.Data[r*n:], index[from:to], n, k)
	}
}

// panicLengths panics as dst and another argument of a function have not the same length.
func panicLengths(function, argument string, dst, other int) {
	panic(fmt.Sprintf("trellis: %s: len(dst) = %d, len(%s) = %d", function, dst, argument, other))
}

// checkIndex panics unless every index is in [0, n), and says which is not.
func checkIndex(function string, index []int32, n int) {
	for from := 0; from < len(index); from += indexBlock {
		b := index[from:min(from+indexBlock, len(index))]
		if int64(maxIndex(b)) >= min(int64(n), 1<<31) {
			i := slices.IndexFunc(b, func(k int32) bool { return k < 0 || int(k) >= n })
			panic(fmt.Sprintf("trellis: %s: index out of range: index[%d] = %d, outside [0,%d)", function, from+i, b[i], n))
		}
	}
}

// gatherRow does gather for any number of indices.
func gatherRow[F Float](dst, src []F, index []int32) {
	for from := 0; from < len(index); from += indexBlock {
		to := min(from+indexBlock, len(index))
		gather(dst[from:to], src, index[from:to], 0, to-from)
	}
}

// rowsOf returns how many rows x has, and their length, or false if its Shape is empty,
// does not describe its Data, or has more rows than an int can count, of no elements.
func rowsOf[F Float](x Tensor[F]) (rows, n int, ok bool) {
	total, ok := view.Size(x.Shape)
	if len(x.Shape) == 0 || !ok || total != len(x.Data) {
		return 0, 0, false
	}
	last := len(x.Shape) - 1
	rows, ok = view.Size(x.Shape[:last])
	return rows, x.Shape[last], ok
}

// panicShape panics as rowsOf returns false for x, the named argument of a function.
func panicShape[F Float](function, argument string, x Tensor[F]) {
	err := x.check(function, argument)
	switch {
	case len(x.Shape) == 0:
		err = &ArgumentError{function, argument + ".Shape", nil, []int{}, "want at least one axis"}
	case err == nil: // too many rows
		err = overflowError(function, argument, x.Shape)
	}
	panic(err.Error())
}

// rowsTask is a row function over all rows of a matrix.
type rowsTask[F Float] struct {
	op      rowsOp
	dst, x  []F
	rows, n int // number and length of the rows
	perItem int // rows of one item
}

var rowsTasks workspace.Pools

// runRows does op for all rows of n elements.
func runRows[F Float](op rowsOp, dst, x []F, rows, n int) {
	if len(dst) == 0 { // there may be 2⁶⁰ rows of no elements
		return
	}
	if 0 < n && n <= fewClasses && rows <= mostInRows(n) {
		doFewRows(op, dst, x, rows, n)
		return
	}
	cost := positionCost*float64(rows) + scoreCost()*float64(len(x))
	perItem := max(1, itemElements/max(n, 1))
	t := rowsTask[F]{op, dst, x, rows, n, min(perItem, rows)}
	items := (rows + t.perItem - 1) / t.perItem
	if workers := parallel.Workers(0, items, cost); workers > 1 {
		shared := workspace.Take[rowsTask[F], F](&rowsTasks)
		*shared = t
		parallel.Run(shared, items, workers)
		*shared = rowsTask[F]{}
		workspace.Give[F](&rowsTasks, shared)
		return
	}
	t.do(0, rows)
}

// mostInRows returns up to how many rows of n elements take less time as they are than in columns, which have
// a step for each of the n.
func mostInRows(n int) int {
	if tier.Active == tier.Generic {
		return simpleRows / 2 // which columns take for a whole vector of rows
	}
	return min(n, simpleRows)
}

// doFewRows does op for up to simpleRows rows of up to fewClasses elements.
func doFewRows[F Float](op rowsOp, dst, x []F, rows, n int) {
	var a, b [simpleRows]F
	var sums [simpleRows]float64
	sumFewRows(&a, &sums, x, rows, n)
	if op == opSoftmax {
		for r, sum := range sums[:rows] {
			b[r] = F(1 / (1 + sum))
		}
		softmaxRows(dst, x, n, a[:rows], b[:rows])
		return
	}
	log1p(sums[:rows], sums[:rows])
	for r, ln := range sums[:rows] {
		switch {
		case op == opLogSoftmax:
			a[r], b[r] = splitLogSumExp(a[r], ln)
		case ln != ln:
			dst[r] = nanOr(x[r*n:][:n], a[r])
		default:
			dst[r] = F(float64(a[r]) + ln)
		}
	}
	if op == opLogSoftmax {
		logSoftmaxRows(dst, x, n, a[:rows], b[:rows])
	}
}

// Item does the rows of item i.
func (t *rowsTask[F]) Item(i int) { t.do(i*t.perItem, min((i+1)*t.perItem, t.rows)) }

// do does some of the rows.
func (t *rowsTask[F]) do(from, to int) {
	b := workspace.Take[rowBatch[F], F](&rowBatches)
	width := len(t.dst) / t.rows // of a row in dst
	for r := from; r < to; r += itemPositions {
		rows := min(itemPositions, to-r)
		b.do(t.op, t.dst[r*width:][:rows*width], t.x[r*t.n:][:rows*t.n], t.n, rows)
	}
	workspace.Give[F](&rowBatches, b)
}

// rowBatch is what is known of some rows at a time.
type rowBatch[F Float] struct {
	rowSums[F]
	hi, lo [itemPositions]F // see splitLogSumExp
	factor [itemPositions]F // of exp(x−max)
	scores columns[F]
}

var rowBatches workspace.Pools

// do writes to dst the result of op for some rows of n elements, at most itemPositions.
func (b *rowBatch[F]) do(op rowsOp, dst, x []F, n, rows int) {
	if op == opSoftmax && n > shortRow {
		for r := range rows {
			softmaxRow(dst[r*n:][:n], x[r*n:][:n])
		}
		return
	}
	lanes := fp.Lanes[F]()
	inColumns := 0 < n && n <= fewClasses
	logInColumns := op == opLogSoftmax && inColumns && n%lanes != 0 // else rows fill their vectors
	if inColumns {
		b.scores.load(x, n, rows)
		if scratch := b.scratch[:lanes*lanes]; op == opSoftmax {
			expColumns(b.max[:], b.sum[:], b.scores.Rows, b.scores.Rows, scratch, n)
		} else {
			sumExpColumns(b.max[:], b.sum[:], b.scores.Rows, scratch, n)
		}
	} else {
		b.sumExpEach(x, n, rows)
	}
	m, sum := b.max[:rows], b.sum[:rows]
	if op == opSoftmax {
		for r := range m {
			b.factor[r] = F(1 / (1 + sum[r]))
		}
		if inColumns {
			scaleStrided(b.scores.Rows, b.scores.Rows, n, b.factor[:])
			b.scores.store(dst, b.scores.data, n, rows)
		} else {
			writeRows(op, dst, x, n, m, b.factor[:rows])
		}
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
	splitLogSums(b.hi[:fp.WholeVectors[F](rows)], b.lo[:], b.max[:], b.sum[:])
	if logInColumns {
		logSoftmaxColumns(b.scores.Rows, b.scores.Rows, n, b.hi[:], b.lo[:])
		b.scores.store(dst, b.scores.data, n, rows)
		return
	}
	writeRows(op, dst, x, n, b.hi[:rows], b.lo[:rows])
}
