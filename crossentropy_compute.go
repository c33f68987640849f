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
	w.setTargets(first)
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

// loadScores brings the scores into an order, and the class probabilities likewise. Where
// lanes are neighbours, terms has a copy of the scores.
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
	t := &w.task
	if t.probs != nil {
		for i := range w.class[:w.lanes()] {
			w.class[i], w.hard[i] = noClass, 0
		}
	}
	keep := 1 - t.smoothing
	for g := range w.groups {
		lane, at := g*w.width, g*w.scores.group
		if t.probs == nil {
			targets := t.targets[first+g*w.groupStep:]
			for k := range w.perGroup {
				y := targets[k*w.laneStep]
				if y == t.ignore {
					w.class[lane], w.hard[lane] = leftOut, 0
				} else {
					w.class[lane], w.hard[lane] = int32(y), keep
					w.logit[lane] = w.scores.data[at+y*w.scores.class]
				}
				lane++
				at += w.scores.lane
			}
		}
		if g+1 < w.groups {
			for i := g*w.width + w.perGroup; i < (g+1)*w.width; i++ {
				w.class[i] = leftOut
			}
		}
	}
	if t.probs == nil && t.weight != nil {
		for i, y := range w.class[:w.lanes()] {
			if y >= 0 {
				w.hard[i] = float64(keep * float64(t.weight[y]))
			}
		}
	}
}

// takeSoft sets what soft targets add to losses and gradients.
func (w *crossEntropyItem[F]) takeSoft(lanes int) {
	for i := range lanes {
		w.hi[i], w.lo[i] = splitLogSumExp(w.max[i], w.ln[i])
		w.dot[i], w.mass[i] = w.ln[i]-w.ln[i], 0 // NaN stays even if all of the target is 0
	}
	w.addSoft()
}

// addLosses returns the sum of the losses. It sets loss, and factor and scale for the
// gradient.
func (w *crossEntropyItem[F]) addLosses(lanes int) (sum float64) {
	t := &w.task
	hasSoft, wantGrad, hasUpstream, g := t.hasSoft(), w.grad != nil, t.out.want == productVJP, t.factor
	for i, y := range w.class[:lanes] {
		if y == leftOut {
			w.loss[i], w.factor[i] = 0, 0
			continue
		}
		mass := w.hard[i]
		loss := float64(mass * (w.ln[i] + (float64(w.max[i]) - float64(w.logit[i]))))
		if mass == 0 {
			loss = float64(mass * w.ln[i]) // 0 even at −Inf, NaN if there is no softmax
		}
		if hasSoft {
			if y == noClass {
				loss = 0
			}
			loss += 0 - w.dot[i]
			mass += w.mass[i]
		}
		sum += loss
		w.loss[i] = F(loss)
		if wantGrad {
			if hasUpstream {
				g = float64(w.scale[i])
			}
			w.factor[i] = F(g * mass / (1 + w.sum[i]))
			w.scale[i] = F(g)
		}
	}
	return sum
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
	terms := w.terms
	for g := range w.groups {
		lane, at := g*w.width, g*terms.group
		for _, y := range w.class[lane:][:w.perGroup] {
			if y >= 0 {
				if e := &terms.data[at+int(y)*terms.class]; w.logit[lane] == w.max[lane] {
					*e = F(-w.sum[lane])
				} else {
					*e = F(float64(*e) - (1 + w.sum[lane]))
				}
			}
			lane++
			at += terms.lane
		}
	}
}

// subtractHard subtracts the class targets from the gradient. Where the target is the
// largest logit and there is no soft part, the gradient is −g·h·(1−p), and 1−p is known
// better than from p.
func (w *crossEntropyItem[F]) subtractHard(hasSoft bool) {
	out, g, hasUpstream := w.out, w.task.factor, w.task.out.want == productVJP
	for i := range w.groups {
		lane, at := i*w.width, i*out.group
		for _, y := range w.class[lane:][:w.perGroup] {
			if y >= 0 {
				if hasUpstream {
					g = float64(w.scale[lane])
				}
				gh := float64(g * w.hard[lane])
				if d := &out.data[at+int(y)*out.class]; w.logit[lane] == w.max[lane] && !hasSoft {
					*d = F(-gh * (w.sum[lane] / (1 + w.sum[lane])))
				} else {
					*d = F(float64(*d) - gh)
				}
			}
			lane++
			at += out.lane
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
