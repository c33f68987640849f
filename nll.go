package trellis

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
// (N,C,d1,…,dk); there is one target and one loss for each position (n,d1,…,dk),
// in row-major order. A target is a class in [0,C) or IgnoreIndex.
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

// Losses writes the loss of every position to dst, in the order of the targets:
// PyTorch's reduction "none".
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
// layout and may be x.Data; upstream has one factor for each position.
func (l NLLLoss[F]) VJP(grad, upstream []F, x Tensor[F], targets []int) error {
	_, err := l.run("NLLLoss.VJP", outputs[F]{want: productVJP, grad: grad, upstream: upstream}, x, targets)
	return err
}

func (l NLLLoss[F]) run(method string, out outputs[F], x Tensor[F], targets []int) (F, error) {
	t := newClassTask(negativeLogLikelihood, method, l.Weight, l.IgnoreIndex, l.Reduction, l.Workers)
	defer t.release()
	return t.run(out, x, targets, Tensor[F]{})
}

// likelihoodItem computes the losses and gradients of an item and returns the
// sum of its losses.
func (t *classTask[F]) likelihoodItem(item int) (sum float64) {
	first, n, offset := t.span(item)
	for j := range n {
		y := t.targets[first+j]
		var loss, weight F
		at := t.at(offset, j)
		if y != t.ignore {
			weight = 1
			if t.weight != nil {
				weight = t.weight[y]
			}
			loss = -weight * t.x[at+y*t.inner]
		}
		sum += float64(loss)
		if t.out.want == allLosses {
			t.out.losses[first+j] = loss
		}
		if t.out.wantGrad() {
			t.clearClasses(at)
			if y != t.ignore {
				t.out.grad[at+y*t.inner] = F(-float64(weight) * t.out.factor(first+j, t.scale))
			}
		}
	}
	return sum
}

// at returns where class 0 of the position j of an item is.
func (t *classTask[F]) at(offset, j int) int {
	if t.inner == 1 {
		return offset + j*t.c
	}
	return offset + j
}

// clearClasses sets the gradient of one position to 0.
func (t *classTask[F]) clearClasses(at int) {
	if t.inner == 1 {
		clear(t.out.grad[at:][:t.c])
		return
	}
	for c := range t.c {
		t.out.grad[at+c*t.inner] = 0
	}
}
