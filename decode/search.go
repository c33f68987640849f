package decode

import (
	"math"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/workspace"
)

// search is a prefix beam search (A. Hannun, A. Maas, D. Jurafsky and A. Ng, "First-Pass Large
// Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs", 2014): of each
// prefix it keeps the sum over all paths so far that spell it, of those that end with a blank and
// those that end with its last label. In a frame with the probabilities y,
//
//	blank'(l) = (blank(l) + label(l)) · y(blank)
//	label'(l) = label(l) · y(last of l) + from(l) · y(last of l)
//
// where from(l) is the sum of the prefix that is one label shorter: all of it, or what ends with a
// blank if its last label is the same. The best prefixes by blank + label go on.
//
// Sums are float64 times 2^exponent, times common, times e^log, for all prefixes alike. They are
// multiplied by powers of two so that the best is near 2^600: a prefix is lost if it is more than
// 1000 nats below. What scorers add to a prefix is multiplied into its sums. Products that feed a sum
// are rounded by a conversion, which keeps the compiler from fusing them where it could.
type search struct {
	tree
	ranking
	scorers []Scorer

	beam, next []entry // the best prefix first
	rest       bool    // all paths end with a blank
	impossible bool    // no prefix is left, or a frame has scores that are none: log is −Inf or NaN
	common     float64
	exponent   int
	log        float64

	stays []stay
	rows  []rowRest
	seen  []uint64 // of each class, the row in which it was a label of a child in the beam
	row   uint64

	// Of each node, with scorers: the states, what has been added, and the factor for it in the node's
	// sums beside those of its parent.
	states  []State
	added   []Score
	factors []float64
	moved   []State // states that are not yet those of a node
	// Of each node, the factors of so many labels behind it, or unasked: a prefix meets the same labels
	// in frame after frame.
	asked    []float64
	askedRow int // all classes, or 0 if they are too many
}

// entry is a prefix in the beam.
type entry struct {
	blank, label, total float64 // total is the sum of both
	node                int32
	last                int32 // its last label, or none
	child, sibling      int32 // places in the beam of its first child there, and of its parent's next one
}

// stay is what an entry becomes without another label.
type stay struct{ blank, label float64 }

// rowRest is an entry whose labels from a class on were not looked at.
type rowRest struct{ entry, class int32 }

const (
	// middle is the exponent that the best total is brought to, where it is further away than slack.
	middle, slack = 600, 40
	// least is what is too small to be kept.
	least = 0x1p-1000
	// unasked is in place of the factor of a label that scorers have not been asked for, and mostAsked the
	// most classes whose factors are kept.
	unasked, mostAsked = -1, 256
	// mostScore is the largest score of a label, so that nothing overflows.
	mostScore = 250
)

// start begins with the empty prefix.
func (s *search) start(width int, scorers []Scorer, classes int) {
	s.wanted, s.scorers = width, scorers
	if s.ties == nil {
		s.ties = s.compareRivals
	}
	s.tree.reset()
	s.nodes[s.root].place = 0
	one := math.Ldexp(1, middle)
	s.beam = append(s.beam[:0], entry{blank: one, total: one, node: s.root, last: none, child: none})
	s.rest, s.impossible = true, false
	s.common, s.exponent, s.log = 1, -middle, 0
	s.seen, s.row = workspace.Resize(s.seen, classes), 0
	clear(s.seen)
	s.states, s.added, s.factors, s.asked, s.askedRow = s.states[:0], s.added[:0], s.factors[:0], s.asked[:0], 0
	if len(scorers) > 0 {
		if classes <= mostAsked {
			s.askedRow = classes
		}
		s.growScores()
		s.forgetAsked(s.root)
		for i, sc := range scorers {
			s.states[i] = sc.Start()
		}
		s.added[s.root], s.factors[s.root] = Score{}, 1
	}
}

// step goes through a frame whose probabilities have a factor with the logarithm log in common.
func (s *search) step(f *frame, log float64) {
	s.log += log
	switch {
	case s.impossible:
		return
	case !(log >= -math.MaxFloat64):
		s.impossible = true
		return
	case len(f.classes) == 0:
		s.onlyBlank(f.blank)
		return
	}
	s.collect(f)
	best := s.best()
	if len(s.rows) > 0 && len(best) == s.wanted && s.collectTies(f, s.all[best[s.wanted-1]].total) {
		best = s.best()
	}
	s.goOn(best)
}

// onlyBlank goes through a frame with no class but the blank.
func (s *search) onlyBlank(p float64) {
	if !s.rest {
		for i := range s.beam {
			e := &s.beam[i]
			e.blank, e.label = e.total, 0
		}
		s.rest = true
	}
	s.common *= p
	if s.common < 0x1p-500 {
		if s.common == 0 {
			s.giveUp()
			return
		}
		f, e := math.Frexp(s.common)
		s.common, s.exponent = f, s.exponent+e
	}
}

// giveUp ends the search: no text is possible.
func (s *search) giveUp() { s.impossible, s.log = true, math.Inf(-1) }

// collect makes rivals of what may be in the next beam: the prefixes as they stay, and new ones.
// Those come first that are likely to be better, as the best so far are kept sorted.
func (s *search) collect(f *frame) {
	s.begin()
	s.rows = s.rows[:0]
	floor := s.stay(f)
	switch {
	case len(s.scorers) > 0:
		s.offerStays()
		s.collectScored(f, floor)
	case f.classes[0].p > f.blank:
		s.collectNew(f, floor)
		s.offerStays()
	default:
		s.offerStays()
		s.collectNew(f, floor)
	}
}

// stay finds what becomes of the prefixes of the beam without another label, and links the children
// among them that have a label of the frame. It returns a total that a rival must have to be among the
// best.
func (s *search) stay(f *frame) (floor float64) {
	beam := s.beam
	s.stays = workspace.Resize(s.stays, len(beam))
	stays := s.stays[:len(beam)]
	floor = math.Inf(1)
	count := 0
	for i := range beam {
		e := &beam[i]
		label := 0.0
		if e.last != none && f.p[e.last] > 0 {
			y := f.p[e.last]
			label = float64(e.label * y)
			if parent := s.parentOf(e); parent != none {
				p := &beam[parent]
				e.sibling, p.child = p.child, int32(i)
				from := p.total
				if p.last == e.last {
					from = p.blank
				}
				if len(s.scorers) > 0 {
					y *= s.factors[e.node]
				}
				label += float64(from * y)
			}
		}
		st := &stays[i]
		st.blank, st.label = float64(e.total*f.blank), label
		if total := st.blank + label; total >= least {
			if total < floor {
				floor = total
			}
			count++
		}
	}
	if count < s.wanted {
		return least
	}
	return floor
}

// offerStays adds the prefixes of the beam as they stay.
func (s *search) offerStays() {
	for i := range s.stays {
		stay := &s.stays[i]
		if total := stay.blank + stay.label; total >= least && total >= s.floor() {
			s.offer(rival{total, int32(i), none})
		}
	}
}

// collectNew adds new prefixes that have the total floor or more.
func (s *search) collectNew(f *frame, floor float64) {
	beam, classes := s.beam, f.classes
	for i := range beam {
		e := &beam[i]
		if e.total*classes[0].p < floor {
			break // and so it is with those below
		}
		s.markChildren(e)
		for j := range classes {
			// In rows by total and columns by probability, what is above and to the left is at least as
			// good, but for the one label in each row that repeats the last one. So only so many labels
			// can be among the best.
			if j*(i+1) > s.wanted {
				s.rows = append(s.rows, rowRest{int32(i), int32(j)})
				break
			}
			c := &classes[j]
			v := e.total * c.p
			if v < floor {
				break
			}
			if c.label == e.last {
				if v = e.blank * c.p; v < floor {
					continue
				}
			}
			if s.seen[c.label] != s.row {
				s.offer(rival{v, int32(i), c.label})
				if v := s.floor(); v > floor {
					floor = v
				}
			}
		}
	}
}

// parentOf returns the place of an entry's parent in the beam, or none.
func (s *search) parentOf(e *entry) int32 {
	p := s.nodes[e.node].parent
	if p == none {
		return none
	}
	return s.nodes[p].place
}

// markChildren begins a row: it notes which labels of the entry are those of others in the beam.
func (s *search) markChildren(e *entry) {
	s.row++
	for c := e.child; c != none; c = s.beam[c].sibling {
		s.seen[s.beam[c].last] = s.row
	}
}

// collectTies adds what was not looked at and has the total floor, that of the last of the best:
// equal ones are to be ordered by their labels. It reports whether there is any.
func (s *search) collectTies(f *frame, floor float64) (found bool) {
	for _, r := range s.rows {
		e := &s.beam[r.entry]
		if e.total*f.classes[r.class].p < floor {
			continue
		}
		s.markChildren(e)
		for _, c := range f.classes[r.class:] {
			v := e.total * c.p
			if v < floor {
				break
			}
			if c.label == e.last {
				v = e.blank * c.p
			}
			if v >= floor && s.seen[c.label] != s.row {
				s.offer(rival{v, r.entry, c.label})
				found = true
			}
		}
	}
	return found
}

// collectScored adds new prefixes with what the scorers say of them.
func (s *search) collectScored(f *frame, floor float64) {
	for i := range s.beam {
		e := &s.beam[i]
		s.markChildren(e)
		for _, c := range f.classes {
			from := e.total
			if c.label == e.last {
				from = e.blank
			}
			if v := from * c.p; v > 0 && s.seen[c.label] != s.row {
				if v *= s.factor(e.node, c.label); v >= floor {
					s.offer(rival{v, int32(i), c.label})
					floor = max(floor, s.floor())
				}
			}
		}
	}
}

// factor returns the factor of a label behind a node.
func (s *search) factor(id, label int32) float64 {
	if s.askedRow == 0 {
		_, factor := s.score(id, label)
		return factor
	}
	f := &s.asked[int(id)*s.askedRow+int(label)]
	if *f == unasked {
		_, *f = s.score(id, label)
	}
	return *f
}

// forgetAsked makes a node one whose labels nobody has asked for.
func (s *search) forgetAsked(id int32) {
	row := s.asked[int(id)*s.askedRow:][:s.askedRow]
	for i := range row {
		row[i] = unasked
	}
}

// score asks the scorers for a label behind a node, and leaves their states in moved. The factor is e to
// the score, at least 0.
func (s *search) score(id, label int32) (total Score, factor float64) {
	n := len(s.scorers)
	s.moved = workspace.Resize(s.moved, n)
	for i, scorer := range s.scorers {
		state, score := scorer.Next(s.states[int(id)*n+i], int(label))
		s.moved[i], total = state, total.plus(score)
	}
	sum := total.sum()
	switch {
	case sum == 0:
		factor = 1
	case sum > mostScore:
		total, factor = Score{Bonus: mostScore}, fp.Exp64(mostScore)
	case sum == sum:
		factor = fp.Exp64(sum)
	}
	return total, factor
}

// compareRivals orders rivals by their labels.
func (s *search) compareRivals(a, b rival) int {
	if e, f := &s.beam[a.from], &s.beam[b.from]; a.label == b.label && e.total == f.total &&
		(a.label == none || s.nodes[e.node].depth == s.nodes[f.node].depth) {
		return int(a.from) - int(b.from) // as they were, where none begins with the other and differs behind it
	}
	return s.compare(extended{s.beam[a.from].node, a.label}, extended{s.beam[b.from].node, b.label})
}

// goOn makes the next beam of the best rivals.
func (s *search) goOn(best []int32) {
	if len(best) == 0 {
		s.giveUp()
		return
	}
	_, e := math.Frexp(s.all[best[0]].total)
	scale := 1.0
	if move := middle - e; move > slack || move < -slack {
		move = max(-1000, min(move, 1000))
		scale = math.Ldexp(1, move)
		s.exponent -= move
	}
	beam, stays, all := s.beam, s.stays, s.all
	s.next = workspace.Resize(s.next, len(best))
	after := s.next[:len(best)]
	for i, place := range best {
		r, next := &all[place], &after[i]
		next.total, next.child = r.total*scale, none
		if r.label == none {
			from, stay := &beam[r.from], &stays[r.from]
			next.node, next.last = from.node, from.last
			next.blank, next.label = stay.blank*scale, stay.label*scale
		} else {
			next.node, next.last = s.extend(beam[r.from].node, r), r.label
			next.blank, next.label = 0, next.total
		}
		s.nodes[next.node].place = int32(i)
	}
	for i := range beam {
		id := beam[i].node
		n := &s.nodes[id]
		if p := n.place; int(p) >= len(after) || after[p].node != id { // not in the beam any more
			n.place = none
			s.prune(id)
		}
	}
	s.beam, s.next = s.next, s.beam
	s.rest = false
	s.settle()
}

// extend returns the node of a rival with a label behind it.
func (s *search) extend(parent int32, r *rival) int32 {
	id, isNew := s.childOf(parent, r.label)
	if isNew && len(s.scorers) > 0 {
		s.growScores()
		s.forgetAsked(id)
		score, factor := s.score(parent, r.label)
		n := len(s.scorers)
		copy(s.states[int(id)*n:][:n], s.moved)
		s.added[id], s.factors[id] = s.added[parent].plus(score), factor
	}
	return id
}

// growScores makes room for the scores of all nodes.
func (s *search) growScores() {
	if n := len(s.nodes); n > len(s.factors) {
		grow := cap(s.nodes)
		s.states = append(s.states, make([]State, grow*len(s.scorers)-len(s.states))...)
		s.added = append(s.added, make([]Score, grow-len(s.added))...)
		s.factors = append(s.factors, make([]float64, grow-len(s.factors))...)
		s.asked = append(s.asked, make([]float64, grow*s.askedRow-len(s.asked))...)
	}
}

// logProb returns the logarithm of an entry's sum without what scorers have added.
func (s *search) logProb(e *entry) float64 {
	fraction, exponent := math.Frexp(e.total)
	log := fp.Log(fraction) + float64(float64(exponent+s.exponent)*math.Ln2) + fp.Log(s.common) + s.log
	if len(s.scorers) > 0 {
		log -= s.added[e.node].sum()
	}
	return log
}
