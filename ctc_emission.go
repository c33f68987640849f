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
// There are two ways. By class: exp of logits is done once for each class, and serves
// their sum, the emissions and the gradient. That is for few classes. By label: exp is
// done, in float64, for each label of the target and for the blank. That is for many
// classes, and for log-probabilities, whose sum does not matter. Probabilities are emissions
// as they are.
type emission[F Float] struct {
	emissionOptions
	target  *ctcTarget
	x       view.Rows[F] // the frames
	frames  int          // how many count
	segment int          // frames whose emissions are kept at a time

	// exp by class, or probabilities, of the frames of the segment. softmaxFactors[r] times row
	// r is the softmax in the gradient.
	expByClass     bool
	byClass        expRows[F]
	softmaxFactors []F
	byLabel        expRows[float64]
	labelScores    []float64 // the scores of a group, a row of positions for each frame
	identity       []int32   // 0, 1, 2, …: where byLabel has the exp of a position

	// The softmax of frames that are not done by class is exp(x−max)/(1+sum): sum leaves out
	// the largest term, which is 1. The frames before summed have max and sum. With
	// deferSoftmax they are left to the gradient, which reads all scores. base is the
	// logarithm of what the emissions of a frame are relative to.
	deferSoftmax bool
	summed       int
	max          []F
	sum, base    []float64
	stream       rowStream[F]
	scratch      []F

	y         []float64   // the emissions, rows of the segment
	kinds     []frameKind // of its frames
	groups    []emissionGroup
	exponents []float64 // of y in scaled frames, a row each

	common commonFactor // of the frames so far
}

// emissionOptions says what the scores are, and what will be made of the emissions.
type emissionOptions struct {
	scores Scores
	// wantSoftmax is set if a softmax of the scores is part of the gradient, with the
	// factor softmaxScale.
	wantSoftmax  bool
	softmaxScale float64
	// inPlace is set if the gradient overwrites scores.
	inPlace bool
}

// commonFactor is 2^shift·e^(logs+spilled)/product: K, L and Π of docs/ctc.md. spilled has the
// logarithm of what was taken out of product before it could overflow.
type commonFactor struct{ shift, logs, product, spilled float64 }

// log returns the logarithm of the factor, but for 2^shift.
func (c *commonFactor) log() float64 { return c.logs + (c.spilled - fp.Log(c.product)) }

// emissionGroup is what is known of a group's frames that are not scaled.
type emissionGroup struct {
	least float64 // emission that is not 0
	plain bool    // all frames are plain
}

// frameKind says how the emissions of a frame are kept: plain ones as they are, as are those
// that have a 0 among them; those of kind k > 0 are scaled, which means that they have
// exponents, in row k−1 of emission.exponents.
type frameKind int32

const (
	plain   frameKind = 0
	hasZero frameKind = -1
)

// isScaled reports whether the emissions of a frame have exponents.
func (s frameKind) isScaled() bool { return s > 0 }

// leastEmission is the least number that may be an emission of a frame that is not scaled.
const leastEmission = 0x1p-250

// expRows is exp of scores, in rows, each divided by a power of two of its own.
type expRows[F Float] struct {
	rows              view.Rows[F] // whole vectors
	top, ref, scratch []F          // of a group: see expFramesGeneric
	sum               []float64
}

// resize makes room for rows of n scores.
func (p *expRows[F]) resize(n, rows int) {
	width := fp.WholeVectors[F](n)
	p.rows = view.Of(workspace.Resize(p.rows.Data, rows*width), width, width)
	group := groupFrames + 3 // four are written at a time
	p.top, p.ref, p.sum = workspace.Resize(p.top, group), workspace.Resize(p.ref, group), workspace.Resize(p.sum, group)
	p.scratch = workspace.Resize(p.scratch, group*rowScratch)
}

// exp does a group of so many frames, into the rows from row at on.
func (p *expRows[F]) exp(at int, x view.Rows[F], frames int) {
	perCall := max(1, block/x.Columns&^3)
	for r := 0; r < frames; r += perCall {
		expFrames(p.rows.From(at+r), p.top[r:], p.ref[r:], p.sum[r:], p.scratch, x.From(r), min(perCall, frames-r))
	}
}

// exponent returns that of the power of two by which row r of the group was divided.
func (p *expRows[F]) exponent(r int) float64 { return fp.Unshifted(p.ref[r]) }

// inRange reports whether exp is of use in some rows of the group.
func (p *expRows[F]) inRange(from, to int) bool {
	for _, top := range p.top[from:to] {
		if !(top <= fp.MaxScore && top >= -fp.MaxScore) {
			return false
		}
	}
	return true
}

// emit makes the emissions y of a group of so many frames, from row at on, and returns the
// least.
func (p *expRows[F]) emit(y view.Rows[float64], at int, index []int32, frames int) (least float64) {
	least = math.Inf(1)
	perCall := max(1, block/len(index))
	for r := 0; r < frames; r += perCall {
		l := emit(y.From(r), p.rows.From(at+r), index, min(perCall, frames-r))
		least = min(least, float64(l))
	}
	return least
}

// begin takes on a sequence, and decides how exp is done for it.
func (m *emission[F]) begin(target *ctcTarget, x view.Rows[F], frames int, o emissionOptions) {
	m.target, m.x, m.frames, m.emissionOptions = target, x, frames, o
	m.expByClass = x.Columns <= min(max(512, 4*target.width), block/4) && (o.scores == Logits || o.wantSoftmax)
	m.deferSoftmax = !m.expByClass && o.scores == Logits && o.wantSoftmax && !o.inPlace
	m.common, m.summed = commonFactor{product: 1}, 0
}

// release forgets what was borrowed.
func (m *emission[F]) release() { m.x = view.Rows[F]{} }

// bytesPerFrame returns the memory that a frame of a segment takes.
func (m *emission[F]) bytesPerFrame() int {
	n := 8 * m.target.width
	if m.expByClass {
		n += fp.WholeVectors[F](m.x.Columns) * fp.Size[F]()
	}
	return n
}

// workspaceBytes returns about how many bytes the workspace takes.
func (m *emission[F]) workspaceBytes() int {
	doubles := cap(m.y) + cap(m.exponents) + cap(m.labelScores) + cap(m.byLabel.rows.Data)
	elements := cap(m.byClass.rows.Data) + cap(m.scratch) + cap(m.stream.rows[0]) + cap(m.stream.rows[1])
	return 8 * (doubles + elements)
}

// resize makes room for segments of so many frames.
func (m *emission[F]) resize(segment int) {
	m.segment = segment
	width := m.target.width
	m.max, m.sum, m.base = workspace.Resize(m.max, m.frames), workspace.Resize(m.sum, m.frames), workspace.Resize(m.base, m.frames)
	m.y, m.kinds = workspace.Resize(m.y, segment*width), workspace.Resize(m.kinds, segment)
	m.groups = workspace.Resize(m.groups, segment/groupFrames+1)
	if m.scores == LogProbabilities || m.scores == Logits && !m.expByClass {
		m.byLabel.resize(width, groupFrames)
		m.labelScores, m.identity = workspace.Resize(m.labelScores, groupFrames*width), workspace.Resize(m.identity, width)
		for i := range m.identity {
			m.identity[i] = int32(i)
		}
	}
	if m.expByClass {
		m.byClass.resize(m.x.Columns, segment)
		m.softmaxFactors = workspace.Resize(m.softmaxFactors, segment)
	}
}

// rows returns the emissions from a frame in the segment on, those of the labels and of the
// blank behind them.
func (m *emission[F]) rows(t int) view.Rows[float64] {
	return view.Of(m.y[t%m.segment*m.target.width:], m.target.length+1, m.target.width)
}

// kind returns how the emissions of a frame in the segment are kept.
func (m *emission[F]) kind(t int) frameKind { return m.kinds[t%m.segment] }

// scaled returns the emissions of a frame in the segment as numbers with exponents.
func (m *emission[F]) scaled(t int) scaledRow {
	y := scaledRow{v: m.y[t%m.segment*m.target.width:]}
	if k := m.kind(t); k.isScaled() {
		y.exponents = m.exponents[int(k-1)*m.target.width:]
	}
	return y
}

// log returns the logarithm of the common factors of all frames, but for 2^shift.
func (m *emission[F]) log() float64 {
	log := m.common.log()
	if m.scores == Logits && !m.expByClass {
		for t, sum := range m.sum {
			log += (m.base[t] - float64(m.max[t])) - fp.Log1p(sum)
		}
	}
	return log
}

// make makes the emissions of some frames of one group. It reports whether all scores that
// matter are numbers.
func (m *emission[F]) make(from, to int) bool {
	at, frames := from%m.segment, to-from
	y := m.rows(from)
	var least float64
	if m.expByClass && m.scores != Probabilities {
		m.byClass.exp(at, m.x.From(from), frames)
	}
	switch {
	case m.scores == Probabilities:
		if least = m.emitProbabilities(y, from, frames); least != least {
			return false
		}
	case m.expByClass && m.scores == Logits:
		least = m.byClass.emit(y, at, m.target.symbols, frames)
	default:
		for r := range frames {
			if m.scores == Logits && !m.deferSoftmax && !m.sumFrame(from+r) { // first: it brings the scores into the cache
				return false
			}
			x, scores := m.x.Row(from+r), m.labelScores[r*m.target.width:][:m.target.width]
			for i, c := range m.target.symbols {
				scores[i] = float64(x[c])
			}
		}
		m.byLabel.exp(0, view.Of(m.labelScores, m.target.width, m.target.width), frames)
		least = m.byLabel.emit(y, 0, m.identity, frames)
	}
	group, kinds := &m.groups[at/groupFrames], m.kinds[at:][:frames]
	*group = emissionGroup{least, least >= leastEmission && m.inRange(0, frames)}
	if group.plain {
		clear(kinds)
	} else if group.least = 1; !m.examineFrames(from, kinds, &group.least) {
		return false
	}
	return m.addCommonFactors(from, kinds)
}

// largestProbability is where a number is too large for a probability: networks round.
const largestProbability = 1.001

// isScore reports whether v may be a score.
func isScore[F Float](v F, scores Scores) bool {
	if scores == Probabilities {
		return v >= 0 && v <= largestProbability
	}
	return v < F(math.Inf(1))
}

// emitProbabilities makes the emissions y of some frames from probabilities. It returns
// the least, 0 if it does not know, or NaN if one of them is no probability.
func (m *emission[F]) emitProbabilities(y view.Rows[float64], from, frames int) (least float64) {
	least = math.Inf(1)
	perCall := 1
	if m.x.Stride == m.x.Columns { // emit may read all from one row to the next
		perCall = max(1, block/y.Stride)
	}
	for r := 0; r < frames; r += perCall {
		x := view.Of(m.x.From(from+r).Data, m.x.Columns, m.x.Columns)
		least = min(least, float64(emit(y.From(r), x, m.target.symbols, min(perCall, frames-r))))
	}
	if !(least >= 0) {
		return math.NaN()
	}
	unknown := false
	for r := range frames {
		if m.expByClass {
			copy(m.byClass.rows.Row(from%m.segment+r), m.x.Row(from+r))
		}
		row := y.Data[r*y.Stride:][:y.Stride]
		var top float64
		for at := 0; at < len(row); at += block {
			top = max(top, maxBlock(row[at:min(at+block, len(row))]))
		}
		if top > float64(F(largestProbability)) {
			return math.NaN()
		}
		if top < 0x1p-16 { // runs of emissions near 1 are longer
			up := min(-exponent(top), maxFactor)
			scaleRow(row, power(float64(up)))
			m.common.shift -= float64(up)
			unknown = true
		}
	}
	if unknown {
		return 0
	}
	return least
}

// examineFrames finds out the kinds of a group's frames, and makes the emissions of those
// that are scaled. It sets least to the least emission of the others that is not 0, and
// reports whether all scores that matter are numbers.
func (m *emission[F]) examineFrames(from int, kinds []frameKind, least *float64) bool {
	for r := range kinds {
		isScaled := !m.inRange(r, r+1)
		if !isScaled {
			kinds[r], isScaled = m.examine(from+r, least)
		}
		if isScaled {
			if !m.makeScaled(from + r) {
				return false
			}
			kinds[r] = frameKind(len(m.exponents) / m.target.width)
		}
	}
	return true
}

// inRange reports whether emissions of some frames of a group can be made from exp of the
// scores.
func (m *emission[F]) inRange(from, to int) bool {
	switch {
	case m.scores == Probabilities:
		return true
	case m.expByClass && m.scores == Logits:
		return m.byClass.inRange(from, to)
	}
	return m.byLabel.inRange(from, to)
}

// examine returns the kind of a frame, unless the emissions must be scaled: where one that
// is not that of an impossible score is below leastEmission. It sets least to the least that is
// not 0.
func (m *emission[F]) examine(t int, least *float64) (kind frameKind, isScaled bool) {
	x, y := m.x.Row(t), m.rows(t).Data
	impossible := fp.NegInf[F]()
	if m.scores == Probabilities {
		impossible = 0
	}
	for i, c := range m.target.named() {
		switch {
		case y[i] >= leastEmission:
			*least = min(*least, y[i])
		case x[c] == impossible:
			kind = hasZero
		default:
			return plain, true
		}
	}
	return kind, false
}

// addCommonFactors takes the frames of a group that are not scaled into the common factor. It
// reports whether all have a softmax, if that is known yet.
func (m *emission[F]) addCommonFactors(from int, kinds []frameKind) bool {
	c, factors := &m.common, m.softmaxFactors
	if m.expByClass {
		factors = factors[from%m.segment:]
	}
	for r, kind := range kinds {
		switch {
		case kind.isScaled():
		case m.scores == Probabilities:
			if m.expByClass {
				factors[r] = F(m.softmaxScale)
			}
		case m.scores == LogProbabilities:
			c.shift += m.byLabel.exponent(r)
			if m.expByClass {
				factors[r] = m.softmaxFactor(r)
			}
		case !m.expByClass:
			m.base[from+r] = m.byLabel.exponent(r) * math.Ln2
		default:
			sum := m.byClass.sum[r]
			if factors[r] = 0; m.softmaxScale != 0 { // a division
				factors[r] = F(m.softmaxScale / sum)
			}
			if c.product *= sum; !(c.product < 0x1p500 && c.product > 0x1p-500) {
				if sum != sum {
					return false
				}
				c.spilled -= fp.Log(c.product)
				c.product = 1
			}
		}
	}
	return true
}

// softmaxFactor returns what makes exp of log-probabilities, in row r of the
// group, a term of the gradient, or NaN if it does not: NaN and overflow are to stay where
// they are, and 2^1000 is power's largest.
func (m *emission[F]) softmaxFactor(r int) F {
	p := &m.byClass
	factor := F(m.softmaxScale * power(p.exponent(r)))
	if !p.inRange(r, r+1) || p.top[r] > fp.ExpReach[F]()-10 || !fp.IsFinite(F(factor*F(p.sum[r]))) {
		return fp.NaN[F]()
	}
	return factor
}

// hasSoftmax reports whether rows of byClass, which frames from t on have, make terms of
// the gradient.
func (m *emission[F]) hasSoftmax(t, frames int) bool {
	if !m.expByClass || m.kind(t).isScaled() {
		return false
	}
	if m.scores != Logits {
		for _, factor := range m.softmaxFactors[t%m.segment:][:frames] {
			if !fp.IsFinite(factor) {
				return false
			}
		}
	}
	return true
}

// rowBytes returns the distance in bytes from one frame of the scores to the next.
func (m *emission[F]) rowBytes() int { return m.x.Stride * fp.Size[F]() }

// sumFrame finds max and sum of a frame, if that was not done. It reports whether there is a
// softmax.
func (m *emission[F]) sumFrame(t int) bool {
	if t >= m.summed {
		m.summed = t + 1
		x := m.x.Row(t)
		m.scratch = workspace.Resize(m.scratch, len(x))
		_, m.max[t], m.sum[t] = m.stream.exp(m.scratch, x, m.rowBytes())
	}
	return m.sum[t] == m.sum[t]
}

// sumFrames does sumFrame for all frames.
func (m *emission[F]) sumFrames() bool {
	for t := range m.frames {
		if !m.sumFrame(t) {
			return false
		}
	}
	return true
}

// makeScaled makes the emissions of a frame with exponents, relative to the best score of
// what the target names. It reports whether all scores that matter are numbers.
func (m *emission[F]) makeScaled(t int) bool {
	x, y := m.x.Row(t), m.rows(t).Data
	if m.scores == Probabilities {
		n := m.growExponents()
		for i := range m.target.named() {
			v, e := math.Frexp(y[i])
			y[i], m.exponents[n+i] = 2*v, float64(e-1)
		}
		return true
	}
	best := fp.NegInf[F]()
	for _, c := range m.target.named() {
		if v := x[c]; v > best || v != v {
			best = v
		}
	}
	if !(best < F(math.Inf(1))) {
		return false
	}
	log := float64(best)
	switch {
	case m.scores == LogProbabilities:
	case m.expByClass:
		if m.max[t], m.sum[t] = sumExpRow(x); m.sum[t] != m.sum[t] {
			return false
		}
		log = (log - float64(m.max[t])) - fp.Log1p(m.sum[t])
	default:
		m.base[t], log = log, 0
	}
	if best != fp.NegInf[F]() { // or the loss is +Inf
		m.common.logs += log
	}
	n := m.growExponents()
	for i, c := range m.target.named() {
		y[i], m.exponents[n+i] = fp.ExpScaled(fp.Difference(float64(x[c]), float64(best))) // −Inf less −Inf is NaN, which is taken for zero
	}
	return true
}

// growExponents makes room for another row of exponents, and returns where it begins.
func (m *emission[F]) growExponents() int {
	n := len(m.exponents)
	m.exponents = slices.Grow(m.exponents, m.target.width)[:n+m.target.width]
	return n
}

// runLength returns how many frames from the first of a stretch on, all in one group, make
// the next run, given its largest factor: until a state may move by 2^±runExponents, behind
// an emission of 0, or before a scaled frame.
func (m *emission[F]) runLength(from, to int, largestFactor float64) int {
	group := &m.groups[from%m.segment/groupFrames]
	n := min(to-from, runExponents/(2+max(exponent(largestFactor), -exponent(group.least))))
	if group.plain {
		return n
	}
	for k := range n {
		switch kind := m.kind(from + k); {
		case kind.isScaled():
			return k
		case kind == hasZero:
			return k + 1
		}
	}
	return n
}

// runExponents is by how many powers of two a state may move away from 1 in a run, in
// either direction.
const runExponents = 400

// exponent returns the exponent of a normal number, which is not negative.
func exponent(v float64) int { return int(math.Float64bits(v)>>52) - 1023 }

// poisoned reports whether a score that matters is no number: the frames are read without
// making emissions. The labels may be of any number.
func poisoned[F Float](x view.Rows[F], frames int, labels []int, blank int, scores Scores) bool {
	for t := range frames {
		row := x.Row(t)
		if !isScore(row[blank], scores) {
			return true
		}
		if scores == Logits {
			if _, sum := sumExpRow(row); sum != sum {
				return true
			}
		}
		for _, label := range labels {
			if !isScore(row[label], scores) {
				return true
			}
		}
	}
	return false
}
