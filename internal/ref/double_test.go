package ref_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/ref"
)

// What Double says of errors is what math/big does.
func TestDouble(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for i := range 3000 {
		x := [...]float64{2*r.Float64() - 1, 1416*r.Float64() - 708}[i%2]
		y, n := ref.ExpDouble(x)
		got := new(big.Float).SetPrec(ref.Bits).SetFloat64(y.Hi)
		got.Add(got, big.NewFloat(y.Lo))
		got.SetMantExp(got, n)
		ratio, _ := got.Quo(got, ref.Exp(x)).Sub(got, big.NewFloat(1)).Float64()
		require.Less(t, math.Abs(ratio), 0x1p-90, "exp(%v)", x)
		require.InDelta(t, ref.ULPs(fp.Exp64(x), ref.Exp(x), 53), ref.ExpULPs(x, fp.Exp64(x)), 1e-6, "exp(%v)", x)

		x = [...]float64{
			r.Float64() + 0x1p-60, 100 * r.Float64(), math.Ldexp(1+r.Float64(), -1-r.IntN(99)), math.Ldexp(1+r.Float64(), r.IntN(990)),
			-0.75 * r.Float64(), -math.Ldexp(1+r.Float64(), -2-r.IntN(97)),
		}[i%6]
		u := new(big.Float).SetPrec(2 * ref.Bits).SetFloat64(x)
		y1 := fp.Log1p(x)
		want := ref.ULPs(y1, ref.Log(u.Add(u, big.NewFloat(1)), y1), 53)
		require.InDelta(t, want, ref.Log1pULPs(x, y1), 1e-6, "log1p(%v)", x)

		x = [...]float64{0.5 + 1.5*r.Float64(), 1 + 1e-3*r.NormFloat64(), 1 + 1e5*r.Float64(), math.Ldexp(1+r.Float64(), r.IntN(2000)-1000)}[i%4]
		y2 := fp.Log(x)
		want = ref.ULPs(y2, ref.Log(new(big.Float).SetFloat64(x), y2), 53)
		require.InDelta(t, want, ref.LogULPs(x, y2), 1e-6, "log(%v)", x)
	}
}
