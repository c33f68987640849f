package trellis

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/workspace"
)

// CTCLoss is the connectionist temporal classification loss of A. Graves,
// S. Fernández, F. Gomez and J. Schmidhuber (ICML 2006), with the semantics of
// torch.nn.CTCLoss: the negative logarithm, in nats, of the probability that a
// sequence of frames spells a target when every frame emits one class, repeated
// classes are merged and blanks are dropped. The zero value is ready to use and
// has PyTorch's defaults. A value may be used concurrently; its methods allocate
// nothing once their workspaces are pooled, and give the same bits for any
// number of workers.
//
// The scores x have the shape (T,N,C), or (N,T,C) with BatchFirst, or (T,C) for a
// single sequence: T frames, N sequences, C classes. They are log-probabilities,
// or, with FromLogits, anything that log-softmax makes log-probabilities of.
//
// targets holds the labels of all sequences, either padded to rows of one length
// S, len(targets) = N·S, or concatenated, len(targets) = Σ targetLengths. Labels
// are classes other than Blank; what pads a row is not looked at.
// inputLengths[n] is how many frames of sequence n count; nil means T for all.
// What later frames hold does not matter, not even NaN.
//
// A target that cannot be spelled, because it needs more frames than there are
// or classes that are at −Inf, has the loss +Inf and the gradient 0. An empty
// target's loss is that of blanks only. A sequence of no frames has the loss 0 if
// its target is empty and +Inf if not. NaN or +Inf at the blank or at a label of
// the target, in a frame that counts, makes the loss NaN, and the gradient NaN in
// all frames that count; with FromLogits a NaN or +Inf anywhere in the frame
// does, and so does a frame of only −Inf. One limit is far out: a score 2²¹
// nats below the best one of the blank and the target's labels in its frame is
// taken for −Inf. docs/ctc.md explains the method, its errors and its cost.
//
// Methods return an *ArgumentError, and write nothing, if the shape of x does not
// describe its data or has more than 2²⁶ frames or 2³¹−1 classes, if Blank is no
// class, if a length or the number of lengths or targets does not fit, if a label
// is out of range or the blank, if Reduction, Gradient or Workers has no meaning,
// or if a destination overlaps an argument (grad may be x.Data itself).
type CTCLoss[F Float] struct {
	// Blank is the class that stands for no label, in [0,C).
	Blank int
	// Reduction is that of Loss and Grad. As in PyTorch, Mean is the mean over
	// the batch of each loss divided by the length of its target (or by 1 if
	// that is 0), which is not the mean of the losses; of an empty batch it is
	// NaN.
	Reduction Reduction
	// ZeroInfinity makes a loss of +Inf count as 0. The sequence still counts
	// in the mean's denominator.
	ZeroInfinity bool
	// FromLogits takes x through a log-softmax over the classes first.
	FromLogits bool
	// BatchFirst takes x as (N,T,C) instead of (T,N,C).
	BatchFirst bool
	// Gradient says with respect to what Grad and VJP differentiate.
	Gradient CTCGradient
	// Workers is the most goroutines that work on one call, each on whole
	// sequences: 0 means GOMAXPROCS, 1 none beside the caller's.
	Workers int
}

// CTCGradient names what the loss is differentiated by. The occupancy of a class
// in a frame is the probability that the frame emits it, given the target.
type CTCGradient uint8

const (
	// LogitsGradient is exp(x) − occupancy, or softmax(x) − occupancy with
	// FromLogits: the derivative with respect to the logits whose log-softmax x
	// is. PyTorch returns this as the gradient of its log_probs, where it is
	// right only because a log-softmax precedes.
	LogitsGradient CTCGradient = iota
	// ScoresGradient is −occupancy: the derivative with respect to x as it
	// stands, be it log-probabilities or unnormalised scores; with FromLogits,
	// with respect to the log-softmax of x.
	ScoresGradient
)

// maxFrames bounds T so that exponents stay apart from never: each frame adds at most
// 2²¹ nats.
const maxFrames = 1 << 26

// Loss returns the reduced loss.
func (l CTCLoss[F]) Loss(x Tensor[F], targets, inputLengths, targetLengths []int) (F, error) {
	return l.run("CTCLoss.Loss", outputs[F]{}, x, targets, inputLengths, targetLengths)
}

// Losses writes the loss of every sequence to dst: PyTorch's reduction "none".
func (l CTCLoss[F]) Losses(dst []F, x Tensor[F], targets, inputLengths, targetLengths []int) error {
	_, err := l.run("CTCLoss.Losses", outputs[F]{want: allLosses, losses: dst}, x, targets, inputLengths, targetLengths)
	return err
}

// Grad returns the reduced loss and writes its gradient to grad, which has x's
// layout and may be x.Data. In frames that do not count it is exactly 0.
func (l CTCLoss[F]) Grad(grad []F, x Tensor[F], targets, inputLengths, targetLengths []int) (F, error) {
	return l.run("CTCLoss.Grad", outputs[F]{want: lossAndGrad, grad: grad}, x, targets, inputLengths, targetLengths)
}

// VJP writes to grad the gradient of Σ upstream[n]·loss[n], whatever Reduction
// is: the vector-Jacobian product of the losses. grad has x's layout and may be
// x.Data; upstream has one factor for each sequence.
func (l CTCLoss[F]) VJP(grad, upstream []F, x Tensor[F], targets, inputLengths, targetLengths []int) error {
	out := outputs[F]{want: productVJP, grad: grad, upstream: upstream}
	_, err := l.run("CTCLoss.VJP", out, x, targets, inputLengths, targetLengths)
	return err
}

// ctcTask is the state of one call.
type ctcTask[F Float] struct {
	CTCLoss[F]
	method  string // for errors
	out     outputs[F]
	x       []F
	length  int // T, the frames of x
	batch   int // N, its sequences
	classes int // C
	targets []int
	lengths []int // inputLengths, or nil
	spelled []int // targetLengths
	starts  []int // where the targets of a sequence begin
	order   []int // the sequences, the most expensive one first
	losses  []float64
}

var ctcTasks workspace.Pools

func (l CTCLoss[F]) run(method string, out outputs[F], x Tensor[F], targets, inputLengths, targetLengths []int) (F, error) {
	t := workspace.Take[ctcTask[F], F](&ctcTasks)
	defer t.release()
	t.CTCLoss, t.method, t.out = l, method, out
	t.x, t.targets, t.lengths, t.spelled = x.Data, targets, inputLengths, targetLengths
	if err := t.check(x); err != nil {
		return 0, err
	}
	t.schedule()
	t.losses = workspace.Resize(t.losses, t.batch)
	parallel.Run(t, t.batch, t.Workers)
	return F(t.reduce()), nil
}

// release gives the task back without what it borrowed.
func (t *ctcTask[F]) release() {
	*t = ctcTask[F]{starts: t.starts[:0], order: t.order[:0], losses: t.losses[:0]}
	workspace.Give[F](&ctcTasks, t)
}

// check reports everything that is wrong with the arguments.
func (t *ctcTask[F]) check(x Tensor[F]) error {
	if err := t.checkScores(x); err != nil {
		return err
	}
	if err := t.checkInputLengths(); err != nil {
		return err
	}
	if err := t.checkTargetLengths(); err != nil {
		return err
	}
	for n := range t.batch {
		if err := t.checkLabels(n); err != nil {
			return err
		}
	}
	return t.out.check(t.method, t.x, t.batch)
}

// checkScores checks the options and the shape of x, and takes it apart.
func (t *ctcTask[F]) checkScores(x Tensor[F]) error {
	if err := checkOptions(t.method, t.Reduction, t.Workers); err != nil {
		return err
	}
	if t.Gradient > ScoresGradient {
		return &ArgumentError{t.method, "Gradient", nil, uint8(t.Gradient), "neither LogitsGradient nor ScoresGradient"}
	}
	if len(x.Shape) != 2 && len(x.Shape) != 3 {
		return &ArgumentError{t.method, "x.Shape", nil, clone(x.Shape), "want (T,C), (T,N,C), or (N,T,C) with BatchFirst"}
	}
	if err := x.check(t.method, "x"); err != nil {
		return err
	}
	switch {
	case len(x.Shape) == 2:
		t.length, t.batch, t.classes = x.Shape[0], 1, x.Shape[1]
	case t.BatchFirst:
		t.batch, t.length, t.classes = x.Shape[0], x.Shape[1], x.Shape[2]
	default:
		t.length, t.batch, t.classes = x.Shape[0], x.Shape[1], x.Shape[2]
	}
	switch {
	case t.Blank < 0 || t.Blank >= t.classes:
		return &ArgumentError{t.method, "Blank", nil, t.Blank, fmt.Sprintf("class outside [0,%d)", t.classes)}
	case t.classes > math.MaxInt32:
		return &ArgumentError{t.method, "x.Shape", []int{len(x.Shape) - 1}, t.classes, "more than 2³¹−1 classes"}
	case t.length > maxFrames:
		return &ArgumentError{t.method, "x.Shape", nil, clone(x.Shape), "more than 2²⁶ frames"}
	}
	return nil
}

// checkInputLengths reports lengths that are too few or not in [0,T].
func (t *ctcTask[F]) checkInputLengths() error {
	if t.lengths == nil {
		return nil
	}
	if err := checkLen(t.method, "inputLengths", len(t.lengths), t.batch); err != nil {
		return err
	}
	for n, frames := range t.lengths {
		if frames < 0 || frames > t.length {
			return &ArgumentError{t.method, "inputLengths", []int{n}, frames, fmt.Sprintf("outside [0,%d]", t.length)}
		}
	}
	return nil
}

// checkTargetLengths reports lengths that are too few, negative, or fit targets
// neither as padded rows nor as concatenated ones, and finds where the targets
// begin. If they fit both ways, both mean the same.
func (t *ctcTask[F]) checkTargetLengths() error {
	if err := checkLen(t.method, "targetLengths", len(t.spelled), t.batch); err != nil {
		return err
	}
	longest, total := 0, 0
	for n, s := range t.spelled {
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
	t.starts = workspace.Resize(t.starts, t.batch)
	start := 0
	for n, s := range t.spelled {
		t.starts[n] = start
		if concatenated {
			start += s
		} else {
			start += len(t.targets) / rows
		}
	}
	return nil
}

// checkLabels reports a label of sequence n that is no class, or the blank.
func (t *ctcTask[F]) checkLabels(n int) error {
	for i, label := range t.labels(n) {
		if label < 0 || label >= t.classes {
			return &ArgumentError{t.method, "targets", []int{n, i}, label, fmt.Sprintf("label outside [0,%d)", t.classes)}
		}
		if label == t.Blank {
			return &ArgumentError{t.method, "targets", []int{n, i}, label, "label is the blank"}
		}
	}
	return nil
}

// labels returns the target of sequence n.
func (t *ctcTask[F]) labels(n int) []int { return t.targets[t.starts[n]:][:t.spelled[n]] }

// frames returns how many frames of sequence n count.
func (t *ctcTask[F]) frames(n int) int {
	if t.lengths == nil {
		return t.length
	}
	return t.lengths[n]
}

// frame returns the part of x or of a gradient that is one frame.
func (t *ctcTask[F]) frame(data []F, n, frame int) []F {
	rows, _ := t.rows(data, n, frame)
	return rows[:t.classes]
}

// rows returns the part of x or of a gradient from a frame of sequence n on, and the
// distance of its frames.
func (t *ctcTask[F]) rows(data []F, n, frame int) (rows []F, stride int) {
	if t.BatchFirst {
		return data[(n*t.length+frame)*t.classes:], t.classes
	}
	return data[(frame*t.batch+n)*t.classes:], t.batch * t.classes
}

// schedule sorts the sequences by cost, so that a long one does not come last.
func (t *ctcTask[F]) schedule() {
	t.order = workspace.Resize(t.order, t.batch)
	for n := range t.order {
		t.order[n] = n
	}
	slices.SortFunc(t.order, func(a, b int) int {
		return cmp.Compare(t.frames(b)*(t.classes+t.spelled[b]), t.frames(a)*(t.classes+t.spelled[a]))
	})
}

// item does one sequence.
func (t *ctcTask[F]) Item(i int) {
	n := t.order[i]
	w := workspace.Take[lattice[F], F](&lattices)
	t.losses[n] = w.run(t, n, keptBytes)
	w.release()
	if t.ZeroInfinity && math.IsInf(t.losses[n], 1) {
		t.losses[n] = 0
	}
	if t.out.want == allLosses {
		t.out.losses[n] = F(t.losses[n])
	}
}

// share returns the derivative of the reduced loss with respect to loss n.
func (t *ctcTask[F]) share(n int) float64 {
	if t.Reduction == Sum {
		return 1
	}
	return 1 / (float64(max(t.spelled[n], 1)) * float64(t.batch))
}

// reduce adds the losses, in order.
func (t *ctcTask[F]) reduce() float64 {
	if t.Reduction == Mean && t.batch == 0 {
		return math.NaN()
	}
	var sum float64
	for n, loss := range t.losses {
		if t.Reduction == Mean {
			loss /= float64(max(t.spelled[n], 1))
		}
		sum += loss
	}
	if t.Reduction == Mean {
		sum /= float64(t.batch)
	}
	return sum
}
