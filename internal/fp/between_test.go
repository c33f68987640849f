package fp

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What runs where there is no FMA instruction, beside what runs where there is one.

// requireSame fails unless two numbers have the same bits, or are both NaN.
func requireSame(t *testing.T, want, got float64, of ...float64) {
	if math.Float64bits(want) != math.Float64bits(got) && (want == want || got == got) {
		require.Fail(t, "another result", "%x, want %x, of %x", got, want, of)
	}
}

func TestFMAOfSums(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	number := func(exponents int) float64 {
		x := math.Ldexp(2*r.Float64()-1, r.IntN(exponents)-exponents/2)
		return math.Float64frombits(math.Float64bits(x) &^ (1<<r.IntN(53) - 1)) // often few digits
	}
	ties := 0
	for i := range points(1000000) {
		x, y, z := number(60), number(60), number(200)
		switch i % 8 {
		case 0: // they cancel, or nearly
			z = -x * y * (1 + float64(r.IntN(9)-4)*0x1p-53)
		case 1: // x·y + z is half way between two numbers, or nearly
			z = math.Ldexp(1+r.Float64(), 60)
			x, y = (1+float64(r.IntN(3)-1)*0x1p-52)*0x1p7, 1+float64(r.IntN(3)-1)*0x1p-52
			if s, isSure := addProduct(x*y, 0, z); !isSure && s != 0 {
				ties++
			}
		case 2: // anything
			x, y, z = math.Float64frombits(r.Uint64()), math.Float64frombits(r.Uint64()), math.Float64frombits(r.Uint64())
		case 3: // too small for an exact product
			x, y, z = math.Ldexp(x, -500), math.Ldexp(y, -500), math.Ldexp(z, -1000)
		case 4:
			x, y, z = math.Ldexp(x, 500), math.Ldexp(y, 500), math.Ldexp(z, 1000)
		}
		requireSame(t, math.FMA(x, y, z), fmaOfSums(x, y, z), x, y, z)
	}
	assert.Greater(t, ties, points(1000000)/100)
	special := []float64{0, math.Copysign(0, -1), 1, -1, math.SmallestNonzeroFloat64, 0x1p-1022, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN()}
	for _, x := range special {
		for _, y := range special {
			for _, z := range special {
				requireSame(t, math.FMA(x, y, z), fmaOfSums(x, y, z), x, y, z)
			}
		}
	}
}

func FuzzFMAOfSums(f *testing.F) {
	f.Add(1.5, 0x1.000001p-3, -0x1.8p-3)
	f.Add(0x1p-500, 0x1.8p-500, 0x1p-1000)
	f.Add(0x1.fffffffffffffp1000, 0x1p20, -0x1p1020)
	f.Fuzz(func(t *testing.T, x, y, z float64) { requireSame(t, math.FMA(x, y, z), fmaOfSums(x, y, z), x, y, z) })
}

func TestAddScaled(t *testing.T) {
	r := rand.New(rand.NewPCG(29, 30))
	number := func() float64 {
		return [...]float64{0, 1 + r.Float64(), math.Ldexp(1+r.Float64(), r.IntN(600)-300), math.Ldexp(1+r.Float64(), -900-r.IntN(200)),
			math.SmallestNonzeroFloat64 * float64(r.IntN(9))}[r.IntN(5)]
	}
	for range points(1000000) {
		power := [...]float64{0, 1, math.Ldexp(1, r.IntN(80)-40), math.Ldexp(1, r.IntN(2023)-1022)}[r.IntN(4)]
		x, z := number(), number()
		requireSame(t, math.FMA(x, power, z), AddScaled(z, x, power), x, power, z)
	}
}

// expPoints are arguments of exp in several ranges, of which the last has those that are next to
// half way between two multiples of ln 2.
var expPoints = []func(r *rand.Rand) float64{
	func(r *rand.Rand) float64 { return -700 + 1400*r.Float64() },
	func(r *rand.Rand) float64 { return 2*r.Float64() - 1 },
	func(r *rand.Rand) float64 { return math.Ldexp(r.NormFloat64(), -r.IntN(60)) },
	func(r *rand.Rand) float64 {
		x := (float64(r.IntN(2000)-1000) + 0.5) * math.Ln2
		return x * (1 + (r.Float64()-0.5)*math.Ldexp(1, -20-r.IntN(33)))
	},
}

func TestExpBetween(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	x, fused, got := make([]float64, 1<<12), make([]float64, 1<<12), make([]float64, 1<<12)
	for _, point := range expPoints {
		for range points(80) {
			for i := range x {
				x[i] = point(r)
			}
			expsFused(fused, x, 0, expMin64, expMax64, 0)
			expsBetween(got, x, 0, expMin64, expMax64, 0)
			for i, v := range x {
				requireSame(t, fused[i], got[i], v)
			}
		}
	}
}

// The last steps of exp where 1 + p·r is next to half way between two numbers.
func TestUpperNearTies(t *testing.T) {
	r := rand.New(rand.NewPCG(39, 40))
	for range points(400000) {
		p := 0.7 + 0.7*r.Float64()
		x := float64(2*r.IntN(1<<26)+1) * 0x1p-54 / p * float64(2*r.IntN(2)-1)
		low, half := upper64(p, 0, x, (x+0x1p-27*shift64)-0x1p-27*shift64)
		want := math.FMA(p, x, 1)
		require.True(t, low <= want && want <= low+2*half, "%x·%x + 1", p, x)
	}
}

// Bounds that are further apart than they must be would only take time.
func TestBoundsAreNear(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	n, unsure := points(200000), 0
	for range n {
		x, q, _ := reduce64(expPoints[0](r), shift64)
		p, half := middle64(lower64(x), x)
		p, half = upper64(p, half, x, q)
		if _, half = upper64(p, half, x, q); !isSure(half, x) {
			unsure++
		}
	}
	assert.Less(t, unsure, n/75)
}

func TestLogBetween(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	for i := range points(1000000) {
		x := [...]float64{r.Float64(), 100 * r.Float64(), math.Ldexp(r.Float64(), -r.IntN(900)), math.Ldexp(r.Float64(), r.IntN(900)), -r.Float64() / 2}[i%5]
		u := 1 + x
		c := (x - (u - 1)) / u
		low, high := logBetween(u, c)
		want := logFused(u, c)
		require.True(t, low <= want && want <= high, "%x", x)
	}
}

func TestLogPolyBetween(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 28))
	unsure, n := 0, points(1000000)
	for range n {
		s := (math.Sqrt2 - 1) / (math.Sqrt2 + 1) * math.Ldexp(r.Float64(), -r.IntN(3)*r.IntN(30))
		low, high := logPolyBetween(s * s)
		want := logPolyFused(s * s)
		require.True(t, low <= want && want <= high, "%x", s)
		if low != high {
			unsure++
		}
	}
	assert.Less(t, unsure, n/30)
}
