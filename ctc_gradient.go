package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// ctcSequence computes the loss of one sequence, and its gradient. The fields before the
// trellis are what it is given.
type ctcSequence[F Float] struct {
	x      view.Rows[F]
	frames int // how many frames of them count
	scores Scores

	grad        view.Rows[F] // the gradient, or nothing
	gradFrames  int          // how many frames it has, all that count and those behind
	inPlace     bool         // it overwrites scores, be they of this sequence or of others
	streams     bool         // it is too large for the caches
	wantSoftmax bool         // it is a softmax less the occupancies, else only these
	scale       float64      // the loss's factor in what is differentiated

	trellis   trellis[F]
	smallLoss smallLoss[F]

	rowScale   float64 // of occupancies in the gradient
	sumOffsets []int32 // see addOccupanciesGeneric
	scratch    []F
}

var ctcSequences workspace.Pools

// release gives the workspace back without what it borrowed.
func (s *ctcSequence[F]) release() {
	s.x, s.grad = view.Rows[F]{}, view.Rows[F]{}
	s.trellis.emission.release()
	s.smallLoss.release()
	if s.trellis.workspaceBytes()+8*cap(s.scratch) < hugeBytes {
		workspace.Give[F](&ctcSequences, s)
	}
}

// wantGrad reports whether there is a gradient to write.
func (s *ctcSequence[F]) wantGrad() bool { return s.grad.Data != nil }

// compute returns the loss of labels and writes its gradient if that is asked for, with a
// workspace of about kept bytes.
func (s *ctcSequence[F]) compute(labels []int, blank, kept int) float64 {
	if s.frames < leastFrames(labels) { // without the trellis, however long the target is
		loss := math.Inf(1)
		if poisoned(s.x, s.frames, labels, blank, s.scores) {
			loss = math.NaN()
		}
		s.fillGradient(loss)
		return loss
	}
	w := &s.trellis
	o := emissionOptions{scores: s.scores}
	if s.wantGrad() && s.wantSoftmax {
		o.wantSoftmax, o.softmaxScale, o.inPlace = true, s.scale, s.inPlace
	}
	if !s.wantGrad() {
		kept = 0
	}
	w.target.set(labels, blank)
	w.begin(s.x, s.frames, o, kept)
	probability, ok := w.forward()
	deferred := w.emission.deferSoftmax && ok
	if deferred {
		if probability.v != 0 {
			s.writeGradient(probability)
		}
		ok = w.emission.sumFrames()
	}
	loss := math.NaN()
	if ok {
		loss = w.loss(probability)
	}
	if isSmall[F](loss, s.frames, s.scores) {
		loss = s.smallLoss.refine(loss, &w.emission)
	}
	if s.wantGrad() && !deferred && !math.IsInf(loss, 1) && loss == loss {
		s.writeGradient(probability)
	}
	s.fillGradient(loss)
	return loss
}

// fillGradient fills in the frames that do not count, and all others where the loss has no
// gradient: 0 where it is +Inf, and NaN where it is NaN.
func (s *ctcSequence[F]) fillGradient(loss float64) {
	if !s.wantGrad() {
		return
	}
	switch {
	case math.IsInf(loss, 1):
		s.fill(0, s.frames, 0)
	case loss != loss:
		s.fill(0, s.frames, fp.NaN[F]())
	}
	s.fill(s.frames, s.gradFrames, 0)
}

// fill sets the gradient of some frames to a value.
func (s *ctcSequence[F]) fill(from, to int, value F) {
	for t := from; t < to; t++ {
		row := s.grad.Row(t)
		for c := range row {
			row[c] = value
		}
	}
}

// writeGradient writes the gradient of the frames that count, given the target's
// probability.
func (s *ctcSequence[F]) writeGradient(probability number) {
	m := &s.trellis.emission
	s.rowScale = s.scale / probability.v
	if m.expByClass {
		s.sumOffsets = workspace.Resize(s.sumOffsets, m.target.width)
		for i, c := range m.target.symbols {
			if i > m.target.length {
				c = int32(m.byClass.rows.Columns) // counts nowhere
			}
			s.sumOffsets[i] = int32(sumOffset[F](int(c)))
		}
	}
	s.trellis.backward(probability, s)
	m.stream.flush()
	m.summed = s.frames
}

// visit writes the gradient of the frames of a group.
func (s *ctcSequence[F]) visit(frames view.Span, occupancy view.Rows[float64]) {
	m := &s.trellis.emission
	for to := frames.To; to > frames.From; {
		from := to - 1
		has := m.hasSoftmax(from)
		if !has {
			s.writeFrame(from, occupancy.Row(from-frames.From))
			to = from
			continue
		}
		for from > frames.From && m.hasSoftmax(from-1) {
			from--
		}
		s.writeFrames(view.Span{From: from, To: to}, occupancy.From(from-frames.From))
		to = from
	}
}

// writeFrames writes the gradient of frames whose exp by class is of use.
func (s *ctcSequence[F]) writeFrames(frames view.Span, occupancy view.Rows[float64]) {
	m := &s.trellis.emission
	perCall := min(max(4, block/s.x.Columns&^3), groupFrames)
	s.scratch = workspace.Resize(s.scratch, occupancyScratch[F](s.x.Columns, perCall))
	for t := frames.From; t < frames.To; t += perCall {
		softmax := m.softmaxFactors[t%m.segment:][:min(perCall, frames.To-t)]
		addOccupancies(s.grad.From(t), m.byClass.rows.From(t%m.segment), softmax, F(s.rowScale), occupancy.From(t-frames.From), s.sumOffsets, s.scratch)
	}
}

// writeFrame writes the gradient of a frame whose exp by class is of no use.
func (s *ctcSequence[F]) writeFrame(t int, occupancy []float64) {
	m := &s.trellis.emission
	row, x := s.grad.Row(t), s.x.Row(t)
	terms := row
	switch {
	case s.scores == Probabilities && !s.wantSoftmax:
		s.writeOverProbabilities(row, x, occupancy)
		return
	case s.scores == Probabilities:
		for at := 0; at < len(x); at += block {
			part := x[at:min(at+block, len(x))]
			mulAdd(row[at:][:len(part)], part, F(s.scale), 0)
		}
	case m.deferSoftmax:
		if s.streams {
			terms = nil // in the stream's own memory
		}
		terms, m.max[t], m.sum[t] = m.stream.exp(terms, x, -m.rowBytes())
		scaleRow(terms, F(s.scale/(1+m.sum[t])))
		if s.streams {
			defer m.stream.finish(row, terms)
		}
	case !s.wantSoftmax:
		for c := range row {
			row[c] = F(0 * s.rowScale) // NaN stays NaN
		}
	case s.scores == Logits:
		writeRows(opSoftmax, row, x, len(x), m.max[t:t+1], []F{F(s.scale / (1 + m.sum[t]))})
	case s.scale == 0:
		for c, v := range x {
			row[c] = 0 * max(v, 0) // NaN where exp is no number, 0 where it is one beyond F
		}
	default:
		writeRows(opSoftmax, row, x, len(x), []F{0}, []F{F(s.scale)})
	}
	for i, c := range m.target.named() {
		terms[c] -= F(occupancy[i] * s.rowScale)
	}
}

// writeOverProbabilities writes the gradient of a frame by its probabilities x themselves:
// occupancies over probabilities. row may be x.
func (s *ctcSequence[F]) writeOverProbabilities(row, x []F, occupancy []float64) {
	named := s.trellis.emission.target.named()
	s.scratch = workspace.Resize(s.scratch, len(named))
	for i, c := range named {
		s.scratch[i] = x[c]
	}
	for c := range row {
		row[c] = F(0 * s.rowScale) // NaN stays NaN
	}
	for i, c := range named {
		if occupancy[i] == 0 { // as it is where the probability is
			continue
		}
		p, share := float64(s.scratch[i]), occupancy[i]*s.rowScale
		if math.Abs(share) < 0x1p-1000 { // few bits, and p may be as small
			row[c] -= F(float64(occupancy[i]*0x1p600*s.rowScale) / p * 0x1p-600)
			continue
		}
		row[c] -= F(share / p)
	}
}
