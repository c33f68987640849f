package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// pathEmission makes what the best path adds up: for each class that the target names its score,
// as it is or its logarithm, in float64. All are finite or −Inf.
//
// It has the classes of pathBlock frames side by side, so that a position takes its
// emissions in so many frames in one go, however many classes there are.
type pathEmission[F Float] struct {
	pathScores
	target *ctcTarget
	x      view.Rows[F] // the frames
	frames int          // how many count

	classes []int32   // that the target names, each once; the blank is the last
	places  []int32   // where p has what a position emits: the index in classes, or len(classes) of AnyLabel
	p       []float64 // of a group, by block of frames, then by class: see emitBlockGeneric
	blanks  [pathFrames]float64

	// The logarithm of the sum of exp of a frame's logits, of the frames before normed.
	norms  []float64
	normed int
	sums   rowSums[F]
	rows   []F
	set    classSet
}

// pathScores says what the scores are, and what AnyLabel has.
type pathScores struct {
	scores   Scores
	anyScore float64
}

// largestScore is where a score counts as infinite: the sum of maxFrames of them is finite.
const largestScore = 0x1p900

// begin takes on a sequence: its first frames of x.
func (m *pathEmission[F]) begin(target *ctcTarget, x view.Rows[F], frames int, s pathScores) {
	m.target, m.x, m.frames, m.pathScores = target, x, frames, s
	m.normed = 0
	if m.scores == Logits {
		m.norms = workspace.Resize(m.norms, frames)
	}
	m.classes = m.classes[:0]
	if frames == 0 {
		return
	}
	m.findClasses()
	m.p = workspace.Resize(m.p, pathFrames*(len(m.classes)+1))
}

// findClasses sets classes and places.
func (m *pathEmission[F]) findClasses() {
	symbols, length := m.target.symbols, m.target.length
	m.places = workspace.Resize(m.places, len(symbols))
	m.set.begin(m.x.Columns)
	for i, c := range symbols[:length] {
		if c != AnyLabel {
			m.places[i] = m.set.add(c)
		}
	}
	blank := m.set.add(symbols[length])
	m.classes = m.set.classes
	for i, c := range symbols {
		switch {
		case c == AnyLabel:
			m.places[i] = int32(len(m.classes))
		case i >= length:
			m.places[i] = blank
		}
	}
}

// release forgets what was borrowed.
func (m *pathEmission[F]) release() { m.x = view.Rows[F]{} }

// make makes the emissions of some frames, at most pathFrames, for emit. It reports whether all scores
// that matter are numbers.
func (m *pathEmission[F]) make(frames view.Span) bool {
	if m.scores == Logits && frames.To > m.normed && !m.addNorms(frames) {
		return false
	}
	width := pathBlock * (len(m.classes) + 1)
	for t := frames.From; t < frames.To; t += pathBlock {
		k := t - frames.From
		p, count := m.p[k/pathBlock*width:][:width], min(pathBlock, frames.To-t)
		if !m.makeBlock(p, t, count) {
			return false
		}
		copy(m.blanks[k:], p[pathBlock*(len(m.classes)-1):][:count])
		for r, wild := 0, p[width-pathBlock:]; r < count; r++ {
			if wild[r] = m.anyScore; m.scores == Logits {
				wild[r] += m.norms[t+r]
			}
		}
	}
	return true
}

// makeBlock writes the emissions of all classes in some frames from t on, at most pathBlock.
func (m *pathEmission[F]) makeBlock(p []float64, t, frames int) bool {
	var rows [pathBlock][]F
	for r := range rows {
		rows[r] = m.x.Row(t + min(r, frames-1))
	}
	a, b, c, d, e, f, g, h := rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7]
	for i, class := range m.classes {
		v := (*[pathBlock]float64)(p[pathBlock*i:])
		v[0], v[1], v[2], v[3] = float64(a[class]), float64(b[class]), float64(c[class]), float64(d[class])
		v[4], v[5], v[6], v[7] = float64(e[class]), float64(f[class]), float64(g[class]), float64(h[class])
		if !(math.Abs(v[0]) < largestScore && math.Abs(v[1]) < largestScore && math.Abs(v[2]) < largestScore && math.Abs(v[3]) < largestScore &&
			math.Abs(v[4]) < largestScore && math.Abs(v[5]) < largestScore && math.Abs(v[6]) < largestScore && math.Abs(v[7]) < largestScore) {
			for r, score := range v {
				if !(score < largestScore) {
					return false
				}
				if score <= -largestScore {
					v[r] = math.Inf(-1)
				}
			}
		}
	}
	if m.scores == Probabilities {
		p = p[:pathBlock*len(m.classes)]
		for _, v := range p {
			if !(v >= 0 && v <= float64(F(largestProbability))) {
				return false
			}
		}
		logs(p, p)
	}
	return true
}

// addNorms finds the norms of some frames. It reports whether they are numbers.
func (m *pathEmission[F]) addNorms(frames view.Span) bool {
	n, count := m.x.Columns, frames.Len()
	rows := m.x.From(frames.From).Data
	if m.x.Stride != n && n <= shortRow {
		m.rows = workspace.Resize(m.rows, count*n)
		for r := range count {
			copy(m.rows[r*n:][:n], m.x.Row(frames.From+r))
		}
		rows = m.rows
	}
	norms := m.norms[frames.From:frames.To]
	if n <= shortRow {
		m.sums.sumExpEach(rows, n, count)
	} else {
		for r := range norms {
			m.sums.max[r], m.sums.sum[r] = sumExpRow(m.x.Row(frames.From + r))
		}
	}
	log1p(norms, m.sums.sum[:count])
	for r := range norms {
		norms[r] += float64(m.sums.max[r])
		if norms[r] != norms[r] {
			return false
		}
	}
	m.normed = frames.To
	return true
}

// emit writes the emissions of the labels at some positions, in frames that make has made, to rows of y.
func (m *pathEmission[F]) emit(y []float64, positions view.Span, frames int) {
	width := pathBlock * (len(m.classes) + 1)
	for k := 0; k < frames; k += pathBlock {
		emitBlock(y[k*pathStride:], m.p[k/pathBlock*width:], m.places[positions.From:positions.To])
	}
}

// logProbability returns ln p of a class, or of AnyLabel, in a frame: −Inf where it is no path.
func (m *pathEmission[F]) logProbability(t int, class int32) float64 {
	if class == AnyLabel {
		return m.anyScore
	}
	v := float64(m.x.Row(t)[class])
	switch {
	case m.scores == Logits:
		return v - m.norms[t]
	case m.scores == Probabilities:
		return logOf(v)
	}
	return v
}
