package fp

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFMAOfSums(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for range points(4000000) {
		x, y := math.Ldexp(2*r.Float64()-1, r.IntN(60)-30), math.Ldexp(2*r.Float64()-1, r.IntN(60)-30)
		if r.IntN(3) == 0 {
			x = math.Float64frombits(math.Float64bits(x) &^ (1<<r.IntN(53) - 1))
		}
		z := math.Ldexp(2*r.Float64()-1, r.IntN(200)-100)
		switch r.IntN(4) {
		case 0:
			z = -x * y * (1 + float64(r.IntN(9)-4)*0x1p-53)
		case 1:
			z = math.Ldexp(float64(r.IntN(16)-8), r.IntN(200)-100)
		}
		require.Equal(t, math.FMA(x, y, z), fmaOfSums(x, y, z), "%x %x %x", x, y, z)
	}
}

func TestExpBetween(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	unsure := 0
	const n = 1 << 12
	x, y := make([]float64, n), make([]float64, n)
	all := points(2000)
	for j := range all {
		for i := range x {
			switch j % 4 {
			case 0:
				x[i] = -700 + 1400*r.Float64()
			case 1:
				x[i] = 2*r.Float64() - 1
			case 2:
				x[i] = math.Ldexp(r.NormFloat64(), -r.IntN(60))
			case 3:
				x[i] = (float64(r.IntN(2000)-1000) + 0.5) * math.Ln2 * (1 + (r.Float64()-0.5)*0x1p-40)
			}
		}
		expsBetween(y, x, 0, expMin64, expMax64, 0)
		for i, v := range x {
			require.Equal(t, Exp64(v), y[i], "%x", v)
			a, q, _ := reduce64(v, roundTo)
			p, h := middle64(lower64(a), a)
			p, h = upper64(p, h, a, q)
			_, h = upper64(p, h, a, q)
			if j%4 < 3 && !isSure(h, a) {
				unsure++
			}
		}
	}
	t.Log(float64(unsure) / float64(all*n))
	assert.Less(t, float64(unsure)/float64(all*n), 0.02)
}

func TestLogBetween(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	unsure, n := [4]int{}, points(2000000)
	for i := range n {
		x := [...]float64{r.Float64(), 100 * r.Float64(), math.Ldexp(r.Float64(), -r.IntN(900)), math.Ldexp(r.Float64(), r.IntN(900))}[i%4]
		u := 1 + x
		c := (x - (u - 1)) / u
		low, high := logBetween(u, c)
		if low != high {
			unsure[i%4]++
		}
		want := logFused(u, c)
		require.True(t, low <= want && want <= high, "%x", x)
	}
	t.Log(unsure, n)
}

func TestLogPolyBetween(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 28))
	unsure, n := 0, points(2000000)
	for range n {
		s := (math.Sqrt2 - 1) / (math.Sqrt2 + 1) * math.Ldexp(r.Float64(), -r.IntN(3)*r.IntN(30))
		low, high := logPolyBetween(s * s)
		want := logPolyFused(s * s)
		require.True(t, low <= want && want <= high, "%x", s)
		if low != high {
			unsure++
		}
	}
	assert.Less(t, float64(unsure)/float64(n), 0.05)
}
