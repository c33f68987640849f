package conformance

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/stretchr/testify/require"
)

// emission is the index.json of a folder in emissions: the output of a network,
// with a transcript and other targets.
type emission struct {
	Kind         string // logits, log_probs or probs
	Blank        int
	TargetTokens []int `json:"target_tokens"`
	Ref          struct {
		Loss     float64
		AsScores *float64 `json:"loss_without_renormalising"`
	}
	AltTargets map[string]struct {
		Tokens []int
		Loss   float64
	} `json:"alt_targets"`
}

func TestEmissions(t *testing.T) {
	bothTypes(t, testEmissions[float32], testEmissions[float64])
}

func testEmissions[F trellis.Float](t *testing.T) {
	paths, err := filepath.Glob(testdata(t, "emissions", "*", "emissions.npy"))
	require.NoError(t, err)
	worst, scores, alternatives := newAccuracy[F](), newAccuracy[F](), newAccuracy[F]()
	for _, path := range paths {
		folder := filepath.Dir(path)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			var e emission
			readJSON(t, filepath.Join(folder, "index.json"), &e)
			x, shape := readArray[float32](t, path)
			checkEmission[F](t, folder, e, x, shape, worst, alternatives)
			if e.Kind == "log_probs" {
				checkScores[F](t, folder, e, x, shape, scores)
			}
		})
	}
	worst.report(t, 15)
	alternatives.report(t, 16)
	scores.report(t, 24)
}

// checkEmission compares the losses and gradients from logits.
func checkEmission[F trellis.Float](t *testing.T, folder string, e emission, x []float32, shape []int, a, alternatives *accuracy) {
	t.Helper()
	loss := trellis.CTCLoss[F]{Blank: e.Blank, Scores: trellis.Logits, Reduction: trellis.Sum}
	check := func(name string, target []int, want float64, file string, a *accuracy) {
		t.Run(name, func(t *testing.T) {
			a.cases++
			tensor := trellis.Tensor[F]{Data: Cast[F](x), Shape: shape}
			got, grad := BindCTC(loss, tensor, target, nil, []int{len(target)}).byReduction(t, "sum", len(x), nil)
			wantGrad, _ := readArray[float64](t, filepath.Join(folder, file))
			a.checkLosses(t, []float64{want}, got, 0)
			a.checkGrad(t, wantGrad, grad)
		})
	}
	check("transcript", e.TargetTokens, e.Ref.Loss, "grad_logits.npy", a)
	for name, alternative := range e.AltTargets {
		check(name, alternative.Tokens, alternative.Loss, "grad_logits_alt_"+name+".npy", alternatives)
	}
}

// checkScores takes log-probabilities as they stand. They are not quite
// normalised, which changes the loss, but not the occupancies: those are known
// from the gradient of the logits, softmax − occupancy.
func checkScores[F trellis.Float](t *testing.T, folder string, e emission, x []float32, shape []int, a *accuracy) {
	t.Helper()
	grad, _ := readArray[float64](t, filepath.Join(folder, "grad_logits.npy"))
	var fromScores, fromLogits []float64
	for row := range slices.Chunk(Cast[float64](x), shape[1]) {
		for c, p := range RefSoftmax(row) {
			occupancy := p - grad[len(fromScores)]
			fromScores = append(fromScores, -occupancy)
			fromLogits = append(fromLogits, math.Exp(row[c])-occupancy)
		}
	}
	check := func(name string, gradient trellis.CTCGradient, wantGrad []float64) {
		t.Run(name, func(t *testing.T) {
			a.cases++
			loss := trellis.CTCLoss[F]{Blank: e.Blank, Reduction: trellis.Sum, Gradient: gradient}
			tensor := trellis.Tensor[F]{Data: Cast[F](x), Shape: shape}
			got, grad := BindCTC(loss, tensor, e.TargetTokens, nil, []int{len(e.TargetTokens)}).byReduction(t, "sum", len(x), nil)
			a.checkLosses(t, []float64{*e.Ref.AsScores}, got, 0)
			a.checkGrad(t, wantGrad, grad)
		})
	}
	check("ScoresGradient", trellis.ScoresGradient, fromScores)
	check("LogitsGradient", trellis.LogitsGradient, fromLogits)
}

// OCR of printed lines by PP-OCRv4, whose softmax is done: thousands of classes, whose
// probabilities add up to 1 only in float32.
func TestOCRProbabilities(t *testing.T) {
	bothTypes(t, testOCRProbabilities[float32], testOCRProbabilities[float64])
}

func testOCRProbabilities[F trellis.Float](t *testing.T) {
	paths, err := filepath.Glob(testdata(t, "ocr", "*", "emissions.npy"))
	require.NoError(t, err)
	a := newAccuracy[F]()
	for _, path := range paths {
		folder := filepath.Dir(path)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			a.cases++
			var e emission
			readJSON(t, filepath.Join(folder, "index.json"), &e)
			require.Equal(t, "probs", e.Kind)
			x, shape := readArray[float32](t, path)
			c := CTCCase{Frames: shape[0], Batch: 1, Classes: shape[1], Blank: e.Blank, Unbatched: true, Scores: trellis.Probabilities}
			c.Targets, c.InputLengths = [][]int{e.TargetTokens}, []int{shape[0]}
			tensor := trellis.Tensor[F]{Data: Cast[F](x), Shape: shape}
			for _, c.ScoresGradient = range []bool{false, true} {
				loss := ctcLoss[F](c)
				loss.Reduction = trellis.Sum
				got, grad := BindCTC(loss, tensor, e.TargetTokens, nil, nil).byReduction(t, "sum", len(x), nil)
				a.checkLosses(t, []float64{e.Ref.Loss}, got, 0)
				want := refCTCLoss(Cast[float64](x), c).grad
				if c.ScoresGradient { // occupancies over p, from where p is 10⁻⁹
					for i, p := range x {
						want[i] *= float64(p)
						grad[i] *= float64(p)
					}
				}
				a.checkGrad(t, want, grad)
			}
		})
	}
	a.report(t, 3)
}

// batchResult is one of the results in emissions/dla_lj_batch/index.json.
type batchResult struct {
	Loss          numbers
	InputLengths  []int `json:"input_lengths"`
	TargetLengths []int `json:"target_lengths"`
}

func TestEmissionsBatch(t *testing.T) {
	bothTypes(t, testEmissionsBatch[float32], testEmissionsBatch[float64])
}

func testEmissionsBatch[F trellis.Float](t *testing.T) {
	folder := testdata(t, "emissions", "dla_lj_batch")
	var index struct{ Results map[string]batchResult }
	readJSON(t, filepath.Join(folder, "index.json"), &index)
	worst := newAccuracy[F]()
	for _, lengths := range []string{"full", "ragged"} {
		for _, reduction := range []string{"none", "sum", "mean"} {
			for _, layout := range []string{"TNC", "NTC"} {
				t.Run(lengths+"_"+reduction+"_"+layout, func(t *testing.T) {
					file := map[string]string{"none": "none", "sum": "none", "mean": "mean"}[reduction]
					grad, shape := readArray[float64](t, filepath.Join(folder, "grad_logits_TNC_"+lengths+"_"+file+".npy"))
					if layout == "NTC" {
						grad = swapAxes(grad, shape)
					}
					checkBatch[F](t, folder, layout, reduction, index.Results[lengths+"_"+reduction], grad, worst)
				})
			}
		}
	}
	worst.report(t, 12)
}

// checkBatch runs the batch with padded and with concatenated targets.
func checkBatch[F trellis.Float](t *testing.T, folder, layout, reduction string, want batchResult, wantGrad []float64, a *accuracy) {
	t.Helper()
	data, shape := readArray[float32](t, filepath.Join(folder, "emissions_"+layout+".npy"))
	x := trellis.Tensor[F]{Data: Cast[F](data), Shape: shape}
	padded, _ := readArray[int](t, filepath.Join(folder, "targets_NS.npy"))
	concatenated := []int{}
	for n, length := range want.TargetLengths {
		width := len(padded) / len(want.TargetLengths)
		concatenated = append(concatenated, padded[n*width:][:length]...)
	}
	a.cases++
	loss := trellis.CTCLoss[F]{Scores: trellis.Logits, Reduction: reductionOf(reduction), BatchFirst: layout == "NTC"}
	for _, targets := range [][]int{padded, concatenated} {
		m := BindCTC(loss, x, targets, want.InputLengths, want.TargetLengths)
		got, grad := m.byReduction(t, reduction, len(x.Data), ones[F](len(want.TargetLengths)))
		a.checkLosses(t, want.Loss, got, 0)
		a.checkGrad(t, wantGrad, grad)
		for i, w := range wantGrad {
			if w == 0 && grad[i] != 0 {
				require.Failf(t, "a frame that does not count has a gradient", "element %d: %g", i, grad[i])
			}
		}
	}
}

// swapAxes exchanges the first two axes of three.
func swapAxes(x []float64, shape []int) []float64 {
	y := make([]float64, 0, len(x))
	for j := range shape[1] {
		for i := range shape[0] {
			y = append(y, x[(i*shape[1]+j)*shape[2]:][:shape[2]]...)
		}
	}
	return y
}
