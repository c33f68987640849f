package trellis

import (
	"slices"

	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// confidence finds how sure a path is: the occupancy of the label's position in each frame that a span has.
//
// With α(t,s) for the sum over all paths from the start to state s in frame t, β(t,s) for that from there to
// the end, both with the emission y(t,s), and P for the target's probability, it is
//
//	γ(t,s) = α(t,s)·β(t,s) / (y(t,s)·P).
//
// Only the states on the path are asked for, one for each frame. So α is taken forward and the few
// numbers of it are noted, and β is the α of the frames and labels in reverse, at the same
// states: nothing else is kept of either sweep.
type confidence struct {
	trellis trellis[float64]
	scores  view.Rows[float64] // logarithms of what the path has: the classes that the target names, then AnyLabel
	labels  []int              // their columns
	alpha   []number           // of the states on the path
}

// release forgets what was borrowed.
func (c *confidence) release() { c.trellis.emission.release() }

// workspaceBytes returns about how many bytes the workspace takes.
func (c *confidence) workspaceBytes() int {
	return c.trellis.workspaceBytes() + 8*cap(c.scores.Data) + 16*cap(c.alpha)
}

// find sets the confidence of spans, of which labels are at the given columns of scores and the blank, too.
// AnyLabel has the column behind all others.
func (c *confidence) find(spans []Span, blank int) {
	frames := len(c.scores.Data) / c.scores.Stride
	c.alpha = workspace.Resize(c.alpha, frames)
	probability := c.sweep(blank, func(w *trellis[float64], r *run) {
		eachOnPath(spans, r, func(label, t int) { c.alpha[t] = w.labelIn(r, t, label) })
	})
	for i := range frames / 2 {
		swapRows(c.scores.Row(i), c.scores.Row(frames-1-i))
	}
	slices.Reverse(c.labels)
	last := len(spans) - 1
	c.sweep(blank, func(w *trellis[float64], r *run) {
		reversed := *r
		reversed.frames = view.Span{From: frames - r.frames.To, To: frames - r.frames.From}
		reversed.positions = view.Span{From: max(0, last+1-r.positions.To), To: last + 1 - r.positions.From}
		eachOnPath(spans, &reversed, func(label, t int) {
			at, position := frames-1-t, last-label
			beta, y := w.labelIn(r, at, position), w.emission.numbers(at)
			emission := number{y.v[position], y.exponents[position]}.normal()
			alpha := c.alpha[t]
			occupancy := alpha.v * beta.v / (emission.v * probability.v)
			spans[label].Confidence += occupancy * power(alpha.e+beta.e-(emission.e+probability.e))
		})
	})
	for i := range spans {
		spans[i].Confidence /= float64(spans[i].End - spans[i].Start)
	}
}

// sweep takes α through all frames and shows every run to visit while it is there. It returns the target's probability.
func (c *confidence) sweep(blank int, visit func(w *trellis[float64], r *run)) number {
	w := &c.trellis
	w.target.set(c.labels, blank)
	for i, label := range c.labels {
		if label == AnyLabel {
			w.target.symbols[i] = int32(c.scores.Columns - 1)
		}
	}
	frames := len(c.scores.Data) / c.scores.Stride
	w.begin(c.scores, frames, emissionOptions{}, 0)
	w.start()
	for t := 0; t < frames; t += w.segment {
		w.sweep(t)
		for i := range w.runs {
			visit(w, &w.runs[i])
		}
	}
	return w.probability()
}

// eachOnPath calls do with the labels and frames of a run that the path has.
func eachOnPath(spans []Span, r *run, do func(label, t int)) {
	from := max(r.positions.From, 0)
	behind, _ := slices.BinarySearchFunc(spans, r.frames.From+1, func(s Span, t int) int { return s.End - t })
	for i := max(from, behind); i < min(r.positions.To, len(spans)) && spans[i].Start < r.frames.To; i++ {
		for t := max(spans[i].Start, r.frames.From); t < min(spans[i].End, r.frames.To); t++ {
			do(i, t)
		}
	}
}

// labelIn returns α of a label in a frame of a run.
func (w *trellis[F]) labelIn(r *run, t, label int) number {
	i := labelAt(label - r.positions.From)
	v, exponents := w.alphaFrom(t, r.positions.From)[i], w.exponents[r.before:]
	if r.wide { // its own exponents are those behind it, to which normalizeRow has added v's
		return number{number{v: v}.normal().v, exponents[2*r.positions.Len()+i]}
	}
	return number{v, exponents[i]}.normal()
}

// swapRows exchanges two rows.
func swapRows(a, b []float64) {
	for i, v := range a {
		a[i], b[i] = b[i], v
	}
}
