package trellis_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/stretchr/testify/require"
)

// The slow, obvious form of everything that trellis computes, in float64 with
// math.Exp and math.Log. It is checked here by means that share nothing with
// it, enumeration of all paths and finite differences; all other tests trust it.

// reference is what a loss and its gradient should be. An element of x belongs
// to one sample, a position or a sequence, and only that one's loss depends on it.
type reference struct {
	losses []float64 // of each sample
	grad   []float64 // in x's layout: the derivative of the loss of its own sample
	owner  []int     // in x's layout: the sample
	share  []float64 // the factor of each loss in the mean
	total  float64   // what the mean divides by

	// What rounding errors are in proportion to, where results cancel:
	mass float64 // the largest sum of one sample's target
	term float64 // the largest summand in grad, and at least 1
}

// reduced returns the reduced loss.
func (r reference) reduced(reduction trellis.Reduction) float64 {
	if reduction == trellis.Mean && r.total == 0 {
		return math.NaN()
	}
	var sum float64
	for i, f := range r.upstream(reduction) {
		sum += f * r.losses[i]
	}
	return sum
}

// gradient returns the gradient of the reduced loss, which is 0 where the mean
// is that of nothing.
func (r reference) gradient(reduction trellis.Reduction) []float64 {
	if reduction == trellis.Mean && r.total == 0 {
		return make([]float64, len(r.grad))
	}
	return r.vjp(r.upstream(reduction))
}

// upstream returns the factor of every loss in the reduced loss.
func (r reference) upstream(reduction trellis.Reduction) []float64 {
	u := make([]float64, len(r.losses))
	for i := range u {
		switch {
		case reduction == trellis.Sum:
			u[i] = 1
		case r.total != 0:
			u[i] = r.share[i]
		}
	}
	return u
}

// vjp returns the gradient of Σ upstream[i]·loss[i].
func (r reference) vjp(upstream []float64) []float64 {
	grad := make([]float64, len(r.grad))
	for i, g := range r.grad {
		if g != 0 {
			grad[i] = g * upstream[r.owner[i]]
		}
	}
	return grad
}

// refLogSumExp is ln Σ exp(x).
func refLogSumExp(x ...float64) float64 {
	if len(x) == 0 {
		return math.Inf(-1)
	}
	m, rest := refRest(x)
	if math.IsNaN(m) || math.IsInf(m, 0) {
		return m
	}
	return m + math.Log1p(rest)
}

// refRest returns the largest element m, or NaN if there is one, and Σ exp(x−m)
// without m itself: where one element outweighs the others, their sum keeps the
// digits that a sum with 1 would lose. What an addition rounds off is carried into the
// next one (Kahan's summation).
func refRest(x []float64) (m, rest float64) {
	m = slices.Max(x)
	top, lost := slices.Index(x, m), 0.0
	for i, v := range x {
		if i != top {
			term := math.Exp(v-m) - lost
			sum := rest + term
			lost = (sum - rest) - term
			rest = sum
		}
	}
	return m, rest
}

// refLogSoftmax is x − ln Σ exp(x), and NaN everywhere if that sum is no number.
func refLogSoftmax(x []float64) []float64 {
	p := make([]float64, len(x))
	if len(x) == 0 {
		return p
	}
	m, rest := refRest(x)
	for i, v := range x {
		p[i] = (v - m) - math.Log1p(rest)
		if math.IsNaN(m) || math.IsInf(m, 0) {
			p[i] = math.NaN()
		}
	}
	return p
}

// refSoftmax is exp(x − ln Σ exp(x)).
func refSoftmax(x []float64) []float64 {
	p := refLogSoftmax(x)
	for i := range p {
		p[i] = math.Exp(p[i])
	}
	return p
}

// classOptions are the options of NLLLoss and CrossEntropyLoss in full: no
// defaults are left.
type classOptions struct {
	weight    []float64 // one for each class
	ignore    int
	smoothing float64
}

// classScores returns, for every position of scores of shape (C), (N,C) or
// (N,C,d1…dk), where in x the scores of its classes are.
func classScores(shape []int) [][]int {
	batch, classes, inner := 1, shape[0], 1
	if len(shape) > 1 {
		batch, classes = shape[0], shape[1]
		for _, d := range shape[2:] {
			inner *= d
		}
	}
	if inner == 0 { // however large the batch
		return nil
	}
	var at [][]int
	for n := range batch {
		for p := range inner {
			row := make([]int, classes)
			for c := range row {
				row[c] = (n*classes+c)*inner + p
			}
			at = append(at, row)
		}
	}
	return at
}

// pick returns the elements of x at the given places.
func pick(x []float64, at []int) []float64 {
	y := make([]float64, len(at))
	for i, k := range at {
		y[i] = x[k]
	}
	return y
}

// newReference returns a reference of zero losses and gradients, where the
// elements of x that sample i owns are at[i].
func newReference(x []float64, at [][]int) reference {
	r := reference{
		losses: make([]float64, len(at)), grad: make([]float64, len(x)),
		owner: make([]int, len(x)), share: make([]float64, len(at)), term: 1,
	}
	for i, row := range at {
		for _, k := range row {
			r.owner[k] = i
		}
	}
	return r
}

// sees takes note of the summands of a gradient that are finite.
func (r *reference) sees(terms ...float64) {
	for _, v := range terms {
		if v > r.term && !math.IsInf(v, 0) {
			r.term = v
		}
	}
}

// refNLL is −weight[y]·x[y], and 0 where the weight is 0 and x[y] is −Inf.
func refNLL(x []float64, shape, targets []int, o classOptions) reference {
	at := classScores(shape)
	r := newReference(x, at)
	for i, y := range targets {
		if y == o.ignore {
			continue
		}
		if o.weight[y] != 0 || !math.IsInf(x[at[i][y]], -1) {
			r.losses[i] = -o.weight[y] * x[at[i][y]]
		}
		r.grad[at[i][y]] = -o.weight[y]
		r.total += o.weight[y]
		r.sees(o.weight[y])
	}
	for i := range r.share {
		r.share[i] = 1 / r.total
	}
	return r
}

// refCrossEntropy is the cross-entropy of class targets: that of the target
// (1−ε)·weight[y]·[c = y] + ε/C·weight[c].
func refCrossEntropy(x []float64, shape, targets []int, o classOptions) reference {
	at := classScores(shape)
	r := newReference(x, at)
	for i, y := range targets {
		if y == o.ignore {
			continue
		}
		spread := make([]float64, len(at[i]))
		for c := range spread {
			spread[c] = o.smoothing / float64(len(spread)) * o.weight[c]
		}
		spread[y] += (1 - o.smoothing) * o.weight[y]
		r.addEntropy(i, x, at[i], spread)
		r.total += o.weight[y]
	}
	for i := range r.share {
		r.share[i] = 1 / r.total
	}
	return r
}

// refCrossEntropyProbs is the cross-entropy of class probabilities, the
// textbook's Σ y'·(−ln p) with y' = y·(1−ε) + ε/C.
func refCrossEntropyProbs(x []float64, shape []int, target []float64, o classOptions) reference {
	at := classScores(shape)
	r := newReference(x, at)
	for i := range at {
		spread := pick(target, at[i])
		for c, y := range spread {
			spread[c] = o.weight[c] * (y*(1-o.smoothing) + o.smoothing/float64(len(spread)))
		}
		r.addEntropy(i, x, at[i], spread)
	}
	r.total = float64(len(at))
	for i := range r.share {
		r.share[i] = 1 / r.total
	}
	return r
}

// addEntropy sets the loss of sample i to −Σ target·ln softmax(x), where
// 0·ln 0 = 0, and its gradient to Σ target·softmax(x) − target.
func (r *reference) addEntropy(i int, x []float64, at []int, target []float64) {
	scores := pick(x, at)
	logp, p := refLogSoftmax(scores), refSoftmax(scores)
	var mass float64
	for c, y := range target {
		mass += y
		if y != 0 || math.IsNaN(logp[c]) {
			r.losses[i] -= y * logp[c]
		}
	}
	r.mass = max(r.mass, mass)
	for c, y := range target {
		r.grad[at[c]] = mass*p[c] - y
		r.sees(mass*p[c], y)
	}
}

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
			now[s] = refLogSumExp(from...) + row[c]
		}
		start = math.Inf(-1)
		alpha, before = append(alpha, now), now
	}
	last := len(extended) - 1
	if last == 0 {
		return alpha, refLogSumExp(before[0], start)
	}
	return alpha, refLogSumExp(before[last], before[last-1])
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
			beta[t][s] = refLogSumExp(to...)
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

// ctcInput is one call of CTCLoss with nothing left to defaults.
type ctcInput struct {
	x                        []float64
	frames, batch, classes   int
	batchFirst               bool
	blank                    int
	targets                  [][]int // of each sequence
	inputLengths             []int
	fromLogits, zeroInfinity bool
	scoresGradient           bool
}

// at returns where in x a frame begins.
func (in ctcInput) at(sequence, frame int) int {
	if in.batchFirst {
		return (sequence*in.frames + frame) * in.classes
	}
	return (frame*in.batch + sequence) * in.classes
}

// scores returns the log-softmax of the frames of a sequence that count, or the
// frames as they are.
func (in ctcInput) scores(sequence int) [][]float64 {
	scores := [][]float64{}
	for t := range in.inputLengths[sequence] {
		row := in.x[in.at(sequence, t):][:in.classes]
		if in.fromLogits {
			row = refLogSoftmax(row)
		}
		scores = append(scores, row)
	}
	return scores
}

// refCTCLoss is CTCLoss.
func refCTCLoss(in ctcInput) reference {
	owned := make([][]int, in.batch)
	for n := range owned {
		for t := range in.frames {
			for c := range in.classes {
				owned[n] = append(owned[n], in.at(n, t)+c)
			}
		}
	}
	r := newReference(in.x, owned)
	r.total = float64(in.batch)
	for n, target := range in.targets {
		r.share[n] = 1 / (float64(in.batch) * float64(max(len(target), 1)))
		in.setSequence(&r, n, target)
	}
	return r
}

// setSequence sets the loss and the gradient of one sequence.
func (in ctcInput) setSequence(r *reference, n int, target []int) {
	scores := in.scores(n)
	loss, occupancy := refCTC(scores, target, in.blank)
	poisoned := isPoisoned(scores, target, in.blank)
	for t, row := range scores {
		for c, v := range row {
			grad := -occupancy[t][c]
			if !in.scoresGradient {
				grad += math.Exp(v)
				r.sees(math.Exp(v))
			}
			switch {
			case poisoned:
				grad = math.NaN()
			case math.IsInf(loss, 1):
				grad = 0
			}
			r.grad[in.at(n, t)+c] = grad
		}
	}
	switch {
	case poisoned:
		loss = math.NaN()
	case in.zeroInfinity && math.IsInf(loss, 1):
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

// normalRows returns rows of n normal numbers with the given spread.
func normalRows(rng *rand.Rand, rows, n int, spread float64) [][]float64 {
	x := make([][]float64, rows)
	for i := range x {
		for range n {
			x[i] = append(x[i], spread*rng.NormFloat64())
		}
	}
	return x
}

// labelsOf returns n random classes other than blank, often equal to their
// neighbour.
func labelsOf(rng *rand.Rand, n, classes, blank int) []int {
	labels := []int{}
	for i := range n {
		label := rng.IntN(classes - 1)
		if label >= blank {
			label++
		}
		if i > 0 && rng.IntN(3) == 0 {
			label = labels[i-1]
		}
		labels = append(labels, label)
	}
	return labels
}

// requireNear fails unless every element is within tolerance of what is wanted.
// NaN is near NaN, and an infinity near itself.
func requireNear(t *testing.T, what string, want, got []float64, tolerance float64) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		if !near(want[i], got[i], tolerance) {
			require.Failf(t, "not near", "%s[%d]: want %.17g, got %.17g, off by %.3g, allowed %.3g",
				what, i, want[i], got[i], math.Abs(want[i]-got[i]), tolerance)
		}
	}
}

// near reports whether two numbers differ by at most tolerance, are the same
// infinity or are both NaN.
func near(a, b, tolerance float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= tolerance
}

func TestReferenceCTCAgainstAllPaths(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for frames := 0; frames <= 6; frames++ {
		for labels := 0; labels <= 4; labels++ {
			for range 8 {
				classes := 2 + rng.IntN(3)
				blank := rng.IntN(classes)
				target := labelsOf(rng, labels, classes, blank)
				scores := normalRows(rng, frames, classes, 2)
				what := fmt.Sprintf("T=%d C=%d blank=%d target=%v", frames, classes, blank, target)
				loss, occupancy := refCTC(scores, target, blank)
				brute, _, paths := refCTCBrute(scores, target, blank)
				requireNear(t, "loss of "+what, []float64{brute}, []float64{loss}, 1e-13)
				for i := range paths {
					requireNear(t, "occupancy of "+what, paths[i], occupancy[i], 1e-13)
				}
			}
		}
	}
}

func TestReferenceCollapse(t *testing.T) {
	require.Equal(t, []int{1, 1, 2}, collapse([]int{0, 1, 1, 0, 1, 2, 2}, 0))
	require.Equal(t, []int{0}, collapse([]int{0, 0, 3}, 3))
	require.Empty(t, collapse([]int{3, 3}, 3))
	require.Empty(t, collapse(nil, 0))
}

// differences returns the gradient of f at x by central differences, which are
// good to about the cube root of the rounding error of f.
func differences(x []float64, f func(x []float64) float64) []float64 {
	const h = 1e-5
	grad := make([]float64, len(x))
	at := slices.Clone(x)
	for i := range x {
		at[i] = x[i] + h
		above := f(at)
		at[i] = x[i] - h
		grad[i] = (above - f(at)) / (2 * h)
		at[i] = x[i]
	}
	return grad
}

func TestReferenceGradientsAgainstDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	shape := []int{2, 4, 3}
	x := slices.Concat(normalRows(rng, 6, 4, 2)...)
	target := slices.Concat(normalRows(rng, 6, 4, 1)...)
	targets := []int{0, 3, 7, 2, 2, 1}
	options := classOptions{weight: []float64{1, 0.25, 3, 0.5}, ignore: 7, smoothing: 0.15}
	losses := map[string]func(x []float64) reference{
		"NLL":                func(x []float64) reference { return refNLL(x, shape, targets, options) },
		"CrossEntropy":       func(x []float64) reference { return refCrossEntropy(x, shape, targets, options) },
		"CrossEntropy probs": func(x []float64) reference { return refCrossEntropyProbs(x, shape, target, options) },
	}
	in := ctcInput{frames: 4, batch: 2, classes: 3, blank: 2, targets: [][]int{{1, 1}, {0}}, inputLengths: []int{4, 3}}
	for i := range 4 {
		// Only two of the four combinations of FromLogits and Gradient are
		// the derivative with respect to x; see TestCTCGradientsDiffer.
		in.batchFirst, in.fromLogits, in.scoresGradient = i%2 == 1, i >= 2, i < 2
		losses[fmt.Sprint("CTC ", i)] = func(x []float64) reference { in := in; in.x = x; return refCTCLoss(in) }
	}
	for name, loss := range losses {
		for _, reduction := range []trellis.Reduction{trellis.Mean, trellis.Sum} {
			r := loss(x)
			want := differences(x, func(x []float64) float64 { return loss(x).reduced(reduction) })
			requireNear(t, "gradient of "+name, want, r.gradient(reduction), 1e-8)
		}
	}
}

func TestReferenceSoftmax(t *testing.T) {
	x := []float64{math.Log(1), math.Log(2), math.Log(5)}
	requireNear(t, "log-sum-exp", []float64{math.Log(8)}, []float64{refLogSumExp(x...)}, 1e-15)
	requireNear(t, "softmax", []float64{0.125, 0.25, 0.625}, refSoftmax(x), 1e-15)
	requireNear(t, "log-softmax near 0", []float64{-9.3576e-14}, refLogSoftmax([]float64{30, 0})[:1], 1e-18)
}
