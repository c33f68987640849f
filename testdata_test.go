package trellis_test

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/stretchr/testify/require"
)

// Tests against what others have published: ONNX's node tests, toy matrices from
// the tests of other CTC libraries, and the output of real networks.

// testdata returns the path of a file in the folder of the test data, which is
// not part of the repository, or skips the test.
func testdata(t *testing.T, path ...string) string {
	t.Helper()
	folder := os.Getenv("TRELLIS_TESTDATA")
	if folder == "" {
		t.Skip("TRELLIS_TESTDATA does not name the folder of the test data")
	}
	return filepath.Join(append([]string{folder}, path...)...)
}

func readJSON(t *testing.T, path string, value any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, value), path)
}

func readArray[T npy.Element](t *testing.T, path string) (data []T, shape []int) {
	t.Helper()
	data, shape, err := npy.ReadFile[T](path)
	require.NoError(t, err)
	return data, shape
}

// number is a number in JSON, which has none that are not finite: they come as
// strings.
type number float64

func (n *number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	v, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64)
	*n = number(v)
	return err
}

// numbers is a list of numbers in JSON, or one alone; null is none.
type numbers []float64

func (n *numbers) UnmarshalJSON(text []byte) error {
	var list []number
	if text[0] != '[' && string(text) != "null" {
		text = slices.Concat([]byte("["), text, []byte("]"))
	}
	err := json.Unmarshal(text, &list)
	for _, v := range list {
		*n = append(*n, float64(v))
	}
	return err
}

// cast converts numbers to another type.
func cast[To, From trellis.Float](x []From) []To {
	y := make([]To, len(x))
	for i, v := range x {
		y[i] = To(v)
	}
	return y
}

// accuracy compares results with references, and keeps the worst errors.
type accuracy struct {
	loss, grad           float64 // allowed errors: relative, absolute
	worstLoss, worstGrad float64
	cases                int
}

// newAccuracy returns what trellis promises where inputs are exact.
func newAccuracy[F trellis.Float]() *accuracy {
	var zero F
	if _, ok := any(zero).(float32); ok {
		return &accuracy{loss: 1e-6, grad: 2e-6}
	}
	return &accuracy{loss: 1e-10, grad: 1e-11}
}

// checkLosses compares losses whose references may be off by slack themselves.
func (a *accuracy) checkLosses(t *testing.T, want, got []float64, slack float64) {
	t.Helper()
	require.Len(t, got, len(want))
	worst, at := farthest(want, got, func(w, off float64) float64 { return (off - slack) / math.Abs(w) })
	a.worstLoss = max(a.worstLoss, worst)
	require.LessOrEqualf(t, worst, a.loss, "relative error of loss %d of %d: want %.17g, got %.17g", at, len(want), want[at], got[at])
}

// checkGrad compares gradients.
func (a *accuracy) checkGrad(t *testing.T, want, got []float64) {
	t.Helper()
	require.Len(t, got, len(want))
	worst, at := farthest(want, got, func(_, off float64) float64 { return off })
	a.worstGrad = max(a.worstGrad, worst)
	require.LessOrEqualf(t, worst, a.grad, "error of gradient %d of %d: want %.17g, got %.17g", at, len(want), want[at], got[at])
}

// farthest returns the largest error of what differs, and where it is. It is
// infinite if only one of two numbers is NaN, or an infinity.
func farthest(want, got []float64, size func(want, off float64) float64) (worst float64, at int) {
	for i, w := range want {
		if near(w, got[i], 0) {
			continue
		}
		e := size(w, math.Abs(got[i]-w))
		if math.IsNaN(e) || math.IsInf(w, 0) {
			e = math.Inf(1)
		}
		if e > worst {
			worst, at = e, i
		}
	}
	return worst, at
}

// report logs the worst errors, and fails unless there were so many cases.
func (a *accuracy) report(t *testing.T, cases int) {
	t.Helper()
	t.Logf("%d cases, worst errors: losses %.2g relative, gradients %.2g absolute", a.cases, a.worstLoss, a.worstGrad)
	require.Equal(t, cases, a.cases)
}

// calls are the methods of a loss, closed over its input.
type calls[F trellis.Float] struct {
	x      trellis.Tensor[F]
	count  int // of losses
	loss   func() (F, error)
	losses func(dst []F) error
	grad   func(grad []F) (F, error)
	vjp    func(grad, upstream []F) error
}

// reduced returns the reduced loss and its gradient.
func (c calls[F]) reduced(t *testing.T) (losses, grad []float64) {
	t.Helper()
	alone, err := c.loss()
	require.NoError(t, err)
	g := unwritten[F](len(c.x.Data))
	loss, err := c.grad(g)
	require.NoError(t, err)
	require.Equal(t, alone, loss)
	return []float64{float64(loss)}, cast[float64](g)
}

// each returns all losses, and the gradient of Σ upstream·losses.
func (c calls[F]) each(t *testing.T, upstream []F) (losses, grad []float64) {
	t.Helper()
	l, g := unwritten[F](c.count), unwritten[F](len(c.x.Data))
	require.NoError(t, c.losses(l))
	require.NoError(t, c.vjp(g, upstream))
	return cast[float64](l), cast[float64](g)
}

// unwritten returns elements that a result must replace: 0 would often be right.
func unwritten[F trellis.Float](n int) []F { return slices.Repeat([]F{F(math.NaN())}, n) }

// run returns either, by the name of a reduction.
func (c calls[F]) run(t *testing.T, reduction string, upstream []F) (losses, grad []float64) {
	t.Helper()
	if reduction == "none" {
		return c.each(t, upstream)
	}
	return c.reduced(t)
}

// reductionOf is the zero value for "none", which the methods do not heed.
func reductionOf(name string) trellis.Reduction {
	if name == "sum" {
		return trellis.Sum
	}
	return trellis.Mean
}

// classTargetLoss is what NLLLoss and CrossEntropyLoss have in common.
type classTargetLoss[F trellis.Float] interface {
	Loss(x trellis.Tensor[F], targets []int) (F, error)
	Losses(dst []F, x trellis.Tensor[F], targets []int) error
	Grad(grad []F, x trellis.Tensor[F], targets []int) (F, error)
	VJP(grad, upstream []F, x trellis.Tensor[F], targets []int) error
}

func classCalls[F trellis.Float](l classTargetLoss[F], x trellis.Tensor[F], targets []int) calls[F] {
	return calls[F]{
		x: x, count: len(targets),
		loss:   func() (F, error) { return l.Loss(x, targets) },
		losses: func(dst []F) error { return l.Losses(dst, x, targets) },
		grad:   func(grad []F) (F, error) { return l.Grad(grad, x, targets) },
		vjp:    func(grad, upstream []F) error { return l.VJP(grad, upstream, x, targets) },
	}
}

func ctcCalls[F trellis.Float](l trellis.CTCLoss[F], x trellis.Tensor[F], targets, inputLengths, targetLengths []int) calls[F] {
	return calls[F]{
		x: x, count: len(targetLengths),
		loss:   func() (F, error) { return l.Loss(x, targets, inputLengths, targetLengths) },
		losses: func(dst []F) error { return l.Losses(dst, x, targets, inputLengths, targetLengths) },
		grad:   func(grad []F) (F, error) { return l.Grad(grad, x, targets, inputLengths, targetLengths) },
		vjp:    func(grad, upstream []F) error { return l.VJP(grad, upstream, x, targets, inputLengths, targetLengths) },
	}
}

// ones is the upstream of a sum.
func ones[F trellis.Float](n int) []F { return slices.Repeat([]F{1}, n) }

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
	t.Run("float32", testONNX[float32])
	t.Run("float64", testONNX[float64])
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
	x := cast[F](data)
	options := classOptions{weight: ones[float64](shape[1]), ignore: -100}
	var weight []F
	if c.Weight != nil {
		w, _ := readArray[float32](t, testdata(t, "onnx", name, *c.Weight))
		options.weight, weight = cast[float64](w), cast[F](w)
	}
	if c.IgnoreIndex != nil {
		options.ignore = *c.IgnoreIndex
	}

	var loss classTargetLoss[F]
	var ref reference
	if c.Op == "NegativeLogLikelihoodLoss" {
		loss = trellis.NLLLoss[F]{Weight: weight, IgnoreIndex: c.IgnoreIndex, Reduction: reductionOf(c.Reduction)}
		ref = refNLL(cast[float64](data), shape, targets, options)
	} else {
		loss = trellis.CrossEntropyLoss[F]{Weight: weight, IgnoreIndex: c.IgnoreIndex, Reduction: reductionOf(c.Reduction)}
		ref = refCrossEntropy(cast[float64](data), shape, targets, options)
	}
	want := ref.losses
	if c.Reduction != "none" {
		want = []float64{ref.reduced(reductionOf(c.Reduction))}
	}
	got, grad := classCalls(loss, trellis.Tensor[F]{Data: x, Shape: shape}, targets).run(t, c.Reduction, ones[F](len(targets)))
	a.checkLosses(t, want, got, 0)
	published, _ := readArray[float32](t, testdata(t, "onnx", name, "output_0.npy"))
	a.checkLosses(t, cast[float64](published), got, c.LossOff)
	wantGrad, _ := readArray[float64](t, testdata(t, "onnx", name, "ref_grad_input.npy"))
	a.checkGrad(t, wantGrad, grad)
}

// checkONNXLogProb compares LogSoftmax over the classes with the second output.
func checkONNXLogProb[F trellis.Float](t *testing.T, name string, c onnxCase, a *accuracy) {
	t.Helper()
	a.cases++
	x, shape := readArray[float32](t, testdata(t, "onnx", name, "input_0.npy"))
	published, _ := readArray[float32](t, testdata(t, "onnx", name, "output_1.npy"))
	scores, expected := cast[float64](x), cast[float64](published)
	var want, wantPublished, got []float64
	for _, at := range classScores(shape) {
		row := pick(scores, at)
		logProbs := make([]F, len(row))
		trellis.LogSoftmax(logProbs, cast[F](row))
		got = append(got, cast[float64](logProbs)...)
		want = append(want, refLogSoftmax(row)...)
		wantPublished = append(wantPublished, pick(expected, at)...)
	}
	a.checkLosses(t, want, got, 0)
	a.checkLosses(t, wantPublished, got, c.LogProbOff)
}

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
	t.Run("float32", testCTCFixtures[float32])
	t.Run("float64", testCTCFixtures[float64])
}

func testCTCFixtures[F trellis.Float](t *testing.T) {
	var fixtures []ctcFixture
	readJSON(t, testdata(t, "fixtures", "ctc_loss.json"), &fixtures)
	worst, scores := newAccuracy[F](), newAccuracy[F]()
	for _, f := range fixtures {
		t.Run(f.Name, func(t *testing.T) {
			checkFixture[F](t, f, true, worst)
			if f.isNormalised() {
				checkFixture[F](t, f, false, scores)
			}
		})
	}
	worst.report(t, 18)
	scores.report(t, 5)
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

func checkFixture[F trellis.Float](t *testing.T, f ctcFixture, fromLogits bool, a *accuracy) {
	t.Helper()
	a.cases++
	data, shape, targets, lengths := f.batch()
	x := trellis.Tensor[F]{Data: cast[F](data), Shape: shape}
	loss := trellis.CTCLoss[F]{Blank: f.Blank, FromLogits: fromLogits, BatchFirst: true}
	got, grad := ctcCalls(loss, x, targets, f.InputLengths, lengths).each(t, ones[F](len(lengths)))
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
	finite, sameGrad := ctcCalls(loss, x, targets, f.InputLengths, lengths).each(t, ones[F](len(lengths)))
	for n, v := range got {
		if math.IsInf(f.Loss[n], 1) {
			v = 0
		}
		require.Equal(t, v, finite[n])
	}
	require.Equal(t, grad, sameGrad)
}

// emission is the index.json of a folder in emissions: the output of a network,
// with a transcript and other targets.
type emission struct {
	Kind         string // logits, or log_probs
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
	t.Run("float32", testEmissions[float32])
	t.Run("float64", testEmissions[float64])
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
	loss := trellis.CTCLoss[F]{Blank: e.Blank, FromLogits: true, Reduction: trellis.Sum}
	check := func(name string, target []int, want float64, file string, a *accuracy) {
		t.Run(name, func(t *testing.T) {
			a.cases++
			tensor := trellis.Tensor[F]{Data: cast[F](x), Shape: shape}
			got, grad := ctcCalls(loss, tensor, target, nil, []int{len(target)}).reduced(t)
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
	for row := range slices.Chunk(cast[float64](x), shape[1]) {
		for c, p := range refSoftmax(row) {
			occupancy := p - grad[len(fromScores)]
			fromScores = append(fromScores, -occupancy)
			fromLogits = append(fromLogits, math.Exp(row[c])-occupancy)
		}
	}
	check := func(name string, gradient trellis.CTCGradient, wantGrad []float64) {
		t.Run(name, func(t *testing.T) {
			a.cases++
			loss := trellis.CTCLoss[F]{Blank: e.Blank, Reduction: trellis.Sum, Gradient: gradient}
			tensor := trellis.Tensor[F]{Data: cast[F](x), Shape: shape}
			got, grad := ctcCalls(loss, tensor, e.TargetTokens, nil, []int{len(e.TargetTokens)}).reduced(t)
			a.checkLosses(t, []float64{*e.Ref.AsScores}, got, 0)
			a.checkGrad(t, wantGrad, grad)
		})
	}
	check("ScoresGradient", trellis.ScoresGradient, fromScores)
	check("LogitsGradient", trellis.LogitsGradient, fromLogits)
}

// batchResult is one of the results in emissions/dla_lj_batch/index.json.
type batchResult struct {
	Loss          numbers
	InputLengths  []int `json:"input_lengths"`
	TargetLengths []int `json:"target_lengths"`
}

func TestEmissionsBatch(t *testing.T) {
	t.Run("float32", testEmissionsBatch[float32])
	t.Run("float64", testEmissionsBatch[float64])
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
	x := trellis.Tensor[F]{Data: cast[F](data), Shape: shape}
	padded, _ := readArray[int](t, filepath.Join(folder, "targets_NS.npy"))
	concatenated := []int{}
	for n, length := range want.TargetLengths {
		width := len(padded) / len(want.TargetLengths)
		concatenated = append(concatenated, padded[n*width:][:length]...)
	}
	a.cases++
	loss := trellis.CTCLoss[F]{FromLogits: true, Reduction: reductionOf(reduction), BatchFirst: layout == "NTC"}
	for _, targets := range [][]int{padded, concatenated} {
		c := ctcCalls(loss, x, targets, want.InputLengths, want.TargetLengths)
		got, grad := c.run(t, reduction, ones[F](c.count))
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
