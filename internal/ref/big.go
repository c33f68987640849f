// Package ref has slow and exact references for tests.
package ref

import (
	"math"
	"math/big"
)

// Bits is the precision of the references.
const Bits = 160

// Exp returns eˣ to about Bits bits: halve x until it is below
// 2⁻¹⁰, take Taylor's series, square back.
func Exp(x float64) *big.Float {
	const halvings = 20
	r := new(big.Float).SetPrec(2 * Bits).SetFloat64(x)
	r.SetMantExp(r, -halvings)
	sum, term := big.NewFloat(1).SetPrec(2*Bits), big.NewFloat(1).SetPrec(2*Bits)
	for i := 1; i < 30; i++ {
		term.Mul(term, r)
		term.Quo(term, new(big.Float).SetInt64(int64(i)))
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum
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
