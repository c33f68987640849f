package trellis

import "github.com/gotrellis/trellis/internal/workspace"

// crossEntropyItem is the losses and gradients of an item: those of some neighbouring
// positions. A loss has a hard part, at the class target, and a soft part, over all
// classes: class probabilities, or what smoothing takes from a class target. Arrays have
// an element for each position. Scores x and gradients grad begin at class 0 of the first
// position.
type crossEntropyItem[F Float] struct {
	hard   [itemPositions]float64 // weight of the class target, less what smoothing takes from it
	factor [itemPositions]F       // of exp(x−max), then of the soft targets, in the gradient
	soft   softTargets[F]
	softmaxes[F]
	hasSoft   bool    // there is a soft part
	hasZero   bool    // there may be a class target with a hard weight of 0
	ignored   int     // how many positions are left out
	upstream  []F     // factor of each loss in the gradient, or nil
	reduction float64 // factor of every loss in the gradient if upstream is nil
}

var crossEntropyItems workspace.Pools

// release gives the workspace back without what it borrowed.
func (w *crossEntropyItem[F]) release() {
	w.terms, w.soft.probs, w.soft.weight, w.upstream = nil, nil, nil, nil
	workspace.Give[F](&crossEntropyItems, w)
}

// setClasses sets class targets.
func (w *crossEntropyItem[F]) setClasses(targets []int, ignore int, weight []F, smoothing float64) {
	keep := 1 - smoothing
	ignored, hasZero := 0, keep == 0
	for j, y := range targets {
		w.class[j], w.hard[j] = int32(y), keep
		switch {
		case y == ignore:
			w.class[j], w.hard[j] = leftOut, 0
			ignored++
		case weight != nil:
			hard := float64(keep * float64(weight[y]))
			w.hard[j] = hard
			hasZero = hasZero || hard == 0
		}
	}
	w.ignored, w.hasZero = ignored, hasZero
	if w.hasSoft = smoothing > 0; w.hasSoft {
		w.setSoft(nil, weight, smoothing)
	}
}

// setProbs sets class probabilities, which have x's layout and leave nothing to the hard
// part.
func (w *crossEntropyItem[F]) setProbs(probs, weight []F, smoothing float64) {
	w.ignored = 0
	for j := range w.count {
		w.class[j], w.hard[j] = noClass, 0
	}
	w.hasSoft = true
	w.setSoft(probs, weight, smoothing)
}

// setSoft sets the targets of the soft part. probs and weight may be nil.
func (w *crossEntropyItem[F]) setSoft(probs, weight []F, smoothing float64) {
	w.soft.probs, w.soft.weight = probs, weight
	w.soft.smoothing, w.soft.share = smoothing, smoothing/float64(w.classes)
}

// lossFactor returns the factor g of the loss of a position in the gradient.
func (w *crossEntropyItem[F]) lossFactor(j int) float64 {
	if w.upstream != nil {
		return float64(w.upstream[j])
	}
	return w.reduction
}

// readScores computes everything that sumLosses needs from the scores. grad is nil if
// there is no gradient to write, and may be x.
func (w *crossEntropyItem[F]) readScores(grad, x []F) {
	room := grad
	if grad != nil && w.hasSoft && &grad[0] == &x[0] {
		room = nil // the scores are read again
	}
	w.axis.read(&w.softmaxes, room, x)
	log1p(w.ln[:w.count], w.sum[:w.count])
	if !w.hasSoft {
		return
	}
	for j := range w.count {
		w.hi[j], w.lo[j] = splitLogSumExp(w.max[j], w.ln[j])
		w.soft.dot[j], w.soft.mass[j] = w.ln[j]-w.ln[j], 0 // NaN stays even if all of the target is 0
	}
	w.axis.dot(&w.softmaxes, &w.soft, x)
}

// sumLosses returns the sum of the losses, and writes each to losses unless that is nil.
func (w *crossEntropyItem[F]) sumLosses(losses []F) (sum float64) {
	hasSoft, hasZero := w.hasSoft, w.hasZero
	for j, y := range w.class[:w.count] {
		var loss float64
		if y >= 0 {
			below := float64(w.max[j]) - float64(w.logit[j])
			loss = float64(w.hard[j] * (w.ln[j] + below))
			if hasZero && w.hard[j] == 0 {
				loss = float64(w.hard[j] * w.ln[j]) // 0 even at −Inf, NaN if there is no softmax
			}
		}
		if hasSoft && y != leftOut {
			loss += 0 - w.soft.dot[j]
		}
		sum += loss
		if losses != nil {
			losses[j] = F(loss)
		}
	}
	return sum
}

// writeGrad writes g·((h+Σu)·p − u − h at the class target) for every position, where g is
// its factor in the gradient, h its hard weight and u its soft target.
func (w *crossEntropyItem[F]) writeGrad(grad, x []F) {
	for j, mass := range w.hard[:w.count] {
		if w.hasSoft {
			mass += w.soft.mass[j]
		}
		w.factor[j] = F(w.lossFactor(j) * mass / (1 + w.sum[j]))
	}
	early := w.terms != nil && !w.hasSoft
	if early {
		w.subtractEarly()
	}
	w.axis.writeTerms(&w.softmaxes, grad, x, w.factor[:])
	if w.hasSoft {
		for j := range w.count {
			w.factor[j] = F(w.lossFactor(j))
		}
		w.axis.subtract(&w.softmaxes, &w.soft, grad, w.factor[:w.count])
	}
	if !early {
		w.subtractHard(grad)
	}
	if w.ignored > 0 {
		for j, y := range w.class[:w.count] {
			if y == leftOut {
				clearSpan(&w.classLayout, grad[j*w.positionStride:], 1)
			}
		}
	}
}

// subtractEarly subtracts the class targets from the terms, while these are in the first
// cache: p−1 is (exp(x−max)−(1+sum))/(1+sum). Where the target is the largest logit
// that is −sum, to its last digit.
func (w *crossEntropyItem[F]) subtractEarly() {
	for j, y := range w.class[:w.count] {
		if y < 0 {
			continue
		}
		e := &w.terms[int(y)*w.termClassStride+j*w.termPositionStride]
		if w.logit[j] == w.max[j] {
			*e = F(-w.sum[j])
		} else {
			*e = F(float64(*e) - (1 + w.sum[j]))
		}
	}
}

// subtractHard subtracts the class targets from the gradient. Where the target is the
// largest logit and there is no soft part, the gradient is −g·h·(1−p), and 1−p is known
// better than from p.
func (w *crossEntropyItem[F]) subtractHard(grad []F) {
	for j, y := range w.class[:w.count] {
		if y < 0 {
			continue
		}
		d := &grad[j*w.positionStride+int(y)*w.classStride]
		gh := float64(w.lossFactor(j) * w.hard[j])
		if w.logit[j] == w.max[j] && !w.hasSoft {
			*d = F(-gh * (w.sum[j] / (1 + w.sum[j])))
		} else {
			*d = F(float64(*d) - gh)
		}
	}
}
