package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gotrellis/trellis/bench/internal/side"
)

func TestTable(t *testing.T) {
	j := f32(opLogSumExp, 250, 1000)
	timed := func(rounds ...[]float64) *contender { return &contender{job: j, rounds: rounds} }
	s := sides{[]*side.Side{{About: "generic"}, {About: "avx512"}}, &side.Side{About: "PyTorch 1.13"}}
	fast := timed([]float64{1e4, 1e4}, []float64{2e4})
	results := []result{{
		work: work{name: "sum", job: j, beside: []reference{
			{name: "PyTorch", floors: []floor{{tier: "avx512", speedup: 4}, {tier: "avx2", speedup: 2}}},
			{name: "bare read", bandwidth: true, floors: []floor{{slowdown: 1.25}}},
		}},
		tiers:  map[string]*contender{"generic": timed([]float64{1e6}), "avx512": fast},
		best:   fast,
		beside: []*contender{timed([]float64{5e4}, []float64{4e4}), timed([]float64{7999}, []float64{7999})},
	}, {
		work:   work{name: "a second one", job: j, bestOnly: true, beside: []reference{{name: "PyTorch", floors: []floor{{speedup: 2}}}}},
		tiers:  map[string]*contender{"avx512": fast},
		best:   fast,
		beside: []*contender{nil},
	}}
	var out strings.Builder
	writeTable(&out, results, s)
	assert.Equal(t, strings.TrimPrefix(`
 work          beside                 its time  generic       ×   avx512      ×  ns/element  × in rounds  floor                                        
───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
 sum           PyTorch                 45.0 µs  1.00 ms  0.045×  10.0 µs  4.50×       0.040    2.00–5.00  avx512 ≥ 4× ok (1 of 2 rounds ok), avx2 ≥ 2× 
 sum           bare read, 125.0 GB/s   8.00 µs  1.00 ms  0.008×  10.0 µs  0.80×       0.040    0.40–0.80  ≤ 1.25× its time short                       
 a second one  PyTorch                                           10.0 µs              0.040               ≥ 2×                                         

PyTorch 1.13. Medians of all calls. ×: how many times as fast as what it is beside.
ns/element and × in rounds, least and most: of avx512. An element is an input;
of CTC, it is a state of the lattice in a frame: T·Σ(2S+1) over the sequences.
`, "\n"), out.String())
}

func TestVerdict(t *testing.T) {
	at := func(ns float64) *contender { return &contender{rounds: [][]float64{{ns}}} }
	for _, c := range []struct {
		floor   floor
		c, than *contender
		want    string
	}{
		{floor{speedup: 4}, at(10), at(40), "≥ 4× ok"},
		{floor{speedup: 4}, at(10), at(39), "≥ 4× short"},
		{floor{speedup: 4}, at(10), nil, "≥ 4×"},
		{floor{tier: "avx2", speedup: 2.5}, nil, at(1), "avx2 ≥ 2.5×"},
		{floor{slowdown: 1.25}, at(10), at(8), "≤ 1.25× its time ok"},
		{floor{slowdown: 1.25}, at(10), at(7.9), "≤ 1.25× its time short"},
		{floor{nanoseconds: 25}, at(25), nil, "≤ 25 ns ok"},
		{floor{nanoseconds: 25}, at(26), nil, "≤ 25 ns short"},
	} {
		assert.Equal(t, c.want, c.floor.verdict(c.c, c.than))
	}
	drifting := &contender{rounds: [][]float64{{10, 11}, {10}, {20, 20}}}
	assert.Equal(t, "≤ 15 ns ok (2 of 3 rounds ok)", floor{nanoseconds: 15}.verdict(drifting, nil))
	steady := &contender{rounds: [][]float64{{40}, {40}, {40}}}
	assert.Equal(t, "≥ 3× ok (2 of 3 rounds ok)", floor{speedup: 3}.verdict(drifting, steady))
}

func TestDuration(t *testing.T) {
	for ns, want := range map[float64]string{
		1.234: "1.23 ns", 25: "25.0 ns", 999.4: "999 ns", 1000: "1.00 µs", 12345: "12.3 µs", 4.5e6: "4.50 ms", 2e9: "2.00 s",
	} {
		assert.Equal(t, want, duration(ns, true))
	}
	assert.Empty(t, duration(5, false))
}

// A work is chosen by its name, and every reference has something to be judged by.
func TestWorks(t *testing.T) {
	names := map[string]bool{}
	for _, w := range works() {
		assert.False(t, names[w.name], w.name)
		names[w.name] = true
		assert.NotEmpty(t, w.beside, w.name)
		for _, b := range w.beside {
			assert.Equal(t, w.job.Inputs(), b.job.Inputs(), w.name)
			if b.peer {
				assert.Equal(t, w.job, b.job, w.name)
			}
		}
	}
}
