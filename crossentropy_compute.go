package trellis

import (
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// compute does an item, and returns the sum of its losses.
func (w *crossEntropyItem[F]) compute(item int) float64 {
	t := &w.task
	s := t.span(item)
	w.span = s
	first, offset := t.first(s), t.offset(s)
	w.x = t.x[offset:]
	if w.grad = nil; t.out.wantGrad() {
		w.grad = t.out.grad[offset:]
	}
	if w.probs = nil; t.probs != nil {
		w.probs = t.probs[offset:]
	}
	w.setLanes()
	lanes := w.lanes()
	all := fp.WholeVectors[F](lanes)
	w.setConstants(all)
	isPaired := t.order == pairs && all == w.perGroup && !t.hasSoft() && uint(t.ignore) >= 2
	if isPaired {
		w.takePairs(first)
	} else {
		w.loadScores()
		if w.setTargets(first); w.bad < 0 {
			w.makeTerms()
		}
	}
	if w.bad >= 0 {
		return 0
	}
	w.fetchNext()
	log1p(w.ln[:lanes], w.sum[:lanes])
	if t.hasSoft() {
		w.takeSoft(lanes)
	}
	if t.out.want == productVJP {
		spread(&w.laneMap, w.scale[:], t.out.upstream[first:])
	}
	w.leaveOut(lanes, all)
	sum := targetLosses(w.loss[:all], w.hard[:], w.ln[:], w.dot[:], w.max[:], w.logit[:])
	if t.out.wantLosses() {
		collect(&w.laneMap, t.out.losses[first:], w.loss[:])
	}
	switch {
	case w.grad == nil:
	case isPaired:
		w.writePairs(first)
	default:
		w.setFactors(all)
		w.writeGrad(all)
	}
	return sum
}

// fetchNext asks for the class probabilities of the next item, and for scores that makeTerms has not asked for, if items are
// parts of samples: the processor does not expect that another class comes next.
func (w *crossEntropyItem[F]) fetchNext() {
	t := &w.task
	if t.probs == nil || t.parts == 1 || w.next >= t.items() {
		return
	}
	s := t.span(w.next)
	at := t.offset(s)
	var lines [itemPositions / stridedPositions * 2]int32
	n := 0
	for i := 0; i < s.count; i += fp.Lanes[F]() {
		lines[n] = int32(i)
		n++
	}
	fetch(view.Of(t.probs[at:], s.count, t.inner), lines[:n], t.classes)
	if t.order == pairs {
		fetch(view.Of(t.x[at:], s.count, t.inner), lines[:n], t.classes)
	}
}

// takePairs does loadScores, setTargets and makeTerms in one for whole vectors of positions with two classes, without
// soft targets.
func (w *crossEntropyItem[F]) takePairs(first int) {
	t, w0, w1 := &w.task, 1.0, 1.0
	if t.weight != nil {
		w0, w1 = float64(t.weight[0]), float64(t.weight[1])
	}
	w.left = 0
	targets := t.targets[first:][:w.perGroup]
	run, other, second, third := w.pairPlaces()
	if pairTerms(w.max[:], w.sum[:], w.logit[:], w.hard[:], w.x, targets, w0, w1, run, other, second, third) == 0 {
		return
	}
	for i, y := range targets {
		w.class[i] = noClass
		switch {
		case y == t.ignore:
			w.class[i] = leftOut
			w.left++
		case uint(y) > 1:
			w.bad = first + i
			return
		}
	}
	w.ignored += w.left
}

// writePairs writes the gradient of what takePairs has done.
func (w *crossEntropyItem[F]) writePairs(first int) {
	t, scale := &w.task, w.task.factor
	if t.out.want == productVJP {
		scale = 1
		w.scaleHard(w.perGroup)
	}
	run, other, second, third := w.pairPlaces()
	pairGradients(w.grad, w.max[:], w.sum[:], w.logit[:], w.hard[:], t.targets[first:][:w.perGroup], scale, run, other, second, third)
	if w.left == 0 {
		return
	}
	for i, y := range w.class[:w.perGroup] {
		if y == leftOut { // and may have NaN
			at := i + i/t.inner*t.inner
			w.grad[at], w.grad[at+t.inner] = 0, 0
		}
	}
}

// pairPlaces returns where the scores of the item's positions are: see pairTerms.
func (w *crossEntropyItem[F]) pairPlaces() (run, other, second, third int) {
	inner, lanes, side := w.task.inner, fp.Lanes[F](), 16/fp.Size[F]()
	if w.span.samples == 1 {
		return w.span.count, inner, side, 2 * side // there is one run, or a part of it
	}
	place := func(i int) int { return i + i/inner*inner } // that of a position
	return max(inner, lanes), inner, place(side), place(2 * side)
}

// setLanes gives the positions of the item their lanes.
func (w *crossEntropyItem[F]) setLanes() {
	s, inner := w.span, w.task.inner
	switch w.task.order {
	case contiguous:
		w.laneMap = laneMap{1, s.samples, 0, 0, 1}
	case fewScores:
		w.laneMap = laneMap{inner, s.samples, fp.WholeVectors[F](s.samples), 1, inner}
	case fewPositions:
		w.laneMap = laneMap{1, inner, 0, 0, 1}
	case pairs:
		if lanes := s.samples * s.count; !w.task.hasSoft() || s.count < leastPairGroup {
			w.laneMap = laneMap{1, lanes, fp.WholeVectors[F](lanes), 0, 1}
			break
		}
		fallthrough
	case strided:
		w.laneMap = laneMap{s.samples, s.count, fp.WholeVectors[F](s.count), inner, 1}
	}
}

// loadScores brings the scores into an order, and the class probabilities likewise.
func (w *crossEntropyItem[F]) loadScores() {
	t := &w.task
	classes, inner := t.classes, t.inner
	switch t.order {
	case contiguous:
		w.scores = places[F]{w.x, 0, classes, 1}
		w.targets, w.out = w.scores, w.scores
		w.targets.data, w.out.data = w.probs, w.grad
		w.terms.data = nil
		if classes > shortRow && classes <= wholeRow && w.grad != nil && !(t.hasSoft() && &w.grad[0] == &w.x[0]) {
			w.terms = w.out // the scores are not read again
		}
	case fewPositions:
		w.loadColumns(inner, classes)
		w.placeColumns(0, w.scoreColumns.Stride, 1)
	case fewScores:
		w.loadColumns(classes*inner, w.span.samples)
		w.placeColumns(w.width, 1, inner*w.width)
	case pairs, strided:
		if w.copiesPairs() {
			w.loadColumns(inner, w.span.samples)
			w.placeColumns(0, 1, w.width)
			break
		}
		w.scores = places[F]{w.x, classes * inner, 1, inner}
		w.targets, w.out = w.scores, w.scores
		w.targets.data, w.out.data = w.probs, w.grad
		all := w.groups * w.width
		w.room = workspace.Resize(w.room, all*classes)
		w.terms = places[F]{w.room, w.width, 1, all}
	}
}

// copiesPairs reports whether positions with two classes are those of several samples in one group, or do not fill whole
// vectors, and are copied.
func (w *crossEntropyItem[F]) copiesPairs() bool {
	return w.task.order == pairs && (w.perGroup != w.span.count || w.perGroup < w.width)
}

// loadColumns loads the scores, and class probabilities, of so many rows of n, or samples of n pairs.
func (w *crossEntropyItem[F]) loadColumns(n, rows int) {
	w.loadMatrix(&w.scoreColumns, w.x, n, rows)
	w.scores.data = w.scoreColumns.data
	if w.targets.data = nil; w.probs != nil {
		w.loadMatrix(&w.targetColumns, w.probs, n, rows)
		w.targets.data = w.targetColumns.data
	}
	if w.terms.data = w.scores.data; w.task.hasSoft() { // which reads the scores again
		w.room = workspace.Resize(w.room, len(w.scores.data))
		w.terms.data = w.room
	}
	w.out.data = w.terms.data
}

// loadMatrix does loadColumns for one of them.
func (w *crossEntropyItem[F]) loadMatrix(to *columns[F], x []F, n, rows int) {
	if w.task.order == pairs {
		to.loadPairs(x, n, rows)
	} else {
		to.load(x, n, rows)
	}
}

// placeColumns sets the distances of what loadColumns has loaded.
func (w *crossEntropyItem[F]) placeColumns(group, lane, class int) {
	for _, p := range [...]*places[F]{&w.scores, &w.targets, &w.terms, &w.out} {
		p.group, p.lane, p.class = group, lane, class
	}
}

// setConstants sets, of so many lanes, what has the same value in most of them and stays so from item to item.
func (w *crossEntropyItem[F]) setConstants(all int) {
	if all <= w.constant {
		return
	}
	w.constant = all
	t, keep, scale, share := &w.task, 0.0, F(w.task.factor), w.task.share()
	if t.probs == nil {
		keep = 1 - t.smoothing
	}
	for i := range w.hard[:all] {
		w.hard[i] = keep
	}
	clear(w.dot[:all])
	clear(w.mass[:all])
	if !t.hasSoft() {
		return
	}
	if t.out.want == productVJP {
		scale = 0 // where there is no position
	}
	for i := range w.scale[:all] {
		w.scale[i], w.soft[i], w.mass[i] = scale, share, t.uniformMass
	}
	if t.probs != nil {
		for i := range w.class[:all] {
			w.class[i] = noClass
		}
		clear(w.logit[:all])
	}
}

// setTargets sets class, logit and hard of every lane, where setConstants does not. first is the number of
// the first position.
func (w *crossEntropyItem[F]) setTargets(first int) {
	w.left = 0
	if w.task.probs == nil {
		w.setClasses(first)
	}
	for g := range w.groups - 1 {
		for i := g*w.width + w.perGroup; i < (g+1)*w.width; i++ {
			w.class[i] = leftOut // what is there has no position
		}
	}
}

// setClasses does setTargets for class targets, up to a target that is no class: bad is its number
// then.
func (w *crossEntropyItem[F]) setClasses(first int) {
	t := &w.task
	if !w.narrowTargets(first) {
		for g, k := w.copyTargets(first, 0, 0); g < w.groups; g, k = w.copyTargets(first, g, k+1) {
			i, target := g*w.width+k, first+g*w.groupStep+k*w.laneStep
			if t.targets[target] != t.ignore {
				w.bad = target
				return
			}
			w.class[i], w.logit[i] = leftOut, 0
			w.left++
		}
	}
	w.ignored += w.left
	if t.weight == nil {
		return
	}
	keep := 1 - t.smoothing
	for g := range w.groups {
		class, hard := w.class[g*w.width:][:w.perGroup], w.hard[g*w.width:][:w.perGroup]
		for k, y := range class {
			if hard[k] = 0; y < 0 {
				continue
			}
			hard[k] = float64(keep * float64(t.weight[y]))
			if t.hasSoft() {
				w.soft[g*w.width+k] = t.uniform[y]
			}
		}
	}
}

// narrowTargets copies the class targets, and their scores unless maxStrided will, if they are lane by lane in columns. It
// reports whether they are, and all of them are classes that count.
func (w *crossEntropyItem[F]) narrowTargets(first int) bool {
	t, others := &w.task, 0
	inColumns := t.order == fewScores && t.inner == 1 && t.classes <= fewTargets || t.order == pairs
	if t.order != strided && !inColumns || uint(t.ignore) < uint(t.classes) {
		return false
	}
	for g := range w.groups {
		others |= narrowTargets(w.class[g*w.width:], t.targets[first+g*w.groupStep:][:w.perGroup], t.classes)
	}
	if others != 0 || !inColumns {
		return others == 0
	}
	for g := range w.groups {
		targetLogits(w.logit[g*w.width:], w.class[g*w.width:], w.scores.view(g, 0, w.width), t.classes)
	}
	return true
}

// copyTargets copies the class targets and their scores, from lane k of group g on, up to a target that
// is no class or left out. It returns that place, or the end of the groups. first is the number of the
// first position.
//
// A target is read once and compared before it is used, as in addRows.
func (w *crossEntropyItem[F]) copyTargets(first, g, k int) (endGroup, endLane int) {
	t, from := &w.task, &w.scores
	n, groups := w.perGroup, w.groups
	lastGroup, last := groups-1, n-1
	_ = t.targets[first+lastGroup*w.groupStep+last*w.laneStep]
	_ = from.data[lastGroup*from.group+last*from.lane+(t.classes-1)*from.class]
	_, _ = w.class[lastGroup*w.width+last], w.logit[lastGroup*w.width+last]
	const word, half = unsafe.Sizeof(0), unsafe.Sizeof(int32(0))
	size, classes, ignore := unsafe.Sizeof(F(0)), uint(t.classes), uint(t.ignore)
	nextTarget, nextScore, step := uintptr(w.laneStep)*word, uintptr(from.lane)*size, uintptr(from.class)*size
	targets, scores := unsafe.Pointer(unsafe.SliceData(t.targets)), unsafe.Pointer(unsafe.SliceData(from.data))
	for ; g < groups; g++ {
		target := uintptr(first+g*w.groupStep+k*w.laneStep) * word
		score := uintptr(g*from.group+k*from.lane) * size
		class, logit := unsafe.Pointer(&w.class[g*w.width]), unsafe.Pointer(&w.logit[g*w.width])
		for ignore >= classes && k+4 <= n {
			y0 := *(*uint)(unsafe.Add(targets, target))
			y1 := *(*uint)(unsafe.Add(targets, target+nextTarget))
			y2 := *(*uint)(unsafe.Add(targets, target+2*nextTarget))
			y3 := *(*uint)(unsafe.Add(targets, target+3*nextTarget))
			if y0 >= classes || y1 >= classes || y2 >= classes || y3 >= classes {
				break
			}
			c, l := (*[4]int32)(unsafe.Add(class, uintptr(k)*half)), (*[4]F)(unsafe.Add(logit, uintptr(k)*size))
			c[0], l[0] = int32(y0), *(*F)(unsafe.Add(scores, score+uintptr(y0)*step))
			c[1], l[1] = int32(y1), *(*F)(unsafe.Add(scores, score+nextScore+uintptr(y1)*step))
			c[2], l[2] = int32(y2), *(*F)(unsafe.Add(scores, score+2*nextScore+uintptr(y2)*step))
			c[3], l[3] = int32(y3), *(*F)(unsafe.Add(scores, score+3*nextScore+uintptr(y3)*step))
			target += 4 * nextTarget
			score += 4 * nextScore
			k += 4
		}
		for ; k < n; k++ {
			y := *(*uint)(unsafe.Add(targets, target))
			if y >= classes || y == ignore {
				return g, k
			}
			*(*int32)(unsafe.Add(class, uintptr(k)*half)) = int32(y)
			*(*F)(unsafe.Add(logit, uintptr(k)*size)) = *(*F)(unsafe.Add(scores, score+uintptr(y)*step))
			target += nextTarget
			score += nextScore
		}
		k = 0
	}
	return groups, 0
}

// takeSoft sets what soft targets add to losses and gradients.
func (w *crossEntropyItem[F]) takeSoft(lanes int) {
	splitLogSums(w.hi[:fp.WholeVectors[F](lanes)], w.lo[:], w.max[:], w.ln[:])
	if w.task.inRows() { // where addSoft adds to them
		clear(w.dot[:lanes])
		clear(w.mass[:lanes])
	}
	w.addSoft()
}

// leaveOut makes what has no loss add nothing to the sum: lanes that are left out, and those that
// fill the last vector.
func (w *crossEntropyItem[F]) leaveOut(lanes, all int) {
	for i := lanes; i < all; i++ {
		w.class[i] = leftOut
	}
	first := 0
	if w.left == 0 && (w.groups == 1 || w.perGroup == w.width) {
		first = lanes
	}
	for i, y := range w.class[first:all] {
		if y == leftOut {
			w.hard[first+i], w.ln[first+i], w.dot[first+i] = 0, 0, 0
			w.constant = 0
		}
	}
}

// setFactors sets factor and scale for the gradient. For a VJP it does scaleHard, too.
func (w *crossEntropyItem[F]) setFactors(all int) {
	t := &w.task
	if t.out.want != productVJP {
		gradientFactors(w.factor[:all], w.hard[:], w.mass[:], w.sum[:], t.factor)
		return
	}
	for i, scale := range w.scale[:all] {
		g := float64(scale)
		w.factor[i] = F(g * (w.hard[i] + w.mass[i]) / (1 + w.sum[i]))
	}
	w.scaleHard(all)
}

// scaleHard multiplies hard with the factor that each position has in a VJP.
func (w *crossEntropyItem[F]) scaleHard(all int) {
	for i, scale := range w.scale[:all] {
		w.hard[i] = float64(float64(scale) * w.hard[i])
	}
	w.constant = 0
}

// writeGrad writes g·((h+Σu)·p − u − h at the class target) for every position, where g is
// its factor in the gradient, h its hard weight and u its soft target.
func (w *crossEntropyItem[F]) writeGrad(all int) {
	t, scale := &w.task, w.task.factor
	if t.out.want == productVJP {
		scale = 1 // hard has it
	}
	switch {
	case t.probs != nil:
	case t.hasSoft():
		targetGradientsSoft(w.hit[:all], w.hard[:], w.max[:], w.logit[:], w.factor[:], w.soft[:], w.scale[:], scale)
	default:
		targetGradients(w.hit[:all], w.hard[:], w.sum[:], w.max[:], w.logit[:], w.factor[:], scale)
	}
	w.writeTerms()
	if t.probs == nil && t.inRows() {
		w.writeTargets()
	}
	if w.left > 0 {
		w.clearIgnored()
	}
	switch t.order {
	case fewScores:
		w.scoreColumns.store(w.grad, w.out.data, t.classes*t.inner, w.span.samples)
	case fewPositions:
		w.scoreColumns.store(w.grad, w.out.data, t.inner, t.classes)
	case pairs:
		if w.copiesPairs() {
			w.scoreColumns.storePairs(w.grad, w.out.data, t.inner, w.span.samples)
		}
	}
}

// writeTargets writes the gradient at the class targets of rows.
func (w *crossEntropyItem[F]) writeTargets() {
	for i, y := range w.class[:w.perGroup] {
		if y >= 0 {
			w.out.row(i, int(y), 1)[0] = w.hit[i]
		}
	}
}

// clearIgnored sets the gradient of the positions that are left out to 0.
func (w *crossEntropyItem[F]) clearIgnored() {
	out := w.out
	for g := range w.groups {
		for k, y := range w.class[g*w.width:][:w.perGroup] {
			if y != leftOut {
				continue
			}
			at := g*out.group + k*out.lane
			if out.class == 1 {
				clear(out.data[at:][:w.task.classes])
				continue
			}
			for c := range w.task.classes {
				out.data[at+c*out.class] = 0
			}
		}
	}
}
