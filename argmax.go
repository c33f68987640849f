package trellis

import (
	"fmt"
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/workspace"
)

// ArgMax returns the index of the largest element of x, as torch.argmax does: of equal elements the
// first, and where there is a NaN the first NaN. allowed says which elements count, x's length of them,
// be the others NaN or anything; nil lets all count. It panics if the lengths of x and allowed differ,
// or if no element counts.
func ArgMax[F Float](x []F, allowed []bool) int {
	m := prepareArgMax[F]("ArgMax", "len(x)", len(x), allowed)
	index := m.row(x)
	m.release()
	return index
}

// ArgMaxRows writes ArgMax over the last axis of x: dst has one index for each row, in order, and allowed,
// if it is not nil, says for all rows alike which elements count. It panics, before it writes anything, if
// x's Shape is empty or does not describe its Data, if dst or allowed has another length, or if there are
// rows in which no element counts. Of an x without rows allowed is not looked at. Large inputs are spread
// over GOMAXPROCS goroutines.
func ArgMaxRows[F Float](dst []int, x Tensor[F], allowed []bool) {
	rows, n, ok := rowsOf(x)
	if !ok {
		panicShape("ArgMaxRows", "x", x)
	}
	if len(dst) != rows {
		panic(fmt.Sprintf("trellis: ArgMaxRows: len(dst) = %d, but x has %d rows", len(dst), rows))
	}
	if rows == 0 {
		return
	}
	m := prepareArgMax[F]("ArgMaxRows", "the last axis of x", n, allowed)
	m.dst, m.x, m.n = dst, x.Data, n
	m.perItem = max(1, itemElements/n)
	items := (rows + m.perItem - 1) / m.perItem
	parallel.Run(m, items, parallel.Workers(0, items, rowCost*float64(rows)+readCost*float64(len(x.Data))))
	m.release()
}

// argMaxTask is ArgMax of rows of n elements.
type argMaxTask[F Float] struct {
	dst     []int
	x       []F
	n       int
	perItem int  // rows of one item
	masked  bool // only elements beside which allowed is 1 count, the first of which is first
	allowed []F
	first   int
}

var argMaxTasks workspace.Pools

// prepareArgMax returns a task without rows. It panics as ArgMax does for rows of n elements;
// length says what n is.
func prepareArgMax[F Float](function, length string, n int, allowed []bool) *argMaxTask[F] {
	if allowed != nil && len(allowed) != n {
		panic(fmt.Sprintf("trellis: %s: len(allowed) = %d, %s = %d", function, len(allowed), length, n))
	}
	first := 0
	if allowed != nil {
		first = slices.Index(allowed, true)
	}
	if n == 0 || first < 0 {
		panic(fmt.Sprintf("trellis: %s: no element counts", function))
	}
	t := workspace.Take[argMaxTask[F], F](&argMaxTasks)
	t.first, t.masked = first, allowed != nil
	if t.masked {
		t.allowed = workspace.Resize(t.allowed, n)
		for i, a := range allowed {
			count := int32(0) // the compiler has a conditional move for integers, not for floats
			if a {
				count = 1
			}
			t.allowed[i] = F(count)
		}
	}
	return t
}

// release gives the task back without what it borrowed.
func (t *argMaxTask[F]) release() {
	*t = argMaxTask[F]{allowed: t.allowed}
	workspace.Give[F](&argMaxTasks, t)
}

// Item does the rows of item i.
func (t *argMaxTask[F]) Item(i int) {
	from, to := i*t.perItem, min((i+1)*t.perItem, len(t.dst))
	if t.n <= shortRow {
		t.short(from, to)
		return
	}
	for r := from; r < to; r++ {
		t.dst[r] = t.row(t.x[r*t.n:][:t.n])
	}
}

// short does some short rows, many to a call.
func (t *argMaxTask[F]) short(from, to int) {
	var places [shortRows]F
	for from < to {
		rows := min(to-from, shortRows, block/t.n)
		if x := t.x[from*t.n:][:rows*t.n]; t.masked {
			argMaxAllowedRows(places[:rows], x, t.n, t.allowed)
		} else {
			argMaxRows(places[:rows], x, t.n)
		}
		for r, place := range places[:rows] {
			if place < 0 { // there is NaN, or no more than −Inf
				t.dst[from+r] = t.row(t.x[(from+r)*t.n:][:t.n])
			} else {
				t.dst[from+r] = int(place)
			}
		}
		from += rows
	}
}

// row returns the index of one row, a block at a time.
func (t *argMaxTask[F]) row(x []F) int {
	best, top := t.first, fp.NegInf[F]()
	for at := 0; at < len(x); at += indexedBlock {
		b, i := x[at:min(at+indexedBlock, len(x))], 0
		if t.masked {
			i = argMaxAllowed(b, t.allowed[at:][:len(b)], top)
		} else {
			i = argMax(b, top)
		}
		if i < 0 {
			continue
		}
		best, top = at+i, b[i]
		if top != top {
			break
		}
	}
	return best
}
