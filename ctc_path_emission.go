package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// pathEmission makes what the best path adds up: for each class that the target names its score,
// as it is or its logarithm, in float64. All are finite or −Inf.
//
// It has the classes of frameBlock frames side by side, so that a position takes its
// emissions in so many frames in one go, however many classes there are.
type pathEmission[F Float] struct {
	pathScores
	target *ctcTarget
	x      view.Rows[F] // the frames
	frames int          // how many count

	classes []int32               // that the target names, each once
	columns int                   // of p: the classes that the target names, or all if it names many of them
	all     bool                  // it is all classes
	places  []int32               // the column of a position; behind the classes there is one for AnyLabel
	blank   int                   // the column of the blank
	p       []float64             // of a group: blocks of frames, see toBlocksGeneric
	scratch [blockScratch]float64 // of emitBlock, which finds the least of each frame, too
	blanks  [blockFrames]float64
	kept    []float64 // p of every group, if that is little enough to be kept
	made    int       // the frames before that are there
	rows    []F       // what toBlocks takes where that is not x itself

	// The logarithm of the sum of exp of a frame's logits, of the frames before normed.
	norms  []float64
	normed int
	sums   rowSums[F]
	set    classSet
}

// pathScores is what the call says of the scores.
type pathScores struct {
	scores   Scores
	anyScore float64 // of AnyLabel
	isFar    bool    // they are too many for the caches
}

// begin takes on a sequence: its first frames of x.
func (m *pathEmission[F]) begin(target *ctcTarget, x view.Rows[F], frames int, s pathScores) {
	m.target, m.x, m.frames, m.pathScores = target, x, frames, s
	m.normed = 0
	if m.scores == Logits {
		m.norms = workspace.Resize(m.norms, frames)
	}
	if frames > 0 {
		m.findColumns()
	}
}

// findColumns decides which classes p has, and finds the column of each position.
func (m *pathEmission[F]) findColumns() {
	symbols, length := m.target.symbols, m.target.length
	m.places = workspace.Resize(m.places, len(symbols))
	m.set.begin(m.x.Columns)
	for i, c := range symbols[:length] {
		if c != AnyLabel {
			m.places[i] = m.set.add(c)
		}
	}
	m.blank = int(m.set.add(symbols[length]))
	m.classes = m.set.classes
	m.columns = max(len(m.classes), leastColumns)
	most := 4 * m.columns // a column more takes less time than to find one by one
	if m.scores == Probabilities {
		most = 2 * m.columns // but for its logarithms
	}
	if m.all = m.x.Columns >= leastColumns && m.x.Columns <= most; m.all {
		m.columns = m.x.Columns
		copy(m.places, symbols)
		m.blank = int(symbols[length])
	}
	for i, c := range symbols {
		switch {
		case c == AnyLabel:
			m.places[i] = int32(m.columns)
		case i >= length:
			m.places[i] = int32(m.blank)
		}
	}
	m.made = 0
	groups, size := (m.frames+blockFrames-1)/blockFrames, blockFrames*(m.columns+1)
	if groups > keptEmissions/size {
		groups = 1
	}
	m.kept = workspace.Resize(m.kept, groups*size)
}

// columnOf returns that of a class that the target names, the i-th one.
func (m *pathEmission[F]) columnOf(i int) int {
	if m.all {
		return int(m.classes[i])
	}
	return i
}

// release forgets what was borrowed.
func (m *pathEmission[F]) release() { m.x = view.Rows[F]{} }

// make makes the emissions of some frames for emit: blockFrames from a multiple of that on, or the last
// ones. It reports whether all scores that matter are numbers.
func (m *pathEmission[F]) make(frames view.Span) bool {
	size, at := blockFrames*(m.columns+1), 0
	if len(m.kept) > size {
		at = frames.From / blockFrames * size
	}
	m.p = m.kept[at:][:size]
	if len(m.kept) == size || frames.To > m.made {
		if m.made = frames.To; !m.makeGroup(frames) {
			return false
		}
	}
	copy(m.blanks[:frameBlock], m.column(0, m.blank))
	copy(m.blanks[frameBlock:], m.column(1, m.blank))
	return true
}

// column returns what a block of the group has of a column.
func (m *pathEmission[F]) column(block, column int) []float64 {
	return m.p[frameBlock*(block*(m.columns+1)+column):][:frameBlock]
}

// makeGroup sets p.
func (m *pathEmission[F]) makeGroup(frames view.Span) bool {
	if m.scores == Logits && frames.To > m.normed {
		more := frames.To // long rows are still in the cache when their classes are looked for
		if m.x.Columns <= shortRow {
			more = min(frames.From+shortRows, m.frames)
		}
		if !m.addNorms(view.Span{From: frames.From, To: more}) {
			return false
		}
	}
	ok := toBlocks(m.p, frameBlock*(m.columns+1), m.rowsOf(frames)) == 0
	if m.scores == Probabilities {
		for k := range blockFrames {
			m.column(k/frameBlock, m.columns)[k%frameBlock] = 1
		}
		least, most := extent(m.p)
		ok = ok && least >= 0 && most <= float64(F(largestProbability))
	}
	if !ok && !m.settle(frames.Len()) {
		return false
	}
	if m.scores == Probabilities {
		logs(m.p, m.p)
	}
	for k := range blockFrames {
		wild := &m.column(k/frameBlock, m.columns)[k%frameBlock]
		if *wild = m.anyScore; m.scores == Logits && k < frames.Len() {
			*wild += m.norms[frames.From+k]
		}
	}
	return true
}

// rowsOf returns the columns of some frames, and for less than blockFrames of them others behind.
func (m *pathEmission[F]) rowsOf(frames view.Span) view.Rows[F] {
	if m.all && frames.Len() == blockFrames {
		return m.x.From(frames.From)
	}
	if m.isFar && m.x.Columns >= leastFetched && m.scores != Logits {
		fetchFrames(m.x, m.classes, frames.To, min(blockFrames, m.frames-frames.To))
	}
	m.rows = workspace.Resize(m.rows, blockFrames*m.columns)
	rows := view.Of(m.rows, m.columns, m.columns)
	for r := range blockFrames {
		from, to := m.x.Row(min(frames.From+r, frames.To-1)), rows.Row(r)
		if m.all {
			copy(to, from)
			continue
		}
		gather(to[:len(m.classes)], from, m.classes, 0, len(m.classes))
		clear(to[len(m.classes):])
	}
	return rows
}

// settle looks at the scores of some frames that may be no numbers. It makes those that count as −∞
// infinite, and reports whether the others are numbers.
func (m *pathEmission[F]) settle(frames int) bool {
	for k := 0; k < frames; k += frameBlock {
		for i := range m.classes {
			p := m.column(k/frameBlock, m.columnOf(i))[:min(frameBlock, frames-k)]
			for r, v := range p {
				if !isScore(F(v), m.scores) || v >= largestScore {
					return false
				}
				if v <= -largestScore {
					p[r] = math.Inf(-1)
				}
			}
		}
	}
	return true
}

// addNorms finds the norms of some frames. It reports whether they are numbers.
func (m *pathEmission[F]) addNorms(frames view.Span) bool {
	n, count := m.x.Columns, frames.Len()
	rows := m.x.From(frames.From).Data
	if m.x.Stride != n && n <= shortRow {
		m.rows = workspace.Resize(m.rows, count*n) // as long as rowsOf does not need it
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
			m.sums.max[r], m.sums.sum[r] = sumExpRow(m.x.Row(frames.From+r), m.x.Stride*fp.Size[F]())
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
	size := frameBlock * (m.columns + 1)
	for k := 0; k < frames; k += frameBlock {
		rows := view.Of(y[k*pathStride:], positions.Len(), pathStride)
		emitBlock(rows, m.p[k/frameBlock*size:], m.places[positions.From:positions.To], m.scratch[:], m.scratch[:])
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
		return fp.LogFrom0(v)
	}
	return v
}

// copyTo copies the emissions of all frames to rows: a column for each of classes, then one for AnyLabel.
// It writes the largest of each row to most, and returns how far below that the least one is that is not −Inf.
func (m *pathEmission[F]) copyTo(rows view.Rows[float64], most []float64) (reach float64) {
	for from := 0; from < m.frames; from += blockFrames {
		group := view.Span{From: from, To: min(from+blockFrames, m.frames)}
		m.make(group)
		for t := group.From; t < group.To; t += frameBlock {
			block, count := (t-from)/frameBlock, min(frameBlock, group.To-t)
			part := rows.From(t)
			for i := range m.classes {
				copyColumn(part.Data[i:], part.Stride, m.column(block, m.columnOf(i))[:count])
			}
			copyColumn(part.Data[len(m.classes):], part.Stride, m.column(block, m.columns)[:count])
			for r := range count {
				top, least := math.Inf(-1), math.Inf(1)
				for _, v := range part.Row(r) {
					top = max(top, v)
					if v < least && v != math.Inf(-1) {
						least = v
					}
				}
				most[t+r] = top
				reach = max(reach, top-least)
			}
		}
	}
	return reach
}

// copyColumn copies numbers to every stride-th element of a column.
func copyColumn(column []float64, stride int, numbers []float64) {
	for r, v := range numbers {
		column[r*stride] = v
	}
}
