package trellis

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/tiertest"
)

// A gradient that is written past the caches has the same bits.
func TestStreamedGradient(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testStreamedGradient[float32])
		t.Run("float64", testStreamedGradient[float64])
	})
}

func testStreamedGradient[F Float](t *testing.T) {
	defer func(size int) { streamBytes = size }(streamBytes)
	r := rand.New(rand.NewPCG(11, 12))
	x := Tensor[F]{Shape: []int{2, 70, 16, 21}, Data: make([]F, 2*70*16*21)}
	for i := range x.Data {
		x.Data[i] = F(3 * r.NormFloat64())
	}
	targets := make([]int, 2*16*21)
	for i := range targets {
		targets[i] = r.IntN(71) // 70 is left out
	}
	ignored := 70
	room := make([]F, len(x.Data)+16)
	start := int(-uintptr(unsafe.Pointer(&room[0]))%64) / fp.Size[F]()
	for _, at := range []int{start, start + 1} { // rows that begin where a vector does, or not
		for _, smoothing := range []F{0, 0.125} {
			var grads [2][]F
			for i, size := range []int{math.MaxInt, 0} {
				streamBytes = size
				grad := room[at:][:len(x.Data)]
				l := CrossEntropyLoss[F]{IgnoreIndex: &ignored, Workers: 1, LabelSmoothing: smoothing}
				_, err := l.Grad(grad, x, targets)
				require.NoError(t, err)
				grads[i] = slices.Clone(grad)
			}
			require.Equal(t, grads[0], grads[1])
		}
	}
}
