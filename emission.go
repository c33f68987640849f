package trellis

import (
	"math"
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// emission makes the emissions of a sequence: what each frame gives to the labels of
// the target and to the blank, relative to a factor that is common to the frame.
//
// Where there are few classes, exp of logits is done once for each of them, and serves their
// sum, the emissions and the gradient. Else the emissions are made by name: exp is done, in
// float64, for what the target names. So are those of log-probabilities, whose sum does
// not matter.
type emission[F Float] struct {
	byClass bool // the first term of the gradient, and the sum if there is one
	classes scores[F]
	place   []int32 // see addOccupanciesGeneric
	softmax []F     // what makes exp of a score a term of the gradient: of the segment

	// The softmax of frames that are not done by class is exp(x−max)/(1+sum). So many
	// frames have been summed; if it is late this is left to the gradient, which reads all
	// scores, and base is the logarithm of the frame's common factor until then.
	late      bool
	summed    int
	max       []F
	sum, base []float64

	names    scores[float64]
	named    []float64 // the scores, rows of a group
	identity []int32   // where names has the exp of every label, and behind them of the blank

	y         []float64 // rows of the segment
	kinds     []int32   // of its frames: see kind
	groups    []emissionGroup
	exponents []float64 // of y in wide frames, a row each

	common commonFactor // of the frames so far
}

// commonFactor is 2^shift·e^(logs+more)/product, where more has the logarithm of what was
// taken out of product before it could overflow.
type commonFactor struct{ shift, logs, product, more float64 }

// emissionGroup is what is known of a group's frames that are not wide.
type emissionGroup struct {
	least float64 // emission that is not 0
	plain bool    // all are of kind 0
}

// withNothing is the kind of a frame that has an emission of 0. Other frames have the kind 0,
// or if they are wide the number of their row of exponents, counted from 1.
const withNothing = -1

// leastEmission is the least number that may be an emission of a frame that is not wide.
const leastEmission = 0x1p-250

// scores is exp of the scores in rows.
type scores[F Float] struct {
	pitch             int
	p                 []F // rows
	top, ref, scratch []F // of a group: see expFramesGeneric
	sum               []float64
}

// resize makes room for rows of n scores.
func (s *scores[F]) resize(n, rows int) {
	s.pitch = fp.WholeVectors[F](n)
	s.p = workspace.Resize(s.p, rows*s.pitch)
	group := groupFrames + 3 // four are written at a time
	s.top, s.ref, s.sum = workspace.Resize(s.top, group), workspace.Resize(s.ref, group), workspace.Resize(s.sum, group)
	s.scratch = workspace.Resize(s.scratch, group*rowScratch)
}

// exp does a group of frames into p, from row at on.
func (s *scores[F]) exp(at int, x []F, n, stride, rows int) {
	perCall := max(1, block/n&^3)
	for r := 0; r < rows; r += perCall {
		expFrames(view.Rows[F]{Data: s.p[(at+r)*s.pitch:], Columns: s.pitch, Stride: s.pitch}, s.top[r:], s.ref[r:], s.sum[r:], s.scratch, view.Rows[F]{Data: x[r*stride:], Columns: n, Stride: stride}, min(perCall, rows-r))
	}
}

// exponent returns that of what exp has left out of row r.
func (s *scores[F]) exponent(r int) float64 {
	if fp.IsFloat32[F]() {
		return float64(s.ref[r]) - 0x1.8p23
	}
	return float64(s.ref[r]) - 0x1.8p52
}

// inRange reports whether exp is of use in some rows.
func (s *scores[F]) inRange(from, to int) bool {
	for _, top := range s.top[from:to] {
		if !(top <= fp.MaxScore && top >= -fp.MaxScore) {
			return false
		}
	}
	return true
}

// emit makes emissions of a group, from row at of p on, and returns the least.
func (s *scores[F]) emit(y []float64, at int, index []int32, width, rows int) (least float64) {
	least = math.Inf(1)
	perCall := max(1, block/len(index))
	for r := 0; r < rows; r += perCall {
		l := emit(view.Rows[float64]{Data: y[r*width:], Columns: width, Stride: width}, view.Rows[F]{Data: s.p[(at+r)*s.pitch:], Columns: s.pitch, Stride: s.pitch}, index, min(perCall, rows-r))
		least = min(least, float64(l))
	}
	return least
}

// choose decides how exp is done for a sequence.
func (m *emission[F]) choose(w *lattice[F]) {
	t, o := w.task, &w.task.out
	softmax := o.wantGrad() && t.Gradient == LogitsGradient
	m.byClass = t.classes <= min(max(512, 4*w.width), block/4) && (t.FromLogits || softmax)
	m.late = !m.byClass && t.FromLogits && softmax && !overlap(o.grad, t.x)
}

// bytes returns the memory for a frame of a segment.
func (m *emission[F]) bytes(w *lattice[F]) int {
	n := 8 * w.width
	if m.byClass {
		n += fp.WholeVectors[F](w.task.classes) * fp.Size[F]()
	}
	return n
}

// prepare makes room for a sequence and its segments.
func (m *emission[F]) prepare(w *lattice[F]) {
	m.common, m.summed = commonFactor{product: 1}, 0
	m.max, m.sum, m.base = workspace.Resize(m.max, w.frames), workspace.Resize(m.sum, w.frames), workspace.Resize(m.base, w.frames)
	m.y, m.kinds = workspace.Resize(m.y, w.segment*w.width), workspace.Resize(m.kinds, w.segment)
	m.groups = workspace.Resize(m.groups, w.segment/groupFrames+1)
	if !m.byClass || !w.task.FromLogits {
		m.names.resize(w.width, groupFrames)
		m.named, m.identity = workspace.Resize(m.named, groupFrames*w.width), workspace.Resize(m.identity, w.width)
		for i := range m.identity {
			m.identity[i] = int32(i)
		}
	}
	if m.byClass {
		m.classes.resize(w.task.classes, w.segment)
		m.softmax = workspace.Resize(m.softmax, w.segment)
	}
	if m.byClass && w.task.out.wantGrad() {
		m.place = workspace.Resize(m.place, w.width)
		for i, c := range w.classes {
			m.place[i] = int32(sumOffset[F](int(c)))
			if i > w.last {
				m.place[i] = int32(sumOffset[F](m.classes.pitch))
			}
		}
	}
}

// row returns the emissions of a frame in the segment, and those behind it.
func (m *emission[F]) row(w *lattice[F], t int) []float64 { return m.y[t%w.segment*w.width:] }

// kind returns the kind of a frame in the segment.
func (m *emission[F]) kind(w *lattice[F], t int) int32 { return m.kinds[t%w.segment] }

// of returns the emission of a frame at a position.
func (m *emission[F]) of(w *lattice[F], t, i int) number {
	y := number{v: m.row(w, t)[i]}
	if k := m.kind(w, t); k > 0 {
		y.e = m.exponents[int(k-1)*w.width+i]
	}
	return y
}

// log returns the logarithm of the common factors of all frames, but for 2^shift.
func (m *emission[F]) log(w *lattice[F]) float64 {
	log := m.common.logs + (m.common.more - fp.Log(m.common.product))
	if w.task.FromLogits && !m.byClass {
		for t, sum := range m.sum {
			log += (m.base[t] - float64(m.max[t])) - fp.Log1p(sum)
		}
	}
	return log
}

// make makes the emissions of some frames. It reports whether all scores that matter are
// numbers.
func (m *emission[F]) make(w *lattice[F], from, to int) bool {
	at, rows := from%w.segment, to-from
	var least float64
	if m.byClass {
		x, stride := w.task.rows(w.task.x, w.n, from)
		m.classes.exp(at, x, w.task.classes, stride, rows)
	}
	if m.byClass && w.task.FromLogits {
		least = m.classes.emit(m.row(w, from), at, w.classes, w.width, rows)
	} else {
		for r := range rows {
			if w.task.FromLogits && !m.late && !m.sumFrame(w, from+r) { // first: it brings the scores into the cache
				return false
			}
			x, named := w.task.frame(w.task.x, w.n, from+r), m.named[r*w.width:][:w.width]
			for i, c := range w.classes {
				named[i] = float64(x[c])
			}
		}
		m.names.exp(0, m.named, w.width, w.width, rows)
		least = m.names.emit(m.row(w, from), 0, m.identity, w.width, rows)
	}
	group, kinds := &m.groups[at/groupFrames], m.kinds[at:][:rows]
	*group = emissionGroup{least, least >= leastEmission && m.inRange(w, 0, rows)}
	if group.plain {
		clear(kinds)
	} else if group.least = 1; !m.makeSpecial(w, from, kinds, &group.least) {
		return false
	}
	return m.normalize(w, from, kinds)
}

// makeSpecial finds out the kinds of a group's frames, and makes the emissions of those that
// are wide.
func (m *emission[F]) makeSpecial(w *lattice[F], from int, kinds []int32, least *float64) bool {
	for r := range kinds {
		kinds[r] = 1
		if m.inRange(w, r, r+1) {
			kinds[r] = m.examine(w, from+r, least)
		}
		if kinds[r] > 0 {
			if !m.makeWide(w, from+r) {
				return false
			}
			kinds[r] = int32(len(m.exponents) / w.width)
		}
	}
	return true
}

// inRange reports whether emissions of some frames of a group can be made from exp of the
// scores.
func (m *emission[F]) inRange(w *lattice[F], from, to int) bool {
	if m.byClass && w.task.FromLogits {
		return m.classes.inRange(from, to)
	}
	return m.names.inRange(from, to)
}

// term returns what makes exp of log-probabilities a term of the gradient, or NaN if it does
// not: NaN and overflow are to stay where they are, and 2^1000 is power's largest.
func (m *emission[F]) term(scale float64, r int) F {
	c := &m.classes
	factor := F(scale * power(c.exponent(r)))
	if !c.inRange(r, r+1) || c.top[r] > fp.ExpReach[F]()-10 || !fp.IsFinite(F(factor*F(c.sum[r]))) {
		return fp.NaN[F]()
	}
	return factor
}

// examine returns the kind of a frame that has an emission below leastEmission, and sets
// least to the least that is not 0.
func (m *emission[F]) examine(w *lattice[F], t int, least *float64) (kind int32) {
	x, y := w.task.frame(w.task.x, w.n, t), m.row(w, t)
	for i, c := range w.classes[:w.last+1] {
		switch {
		case y[i] >= leastEmission:
			*least = min(*least, y[i])
		case x[c] == fp.NegInf[F]():
			kind = withNothing
		default:
			return 1
		}
	}
	return kind
}

// normalize brings the common factor up to date with the frames of a group that are not
// wide. It reports whether all have a softmax, if that is known yet.
func (m *emission[F]) normalize(w *lattice[F], from int, kinds []int32) bool {
	c, scale, softmax := &m.common, w.scale, m.softmax
	if w.task.Gradient == ScoresGradient {
		scale = 0
	}
	if m.byClass {
		softmax = softmax[from%w.segment:]
	}
	for r, kind := range kinds {
		switch {
		case kind > 0:
		case !w.task.FromLogits:
			c.shift += m.names.exponent(r)
			if m.byClass {
				softmax[r] = m.term(scale, r)
			}
		case !m.byClass:
			m.base[from+r] = m.names.exponent(r) * math.Ln2
		default:
			sum := m.classes.sum[r]
			if softmax[r] = 0; scale != 0 { // a division
				softmax[r] = F(scale / sum)
			}
			if c.product *= sum; !(c.product < 0x1p500 && c.product > 0x1p-500) {
				if sum != sum {
					return false
				}
				c.more -= fp.Log(c.product)
				c.product = 1
			}
		}
	}
	return true
}

// sumFrame finds max and sum of a frame, if that was not done. It reports whether there is a
// softmax.
func (m *emission[F]) sumFrame(w *lattice[F], t int) bool {
	if t >= m.summed {
		m.summed = t + 1
		x := w.task.frame(w.task.x, w.n, t)
		w.scratch = workspace.Resize(w.scratch, len(x))
		_, m.max[t], m.sum[t] = w.stream.exp(w.scratch, x, w.distance())
	}
	return m.sum[t] == m.sum[t]
}

// sumFrames does sumFrame for all frames.
func (m *emission[F]) sumFrames(w *lattice[F]) bool {
	for t := range w.frames {
		if !m.sumFrame(w, t) {
			return false
		}
	}
	return true
}

// makeWide makes the emissions of a frame with exponents, relative to the best score of
// what the target names.
func (m *emission[F]) makeWide(w *lattice[F], t int) bool {
	x, y := w.task.frame(w.task.x, w.n, t), m.row(w, t)
	ref := fp.NegInf[F]()
	for _, c := range w.classes[:w.last+1] {
		if v := x[c]; v > ref || v != v {
			ref = v
		}
	}
	if !(ref < F(math.Inf(1))) {
		return false
	}
	log := float64(ref)
	switch {
	case !w.task.FromLogits:
	case m.byClass:
		if m.max[t], m.sum[t] = sumExpRow(x); m.sum[t] != m.sum[t] {
			return false
		}
		log = (log - float64(m.max[t])) - fp.Log1p(m.sum[t])
	default:
		m.base[t], log = log, 0
	}
	if ref != fp.NegInf[F]() { // or the loss is +Inf
		m.common.logs += log
	}
	n := len(m.exponents)
	m.exponents = slices.Grow(m.exponents, w.width)[:n+w.width]
	for i, c := range w.classes[:w.last+1] {
		y[i], m.exponents[n+i] = fp.ExpScaled(fp.Difference(float64(x[c]), float64(ref))) // −Inf less −Inf is NaN, which is taken for zero
	}
	return true
}

// reach returns how many frames from the first of a stretch on, all in one group, make the
// next run, given its largest factor: until a state may leave the range, behind an emission
// of 0, or before a wide frame.
func (m *emission[F]) reach(w *lattice[F], from, to int, largest float64) int {
	group := &m.groups[from%w.segment/groupFrames]
	n := min(to-from, room/(2+max(exponent(largest), -exponent(group.least))))
	if group.plain {
		return n
	}
	for k := range n {
		switch kind := m.kind(w, from+k); {
		case kind > 0:
			return k
		case kind == withNothing:
			return k + 1
		}
	}
	return n
}

// exponent returns the exponent of a normal number, which is not negative.
func exponent(v float64) int { return int(math.Float64bits(v)>>52) - 1023 }
