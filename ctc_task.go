package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/workspace"
)

// ctcTask is the state of one call of a loss: what it works on, checked, and how the
// sequences are divided among workers.
type ctcTask[F Float] struct {
	ctcBatch[F]
	ctcOptions
	out     outputs[F]
	inPlace bool // the gradient overwrites scores
	losses  []float64
}

// ctcOptions are those of a loss; wantSoftmax says that a softmax is part of its gradient.
type ctcOptions struct {
	workers                   int
	reduction                 Reduction
	zeroInfinity, wantSoftmax bool
}

var ctcTasks workspace.Pools

// run checks the arguments and then computes what out asks for.
func (t *ctcTask[F]) run(x Tensor[F]) (F, error) {
	if err := t.check(x); err != nil {
		return 0, err
	}
	t.inPlace = t.out.wantGrad() && overlap(t.out.grad, t.x)
	t.schedule()
	t.losses = workspace.Resize(t.losses, t.batch)
	parallel.Run(t, t.batch, parallel.Workers(t.workers, t.batch, t.cost()))
	return F(t.reduce()), nil
}

// release gives the task back without what it borrowed.
func (t *ctcTask[F]) release() {
	*t = ctcTask[F]{ctcBatch: t.kept(), losses: t.losses[:0]}
	workspace.Give[F](&ctcTasks, t)
}

// check reports everything that is wrong with the arguments.
func (t *ctcTask[F]) check(x Tensor[F]) error {
	if err := t.checkInput(x); err != nil {
		return err
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

// Item does one sequence.
func (t *ctcTask[F]) Item(i int) {
	n := t.order[i]
	s := workspace.Take[ctcSequence[F], F](&ctcSequences)
	s.frames, s.x, s.scores, s.isFar = t.inputLength(n), t.sequence(t.x, n), t.scores, t.isFar()
	if t.out.wantGrad() {
		s.grad, s.gradFrames, s.inPlace = t.sequence(t.out.grad, n), t.frames, t.inPlace
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
