package trellis

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// ctcTask is the state of one call: what it works on, checked, and how the sequences are
// divided among workers.
type ctcTask[F Float] struct {
	ctcOptions
	method  string // for errors
	out     outputs[F]
	x       []F
	frames  int  // T
	batch   int  // N, the number of sequences
	classes int  // C
	inPlace bool // the gradient overwrites scores

	targets       []int
	inputLengths  []int // or nil: all frames count
	targetLengths []int
	targetStarts  []int // where the target of a sequence begins in targets
	fullLengths   []int // targetLengths where the caller gave none
	order         []int // the sequences, the most expensive one first
	losses        []float64
}

// ctcOptions are those of a loss; wantSoftmax says that a softmax is part of its gradient.
type ctcOptions struct {
	blank, workers                        int
	reduction                             Reduction
	scores                                Scores
	zeroInfinity, batchFirst, wantSoftmax bool
}

var ctcTasks workspace.Pools

// maxFrames bounds T so that exponents stay apart from never: each frame adds at most
// 2²¹ nats.
const maxFrames = 1 << 26

// run checks the arguments and then computes what out asks for.
func (t *ctcTask[F]) run(x Tensor[F]) (F, error) {
	t.x = x.Data
	if err := t.check(x); err != nil {
		return 0, err
	}
	t.inPlace = t.out.wantGrad() && overlap(t.out.grad, t.x)
	t.schedule()
	t.losses = workspace.Resize(t.losses, t.batch)
	if workers := workersFor(t.workers, t.batch, t.cost()); workers > 1 {
		parallel.Run(t, t.batch, workers)
	} else {
		for i := range t.batch {
			t.Item(i)
		}
	}
	return F(t.reduce()), nil
}

// release gives the task back without what it borrowed.
func (t *ctcTask[F]) release() {
	*t = ctcTask[F]{targetStarts: t.targetStarts[:0], fullLengths: t.fullLengths[:0], order: t.order[:0], losses: t.losses[:0]}
	workspace.Give[F](&ctcTasks, t)
}

// check reports everything that is wrong with the arguments.
func (t *ctcTask[F]) check(x Tensor[F]) error {
	if err := t.checkScores(x); err != nil {
		return err
	}
	if err := t.checkInputLengths(x.Shape); err != nil {
		return err
	}
	full := t.targetLengths == nil
	if full {
		if err := t.fillTargetLengths(x.Shape); err != nil {
			return err
		}
	}
	if err := t.checkTargetLengths(x.Shape); err != nil {
		return err
	}
	for n := range t.batch {
		if err := t.checkLabels(n, full); err != nil {
			return err
		}
	}
	if t.out.wantLosses() {
		if err := t.checkBatch(t.out.lossesName(), len(t.out.losses), x.Shape); err != nil {
			return err
		}
	}
	if t.out.want == productVJP {
		if err := t.checkBatch("upstream", len(t.out.upstream), x.Shape); err != nil {
			return err
		}
	}
	return t.out.check(t.method, t.x, t.batch, "sequence")
}

// checkScores checks the shape of x and Blank, and takes the shape apart.
func (t *ctcTask[F]) checkScores(x Tensor[F]) error {
	if len(x.Shape) != 2 && len(x.Shape) != 3 {
		return &ArgumentError{t.method, "x.Shape", nil, clone(x.Shape), "want (T,C), (T,N,C), or (N,T,C) with BatchFirst"}
	}
	if err := x.check(t.method, "x"); err != nil {
		return err
	}
	switch {
	case len(x.Shape) == 2:
		t.frames, t.batch, t.classes = x.Shape[0], 1, x.Shape[1]
	case t.batchFirst:
		t.batch, t.frames, t.classes = x.Shape[0], x.Shape[1], x.Shape[2]
	default:
		t.frames, t.batch, t.classes = x.Shape[0], x.Shape[1], x.Shape[2]
	}
	switch {
	case t.blank < 0 || t.blank >= t.classes:
		return &ArgumentError{t.method, "Blank", nil, t.blank, fmt.Sprintf("class outside [0,%d)", t.classes)}
	case t.classes > math.MaxInt32:
		return &ArgumentError{t.method, "x.Shape", []int{len(x.Shape) - 1}, t.classes, "more than 2³¹−1 classes"}
	case t.frames > maxFrames:
		return &ArgumentError{t.method, "x.Shape", nil, clone(x.Shape), "more than 2²⁶ frames"}
	}
	return nil
}

// batchAxis says which axis of a shape the number of sequences was read from, and what
// to change if it was meant to be another.
func (t *ctcTask[F]) batchAxis(shape []int) string {
	switch {
	case len(shape) == 2:
		return fmt.Sprintf("x.Shape %v is one sequence, (T,C)", clone(shape))
	case t.batchFirst:
		return fmt.Sprintf("x.Shape %v is (N,T,C), as BatchFirst is set; without it, (T,N,C)", clone(shape))
	}
	return fmt.Sprintf("x.Shape %v is (T,N,C); with BatchFirst it would be (N,T,C)", clone(shape))
}

// checkBatch reports an argument that has not one element for each sequence.
func (t *ctcTask[F]) checkBatch(argument string, got int, shape []int) error {
	if got == t.batch {
		return nil
	}
	return &ArgumentError{t.method, "len(" + argument + ")", nil, got,
		fmt.Sprintf("want %d, one for each sequence: %s", t.batch, t.batchAxis(shape))}
}

// checkInputLengths reports lengths that are too few or not in [0,T].
func (t *ctcTask[F]) checkInputLengths(shape []int) error {
	if t.inputLengths == nil {
		return nil
	}
	if err := t.checkBatch("inputLengths", len(t.inputLengths), shape); err != nil {
		return err
	}
	for n, frames := range t.inputLengths {
		if frames < 0 || frames > t.frames {
			return &ArgumentError{t.method, "inputLengths", []int{n}, frames,
				fmt.Sprintf("outside [0,%d]: %s", t.frames, t.batchAxis(shape))}
		}
	}
	return nil
}

// fillTargetLengths serves calls without targetLengths: each sequence has len(targets)/N
// labels. It reports a number of targets that N does not divide.
func (t *ctcTask[F]) fillTargetLengths(shape []int) error {
	rows := max(t.batch, 1)
	if t.batch == 0 && len(t.targets) > 0 || len(t.targets)%rows != 0 {
		return &ArgumentError{t.method, "len(targets)", nil, len(t.targets),
			fmt.Sprintf("without targetLengths, want rows of one length for %d sequences: %s", t.batch, t.batchAxis(shape))}
	}
	t.fullLengths = workspace.Resize(t.fullLengths, t.batch)
	for n := range t.fullLengths {
		t.fullLengths[n] = len(t.targets) / rows
	}
	t.targetLengths = t.fullLengths
	return nil
}

// checkTargetLengths reports lengths that are too few, negative, or fit targets
// neither as padded rows nor as concatenated ones, and finds where the targets
// begin. If they fit both ways, both mean the same.
func (t *ctcTask[F]) checkTargetLengths(shape []int) error {
	if err := t.checkBatch("targetLengths", len(t.targetLengths), shape); err != nil {
		return err
	}
	longest, total := 0, 0
	for n, s := range t.targetLengths {
		if s < 0 || s > len(t.targets) {
			return &ArgumentError{t.method, "targetLengths", []int{n}, s, fmt.Sprintf("outside [0,%d], as there are %[1]d targets", len(t.targets))}
		}
		longest = max(longest, s)
		total = min(total+s, len(t.targets)+1) // more than that cannot fit, and could overflow
	}
	rows := max(t.batch, 1)
	concatenated := total == len(t.targets)
	padded := t.batch > 0 && len(t.targets)%rows == 0 && longest <= len(t.targets)/rows
	if !concatenated && !padded {
		return &ArgumentError{t.method, "len(targets)", nil, len(t.targets),
			fmt.Sprintf("neither the sum of targetLengths nor %d rows of at least %d", t.batch, longest)}
	}
	t.targetStarts = workspace.Resize(t.targetStarts, t.batch)
	start := 0
	for n, s := range t.targetLengths {
		t.targetStarts[n] = start
		if concatenated {
			start += s
		} else {
			start += len(t.targets) / rows
		}
	}
	return nil
}

// checkLabels reports a label of sequence n that is no class, or the blank. full says that
// the caller gave no targetLengths: a wrong label may then be padding, which the error says.
func (t *ctcTask[F]) checkLabels(n int, full bool) error {
	for i, label := range t.labels(n) {
		var reason string
		switch {
		case label < 0 || label >= t.classes:
			reason = fmt.Sprintf("label outside [0,%d)", t.classes)
		case label == t.blank:
			reason = "label is the blank"
		default:
			continue
		}
		if full {
			reason += "; padded targets need targetLengths"
		}
		return &ArgumentError{t.method, "targets", []int{n, i}, label, reason}
	}
	return nil
}

// labels returns the target of sequence n.
func (t *ctcTask[F]) labels(n int) []int { return t.targets[t.targetStarts[n]:][:t.targetLengths[n]] }

// inputLength returns how many frames of sequence n count.
func (t *ctcTask[F]) inputLength(n int) int {
	if t.inputLengths == nil {
		return t.frames
	}
	return t.inputLengths[n]
}

// sequence returns the frames of sequence n in x or in a gradient, a row each.
func (t *ctcTask[F]) sequence(data []F, n int) view.Rows[F] {
	if t.frames == 0 {
		return view.Rows[F]{}
	}
	if t.batchFirst {
		return view.Of(data[n*t.frames*t.classes:], t.classes, t.classes)
	}
	return view.Of(data[n*t.classes:], t.classes, t.batch*t.classes)
}

// schedule sorts the sequences by cost, so that a long one does not come last.
func (t *ctcTask[F]) schedule() {
	t.order = workspace.Resize(t.order, t.batch)
	for n := range t.order {
		t.order[n] = n
	}
	slices.SortFunc(t.order, func(a, b int) int {
		return cmp.Compare(t.inputLength(b)*(t.classes+t.targetLengths[b]), t.inputLength(a)*(t.classes+t.targetLengths[a]))
	})
}

// cost returns about how many nanoseconds the call takes.
func (t *ctcTask[F]) cost() (cost float64) {
	for n := range t.batch {
		states := float64(t.targetLengths[n])*stateCost + float64(t.classes)*scoreCost()
		cost += float64(t.inputLength(n)) * (frameCost + states)
	}
	return cost
}

// Item does one sequence.
func (t *ctcTask[F]) Item(i int) {
	n := t.order[i]
	s := workspace.Take[ctcSequence[F], F](&ctcSequences)
	s.frames, s.x, s.scores = t.inputLength(n), t.sequence(t.x, n), t.scores
	if t.out.wantGrad() {
		s.grad, s.gradFrames, s.inPlace = t.sequence(t.out.grad, n), t.frames, t.inPlace
		s.streams = len(t.x) >= streamBytes/fp.Size[F]()
		s.wantSoftmax, s.scale = t.wantSoftmax, t.out.factor(n, t.share(n))
	}
	loss := s.compute(t.labels(n), t.blank, keptBytes)
	s.release()
	if t.zeroInfinity && math.IsInf(loss, 1) {
		loss = 0
	}
	t.losses[n] = loss
	if t.out.wantLosses() {
		t.out.losses[n] = F(loss)
	}
}

// share returns the derivative of the reduced loss with respect to loss n.
func (t *ctcTask[F]) share(n int) float64 {
	if t.reduction == Sum {
		return 1
	}
	return 1 / (float64(max(t.targetLengths[n], 1)) * float64(t.batch))
}

// reduce adds the losses, in order.
func (t *ctcTask[F]) reduce() float64 {
	if t.reduction == Mean && t.batch == 0 {
		return math.NaN()
	}
	var sum float64
	for n, loss := range t.losses {
		if t.reduction == Mean {
			loss /= float64(max(t.targetLengths[n], 1))
		}
		sum += loss
	}
	if t.reduction == Mean {
		sum /= float64(t.batch)
	}
	return sum
}
