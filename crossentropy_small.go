package trellis

import "github.com/gotrellis/trellis/internal/fp"

// isSmall reports whether the call is so small that setting up vectors would take longer than
// all the rest.
func (t *crossEntropyTask[F]) isSmall() bool {
	if t.order != fewScores && t.order != pairs || t.positions == 0 {
		return false
	}
	return t.inner == 1 && t.samples <= smallLossRows || t.inner < leastSequential && len(t.x) <= smallScores
}

// computeSmall does a small call by the kernels of rows, with the results of crossEntropyItem. It
// returns the sum of the losses.
func (t *crossEntropyTask[F]) computeSmall() (sum float64) {
	if t.inner == 1 {
		return t.computeRows(t.out.grad, t.x, t.probs)
	}
	var scores, soft [smallScores]F
	x, probs := t.toRows(scores[:], t.x), t.probs
	if probs != nil {
		probs = t.toRows(soft[:], probs)
	}
	sum = t.computeRows(x, x, probs)
	if t.out.wantGrad() {
		for i, v := range x {
			t.out.grad[t.place(i)] = v
		}
	}
	return sum
}

// computeRows does computeSmall for positions that are rows. It writes the gradient to grad, which may be x.
func (t *crossEntropyTask[F]) computeRows(grad, x, probs []F) (sum float64) {
	var r smallRows[F]
	r.task = t
	if t.probs == nil && t.hasSoft() {
		r.setUniform()
	}
	for ; r.first < t.positions; r.first += simpleRows {
		from, to := r.first*t.classes, min(r.first+simpleRows, t.positions)*t.classes
		r.x = x[from:to]
		if probs != nil {
			r.probs = probs[from:to]
		}
		sum += r.losses()
		if t.out.wantGrad() {
			r.writeGrad(grad[from:to])
		}
	}
	return sum
}

// place returns where the element is that is number i if positions are rows.
func (t *crossEntropyTask[F]) place(i int) int {
	position, class := i/t.classes, i%t.classes
	return (position/t.inner*t.classes+class)*t.inner + position%t.inner
}

// toRows copies what has x's layout, to rows that are positions.
func (t *crossEntropyTask[F]) toRows(rows, x []F) []F {
	rows = rows[:len(x)]
	for i := range rows {
		rows[i] = x[t.place(i)]
	}
	return rows
}

// smallRows is up to simpleRows positions of a small call, and what crossEntropyItem knows of them.
type smallRows[F Float] struct {
	task  *crossEntropyTask[F]
	first int // the first position
	x     []F
	probs []F           // class probabilities, or nil
	soft  [fewClasses]F // room for soft targets

	top, logit [simpleRows]F
	sum, hard  [simpleRows]float64
	mass       [simpleRows]float64 // hard weight and soft target
}

// class returns the class target of a row, or leftOut or noClass.
func (r *smallRows[F]) class(row int) int {
	if r.task.probs != nil {
		return int(noClass)
	}
	if y := r.task.targets[r.first+row]; y != r.task.ignore {
		return y
	}
	return int(leftOut)
}

// softRow returns the soft targets of a row. Those of class targets are the same in all rows: setUniform
// has made them.
func (r *smallRows[F]) softRow(row int) []F {
	t, u := r.task, r.soft[:r.task.classes]
	if t.probs == nil {
		return u
	}
	p := r.probs[row*t.classes:][:t.classes]
	if t.isPlain() {
		return p
	}
	mulAdd(u, p, F(1-t.smoothing), t.share())
	if t.weight != nil {
		multiply(u, t.weight)
	}
	return u
}

// setUniform makes the soft targets of class targets.
func (r *smallRows[F]) setUniform() {
	u, share := r.soft[:r.task.classes], r.task.share()
	for c := range u {
		u[c] = share
	}
	if r.task.weight != nil {
		multiply(u, r.task.weight)
	}
}

// losses returns the sum of the losses, and writes each of them if that is asked for.
func (r *smallRows[F]) losses() (sum float64) {
	t, n := r.task, r.task.classes
	rows := len(r.x) / n
	sumFewRows(&r.top, &r.sum, r.x, rows, n)
	var losses [simpleRows]float64
	log1p(losses[:rows], r.sum[:rows])
	for i, ln := range losses[:rows] {
		loss, hard, x, y := 0.0, 0.0, r.x[i*n:][:n], r.class(i)
		if y >= 0 {
			hard = 1 - t.smoothing
			if t.weight != nil {
				hard = float64(hard * float64(t.weight[y]))
			}
			loss, r.logit[i] = ln, x[y]
			if hard != 0 { // else 0 even at −Inf, and NaN if there is no softmax
				loss += float64(r.top[i]) - float64(x[y])
			}
			loss = float64(loss * hard)
		}
		r.hard[i], r.mass[i] = hard, hard
		if t.hasSoft() && y != int(leftOut) {
			hi, lo := splitLogSumExp(r.top[i], ln)
			dot, mass := ln-ln, 0.0 // NaN stays even if all of the target is 0
			for c, u := range r.softRow(i) {
				if u != 0 {
					dot += float64(u * ((x[c] - hi) - lo))
				}
				mass += float64(u)
			}
			loss += 0 - dot
			r.mass[i] += mass
		}
		sum += loss
		losses[i] = loss
		if t.out.wantLosses() {
			t.out.losses[r.first+i] = F(loss)
		}
	}
	if len(t.x) > smallScores { // then crossEntropyItem adds them
		var s lanes[float64]
		s.add(losses[:rows])
		sum = s.fold()
	}
	return sum
}

// writeGrad writes the gradient, for which grad has room and which may be x: see crossEntropyItem.
func (r *smallRows[F]) writeGrad(grad []F) {
	t, n := r.task, r.task.classes
	rows := len(r.x) / n
	var factors [simpleRows]F
	for i := range factors[:rows] {
		factors[i] = F(t.out.factor(r.first+i, t.factor) * r.mass[i] / (1 + r.sum[i]))
	}
	writeSoftmax(grad, r.x, n, &r.top, &factors, &r.sum)
	for i := range rows {
		row, y, g := grad[i*n:][:n], r.class(i), t.out.factor(r.first+i, t.factor)
		if y == int(leftOut) {
			clear(row)
			continue
		}
		if t.hasSoft() {
			subtract(row, r.softRow(i), F(g))
		}
		if y >= 0 {
			gh := float64(g * r.hard[i])
			if r.logit[i] == r.top[i] && !t.hasSoft() {
				row[y] = F((0 - gh) * (r.sum[i] / (1 + r.sum[i])))
			} else {
				row[y] = F(float64(row[y]) - gh)
			}
		}
	}
}

// writeSoftmax writes exp(x−top)·factor of up to simpleRows rows of n scores, given what sumFewRows returned.
// dst may be x.
func writeSoftmax[F Float](dst, x []F, n int, top, factors *[simpleRows]F, sums *[simpleRows]float64) {
	rows := len(x) / n
	if n != 2 {
		softmaxRows(dst, x, n, top[:rows], factors[:rows])
		return
	}
	for i, factor := range factors[:rows] { // the smaller term is the sum
		terms := [2]F{F(sums[i]), F(sums[i])}
		for c, v := range x[2*i:][:2] {
			if v == top[i] {
				terms[c] = 1
			}
		}
		dst[2*i], dst[2*i+1] = terms[0]*factor, terms[1]*factor
	}
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
	made := rows == 1 && out.wantGrad() // then the row has one exp, not one for the sum and one for the gradient
	if made {
		m, sum := expBlock(out.grad, x.Data, fp.NegInf[F](), 0)
		top[0], sums[0] = m, float64(sum)
	} else {
		sumFewRows(&top, &sums, x.Data, rows, classes)
	}
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
		if made {
			scale(out.grad, factors[0])
		} else {
			writeSoftmax(out.grad, x.Data, classes, &top, &factors, &sums)
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
