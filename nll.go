package trellis

import (
	"math"
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/parallel"
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
	// Workers is the most goroutines that work on one call: 1 means none
	// beside the caller's, and 0 as many as the work is worth, up to GOMAXPROCS.
	Workers int
}

// Loss returns the reduced loss.
func (l NLLLoss[F]) Loss(x Tensor[F], targets []int) (F, error) {
	return l.run("NLLLoss.Loss", &outputs[F]{}, &x, targets)
}

// Losses writes the loss of every position to dst: PyTorch's reduction "none". dst has one
// element for each target, in their order, and must not overlap x or Weight.
func (l NLLLoss[F]) Losses(dst []F, x Tensor[F], targets []int) error {
	_, err := l.run("NLLLoss.Losses", &outputs[F]{want: allLosses, losses: dst}, &x, targets)
	return err
}

// Grad returns the reduced loss and writes its gradient with respect to x to
// grad, which has x's layout and may be x.Data: −Weight[target] at the target of
// each position, divided by the sum of the weights for the mean, and 0 elsewhere.
func (l NLLLoss[F]) Grad(grad []F, x Tensor[F], targets []int) (F, error) {
	return l.run("NLLLoss.Grad", &outputs[F]{want: lossAndGrad, grad: grad}, &x, targets)
}

// LossesGrad is Losses and Grad in one pass: it writes the loss of every position to losses,
// returns the reduced loss and writes its gradient to grad. losses has one element for each
// target and must not overlap x, Weight or grad; grad has x's layout and may be x.Data.
func (l NLLLoss[F]) LossesGrad(losses, grad []F, x Tensor[F], targets []int) (F, error) {
	return l.run("NLLLoss.LossesGrad", &outputs[F]{want: lossesAndGrad, losses: losses, grad: grad}, &x, targets)
}

// VJP writes to grad the gradient with respect to x of Σ upstream[i]·loss[i],
// whatever Reduction is: the vector-Jacobian product of the losses. grad has x's
// layout and may be x.Data; upstream has one factor for each position and must not overlap
// grad.
func (l NLLLoss[F]) VJP(grad, upstream []F, x Tensor[F], targets []int) error {
	_, err := l.run("NLLLoss.VJP", &outputs[F]{want: productVJP, grad: grad, upstream: upstream}, &x, targets)
	return err
}

func (l *NLLLoss[F]) run(method string, out *outputs[F], x *Tensor[F], targets []int) (F, error) {
	if loss, isDone := l.runFew(out, x, targets); isDone {
		return loss, nil
	}
	var t nllTask[F] // not from a pool: a small call would pay for that
	t.method, t.weight, t.ignore = method, l.Weight, ignoreIndex(l.IgnoreIndex)
	t.reduction, t.workers = l.Reduction, l.Workers
	isPlain := t.setPlain(x, out)
	if !isPlain {
		if err := t.setScores(x); err != nil {
			return 0, err
		}
	}
	workers := t.chooseWorkers(out)
	if out.want == reducedLoss && workers <= 1 { // to add up the losses checks the targets, and nothing is written
		if len(targets) != t.positions {
			return 0, t.targetsError(len(targets), x.Shape)
		}
		t.targets = targets
		sum, bad := t.addLosses()
		if bad >= 0 {
			return 0, t.classError(bad, targets[bad])
		}
		return t.finish(sum), nil
	}
	if err := t.setTargets(targets, x.Shape); err != nil {
		return 0, err
	}
	if !isPlain {
		if err := t.checkOutputs(out, nil); err != nil {
			return 0, err
		}
	}
	t.setOutputs(out)
	return t.finish(t.compute(workers)), nil
}

// runFew does a call of up to nllFew rows in which every target is a class that counts, and reports whether it is
// such a call. To set up a task would take longer than all the rest.
func (l *NLLLoss[F]) runFew(out *outputs[F], x *Tensor[F], targets []int) (loss F, isDone bool) {
	if l.Reduction > Sum || l.Workers < 0 || out.wantGrad() && len(x.Data) > nllClearScores ||
		!isSimple(out, x, targets, l.IgnoreIndex, nllFew, nllMostClasses) {
		return 0, false
	}
	var sums [4]float64
	classes, n, total := x.Shape[1], 0, float64(len(targets))
	if l.Weight == nil {
		n = addRows(&sums, x.Data, targets, classes)
	} else if total = 0; len(l.Weight) != classes || overlap(out.losses, l.Weight) || overlap(out.grad, l.Weight) {
		return 0, false
	}
	for j := n; j < len(targets); j++ {
		y := targets[j]
		if uint(y) >= uint(classes) {
			return 0, false
		}
		loss := -x.Data[j*classes+y]
		if l.Weight != nil {
			loss = weighted(loss, l.Weight[y])
			total += float64(l.Weight[y])
		}
		sums[j&3] += float64(loss)
	}
	sum, factor := (sums[0]+sums[1])+(sums[2]+sums[3]), 1.0
	if l.Reduction == Mean {
		if total == 0 {
			return 0, false
		}
		sum /= total
		factor = 1 / total
	}
	if out.wantLosses() {
		for j, y := range targets {
			out.losses[j] = -x.Data[j*classes+y]
			if l.Weight != nil {
				out.losses[j] = weighted(out.losses[j], l.Weight[y])
			}
		}
	}
	if out.wantGrad() {
		clear(out.grad)
		if l.Weight == nil && out.want != productVJP {
			for j, y := range targets {
				out.grad[j*classes+y] = F(-factor)
			}
			return F(sum), true
		}
		for j, y := range targets {
			weight := 1.0
			if l.Weight != nil {
				weight = float64(l.Weight[y])
			}
			out.grad[j*classes+y] = F(-weight * out.factor(j, factor))
		}
	}
	return F(sum), true
}

// nllTask is one call of NLLLoss. It goes through the positions in their order, once or twice.
type nllTask[F Float] struct {
	classTask[F]
	scores, losses, grad []F       // what the pass reads and, unless they are nil, writes
	partial              []float64 // the sum of the losses of each block, where several workers share them
	share                int       // scores that a worker clears at a time, where that is what is to do
	ahead                int       // rows whose gradient a pass clears before it writes there; 0 if it is cleared
}

var nllTasks workspace.Pools

// chooseWorkers returns how many workers shall do the call.
func (t *nllTask[F]) chooseWorkers(out *outputs[F]) int {
	items := (t.positions + nllBlock - 1) / nllBlock
	cost := float64(t.positions) * nllPositionCost
	if out.wantGrad() {
		items = max(items, len(t.x)/nllClearScores)
		cost += float64(len(t.x)*fp.Size[F]()) * clearByteCost
	}
	if items <= 1 {
		return 1
	}
	return parallel.Workers(t.workers, items, cost)
}

// compute writes what is asked for and returns the sum of the losses, if they are.
func (t *nllTask[F]) compute(workers int) (sum float64) {
	x, grad, losses := t.x, t.out.grad, t.out.losses
	switch {
	case !t.out.wantGrad():
		return t.pass(x, losses, nil, workers)
	case t.out.want == productVJP:
		t.clearGrad(workers)
		t.pass(nil, nil, grad, workers) // of no losses
		return 0
	case len(x) > 0 && &x[0] == &grad[0]:
		sum = t.pass(x, losses, nil, workers)
		t.clearGrad(workers)
		t.pass(nil, nil, grad, workers)
		return sum
	}
	t.clearGrad(workers)
	return t.pass(x, losses, grad, workers)
}

// clearGrad sets the gradient to 0, or leaves that to the pass.
func (t *nllTask[F]) clearGrad(workers int) {
	n := len(t.out.grad)
	if t.inner == 1 && n > 0 && n <= nllAheadScores {
		t.ahead = max(nllAhead/t.classes&^3, 4)
		return
	}
	if workers <= 1 {
		clear(t.out.grad)
		return
	}
	t.share = nllClearScores
	if most := (n + workers - 1) / workers; most >= streamBytes/fp.Size[F]() {
		t.share = most // so much is cleared past the caches, which takes half the time
	}
	t.runParallel((n+t.share-1)/t.share, workers)
	t.share = 0
}

// pass goes through all positions. It returns the sum of the losses.
func (t *nllTask[F]) pass(scores, losses, grad []F, workers int) (sum float64) {
	t.scores, t.losses, t.grad = scores, losses, grad
	if workers > 1 {
		return t.runParallel((t.positions+nllBlock-1)/nllBlock, workers)
	}
	var w nllWalk
	for w.start(&t.classLayout, 0); w.next < t.positions; {
		s, _ := t.block(&w)
		sum += s
	}
	return sum
}

// addLosses is pass where the targets have not been checked. It sets total, and returns
// the first target that is no class, or −1.
func (t *nllTask[F]) addLosses() (sum float64, bad int) {
	t.scores = t.x
	var w nllWalk
	for w.start(&t.classLayout, 0); w.next < t.positions; {
		s, bad := t.block(&w)
		if bad >= 0 {
			return 0, bad
		}
		sum += s
	}
	if t.total = w.total; t.weight == nil {
		t.total = float64(t.positions - w.ignored)
	}
	return sum, -1
}

// runParallel does items with several workers: parts of the gradient to be cleared, or blocks,
// of which it returns the sum of the losses.
func (t *nllTask[F]) runParallel(items, workers int) float64 {
	s := workspace.Take[nllTask[F], F](&nllTasks)
	partial := workspace.Resize(s.partial, items)
	*s = *t
	s.partial = partial
	parallel.Run(s, items, workers)
	sum := sumOf(partial)
	*s = nllTask[F]{partial: partial}
	workspace.Give[F](&nllTasks, s)
	return sum
}

// Item does one of them.
func (t *nllTask[F]) Item(i int) {
	if t.share > 0 {
		from := i * t.share
		clear(t.out.grad[from:min(from+t.share, len(t.out.grad))])
		return
	}
	var w nllWalk
	w.start(&t.classLayout, i*nllBlock)
	t.partial[i], _ = t.block(&w)
}

// nllWalk is how far one has come through the positions.
type nllWalk struct {
	next, score int        // a position, and where its score of class 0 is
	left        int        // positions of its sample from it on; of rows, rows
	sums        [4]float64 // of losses; they take turns, or each addition would wait for the one before
	total       float64    // of the weights
	ignored     int        // how many targets were left out
}

// start goes to a position.
func (w *nllWalk) start(l *classLayout, position int) {
	w.next, w.score, w.left = position, position*l.classes, l.positions
	if l.inner == 1 {
		return
	}
	sample, from := 0, 0
	if position > 0 { // or there may be none
		sample, from = position/l.inner, position%l.inner
	}
	w.score, w.left = sample*l.inner*l.classes+from, l.inner-from
}

// steps returns how far the score of a class is from that of the next position, and how much further
// it is if that is in another sample.
func (l *classLayout) steps() (next, further int) {
	if l.inner == 1 { // rows, which are one sample here
		return l.classes, 0
	}
	return 1, (l.classes - 1) * l.inner
}

// block goes through the next nllBlock positions, or what is left. It returns the sum of their
// losses, and the first target that is no class, or −1.
func (t *nllTask[F]) block(w *nllWalk) (sum float64, bad int) {
	end := min(w.next+nllBlock, t.positions)
	w.sums = [4]float64{}
	onlyClasses := uint(t.ignore) >= uint(t.classes)
	isPlain := onlyClasses && t.weight == nil && t.losses == nil && t.out.want != productVJP && t.scores != nil
	for w.next < end {
		stop := end
		if t.ahead > 0 && t.grad != nil {
			stop = min(w.next+t.ahead, end)
			clear(t.grad[w.next*t.classes : stop*t.classes])
		}
		if isPlain {
			t.plain(w, stop)
		}
		for w.next < stop {
			if onlyClasses && stop-w.next >= 4 {
				t.fours(w, stop)
			}
			if bad := t.few(w, min(w.next+4, stop)); bad >= 0 { // which are fewer than four, or one of four is no class or left out
				return 0, bad
			}
		}
	}
	return (w.sums[0] + w.sums[1]) + (w.sums[2] + w.sums[3]), -1
}

// few goes through the positions before end, at most four from the next one on. It returns the first target
// that is no class, or −1.
func (t *nllTask[F]) few(w *nllWalk, end int) (bad int) {
	step, further := t.steps()
	for ; w.next < end; w.next++ {
		var loss F
		p := w.next
		switch y := t.targets[p]; {
		case y == t.ignore:
			w.ignored++
		case uint(y) >= uint(t.classes):
			return p
		default:
			place, weight := w.score+y*t.inner, F(1)
			if t.weight != nil {
				weight = t.weight[y]
				w.total += float64(weight)
			}
			if t.scores != nil {
				loss = weighted(-t.scores[place], weight)
			}
			if t.grad != nil {
				t.grad[place] = F(-float64(weight) * t.out.factor(p, t.factor))
			}
		}
		w.sums[p&3] += float64(loss)
		if t.losses != nil {
			t.losses[p] = loss
		}
		w.score += step
		if w.left--; w.left == 0 {
			w.left = t.inner
			w.score += further
		}
	}
	return -1
}

// weighted returns loss·weight, and 0 where the weight is 0 even if the class is impossible.
func weighted[F Float](loss, weight F) F {
	if weight == 0 && loss == F(math.Inf(1)) {
		return 0
	}
	return loss * weight
}

// plain goes through positions before end up to one whose target is no class or left out, without weights, losses
// and upstream.
func (t *nllTask[F]) plain(w *nllWalk, end int) {
	if t.inner == 1 {
		n, targets, value := 0, t.targets[w.next:end], F(-t.factor)
		if t.grad == nil {
			n = addRows(&w.sums, t.scores[w.score:], targets, t.classes)
		} else {
			n = addAndSetRows(&w.sums, t.scores[w.score:], t.grad[w.score:], targets, t.classes, value)
		}
		w.next += n
		w.left -= n
		w.score += n * t.classes
	}
	if w.next < end {
		t.ones(w, end)
	}
}

// ones is plain for positions one by one.
func (t *nllTask[F]) ones(w *nllWalk, end int) {
	targets, scores, grad, classes, inner, value, sums := t.targets[:end], t.scores, t.grad, t.classes, t.inner, F(-t.factor), &w.sums
	step, further := t.steps()
	p, at, left := w.next, w.score, w.left
	for {
		if left == 0 {
			left = inner
			at += further
		}
		if p == end {
			break
		}
		stop := min(p+left, end)
		left -= stop - p
		for ; p < stop; p++ {
			y := targets[p]
			if uint(y) >= uint(classes) {
				w.next, w.score, w.left = p, at, left+stop-p
				return
			}
			i := at + y*inner
			sums[p&3] -= float64(scores[i])
			if grad != nil {
				grad[i] = value
			}
			at += step
		}
	}
	w.next, w.score, w.left = p, at, left
}

// addRows subtracts from sums the scores at the targets of rows of so many classes, four by four, up to
// a target that is no class, and returns how many.
//
// A target is read once and compared before it is used, so that no other memory is touched. The slices' own checks
// would take as long as all else.
func addRows[F Float](sums *[4]float64, scores []F, targets []int, classes int) (done int) {
	most, size := uint(classes), unsafe.Sizeof(F(0))
	_ = scores[:len(targets)*classes]
	pitch, offset := uintptr(classes)*size, uintptr(0)
	row, target := unsafe.Pointer(unsafe.SliceData(scores)), unsafe.Pointer(unsafe.SliceData(targets))
	s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
	for ; done+4 <= len(targets); done += 4 {
		y := (*[4]uint)(unsafe.Add(target, uintptr(done)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if y0 >= most || y1 >= most || y2 >= most || y3 >= most {
			break
		}
		s0 -= float64(*(*F)(unsafe.Add(row, offset+uintptr(y0)*size)))
		offset += pitch
		s1 -= float64(*(*F)(unsafe.Add(row, offset+uintptr(y1)*size)))
		offset += pitch
		s2 -= float64(*(*F)(unsafe.Add(row, offset+uintptr(y2)*size)))
		offset += pitch
		s3 -= float64(*(*F)(unsafe.Add(row, offset+uintptr(y3)*size)))
		offset += pitch
	}
	*sums = [4]float64{s0, s1, s2, s3}
	return done
}

// addAndSetRows is addRows, and sets the gradient at the targets to a value.
func addAndSetRows[F Float](sums *[4]float64, scores, grad []F, targets []int, classes int, value F) (done int) {
	most, size := uint(classes), unsafe.Sizeof(F(0))
	_ = scores[:len(targets)*classes]
	_ = grad[:len(targets)*classes]
	to := unsafe.Pointer(unsafe.SliceData(grad))
	pitch, offset := uintptr(classes)*size, uintptr(0)
	row, target := unsafe.Pointer(unsafe.SliceData(scores)), unsafe.Pointer(unsafe.SliceData(targets))
	s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
	for ; done+4 <= len(targets); done += 4 {
		y := (*[4]uint)(unsafe.Add(target, uintptr(done)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if y0 >= most || y1 >= most || y2 >= most || y3 >= most {
			break
		}
		at0 := offset + uintptr(y0)*size
		s0 -= float64(*(*F)(unsafe.Add(row, at0)))
		*(*F)(unsafe.Add(to, at0)) = value
		offset += pitch
		at1 := offset + uintptr(y1)*size
		s1 -= float64(*(*F)(unsafe.Add(row, at1)))
		*(*F)(unsafe.Add(to, at1)) = value
		offset += pitch
		at2 := offset + uintptr(y2)*size
		s2 -= float64(*(*F)(unsafe.Add(row, at2)))
		*(*F)(unsafe.Add(to, at2)) = value
		offset += pitch
		at3 := offset + uintptr(y3)*size
		s3 -= float64(*(*F)(unsafe.Add(row, at3)))
		*(*F)(unsafe.Add(to, at3)) = value
		offset += pitch
	}
	*sums = [4]float64{s0, s1, s2, s3}
	return done
}

// fours goes through positions before end by fours, as long as all of their targets are classes, of which none
// is left out.
//
// A target is read once and compared before it is used, so that no other memory than scores and grad is
// touched. The slices' own checks would take as long as all else.
func (t *nllTask[F]) fours(w *nllWalk, end int) {
	if t.scores != nil {
		_ = t.scores[:t.positions*t.classes]
	}
	if t.grad != nil {
		_ = t.grad[:t.positions*t.classes]
	}
	size, classes, value := unsafe.Sizeof(F(0)), uint(t.classes), F(-t.factor)
	targets := unsafe.Pointer(unsafe.SliceData(t.targets[:end]))
	scores, grad := unsafe.Pointer(unsafe.SliceData(t.scores)), unsafe.Pointer(unsafe.SliceData(t.grad))
	next, further := t.steps()
	step, stride, skip, inner := uintptr(next)*size, uintptr(t.inner)*size, uintptr(further)*size, t.inner
	weight, losses := t.weight, t.losses
	var upstream []F
	if t.out.want == productVJP {
		upstream = t.out.upstream
	}
	p, at, left := w.next, uintptr(w.score)*size, w.left
	s0, s1, s2, s3 := w.sums[p&3], w.sums[(p+1)&3], w.sums[(p+2)&3], w.sums[(p+3)&3]
	for ; p+4 <= end; p += 4 {
		y := (*[4]uint)(unsafe.Add(targets, uintptr(p)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if y0 >= classes || y1 >= classes || y2 >= classes || y3 >= classes {
			break
		}
		i0, i1, i2, i3 := at, at+step, at+2*step, at+3*step
		if left > 4 {
			at += 4 * step
			left -= 4
		} else {
			i1, left = stepOn(i0, left, step, skip, inner)
			i2, left = stepOn(i1, left, step, skip, inner)
			i3, left = stepOn(i2, left, step, skip, inner)
			at, left = stepOn(i3, left, step, skip, inner)
		}
		i0 += uintptr(y0) * stride
		i1 += uintptr(y1) * stride
		i2 += uintptr(y2) * stride
		i3 += uintptr(y3) * stride
		if scores != nil {
			l0 := -*(*F)(unsafe.Add(scores, i0))
			l1 := -*(*F)(unsafe.Add(scores, i1))
			l2 := -*(*F)(unsafe.Add(scores, i2))
			l3 := -*(*F)(unsafe.Add(scores, i3))
			if weight != nil {
				w0, w1, w2, w3 := weight[y0], weight[y1], weight[y2], weight[y3]
				l0, l1, l2, l3 = weighted(l0, w0), weighted(l1, w1), weighted(l2, w2), weighted(l3, w3)
				w.total = (((w.total + float64(w0)) + float64(w1)) + float64(w2)) + float64(w3)
			}
			s0 += float64(l0)
			s1 += float64(l1)
			s2 += float64(l2)
			s3 += float64(l3)
			if losses != nil {
				losses[p], losses[p+1], losses[p+2], losses[p+3] = l0, l1, l2, l3
			}
		}
		if grad == nil {
			continue
		}
		v0, v1, v2, v3 := value, value, value, value
		if upstream != nil {
			v0, v1, v2, v3 = -upstream[p], -upstream[p+1], -upstream[p+2], -upstream[p+3]
			if weight != nil {
				v0, v1, v2, v3 = v0*weight[y0], v1*weight[y1], v2*weight[y2], v3*weight[y3]
			}
		} else if weight != nil {
			v0, v1, v2, v3 = F(-float64(weight[y0])*t.factor), F(-float64(weight[y1])*t.factor), F(-float64(weight[y2])*t.factor), F(-float64(weight[y3])*t.factor)
		}
		*(*F)(unsafe.Add(grad, i0)) = v0
		*(*F)(unsafe.Add(grad, i1)) = v1
		*(*F)(unsafe.Add(grad, i2)) = v2
		*(*F)(unsafe.Add(grad, i3)) = v3
	}
	w.sums[p&3], w.sums[(p+1)&3], w.sums[(p+2)&3], w.sums[(p+3)&3] = s0, s1, s2, s3
	w.next, w.score, w.left = p, int(at/size), left
}

// stepOn returns where the next position's score is, and how many are left.
func stepOn(at uintptr, left int, step, skip uintptr, inner int) (uintptr, int) {
	left--
	if left == 0 {
		left = inner
		step += skip
	}
	return at + step, left
}
