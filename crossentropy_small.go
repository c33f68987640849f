package trellis

import (
	"github.com/gotrellis/trellis/internal/fp"
)

// isSmall reports whether the call is so small that setting up vectors would take longer than
// all the rest.
func (t *crossEntropyTask[F]) isSmall() bool {
	return 0 < t.positions && len(t.x) <= smallScores && t.order == fewScores && t.inner < leastSequential
}

// computeSmall does a small call, one position after the other in plain Go, with the results of
// crossEntropyItem. It returns the sum of the losses.
func (t *crossEntropyTask[F]) computeSmall() (sum float64) {
	s := smallSoftmax[F]{task: t, g: t.factor}
	for n := range t.samples {
		for j := range t.inner {
			position := n*t.inner + j
			s.first = n*t.inner*t.classes + j
			s.class = int(noClass)
			if t.probs == nil {
				if s.class = t.targets[position]; s.class == t.ignore {
					s.class = int(leftOut)
				}
			}
			if t.out.want == productVJP {
				s.g = float64(t.out.upstream[position])
			}
			loss := s.loss()
			sum += loss
			if t.out.wantLosses() {
				t.out.losses[position] = F(loss)
			}
			if t.out.wantGrad() {
				s.writeGrad()
			}
		}
	}
	return sum
}

// smallSoftmax is the softmax of one position, and what crossEntropyItem knows of it.
type smallSoftmax[F Float] struct {
	task  *crossEntropyTask[F]
	first int     // the element that has class 0
	class int     // the class target, or leftOut or noClass
	g     float64 // factor of the loss in the gradient

	scores     [smallScores]F
	terms      [smallScores]F // exp(score−max)
	max, logit F
	sum, hard  float64
	mass       float64 // hard weight and soft target
}

// loss makes the softmax of a position and returns its loss.
func (s *smallSoftmax[F]) loss() (loss float64) {
	t := s.task
	if s.class == int(leftOut) {
		return 0
	}
	for c := range t.classes {
		s.scores[c] = t.x[s.first+c*t.inner]
	}
	s.max, s.sum = smallTerms(s.terms[:t.classes], s.scores[:t.classes])
	s.hard = 0
	ln := fp.Log1p(s.sum)
	if s.class >= 0 {
		s.logit, s.hard = s.scores[s.class], 1-t.smoothing
		if t.weight != nil {
			s.hard = float64(s.hard * float64(t.weight[s.class]))
		}
		loss = ln
		if s.hard != 0 { // else 0 even at −Inf, and NaN if there is no softmax
			loss += float64(s.max) - float64(s.logit)
		}
		loss = float64(loss * s.hard)
	}
	s.mass = s.hard
	if t.hasSoft() {
		hi, lo := splitLogSumExp(s.max, ln)
		dot, mass := ln-ln, 0.0 // NaN stays even if all of the target is 0
		for c := range t.classes {
			u := t.softTarget(s.first, c)
			if u != 0 {
				dot += float64(u * ((s.scores[c] - hi) - lo))
			}
			mass += float64(u)
		}
		loss += 0 - dot
		s.mass += mass
	}
	return loss
}

// smallTerms writes terms[i] = exp(x[i]−top), top being the largest element of x, and returns top
// and the sum of the terms without its 1, as expBlockGeneric does: NaN if there is no softmax, and then
// terms is of no use.
func smallTerms[F Float](terms, x []F) (top F, sum float64) {
	if len(x) == 2 {
		return pairTerms(terms, x[0], x[1])
	}
	top = maxBlockGeneric(x)
	fp.Exps(terms, x, top)
	var s lanes[F]
	ties := s.addBelow(terms, x, top)
	return top, float64(s.fold() + (ties - 1))
}

// pairTerms is smallTerms for two elements: the larger one has the term 1, so the other one is the sum.
func pairTerms[F Float](terms []F, x, y F) (top F, sum float64) {
	if top = x; y > x {
		top = y
	}
	top += 0
	e := fp.Exp((x - top) + (y - top)) // one of the differences is 0, or NaN
	terms[0], terms[1] = e, e
	if x == top {
		terms[0] = 1
	}
	if y == top {
		terms[1] = 1
	}
	return top, float64(e)
}

// fewRows does what crossEntropyItem and computeSmall do for up to simpleRows rows of up to fewClasses
// scores, without weights and smoothing. It reports whether all targets are classes; else it has written
// nothing.
func fewRows[F Float](out *outputs[F], x *Tensor[F], targets []int, reduction Reduction) (loss F, ok bool) {
	rows, classes := len(targets), x.Shape[1]
	var logits [simpleRows]F // which the gradient may overwrite
	for i, y := range targets {
		if uint(y) >= uint(classes) {
			return 0, false
		}
		logits[i] = x.Data[i*classes+y]
	}
	factor := 1.0
	if reduction == Mean {
		factor = 1 / float64(rows)
	}
	var top, factors [simpleRows]F
	var sums, losses [simpleRows]float64
	sumFewRows(&top, &sums, x.Data, rows, classes)
	log1p(losses[:rows], sums[:rows])
	var sequential float64
	var s lanes[float64]
	for i, ln := range losses[:rows] {
		losses[i] = ln + (float64(top[i]) - float64(logits[i]))
		sequential += losses[i]
		factors[i] = F(out.factor(i, factor) / (1 + sums[i]))
		if out.wantLosses() {
			out.losses[i] = F(losses[i])
		}
	}
	sum := sequential
	if len(x.Data) > smallScores { // then crossEntropyItem adds them
		s.add(losses[:rows])
		sum = s.fold()
	}
	if out.wantGrad() {
		if classes == 2 { // the smaller term is the sum
			for i, factor := range factors[:rows] {
				terms := [2]F{F(sums[i]), F(sums[i])}
				for c, v := range x.Data[2*i:][:2] {
					if v == top[i] {
						terms[c] = 1
					}
				}
				out.grad[2*i], out.grad[2*i+1] = terms[0]*factor, terms[1]*factor
			}
		} else {
			softmaxRows(out.grad, x.Data, classes, top[:rows], factors[:rows])
		}
		for i, y := range targets {
			g := out.factor(i, factor)
			if d := &out.grad[i*classes+y]; logits[i] == top[i] {
				*d = F((0 - g) * (sums[i] / (1 + sums[i])))
			} else {
				*d = F(float64(*d) - g)
			}
		}
	}
	if reduction == Mean {
		sum /= float64(rows)
	}
	return F(sum), true
}

// softTarget returns the soft target of a class, at the position that has class 0 at the element
// first.
func (t *crossEntropyTask[F]) softTarget(first, class int) F {
	u := t.share()
	if t.probs != nil {
		p := t.probs[first+class*t.inner]
		if t.isPlain() {
			return p
		}
		sum := [1]F{u}
		fp.AddMultiples(sum[:], []F{p}, F(1-t.smoothing))
		u = sum[0]
	}
	if t.weight != nil {
		u *= t.weight[class]
	}
	return u
}

// writeGrad writes the gradient of the position: see crossEntropyItem.
func (s *smallSoftmax[F]) writeGrad() {
	t := s.task
	hasSoft, factor := t.hasSoft(), F(s.g*s.mass/(1+s.sum))
	for c, e := range s.terms[:t.classes] {
		d := e * factor
		switch {
		case s.class == int(leftOut):
			d = 0
		case hasSoft:
			sum := [1]F{d}
			fp.AddMultiples(sum[:], []F{F(s.g)}, -t.softTarget(s.first, c))
			d = sum[0]
		}
		if c == s.class {
			gh := float64(s.g * s.hard)
			if s.logit == s.max && !hasSoft {
				d = F((0 - gh) * (s.sum / (1 + s.sum)))
			} else {
				d = F(float64(d) - gh)
			}
		}
		t.out.grad[s.first+c*t.inner] = d
	}
}
