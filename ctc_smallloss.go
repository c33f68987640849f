package trellis

import (
	"math"
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/workspace"
)

// A small loss is the logarithm of a probability near 1, which says little about
// how far from 1 it is: in float64 a loss of 10⁻¹⁶ is lost altogether. The
// probability of everything but the target is small then, and as a sum of products of
// positive numbers it keeps its relative accuracy. It is what a path through the
// trellis loses when a frame emits a class that does not go on with the target, and
// what has not arrived at the end:
//
//	missed = Σ_t Σ_s α_t−1(s) · p_t(classes that lead out of s) + Σ α_T(s not final).
//
// Here α is a plain float64: what underflows cannot matter.

// isSmall reports whether the loss of a sequence of so many frames is to be refined. The
// trellis loses about 10⁻¹⁶ of P in each frame: too much for small losses in float64, and in
// float32 only below 10⁻⁸ for each frame. From float32 logits the errors of exp cancel where P
// is near 1, since emissions and their sum share them: the error of a probability p is
// proportional to 1−p. Where P is below ½, or far above 1 as log-probabilities are not normalised,
// missed would be no more exact than P. From logits P is above 1 only by rounding.
func isSmall[F Float](loss float64, frames int, scores Scores) bool {
	perFrame := 1e-3
	if fp.IsFloat32[F]() {
		perFrame = 1e-8
	}
	bound := min(perFrame*float64(frames), math.Ln2)
	return loss < bound && (loss > -bound || scores == Logits)
}

// smallLoss computes small losses. It is a workspace of refine.
//
// The terms of a frame are exp(x−m), where m is its largest score: the largest term is 1. Of
// log-probabilities and probabilities only the classes that the target names count, each of
// them once.
type smallLoss[F Float] struct {
	b, l     []float64 // α of the blanks and of the labels
	from, to int       // the places in them that are not negligible
	missed   float64   // so far

	columns  []int32 // of each label, then of the blank: the class, or its place in distinct
	set      classSet
	distinct []int32   // the classes that the target names
	named    []float64 // their terms

	// What a frame gives. The window is the labels that the next step may reach, or lead to, and
	// the blank.
	logits []F       // the scores, or nil where named counts
	max    F         // the largest logit
	sum    float64   // of all terms but the largest
	labels []float64 // terms of the window
	blank  float64

	// Of the frames ahead, terms of logits: rows of those of the labels from first on, and the
	// blank's.
	ahead        []float64
	first, width int

	logitGroup []F // of a group of frames of few classes
	sums       rowSums[F]
	summed     int // how many frames that was done for

	doubt  doubt
	others []float64 // in doubt: logits, or terms, without those of the window
}

// refine returns a better value for a small loss: that of the target and the frames of m.
func (k *smallLoss[F]) refine(loss float64, m *emission[F]) float64 {
	var logNorms float64 // the sum of the logarithms of what normalised the frames
	k.begin(m)
	for t := range m.frames {
		switch m.scores {
		case LogProbabilities:
			logNorms += k.readLogProbabilities(m.x.Row(t))
		case Logits:
			k.readLogits(m, t)
		case Probabilities:
			logNorms += k.readProbabilities(m.x.Row(t))
		}
		k.step(m.target)
		if !(k.missed <= 0.5) {
			return loss
		}
	}
	missed := k.end()
	if !(missed <= 0.5) {
		return loss
	}
	return 0 - (fp.Log1p(-missed) + logNorms) // never −0
}

// begin puts all of α before the first frame.
func (k *smallLoss[F]) begin(m *emission[F]) {
	named := m.target.named()
	k.b, k.l = workspace.Resize(k.b, len(named)), workspace.Resize(k.l, len(named))
	k.b[0], k.l[0] = 1, 0
	k.from, k.to, k.missed, k.summed = 0, 1, 0, 0
	k.columns = append(k.columns[:0], named...)
	k.logits = nil
	if m.scores != Logits {
		k.distinct = distinct(&k.set, named, m.x.Columns)
		k.named = workspace.Resize(k.named, len(k.distinct))
		for i, c := range named {
			k.columns[i] = k.set.place[c] - 1
		}
	}
}

// end returns the probability that the frames do not spell the target.
func (k *smallLoss[F]) end() (missed float64) {
	last := len(k.b) - 1
	missed = k.missed
	for i := k.from; i < min(k.to, last); i++ {
		missed += k.b[i]
		if i < last-1 {
			missed += k.l[i]
		}
	}
	return missed
}

// release forgets what was borrowed.
func (k *smallLoss[F]) release() { k.logits = nil }

// framesAhead is of how many frames terms of logits are made at a time.
const framesAhead = 4

// readLogits takes in a frame.
func (k *smallLoss[F]) readLogits(m *emission[F], t int) {
	if t%framesAhead == 0 {
		k.readAhead(m, t)
	}
	k.logits = m.x.Row(t)
	k.max, k.sum = k.sumLogits(m, t)
	row := k.ahead[t%framesAhead*k.width:][:k.width]
	k.labels, k.blank = row[k.from-k.first:k.windowTo()-k.first], row[k.width-1]
}

// windowTo returns the label behind the window.
func (k *smallLoss[F]) windowTo() int { return min(k.to+2, len(k.columns)-1) }

// readAhead makes the terms of some frames, of the labels that can be in their windows.
func (k *smallLoss[F]) readAhead(m *emission[F], t int) {
	last := len(k.columns) - 1
	labels := k.columns[k.from:min(k.to+1+framesAhead, last)]
	k.first, k.width = k.from, len(labels)+1
	frames := min(framesAhead, m.frames-t)
	k.ahead = workspace.Resize(k.ahead, frames*k.width)
	for r := range frames {
		x, row := m.x.Row(t+r), k.ahead[r*k.width:][:k.width]
		top, _ := k.sumLogits(m, t+r)
		for j, c := range labels {
			row[j] = float64(x[c]) - float64(top)
		}
		row[len(labels)] = float64(x[k.columns[last]]) - float64(top)
	}
	expTerms(k.ahead, 0)
}

// sumLogits returns the largest logit of a frame and the sum of all terms but that. Where they
// are not known yet, frames of few classes are done in groups.
func (k *smallLoss[F]) sumLogits(m *emission[F], t int) (top F, sum float64) {
	n := m.x.Columns
	switch {
	case !m.expByClass:
		return m.max[t], m.sum[t]
	case n > shortRow:
		return sumExpRow(m.x.Row(t), m.rowBytes())
	}
	r := t % groupFrames
	if r == 0 && k.summed <= t {
		frames := min(groupFrames, m.frames-t)
		k.summed = t + frames
		k.logitGroup = workspace.Resize(k.logitGroup, groupFrames*n)
		for i := range frames {
			copy(k.logitGroup[i*n:][:n], m.x.Row(t+i))
		}
		k.sums.sumExpEach(k.logitGroup, n, frames)
	}
	return k.sums.max[r], k.sums.sum[r]
}

// expTerms makes exp(x−m) of every x, of which none is above m, and returns their sum.
func expTerms(x []float64, m float64) (sum float64) {
	for at := 0; at < len(x); at += block {
		b := x[at:min(at+block, len(x))]
		s, ties := expCopy(b, b, m, nil, nil, 0)
		sum += s + ties
	}
	return sum
}

// readNamed finds the terms of the window where those of the named classes are known.
func (k *smallLoss[F]) readNamed() {
	columns := k.columns[k.from:k.windowTo()]
	k.ahead = workspace.Resize(k.ahead, len(columns))
	for j, c := range columns {
		k.ahead[j] = k.named[c]
	}
	k.labels, k.blank = k.ahead, k.named[k.columns[len(k.columns)-1]]
}

// readLogProbabilities takes in a frame, normalises it, and returns its log-sum-exp.
func (k *smallLoss[F]) readLogProbabilities(x []F) (logNorm float64) {
	top, m := 0, math.Inf(-1)
	for j, c := range k.distinct {
		v := float64(x[c])
		k.named[j] = v
		if v > m {
			top, m = j, v
		}
	}
	k.named[top] = math.Inf(-1) // adds nothing
	k.sum = expTerms(k.named, m)
	k.named[top] = 1
	k.readNamed()
	return m + fp.Log1p(k.sum)
}

// readProbabilities takes in a frame, normalises it, and returns the logarithm of its sum: what
// that is short of 1 is exact, however small.
func (k *smallLoss[F]) readProbabilities(x []F) (logNorm float64) {
	excess, lost := -1.0, 0.0
	top, m := 0, 0.0
	for j, c := range k.distinct {
		v := float64(x[c])
		k.named[j] = v
		if v > m {
			top, m = j, v
		}
		var err float64
		excess, err = fp.Difference(excess, -v)
		lost += err
	}
	excess += lost
	k.named[top] = 0
	k.sum = 0
	for j, v := range k.named {
		k.named[j] = v / m
		k.sum += k.named[j]
	}
	k.named[top] = 1
	k.readNamed()
	return fp.Log1p(excess) // below −½, 1+excess is exact
}

// mostSure is the largest sum of all terms but the largest one of a frame that is not in doubt.
const mostSure = 0x1p-6

// inDoubt reports whether the classes of a frame are to be kept apart: because several of them are
// likely, or because one frame makes much of what is missed, and the sum of float32 logits rounds.
func (k *smallLoss[F]) inDoubt() bool {
	return k.sum > mostSure || fp.IsFloat32[F]() && k.logits != nil && k.sum > k.missed/8
}

// step takes α through the frame. A blank goes on with the blank or its label; a
// label with itself, the blank, or the label after it if that is another one.
func (k *smallLoss[F]) step(target *ctcTarget) {
	last := len(k.b) - 1
	if k.to <= last {
		k.b[k.to], k.l[k.to] = 0, 0
	}
	k.doubt.settled = false
	if k.inDoubt() {
		k.settleDoubt()
	}
	labels, norm := k.labels, 1/(1+k.sum)
	pBlank := float64(k.blank * norm)
	blank, label := emittedTerm(k.blank), emitted{}
	if len(labels) > 0 {
		label = emittedTerm(labels[0])
	}
	bs, ls, skip := k.b[k.from:], k.l[k.from:], target.skipExponents[k.from:]
	var prev, lost float64
	for j := range min(len(labels), k.to+1-k.from) {
		b, l := bs[j], ls[j]
		jump := prev
		if skip[j] != 0 {
			jump = 0
		}
		bs[j] = float64((b + prev) * pBlank)
		ls[j] = float64(((l + b) + jump) * float64(labels[j]*norm))
		prev = l

		both := blank.and(label)
		fromBlank, sure := k.without(both)
		if !sure {
			fromBlank = k.withoutInDoubt(j, -1)
		}
		fromLabel := fromBlank
		if j+1 < len(labels) {
			label = emittedTerm(labels[j+1])
			if skip[j+1] == 0 {
				if fromLabel, sure = k.without(both.and(label)); !sure {
					fromLabel = k.withoutInDoubt(j, j+1)
				}
			}
		}
		lost += float64(b*fromBlank) + float64(l*fromLabel)
	}
	if k.to >= last {
		b := k.b[last]
		k.b[last] = float64((b + prev) * pBlank)
		fromBlank, sure := k.without(blank)
		if !sure {
			fromBlank = k.withoutInDoubt(-1, -1)
		}
		lost += float64(b * fromBlank)
	}
	k.missed += float64(lost * norm)
	k.to = min(k.to, last) + 1
	k.trim()
}

// trim leaves out the ends of α that are too small to matter to missed, in however many frames.
func (k *smallLoss[F]) trim() {
	share := 0x1p-80
	if fp.IsFloat32[F]() {
		share = 0x1p-56
	}
	negligible := max(k.missed*share, 0x1p-900)
	for k.from < k.to && max(k.b[k.from], k.l[k.from]) < negligible {
		k.from++
	}
	for k.from < k.to && max(k.b[k.to-1], k.l[k.to-1]) < negligible {
		k.to--
	}
}

// emitted is some terms of a frame that is not in doubt: how many of them are the largest one, and
// the sum of the others. It takes no branches, which would be hard to predict.
type emitted struct{ largest, others float64 }

// emittedTerm describes one term: 1 is the largest, and others are nearer to 0.
func emittedTerm(term float64) emitted {
	largest := (term + 0x1p52) - 0x1p52 // rounded
	return emitted{largest, term - largest}
}

// and returns the terms of both.
func (e emitted) and(f emitted) emitted { return emitted{e.largest + f.largest, e.others + f.others} }

// without returns the sum of the frame's terms without some, and whether it is exact: not
// where a good part of the sum cancels, and not in a frame in doubt.
func (k *smallLoss[F]) without(e emitted) (sum float64, sure bool) {
	sum = (k.sum - e.others) + (1 - e.largest)
	return sum, sum >= 0.75*k.sum && !k.doubt.settled
}

// doubt is what is known of a frame in doubt: the classes of the window with the largest
// terms are kept apart from all others.
type doubt struct {
	settled bool
	column  [3]int32   // of the largest terms, −1 for none
	term    [3]float64 // the largest terms
	rest    float64    // the sum of all others
	labels  []int8     // which of the three a label of the window is, or −1
	blank   int8
}

// rank returns which of the three a column is, or −1.
func (d *doubt) rank(column int32) int8 { return int8(slices.Index(d.column[:], column)) }

// settleDoubt finds out what is to be known of the frame. All sums are of positive terms.
func (k *smallLoss[F]) settleDoubt() {
	d := &k.doubt
	d.settled, d.column, d.term, d.rest = true, [3]int32{-1, -1, -1}, [3]float64{}, 0
	k.copyRow()
	window, blank := k.columns[k.from:k.windowTo()], k.columns[len(k.columns)-1]
	if k.take(blank) {
		d.add(blank, k.blank)
	}
	for j, c := range window {
		if k.take(c) {
			d.add(c, k.labels[j])
		}
	}
	d.rest += k.sumOthers()
	if d.term[0] == 1 {
		k.sum = (d.rest + d.term[2]) + d.term[1]
	}
	d.blank = d.rank(blank)
	d.labels = workspace.Resize(d.labels, len(window))
	for j, c := range window {
		d.labels[j] = d.rank(c)
	}
}

// copyRow makes others the logits or terms of all columns.
func (k *smallLoss[F]) copyRow() {
	if k.logits == nil {
		k.others = append(k.others[:0], k.named...)
		return
	}
	k.others = workspace.Resize(k.others, len(k.logits))
	for c, v := range k.logits {
		k.others[c] = float64(v)
	}
}

// take takes a column out of the others. It reports whether it was there.
func (k *smallLoss[F]) take(column int32) bool {
	gone := 0.0
	if k.logits != nil {
		gone = math.Inf(-1)
	}
	there := k.others[column] != gone
	k.others[column] = gone
	return there
}

// sumOthers returns the sum of the terms of the others.
func (k *smallLoss[F]) sumOthers() (sum float64) {
	if k.logits != nil {
		return expTerms(k.others, float64(k.max))
	}
	for _, v := range k.others {
		sum += v
	}
	return sum
}

// add takes in the term of another column.
func (d *doubt) add(column int32, term float64) {
	for i := range d.term {
		if term > d.term[i] {
			column, d.column[i] = d.column[i], column
			term, d.term[i] = d.term[i], term
		}
	}
	d.rest += term
}

// withoutInDoubt is without for the blank and up to two labels of the window, −1 for none. It
// subtracts only from what is at least as large: a class is taken out of the rest only when one
// that is above it stays.
func (k *smallLoss[F]) withoutInDoubt(label, next int) float64 {
	if !k.doubt.settled {
		k.settleDoubt()
	}
	d := &k.doubt
	stay, rest := d.term, d.rest
	out := func(rank int8, term float64) {
		if rank >= 0 {
			stay[rank] = 0
		} else {
			rest -= term
		}
	}
	out(d.blank, k.blank)
	for _, j := range [...]int{label, next} {
		if j >= 0 {
			out(d.labels[j], k.labels[j])
		}
	}
	return max(((rest+stay[2])+stay[1])+stay[0], 0)
}
