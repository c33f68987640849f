package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/bench/internal/results"
	"github.com/gotrellis/trellis/bench/internal/side"
	"github.com/gotrellis/trellis/bench/internal/side/sidetest"
)

// made has works of 10, 100, … elements in a row, each the next one's neighbour.
func made(n int) (points []gridPoint) {
	for i, elements := 0, 10; i < n; i, elements = i+1, 10*elements {
		points = append(points, gridPoint{
			job: f32(opSoftmax, elements), place: [3]int{elements}, elements: elements, unit: "element",
		})
	}
	return points
}

func TestJudge(t *testing.T) {
	points := made(3)
	near := neighbours(points)
	of := func(ours ...float64) (times []best) {
		for _, ns := range ours {
			times = append(times, best{trellisSide: ns})
		}
		return times
	}
	// One nanosecond for an element, and what a call may cost beside that.
	assert.Empty(t, judge(points, near, of(60, 100, 1000)))
	assert.Empty(t, judge(points, near, of(89, 100, 1000)))

	cliffs := judge(points, near, of(10, 361, 1000))
	require.Len(t, cliffs, 1)
	assert.Equal(t, 1, cliffs[0].point)
	assert.InDelta(t, 3.01, cliffs[0].steepness, 1e-9)
	assert.InDelta(t, 3.01/3, cliffs[0].over, 1e-9)
	assert.Empty(t, cliffs[0].peers)
	assert.Equal(t, 0, judge(points, near, of(10, 1000, 2000))[0].neighbour, "the cheapest")
	assert.Equal(t, 2, judge(points, near, of(20, 1000, 1000))[0].neighbour, "the cheapest")

	// What was not measured is no neighbour.
	assert.Empty(t, judge(points, near, []best{nil, {trellisSide: 1e6}, nil}))

	times := of(160, 100, 1000)
	times[0][results.Naive], times[0][results.PyTorch] = 91, 90
	times[1][results.Naive] = 1
	times[2][results.PyTorch] = 100
	cliffs = judge(points, make([][]int, 3), times)
	require.Len(t, cliffs, 3)
	assert.Equal(t, 1, cliffs[0].point, "40 of 1.1 ns")
	assert.Equal(t, 2, cliffs[1].point, "940 of 110 ns")
	assert.Equal(t, map[string]float64{results.PyTorch: 10}, cliffs[1].peers)
	assert.Equal(t, 0, cliffs[2].point, "100 of 99 ns")
	assert.Equal(t, map[string]float64{results.PyTorch: 160.0 / 90}, cliffs[2].peers)
	assert.Zero(t, cliffs[2].steepness)
}

// timed is a side that takes so long at the n-th of all its turns.
func timed(t *testing.T, about string, values []float64, ns func(j side.Job, turn int) float64) (s *side.Side, turns func() int) {
	n := 0
	return sidetest.Serve(t, about, func(r side.Request) (side.Answer, error) {
		switch {
		case r.Op == side.Forget:
			return side.Answer{}, nil
		case r.Seconds == 0 && values == nil:
			return side.Answer{}, errors.New("cannot")
		case r.Seconds == 0:
			return side.Answer{Values: values}, nil
		}
		n++
		return side.Answer{Samples: []float64{2 * ns(r.Job, n-1), ns(r.Job, n-1)}}, nil
	}), func() int { return n }
}

// A point that is slow once is measured again; one that is slow always is a cliff.
func TestSearch(t *testing.T) {
	const slowOnce, slow = 1000, 10000
	ours, turns := timed(t, "avx2", []float64{1}, func(j side.Job, turn int) float64 {
		if n := j.Shape[0]; n == slow || n == slowOnce && turn < 4*glance.rounds {
			return 7 * float64(n)
		}
		return float64(j.Shape[0])
	})
	naive, naiveTurns := timed(t, "naive", []float64{1}, func(j side.Job, turn int) float64 { return 100 * float64(j.Shape[0]) })
	s := newSearch(made(4), func(p gridPoint) bool { return p.elements > 10 })
	s.sides = sides{[]*side.Side{ours}, map[string]*side.Side{results.Naive: naive}}
	cliffs, err := s.run()
	require.NoError(t, err)
	require.Len(t, cliffs, 1)
	assert.Equal(t, 3, cliffs[0].point)
	assert.Equal(t, 4*glance.rounds+2*look.rounds, turns(), "all, neighbours of what is chosen, too, and two of them again")
	assert.Equal(t, 4, naiveTurns(), "it is far behind")
	assert.Empty(t, s.differ)
	assert.Equal(t, "softmax: 1 of 3\n1 of 3 points tried are cliffs.\n", s.summary(cliffs))

	s = newSearch(made(4), func(p gridPoint) bool { return p.elements == 1000 })
	s.sides = sides{tiers: []*side.Side{ours}}
	cliffs, err = s.run()
	require.NoError(t, err)
	assert.Empty(t, cliffs, "a neighbour is none that was asked for")
	assert.NotNil(t, s.times[3])
	assert.Nil(t, s.times[0])
}

// Sides that compute something else are measured, and named.
func TestOtherResults(t *testing.T) {
	same := func(j side.Job, turn int) float64 { return 500 - float64(turn) }
	ours, _ := timed(t, "avx2", []float64{1}, same)
	naive, _ := timed(t, "naive", nil, same)
	torch, _ := timed(t, "torch", []float64{2}, func(side.Job, int) float64 { return 100 })
	s := newSearch(made(1), func(gridPoint) bool { return true })
	s.sides = sides{[]*side.Side{ours}, map[string]*side.Side{results.Naive: naive, results.PyTorch: torch}}
	cliffs, err := s.run()
	require.NoError(t, err)
	last := 500 - float64(glance.rounds+look.rounds-1)
	assert.Equal(t, []best{{trellisSide: last, results.Naive: last, results.PyTorch: 100}}, s.times, "the shortest calls")
	summary := s.summary(cliffs)
	assert.Contains(t, summary, "naive has other results at 1 points, such as softmax 10: cannot\n")
	assert.Contains(t, summary, "PyTorch has other results at 1 points, such as softmax 10: PyTorch computes [2] where trellis computes [1]\n")
}

func TestCliffTable(t *testing.T) {
	s := newSearch(made(3), nil)
	s.times = []best{{trellisSide: 5, results.Naive: 7}, {trellisSide: 460, results.Naive: 230, results.PyTorch: 9000}, {trellisSide: 500}}
	table := s.table(judge(s.points, neighbours(s.points), s.times))
	lines := strings.Split(strings.TrimSpace(table), "\n")
	require.Len(t, lines, 3)
	assert.Equal(t, strings.Fields("work over time naive × PyTorch per × neighbour"), strings.Fields(lines[0]))
	assert.Equal(t, strings.Fields("softmax 100 2.67× 460 ns 230 ns 2.00× 9.00 µs element 4.60 ns 0.50 ns 8.00× 10"), strings.Fields(lines[2]))
	assert.Empty(t, s.table(nil))
}
