package main

import (
	"errors"
	"math"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/side"
)

// The work of an alignment. Its values are the mean of the paths' scores and of where labels start.
// PyTorch, which has no alignment of its own, does the forward pass of its CTC loss beside it.

// prepareAlignment makes a call of CTCAligner.
func prepareAlignment[F trellis.Float](j side.Job) (computation, error) {
	in, err := inputsOf[F](j)
	if err != nil {
		return computation{}, err
	}
	x := trellis.Tensor[F]{Data: in.Scores, Shape: j.Shape}
	a := trellis.CTCAligner[F]{Scores: trellis.Logits, Blank: in.Blank}
	if j.LogProbs {
		a.Scores = trellis.LogProbabilities
	}
	labels := 0
	for _, n := range in.Lengths {
		labels += n
	}
	spans, scores := make([]trellis.Span, labels), make([]float64, len(in.Lengths))
	call := func() error { return a.Align(spans, scores, x, in.Targets, in.Frames, in.Lengths) }
	return computation{func(workers int) func() error {
		a.Workers = workers
		return call
	}, func() []float64 {
		var starts float64
		for _, s := range spans {
			starts += float64(s.Start)
		}
		return []float64{mean(scores), starts / float64(labels)}
	}}, nil
}

// naiveAlignment is the textbook's recursion in float64, with a pointer back from each state of each frame.
type naiveAlignment struct {
	inputs[float32]
	frames, sequences, classes int
	logProbs                   bool
	score, starts              float64
}

// prepareNaiveAlignment is the side of plain loops.
func prepareNaiveAlignment(j side.Job) (computation, error) {
	if j.Type != "float32" || j.Recording != "" && j.Shape[1] > 1 {
		return computation{}, errors.New("not a job for a naive loop")
	}
	in, err := inputsOf[float32](j)
	if err != nil {
		return computation{}, err
	}
	l := &naiveAlignment{inputs: in, frames: j.Shape[0], sequences: j.Shape[1], classes: j.Shape[2], logProbs: j.LogProbs}
	call := func() error { l.run(); return nil }
	return computation{func(int) func() error { return call }, func() []float64 { return []float64{l.score, l.starts} }}, nil
}

func (l *naiveAlignment) run() {
	l.score, l.starts = 0, 0
	labels, width := 0, len(l.Targets)/l.sequences
	for n, length := range l.Lengths {
		score, starts := l.sequence(n, l.Targets[n*width:][:length])
		l.score += score
		l.starts += starts
		labels += length
	}
	l.score /= float64(l.sequences)
	l.starts /= float64(labels)
}

// sequence returns the score of the best path, and the sum of the frames in which labels start.
func (l *naiveAlignment) sequence(n int, target []int) (score, starts float64) {
	states := 2*len(target) + 1
	alpha, next, pointers := make([]float64, states), make([]float64, states), make([]uint8, states*l.frames)
	for s := range alpha {
		alpha[s] = math.Inf(-1)
	}
	alpha[0] = 0
	norms := 0.0
	for t := range l.frames {
		x := l.Scores[(t*l.sequences+n)*l.classes:][:l.classes]
		if !l.logProbs {
			best, sum := naiveSum(nil, x, 1)
			norms += best + math.Log(sum)
		}
		for s := range states {
			best, pointer, class := alpha[s], uint8(0), l.Blank
			if s > 0 && alpha[s-1] > best {
				best, pointer = alpha[s-1], 1
			}
			if s%2 == 1 {
				class = target[s/2]
				if s > 1 && class != target[s/2-1] && alpha[s-2] > best {
					best, pointer = alpha[s-2], 2
				}
			}
			next[s], pointers[t*states+s] = best+float64(x[class]), pointer
		}
		alpha, next = next, alpha
	}
	state := states - 1
	if state > 0 && alpha[state-1] >= alpha[state] {
		state--
	}
	score = alpha[state] - norms
	for t := l.frames - 1; t >= 0; t-- {
		pointer := pointers[t*states+state]
		if pointer > 0 && state%2 == 1 {
			starts += float64(t)
		}
		state -= int(pointer)
	}
	return score, starts
}
