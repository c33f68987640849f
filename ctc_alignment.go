package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// alignment aligns one sequence. The fields before the path are what it is given.
type alignment[F Float] struct {
	x        view.Rows[F]
	frames   int // how many frames of them count
	scores   Scores
	anyScore float64
	spans    []Span

	path    []int32 // the state of each frame: 2i is the blank in front of label i, 2i+1 label i
	alpha   []float64
	next    []float64
	moves   []uint8
	factors []float64 // logarithm of what the scores of each frame are multiplied with
	back    []float64
	row     []float64
}

var alignments workspace.Pools

// largestScore is where a score counts as infinite: sums of 2²⁶ of them are finite.
const largestScore = 0x1p900

// release gives the workspace back without what it borrowed.
func (s *alignment[F]) release() {
	s.x, s.spans = view.Rows[F]{}, nil
	workspace.Give[F](&alignments, s)
}

// align writes the spans of labels and returns the score of their path.
func (s *alignment[F]) align(labels []int, blank int, wantConfidence bool) float64 {
	if !s.prepare(labels, blank) {
		s.fill(Span{Score: math.NaN(), Confidence: math.NaN()})
		return math.NaN()
	}
	score := math.Inf(-1)
	if s.frames >= LeastFrames(labels) {
		score = s.viterbi(labels, blank)
	}
	if score == math.Inf(-1) {
		s.fill(Span{Score: score})
		return score
	}
	score = s.writeSpans(labels, blank)
	if wantConfidence {
		s.addConfidence(labels, blank)
	}
	return score
}

// fill sets all spans.
func (s *alignment[F]) fill(span Span) {
	for i := range s.spans {
		s.spans[i] = span
	}
}

// prepare finds what the scores of each frame are less than logarithms of probabilities, and reports whether
// all that matter are numbers.
func (s *alignment[F]) prepare(labels []int, blank int) bool {
	s.factors = workspace.Resize(s.factors, s.frames)
	for t := range s.frames {
		row := s.x.Row(t)
		s.factors[t] = 0
		if s.scores == Logits {
			top, sum := sumExpRow(row)
			if s.factors[t] = float64(top) + fp.Log1p(sum); sum != sum {
				return false
			}
		}
		if !isScore(row[blank], s.scores) || float64(row[blank]) > largestScore {
			return false
		}
		for _, label := range labels {
			if label != AnyLabel && (!isScore(row[label], s.scores) || float64(row[label]) > largestScore) {
				return false
			}
		}
	}
	return true
}

// emission returns what the path is chosen by, of a class or AnyLabel in a frame.
func (s *alignment[F]) emission(t, class int) float64 {
	switch {
	case class == AnyLabel:
		return s.anyScore + s.factors[t]
	case s.scores == Probabilities:
		return fp.Log(float64(s.x.Row(t)[class]))
	}
	v := float64(s.x.Row(t)[class])
	if v < -largestScore {
		return math.Inf(-1)
	}
	return v
}

// logProbability returns ln p.
func (s *alignment[F]) logProbability(t, class int) float64 {
	if class == AnyLabel {
		return s.anyScore
	}
	return s.emission(t, class) - s.factors[t]
}

// classOf returns that of a state.
func classOf(state int, labels []int, blank int) int {
	if state%2 == 0 {
		return blank
	}
	return labels[state/2]
}

// viterbi finds the best path. It returns −Inf if there is none.
func (s *alignment[F]) viterbi(labels []int, blank int) float64 {
	n := 2*len(labels) + 1
	s.alpha, s.next, s.moves = workspace.Resize(s.alpha, n), workspace.Resize(s.next, n), workspace.Resize(s.moves, n*s.frames)
	for i := range s.alpha {
		s.alpha[i] = math.Inf(-1)
	}
	s.alpha[0] = 0
	for t := range s.frames {
		for i := range s.next {
			best, move := s.alpha[i], uint8(0)
			if i >= 1 && s.alpha[i-1] > best {
				best, move = s.alpha[i-1], 1
			}
			if i >= 3 && i%2 == 1 && !needBlank(labels[i/2-1], labels[i/2]) && s.alpha[i-2] > best {
				best, move = s.alpha[i-2], 2
			}
			s.next[i] = best + s.emission(t, classOf(i, labels, blank))
			s.moves[t*n+i] = move
		}
		s.alpha, s.next = s.next, s.alpha
	}
	state := n - 1
	if n > 1 && s.alpha[n-2] >= s.alpha[n-1] {
		state = n - 2
	}
	score := s.alpha[state]
	s.path = workspace.Resize(s.path, s.frames)
	for t := s.frames - 1; t >= 0; t-- {
		s.path[t] = int32(state)
		state -= int(s.moves[t*n+state])
	}
	return score
}

// writeSpans writes the spans of the path and returns its score.
func (s *alignment[F]) writeSpans(labels []int, blank int) (score float64) {
	for t := 0; t < s.frames; {
		state, from := s.path[t], t
		class := classOf(int(state), labels, blank)
		var sum float64
		for ; t < s.frames && s.path[t] == state; t++ {
			v := s.logProbability(t, class)
			sum += v
			score += v
		}
		if state%2 == 1 {
			s.spans[state/2] = Span{Start: from, End: t, Score: sum / float64(t-from)}
		}
	}
	return score
}

// addConfidence finds the confidence of all spans, from sums over all paths.
func (s *alignment[F]) addConfidence(labels []int, blank int) {
	n := 2*len(labels) + 1
	s.back = workspace.Resize(s.back, (s.frames+1)*n)
	// back[t][i] is the logarithm of the sum over all paths from state i before frame t to the end.
	for i := range s.back {
		s.back[i] = math.Inf(-1)
	}
	row := func(t int) []float64 { return s.back[t*n:][:n] }
	row(s.frames)[n-1] = 0
	if n > 1 {
		row(s.frames)[n-2] = 0
	}
	maySkip := func(i int) bool { return i%2 == 1 && i >= 3 && !needBlank(labels[i/2-1], labels[i/2]) }
	for t := s.frames - 1; t >= 0; t-- {
		for i := range n {
			for d := 0; d <= 2 && i+d < n; d++ {
				if d < 2 || maySkip(i+d) {
					row(t)[i] = logAdd(row(t)[i], row(t + 1)[i+d]+s.logProbability(t, classOf(i+d, labels, blank)))
				}
			}
		}
	}
	s.row, s.next = workspace.Resize(s.row, n), workspace.Resize(s.next, n)
	for i := range s.row {
		s.row[i] = math.Inf(-1)
	}
	s.row[0] = 0
	total := row(0)[0]
	for t := range s.frames {
		for i := range n {
			sum := math.Inf(-1)
			for d := 0; d <= 2 && d <= i; d++ {
				if d < 2 || maySkip(i) {
					sum = logAdd(sum, s.row[i-d])
				}
			}
			s.next[i] = sum + s.logProbability(t, classOf(i, labels, blank))
		}
		s.row, s.next = s.next, s.row
		if state := int(s.path[t]); state%2 == 1 {
			s.spans[state/2].Confidence += math.Exp(s.row[state] + row(t + 1)[state] - total)
		}
	}
	for i := range s.spans {
		s.spans[i].Confidence /= float64(s.spans[i].End - s.spans[i].Start)
	}
}

// logAdd returns ln(e^a + e^b).
func logAdd(a, b float64) float64 {
	m := max(a, b)
	if m == math.Inf(-1) {
		return m
	}
	return m + math.Log1p(math.Exp(-math.Abs(a-b)))
}
