package conformance

import (
	"math"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/stretchr/testify/require"
)

// ctcFixture is an entry of fixtures/ctc_loss.json: one or more sequences with
// frames of classes.
type ctcFixture struct {
	Name         string
	Kind         string // of the input: logits, or probs
	Blank        int
	Input        [][][]float64
	InputLengths []int `json:"input_lengths"`
	Targets      [][]int
	Loss         numbers                     `json:"ref_loss_f64"`
	Grad         [][][]float64               `json:"ref_grad_logits_f64"` // of the frames that count; nil where the loss is +Inf
	PeerLoss     numbers                     `json:"expected_loss"`
	PeerGrad     [][][]float64               `json:"expected_grad_logits"`
	PeerOff      struct{ Loss, Grad number } `json:"max_abs_diff_expected_vs_ref"` // rounding and float32 of the peer
}

func TestCTCFixtures(t *testing.T) {
	bothTypes(t, testCTCFixtures[float32], testCTCFixtures[float64])
}

func testCTCFixtures[F trellis.Float](t *testing.T) {
	var fixtures []ctcFixture
	readJSON(t, testdata(t, "fixtures", "ctc_loss.json"), &fixtures)
	worst, scores, probs := newAccuracy[F](), newAccuracy[F](), newAccuracy[F]()
	for _, f := range fixtures {
		t.Run(f.Name, func(t *testing.T) {
			checkFixture[F](t, f, trellis.Logits, worst)
			if f.isNormalised() {
				checkFixture[F](t, f, trellis.LogProbabilities, scores)
				checkFixture[F](t, f, trellis.Probabilities, probs)
			}
		})
	}
	worst.report(t, 18)
	scores.report(t, 5)
	probs.report(t, 5)
}

// isNormalised reports whether the input is probabilities that add up to 1: then
// a log-softmax over their logarithms changes nothing.
func (f ctcFixture) isNormalised() bool {
	for _, row := range slices.Concat(f.Input...) {
		var sum float64
		for _, p := range row {
			sum += p
		}
		if f.Kind != "probs" || math.Abs(sum-1) > 1e-15 {
			return false
		}
	}
	return true
}

// fixturePadding is the number of frames that are added to what a fixture has,
// all NaN: they must not be read.
const fixturePadding = 2

// batch returns the scores of a fixture, batch first, and its targets.
func (f ctcFixture) batch() (x []float64, shape, targets, targetLengths []int) {
	frames, classes := len(f.Input[0])+fixturePadding, len(f.Input[0][0])
	for n, sequence := range f.Input {
		for _, row := range sequence[:f.InputLengths[n]] {
			for _, v := range row {
				if f.Kind == "probs" {
					v = math.Log(v)
				}
				x = append(x, v)
			}
		}
		for len(x) < (n+1)*frames*classes {
			x = append(x, math.NaN())
		}
		targets = append(targets, f.Targets[n]...)
		targetLengths = append(targetLengths, len(f.Targets[n]))
	}
	return x, []int{len(f.Input), frames, classes}, targets, targetLengths
}

// spread puts the gradients of the frames that count into the layout of batch;
// all others are 0.
func (f ctcFixture) spread(grad [][][]float64, shape []int) []float64 {
	flat := make([]float64, 0, shape[0]*shape[1]*shape[2])
	for n, sequence := range grad {
		flat = append(flat, slices.Concat(sequence...)...)
		flat = append(flat, make([]float64, (n+1)*shape[1]*shape[2]-len(flat))...)
	}
	return flat
}

func checkFixture[F trellis.Float](t *testing.T, f ctcFixture, scores trellis.Scores, a *accuracy) {
	t.Helper()
	a.cases++
	data, shape, targets, lengths := f.batch()
	if scores == trellis.Probabilities {
		for i, v := range data {
			data[i] = math.Exp(v)
		}
	}
	x := trellis.Tensor[F]{Data: Cast[F](data), Shape: shape}
	loss := trellis.CTCLoss[F]{Blank: f.Blank, Scores: scores, BatchFirst: true}
	got, grad := BindCTC(loss, x, targets, f.InputLengths, lengths).byReduction(t, "none", len(data), ones[F](len(lengths)))
	a.checkLosses(t, f.Loss, got, 0)
	wantGrad := f.spread(f.Grad, shape)
	a.checkGrad(t, wantGrad, grad)
	if f.PeerLoss != nil {
		a.checkLosses(t, f.PeerLoss, got, float64(f.PeerOff.Loss))
	}
	if f.PeerGrad != nil {
		requireNear(t, "gradient", f.spread(f.PeerGrad, shape), grad, float64(f.PeerOff.Grad)+a.grad)
	}

	loss.ZeroInfinity = true
	finite, sameGrad := BindCTC(loss, x, targets, f.InputLengths, lengths).byReduction(t, "none", len(data), ones[F](len(lengths)))
	for n, v := range got {
		if math.IsInf(f.Loss[n], 1) {
			v = 0
		}
		require.Equal(t, v, finite[n])
	}
	require.Equal(t, grad, sameGrad)
}
