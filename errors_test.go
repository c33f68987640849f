package trellis_test

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/conformance"
	"github.com/stretchr/testify/require"
)

// huge is a power of two whose square and whose product with 4 are 0 in an int.
const huge = math.MaxInt/2 + 1

// arguments are those of every method of every loss. A mistake changes one of
// them in a call that is right.
type arguments struct {
	weight            []float32
	ignore            *int
	reduction         trellis.Reduction
	workers           int
	smoothing         float32
	blank             int
	scores            trellis.Scores
	gradient          trellis.CTCGradient
	batchFirst        bool
	x, target         trellis.Tensor[float32]
	targets           []int
	inputs, labels    []int // inputLengths and targetLengths
	dst, grad, factor []float32
	anyScore          float64
	spans             []trellis.Span
	pathScores        []float64
}

// mistake is one, and the error that it should make.
type mistake struct {
	name     string
	methods  string // a regular expression for those that should notice
	make     func(a *arguments)
	argument string
	index    []int
	value    any
}

// method is a method bound to arguments.
type method struct {
	name string
	call func() error
}

// discard drops the loss of a method that returns one.
func discard(_ float32, err error) error { return err }

// classMethodsOf binds all methods of NLLLoss and CrossEntropyLoss.
func classMethodsOf(a *arguments) []method {
	nll := trellis.NLLLoss[float32]{Weight: a.weight, IgnoreIndex: a.ignore, Reduction: a.reduction, Workers: a.workers}
	ce := trellis.CrossEntropyLoss[float32]{Weight: a.weight, IgnoreIndex: a.ignore, Reduction: a.reduction, Workers: a.workers, LabelSmoothing: a.smoothing}
	return []method{
		{"NLLLoss.Loss", func() error { return discard(nll.Loss(a.x, a.targets)) }},
		{"NLLLoss.Losses", func() error { return nll.Losses(a.dst, a.x, a.targets) }},
		{"NLLLoss.Grad", func() error { return discard(nll.Grad(a.grad, a.x, a.targets)) }},
		{"NLLLoss.VJP", func() error { return nll.VJP(a.grad, a.factor, a.x, a.targets) }},
		{"CrossEntropyLoss.Loss", func() error { return discard(ce.Loss(a.x, a.targets)) }},
		{"CrossEntropyLoss.Losses", func() error { return ce.Losses(a.dst, a.x, a.targets) }},
		{"CrossEntropyLoss.Grad", func() error { return discard(ce.Grad(a.grad, a.x, a.targets)) }},
		{"CrossEntropyLoss.VJP", func() error { return ce.VJP(a.grad, a.factor, a.x, a.targets) }},
		{"CrossEntropyLoss.LossProbs", func() error { return discard(ce.LossProbs(a.x, a.target)) }},
		{"CrossEntropyLoss.LossesProbs", func() error { return ce.LossesProbs(a.dst, a.x, a.target) }},
		{"CrossEntropyLoss.GradProbs", func() error { return discard(ce.GradProbs(a.grad, a.x, a.target)) }},
		{"CrossEntropyLoss.VJPProbs", func() error { return ce.VJPProbs(a.grad, a.factor, a.x, a.target) }},
		{"NLLLoss.LossesGrad", func() error { return discard(nll.LossesGrad(a.dst, a.grad, a.x, a.targets)) }},
		{"CrossEntropyLoss.LossesGrad", func() error { return discard(ce.LossesGrad(a.dst, a.grad, a.x, a.targets)) }},
		{"CrossEntropyLoss.LossesGradProbs", func() error { return discard(ce.LossesGradProbs(a.dst, a.grad, a.x, a.target)) }},
	}
}

// ctcMethodsOf binds all methods of CTCLoss.
func ctcMethodsOf(a *arguments) []method {
	l := trellis.CTCLoss[float32]{Blank: a.blank, Reduction: a.reduction, BatchFirst: a.batchFirst, Scores: a.scores, Gradient: a.gradient, Workers: a.workers}
	return []method{
		{"CTCLoss.Loss", func() error { return discard(l.Loss(a.x, a.targets, a.inputs, a.labels)) }},
		{"CTCLoss.Losses", func() error { return l.Losses(a.dst, a.x, a.targets, a.inputs, a.labels) }},
		{"CTCLoss.Grad", func() error { return discard(l.Grad(a.grad, a.x, a.targets, a.inputs, a.labels)) }},
		{"CTCLoss.VJP", func() error { return l.VJP(a.grad, a.factor, a.x, a.targets, a.inputs, a.labels) }},
		{"CTCLoss.LossesGrad", func() error { return discard(l.LossesGrad(a.dst, a.grad, a.x, a.targets, a.inputs, a.labels)) }},
	}
}

// alignMethodsOf binds the method of CTCAligner.
func alignMethodsOf(a *arguments) []method {
	l := trellis.CTCAligner[float32]{Blank: a.blank, BatchFirst: a.batchFirst, Scores: a.scores, AnyScore: a.anyScore, Workers: a.workers, Confidence: true}
	return []method{{"CTCAligner.Align", func() error { return l.Align(a.spans, a.pathScores, a.x, a.targets, a.inputs, a.labels) }}}
}

// tensorOf returns a tensor of some ordinary numbers.
func tensorOf(shape ...int) trellis.Tensor[float32] {
	n := 1
	for _, d := range shape {
		n *= d
	}
	x := trellis.Tensor[float32]{Data: make([]float32, n), Shape: shape}
	for i := range x.Data {
		x.Data[i] = float32(math.Sin(float64(i)))
	}
	return x
}

// classArguments are right for two images of 3 positions and 4 classes.
func classArguments() *arguments {
	return &arguments{
		x: tensorOf(2, 4, 3), target: tensorOf(2, 4, 3), targets: []int{0, 3, -100, 1, 1, 2},
		dst: conformance.Filled[float32](6), grad: conformance.Filled[float32](24), factor: make([]float32, 6),
	}
}

// ctcArguments are right for 3 sequences of 5 frames and 4 classes.
func ctcArguments() *arguments {
	return &arguments{
		x: tensorOf(5, 3, 4), targets: []int{1, 2, 0, 0, 3, 3}, inputs: []int{5, 4, 5}, labels: []int{2, 0, 2},
		dst: conformance.Filled[float32](3), grad: conformance.Filled[float32](60), factor: make([]float32, 3),
		spans: slices.Repeat([]trellis.Span{{Start: -1, End: -2, Score: 7}}, 4), pathScores: conformance.Filled[float64](3),
	}
}

// contents returns a copy of everything that a method could write to.
func (a *arguments) contents() [][]float32 {
	var all [][]float32
	for _, data := range [][]float32{a.x.Data, a.target.Data, a.weight, a.dst, a.grad, a.factor} {
		all = append(all, slices.Clone(data))
	}
	var path []float32
	for _, s := range a.spans {
		path = append(path, float32(s.Start), float32(s.End), float32(s.Score), float32(s.Confidence))
	}
	return append(all, path, conformance.Cast[float32](a.pathScores))
}

// requireMistakes makes every mistake in a call of every method: some should
// notice it, and it should not disturb the others.
func requireMistakes(t *testing.T, right func() *arguments, bind func(*arguments) []method, mistakes []mistake) {
	for _, m := range bind(right()) {
		require.NoError(t, m.call(), m.name)
	}
	for _, wrong := range mistakes {
		noticed := regexp.MustCompile(wrong.methods)
		count := 0
		for i := range bind(right()) {
			a := right()
			wrong.make(a)
			before := a.contents()
			m := bind(a)[i]
			if !noticed.MatchString(m.name) {
				require.NoError(t, m.call(), "%s with %s", m.name, wrong.name)
				continue
			}
			count++
			requireArgumentError(t, m, wrong)
			require.Equal(t, before, a.contents(), "%s with %s wrote something", m.name, wrong.name)
		}
		require.Positive(t, count, wrong.name)
	}
}

// requireArgumentError fails unless a method returns the error of a mistake.
func requireArgumentError(t *testing.T, m method, wrong mistake) {
	t.Helper()
	what := fmt.Sprintf("%s with %s", m.name, wrong.name)
	var got *trellis.ArgumentError
	require.ErrorAs(t, m.call(), &got, what)
	require.Equal(t, m.name, got.Method, what)
	argument := wrong.argument
	if strings.Contains(m.name, "LossesGrad") {
		argument = strings.Replace(argument, "dst", "losses", 1) // as the parameter is called there
	}
	require.Equal(t, argument, got.Argument, what)
	require.Equal(t, wrong.index, got.Index, what)
	require.Equal(t, fmt.Sprintf("%T %[1]v", wrong.value), fmt.Sprintf("%T %[1]v", got.Value), what) // NaN is equal here
	require.NotEmpty(t, got.Reason, what)
	require.Contains(t, got.Error(), "trellis: "+m.name+": "+argument, what)
}

// Which methods take which argument.
const (
	everyMethod   = ``
	withTargets   = `^NLLLoss|\.(Loss|Losses|Grad|VJP|LossesGrad)$`
	withProbs     = `Probs$`
	withDst       = `\.Losses`
	withGrad      = `\.((Losses)?Grad|VJP)`
	withFactors   = `\.VJP`
	withSmoothing = `^CrossEntropyLoss`
)

// commonMistakes are those that all losses notice: x has count losses.
func commonMistakes(x []int, count int) []mistake {
	n := len(tensorOf(x...).Data)
	return []mistake{
		{"an unknown reduction", everyMethod, func(a *arguments) { a.reduction = 2 }, "Reduction", nil, uint8(2)},
		{"negative workers", everyMethod, func(a *arguments) { a.workers = -1 }, "Workers", nil, -1},
		{"no shape", everyMethod, func(a *arguments) { a.x.Shape = nil; a.x.Data = a.x.Data[:1] }, "x.Shape", nil, []int{}},
		{"no data", everyMethod, func(a *arguments) { a.x.Data = nil }, "x.Shape", nil, x},
		{"missing data", everyMethod, func(a *arguments) { a.x.Data = a.x.Data[:n-1] }, "x.Shape", nil, x},
		{"data to spare", everyMethod, func(a *arguments) { a.x.Data = append(a.x.Data, 0) }, "x.Shape", nil, x},
		{"a negative axis", everyMethod, func(a *arguments) { a.x.Shape = []int{x[0], -1, x[2]} }, "x.Shape", []int{1}, -1},
		{"two negative axes", everyMethod, func(a *arguments) { a.x.Shape = []int{-x[0], x[1], -x[2]} }, "x.Shape", []int{0}, -x[0]},
		{"a shape whose product overflows", everyMethod, func(a *arguments) { a.x.Shape = []int{huge, 4, 1} }, "x.Shape", nil, []int{huge, 4, 1}},
		{"a shape whose product overflows to 0", everyMethod, func(a *arguments) {
			a.x = trellis.Tensor[float32]{Shape: []int{huge, 2, huge}}
		}, "x.Shape", nil, []int{huge, 2, huge}},
		{"a short dst", withDst, func(a *arguments) { a.dst = a.dst[1:] }, "len(dst)", nil, count - 1},
		{"a long dst", withDst, func(a *arguments) { a.dst = conformance.Filled[float32](count + 1) }, "len(dst)", nil, count + 1},
		{"a nil dst", withDst, func(a *arguments) { a.dst = nil }, "len(dst)", nil, 0},
		{"dst in x", withDst, func(a *arguments) { a.dst = a.x.Data[n-count:] }, "dst", nil, fmt.Sprintf("slice of %d", count)},
		{"dst at x", withDst, func(a *arguments) { a.dst = a.x.Data[:count] }, "dst", nil, fmt.Sprintf("slice of %d", count)},
		{"a short grad", withGrad, func(a *arguments) { a.grad = a.grad[:n-1] }, "len(grad)", nil, n - 1},
		{"a long grad", withGrad, func(a *arguments) { a.grad = conformance.Filled[float32](n + 1) }, "len(grad)", nil, n + 1},
		{"a nil grad", withGrad, func(a *arguments) { a.grad = nil }, "len(grad)", nil, 0},
		{"a grad that begins in x", withGrad, func(a *arguments) {
			both := make([]float32, n+1)
			a.x.Data, a.grad = both[:n], both[1:]
		}, "grad", nil, fmt.Sprintf("slice of %d", n)},
		{"a grad that ends in x", withGrad, func(a *arguments) {
			both := make([]float32, 2*n-1)
			a.x.Data, a.grad = both[n-1:], both[:n]
		}, "grad", nil, fmt.Sprintf("slice of %d", n)},
		{"dst in grad", `\.LossesGrad`, func(a *arguments) { a.dst = a.grad[n-count:] }, "dst", nil, fmt.Sprintf("slice of %d", count)},
		{"dst at grad", `\.LossesGrad`, func(a *arguments) { a.dst = a.grad[:count] }, "dst", nil, fmt.Sprintf("slice of %d", count)},
		{"a short upstream", withFactors, func(a *arguments) { a.factor = a.factor[1:] }, "len(upstream)", nil, count - 1},
		{"a long upstream", withFactors, func(a *arguments) { a.factor = append(a.factor, 1) }, "len(upstream)", nil, count + 1},
		{"a nil upstream", withFactors, func(a *arguments) { a.factor = nil }, "len(upstream)", nil, 0},
		{"upstream in grad", withFactors, func(a *arguments) { a.factor = a.grad[n-count:] }, "grad", nil, fmt.Sprintf("slice of %d", n)},
		{"upstream at grad", withFactors, func(a *arguments) { a.factor = a.grad[:count] }, "grad", nil, fmt.Sprintf("slice of %d", n)},
	}
}

// classMistakes are those of NLLLoss and CrossEntropyLoss.
func classMistakes() []mistake {
	return []mistake{
		{"a short Weight", everyMethod, func(a *arguments) { a.weight = make([]float32, 3) }, "len(Weight)", nil, 3},
		{"a long Weight", everyMethod, func(a *arguments) { a.weight = make([]float32, 5) }, "len(Weight)", nil, 5},
		{"an empty Weight", everyMethod, func(a *arguments) { a.weight = []float32{} }, "len(Weight)", nil, 0},
		{"dst in Weight", withDst, func(a *arguments) {
			both := make([]float32, 9)
			a.weight, a.dst = both[:4], both[3:]
		}, "dst", nil, "slice of 6"},
		{"grad in Weight", withGrad, func(a *arguments) { a.weight = a.grad[20:] }, "grad", nil, "slice of 24"},
		{"no classes", everyMethod, func(a *arguments) { a.x = trellis.Tensor[float32]{Shape: []int{2, 0, 3}} }, "x.Shape", []int{1}, 0},
		{"a shape with more positions than an int holds", everyMethod, func(a *arguments) {
			a.x = trellis.Tensor[float32]{Shape: []int{huge, 0, 4}}
		}, "x.Shape", nil, []int{huge, 0, 4}},
		{"no targets", withTargets, func(a *arguments) { a.targets = nil }, "len(targets)", nil, 0},
		{"a target missing", withTargets, func(a *arguments) { a.targets = a.targets[:5] }, "len(targets)", nil, 5},
		{"a target too many", withTargets, func(a *arguments) { a.targets = append(a.targets, 0) }, "len(targets)", nil, 7},
		{"a target above the classes", withTargets, func(a *arguments) { a.targets[4] = 4 }, "targets", []int{4}, 4},
		{"a negative target", withTargets, func(a *arguments) { a.targets[5] = -1 }, "targets", []int{5}, -1},
		{"a target of MaxInt", withTargets, func(a *arguments) { a.targets[0] = math.MaxInt }, "targets", []int{0}, math.MaxInt},
		{"−100 where another class is ignored", withTargets, func(a *arguments) { a.ignore = new(2) }, "targets", []int{2}, -100},
		{"negative smoothing", withSmoothing, func(a *arguments) { a.smoothing = -0.25 }, "LabelSmoothing", nil, float32(-0.25)},
		{"smoothing above 1", withSmoothing, func(a *arguments) { a.smoothing = 1.5 }, "LabelSmoothing", nil, float32(1.5)},
		{"NaN as smoothing", withSmoothing, func(a *arguments) { a.smoothing = float32(math.NaN()) }, "LabelSmoothing", nil, float32(math.NaN())},
		{"probabilities of another shape", withProbs, func(a *arguments) { a.target.Shape = []int{2, 3, 4} }, "target.Shape", nil, []int{2, 3, 4}},
		{"probabilities of another rank", withProbs, func(a *arguments) { a.target.Shape = []int{2, 12} }, "target.Shape", nil, []int{2, 12}},
		{"missing probabilities", withProbs, func(a *arguments) { a.target.Data = a.target.Data[1:] }, "target.Shape", nil, []int{2, 4, 3}},
		{"no probabilities", withProbs, func(a *arguments) { a.target = trellis.Tensor[float32]{} }, "target.Shape", nil, []int(nil)},
		{"a negative axis of probabilities", withProbs, func(a *arguments) { a.target.Shape = []int{2, 4, -3} }, "target.Shape", []int{2}, -3},
		{"probabilities whose shape overflows", withProbs, func(a *arguments) { a.target.Shape = []int{huge, huge} }, "target.Shape", nil, []int{huge, huge}},
		{"dst in the probabilities", `\.Losses(Grad)?Probs`, func(a *arguments) { a.dst = a.target.Data[3:9] }, "dst", nil, "slice of 6"},
		{"grad at the probabilities", `\.((Losses)?Grad|VJP)Probs`, func(a *arguments) { a.grad = a.target.Data }, "grad", nil, "slice of 24"},
	}
}

// ctcMistakes are those of CTCLoss.
func ctcMistakes() []mistake {
	return []mistake{
		{"unknown scores", everyMethod, func(a *arguments) { a.scores = 3 }, "Scores", nil, uint8(3)},
		{"an unknown gradient", everyMethod, func(a *arguments) { a.gradient = 2 }, "Gradient", nil, uint8(2)},
		{"a negative blank", everyMethod, func(a *arguments) { a.blank = -1 }, "Blank", nil, -1},
		{"a blank above the classes", everyMethod, func(a *arguments) { a.blank = 4 }, "Blank", nil, 4},
		{"no classes", everyMethod, func(a *arguments) { a.x = trellis.Tensor[float32]{Shape: []int{5, 3, 0}} }, "Blank", nil, 0},
		{"one axis", everyMethod, func(a *arguments) { a.x.Shape = []int{60} }, "x.Shape", nil, []int{60}},
		{"four axes", everyMethod, func(a *arguments) { a.x.Shape = []int{5, 3, 2, 2} }, "x.Shape", nil, []int{5, 3, 2, 2}},
		{"too many frames", everyMethod, func(a *arguments) {
			a.x = trellis.Tensor[float32]{Shape: []int{1<<26 + 1, 0, 3}}
		}, "x.Shape", nil, []int{1<<26 + 1, 0, 3}},
		{"a batch first that is not", everyMethod, func(a *arguments) { a.batchFirst = true }, "len(inputLengths)", nil, 3},
		{"no batch for three", everyMethod, func(a *arguments) { a.x.Shape = []int{15, 4} }, "len(inputLengths)", nil, 3},
		{"an input length missing", everyMethod, func(a *arguments) { a.inputs = a.inputs[:2] }, "len(inputLengths)", nil, 2},
		{"empty input lengths", everyMethod, func(a *arguments) { a.inputs = []int{} }, "len(inputLengths)", nil, 0},
		{"an input length too many", everyMethod, func(a *arguments) { a.inputs = append(a.inputs, 5) }, "len(inputLengths)", nil, 4},
		{"an input length above the frames", everyMethod, func(a *arguments) { a.inputs[1] = 6 }, "inputLengths", []int{1}, 6},
		{"a negative input length", everyMethod, func(a *arguments) { a.inputs[2] = -1 }, "inputLengths", []int{2}, -1},
		{"empty target lengths", everyMethod, func(a *arguments) { a.labels = []int{} }, "len(targetLengths)", nil, 0},
		{"padding without target lengths", everyMethod, func(a *arguments) { a.labels = nil }, "targets", []int{1, 0}, 0},
		{"no rows without target lengths", everyMethod, func(a *arguments) { a.labels, a.targets = nil, a.targets[:5] }, "len(targets)", nil, 5},
		{"a target length missing", everyMethod, func(a *arguments) { a.labels = a.labels[:2] }, "len(targetLengths)", nil, 2},
		{"a target length too many", everyMethod, func(a *arguments) { a.labels = append(a.labels, 0) }, "len(targetLengths)", nil, 4},
		{"a negative target length", everyMethod, func(a *arguments) { a.labels[1] = -2 }, "targetLengths", []int{1}, -2},
		{"target lengths that overflow", everyMethod, func(a *arguments) { a.labels = []int{math.MaxInt, math.MaxInt, 8} }, "targetLengths", []int{0}, math.MaxInt},
		{"a target length of MaxInt", everyMethod, func(a *arguments) { a.labels[2] = math.MaxInt }, "targetLengths", []int{2}, math.MaxInt},
		{"targets neither padded nor concatenated", everyMethod, func(a *arguments) { a.targets = a.targets[:5] }, "len(targets)", nil, 5},
		{"targets padded too short", everyMethod, func(a *arguments) { a.targets = a.targets[:3] }, "len(targets)", nil, 3},
		{"more labels than rows hold", everyMethod, func(a *arguments) { a.labels[0] = 3 }, "len(targets)", nil, 6},
		{"targets for an empty batch", everyMethod, func(a *arguments) {
			a.x, a.inputs, a.labels = trellis.Tensor[float32]{Shape: []int{5, 0, 4}}, nil, nil
		}, "len(targets)", nil, 6},
		{"no targets", everyMethod, func(a *arguments) { a.targets = nil }, "targetLengths", []int{0}, 2},
		{"the blank in a padded target", everyMethod, func(a *arguments) { a.targets[1] = 0 }, "targets", []int{0, 1}, 0},
		{"a label above the classes", everyMethod, func(a *arguments) { a.targets[4] = 4 }, "targets", []int{2, 0}, 4},
		{"a negative label", everyMethod, func(a *arguments) { a.targets[5] = -1 }, "targets", []int{2, 1}, -1},
		{"a label of MaxInt", everyMethod, func(a *arguments) { a.targets[0] = math.MaxInt }, "targets", []int{0, 0}, math.MaxInt},
		{"the blank in a concatenated target", everyMethod, func(a *arguments) { a.targets = []int{1, 2, 3, 0} }, "targets", []int{2, 1}, 0},
		{"another blank in a target", everyMethod, func(a *arguments) { a.blank = 3 }, "targets", []int{2, 0}, 3},
		{"a wrong label where no path is", everyMethod, func(a *arguments) { a.inputs[2] = 0; a.targets[5] = 9 }, "targets", []int{2, 1}, 9},
	}
}

func TestClassLossMistakes(t *testing.T) {
	requireMistakes(t, classArguments, classMethodsOf, append(commonMistakes([]int{2, 4, 3}, 6), classMistakes()...))
}

// A call of a few rows is checked in ways of its own.
func TestMistakesInFewRows(t *testing.T) {
	right := func() *arguments {
		a := classArguments()
		a.x.Shape, a.target.Shape, a.targets = []int{6, 4}, []int{6, 4}, []int{0, 3, 2, 1, 1, 2}
		return a
	}
	ofThreeAxes := regexp.MustCompile("negative ax|shape|rank|−100|missing probabilities|no classes")
	mistakes := slices.DeleteFunc(append(commonMistakes([]int{6, 4}, 6), classMistakes()...), func(m mistake) bool {
		return ofThreeAxes.MatchString(m.name)
	})
	require.Greater(t, len(mistakes), 30)
	requireMistakes(t, right, classMethodsOf, mistakes)
}

func TestCTCLossMistakes(t *testing.T) {
	requireMistakes(t, ctcArguments, ctcMethodsOf, append(commonMistakes([]int{5, 3, 4}, 3), ctcMistakes()...))
}

func TestCTCAlignerMistakes(t *testing.T) {
	mistakes := []mistake{
		{"negative workers", everyMethod, func(a *arguments) { a.workers = -1 }, "Workers", nil, -1},
		{"missing scores", everyMethod, func(a *arguments) { a.x.Data = a.x.Data[1:] }, "x.Shape", nil, []int{5, 3, 4}},
		{"a span missing", everyMethod, func(a *arguments) { a.spans = a.spans[:3] }, "len(spans)", nil, 3},
		{"a span too many", everyMethod, func(a *arguments) { a.spans = append(a.spans, trellis.Span{}) }, "len(spans)", nil, 5},
		{"no spans", everyMethod, func(a *arguments) { a.spans = nil }, "len(spans)", nil, 0},
		{"a score missing", everyMethod, func(a *arguments) { a.pathScores = a.pathScores[:2] }, "len(scores)", nil, 2},
		{"empty scores", everyMethod, func(a *arguments) { a.pathScores = []float64{} }, "len(scores)", nil, 0},
		{"a wildcard at +Inf", everyMethod, func(a *arguments) { a.anyScore = math.Inf(1) }, "AnyScore", nil, math.Inf(1)},
		{"a wildcard that counts as +Inf", everyMethod, func(a *arguments) { a.anyScore = 0x1p900 }, "AnyScore", nil, 0x1p900},
		{"a wildcard at NaN", everyMethod, func(a *arguments) { a.anyScore = math.NaN() }, "AnyScore", nil, math.NaN()},
		{"a label below AnyLabel", everyMethod, func(a *arguments) { a.targets[5] = -2 }, "targets", []int{2, 1}, -2},
		{"wildcards without target lengths", everyMethod, func(a *arguments) {
			a.targets, a.labels = []int{1, 2, 3, 1, -1, 2}, nil
		}, "targets", []int{2, 0}, -1},
	}
	for _, m := range ctcMistakes() {
		if m.argument != "Gradient" && m.name != "a negative label" {
			mistakes = append(mistakes, m)
		}
	}
	requireMistakes(t, ctcArguments, alignMethodsOf, mistakes)

	x := trellis.Tensor[float64]{Data: make([]float64, 8), Shape: []int{4, 2}}
	err := trellis.CTCAligner[float64]{}.Align(make([]trellis.Span, 1), x.Data[3:4], x, []int{1}, nil, nil)
	require.EqualError(t, err, "trellis: CTCAligner.Align: scores = slice of 1: overlaps x")
	require.Zero(t, x.Data[3])
	for name, change := range map[string]func(a *arguments){
		"no scores wanted": func(a *arguments) { a.pathScores = nil },
		"wildcards":        func(a *arguments) { a.targets[0], a.targets[5] = -1, -1 },
		"wildcards of one, without lengths": func(a *arguments) {
			a.x.Shape, a.targets, a.inputs, a.labels, a.pathScores = []int{15, 4}, []int{-1, 2, -1, 3}, nil, nil, a.pathScores[:1]
		},
		"a wildcard at −Inf": func(a *arguments) { a.anyScore = math.Inf(-1) },
	} {
		a := ctcArguments()
		change(a)
		require.NoError(t, alignMethodsOf(a)[0].call(), name)
	}
	a := ctcArguments()
	a.targets, a.labels = []int{1, 2, 3, 1, -1, 2}, nil
	require.EqualError(t, alignMethodsOf(a)[0].call(), "trellis: CTCAligner.Align: targets[2,0] = -1: label outside [0,4); padded targets need targetLengths, and so do several with AnyLabel")
}

// What looks like a mistake and is none.
func TestNoMistakes(t *testing.T) {
	for name, change := range map[string]func(a *arguments){
		"grad in place":                func(a *arguments) { a.grad = a.x.Data },
		"nil input lengths":            func(a *arguments) { a.inputs = nil },
		"concatenated targets":         func(a *arguments) { a.targets = []int{1, 2, 3, 3} },
		"long padding":                 func(a *arguments) { a.targets = []int{1, 2, -9, 77, 0, 0, 3, 3, 0} },
		"no labels, no targets":        func(a *arguments) { a.targets, a.labels = nil, []int{0, 0, 0} },
		"no labels, only padding":      func(a *arguments) { a.targets, a.labels = []int{-1, 9, 0}, []int{0, 0, 0} },
		"upstream that is x":           func(a *arguments) { a.factor = a.x.Data[:3] },
		"both ways that mean the same": func(a *arguments) { a.targets, a.labels = []int{1, 2, 3}, []int{1, 1, 1} },
	} {
		for i := range 5 {
			a := ctcArguments()
			change(a)
			m := ctcMethodsOf(a)[i]
			require.NoError(t, m.call(), "%s with %s", m.name, name)
		}
	}
}

func TestArgumentErrorText(t *testing.T) {
	err := &trellis.ArgumentError{Method: "CTCLoss.Grad", Argument: "targets", Index: []int{2, 17}, Value: 80, Reason: "label outside [0,80)"}
	require.EqualError(t, err, "trellis: CTCLoss.Grad: targets[2,17] = 80: label outside [0,80)")
	a := ctcArguments()
	a.targets[4] = 80
	require.EqualError(t, ctcMethodsOf(a)[2].call(), "trellis: CTCLoss.Grad: targets[2,0] = 80: label outside [0,4)")
	a = classArguments()
	a.grad = nil
	require.EqualError(t, classMethodsOf(a)[2].call(), "trellis: NLLLoss.Grad: len(grad) = 0: want 24, the length of x.Data")
	a = ctcArguments()
	a.x = trellis.Tensor[float32]{}
	require.EqualError(t, ctcMethodsOf(a)[0].call(), "trellis: CTCLoss.Loss: x.Shape = []: want (T,C), (T,N,C), or (N,T,C) with BatchFirst")
	a = ctcArguments()
	a.targets = nil
	require.EqualError(t, ctcMethodsOf(a)[1].call(), "trellis: CTCLoss.Losses: targetLengths[0] = 2: outside [0,0], as there are 0 targets")
}

// Scores with the classes last are a usual mistake, so errors name the axes.
func TestClassShapesInErrors(t *testing.T) {
	for _, e := range []struct {
		shape           []int
		targets, weight int
		want            string
	}{
		{[]int{2, 6, 5}, 12, 0, "len(targets) = 12: want 10, one for each position of axes 0 and 2 of x.Shape [2 6 5]: " +
			"axis 1 is the classes; for classes in the last axis give the same Data the Shape [12 5]"},
		{[]int{2, 6, 5}, 11, 0, "len(targets) = 11: want 10, one for each position of axes 0 and 2 of x.Shape [2 6 5]: axis 1 is the classes"},
		{[]int{2, 3, 4, 5}, 1, 0, "len(targets) = 1: want 40, one for each position of axes 0, 2 and 3 of x.Shape [2 3 4 5]: axis 1 is the classes"},
		{[]int{4, 3}, 3, 0, "len(targets) = 3: want 4, one for each position of axis 0 of x.Shape [4 3]: axis 1 is the classes"},
		{[]int{5}, 5, 0, "len(targets) = 5: want 1: x.Shape [5] is the classes of one position"},
		{[]int{2, 6, 5}, 12, 5, "len(Weight) = 5: want 6: axis 1 of x.Shape [2 6 5] is the classes"},
		{[]int{5}, 1, 4, "len(Weight) = 4: want 5: axis 0 of x.Shape [5] is the classes"},
	} {
		a := classArguments()
		a.x, a.targets = tensorOf(e.shape...), make([]int, e.targets)
		if e.weight > 0 {
			a.weight = make([]float32, e.weight)
		}
		for _, i := range []int{0, 4} { // the first method of each loss
			m := classMethodsOf(a)[i]
			require.EqualError(t, m.call(), "trellis: "+m.name+": "+e.want)
		}
	}
}

// requirePanic fails unless f panics with a text that begins with prefix.
func requirePanic(t *testing.T, prefix string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		text, isText := recover().(string)
		require.True(t, isText, "no panic with a text: %s", prefix)
		require.Regexp(t, "^"+regexp.QuoteMeta(prefix), text)
	}()
	f()
}

func TestRowFunctionsPanic(t *testing.T) {
	x, n := tensorOf(3, 4), 12
	short, exact, rows := conformance.Filled[float32](n-1), conformance.Filled[float32](n), conformance.Filled[float32](3)
	shapes := [][]int{nil, {}, {3, 5}, {-3, -4}, {huge, 4}, {huge, huge}}
	both := slices.Clone(x.Data)
	overlapping := trellis.Tensor[float32]{Data: both[1:9], Shape: []int{2, 4}}
	for name, f := range map[string]func(dst []float32, x trellis.Tensor[float32]){
		"LogSoftmax":     func(dst []float32, x trellis.Tensor[float32]) { trellis.LogSoftmax(dst, x.Data) },
		"Softmax":        func(dst []float32, x trellis.Tensor[float32]) { trellis.Softmax(dst, x.Data) },
		"LogSoftmaxRows": trellis.LogSoftmaxRows[float32],
		"SoftmaxRows":    trellis.SoftmaxRows[float32],
	} {
		requirePanic(t, "trellis: "+name+": ", func() { f(short, x) })
		requirePanic(t, "trellis: "+name+": ", func() { f(nil, x) })
		requirePanic(t, "trellis: "+name+": ", func() { f(both[0:8], overlapping) })
		requirePanic(t, "trellis: "+name+": ", func() { f(both[2:10], overlapping) })
	}
	for _, shape := range shapes {
		bad := trellis.Tensor[float32]{Data: x.Data, Shape: shape}
		requirePanic(t, "trellis: LogSoftmaxRows: ", func() { trellis.LogSoftmaxRows(exact, bad) })
		requirePanic(t, "trellis: SoftmaxRows: ", func() { trellis.SoftmaxRows(exact, bad) })
		requirePanic(t, "trellis: LogSumExpRows: ", func() { trellis.LogSumExpRows(rows, bad) })
		requirePanic(t, "trellis: GatherRows: ", func() { trellis.GatherRows(rows, bad, []int32{0, 0, 0}) })
	}
	for _, dst := range [][]float32{nil, short, exact, overlapping.Data[:2]} {
		requirePanic(t, "trellis: LogSumExpRows: ", func() { trellis.LogSumExpRows(dst, x) })
	}
	requirePanic(t, "trellis: LogSumExpRows: ", func() { trellis.LogSumExpRows(both[3:5], overlapping) })
	require.Equal(t, x.Data, both)
	require.Equal(t, conformance.Filled[float32](n), exact)
	require.Equal(t, conformance.Filled[float32](n-1), short)
	require.Equal(t, conformance.Filled[float32](3), rows)
}

// Panics give the numbers that differ.
func TestRowFunctionsPanicWithNumbers(t *testing.T) {
	x, three := tensorOf(2, 4), make([]float32, 3)
	shaped := func(shape ...int) trellis.Tensor[float32] { return trellis.Tensor[float32]{Data: x.Data, Shape: shape} }
	requirePanic(t, "trellis: LogSoftmax: len(dst) = 3, len(x) = 8", func() { trellis.LogSoftmax(three, x.Data) })
	requirePanic(t, "trellis: Softmax: len(dst) = 3, len(x) = 8", func() { trellis.Softmax(three, x.Data) })
	requirePanic(t, "trellis: Softmax: dst overlaps x without being x", func() { trellis.Softmax(x.Data[1:4], x.Data[:3]) })
	requirePanic(t, "trellis: Gather: len(dst) = 3, len(index) = 2", func() { trellis.Gather(three, x.Data, []int32{0, 1}) })
	requirePanic(t, "trellis: LogSumExpRows: len(dst) = 3, but x has 2 rows", func() { trellis.LogSumExpRows(three, x) })
	requirePanic(t, "trellis: LogSoftmaxRows: len(dst) = 3, len(x.Data) = 8", func() { trellis.LogSoftmaxRows(three, x) })
	requirePanic(t, "trellis: SoftmaxRows: x.Shape = [2 5]: needs 10 elements, Data has 8", func() { trellis.SoftmaxRows(x.Data, shaped(2, 5)) })
	requirePanic(t, "trellis: SoftmaxRows: x.Shape = []: want at least one axis", func() { trellis.SoftmaxRows(x.Data, shaped()) })
	requirePanic(t, "trellis: SoftmaxRows: x.Shape[1] = -4: negative axis", func() { trellis.SoftmaxRows(x.Data, shaped(2, -4)) })
	requirePanic(t, "trellis: GatherRows: len(dst) = 3, len(index) = 4", func() { trellis.GatherRows(three, x, make([]int32, 4)) })
	requirePanic(t, "trellis: GatherRows: len(index) = 3, not a multiple of the 2 rows of src", func() { trellis.GatherRows(three, x, make([]int32, 3)) })
}

func TestGatherPanics(t *testing.T) {
	src, dst := tensorOf(2, 3), conformance.Filled[float32](4)
	before := slices.Clone(src.Data)
	for _, index := range [][]int32{{0, 1, 2}, {0, 1, 2, 3, 4}, nil, {0, 1, 2, 6}, {0, 1, 2, -1}, {0, 1, 2, math.MinInt32}, {0, 0, 0, math.MaxInt32}} {
		requirePanic(t, "trellis: Gather: ", func() { trellis.Gather(dst, src.Data, index) })
	}
	for _, index := range [][]int32{{0, 1, 2}, {0, 1, 2, 0, 0}, nil, {0, 1, 2, 3}, {0, 1, 2, -1}, {0, 1, 2, math.MaxInt32}} {
		requirePanic(t, "trellis: GatherRows: ", func() { trellis.GatherRows(dst, src, index) })
	}
	requirePanic(t, "trellis: GatherRows: ", func() { trellis.GatherRows(dst[:3], src, []int32{0, 0, 0}) })
	requirePanic(t, "trellis: GatherRows: ", func() {
		trellis.GatherRows(dst, trellis.Tensor[float32]{Shape: []int{0, 3}}, []int32{0, 0, 0, 0})
	})
	requirePanic(t, "trellis: GatherRows: index out of range: index[2] = 3, outside [0,3)", func() { trellis.GatherRows(dst, src, []int32{0, 2, 3, -1}) })
	many := make([]int32, 10000) // several blocks of them
	many[9999] = math.MinInt32
	requirePanic(t, "trellis: Gather: index out of range: index[9999] = -2147483648, outside [0,6)", func() {
		trellis.Gather(make([]float32, len(many)), src.Data, many)
	})
	requirePanic(t, "trellis: Gather: index out of range: index[0] = 0, outside [0,0)", func() { trellis.Gather(dst[:1], nil, many[:1]) })
	requirePanic(t, "trellis: Gather: ", func() { trellis.Gather(src.Data[:2], src.Data, []int32{0, 1}) })
	requirePanic(t, "trellis: GatherRows: ", func() { trellis.GatherRows(src.Data[4:], src, []int32{0, 1}) })
	require.Equal(t, conformance.Filled[float32](4), dst)
	require.Equal(t, before, src.Data)
}

func TestArgumentErrorIsFoundThroughWrapping(t *testing.T) {
	_, err := trellis.CTCLoss[float64]{Blank: 5}.Loss(trellis.Tensor[float64]{Shape: []int{0, 3}}, nil, nil, []int{0})
	var argument *trellis.ArgumentError
	require.True(t, errors.As(fmt.Errorf("batch 7: %w", err), &argument))
	require.Equal(t, "Blank", argument.Argument)
}
