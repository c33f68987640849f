package view

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRows(t *testing.T) {
	data := []int{0, 1, 2, -1, 10, 11, 12, -1, 20, 21, 22}
	rows := Of(data, 3, 4)
	assert.Equal(t, []int{0, 1, 2}, rows.Row(0))
	assert.Equal(t, []int{20, 21, 22}, rows.Row(2), "the last row needs nothing behind it")
	assert.Panics(t, func() { rows.Row(3) })

	rest := rows.From(1)
	assert.Equal(t, []int{10, 11, 12}, rest.Row(0))
	assert.Equal(t, rows.Row(2), rest.Row(1))
	rest.Row(1)[0] = 99
	assert.Equal(t, 99, data[8], "a view is no copy")
}

func TestSpan(t *testing.T) {
	assert.Equal(t, 5, Span{From: 3, To: 8}.Len())
	assert.Zero(t, Span{From: 8, To: 8}.Len())
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		shape []int
		want  int
		ok    bool
	}{
		{nil, 1, true}, {[]int{3, 4}, 12, true}, {[]int{3, -1}, 0, false}, {[]int{0, -1}, 0, false},
		{[]int{math.MaxInt, 2}, 0, false}, {[]int{math.MaxInt, 1}, math.MaxInt, true},
		{[]int{math.MaxInt, math.MaxInt, 0}, 0, true}, {[]int{0, math.MaxInt, math.MaxInt}, 0, true},
	} {
		n, ok := Size(c.shape)
		assert.Equal(t, c.ok, ok, "%v", c.shape)
		if ok {
			assert.Equal(t, c.want, n, "%v", c.shape)
		}
	}
}
