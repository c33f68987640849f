package conformance

import (
	"compress/gzip"
	"encoding/json"
	"math"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/stretchr/testify/require"
)

// Tests against PyTorch in float64: testdata/torch_cases.py made the results and
// describes the inputs.

// pytorchCase is one of testdata/torch_cases.json.gz.
type pytorchCase struct {
	Kind      string // nll, ce, ce_probs or ctc
	Shape     []int
	Reduction string
	Scale     int // logarithm of the spread of the scores

	Weighted  bool
	Masked    bool // some targets are ignored
	Ignore    *int
	Smoothing float64

	Scores        string // logits, normalised log-probabilities, or raw
	Blank         int
	ZeroInfinity  bool  `json:"zero_infinity"`
	BatchFirst    bool  `json:"batch_first"`
	Width         *int  // of padded targets; nil if they are concatenated
	InputLengths  []int `json:"input_lengths"`
	TargetLengths []int `json:"target_lengths"`

	Loss        numbers   // reduced, or of each sample with the reduction none
	Gradient    []float64 // if it is short; else
	Projections []float64 // its sums with random signs, and
	Largest     float64   // its largest magnitude

	id int // place in the file
}

// The streams of random numbers of a case.
const (
	_ = iota // the parameters themselves
	scoreStream
	targetStream
	weightStream
	upstreamStream
	probabilityStream
	signStream
)

// splitMix64 is the generator of G. L. Steele, D. Lea and C. H. Flood, Fast
// Splittable Pseudorandom Number Generators (OOPSLA 2014).
type splitMix64 uint64

func (s *splitMix64) next() uint64 {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// below returns a number in [0,n).
func (s *splitMix64) below(n int) int { return int(s.next() >> 32 % uint64(n)) }

// grid returns n integers of so many bits, as floats.
func (s *splitMix64) grid(n, bits int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(s.next() >> (64 - bits))
	}
	return x
}

func (c *pytorchCase) stream(kind int) *splitMix64 {
	s := splitMix64(c.id)<<32 | splitMix64(kind)<<24
	return &s
}

// size returns the number of scores.
func (c *pytorchCase) size() int {
	n := 1
	for _, d := range c.Shape {
		n *= d
	}
	return n
}

// classes returns the number of classes.
func (c *pytorchCase) classes() int {
	if c.Kind == "ctc" {
		return c.Shape[len(c.Shape)-1]
	}
	return c.Shape[min(1, len(c.Shape)-1)]
}

// scores returns the input. Rows of log-probabilities are rounded to a grid, so
// that the last bits of a logarithm do not matter.
func (c *pytorchCase) scores() []float64 {
	x := c.stream(scoreStream).grid(c.size(), 24)
	for i := range x {
		x[i] = math.Ldexp(x[i]-1<<23, c.Scale-20)
		if c.Kind == "nll" || c.Scores == "raw" {
			x[i] = -math.Abs(x[i])
		}
	}
	if c.Scores == "normalised" {
		for row := range slices.Chunk(x, c.classes()) {
			for i, v := range RefLogSoftmax(row) {
				row[i] = math.RoundToEven(v*(1<<18)) / (1 << 18)
			}
		}
	}
	return x
}

// weights returns the weights of the classes, or nil.
func (c *pytorchCase) weights() []float64 {
	if !c.Weighted {
		return nil
	}
	w := c.stream(weightStream).grid(c.classes(), 5)
	for i := range w {
		w[i] /= 8
	}
	return w
}

// upstream returns factors for n losses.
func (c *pytorchCase) upstream(n int) []float64 {
	u := c.stream(upstreamStream).grid(n, 6)
	for i := range u {
		u[i] = (u[i] - 32) / 32
	}
	return u
}

// probabilities returns class probabilities that do not add up to 1.
func (c *pytorchCase) probabilities() []float64 {
	s := c.stream(probabilityStream)
	y := s.grid(c.size(), 16)
	for i, dropped := range s.grid(len(y), 3) {
		y[i] = math.Ldexp(y[i], -15-bits.Len(uint(c.classes())))
		if dropped == 0 {
			y[i] = 0
		}
	}
	return y
}

// classTargets returns a class for each position, or what is ignored.
func (c *pytorchCase) classTargets() []int {
	s := c.stream(targetStream)
	targets := make([]int, c.samples())
	for i := range targets {
		targets[i] = s.below(c.classes())
	}
	for i := range targets {
		if c.Masked && s.below(4) == 0 {
			targets[i] = -100
			if c.Ignore != nil {
				targets[i] = *c.Ignore
			}
		}
	}
	return targets
}

// ctcTargets returns labels that often repeat the one before. Rows are padded
// with a label that is none.
func (c *pytorchCase) ctcTargets() []int {
	s := c.stream(targetStream)
	targets := []int{}
	for _, length := range c.TargetLengths {
		start := len(targets)
		for i := range length {
			label := s.below(c.classes() - 1)
			if label >= c.Blank {
				label++
			}
			if s.below(3) == 0 && i > 0 {
				label = targets[len(targets)-1]
			}
			targets = append(targets, label)
		}
		for c.Width != nil && len(targets) < start+*c.Width {
			targets = append(targets, -1)
		}
	}
	return targets
}

// samples returns the number of losses.
func (c *pytorchCase) samples() int {
	if c.Kind == "ctc" {
		return len(c.TargetLengths)
	}
	return c.size() / c.classes()
}

// bindTorch binds the input of a case to its loss.
func bindTorch[F trellis.Float](c *pytorchCase) Methods[F] {
	x := trellis.Tensor[F]{Data: Cast[F](c.scores()), Shape: c.Shape}
	var weight []F
	if c.Weighted {
		weight = Cast[F](c.weights())
	}
	ce := trellis.CrossEntropyLoss[F]{
		Weight: weight, IgnoreIndex: c.Ignore, Reduction: reductionOf(c.Reduction), LabelSmoothing: F(c.Smoothing),
	}
	switch c.Kind {
	case "nll":
		nll := trellis.NLLLoss[F]{Weight: weight, IgnoreIndex: c.Ignore, Reduction: reductionOf(c.Reduction)}
		return BindClasses(nll, x, c.classTargets())
	case "ce":
		return BindClasses(ce, x, c.classTargets())
	case "ce_probs":
		target := trellis.Tensor[F]{Data: Cast[F](c.probabilities()), Shape: c.Shape}
		return BindProbs(ce, x, target)
	}
	ctc := trellis.CTCLoss[F]{
		Blank: c.Blank, Reduction: reductionOf(c.Reduction), ZeroInfinity: c.ZeroInfinity,
		BatchFirst: c.BatchFirst,
	}
	if c.Scores == "logits" {
		ctc.Scores = trellis.Logits
	}
	return BindCTC(ctc, x, c.ctcTargets(), c.InputLengths, c.TargetLengths)
}

// From the probabilities of their scores, the CTC cases have the same results. In float32
// the probabilities would be others.
func TestTorchFromProbabilities(t *testing.T) {
	a := newAccuracy[float64]()
	for _, c := range readTorchCases(t) {
		if c.Kind != "ctc" || c.Scores == "raw" {
			continue
		}
		t.Run(strconv.Itoa(c.id), func(t *testing.T) {
			a.cases++
			x := trellis.Tensor[float64]{Shape: c.Shape}
			for row := range slices.Chunk(c.scores(), c.classes()) {
				if c.Scores == "logits" {
					row = RefLogSoftmax(row)
				}
				for _, v := range row {
					x.Data = append(x.Data, math.Exp(v))
				}
			}
			ctc := trellis.CTCLoss[float64]{
				Blank: c.Blank, Reduction: reductionOf(c.Reduction), ZeroInfinity: c.ZeroInfinity,
				Scores: trellis.Probabilities, BatchFirst: c.BatchFirst,
			}
			m := BindCTC(ctc, x, c.ctcTargets(), c.InputLengths, c.TargetLengths)
			losses, grad := m.byReduction(t, c.Reduction, c.size(), c.upstream(c.samples()))
			c.check(t, losses, grad, a)
		})
	}
	a.report(t, 169)
}

// torchSlack is how far PyTorch's own losses may be off, which matters near 0:
// its log-softmax rounds numbers below 64 to 2⁻⁴⁷ or worse, in up to 150 frames,
// and such errors add up like a random walk.
const torchSlack = 1e-13

// check compares the results of a case.
func (c *pytorchCase) check(t *testing.T, losses, grad []float64, a *accuracy) {
	t.Helper()
	a.checkLosses(t, c.Loss, losses, torchSlack)
	if c.Projections == nil {
		a.checkGrad(t, c.Gradient, grad)
		return
	}
	largest := 0.0
	for _, g := range grad {
		largest = max(largest, math.Abs(g))
	}
	a.checkGrad(t, []float64{c.Largest}, []float64{largest})
	s := c.stream(signStream)
	root := math.Sqrt(float64(len(grad))) // errors add up like a random walk
	for _, want := range c.Projections {
		var sum float64
		for i, negative := range s.grid(len(grad), 1) {
			sum += grad[i] * (1 - 2*negative)
		}
		a.checkGrad(t, []float64{want / root}, []float64{sum / root})
	}
}

func TestTorch(t *testing.T) {
	bothTypes(t, testTorch[float32], testTorch[float64])
}

func testTorch[F trellis.Float](t *testing.T) {
	cases := readTorchCases(t)
	total := 0
	for _, kind := range []string{"nll", "ce", "ce_probs", "ctc"} {
		t.Run(kind, func(t *testing.T) {
			a := newAccuracy[F]()
			for id := range cases {
				c := &cases[id]
				if c.Kind != kind {
					continue
				}
				t.Run(strconv.Itoa(id), func(t *testing.T) {
					a.cases++
					losses, grad := bindTorch[F](c).byReduction(t, c.Reduction, c.size(), Cast[F](c.upstream(c.samples())))
					c.check(t, losses, grad, a)
				})
			}
			a.report(t, map[string]int{"nll": 90, "ce": 120, "ce_probs": 90, "ctc": 200}[kind])
			total += a.cases
		})
	}
	require.Equal(t, 500, total)
}

func readTorchCases(t *testing.T) (cases []pytorchCase) {
	t.Helper()
	f, err := os.Open("testdata/torch_cases.json.gz")
	require.NoError(t, err)
	defer f.Close()
	r, err := gzip.NewReader(f)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(r).Decode(&cases))
	for i := range cases {
		cases[i].id = i
	}
	return cases
}

// TestSplitMix64 has the first numbers from the seed 1234567 that Rosetta Code
// and others publish.
func TestSplitMix64(t *testing.T) {
	s := splitMix64(1234567)
	for _, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		require.Equal(t, want, s.next())
	}
}
