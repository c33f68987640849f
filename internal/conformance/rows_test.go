package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/stretchr/testify/require"
)

// rowLengths are the lengths 0 to 70, which end in every lane, and those around
// blocks.
func rowLengths() (lengths []int) {
	for n := range 71 {
		lengths = append(lengths, n)
	}
	return append(lengths, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 8193)
}

func TestRowsMatchReference(t *testing.T) {
	bothTypes(t, testRowsMatchReference[float32], testRowsMatchReference[float64])
}

func testRowsMatchReference[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 1))
	for _, n := range rowLengths() {
		for _, spread := range []float64{0, 0.1, 3, 100} {
			x := trellis.Tensor[F]{Data: normals[F](rng, 3*n, spread), Shape: []int{3, n}}
			var logp, p, sums []float64
			for r := range 3 {
				row := Cast[float64](x.Data[r*n : (r+1)*n])
				sums = append(sums, RefLogSumExp(row...))
				logp = append(logp, RefLogSoftmax(row)...)
				p = append(p, RefSoftmax(row)...)
			}
			requireRows(t, x, sums, logp, p)
		}
	}
}

// requireRows compares all forms of the row functions with what they should
// give. Results of the same row have the same bits in all forms.
func requireRows[F trellis.Float](t *testing.T, x trellis.Tensor[F], sums, logp, p []float64) {
	t.Helper()
	n := x.Shape[1]
	gotSums, gotLogp, gotP := Filled[F](3), Filled[F](3*n), Filled[F](3*n)
	trellis.LogSumExpRows(gotSums, x)
	trellis.LogSoftmaxRows(gotLogp, x)
	trellis.SoftmaxRows(gotP, x)
	what := fmt.Sprintf("n=%d ", n)
	tolerance := 4 * Epsilon[F]()
	if !fp.IsFloat32[F]() { // the reference adds n numbers one by one
		tolerance *= math.Sqrt(float64(n + 1))
	}
	for r := range 3 {
		if n > 0 {
			require.InEpsilon(t, 1+sums[r], 1+float64(gotSums[r]), tolerance, what) // relative to 1 near 0
		} else {
			require.True(t, math.IsInf(float64(gotSums[r]), -1))
		}
	}
	relative := func(i int) float64 { return tolerance * (1 + math.Abs(logp[i])) }
	RequireRounded(t, what+"log-softmax", logp, gotLogp, relative)
	// The error of the logarithm is that of the number times its size.
	RequireRounded(t, what+"softmax", p, gotP, func(i int) float64 { return relative(i) * p[i] })
	for r := range 3 {
		row := x.Data[r*n : (r+1)*n]
		require.Equal(t, gotSums[r], trellis.LogSumExp(row), what)
		dst := Filled[F](n)
		trellis.LogSoftmax(dst, row)
		RequireSameBits(t, what, gotLogp[r*n:(r+1)*n], dst)
		trellis.Softmax(dst, row)
		RequireSameBits(t, what, gotP[r*n:(r+1)*n], dst)
		copy(dst, row)
		trellis.LogSoftmax(dst, dst)
		RequireSameBits(t, what, gotLogp[r*n:(r+1)*n], dst)
		copy(dst, row)
		trellis.Softmax(dst, dst)
		RequireSameBits(t, what, gotP[r*n:(r+1)*n], dst)
	}
}

func TestSpecialScoresInEveryPlace(t *testing.T) {
	bothTypes(t, testSpecialScoresInEveryPlace[float32], testSpecialScoresInEveryPlace[float64])
}

func testSpecialScoresInEveryPlace[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(22, 1))
	inf, nan := math.Inf(1), math.NaN()
	for _, n := range rowLengths() {
		for place := 0; place < n; place += 1 + n/70*17 {
			x := normals[F](rng, n, 3)
			for _, special := range []float64{nan, inf, -inf} {
				x[place] = F(special)
				requireSpecialRow(t, x)
			}
			other := (place*7 + 3) % n
			x[place], x[other] = F(inf), F(nan) // or only the NaN, where both are one place
			requireSpecialRow(t, x)
		}
		requireSpecialRow(t, slices.Repeat([]F{F(-inf)}, n))
		requireSpecialRow(t, slices.Repeat([]F{F(inf)}, n))
	}
}

// requireSpecialRow compares a row that holds infinities or NaN with the
// reference.
func requireSpecialRow[F trellis.Float](t *testing.T, x []F) {
	t.Helper()
	row := Cast[float64](x)
	what := fmt.Sprintf("n=%d NaN at %d", len(x), slices.IndexFunc(row, math.IsNaN))
	tolerance := 64 * Epsilon[F]()
	requireNear(t, what, []float64{RefLogSumExp(row...)}, []F{trellis.LogSumExp(x)}, tolerance)
	dst := make([]F, len(x))
	trellis.LogSoftmax(dst, x)
	requireNear(t, what+" log-softmax", RefLogSoftmax(row), dst, tolerance)
	trellis.Softmax(dst, x)
	requireNear(t, what+" softmax", RefSoftmax(row), dst, tolerance)
}

func TestManyRowsAreDivided(t *testing.T) {
	bothTypes(t, testManyRowsAreDivided[float32], testManyRowsAreDivided[float64])
}

func testManyRowsAreDivided[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(24, 1))
	for _, shape := range [][]int{{20000, 3}, {70, 1000}, {5, 16385}, {16385, 1}} {
		x := trellis.Tensor[F]{Data: normals[F](rng, product(shape), 3), Shape: shape}
		rows, n := shape[0], shape[1]
		sums, logp, p, row := Filled[F](rows), Filled[F](rows*n), Filled[F](rows*n), make([]F, n)
		trellis.LogSumExpRows(sums, x)
		trellis.LogSoftmaxRows(logp, x)
		trellis.SoftmaxRows(p, x)
		for r := range rows {
			at := x.Data[r*n : (r+1)*n]
			require.Equal(t, trellis.LogSumExp(at), sums[r])
			trellis.LogSoftmax(row, at)
			require.True(t, slices.Equal(row, logp[r*n:(r+1)*n]))
			trellis.Softmax(row, at)
			require.True(t, slices.Equal(row, p[r*n:(r+1)*n]))
		}
	}
}

func TestGather(t *testing.T) { bothTypes(t, testGather[float32], testGather[float64]) }

func testGather[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 1))
	for _, n := range rowLengths() {
		src := normals[F](rng, 3*n+3, 1)
		index := make([]int32, n)
		want := make([]F, n)
		for i := range index {
			index[i] = int32(rng.IntN(len(src)))
			want[i] = src[index[i]]
		}
		dst := Filled[F](n)
		trellis.Gather(dst, src, index)
		require.Equal(t, want, dst)

		for i := range index { // the same as one index for each of three rows, or three, or none
			index[i] %= int32(n + 1)
		}
		index = index[:n-n%3]
		for i := range index {
			want[i] = src[i/max(n/3, 1)*(n+1)+int(index[i])]
		}
		dst = Filled[F](len(index))
		trellis.GatherRows(dst, trellis.Tensor[F]{Data: src, Shape: []int{3, n + 1}}, index)
		require.Equal(t, want[:len(index)], dst)
	}
}
