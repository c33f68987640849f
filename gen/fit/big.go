package main

import "math/big"

// precision is the working precision in bits. The hardest number here is an
// error near 2^-59 wanted to 2^-40 of itself, so most of it is head room for
// cancellation and for the solution of the linear systems.
const precision = 256

// ln2 is the natural logarithm of two.
var ln2 = logSeries(number(2))

func number(x float64) *big.Float {
	return new(big.Float).SetPrec(precision).SetFloat64(x)
}

func add(x, y *big.Float) *big.Float { return number(0).Add(x, y) }
func sub(x, y *big.Float) *big.Float { return number(0).Sub(x, y) }
func mul(x, y *big.Float) *big.Float { return number(0).Mul(x, y) }
func quo(x, y *big.Float) *big.Float { return number(0).Quo(x, y) }

// scaled returns x·2^n.
func scaled(x *big.Float, n int) *big.Float { return number(0).SetMantExp(x, n) }

// rounded returns x to the nearest number of so many significant bits: 24 make
// a float32 and 53 a float64.
func rounded(x *big.Float, bits uint) *big.Float {
	return new(big.Float).SetPrec(bits).Set(x)
}

// negligible reports whether adding term to sum no longer changes sum.
func negligible(term, sum *big.Float) bool {
	return term.Sign() == 0 || term.MantExp(nil) < sum.MantExp(nil)-precision
}

// exp returns e^x by the Taylor series of x/2^halvings, squared back.
func exp(x *big.Float) *big.Float {
	const small = -16
	halvings := max(0, x.MantExp(nil)-small)
	r := scaled(x, -halvings)
	sum, term := number(1), number(1)
	for k := 1.0; !negligible(term, sum); k++ {
		term = quo(mul(term, r), number(k))
		sum = add(sum, term)
	}
	for range halvings {
		sum = mul(sum, sum)
	}
	return sum
}

// log returns the natural logarithm of x > 0.
func log(x *big.Float) *big.Float {
	mantissa := number(0)
	exponent := x.MantExp(mantissa)
	return add(logSeries(mantissa), mul(number(float64(exponent)), ln2))
}

// logSeries returns log(x) = 2 atanh(s), s = (x-1)/(x+1), by the odd series in
// s, which is quick only for x near one.
func logSeries(x *big.Float) *big.Float {
	s := quo(sub(x, number(1)), add(x, number(1)))
	z := mul(s, s)
	power := scaled(s, 1)
	sum := power
	for k := 3.0; !negligible(power, sum); k += 2 {
		power = mul(power, z)
		sum = add(sum, quo(power, number(k)))
	}
	return sum
}
