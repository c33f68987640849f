package command

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/gotrellis/trellis"
)

//go:embed example.json
var exampleJSON []byte

// reference is what PyTorch gives for an example, in float64.
type reference struct {
	Loss float64
	Norm float64   // √Σ grad²
	Step int       // Grad holds every Step-th element
	Grad []float64 // of the input of the log-softmax
}

// limits are how far an element type may be from PyTorch in float64.
type limits struct{ loss, grad float64 } // relative, absolute

var promised = map[string]limits{
	"float32": {1e-6, 2e-6},
	"float64": {1e-10, 1e-11},
}

// example is one of PyTorch's documentation. Both functions return the loss and
// the gradient of the input of the log-softmax.
type example struct {
	key, title string
	in32       func() (float32, []float32, error)
	in64       func() (float64, []float64, error)
}

var examples = []example{
	{"nll", "NLLLoss N=3 C=5", exampleNLL[float32], exampleNLL[float64]},
	{"nll_images", "NLLLoss images N=5 C=4 8x8", exampleImages[float32], exampleImages[float64]},
	{"ctc_padded", "CTCLoss padded T=50 N=16 C=20", examplePadded[float32], examplePadded[float64]},
	{"ctc_concatenated", "CTCLoss concatenated T=50 N=16 C=20", exampleConcatenated[float32], exampleConcatenated[float64]},
	{"ctc_unbatched", "CTCLoss unbatched T=50 C=20", exampleUnbatched[float32], exampleUnbatched[float64]},
}

// runExamples prints how far every example is from PyTorch, and fails if one is
// too far.
func runExamples(out io.Writer) error {
	var references map[string]reference
	if err := json.Unmarshal(exampleJSON, &references); err != nil {
		return err
	}
	fmt.Fprint(out, "The examples of PyTorch's documentation, forward and backward through log-softmax,\nbeside PyTorch's float64:\n\n")
	lines := [][]string{{"example", "dtype", "loss", "PyTorch", "relative diff.", "gradient diff."}}
	var failed error
	for _, e := range examples {
		want := references[e.key]
		loss32, grad32, err32 := e.in32()
		line32, far32 := compareExample(e.title, loss32, grad32, want)
		loss64, grad64, err64 := e.in64()
		line64, far64 := compareExample(e.title, loss64, grad64, want)
		lines = append(lines, line32, line64)
		failed = errors.Join(failed, err32, far32, err64, far64)
	}
	if err := writeTable(out, 1, len(lines), func(n int) []string { return lines[n] }); err != nil {
		return err
	}
	if failed == nil {
		fmt.Fprint(out, "\nAll are within what is promised: float32 1e-6 and 2e-6, float64 1e-10 and 1e-11.\n")
	}
	return failed
}

// compareExample returns the cells of one line, and an error if the result is too
// far away.
func compareExample[F trellis.Float](title string, loss F, grad []F, want reference) ([]string, error) {
	dtype := fmt.Sprintf("%T", loss)
	relative := math.Abs(float64(loss)-want.Loss) / want.Loss
	largest, squares := 0.0, 0.0
	for i, g := range grad {
		squares += float64(g) * float64(g)
		if i%want.Step == 0 {
			largest = math.Max(largest, math.Abs(float64(g)-want.Grad[i/want.Step]))
		}
	}
	line := []string{
		title, dtype, fmt.Sprintf("%.12f", loss), fmt.Sprintf("%.12f", want.Loss),
		fmt.Sprintf("%.1e", relative), fmt.Sprintf("%.1e", largest),
	}
	limit := promised[dtype]
	// The norms of two gradients differ by no more than the norm of their
	// difference, which bounds the elements that the reference leaves out.
	norms := math.Abs(math.Sqrt(squares)-want.Norm) / math.Sqrt(float64(len(grad)))
	if relative <= limit.loss && largest <= limit.grad && norms <= limit.grad { // NaN is not
		return line, nil
	}
	return line, fmt.Errorf("%s, %s: loss off by %.1e, gradient by %.1e, its norm by %.1e", title, dtype, relative, largest, norms)
}

// generator is Knuth's MMIX generator. example.py makes the same numbers.
type generator uint64

func (g *generator) next() int {
	*g = *g*6364136223846793005 + 1442695040888963407
	return int(*g >> 40)
}

// below returns an integer in [low,high).
func (g *generator) below(low, high int) int { return low + g.next()%(high-low) }

func (g *generator) integers(low, high, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = g.below(low, high)
	}
	return out
}

// labels returns labels without repeats in a row, so that n of them fit n
// frames.
func (g *generator) labels(classes, n int) []int {
	out := []int{0}
	for len(out) <= n {
		if label := g.below(1, classes); label != out[len(out)-1] {
			out = append(out, label)
		}
	}
	return out[1:]
}

// scoresOf returns scores on a grid of 2⁻²² in [−2,2), exact in float32.
func scoresOf[F trellis.Float](g *generator, shape ...int) trellis.Tensor[F] {
	data := make([]F, product(shape))
	for i := range data {
		data[i] = F(g.next()-1<<23) / (1 << 22)
	}
	return trellis.Tensor[F]{Data: data, Shape: shape}
}

func exampleNLL[F trellis.Float]() (F, []F, error) {
	g := generator(1)
	return nllOfLogSoftmax(scoresOf[F](&g, 3, 5), []int{1, 0, 4})
}

func exampleImages[F trellis.Float]() (F, []F, error) {
	g := generator(2)
	x := scoresOf[F](&g, 5, 4, 8, 8)
	return nllOfLogSoftmax(x, g.integers(0, 4, 5*8*8))
}

func examplePadded[F trellis.Float]() (F, []F, error) {
	g := generator(3)
	x := scoresOf[F](&g, 50, 16, 20)
	targets := g.integers(1, 20, 16*30)
	return ctcOfLogSoftmax(x, targets, g.integers(10, 30, 16))
}

func exampleConcatenated[F trellis.Float]() (F, []F, error) {
	g := generator(4)
	x := scoresOf[F](&g, 50, 16, 20)
	lengths := g.integers(1, 50, 16)
	var targets []int
	for _, n := range lengths {
		targets = append(targets, g.labels(20, n)...)
	}
	return ctcOfLogSoftmax(x, targets, lengths)
}

func exampleUnbatched[F trellis.Float]() (F, []F, error) {
	g := generator(5)
	x := scoresOf[F](&g, 50, 20)
	targets := g.labels(20, g.below(1, 50))
	return ctcOfLogSoftmax(x, targets, []int{len(targets)})
}

func ctcOfLogSoftmax[F trellis.Float](x trellis.Tensor[F], targets, lengths []int) (F, []F, error) {
	grad := make([]F, len(x.Data))
	loss, err := trellis.CTCLoss[F]{Scores: trellis.Logits}.Grad(grad, x, targets, nil, lengths)
	return loss, grad, err
}

// nllOfLogSoftmax runs NLLLoss after a log-softmax over axis 1, and back.
func nllOfLogSoftmax[F trellis.Float](x trellis.Tensor[F], targets []int) (F, []F, error) {
	logProbs := trellis.Tensor[F]{Data: slices.Clone(x.Data), Shape: x.Shape}
	eachColumn(x.Shape, func(column []F, at func(int) int) {
		gather(column, logProbs.Data, at)
		trellis.LogSoftmax(column, column)
		scatter(logProbs.Data, column, at)
	})
	grad := make([]F, len(x.Data))
	loss, err := trellis.NLLLoss[F]{}.Grad(grad, logProbs, targets)
	eachColumn(x.Shape, func(column []F, at func(int) int) {
		gather(column, x.Data, at)
		trellis.Softmax(column, column)
		var sum F
		for c := range column {
			sum += grad[at(c)]
		}
		for c, p := range column {
			grad[at(c)] -= p * sum
		}
	})
	return loss, grad, err
}

// eachColumn calls f for every position of (N,C,d1,…,dk) with room for its C
// elements and the index of each.
func eachColumn[F trellis.Float](shape []int, f func(column []F, at func(int) int)) {
	classes, inner := shape[1], product(shape[2:])
	column := make([]F, classes)
	for position := range shape[0] * inner {
		first := position/inner*classes*inner + position%inner
		f(column, func(c int) int { return first + c*inner })
	}
}

func gather[F trellis.Float](dst, src []F, at func(int) int) {
	for i := range dst {
		dst[i] = src[at(i)]
	}
}

func scatter[F trellis.Float](dst, src []F, at func(int) int) {
	for i, v := range src {
		dst[at(i)] = v
	}
}
