package trellis

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/ref"
	"github.com/gotrellis/trellis/internal/tiertest"
)

// Rows longer than wholeRow, which are summed as they are read.
func TestLongRows(t *testing.T) {
	t.Run("float32", testLongRows[float32])
	t.Run("float64", testLongRows[float64])
}

func testLongRows[F Float](t *testing.T) {
	const n = wholeRow + 3*block + 5
	r := rand.New(rand.NewPCG(13, 14))
	row := func(f func(i int) F) []F {
		x := make([]F, n)
		for i := range x {
			x[i] = f(i)
		}
		return x
	}
	with := func(at int, v F) []F { // among normal ones
		x := row(func(int) F { return F(r.NormFloat64()) })
		x[at] = v
		return x
	}
	rows := map[string][]F{
		"normal":     row(func(int) F { return F(3 * r.NormFloat64()) }),
		"ascending":  row(func(i int) F { return F(i) / 4000 }),
		"descending": row(func(i int) F { return F(-i) / 4000 }),
		"equal":      row(func(int) F { return 7 }),
		"−Inf, then some": row(func(i int) F {
			if i < n/2 {
				return fp.NegInf[F]()
			}
			return F(r.NormFloat64())
		}),
		"all −Inf":             row(func(int) F { return fp.NegInf[F]() }),
		"+Inf in the end":      with(n-1, kerneltest.Inf[F]()),
		"NaN at first":         with(0, fp.NaN[F]()),
		"NaN in the end":       with(n-1, fp.NaN[F]()),
		"−Inf in the midst":    with(n/2, fp.NegInf[F]()),
		"one large in the end": with(n-1, 30),
		// The maximum 0 is met again as −0, which must count as equal.
		"−0": row(func(i int) F {
			switch {
			case i == 5:
				return 0
			case i >= settled && i%block < 16:
				return kerneltest.MinusZero[F]()
			}
			return -17
		}),
	}
	rows["NaN beside −Inf"] = slices.Clone(rows["all −Inf"])
	rows["NaN beside −Inf"][3] = fp.NaN[F]()
	for name, x := range rows {
		var want []F
		tiertest.Each(t, func(t *testing.T) {
			got := []F{LogSumExp(x)}
			for _, f := range []func(dst, x []F){Softmax[F], LogSoftmax[F]} {
				dst := make([]F, n)
				f(dst, x)
				got = append(got, dst...)
				dst = slices.Clone(x)
				f(dst, dst)
				got = append(got, dst...)
			}
			grad := make([]F, n)
			loss, err := CrossEntropyLoss[F]{LabelSmoothing: 0.125}.Grad(grad, Tensor[F]{x, []int{1, n}}, []int{n / 3})
			require.NoError(t, err)
			got = append(append(got, loss), grad...)
			if want == nil {
				want = got
				requireLogSumExp(t, name, x, got[0])
			}
			for i := range want {
				if kerneltest.Bits(want[i]) != kerneltest.Bits(got[i]) {
					require.Fail(t, "other bits", "%s: %d: %v, want %v", name, i, got[i], want[i])
				}
			}
		})
	}
}

// requireLogSumExp compares with a sum of math.Exp in double float64.
func requireLogSumExp[F Float](t *testing.T, name string, x []F, got F) {
	m, sum := math.Inf(-1), ref.Double{}
	for _, v := range x {
		m = max(m, float64(v))
	}
	if math.IsInf(m, 0) || m != m {
		require.Equal(t, kerneltest.Bits(F(m)), kerneltest.Bits(got), name)
		return
	}
	for _, v := range x {
		sum = sum.Plus(ref.Double{Hi: math.Exp(float64(v) - m)})
	}
	want, epsilon := m+math.Log(sum.Hi), math.Abs(float64(F(1)-kerneltest.Moved(F(1), -1)))
	require.InDelta(t, want, float64(got), 8*epsilon*max(1, math.Abs(want)), name)
}
