package fp

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExps(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testExps(t, Exps[float32]) })
	t.Run("float64", func(t *testing.T) { testExps(t, Exps[float64]) })
	t.Run("float64 between", func(t *testing.T) {
		testExps(t, func(dst, x []float64, m float64) { expsBetween(dst, x, m, expMin64, expMax64, 0) })
	})
}

// exp of many numbers is what it is of one, be they ordinary or not.
func testExps[F Float](t *testing.T, exps func(dst, x []F, m F)) {
	r := rand.New(rand.NewPCG(33, 34))
	least, largest := ExpRange[F]()
	odd := []F{least, largest, 2 * least, 2 * largest, NegInf[F](), -NegInf[F](), NaN[F](), 0, F(math.Copysign(0, -1))}
	for n := range 40 {
		for i := range 60 {
			x, m := make([]F, n), F(0)
			for j := range x {
				x[j] = F(r.NormFloat64()) * 10
				if i%3 > 0 && r.IntN(4) == 0 {
					x[j] = odd[r.IntN(len(odd))]
				}
			}
			if i%2 == 0 {
				m = F(r.NormFloat64())
			}
			dst, inPlace := slices.Repeat([]F{-1}, n+1), slices.Clone(x)
			exps(dst, x, m)
			exps(inPlace, inPlace, m)
			for j, v := range x {
				want := Exp(v - m)
				requireSame(t, float64(want), float64(dst[j]), float64(v), float64(m))
				requireSame(t, float64(want), float64(inPlace[j]), float64(v), float64(m))
			}
			require.Equal(t, F(-1), dst[n])
		}
	}
}

func TestExpsOver(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testExpsOver(t, ExpsOver[float32]) })
	t.Run("float64", func(t *testing.T) { testExpsOver(t, ExpsOver[float64]) })
	t.Run("float64 between", func(t *testing.T) {
		testExpsOver(t, func(dst, x []float64, ref, least float64) {
			expsBetween(dst, x, 0, least, math.MaxFloat64, Unshifted(ref))
		})
	})
}

func testExpsOver[F Float](t *testing.T, exps func(dst, x []F, ref, least F)) {
	r := rand.New(rand.NewPCG(35, 36))
	for i := range 4000 {
		top := F(math.Ldexp(2*r.Float64()-1, i%17))
		ref, least := Shifted(top), top-ExpReach[F]()
		x := make([]F, r.IntN(14))
		for j := range x {
			x[j] = top - F(r.ExpFloat64())*8
			switch r.IntN(20) {
			case 0:
				x[j] = least
			case 1:
				x[j] = least - 1
			case 2:
				x[j] = NegInf[F]()
			case 3:
				x[j] = NaN[F]()
			}
		}
		dst := make([]F, len(x))
		exps(dst, x, ref, least)
		for j, v := range x {
			want := NaN[F]()
			switch {
			case v < least:
				want = 0
			case v != v:
			case IsFloat32[F]():
				want = F(exp32(float32(v), Unshifted(ref)))
			default:
				want = F(exp64(float64(v), Unshifted(ref)))
			}
			requireSame(t, float64(want), float64(dst[j]), float64(v), float64(top))
		}
	}
	// A row without numbers, or far from 0, has results without a meaning.
	for _, top := range []F{NegInf[F](), -NegInf[F](), -1e30, 1e30} {
		exps(make([]F, 5), slices.Repeat([]F{top}, 5), Shifted(top), top-ExpReach[F]())
	}
}

func TestAddProducts(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testAddProducts(t, AddProducts[float32], AddMultiples[float32], FMA32) })
	t.Run("float64", func(t *testing.T) { testAddProducts(t, AddProducts[float64], AddMultiples[float64], math.FMA) })
	t.Run("float64 of sums", func(t *testing.T) { testAddProducts(t, addProductsOfSums, addMultiplesOfSums, math.FMA) })
}

func testAddProducts[F Float](t *testing.T, products func(sums, x, y []F, mask int), multiples func(sums, x []F, factor F), fma func(x, y, z F) F) {
	r := rand.New(rand.NewPCG(37, 38))
	odd := []F{0, F(math.Copysign(0, -1)), F(math.Inf(1)), NaN[F]()}
	number := func() F {
		near1 := 1 + F(r.IntN(5)-2)*0x1p-23
		return [...]F{
			odd[r.IntN(len(odd))], F(math.Ldexp(r.NormFloat64(), r.IntN(40)-20)), near1,
			0x1p-24 * near1,            // a sum with a product of such numbers is nearly half way between two float32
			0x1p-75 * near1,            // the product is subnormal
			F(r.IntN(1000)) * 0x1p-149, // in float32, too
		}[r.IntN(6)]
	}
	numbers := func(n int) []F {
		x := make([]F, n)
		for i := range x {
			x[i] = number()
		}
		return x
	}
	for i := range points(20000) {
		n, mask := r.IntN(40), -1
		if i%2 == 0 {
			mask = 7
		}
		x, y, sums, factor := numbers(n), numbers(n), numbers(40), number()
		want, wantMultiples := slices.Clone(sums), slices.Clone(sums)
		for j, v := range x {
			want[j&mask] = fma(v, y[j], want[j&mask])
			wantMultiples[j] = fma(v, factor, wantMultiples[j])
		}
		got, gotMultiples := slices.Clone(sums), slices.Clone(sums)
		products(got, x, y, mask)
		multiples(gotMultiples, x, factor)
		for j := range sums {
			requireSame(t, float64(want[j]), float64(got[j]), float64(j))
			requireSame(t, float64(wantMultiples[j]), float64(gotMultiples[j]), float64(j))
		}
	}
}
