package trellis

import (
	"fmt"
	"math"
	"strings"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/workspace"
)

// classTask is what NLLLoss and CrossEntropyLoss have in common: scores of shape (C),
// (N,C) or (N,C,d1,…,dk), one loss for each position (n,d1,…,dk), class weights, an
// ignored class, and the reductions. It is the state of one call. A loss sets options,
// then scores, targets and outputs, each of which may be refused, and then runs the task
// that it makes of it.
type classTask[F Float] struct {
	classOptions[F]
	classLayout
	x       []F
	targets []int   // classes, one for each position; nil for class probabilities
	total   float64 // what the mean divides by

	out     outputs[F]
	factor  float64   // of every loss in the reduced loss
	partial []float64 // the sum of the losses of each item
}

// classOptions is the fields that both losses have, and the method that was called.
type classOptions[F Float] struct {
	method    string // for errors
	weight    []F    // of the classes, or nil
	ignore    int    // the target that marks a position to be left out
	reduction Reduction
	workers   int
}

// defaultIgnoreIndex is PyTorch's.
const defaultIgnoreIndex = -100

// ignoreIndex returns what the field IgnoreIndex means.
func ignoreIndex(field *int) int {
	if field == nil {
		return defaultIgnoreIndex
	}
	return *field
}

// setScores sets x and its layout. It reports what is wrong with the options and with x.
func (t *classTask[F]) setScores(x Tensor[F]) (err error) {
	if err := checkOptions(t.method, t.reduction, t.workers); err != nil {
		return err
	}
	if len(x.Shape) == 0 {
		return &ArgumentError{t.method, "x.Shape", nil, []int{}, "want (C), (N,C) or (N,C,d1…dk)"}
	}
	if err := x.check(t.method, "x"); err != nil {
		return err
	}
	if t.classLayout, err = newClassLayout(t.method, x.Shape); err != nil {
		return err
	}
	if t.weight != nil && len(t.weight) != t.classes {
		reason := fmt.Sprintf("want %d: axis %d of x.Shape %v is the classes", t.classes, min(1, len(x.Shape)-1), clone(x.Shape))
		return &ArgumentError{t.method, "len(Weight)", nil, len(t.weight), reason}
	}
	t.x = x.Data
	return nil
}

// setTargets sets class targets, and total: the sum of the weights of the classes that
// count. It reports targets that do not fit x, whose shape is given, or are out of range.
func (t *classTask[F]) setTargets(targets, shape []int) error {
	if len(targets) != t.positions {
		return t.targetsError(len(targets), shape)
	}
	var total float64
	for i, y := range targets {
		switch {
		case y == t.ignore:
		case y < 0 || y >= t.classes:
			return &ArgumentError{t.method, "targets", []int{i}, y, fmt.Sprintf("class outside [0,%d)", t.classes)}
		case t.weight != nil:
			total += float64(t.weight[y])
		default:
			total++
		}
	}
	t.targets, t.total = targets, total
	return nil
}

// targetsError reports a number of targets that is not that of the positions of x, and
// names the axes that make it. The usual mistake is scores of shape (N,T,C).
func (t *classTask[F]) targetsError(got int, shape []int) error {
	last, axes := len(shape)-1, "axis 0"
	for i := 2; i < last; i++ {
		axes += fmt.Sprintf(", %d", i)
	}
	switch {
	case last == 0:
		return &ArgumentError{t.method, "len(targets)", nil, got, fmt.Sprintf("want 1: x.Shape %v is the classes of one position", clone(shape))}
	case last > 1:
		axes = strings.Replace(axes, "axis", "axes", 1) + fmt.Sprintf(" and %d", last)
	}
	reason := fmt.Sprintf("want %d, one for each position of %s of x.Shape %v: axis 1 is the classes", t.positions, axes, clone(shape))
	if rows, ok := size(shape[:last]); ok && last > 1 && got == rows {
		reason += fmt.Sprintf("; for classes in the last axis give the same Data the Shape %v", []int{rows, shape[last]})
	}
	return &ArgumentError{t.method, "len(targets)", nil, got, reason}
}

// setOutputs sets what is asked for. It reports destinations that do not fit, and those
// that would overwrite x, weights, or class probabilities, which may be nil.
func (t *classTask[F]) setOutputs(out outputs[F], probs []F) error {
	if err := out.check(t.method, t.x, t.positions); err != nil {
		return err
	}
	dst, name := out.grad, "grad"
	if out.want == allLosses {
		dst, name = out.losses, "dst"
	}
	if err := checkApart(t.method, name, "Weight", dst, t.weight); err != nil {
		return err
	}
	if err := checkApart(t.method, name, "target", dst, probs); err != nil {
		return err
	}
	t.out, t.factor = out, 1
	if t.reduction == Mean {
		t.factor = 1 / t.total
	}
	return nil
}

// run does all items of task, whose classTask t is, and returns the reduced loss.
func (t *classTask[F]) run(task parallel.Task) F {
	if t.total == 0 && t.reduction == Mean && t.out.want == lossAndGrad { // nothing counts
		clear(t.out.grad)
		return fp.NaN[F]()
	}
	t.partial = workspace.Resize(t.partial, t.items())
	parallel.Run(task, t.items(), t.workers)
	var sum float64
	for _, p := range t.partial { // in order, whoever did them
		sum += p
	}
	switch {
	case t.reduction == Sum:
		return F(sum)
	case t.total == 0:
		return F(math.NaN())
	}
	return F(sum / t.total)
}
