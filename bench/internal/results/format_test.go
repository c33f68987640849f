package results

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDigits(t *testing.T) {
	for want, x := range map[string]float64{
		"0.000": 0, "0.004": 0.00449, "0.099": 0.0994, "0.10": 0.0996, "9.99": 9.994, "10.0": 9.996,
		"99.9": 99.94, "100": 99.96, "12345": 12345.4,
	} {
		assert.Equal(t, want, Digits(x), x)
	}
	assert.Equal(t, "34.1×", Times(34.08))
}

func TestDuration(t *testing.T) {
	for want, ns := range map[string]float64{
		"38.2 ns": 38.2, "999 ns": 999.4, "1.00 µs": 999.6, "15.3 µs": 15300, "1.00 ms": 999.9e3, "210 ms": 210e6,
		"1.00 s": 1e9, "90.0 s": 9e10,
	} {
		assert.Equal(t, want, Duration(ns), ns)
	}
}

func TestSize(t *testing.T) {
	for want, bytes := range map[string]int{
		"12 B": 12, "32 KiB": 32 << 10, "1 MiB": 1 << 20, "1.25 MiB": 5 << 18, "256 MiB": 256 << 20, "2 GiB": 2 << 30,
	} {
		assert.Equal(t, want, Size(bytes), bytes)
	}
}
