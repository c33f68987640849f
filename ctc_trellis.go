package trellis

import (
	"math"
	"slices"

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
// time, and within a group a run of frames has the same exponents: as many as surely stay
// within the range of a float64.
type trellis[F Float] struct {
	target   ctcTarget
	emission emission[F]
	frames   int
	segment  int // frames of a segment

	alpha       []float64 // rows of the segment
	runs        []run     // of the segment
	exponents   []float64 // rows: those before each run of the segment, and behind the last
	boundary    []float64 // the row of α before the next run, normalised
	checkpoints []float64 // boundary and its exponents before each segment, if there are several
	factors     []float64

	beta      []float64   // a row of states
	carry     [16]float64 // what β hands down from one call to the next: see backwardGeneric
	occupancy []float64   // rows of a run, of the labels and of the blank after them
	blanks    []float64   // the occupancies of the blank in the frames of a call
}

// run is some frames of α with the same exponents, those in the row before. The one frame of
// a scaled run has the exponents of the next row.
type run struct {
	start, end int
	before     int // row of exponents
	scaled     bool
}

// begin takes on a sequence: its first frames of x, which are enough to spell the target. If
// backward is to follow, about kept bytes may be used for what it needs; else kept is 0.
func (w *trellis[F]) begin(x view.Rows[F], frames int, o emissionOptions, kept int) {
	w.frames = frames
	w.emission.begin(&w.target, x, frames, o)
	width := w.target.width
	w.segment = min(groupFrames, frames)
	w.checkpoints = w.checkpoints[:0]
	if kept > 0 {
		perFrame := 8*2*width + w.emission.bytesPerFrame()
		if w.segment = frames; frames > kept/perFrame {
			w.segment = min(max(kept/8/perFrame, int(math.Sqrt(float64(frames))), 1), frames)
			w.checkpoints = workspace.Resize(w.checkpoints, (frames+w.segment-1)/w.segment*4*width)
		}
		w.beta = workspace.Resize(w.beta, 2*width)
		w.occupancy = workspace.Resize(w.occupancy, (groupFrames+3)*width)
		w.blanks = workspace.Resize(w.blanks, groupFrames)
	}
	w.segment = max(w.segment, 1)
	w.emission.resize(w.segment)
	w.alpha = workspace.Resize(w.alpha, w.segment*2*width)
	w.boundary = workspace.Resize(w.boundary, 2*width)
	w.factors = workspace.Resize(w.factors, 3*width)
	w.exponents = workspace.Resize(w.exponents, 2*width)
}

// workspaceBytes returns about how many bytes the workspace takes.
func (w *trellis[F]) workspaceBytes() int {
	return w.emission.workspaceBytes() + 8*(cap(w.alpha)+cap(w.checkpoints)+cap(w.exponents)+cap(w.occupancy))
}

// alphaRow returns α of a frame in the segment.
func (w *trellis[F]) alphaRow(t int) []float64 {
	return w.alpha[t%w.segment*2*w.target.width:][:2*w.target.width]
}

// exponentRow returns row i of the exponents.
func (w *trellis[F]) exponentRow(i int) []float64 {
	return w.exponents[i*2*w.target.width:][:2*w.target.width]
}

// lastExponents returns the last row of exponents.
func (w *trellis[F]) lastExponents() []float64 {
	return w.exponents[len(w.exponents)-2*w.target.width:]
}

// pushExponents makes another row of exponents, a copy of the last one.
func (w *trellis[F]) pushExponents() []float64 {
	n, width := len(w.exponents), 2*w.target.width
	w.exponents = slices.Grow(w.exponents, width)[:n+width]
	copy(w.exponents[n:], w.exponents[n-width:])
	return w.exponents[n:]
}

// checkpoint returns the boundary and its exponents before the segment that begins with a
// frame.
func (w *trellis[F]) checkpoint(t int) (boundary, exponents []float64) {
	width := 2 * w.target.width
	c := w.checkpoints[t/w.segment*2*width:][:2*width]
	return c[:width], c[width:]
}

// forward returns the target's probability without the common factors of the frames. It
// reports whether the scores it has seen are numbers.
func (w *trellis[F]) forward() (probability number, ok bool) {
	w.exponents = w.exponents[:2*w.target.width]
	clear(w.boundary)
	exponents := w.exponents
	for i := range exponents {
		exponents[i] = never // that of pads
	}
	for i := range w.target.length {
		e := statesAt(exponents, i)
		e[onBlank], e[onLabel] = 0, 0
	}
	statesAt(exponents, w.target.length)[onBlank] = 0
	statesAt(w.boundary, 0)[onBlank] = 1 // before the first frame nothing is spelled yet
	for t := 0; t < w.frames; t += w.segment {
		if len(w.checkpoints) > 0 {
			boundary, exponents := w.checkpoint(t)
			copy(boundary, w.boundary)
			copy(exponents, w.lastExponents())
		}
		if !w.sweep(t) {
			return number{}, false
		}
	}
	return w.probability(), true
}

// sweep takes α from the boundary through the segment that begins with a frame. It reports
// whether the scores are numbers.
func (w *trellis[F]) sweep(from int) bool {
	copy(w.exponents, w.lastExponents())
	w.exponents, w.runs = w.exponents[:2*w.target.width], w.runs[:0]
	w.emission.exponents = w.emission.exponents[:0]
	to := min(from+w.segment, w.frames)
	for t := from; t < to; {
		end := min(t+groupFrames, to)
		if !w.emission.make(t, end) {
			return false
		}
		for t < end {
			t += w.advance(t, end)
		}
	}
	return true
}

// advance does a run of frames from t on, at most to the end of the group, and returns how
// many.
func (w *trellis[F]) advance(t, end int) int {
	before := len(w.runs) // each has made a row behind the first
	frames := 0
	if !w.emission.kind(t).isScaled() {
		frames = w.emission.runLength(t, end, w.makeFactors(before))
	}
	if frames == 0 {
		w.advanceScaled(t, before)
		return 1
	}
	src := w.boundary
	perCall := w.framesPerCall()
	for k := 0; k < frames; k += perCall {
		count := min(perCall, frames-k)
		alpha, y := w.alpha[(t+k)%w.segment*2*w.target.width:], w.emission.rows(t+k)
		for from := 0; from < w.target.inUse; from += callWidth {
			forward(alpha, src, y, w.factors, w.part(from), count)
		}
		src = w.alphaRow(t + k + count - 1)
	}
	w.runs = append(w.runs, run{t, t + frames, before, false})
	if w.normalize(w.boundary, src, w.pushExponents()) {
		w.inherit()
	}
	return frames
}

// advanceScaled does one frame with exponents of its own.
func (w *trellis[F]) advanceScaled(t, before int) {
	exponents := w.pushExponents()
	alpha := scaledRow{w.alphaRow(t), exponents}
	w.target.forwardScaled(alpha, scaledRow{w.boundary, exponents}, w.emission.scaled(t))
	copy(w.boundary, alpha.v)
	w.runs = append(w.runs, run{t, t + 1, before, true})
	w.inherit()
}

// makeFactors makes the factors of a run from a row of exponents, and returns the largest.
func (w *trellis[F]) makeFactors(row int) (largest float64) {
	for from := 0; from < w.target.inUse; from += callWidth {
		largest = max(largest, forwardFactors(w.factors, w.exponentRow(row), w.target.skipExponents, w.part(from)))
	}
	return largest
}

// part returns the positions that a call works on, from the first of them on.
func (w *trellis[F]) part(from int) view.Span {
	return view.Span{From: from, To: min(from+callWidth, w.target.inUse)}
}

// framesPerCall returns the number of frames that one call works on: one where a frame takes
// several.
func (w *trellis[F]) framesPerCall() int {
	if w.target.inUse > callWidth {
		return 1
	}
	return callPositions / w.target.inUse
}

// normalize writes src to dst with its values in [1,2), and reports whether there are zeros
// beside the pads.
func (w *trellis[F]) normalize(dst, src, exponents []float64) bool {
	var zeros float64
	states := 2 * w.target.inUse
	for from := 0; from < states; from += 2 * callWidth {
		to := min(from+2*callWidth, states)
		zeros += normalizeRow(dst[from:to], src[from:to], exponents[from:to])
	}
	return zeros > float64(states-2*w.target.length-1)
}

// inherit gives states of the boundary that are 0 the exponents of what can flow into them.
func (w *trellis[F]) inherit() {
	v, e, skip := w.boundary, w.lastExponents(), w.target.skipExponents
	before := float64(-never) // of label i−1
	for i := range w.target.length + 1 {
		b, l := blankAt(i), labelAt(i)
		if v[b] == 0 {
			e[b] = before
		}
		if i == w.target.length {
			return
		}
		if v[l] == 0 {
			e[l] = max(e[b], before+skip[i])
		}
		before = e[l]
	}
}

// probability returns that of the target, which the boundary behind the last frame tells: the
// target ends in its last label or a blank.
func (w *trellis[F]) probability() number {
	last := scaledRow{w.boundary, w.lastExponents()}
	blank, _ := last.states(w.target.length)
	if w.target.length == 0 {
		return blank
	}
	_, label := last.states(w.target.length - 1)
	return blank.plus(label).normal()
}

// loss returns the loss of a target's probability.
func (w *trellis[F]) loss(probability number) float64 {
	if probability.v == 0 {
		return math.Inf(1)
	}
	return 0 - math.FMA(probability.e+w.emission.common.shift, math.Ln2, fp.Log(probability.v)+w.emission.log())
}

// occupancyVisitor takes in the occupancies of some frames: a row for each, of the labels
// and, in the last column, of the blank, all of them times the mantissa of the target's
// probability. The frames are of one run, and come from the last run to the first.
type occupancyVisitor interface {
	visit(frames view.Span, occupancy view.Rows[float64])
}

// backward takes β through the frames, given the target's probability, and shows their
// occupancies to a visitor. The scores of a segment are read again before the visitor has
// its frames, whose scores it may overwrite.
func (w *trellis[F]) backward(probability number, visitor occupancyVisitor) {
	if w.frames == 0 {
		return
	}
	clear(w.beta)
	exponents := w.lastExponents()
	last := w.target.length
	statesAt(w.beta, last)[onBlank] = power(statesAt(exponents, last)[onBlank] - probability.e)
	if last > 0 {
		statesAt(w.beta, last-1)[onLabel] = power(statesAt(exponents, last-1)[onLabel] - probability.e)
	}
	for start := (w.frames - 1) / w.segment * w.segment; start >= 0; start -= w.segment {
		if start+w.segment < w.frames {
			w.remake(start)
		}
		for _, r := range slices.Backward(w.runs) {
			w.retreat(r)
			visitor.visit(view.Span{From: r.start, To: r.end}, view.Of(w.occupancy, last+1, w.target.width))
		}
	}
}

// remake makes α of a segment again.
func (w *trellis[F]) remake(from int) {
	boundary, exponents := w.checkpoint(from)
	copy(w.boundary, boundary)
	w.exponents = w.exponents[:2*w.target.width]
	copy(w.exponents, exponents)
	common := w.emission.common
	w.sweep(from)
	w.emission.common = common
}

// retreat takes β from the last frame of a run, where it has the exponents behind the run,
// to the frame before it, and makes the occupancies in the run.
func (w *trellis[F]) retreat(r run) {
	alpha, before, behind := w.alphaRow(r.end-1), w.exponentRow(r.before), w.exponentRow(r.before+1)
	inRun := before
	if r.scaled {
		inRun = behind
	}
	states := 2 * w.target.inUse
	for from := 0; from < states; from += 2 * callWidth {
		to := min(from+2*callWidth, states)
		rescale(w.beta[from:to], alpha[from:to], behind[from:to], inRun[from:to])
	}
	if r.scaled {
		w.target.backwardScaled(w.occupancy, w.beta, scaledRow{alpha, behind}, w.emission.scaled(r.start), before)
		return
	}
	w.makeFactors(r.before)
	perCall := w.framesPerCall()
	for end := r.end; end > r.start; end -= perCall {
		start := max(end-perCall, r.start)
		w.retreatFrames(start, w.occupancy[(start-r.start)*w.target.width:], w.blanks[:end-start])
	}
}

// retreatFrames takes β through the frames of one call, len(blanks) of them from start on, and
// writes their occupancies.
func (w *trellis[F]) retreatFrames(start int, occupancy, blanks []float64) {
	alpha, y := w.alpha[start%w.segment*2*w.target.width:], w.emission.rows(start)
	var sum float64 // of a frame that takes several calls
	clear(w.carry[:])
	for from := (w.target.inUse - 1) / callWidth * callWidth; from >= 0; from -= callWidth {
		copy(w.carry[:], w.carry[8:])
		backward(occupancy, blanks, w.beta, w.carry[:], alpha, y, w.factors, w.part(from))
		sum += blanks[0]
	}
	if w.target.inUse > callWidth {
		blanks[0] = sum
	}
	for k, blank := range blanks {
		occupancy[k*w.target.width+w.target.length] = blank
	}
}
