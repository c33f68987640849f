package trellis

import (
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// The terms exp(x−max) of an item and what follows from them, over all classes. Where the
// classes of a position are neighbours, a kernel takes a row of them, or some rows, at a time.
// Where lanes are, it takes some classes of some lanes.

// makeTerms sets max and sum, and makes the terms where they are kept.
func (w *crossEntropyItem[F]) makeTerms() {
	if w.task.inRows() {
		w.makeTermsByRow()
	} else {
		w.makeTermsByLane()
	}
}

// setUniform sets uniform, for which there is room, unless soft targets are class probabilities as they are.
func (t *crossEntropyTask[F]) setUniform(room []F) {
	t.uniform, t.uniformMass = room, 0
	if t.probs != nil && t.isPlain() {
		return
	}
	room[0] = 1
	if t.probs == nil {
		room[0] = t.share()
	}
	for n := 1; n < len(room); n *= 2 {
		copy(room[n:], room[:n])
	}
	if t.weight != nil {
		for from := 0; from < len(room); from += block {
			b := room[from:min(from+block, len(room))]
			multiply(b, t.weight[from:][:len(b)])
		}
	}
	if t.probs == nil && !t.inRows() {
		mass := 0.0
		for _, u := range room {
			mass += float64(u)
		}
		t.uniformMass = mass
	}
}

// addSoft adds Σ u[c]·ln p[c] to dot and Σ u[c] to mass.
func (w *crossEntropyItem[F]) addSoft() {
	if w.task.inRows() {
		w.eachPart(func(i, c int, u []F) {
			dot, mass := dotLogSoftmax(u, w.scores.row(i, c, len(u)), w.hi[i], w.lo[i])
			w.dot[i] += float64(dot)
			w.mass[i] += float64(mass)
		})
	} else {
		w.addSoftByLane()
	}
}

// writeTerms writes to out the terms times factor, less the soft targets times scale. Where lanes are
// neighbours and there are no soft targets, it writes what hit has to the class targets.
func (w *crossEntropyItem[F]) writeTerms() {
	if w.task.inRows() {
		w.writeTermsByRow()
	} else {
		w.writeTermsByLane()
	}
}

// inRows reports whether the classes of a position are neighbours in scores.
func (t *crossEntropyTask[F]) inRows() bool { return t.order == contiguous || t.order == fewPositions }

// row returns what class c and those behind it have at a lane, n of them.
func (p *places[F]) row(lane, c, n int) []F { return p.data[lane*p.lane+c:][:n] }

// makeTermsByRow does makeTerms.
func (w *crossEntropyItem[F]) makeTermsByRow() {
	classes, isCopy := w.task.classes, w.task.order == fewPositions
	if !isCopy && classes <= shortRow {
		w.sumExpEach(w.x[:w.perGroup*classes], classes, w.perGroup)
		return
	}
	ahead := w.scores.lane * fp.Size[F]()
	for i, y := range w.class[:w.perGroup] {
		row := w.scores.row(i, 0, classes)
		switch {
		case y == leftOut:
		case w.terms.data != nil:
			w.max[i], w.sum[i] = expRow(w.terms.row(i, 0, classes), row, ahead)
		default:
			w.max[i], w.sum[i] = sumExpRow(row, ahead)
		}
	}
}

// writeTermsByRow does writeTerms.
func (w *crossEntropyItem[F]) writeTermsByRow() {
	classes := w.task.classes
	if w.terms.data == nil && classes <= shortRow {
		all := w.perGroup * classes
		writeRows(opSoftmax, w.out.data[:all], w.scores.data[:all], classes, w.max[:w.perGroup], w.factor[:w.perGroup])
	} else {
		for i, y := range w.class[:w.perGroup] {
			row := w.out.row(i, 0, classes)
			switch {
			case y == leftOut:
			case w.terms.data != nil: // they are there
				scaleRow(row, w.factor[i])
			default:
				writeRows(opSoftmax, row, w.scores.row(i, 0, classes), classes, w.max[i:i+1], w.factor[i:i+1])
			}
		}
	}
	if w.task.hasSoft() {
		w.eachPart(func(i, c int, u []F) { subtract(w.out.row(i, c, len(u)), u, w.scale[i]) })
	}
}

// eachPart calls f with the soft targets u of some classes, from class c on, for every lane i
// that is not left out.
func (w *crossEntropyItem[F]) eachPart(f func(i, c int, u []F)) {
	classes := w.task.classes
	for c := 0; c < classes; c += softBlock {
		n := min(softBlock, classes-c)
		for i, y := range w.class[:w.perGroup] {
			if y == leftOut {
				continue
			}
			if w.task.probs == nil {
				f(i, c, w.task.uniform[c:][:n])
			} else {
				f(i, c, w.softRow(i, c, n))
			}
		}
	}
}

// softRow returns the soft targets of n classes from c on at a lane, of class probabilities.
func (w *crossEntropyItem[F]) softRow(lane, c, n int) []F {
	t, p := &w.task, w.targets.row(lane, c, n)
	if t.isPlain() {
		return p
	}
	u := w.makeSoft(softBlock)[:n]
	mulAdd(u, p, F(1-t.smoothing), t.share())
	if t.weight != nil {
		multiply(u, t.weight[c:][:n])
	}
	return u
}

// makeSoft returns room for n soft targets.
func (w *crossEntropyItem[F]) makeSoft(n int) []F {
	w.u = workspace.Resize(w.u, n)
	return w.u
}

// makeTermsByLane does makeTerms.
func (w *crossEntropyItem[F]) makeTermsByLane() {
	t, all := &w.task, w.groups*w.width
	if !t.isSequential() {
		lanes := fp.Lanes[F]()
		scratch, n := w.scratch[:lanes*lanes], all
		if t.order == pairs {
			n = w.width // that of a group
		}
		for g, at := 0, 0; at < all; g, at = g+1, at+n {
			if scores := w.scores.view(g, 0, n); w.grad == nil {
				sumExpColumns(w.max[at:], w.sum[at:], scores, scratch, t.classes)
			} else {
				expColumns(w.max[at:], w.sum[at:], w.terms.view(g, 0, n), scores, scratch, t.classes)
			}
		}
		return
	}
	clear(w.sum[:all])
	clear(w.ties[:all])
	w.eachBlock(func(b laneBlock) {
		terms, scores := w.terms.view(b.group, b.class, fp.WholeVectors[F](b.lanes)), w.scores.view(b.group, b.class, b.lanes)
		maxStrided(w.max[b.lane:], w.logit[b.lane:], w.class[b.lane:], terms, scores, b.classes, b.class)
	})
	for c := 0; c < t.classes; c += stridedBlock {
		n, last := min(stridedBlock, t.classes-c), F(0)
		if c+n == t.classes {
			last = 1
		}
		terms := w.terms.view(0, c, all)
		expStrided(w.sum[:], w.ties[:], w.max[:], terms, n, last, w.nextScores(c, terms))
	}
}

// nextScores returns the scores of the next item, if items are parts of samples, from a class on, or else what it is
// given.
func (w *crossEntropyItem[F]) nextScores(class int, otherwise view.Rows[F]) view.Rows[F] {
	t := &w.task
	if t.parts == 1 || w.next >= t.items() {
		return otherwise
	}
	s := t.span(w.next)
	return view.Of(t.x[t.offset(s)+class*t.inner:], s.count, t.inner)
}

// laneBlock is some classes of the lanes of a group, or of all groups where their lanes are
// neighbours everywhere.
type laneBlock struct {
	group          int
	lane, lanes    int // the first, and how many
	class, classes int // likewise
}

// eachBlock calls f for all classes of all lanes.
func (w *crossEntropyItem[F]) eachBlock(f func(b laneBlock)) {
	groups, lanes := w.groups, w.perGroup
	if w.task.order == fewScores {
		groups, lanes = 1, w.groups*w.width
	}
	for c := 0; c < w.task.classes; c += stridedBlock {
		for g := range groups {
			f(laneBlock{g, g * w.width, lanes, c, min(stridedBlock, w.task.classes-c)})
		}
	}
}

// addSoftByLane does addSoft.
func (w *crossEntropyItem[F]) addSoftByLane() {
	t := &w.task
	w.eachBlock(func(b laneBlock) {
		scores := w.scores.view(b.group, b.class, b.lanes)
		if t.probs == nil {
			addLogSoftmaxUniform(w.dot[b.lane:], t.uniform[b.class:][:b.classes], scores, w.hi[b.lane:], w.lo[b.lane:], b.class)
		} else {
			addLogSoftmax(w.dot[b.lane:], w.mass[b.lane:], w.softOf(b), scores, w.hi[b.lane:], w.lo[b.lane:], b.classes, b.class)
		}
	})
}

// softOf returns the soft targets of a block, of class probabilities.
func (w *crossEntropyItem[F]) softOf(b laneBlock) view.Rows[F] {
	t, p := &w.task, w.targets.view(b.group, b.class, b.lanes)
	if t.isPlain() {
		return p
	}
	u := view.Of(w.makeSoft(b.classes*b.lanes), b.lanes, b.lanes)
	spreadTargets(u, p, t.uniform[b.class:], F(1-t.smoothing), t.share(), b.classes)
	return u
}

// writeTermsByLane does writeTerms.
func (w *crossEntropyItem[F]) writeTermsByLane() {
	t, stream, wait := &w.task, w.canStream(), 1
	if w.goesOn {
		wait = 0
	}
	w.eachBlock(func(b laneBlock) {
		out, terms := w.out.view(b.group, b.class, b.lanes), w.terms.view(b.group, b.class, b.lanes)
		factor, scale := w.factor[b.lane:], w.scale[b.lane:]
		switch class, hit := w.class[b.lane:], w.hit[b.lane:]; {
		case t.probs != nil:
			gradientStridedSoft(out, terms, w.softOf(b), b.classes, factor, scale)
		case t.hasSoft() && stream:
			gradientStridedUniformStream(out, terms, b.classes, factor, class, b.class, hit, t.uniform[b.class:], scale, wait)
		case t.hasSoft():
			gradientStridedUniform(out, terms, b.classes, factor, class, b.class, hit, t.uniform[b.class:], scale)
		case stream:
			gradientStridedStream(out, terms, b.classes, factor, class, b.class, hit, wait)
		default:
			gradientStrided(out, terms, b.classes, factor, class, b.class, hit)
		}
	})
}

// canStream reports whether to write the gradient past the caches: it is large, is not read
// again, and its rows, one for each class, begin where a vector does.
func (w *crossEntropyItem[F]) canStream() bool {
	t, size := &w.task, fp.Size[F]()
	isAligned := uintptr(unsafe.Pointer(&w.out.data[0]))%64 == 0 && w.out.class*size%64 == 0
	return t.order == strided && isAligned && len(t.x)*size >= streamBytes
}
