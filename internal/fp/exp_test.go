package fp

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/gotrellis/trellis/internal/ref"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// points returns the number of points at which a function is compared with slow arithmetic:
// in short mode a twentieth.
func points(n int) int {
	if testing.Short() {
		return n / 20
	}
	return n
}

func TestExp32(t *testing.T) {
	// 11 million of the 2³² inputs; TRELLIS_EXHAUSTIVE=1 takes all.
	step := uint32(389)
	if testing.Short() {
		step = 4099
	}
	if os.Getenv("TRELLIS_EXHAUSTIVE") != "" {
		step = 1
	}
	worst, at := 0.0, float32(0)
	for b := uint32(0); ; b += step {
		x := math.Float32frombits(b)
		if got := Exp32(x); expMin32 <= x && x <= expMax32 {
			want := math.Exp(float64(x)) // its own error is 2⁻²⁹ of what is measured
			_, e := math.Frexp(want)
			if u := math.Abs(float64(got)-want) * math.Ldexp(1, 24-e); u > worst {
				worst, at = u, x
			}
		} else if !(got == 0 && x < 0 || math.IsInf(float64(got), 1) && x > 0 || got != got && x != x) {
			require.Fail(t, "beyond the range", "Exp(%v) = %v", x, got)
		}
		if b > math.MaxUint32-step {
			break
		}
	}
	t.Logf("worst error %.4f ulp at %v", worst, at)
	assert.LessOrEqual(t, worst, 0.8925)
}

func TestExp32Edges(t *testing.T) {
	inf := float32(math.Inf(1))
	assert.Equal(t, float32(1), Exp32(0))
	assert.Equal(t, float32(1), Exp32(float32(math.Copysign(0, -1))))
	assert.Equal(t, float32(1), Exp32(math.SmallestNonzeroFloat32))
	assert.Equal(t, float32(0), Exp32(-inf))
	assert.Equal(t, inf, Exp32(inf))
	assert.GreaterOrEqual(t, Exp32(expMin32), float32(0x1p-126))
	assert.Equal(t, float32(0), Exp32(math.Nextafter32(expMin32, -inf)))
	assert.Less(t, Exp32(expMax32), inf)
	assert.Equal(t, inf, Exp32(math.Nextafter32(expMax32, inf)))
	for b := uint32(0); b < 1<<12; b++ { // NaN keeps being NaN, whatever its payload
		x := math.Float32frombits(0x7f800001 + b<<11)
		assert.True(t, Exp32(x) != Exp32(x))
	}
}

// exp32Steps is exp32 in fused steps, without the detour through float64.
func exp32Steps(x, k float32) float32 {
	z := FMA32(x, log2eF32, shift32)
	n := z - shift32
	r := FMA32(-n, ln2LoF32, float32(float64(x)-float64(float64(n)*ln2HiF32)))
	p := FMA32(expF32C6, r, expF32C5)
	for _, c := range [...]float32{expF32C4, expF32C3, expF32C2, 1, 1} {
		p = FMA32(p, r, c)
	}
	return math.Float32frombits(math.Float32bits(p) + uint32(int32(n-k))<<23)
}

// Every step of exp32 is fused: of a sample of all arguments and where r is nearly 0, or with
// TRELLIS_EXHAUSTIVE=1 of all.
func TestExp32IsFused(t *testing.T) {
	check := func(b uint32) {
		x := math.Float32frombits(b)
		if !(math.Abs(float64(x)) <= MaxScore) {
			return
		}
		k := FMA32(x, log2eF32, shift32) - shift32
		if exp32Steps(x, k) != exp32(x, float64(k)) {
			require.Fail(t, "not fused", "Exp(%v)", x)
		}
	}
	step := uint32(4099)
	if testing.Short() {
		step = 65537
	}
	if os.Getenv("TRELLIS_EXHAUSTIVE") != "" {
		step = 1
	}
	for b := uint32(0); b < math.MaxUint32-step; b += step {
		check(b)
	}
	for near := uint32(0x34000000); near < 0x34c00000; near += step/512 + 1 { // 2⁻²³ to 3·2⁻²²
		check(near)
		check(near | 1<<31)
	}
}

func TestExp64(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	worst, at := 0.0, 0.0
	for i := range points(60000) {
		x := -1 + 2*r.Float64()
		if i%2 == 0 {
			x = expMin64 + (expMax64-expMin64)*r.Float64()
		}
		if u := ref.ExpULPs(x, Exp64(x)); u > worst {
			worst, at = u, x
		}
	}
	t.Logf("worst error %.4f ulp at %v", worst, at)
	assert.LessOrEqual(t, worst, 0.9)
	assert.Equal(t, 1.0, Exp64(0))
	assert.Equal(t, 0.0, Exp64(math.Inf(-1)))
	assert.Equal(t, 0.0, Exp64(math.Nextafter(expMin64, -1000)))
	assert.GreaterOrEqual(t, Exp64(expMin64), 0x1p-1022)
	assert.Equal(t, math.Inf(1), Exp64(math.Nextafter(expMax64, 1000)))
	assert.False(t, math.IsInf(Exp64(expMax64), 1))
	assert.True(t, math.IsNaN(Exp64(math.NaN())))
}

func TestLog64(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	worst, at := 0.0, 0.0
	for i := range points(40000) {
		x := [...]float64{0.5 + 1.5*r.Float64(), 1 + 1e-3*r.NormFloat64(), 1 + r.Float64()*50000, math.Ldexp(1+r.Float64(), r.IntN(2000)-1000)}[i%4]
		got := Log(x)
		if u := ref.LogULPs(x, got); u > worst {
			worst, at = u, x
		}
	}
	t.Logf("worst error %.4f ulp at %v", worst, at)
	assert.LessOrEqual(t, worst, 1.0)
	assert.Equal(t, 0.0, Log(1))
}

func TestLogFrom0(t *testing.T) {
	assert.Equal(t, math.Inf(-1), LogFrom0(0))
	assert.Equal(t, math.Inf(-1), LogFrom0(math.Copysign(0, -1)))
	assert.True(t, math.IsNaN(LogFrom0(math.NaN())))
	r := rand.New(rand.NewPCG(7, 8))
	for i := range 10000 {
		x := math.Ldexp(1+r.Float64(), r.IntN(60)-1080)
		if i < 3 {
			x = []float64{0x1p-1074, 0x1p-1022, 0x1p-1022 - 0x1p-1074}[i]
		}
		if x > 0 {
			assert.InDelta(t, math.Log(x*0x1p100)-100*math.Ln2, LogFrom0(x), 2*0x1p-43, "%g", x)
		}
	}
	assert.Equal(t, Log(0.3), LogFrom0(0.3))
}

func TestLog1p64(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	worst, at := 0.0, 0.0
	for i := range points(40000) {
		x := [...]float64{r.Float64(), 100 * r.Float64(), math.Ldexp(r.Float64(), -r.IntN(900)), -0.75 * r.Float64(), -math.Ldexp(r.Float64(), -r.IntN(200))}[i%5]
		got := Log1p(x)
		if math.Abs(x) < 0x1p-100 { // ln(1+x) is x − x²/2
			require.True(t, x == got, "Log1p(%v) = %v", x, got)
			continue
		}
		if u := ref.Log1pULPs(x, got); u > worst {
			worst, at = u, x
		}
	}
	t.Logf("worst error %.4f ulp at %v", worst, at)
	assert.LessOrEqual(t, worst, 1.0)
}

// The exact product and sum, rounded once.
func bigFMA32(x, y, z float32) float32 {
	product := big.NewFloat(float64(x) * float64(y))
	f, _ := new(big.Float).SetPrec(700).Add(product, big.NewFloat(float64(z))).Float32()
	return f
}

func TestFMA32(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	number := func() float32 { return float32(math.Ldexp(1+float64(r.IntN(1<<23))/(1<<23), r.IntN(60)-30)) }
	check := func(x, y, z float32) {
		if want, got := bigFMA32(x, y, z), FMA32(x, y, z); want != got {
			require.Fail(t, "another result", "%v·%v + %v = %v, want %v", x, y, z, got, want)
		}
	}
	ties := 0
	for range points(200000) {
		x, y, z := number(), number(), -number()
		check(x, y, z)
	}
	// Sums so close to a tie that float64 takes them for one.
	for range points(200000) {
		z := 1 + float32(r.IntN(1<<23))/(1<<23)
		half := float32(0x1p-24) * (1 + float32(r.IntN(3)-1)*0x1p-23)
		y := float32(1 + float64(r.IntN(3)-1)*0x1p-23)
		if tie(float64(half)*float64(y)+float64(z)) == 0 {
			ties++
		}
		check(half, y, z)
		check(-half, y, z)
		check(half, y, -z)
	}
	assert.Greater(t, ties, points(10000))
	// Results that are subnormal, where half way is elsewhere.
	for range points(100000) {
		x, y := 0x1p-75*(1+float32(r.IntN(4))*0x1p-23), 0x1p-76*(2-float32(1+r.IntN(4))*0x1p-23)
		z := float32(r.IntN(1<<10)) * math.SmallestNonzeroFloat32
		check(x, y, z)
	}
	require.Equal(t, float32(0x1.000004p-127), FMA32(0x1.000002p-75, 0x1.fffffcp-76, 0x1.000004p-127))
}

func TestExpScaled(t *testing.T) {
	check := func(v, e, x, tolerance float64) {
		got := new(big.Float).SetMantExp(big.NewFloat(v), int(e))
		ratio, _ := got.Quo(got, ref.Exp(x)).Float64()
		require.InDelta(t, 1, ratio, tolerance, "Exp(%v) = %v·2^%v", x, v, e)
	}
	r := rand.New(rand.NewPCG(9, 10))
	for i := range 3000 {
		x := -math.Ldexp(r.Float64(), i%12)
		v, e := ExpScaled(x, 0)
		require.True(t, v > 0.7 && v < 1.5, "%v", v)
		check(v, e, x, 2.3e-16)
	}
	v, e := ExpScaled(-1000, 0x1p-45) // a correction that −1000 has no room for
	w, f := ExpScaled(-1000, 0)
	assert.Equal(t, e, f)
	assert.InDelta(t, 0x1p-45, v/w-1, 0x1p-51)
	for _, x := range []float64{MinScore, -1e9, math.Inf(-1), math.NaN()} {
		v, e := ExpScaled(x, 0)
		assert.Equal(t, 0.0, v, fmt.Sprint(x))
		assert.Equal(t, 0.0, e, fmt.Sprint(x))
	}
	_, far := ExpScaled(math.Nextafter(MinScore, 0), 0)
	assert.InDelta(t, MinScore/math.Ln2, far, 1)
}

// exp of scores with the power of two taken off that is near the largest.
func TestExpOver(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testExpOver[float32](t, 80, 24) })
	t.Run("float64", func(t *testing.T) { testExpOver[float64](t, 690, 53) })
}

func testExpOver[F Float](t *testing.T, below float64, bits int) {
	const count, promised = 3000, 0.93
	r := rand.New(rand.NewPCG(19, 20))
	var squares float64
	for i := range count {
		top := F(math.Ldexp(2*r.Float64()-1, i%17))
		x := top - F(below*r.Float64())
		shift := Shifted(top)
		k := float64(shift) - shift64
		if IsFloat32[F]() {
			k = float64(shift) - shift32
		}
		require.InDelta(t, float64(top)/math.Ln2, k, 0.6)
		y := []F{x}
		ExpsOver(y, y, shift, x)
		want := new(big.Float).SetMantExp(ref.Exp(float64(x)), -int(k))
		require.Less(t, ref.ULPs(float64(y[0]), want, bits), promised, "Exp(%v)/2^%v = %v", x, k, y[0])
		ratio, _ := new(big.Float).Quo(big.NewFloat(float64(y[0])), want).Float64()
		squares += (ratio - 1) * (ratio - 1)
	}
	t.Logf("relative error, root mean square: %.1e", math.Sqrt(squares/count))
}
