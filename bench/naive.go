package main

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/gotrellis/trellis/bench/internal/side"
	"github.com/gotrellis/trellis/decode"
)

// prepareNaive is the side of plain loops, as one writes them without a library: of
// float32, with float64 in between, math.Exp and math.Log, in one goroutine.
func prepareNaive(j side.Job) (computation, error) {
	if j.Type != "float32" {
		return computation{}, errors.New("not a job for a naive loop")
	}
	switch j.Op {
	case opLogSumExp, opLogSoftmax, opSoftmax, opGather:
		return naiveRows(j)
	case opGreedy, opBeam:
		return naiveReading(j)
	case opAlignment:
		return prepareNaiveAlignment(j)
	}
	in, err := inputsOf[float32](j)
	if err != nil {
		return computation{}, err
	}
	var run func() float32
	if lossOf(j.Op) == opCTC {
		if j.Recording != "" && j.Shape[1] > 1 {
			return computation{}, errors.New("not a job for a naive loop") // sequences of different length
		}
		run = (&naiveCTC{in, j.Shape[0], j.Shape[1], j.Shape[2], j.Mask.Share > 0}).run
	} else {
		l := &naiveClasses{inputs: in, classes: j.Shape[1], inner: j.Inputs() / (j.Shape[0] * j.Shape[1]), smoothing: j.Smoothing}
		l.even, l.parts = make([]float64, l.classes), make([]float64, l.classes)
		run = l.crossEntropy
		if lossOf(j.Op) == opNLL {
			run = l.nll
		}
		if (j.Op == opNLL || j.Op == opNLL+andGrad) && l.inner == 1 && l.weight == nil {
			run = func() float32 { return naiveNLL(in.grad, in.Scores, in.Targets, l.classes) }
		}
	}
	call := func() error { in.loss = run(); return nil }
	return computation{func(int) func() error { return call }, func() []float64 { return in.outputs.values(j) }}, nil
}

// naiveRows is what is done with each row.
func naiveRows(j side.Job) (computation, error) {
	x, err := side.Scores[float32](j)
	if err != nil {
		return computation{}, err
	}
	n := j.Shape[len(j.Shape)-1]
	dst, sums, index := make([]float32, len(x)), make([]float32, len(x)/n), indexOf(j)
	do := map[string]func(){
		opLogSumExp: func() {
			for r := range sums {
				best, sum := naiveSum(nil, x[r*n:][:n], 1)
				sums[r] = float32(best + math.Log(sum))
			}
		},
		opLogSoftmax: func() {
			for at := 0; at < len(x); at += n {
				best, sum := naiveSum(nil, x[at:][:n], 1)
				whole := best + math.Log(sum)
				for i, v := range x[at:][:n] {
					dst[at+i] = float32(float64(v) - whole)
				}
			}
		},
		opSoftmax: func() {
			for at := 0; at < len(x); at += n {
				row := dst[at:][:n]
				_, sum := naiveSum(row, x[at:][:n], 1)
				for i := range row {
					row[i] = float32(float64(row[i]) / sum)
				}
			}
		},
		opGather: func() {
			for at := 0; at < len(x); at += n {
				for i, c := range index[at:][:n] {
					dst[at+i] = x[at+int(c)]
				}
			}
		},
	}[j.Op]
	call := func() error { do(); return nil }
	return computation{func(int) func() error { return call }, func() []float64 {
		if j.Op == opLogSumExp {
			return []float64{mean(sums)}
		}
		return []float64{product(j, dst)}
	}}, nil
}

// naiveSum returns the largest of numbers that are so far apart, and the sum of all
// exponentials beside it. It writes them, too, unless dst is nil.
func naiveSum(dst, x []float32, apart int) (best, sum float64) {
	most := x[0]
	for i := apart; i < len(x); i += apart {
		if x[i] > most {
			most = x[i]
		}
	}
	best = float64(most)
	for i := 0; i < len(x); i += apart {
		e := math.Exp(float64(x[i]) - best)
		sum += e
		if dst != nil {
			dst[i] = float32(e)
		}
	}
	return best, sum
}

// naiveNLL is the mean of rows without weights, and its gradient unless grad is nil.
func naiveNLL(grad, x []float32, y []int, classes int) float32 {
	sum, n := 0.0, float64(len(y))
	if grad == nil {
		for i, c := range y {
			sum -= float64(x[i*classes+c])
		}
		return float32(sum / n)
	}
	clear(grad)
	share := float32(-1 / n)
	for i, c := range y {
		sum -= float64(x[i*classes+c])
		grad[i*classes+c] = share
	}
	return float32(sum / n)
}

// naiveClasses is a class loss. The classes of a position are inner apart.
type naiveClasses struct {
	inputs[float32]
	classes, inner int
	smoothing      float64
	even, parts    []float64 // of each class in the target: by the smoothing, and altogether
}

// total is what the mean divides by.
func (l *naiveClasses) total() float64 {
	if l.weight == nil || l.probs != nil {
		return float64(l.count)
	}
	sum := 0.0
	for _, y := range l.Targets {
		sum += float64(l.weight[y])
	}
	return sum
}

// factor is that of a position's loss in what is differentiated.
func (l *naiveClasses) factor(p int, total float64) float64 {
	if l.upstream != nil {
		return float64(l.upstream[p])
	}
	return 1 / total
}

func (l *naiveClasses) weightOf(class int) float64 {
	if l.weight == nil {
		return 1
	}
	return float64(l.weight[class])
}

func (l *naiveClasses) nll() float32 {
	x, grad, losses, weights, inner := l.Scores, l.grad, l.losses, l.weight, l.inner
	clear(grad)
	total, sum := l.total(), 0.0
	factor := 1 / total
	at, i := 0, 0 // where class 0 is, and how many are before it in its block
	for p, y := range l.Targets {
		weight := 1.0
		if weights != nil {
			weight = float64(weights[y])
		}
		loss := -weight * float64(x[at+y*inner])
		sum += loss
		if losses != nil {
			losses[p] = float32(loss)
		}
		if grad != nil {
			if l.upstream != nil {
				factor = float64(l.upstream[p])
			}
			grad[at+y*inner] = float32(-weight * factor)
		}
		at++
		if i++; i == inner {
			at += (l.classes - 1) * inner
			i = 0
		}
	}
	return float32(sum / total)
}

func (l *naiveClasses) crossEntropy() float32 {
	total, sum := l.total(), 0.0
	for c := range l.even {
		l.even[c] = l.smoothing / float64(l.classes) * l.weightOf(c)
	}
	at, i := 0, 0
	for p := range l.count {
		x := l.Scores[at:][:(l.classes-1)*l.inner+1]
		var grad []float32
		if l.grad != nil {
			grad = l.grad[at:][:len(x)]
		}
		var loss float64
		if l.probs == nil && l.smoothing == 0 {
			loss = l.class(grad, x, l.Targets[p], l.factor(p, total))
		} else {
			loss = l.soft(grad, x, p, at, l.factor(p, total))
		}
		sum += loss
		if l.losses != nil {
			l.losses[p] = float32(loss)
		}
		at++
		if i++; i == l.inner {
			at += (l.classes - 1) * l.inner
			i = 0
		}
	}
	return float32(sum / total)
}

// class is the loss of a position whose target is a class. Its gradient is that of factor
// times the loss.
func (l *naiveClasses) class(grad, x []float32, y int, factor float64) float64 {
	best, sum := naiveSum(grad, x, l.inner)
	weight := l.weightOf(y)
	if grad != nil {
		share := weight * factor / sum
		for i := 0; i < len(grad); i += l.inner {
			grad[i] = float32(float64(grad[i]) * share)
		}
		grad[y*l.inner] -= float32(weight * factor)
	}
	return weight * (math.Log(sum) + best - float64(x[y*l.inner]))
}

// soft is the same where any class may be a part of the target.
func (l *naiveClasses) soft(grad, x []float32, p, at int, factor float64) (loss float64) {
	copy(l.parts, l.even)
	if l.probs == nil {
		l.parts[l.Targets[p]] += (1 - l.smoothing) * l.weightOf(l.Targets[p])
	} else {
		for c := range l.parts {
			l.parts[c] += (1 - l.smoothing) * l.weightOf(c) * float64(l.probs[at+c*l.inner])
		}
	}
	best, sum := naiveSum(grad, x, l.inner)
	all, whole := best+math.Log(sum), 0.0
	for c, part := range l.parts {
		whole += part
		loss += part * (all - float64(x[c*l.inner]))
	}
	if grad != nil {
		for c, part := range l.parts {
			grad[c*l.inner] = float32(factor * (float64(grad[c*l.inner])/sum*whole - part))
		}
	}
	return loss
}

// naiveCTC is the textbook's recursion, of logarithms.
type naiveCTC struct {
	inputs[float32]
	frames, sequences, classes int
	zeroInfinity               bool
}

func (l *naiveCTC) run() float32 {
	sum, width := 0.0, len(l.Targets)/l.sequences
	for n, length := range l.Lengths {
		share := 1 / float64(l.sequences*max(1, length))
		factor := share
		if l.upstream != nil {
			factor = float64(l.upstream[n])
		}
		loss := l.sequence(n, l.Targets[n*width:][:length], factor)
		sum += loss * share
		if l.losses != nil {
			l.losses[n] = float32(loss)
		}
	}
	return float32(sum)
}

// sequence returns a loss, and writes the gradient of factor times it.
func (l *naiveCTC) sequence(n int, target []int, factor float64) float64 {
	row := func(x []float32, t int) []float32 { return x[(t*l.sequences+n)*l.classes:][:l.classes] }
	states := make([]int, 2*len(target)+1) // their classes
	skips := make([]bool, len(states))     // whether they may follow the one before the last
	for s := range states {
		states[s] = l.Blank
		if s%2 == 1 {
			states[s] = target[s/2]
			skips[s] = s > 1 && states[s] != states[s-2]
		}
	}
	impossible := math.Inf(-1)

	scores, alpha := make([][]float64, l.frames), make([][]float64, l.frames)
	for t := range l.frames {
		x := row(l.Scores, t)
		best, sum := naiveSum(nil, x, 1)
		scores[t] = make([]float64, l.classes)
		whole := best + math.Log(sum)
		for c, v := range x {
			scores[t][c] = float64(v) - whole
		}
		alpha[t] = make([]float64, len(states))
		for s, c := range states {
			a, b, skip := impossible, impossible, impossible
			switch {
			case t == 0 && s < 2:
				a = 0
			case t > 0:
				a = alpha[t-1][s]
				if s > 0 {
					b = alpha[t-1][s-1]
				}
				if skips[s] {
					skip = alpha[t-1][s-2]
				}
			}
			alpha[t][s] = logSum(a, b, skip) + scores[t][c]
		}
	}
	end, last := alpha[l.frames-1], len(states)-1
	loss := -end[last]
	if last > 0 {
		loss = -logSum(end[last], end[last-1], impossible)
	}
	infinite := math.IsInf(loss, 1)
	if l.grad != nil {
		next := make([]float64, len(states)) // the way on, with the score of the state it begins in
		for t := l.frames - 1; t >= 0; t-- {
			grad := make([]float64, l.classes)
			for c := range grad {
				grad[c] = math.Exp(scores[t][c])
			}
			beta := make([]float64, len(states))
			for s, c := range states {
				a, b, skip := impossible, impossible, impossible
				if t == l.frames-1 {
					if s >= last-1 {
						a = 0
					}
				} else {
					a = next[s]
					if s < last {
						b = next[s+1]
					}
					if s+2 <= last && skips[s+2] {
						skip = next[s+2]
					}
				}
				beta[s] = logSum(a, b, skip)
				grad[c] -= math.Exp(alpha[t][s] + beta[s] + loss)
			}
			for s, c := range states {
				next[s] = beta[s] + scores[t][c]
			}
			for c, g := range grad {
				if infinite {
					g = 0
				}
				row(l.grad, t)[c] = float32(factor * g)
			}
		}
	}
	if infinite && l.zeroInfinity {
		return 0
	}
	return loss
}

// logSum is ln(eᵃ + eᵇ + eᶜ).
func logSum(a, b, c float64) float64 {
	best := max(a, b, c)
	if math.IsInf(best, -1) {
		return best
	}
	return best + math.Log(math.Exp(a-best)+math.Exp(b-best)+math.Exp(c-best))
}

// naiveReading is a greedy loop, or a prefix beam search with a map of texts.
func naiveReading(j side.Job) (computation, error) {
	x, blank, err := logProbabilities[float32](j)
	if err != nil {
		return computation{}, err
	}
	n := j.Shape[2]
	rows := make([][]float32, j.Shape[0])
	for i := range rows {
		rows[i] = x[i*n:][:n]
	}
	scorers, err := scorersOf(j)
	if err != nil {
		return computation{}, err
	}
	var labels []int
	var score float64
	call := func() error { labels, score = naiveGreedy(rows, blank); return nil }
	if j.Op == opBeam {
		least := math.Inf(-1)
		if j.Threshold > 0 {
			least = math.Log(j.Threshold)
		}
		call = func() error { labels, score = naiveBeam(rows, blank, j.Width, least, scorers); return nil }
	}
	return computation{func(int) func() error { return call }, func() []float64 { return textValues(labels, score) }}, nil
}

// naiveGreedy reads the largest class of each row of log-probabilities.
func naiveGreedy(rows [][]float32, blank int) (labels []int, score float64) {
	before := blank
	for _, row := range rows {
		best := 0
		for c, v := range row {
			if v > row[best] {
				best = c
			}
		}
		score += float64(row[best])
		if best != blank && best != before {
			labels = append(labels, best)
		}
		before = best
	}
	return labels, score
}

// naivePrefix is a text in the beam: logarithms of the probabilities of paths that end with a blank,
// and with the last label, and what scorers say of it.
type naivePrefix struct {
	labels       []int
	blank, label float64
	states       []decode.State
	score        float64
}

func (p *naivePrefix) total() float64 { return logAdd(p.blank, p.label) + p.score }

// ask adds what scorers say of the last label.
func (p *naivePrefix) ask(scorers []decode.Scorer) {
	before := p.states
	p.states = nil
	for i, s := range scorers {
		state, score := s.Next(before[i], p.labels[len(p.labels)-1])
		p.states, p.score = append(p.states, state), p.score+score.LM+score.Bonus
	}
}

// naiveBeam is the prefix beam search of Hannun and others, of classes with at least so large a
// log-probability.
func naiveBeam(rows [][]float32, blank, width int, least float64, scorers []decode.Scorer) (labels []int, score float64) {
	none := math.Inf(-1)
	start := &naivePrefix{nil, 0, none, nil, 0}
	for _, s := range scorers {
		start.states = append(start.states, s.Start())
	}
	better := func(p, q *naivePrefix) int { return cmp.Compare(q.total(), p.total()) }
	beam := []*naivePrefix{start}
	for _, row := range rows {
		next := map[string]*naivePrefix{}
		of := func(p *naivePrefix, labels []int) *naivePrefix {
			key := make([]byte, 0, 2*len(labels))
			for _, l := range labels {
				key = append(key, byte(l), byte(l>>8))
			}
			q, ok := next[string(key)]
			if !ok {
				q = &naivePrefix{labels, none, none, p.states, p.score}
				if len(labels) > len(p.labels) {
					q.ask(scorers)
				}
				next[string(key)] = q
			}
			return q
		}
		for _, p := range beam {
			total := logAdd(p.blank, p.label)
			for c, v := range row {
				y := float64(v)
				if c == blank {
					same := of(p, p.labels)
					same.blank = logAdd(same.blank, total+y)
					continue
				}
				if y < least {
					continue
				}
				from := total
				if n := len(p.labels); n > 0 && p.labels[n-1] == c {
					same := of(p, p.labels)
					same.label = logAdd(same.label, p.label+y)
					from = p.blank
				}
				longer := of(p, append(p.labels[:len(p.labels):len(p.labels)], c))
				longer.label = logAdd(longer.label, from+y)
			}
		}
		beam = beam[:0]
		for _, p := range next {
			beam = append(beam, p)
		}
		slices.SortFunc(beam, better)
		beam = beam[:min(width, len(beam))]
	}
	for _, p := range beam {
		for i, s := range scorers {
			end := s.End(p.states[i])
			p.score += end.LM + end.Bonus
		}
	}
	slices.SortFunc(beam, better)
	return beam[0].labels, beam[0].total()
}

// logAdd returns ln(eᵃ + eᵇ).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}
