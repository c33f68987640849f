package fp

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ofFloat16 is the definition.
func ofFloat16(h uint16) float64 {
	exponent, mantissa := int(h>>10&31), float64(h&1023)
	v := math.Ldexp(1024+mantissa, exponent-25)
	switch {
	case exponent == 0:
		v = math.Ldexp(mantissa, -24)
	case exponent == 31 && mantissa == 0:
		v = math.Inf(1)
	case exponent == 31:
		v = math.NaN()
	}
	return math.Copysign(v, 1-2*float64(h>>15))
}

// TestFloat16 goes through all of them, and through what is next to and between two.
func TestFloat16(t *testing.T) {
	for h := range 1 << 16 {
		h := uint16(h)
		want, got := ofFloat16(h), float64(FromFloat16(h))
		if math.IsNaN(want) {
			require.True(t, math.IsNaN(got), "%04x", h)
			require.True(t, math.IsNaN(ofFloat16(ToFloat16(got))), "%04x", h)
			continue
		}
		require.Equal(t, math.Float64bits(want), math.Float64bits(got), "%04x", h)
		require.Equal(t, h, ToFloat16(want), "%04x", h)
		if h&0x7fff >= 0x7bff {
			continue
		}
		next := ofFloat16(h + 1)
		middle := (want + next) / 2
		require.Equal(t, h+h&1, ToFloat16(middle), "the even one beside %04x", h)
		require.Equal(t, h, ToFloat16(math.Nextafter(middle, want)), "%04x", h)
		require.Equal(t, h+1, ToFloat16(math.Nextafter(middle, next)), "%04x", h)
	}
	for x, want := range map[float64]uint16{
		65519.999: 0x7bff, 65520: 0x7c00, 1e300: 0x7c00, -65520: 0xfc00, math.Inf(1): 0x7c00, math.Inf(-1): 0xfc00,
		0x1p-25: 0, 0x1.8p-25: 1, -0x1p-26: 0x8000, 5e-324: 0,
	} {
		assert.Equal(t, want, ToFloat16(x), "%g", x)
	}
}
