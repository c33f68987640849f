package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// alignment aligns one sequence. The fields before the path are what it is given.
type alignment[F Float] struct {
	x      view.Rows[F]
	frames int // how many frames of them count
	scores pathScores
	spans  []Span

	path       viterbiPath[F]
	confidence confidence[F]
}

// usualSizes are those of the path.
var usualSizes = pathSizes{keptPositions, cutPositions, leastCut}

var alignments workspace.Pools

// release gives the workspace back without what it borrowed.
func (s *alignment[F]) release() {
	s.x, s.spans = view.Rows[F]{}, nil
	s.path.release()
	s.confidence.release()
	if s.path.workspaceBytes()+s.confidence.workspaceBytes() < hugeBytes {
		workspace.Give[F](&alignments, s)
	}
}

// align writes the spans of labels, with their confidence if that is asked for, for which α may take about kept
// bytes, and returns the score of their path.
func (s *alignment[F]) align(labels []int, blank int, wantConfidence bool, kept int, sizes pathSizes) float64 {
	w := &s.path
	w.target.set(labels, blank)
	w.begin(s.x, s.frames, s.scores, sizes, s.spans)
	score := math.Inf(-1)
	if s.frames >= LeastFrames(labels) {
		score = w.find()
	} else if w.poisoned() {
		score = math.NaN()
	}
	switch {
	case score != score:
		s.fill(Span{Score: score, Confidence: score})
		return score
	case score == math.Inf(-1):
		s.fill(Span{Score: score})
		return score
	}
	score = s.writeScores()
	if wantConfidence && len(labels) > 0 {
		s.confidence.find(&w.emission, s.spans, kept)
	}
	return score
}

// fill sets all spans.
func (s *alignment[F]) fill(span Span) {
	for i := range s.spans {
		s.spans[i] = span
	}
}

// writeScores writes the scores of the spans and returns that of the path.
func (s *alignment[F]) writeScores() (score float64) {
	m, symbols := &s.path.emission, s.path.target.symbols
	blank, t := symbols[len(s.spans)], 0
	for i := range s.spans {
		span := &s.spans[i]
		for ; t < span.Start; t++ {
			score += m.logProbability(t, blank)
		}
		var sum float64
		for ; t < span.End; t++ {
			v := m.logProbability(t, symbols[i])
			sum += v
			score += v
		}
		span.Score, span.Confidence = sum/float64(span.End-span.Start), 0
	}
	for ; t < s.frames; t++ {
		score += m.logProbability(t, blank)
	}
	return score
}
