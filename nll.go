package trellis

import (
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/workspace"
)

// NLLLoss is the negative log-likelihood loss of class targets,
//
//	loss[i] = −Weight[targets[i]] · x[i, targets[i]],
//
// with the semantics of torch.nn.NLLLoss. The zero value is ready to use and
// has PyTorch's defaults. A value may be used concurrently; its methods allocate
// nothing once their workspaces are pooled, and give the same bits for any
// number of workers.
//
// The scores x, log-probabilities as a rule, have the shape (C), (N,C) or
// (N,C,d1,…,dk): axis 1 is the classes. There is one target and one loss for each
// position (n,d1,…,dk), in row-major order. A target is a class in [0,C) or
// IgnoreIndex. Where the target has weight 0 and its score is −Inf, the loss is 0: a
// class that does not count may be impossible. (In PyTorch it is NaN.)
//
// Methods return an *ArgumentError, and write nothing, if the shape of x does not
// describe its data or has positions without classes or 2³¹ classes or more, if a
// length does not fit it, if a target is out of range, if Reduction or Workers has
// no meaning, or if a destination overlaps an argument (grad may be x.Data itself).
type NLLLoss[F Float] struct {
	// Weight has one factor for each class; nil means 1 for all.
	Weight []F
	// IgnoreIndex points to the target that marks a position to be left out:
	// its loss and gradient are 0, and it does not count in the mean. It may
	// lie outside [0,C); nil means −100.
	IgnoreIndex *int
	// Reduction is that of Loss and Grad. Mean divides the sum by the sum of
	// the weights of the targets that count; if that is 0 the mean is NaN, and
	// its gradient 0.
	Reduction Reduction
	// Workers is the most goroutines that work on one call: 0 means
	// GOMAXPROCS, 1 none beside the caller's.
	Workers int
}

// Loss returns the reduced loss.
func (l NLLLoss[F]) Loss(x Tensor[F], targets []int) (F, error) {
	return l.run("NLLLoss.Loss", outputs[F]{}, x, targets)
}

// Losses writes the loss of every position to dst: PyTorch's reduction "none". dst has one
// element for each target, in their order, and must not overlap x or Weight.
func (l NLLLoss[F]) Losses(dst []F, x Tensor[F], targets []int) error {
	_, err := l.run("NLLLoss.Losses", outputs[F]{want: allLosses, losses: dst}, x, targets)
	return err
}

// Grad returns the reduced loss and writes its gradient with respect to x to
// grad, which has x's layout and may be x.Data: −Weight[target] at the target of
// each position, divided by the sum of the weights for the mean, and 0 elsewhere.
func (l NLLLoss[F]) Grad(grad []F, x Tensor[F], targets []int) (F, error) {
	return l.run("NLLLoss.Grad", outputs[F]{want: lossAndGrad, grad: grad}, x, targets)
}

// VJP writes to grad the gradient with respect to x of Σ upstream[i]·loss[i],
// whatever Reduction is: the vector-Jacobian product of the losses. grad has x's
// layout and may be x.Data; upstream has one factor for each position and must not overlap
// grad.
func (l NLLLoss[F]) VJP(grad, upstream []F, x Tensor[F], targets []int) error {
	_, err := l.run("NLLLoss.VJP", outputs[F]{want: productVJP, grad: grad, upstream: upstream}, x, targets)
	return err
}

func (l NLLLoss[F]) run(method string, out outputs[F], x Tensor[F], targets []int) (F, error) {
	t := workspace.Take[nllTask[F], F](&nllTasks)
	defer t.release()
	t.classOptions = classOptions[F]{method, l.Weight, ignoreIndex(l.IgnoreIndex), l.Reduction, l.Workers}
	if err := t.setScores(x); err != nil {
		return 0, err
	}
	if err := t.setTargets(targets, x.Shape); err != nil {
		return 0, err
	}
	if err := t.setOutputs(out, nil); err != nil {
		return 0, err
	}
	return t.classTask.run(t), nil
}

// nllTask is one call of NLLLoss.
type nllTask[F Float] struct{ classTask[F] }

var nllTasks workspace.Pools

// release gives the task back without what it borrowed.
func (t *nllTask[F]) release() {
	*t = nllTask[F]{classTask[F]{partial: t.partial[:0]}}
	workspace.Give[F](&nllTasks, t)
}

// Item computes the losses and gradients of an item.
func (t *nllTask[F]) Item(i int) {
	p := t.span(i)
	t.partial[i] = t.sumLosses(p)
	if t.out.wantGrad() {
		t.writeGrad(p)
	}
}

// sumLosses returns the sum of the losses at some positions, and writes each of them if
// that is asked for.
func (t *nllTask[F]) sumLosses(p positionSpan) (sum float64) {
	at := p.offset // of class 0
	for j, y := range t.targets[p.first:][:p.count] {
		var loss F
		if y != t.ignore {
			loss = t.loss(y, t.x[at+y*t.classStride])
		}
		sum += float64(loss)
		if t.out.want == allLosses {
			t.out.losses[p.first+j] = loss
		}
		at += t.positionStride
	}
	return sum
}

// loss returns −Weight[y]·score.
func (t *nllTask[F]) loss(y int, score F) F {
	if t.weight == nil {
		return -score
	}
	weight := t.weight[y]
	if weight == 0 && score == fp.NegInf[F]() {
		return 0 // and not 0·∞
	}
	return -weight * score
}

// writeGrad writes the gradient at some positions. It does not read x, which may be
// where it writes.
func (t *nllTask[F]) writeGrad(p positionSpan) {
	grad := t.out.grad[p.offset:]
	clearSpan(&t.classLayout, grad, p.count)
	at := 0
	for j, y := range t.targets[p.first:][:p.count] {
		if y != t.ignore {
			weight := F(1)
			if t.weight != nil {
				weight = t.weight[y]
			}
			grad[at+y*t.classStride] = F(-float64(weight) * t.out.factor(p.first+j, t.factor))
		}
		at += t.positionStride
	}
}
