package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// viterbiPath finds the best path of a sequence. A state is numbered by its position i: 2i is the
// blank before label i, 2i+1 is label i.
//
// The way back from the end compares, in each frame, the states that can lead to the one at hand, so
// it needs α of every frame, but not everywhere: as a frame goes on by one position at most,
// from a state so many frames further on it can only come to as many positions before. Where α
// of all frames is too much memory, it is kept at the start of each of some segments, and a segment
// that the way back arrives at, at a state that is known then, is swept again: only the positions
// within reach of that state, which are few if the segment is short. A long segment is
// cut in the same way. So nearly all of the work is one sweep, and the path and its ties are
// those of one that keeps everything.
type viterbiPath[F Float] struct {
	pathSizes
	target   ctcTarget
	emission pathEmission[F]
	frames   int

	y      []float64 // emissions of a group's panel
	column [blockFrames]float64
	first  []float64 // α before the first frame
	rows   []float64 // α of every frame of a segment that is not cut
	levels [pathLevels]pathLevel
	spans  []Span // of the labels: Start and End
}

// pathSizes decides which segments are cut, and into how many.
type pathSizes struct{ keptPositions, cutPositions, leastCut int }

// pathLevel is the memory for segments that are cut from others so many times.
type pathLevel struct {
	whole  view.Span   // the segment that was cut
	length int         // of those that it was cut into
	row    alphaSpan   // α
	kept   []float64   // what before[1:] has
	before []alphaSpan // α before each of them
}

// alphaSpan is α of some positions, from one on, which is a multiple of 8.
type alphaSpan struct {
	v    []float64
	from int
}

// at returns α from a position on.
func (a alphaSpan) at(position int) []float64 { return a.v[2*(position-a.from):] }

// state returns α of a state.
func (a alphaSpan) state(state int) float64 {
	i := state/2 - a.from
	return a.v[blankAt(i)+state&1*onLabel]
}

// begin takes on a sequence: its first frames of x, and the spans to be written.
func (w *viterbiPath[F]) begin(x view.Rows[F], frames int, s pathScores, z pathSizes, spans []Span) {
	w.frames, w.pathSizes, w.spans = frames, z, spans
	w.emission.begin(&w.target, x, frames, s)
	w.y = workspace.Resize(w.y, blockFrames*pathStride)
}

// release forgets what was borrowed.
func (w *viterbiPath[F]) release() {
	w.emission.release()
	w.spans = nil
}

// workspaceBytes returns about how many bytes the workspace takes.
func (w *viterbiPath[F]) workspaceBytes() int {
	n := cap(w.rows) + cap(w.emission.kept) + cap(w.emission.norms) + cap(w.target.skipExponents)
	for i := range w.levels {
		n += cap(w.levels[i].row.v) + cap(w.levels[i].kept)
	}
	return 8*n + 4*(cap(w.target.symbols)+cap(w.emission.places))
}

// poisoned reports whether a score that matters is no number.
func (w *viterbiPath[F]) poisoned() bool {
	for t := 0; t < w.frames; t += blockFrames {
		if !w.emission.make(view.Span{From: t, To: min(t+blockFrames, w.frames)}) {
			return true
		}
	}
	return false
}

// find finds the best path, and writes Start and End of its spans. It returns the sum of the path's
// scores, −Inf if there is no path, and NaN if a score that matters is no number. The frames
// are enough to spell the target.
func (w *viterbiPath[F]) find() float64 {
	if w.frames == 0 {
		return 0
	}
	segment, length := view.Span{To: w.frames}, w.target.length
	last := ends{max(length-1, 0), length}
	before := w.start(w.band(w.group(segment, 0), segment, last))
	fits, final := w.fits(segment, last), before
	if fits {
		if !w.sweepKeeping(segment, before, last) {
			return math.NaN()
		}
		final = w.rowAt(segment, last, w.frames-1)
	} else {
		if !w.sweepCutting(0, segment, before, last, true) {
			return math.NaN()
		}
		final = w.levels[0].row
	}
	end := 2 * length
	if length > 0 && final.state(end-1) >= final.state(end) {
		end--
	}
	score := final.state(end)
	if score == math.Inf(-1) {
		return score
	}
	w.note(w.frames, end, 2*(length+1))
	if fits {
		w.trace(segment, before, last, end)
	} else {
		w.retraceCuts(0, end)
	}
	return score
}

// start returns α of a band before the first frame, where nothing is spelled yet.
func (w *viterbiPath[F]) start(band view.Span) alphaSpan {
	row := alphaSpan{workspace.Resize(w.first, 2*band.To), 0}
	w.first = row.v
	unreachable(row.v)
	row.v[blankAt(0)] = 0
	return row
}

// unreachable sets states that cannot be reached.
func unreachable(states []float64) {
	for i := range states {
		states[i] = math.Inf(-1)
	}
}

// group returns the frames of a segment from t on that are done together.
func (w *viterbiPath[F]) group(segment view.Span, t int) view.Span {
	return view.Span{From: t, To: min(t+blockFrames, segment.To)}
}

// ends are the positions at which a path may be in the last frame of a segment.
type ends struct{ least, most int }

// band returns the positions that matter in a group of frames of a segment, which the path leaves at one of some
// positions: those that can be reached by the end of the group, and from which these can be reached from before its
// start, rounded to eights. The first one is not right in the first frame, as nothing comes into it, nor the
// one behind it in the next, and so on.
func (w *viterbiPath[F]) band(group, segment view.Span, last ends) view.Span {
	return view.Span{From: max(0, last.least-(segment.To-group.From)) &^ 7, To: min((group.To+8)&^7, (last.most+8)&^7)}
}

// bandOf returns the positions that matter in any frame of a segment.
func (w *viterbiPath[F]) bandOf(segment view.Span, last ends) view.Span {
	return w.band(segment, segment, last)
}

// sweep takes α through the frames of a group, from the boundary before it. Rows of alpha are stride
// apart. It reports whether all scores that matter are numbers.
func (w *viterbiPath[F]) sweep(group, band view.Span, alpha alphaSpan, stride int, boundary alphaSpan) bool {
	if !w.emission.make(group) {
		return false
	}
	n := group.Len()
	unreachable(w.column[:n])
	for at := band.From; at < band.To; at += panelWidth {
		p := view.Span{From: at, To: min(at+panelWidth, band.To)}
		w.emission.emit(w.y, p, n)
		rows := view.Of(alpha.at(at), 2*p.Len(), stride)
		viterbi(rows, boundary.at(at), w.column[:n], w.emission.blanks[:n], w.y, w.target.skipExponents[at:], p.Len())
	}
	return true
}

// fits reports whether α of all frames of a segment is little enough to be kept.
func (w *viterbiPath[F]) fits(segment view.Span, last ends) bool {
	return segment.Len() <= max(w.leastCut, blockFrames) || segment.Len()*w.bandOf(segment, last).Len() <= w.keptPositions
}

// sweepKeeping takes α through a segment, from what is before it, and keeps all of it. It reports whether all scores
// that matter are numbers.
func (w *viterbiPath[F]) sweepKeeping(segment view.Span, before alphaSpan, last ends) bool {
	stride := 2 * w.bandOf(segment, last).Len()
	w.rows = workspace.Resize(w.rows, segment.Len()*stride)
	boundary, reached := before, 0
	for t := segment.From; t < segment.To; t += blockFrames {
		group := w.group(segment, t)
		band := w.band(group, segment, last)
		if t > segment.From && reached < band.To {
			unreachable(boundary.at(reached)[:2*(band.To-reached)])
		}
		if !w.sweep(group, band, w.rowAt(segment, last, t), stride, boundary) {
			return false
		}
		boundary, reached = w.rowAt(segment, last, group.To-1), band.To
	}
	return true
}

// rowAt returns what sweepKeeping has of a frame.
func (w *viterbiPath[F]) rowAt(segment view.Span, last ends, t int) alphaSpan {
	band := w.bandOf(segment, last)
	return alphaSpan{w.rows[(t-segment.From)*2*band.Len():], band.From}
}

// trace goes back through a segment that sweepKeeping has swept, from a state in its last frame, and returns that
// in the frame before it.
func (w *viterbiPath[F]) trace(segment view.Span, before alphaSpan, last ends, state int) int {
	row := w.rowAt(segment, last, segment.To-1)
	stride := 2 * w.bandOf(segment, last).Len()
	for t := segment.To - 1; t > segment.From; t-- {
		row.v = w.rows[(t-1-segment.From)*stride:]
		from := w.predecessor(row, state)
		w.note(t, from, state)
		state = from
	}
	from := w.predecessor(before, state)
	w.note(segment.From, from, state)
	return from
}

// predecessor returns the state from which the best path comes to a state, given α of the frame before.
func (w *viterbiPath[F]) predecessor(row alphaSpan, state int) int {
	best, from := row.state(state), state
	if state == 0 {
		return from
	}
	if v := row.state(state - 1); v > best {
		best, from = v, state-1
	}
	if state&1 == 1 && state > 1 && w.target.maySkip(state/2) {
		if row.state(state-2) > best {
			from = state - 2
		}
	}
	return from
}

// note notes the states in the frame before t and in t.
func (w *viterbiPath[F]) note(t, before, state int) {
	if before == state {
		return
	}
	if before&1 == 1 {
		w.spans[before/2].End = t
	}
	if state&1 == 1 {
		w.spans[state/2].Start = t
	}
}

// sweepCutting takes α through a segment, from what is before it, and keeps what is before each of the segments that it
// cuts it into. It stops before the last one unless toEnd is set. It reports whether all scores that matter are
// numbers.
func (w *viterbiPath[F]) sweepCutting(depth int, segment view.Span, before alphaSpan, last ends, toEnd bool) bool {
	l := &w.levels[depth]
	whole := w.bandOf(segment, last)
	l.whole, l.length = segment, w.cutLength(depth, segment.Len(), whole.Len())
	l.row = alphaSpan{workspace.Resize(l.row.v, 2*whole.Len()), whole.From}
	unreachable(l.row.v)
	band := w.band(w.group(segment, segment.From), segment, last)
	copy(l.row.at(band.From), before.at(band.From)[:2*band.Len()])

	positions := 0
	for t := segment.From + l.length; t < segment.To; t += l.length {
		positions += w.band(w.group(segment, t), segment, last).Len()
	}
	l.kept = workspace.Resize(l.kept, 2*positions)
	l.before = append(l.before[:0], before)
	kept := l.kept
	for t := segment.From; t < segment.To; t += blockFrames {
		group := w.group(segment, t)
		band := w.band(group, segment, last)
		if t > segment.From && (t-segment.From)%l.length == 0 {
			n := copy(kept, l.row.at(band.From)[:2*band.Len()])
			l.before = append(l.before, alphaSpan{kept[:n], band.From})
			kept = kept[n:]
			if !toEnd && t+l.length >= segment.To {
				break
			}
		}
		if !w.sweep(group, band, l.row, 0, l.row) {
			return false
		}
	}
	return true
}

// retraceCuts goes back through a segment that sweepCutting has cut, from a state in its last frame, and returns that
// in the frame before it.
func (w *viterbiPath[F]) retraceCuts(depth, state int) int {
	l := &w.levels[depth]
	for i := len(l.before) - 1; i >= 0; i-- {
		from := l.whole.From + i*l.length
		cut := view.Span{From: from, To: min(from+l.length, l.whole.To)}
		last := ends{state / 2, state / 2}
		if w.fits(cut, last) {
			w.sweepKeeping(cut, l.before[i], last)
			state = w.trace(cut, l.before[i], last, state)
		} else {
			w.sweepCutting(depth+1, cut, l.before[i], last, false)
			state = w.retraceCuts(depth+1, state)
		}
	}
	return state
}

// cutLength returns how many frames the segments have that one of so many frames and positions is cut into: half
// of it at most. A short one is swept again in little time, as no more positions than frames are within reach, but
// α is kept for each.
func (z *pathSizes) cutLength(depth, frames, positions int) int {
	most := max(z.cutPositions>>(2*min(depth, 1))/positions, 4)
	n := max((frames+most-1)/most, z.leastCut+positions/16)
	n = min(n, (frames+1)/2)
	return (n + blockFrames - 1) / blockFrames * blockFrames
}
