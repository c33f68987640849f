package report

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gotrellis/trellis/bench/internal/results"
)

// curveOf has points at powers of two.
func curveOf(y ...float64) (all []point) {
	for i, v := range y {
		x := float64(int(1) << i)
		all = append(all, point{x, v, results.Work{X: x, Elements: int(x)}})
	}
	return all
}

func TestFindStraight(t *testing.T) {
	for _, c := range []struct {
		name  string
		y     []float64
		first int
		last  int
		per   float64
	}{
		{"flat", []float64{2, 2, 2, 2}, 0, 3, 2},
		{"a fixed cost, then memory", []float64{32, 17, 9, 3, 1, 1.1, 0.9, 1, 2, 3}, 4, 7, 1},
		{"the longest", []float64{5, 5, 5, 1, 1, 1, 1, 9, 9, 9}, 3, 6, 1},
		{"of equal ones, the cheapest", []float64{5, 5, 5, 1, 1, 1, 9, 9, 9}, 3, 5, 1},
		{"25 % above", []float64{1.3, 1, 1, 1, 0.9}, 1, 4, 1},
		{"25 % below", []float64{0.7, 1, 1, 1, 1.1}, 1, 4, 1},
		{"near 25 %", []float64{1.24, 1, 0.76, 9}, 0, 2, 1},
		{"noise", []float64{1, 1, 1, 4, 1, 1, 1, 1}, 4, 7, 1},
	} {
		s, ok := findStraight(curveOf(c.y...))
		assert.True(t, ok, c.name)
		assert.Equal(t, straight{c.first, c.last, c.per}, s, c.name)
	}
	for _, y := range [][]float64{nil, {1}, {1, 1}, {1, 1, 4}, {8, 4, 2, 1, 0.5}} {
		_, ok := findStraight(curveOf(y...))
		assert.False(t, ok, y)
	}

	// By the axis, not by the number of points.
	all := []point{{x: 1, y: 1}, {x: 1.1, y: 1}, {x: 1.2, y: 1}, {x: 1.3, y: 1}, {x: 10, y: 5}, {x: 100, y: 5}, {x: 1000, y: 5}}
	s, _ := findStraight(all)
	assert.Equal(t, straight{4, 6, 5}, s)
}

func TestDepartures(t *testing.T) {
	all := curveOf(8, 4, 0.5, 1, 1, 1, 1, 1.2, 2, 3, 2.5)
	s, ok := findStraight(all)
	assert.True(t, ok)
	found := s.departures(all)
	assert.Equal(t, []departure{
		{all[:2], all[0], false, 1}, {all[2:3], all[2], false, -1}, {all[8:], all[9], true, 1},
	}, found)
	assert.Equal(t, "From n = 1 to 2 it is above the line: 8.00 times its cost at n = 1.", s.describe(found[0], "n"))
	assert.Equal(t, "At n = 4 it is below the line: 0.50 times its cost.", s.describe(found[1], "n"))
	assert.Empty(t, s.departures(curveOf(1, 1, 1.2)))
}

// works makes a curve's works of nanoseconds per element.
func worksOf(group string, y ...float64) (works []results.Work) {
	for _, p := range curveOf(y...) {
		works = append(works, results.Work{
			Group: group, Type: "float32", X: p.x, Elements: int(p.x), Bytes: 4 * int(p.x), Unit: "element",
			Times: []results.Time{{Side: "neon", Workers: 1, Median: p.y * p.x}},
		})
	}
	return works
}

func TestGrowth(t *testing.T) {
	for _, c := range curves {
		m := machine{File: results.File{Machine: results.Machine{Tiers: []string{"neon"}}}}
		m.Works = worksOf(c.group, 2, 2, 2, 2, 2)
		assert.Equal(t, "NEON takes 2.00 ns per element at all sizes, from "+c.symbol+" = 1 to 16.", m.growth(c))

		m.Works = worksOf(c.group, 16, 8, 4, 2, 1)
		assert.Equal(t, "NEON has no line: nowhere are three sizes in a row within 25 % of their median.", m.growth(c))

		m.Works = worksOf(c.group, 2, 2, 2, 2, 1)
		assert.Equal(t, "NEON takes 2.00 ns per element from "+c.symbol+" = 1 to 8. At "+c.symbol+
			" = 16 it is below the line: 0.50 times its cost.", m.growth(c), "what falls has no reason")

		m.Works = worksOf(c.group, 8, 2, 2, 2, 2, 8)
		assert.Regexp(t, "^NEON takes 2.00 ns per element from "+c.symbol+" = 2 to 16. At "+c.symbol+
			" = 1 it is above the line: 4.00 times its cost. .+ At "+c.symbol+" = 32 it is above the line: 4.00 times its cost. .+", m.growth(c))

		m.Works = nil
		assert.Empty(t, m.growth(c))
	}
}

func TestFills(t *testing.T) {
	m := machine{File: results.File{Machine: results.Machine{Tiers: []string{"neon"}, Caches: []int{32, 1 << 20}}}}
	m.Works = worksOf(results.Rows, 1, 1, 1, 1, 1)
	fills := curves[0].fills(m)
	assert.Equal(t, 32, fills[0].bytes)
	assert.InDelta(t, 8, fills[0].x, 1e-9)
	assert.Zero(t, fills[1].x)
	assert.Equal(t, "The row fills the L1 (32 B) at n = 8.", curves[0].caches(m))
}

func TestTogether(t *testing.T) {
	of := func(all ...float64) (works []results.Work) {
		for i, ns := range all {
			works = append(works, results.Work{X: float64(int(1) << i), Elements: 1, Times: []results.Time{
				{Side: "neon", Workers: 1, Median: 10}, {Side: "neon", Workers: 4, Median: ns},
			}})
		}
		return works
	}
	assert.Equal(t, "4 workers are 2.00 times as fast as one at N = 16, and gain more than 25 % from N = 8 on: "+
		"one worker takes 10.0 ns at N = 4, and to wake another one takes some 50 µs.", together(of(20, 5, 9, 5, 5), "neon", 4))
	long := of(9, 5)
	long[0].Times[0].Median, long[0].Times[1].Median = 1e6, 1e6
	assert.Equal(t, "4 workers are 2.00 times as fast as one at N = 2, and gain more than 25 % from N = 2 on.", together(long, "neon", 4),
		"that is not for waking")
	assert.Equal(t, "4 workers are 2.00 times as fast as one at N = 2.", together(of(5, 5), "neon", 4))
	assert.Equal(t, "4 workers are 0.50 times as fast as one at N = 2.", together(of(5, 20), "neon", 4))
	assert.Empty(t, together(worksOf(results.Batch, 1, 1), "neon", 4))
}

func TestBatchGrowth(t *testing.T) {
	m := machine{File: results.File{Machine: results.Machine{Tiers: []string{"neon"}}}}
	m.Works = worksOf(results.Batch, 4, 1, 1, 1, 2)
	line := "NEON with one worker takes 1.00 ns per element from N = 2 to 8. At N = 1 it is above the line: 4.00 times its cost. " +
		"A call has a fixed cost, which few sequences share. At N = 16 it is above the line: 2.00 times its cost."
	assert.Equal(t, line, m.batchGrowth())
	m.Machine.Caches = []int{16, 48}
	assert.Equal(t, line+" Logits and gradient are 64 B then, and the last cache has 48 B.", m.batchGrowth())
}

func TestCost(t *testing.T) {
	for want, ns := range map[string]float64{"0.000928 ns": 0.0009284, "0.221 ns": 0.2211, "0.0500 ns": 0.05, "1.50 ns": 1.5, "2.00 µs": 2000} {
		assert.Equal(t, want, cost(ns))
	}
}
