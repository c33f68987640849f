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
// their sum, the emissions and the gradient. That is for few classes. In float64: exp is
// done for each class that the target names. That is
// for many classes, for log-probabilities, whose sum does not matter, and where emissions are
// below what F reaches. Probabilities are emissions as they are.
type emission[F Float] struct {
	emissionOptions
	target  *ctcTarget
	x       view.Rows[F] // the frames
	frames  int          // how many count
	group   int          // frames whose emissions are made at a time
	segment int          // frames whose emissions are kept at a time
	start   int          // the first of those that are

	// exp by class, or probabilities, of the frames of the segment. softmaxFactors[r] times row
	// r is the softmax in the gradient.
	expByClass     bool
	byClass        expRows[F]
	softmaxFactors []F

	// exp in float64, of a group: a column for each class, or for each that the target names.
	doubleByClass bool
	columns       int // 0 as long as there is no room for them
	double        expRows[float64]
	named         []int32   // the class of a column that is not one for each class, the last one up to a multiple of 16
	places        []int32   // where double has the exp of a position
	wide          []float64 // exp of a row and its exponents, where both are needed

	// The softmax of frames that are not done by class is exp(x−max)/(1+sum): sum leaves out
	// the largest term, which is 1. The frames before summed have max and sum. With
	// deferSoftmax they are left to the gradient, which reads all scores. base is the
	// logarithm of what the emissions of a frame are relative to.
	deferSoftmax bool
	summed       int
	max          []F
	sum, base    []float64
	stream       rowStream[F]

	y           []float64           // the emissions, rows of the segment
	kinds       []frameKind         // of its frames
	leasts      []float64           // a bound of the emissions of each that are not 0, if it is not wide
	unused      [lossFrames]float64 // leasts of what is no emission
	plainGroups []bool              // groups all of whose frames are plain
	exponents   []float64           // of y in wide frames, a row each
	noExponents []float64           // a row of zeros: the exponents of y in other frames
	set         classSet
	distinct    []int32 // the classes of set, those of target.named(), or nil if not known yet

	common commonFactor // of the frames so far
	left   float64      // the largest score that was left out, relative to the best of its frame, or −Inf
}

// emissionOptions says what the scores are, and what will be made of the emissions.
type emissionOptions struct {
	scores Scores
	// isFar is set if they are too many for the caches.
	isFar bool
	// wantSoftmax is set if a softmax of the scores is part of the gradient, with the
	// factor softmaxScale.
	wantSoftmax  bool
	softmaxScale float64
	// inPlace is set if the gradient overwrites scores.
	inPlace bool
	// onlyLoss is set if there is no gradient. Groups are longer then, and with them runs. Where a run ends decides which
	// occupancies near leastOccupancy are 0, so that with a gradient groups keep their length.
	onlyLoss bool
	// leaveOut is set if emissions that exp takes for 0 may be left out, as long as the target is so
	// probable without them that they do not matter.
	leaveOut bool
}

// commonFactor is 2^shift·e^(logs+spilled)/product: K, L and Π of docs/ctc.md. spilled has the
// logarithm of what was taken out of product before it could overflow.
type commonFactor struct{ shift, logs, product, spilled float64 }

// log returns the logarithm of the factor, but for 2^shift.
func (c *commonFactor) log() float64 { return c.logs + (c.spilled - fp.Log(c.product)) }

// frameKind says how the emissions of a frame are kept: plain ones as they are, as are those
// that may have a 0 among them; those of kind k > 0 are wide, which means that they have
// exponents, in row k−1 of emission.exponents.
type frameKind int32

const (
	plain   frameKind = 0
	hasZero frameKind = -1
)

// isSpecial reports whether a frame is not plain.
func (s frameKind) isSpecial() bool { return s != plain }

// isWide reports whether the emissions of a frame have exponents.
func (s frameKind) isWide() bool { return s > 0 }

// leastEmission is the least number but 0 that may be an emission of a frame that is not wide.
// leastScore is nearly its logarithm: by no more nats may a score be below the best of its frame.
const leastEmission, leastScore = 0x1p-600, -415

// begin takes on a sequence, and decides how exp is done for it.
func (m *emission[F]) begin(target *ctcTarget, x view.Rows[F], frames int, o emissionOptions) {
	m.target, m.x, m.frames, m.emissionOptions = target, x, frames, o
	if m.group = groupFrames; o.onlyLoss {
		m.group = min(lossFrames, groupPositions/min(target.width, panelWidth)&^(blockFrames-1))
	}
	m.expByClass = x.Columns <= min(max(512, 4*target.width), block/4) && (o.scores == Logits || o.wantSoftmax)
	m.doubleByClass, m.columns = x.Columns <= target.length+1, 0
	if o.scores == LogProbabilities && 2*x.Columns <= 3*(target.length+1) {
		// The gradient has exp from there, rounded. Without a gradient it is done, too: the loss is to have
		// the same bits.
		m.doubleByClass = true
	}
	m.deferSoftmax = !m.expByClass && o.scores == Logits && o.wantSoftmax && !o.inPlace
	m.common, m.summed, m.left = commonFactor{product: 1}, 0, math.Inf(-1)
	m.start, m.distinct = 0, nil
}

// restart takes on the same sequence again, without leaving anything out.
func (m *emission[F]) restart() {
	m.common, m.leaveOut, m.left = commonFactor{product: 1}, false, math.Inf(-1)
}

// leastTotal returns the exponent that all of α must have behind so many frames, or the target's
// probability behind all of them, for what was left out not to matter: that all of it together is less than
// 2⁻²⁰⁰ of the target. An emission is at most √2, one that was left out √2·e^left, and each frame has no
// more of them than the target has classes.
func (m *emission[F]) leastTotal(frames int) float64 {
	perFrame := math.Log2(float64(min(m.x.Columns, m.target.length+1))) + 0.5
	return math.Log2E*m.left + perFrame*float64(frames) + math.Log2(float64(m.frames)) + 200
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
	doubles := cap(m.y) + cap(m.exponents) + cap(m.double.rows.Data)
	elements := cap(m.byClass.rows.Data) + cap(m.stream.rows[0]) + cap(m.stream.rows[1])
	return 8 * (doubles + elements)
}

// resize makes room for segments of so many frames.
func (m *emission[F]) resize(segment int) {
	m.segment = segment
	width := m.target.width
	m.max, m.sum, m.base = workspace.Resize(m.max, m.frames), workspace.Resize(m.sum, m.frames), workspace.Resize(m.base, m.frames)
	m.y, m.kinds = workspace.Resize(m.y, segment*width), workspace.Resize(m.kinds, segment)
	if len(m.noExponents) < width {
		m.noExponents = make([]float64, width)
	}
	m.leasts, m.plainGroups = workspace.Resize(m.leasts, segment), workspace.Resize(m.plainGroups, segment/m.group+1)
	if m.scores == LogProbabilities || m.scores == Logits && !m.expByClass {
		m.resizeDouble()
	}
	if m.expByClass {
		m.byClass.resize(m.x.Columns, fp.WholeVectors[F](m.x.Columns), segment)
		m.softmaxFactors = workspace.Resize(m.softmaxFactors, segment)
	}
}

// resizeDouble makes room for exp in float64.
func (m *emission[F]) resizeDouble() {
	m.places = workspace.Resize(m.places, m.target.width)
	turned := m.x.Columns
	if m.doubleByClass {
		m.columns = m.x.Columns
		copy(m.places, m.target.symbols)
	} else {
		classes := m.distinctClasses()
		m.columns, m.named = len(classes), append(m.named[:0], classes...)
		for len(m.named)&15 != 0 {
			m.named = append(m.named, classes[len(classes)-1])
		}
		for i, c := range m.target.symbols {
			m.places[i] = int32(m.set.index(c))
		}
		turned = m.target.width // none
	}
	m.double.resize(turned, fp.WholeVectors[float32](m.columns), m.group)
}

// rowsFrom returns the emissions from a frame in the segment and a position on, those of the labels and
// of the blank behind them.
func (m *emission[F]) rowsFrom(t, position int) view.Rows[float64] {
	width := m.target.width
	return view.Of(m.y[(t-m.start)*width+position:], m.target.length+1-position, width)
}

// leastsFrom returns the least emissions of the frames from one in the segment on.
func (m *emission[F]) leastsFrom(t int) []float64 { return m.leasts[t-m.start:] }

// kind returns how the emissions of a frame in the segment are kept.
func (m *emission[F]) kind(t int) frameKind { return m.kinds[t-m.start] }

// numbers returns the emissions of a frame in the segment as numbers with exponents.
func (m *emission[F]) numbers(t int) numberRow {
	v, exponents := m.y[(t-m.start)*m.target.width:], m.noExponents
	if k := m.kind(t); k.isWide() {
		exponents = m.exponents[int(k-1)*m.target.width:]
	}
	return numberRow{v, exponents}
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
	at, frames := from-m.start, to-from
	if m.fetches() {
		if from == 0 {
			fetchFrames(m.x, m.target.named(), 0, frames)
		}
		fetchFrames(m.x, m.target.named(), to, min(m.group, m.frames-to))
	}
	y, kinds, leasts := m.rowsFrom(from, 0), m.kinds[at:][:frames], m.leasts[at:][:frames]
	fromDouble := m.scores == LogProbabilities && m.doubleByClass
	if m.expByClass && m.scores != Probabilities && !fromDouble {
		m.byClass.exp(at, 0, m.x.From(from), frames)
	}
	finite := true
	switch {
	case m.scores == Probabilities:
		if !m.emitProbabilities(y, from, leasts) {
			return false
		}
	case m.expByClass && m.scores == Logits:
		finite = m.byClass.emit(y, at, m.target.symbols, leasts) && m.byClass.allInRange(frames)
	default:
		if m.scores == Logits && !m.deferSoftmax {
			for r := range frames { // first: it brings the scores into the cache
				if !m.sumFrame(from + r) {
					return false
				}
			}
		}
		m.expDouble(from, 0, frames)
		if m.expByClass && fromDouble {
			m.byClass.narrow(at, &m.double, frames)
		}
		finite = m.double.emit(y, 0, m.places, leasts) && m.double.allInRange(frames)
	}
	clear(kinds)
	plain := finite && arePlain(leasts)
	if !plain {
		if !m.settle(from, kinds) {
			return false
		}
		plain = !slices.ContainsFunc(kinds, frameKind.isSpecial)
	}
	m.plainGroups[at/m.group] = plain
	return m.addCommonFactors(from, kinds)
}

// arePlain reports whether the least emissions of frames are at least leastEmission.
func arePlain(leasts []float64) bool {
	for _, least := range leasts {
		if least < leastEmission {
			return false
		}
	}
	return true
}

// fetches reports whether few scores of long rows are read: those of the next group are then asked for while
// this one is swept through.
func (m *emission[F]) fetches() bool {
	readsAll := m.expByClass || m.doubleByClass || m.scores == Logits && !m.deferSoftmax
	return m.isFar && m.x.Columns >= leastFetched && !readsAll
}

// fetchFrames asks for some classes in some frames of x. Of very many classes it does not: many are in each page then.
func fetchFrames[F Float](x view.Rows[F], classes []int32, from, frames int) {
	perCall := indexBlock / len(classes)
	for to := from + frames; from < to && perCall > 0; from += perCall {
		fetch(x.From(from), classes, min(perCall, to-from))
	}
}

// expDouble makes exp in float64 of some frames. The first is frame r of the group.
func (m *emission[F]) expDouble(from, r, frames int) {
	m.double.exp(r, r, m.readScores(from, r, frames), frames)
}

// readScores reads the scores of some frames that double has columns for, to where their exp goes. The first is
// frame r of the group.
func (m *emission[F]) readScores(from, r, frames int) view.Rows[float64] {
	stride := m.double.rows.Stride
	dst := view.Of(m.double.rows.Data[r*stride:], m.columns, stride)
	if !m.doubleByClass {
		m.lookUp(dst, m.named, from, m.unused[:frames])
		return dst
	}
	perCall := max(1, block/m.columns)
	for k := 0; k < frames; k += perCall {
		widen(dst.From(k), m.x.From(from+k), min(perCall, frames-k))
	}
	return dst
}

// lookUp writes to dst the scores of some classes, a multiple of 16, in some frames, and the least of each frame to
// leasts. It returns 0, or NaN if one is not finite.
func (m *emission[F]) lookUp(dst view.Rows[float64], classes []int32, from int, leasts []float64) (poison F) {
	perCall := 1
	if m.x.Stride == m.x.Columns { // emit may read all from one row to the next
		perCall = max(1, block/dst.Stride)
	}
	for k := 0; k < len(leasts); k += perCall {
		x := view.Of(m.x.From(from+k).Data, m.x.Columns, m.x.Columns)
		poison += emit(dst.From(k), x, classes, leasts[k:min(k+perCall, len(leasts))])
	}
	return poison
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

// emitProbabilities makes the emissions y of a group's frames from probabilities, and the least of each, or 0 if it does
// not know. It reports whether all are probabilities.
func (m *emission[F]) emitProbabilities(y view.Rows[float64], from int, leasts []float64) bool {
	if m.lookUp(y, m.target.symbols, from, leasts) != 0 {
		return false
	}
	for r, least := range leasts {
		if m.expByClass {
			copy(m.byClass.rows.Row(from-m.start+r), m.x.Row(from+r))
		}
		row := y.Data[r*y.Stride:][:y.Stride]
		var top float64
		for at := 0; at < len(row); at += block {
			top = max(top, maxBlock(row[at:min(at+block, len(row))]))
		}
		if least < 0 || top > float64(F(largestProbability)) {
			return false
		}
		if top < 0x1p-16 { // runs of emissions near 1 are longer
			up := min(-exponent(top), maxFactor)
			scaleRow(row, power(float64(up)))
			m.common.shift -= float64(up)
			leasts[r] = 0
		}
	}
	return true
}

// settle finds out the kinds of a group's frames and the least emissions, and makes emissions again where
// they must be made in another way. It reports whether all scores that matter are numbers.
func (m *emission[F]) settle(from int, kinds []frameKind) bool {
	if m.scores == Probabilities {
		for r := range kinds {
			m.settleProbabilities(from + r)
		}
		return true
	}
	var open [lossFrames]openFrame
	for r := range kinds {
		if !m.settleFrame(from+r, r, &open[r]) {
			return false
		}
	}
	m.makeAgain(from, open[:len(kinds)])
	for r, f := range open[:len(kinds)] {
		switch {
		case f.way == makeWide:
			m.widen(from+r, r, f.best)
		case f.way == makeDouble && m.byClass.inRange(r):
			m.common.shift += m.double.exponent(r) - m.byClass.exponent(r)
		case f.way == makeDouble:
			m.common.logs += m.logSoftmax(from+r, m.double.exponent(r)*math.Ln2)
		}
	}
	return true
}

// openFrame is a frame whose emissions must be made in another way.
type openFrame struct {
	way  emissionWay
	best float64 // score of what the target names
}

// emissionWay is how emissions are made again: not at all, in float64 instead of by class, or with
// exponents.
type emissionWay uint8

const (
	asTheyAre emissionWay = iota
	makeDouble
	makeWide
)

// makeAgain makes the emissions of open frames that are in float64, and room for the scores of wide ones.
func (m *emission[F]) makeAgain(from int, open []openFrame) {
	leasts := m.leastsFrom(from)
	for r, to := 0, 0; r < len(open); r = to {
		for to = r + 1; to < len(open) && open[to].way == open[r].way; {
			to++
		}
		if open[r].way == asTheyAre {
			continue
		}
		if m.columns == 0 {
			m.resizeDouble()
		}
		if open[r].way == makeWide {
			continue
		}
		m.expDouble(from+r, r, to-r)
		m.double.emit(m.rowsFrom(from+r, 0), r, m.places, leasts[r:to])
		for k := r; k < to; k++ {
			if leasts[k] == 0 { // −Inf
				leasts[k], _ = extent(m.rowsFrom(from+k, 0).Data[:m.target.width])
			}
		}
	}
}

// settleFrame finds out how the emissions of a frame, which is frame r of the group, are to be made again, if
// they are, and else the kind of the frame. It reports whether all scores that matter are numbers.
func (m *emission[F]) settleFrame(t, r int, f *openFrame) bool {
	kind, least := &m.kinds[t-m.start], &m.leasts[t-m.start]
	p, byClass, reach := &m.byClass, m.expByClass && m.scores == Logits, fp.ExpReach[float64]()
	var sum float64
	var inRange bool
	if byClass {
		inRange, sum, reach = p.inRange(r), p.sum[r], float64(fp.ExpReach[F]())
	} else {
		inRange, sum = m.double.inRange(r), m.double.sum[r]
	}
	if inRange && sum == sum {
		if *least >= leastEmission {
			return true
		}
		var far, near float64
		if byClass {
			far, near = nearestOf(m.x.Row(t), p.top[r])
		} else {
			scores := m.readScores(t, r, 1)
			far, near = nearestOf(scores.Row(0), m.double.top[r])
		}
		if byClass && far == math.Inf(-1) && math.Abs(float64(p.top[r])) <= fp.MaxScore+leastScore {
			// In range, be they relative to the best of all or to the best that the target names.
			f.way = makeDouble
			return true
		}
		isMasked := far < fp.MinScore-1000 // which is below MinScore beside what the target names, too
		isLeftOut := !isMasked && m.leaveOut && far < -fp.ExpReach[float64]()
		lowest, largest := extent(m.rowsFrom(t, 0).Data[:m.target.width])
		if *least == 0 && largest > 0 && near >= -reach && (isMasked || isLeftOut) {
			if isLeftOut {
				m.left = max(m.left, far)
			}
			*kind, *least = hasZero, lowest
			return true
		}
	}
	return m.settleBySpan(t, r, f)
}

// settleBySpan is settleFrame for a frame that takes a look at all that the target names.
func (m *emission[F]) settleBySpan(t, r int, f *openFrame) bool {
	p, byClass, least := &m.byClass, m.expByClass && m.scores == Logits, &m.leasts[t-m.start]
	lowest, best, masked := m.span(t)
	if !(best < F(math.Inf(1))) {
		return false
	}
	if masked { // unless it is wide
		m.kinds[t-m.start] = hasZero
	}
	top := float64(best)
	switch {
	case best == fp.NegInf[F](): // the loss is +Inf, or NaN if all scores are −Inf
		if byClass && !p.inRange(r) {
			m.logSoftmax(t, 0)
		}
		clear(m.rowsFrom(t, 0).Data[:m.target.width])
		*least = 1
		return true
	case !byClass:
		top = m.double.top[r]
	case p.inRange(r) && lowest >= p.top[r]-min(fp.ExpReach[F](), -leastScore): // only −Inf gives 0
		*least = leastAt(float64(lowest) - float64(p.top[r]))
		return true
	case m.doubleByClass:
		top = float64(p.top[r])
	}
	below := float64(lowest) - top
	switch {
	case below < leastScore || !(math.Abs(top) <= fp.MaxScore):
		*f = openFrame{makeWide, float64(best)}
	case byClass:
		f.way = makeDouble
	default:
		*least = leastAt(below)
	}
	return true
}

// nearestOf returns, relative to the top, the largest score that is further below it than float64 has emissions
// for without exponents, or −∞ if there is none, and the least of the others.
func nearestOf[F Float](x []F, top F) (far, near float64) {
	far, near = math.Inf(-1), math.Inf(1)
	for at := 0; at < len(x); at += block {
		b, a := nearest(x[at:min(at+block, len(x))], top+leastScore)
		far, near = max(far, float64(b-top)), min(near, float64(a-top))
	}
	return far, near
}

// leastAt returns a bound of an emission so many nats below the best score of its frame, which is within
// √2 of 1.
func leastAt(nats float64) float64 { return power(math.Floor(nats*math.Log2E) - 1) }

// span returns the lowest score above −Inf and the best one of what the target names in a frame, NaN
// if there is one, and whether there is a −Inf.
func (m *emission[F]) span(t int) (lowest, best F, masked bool) {
	x, infinity := m.x.Row(t), F(math.Inf(1))
	lowest, best = infinity, -infinity
	for _, c := range m.distinctClasses() {
		v := x[c]
		best = max(best, v) // without a branch, as is the next one
		if v == -infinity {
			v, masked = infinity, true
		}
		lowest = min(lowest, v)
	}
	return lowest, best, masked
}

// distinctClasses returns the classes that the target names, each once, which set has the places of.
func (m *emission[F]) distinctClasses() []int32 {
	if m.distinct == nil {
		m.distinct = distinct(&m.set, m.target.named(), m.x.Columns)
	}
	return m.distinct
}

// widen makes the emissions of a frame, which is frame r of the group, with exponents, relative to the
// best score of what the target names.
func (m *emission[F]) widen(t, r int, best float64) {
	stride := m.double.rows.Stride
	scores := m.readScores(t, r, 1)
	x := scores.Row(0)
	m.wide = workspace.Resize(m.wide, 2*stride)
	v, e := m.wide[:stride], m.wide[stride:]
	for at := 0; at < m.columns; at += block {
		to := min(at+block, m.columns)
		expWide(v[at:to], e[at:to], x[at:to], best)
	}
	exponents := m.addExponents(t)
	emitRow := func(dst, from []float64) {
		emit(view.Of(dst, m.target.width, m.target.width), view.Of(from, m.columns, stride), m.places, m.unused[:1])
	}
	emitRow(m.rowsFrom(t, 0).Data, v)
	emitRow(exponents, e)
	switch c := &m.common; {
	case m.scores == LogProbabilities:
		c.logs += best
	case !m.expByClass:
		m.base[t] = best
	case m.byClass.inRange(r):
		c.logs += fp.LessPowers(best, m.byClass.exponent(r))
	default:
		c.logs += m.logSoftmax(t, best)
	}
}

// logSoftmax finds max and sum of a frame and returns what log-softmax makes of a score in it.
func (m *emission[F]) logSoftmax(t int, score float64) float64 {
	m.max[t], m.sum[t] = sumExpRow(m.x.Row(t), m.rowBytes())
	return (score - float64(m.max[t])) - fp.Log1p(m.sum[t])
}

// addCommonFactors takes a group's frames into the common factor, but for what widen and settle have
// done. It reports whether all have a softmax, if that is known yet.
func (m *emission[F]) addCommonFactors(from int, kinds []frameKind) bool {
	factors := m.softmaxFactors
	if m.expByClass {
		factors = factors[from-m.start:][:len(kinds)]
		if m.scores == Logits {
			return m.addSums(from, factors)
		}
	}
	if m.expByClass && m.scores == LogProbabilities {
		if m.doubleByClass { // which byClass was rounded from
			softmaxFactors(factors, &m.double, m.softmaxScale)
		} else {
			softmaxFactors(factors, &m.byClass, m.softmaxScale)
		}
	}
	for r, kind := range kinds {
		switch {
		case m.scores == Probabilities:
			if m.expByClass {
				factors[r] = F(m.softmaxScale)
			}
		case m.scores == LogProbabilities:
			if !kind.isWide() {
				m.common.shift += m.double.exponent(r)
			}
		case !kind.isWide():
			m.base[from+r] = m.double.exponent(r) * math.Ln2
		}
	}
	return true
}

// addSums is addCommonFactors for logits whose exp is done by class.
func (m *emission[F]) addSums(from int, factors []F) bool {
	c, product := &m.common, m.common.product
	for r := range factors {
		if !m.byClass.inRange(r) {
			if factors[r] = fp.NaN[F](); m.sum[from+r] != m.sum[from+r] {
				return false
			}
			continue
		}
		sum := m.byClass.sum[r]
		if factors[r] = 0; m.softmaxScale != 0 { // a division
			factors[r] = F(m.softmaxScale / sum)
		}
		if product *= sum; !(product < 0x1p500 && product > 0x1p-500) {
			if sum != sum {
				return false
			}
			c.spilled -= fp.Log(product)
			product = 1
		}
	}
	c.product = product
	return true
}

// softmaxFactors finds what makes exp of log-probabilities, in the first rows of a
// group, terms of a gradient, or NaN if it does not: NaN and overflow are to stay where
// they are, and 2^1000 is power's largest.
func softmaxFactors[F, E Float](factors []F, p *expRows[E], scale float64) {
	for r := range factors {
		factor := F(scale * power(p.exponent(r)))
		if !p.inRange(r) || p.top[r] > E(fp.ExpReach[F]()-10) || !fp.IsFinite(F(factor*F(p.sum[r]))) {
			factor = fp.NaN[F]()
		}
		factors[r] = factor
	}
}

// softmaxFactorsOf returns those of some frames of the segment. Where one is not finite the row of byClass makes
// no terms of the gradient.
func (m *emission[F]) softmaxFactorsOf(frames view.Span) []F {
	return m.softmaxFactors[frames.From-m.start:][:frames.Len()]
}

// rowBytes returns the distance in bytes from one frame of the scores to the next.
func (m *emission[F]) rowBytes() int { return m.x.Stride * fp.Size[F]() }

// sumFrame finds max and sum of a frame, if that was not done. It reports whether there is a
// softmax.
func (m *emission[F]) sumFrame(t int) bool {
	if t >= m.summed {
		m.summed = t + 1
		m.max[t], m.sum[t] = sumExpWhole(nil, m.x.Row(t), m.rowBytes()) // the same bits as those of stream.exp
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

// settleProbabilities is settle for a frame of probabilities, which are emissions as they are, or with their
// exponents taken out.
func (m *emission[F]) settleProbabilities(t int) {
	x, y, least := m.x.Row(t), m.rowsFrom(t, 0).Data, &m.leasts[t-m.start]
	*least = 1
	named := m.target.named()
	for i, c := range named {
		switch {
		case y[i] >= leastEmission:
			*least = min(*least, y[i])
		case x[c] == 0:
			m.kinds[t-m.start] = hasZero
		default:
			exponents := m.addExponents(t)
			for i := range exponents { // pads too, whose exponents count in factors
				v, e := math.Frexp(y[i])
				y[i], exponents[i] = 2*v, float64(e-1)
			}
			return
		}
	}
}

// addExponents makes a frame wide, and returns where its exponents go.
func (m *emission[F]) addExponents(t int) (exponents []float64) {
	n, width := len(m.exponents), m.target.width
	m.kinds[t-m.start] = frameKind(n/width + 1)
	m.exponents = slices.Grow(m.exponents, width)[:n+width]
	return m.exponents[n:]
}

// plainFrames returns how many of some frames, all in one group, come before a wide one, and how many of
// these there are up to the first that may have an emission of 0, that one included.
func (m *emission[F]) plainFrames(frames view.Span) (count, untilZero int) {
	count, untilZero = frames.Len(), frames.Len()
	if m.plainGroups[(frames.From-m.start)/m.group] {
		return count, untilZero
	}
	for t := frames.From; t < frames.To; t++ {
		switch kind := m.kind(t); {
		case kind.isWide():
			return t - frames.From, min(untilZero, t-frames.From)
		case kind == hasZero:
			untilZero = min(untilZero, t-frames.From+1)
		}
	}
	return count, untilZero
}

// runExponents is by how many powers of two a state may move away from 1 in a run, in
// either direction, and columnExponents the label in front of the panel.
const runExponents, columnExponents = 700, 300

// exponent returns the exponent of a normal number, which is not negative.
func exponent(v float64) int { return int(math.Float64bits(v)>>52) - 1023 }

// poisoned reports whether a score that matters is no number: the frames are read without
// making emissions.
func (m *emission[F]) poisoned(x view.Rows[F], frames int, labels []int, blank int, scores Scores) bool {
	var named []int32
	if frames > 0 {
		named = distinct(&m.set, labels, x.Columns)
	}
	for t := range frames {
		row := x.Row(t)
		if !isScore(row[blank], scores) {
			return true
		}
		if scores == Logits {
			if _, sum := sumExpRow(row, x.Stride*fp.Size[F]()); sum != sum {
				return true
			}
		}
		for _, label := range named {
			if !isScore(row[label], scores) {
				return true
			}
		}
	}
	return false
}
