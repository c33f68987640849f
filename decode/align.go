package decode

import (
	"math"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/workspace"
)

// aligner keeps the classes that were looked at, with their log-probabilities, and aligns texts
// with them.
type aligner struct {
	frames []int   // where each frame ends in logs; the blank comes first
	logs   []class // in place of probabilities, logarithms

	scores  []float64 // of the blank and the labels of a text, frame by frame
	columns []int     // of each class, which of these it is, 0 for none
	targets []int
	loss    [1]float64
	length  [1]int
	shape   [2]int
}

// forget begins without frames.
func (a *aligner) forget(classes int) {
	a.frames, a.logs = a.frames[:0], a.logs[:0]
	a.columns = workspace.Resize(a.columns, classes)
	clear(a.columns)
}

// keep keeps a frame whose probabilities have a factor with the logarithm log in common.
func (a *aligner) keep(f *frame, log float64) {
	a.logs = append(a.logs, class{fp.LogFrom0(f.blank) + log, none})
	for _, c := range f.classes {
		a.logs = append(a.logs, class{fp.LogFrom0(c.p) + log, c.label})
	}
	a.frames = append(a.frames, len(a.logs))
}

// align writes the span of every label of a text to spans, whose memory is used again, and exact
// returns ln Σ p over all paths that spell the text of the last call of align. Neither call has an
// error: the shape and the targets are made here.
func (a *aligner) align(spans []trellis.Span, labels []int) []trellis.Span {
	spans = resized(spans, len(labels))
	x := a.emissions(labels)
	_ = trellis.CTCAligner[float64]{Confidence: true, Workers: 1}.Align(spans, nil, x, a.targets, nil, a.length[:])
	return spans
}

func (a *aligner) exact() float64 {
	x := trellis.Tensor[float64]{Data: a.scores, Shape: a.shape[:]}
	_ = trellis.CTCLoss[float64]{Workers: 1}.Losses(a.loss[:], x, a.targets, nil, a.length[:])
	return -a.loss[0]
}

// emissions returns the frames' log-probabilities of the blank and the labels of a text, and sets
// targets to these.
func (a *aligner) emissions(labels []int) trellis.Tensor[float64] {
	columns := a.choose(labels)
	a.scores = workspace.Resize(a.scores, len(a.frames)*columns)
	from := 0
	for t, to := range a.frames {
		row := a.scores[t*columns:][:columns]
		for i := range row {
			row[i] = math.Inf(-1)
		}
		row[0] = a.logs[from].p
		for _, c := range a.logs[from+1 : to] {
			if column := a.columns[c.label]; column > 0 {
				row[column] = c.p
			}
		}
		from = to
	}
	for _, l := range labels {
		a.columns[l] = 0
	}
	a.shape, a.length[0] = [2]int{len(a.frames), columns}, len(labels)
	return trellis.Tensor[float64]{Data: a.scores, Shape: a.shape[:]}
}

// choose gives a column to each of the labels, sets targets to these, and returns how many columns there
// are with the blank's.
func (a *aligner) choose(labels []int) int {
	count := 1
	a.targets = a.targets[:0]
	for _, l := range labels {
		if a.columns[l] == 0 {
			a.columns[l] = count
			count++
		}
		a.targets = append(a.targets, a.columns[l])
	}
	return count
}
