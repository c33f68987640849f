package trellis

import (
	"github.com/gotrellis/trellis/internal/fp"
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
	w.loadScores()
	if t.order == strided || t.order == fewScores && t.inner >= leastSequential {
		w.copyScores()
	}
	if t.probs == nil {
		w.setTargets(first)
	} else {
		w.setNoTargets()
	}
	for g := range w.groups - 1 {
		for i := g*w.width + w.perGroup; i < (g+1)*w.width; i++ {
			w.class[i] = leftOut // what is there has no position
		}
	}
	w.makeTerms()
	lanes := w.lanes()
	log1p(w.ln[:lanes], w.sum[:lanes])
	if t.hasSoft() {
		w.takeSoft(lanes)
	}
	if t.out.want == productVJP {
		spread(&w.laneMap, w.scale[:], t.out.upstream[first:])
	}
	sum := w.addLosses(lanes)
	if w.grad != nil {
		w.setFactors(lanes)
	}
	if t.out.wantLosses() {
		collect(&w.laneMap, t.out.losses[first:], w.loss[:])
	}
	if w.grad != nil {
		w.writeGrad()
	}
	return sum
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
		w.scoreColumns.load(w.x, inner, classes)
		w.scores = places[F]{w.scoreColumns.data, 0, w.scoreColumns.Stride, 1}
		w.terms, w.targets = w.scores, w.scores
		if t.hasSoft() {
			w.room = workspace.Resize(w.room, len(w.scores.data))
			w.terms.data = w.room
		}
		if w.probs != nil {
			w.targetColumns.load(w.probs, inner, classes)
			w.targets.data = w.targetColumns.data
		}
		w.out = w.terms
	case fewScores:
		n, rows := classes*inner, w.span.samples
		w.scoreColumns.load(w.x, n, rows)
		w.scores = places[F]{w.scoreColumns.data, w.width, 1, inner * w.width}
		w.terms, w.targets = w.scores, w.scores
		if t.hasSoft() {
			w.room = workspace.Resize(w.room, len(w.scores.data))
			w.terms.data = w.room
		}
		if w.probs != nil {
			w.targetColumns.load(w.probs, n, rows)
			w.targets.data = w.targetColumns.data
		}
		w.out = w.terms
	case strided:
		w.scores = places[F]{w.x, classes * inner, 1, inner}
		w.targets, w.out = w.scores, w.scores
		w.targets.data, w.out.data = w.probs, w.grad
		all := w.groups * w.width
		w.room = workspace.Resize(w.room, all*classes)
		w.terms = places[F]{w.room, w.width, 1, all}
	}
}

// setTargets sets class, logit and hard of every lane. first is the number of the first
// position.
func (w *crossEntropyItem[F]) setTargets(first int) {
	t, from := &w.task, &w.scores
	if t.order == strided {
		from = &w.terms // a copy still, and in the cache
	}
	ignore, keep, scores, step := t.ignore, 1-t.smoothing, from.data, from.class
	for g := range w.groups {
		targets, at := t.targets[first+g*w.groupStep:], g*from.group
		class := w.class[g*w.width:][:w.perGroup]
		hard, logit := w.hard[g*w.width:][:len(class)], w.logit[g*w.width:][:len(class)]
		for k := range class {
			if y := targets[k*w.laneStep]; y == ignore {
				class[k], hard[k] = leftOut, 0
			} else {
				class[k], hard[k], logit[k] = int32(y), keep, scores[at+y*step]
			}
			at += from.lane
		}
	}
	if t.weight == nil {
		return
	}
	for g := range w.groups {
		class, hard := w.class[g*w.width:][:w.perGroup], w.hard[g*w.width:][:w.perGroup]
		for k, y := range class {
			if y >= 0 {
				hard[k] = float64(keep * float64(t.weight[y]))
			}
		}
	}
}

// setNoTargets is setTargets for class probabilities.
func (w *crossEntropyItem[F]) setNoTargets() {
	lanes := w.lanes()
	for i := range w.class[:lanes] {
		w.class[i] = noClass
	}
	clear(w.hard[:lanes])
	clear(w.logit[:lanes])
}

// takeSoft sets what soft targets add to losses and gradients.
func (w *crossEntropyItem[F]) takeSoft(lanes int) {
	for i := range lanes {
		w.hi[i], w.lo[i] = splitLogSumExp(w.max[i], w.ln[i])
		w.dot[i], w.mass[i] = w.ln[i]-w.ln[i], 0 // NaN stays even if all of the target is 0
	}
	w.addSoft()
}

// addLosses returns the sum of the losses, and sets loss. One sum would wait for each addition:
// so there are four, which take turns.
func (w *crossEntropyItem[F]) addLosses(lanes int) float64 {
	class, dot := w.class[:lanes], []float64(nil)
	if w.task.hasSoft() {
		dot = w.dot[:lanes]
	}
	hard, ln, top, logit, losses := w.hard[:len(class)], w.ln[:len(class)], w.max[:len(class)], w.logit[:len(class)], w.loss[:len(class)]
	var sums [4]float64
	for i, y := range class {
		var loss float64
		if y >= 0 {
			if loss = ln[i]; hard[i] != 0 { // else 0 even at −Inf, and NaN if there is no softmax
				loss += float64(top[i]) - float64(logit[i])
			}
			loss = float64(loss * hard[i])
		}
		if dot != nil && y != leftOut {
			loss += 0 - dot[i]
		}
		sums[i&3] += loss
		losses[i] = F(loss)
	}
	return (sums[0] + sums[1]) + (sums[2] + sums[3])
}

// setFactors sets factor and scale for the gradient.
func (w *crossEntropyItem[F]) setFactors(lanes int) {
	t, g := &w.task, w.task.factor
	hard, sum, factor := w.hard[:lanes], w.sum[:lanes], w.factor[:lanes]
	if !t.hasSoft() && t.out.want != productVJP {
		for i := range hard {
			factor[i] = F(g * hard[i] / (1 + sum[i]))
		}
		return
	}
	for i := range hard {
		if t.out.want == productVJP {
			g = float64(w.scale[i])
		}
		mass := hard[i]
		if t.hasSoft() {
			mass += w.mass[i]
		}
		factor[i], w.scale[i] = F(g*mass/(1+sum[i])), F(g)
	}
}

// writeGrad writes g·((h+Σu)·p − u − h at the class target) for every position, where g is
// its factor in the gradient, h its hard weight and u its soft target.
func (w *crossEntropyItem[F]) writeGrad() {
	t := &w.task
	hasSoft := t.hasSoft()
	early := !hasSoft && w.terms.data != nil && (t.order != fewScores || t.inner > 1)
	if early {
		w.subtractEarly()
	}
	w.writeTerms()
	if !early && t.probs == nil {
		w.subtractHard(hasSoft)
	}
	if t.ignored > 0 {
		w.clearIgnored()
	}
	switch t.order {
	case fewScores:
		w.scoreColumns.store(w.grad, w.out.data, t.classes*t.inner, w.span.samples)
	case fewPositions:
		w.scoreColumns.store(w.grad, w.out.data, t.inner, t.classes)
	}
}

// subtractEarly subtracts the class targets from the terms, while these are in the first
// cache: p−1 is (exp(x−max)−(1+sum))/(1+sum). Where the target is the largest logit
// that is −sum, to its last digit.
func (w *crossEntropyItem[F]) subtractEarly() {
	terms, step, laneStep := w.terms.data, w.terms.class, w.terms.lane
	for g := range w.groups {
		class, at := w.class[g*w.width:][:w.perGroup], g*w.terms.group
		top, logit, sum := w.max[g*w.width:][:len(class)], w.logit[g*w.width:][:len(class)], w.sum[g*w.width:][:len(class)]
		for k, y := range class {
			if y >= 0 {
				if e := &terms[at+int(y)*step]; logit[k] == top[k] {
					*e = F(-sum[k])
				} else {
					*e = F(float64(*e) - (1 + sum[k]))
				}
			}
			at += laneStep
		}
	}
}

// subtractHard subtracts the class targets from the gradient. Where the target is the
// largest logit and there is no soft part, the gradient is −g·h·(1−p), and 1−p is known
// better than from p.
func (w *crossEntropyItem[F]) subtractHard(hasSoft bool) {
	out, step, laneStep := w.out.data, w.out.class, w.out.lane
	g, hasUpstream := w.task.factor, w.task.out.want == productVJP
	for i := range w.groups {
		class, at := w.class[i*w.width:][:w.perGroup], i*w.out.group
		top, logit, sum := w.max[i*w.width:][:len(class)], w.logit[i*w.width:][:len(class)], w.sum[i*w.width:][:len(class)]
		hard, scale := w.hard[i*w.width:][:len(class)], w.scale[i*w.width:][:len(class)]
		for k, y := range class {
			if y >= 0 {
				if hasUpstream {
					g = float64(scale[k])
				}
				gh := float64(g * hard[k])
				if d := &out[at+int(y)*step]; logit[k] == top[k] && !hasSoft {
					*d = F(-gh * (sum[k] / (1 + sum[k])))
				} else {
					*d = F(float64(*d) - gh)
				}
			}
			at += laneStep
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
