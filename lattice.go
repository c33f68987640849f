package trellis

import (
	"math"
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// lattice computes the loss of one sequence, and its gradient, by the forward
// and backward sweeps of generic.go.
//
// The gradient needs α of every frame while β comes back through them. Where
// that is too much memory, the frames are cut into segments: α is kept at the
// start of each, and made again from there when β arrives. Emissions are made for
// a group of frames at a time, and within a group a run of frames has the same
// exponents: as many as surely stay within the range of a float64.
type lattice[F Float] struct {
	task   *ctcTask[F]
	n      int // the sequence
	frames int // how many of its frames count

	last    int       // the position of the last blank, which is the number of labels
	span    int       // positions in use, rounded up to eights
	width   int       // of a row
	classes []int32   // the target's labels, then the blank, over and over
	skip    []float64 // see forwardFactorsGeneric
	segment int       // frames of a segment
	scale   float64   // the loss's factor in what is differentiated

	emission emission[F]
	stream   rowStream[F]
	alpha    []float64 // rows of the segment
	runs     []run     // of the segment
	e        []float64 // exponents of the runs
	starts   []float64 // source and exponents before each segment, if there are several
	source   []float64 // a row: what comes before the next run, normalised
	factors  []float64

	beta      []float64 // a row of states
	carry     [16]float64
	occupancy []float64 // rows of a run, of the labels
	blanks    []float64
	scratch   []F

	complement complement[F]
}

// run is some frames of α with the same exponents.
type run struct {
	start, end int
	e          int  // the row of exponents before it, which are those of α in it
	wide       bool // but if it is wide; then they are the next row
}

const (
	// groupFrames is the largest number of frames in a group.
	groupFrames = 32
	// chunk is the number of positions that one call works on.
	chunk = 512
	// callPositions is the number of positions in all frames of a call: 40 KiB.
	callPositions = 1280
	// room is by how many powers of two a state may move away from 1 in a run, in either
	// direction.
	room = 400
)

// keptBytes is the memory that a gradient takes before its frames are cut into segments,
// which then have an eighth of it: making α again in the second cache is faster than
// getting it from memory.
const keptBytes = 8 << 20

// hugeBytes is the size from which on a workspace is not kept for the next sequence.
const hugeBytes = 64 << 20

var lattices workspace.Pools

// release gives the workspace back without what it borrowed.
func (w *lattice[F]) release() {
	w.task = nil
	m := &w.emission
	doubles := cap(w.alpha) + cap(w.starts) + cap(w.e) + cap(w.occupancy) +
		cap(m.y) + cap(m.exponents) + cap(m.named) + cap(m.names.p)
	elements := cap(m.classes.p) + cap(w.scratch) + cap(w.stream.rows[0]) + cap(w.stream.rows[1])
	if 8*(doubles+elements) < hugeBytes {
		workspace.Give[F](&lattices, w)
	}
}

// run returns the loss of sequence n and writes its gradient if it is asked for,
// keeping about so many bytes.
func (w *lattice[F]) run(t *ctcTask[F], n, kept int) float64 {
	w.task, w.n, w.frames = t, n, t.frames(n)
	if w.frames < framesNeeded(t.labels(n)) {
		return w.impossible()
	}
	w.prepare(kept)
	target, ok := w.forward()
	late := w.emission.late && ok
	if late {
		if target.v != 0 {
			w.backward(target)
		}
		ok = w.emission.sumFrames(w)
	}
	loss := w.loss(target, ok)
	if w.isSmall(loss) {
		loss = w.refine(loss)
	}
	if t.out.wantGrad() {
		w.gradient(loss, target, late)
	}
	return loss
}

// framesNeeded returns the least number of frames that can spell a target: a blank
// must stand between equal labels.
func framesNeeded(labels []int) int {
	needed := len(labels)
	for i := 1; i < len(labels); i++ {
		if labels[i] == labels[i-1] {
			needed++
		}
	}
	return needed
}

// impossible is run for a target that needs more frames than there are, however
// long it is: without the lattice.
func (w *lattice[F]) impossible() float64 {
	t, n := w.task, w.n
	loss := math.Inf(1)
	for frame := range w.frames {
		x := t.frame(t.x, n, frame)
		poisoned := !(x[t.Blank] < F(math.Inf(1)))
		if t.FromLogits && !poisoned {
			_, sum := sumExpRow(x)
			poisoned = sum != sum
		}
		for _, label := range t.labels(n) {
			poisoned = poisoned || !(x[label] < F(math.Inf(1)))
		}
		if poisoned {
			loss = math.NaN()
		}
	}
	if t.out.wantGrad() {
		w.gradient(loss, number{}, false)
	}
	return loss
}

// prepare copies the target and makes room.
func (w *lattice[F]) prepare(kept int) {
	labels := w.task.labels(w.n)
	w.last = len(labels)
	w.span = (w.last + 8) &^ 7
	w.width = (w.last + 16) &^ 15
	w.classes, w.skip = workspace.Resize(w.classes, w.width), workspace.Resize(w.skip, w.width)
	for i := range w.classes {
		w.classes[i] = int32(w.task.Blank)
	}
	for i := range w.skip {
		w.skip[i] = -never
	}
	for i, label := range labels {
		w.classes[i] = int32(label)
		if i > 0 && label != labels[i-1] {
			w.skip[i] = 0
		}
	}

	gradient := w.task.out.wantGrad()
	if w.scale = 0; gradient {
		w.scale = w.task.out.factor(w.n, w.task.share(w.n))
	}
	w.emission.choose(w)
	w.segment = min(groupFrames, w.frames)
	if gradient {
		perFrame := 8*2*w.width + w.emission.bytes(w)
		if w.segment = w.frames; w.frames > kept/perFrame {
			w.segment = min(max(kept/8/perFrame, int(math.Sqrt(float64(w.frames))), 1), w.frames)
			w.starts = workspace.Resize(w.starts, (w.frames+w.segment-1)/w.segment*4*w.width)
		}
		w.beta = workspace.Resize(w.beta, 2*w.width)
		w.occupancy = workspace.Resize(w.occupancy, (groupFrames+3)*w.width)
		w.blanks = workspace.Resize(w.blanks, groupFrames)
	}
	w.segment = max(w.segment, 1)
	w.emission.prepare(w)
	w.alpha = workspace.Resize(w.alpha, w.segment*2*w.width)
	w.source = workspace.Resize(w.source, 2*w.width)
	w.factors = workspace.Resize(w.factors, 3*w.width)
	w.e = workspace.Resize(w.e, 2*w.width)
}

// alphaRow returns α of a frame in the segment.
func (w *lattice[F]) alphaRow(frame int) []float64 {
	return w.alpha[frame%w.segment*2*w.width:][:2*w.width]
}

// exponents returns a row of exponents.
func (w *lattice[F]) exponents(i int) []float64 { return w.e[i*2*w.width:][:2*w.width] }

// moreExponents makes another row, a copy of the last one.
func (w *lattice[F]) moreExponents() []float64 {
	n := len(w.e)
	w.e = slices.Grow(w.e, 2*w.width)[:n+2*w.width]
	copy(w.e[n:], w.e[n-2*w.width:])
	return w.e[n:]
}

// forward returns the target's probability without the common factors of the frames. It
// reports whether the scores it has seen are numbers.
func (w *lattice[F]) forward() (target number, ok bool) {
	w.e = w.e[:2*w.width]
	clear(w.source)
	for i := range w.e {
		w.e[i] = never // that of pads
	}
	for i := range w.last {
		w.e[blankAt(i)], w.e[blankAt(i)+8] = 0, 0
	}
	w.e[blankAt(w.last)] = 0
	w.source[0] = 1 // before the first frame nothing is spelled yet
	for t := 0; t < w.frames; t += w.segment {
		if w.task.out.wantGrad() && w.segment < w.frames {
			start := w.starts[t/w.segment*4*w.width:]
			copy(start, w.source)
			copy(start[2*w.width:], w.e[len(w.e)-2*w.width:])
		}
		if !w.sweep(t) {
			return number{}, false
		}
	}
	return w.target(), true
}

// sweep takes α from source through the segment from a frame on. It reports whether
// the scores are numbers.
func (w *lattice[F]) sweep(from int) bool {
	first := w.exponents(len(w.e)/(2*w.width) - 1)
	copy(w.e, first)
	w.e, w.runs = w.e[:2*w.width], w.runs[:0]
	w.emission.exponents = w.emission.exponents[:0]
	to := min(from+w.segment, w.frames)
	for t := from; t < to; {
		end := min(t+groupFrames, to)
		if !w.emission.make(w, t, end) {
			return false
		}
		for t < end {
			t += w.advance(t, end)
		}
	}
	return true
}

// advance does a run of frames from t on, and returns how many.
func (w *lattice[F]) advance(t, end int) int {
	e := len(w.e)/(2*w.width) - 1
	frames := 0
	if w.emission.kind(w, t) <= 0 {
		frames = w.emission.reach(w, t, end, w.makeFactors(e))
	}
	if frames == 0 {
		next := w.moreExponents()
		w.forwardWide(t, next)
		copy(w.source, w.alphaRow(t))
		w.runs = append(w.runs, run{t, t + 1, e, true})
		inherit(w.source, next, w.skip, w.last)
		return 1
	}
	src := w.source
	perCall := w.perCall()
	for k := 0; k < frames; k += perCall {
		count := min(perCall, frames-k)
		row, y := w.alpha[(t+k)%w.segment*2*w.width:], w.emission.row(w, t+k)
		for from := 0; from < w.span; from += chunk {
			forward(row, src, view.Rows[float64]{Data: y, Columns: w.last + 1, Stride: w.width}, w.factors, view.Span{From: from, To: min(from+chunk, w.span)}, count)
		}
		src = w.alphaRow(t + k + count - 1)
	}
	w.runs = append(w.runs, run{t, t + frames, e, false})
	if w.normalize(w.source, src, w.moreExponents()) {
		inherit(w.source, w.exponents(e+1), w.skip, w.last)
	}
	return frames
}

// makeFactors makes the factors of a run from a row of exponents, and returns the largest.
func (w *lattice[F]) makeFactors(e int) (largest float64) {
	for from := 0; from < w.span; from += chunk {
		largest = max(largest, forwardFactors(w.factors, w.exponents(e), w.skip, view.Span{From: from, To: min(from+chunk, w.span)}))
	}
	return largest
}

// perCall returns the number of frames that one call works on: one if it takes several.
func (w *lattice[F]) perCall() int {
	if w.span > chunk {
		return 1
	}
	return callPositions / w.span
}

// normalize writes src to dst with its values in [1,2), and reports whether there are zeros
// beside the pads.
func (w *lattice[F]) normalize(dst, src, e []float64) bool {
	var zeros float64
	for from := 0; from < 2*w.span; from += 2 * chunk {
		to := min(from+2*chunk, 2*w.span)
		zeros += normalizeRow(dst[from:to], src[from:to], e[from:to])
	}
	return zeros > float64(2*w.span-2*w.last-1)
}

// inherit gives impossible states the exponents of what can flow into them.
func inherit(v, e, skip []float64, last int) {
	before := float64(-never)
	for i := range last + 1 {
		at := blankAt(i)
		if v[at] == 0 {
			e[at] = before
		}
		if i == last {
			return
		}
		if v[at+8] == 0 {
			e[at+8] = max(e[at], before+skip[i])
		}
		before = e[at+8]
	}
}

// target returns the target's probability, which the last row of α tells: the target ends in
// its last label or a blank.
func (w *lattice[F]) target() number {
	e := w.exponents(len(w.e)/(2*w.width) - 1)
	blank := state(w.source, e, blankAt(w.last))
	if w.last == 0 {
		return blank
	}
	return blank.plus(state(w.source, e, blankAt(w.last-1)+8)).normal()
}

// loss returns the loss of a target's probability, if the scores are numbers.
func (w *lattice[F]) loss(target number, ok bool) float64 {
	switch {
	case !ok:
		return math.NaN()
	case target.v == 0:
		return math.Inf(1)
	}
	const ln2 = math.Ln2
	return 0 - math.FMA(target.e+w.emission.common.shift, ln2, fp.Log(target.v)+w.emission.log(w))
}

// gradient writes the gradient of the sequence, given its loss and the target's probability,
// if backward has not done that already.
func (w *lattice[F]) gradient(loss float64, target number, written bool) {
	switch {
	case math.IsInf(loss, 1):
		w.fill(0, w.frames, 0)
	case loss != loss:
		w.fill(0, w.frames, fp.NaN[F]())
	case !written:
		w.backward(target)
	}
	w.fill(w.frames, w.task.length, 0)
}

// fill sets the gradient of some frames to a value.
func (w *lattice[F]) fill(from, to int, value F) {
	for t := from; t < to; t++ {
		row := w.task.frame(w.task.out.grad, w.n, t)
		for c := range row {
			row[c] = value
		}
	}
}

// backward takes β through the frames and writes their gradients. The scores of
// a segment are read again before its gradients, which may overwrite them.
func (w *lattice[F]) backward(target number) {
	if w.frames == 0 {
		return
	}
	clear(w.beta)
	e := w.exponents(len(w.e)/(2*w.width) - 1)
	blank := blankAt(w.last)
	w.beta[blank] = power(e[blank] - target.e)
	if w.last > 0 {
		label := blankAt(w.last-1) + 8
		w.beta[label] = power(e[label] - target.e)
	}
	for start := (w.frames - 1) / w.segment * w.segment; start >= 0; start -= w.segment {
		if start+w.segment < w.frames {
			w.remake(start)
		}
		for i := len(w.runs) - 1; i >= 0; i-- {
			w.retreat(w.runs[i])
			w.writeFrames(w.runs[i], target)
		}
	}
	w.stream.flush()
	w.emission.summed = w.frames
}

// remake makes α of a segment again.
func (w *lattice[F]) remake(from int) {
	start := w.starts[from/w.segment*4*w.width:]
	copy(w.source, start)
	w.e = w.e[:2*w.width]
	copy(w.e, start[2*w.width:])
	common := w.emission.common
	w.sweep(from)
	w.emission.common = common
}

// retreat takes β from the last frame of a run, where it has the exponents behind the run,
// to the frame before it, and makes the occupancies in the run.
func (w *lattice[F]) retreat(r run) {
	alpha, after, e := w.alphaRow(r.end-1), w.exponents(r.e+1), w.exponents(r.e)
	if r.wide {
		e = after
	}
	for from := 0; from < 2*w.span; from += 2 * chunk {
		to := min(from+2*chunk, 2*w.span)
		rescale(w.beta[from:to], alpha[from:to], after[from:to], e[from:to])
	}
	if r.wide {
		w.backwardWide(r.start, w.exponents(r.e), after)
		return
	}
	w.makeFactors(r.e)
	perCall := w.perCall()
	for end := r.end; end > r.start; end -= perCall {
		start := max(end-perCall, r.start)
		row, y := w.alpha[start%w.segment*2*w.width:], w.emission.row(w, start)
		occupancy, blanks := w.occupancy[(start-r.start)*w.width:], w.blanks[:end-start]
		var sum float64 // of a frame that takes several calls
		clear(w.carry[:])
		for from := (w.span - 1) / chunk * chunk; from >= 0; from -= chunk {
			copy(w.carry[:], w.carry[8:])
			backward(occupancy, blanks, w.beta, w.carry[:], row, view.Rows[float64]{Data: y, Columns: w.last + 1, Stride: w.width}, w.factors, view.Span{From: from, To: min(from+chunk, w.span)})
			sum += blanks[0]
		}
		if w.span > chunk {
			blanks[0] = sum
		}
		for j, blank := range blanks {
			occupancy[j*w.width+w.last] = blank
		}
	}
}

// writeFrames writes the gradient of a run, whose occupancies are in the first rows of
// occupancy.
func (w *lattice[F]) writeFrames(r run, target number) {
	t, m := w.task, &w.emission
	byClass := m.byClass && m.kind(w, r.start) <= 0
	if byClass && !t.FromLogits {
		for _, s := range m.softmax[r.start%w.segment:][:r.end-r.start] {
			byClass = byClass && fp.IsFinite(s)
		}
	}
	if !byClass {
		for frame := r.end - 1; frame >= r.start; frame-- {
			w.writeFrame(frame, w.occupancy[(frame-r.start)*w.width:], target)
		}
		return
	}
	scale := F(w.scale / target.v)
	perCall := min(max(4, block/t.classes&^3), groupFrames)
	w.scratch = workspace.Resize(w.scratch, occupancyScratch[F](t.classes, perCall))
	for frame := r.start; frame < r.end; frame += perCall {
		dst, stride := t.rows(t.out.grad, w.n, frame)
		at, rows := frame%w.segment, min(perCall, r.end-frame)
		addOccupancies(view.Rows[F]{Data: dst, Columns: t.classes, Stride: stride}, view.Rows[F]{Data: m.classes.p[at*m.classes.pitch:], Columns: m.classes.pitch, Stride: m.classes.pitch}, m.softmax[at:][:rows], scale,
			view.Rows[float64]{Data: w.occupancy[(frame-r.start)*w.width:], Columns: w.last + 1, Stride: w.width}, m.place, w.scratch)
	}
}

// writeFrame writes the gradient of a frame, whose occupancies, of the blank behind those
// of the labels, are given.
func (w *lattice[F]) writeFrame(frame int, occupancy []float64, target number) {
	t, m := w.task, &w.emission
	row, x := t.frame(t.out.grad, w.n, frame), t.frame(t.x, w.n, frame)
	made, scale := row, w.scale/target.v
	switch {
	case m.late:
		streams := len(t.x) >= streamBytes/fp.Size[F]()
		if streams {
			made = nil
		}
		made, m.max[frame], m.sum[frame] = w.stream.exp(made, x, -w.distance())
		scaleRow(made, F(w.scale/(1+m.sum[frame])))
		if streams {
			defer w.stream.finish(row, made)
		}
	case t.Gradient == ScoresGradient:
		for c := range row {
			row[c] = F(0 * scale) // NaN stays NaN
		}
	case t.FromLogits:
		writeRows(opSoftmax, row, x, len(x), m.max[frame:frame+1], []F{F(w.scale / (1 + m.sum[frame]))})
	case w.scale == 0:
		for c, v := range x {
			row[c] = 0 * max(v, 0) // NaN where exp is no number, 0 where it is one beyond F
		}
	default:
		writeRows(opSoftmax, row, x, len(x), []F{0}, []F{F(w.scale)})
	}
	for i, c := range w.classes[:w.last+1] {
		made[c] -= F(occupancy[i] * scale)
	}
}

// distance returns how many bytes lie between two frames of the scores.
func (w *lattice[F]) distance() int {
	_, stride := w.task.rows(w.task.x, w.n, 0)
	return stride * fp.Size[F]()
}

func blankAt(i int) int { return i + i&^7 }
