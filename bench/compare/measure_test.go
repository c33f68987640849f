package main

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/bench/internal/side"
	"github.com/gotrellis/trellis/bench/internal/side/sidetest"
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
	assert.True(t, agree([]float64{1000.009, 0.000009}, []float64{1000, 0}, 1e-5))
	assert.False(t, agree([]float64{1000.011}, []float64{1000}, 1e-5))
	assert.False(t, agree([]float64{math.NaN()}, []float64{1}, 1e-5))
	assert.False(t, agree([]float64{1}, []float64{1, 1}, 1e-5))
}

func TestMeasure(t *testing.T) {
	constant := func(about string, value, ns float64) *side.Side {
		return sidetest.Serve(t, about, func(r side.Request) (side.Answer, error) {
			if r.Seconds > 0 {
				return side.Answer{Samples: []float64{ns * float64(r.Workers)}}, nil
			}
			return side.Answer{Values: []float64{value}}, nil
		})
	}
	j := f32(opLogSumExp, 1, 8)
	three := j
	three.Workers = 3
	w := work{name: "w", job: j, beside: []reference{
		{name: "PyTorch", peer: true, job: j},
		{name: "itself", job: three},
	}}
	slow, fast := constant("slow", 1, 20), constant("fast", 1, 10)

	rounds := 0
	s := sides{[]*side.Side{slow, fast}, constant("peer", 1.000001, 40)}
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
	r, err = measure(w, sides{[]*side.Side{slow, fast}, nil}, 1, func() {})
	require.NoError(t, err)
	assert.Len(t, r.tiers, 1)
	assert.Nil(t, r.beside[0])
	w.bestOnly = false

	_, err = measure(w, sides{[]*side.Side{slow, fast}, constant("off", 1.0001, 40)}, 1, func() {})
	assert.EqualError(t, err, "off computes [1.0001] where slow computes [1]")
	_, err = measure(w, sides{[]*side.Side{slow, constant("other bits", 1+0x1p-52, 10)}, nil}, 1, func() {})
	assert.ErrorContains(t, err, "other bits computes")
}

func TestRead(t *testing.T) {
	x := make([]uint64, 4*readWords+3)
	for i := range x {
		x[i] = uint64(i) * 0x9E3779B97F4A7C15
	}
	var want uint64
	for n := range x {
		require.Equal(t, want, read(x[:n]), n)
		want ^= x[n]
	}
}

// Both languages make the same numbers, and compute the same from them.
func TestPeerAgrees(t *testing.T) {
	peer, err := side.StartPyTorch()
	require.NoError(t, err)
	if peer == nil {
		t.Skip("no PyTorch")
	}
	defer peer.Close()
	jobs := []side.Job{
		f32(opLogSumExp, 7, 300),
		f64(opLogSumExp, 7, 300),
		f32(opLogSumExp, 1000100), // more than there are different numbers
		f32(opSoftmax, 7, 300),
		f32(opNLLGrad, 40, 30),
		f32(opCrossEntropy, 40, 30),
		f32(opCrossGrad, 40, 30),
		f32(opCrossGrad, 2, 21, 5, 6),
		ctc(opCTC, "float32", 3, 7, 20, 5, 12),
		ctc(opCTC, "float64", 6, 6, 20, 5, 12),
		ctc(opCTCGrad, "float32", 3, 7, 20, 5, 12),
		ctc(opCTCGrad, "float64", 3, 7, 20, 5, 12),
	}
	scaled := f64(opSoftmax, 7, 300)
	scaled.Scale = 5
	for _, j := range append(jobs, scaled) {
		here := sidetest.Serve(t, "here", new(computer).answer)
		assert.NoError(t, check([]*contender{{side: here, job: j}, {side: peer, job: j}}), j)
	}
	a, err := peer.Ask(side.Request{Job: jobs[0], Seconds: 1e-3})
	require.NoError(t, err)
	assert.NotEmpty(t, a.Samples)
	_, err = peer.Ask(side.Request{Job: f32("no such", 2)})
	assert.ErrorAs(t, err, new(side.Error))
}
