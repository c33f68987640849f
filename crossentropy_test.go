package trellis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/tiertest"
)

func TestCrossEntropyValues(t *testing.T) {
	both(t, testCrossEntropyValues[float32], testCrossEntropyValues[float64])
}

func testCrossEntropyValues[F Float](t *testing.T) {
	x := tensor[F]([]int{2, 3}, 1.2, -.8, -.5, .9, -1.2, 1.1)
	dst := make([]F, 2)
	require.NoError(t, CrossEntropyLoss[F]{}.Losses(dst, x, []int{0, 1}))
	assertLoss(t, .27612970554553755, dst[0])
	assertLoss(t, 2.9517987958544252, dst[1])

	x = tensor[F]([]int{2, 3}, .2, .3, .5, .5, .2, .3)
	weighted := CrossEntropyLoss[F]{Weight: []F{2, 4, 6}}
	require.NoError(t, weighted.Losses(dst, x, []int{2, 1}))
	assertLoss(t, 5.6389863650667604, dst[0])
	assertLoss(t, 4.9593242433778402, dst[1])
	mean, err := weighted.Loss(x, []int{2, 1})
	require.NoError(t, err)
	assertLoss(t, 1.0598310608444601, mean)
}

func TestCrossEntropyNearZero(t *testing.T) {
	both(t, testCrossEntropyNearZero[float32], testCrossEntropyNearZero[float64])
}

func testCrossEntropyNearZero[F Float](t *testing.T) {
	for _, x := range []Tensor[F]{tensor[F]([]int{2}, 30, 0), tensor[F]([]int{1, 2, 1}, 30, 0), tensor[F]([]int{1, 2, 2}, 30, 5, 0, 9)} {
		grad, targets := make([]F, len(x.Data)), []int{0, 1}[:len(x.Data)/2]
		loss, err := CrossEntropyLoss[F]{}.Grad(grad, x, targets[:1:1])
		if len(targets) == 2 {
			dst := make([]F, 2)
			require.NoError(t, CrossEntropyLoss[F]{}.Losses(dst, x, targets))
			loss, err = dst[0], CrossEntropyLoss[F]{}.VJP(grad, []F{1, 1}, x, targets)
		}
		require.NoError(t, err)
		assertLoss(t, 9.357622968839861e-14, loss)
		assertLoss(t, -9.357622968839423e-14, grad[0]) // p − 1, as exact as the loss
	}
}

// A sum over many classes of one logit is where float32 rounds most.
func TestCrossEntropyOfEqualLogits(t *testing.T) {
	for _, inner := range []int{1, 20} {
		for _, c := range []int{100, 1000, 4096, 50000} {
			for _, lead := range []float32{0, 1.7, 8.53, 17.7, 23.5, 40.3, 59.7} {
				x := Tensor[float32]{Data: make([]float32, c*inner), Shape: []int{1, c, inner}}
				x.Data[0] = lead
				losses := make([]float32, inner)
				require.NoError(t, CrossEntropyLoss[float32]{}.Losses(losses, x, make([]int, inner)))
				want := math.Log1p(float64(c-1) * math.Exp(-float64(lead)))
				require.InEpsilon(t, want, losses[0], float64(lead)*0x1p-25+0x1p-18, "%d classes, %g", c, lead)
			}
		}
	}
}

// A class at −Inf has no gradient, and a loss that needs it is +Inf.
func TestCrossEntropyMaskedClasses(t *testing.T) {
	both(t, testCrossEntropyMaskedClasses[float32], testCrossEntropyMaskedClasses[float64])
}

func testCrossEntropyMaskedClasses[F Float](t *testing.T) {
	ce := CrossEntropyLoss[F]{}
	row, grad := tensor[F]([]int{3}, 0, 1, math.Inf(-1)), make([]F, 3)
	loss, err := ce.Grad(grad, row, []int{0})
	require.NoError(t, err)
	assertLoss(t, 1.3132616875182228, loss)
	assert.Zero(t, grad[2])
	loss, err = ce.Loss(row, []int{2})
	require.NoError(t, err)
	assertLoss(t, math.Inf(1), loss)
	loss, err = ce.LossProbs(row, tensor[F]([]int{3}, 1, 0, 0)) // 0·ln 0 = 0
	require.NoError(t, err)
	assertLoss(t, 1.3132616875182228, loss)
}

// A gradient that is written past the caches has the same bits.
// Positions with two classes that are neighbours have kernels of their own, with the results of rows.
func TestPairs(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testPairs[float32])
		t.Run("float64", testPairs[float64])
	})
}

func testPairs[F Float](t *testing.T) {
	r, inf := rand.New(rand.NewPCG(13, 14)), math.Inf(1)
	special := []float64{0, math.Copysign(0, -1), 1e-300, -200, 1e4, inf, -inf, math.NaN()}
	for _, inner := range []int{4, 8, 12, 16, 32, 48, 80, 128, 144, 1024} {
		for _, batch := range []int{1, 4, 5, 40} {
			if inner*batch > 8000 {
				continue
			}
			n := batch * inner
			x, rows := Tensor[F]{make([]F, 2*n), []int{batch, 2, inner}}, Tensor[F]{make([]F, 2*n), []int{n, 2}}
			place := func(i int) int { return i/2/inner*2*inner + i%2*inner + i/2%inner } // in x, of what is number i in rows
			targets, upstream := make([]int, n), normalScores[F](n)
			losses, wantLosses, grad, wantGrad := make([]F, n), make([]F, n), make([]F, 2*n), make([]F, 2*n)
			sameGrad := func(what string) {
				got := make([]F, len(grad))
				for i := range got {
					got[i] = grad[place(i)]
				}
				requireSame(t, wantGrad, got, what)
			}
			for kind := range 3 { // usual scores, special ones, and targets that are left out
				for i := range rows.Data {
					v := 3 * r.NormFloat64()
					if kind > 0 && r.IntN(4) == 0 {
						v = special[r.IntN(len(special))]
					}
					rows.Data[i], x.Data[place(i)] = F(v), F(v)
				}
				for i := range targets {
					targets[i] = r.IntN(2)
				}
				if kind == 2 {
					targets[r.IntN(n)], targets[0] = defaultIgnoreIndex, defaultIgnoreIndex
				}
				for _, weight := range [][]F{nil, {0.5, 3}, {0, 1}} {
					what := fmt.Sprint(x.Shape, " kind ", kind, " weight ", weight)
					l := CrossEntropyLoss[F]{Weight: weight, Workers: 1}
					want, err := l.LossesGrad(wantLosses, wantGrad, rows, targets)
					require.NoError(t, err, what)
					loss, err := l.Loss(x, targets)
					require.NoError(t, err, what)
					if 2*n > smallScores && (itemPositions%inner == 0 || inner%itemPositions == 0) { // else losses are added in another order
						requireSame(t, []F{want}, []F{loss}, what)
					}
					copy(grad, x.Data)
					both, err := l.LossesGrad(losses, grad, Tensor[F]{grad, x.Shape}, targets)
					require.NoError(t, err, what)
					requireSame(t, []F{loss}, []F{both}, what)
					requireSame(t, wantLosses, losses, what)
					sameGrad(what)
					require.NoError(t, l.VJP(wantGrad, upstream, rows, targets), what)
					require.NoError(t, l.VJP(grad, upstream, x, targets), what)
					sameGrad(what)
				}
			}
			targets[n-1] = 1 << (strconv.IntSize / 2)
			_, err := CrossEntropyLoss[F]{}.Loss(x, targets)
			var bad *ArgumentError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, []int{n - 1}, bad.Index)
			for _, ignore := range []int{0, 1} { // nothing but what is left out
				for i := range targets {
					targets[i] = ignore
				}
				loss, err := CrossEntropyLoss[F]{IgnoreIndex: &ignore, Reduction: Sum}.Loss(x, targets)
				require.NoError(t, err)
				require.Zero(t, loss)
			}
		}
	}
}

func TestStreamedGradient(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testStreamedGradient[float32])
		t.Run("float64", testStreamedGradient[float64])
	})
}

func testStreamedGradient[F Float](t *testing.T) {
	defer func(size int) { streamBytes = size }(streamBytes)
	r := rand.New(rand.NewPCG(11, 12))
	x := Tensor[F]{Shape: []int{2, 70, 16, 21}, Data: make([]F, 2*70*16*21)}
	for i := range x.Data {
		x.Data[i] = F(3 * r.NormFloat64())
	}
	targets := make([]int, 2*16*21)
	for i := range targets {
		targets[i] = r.IntN(71) // 70 is left out
	}
	ignored := 70
	room := make([]F, len(x.Data)+16)
	start := int(-uintptr(unsafe.Pointer(&room[0]))%64) / fp.Size[F]()
	for _, at := range []int{start, start + 1} { // rows that begin where a vector does, or not
		for _, smoothing := range []F{0, 0.125} {
			var grads [2][]F
			for i, size := range []int{math.MaxInt, 0} {
				streamBytes = size
				grad := room[at:][:len(x.Data)]
				l := CrossEntropyLoss[F]{IgnoreIndex: &ignored, Workers: 1, LabelSmoothing: smoothing}
				_, err := l.Grad(grad, x, targets)
				require.NoError(t, err)
				grads[i] = slices.Clone(grad)
			}
			require.Equal(t, grads[0], grads[1])
		}
	}
}
