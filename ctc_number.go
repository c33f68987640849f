package trellis

import "math"

// number is v·2^e. plus requires v to be 0, or so near 1 that the exponents tell which
// number is larger.
type number struct{ v, e float64 }

// normal returns the same number with v in [1, 2), or 0.
func (a number) normal() number {
	if a.v == 0 {
		return number{}
	}
	bits := math.Float64bits(a.v)
	return number{math.Float64frombits(bits&(1<<52-1) | 1023<<52), a.e + float64(int(bits>>52)-1023)}
}

// plus returns a + b.
func (a number) plus(b number) number {
	switch {
	case b.v == 0 || a.v != 0 && a.e-b.e > -minFactor:
		return a
	case a.v == 0 || b.e-a.e > -minFactor:
		return b
	case a.e < b.e:
		a, b = b, a
	}
	return number{a.v + float64(b.v*power(b.e-a.e)), a.e}
}

// numberRow is a row of numbers.
type numberRow struct{ v, exponents []float64 }

// states returns the blank and the label at a position of a row of states.
func (r numberRow) states(i int) (blank, label number) {
	b, l := blankAt(i), labelAt(i)
	return number{r.v[b], r.exponents[b]}, number{r.v[l], r.exponents[l]}
}
