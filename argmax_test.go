package trellis

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/tiertest"
	"github.com/gotrellis/trellis/internal/view"
)

func TestArgMaxCorners(t *testing.T) { both(t, testArgMaxCorners[float32], testArgMaxCorners[float64]) }

func testArgMaxCorners[F Float](t *testing.T) {
	inf, nan := F(math.Inf(1)), F(math.NaN())
	for _, c := range []struct {
		x       []F
		allowed []bool
		want    int
	}{
		{[]F{7}, nil, 0},
		{[]F{1, 3, 3, 2}, nil, 1},
		{[]F{0, F(math.Copysign(0, -1)), 0}, nil, 0},
		{[]F{F(math.Copysign(0, -1)), 0}, nil, 0},
		{[]F{-inf, -inf}, nil, 0},
		{[]F{-inf, 1, inf, inf}, nil, 2},
		{[]F{1, inf, nan, nan}, nil, 2},
		{[]F{inf, -inf}, nil, 0},
		{[]F{1, 3, 3, 2}, []bool{true, false, true, true}, 2},
		{[]F{3, -inf, -inf}, []bool{false, true, true}, 1},
		{[]F{nan, 1, nan}, []bool{false, true, false}, 1},
		{[]F{5, nan, 1, nan}, []bool{true, false, true, true}, 3},
		{[]F{5, -inf, 5, -inf}, []bool{false, true, false, true}, 1},
		{[]F{inf, -inf, 5, -inf}, []bool{false, false, false, true}, 3},
	} {
		assert.Equal(t, c.want, ArgMax(c.x, c.allowed), "%v %v", c.x, c.allowed)
		var got [1]int
		ArgMaxRows(got[:], Tensor[F]{Data: c.x, Shape: []int{1, len(c.x)}}, c.allowed)
		assert.Equal(t, c.want, got[0], "%v %v", c.x, c.allowed)
	}
	assert.PanicsWithValue(t, "trellis: ArgMax: no element counts", func() { ArgMax([]F{}, nil) })
	assert.PanicsWithValue(t, "trellis: ArgMax: no element counts", func() { ArgMax([]F{1}, []bool{false}) })
	assert.PanicsWithValue(t, "trellis: ArgMax: len(allowed) = 2, len(x) = 1", func() { ArgMax([]F{1}, []bool{true, true}) })

	rows, dst := Tensor[F]{Data: make([]F, 6), Shape: []int{2, 3}}, make([]int, 2)
	assert.PanicsWithValue(t, "trellis: ArgMaxRows: len(dst) = 1, but x has 2 rows", func() { ArgMaxRows(dst[:1], rows, nil) })
	assert.PanicsWithValue(t, "trellis: ArgMaxRows: len(allowed) = 2, the last axis of x = 3", func() { ArgMaxRows(dst, rows, []bool{true, true}) })
	assert.PanicsWithValue(t, "trellis: ArgMaxRows: no element counts", func() { ArgMaxRows(dst, rows, make([]bool, 3)) })
	assert.PanicsWithValue(t, "trellis: ArgMaxRows: no element counts", func() { ArgMaxRows(dst, Tensor[F]{Shape: []int{2, 0}}, nil) })
	assert.Panics(t, func() { ArgMaxRows(dst, Tensor[F]{Data: rows.Data, Shape: []int{2, 2}}, nil) })
	ArgMaxRows(nil, Tensor[F]{Shape: []int{0, 3}}, nil)
}

// Rows of every sort of length, of one and of several blocks, beside a plain loop.
func TestArgMaxRows(t *testing.T) { both(t, testArgMaxRows[float32], testArgMaxRows[float64]) }

func testArgMaxRows[F Float](t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, shape := range [][]int{{1, 1}, {7, 5}, {300, 32}, {3, 7, 29}, {130, shortRow}, {9, shortRow + 1}, {5, indexedBlock + 1}, {3, 3*indexedBlock - 5}, {40, 2000}} {
			n := shape[len(shape)-1]
			x := Tensor[F]{Shape: shape}
			x.Data = make([]F, product(shape))
			for i := range x.Data {
				x.Data[i] = F(r.IntN(n/2 + 2)) // some are equal
				if r.IntN(4*n) == 0 {
					x.Data[i] = F(math.NaN())
				}
			}
			allowed := make([]bool, n)
			for i := range allowed {
				allowed[i] = r.IntN(3) > 0 || i == n/2
			}
			got := make([]int, len(x.Data)/n)
			for _, mask := range [][]bool{nil, allowed} {
				ArgMaxRows(got, x, mask)
				for i, g := range got {
					row := x.Data[i*n:][:n]
					require.Equal(t, plainArgMax(row, mask), g, "%v, row %d", shape, i)
					require.Equal(t, g, ArgMax(row, mask), "%v, row %d", shape, i)
				}
			}
		}
	})
}

func product(shape []int) int {
	n, _ := view.Size(shape)
	return n
}

// plainArgMax is ArgMax as the definition has it.
func plainArgMax[F Float](x []F, allowed []bool) int {
	best := -1
	for i, v := range x {
		switch {
		case allowed != nil && !allowed[i]:
		case v != v:
			return i
		case best < 0 || v > x[best]:
			best = i
		}
	}
	return best
}
