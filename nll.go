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
	if loss, ok := l.simple(&outputs[F]{}, &x, targets); ok {
		return loss, nil
	}
	return l.run("NLLLoss.Loss", &outputs[F]{}, x, targets)
}

// Losses writes the loss of every position to dst: PyTorch's reduction "none". dst has one
// element for each target, in their order, and must not overlap x or Weight.
func (l NLLLoss[F]) Losses(dst []F, x Tensor[F], targets []int) error {
	_, err := l.run("NLLLoss.Losses", &outputs[F]{want: allLosses, losses: dst}, x, targets)
	return err
}

// Grad returns the reduced loss and writes its gradient with respect to x to
// grad, which has x's layout and may be x.Data: −Weight[target] at the target of
// each position, divided by the sum of the weights for the mean, and 0 elsewhere.
func (l NLLLoss[F]) Grad(grad []F, x Tensor[F], targets []int) (F, error) {
	out := &outputs[F]{want: lossAndGrad, grad: grad}
	if loss, ok := l.simple(out, &x, targets); ok {
		return loss, nil
	}
	return l.run("NLLLoss.Grad", out, x, targets)
}

// LossesGrad is Losses and Grad in one pass: it writes the loss of every position to losses,
// returns the reduced loss and writes its gradient to grad. losses has one element for each
// target and must not overlap x, Weight or grad; grad has x's layout and may be x.Data.
func (l NLLLoss[F]) LossesGrad(losses, grad []F, x Tensor[F], targets []int) (F, error) {
	return l.run("NLLLoss.LossesGrad", &outputs[F]{want: lossesAndGrad, losses: losses, grad: grad}, x, targets)
}

// VJP writes to grad the gradient with respect to x of Σ upstream[i]·loss[i],
// whatever Reduction is: the vector-Jacobian product of the losses. grad has x's
// layout and may be x.Data; upstream has one factor for each position and must not overlap
// grad.
func (l NLLLoss[F]) VJP(grad, upstream []F, x Tensor[F], targets []int) error {
	_, err := l.run("NLLLoss.VJP", &outputs[F]{want: productVJP, grad: grad, upstream: upstream}, x, targets)
	return err
}

// simple does what run does for rows of scores in one item, if all targets are classes that count and
// have no weights: setting up a task would take longer than that. It reports whether it did; else
// it has written nothing.
func (l *NLLLoss[F]) simple(out *outputs[F], x *Tensor[F], targets []int) (loss F, ok bool) {
	if l.Weight != nil || l.Reduction > Sum || l.Workers < 0 || !isSimple(out, x, targets, l.IgnoreIndex, nllItemScores) {
		return 0, false
	}
	classes := x.Shape[1]
	var sums fourSums
	if sumRows(&sums, x.Data, targets, classes) < len(targets) {
		return 0, false
	}
	factor := 1.0
	if l.Reduction == Mean {
		factor = 1 / float64(len(targets))
	}
	if out.wantGrad() {
		clear(out.grad)
		setRows(out.grad, targets, classes, F(-factor))
	}
	sum := 0 - sums.total()
	if l.Reduction == Mean {
		sum /= float64(len(targets))
	}
	return F(sum), true
}

func (l NLLLoss[F]) run(method string, out *outputs[F], x Tensor[F], targets []int) (F, error) {
	var t nllTask[F] // not from a pool: a small call would pay for that
	t.method, t.weight, t.ignore = method, l.Weight, ignoreIndex(l.IgnoreIndex)
	t.reduction, t.workers = l.Reduction, l.Workers
	if err := t.setScores(&x); err != nil {
		return 0, err
	}
	t.divide()
	items := t.items()
	t.out.want = out.want
	workers := workersFor(t.workers, items, t.cost())
	var sum float64
	var err error
	summed := workers <= 1 && t.weight == nil && !out.wantLosses()
	if summed { // what checks the targets sees their scores, too
		sum, err = t.sumTargets(targets, x.Shape)
	} else {
		err = t.setTargets(targets, x.Shape)
	}
	if err != nil {
		return 0, err
	}
	if err := t.setOutputs(out, nil); err != nil {
		return 0, err
	}
	if workers > 1 {
		return t.finish(t.runParallel(workers)), nil
	}
	if !summed {
		for i := range items {
			sum += t.sumLosses(t.span(i))
		}
	}
	if t.out.wantGrad() {
		clear(t.out.grad)
		for i := range items {
			t.writeTargets(t.span(i))
		}
	}
	return t.finish(sum), nil
}

// nllTask is one call of NLLLoss.
type nllTask[F Float] struct {
	classTask[F]
	partial []float64 // the sum of the losses of each item, where several workers share them
}

var nllTasks workspace.Pools

// divide makes items. It depends on the shape alone, and with it the order in which losses
// are added.
func (t *nllTask[F]) divide() {
	scores := t.inner * t.classes
	switch {
	case scores > nllItemScores && t.inner > nllPart:
		t.divideParts(max(nllItemScores/t.classes, nllPart))
	case len(t.x) <= nllItemScores:
		t.divideSamples(t.samples)
	default:
		t.divideSamples(nllItemScores / max(scores, 1))
	}
}

// cost returns about how many nanoseconds the call takes.
func (t *nllTask[F]) cost() float64 {
	cost := float64(t.positions) * nllPositionCost
	if t.out.wantGrad() {
		cost += float64(len(t.x)*fp.Size[F]()) * clearByteCost
	}
	return cost
}

// runParallel does all items with several workers, and returns the sum of the losses.
func (t *nllTask[F]) runParallel(workers int) float64 {
	s := workspace.Take[nllTask[F], F](&nllTasks)
	partial := workspace.Resize(s.partial, t.items())
	*s = *t
	s.partial = partial
	parallel.Run(s, len(partial), workers)
	sum := sumOf(partial)
	*s = nllTask[F]{partial: partial}
	workspace.Give[F](&nllTasks, s)
	return sum
}

// Item does an item for runParallel.
func (t *nllTask[F]) Item(i int) {
	s := t.span(i)
	t.partial[i] = t.sumLosses(s)
	if t.out.wantGrad() {
		t.clearGrad(s)
		t.writeTargets(s)
	}
}

// targetRuns says where the targets and scores of an item's positions are: in runs, of samples
// or of neighbours. Position j of run r has the target r·targetRun + j·target, and its score of
// class c is the element r·scoreRun + j·score + c·class.
type targetRuns struct {
	runs, count            int // positions of each
	targetRun, target      int
	scoreRun, score, class int
}

// setRuns sets those of an item.
func (r *targetRuns) setRuns(l *classLayout, s classSpan) {
	sample := l.inner * l.classes
	r.class = l.inner
	if l.inner < leastRun {
		r.runs, r.count = l.inner, s.samples
		r.targetRun, r.target = 1, l.inner
		r.scoreRun, r.score = 1, sample
		return
	}
	r.runs, r.count = s.samples, s.count
	r.targetRun, r.target = l.inner, 1
	r.scoreRun, r.score = sample, 1
}

// fourSums adds the losses of an item. One sum would wait for each addition: so there are four,
// which take turns in each run.
type fourSums [4]float64

func (s *fourSums) total() float64 { return (s[0] + s[1]) + (s[2] + s[3]) }

// sumTargets is setTargets where there are no weights, and returns the sum of the losses.
func (t *nllTask[F]) sumTargets(targets, shape []int) (sum float64, err error) {
	if len(targets) != t.positions {
		return 0, t.targetsError(len(targets), shape)
	}
	areRows := t.inner == 1 && uint(t.ignore) >= uint(t.classes)
	for i := range t.items() {
		s := t.span(i)
		first := t.first(s)
		if areRows {
			var sums fourSums
			if sumRows(&sums, t.x[t.offset(s):], targets[first:][:s.samples], t.classes) == s.samples {
				sum -= sums.total()
				continue
			}
		}
		var l targetLoop[F]
		l.setRuns(&t.classLayout, s)
		l.scores, l.targets, l.classes, l.ignore = t.x[t.offset(s):], targets[first:], t.classes, t.ignore
		if bad := l.run(); bad >= 0 {
			return 0, t.classError(first+bad, targets[first+bad])
		}
		t.ignored += l.ignored
		sum -= l.sums.total()
	}
	t.targets, t.total = targets, float64(len(targets)-t.ignored)
	return sum, nil
}

// targetLoop goes through the class targets of an item. It adds their scores to sums, or sets
// those to a value if write is set.
type targetLoop[F Float] struct {
	targetRuns
	scores          []F
	targets         []int
	classes, ignore int
	write           bool
	value           F

	sums    fourSums
	ignored int // how many are left out
}

// run returns the first target that is no class, or −1.
func (l *targetLoop[F]) run() (bad int) {
	fours, onlyClasses := l.count&^3, uint(l.ignore) >= uint(l.classes)
	for r, j := 0, 0; r < l.runs && fours > 0; {
		switch {
		case onlyClasses && l.runs == 1 && l.class == 1:
			scores, targets := l.scores[j*l.classes:fours*l.classes], l.targets[j:fours]
			if l.write {
				j += setRows(scores, targets, l.classes, l.value) &^ 3
			} else {
				j += sumRows(&l.sums, scores, targets, l.classes)
			}
			if j == fours {
				r, j = 1, 0
				continue
			}
		case onlyClasses:
			if r, j = l.runFours(r, j); r == l.runs {
				continue
			}
		}
		for end := j + 4; j < end; j++ { // one of them is no class, or left out
			if !l.one(r, j) {
				return r*l.targetRun + j*l.target
			}
		}
		if j == fours {
			r, j = r+1, 0
		}
	}
	for r := range l.runs {
		for j := fours; j < l.count; j++ {
			if !l.one(r, j) {
				return r*l.targetRun + j*l.target
			}
		}
	}
	return -1
}

// one does position j of run r. It reports whether the target is a class or left out.
func (l *targetLoop[F]) one(r, j int) bool {
	y := l.targets[r*l.targetRun+j*l.target]
	if y == l.ignore {
		l.ignored++
		return true
	}
	if uint(y) >= uint(l.classes) {
		return false
	}
	if score := &l.scores[r*l.scoreRun+j*l.score+y*l.class]; l.write {
		*score = l.value
	} else {
		l.sums[j&3] += float64(*score)
	}
	return true
}

// sumRows adds to sums the scores that rows of so many classes have at their targets, the first of
// which belongs to the first sum, up to a target that is no class, or up to four before it. It returns
// how many.
//
// A target is read once and compared before it is used, so that no other memory than scores
// is touched. The slices' own checks would take as long as all else.
func sumRows[F Float](sums *fourSums, scores []F, targets []int, classes int) (done int) {
	n, most, size := len(targets), uint(classes), unsafe.Sizeof(F(0))
	if n == 0 {
		return 0
	}
	_ = scores[n*classes-1]
	pitch := uintptr(classes) * size
	row, target := unsafe.Pointer(unsafe.SliceData(scores)), unsafe.Pointer(unsafe.SliceData(targets))
	s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
	j := 0
	for ; j+4 <= n; j += 4 {
		y := (*[4]uint)(unsafe.Add(target, uintptr(j)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if y0 >= most || y1 >= most || y2 >= most || y3 >= most {
			break
		}
		at := unsafe.Add(row, uintptr(j)*pitch)
		s0 += float64(*(*F)(unsafe.Add(at, uintptr(y0)*size)))
		at = unsafe.Add(at, pitch)
		s1 += float64(*(*F)(unsafe.Add(at, uintptr(y1)*size)))
		at = unsafe.Add(at, pitch)
		s2 += float64(*(*F)(unsafe.Add(at, uintptr(y2)*size)))
		at = unsafe.Add(at, pitch)
		s3 += float64(*(*F)(unsafe.Add(at, uintptr(y3)*size)))
	}
	*sums = fourSums{s0, s1, s2, s3}
	if j+4 <= n {
		return j
	}
	for ; j < n && uint(targets[j]) < most; j++ {
		sums[j&3] += float64(scores[j*classes+targets[j]])
	}
	return j
}

// setRows writes a value where sumRows reads scores, up to a target that is no class.
func setRows[F Float](scores []F, targets []int, classes int, value F) (done int) {
	n, most, size := len(targets), uint(classes), unsafe.Sizeof(F(0))
	if n == 0 {
		return 0
	}
	_ = scores[n*classes-1]
	pitch := uintptr(classes) * size
	row, target := unsafe.Pointer(unsafe.SliceData(scores)), unsafe.Pointer(unsafe.SliceData(targets))
	for j := range n {
		y := *(*uint)(unsafe.Add(target, uintptr(j)*unsafe.Sizeof(uint(0))))
		if y >= most {
			return j
		}
		*(*F)(unsafe.Add(row, uintptr(j)*pitch+uintptr(y)*size)) = value
	}
	return n
}

// runFours takes the targets four by four, from position j of run r on, where j is a multiple of
// four. It stops where one of four is no class, and returns that place, or the end of the runs.
// It touches no other memory than sumRows.
func (l *targetLoop[F]) runFours(r, j int) (endRun, endPosition int) {
	_ = l.scores[(l.runs-1)*l.scoreRun+(l.count-1)*l.score+(l.classes-1)*l.class]
	_ = l.targets[(l.runs-1)*l.targetRun+(l.count-1)*l.target]
	const word = unsafe.Sizeof(uint(0))
	size, classes, runs, fours, write, value := unsafe.Sizeof(F(0)), uint(l.classes), l.runs, l.count&^3, l.write, l.value
	step, stride, next := uintptr(l.score)*size, uintptr(l.class)*size, uintptr(l.target)*word
	scores, targets := unsafe.Pointer(unsafe.SliceData(l.scores)), unsafe.Pointer(unsafe.SliceData(l.targets))
	s0, s1, s2, s3 := l.sums[0], l.sums[1], l.sums[2], l.sums[3]
all:
	for ; r < runs; r++ {
		score, target := uintptr(r*l.scoreRun+j*l.score)*size, uintptr(r*l.targetRun+j*l.target)*word
		for ; j < fours; j += 4 {
			y0 := *(*uint)(unsafe.Add(targets, target))
			y1 := *(*uint)(unsafe.Add(targets, target+next))
			y2 := *(*uint)(unsafe.Add(targets, target+2*next))
			y3 := *(*uint)(unsafe.Add(targets, target+3*next))
			if y0 >= classes || y1 >= classes || y2 >= classes || y3 >= classes {
				break all
			}
			p0 := (*F)(unsafe.Add(scores, score+uintptr(y0)*stride))
			p1 := (*F)(unsafe.Add(scores, score+step+uintptr(y1)*stride))
			p2 := (*F)(unsafe.Add(scores, score+2*step+uintptr(y2)*stride))
			p3 := (*F)(unsafe.Add(scores, score+3*step+uintptr(y3)*stride))
			if write {
				*p0, *p1, *p2, *p3 = value, value, value, value
			} else {
				s0 += float64(*p0)
				s1 += float64(*p1)
				s2 += float64(*p2)
				s3 += float64(*p3)
			}
			score += 4 * step
			target += 4 * next
		}
		j = 0
	}
	l.sums = fourSums{s0, s1, s2, s3}
	return r, j
}

// sumLosses returns the sum of the losses, added like run does it, and writes each of them if
// that is asked for.
func (t *nllTask[F]) sumLosses(s classSpan) float64 {
	var r targetRuns
	r.setRuns(&t.classLayout, s)
	var sums fourSums
	targets, x, weight, ignore, losses := t.targets[t.first(s):], t.x[t.offset(s):], t.weight, t.ignore, []F(nil)
	if t.out.wantLosses() {
		losses = t.out.losses[t.first(s):]
	}
	for run := range r.runs {
		at, position := run*r.scoreRun, run*r.targetRun
		for j := range r.count {
			var loss F
			if y := targets[position]; y != ignore {
				loss = -x[at+y*r.class]
				if weight != nil {
					if w := weight[y]; w != 0 || loss != F(math.Inf(1)) {
						loss *= w
					} else {
						loss = 0 // and not 0·∞
					}
				}
			}
			sums[j&3] += float64(loss)
			if losses != nil {
				losses[position] = loss
			}
			at += r.score
			position += r.target
		}
	}
	return sums.total()
}

// clearGrad sets the gradient at some positions to 0. It does not read x, which may be where
// it writes, nor does writeTargets.
func (t *nllTask[F]) clearGrad(s classSpan) {
	grad := t.out.grad[t.offset(s):]
	if s.count == t.inner {
		clear(grad[:s.samples*t.inner*t.classes])
		return
	}
	for c := range t.classes {
		clear(grad[c*t.inner:][:s.count])
	}
}

// writeTargets writes the gradient at the class targets of some positions.
func (t *nllTask[F]) writeTargets(s classSpan) {
	first, grad := t.first(s), t.out.grad[t.offset(s):]
	var l targetLoop[F]
	l.setRuns(&t.classLayout, s)
	l.scores, l.targets, l.classes, l.ignore = grad, t.targets[first:], t.classes, t.ignore
	if t.weight == nil && t.out.want != productVJP {
		l.write, l.value = true, F(-t.factor)
		l.run()
		return
	}
	for r := range l.runs {
		for j := range l.count {
			at := r*l.targetRun + j*l.target
			if y := l.targets[at]; y != t.ignore {
				weight := F(1)
				if t.weight != nil {
					weight = t.weight[y]
				}
				grad[r*l.scoreRun+j*l.score+y*l.class] = F(-float64(weight) * t.out.factor(first+at, t.factor))
			}
		}
	}
}
