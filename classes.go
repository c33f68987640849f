package trellis

import (
	"fmt"
	"math"
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/workspace"
)

// What NLLLoss and CrossEntropyLoss have in common: scores of shape (C), (N,C)
// or (N,C,d1…dk), one loss for each position (n, d1…dk), class weights, an
// ignored class, and the reductions.

// defaultIgnoreIndex is PyTorch's.
const defaultIgnoreIndex = -100

// classTask is the state of one call.
type classTask[F Float] struct {
	kind      classKind
	method    string // for errors
	reduction Reduction
	workers   int
	ignore    int
	smoothing float64

	x       []F
	targets []int // classes, one for each position
	probs   []F   // or class probabilities, in x's layout
	weight  []F   // of the classes, or nil
	c       int   // number of classes
	inner   int   // d1·…·dk, the distance between the classes of a position
	count   int   // number of positions
	perItem int   // positions of one item
	perRow  int   // items of one n; 0 if inner is 1 and items hold several n

	out     outputs[F]
	scale   float64   // of every loss in the gradient of the reduced loss
	partial []float64 // the sum of the losses of each item
}

type classKind uint8

const (
	negativeLogLikelihood classKind = iota
	crossEntropy
	crossEntropyProbs
)

var classTasks workspace.Pools

// newClassTask takes a task from the pool and sets what all methods have.
func newClassTask[F Float](kind classKind, method string, weight []F, ignore *int, r Reduction, workers int) *classTask[F] {
	t := workspace.Take[classTask[F], F](&classTasks)
	t.kind, t.method, t.reduction, t.workers = kind, method, r, workers
	t.weight, t.ignore = weight, defaultIgnoreIndex
	if ignore != nil {
		t.ignore = *ignore
	}
	return t
}

// release gives the task back without what it borrowed.
func (t *classTask[F]) release() {
	*t = classTask[F]{partial: t.partial[:0]}
	workspace.Give[F](&classTasks, t)
}

// run checks all arguments and then computes what out asks for. Either targets
// or probs is of use, according to the kind of the task.
func (t *classTask[F]) run(out outputs[F], x Tensor[F], targets []int, probs Tensor[F]) (F, error) {
	if err := t.check(x); err != nil {
		return 0, err
	}
	total, err := t.checkTargets(targets, x, probs)
	if err != nil {
		return 0, err
	}
	if err := out.check(t.method, t.x, t.count); err != nil {
		return 0, err
	}
	if err := t.checkShared(out); err != nil {
		return 0, err
	}
	t.out, t.scale = out, 1
	if t.reduction == Mean {
		t.scale = 1 / total
	}
	if total == 0 && t.reduction == Mean && out.want == lossAndGrad { // nothing counts
		clear(out.grad)
		return fp.NaN[F](), nil
	}
	t.partial = workspace.Resize(t.partial, t.items())
	parallel.Run(t, t.items(), t.workers)
	return F(t.reduce(total)), nil
}

// reduce adds the sums of all items, in order.
func (t *classTask[F]) reduce(total float64) float64 {
	var sum float64
	for _, p := range t.partial {
		sum += p
	}
	switch {
	case t.reduction == Sum:
		return sum
	case total == 0:
		return math.NaN()
	}
	return sum / total
}

// check reports what is wrong with the options and with x, and divides the
// positions into items.
func (t *classTask[F]) check(x Tensor[F]) error {
	if err := checkOptions(t.method, t.reduction, t.workers); err != nil {
		return err
	}
	if len(x.Shape) == 0 {
		return &ArgumentError{t.method, "x.Shape", nil, []int{}, "want (C), (N,C) or (N,C,d1…dk)"}
	}
	if err := x.check(t.method, "x"); err != nil {
		return err
	}
	t.x = x.Data
	axis := min(1, len(x.Shape)-1)
	t.c, t.inner, t.count = x.Shape[axis], 1, 1
	for _, d := range x.Shape[:axis] {
		t.count *= d
	}
	inner, ok := size(x.Shape[axis+1:])
	if t.count == 0 { // no positions, whatever the other axes
		inner, ok = 0, true
	}
	if !ok || inner > 0 && t.count > math.MaxInt/inner {
		return &ArgumentError{t.method, "x.Shape", nil, clone(x.Shape), "the product of the axes overflows an int"}
	}
	t.inner, t.count = inner, t.count*inner
	if t.c == 0 && t.count > 0 {
		return &ArgumentError{t.method, "x.Shape", []int{axis}, 0, "no classes"}
	}
	if t.c > math.MaxInt32 {
		return &ArgumentError{t.method, "x.Shape", []int{axis}, t.c, "more than 2³¹−1 classes"}
	}
	if t.weight != nil && len(t.weight) != t.c {
		return &ArgumentError{t.method, "len(Weight)", nil, len(t.weight), fmt.Sprintf("want %d, the number of classes", t.c)}
	}
	t.divide()
	return nil
}

// checkOptions reports fields that all losses have.
func checkOptions(method string, r Reduction, workers int) error {
	if r > Sum {
		return &ArgumentError{method, "Reduction", nil, uint8(r), "neither Mean nor Sum"}
	}
	if workers < 0 {
		return &ArgumentError{method, "Workers", nil, workers, "negative"}
	}
	return nil
}

// positions is the most positions of one item.
const positions = 128

// divide sets the items: some rows where the classes are contiguous, else
// some neighbouring positions of one n. It depends on the shape alone, and
// with it the order in which losses are added.
func (t *classTask[F]) divide() {
	if t.inner == 1 {
		t.perItem, t.perRow = min(positions, max(1, itemElements/max(t.c, 1))), 0
		return
	}
	t.perItem = min(positions, max(16, (1<<16)/max(t.c, 1)&^15)) // whole vectors
	t.perRow = (t.inner + t.perItem - 1) / t.perItem
}

// items returns the number of items.
func (t *classTask[F]) items() int {
	switch {
	case t.count == 0:
		return 0
	case t.inner == 1:
		return (t.count + t.perItem - 1) / t.perItem
	}
	return t.count / t.inner * t.perRow
}

// span returns the first position of an item, how many it has, and where class
// 0 of the first one is.
func (t *classTask[F]) span(i int) (first, n, offset int) {
	if t.inner == 1 {
		first = i * t.perItem
		return first, min(t.perItem, t.count-first), first * t.c
	}
	row, col := i/t.perRow, i%t.perRow*t.perItem
	return row*t.inner + col, min(t.perItem, t.inner-col), row*t.c*t.inner + col
}

// checkTargets reports targets that do not fit x or are out of range, and
// returns what the mean divides by: the sum of the weights of the classes that
// count, or the number of positions for class probabilities.
func (t *classTask[F]) checkTargets(targets []int, x, probs Tensor[F]) (total float64, err error) {
	if t.kind == crossEntropyProbs {
		return float64(t.count), t.checkProbs(x, probs)
	}
	if err := checkLen(t.method, "targets", len(targets), t.count); err != nil {
		return 0, err
	}
	for i, y := range targets {
		switch {
		case y == t.ignore:
		case y < 0 || y >= t.c:
			return 0, &ArgumentError{t.method, "targets", []int{i}, y, fmt.Sprintf("class outside [0,%d)", t.c)}
		case t.weight != nil:
			total += float64(t.weight[y])
		default:
			total++
		}
	}
	t.targets = targets
	return total, nil
}

// checkProbs reports class probabilities of another shape than x.
func (t *classTask[F]) checkProbs(x, probs Tensor[F]) error {
	if err := probs.check(t.method, "target"); err != nil {
		return err
	}
	if !slices.Equal(probs.Shape, x.Shape) {
		return &ArgumentError{t.method, "target.Shape", nil, clone(probs.Shape), fmt.Sprintf("want that of x, %v", clone(x.Shape))}
	}
	t.probs = probs.Data
	return nil
}

// checkShared reports destinations that would overwrite weights or targets.
func (t *classTask[F]) checkShared(out outputs[F]) error {
	for _, dst := range [...]struct {
		name string
		data []F
	}{{"dst", out.losses}, {"grad", out.grad}} {
		if err := checkApart(t.method, dst.name, "Weight", dst.data, t.weight); err != nil {
			return err
		}
		if err := checkApart(t.method, dst.name, "target", dst.data, t.probs); err != nil {
			return err
		}
	}
	return nil
}

// item does some neighbouring positions.
func (t *classTask[F]) Item(i int) {
	if t.kind == negativeLogLikelihood {
		t.partial[i] = t.likelihoodItem(i)
	} else {
		t.partial[i] = t.crossEntropyItem(i)
	}
}
