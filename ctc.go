package trellis

import "github.com/gotrellis/trellis/internal/workspace"

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
// single sequence: T frames, N sequences, C classes. Scores says whether they are
// log-probabilities, logits or probabilities. From probabilities all results are those of
// their logarithms, but for rounding; no logarithm and no exp is taken.
//
// targets holds the labels of all sequences, either padded to rows of one length
// S, len(targets) = N·S, or concatenated, len(targets) = Σ targetLengths. Labels
// are classes other than Blank; what pads a row is not looked at.
// targetLengths[n] is how many labels sequence n has; nil means that all have as many,
// len(targets)/N. inputLengths[n] is how many frames of sequence n count; nil means T for
// all. What later frames hold does not matter, not even NaN.
//
// A target that cannot be spelled, because it needs more frames than there are
// or classes that are at −Inf, has the loss +Inf and the gradient 0. A probability of 0 is
// like −Inf. An empty target's loss is that of blanks only. A sequence of no frames has the
// loss 0 if its target is empty and +Inf if not. NaN or +Inf at the blank or at a label of
// the target, in a frame that counts, makes the loss NaN, and the gradient NaN in
// all frames that count. So does a probability below 0 or above 1.001 there, and of logits a
// NaN or +Inf anywhere in the frame or a frame of only −Inf. One limit is far out: a logit or
// log-probability 2²¹ nats below the best one of the blank and the target's labels in its
// frame is taken for −Inf. Near 0 the loss keeps its relative accuracy; from float32 logits
// it has the rounding of a sum over the classes, which is some 2⁻²³, and 2⁻¹⁸ where thousands
// of them have the same logit. docs/ctc.md explains the method, its errors and its cost.
//
// Methods return an *ArgumentError, and write nothing, if the shape of x does not
// describe its data or has more than 2²⁶ frames or 2³¹−1 classes, if Blank is no
// class, if a length or the number of lengths or targets does not fit, if a label
// is out of range or the blank, if Reduction, Scores, Gradient or Workers has no meaning,
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
	// Scores says what x is: LogProbabilities, Logits or Probabilities.
	Scores Scores
	// BatchFirst takes x as (N,T,C) instead of (T,N,C).
	BatchFirst bool
	// Gradient says with respect to what Grad and VJP differentiate.
	Gradient CTCGradient
	// Workers is the most goroutines that work on one call, each on whole
	// sequences: 1 means none beside the caller's, and 0 as many as the work
	// is worth, up to GOMAXPROCS.
	Workers int
}

// CTCGradient names what the loss is differentiated by. The occupancy of a class
// in a frame is the probability that the frame emits it, given the target.
type CTCGradient uint8

const (
	// LogitsGradient is the softmax less the occupancy: exp(x) − occupancy from
	// LogProbabilities, softmax(x) − occupancy from Logits, x − occupancy from
	// Probabilities. It is the derivative with respect to the logits whose log-softmax
	// or softmax x is. PyTorch returns this as the gradient of its log_probs, where it is
	// right only because a log-softmax precedes.
	LogitsGradient CTCGradient = iota
	// ScoresGradient is −occupancy: the derivative with respect to x as it
	// stands, be it log-probabilities or unnormalised scores; from Logits,
	// with respect to the log-softmax of x. From Probabilities it is −occupancy/x, the
	// derivative with respect to x as it stands, and 0 where x is 0. It is ±Inf only where
	// that is too large for F. An occupancy below 2⁻²⁰⁰ counts as 0.
	ScoresGradient
)

// Loss returns the reduced loss.
func (l CTCLoss[F]) Loss(x Tensor[F], targets, inputLengths, targetLengths []int) (F, error) {
	return l.run("CTCLoss.Loss", outputs[F]{}, x, targets, inputLengths, targetLengths)
}

// Losses writes the loss of every sequence to dst: PyTorch's reduction "none". dst has one
// element for each sequence and must not overlap x.
func (l CTCLoss[F]) Losses(dst []F, x Tensor[F], targets, inputLengths, targetLengths []int) error {
	_, err := l.run("CTCLoss.Losses", outputs[F]{want: allLosses, losses: dst}, x, targets, inputLengths, targetLengths)
	return err
}

// Grad returns the reduced loss and writes its gradient to grad, which has x's
// layout and may be x.Data. In frames that do not count it is exactly 0.
func (l CTCLoss[F]) Grad(grad []F, x Tensor[F], targets, inputLengths, targetLengths []int) (F, error) {
	return l.run("CTCLoss.Grad", outputs[F]{want: lossAndGrad, grad: grad}, x, targets, inputLengths, targetLengths)
}

// LossesGrad is Losses and Grad in one pass: it writes the loss of every sequence to losses,
// returns the reduced loss and writes its gradient to grad. losses has one element for each
// sequence and must not overlap x or grad; grad has x's layout and may be x.Data.
func (l CTCLoss[F]) LossesGrad(losses, grad []F, x Tensor[F], targets, inputLengths, targetLengths []int) (F, error) {
	out := outputs[F]{want: lossesAndGrad, losses: losses, grad: grad}
	return l.run("CTCLoss.LossesGrad", out, x, targets, inputLengths, targetLengths)
}

// VJP writes to grad the gradient of Σ upstream[n]·loss[n], whatever Reduction
// is: the vector-Jacobian product of the losses, by what Gradient says. grad has x's
// layout and may be x.Data; upstream has one factor for each sequence and must not overlap
// grad.
func (l CTCLoss[F]) VJP(grad, upstream []F, x Tensor[F], targets, inputLengths, targetLengths []int) error {
	out := outputs[F]{want: productVJP, grad: grad, upstream: upstream}
	_, err := l.run("CTCLoss.VJP", out, x, targets, inputLengths, targetLengths)
	return err
}

func (l CTCLoss[F]) run(method string, out outputs[F], x Tensor[F], targets, inputLengths, targetLengths []int) (F, error) {
	if err := checkOptions(method, l.Reduction, l.Workers); err != nil {
		return 0, err
	}
	if err := checkScores(method, l.Scores); err != nil {
		return 0, err
	}
	if l.Gradient > ScoresGradient {
		return 0, &ArgumentError{method, "Gradient", nil, uint8(l.Gradient), "neither LogitsGradient nor ScoresGradient"}
	}
	t := workspace.Take[ctcTask[F], F](&ctcTasks)
	defer t.release()
	t.ctcInput = ctcInput{blank: l.Blank, scores: l.Scores, batchFirst: l.BatchFirst}
	t.ctcOptions = ctcOptions{
		workers: l.Workers, reduction: l.Reduction, zeroInfinity: l.ZeroInfinity, wantSoftmax: l.Gradient == LogitsGradient,
	}
	t.method, t.out = method, out
	t.targets, t.inputLengths, t.targetLengths = targets, inputLengths, targetLengths
	return t.run(x)
}
