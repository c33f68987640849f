package trellis

import (
	"math"
	"slices"

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
	isFar  bool // they are too many for the caches, and so is the gradient

	grad        view.Rows[F] // the gradient, or nothing
	gradFrames  int          // how many frames it has, all that count and those behind
	inPlace     bool         // it overwrites scores, be they of this sequence or of others
	wantSoftmax bool         // it is a softmax less the occupancies, else only these
	scale       float64      // the loss's factor in what is differentiated

	trellis   trellis[F]
	smallLoss smallLoss[F]

	rowScale float64 // of occupancies in the gradient
	scratch  []F     // the probabilities of a frame

	// Occupancies are kept for a panel, and added up by class, or for a group: then kept is the positions
	// that have any.
	occupancy      []float64
	occupancyWidth int
	kept           view.Span
	sums           view.Rows[float64] // see addOccupanciesGeneric; 0 between groups
	few            []int32            // the classes that sums have columns for, those of the target, or nil for all
	offsets        []int32
	sumRows        view.Rows[F]
}

var ctcSequences workspace.Pools

// release gives the workspace back without what it borrowed.
func (s *ctcSequence[F]) release() {
	s.x, s.grad = view.Rows[F]{}, view.Rows[F]{}
	s.trellis.emission.release()
	s.smallLoss.release()
	if s.trellis.workspaceBytes()+8*(cap(s.scratch)+cap(s.occupancy)) < hugeBytes {
		workspace.Give[F](&ctcSequences, s)
	}
}

// wantGrad reports whether there is a gradient to write.
func (s *ctcSequence[F]) wantGrad() bool { return s.grad.Data != nil }

// compute returns the loss of labels and writes its gradient if that is asked for, with a
// workspace of about kept bytes.
func (s *ctcSequence[F]) compute(labels []int, blank, kept int) float64 {
	if s.frames < LeastFrames(labels) { // without the trellis, however long the target is
		loss := math.Inf(1)
		if s.trellis.emission.poisoned(s.x, s.frames, labels, blank, s.scores) {
			loss = math.NaN()
		}
		s.fillGradient(loss)
		return loss
	}
	w := &s.trellis
	o := emissionOptions{scores: s.scores, isFar: s.isFar, onlyLoss: !s.wantGrad(), leaveOut: true}
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
	s.occupancyWidth = m.target.width
	if m.expByClass {
		s.occupancyWidth = min(m.target.width, panelWidth)
		columns := s.x.Columns
		// A class of few takes as long in each frame as four when rows of all are made.
		if s.few = m.distinctClasses(); 4*len(s.few) <= columns {
			columns = len(s.few)
		} else {
			s.few = nil
		}
		width, stride := (columns+7)&^7, fp.WholeVectors[F](columns)
		s.sums = view.Of(workspace.Resize(s.sums.Data, groupFrames/frameBlock*sumStride(width)), 0, sumStride(width))
		s.sumRows = view.Of(workspace.Resize(s.sumRows.Data, s.framesPerCall()*stride), width, stride)
		s.offsets = workspace.Resize(s.offsets, m.target.width)
		for i, c := range m.target.symbols {
			if i >= m.target.length {
				s.offsets[i] = int32(8 * frameBlock * width) // counts nowhere
				continue
			}
			s.offsets[i] = int32(8 * frameBlock * s.columnOf(c))
		}
	}
	s.occupancy = workspace.Resize(s.occupancy, groupFrames*s.occupancyWidth)
	s.trellis.backward(probability, s)
	m.stream.flush()
	m.summed = s.frames
}

// rows returns where the occupancies of a panel go: by class they are added up for each panel, else all
// of a group are kept.
func (s *ctcSequence[F]) rows(p panel) view.Rows[float64] {
	at := p.positions.From
	if s.trellis.emission.expByClass {
		at = 0
	} else {
		s.kept.From = at
		s.kept.To = max(s.kept.To, p.positions.To)
	}
	return view.Of(s.occupancy[at:], p.positions.Len(), s.occupancyWidth)
}

// add takes in the occupancies of a panel.
func (s *ctcSequence[F]) add(p panel) {
	if !s.trellis.emission.expByClass {
		return
	}
	addOccupancies(s.sums, s.rows(p), s.offsets[p.positions.From:p.positions.To], p.frames.Len())
}

// finish writes the gradient of the frames of a group.
func (s *ctcSequence[F]) finish(frames view.Span, blanks []float64) {
	m := &s.trellis.emission
	if !m.expByClass {
		for r, sum := range slices.Backward(blanks) {
			s.writeFrame(frames.From+r, r, sum)
		}
		s.kept = view.Span{}
		return
	}
	blank := s.columnOf(m.target.symbols[m.target.length])
	for r, sum := range blanks {
		*s.sumOf(r, blank) = sum
	}
	factors := m.softmaxFactorsOf(frames)
	perCall := s.framesPerCall()
	for r := 0; r < len(factors); r += perCall {
		s.writeFrames(frames.From+r, r, factors[r:min(r+perCall, len(factors))])
	}
	clear(s.sums.Data[:(len(blanks)+frameBlock-1)/frameBlock*s.sums.Stride])
}

// columnOf returns which column of sums is that of a class that the target names.
func (s *ctcSequence[F]) columnOf(class int32) int {
	if s.few != nil {
		return s.trellis.emission.set.index(class)
	}
	return int(class)
}

// sumOf returns a sum of frame r of the group.
func (s *ctcSequence[F]) sumOf(r, column int) *float64 {
	return &s.sums.Data[r/frameBlock*s.sums.Stride+frameBlock*column+r%frameBlock]
}

// writeFrames writes the gradient of frames from t on, the first of which is frame r of the group, with
// these factors of the softmax. Where one is not finite exp by class is of no use.
func (s *ctcSequence[F]) writeFrames(t, r int, factors []F) {
	m := &s.trellis.emission
	rowsOfSums(s.sumRows, s.sums.From(r/frameBlock), len(factors))
	for k := 0; k < len(factors); {
		to := k
		for to < len(factors) && fp.IsFinite(factors[to]) {
			to++
		}
		if to == k {
			s.writeFrame(t+k, r+k, 0)
			k++
			continue
		}
		dst, p, sums := s.grad.From(t+k), m.byClass.rows.From(t+k-m.start), s.sumRows.From(k)
		if s.few != nil {
			writeFewGradients(dst, p, factors[k:to], F(s.rowScale), sums, s.few)
		} else {
			writeGradients(dst, p, factors[k:to], F(s.rowScale), sums)
		}
		k = to
	}
}

// framesPerCall returns the most frames whose gradient is written in one call, a multiple of frameBlock.
func (s *ctcSequence[F]) framesPerCall() int {
	return min(max(frameBlock, block/s.x.Columns&^(frameBlock-1)), groupFrames)
}

// writeFrame writes the gradient of frame t, frame r of its group, where exp by class is of no
// use. blank is the occupancy of the blank if it is not among the sums.
func (s *ctcSequence[F]) writeFrame(t, r int, blank float64) {
	m := &s.trellis.emission
	row, x := s.grad.Row(t), s.x.Row(t)
	terms := row
	switch {
	case s.scores == Probabilities && !s.wantSoftmax:
		s.writeOverProbabilities(row, x, r, blank)
		return
	case s.scores == Probabilities:
		for at := 0; at < len(x); at += block {
			part := x[at:min(at+block, len(x))]
			mulAdd(row[at:][:len(part)], part, F(s.scale), 0)
		}
	case m.deferSoftmax:
		if s.isFar {
			terms = nil // in the stream's own memory
		}
		terms, m.max[t], m.sum[t] = m.stream.exp(terms, x, -m.rowBytes())
		scaleRow(terms, F(s.scale/(1+m.sum[t])))
		if s.isFar {
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
	if m.expByClass {
		if s.few == nil {
			for c := range terms {
				terms[c] -= F(*s.sumOf(r, c) * s.rowScale)
			}
			return
		}
		for c := range terms {
			terms[c] -= F(0 * s.rowScale) // NaN where rowScale is no number
		}
		for j, c := range s.few {
			terms[c] -= F(*s.sumOf(r, j) * s.rowScale)
		}
		return
	}
	s.eachOccupancy(r, blank, func(c int32, o float64) { terms[c] -= F(o * s.rowScale) })
}

// eachOccupancy calls do with the classes and occupancies of frame r of a group, those of labels and then
// that of the blank.
func (s *ctcSequence[F]) eachOccupancy(r int, blank float64, do func(class int32, occupancy float64)) {
	g := &s.trellis.target
	row := s.occupancy[r*g.width:]
	for i := s.kept.From; i < min(s.kept.To, g.length); i++ {
		do(g.symbols[i], row[i])
	}
	do(g.symbols[g.length], blank)
}

// writeOverProbabilities is writeFrame by the probabilities x themselves: occupancies over probabilities.
// row may be x.
func (s *ctcSequence[F]) writeOverProbabilities(row, x []F, r int, blank float64) {
	s.scratch = append(s.scratch[:0], x...)
	for c := range row {
		row[c] = F(0 * s.rowScale) // NaN stays NaN
	}
	s.eachOccupancy(r, blank, func(c int32, o float64) {
		if o == 0 { // as it is where the probability is
			return
		}
		p, share := float64(s.scratch[c]), o*s.rowScale
		if math.Abs(share) < 0x1p-1000 { // few bits, and p may be as small
			row[c] -= F(float64(o*0x1p600*s.rowScale) / p * 0x1p-600)
			return
		}
		row[c] -= F(share / p)
	})
}
