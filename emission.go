package trellis

import (
	"math"
	"unsafe"
)

// emission makes the emissions of a sequence: what each frame gives to the labels of
// the target and to the blank, relative to a factor that is common to the frame. Where
// there are few classes, exp is done once for each of them and serves their sum, the
// emissions and the gradient. Where there are many it is done for what the target names.
type emission[F Float] struct {
	byClass bool
	classes scores[F]
	place   []int32 // see addOccupanciesGeneric
	softmax []F     // what makes exp of a score a term of the gradient: of the segment
	scale   float64 // the same of a probability

	late   bool // max and sum are left to the gradient, which reads all scores
	names  scores[float64]
	named  []float64 // the scores, rows of a group
	max    []F       // of all frames that are not done by classes: the softmax is
	sum    []float64 // exp(x−max)/(1+sum)
	summed int       // the number of frames for which they are known

	index     []int32   // where the exp is of every label, and behind them of the blank
	group     int       // frames of a group
	y         []float64 // rows of the segment
	kinds     []int32   // of its frames: see kind
	groups    []emissionGroup
	exponents []float64 // of y in wide frames, a row each

	common commonFactor // of the frames so far
}

// commonFactor is 2^shift·e^logs/product. What comes from max and sum is not in it where
// exp is done by name.
type commonFactor struct{ shift, logs, product float64 }

// emissionGroup is what is known of a group's frames that are not wide.
type emissionGroup struct {
	least float64 // emission that is not 0
	plain bool    // all are narrow
}

// The kinds of frames, and above them wide frames: 1 is the first row of exponents.
const (
	narrow      = 0
	withNothing = -1 // an emission is 0
)

// leastEmission is the least number that may be an emission of a frame that is not wide.
const leastEmission = 0x1p-250

// scores is exp of the scores in rows.
type scores[F Float] struct {
	pitch             int
	p                 []F // rows
	top, ref, scratch []F // of a group: see expFramesGeneric
	sum               []float64
}

// resize makes room for rows of n scores, and groups of so many of them.
func (s *scores[F]) resize(n, rows, group int) {
	s.pitch = wholeVectors[F](n)
	s.p = resize(s.p, rows*s.pitch)
	group = (group + 3) &^ 3
	s.top, s.ref, s.sum = resize(s.top, group), resize(s.ref, group), resize(s.sum, group)
	s.scratch = resize(s.scratch, group*rowScratch)
}

// exp does a group of frames into p, from row at on.
func (s *scores[F]) exp(at int, x []F, n, stride, rows int) {
	perCall := max(1, block/n&^3)
	for r := 0; r < rows; r += perCall {
		expFrames(s.p[(at+r)*s.pitch:], s.top[r:], s.ref[r:], s.sum[r:], s.scratch, x[r*stride:], n, stride, s.pitch, min(perCall, rows-r))
	}
}

// factor returns the exponent of what exp has left out of row r.
func (s *scores[F]) factor(r int) float64 {
	if isFloat32[F]() {
		return float64(s.ref[r]) - shift32
	}
	return float64(s.ref[r]) - shift64
}

// inRange reports whether exp is of use in some rows.
func (s *scores[F]) inRange(from, to int) bool {
	var most F
	for _, top := range s.top[from:to] {
		most = max(most, top, -top)
	}
	return most <= maxScore
}

// emit makes emissions of a group, from row at of p on, and returns the least.
func (s *scores[F]) emit(y []float64, at int, index []int32, width, rows int) (least float64) {
	least = math.Inf(1)
	perCall := max(1, block/len(index))
	for r := 0; r < rows; r += perCall {
		l := emit(y[r*width:], s.p[(at+r)*s.pitch:], index, width, s.pitch, min(perCall, rows-r))
		least = min(least, float64(l))
	}
	return least
}

// choose decides how exp is done for a sequence.
func (m *emission[F]) choose(w *lattice[F]) {
	m.byClass = w.task.classes <= min(max(128, 4*w.width), block/4)
	m.group = groupFrames
	o := &w.task.out
	m.late = !m.byClass && o.wantGrad() && w.task.FromLogits && w.task.Gradient == LogitsGradient && !overlap(o.grad, w.task.x)
}

// bytes returns the memory for a frame of a segment.
func (m *emission[F]) bytes(w *lattice[F]) int {
	n := 8 * w.width
	if m.byClass {
		n += wholeVectors[F](w.task.classes) * int(unsafe.Sizeof(F(0)))
	}
	return n
}

// prepare makes room for a sequence and its segments.
func (m *emission[F]) prepare(w *lattice[F]) {
	m.common, m.summed = commonFactor{product: 1}, 0
	m.max, m.sum = resize(m.max, w.frames), resize(m.sum, w.frames)
	m.y, m.kinds = resize(m.y, w.segment*w.width), resize(m.kinds, w.segment)
	m.groups = resize(m.groups, w.segment/m.group+1)
	if m.byClass {
		m.scale = 0
		if w.task.out.wantGrad() && w.task.Gradient == LogitsGradient {
			m.scale = w.task.out.factor(w.n, w.task.share(w.n))
		}
		m.classes.resize(w.task.classes, w.segment, m.group)
		m.index = append(m.index[:0], w.classes...)
		m.softmax, m.place = resize(m.softmax, w.segment), resize(m.place, len(m.index))
		for i, c := range m.index {
			m.place[i] = int32(placeOf[F](int(c)))
			if i > w.last {
				m.place[i] = int32(placeOf[F](m.classes.pitch))
			}
		}
		return
	}
	m.names.resize(len(w.classes), m.group, m.group)
	m.named = resize(m.named, m.group*len(w.classes))
	m.index = resize(m.index, len(w.classes))
	for i := range m.index {
		m.index[i] = int32(i)
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
	log := m.common.logs - log64(m.common.product)
	if !m.byClass && w.task.FromLogits {
		for t, sum := range m.sum {
			log -= float64(m.max[t]) + log1p64(sum)
		}
	}
	return log
}

// make makes the emissions of some frames. It reports whether all scores that matter are
// numbers.
func (m *emission[F]) make(w *lattice[F], from, to int) bool {
	at, rows := from%w.segment, to-from
	y := m.y[at*w.width:]
	var least float64
	if m.byClass {
		x, stride := w.task.rows(w.task.x, w.n, from)
		m.classes.exp(at, x, w.task.classes, stride, rows)
		least = m.classes.emit(y, at, m.index, w.width, rows)
	} else {
		n := len(w.classes)
		for r := range rows {
			if !m.late && !m.sumFrame(w, from+r) { // first: it brings the scores into the cache
				return false
			}
			x, named := w.task.frame(w.task.x, w.n, from+r), m.named[r*n:][:n]
			for i, c := range w.classes {
				named[i] = float64(x[c])
			}
		}
		m.names.exp(0, m.named, n, n, rows)
		least = m.names.emit(y, 0, m.index, w.width, rows)
	}
	group, kinds := &m.groups[at/m.group], m.kinds[at:][:rows]
	*group = emissionGroup{least, least >= leastEmission && m.inRange(w, 0, rows)}
	if group.plain {
		clear(kinds)
	} else if group.least = 1; !m.makeSpecial(w, from, kinds, &group.least) {
		return false
	}
	return m.normalize(w, at, rows)
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

// inRange reports whether exp of the scores is of use in some frames of a group.
func (m *emission[F]) inRange(w *lattice[F], from, to int) bool {
	if !m.byClass {
		return m.names.inRange(from, to)
	}
	if !w.task.FromLogits {
		for r, sum := range m.classes.sum[from:to] {
			if sum != sum || m.classes.top[from+r] > expReach[F]()-10 {
				return false // NaN and overflow stay where they are; 2^1000 is power's largest
			}
		}
	}
	return m.classes.inRange(from, to)
}

// examine returns the kind of a frame that has an emission below leastEmission, and sets
// least to the least that is not 0.
func (m *emission[F]) examine(w *lattice[F], t int, least *float64) (kind int32) {
	x, y := w.task.frame(w.task.x, w.n, t), m.row(w, t)
	for i, c := range w.classes[:w.last+1] {
		switch {
		case y[i] >= leastEmission:
			*least = min(*least, y[i])
		case x[c] == negInf[F]():
			kind = withNothing
		default:
			return 1
		}
	}
	return kind
}

// normalize brings the common factor up to date with the frames of a group that are not
// wide. It reports whether all have a softmax, if that is known yet.
func (m *emission[F]) normalize(w *lattice[F], at, rows int) bool {
	kinds := m.kinds[at:][:rows]
	if !m.byClass {
		for r, kind := range kinds {
			if kind <= 0 {
				m.common.shift += m.names.factor(r)
			}
		}
		return true
	}
	product, softmax := m.common.product, m.softmax[at:][:rows]
	for r, sum := range m.classes.sum[:rows] {
		switch {
		case kinds[r] > 0:
		case w.task.FromLogits:
			product *= sum // between 2⁻¹ and 2¹³
			softmax[r] = F(m.scale / sum)
		default:
			shift := m.classes.factor(r)
			m.common.shift += shift
			softmax[r] = F(m.scale * power(shift))
		}
	}
	if product > 0x1p500 || product < 0x1p-500 {
		m.common.logs -= log64(product)
		product = 1
	}
	m.common.product = product
	return product == product
}

// sumFrame finds max and sum of a frame, once. It reports whether there is a softmax.
func (m *emission[F]) sumFrame(w *lattice[F], t int) bool {
	if t < m.summed {
		return true
	}
	m.summed = t + 1
	m.max[t], m.sum[t] = 0, 0
	switch x := w.task.frame(w.task.x, w.n, t); {
	case !w.task.FromLogits:
	case m.byClass:
		m.max[t], m.sum[t] = sumExpRow(x)
	default:
		w.scratch = resize(w.scratch, len(x))
		_, m.max[t], m.sum[t] = w.stream.exp(w.scratch, x, w.distance())
	}
	return m.sum[t] == m.sum[t]
}

// makeWide makes the emissions of a frame with exponents, relative to the best score of
// what the target names.
func (m *emission[F]) makeWide(w *lattice[F], t int) bool {
	x, y := w.task.frame(w.task.x, w.n, t), m.row(w, t)
	ref := negInf[F]()
	for _, c := range w.classes[:w.last+1] {
		if v := x[c]; v > ref || v != v {
			ref = v
		}
	}
	if !(ref < F(math.Inf(1))) || !m.sumFrame(w, t) {
		return false
	}
	if ref != negInf[F]() {
		log := float64(ref)
		if m.byClass { // otherwise see log
			log = (log - float64(m.max[t])) - log1p64(m.sum[t])
		}
		m.common.logs += log
	}
	n := len(m.exponents)
	m.exponents = append(m.exponents, y[:w.width]...) // any values
	for i, c := range w.classes[:w.last+1] {
		y[i], m.exponents[n+i] = expScaled(difference(float64(x[c]), float64(ref))) // −Inf less −Inf is NaN, which is taken for zero
	}
	return true
}

// reach returns how many frames from the first of a stretch on, all in one group, make the
// next run, given its largest factor: until a state may leave the range, behind an emission
// of 0, or before a wide frame.
func (m *emission[F]) reach(w *lattice[F], from, to int, largest float64) int {
	group := &m.groups[from%w.segment/m.group]
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
