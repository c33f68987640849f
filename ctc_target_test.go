package trellis

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLeastFrames(t *testing.T) {
	for _, c := range []struct {
		labels []int
		least  int
	}{
		{nil, 0},
		{[]int{7}, 1},
		{[]int{1, 2, 1}, 3},
		{[]int{1, 1}, 3},
		{[]int{1, 2, 2, 2, 1}, 7},
		{[]int{-1, 9, 9}, 4}, // labels of any number
	} {
		assert.Equal(t, c.least, LeastFrames(c.labels), "%v", c.labels)
	}
}

func TestTarget(t *testing.T) {
	const blank = 4
	var g ctcTarget
	g.set([]int{1, 3, 3, 1, 0, 0, 0}, blank)
	assert.Equal(t, 7, g.length)
	assert.Equal(t, []int32{1, 3, 3, 1, 0, 0, 0, blank}, g.named())
	var skips []int
	for i := range g.length + 1 {
		if g.maySkip(i) {
			skips = append(skips, i)
		}
	}
	assert.Equal(t, []int{1, 3, 4}, skips, "the first label has none before it, and the last position is a blank")
}

// Rows of any target have a position for each label and one for the last blank, are in whole
// vectors, and say the same of each position if the memory was used before.
func TestTargetWidths(t *testing.T) {
	var used ctcTarget
	used.set(make([]int, 200), 1)
	for n := range 70 {
		labels := make([]int, n)
		for i := range labels {
			labels[i] = 2 + i/2%3
		}
		var g ctcTarget
		g.set(labels, 0)
		assert.Equal(t, n, g.length)
		assert.True(t, g.inUse%8 == 0 && g.inUse > n && g.inUse <= n+8, "%d labels: %d in use", n, g.inUse)
		assert.True(t, g.width%16 == 0 && g.width >= g.inUse && g.width <= n+16, "%d labels: width %d", n, g.width)
		for i := n; i < g.width; i++ {
			assert.Equal(t, int32(0), g.symbols[i])
			assert.False(t, g.maySkip(i))
		}
		used.set(labels, 0)
		assert.Equal(t, g, used)
	}
}

// A set forgets what it had, be there more classes than before or fewer.
func TestClassSet(t *testing.T) {
	var s classSet
	for _, labels := range [][]int{{2, 0, 2, 1, 0}, {9, 2, 9}, {1}, {}, {0, 1, 2, 9, 0}} {
		classes := 1 + slices.Max(append([]int{0}, labels...))
		var want []int32
		for _, label := range labels {
			if c := int32(label); !slices.Contains(want, c) {
				want = append(want, c)
			}
		}
		got := distinct(&s, labels, classes)
		assert.Equal(t, len(want), len(got))
		for i, c := range want {
			assert.Equal(t, c, got[i])
			assert.Equal(t, i, s.index(c))
		}
	}
}
