package ref

import "math"

// Double is the sum of two float64, of some 106 bits: what math/big takes a hundred
// times as long for. (T. J. Dekker, A Floating-Point Technique for Extending the
// Available Precision, 1971.)
type Double struct{ Hi, Lo float64 }

// twoSum returns a + b exactly.
func twoSum(a, b float64) Double {
	s := a + b
	v := s - a
	return Double{s, (a - (s - v)) + (b - v)}
}

// twoProduct returns a·b exactly.
func twoProduct(a, b float64) Double {
	p := float64(a * b)
	return Double{p, math.FMA(a, b, -p)}
}

// normal returns x with lo below half an ulp of hi.
func (x Double) normal() Double { s := x.Hi + x.Lo; return Double{s, x.Lo - (s - x.Hi)} }

// Plus returns x + y.
func (x Double) Plus(y Double) Double {
	s, t := twoSum(x.Hi, y.Hi), twoSum(x.Lo, y.Lo)
	s.Lo += t.Hi
	s = s.normal()
	s.Lo += t.Lo
	return s.normal()
}

// Times returns x·y.
func (x Double) Times(y Double) Double {
	p := twoProduct(x.Hi, y.Hi)
	p.Lo += x.Hi*y.Lo + x.Lo*y.Hi
	return p.normal()
}

// Scaled returns x·2^exponent.
func (x Double) Scaled(exponent int) Double {
	return Double{math.Ldexp(x.Hi, exponent), math.Ldexp(x.Lo, exponent)}
}

// inverseFactorials are 1/i!.
var inverseFactorials = func() (c [11]Double) {
	factorial := int64(1)
	for i := range c {
		if i > 1 {
			factorial *= int64(i)
		}
		f := float64(factorial)
		hi := 1 / f
		c[i] = Double{hi, math.FMA(-hi, f, 1) / f}
	}
	return c
}()

// ExpDouble returns e^x·2^−n, which is near 1, and n. Its error is below 2^−90.
func ExpDouble(x float64) (y Double, n int) {
	const ln2Hi = 0x1.62e42fefa39efp-1
	const ln2Lo = float64(math.Ln2 - ln2Hi)
	const halvings = 9
	k := math.RoundToEven(x / math.Ln2)
	reduced := twoProduct(-k, ln2Hi).Plus(twoProduct(-k, ln2Lo)).Plus(Double{x, 0})
	r := reduced.Scaled(-halvings)
	last := len(inverseFactorials) - 1
	y = inverseFactorials[last]
	for i := last - 1; i >= 1; i-- {
		y = y.Times(r).Plus(inverseFactorials[i])
	}
	y = y.Times(r) // e^r − 1, which squaring keeps exact: (1+y)² − 1 = 2y + y²
	for range halvings {
		y = y.Scaled(1).Plus(y.Times(y))
	}
	return y.Plus(Double{1, 0}), int(k)
}

// inULPs returns the error d of a result near y in units of its last place.
func inULPs(d, y float64) float64 {
	_, e := math.Frexp(y)
	return math.Abs(math.Ldexp(d, 53-e))
}

// ExpULPs returns the error of y for e^x in units of the last place.
func ExpULPs(x, y float64) float64 {
	want, n := ExpDouble(x)
	d := math.Ldexp(y, -n)
	return inULPs((d-want.Hi)-want.Lo, want.Hi)
}

// Log1pULPs returns the error of y, which is near ln(1+x), in units of the last place.
func Log1pULPs(x, y float64) float64 {
	if math.Abs(x) < 0x1p-20 { // x − x²/2 + x³/3 − x⁴/4
		square := twoProduct(x, x)
		cubes := x * x * x * (1.0/3 - x/4)
		want := square.Times(Double{-0.5, 0}).Plus(Double{x, 0}).Plus(Double{cubes, 0})
		return inULPs((y-want.Hi)-want.Lo, want.Hi)
	}
	return logULPs(twoSum(1, x), y)
}

// LogULPs returns the error of y, which is near ln x, in units of the last place.
func LogULPs(x, y float64) float64 {
	if 0.5 <= x && x <= 2 { // where x − 1 is exact
		return Log1pULPs(x-1, y)
	}
	return logULPs(Double{x, 0}, y)
}

// logULPs is LogULPs for an x that is not next to 1: ln x = y + ln(x/e^y).
func logULPs(x Double, y float64) float64 {
	e, n := ExpDouble(y)
	d := x.Scaled(-n).Plus(Double{-e.Hi, -e.Lo})
	q := (d.Hi + d.Lo) / e.Hi
	return inULPs(q-q*q/2, y)
}
