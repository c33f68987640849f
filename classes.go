package trellis

import (
	"fmt"
	"math"
	"strings"

	"github.com/gotrellis/trellis/internal/view"
)

// classTask is what NLLLoss and CrossEntropyLoss have in common: scores of shape (C),
// (N,C) or (N,C,d1,…,dk), one loss for each position (n,d1,…,dk), class weights, an
// ignored class, and the reductions. It is the state of one call. A loss sets options,
// then scores, targets and outputs, each of which may be refused, and then does the items
// of the layout.
type classTask[F Float] struct {
	classOptions[F]
	classLayout
	x       []F
	targets []int   // classes, one for each position; nil for class probabilities
	ignored int     // how many of them are left out
	total   float64 // what the mean divides by

	out      outputs[F]
	factor   float64 // of every loss in the reduced loss
	zeroGrad bool    // the gradient is 0, as nothing counts, and does not count as wanted
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

// isSimple reports whether x is rows of scores, no more than so many of so many classes, with a target for
// each, of which any class counts, and whether what is written fits.
func isSimple[F Float](out *outputs[F], x *Tensor[F], targets []int, ignore *int, rows, classes int) bool {
	if len(x.Shape) != 2 || x.Shape[0] != len(targets) || len(targets) > rows || uint(x.Shape[1]) > uint(classes) {
		return false
	}
	n := len(targets) * x.Shape[1]
	if n == 0 || n != len(x.Data) || uint(ignoreIndex(ignore)) < uint(x.Shape[1]) {
		return false
	}
	return out.fits(x.Data, len(targets))
}

// setScores sets x and its layout. It reports what is wrong with the options and with x.
func (t *classTask[F]) setScores(x *Tensor[F]) error {
	if err := checkOptions(t.method, t.reduction, t.workers); err != nil {
		return err
	}
	if len(x.Shape) == 0 {
		return &ArgumentError{t.method, "x.Shape", nil, []int{}, "want (C), (N,C) or (N,C,d1…dk)"}
	}
	if err := x.check(t.method, "x"); err != nil {
		return err
	}
	if err := t.classLayout.set(t.method, x.Shape); err != nil {
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
	first := 0
	if t.weight == nil {
		first = t.countClasses(targets)
	}
	classes, ignore, weight, ignored, total := uint(t.classes), t.ignore, t.weight, 0, 0.0
	for i := first; i < len(targets); i++ {
		switch y := targets[i]; {
		case y == ignore:
			ignored++
		case uint(y) >= classes:
			return t.classError(i, y)
		case weight != nil:
			total += float64(weight[y])
		}
	}
	if weight == nil {
		total = float64(len(targets) - ignored)
	}
	t.targets, t.ignored, t.total = targets, ignored, total
	return nil
}

// setUncheckedTargets does setTargets for targets of the right number, as if all of them were classes
// that count. There are no weights.
func (t *classTask[F]) setUncheckedTargets(targets, shape []int) error {
	if len(targets) != t.positions {
		return t.targetsError(len(targets), shape)
	}
	t.targets, t.total = targets, float64(len(targets))
	return nil
}

// classError reports that target i, y, is no class.
func (t *classTask[F]) classError(i, y int) error {
	return &ArgumentError{t.method, "targets", []int{i}, y, fmt.Sprintf("class outside [0,%d)", t.classes)}
}

// countClasses returns how many targets are surely classes that count, from the first one on.
func (t *classTask[F]) countClasses(targets []int) (n int) {
	if uint(t.ignore) < uint(t.classes) {
		return 0
	}
	for len(targets)-n >= 16 { // or the call would take longer
		some := targets[n:min(n+indexBlock, len(targets))]
		if otherTargets(some, t.classes) != 0 {
			break
		}
		n += len(some)
	}
	return n
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
	if rows, ok := view.Size(shape[:last]); ok && last > 1 && got == rows {
		reason += fmt.Sprintf("; for classes in the last axis give the same Data the Shape %v", []int{rows, shape[last]})
	}
	return &ArgumentError{t.method, "len(targets)", nil, got, reason}
}

// setPlain does setScores and checkOutputs, in less time, if nothing is wrong or empty, and reports
// whether it did. They would be most of a small call. It sets no order.
func (t *classTask[F]) setPlain(x *Tensor[F], out *outputs[F]) bool {
	shape, n := x.Shape, uint64(len(x.Data))
	if len(shape) < 2 || n == 0 || n > math.MaxInt32 || t.reduction > Sum || t.workers < 0 {
		return false
	}
	inner := uint64(1)
	for _, d := range shape[2:] {
		if inner *= uint64(d); uint64(d) > n || inner > n {
			return false
		}
	}
	samples, classes := uint64(shape[0]), uint64(shape[1])
	if samples > n || classes > n || samples*inner > n || samples*inner*classes != n {
		return false
	}
	t.samples, t.classes, t.inner, t.positions, t.x = int(samples), int(classes), int(inner), int(samples*inner), x.Data
	if t.weight != nil && len(t.weight) != t.classes {
		return false
	}
	return out.fits(x.Data, t.positions) &&
		!(out.wantLosses() && overlap(out.losses, t.weight)) && !(out.wantGrad() && overlap(out.grad, t.weight))
}

// checkOutputs reports destinations that do not fit, and those that would overwrite x, weights, or
// class probabilities, which may be nil.
func (t *classTask[F]) checkOutputs(out *outputs[F], probs []F) error {
	if err := out.check(t.method, t.x, t.positions, "position of x, which all axes but 1 count"); err != nil {
		return err
	}
	if err := t.checkApart(out.lossesName(), out.losses, probs); err != nil {
		return err
	}
	return t.checkApart("grad", out.grad, probs)
}

// setOutputs sets what is asked for.
func (t *classTask[F]) setOutputs(out *outputs[F]) {
	t.out = *out
	if out.want == reducedLoss {
		return
	}
	t.factor = 1
	if t.reduction == Mean {
		t.factor = 1 / t.total
	}
	if t.reduction == Mean && t.total == 0 { // and no such factor
		switch out.want {
		case lossAndGrad:
			t.out.want, t.zeroGrad = reducedLoss, true
		case lossesAndGrad:
			t.out.want, t.zeroGrad = allLosses, true
		}
	}
}

// checkApart reports a destination that overlaps weights or class probabilities.
func (t *classTask[F]) checkApart(name string, dst, probs []F) error {
	if err := checkApart(t.method, name, "Weight", dst, t.weight); err != nil {
		return err
	}
	return checkApart(t.method, name, "target", dst, probs)
}

// finish returns the reduced loss, given the sum of the losses.
func (t *classTask[F]) finish(sum float64) F {
	if t.zeroGrad {
		clear(t.out.grad)
	}
	switch {
	case t.reduction == Sum:
		return F(sum)
	case t.total == 0:
		return F(math.NaN())
	}
	return F(sum / t.total)
}

// sumOf adds the sums of items, in order, whoever computed them.
func sumOf(partial []float64) (sum float64) {
	for _, p := range partial {
		sum += p
	}
	return sum
}
