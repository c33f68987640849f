// Package ref has slow and exact references for tests.
package ref

import (
	"math"
	"math/big"
)

// Bits is the precision of the references.
const Bits = 160

// working is the precision of what Exp computes: squaring loses a bit each time.
const working = Bits + 32

var (
	ln2, _ = new(big.Float).SetPrec(2 * Bits).SetString("0.693147180559945309417232121458176568075500134360255254120680009493393621969694715605863326996418687542001481")
	// taylor are 1/i!. With r below 2⁻⁹ the first term that is missing is below 2⁻¹⁹⁰.
	taylor = func() (c [17]*big.Float) {
		c[0] = new(big.Float).SetPrec(working).SetInt64(1)
		for i := 1; i < len(c); i++ {
			c[i] = new(big.Float).SetPrec(working)
			c[i].Quo(c[i-1], new(big.Float).SetInt64(int64(i)))
		}
		return c
	}()
)

// Exp returns eˣ to about Bits bits: 2ᵏ·eʳ, where r is halved until it is below 2⁻⁹ for
// Taylor's series, which is squared back.
func Exp(x float64) *big.Float {
	const halvings = 8
	k := math.RoundToEven(x / math.Ln2)
	r := new(big.Float).SetPrec(2 * Bits).SetFloat64(k)
	r.Sub(new(big.Float).SetFloat64(x), r.Mul(r, ln2))
	r.SetMantExp(r, -halvings).SetPrec(working)
	sum := new(big.Float).Set(taylor[len(taylor)-1])
	for i := len(taylor) - 2; i >= 0; i-- {
		sum.Mul(sum, r)
		sum.Add(sum, taylor[i])
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum.SetMantExp(sum, int(k))
}

// ULPs returns |got−want| in units of the last place of want, where numbers have
// so many bits.
func ULPs(got float64, want *big.Float, bits int) float64 {
	if want.Sign() == 0 {
		return math.Abs(got)
	}
	d := new(big.Float).Sub(new(big.Float).SetPrec(2*Bits).SetFloat64(got), want)
	d.SetMantExp(d, bits-want.MantExp(nil))
	f, _ := d.Float64()
	return math.Abs(f)
}

// Log returns ln u to about Bits bits, by one Newton step from guess.
func Log(u *big.Float, guess float64) *big.Float {
	q := new(big.Float).SetPrec(2*Bits).Quo(u, Exp(guess))
	d := q.Sub(q, big.NewFloat(1)) // ln q = d − d²/2 + …
	half := new(big.Float).Mul(d, d)
	half.Quo(half, big.NewFloat(2))
	return d.Add(d.Sub(d, half), new(big.Float).SetFloat64(guess))
}
