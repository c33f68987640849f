package trellis

import (
	"math"
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// classLayout says where the scores of a tensor of shape (C), (N,C) or (N,C,d1,…,dk)
// are, and divides its positions (n,d1,…,dk), which are numbered in row-major order, into
// items. Positions form runs of neighbours, and the score of class c at position j of run
// r is the element
//
//	r·run·classes + j·positionStride + c·classStride.
type classLayout struct {
	order          classOrder
	classes        int
	positions      int
	classStride    int // elements from a class of a position to the next one: d1·…·dk
	positionStride int // elements from a position of a run to the next one
	run            int // positions of a run: those of one n, or all if classes are contiguous
	perItem        int // positions of an item
	runItems       int // items of a run
}

// classOrder is how the scores of neighbouring positions lie in memory.
type classOrder uint8

const (
	contiguous classOrder = iota // the classes of a position are neighbours
	columns                      // positions are neighbours, but fewer than leastStrided
	strided                      // many positions are neighbours
)

// newClassLayout returns the layout of scores of a shape that has axes, none negative, or
// an error if it has no positions with classes.
func newClassLayout(method string, shape []int) (l classLayout, err error) {
	axis := min(1, len(shape)-1)
	batch, _ := size(shape[:axis])
	inner, ok := size(shape[axis+1:])
	if batch == 0 { // no positions, whatever the other axes
		inner, ok = 0, true
	}
	if !ok || inner > 0 && batch > math.MaxInt/inner {
		return l, overflowError(method, "x", shape)
	}
	l.classes, l.positions = shape[axis], batch*inner
	if l.classes == 0 && l.positions > 0 {
		return l, &ArgumentError{method, "x.Shape", []int{axis}, 0, "no classes"}
	}
	if l.classes > math.MaxInt32 {
		return l, &ArgumentError{method, "x.Shape", []int{axis}, l.classes, "more than 2³¹−1 classes"}
	}
	l.divide(inner)
	return l, nil
}

// divide sets the order, the strides, and the items: some rows where the classes are
// contiguous, else some neighbouring positions of one n. It depends on the shape alone,
// and with it the order in which losses are added. inner is d1·…·dk.
func (l *classLayout) divide(inner int) {
	l.classStride = inner
	if inner == 1 {
		l.order, l.positionStride, l.run = contiguous, l.classes, l.positions
		l.perItem = min(itemPositions, max(1, itemElements/max(l.classes, 1)))
	} else {
		l.order, l.positionStride, l.run = strided, 1, inner
		if inner < leastStrided {
			l.order = columns
		}
		l.perItem = min(itemPositions, max(stridedPositions, stridedElements/max(l.classes, 1)/stridedPositions*stridedPositions))
	}
	l.runItems = (l.run + l.perItem - 1) / l.perItem
}

// items returns the number of items.
func (l *classLayout) items() int {
	if l.positions == 0 {
		return 0
	}
	return l.positions / l.run * l.runItems
}

// positionSpan is some neighbouring positions: those of an item.
type positionSpan struct {
	first, count int // which positions
	offset       int // where the score of class 0 at the first one is
}

// span returns the positions of an item.
func (l *classLayout) span(item int) positionSpan {
	run, j := item/l.runItems, item%l.runItems*l.perItem
	first := run * l.run
	return positionSpan{first + j, min(l.perItem, l.run-j), first*l.classes + j*l.positionStride}
}

// clearSpan sets all classes of some neighbouring positions to 0. dst begins at class 0
// of the first one.
func clearSpan[F Float](l *classLayout, dst []F, count int) {
	if l.order == contiguous {
		clear(dst[:count*l.classes])
		return
	}
	for c := range l.classes {
		clear(dst[c*l.classStride:][:count])
	}
}

// softmaxes is the softmax over the classes at the positions of an item. It is found in
// one reading of the scores, and what is asked for is computed from that. Arrays have an
// element for each position, and come first, where their vectors do not cross lines of
// the cache. Where a position has no softmax, because a score is NaN or +Inf or all are
// −Inf, its sum and what follows from that is NaN.
type softmaxes[F Float] struct {
	rowSums[F]                        // the largest score, and Σ exp(x−max) without its 1
	ties       [itemPositions]F       // how often the largest score is there; only if strided
	ln         [itemPositions]float64 // ln(1+sum), where max + ln is the log-sum-exp
	hi, lo     [itemPositions]F       // the log-sum-exp in two parts: see splitLogSumExp
	class      [itemPositions]int32   // the target of the position, or leftOut or noClass
	logit      [itemPositions]F       // the score of that class

	classLayout
	axis  classAxis[F]
	count int // positions of the item

	// terms is exp(x−max) of class c at position j, at c·termClassStride + j·termPositionStride, or
	// nil if it was not kept.
	terms                               []F
	termClassStride, termPositionStride int
	room                                []F // memory for terms that are not kept in the gradient
}

// Values of softmaxes.class that are no class.
const (
	leftOut int32 = -1 // the position has loss and gradient 0
	noClass int32 = -2 // the target is class probabilities alone
)

// begin sets the layout, and how many positions there are.
func (s *softmaxes[F]) begin(l *classLayout, count int) {
	s.classLayout, s.count = *l, count
	switch l.order {
	case contiguous:
		s.axis = contiguousAxis[F]{}
	case columns:
		s.axis = columnsAxis[F]{}
	case strided:
		s.axis = stridedAxis[F]{}
	}
}

// classAxis is what differs between the three orders of classes. Scores x and gradients
// dst begin at class 0 of the first position of an item.
type classAxis[F Float] interface {
	// read sets logit, max and sum, and keeps the terms where that helps. It may keep
	// them in dst, which may be x, unless dst is nil.
	read(s *softmaxes[F], dst, x []F)
	// writeTerms writes exp(x−max)·factor[j] to dst, which may be x. Positions that are
	// left out have any value afterwards.
	writeTerms(s *softmaxes[F], dst, x, factor []F)
	// dot adds Σ u[c]·ln p[c] to soft.dot and Σ u[c] to soft.mass.
	dot(s *softmaxes[F], soft *softTargets[F], x []F)
	// subtract subtracts u[c]·factor[j] from dst.
	subtract(s *softmaxes[F], soft *softTargets[F], dst, factor []F)
}

// softTargets is the part u of the targets of an item that is spread over all classes,
//
//	u[c] = Weight[c] · ((1−ε)·probability[c] + ε/C),
//
// where ε is the label smoothing. Class targets leave only ε/C to it, and it is the same
// for all positions. It is made for some neighbours in memory at a time.
type softTargets[F Float] struct {
	u    [softBlock]F
	dot  [itemPositions]float64 // Σ u[c]·ln p[c] of every position
	mass [itemPositions]float64 // Σ u[c]

	probs     []F     // class probabilities, as classAxis has x; nil for class targets
	weight    []F     // of the classes, or nil
	smoothing float64 // ε
	share     float64 // ε/C
}

// ofClasses returns u for n classes from class c on at one position. Their probabilities
// begin at the element at.
func (soft *softTargets[F]) ofClasses(c, at, n int) []F {
	if soft.probs != nil && soft.weight == nil && soft.smoothing == 0 {
		return soft.probs[at:][:n] // as they are
	}
	u := soft.u[:n]
	soft.spread(u, at)
	if soft.weight != nil {
		multiply(u, soft.weight[c:][:n])
	}
	return u
}

// atPositions returns u for class c at n positions. Their probabilities begin at the
// element at.
func (soft *softTargets[F]) atPositions(c, at, n int) []F {
	u := soft.u[:n]
	soft.spread(u, at)
	if soft.weight != nil {
		scale(u, soft.weight[c])
	}
	return u
}

// spread writes (1−ε)·probability + ε/C to u, for the probabilities from the element at on.
func (soft *softTargets[F]) spread(u []F, at int) {
	share := F(soft.share)
	if soft.probs != nil {
		mulAdd(u, soft.probs[at:][:len(u)], F(1-soft.smoothing), share)
		return
	}
	for i := range u {
		u[i] = share
	}
}

// contiguousAxis has the classes of a position side by side.
type contiguousAxis[F Float] struct{}

func (contiguousAxis[F]) read(s *softmaxes[F], dst, x []F) {
	for j, y := range s.class[:s.count] {
		if y >= 0 {
			s.logit[j] = x[j*s.classes+int(y)]
		}
	}
	s.terms = nil
	if s.classes <= shortRow {
		s.sumExpEach(x[:s.count*s.classes], s.classes, s.count)
		return
	}
	if dst != nil && s.classes <= wholeRow {
		s.terms, s.termClassStride, s.termPositionStride = dst, 1, s.classes
	}
	for j, y := range s.class[:s.count] {
		row := x[j*s.classes:][:s.classes]
		switch {
		case y == leftOut:
		case s.terms != nil:
			s.max[j], s.sum[j] = expRow(s.terms[j*s.classes:][:s.classes], row)
		default:
			s.max[j], s.sum[j] = sumExpRow(row)
		}
	}
}

func (contiguousAxis[F]) writeTerms(s *softmaxes[F], dst, x, factor []F) {
	if s.classes <= shortRow {
		all := s.count * s.classes
		writeRows(opSoftmax, dst[:all], x[:all], s.classes, s.max[:s.count], factor[:s.count])
		return
	}
	for j, y := range s.class[:s.count] {
		row := dst[j*s.classes:][:s.classes]
		switch {
		case y == leftOut:
		case s.terms != nil: // they are in dst
			scaleRow(row, factor[j])
		default:
			writeRows(opSoftmax, row, x[j*s.classes:][:s.classes], s.classes, s.max[j:j+1], factor[j:j+1])
		}
	}
}

// eachPart calls f with u for some classes of every position that is not left out, where
// at is the first of these classes.
func (contiguousAxis[F]) eachPart(s *softmaxes[F], soft *softTargets[F], f func(j, at int, u []F)) {
	for c := 0; c < s.classes; c += softBlock {
		n := min(softBlock, s.classes-c)
		var u []F
		for j, y := range s.class[:s.count] {
			at := j*s.classes + c
			if u == nil || soft.probs != nil {
				u = soft.ofClasses(c, at, n)
			}
			if y != leftOut {
				f(j, at, u)
			}
		}
	}
}

func (a contiguousAxis[F]) dot(s *softmaxes[F], soft *softTargets[F], x []F) {
	a.eachPart(s, soft, func(j, at int, u []F) {
		dot, mass := dotLogSoftmax(u, x[at:][:len(u)], s.hi[j], s.lo[j])
		soft.dot[j] += float64(dot)
		soft.mass[j] += float64(mass)
	})
}

func (a contiguousAxis[F]) subtract(s *softmaxes[F], soft *softTargets[F], dst, factor []F) {
	a.eachPart(s, soft, func(j, at int, u []F) { subtract(dst[at:][:len(u)], u, factor[j]) })
}

// stridedAxis has a class of many positions side by side: lanes go across positions. It
// works on a copy of the scores whose rows, one for each class, are whole vectors.
type stridedAxis[F Float] struct{}

func (stridedAxis[F]) read(s *softmaxes[F], _, x []F) {
	width := fp.WholeVectors[F](s.count)
	s.room = workspace.Resize(s.room, width*s.classes)
	s.terms, s.termClassStride, s.termPositionStride = s.room, width, 1
	clear(s.sum[:width])
	clear(s.ties[:width])
	top := s.max[:width]
	for j := range top {
		top[j] = fp.NegInf[F]()
	}
	for c := 0; c < s.classes; c += stridedBlock {
		maxStrided(s.max[:], view.Of(s.terms[c*width:], width, width),
			view.Of(x[c*s.classStride:], s.count, s.classStride), min(stridedBlock, s.classes-c))
	}
	for j, y := range s.class[:s.count] {
		if y >= 0 {
			s.logit[j] = s.terms[int(y)*width+j]
		}
	}
	for c := 0; c < s.classes; c += stridedBlock {
		n, last := min(stridedBlock, s.classes-c), F(0)
		if c+n == s.classes {
			last = 1
		}
		expStrided(s.sum[:], s.ties[:], s.max[:], view.Of(s.terms[c*width:], width, width), n, last)
	}
}

func (stridedAxis[F]) writeTerms(s *softmaxes[F], dst, _, factor []F) {
	width, stream := s.termClassStride, s.canStream(dst)
	for c := 0; c < s.classes; c += stridedBlock {
		n, terms, grad := min(stridedBlock, s.classes-c), s.terms[c*width:], dst[c*s.classStride:]
		if stream {
			scaleStridedStream(view.Of(grad, s.count, s.classStride),
				view.Of(terms, width, width), n, factor)
		} else {
			scaleStrided(view.Of(grad, s.count, s.classStride),
				view.Of(terms, width, width), n, factor)
		}
	}
}

// canStream reports whether to write the gradient past the caches: it is large, and
// its rows, one for each class, begin where a vector does.
func (s *softmaxes[F]) canStream(dst []F) bool {
	size := fp.Size[F]()
	isAligned := uintptr(unsafe.Pointer(&dst[0]))%64 == 0 && s.classStride*size%64 == 0
	return isAligned && s.positions*s.classes*size >= streamBytes
}

func (stridedAxis[F]) dot(s *softmaxes[F], soft *softTargets[F], x []F) {
	for c := range s.classes {
		at := c * s.classStride
		u := soft.atPositions(c, at, s.count)
		addLogSoftmax(soft.dot[:], soft.mass[:], view.Of(u, s.count, s.count), view.Of(x[at:], s.count, s.count), s.hi[:], s.lo[:], 1)
	}
}

func (stridedAxis[F]) subtract(s *softmaxes[F], soft *softTargets[F], dst, factor []F) {
	for c := range s.classes {
		at := c * s.classStride
		subtractTargets(view.Of(dst[at:], s.count, s.count), view.Of(soft.atPositions(c, at, s.count), s.count, s.count), factor, 1)
	}
}

// columnsAxis has a class of few positions side by side. It works on a copy in which the
// classes of a position are contiguous, but reads and writes soft targets as stridedAxis does.
type columnsAxis[F Float] struct{ stridedAxis[F] }

func (columnsAxis[F]) read(s *softmaxes[F], _, x []F) {
	s.room = workspace.Resize(s.room, s.count*s.classes)
	s.terms, s.termClassStride, s.termPositionStride = s.room, 1, s.classes
	for c := range s.classes {
		for j, v := range x[c*s.classStride:][:s.count] {
			s.terms[j*s.classes+c] = v
		}
	}
	for j, y := range s.class[:s.count] {
		row := s.terms[j*s.classes:][:s.classes]
		if y >= 0 {
			s.logit[j] = row[y]
		}
		s.max[j], s.sum[j] = expRow(row, row)
	}
}

func (columnsAxis[F]) writeTerms(s *softmaxes[F], dst, _, factor []F) {
	for c := range s.classes {
		row := dst[c*s.classStride:][:s.count]
		for j := range row {
			row[j] = s.terms[j*s.classes+c] * factor[j]
		}
	}
}
