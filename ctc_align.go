package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/workspace"
)

// CTCAligner finds out when each label of a target was said: forced alignment, the Viterbi
// algorithm (A. J. Viterbi, IEEE Trans. Inf. Theory 13, 1967) on the trellis of CTC (A. Graves
// et al., ICML 2006, §4.1). Of all ways to spell a target, one class in each frame, it takes the
// most probable one. The zero value is ready to use. A value may be used concurrently; its
// methods allocate nothing once their workspaces are pooled, and give the same bits on every
// machine and for any number of workers.
//
// The scores x, targets and lengths are those of CTCLoss: x has the shape (T,N,C), or (N,T,C)
// with BatchFirst, or (T,C) for a single sequence, targets are padded or concatenated, and nil
// for lengths means that all are as long as they can be. A label is a class other than Blank, or
// AnyLabel, a wildcard for what was said and is not in the text, at the ends and between words: it
// takes one frame or more, whatever their classes are, each at the log-probability AnyScore. It
// equals no label, so no blank is needed beside it. As −1 is a common padding, targets of several
// sequences with AnyLabel need targetLengths.
//
// The path is the one with the largest Σ ln p, frames added in order in float64. Of equal
// predecessors it stays in its state rather than to go to the next one, and that rather than to
// skip a blank; at the end it takes the last label rather than the last blank. From Logits the
// path is chosen by the scores as they are, for what all classes of a frame have in common moves
// no path, and ln p is x − LogSumExp of the frame. From Probabilities ln p is the logarithm of x.
// docs/alignment.md explains the method, its memory and its cost.
//
// A target that cannot be spelled, because it needs more frames than there are (LeastFrames tells
// how many) or classes at −Inf, has the score −Inf and spans {0, 0, −Inf, 0}. What makes the loss NaN (NaN or +Inf
// at the blank or at a label of the target in a frame that counts, from Logits a NaN or +Inf anywhere in
// the frame or a frame of only −Inf, a probability below 0 or above 1.001) makes the score NaN and
// spans {0, 0, NaN, NaN}. Neither is an error, and other sequences of the batch are not affected.
// Beyond ±2⁹⁰⁰ a score counts as infinite, and so does AnyScore.
//
// Methods return an *ArgumentError, and write nothing, where those of CTCLoss do, if the number of
// spans or scores is wrong, if AnyScore is NaN or +Inf, or if scores overlaps x.
type CTCAligner[F Float] struct {
	// Blank is the class that stands for no label, in [0,C).
	Blank int
	// Scores says what x is: LogProbabilities, Logits or Probabilities.
	Scores Scores
	// BatchFirst takes x as (N,T,C) instead of (T,N,C).
	BatchFirst bool
	// Confidence asks for the confidence of each span, which takes about as long as the gradient of
	// CTCLoss does.
	Confidence bool
	// AnyScore is the log-probability of AnyLabel in a frame, usually at most 0: how readily frames
	// are left to it instead of the text. The default 0 is a class that is certain in every frame.
	AnyScore float64
	// Workers is the most goroutines that work on one call, each on whole
	// sequences: 1 means none beside the caller's, and 0 as many as the work
	// is worth, up to GOMAXPROCS.
	Workers int
}

// Align writes the span of every label of all targets to spans, in order, and the score of every
// sequence's path, Σ ln p, to scores, which may be nil if nobody wants them. len(spans) is the
// number of all labels, Σ targetLengths, of padded targets as well; scores has one element for each
// sequence and must not overlap x.
func (a CTCAligner[F]) Align(spans []Span, scores []float64, x Tensor[F], targets, inputLengths, targetLengths []int) error {
	const method = "CTCAligner.Align"
	if err := checkWorkers(method, a.Workers); err != nil {
		return err
	}
	if err := checkScores(method, a.Scores); err != nil {
		return err
	}
	if !(a.AnyScore < largestScore) {
		return &ArgumentError{method, "AnyScore", nil, a.AnyScore, "no log-probability"}
	}
	if a.AnyScore <= -largestScore {
		a.AnyScore = math.Inf(-1)
	}
	t := workspace.Take[alignTask[F], F](&alignTasks)
	defer t.release()
	t.ctcInput = ctcInput{blank: a.Blank, scores: a.Scores, batchFirst: a.BatchFirst, wildcards: true}
	t.method, t.workers, t.anyScore, t.wantConfidence = method, a.Workers, a.AnyScore, a.Confidence
	t.spans, t.sums = spans, scores
	t.targets, t.inputLengths, t.targetLengths = targets, inputLengths, targetLengths
	return t.run(x)
}
