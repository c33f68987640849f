package trellis

import "math"

// CrossEntropyLoss is the cross-entropy between a target and the softmax of the
// logits x, with the semantics of torch.nn.CrossEntropyLoss. The zero value is
// ready to use and has PyTorch's defaults. A value may be used concurrently; its
// methods allocate nothing once their workspaces are pooled, and give the same
// bits for any number of workers.
//
// The logits have the shape (C), (N,C) or (N,C,d1,…,dk); there is one loss for
// each position (n,d1,…,dk), in row-major order. With p = softmax(x) over the
// classes of a position and ε = LabelSmoothing, the loss of a class target y is
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
// leads. A class at −Inf has probability 0, and gradient 0 unless the target puts
// something on it; in the sums over classes a factor of 0 adds nothing even there.
// Logits with NaN or +Inf, or only −Inf, give NaN.
//
// Methods return an *ArgumentError, and write nothing, if the shape of x does not
// describe its data, if a length or shape does not fit it, if a target is out of
// range, if LabelSmoothing is outside [0,1], or if a destination overlaps an
// argument (grad may be x.Data itself).
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
	// Workers is the most goroutines that work on one call: 0 means
	// GOMAXPROCS, 1 none beside the caller's.
	Workers int
	// LabelSmoothing is ε above, from 0 to 1.
	LabelSmoothing F
}

// Loss returns the reduced loss of class targets, one for each position.
func (l CrossEntropyLoss[F]) Loss(x Tensor[F], targets []int) (F, error) {
	return l.run(crossEntropy, "CrossEntropyLoss.Loss", outputs[F]{}, x, targets, Tensor[F]{})
}

// Losses writes the loss of every position to dst, in the order of the targets:
// PyTorch's reduction "none".
func (l CrossEntropyLoss[F]) Losses(dst []F, x Tensor[F], targets []int) error {
	_, err := l.run(crossEntropy, "CrossEntropyLoss.Losses", outputs[F]{want: allLosses, losses: dst}, x, targets, Tensor[F]{})
	return err
}

// Grad returns the reduced loss and writes its gradient with respect to the
// logits to grad, which has x's layout and may be x.Data.
func (l CrossEntropyLoss[F]) Grad(grad []F, x Tensor[F], targets []int) (F, error) {
	return l.run(crossEntropy, "CrossEntropyLoss.Grad", outputs[F]{want: lossAndGrad, grad: grad}, x, targets, Tensor[F]{})
}

// VJP writes to grad the gradient with respect to the logits of
// Σ upstream[i]·loss[i], whatever Reduction is: the vector-Jacobian product of
// the losses. grad has x's layout and may be x.Data; upstream has one factor for
// each position.
func (l CrossEntropyLoss[F]) VJP(grad, upstream []F, x Tensor[F], targets []int) error {
	out := outputs[F]{want: productVJP, grad: grad, upstream: upstream}
	_, err := l.run(crossEntropy, "CrossEntropyLoss.VJP", out, x, targets, Tensor[F]{})
	return err
}

// LossProbs returns the reduced loss of class probabilities, a tensor of x's
// shape. IgnoreIndex does not apply.
func (l CrossEntropyLoss[F]) LossProbs(x, target Tensor[F]) (F, error) {
	return l.run(crossEntropyProbs, "CrossEntropyLoss.LossProbs", outputs[F]{}, x, nil, target)
}

// LossesProbs writes the loss of every position to dst. target has x's shape.
func (l CrossEntropyLoss[F]) LossesProbs(dst []F, x, target Tensor[F]) error {
	_, err := l.run(crossEntropyProbs, "CrossEntropyLoss.LossesProbs", outputs[F]{want: allLosses, losses: dst}, x, nil, target)
	return err
}

// GradProbs returns the reduced loss of class probabilities and writes its
// gradient with respect to the logits to grad, which has x's layout and may be
// x.Data. target has x's shape and must not overlap grad.
func (l CrossEntropyLoss[F]) GradProbs(grad []F, x, target Tensor[F]) (F, error) {
	return l.run(crossEntropyProbs, "CrossEntropyLoss.GradProbs", outputs[F]{want: lossAndGrad, grad: grad}, x, nil, target)
}

// VJPProbs writes to grad the gradient with respect to the logits of
// Σ upstream[i]·loss[i] for class probabilities, whatever Reduction is. grad has
// x's layout and may be x.Data; target has x's shape and must not overlap grad.
func (l CrossEntropyLoss[F]) VJPProbs(grad, upstream []F, x, target Tensor[F]) error {
	out := outputs[F]{want: productVJP, grad: grad, upstream: upstream}
	_, err := l.run(crossEntropyProbs, "CrossEntropyLoss.VJPProbs", out, x, nil, target)
	return err
}

func (l CrossEntropyLoss[F]) run(kind classKind, method string, out outputs[F], x Tensor[F], targets []int, probs Tensor[F]) (F, error) {
	if !(l.LabelSmoothing >= 0 && l.LabelSmoothing <= 1) {
		return 0, &ArgumentError{method, "LabelSmoothing", nil, l.LabelSmoothing, "outside [0,1]"}
	}
	t := newClassTask(kind, method, l.Weight, l.IgnoreIndex, l.Reduction, l.Workers)
	defer t.release()
	t.smoothing = float64(l.LabelSmoothing)
	return t.run(out, x, targets, probs)
}

// statistics is what one reading of the logits tells of the positions of an
// item.
type statistics[F Float] struct {
	target  [positions]int32   // class, or −1 for none
	max     [positions]F       // largest logit
	top     [positions]int32   // its class
	sum     [positions]float64 // Σ exp(x−max) over the other classes
	hi, lo  [positions]F       // log-sum-exp in two parts: see logSumExp
	hard    [positions]float64 // −ln p[target]
	miss    [positions]float64 // 1 − p[target]
	soft    [positions]float64 // −Σ u[c]·ln p[c]; u is the soft target, see softTarget
	softSum [positions]float64 // Σ u[c]
	scale   [positions]F       // of the softmax in the gradient
}

// crossEntropyItem computes the losses and gradients of an item and returns the
// sum of its losses. A loss has a hard part, at the target, and a soft part, over
// all classes: probabilities, or what smoothing takes from the target.
func (t *classTask[F]) crossEntropyItem(item int) (sum float64) {
	var s statistics[F]
	first, n, offset := t.span(item)
	t.readTargets(&s, first, n)
	t.sumExp(&s, n, offset)
	for j := range n {
		t.logProbability(&s, j, t.at(offset, j))
	}
	isSoft := t.kind == crossEntropyProbs || t.smoothing > 0
	if isSoft {
		t.softLoss(&s, n, offset)
	}
	for j := range n {
		loss := t.combine(&s, j)
		sum += loss
		if t.out.want == allLosses {
			t.out.losses[first+j] = F(loss)
		}
	}
	if t.out.wantGrad() {
		t.crossEntropyGrad(&s, first, n, offset, isSoft)
	}
	return sum
}

// isIgnored reports whether a position is left out.
func (t *classTask[F]) isIgnored(s *statistics[F], j int) bool {
	return t.kind == crossEntropy && s.target[j] < 0
}

// readTargets sets the target of each position, −1 where there is none.
func (t *classTask[F]) readTargets(s *statistics[F], first, n int) {
	for j := range n {
		s.target[j] = -1
		if t.kind == crossEntropy && t.targets[first+j] != t.ignore {
			s.target[j] = int32(t.targets[first+j])
		}
	}
}

// sumExp sets max and sum.
func (t *classTask[F]) sumExp(s *statistics[F], n, offset int) {
	if t.inner == 1 {
		for j := range n {
			if !t.isIgnored(s, j) {
				s.max[j], s.sum[j] = sumExpRow(t.x[offset+j*t.c:][:t.c])
			}
		}
		return
	}
	maxStridedGeneric(s.max[:n], s.top[:n], t.x[offset:], t.inner, t.c)
	sumExpStridedGeneric(s.sum[:n], s.max[:n], t.x[offset:], t.inner, t.c, s.top[:n])
}

// logProbability sets hi, lo, hard and miss. Where the target is the largest
// logit, hard and miss come from the sum over the other classes, and are exact
// however small they are.
func (t *classTask[F]) logProbability(s *statistics[F], j, at int) {
	if t.isIgnored(s, j) {
		return
	}
	if !isFinite(s.max[j]) {
		s.hi[j], s.lo[j] = nan[F](), nan[F]()
		s.hard[j], s.miss[j], s.soft[j] = math.NaN(), math.NaN(), math.NaN()
		return
	}
	ln, total := log1p64(s.sum[j]), 1+s.sum[j]
	s.hi[j], s.lo[j] = addLog(s.max[j], ln)
	if s.target[j] < 0 {
		return
	}
	below := float64(s.max[j]) - float64(t.x[at+int(s.target[j])*t.inner])
	s.hard[j], s.miss[j] = ln+below, s.sum[j]/total
	if below > 0 {
		s.miss[j] = 1 - exp64(-below)/total
	}
}

// combine returns the loss of a position.
func (t *classTask[F]) combine(s *statistics[F], j int) float64 {
	if t.kind == crossEntropyProbs {
		return s.soft[j]
	}
	if s.target[j] < 0 {
		return 0
	}
	loss := float64(t.hardWeight(s, j) * s.hard[j])
	if t.smoothing > 0 {
		loss += s.soft[j]
	}
	return loss
}

// hardWeight returns the weight of the target of a position, less what smoothing
// takes from it; 0 without a target.
func (t *classTask[F]) hardWeight(s *statistics[F], j int) float64 {
	if s.target[j] < 0 {
		return 0
	}
	return float64((1 - t.smoothing) * float64(t.weightOf(int(s.target[j]))))
}

// softBlock is the number of classes whose soft targets are made at a time.
const softBlock = 512

// softTarget sets u[i] to Weight · ((1−ε)·probability + ε/C), the part of the
// target that is spread over classes: where classes are contiguous, of the
// classes from c on of one position, else of class c of neighbouring positions.
// Probabilities begin at the element at. Class targets leave only ε/C here.
func (t *classTask[F]) softTarget(u []F, c, at int) {
	keep, share := F(1-t.smoothing), F(t.smoothing/float64(t.c))
	for i := range u {
		u[i] = share
		if t.probs != nil {
			u[i] = fma(t.probs[at+i], keep, share)
		}
		if t.inner == 1 {
			u[i] *= t.weightOf(c + i)
		} else {
			u[i] *= t.weightOf(c)
		}
	}
}

// softLoss sets soft and softSum.
func (t *classTask[F]) softLoss(s *statistics[F], n, offset int) {
	var buffer [softBlock]F
	if t.inner == 1 {
		for j := range n {
			if !t.isIgnored(s, j) {
				t.softLossRow(s, j, t.at(offset, j), &buffer)
			}
		}
		return
	}
	u := buffer[:n]
	for c := range t.c {
		at := offset + c*t.inner
		t.softTarget(u, c, at)
		for j, w := range u {
			s.softSum[j] += float64(w)
			if w != 0 {
				s.soft[j] -= float64(w * ((t.x[at+j] - s.hi[j]) - s.lo[j]))
			}
		}
	}
}

// softLossRow sets soft and softSum of a position with contiguous classes.
func (t *classTask[F]) softLossRow(s *statistics[F], j, at int, buffer *[softBlock]F) {
	for c := 0; c < t.c; c += softBlock {
		u := buffer[:min(softBlock, t.c-c)]
		t.softTarget(u, c, at+c)
		for _, w := range u {
			s.softSum[j] += float64(w)
		}
		s.soft[j] -= float64(dotLogSoftmaxGeneric(u, t.x[at+c:][:len(u)], s.hi[j], s.lo[j]))
	}
}

// crossEntropyGrad writes g·((h+Σu)·p − u − h at the target) for every position,
// where g is its factor, h its hard weight and u its soft target.
func (t *classTask[F]) crossEntropyGrad(s *statistics[F], first, n, offset int, isSoft bool) {
	for j := range n {
		s.scale[j] = F(t.out.factor(first+j, t.scale) * (t.hardWeight(s, j) + s.softSum[j]))
	}
	if t.inner == 1 {
		for j := range n {
			if t.isIgnored(s, j) {
				continue
			}
			at := t.at(offset, j)
			softmaxGeneric(t.out.grad[at:][:t.c], t.x[at:][:t.c], s.hi[j], s.lo[j], s.scale[j])
		}
	} else {
		softmaxStridedGeneric(t.out.grad[offset:], t.x[offset:], t.inner, t.c, s.hi[:n], s.lo[:n], s.scale[:n])
	}
	if isSoft {
		t.subtractSoft(first, n, offset)
	}
	for j := range n {
		t.subtractHard(s, j, t.at(offset, j), t.out.factor(first+j, t.scale), isSoft)
	}
}

// subtractSoft subtracts g·u from the gradient.
func (t *classTask[F]) subtractSoft(first, n, offset int) {
	var buffer [softBlock]F
	if t.inner == 1 {
		for j := range n {
			at, g := t.at(offset, j), F(t.out.factor(first+j, t.scale))
			for c := 0; c < t.c; c += softBlock {
				u := buffer[:min(softBlock, t.c-c)]
				t.softTarget(u, c, at+c)
				subtractGeneric(t.out.grad[at+c:][:len(u)], u, g)
			}
		}
		return
	}
	u := buffer[:n]
	for c := range t.c {
		at := offset + c*t.inner
		t.softTarget(u, c, at)
		for j, w := range u {
			t.out.grad[at+j] -= F(w * F(t.out.factor(first+j, t.scale)))
		}
	}
}

// subtractHard finishes the gradient at the target of a position. Alone,
// without a soft part, it is g·h·(p−1), where 1−p is known better than from p.
func (t *classTask[F]) subtractHard(s *statistics[F], j, at int, g float64, isSoft bool) {
	switch y := at + int(s.target[j])*t.inner; {
	case t.isIgnored(s, j):
		t.clearClasses(at)
	case s.target[j] < 0:
	case isSoft:
		t.out.grad[y] -= F(g * t.hardWeight(s, j))
	default:
		t.out.grad[y] = F(-g * t.hardWeight(s, j) * s.miss[j])
	}
}
