package trellis

import "math"

// lattice computes the loss of one sequence, and its gradient, by the forward
// and backward sweeps of generic.go.
//
// The gradient needs α of every frame while β comes back through them. Where
// that is too much memory, the frames are cut into segments: α is kept at the
// start of each, and made again from there when β arrives. A loss alone has
// segments of one frame.
type lattice[F Float] struct {
	task   *ctcTask[F]
	n      int // the sequence
	frames int // how many of its frames count

	classes []int32   // the target's labels, then the blank
	skip    []int32   // see forwardGeneric
	max     []F       // the largest score of each frame, or 0: the softmax is
	sum     []float64 // exp(x−max)/(1+sum)

	segment   int     // frames of a segment
	alpha     rows[F] // of the frames in a segment and the one before: see at
	emission  rows[F] // likewise
	starts    rows[F] // α before each segment, if there are several
	beta      rows[F] // one row: β·y of the frame that was done last
	occupancy []F     // of the labels in a frame

	complement complement[F]
}

// rows are rows of scaled numbers, all of one width.
type rows[F Float] struct {
	width int
	m     []F
	e     []int32
}

// resize makes room for so many rows of any content.
func (r *rows[F]) resize(count, width int) {
	r.width = width
	r.m, r.e = resize(r.m, count*width), resize(r.e, count*width)
}

// states returns row i as a row of the lattice: half blanks, half labels.
func (r *rows[F]) states(i int) states[F] {
	m, e, half := r.m[i*r.width:][:r.width], r.e[i*r.width:][:r.width], r.width/2
	return states[F]{m[:half], m[half:], e[:half], e[half:]}
}

// emissions returns row i as the emissions of a frame.
func (r *rows[F]) emissions(i int) emissions[F] {
	return emissions[F]{r.m[i*r.width:][:r.width], r.e[i*r.width:][:r.width]}
}

// keptStates is the number of states that a gradient keeps before its frames
// are cut into segments: 24 MiB of α in float32, 36 in float64.
const keptStates = 3 << 20

var lattices pools

// release gives the workspace back without what it borrowed.
func (w *lattice[F]) release() {
	w.task = nil
	poolOf[F](&lattices).Put(w)
}

// run returns the loss of sequence n and writes its gradient if it is asked for,
// keeping about so many states.
func (w *lattice[F]) run(t *ctcTask[F], n, kept int) float64 {
	if t.frames(n) < framesNeeded(t.labels(n)) {
		return w.impossible(t, n)
	}
	w.prepare(t, n, kept)
	loss, exponent := w.forward()
	if isSmall(loss, w.frames) {
		loss = w.refine(loss)
	}
	if t.out.wantGrad() {
		w.gradient(loss, exponent)
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
func (w *lattice[F]) impossible(t *ctcTask[F], n int) float64 {
	w.task, w.n, w.frames = t, n, t.frames(n)
	w.max, w.sum = resize(w.max, w.frames), resize(w.sum, w.frames)
	loss := math.Inf(1)
	for frame := range w.frames {
		w.normalizer(frame)
		x := t.frame(t.x, n, frame)
		poisoned := w.sum[frame] != w.sum[frame] || !(x[t.Blank] < F(math.Inf(1)))
		for _, label := range t.labels(n) {
			poisoned = poisoned || !(x[label] < F(math.Inf(1)))
		}
		if poisoned {
			loss = math.NaN()
		}
	}
	if t.out.wantGrad() {
		w.gradient(loss, 0)
	}
	return loss
}

// prepare copies the target and makes room.
func (w *lattice[F]) prepare(t *ctcTask[F], n, kept int) {
	w.task, w.n, w.frames = t, n, t.frames(n)
	labels := t.labels(n)
	width := len(labels) + 1
	w.classes, w.skip = resize(w.classes, width), resize(w.skip, width)
	for i, label := range labels {
		w.classes[i], w.skip[i] = int32(label), 0
		if i == 0 || label == labels[i-1] {
			w.skip[i] = zeroExponent
		}
	}
	w.classes[width-1], w.skip[width-1] = int32(t.Blank), zeroExponent

	w.segment = 1
	if t.out.wantGrad() {
		w.segment = max(kept/(2*width), int(math.Sqrt(float64(w.frames))))
		w.segment = max(min(w.segment, w.frames), 1)
		w.occupancy = resize(w.occupancy, width)
		w.beta.resize(1, 2*width)
		if w.segment < w.frames {
			w.starts.resize((w.frames+w.segment-1)/w.segment, 2*width)
		}
	}
	w.alpha.resize(w.segment+1, 2*width)
	w.emission.resize(w.segment+1, width)
	w.max, w.sum = resize(w.max, w.frames), resize(w.sum, w.frames)
}

// at returns the row of α and of the emissions that belongs to a frame, −1
// being the one before the first: a ring of a segment's frames and one more.
func (w *lattice[F]) at(frame int) int { return (frame + 1) % (w.segment + 1) }

// zero makes all states impossible.
func zero[F Float](s states[F]) {
	for i := range s.bm {
		s.bm[i], s.be[i], s.lm[i], s.le[i] = 1, zeroExponent, 1, zeroExponent
	}
}

// forward returns the loss, and the exponent of the target's probability with
// the common factors of the frames left out: they come as a sum of logarithms.
func (w *lattice[F]) forward() (loss float64, exponent int32) {
	alpha := w.alpha.states(w.at(-1))
	zero(alpha)
	alpha.be[0] = 0 // before the first frame nothing is spelled yet
	var factors float64
	for t := range w.frames {
		if t%w.segment == 0 && w.segment < w.frames && w.task.out.wantGrad() {
			copyStates(w.starts.states(t/w.segment), w.alpha.states(w.at(t-1)))
		}
		w.normalizer(t)
		ref := w.step(t)
		if !(ref < F(math.Inf(1))) || w.sum[t] != w.sum[t] {
			return math.NaN(), 0
		}
		factors += (float64(ref) - float64(w.max[t])) - log1p64(w.sum[t])
	}
	return w.readLoss(w.alpha.states(w.at(w.frames-1)), factors)
}

// readLoss returns the loss that the last row of α tells, and the exponent of
// the target's probability. The target ends in its last label or a blank.
func (w *lattice[F]) readLoss(alpha states[F], factors float64) (loss float64, exponent int32) {
	last := len(alpha.bm) - 1
	end := scaled[F]{1, zeroExponent}
	if last > 0 {
		end = scaled[F]{alpha.lm[last-1], alpha.le[last-1]}
	}
	m, exponent := add2(scaled[F]{alpha.bm[last], alpha.be[last]}, end)
	if exponent < tinyExponent {
		return math.Inf(1), exponent
	}
	const ln2 = math.Ln2
	return 0 - (math.FMA(float64(exponent), ln2, log64(float64(m))) + factors), exponent
}

// normalizer sets max and sum of a frame: a sum of NaN if there is no softmax, zeros
// if the scores are log-probabilities.
func (w *lattice[F]) normalizer(t int) {
	w.max[t], w.sum[t] = 0, 0
	if !w.task.FromLogits {
		return
	}
	w.max[t], w.sum[t] = sumExpRow(w.task.frame(w.task.x, w.n, t))
}

// step makes the emissions and α of frame t from α of the one before, and
// returns the reference score of the emissions.
func (w *lattice[F]) step(t int) (ref F) {
	y := w.emission.emissions(w.at(t))
	ref = emitGeneric(y, w.task.frame(w.task.x, w.n, t), w.classes)
	forwardGeneric(w.alpha.states(w.at(t)), w.alpha.states(w.at(t-1)), y, w.skip)
	return ref
}

func copyStates[F Float](dst, src states[F]) {
	copy(dst.bm, src.bm)
	copy(dst.be, src.be)
	copy(dst.lm, src.lm)
	copy(dst.le, src.le)
}

// gradient writes the gradient of the sequence, whose loss and exponent forward
// found.
func (w *lattice[F]) gradient(loss float64, exponent int32) {
	switch {
	case math.IsInf(loss, 1):
		w.fill(0, w.task.length, 0)
		return
	case loss != loss:
		w.fill(0, w.frames, nan[F]())
	default:
		w.backward(exponent)
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
func (w *lattice[F]) backward(exponent int32) {
	beta := w.beta.states(0)
	zero(beta)
	beta.be[len(beta.be)-1] = 0 // after the last frame only the last blank's state is left
	for t := w.frames - 1; t >= 0; t-- {
		if end := t + 1; end%w.segment == 0 && end < w.frames {
			w.remake(end - w.segment)
		}
		k := w.at(t)
		blanks, labels := backwardGeneric(beta, w.alpha.states(k), w.emission.emissions(k), w.skip, exponent, w.occupancy)
		w.writeFrame(t, blanks, labels)
	}
}

// remake makes α of a segment again.
func (w *lattice[F]) remake(start int) {
	copyStates(w.alpha.states(w.at(start-1)), w.starts.states(start/w.segment))
	for t := start; t < start+w.segment; t++ {
		w.step(t)
	}
}

// writeFrame writes the gradient of frame t, whose occupancies are in proportion
// to occupancy for the labels and to blanks for the blank. Dividing them by their
// sum, not by the target's probability, takes out what α and β have drifted by.
func (w *lattice[F]) writeFrame(t int, blanks, labels F) {
	row := w.task.frame(w.task.out.grad, w.n, t)
	g := w.task.out.factor(w.n, w.task.share(w.n))
	if w.task.Gradient == LogitsGradient {
		x, scale := w.task.frame(w.task.x, w.n, t), F(g/(1+w.sum[t]))
		writeRows(opSoftmax, row, x, len(x), w.max[t:t+1], []F{scale})
	} else {
		clear(row)
	}
	scale := F(g / (float64(blanks) + float64(labels)))
	last := len(w.classes) - 1
	scatterGeneric(row, w.classes[:last], w.occupancy[:last], scale)
	row[w.task.Blank] -= F(blanks * scale)
}
