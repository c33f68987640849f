package trellis

import (
	"fmt"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/workspace"
)

// alignTask is the state of one call of an aligner.
type alignTask[F Float] struct {
	ctcBatch[F]
	workers        int
	anyScore       float64
	wantConfidence bool
	spans          []Span
	sums           []float64 // the scores of the sequences, or nil
	spanStarts     []int     // where the spans of a sequence begin
}

var alignTasks workspace.Pools

// run checks the arguments and then aligns all sequences.
func (t *alignTask[F]) run(x Tensor[F]) error {
	if err := t.check(x); err != nil {
		return err
	}
	t.schedule()
	cost := t.cost()
	if !t.wantConfidence {
		cost /= 2 // of that of the loss
	}
	parallel.Run(t, t.batch, parallel.Workers(t.workers, t.batch, cost))
	return nil
}

// release gives the task back without what it borrowed.
func (t *alignTask[F]) release() {
	*t = alignTask[F]{ctcBatch: t.kept(), spanStarts: t.spanStarts[:0]}
	workspace.Give[F](&alignTasks, t)
}

// check reports everything that is wrong with the arguments.
func (t *alignTask[F]) check(x Tensor[F]) error {
	if err := t.checkInput(x); err != nil {
		return err
	}
	labels := 0
	t.spanStarts = workspace.Resize(t.spanStarts, t.batch)
	for n, s := range t.targetLengths {
		t.spanStarts[n] = labels
		labels += s
	}
	if len(t.spans) != labels {
		return &ArgumentError{t.method, "len(spans)", nil, len(t.spans), fmt.Sprintf("want %d, one for each label", labels)}
	}
	if t.sums == nil {
		return nil
	}
	if err := t.checkBatch("scores", len(t.sums), x.Shape); err != nil {
		return err
	}
	if fp.IsFloat32[F]() {
		return nil
	}
	return checkApart(t.method, "scores", "x", t.sums, fp.AsFloat64(t.x))
}

// Item aligns one sequence.
func (t *alignTask[F]) Item(i int) {
	n := t.order[i]
	s := workspace.Take[alignment[F], F](&alignments)
	s.frames, s.x, s.scores = t.inputLength(n), t.sequence(t.x, n), pathScores{t.scores, t.anyScore, t.isFar()}
	s.spans = t.spans[t.spanStarts[n]:][:t.targetLengths[n]]
	score := s.align(t.labels(n), t.blank, t.wantConfidence, keptBytes, usualSizes)
	s.release()
	if t.sums != nil {
		t.sums[n] = score
	}
}
