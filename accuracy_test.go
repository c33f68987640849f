package trellis

import (
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/ref"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// double is the sum of two float64, of some 106 bits: what math/big takes a hundred
// times as long for. (T. J. Dekker, A Floating-Point Technique for Extending the
// Available Precision, 1971.)
type double struct{ hi, lo float64 }

// twoSum returns a + b exactly.
func twoSum(a, b float64) double {
	s := a + b
	v := s - a
	return double{s, (a - (s - v)) + (b - v)}
}

// twoProduct returns a·b exactly.
func twoProduct(a, b float64) double {
	p := float64(a * b)
	return double{p, math.FMA(a, b, -p)}
}

// normal returns x with lo below half an ulp of hi.
func (x double) normal() double { s := x.hi + x.lo; return double{s, x.lo - (s - x.hi)} }

func (x double) plus(y double) double {
	s, t := twoSum(x.hi, y.hi), twoSum(x.lo, y.lo)
	s.lo += t.hi
	s = s.normal()
	s.lo += t.lo
	return s.normal()
}

func (x double) times(y double) double {
	p := twoProduct(x.hi, y.hi)
	p.lo += x.hi*y.lo + x.lo*y.hi
	return p.normal()
}

func (x double) scaled(exponent int) double {
	return double{math.Ldexp(x.hi, exponent), math.Ldexp(x.lo, exponent)}
}

// inverseFactorials are 1/i!.
var inverseFactorials = func() (c [11]double) {
	factorial := int64(1)
	for i := range c {
		if i > 1 {
			factorial *= int64(i)
		}
		f := float64(factorial)
		hi := 1 / f
		c[i] = double{hi, math.FMA(-hi, f, 1) / f}
	}
	return c
}()

// doubleExp returns e^x·2^−n, which is near 1, and n. Its error is below 2^−90.
func doubleExp(x float64) (y double, n int) {
	const ln2Hi = 0x1.62e42fefa39efp-1
	const ln2Lo = float64(math.Ln2 - ln2Hi)
	const halvings = 9
	k := math.RoundToEven(x / math.Ln2)
	reduced := twoProduct(-k, ln2Hi).plus(twoProduct(-k, ln2Lo)).plus(double{x, 0})
	r := reduced.scaled(-halvings)
	last := len(inverseFactorials) - 1
	y = inverseFactorials[last]
	for i := last - 1; i >= 1; i-- {
		y = y.times(r).plus(inverseFactorials[i])
	}
	y = y.times(r) // e^r − 1, which squaring keeps exact: (1+y)² − 1 = 2y + y²
	for range halvings {
		y = y.scaled(1).plus(y.times(y))
	}
	return y.plus(double{1, 0}), int(k)
}

// inUlps returns the error d of a result near y in units of its last place.
func inUlps(d, y float64) float64 {
	_, e := math.Frexp(y)
	return math.Abs(math.Ldexp(d, 53-e))
}

// expError returns the error of y for e^x in ref.ULPs.
func expError(x, y float64) float64 {
	want, n := doubleExp(x)
	d := math.Ldexp(y, -n)
	return inUlps((d-want.hi)-want.lo, want.hi)
}

// log1pError returns the error of y, an approximation, for ln(1+x) in ref.ULPs, for x > 0.
func log1pError(x, y float64) float64 {
	if x < 0x1p-30 { // x − x²/2 + x³/3 − x⁴/4
		square := twoProduct(x, x)
		cubes := x * x * x * (1.0/3 - x/4)
		want := square.times(double{-0.5, 0}).plus(double{x, 0}).plus(double{cubes, 0})
		return inUlps((y-want.hi)-want.lo, want.hi)
	}
	e, n := doubleExp(y) // ln(1+x) = y + ln((1+x)/e^y)
	u := twoSum(1, x).scaled(-n)
	d := u.plus(double{-e.hi, -e.lo})
	q := (d.hi + d.lo) / e.hi
	return inUlps(q-q*q/2, y)
}

// The errors by double float64 are those by math/big.
func TestDouble(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 3000 {
		x := expPoint(r)
		y, n := doubleExp(x)
		got := new(big.Float).SetPrec(ref.Bits).SetFloat64(y.hi)
		got.Add(got, big.NewFloat(y.lo))
		got.SetMantExp(got, n)
		ratio, _ := got.Quo(got, ref.Exp(x)).Sub(got, big.NewFloat(1)).Float64()
		require.Less(t, math.Abs(ratio), 0x1p-90, "fp.Exp(%v)", x)
		require.InDelta(t, ref.ULPs(fp.Exp64(x), ref.Exp(x), 53), expError(x, fp.Exp64(x)), 1e-6, "fp.Exp(%v)", x)

		x = log1pPoint(r)
		u := new(big.Float).SetPrec(2 * ref.Bits).SetFloat64(x)
		if x > 0x1p-100 {
			z := fp.Log1p(x)
			want := ref.ULPs(z, ref.Log(u.Add(u, big.NewFloat(1)), z), 53)
			require.InDelta(t, want, log1pError(x, z), 1e-6, "log1p(%v)", x)
		}
	}
}

// expPoint returns an argument of exp for which it is a normal number.
func expPoint(r *rand.Rand) float64 {
	if r.IntN(2) == 0 {
		least, largest := fp.ExpRange[float64]()
		return least + (largest-least)*r.Float64()
	}
	return 2*r.Float64() - 1
}

// log1pPoint returns an argument above 0 of log1p.
func log1pPoint(r *rand.Rand) float64 {
	switch r.IntN(4) {
	case 0:
		return r.Float64() + 0x1p-60
	case 1:
		return 100 * r.Float64()
	case 2:
		return math.Ldexp(1+r.Float64(), -1-r.IntN(100))
	}
	return math.Ldexp(1+r.Float64(), r.IntN(990))
}

// The kernels' exp and log1p in float64: at 10⁵ points each on every tier, with
// TRELLIS_EXHAUSTIVE=1 at 3·10⁷.
func TestKernelAccuracy(t *testing.T) {
	blocks := 25
	if os.Getenv("TRELLIS_EXHAUSTIVE") != "" {
		blocks = 1 << 13
	}
	EachTier(t, func(t *testing.T) {
		for _, c := range []struct {
			name     string
			kernel   func(dst, x []float64)
			point    func(r *rand.Rand) float64
			ulps     func(x, y float64) float64
			promised float64
		}{
			{"exp", func(dst, x []float64) { softmaxRows(dst, x, len(x), []float64{0}, []float64{1}) }, expPoint, expError, 0.9},
			{"log1p", log1p, log1pPoint, log1pError, 1},
		} {
			r := rand.New(rand.NewPCG(15, 16))
			x, y := make([]float64, block), make([]float64, block)
			worst, at := 0.0, 0.0
			for range blocks {
				for i := range x {
					x[i] = c.point(r)
				}
				c.kernel(y, x)
				for i := range x {
					u := c.ulps(x[i], y[i])
					require.Equal(t, u, u, "%s(%x) = %v", c.name, x[i], y[i]) // no NaN
					if u > worst {
						worst, at = u, x[i]
					}
				}
			}
			t.Logf("%s: worst error %.4f ulp at %x = %v", c.name, worst, at, at)
			assert.LessOrEqual(t, worst, c.promised, c.name)
		}
	})
}

// scaledDouble is d·2^e.
type scaledDouble struct {
	d double
	e int
}

func (a scaledDouble) plus(b scaledDouble) scaledDouble {
	if a.d.hi == 0 || b.d.hi != 0 && a.e < b.e {
		a, b = b, a
	}
	if b.d.hi == 0 || a.e-b.e > 300 {
		return a
	}
	return scaledDouble{a.d.plus(b.d.scaled(b.e - a.e)), a.e}
}

func (a scaledDouble) times(b scaledDouble) scaledDouble {
	d := a.d.times(b.d)
	_, e := math.Frexp(d.hi)
	return scaledDouble{d.scaled(-e), a.e + b.e + e}
}

// over returns a/b as a float64.
func (a scaledDouble) over(b scaledDouble) float64 {
	q := a.d.hi / b.d.hi
	rest := a.d.plus(b.d.times(double{-q, 0}))
	return math.Ldexp(q+rest.hi/b.d.hi, a.e-b.e)
}

// doubleCTC returns the loss of one sequence of logits and its gradient by the lattice in
// double float64, where a state has an exponent of its own.
func doubleCTC(x []float64, classes int, targets []int) (loss float64, grad []float64) {
	frames, states := len(x)/classes, 2*len(targets)+1
	class := func(s int) int {
		if s%2 == 0 {
			return 0
		}
		return targets[s/2]
	}
	skips := func(s int) bool { return s%2 == 1 && s >= 3 && class(s) != class(s-2) } // from s−2 to s
	p, sum := make([]scaledDouble, len(x)), make([]scaledDouble, frames)
	for i, v := range x {
		d, n := doubleExp(v)
		p[i] = scaledDouble{d, n}
		sum[i/classes] = sum[i/classes].plus(p[i])
	}
	alpha := make([][]scaledDouble, frames)
	for t := range alpha {
		alpha[t] = make([]scaledDouble, states)
		for s := range alpha[t] {
			var from scaledDouble
			if t == 0 && s < 2 {
				from = scaledDouble{double{1, 0}, 0}
			} else if t > 0 {
				from = alpha[t-1][s]
				if s > 0 {
					from = from.plus(alpha[t-1][s-1])
				}
				if skips(s) {
					from = from.plus(alpha[t-1][s-2])
				}
			}
			alpha[t][s] = from.times(p[t*classes+class(s)])
		}
	}
	target := alpha[frames-1][states-1].plus(alpha[frames-1][states-2])
	loss = -math.Log(target.d.hi) - float64(target.e)*math.Ln2
	grad = make([]float64, len(x))
	beta := make([]scaledDouble, states)
	beta[states-1], beta[states-2] = scaledDouble{double{1, 0}, 0}, scaledDouble{double{1, 0}, 0}
	for t := frames - 1; t >= 0; t-- {
		loss += math.Log(sum[t].d.hi) + float64(sum[t].e)*math.Ln2
		occupancy := make([]scaledDouble, classes)
		for s := range beta {
			occupancy[class(s)] = occupancy[class(s)].plus(alpha[t][s].times(beta[s]))
			beta[s] = beta[s].times(p[t*classes+class(s)])
		}
		for c := range classes {
			grad[t*classes+c] = p[t*classes+c].over(sum[t]) - occupancy[c].over(target)
		}
		for s := range beta {
			if s+1 < states {
				beta[s] = beta[s].plus(beta[s+1])
			}
			if s+2 < states && skips(s+2) {
				beta[s] = beta[s].plus(beta[s+2])
			}
		}
	}
	return loss, grad
}

// Long sequences against double float64. The bounds are those of docs/ctc.md: roundings
// of the result, and errors of exp in float32.
func TestCTCAgainstDouble(t *testing.T) {
	const frames, classes, labels = 1000, 80, 200
	for _, scale := range []float64{1, 5} {
		r := rand.New(rand.NewPCG(25, uint64(scale)))
		x, x32, targets := make([]float64, frames*classes), make([]float32, frames*classes), make([]int, labels)
		for i := range x {
			x32[i] = float32(scale * r.NormFloat64())
			x[i] = float64(x32[i])
		}
		for i := range targets {
			targets[i] = 1 + r.IntN(classes-1)
		}
		wantLoss, want := doubleCTC(x, classes, targets)
		loss, grad := ctcOf(t, CTCLoss[float64]{FromLogits: true}, x, classes, targets)
		loss32, grad32 := ctcOf(t, CTCLoss[float32]{FromLogits: true}, x32, classes, targets)
		assert.InEpsilon(t, wantLoss, loss, 1e-14)
		assert.InEpsilon(t, wantLoss, loss32, 6e-8)
		worst, worst32 := 0.0, 0.0
		for i, g := range want {
			worst, worst32 = max(worst, math.Abs(grad[i]-g)), max(worst32, math.Abs(float64(grad32[i])-g))
		}
		t.Logf("logits × %v: loss %.8g, off by %.1e; gradients by %.1e and in float32 by %.1e", scale, wantLoss, loss-wantLoss, worst, worst32)
		assert.Less(t, worst, 1e-14)
		assert.Less(t, worst32, 3e-7)
	}
}
