package conformance

import (
	"maps"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
)

// onnxCase is a test of onnx/index.json. ONNX's own expected values are float32
// numbers of NumPy, off from the exact ones by what is recorded here.
type onnxCase struct {
	Op          string
	Reduction   string
	IgnoreIndex *int    `json:"ignore_index"`
	Weight      *string // file
	LossOff     float64 `json:"max_abs_diff_torch_f64"`
	LogProbOff  float64 `json:"max_abs_diff_log_prob"`
	Outputs     [][]int
}

func TestONNX(t *testing.T) {
	bothTypes(t, testONNX[float32], testONNX[float64])
}

func testONNX[F trellis.Float](t *testing.T) {
	var index struct{ Tests map[string]onnxCase }
	readJSON(t, testdata(t, "onnx", "index.json"), &index)
	worst, logProbs := newAccuracy[F](), newAccuracy[F]()
	for _, name := range slices.Sorted(maps.Keys(index.Tests)) {
		t.Run(name, func(t *testing.T) {
			c := index.Tests[name]
			checkONNXLoss[F](t, name, c, worst)
			if len(c.Outputs) == 2 {
				checkONNXLogProb[F](t, name, c, logProbs)
			}
		})
	}
	worst.report(t, 52)
	logProbs.report(t, 17)
}

// checkONNXLoss compares the loss with a float64 reference and with ONNX's, and
// the gradient with PyTorch's.
func checkONNXLoss[F trellis.Float](t *testing.T, name string, c onnxCase, a *accuracy) {
	t.Helper()
	a.cases++
	data, shape := readArray[float32](t, testdata(t, "onnx", name, "input_0.npy"))
	targets, _ := readArray[int](t, testdata(t, "onnx", name, "input_1.npy"))
	x := Cast[F](data)
	options := classOptions{weight: ones[float64](shape[1]), ignore: -100}
	var weight []F
	if c.Weight != nil {
		w, _ := readArray[float32](t, testdata(t, "onnx", name, *c.Weight))
		options.weight, weight = Cast[float64](w), Cast[F](w)
	}
	if c.IgnoreIndex != nil {
		options.ignore = *c.IgnoreIndex
	}

	var loss ClassLoss[F]
	var ref reference
	if c.Op == "NegativeLogLikelihoodLoss" {
		loss = trellis.NLLLoss[F]{Weight: weight, IgnoreIndex: c.IgnoreIndex, Reduction: reductionOf(c.Reduction)}
		ref = refNLL(Cast[float64](data), shape, targets, options)
	} else {
		loss = trellis.CrossEntropyLoss[F]{Weight: weight, IgnoreIndex: c.IgnoreIndex, Reduction: reductionOf(c.Reduction)}
		ref = refCrossEntropy(Cast[float64](data), shape, targets, options)
	}
	want := ref.losses
	if c.Reduction != "none" {
		want = []float64{ref.reduced(reductionOf(c.Reduction))}
	}
	got, grad := BindClasses(loss, trellis.Tensor[F]{Data: x, Shape: shape}, targets).byReduction(t, c.Reduction, len(x), ones[F](len(targets)))
	a.checkLosses(t, want, got, 0)
	published, _ := readArray[float32](t, testdata(t, "onnx", name, "output_0.npy"))
	a.checkLosses(t, Cast[float64](published), got, c.LossOff)
	wantGrad, _ := readArray[float64](t, testdata(t, "onnx", name, "ref_grad_input.npy"))
	a.checkGrad(t, wantGrad, grad)
}

// checkONNXLogProb compares LogSoftmax over the classes with the second output.
func checkONNXLogProb[F trellis.Float](t *testing.T, name string, c onnxCase, a *accuracy) {
	t.Helper()
	a.cases++
	x, shape := readArray[float32](t, testdata(t, "onnx", name, "input_0.npy"))
	published, _ := readArray[float32](t, testdata(t, "onnx", name, "output_1.npy"))
	scores, expected := Cast[float64](x), Cast[float64](published)
	var want, wantPublished, got []float64
	for _, at := range classScores(shape) {
		row := pick(scores, at)
		logProbs := make([]F, len(row))
		trellis.LogSoftmax(logProbs, Cast[F](row))
		got = append(got, Cast[float64](logProbs)...)
		want = append(want, RefLogSoftmax(row)...)
		wantPublished = append(wantPublished, pick(expected, at)...)
	}
	a.checkLosses(t, want, got, 0)
	a.checkLosses(t, wantPublished, got, c.LogProbOff)
}
