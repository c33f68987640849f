package trellis

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/tiertest"
)

// A matrix that is loaded has its columns as rows, and is what it was when it is stored.
// Nothing beside it is written.
func TestColumns(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testColumns[float32])
		t.Run("float64", testColumns[float64])
	})
}

func testColumns[F Float](t *testing.T) {
	var c columns[F]
	for _, n := range []int{1, 2, 3, 4, 5, 8, 10, 31, 32, 400} {
		for _, rows := range []int{1, 2, 7, 8, 9, 15, 16, 17, 18, 33, 128} {
			x := normalScores[F](n * rows)
			c.load(x, n, rows)
			for r := range rows {
				for i := range n {
					if got := c.Row(i)[r]; x[r*n+i] != got {
						require.Fail(t, "another element", "n = %d, row %d of %d, column %d: %v, want %v", n, r, rows, i, got, x[r*n+i])
					}
				}
			}
			room := slices.Repeat([]F{7}, n*rows+8)
			c.store(room[4:], c.data, n, rows)
			requireSame(t, x, room[4:][:n*rows], "n = ", n, rows, " rows")
			require.Equal(t, slices.Repeat([]F{7}, 8), append(room[:4:4], room[4+n*rows:]...), "n = %d, %d rows", n, rows)
		}
	}
}
