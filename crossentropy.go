package trellis

import (
	"fmt"
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/workspace"
)

// CrossEntropyLoss is the cross-entropy between a target and the softmax of the
// logits x, with the semantics of torch.nn.CrossEntropyLoss. The zero value is
// ready to use and has PyTorch's defaults. A value may be used concurrently; its
// methods allocate nothing once their workspaces are pooled, and give the same
// bits for any number of workers.
//
// The logits x have the shape (C), (N,C) or (N,C,d1,…,dk): axis 1 is the classes.
// There is one loss for each position (n,d1,…,dk), in row-major order. With
// p = softmax(x) over the classes of a position and ε = LabelSmoothing, the loss of a
// class target y is
//
//	−(1−ε)·Weight[y]·ln p[y] − ε/C · Σ Weight[c]·ln p[c],
//
// and 0 where y is IgnoreIndex; that of class probabilities y[c], which need not
// add up to 1, is
//
//	−Σ Weight[c] · ((1−ε)·y[c] + ε/C) · ln p[c].
//
// Class targets go with Loss, Losses, Grad and VJP, class probabilities with the
// methods whose names end in Probs. Near 0 the loss of a class target keeps its
// relative accuracy, in float32 to 2⁻²⁵ for each nat by which the target's logit
// leads and the rounding of a sum over the classes, which is some 2⁻²³, and 2⁻¹⁸
// where thousands of them have the same logit. A class at −Inf has probability 0,
// and gradient 0 unless the target puts something on it. A factor of 0 adds nothing to
// the loss even there: a class target of weight 0 gives 0, as its one-hot probabilities
// do. (In PyTorch it is NaN.) Logits with NaN or +Inf, or only −Inf, give NaN.
//
// Methods return an *ArgumentError, and write nothing, if the shape of x does not
// describe its data or has positions without classes or 2³¹ classes or more, if a
// length or shape does not fit it, if a target is out of range, if LabelSmoothing
// is outside [0,1], if Reduction or Workers has no meaning, or if a destination
// overlaps an argument (grad may be x.Data itself).
type CrossEntropyLoss[F Float] struct {
	// Weight has one factor for each class; nil means 1 for all.
	Weight []F
	// IgnoreIndex points to the class target that marks a position to be left
	// out: its loss and gradient are 0, and it does not count in the mean. It
	// may lie outside [0,C); nil means −100.
	IgnoreIndex *int
	// Reduction is that of Loss and Grad. For class targets Mean divides the
	// sum by the sum of the weights of the targets that count; if that is 0
	// the mean is NaN, and its gradient 0. For class probabilities it divides
	// by the number of positions.
	Reduction Reduction
	// Workers is the most goroutines that work on one call: 1 means none
	// beside the caller's, and 0 as many as the work is worth, up to GOMAXPROCS.
	Workers int
	// LabelSmoothing is ε above, from 0 to 1.
	LabelSmoothing F
}

// Loss returns the reduced loss of class targets, one for each position.
func (l CrossEntropyLoss[F]) Loss(x Tensor[F], targets []int) (F, error) {
	return l.runTargets("CrossEntropyLoss.Loss", &outputs[F]{}, &x, targets)
}

// Losses writes the loss of every position to dst: PyTorch's reduction "none". dst has one
// element for each target, in their order, and must not overlap x or Weight.
func (l CrossEntropyLoss[F]) Losses(dst []F, x Tensor[F], targets []int) error {
	_, err := l.runTargets("CrossEntropyLoss.Losses", &outputs[F]{want: allLosses, losses: dst}, &x, targets)
	return err
}

// Grad returns the reduced loss and writes its gradient with respect to the
// logits to grad, which has x's layout and may be x.Data.
func (l CrossEntropyLoss[F]) Grad(grad []F, x Tensor[F], targets []int) (F, error) {
	return l.runTargets("CrossEntropyLoss.Grad", &outputs[F]{want: lossAndGrad, grad: grad}, &x, targets)
}

// LossesGrad is Losses and Grad in one pass: it writes the loss of every position to losses,
// returns the reduced loss and writes its gradient to grad. losses has one element for each
// target and must not overlap x, Weight or grad; grad has x's layout and may be x.Data.
func (l CrossEntropyLoss[F]) LossesGrad(losses, grad []F, x Tensor[F], targets []int) (F, error) {
	return l.runTargets("CrossEntropyLoss.LossesGrad", &outputs[F]{want: lossesAndGrad, losses: losses, grad: grad}, &x, targets)
}

// VJP writes to grad the gradient with respect to the logits of
// Σ upstream[i]·loss[i], whatever Reduction is: the vector-Jacobian product of
// the losses. grad has x's layout and may be x.Data; upstream has one factor for
// each position and must not overlap grad.
func (l CrossEntropyLoss[F]) VJP(grad, upstream []F, x Tensor[F], targets []int) error {
	out := &outputs[F]{want: productVJP, grad: grad, upstream: upstream}
	_, err := l.runTargets("CrossEntropyLoss.VJP", out, &x, targets)
	return err
}

// LossProbs returns the reduced loss of class probabilities, a tensor of x's
// shape. IgnoreIndex does not apply.
func (l CrossEntropyLoss[F]) LossProbs(x, target Tensor[F]) (F, error) {
	return l.run("CrossEntropyLoss.LossProbs", &outputs[F]{}, x, nil, &target)
}

// LossesProbs writes the loss of every position to dst, which has one element for each, in
// row-major order, and must not overlap x, Weight or target. target has x's shape.
func (l CrossEntropyLoss[F]) LossesProbs(dst []F, x, target Tensor[F]) error {
	_, err := l.run("CrossEntropyLoss.LossesProbs", &outputs[F]{want: allLosses, losses: dst}, x, nil, &target)
	return err
}

// GradProbs returns the reduced loss of class probabilities and writes its
// gradient with respect to the logits to grad, which has x's layout and may be
// x.Data. target has x's shape and must not overlap grad.
func (l CrossEntropyLoss[F]) GradProbs(grad []F, x, target Tensor[F]) (F, error) {
	return l.run("CrossEntropyLoss.GradProbs", &outputs[F]{want: lossAndGrad, grad: grad}, x, nil, &target)
}

// LossesGradProbs is LossesProbs and GradProbs in one pass. losses has one element for each
// position and must not overlap x, Weight, target or grad.
func (l CrossEntropyLoss[F]) LossesGradProbs(losses, grad []F, x, target Tensor[F]) (F, error) {
	return l.run("CrossEntropyLoss.LossesGradProbs", &outputs[F]{want: lossesAndGrad, losses: losses, grad: grad}, x, nil, &target)
}

// VJPProbs writes to grad the gradient with respect to the logits of
// Σ upstream[i]·loss[i] for class probabilities, whatever Reduction is. grad has
// x's layout and may be x.Data; target has x's shape; upstream has one factor for each
// position. Neither may overlap grad.
func (l CrossEntropyLoss[F]) VJPProbs(grad, upstream []F, x, target Tensor[F]) error {
	out := &outputs[F]{want: productVJP, grad: grad, upstream: upstream}
	_, err := l.run("CrossEntropyLoss.VJPProbs", out, x, nil, &target)
	return err
}

// runTargets computes what out asks for, of class targets. What fewRows can do sets up no task.
func (l CrossEntropyLoss[F]) runTargets(method string, out *outputs[F], x *Tensor[F], targets []int) (F, error) {
	if l.Weight == nil && l.LabelSmoothing == 0 && l.Reduction <= Sum && l.Workers >= 0 &&
		isSimple(out, x, targets, l.IgnoreIndex, simpleRows, fewClasses) {
		if loss, isDone := fewRows(out, x, targets, l.Reduction); isDone {
			return loss, nil
		}
	}
	return l.run(method, out, *x, targets, nil)
}

// run computes what out asks for, of class probabilities unless probs is nil.
func (l CrossEntropyLoss[F]) run(method string, out *outputs[F], x Tensor[F], targets []int, probs *Tensor[F]) (F, error) {
	if !(l.LabelSmoothing >= 0 && l.LabelSmoothing <= 1) {
		return 0, &ArgumentError{method, "LabelSmoothing", nil, l.LabelSmoothing, "outside [0,1]"}
	}
	var c crossEntropyCall[F] // not from a pool: a small call would pay for that
	t := &c.crossEntropyTask
	t.method, t.weight, t.ignore = method, l.Weight, ignoreIndex(l.IgnoreIndex)
	t.reduction, t.workers = l.Reduction, l.Workers
	t.smoothing = float64(l.LabelSmoothing)
	isPlain := t.setPlain(&x, out)
	if isPlain {
		t.setOrder()
	} else if err := t.setScores(&x); err != nil {
		return 0, err
	}
	small := t.isSmall()
	var items, workers int
	if !small {
		t.probs = nil
		if probs != nil {
			t.probs = probs.Data // which the cost depends on
		}
		c.divide()
		items = t.items()
		workers = parallel.Workers(t.workers, items, c.cost())
	}
	// What writes nothing, and needs no total for what it writes, checks targets on the way.
	var err error
	isUnchecked := !small && workers == 1 && out.want == reducedLoss && probs == nil && t.weight == nil
	switch {
	case probs != nil:
		err = c.setProbs(*probs, x.Shape)
	case isUnchecked:
		err = t.setUncheckedTargets(targets, x.Shape)
	default:
		err = t.setTargets(targets, x.Shape)
	}
	if err != nil {
		return 0, err
	}
	if !isPlain || overlap(out.losses, t.probs) || overlap(out.grad, t.probs) {
		if err := t.checkOutputs(out, t.probs); err != nil {
			return 0, err
		}
	}
	t.setOutputs(out)
	if small {
		return t.finish(t.computeSmall()), nil
	}
	if items == 0 {
		return t.finish(0), nil
	}
	w := workspace.Take[crossEntropyItem[F], F](&crossEntropyItems)
	if t.hasSoft() {
		c.setUniform(workspace.Resize(w.uniform, t.classes))
		w.uniform = t.uniform
	}
	var sum float64
	if workers > 1 {
		sum = c.runParallel(workers)
	} else {
		w.start(t)
		for i := 0; i < items && w.bad < 0; i++ {
			w.next, w.goesOn = i+1, i+1 < items
			sum += w.compute(i)
		}
		if w.bad >= 0 {
			err = t.classError(w.bad, targets[w.bad])
		}
		if isUnchecked {
			t.total -= float64(w.ignored)
		}
	}
	w.release()
	if err != nil {
		return 0, err
	}
	return t.finish(sum), nil
}

// crossEntropyCall is one call of CrossEntropyLoss.
type crossEntropyCall[F Float] struct {
	crossEntropyTask[F]
	partial []float64 // the sum of the losses of each item, where several workers share them
	crew    int       // how many do
}

var crossEntropyCalls workspace.Pools

// setProbs sets class probabilities, and total: the number of positions. It reports
// probabilities of another shape than that of x, which is given.
func (c *crossEntropyCall[F]) setProbs(probs Tensor[F], shape []int) error {
	isLike := slices.Equal(probs.Shape, shape)
	if !isLike || len(probs.Data) != len(c.x) { // x has what its shape says
		if err := probs.check(c.method, "target"); err != nil {
			return err
		}
	}
	if !isLike {
		return &ArgumentError{c.method, "target.Shape", nil, clone(probs.Shape), fmt.Sprintf("want that of x, %v", clone(shape))}
	}
	c.probs, c.total = probs.Data, float64(c.positions)
	return nil
}

// divide makes items. It depends on the shape alone, and with it the order in which losses
// are added.
func (c *crossEntropyCall[F]) divide() {
	scores := c.classes * c.inner
	lanes := stridedPositions
	switch c.order {
	case contiguous:
		c.divideSamples(min(itemPositions, itemElements/c.classes))
	case fewScores:
		if scores > 0 { // whole vectors of samples, of 32 KiB of float32 in all
			lanes = max(lanes, min(itemPositions/c.inner, itemElements/2/scores)&^(lanes-1))
		}
		c.divideSamples(lanes)
	case fewPositions:
		c.divideSamples(1)
	case pairs:
		if c.inner > itemPositions {
			c.divideParts(itemPositions)
		} else {
			c.divideSamples(itemPositions / c.inner)
		}
	case strided:
		lanes = min(itemPositions, max(lanes, stridedElements/max(c.classes, 1)&^(lanes-1)))
		if c.inner > lanes {
			c.divideParts(lanes)
		} else {
			c.divideSamples(lanes / ((c.inner + stridedPositions - 1) &^ (stridedPositions - 1)))
		}
	}
}

// cost returns about how many nanoseconds the call takes.
func (c *crossEntropyCall[F]) cost() float64 {
	perScore := scoreCost() * float64(fp.Size[F]()) / 4
	if c.hasSoft() {
		perScore *= 2
	}
	return positionCost*float64(c.positions) + perScore*float64(len(c.x))
}

// runParallel does all items with several workers, and returns the sum of the losses.
func (c *crossEntropyCall[F]) runParallel(workers int) float64 {
	s := workspace.Take[crossEntropyCall[F], F](&crossEntropyCalls)
	partial := workspace.Resize(s.partial, c.items())
	*s = *c
	s.partial, s.crew = partial, workers
	parallel.Run(s, len(partial), workers)
	sum := sumOf(partial)
	*s = crossEntropyCall[F]{partial: partial}
	workspace.Give[F](&crossEntropyCalls, s)
	return sum
}

// Item does an item for runParallel.
func (c *crossEntropyCall[F]) Item(i int) {
	w := workspace.Take[crossEntropyItem[F], F](&crossEntropyItems)
	w.start(&c.crossEntropyTask)
	w.next = i + c.crew
	c.partial[i] = w.compute(i)
	w.release()
}
