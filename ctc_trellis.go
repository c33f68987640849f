package trellis

import (
	"math"
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// trellis takes the forward and backward sweeps of generic_ctc.go through the frames of a
// sequence.
//
// Occupancies need α of every frame while β comes back through them. Where that is too much
// memory, the frames are cut into segments: α is kept at the start of each, a checkpoint,
// and made again from there when β arrives. Emissions are made for a group of frames at a
// time. The positions that are swept through a group together are a panel: its states, their
// factors and its emissions stay in the cache. Within a panel and a group, a run of frames has
// the same exponents, for as long as the states stay in the range of a float64.
type trellis[F Float] struct {
	target   ctcTarget
	emission emission[F]
	frames   int
	segment  int // frames of a segment

	alpha       []float64 // rows of the segment; or two that take turns where only the loss counts
	turn        int       // which of the two was the last
	runs        []run     // of the segment, in order of groups, in each of panels, in each of frames
	exponents   []float64 // of panels: those before a panel's first run in a group, and behind each
	boundary    numberRow // α before the next group, normalised
	inherits    bool      // states of the boundary may be 0 without the exponent of what can flow into them
	checkpoints []float64 // boundary before each segment, if there are several
	factors     []float64
	next        []float64 // exponents of a wide frame

	beta   []float64 // a row of states
	blanks [groupFrames]float64
	sums   [8 * groupFrames]float64 // of blanks, in lanes

	// What goes from one panel to the next in each frame of a group: forward, α of a panel's last
	// label, the first of them in the frame before the group; backward, what a panel's first
	// position adds to β of the label in front of it.
	from, to *edge
	edges    [2]edge
	column   [lossFrames]float64 // from, of the frames of a run
}

// panel is some frames of one group and some positions.
type panel struct {
	frames, positions view.Span
	isFirst, isLast   bool // there is none before it, or behind
}

// edge has a number for each frame of a group and for the one before it.
type edge [lossFrames + 1]number

// run is some frames of α in a panel with the same exponents, those before. Those behind are in
// memory after them. A wide frame is a run of its own, whose exponents wideFactors makes.
type run struct {
	panel
	before int     // where the exponents are
	label  float64 // exponent of the label in front of the panel in the frame before
	wide   bool
	// In how many frames β of states that are 0 cannot overflow, if there may be any; else 0.
	lasting int
}

// begin takes on a sequence: its first frames of x, which are enough to spell the target. If
// backward is to follow, about kept bytes may be used for what it needs; else kept is 0.
func (w *trellis[F]) begin(x view.Rows[F], frames int, o emissionOptions, kept int) {
	w.frames = frames
	w.emission.begin(&w.target, x, frames, o)
	width := w.target.width
	w.segment = min(w.emission.group, frames)
	w.checkpoints = w.checkpoints[:0]
	if kept > 0 {
		perFrame := w.bytesPerFrame()
		if w.segment = frames; frames > kept/perFrame {
			// Of long targets a group is more than the second cache holds, but far less than √T frames.
			few := max(w.emission.group, frames/(checkpointShare*kept/(8*4*width)+1))
			w.segment = min(max(kept/8/perFrame, min(few, int(math.Sqrt(float64(frames)))), 1), frames)
			w.checkpoints = workspace.Resize(w.checkpoints, (frames+w.segment-1)/w.segment*4*width)
		}
		w.beta = workspace.Resize(w.beta, 2*width)
	}
	w.segment = max(w.segment, 1)
	w.from, w.to = &w.edges[0], &w.edges[1]
	w.emission.resize(w.segment)
	rows := w.segment
	if o.onlyLoss {
		rows = 2
	}
	w.alpha = workspace.Resize(w.alpha, rows*2*width)
	w.boundary.v, w.boundary.exponents = workspace.Resize(w.boundary.v, 2*width), workspace.Resize(w.boundary.exponents, 2*width)
	wide := min(width, panelWidth)
	w.factors, w.next = workspace.Resize(w.factors, 5*wide), workspace.Resize(w.next, 2*wide)
}

// bytesPerFrame returns the memory that a frame of a segment takes.
func (w *trellis[F]) bytesPerFrame() int { return 8*2*w.target.width + w.emission.bytesPerFrame() }

// workspaceBytes returns about how many bytes the workspace takes.
func (w *trellis[F]) workspaceBytes() int {
	return w.emission.workspaceBytes() + 8*(cap(w.alpha)+cap(w.checkpoints)+cap(w.exponents)) + cap(w.runs)*int(unsafe.Sizeof(run{}))
}

// alphaFrom returns α from a frame in the segment and a position on.
func (w *trellis[F]) alphaFrom(t, position int) []float64 {
	return w.alpha[2*((t-w.emission.start)*w.target.width+position):]
}

// alphaRows returns where α from a frame in the segment and a position on goes: rows so far apart, or one row for all
// frames of a call of forward, which is not the row of the call before.
func (w *trellis[F]) alphaRows(t, position int) (first []float64, stride int) {
	if !w.emission.onlyLoss {
		return w.alphaFrom(t, position), 2 * w.target.width
	}
	w.turn = 1 - w.turn
	return w.alpha[2*(w.turn*w.target.width+position):], 0
}

// pushExponents adds exponents to those of the runs, and returns where they are.
func (w *trellis[F]) pushExponents(row []float64) int {
	n := len(w.exponents)
	w.exponents = append(w.exponents, row...)
	return n
}

// checkpoint returns the boundary before the segment that begins with a frame.
func (w *trellis[F]) checkpoint(t int) numberRow {
	width := 2 * w.target.width
	c := w.checkpoints[t/w.segment*2*width:][:2*width]
	return numberRow{c[:width], c[width:]}
}

// forward returns the target's probability without the common factors of the frames. It
// reports whether the scores it has seen are numbers.
func (w *trellis[F]) forward() (probability number, ok bool) {
	probability, isEnough, ok := w.tryForward()
	if ok && !isEnough {
		w.emission.restart()
		probability, _, ok = w.tryForward()
	}
	return probability, ok
}

// tryForward is forward, but may leave out emissions. It reports whether the target is so probable that they
// do not matter, and ends as soon as it is sure that they do.
func (w *trellis[F]) tryForward() (probability number, isEnough, ok bool) {
	m := &w.emission
	w.start()
	for t := 0; t < w.frames; t += w.segment {
		if len(w.checkpoints) > 0 {
			c := w.checkpoint(t)
			copy(c.v, w.boundary.v)
			copy(c.exponents, w.boundary.exponents)
		}
		if !w.sweep(t) {
			return number{}, false, false
		}
		if m.left > math.Inf(-1) { // α of a state is less than twice its power of two
			all := w.largestExponent() + 1 + math.Log2(float64(2*w.target.width))
			if all < m.leastTotal(min(t+w.segment, w.frames)) {
				return number{}, false, true
			}
		}
	}
	p := w.probability()
	return p, m.left == math.Inf(-1) || p.v != 0 && p.e >= m.leastTotal(w.frames), true
}

// largestExponent returns that of the states of the boundary that are not 0, or −∞.
func (w *trellis[F]) largestExponent() float64 {
	largest := math.Inf(-1)
	for i, v := range w.boundary.v {
		if v != 0 {
			largest = max(largest, w.boundary.exponents[i])
		}
	}
	return largest
}

// start makes the boundary α before the first frame.
func (w *trellis[F]) start() {
	clear(w.boundary.v)
	exponents := w.boundary.exponents
	for i := range exponents {
		exponents[i] = never // that of pads
	}
	for i := range w.target.length {
		e := statesAt(exponents, i)
		e[onBlank], e[onLabel] = 0, 0
	}
	statesAt(exponents, w.target.length)[onBlank] = 0
	statesAt(w.boundary.v, 0)[onBlank] = 1 // before the first frame nothing is spelled yet
	w.inherits = true
}

// sweep takes α from the boundary through the segment that begins with a frame. It reports
// whether the scores are numbers.
func (w *trellis[F]) sweep(from int) bool {
	w.exponents, w.runs = w.exponents[:0], w.runs[:0]
	w.emission.start, w.emission.exponents = from, w.emission.exponents[:0]
	to := min(from+w.segment, w.frames)
	for t := from; t < to; t += w.emission.group {
		group := view.Span{From: t, To: min(t+w.emission.group, to)}
		if !w.emission.make(group.From, group.To) {
			return false
		}
		w.forwardGroup(group)
	}
	return true
}

// band returns the positions that matter in a group of frames: those that can be reached by its
// end, and from which the end of the target can be reached from before its start, rounded to
// eights.
func (w *trellis[F]) band(group view.Span) view.Span {
	g := &w.target
	return view.Span{From: max(0, g.length-(w.frames-group.From)-1) &^ 7, To: min((group.To+8)&^7, g.inUse)}
}

// forwardGroup does a group's frames of α.
func (w *trellis[F]) forwardGroup(group view.Span) {
	band := w.band(group)
	inherits := w.band(view.Span{From: group.To, To: group.To + w.emission.group}).To > band.To
	for at, to := band.From, 0; at < band.To; at = to {
		to = min(at&^(panelWidth-1)+panelWidth, band.To)
		if w.forwardPanel(panel{group, view.Span{From: at, To: to}, at == band.From, to == band.To}) {
			inherits = true
		}
		w.from, w.to = w.to, w.from
	}
	w.inherits = inherits
}

// forwardPanel does a panel's frames of α. It reports whether states are 0 in the end.
func (w *trellis[F]) forwardPanel(p panel) (zeros bool) {
	zeros = w.inherits
	states := view.Span{From: 2 * p.positions.From, To: 2 * p.positions.To}
	boundary := numberRow{w.boundary.v[states.From:states.To], w.boundary.exponents[states.From:states.To]}
	if w.inherits && p.frames.From > 0 { // at first all exponents are 0
		w.inherit(boundary, p, 0)
	}
	if !p.isLast {
		last := states.Len() - 1
		w.handOn(number{boundary.v[last], boundary.exponents[last]}, 0)
	}
	before := w.pushExponents(boundary.exponents)
	pads := float64(max(0, 2*p.positions.To-(2*w.target.length+1))) // always 0
	for t := p.frames.From; t < p.frames.To; {
		r := run{panel: p, before: before, label: w.before(p, t-p.frames.From).e}
		r.frames.From = t
		src, exponents := w.forwardRun(&r, p.frames.From, boundary.v, zeros)
		w.runs = append(w.runs, r)
		before = w.pushExponents(exponents)
		behind := w.exponents[before:]
		t = r.frames.To
		if zeros = normalizeRow(boundary.v, src, behind) > pads; zeros {
			w.inherit(numberRow{boundary.v, behind}, p, t-p.frames.From)
		}
	}
	copy(boundary.exponents, w.exponents[before:])
	return zeros
}

// before returns the label in front of a panel in frame k−1 of the group.
func (w *trellis[F]) before(p panel, k int) number {
	if p.isFirst {
		return number{0, -never}
	}
	return w.from[k]
}

// handOn notes the last label of a panel for the next one, in frame k−1 of the group.
func (w *trellis[F]) handOn(label number, k int) {
	if w.to[k] = label.normal(); label.v == 0 {
		w.to[k].e = label.e
	}
}

// forwardRun does a run, from α before it, whose frames it cuts off where others must follow with
// other exponents. It returns the last row of α and its exponents. start is the first frame of the
// group, and zeros says that states of the boundary may be 0.
func (w *trellis[F]) forwardRun(r *run, start int, boundary []float64, zeros bool) (last, exponents []float64) {
	at, n := r.positions.From, r.positions.Len()
	exponents = w.exponents[r.before:][:2*n]
	first := r.frames.From
	var m movement
	var limit, count int
	leasts := w.emission.leastsFrom(first)
	if r.wide = w.emission.kind(first).isWide(); !r.wide {
		largest := forwardFactors(w.factors, exponents, w.target.skipExponents[at:], r.label, n)
		m.up, m.down = 2+max(exponent(largest), 0), 1
		plain, untilZero := w.emission.plainFrames(r.frames)
		limit, m.above = w.fillColumn(r, start, plain)
		m.below = min(runExponents, maxFactor-2-m.up)
		if limit > untilZero {
			if z := m.throughZeros(exponents, r.label, n); z.frames(leasts[:1], 0, 0) > 0 {
				m, zeros = z, true
			} else {
				limit = untilZero
			}
		}
		leasts = leasts[:limit]
		count = m.frames(leasts, 0, 0)
		r.wide = count == 0
	}
	if r.wide {
		if zeros {
			w.leaveOutZeros(r, boundary)
		}
		return w.forwardWide(r, start, boundary)
	}
	if zeros {
		r.lasting = (maxFactor - 2 - m.below) / m.up
	}
	src, trial := boundary, false
	for k := 0; count > 0; {
		alpha, stride := w.alphaRows(first+k, at)
		forward(view.Of(alpha, 2*n, stride), src, w.column[k:], w.emission.rowsFrom(first+k, at), w.factors, n, count)
		row := alpha[(count-1)*stride:][:2*n]
		var above, below int
		if k+count < limit || trial {
			least, largest := extent(row)
			above, below = max(exponent(largest), 0), -exponent(min(least, 1))
			if trial && above > m.above {
				break // the next run does this frame
			}
		}
		src, k = row, k+count
		r.frames.To = first + k
		count = m.frames(leasts[k:], above, below)
		if trial = count == 0 && k < limit && m.mayTry(leasts[k], above, below); trial {
			count = 1
		}
	}
	if !r.isLast {
		e := exponents[2*n-1]
		for k, v := range w.column[1:r.frames.Len()] {
			w.handOn(number{v, e}, first+k-start+1)
		}
		w.handOn(number{src[2*n-1], e}, r.frames.To-start)
	}
	return src, exponents
}

// movement says by how many powers of two a frame moves a state at most, up, or down beside what its least
// emission does; and how many a state may be above and below 1.
type movement struct{ up, down, above, below int }

// frames returns how many frames with such least emissions may follow where states are so many powers of two
// above and below 1.
func (m movement) frames(leasts []float64, above, below int) int {
	for k, least := range leasts {
		above += m.up
		below += m.down - exponent(least)
		if above > m.above || below > m.below {
			return k
		}
	}
	return len(leasts)
}

// mayTry reports whether one more frame may be tried, whose states then tell whether they have kept within
// bounds: a state that a small neighbour feeds grows once, but not in every frame.
func (m movement) mayTry(least float64, above, below int) bool {
	return above+m.up <= maxFactor-(runExponents-m.above) && below+m.down-exponent(least) <= m.below
}

// throughZeros returns m for a run that goes on behind emissions of 0. A state that they made 0 is fed by
// others alone, be the factor ever so small, unless these are 0 for ever.
func (m movement) throughZeros(exponents []float64, before float64, positions int) movement {
	toBlank, toLabel := leastFactors(exponents, before, positions)
	m.down -= int(toBlank) + int(toLabel) // a label may be fed by the one before alone: labelFromLabel is both
	return m
}

// fillColumn sets column to the label in front of a panel, relative to its exponent before a run. It
// returns how many of so many frames of the run may follow on one another at most, before
// one with another range of that label, and by how many powers of two states may grow.
func (w *trellis[F]) fillColumn(r *run, start, count int) (limit, above int) {
	limit, above = count, runExponents
	if r.isFirst {
		clear(w.column[:limit])
		return limit, above
	}
	for k := range limit {
		label := w.from[r.frames.From-start+k]
		distance := label.e - r.label
		switch {
		case label.v == 0:
			distance = 0
		case distance > columnExponents || distance < -columnExponents:
			return k, above
		}
		w.column[k] = label.v * power(distance)
		above = min(above, runExponents-int(distance)-1)
	}
	return limit, above
}

// leaveOutZeros gives a wide frame exponents before it in which states that are 0 are not there, whatever
// they have inherited: the largest exponent counts. What may not follow is still further below.
func (w *trellis[F]) leaveOutZeros(r *run, boundary []float64) {
	at, n := r.positions.From, r.positions.Len()
	r.before = w.pushExponents(w.exponents[r.before:][:2*n])
	exponents := w.exponents[r.before:]
	for i := range min(n, w.target.length+1-at) {
		v, e := statesAt(boundary, i), statesAt(exponents, i)
		if v[onBlank] == 0 {
			e[onBlank] = -never / 2
		}
		if v[onLabel] == 0 && at+i < w.target.length {
			e[onLabel] = -never / 2
		}
	}
}

// forwardWide is forwardRun for a wide frame.
func (w *trellis[F]) forwardWide(r *run, start int, boundary []float64) (last, exponents []float64) {
	at, n, t := r.positions.From, r.positions.Len(), r.frames.From
	r.frames.To = t + 1
	before := w.before(r.panel, t-start)
	if before.v == 0 {
		r.label = -never
	}
	y, blank := w.makeWideFactors(r)
	alpha, _ := w.alphaRows(t, at)
	alpha = alpha[:2*n]
	forwardWide(alpha, boundary, y.v, w.factors, before.v, blank, n)
	if !r.isLast {
		w.handOn(number{alpha[2*n-1], w.next[2*n-1]}, t-start+1)
	}
	return alpha, w.next[:2*n]
}

// makeWideFactors makes the factors into a wide frame, and its exponents. It returns the emissions.
func (w *trellis[F]) makeWideFactors(r *run) (y numberRow, blank float64) {
	at, n := r.positions.From, r.positions.Len()
	all := w.emission.numbers(r.frames.From)
	y = numberRow{all.v[at:], all.exponents[at:]}
	last := w.target.length - at
	wideFactors(w.factors, w.next, w.exponents[r.before:], y.exponents, w.target.skipExponents[at:], r.label, y.exponents[last], n)
	return y, y.v[last]
}

// inherit gives states of a panel in frame k−1 of the group that are 0 the exponents of what can flow into
// them first. The others are normalised.
func (w *trellis[F]) inherit(states numberRow, p panel, k int) {
	label := w.before(p, k)
	before, isZero := label.e, label.v == 0 // the label in front
	for at := p.positions.From; at < p.positions.To; at += 8 {
		v, e := statesFrom(states.v, at-p.positions.From), statesFrom(states.exponents, at-p.positions.From)
		switch some, all := findZeros(v); {
		case !some:
			before, isZero = e[onLabel+7], false
			continue
		case all && at+8 <= w.target.length: // none is a pad
			for i := range e {
				e[i] = before
			}
			isZero = true
			continue
		}
		for j, skip := range w.target.skipExponents[at:][:8] {
			if v[onBlank+j] == 0 {
				e[onBlank+j] = before
			}
			if at+j == w.target.length {
				return
			}
			switch {
			case v[onLabel+j] != 0:
			case v[onBlank+j] != 0 && isZero: // the blank is first
				e[onLabel+j] = e[onBlank+j]
			default:
				e[onLabel+j] = max(e[onBlank+j], before+skip)
			}
			before, isZero = e[onLabel+j], v[onLabel+j] == 0
		}
	}
}

// findZeros reports whether some of the normalised states of eight positions are 0, or all.
func findZeros(v *[16]float64) (some, all bool) {
	one := math.Float64bits(1) // each has its exponent, or is 0
	inAll, inSome := one, uint64(0)
	for _, state := range v {
		inAll &= math.Float64bits(state)
		inSome |= math.Float64bits(state)
	}
	return inAll != one, inSome == 0
}

// probability returns that of the target, which the boundary behind the last frame tells: the
// target ends in its last label or a blank.
func (w *trellis[F]) probability() number {
	blank, _ := w.boundary.states(w.target.length)
	if w.target.length == 0 {
		return blank
	}
	_, label := w.boundary.states(w.target.length - 1)
	return blank.plus(label).normal()
}

// loss returns the loss of a target's probability.
func (w *trellis[F]) loss(probability number) float64 {
	if probability.v == 0 {
		return math.Inf(1)
	}
	return 0 - math.FMA(probability.e+w.emission.common.shift, math.Ln2, fp.Log(probability.v)+w.emission.log())
}

// occupancyVisitor takes in the occupancies of the frames of a group, all of them times the mantissa of
// the target's probability. The last group comes first, and in a group the last panel.
type occupancyVisitor interface {
	// rows returns where the occupancies of a panel's labels go, a row for each frame. There is room for
	// an even number of rows.
	rows(p panel) view.Rows[float64]
	// add is called when they are there.
	add(p panel)
	// finish is called at the end of a group, with the occupancies of the blank.
	finish(frames view.Span, blanks []float64)
}

// backward takes β through the frames, given the target's probability, and shows their
// occupancies to a visitor. The scores of a segment are read again before the visitor has
// its frames, whose scores it may overwrite.
func (w *trellis[F]) backward(probability number, visitor occupancyVisitor) {
	if w.frames == 0 {
		return
	}
	clear(w.beta)
	exponents := w.boundary.exponents
	last := w.target.length
	statesAt(w.beta, last)[onBlank] = power(statesAt(exponents, last)[onBlank] - probability.e)
	if last > 0 {
		statesAt(w.beta, last-1)[onLabel] = power(statesAt(exponents, last-1)[onLabel] - probability.e)
	}
	for start := (w.frames - 1) / w.segment * w.segment; start >= 0; start -= w.segment {
		if start+w.segment < w.frames {
			w.remake(start)
		}
		runs := w.runs
		for to := min(start+w.segment, w.frames); to > start; {
			group := view.Span{From: to - 1 - (to-1-start)%w.emission.group, To: to}
			runs = w.backwardGroup(group, runs, visitor)
			to = group.From
		}
	}
}

// remake makes α of a segment again.
func (w *trellis[F]) remake(from int) {
	c := w.checkpoint(from)
	copy(w.boundary.v, c.v)
	copy(w.boundary.exponents, c.exponents)
	w.inherits = true
	common := w.emission.common
	w.sweep(from)
	w.emission.common = common
}

// backwardGroup takes β through a group, from its last frame to the one before its first, and shows a
// visitor its occupancies. Its runs are the last ones; it returns those before.
func (w *trellis[F]) backwardGroup(group view.Span, runs []run, visitor occupancyVisitor) []run {
	clear(w.blanks[:])
	for len(runs) > 0 && runs[len(runs)-1].frames.From >= group.From {
		p := runs[len(runs)-1].panel
		p.frames = group
		occupancy := visitor.rows(p)
		w.from, w.to = w.to, w.from
		for from := group.To; from > group.From; runs = runs[:len(runs)-1] {
			r := &runs[len(runs)-1]
			w.retreat(r, group.From, occupancy)
			from = r.frames.From
		}
		visitor.add(p)
	}
	visitor.finish(group, w.blanks[:group.Len()])
	return runs
}

// retreat takes β of a run's positions from its last frame, where it has the exponents behind the run,
// to the frame before it, and makes the occupancies in the run. start is the first frame of the
// group, from which on occupancy has rows.
func (w *trellis[F]) retreat(r *run, start int, occupancy view.Rows[float64]) {
	at, n, first := r.positions.From, r.positions.Len(), r.frames.From
	beta, inRun, behind := w.beta[2*at:][:2*n], w.exponents[r.before:][:2*n], w.exponents[r.before+2*n:][:2*n]
	into := inRun
	var y numberRow
	var blank float64
	if r.wide {
		y, blank = w.makeWideFactors(r)
		into = w.next[:2*n]
	} else {
		forwardFactors(w.factors, inRun, w.target.skipExponents[at:], r.label, n)
	}
	alpha := w.alphaFrom(r.frames.To-1, at)[:2*n]
	rescale(beta, alpha, behind, into)
	k, count := first-start, r.frames.Len()
	occupancy = occupancy.From(k)
	clear(w.column[:count])
	label := inRun[2*n-1]
	for j := 0; j < count && !r.isLast; j++ {
		// What the panel behind hands over goes to the last label, in the frame before. Where α is 0 there, no
		// path uses it, and it may overflow.
		if j == 0 || w.alphaFrom(first+j-1, at)[2*n-1] != 0 {
			above := w.from[k+j]
			w.column[j] = above.v * power(label-above.e)
		}
	}
	if r.wide {
		sum, down := backwardWide(occupancy.Data, beta, alpha, y.v, w.factors, w.column[0], blank, n)
		w.blanks[k] += sum
		w.to[k] = number{down, r.label}
		return
	}
	var blanks [groupFrames]float64
	for to := count; to > 0; {
		from := 0
		if r.lasting > 0 {
			from = max(0, to-r.lasting)
		}
		t := first + from
		backward(occupancy.From(from), blanks[from:to], beta, w.column[from:], w.alphaFrom(t, at), w.emission.rowsFrom(t, at), w.factors, w.sums[:], n)
		if to = from; to > 0 {
			dropUnreached(beta, w.alphaFrom(t-1, at)[:2*n])
		}
	}
	for j, sum := range blanks[:count] {
		w.blanks[k+j] += sum
		if !r.isFirst {
			w.to[k+j] = number{w.column[j], r.label}
		}
	}
}
