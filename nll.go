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
	if loss, isDone := l.runSimple(out, x, targets); isDone {
		return loss, nil
	}
	var t nllTask[F] // not from a pool: a small call would pay for that
	t.method, t.weight, t.ignore = method, l.Weight, ignoreIndex(l.IgnoreIndex)
	t.reduction, t.workers = l.Reduction, l.Workers
	isPlain := t.setPlain(x, out)
	if isPlain {
		if sum, isDone := t.runFewRows(out, targets); isDone {
			return t.finish(sum), nil
		}
	}
	if !isPlain {
		if err := t.setScores(x); err != nil {
			return 0, err
		}
	}
	t.divide()
	items, workers := t.items(), 1
	if items > 1 {
		t.out.want = out.want // which the cost depends on
		workers = parallel.Workers(t.workers, items, t.cost())
	}
	// What checks the targets sees their scores and weights, too; but it writes nothing, and adds weights
	// in its own order.
	isSummed := workers <= 1 && !out.wantLosses() && out.want != productVJP && (t.weight == nil || t.inOrder())
	var sum float64
	var err error
	if isSummed {
		sum, err = t.sumTargets(targets, x.Shape)
	} else {
		err = t.setTargets(targets, x.Shape)
	}
	if err != nil {
		return 0, err
	}
	if !isPlain {
		if err := t.checkOutputs(out, nil); err != nil {
			return 0, err
		}
	}
	t.setOutputs(out)
	if workers > 1 {
		return t.finish(t.runParallel(workers)), nil
	}
	if !isSummed && out.want != productVJP {
		sum, _, _, _ = t.sumLosses()
	}
	if t.out.wantGrad() {
		clear(t.out.grad)
		for i := range items {
			t.writeTargets(t.span(i))
		}
	}
	return t.finish(sum), nil
}

// runSimple does a call of rows that make a single item, or without a gradient of few rows, and reports whether it
// could: it does no VJP, no weights, and nothing where a target is no class or is ignored. To set up a task would be most
// of a small call.
func (l *NLLLoss[F]) runSimple(out *outputs[F], x *Tensor[F], targets []int) (loss F, isDone bool) {
	rows, most, isFew := nllItemScores, nllItemScores, len(x.Data) > nllItemScores
	if isFew {
		rows, most = nllFewRows, nllMostClasses
	}
	if out.want == productVJP || isFew && out.wantGrad() || l.Weight != nil ||
		l.Reduction > Sum || l.Workers < 0 || !isSimple(out, x, targets, l.IgnoreIndex, rows, most) {
		return 0, false
	}
	sum, classes, factor := 0.0, x.Shape[1], 1.0
	for from, n := 0, 0; from < len(targets); from += n {
		if n = len(targets); isFew { // items of their own
			n = min(max(nllItemScores/classes, 1), n-from)
		}
		var sums fourSums
		if !sumRows(&sums, x.Data[from*classes:], targets[from:from+n], classes) {
			return 0, false
		}
		sum += sums.total()
	}
	if l.Reduction == Mean {
		sum /= float64(len(targets))
		factor = 1 / float64(len(targets))
	}
	if out.wantLosses() {
		for j, y := range targets {
			out.losses[j] = -x.Data[j*classes+y]
		}
	}
	if out.wantGrad() {
		for grad, rows := out.grad, max(nllClearScores/classes, 1); len(targets) > 0; {
			n := min(rows, len(targets))
			clear(grad[:n*classes])
			for j := setRows(grad[:n*classes], targets[:n], classes, F(-factor)); j < n; j++ {
				grad[j*classes:][:classes][targets[j]] = F(-factor)
			}
			grad, targets = grad[n*classes:], targets[n:]
		}
	}
	return F(sum), true
}

// runFewRows does a call of up to nllFewRows rows in which every target is a class that counts, but for what
// finish does, and reports whether it is such a call. To go through items would take longer than
// all the rest.
func (t *nllTask[F]) runFewRows(out *outputs[F], targets []int) (sum float64, isDone bool) {
	n, classes, weight, total := len(targets), t.classes, t.weight, 0.0
	if t.inner != 1 || n != t.samples || n > nllFewRows || len(t.x) > nllItemScores || uint(t.ignore) < uint(classes) {
		return 0, false
	}
	for _, y := range targets {
		if uint(y) >= uint(classes) {
			return 0, false
		}
		if weight != nil {
			total += float64(weight[y])
		}
	}
	if weight == nil {
		total = float64(n)
	}
	t.total = total
	t.setOutputs(out)
	w := F(1)
	if out.want != productVJP {
		var sums fourSums
		for j, y := range targets {
			if weight != nil {
				w = weight[y]
			}
			loss := weighted(-t.x[j*classes+y], w)
			sums[j&3] += float64(loss)
			if out.wantLosses() {
				out.losses[j] = loss
			}
		}
		sum = sums.total()
	}
	if t.out.wantGrad() {
		clear(out.grad)
		for j, y := range targets {
			if weight != nil {
				w = weight[y]
			}
			out.grad[j*classes+y] = F(-float64(w) * out.factor(j, t.factor))
		}
	}
	return sum, true
}

// nllTask is one call of NLLLoss.
type nllTask[F Float] struct {
	classTask[F]
	partial  []float64 // the sum of the losses of each item, where several workers share them
	together int       // how many items a worker does at a time then
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
	s.partial, s.together = partial, 1
	if share := (len(partial) + workers - 1) / workers; s.out.wantGrad() && s.span(0).count == s.inner && len(s.out.grad)/workers >= streamBytes/fp.Size[F]() {
		s.together = share // so much is cleared past the caches, which takes half the time
	}
	parallel.Run(s, (len(partial)+s.together-1)/s.together, workers)
	sum := sumOf(partial)
	*s = nllTask[F]{partial: partial}
	workspace.Give[F](&nllTasks, s)
	return sum
}

// Item does some items together for runParallel: their losses before their gradient, which may overwrite x.
func (t *nllTask[F]) Item(i int) {
	from := i * t.together
	to := min(from+t.together, len(t.partial))
	for k := from; k < to && t.out.want != productVJP; k++ {
		var l targetLoop[F]
		t.sumItem(&l, t.span(k))
		t.partial[k] = l.sums.total()
	}
	if !t.out.wantGrad() {
		return
	}
	t.clearGrad(t.span(from), t.span(to-1))
	for k := from; k < to; k++ {
		t.writeTargets(t.span(k))
	}
}

// fourSums adds the losses of an item. One sum would wait for each addition: so there are four,
// which take turns in each run.
type fourSums [4]float64

func (s *fourSums) total() float64 { return (s[0] + s[1]) + (s[2] + s[3]) }

// sumTargets is setTargets, and returns the sum of the losses.
func (t *nllTask[F]) sumTargets(targets, shape []int) (sum float64, err error) {
	if len(targets) != t.positions {
		return 0, t.targetsError(len(targets), shape)
	}
	t.targets = targets
	sum, total, ignored, bad := t.sumLosses()
	if bad >= 0 {
		return 0, t.classError(bad, targets[bad])
	}
	t.ignored, t.total = ignored, total
	if t.weight == nil {
		t.total = float64(len(targets) - ignored)
	}
	return sum, nil
}

// sumLosses returns the sum of the losses, and writes each of them if that is asked for. total is the
// sum of the weights, ignored how many targets are left out, and bad the first one that is no class,
// or −1.
func (t *nllTask[F]) sumLosses() (sum, total float64, ignored, bad int) {
	if t.inner < leastRun && t.itemSamples <= nllFewSamples {
		return t.sumFewSamples()
	}
	for i := range t.items() {
		s := t.span(i)
		l := targetLoop[F]{total: total}
		if bad := t.sumItem(&l, s); bad >= 0 {
			return 0, 0, 0, t.first(s) + bad
		}
		sum += l.sums.total()
		total = l.total
		ignored += l.ignored
	}
	return sum, total, ignored, -1
}

// sumItem does sumLosses for an item.
func (t *nllTask[F]) sumItem(l *targetLoop[F], s classSpan) (bad int) {
	if t.inner == 1 && t.weight == nil && !t.out.wantLosses() && uint(t.ignore) >= uint(t.classes) {
		first := t.first(s)
		if sumRows(&l.sums, t.x[t.offset(s):], t.targets[first:first+s.samples], t.classes) {
			return -1
		}
		l.sums = fourSums{}
	}
	l.set(t, s)
	if t.out.wantLosses() {
		l.losses = t.out.losses[t.first(s):]
	}
	return l.run()
}

// sumFewSamples does sumLosses where each item is few samples with few positions: to set up a targetLoop for each
// would take longer than what it does.
func (t *nllTask[F]) sumFewSamples() (sum, total float64, ignored, bad int) {
	losses, inner, sample := t.out.losses, t.inner, t.inner*t.classes
	for first := 0; first < t.samples; first += t.itemSamples {
		var sums fourSums
		for r := range inner {
			position, at := first*inner+r, first*sample+r
			for j := range min(t.itemSamples, t.samples-first) {
				var loss F
				switch y := t.targets[position]; {
				case y == t.ignore:
					ignored++
				case uint(y) >= uint(t.classes):
					return 0, 0, 0, position
				case t.weight == nil:
					loss = -t.x[at+y*inner]
				default:
					w := t.weight[y]
					loss = weighted(-t.x[at+y*inner], w)
					total += float64(w)
				}
				if losses != nil {
					losses[position] = loss
				}
				sums[j&3] += float64(loss)
				position += inner
				at += sample
			}
		}
		sum += sums.total()
	}
	return sum, total, ignored, -1
}

// inOrder reports whether targetLoop goes through the positions in their order.
func (l *classLayout) inOrder() bool { return l.inner == 1 || l.inner >= leastRun }

// targetLoop goes through the class targets of an item. They and their scores are in runs, of samples
// or of neighbours: position j of run r has the target r·targetRun + j·target, and its score of class c
// is the element r·scoreRun + j·score + c·class.
type targetLoop[F Float] struct {
	runs, count            int // positions of each
	targetRun, target      int
	scoreRun, score, class int
	scores                 []F
	targets                []int
	weight                 []F // of the classes, or nil
	classes, ignore        int

	losses []F // where they go, or nil

	sums    fourSums
	total   float64 // of the weights
	ignored int     // how many targets are left out
}

// set sets what it goes through: an item of a task.
func (l *targetLoop[F]) set(t *nllTask[F], s classSpan) {
	sample := t.inner * t.classes
	l.class = t.inner
	if t.inner < leastRun {
		l.runs, l.count = t.inner, s.samples
		l.targetRun, l.target = 1, t.inner
		l.scoreRun, l.score = 1, sample
	} else {
		l.runs, l.count = s.samples, s.count
		l.targetRun, l.target = t.inner, 1
		l.scoreRun, l.score = sample, 1
	}
	l.scores, l.targets = t.x[t.offset(s):], t.targets[t.first(s):]
	l.classes, l.ignore, l.weight = t.classes, t.ignore, t.weight
}

// run adds the losses to sums, and their weights to total. It returns the first target that is no
// class, or −1.
func (l *targetLoop[F]) run() (bad int) {
	if l.count < leastRun && l.runs > 1 { // four at a time are not worth a call for each run
		return l.runFew(0, l.runs, 0, l.count)
	}
	onlyClasses := uint(l.ignore) >= uint(l.classes)
	for r := range l.runs {
		for j := 0; j < l.count; {
			if onlyClasses {
				j = l.runFours(r, j)
			}
			end := min(j+4, l.count) // fewer than four are left, or one of four is no class or left out
			if bad := l.runFew(r, r+1, j, end); bad >= 0 {
				return bad
			}
			j = end
		}
	}
	return -1
}

// runFew does run for some positions of some runs.
func (l *targetLoop[F]) runFew(r, endRun, first, end int) (bad int) {
	scores, targets, weight, losses, w := l.scores, l.targets, l.weight, l.losses, F(1)
	for ; r < endRun; r++ {
		position, at := r*l.targetRun+first*l.target, r*l.scoreRun+first*l.score
		for j := first; j < end; j++ {
			y := targets[position]
			if uint(y) < uint(l.classes) && y != l.ignore {
				if weight != nil {
					w = weight[y]
				}
				score := &scores[at+y*l.class]
				loss := weighted(-*score, w)
				if losses != nil {
					losses[position] = loss
				}
				l.sums[j&3] += float64(loss)
				l.total += float64(w)
			} else if y != l.ignore {
				return position
			} else {
				l.ignored++
				if losses != nil {
					losses[position] = 0
				}
			}
			position += l.target
			at += l.score
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

// runFours goes on with run, from position j of run r on, by four positions, as long as all of them have
// classes. It returns how far it came.
func (l *targetLoop[F]) runFours(r, j int) int {
	switch isPlain := l.class == 1 && l.weight == nil; {
	case j+4 > l.count:
		return j
	case isPlain && l.losses == nil:
		return j + addRows(&l.sums, l.scores[j*l.classes:l.count*l.classes], l.targets[j:l.count], l.classes)
	}
	return l.addFours(r, j)
}

// sumRows adds to sums the losses of an item of rows of so many classes without weights, and reports whether
// all its targets are classes. Else sums are of no use.
func sumRows[F Float](sums *fourSums, scores []F, targets []int, classes int) bool {
	j := 0
	if len(targets) >= 4 {
		j = addRows(sums, scores, targets, classes)
	}
	for ; j < len(targets); j++ {
		y := targets[j]
		if uint(y) >= uint(classes) {
			return false
		}
		sums[j&3] -= float64(scores[j*classes+y])
	}
	return true
}

// addRows subtracts from sums the scores at the targets of rows of so many classes, four by four, up to
// a target that is no class, and returns how many. It touches no other memory than addFours.
func addRows[F Float](sums *fourSums, scores []F, targets []int, classes int) (done int) {
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
	*sums = fourSums{s0, s1, s2, s3}
	return done
}

// setRows sets the scores at the targets of rows of so many classes to a value, four by four, up to a target
// that is no class, and returns how many. It touches no other memory than addFours.
func setRows[F Float](scores []F, targets []int, classes int, value F) (done int) {
	most, size := uint(classes), unsafe.Sizeof(F(0))
	_ = scores[:len(targets)*classes]
	pitch, offset := uintptr(classes)*size, uintptr(0)
	row, target := unsafe.Pointer(unsafe.SliceData(scores)), unsafe.Pointer(unsafe.SliceData(targets))
	for ; done+4 <= len(targets); done += 4 {
		y := (*[4]uint)(unsafe.Add(target, uintptr(done)*unsafe.Sizeof(uint(0))))
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		if y0 >= most || y1 >= most || y2 >= most || y3 >= most {
			break
		}
		*(*F)(unsafe.Add(row, offset+uintptr(y0)*size)) = value
		offset += pitch
		*(*F)(unsafe.Add(row, offset+uintptr(y1)*size)) = value
		offset += pitch
		*(*F)(unsafe.Add(row, offset+uintptr(y2)*size)) = value
		offset += pitch
		*(*F)(unsafe.Add(row, offset+uintptr(y3)*size)) = value
		offset += pitch
	}
	return done
}

// addFours does runFours where there is more than addRows can do.
//
// A target is read once and compared before it is used, so that no other memory than scores is
// touched. The slices' own checks would take as long as all else.
func (l *targetLoop[F]) addFours(r, j int) int {
	last, n := l.count-1, l.count
	run, runTargets := l.scores[r*l.scoreRun:], l.targets[r*l.targetRun:]
	_, _ = run[last*l.score+(l.classes-1)*l.class], runTargets[last*l.target]
	const word = unsafe.Sizeof(uint(0))
	size := unsafe.Sizeof(F(0))
	scores, targets := unsafe.Pointer(unsafe.SliceData(run)), unsafe.Pointer(unsafe.SliceData(runTargets))
	step, stride, next, classes := uintptr(l.score)*size, uintptr(l.class)*size, uintptr(l.target)*word, uint(l.classes)
	score, target := uintptr(j)*step, uintptr(j)*next
	s0, s1, s2, s3 := l.sums[0], l.sums[1], l.sums[2], l.sums[3]
	for ; j+4 <= n; j += 4 {
		y0 := *(*uint)(unsafe.Add(targets, target))
		target += next
		y1 := *(*uint)(unsafe.Add(targets, target))
		target += next
		y2 := *(*uint)(unsafe.Add(targets, target))
		target += next
		y3 := *(*uint)(unsafe.Add(targets, target))
		target += next
		if y0 >= classes || y1 >= classes || y2 >= classes || y3 >= classes {
			break
		}
		p0 := (*F)(unsafe.Add(scores, score+uintptr(y0)*stride))
		score += step
		p1 := (*F)(unsafe.Add(scores, score+uintptr(y1)*stride))
		score += step
		p2 := (*F)(unsafe.Add(scores, score+uintptr(y2)*stride))
		score += step
		p3 := (*F)(unsafe.Add(scores, score+uintptr(y3)*stride))
		score += step
		l0, l1, l2, l3 := -*p0, -*p1, -*p2, -*p3
		if w := l.weight; w != nil {
			w0, w1, w2, w3 := w[y0], w[y1], w[y2], w[y3]
			l0, l1, l2, l3 = weighted(l0, w0), weighted(l1, w1), weighted(l2, w2), weighted(l3, w3)
			l.total = (((l.total + float64(w0)) + float64(w1)) + float64(w2)) + float64(w3)
		}
		s0 += float64(l0)
		s1 += float64(l1)
		s2 += float64(l2)
		s3 += float64(l3)
		if d := l.losses; d != nil {
			at := r*l.targetRun + j*l.target
			d[at], d[at+l.target], d[at+2*l.target], d[at+3*l.target] = l0, l1, l2, l3
		}
	}
	l.sums = fourSums{s0, s1, s2, s3}
	return j
}

// clearGrad sets the gradient to 0 from one item to another, which are whole samples or one and the same. It does
// not read x, which may be where it writes, nor does writeTargets.
func (t *nllTask[F]) clearGrad(first, last classSpan) {
	grad := t.out.grad[t.offset(first):]
	if first.count == t.inner {
		clear(grad[:t.offset(last)-t.offset(first)+last.samples*t.inner*t.classes])
		return
	}
	for c := range t.classes {
		clear(grad[c*t.inner:][:first.count])
	}
}

// writeTargets writes the gradient at the class targets of some positions, in their order.
func (t *nllTask[F]) writeTargets(s classSpan) {
	first, inner, weight := t.first(s), t.inner, t.weight
	grad, targets := t.out.grad[t.offset(s):], t.targets[first:][:s.samples*s.count]
	if t.ignored == 0 && weight == nil && t.out.want != productVJP {
		value, done := F(-t.factor), 0
		if inner == 1 {
			done = setRows(grad, targets, t.classes, value)
		}
		setSamples(grad[done*t.classes:], targets[done:], t.classes, inner, s.count, value)
		return
	}
	skip := t.classes*inner - inner
	switch {
	case t.out.want != productVJP:
		setWeighted(grad, targets, weight, t.factor, t.ignore, inner, skip)
	case weight == nil:
		setProducts(grad, targets, t.out.upstream[first:], t.ignore, inner, skip)
	default:
		setWeightedProducts(grad, targets, t.out.upstream[first:], weight, t.ignore, inner, skip)
	}
}

// The following functions set the scores at the targets of whole samples of inner positions, or of some positions
// of one sample: from its last position to the next sample's first it is skip elements more. Positions with
// the target ignore are left out. Each function has so few variables that all are in registers: one function for all
// cases takes up to 1.4 times as long.

// setWeighted sets the scores to −weight·factor, where no weights are 1.
func setWeighted[F Float](scores []F, targets []int, weight []F, factor float64, ignore, inner, skip int) {
	place, left := 0, inner
	for _, y := range targets {
		if y != ignore {
			minus := -1.0
			if weight != nil {
				minus = -float64(weight[y])
			}
			scores[place+y*inner] = F(minus * factor)
		}
		place++
		if left--; left == 0 {
			left, place = inner, place+skip
		}
	}
}

// setProducts sets the scores to −upstream.
func setProducts[F Float](scores []F, targets []int, upstream []F, ignore, inner, skip int) {
	upstream = upstream[:len(targets)]
	place, left := 0, inner
	for i, y := range targets {
		if y != ignore {
			scores[place+y*inner] = -upstream[i]
		}
		place++
		if left--; left == 0 {
			left, place = inner, place+skip
		}
	}
}

// setWeightedProducts sets the scores to −weight·upstream.
func setWeightedProducts[F Float](scores []F, targets []int, upstream, weight []F, ignore, inner, skip int) {
	upstream = upstream[:len(targets)]
	place, left := 0, inner
	for i, y := range targets {
		if y != ignore {
			scores[place+y*inner] = -weight[y] * upstream[i]
		}
		place++
		if left--; left == 0 {
			left, place = inner, place+skip
		}
	}
}

// setSamples sets the scores at the targets of samples of inner positions, of which there are so many in each, to
// a value.
func setSamples[F Float](scores []F, targets []int, classes, inner, count int, value F) {
	for at := 0; len(targets) > 0; at += classes * inner {
		sample := scores[at:]
		for j, y := range targets[:count] {
			sample[y*inner+j] = value
		}
		targets = targets[count:]
	}
}
