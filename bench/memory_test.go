package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

// All is moved, whatever the number of workers.
func TestMemory(t *testing.T) {
	x := make([]float64, 1001)
	for i := range x {
		x[i] = float64(i + 1)
	}
	for workers := 1; workers <= 5; workers++ {
		clear(kept[:])
		require.NoError(t, prepareMemory(opRead, x).call(workers)())
		var bits uint64
		for _, k := range kept {
			bits ^= k.bits
		}
		assert.Equal(t, readGeneric(words(x)), bits, workers)
		for _, op := range []string{opWrite, opCopy} {
			m := prepareMemory(op, x)
			require.NoError(t, m.call(workers)())
			want := 0.0
			if op == opCopy {
				want = 1001 * 1002 / 2
			}
			assert.Equal(t, []float64{want}, m.values(), "%s with %d workers", op, workers)
		}
	}
}
