package conformance

import (
	"math"
	"slices"

	"github.com/gotrellis/trellis"
)

// refCTC returns the loss of one sequence of log-probabilities, or of any
// scores, and the occupancies γ: the probability, given the target, that a path
// emits a class in a frame. α and β are those of Graves et al. 2006, §4.1, in
// the log domain over the target with blanks in between, but β does not contain
// its own frame's emission. It is not meant for NaN.
func refCTC(scores [][]float64, target []int, blank int) (loss float64, occupancy [][]float64) {
	extended := []int{blank}
	for _, label := range target {
		extended = append(extended, label, blank)
	}
	alpha, end := refForward(scores, extended, blank)
	beta := refBackward(scores, extended, blank)
	for t, row := range scores {
		gamma := make([]float64, len(row))
		if !math.IsInf(end, -1) {
			for s, c := range extended {
				gamma[c] += math.Exp(alpha[t][s] + beta[t][s] - end)
			}
		}
		occupancy = append(occupancy, gamma)
	}
	return -end, occupancy
}

// maySkip reports whether state s may follow state s−2: the blank in between is
// needed only by equal labels.
func maySkip(extended []int, s, blank int) bool {
	return s >= 2 && extended[s] != blank && extended[s] != extended[s-2]
}

// refForward returns ln α of every frame and state, and the log-probability of
// the target.
func refForward(scores [][]float64, extended []int, blank int) (alpha [][]float64, end float64) {
	before := make([]float64, len(extended))
	for s := range before {
		before[s] = math.Inf(-1)
	}
	start := 0.0 // where a path is before the first frame; from there to state 0 or 1
	for _, row := range scores {
		now := make([]float64, len(extended))
		for s, c := range extended {
			from := append(make([]float64, 0, 3), before[s])
			if s <= 1 {
				from = append(from, start)
			}
			if s >= 1 {
				from = append(from, before[s-1])
			}
			if maySkip(extended, s, blank) {
				from = append(from, before[s-2])
			}
			now[s] = RefLogSumExp(from...) + row[c]
		}
		start = math.Inf(-1)
		alpha, before = append(alpha, now), now
	}
	last := len(extended) - 1
	if last == 0 {
		return alpha, RefLogSumExp(before[0], start)
	}
	return alpha, RefLogSumExp(before[last], before[last-1])
}

// refBackward returns ln β of every frame and state: the log-probability of the
// frames after it.
func refBackward(scores [][]float64, extended []int, blank int) [][]float64 {
	last := len(extended) - 1
	beta := make([][]float64, len(scores))
	for t := len(scores) - 1; t >= 0; t-- {
		beta[t] = make([]float64, len(extended))
		for s := range extended {
			if t == len(scores)-1 {
				if s < last-1 {
					beta[t][s] = math.Inf(-1)
				}
				continue
			}
			to := make([]float64, 0, 3)
			for next := s; next <= min(s+2, last); next++ {
				if next < s+2 || maySkip(extended, next, blank) {
					to = append(to, beta[t+1][next]+scores[t+1][extended[next]])
				}
			}
			beta[t][s] = RefLogSumExp(to...)
		}
	}
	return beta
}

// refCTCBrute is refCTC by enumeration of all C^T paths. miss is the
// probability of all paths that do not spell the target.
func refCTCBrute(scores [][]float64, target []int, blank int) (loss, miss float64, occupancy [][]float64) {
	var hit float64
	for _, row := range scores {
		occupancy = append(occupancy, make([]float64, len(row)))
	}
	forEachPath(scores, func(path []int, score float64) {
		p := math.Exp(score)
		if !slices.Equal(collapse(path, blank), target) {
			miss += p
			return
		}
		hit += p
		for t, c := range path {
			occupancy[t][c] += p
		}
	})
	for _, row := range occupancy {
		for c := range row {
			if hit > 0 {
				row[c] /= hit
			}
		}
	}
	return -math.Log(hit), miss, occupancy
}

// forEachPath calls f with every path through the frames, and its score. f must
// not keep the path.
func forEachPath(scores [][]float64, f func(path []int, score float64)) {
	path := make([]int, len(scores))
	var walk func(t int, score float64)
	walk = func(t int, score float64) {
		if t == len(scores) {
			f(path, score)
			return
		}
		for c, v := range scores[t] {
			path[t] = c
			walk(t+1, score+v)
		}
	}
	walk(0, 0)
}

// collapse merges repeated classes and drops blanks.
func collapse(path []int, blank int) []int {
	labels := []int{}
	for t, c := range path {
		if c != blank && (t == 0 || c != path[t-1]) {
			labels = append(labels, c)
		}
	}
	return labels
}

// logsOf returns the logarithms of probabilities, and NaN for what is none.
func logsOf(row []float64) []float64 {
	logs := make([]float64, len(row))
	for i, p := range row {
		v, e := math.Frexp(p)                                           // math.Log is wrong for subnormal numbers on amd64
		if logs[i] = math.Log(v) + float64(e)*math.Ln2; p > 1.0010001 { // 1.001 in float32 is a little more
			logs[i] = math.NaN()
		}
	}
	return logs
}

// scores returns the log-softmax of the frames of a sequence that count, the logarithms of
// their probabilities, or the frames as they are.
func (c CTCCase) scores(x []float64, sequence int) [][]float64 {
	scores := [][]float64{}
	for t := range c.InputLengths[sequence] {
		row := x[c.At(sequence, t):][:c.Classes]
		switch c.Scores {
		case trellis.Logits:
			row = RefLogSoftmax(row)
		case trellis.Probabilities:
			row = logsOf(row)
		}
		scores = append(scores, row)
	}
	return scores
}

// refCTCLoss is CTCLoss.
func refCTCLoss(x []float64, c CTCCase) reference {
	owned := make([][]int, c.Batch)
	for n := range owned {
		for t := range c.Frames {
			for k := range c.Classes {
				owned[n] = append(owned[n], c.At(n, t)+k)
			}
		}
	}
	r := newReference(x, owned)
	r.total, r.lost = float64(c.Batch), make([]float64, len(x))
	for n, target := range c.Targets {
		r.share[n] = 1 / (float64(c.Batch) * float64(max(len(target), 1)))
		r.setSequence(x, c, n)
	}
	return r
}

// setSequence sets the loss and the gradient of one sequence.
func (r *reference) setSequence(x []float64, c CTCCase, n int) {
	scores := c.scores(x, n)
	loss, occupancy := refCTC(scores, c.Targets[n], c.Blank)
	poisoned := isPoisoned(scores, c.Targets[n], c.Blank)
	for t, row := range scores {
		for k, v := range row {
			grad, p := -occupancy[t][k], math.Exp(v)
			if c.Scores == trellis.Probabilities {
				p = x[c.At(n, t)+k]
			}
			switch {
			case !c.ScoresGradient:
				grad += p
				r.sees(p)
			case c.Scores == trellis.Probabilities && grad != 0:
				if grad > -0x1p-190 { // occupancies below 2⁻²⁰⁰ are dropped
					r.lost[c.At(n, t)+k] = -grad / p
				}
				if grad /= p; math.IsInf(grad, 0) { // and may be a number with its factor
					r.lost[c.At(n, t)+k] = math.NaN()
				}
				r.sees(1 / p)
			}
			switch {
			case poisoned:
				grad = math.NaN()
			case math.IsInf(loss, 1):
				grad = 0
			}
			r.grad[c.At(n, t)+k] = grad
		}
	}
	switch {
	case poisoned:
		loss = math.NaN()
	case c.ZeroInfinity && math.IsInf(loss, 1):
		loss = 0
	}
	r.losses[n] = loss
}

// isPoisoned reports whether a score that the target reads is NaN or +Inf.
func isPoisoned(scores [][]float64, target []int, blank int) bool {
	for _, row := range scores {
		for _, c := range append([]int{blank}, target...) {
			if math.IsNaN(row[c]) || math.IsInf(row[c], 1) {
				return true
			}
		}
	}
	return false
}
