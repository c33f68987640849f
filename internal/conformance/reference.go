// Package conformance compares trellis with what others say that its results are: a slow
// reference, PyTorch, the node tests of ONNX, the tests of other CTC implementations, the
// output of real networks, and properties that any implementation must have.
//
// The reference is the slow, obvious form of everything that trellis computes, in float64
// with math.Exp and math.Log. It is checked by means that share nothing with it,
// enumeration of all paths and finite differences; all other tests trust it.
package conformance

import (
	"math"
	"slices"

	"github.com/gotrellis/trellis"
)

// reference is what a loss and its gradient should be. An element of x belongs
// to one sample, a position or a sequence, and only that one's loss depends on it.
type reference struct {
	losses []float64 // of each sample
	grad   []float64 // in x's layout: the derivative of the loss of its own sample
	owner  []int     // in x's layout: the sample
	lost   []float64 // in x's layout, or nil: what may be missing of grad, NaN if grad is not known
	share  []float64 // the factor of each loss in the mean
	total  float64   // what the mean divides by

	// What rounding errors are in proportion to, where results cancel:
	mass float64 // the largest sum of one sample's target
	term float64 // the largest summand in grad, and at least 1

	// floor is the error that a loss may have however small it is.
	floor float64
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

// missing returns how much element i of a gradient may lack, where the loss has a factor.
func (r reference) missing(i int, factor float64) float64 {
	if r.lost == nil {
		return 0
	}
	return factor * r.lost[i]
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

// RefLogSumExp is ln Σ exp(x).
func RefLogSumExp(x ...float64) float64 {
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

// RefLogSoftmax is x − ln Σ exp(x), and NaN everywhere if that sum is no number.
func RefLogSoftmax(x []float64) []float64 {
	p := make([]float64, len(x))
	if len(x) == 0 {
		return p
	}
	m, rest := refRest(x)
	log := math.Log1p(rest)
	if math.IsNaN(m) || math.IsInf(m, 0) {
		log = math.NaN()
	}
	for i, v := range x {
		p[i] = (v - m) - log
	}
	return p
}

// RefSoftmax is exp(x − ln Σ exp(x)).
func RefSoftmax(x []float64) []float64 {
	p := RefLogSoftmax(x)
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
func pick[F trellis.Float](x []F, at []int) []F {
	y := make([]F, len(at))
	for i, k := range at {
		y[i] = x[k]
	}
	return y
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

// refCrossEntropy is the cross-entropy of class Targets: that of the target
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
	logp, p := RefLogSoftmax(scores), RefSoftmax(scores)
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
