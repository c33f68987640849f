package main

import (
	"math"
	"math/big"
	"slices"
)

// A fit is a polynomial Σ coeffs[k]·x^k under construction. The coefficients
// below free are settled; the others are to make the largest weighted error on
// the samples as small as it can be.
//
// The samples stand for an interval. They are so dense that the best fit on
// them is the best fit on the interval to far better than a thousandth of its
// error, and on finitely many samples the exchange ends exactly.
type fit struct {
	samples []sample
	coeffs  []*big.Float
	free    int
}

// A sample asks for the value want at x; its error counts in units of unit.
type sample struct {
	x, want, unit *big.Float
}

// spread returns count abscissas from lo to hi, closer towards the ends as the
// extrema of a minimax error are. The cubic does what Chebyshev's cosine would,
// in arithmetic that is the same on every machine.
func spread(lo, hi *big.Float, count int) []*big.Float {
	middle, half := scaled(add(lo, hi), -1), scaled(sub(hi, lo), -1)
	xs := make([]*big.Float, count)
	for i := range xs {
		t := quo(number(float64(2*i-count+1)), number(float64(count-1)))
		u := scaled(mul(t, sub(number(3), mul(t, t))), -1)
		xs[i] = add(middle, mul(half, u))
	}
	return xs
}

// solveRounded settles all coefficients at values of so many significant bits.
// Each is rounded in turn, lowest degree first, and those above it are fitted
// again to make up for it (Muller, Elementary Functions). Rounding all at once
// would cost the float64 exp more than a bit.
func (f *fit) solveRounded(bits uint) {
	for ; f.free < len(f.coeffs); f.free++ {
		f.solve()
		f.coeffs[f.free] = rounded(f.coeffs[f.free], bits)
	}
}

// solve sets the free coefficients to their minimax values by the exchange of
// Remez (1934): level the error on a reference of alternating signs, move the
// reference to the peaks of that error, and repeat until no peak stands out.
func (f *fit) solve() {
	const tolerance = 0x1p-40
	size := len(f.coeffs) - f.free + 1
	reference := make([]int, size)
	for i := range reference {
		reference[i] = i * (len(f.samples) - 1) / (size - 1)
	}
	for {
		level := f.level(reference)
		residuals := f.residuals()
		if largest(residuals) <= level*(1+tolerance) {
			return
		}
		reference = alternation(f.oriented(residuals), size)
	}
}

// level solves for the free coefficients that make the error on the reference
// equal in size and alternating in sign, and returns that size.
func (f *fit) level(reference []int) float64 {
	rows := make([][]*big.Float, len(reference))
	sign := 1.0
	for i, r := range reference {
		s := f.samples[r]
		row := make([]*big.Float, 0, len(reference)+1)
		for k := f.free; k < len(f.coeffs); k++ {
			row = append(row, power(s.x, k))
		}
		row = append(row, mul(number(sign*f.orientation(s.x)), s.unit))
		rows[i] = append(row, sub(s.want, horner(f.coeffs[:f.free], s.x)))
		sign = -sign
	}
	solution := eliminate(rows)
	copy(f.coeffs[f.free:], solution)
	size, _ := solution[len(solution)-1].Float64()
	return math.Abs(size)
}

// orientation is the sign of the lowest free term at x. When that term is odd
// it changes sign with x, the terms satisfy the Haar condition only up to that
// sign, and the error alternates only up to it.
func (f *fit) orientation(x *big.Float) float64 {
	if x.Sign() < 0 && f.free%2 == 1 {
		return -1
	}
	return 1
}

// residuals returns the weighted error at each sample.
func (f *fit) residuals() []float64 {
	residuals := make([]float64, len(f.samples))
	for i, s := range f.samples {
		residuals[i], _ = quo(sub(s.want, horner(f.coeffs, s.x)), s.unit).Float64()
	}
	return residuals
}

// oriented returns residuals with the signs that alternate in a minimax fit.
func (f *fit) oriented(residuals []float64) []float64 {
	signed := make([]float64, len(residuals))
	for i, e := range residuals {
		signed[i] = e * f.orientation(f.samples[i].x)
	}
	return signed
}

// largest returns the largest magnitude among residuals.
func largest(residuals []float64) float64 {
	var top float64
	for _, e := range residuals {
		top = max(top, math.Abs(e))
	}
	return top
}

// alternation returns the indices of count peaks of alternating sign, the
// highest among them. It gives up the lowest first, so that no peak it keeps is
// below the level of the reference it replaces and the level can only rise.
func alternation(residuals []float64, count int) []int {
	tops := peaks(residuals)
	lower := func(i, j int) int {
		if math.Abs(residuals[tops[j]]) < math.Abs(residuals[tops[i]]) {
			return j
		}
		return i
	}
	for len(tops) > count {
		lowest, last := 0, len(tops)-1
		for i := range tops {
			lowest = lower(lowest, i)
		}
		switch {
		case lowest == 0 || lowest == last:
			tops = slices.Delete(tops, lowest, lowest+1)
		case len(tops) == count+1:
			end := lower(0, last)
			tops = slices.Delete(tops, end, end+1)
		default:
			// Its two neighbours have equal signs; one of them has to go too.
			first := min(lowest, lower(lowest-1, lowest+1))
			tops = slices.Delete(tops, first, first+2)
		}
	}
	return tops
}

// peaks returns the index of the largest residual in each run of equal sign.
func peaks(residuals []float64) []int {
	tops := []int{0}
	for i, e := range residuals {
		top := &tops[len(tops)-1]
		switch {
		case math.Signbit(e) != math.Signbit(residuals[*top]):
			tops = append(tops, i)
		case math.Abs(e) > math.Abs(residuals[*top]):
			*top = i
		}
	}
	return tops
}

// horner returns Σ coeffs[k]·x^k.
func horner(coeffs []*big.Float, x *big.Float) *big.Float {
	sum := number(0)
	for _, c := range slices.Backward(coeffs) {
		sum = add(mul(sum, x), c)
	}
	return sum
}

// power returns x^k.
func power(x *big.Float, k int) *big.Float {
	p := number(1)
	for range k {
		p = mul(p, x)
	}
	return p
}

// eliminate solves the linear system whose rows are coefficients followed by
// the right-hand side, by Gauss and Jordan with partial pivoting.
func eliminate(rows [][]*big.Float) []*big.Float {
	for i := range rows {
		for j := i + 1; j < len(rows); j++ {
			if magnitude(rows[j][i]).Cmp(magnitude(rows[i][i])) > 0 {
				rows[i], rows[j] = rows[j], rows[i]
			}
		}
		for j := range rows {
			if j == i {
				continue
			}
			factor := quo(rows[j][i], rows[i][i])
			for k := i; k <= len(rows); k++ {
				rows[j][k] = sub(rows[j][k], mul(factor, rows[i][k]))
			}
		}
	}
	solution := make([]*big.Float, len(rows))
	for i, row := range rows {
		solution[i] = quo(row[len(rows)], row[i])
	}
	return solution
}

func magnitude(x *big.Float) *big.Float { return number(0).Abs(x) }
