package trellis

import (
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
	} else {
		if len(l.Weight) != classes || overlap(out.losses, l.Weight) || overlap(out.grad, l.Weight) {
			return 0, false
		}
		size := unsafe.Sizeof(F(0))
		total = 0
		n = addWeighted(&sums, &total, x.Data, targets, l.Weight, 0, uintptr(classes)*size, size)
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
	for w.next < t.positions {
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
	for w.next < t.positions {
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
	t.partial[i], _ = t.block(&nllWalk{next: i * nllBlock})
}

// nllWalk is how far one has come through the positions.
type nllWalk struct {
	next    int        // position, a multiple of four but at the end
	sums    [4]float64 // of losses; they take turns, or each addition would wait for the one before
	total   float64    // of the weights
	ignored int        // how many targets were left out
}

// block goes through the next nllBlock positions, or what is left. It returns the sum of their
// losses, and the first target that is no class, or −1.
func (t *nllTask[F]) block(w *nllWalk) (sum float64, bad int) {
	end := min(w.next+nllBlock, t.positions)
	w.sums = [4]float64{}
	onlyClasses := uint(t.ignore) >= uint(t.classes)
	var l nllPlaces
	l.set(&t.classLayout, fp.Size[F]())
	for w.next < end {
		stop := end
		if t.ahead > 0 && t.grad != nil {
			stop = min(w.next+t.ahead, end)
			clear(t.grad[w.next*t.classes : stop*t.classes])
		}
		for w.next < stop {
			if onlyClasses {
				t.fours(w, stop, &l)
			}
			if bad := t.few(w, min(w.next+4, stop)); bad >= 0 { // what stopped fours
				return 0, bad
			}
		}
	}
	return (w.sums[0] + w.sums[1]) + (w.sums[2] + w.sums[3]), -1
}

// few goes through the positions before end, at most four from the next one on. It returns the first target
// that is no class, or −1.
func (t *nllTask[F]) few(w *nllWalk, end int) (bad int) {
	for ; w.next < end; w.next++ {
		var loss F
		p := w.next
		switch y := t.targets[p]; {
		case y == t.ignore:
			w.ignored++
		case uint(y) >= uint(t.classes):
			return p
		default:
			place, weight := p*t.classes+y, F(1)
			if t.inner > 1 {
				place = (p/t.inner*t.classes+y)*t.inner + p%t.inner
			}
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
	}
	return -1
}

// weighted returns loss·weight, and 0 where the weight is 0 even if the class is impossible.
func weighted[F Float](loss, weight F) F {
	v := loss * weight
	if v != v && weight == 0 && loss > 0 { // 0·∞
		return 0
	}
	return v
}

// fours goes through positions before end by fours, as long as all of their targets are classes, of which none
// is left out, and they are in one run.
func (t *nllTask[F]) fours(w *nllWalk, end int, l *nllPlaces) {
	p, size, place, number := w.next, unsafe.Sizeof(F(0)), uintptr(0), 0
	switch {
	case l.period > 0:
		place, number = uintptr(p/l.period)*l.advance, p%l.period
	case t.inner == 1:
		place = uintptr(p) * l.pitch
	default:
		sample, from := p/t.inner, p%t.inner
		end = min(end, p+t.inner-from)
		place = uintptr(sample*t.classes*t.inner+from) * size
	}
	targets := t.targets[p:end]
	isPeriod, isAny := l.period > 0, t.out.want == productVJP || t.scores == nil
	switch {
	case len(targets) < 4:
	case isAny || isPeriod && (t.weight != nil || t.losses != nil):
		w.next += t.addAny(w, targets, l, place, number)
	case isPeriod && t.grad == nil:
		w.next += addPeriods(&w.sums, t.scores, targets, t.classes, l, place, number)
	case isPeriod:
		w.next += addAndSetPeriods(&w.sums, t.scores, t.grad, targets, t.classes, F(-t.factor), l, place, number)
	default:
		w.next += t.run(w, targets, place, l.pitch, l.stride)
	}
}

// run is fours for a run.
func (t *nllTask[F]) run(w *nllWalk, targets []int, place, pitch, stride uintptr) (done int) {
	switch {
	case t.weight != nil:
		done = addWeighted(&w.sums, &w.total, t.scores, targets, t.weight, place, pitch, stride)
		if t.grad != nil {
			setWeighted(t.grad, targets[:done], t.weight, t.factor, place, pitch, stride)
		}
	case t.grad != nil:
		done = addAndSetRun(&w.sums, t.scores, t.grad, targets, t.classes, F(-t.factor), place, pitch, stride)
	case t.inner == 1:
		done = addRows(&w.sums, t.scores[w.next*t.classes:], targets, t.classes)
	default:
		done = addRun(&w.sums, t.scores, targets, t.classes, place, pitch, stride)
	}
	if t.losses != nil {
		writeLosses(t.losses[w.next:][:done], t.scores, targets, t.weight, place, pitch, stride)
	}
	return done
}

// nllPlaces tells how far apart, in bytes, scores are: of a class and the next one, stride, and of positions
// in a run, which is rows or the positions of a sample, pitch. If samples have only a few positions, some whole
// samples are a period, and periods a run.
type nllPlaces struct {
	stride, pitch uintptr
	period        int                // of so many positions, a multiple of four, or 0 for none
	offsets       [nllPeriod]uintptr // of their scores from the first, which is the first of a sample
	advance       uintptr            // from a period to the next
}

func (l *nllPlaces) set(layout *classLayout, size int) {
	if layout.inner == 1 {
		l.stride, l.pitch = uintptr(size), uintptr(layout.classes*size)
		return
	}
	l.stride, l.pitch = uintptr(layout.inner*size), uintptr(size)
	period := layout.inner
	for period&3 != 0 {
		period += layout.inner
	}
	if period > nllPeriod {
		return
	}
	sample, first, from := layout.inner*layout.classes, 0, 0
	l.period, l.advance = period, uintptr(period/layout.inner*sample*size)
	for i := range period {
		l.offsets[i] = uintptr((first + from) * size)
		if from++; from == layout.inner {
			first, from = first+sample, 0
		}
	}
}

// The following go through positions by fours, from a place on, up to four of which one has a target that is no
// class, and return how many positions that was. A target is read once and compared before it is used, so that
// no other memory than the scores is touched. The slices' own checks would take as long as all else.

// addRows subtracts from sums the scores at the targets of rows. It is addRun without a product for each of them.
func addRows[F Float](sums *[4]float64, scores []F, targets []int, classes int) (done int) {
	most, size := uint(classes), unsafe.Sizeof(F(0))
	pitch, place := uintptr(classes)*size, uintptr(0)
	from, target := unsafe.Pointer(unsafe.SliceData(scores)), unsafe.Pointer(unsafe.SliceData(targets))
	s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
	for ; done+4 <= len(targets); done += 4 {
		y := (*[4]uint)(unsafe.Add(target, uintptr(done)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if y0 >= most || y1 >= most || y2 >= most || y3 >= most {
			break
		}
		s0 -= float64(*(*F)(unsafe.Add(from, place+uintptr(y0)*size)))
		place += pitch
		s1 -= float64(*(*F)(unsafe.Add(from, place+uintptr(y1)*size)))
		place += pitch
		s2 -= float64(*(*F)(unsafe.Add(from, place+uintptr(y2)*size)))
		place += pitch
		s3 -= float64(*(*F)(unsafe.Add(from, place+uintptr(y3)*size)))
		place += pitch
	}
	*sums = [4]float64{s0, s1, s2, s3}
	return done
}

// addRun subtracts from sums the scores at the targets of a run.
func addRun[F Float](sums *[4]float64, scores []F, targets []int, classes int, place, pitch, stride uintptr) (done int) {
	most, from, target := uint(classes), unsafe.Pointer(unsafe.SliceData(scores)), unsafe.Pointer(unsafe.SliceData(targets))
	s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
	for ; done+4 <= len(targets); done += 4 {
		y := (*[4]uint)(unsafe.Add(target, uintptr(done)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if y0 >= most || y1 >= most || y2 >= most || y3 >= most {
			break
		}
		s0 -= float64(*(*F)(unsafe.Add(from, place+uintptr(y0)*stride)))
		place += pitch
		s1 -= float64(*(*F)(unsafe.Add(from, place+uintptr(y1)*stride)))
		place += pitch
		s2 -= float64(*(*F)(unsafe.Add(from, place+uintptr(y2)*stride)))
		place += pitch
		s3 -= float64(*(*F)(unsafe.Add(from, place+uintptr(y3)*stride)))
		place += pitch
	}
	*sums = [4]float64{s0, s1, s2, s3}
	return done
}

// addAndSetRun is addRun, and sets the gradient at the targets to a value.
func addAndSetRun[F Float](sums *[4]float64, scores, grad []F, targets []int, classes int, value F, place, pitch, stride uintptr) (done int) {
	_ = grad[:len(scores)]
	from, to := unsafe.Pointer(unsafe.SliceData(scores)), unsafe.Pointer(unsafe.SliceData(grad))
	most, target := uint(classes), unsafe.Pointer(unsafe.SliceData(targets))
	s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
	for ; done+4 <= len(targets); done += 4 {
		y := (*[4]uint)(unsafe.Add(target, uintptr(done)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if y0 >= most || y1 >= most || y2 >= most || y3 >= most {
			break
		}
		i0 := place + uintptr(y0)*stride
		s0 -= float64(*(*F)(unsafe.Add(from, i0)))
		*(*F)(unsafe.Add(to, i0)) = value
		place += pitch
		i1 := place + uintptr(y1)*stride
		s1 -= float64(*(*F)(unsafe.Add(from, i1)))
		*(*F)(unsafe.Add(to, i1)) = value
		place += pitch
		i2 := place + uintptr(y2)*stride
		s2 -= float64(*(*F)(unsafe.Add(from, i2)))
		*(*F)(unsafe.Add(to, i2)) = value
		place += pitch
		i3 := place + uintptr(y3)*stride
		s3 -= float64(*(*F)(unsafe.Add(from, i3)))
		*(*F)(unsafe.Add(to, i3)) = value
		place += pitch
	}
	*sums = [4]float64{s0, s1, s2, s3}
	return done
}

// addWeighted adds the weighted losses of a run to sums, and the weights to total.
func addWeighted[F Float](sums *[4]float64, total *float64, scores []F, targets []int, weight []F, place, pitch, stride uintptr) (done int) {
	from, target := unsafe.Pointer(unsafe.SliceData(scores)), unsafe.Pointer(unsafe.SliceData(targets))
	all, s0, s1, s2, s3 := *total, sums[0], sums[1], sums[2], sums[3]
	for ; done+4 <= len(targets); done += 4 {
		y := (*[4]uint)(unsafe.Add(target, uintptr(done)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if most := uint(len(weight)); y0 >= most || y1 >= most || y2 >= most || y3 >= most {
			break
		}
		w0, w1, w2, w3 := weight[y0], weight[y1], weight[y2], weight[y3]
		all = (((all + float64(w0)) + float64(w1)) + float64(w2)) + float64(w3)
		s0 += float64(weighted(-*(*F)(unsafe.Add(from, place+uintptr(y0)*stride)), w0))
		place += pitch
		s1 += float64(weighted(-*(*F)(unsafe.Add(from, place+uintptr(y1)*stride)), w1))
		place += pitch
		s2 += float64(weighted(-*(*F)(unsafe.Add(from, place+uintptr(y2)*stride)), w2))
		place += pitch
		s3 += float64(weighted(-*(*F)(unsafe.Add(from, place+uintptr(y3)*stride)), w3))
		place += pitch
	}
	*total, *sums = all, [4]float64{s0, s1, s2, s3}
	return done
}

// setWeighted sets the gradient at the targets of a run, all of them classes.
func setWeighted[F Float](grad []F, targets []int, weight []F, factor float64, place, pitch, stride uintptr) {
	to := unsafe.Pointer(unsafe.SliceData(grad))
	for _, y := range targets {
		*(*F)(unsafe.Add(to, place+uintptr(y)*stride)) = F(-float64(weight[y]) * factor)
		place += pitch
	}
}

// writeLosses writes the losses of a run, of which all targets are classes.
func writeLosses[F Float](losses, scores []F, targets []int, weight []F, place, pitch, stride uintptr) {
	from := unsafe.Pointer(unsafe.SliceData(scores))
	targets = targets[:len(losses)]
	if weight == nil {
		for i, y := range targets {
			losses[i] = -*(*F)(unsafe.Add(from, place+uintptr(y)*stride))
			place += pitch
		}
		return
	}
	for i, y := range targets {
		losses[i] = weighted(-*(*F)(unsafe.Add(from, place+uintptr(y)*stride)), weight[y])
		place += pitch
	}
}

// addPeriods is addRun for periods, from the position of a number on.
func addPeriods[F Float](sums *[4]float64, scores []F, targets []int, classes int, l *nllPlaces, place uintptr, number int) (done int) {
	offsets, period, advance := unsafe.Pointer(&l.offsets), l.period, l.advance
	most, stride, from, target := uint(classes), l.stride, unsafe.Pointer(unsafe.SliceData(scores)), unsafe.Pointer(unsafe.SliceData(targets))
	s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
	for ; done+4 <= len(targets); done += 4 {
		y := (*[4]uint)(unsafe.Add(target, uintptr(done)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if y0 >= most || y1 >= most || y2 >= most || y3 >= most {
			break
		}
		o := (*[4]uintptr)(unsafe.Add(offsets, uintptr(number)*unsafe.Sizeof(uintptr(0))))
		s0 -= float64(*(*F)(unsafe.Add(from, place+o[0]+uintptr(y0)*stride)))
		s1 -= float64(*(*F)(unsafe.Add(from, place+o[1]+uintptr(y1)*stride)))
		s2 -= float64(*(*F)(unsafe.Add(from, place+o[2]+uintptr(y2)*stride)))
		s3 -= float64(*(*F)(unsafe.Add(from, place+o[3]+uintptr(y3)*stride)))
		if number += 4; number == period {
			place, number = place+advance, 0
		}
	}
	*sums = [4]float64{s0, s1, s2, s3}
	return done
}

// addAndSetPeriods is addAndSetRun for periods.
func addAndSetPeriods[F Float](sums *[4]float64, scores, grad []F, targets []int, classes int, value F, l *nllPlaces, place uintptr, number int) (done int) {
	offsets, period, advance := unsafe.Pointer(&l.offsets), l.period, l.advance
	_ = grad[:len(scores)]
	most, stride, target := uint(classes), l.stride, unsafe.Pointer(unsafe.SliceData(targets))
	from, to := unsafe.Pointer(unsafe.SliceData(scores)), unsafe.Pointer(unsafe.SliceData(grad))
	s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
	for ; done+4 <= len(targets); done += 4 {
		y := (*[4]uint)(unsafe.Add(target, uintptr(done)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if y0 >= most || y1 >= most || y2 >= most || y3 >= most {
			break
		}
		o := (*[4]uintptr)(unsafe.Add(offsets, uintptr(number)*unsafe.Sizeof(uintptr(0))))
		i0, i1, i2, i3 := place+o[0]+uintptr(y0)*stride, place+o[1]+uintptr(y1)*stride, place+o[2]+uintptr(y2)*stride, place+o[3]+uintptr(y3)*stride
		s0 -= float64(*(*F)(unsafe.Add(from, i0)))
		*(*F)(unsafe.Add(to, i0)) = value
		s1 -= float64(*(*F)(unsafe.Add(from, i1)))
		*(*F)(unsafe.Add(to, i1)) = value
		s2 -= float64(*(*F)(unsafe.Add(from, i2)))
		*(*F)(unsafe.Add(to, i2)) = value
		s3 -= float64(*(*F)(unsafe.Add(from, i3)))
		*(*F)(unsafe.Add(to, i3)) = value
		if number += 4; number == period {
			place, number = place+advance, 0
		}
	}
	*sums = [4]float64{s0, s1, s2, s3}
	return done
}

// addAny does all that a pass may do, for runs and periods.
func (t *nllTask[F]) addAny(w *nllWalk, targets []int, l *nllPlaces, place uintptr, number int) (done int) {
	run := [4]uintptr{0, l.pitch, 2 * l.pitch, 3 * l.pitch}
	offsets, period, advance := unsafe.Pointer(&run), 4, 4*l.pitch
	if l.period > 0 {
		offsets, period, advance = unsafe.Pointer(&l.offsets), l.period, l.advance
	}
	most, stride, target := uint(t.classes), l.stride, unsafe.Pointer(unsafe.SliceData(targets))
	from, to := unsafe.Pointer(unsafe.SliceData(t.scores)), unsafe.Pointer(unsafe.SliceData(t.grad))
	weight, factor := t.weight, t.factor
	var losses, upstream []F
	if t.losses != nil {
		losses = t.losses[w.next:][:len(targets)]
	}
	if t.out.want == productVJP {
		upstream = t.out.upstream[w.next:][:len(targets)]
	}
	s0, s1, s2, s3, total := w.sums[0], w.sums[1], w.sums[2], w.sums[3], w.total
	w0, w1, w2, w3 := F(1), F(1), F(1), F(1)
	for ; done+4 <= len(targets); done += 4 {
		y := (*[4]uint)(unsafe.Add(target, uintptr(done)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if y0 >= most || y1 >= most || y2 >= most || y3 >= most {
			break
		}
		o := (*[4]uintptr)(unsafe.Add(offsets, uintptr(number)*unsafe.Sizeof(uintptr(0))))
		i0, i1, i2, i3 := place+o[0]+uintptr(y0)*stride, place+o[1]+uintptr(y1)*stride, place+o[2]+uintptr(y2)*stride, place+o[3]+uintptr(y3)*stride
		if weight != nil {
			w0, w1, w2, w3 = weight[y0], weight[y1], weight[y2], weight[y3]
			total = (((total + float64(w0)) + float64(w1)) + float64(w2)) + float64(w3)
		}
		if from != nil {
			l0, l1 := weighted(-*(*F)(unsafe.Add(from, i0)), w0), weighted(-*(*F)(unsafe.Add(from, i1)), w1)
			l2, l3 := weighted(-*(*F)(unsafe.Add(from, i2)), w2), weighted(-*(*F)(unsafe.Add(from, i3)), w3)
			s0 += float64(l0)
			s1 += float64(l1)
			s2 += float64(l2)
			s3 += float64(l3)
			if losses != nil {
				*(*[4]F)(losses[done:]) = [4]F{l0, l1, l2, l3}
			}
		}
		if to != nil {
			v0, v1, v2, v3 := F(-float64(w0)*factor), F(-float64(w1)*factor), F(-float64(w2)*factor), F(-float64(w3)*factor)
			if upstream != nil {
				u := (*[4]F)(upstream[done:])
				v0, v1, v2, v3 = -u[0]*w0, -u[1]*w1, -u[2]*w2, -u[3]*w3
			}
			*(*F)(unsafe.Add(to, i0)) = v0
			*(*F)(unsafe.Add(to, i1)) = v1
			*(*F)(unsafe.Add(to, i2)) = v2
			*(*F)(unsafe.Add(to, i3)) = v3
		}
		if number += 4; number == period {
			place, number = place+advance, 0
		}
	}
	w.sums, w.total = [4]float64{s0, s1, s2, s3}, total
	return done
}
