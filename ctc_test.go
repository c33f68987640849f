package trellis

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/ref"
)

// ctcOf returns the loss and the gradient of one sequence, and checks that all methods
// agree on the loss.
func ctcOf[F Float](t *testing.T, l CTCLoss[F], x []F, classes int, targets []int) (F, []F) {
	l.Reduction = Sum
	tensor, grad := Tensor[F]{x, []int{len(x) / classes, classes}}, make([]F, len(x))
	lengths := []int{len(targets)}
	loss, err := l.Grad(grad, tensor, targets, nil, lengths)
	require.NoError(t, err)
	alone, err := l.Loss(tensor, targets, nil, lengths)
	require.NoError(t, err)
	require.Equal(t, kerneltest.Bits(loss), kerneltest.Bits(alone), "Grad says %v, Loss %v", loss, alone)
	inPlace := slices.Clone(x)
	tensor.Data = inPlace
	again, err := l.Grad(inPlace, tensor, targets, nil, lengths)
	require.NoError(t, err)
	require.Equal(t, kerneltest.Bits(loss), kerneltest.Bits(again), "Grad says %v, in place %v", loss, again)
	for i := range grad {
		require.Equal(t, kerneltest.Bits(grad[i]), kerneltest.Bits(inPlace[i]), "element %d: %v, in place %v", i, grad[i], inPlace[i])
	}
	return loss, grad
}

// scaledDouble is d·2^e.
type scaledDouble struct {
	d ref.Double
	e int
}

func (a scaledDouble) plus(b scaledDouble) scaledDouble {
	if a.d.Hi == 0 || b.d.Hi != 0 && a.e < b.e {
		a, b = b, a
	}
	if b.d.Hi == 0 || a.e-b.e > 300 {
		return a
	}
	return scaledDouble{a.d.Plus(b.d.Scaled(b.e - a.e)), a.e}
}

func (a scaledDouble) times(b scaledDouble) scaledDouble {
	d := a.d.Times(b.d)
	_, e := math.Frexp(d.Hi)
	return scaledDouble{d.Scaled(-e), a.e + b.e + e}
}

// over returns a/b as a float64.
func (a scaledDouble) over(b scaledDouble) float64 {
	q := a.d.Hi / b.d.Hi
	rest := a.d.Plus(b.d.Times(ref.Double{Hi: -q}))
	return math.Ldexp(q+rest.Hi/b.d.Hi, a.e-b.e)
}

// doubleCTC returns the loss of one sequence of logits and its gradient by the trellis in
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
		d, n := ref.ExpDouble(v)
		p[i] = scaledDouble{d, n}
		sum[i/classes] = sum[i/classes].plus(p[i])
	}
	alpha := make([][]scaledDouble, frames)
	for t := range alpha {
		alpha[t] = make([]scaledDouble, states)
		for s := range alpha[t] {
			var from scaledDouble
			if t == 0 && s < 2 {
				from = scaledDouble{ref.Double{Hi: 1}, 0}
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
	loss = -math.Log(target.d.Hi) - float64(target.e)*math.Ln2
	grad = make([]float64, len(x))
	beta := make([]scaledDouble, states)
	beta[states-1], beta[states-2] = scaledDouble{ref.Double{Hi: 1}, 0}, scaledDouble{ref.Double{Hi: 1}, 0}
	for t := frames - 1; t >= 0; t-- {
		loss += math.Log(sum[t].d.Hi) + float64(sum[t].e)*math.Ln2
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
