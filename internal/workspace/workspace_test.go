package workspace

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

type memory struct{ data []float64 }

// A pool may lose what it was given, but has it mostly: a call should allocate nothing.
func TestTakeWhatWasGiven(t *testing.T) {
	var pools Pools
	for range 100 {
		w := Take[memory, float32](&pools)
		w.data = append(w.data[:0], 1, 2, 3)
		Give[float32](&pools, w)
		if again := Take[memory, float32](&pools); again == w {
			assert.Equal(t, []float64{1, 2, 3}, again.data)
			return
		}
	}
	t.Fatal("the pool is always empty")
}

func TestEmptyPool(t *testing.T) {
	var pools Pools
	a, b := Take[memory, float64](&pools), Take[memory, float64](&pools)
	assert.Equal(t, memory{}, *a)
	assert.NotSame(t, a, b)
}

// A workspace of one element type is of no use for the other.
func TestElementTypesHaveTheirOwnPools(t *testing.T) {
	var pools Pools
	for range 100 {
		Give[float32](&pools, &memory{data: []float64{1}})
		assert.Equal(t, memory{}, *Take[memory, float64](&pools))
	}
}

func TestResize(t *testing.T) {
	s := make([]int, 3, 10)
	for _, n := range []int{0, 2, 10} {
		r := Resize(s, n)
		assert.Len(t, r, n)
		assert.Same(t, &s[:1][0], &r[:1][0], "%d fit", n)
	}
	longer := Resize(s, 11)
	assert.Len(t, longer, 11)
	assert.NotSame(t, &s[0], &longer[0])
	assert.Len(t, Resize[int](nil, 4), 4)
}
