package main

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMedian(t *testing.T) {
	assert.Equal(t, 3.0, median([]float64{9, 3, 1}))
	assert.Equal(t, 2.5, median([]float64{9, 3, 1, 2}))
	assert.Equal(t, 7.0, median([]float64{7}))
	assert.True(t, math.IsNaN(median(nil)))

	c := &contender{rounds: [][]float64{{5, 1}, {4}}}
	ns, ok := c.median()
	assert.True(t, ok)
	assert.Equal(t, 4.0, ns, "of all rounds together")
	_, ok = (*contender)(nil).median()
	assert.False(t, ok)
}

func TestSample(t *testing.T) {
	calls := 0
	samples, err := sample(func() error { calls++; time.Sleep(2 * time.Millisecond); return nil }, 0)
	require.NoError(t, err)
	assert.Equal(t, 1, calls, "a call that is longer than the time")
	assert.GreaterOrEqual(t, samples[0], 2e6)

	samples, err = sample(func() error { calls++; return nil }, 5*time.Millisecond)
	require.NoError(t, err)
	assert.Less(t, median(samples), 1e3, "one of a batch of calls")

	_, err = sample(func() error { return errors.New("cannot") }, time.Hour)
	assert.EqualError(t, err, "cannot")
}

func TestAgree(t *testing.T) {
	assert.True(t, agree([]float64{1000.009, 0.000009}, []float64{1000, 0}))
	assert.False(t, agree([]float64{1000.011}, []float64{1000}))
	assert.False(t, agree([]float64{math.NaN()}, []float64{1}))
	assert.False(t, agree([]float64{1}, []float64{1, 1}))
}

func TestMeasure(t *testing.T) {
	constant := func(about string, value, ns float64) *side {
		return serveHere(t, about, func(r request) (answer, error) {
			if r.Seconds > 0 {
				return answer{Samples: []float64{ns * float64(r.Workers)}}, nil
			}
			return answer{Values: []float64{value}}, nil
		})
	}
	j := job{opLogSumExp, "float32", []int{1, 8}, 1}
	w := work{name: "w", job: j, beside: []reference{
		{name: "PyTorch", peer: true, job: j},
		{name: "itself", job: job{opLogSumExp, "float32", []int{1, 8}, 3}},
	}}
	slow, fast := constant("slow", 1, 20), constant("fast", 1, 10)

	rounds := 0
	s := sides{[]*side{slow, fast}, constant("peer", 1.000001, 40)}
	r, err := measure(w, s, 3, func() { rounds++ })
	require.NoError(t, err)
	assert.Equal(t, 3, rounds)
	for name, want := range map[string]float64{"slow": 20, "fast": 10} {
		got, _ := r.tiers[name].median()
		assert.Equal(t, want, got, name)
	}
	for i, want := range []float64{40, 30} {
		got, _ := r.beside[i].median()
		assert.Equal(t, want, got, i)
		assert.Len(t, r.beside[i].rounds, 3)
	}
	assert.Same(t, r.tiers["fast"], r.best)

	w.bestOnly = true
	r, err = measure(w, sides{[]*side{slow, fast}, nil}, 1, func() {})
	require.NoError(t, err)
	assert.Len(t, r.tiers, 1)
	assert.Nil(t, r.beside[0])
	w.bestOnly = false

	_, err = measure(w, sides{[]*side{slow, fast}, constant("off", 1.0001, 40)}, 1, func() {})
	assert.EqualError(t, err, "off computes [1.0001] where slow computes [1]")
	_, err = measure(w, sides{[]*side{slow, constant("other bits", 1+0x1p-52, 10)}, nil}, 1, func() {})
	assert.ErrorContains(t, err, "other bits computes")
}

func TestRead(t *testing.T) {
	x := make([]uint64, 4*readWords+3)
	for i := range x {
		x[i] = mix(uint64(i))
	}
	var want uint64
	for n := range x {
		require.Equal(t, want, read(x[:n]), n)
		want ^= x[n]
	}
}

func TestInputs(t *testing.T) {
	x := normal[float64](1 << 16)
	var square float64
	for _, v := range x {
		square += v * v
	}
	assert.InDelta(t, 0, mean(x), 0.02)
	assert.InDelta(t, 1, square/float64(len(x)), 0.02)
	long := normal[float32](2500000)
	assert.Equal(t, long[:400000], long[2000006:2400006])
}
