package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/stretchr/testify/require"
)

// Methods are the five methods of every loss, bound to their arguments.
type Methods[F trellis.Float] struct {
	Loss   func() (F, error)
	Losses func(dst []F) error
	Grad   func(grad []F) (F, error)
	VJP    func(grad, upstream []F) error

	LossesGrad func(losses, grad []F) (F, error)
}

// ClassLoss is NLLLoss or CrossEntropyLoss.
type ClassLoss[F trellis.Float] interface {
	Loss(x trellis.Tensor[F], targets []int) (F, error)
	Losses(dst []F, x trellis.Tensor[F], targets []int) error
	Grad(grad []F, x trellis.Tensor[F], targets []int) (F, error)
	VJP(grad, upstream []F, x trellis.Tensor[F], targets []int) error
	LossesGrad(losses, grad []F, x trellis.Tensor[F], targets []int) (F, error)
}

// BindClasses binds class targets.
func BindClasses[F trellis.Float](l ClassLoss[F], x trellis.Tensor[F], targets []int) Methods[F] {
	return Methods[F]{
		Loss:   func() (F, error) { return l.Loss(x, targets) },
		Losses: func(dst []F) error { return l.Losses(dst, x, targets) },
		Grad:   func(grad []F) (F, error) { return l.Grad(grad, x, targets) },
		VJP:    func(grad, upstream []F) error { return l.VJP(grad, upstream, x, targets) },

		LossesGrad: func(losses, grad []F) (F, error) { return l.LossesGrad(losses, grad, x, targets) },
	}
}

// BindProbs binds class probabilities.
func BindProbs[F trellis.Float](l trellis.CrossEntropyLoss[F], x, target trellis.Tensor[F]) Methods[F] {
	return Methods[F]{
		Loss:   func() (F, error) { return l.LossProbs(x, target) },
		Losses: func(dst []F) error { return l.LossesProbs(dst, x, target) },
		Grad:   func(grad []F) (F, error) { return l.GradProbs(grad, x, target) },
		VJP:    func(grad, upstream []F) error { return l.VJPProbs(grad, upstream, x, target) },

		LossesGrad: func(losses, grad []F) (F, error) { return l.LossesGradProbs(losses, grad, x, target) },
	}
}

// BindCTC binds the arguments of CTCLoss.
func BindCTC[F trellis.Float](l trellis.CTCLoss[F], x trellis.Tensor[F], targets, inputLengths, targetLengths []int) Methods[F] {
	return Methods[F]{
		Loss:   func() (F, error) { return l.Loss(x, targets, inputLengths, targetLengths) },
		Losses: func(dst []F) error { return l.Losses(dst, x, targets, inputLengths, targetLengths) },
		Grad:   func(grad []F) (F, error) { return l.Grad(grad, x, targets, inputLengths, targetLengths) },
		VJP:    func(grad, upstream []F) error { return l.VJP(grad, upstream, x, targets, inputLengths, targetLengths) },

		LossesGrad: func(losses, grad []F) (F, error) {
			return l.LossesGrad(losses, grad, x, targets, inputLengths, targetLengths)
		},
	}
}

// Call is one call of a loss, with all of its arguments chosen but for those that a test
// varies, and what the reference says of it. What it was made of must not change: the
// reference is asked only when a test needs it.
type Call[F trellis.Float] struct {
	Name    string
	X       trellis.Tensor[F]
	Bind    func(x trellis.Tensor[F], reduction trellis.Reduction, workers int) Methods[F]
	samples int // that have a loss
	want    func() reference
}

// Results are all that the methods of a call compute.
type Results[F trellis.Float] struct {
	Loss, GradLoss    F // the reduced loss, from Loss and from Grad
	Losses, Grad, VJP []F
}

// Run returns what the methods of a call compute. LossesGrad must have the bits of Losses and
// Grad.
func (c Call[F]) Run(t *testing.T, reduction trellis.Reduction, workers int, upstream []F) Results[F] {
	t.Helper()
	out, err := c.try(reduction, workers, upstream)
	require.NoError(t, err, c.Name)
	losses, grad := Filled[F](c.samples), Filled[F](len(c.X.Data))
	loss, err := c.Bind(c.X, reduction, workers).LossesGrad(losses, grad)
	require.NoError(t, err, c.Name)
	RequireSameBits(t, c.Name+": loss of LossesGrad", []F{out.GradLoss}, []F{loss})
	RequireSameBits(t, c.Name+": losses of LossesGrad", out.Losses, losses)
	RequireSameBits(t, c.Name+": gradient of LossesGrad", out.Grad, grad)
	return out
}

// try is Run for any goroutine.
func (c Call[F]) try(reduction trellis.Reduction, workers int, upstream []F) (out Results[F], err error) {
	m := c.Bind(c.X, reduction, workers)
	out.Losses = Filled[F](c.samples)
	out.Grad, out.VJP = Filled[F](len(c.X.Data)), Filled[F](len(c.X.Data))
	var errs [4]error
	out.Loss, errs[0] = m.Loss()
	errs[1] = m.Losses(out.Losses)
	out.GradLoss, errs[2] = m.Grad(out.Grad)
	errs[3] = m.VJP(out.VJP, upstream)
	return out, errors.Join(errs[:]...)
}

// requireSame fails unless two results have the same bits.
func (r Results[F]) requireSame(t *testing.T, what string, other Results[F]) {
	t.Helper()
	RequireSameBits(t, what+": loss", []F{r.Loss, r.GradLoss}, []F{other.Loss, other.GradLoss})
	RequireSameBits(t, what+": losses", r.Losses, other.Losses)
	RequireSameBits(t, what+": gradient", r.Grad, other.Grad)
	RequireSameBits(t, what+": VJP", r.VJP, other.VJP)
}

// ClassCase is a call of NLLLoss or CrossEntropyLoss before its element type is chosen.
type ClassCase struct {
	Kind      string // "NLL", "CE" or "probs"
	Shape     []int
	Weight    []float64 // nil is the default
	Ignore    *int      // nil is the default
	Smoothing float64
	spread    float64 // of random scores
}

func (c ClassCase) String() string {
	ignore := "default"
	if c.Ignore != nil {
		ignore = fmt.Sprint(*c.Ignore)
	}
	return fmt.Sprintf("%s%v weights=%t ignore=%s smoothing=%g", c.Kind, c.Shape, c.Weight != nil, ignore, c.Smoothing)
}

// classes returns the number of classes.
func (c ClassCase) classes() int { return c.Shape[min(1, len(c.Shape)-1)] }

// positions returns the number of positions.
func (c ClassCase) positions() int { return len(classScores(c.Shape)) }

// ignored returns the target that is ignored.
func (c ClassCase) ignored() int {
	if c.Ignore != nil {
		return *c.Ignore
	}
	return -100
}

// weights returns the weights that a loss takes, in F.
func weights[F trellis.Float](c ClassCase) []F {
	if c.Weight == nil {
		return nil
	}
	return Cast[F](c.Weight)
}

// options returns the options for the reference, with weights and smoothing as
// they are in F.
func options[F trellis.Float](c ClassCase) classOptions {
	weight := Cast[float64](weights[F](c))
	if c.Weight == nil {
		weight = slices.Repeat([]float64{1}, c.classes())
	}
	return classOptions{weight: weight, ignore: c.ignored(), smoothing: float64(F(c.Smoothing))}
}

// crossEntropy returns CrossEntropyLoss with the options of a case.
func crossEntropy[F trellis.Float](c ClassCase, r trellis.Reduction, workers int) trellis.CrossEntropyLoss[F] {
	return trellis.CrossEntropyLoss[F]{Weight: weights[F](c), IgnoreIndex: c.Ignore, Reduction: r, Workers: workers, LabelSmoothing: F(c.Smoothing)}
}

// ClassCall makes a call with class targets.
func ClassCall[F trellis.Float](c ClassCase, x trellis.Tensor[F], targets []int) Call[F] {
	call := Call[F]{Name: c.String(), X: x, samples: len(targets)}
	call.Bind = func(x trellis.Tensor[F], r trellis.Reduction, workers int) Methods[F] {
		if c.Kind == "CE" {
			return BindClasses(crossEntropy[F](c, r, workers), x, targets)
		}
		return BindClasses(trellis.NLLLoss[F]{Weight: weights[F](c), IgnoreIndex: c.Ignore, Reduction: r, Workers: workers}, x, targets)
	}
	call.want = sync.OnceValue(func() reference {
		if c.Kind == "CE" {
			return refCrossEntropy(Cast[float64](x.Data), c.Shape, targets, options[F](c))
		}
		return refNLL(Cast[float64](x.Data), c.Shape, targets, options[F](c))
	})
	return call
}

// ProbsCall makes a call with class probabilities.
func ProbsCall[F trellis.Float](c ClassCase, x, target trellis.Tensor[F]) Call[F] {
	call := Call[F]{Name: c.String(), X: x, samples: c.positions()}
	call.Bind = func(x trellis.Tensor[F], r trellis.Reduction, workers int) Methods[F] {
		return BindProbs(crossEntropy[F](c, r, workers), x, target)
	}
	call.want = sync.OnceValue(func() reference {
		r := refCrossEntropyProbs(Cast[float64](x.Data), c.Shape, Cast[float64](target.Data), options[F](c))
		// The logarithm of a probability near 1 is as exact as the sum of exp.
		r.floor = 4 * Epsilon[F]() * r.mass
		return r
	})
	return call
}

// CTCCase is a call of CTCLoss before its element type is chosen, with nothing left to
// defaults.
type CTCCase struct {
	Frames, Batch, Classes int
	BatchFirst, Unbatched  bool
	Blank                  int
	Targets                [][]int // of each sequence
	InputLengths           []int
	Scores                 trellis.Scores
	ZeroInfinity           bool
	ScoresGradient         bool

	padding int     // what pads targets beyond the longest, or −1 to concatenate
	spread  float64 // of random scores
	raw     bool    // random scores that are not log-probabilities
}

func (c CTCCase) String() string {
	return fmt.Sprintf("CTC T=%d N=%d C=%d batchFirst=%t unbatched=%t blank=%d targets=%v lengths=%v padding=%d scores=%d raw=%t zero=%t by scores=%t",
		c.Frames, c.Batch, c.Classes, c.BatchFirst, c.Unbatched, c.Blank, fewer(c.Targets), fewer(c.InputLengths), c.padding, c.Scores, c.raw, c.ZeroInfinity, c.ScoresGradient)
}

// fewer shortens what a message shows.
func fewer[T any](x []T) string {
	if s := fmt.Sprint(x); len(s) <= 60 {
		return s
	}
	return fmt.Sprintf("[%d of them]", len(x))
}

// Shape returns the shape of the scores.
func (c CTCCase) Shape() []int {
	switch {
	case c.Unbatched:
		return []int{c.Frames, c.Classes}
	case c.BatchFirst:
		return []int{c.Batch, c.Frames, c.Classes}
	}
	return []int{c.Frames, c.Batch, c.Classes}
}

// At returns where in the scores a frame begins.
func (c CTCCase) At(sequence, frame int) int {
	if c.BatchFirst {
		return (sequence*c.Frames + frame) * c.Classes
	}
	return (frame*c.Batch + sequence) * c.Classes
}

// flatten returns the targets as CTCLoss takes them, and their lengths. What
// pads them is no class.
func (c CTCCase) flatten() (targets, lengths []int) {
	longest := 0
	for _, target := range c.Targets {
		lengths = append(lengths, len(target))
		longest = max(longest, len(target))
	}
	for _, target := range c.Targets {
		targets = append(targets, target...)
		if c.padding >= 0 {
			targets = append(targets, slices.Repeat([]int{-7}, longest+c.padding-len(target))...)
		}
	}
	return targets, lengths
}

// ctcLoss returns the loss with the options of the case.
func ctcLoss[F trellis.Float](c CTCCase) trellis.CTCLoss[F] {
	l := trellis.CTCLoss[F]{Blank: c.Blank, ZeroInfinity: c.ZeroInfinity, Scores: c.Scores, BatchFirst: c.BatchFirst}
	if c.ScoresGradient {
		l.Gradient = trellis.ScoresGradient
	}
	return l
}

// CTCCall makes a call with the given scores.
func CTCCall[F trellis.Float](c CTCCase, x trellis.Tensor[F]) Call[F] {
	call := Call[F]{Name: c.String(), X: x, samples: c.Batch}
	targets, lengths := c.flatten()
	inputLengths := c.InputLengths
	if !slices.ContainsFunc(inputLengths, func(n int) bool { return n != c.Frames }) {
		inputLengths = nil
	}
	call.Bind = func(x trellis.Tensor[F], r trellis.Reduction, workers int) Methods[F] {
		l := ctcLoss[F](c)
		l.Reduction, l.Workers = r, workers
		return BindCTC(l, x, targets, inputLengths, lengths)
	}
	call.want = sync.OnceValue(func() reference {
		r := refCTCLoss(Cast[float64](x.Data), c)
		// A loss can be the small difference of large numbers, the number of
		// paths and their scores, and each frame rounds α a few times.
		r.floor = float64(c.Frames+1) * promisedRelative[F]() / 8
		return r
	})
	return call
}
