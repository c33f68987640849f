package trellis

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLogSumExpCorners(t *testing.T) {
	both(t, testLogSumExpCorners[float32], testLogSumExpCorners[float64])
}

func testLogSumExpCorners[F Float](t *testing.T) {
	inf, nan := F(math.Inf(1)), F(math.NaN())
	assert.Equal(t, -inf, LogSumExp([]F{}))
	assert.Equal(t, -inf, LogSumExp([]F(nil)))
	assert.Equal(t, -inf, LogSumExp([]F{-inf, -inf}))
	assert.Equal(t, inf, LogSumExp([]F{1, inf, -inf}))
	assert.Equal(t, F(1), LogSumExp([]F{1, -inf}))
	for _, x := range [][]F{{nan}, {inf, nan}, {nan, inf}, {-inf, nan}, {0, nan, 1}} {
		got := LogSumExp(x)
		assert.True(t, got != got, "%v", x)
	}
	long := make([]F, 10000)
	long[7], long[9999] = nan, inf
	got := LogSumExp(long)
	assert.True(t, got != got)
	for _, x := range [][]F{{1, inf}, {-inf, -inf}, {0, nan}} {
		for _, f := range []func(dst, x []F){LogSoftmax[F], Softmax[F]} {
			dst := make([]F, len(x))
			f(dst, x)
			for i := range dst {
				assert.True(t, dst[i] != dst[i], "%v", x)
			}
		}
	}
	big := make([]F, 5000) // the maximum moves from block to block
	for i := range big {
		big[i] = F(i) / 16
	}
	assertLoss(t, float64(big[4999])-math.Log(-math.Expm1(-1./16)), LogSumExp(big))
}

// The log-probability of a class that is nearly certain keeps its digits.
func TestLogSoftmaxNearZero(t *testing.T) {
	both(t, testLogSoftmaxNearZero[float32], testLogSoftmaxNearZero[float64])
}

func testLogSoftmaxNearZero[F Float](t *testing.T) {
	x := []F{0, 30, 0}
	LogSoftmax(x, x)
	assertLoss(t, -1.8715245937680347e-13, x[1])
	long := make([]F, 9000) // the maximum is in the last block
	long[8999] = 40
	LogSoftmax(long, long)
	assertLoss(t, -8999*4.248354255291589e-18, long[8999])
}

func TestRowsOfHigherRank(t *testing.T) {
	x := Tensor[float32]{Data: []float32{0, 0, 1, 2, 3, 3, 1, 1}, Shape: []int{2, 1, 2, 2}}
	dst := make([]float32, 4)
	LogSumExpRows(dst, x)
	for r := range dst {
		require.Equal(t, LogSumExp(x.Data[2*r:2*r+2]), dst[r])
	}
	picked := make([]float32, 8)
	GatherRows(picked, x, []int32{1, 1, 0, 1, 0, 0, 1, 0})
	require.Equal(t, []float32{0, 0, 1, 2, 3, 3, 1, 1}, picked)
	LogSumExpRows(nil, Tensor[float32]{Shape: []int{0, 3}})
	SoftmaxRows(nil, Tensor[float32]{Shape: []int{math.MaxInt, 0}})
	GatherRows(nil, Tensor[float32]{Shape: []int{0, 3}}, nil)
}
