package trellis

import (
	"slices"

	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// confidence finds how sure a path is: the occupancy of the label's position in each frame that a span has.
//
// Of a sequence that is not long, occupancies are those of a gradient: α is kept and β comes back through
// it. That is too much memory for an hour. Only the states on the path are asked for, one for each frame,
// and with α(t,s) for the sum over all paths from the start to state s in frame t, β(t,s) for that from
// there to the end, both with the emission y(t,s), and P for the target's probability,
//
//	γ(t,s) = α(t,s)·β(t,s) / (y(t,s)·P).
//
// So of a long one α is taken forward and the few numbers of it are noted, and β is the α of the frames and
// labels in reverse, at the same states: nothing else is kept of either sweep.
type confidence[F Float] struct {
	short     trellis[F]
	occupancy []float64
	spans     []Span

	long   trellis[float64]
	scores view.Rows[float64] // logarithms of what the path has: the classes that the target names, then AnyLabel
	most   []float64          // of each row
	labels []int              // their columns
	alpha  []number           // of the states on the path
	ones   []float64
}

// release forgets what was borrowed.
func (c *confidence[F]) release() {
	c.short.emission.release()
	c.long.emission.release()
	c.spans = nil
}

// workspaceBytes returns about how many bytes the workspace takes.
func (c *confidence[F]) workspaceBytes() int {
	return c.short.workspaceBytes() + c.long.workspaceBytes() + 8*(cap(c.scores.Data)+cap(c.most)+cap(c.ones)+2*cap(c.alpha))
}

// find sets the confidence of the spans of a path, about kept bytes being what α may take.
func (c *confidence[F]) find(m *pathEmission[F], spans []Span, kept int) {
	if !c.findShort(m, spans, kept) {
		c.findLong(m, spans)
	}
	for i := range spans {
		spans[i].Confidence /= float64(spans[i].End - spans[i].Start)
	}
}

// findShort adds up the occupancies that make the confidence, for a target without AnyLabel. It reports
// false, and does nothing, if α is too much to be kept. What logits of a frame have in common makes no
// difference: they are taken for logarithms of probabilities.
func (c *confidence[F]) findShort(m *pathEmission[F], spans []Span, kept int) bool {
	w, g := &c.short, m.target
	if slices.Contains(g.symbols, AnyLabel) {
		return false
	}
	scores := m.scores
	if scores == Logits {
		scores = LogProbabilities
	}
	w.target.copy(g)
	o := emissionOptions{scores: scores, isFar: m.isFar}
	w.emission.begin(&w.target, m.x, m.frames, o) // which bytesPerFrame depends on
	if m.frames > kept/w.bytesPerFrame() {
		return false // before begin makes room for α
	}
	w.begin(m.x, m.frames, o, kept)
	probability, _ := w.forward()
	if probability.v == 0 {
		return true
	}
	c.spans = spans
	w.backward(probability, c)
	for i := range spans {
		spans[i].Confidence /= probability.v
	}
	return true
}

// rows returns where the occupancies of a panel go.
func (c *confidence[F]) rows(p panel) view.Rows[float64] {
	c.occupancy = workspace.Resize(c.occupancy, groupFrames*panelWidth)
	return view.Of(c.occupancy, p.positions.Len(), panelWidth)
}

// add takes in the occupancies of a panel.
func (c *confidence[F]) add(p panel) {
	rows := c.rows(p)
	eachOnPath(c.spans, p, func(label, t int) {
		c.spans[label].Confidence += rows.Row(t - p.frames.From)[label-p.positions.From]
	})
}

// finish is called at the end of a group.
func (c *confidence[F]) finish(view.Span, []float64) {}

// findLong adds up the occupancies that make the confidence.
func (c *confidence[F]) findLong(m *pathEmission[F], spans []Span) {
	frames, columns := m.frames, len(m.classes)+1
	c.scores = view.Of(workspace.Resize(c.scores.Data, frames*columns), columns, columns)
	c.most, c.alpha = workspace.Resize(c.most, frames), workspace.Resize(c.alpha, frames)
	o := emissionOptions{scores: LogProbabilities}
	if m.copyTo(c.scores, c.most) < reachOfExp {
		c.exp()
		o.scores = Probabilities
	}
	c.labels = workspace.Resize(c.labels, len(spans))
	for i, class := range m.target.symbols[:len(spans)] {
		if c.labels[i] = AnyLabel; class != AnyLabel {
			c.labels[i] = m.set.index(class)
		}
	}
	blank, w := m.set.index(m.target.symbols[len(spans)]), &c.long
	probability := c.sweep(blank, o, func(r *run) {
		eachOnPath(spans, r.panel, func(label, t int) { c.alpha[t] = w.labelIn(r, t, label) })
	})
	if probability.v == 0 {
		return
	}
	for i := range frames / 2 {
		swapRows(c.scores.Row(i), c.scores.Row(frames-1-i))
	}
	slices.Reverse(c.labels)
	last := len(spans) - 1
	c.sweep(blank, o, func(r *run) {
		reversed := panel{
			frames:    view.Span{From: frames - r.frames.To, To: frames - r.frames.From},
			positions: view.Span{From: last + 1 - r.positions.To, To: last + 1 - r.positions.From},
		}
		eachOnPath(spans, reversed, func(label, t int) {
			at, position := frames-1-t, last-label
			beta, emissions := w.labelIn(r, at, position), w.emission.numbers(at)
			y := number{emissions.v[position], emissions.exponents[position]}.normal()
			alpha := c.alpha[t]
			spans[label].Confidence += float64(alpha.v * beta.v / (y.v * probability.v) * power(alpha.e+beta.e-(y.e+probability.e)))
		})
	})
}

// reachOfExp is how far below the largest score of a frame another one may be for both to be probabilities.
const reachOfExp = 600

// exp makes probabilities of the scores, each relative to the largest one of its frame: both sweeps have the
// same ones.
func (c *confidence[F]) exp() {
	c.ones = workspace.Resize(c.ones, len(c.most))
	for i := range c.ones {
		c.ones[i] = 1
	}
	writeRows(opSoftmax, c.scores.Data, c.scores.Data, c.scores.Stride, c.most, c.ones)
}

// sweep takes α through all frames and shows every run to visit while it is there. It returns the target's
// probability.
func (c *confidence[F]) sweep(blank int, o emissionOptions, visit func(r *run)) number {
	w := &c.long
	w.target.set(c.labels, blank)
	for i, label := range c.labels {
		if label == AnyLabel {
			w.target.symbols[i] = int32(c.scores.Columns - 1)
		}
	}
	frames := len(c.most)
	w.begin(c.scores, frames, o, 0)
	w.start()
	for t := 0; t < frames; t += w.segment {
		w.sweep(t)
		for i := range w.runs {
			visit(&w.runs[i])
		}
	}
	return w.probability()
}

// eachOnPath calls do with the labels and frames of a panel that the path has.
func eachOnPath(spans []Span, p panel, do func(label, t int)) {
	behind, _ := slices.BinarySearchFunc(spans, p.frames.From+1, func(s Span, t int) int { return s.End - t })
	for i := max(p.positions.From, behind); i < min(p.positions.To, len(spans)) && spans[i].Start < p.frames.To; i++ {
		for t := max(spans[i].Start, p.frames.From); t < min(spans[i].End, p.frames.To); t++ {
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
