package trellis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/tiertest"
	"github.com/gotrellis/trellis/internal/view"
)

// alignCase is a sequence to be aligned.
type alignCase[F Float] struct {
	x       []F // frames of classes
	classes int
	labels  []int
	blank   int
	exact   bool // sums are not rounded
	pathScores
}

func (c *alignCase[F]) frames() int { return len(c.x) / c.classes }

func (c *alignCase[F]) String() string {
	return fmt.Sprintf("frames: %d, classes: %d, labels: %v, blank: %d, scores: %d, any: %v", c.frames(), c.classes, c.labels, c.blank, c.scores, c.anyScore)
}

// class returns what a state emits: a class, or AnyLabel.
func (c *alignCase[F]) class(state int) int {
	if state%2 == 0 {
		return c.blank
	}
	return c.labels[state/2]
}

// follows reports whether a state may follow another one.
func (c *alignCase[F]) follows(state, next int) bool {
	switch next - state {
	case 0, 1:
		return true
	case 2:
		before, label := c.class(state), c.class(next)
		return state%2 == 1 && (before != label || label == AnyLabel)
	}
	return false
}

// norm returns the logarithm of what scores of a frame are to be divided by.
func (c *alignCase[F]) norm(t int) float64 {
	if c.scores != Logits {
		return 0
	}
	m, sum := sumExpRow(c.x[t*c.classes:][:c.classes], 0)
	return fp.Log1p(sum) + float64(m)
}

// emission returns what the path is chosen by.
func (c *alignCase[F]) emission(t, class int) float64 {
	if class == AnyLabel {
		return c.anyScore + c.norm(t)
	}
	v := float64(c.x[t*c.classes+class])
	if c.scores == Probabilities {
		if v == 0 {
			return math.Inf(-1)
		}
		if v < 0x1p-1022 {
			return fp.Log(v*0x1p54) - 54*math.Ln2
		}
		return fp.Log(v)
	}
	return v
}

// bestStates tries all paths and returns the best one's states: of equal ones the one that ends in the
// last label, and then, going back, the one that stays rather than to advance, and advances rather than to skip.
func (c *alignCase[F]) bestStates() (best float64, states []int) {
	best = math.Inf(-1)
	path := make([]int, c.frames())
	var try func(t, state int, sum float64)
	try = func(t, state int, sum float64) {
		if t == len(path) {
			if state < 2*len(c.labels)-1 || sum < best || sum == math.Inf(-1) {
				return
			}
			if sum > best || t > 0 && preferred(path, states) {
				best, states = sum, slices.Clone(path)
			}
			return
		}
		for next := state; next <= min(state+2, 2*len(c.labels)); next++ {
			if c.follows(state, next) {
				path[t] = next
				try(t+1, next, sum+c.emission(t, c.class(next)))
			}
		}
	}
	try(0, 0, 0)
	return best, states
}

// preferred reports whether a path is to be taken rather than another one as good.
func preferred(path, other []int) bool {
	last := len(path) - 1
	if path[last] != other[last] {
		return path[last] < other[last]
	}
	for t := last - 1; t >= 0; t-- {
		if path[t] != other[t] {
			return path[t] > other[t]
		}
	}
	return false
}

// plainStates is bestStates by the recursion, with a pointer back from every state of every frame.
func (c *alignCase[F]) plainStates() (best float64, states []int) {
	n, frames := 2*len(c.labels)+1, c.frames()
	alpha, next, back := slices.Repeat([]float64{math.Inf(-1)}, n), make([]float64, n), make([]int, n*frames)
	alpha[0] = 0
	for t := range frames {
		blank := c.emission(t, c.blank)
		for s := range n {
			best, from := alpha[s], s
			for _, d := range []int{1, 2} {
				if s >= d && c.follows(s-d, s) && alpha[s-d] > best {
					best, from = alpha[s-d], s-d
				}
			}
			e := blank
			if s%2 == 1 {
				e = c.emission(t, c.class(s))
			}
			next[s], back[t*n+s] = best+e, from
		}
		alpha, next = next, alpha
	}
	state := n - 1
	if n > 1 && alpha[n-2] >= alpha[n-1] {
		state--
	}
	if best = alpha[state]; best == math.Inf(-1) {
		return best, nil
	}
	states = make([]int, frames)
	for t := frames - 1; t >= 0; t-- {
		states[t] = state
		state = back[t*n+state]
	}
	return best, states
}

// want returns the spans of some states, and their score.
func (c *alignCase[F]) want(best float64, states []int) ([]Span, float64) {
	spans := make([]Span, len(c.labels))
	if best == math.Inf(-1) {
		for i := range spans {
			spans[i].Score = best
		}
		return spans, best
	}
	var score float64
	for t, s := range states {
		v := c.emission(t, c.class(s)) - c.norm(t)
		if c.class(s) == AnyLabel {
			v = c.anyScore
		}
		score += v
		if s%2 == 1 {
			span := &spans[s/2]
			if span.End == 0 {
				span.Start = t
			}
			span.End = t + 1
			span.Score += v
		}
	}
	for i := range spans {
		spans[i].Score /= float64(spans[i].End - spans[i].Start)
	}
	return spans, score
}

// align aligns the sequence with segments of certain sizes.
func (c *alignCase[F]) align(sizes pathSizes) ([]Span, float64) {
	s := alignment[F]{x: view.Of(c.x, c.classes, c.classes), frames: c.frames(), scores: c.pathScores}
	s.spans = slices.Repeat([]Span{{-1, -1, math.NaN(), math.NaN()}}, len(c.labels))
	score := s.align(c.labels, c.blank, false, 0, sizes)
	return s.spans, score
}

// randomCase returns a case of any kind. Scores are often small integers, and probabilities 1 or ½, whose
// sums are the same in any order.
func randomCase[F Float](r *rand.Rand, frames, labels int) *alignCase[F] {
	c := &alignCase[F]{classes: 2 + r.IntN(6), labels: make([]int, labels), pathScores: pathScores{scores: Scores(r.IntN(3))}}
	c.blank = r.IntN(c.classes)
	wildcards := [...]int{0, 0, 4, 30}[r.IntN(4)]
	for i := range c.labels {
		if c.labels[i] = (c.blank + 1 + r.IntN(c.classes-1)) % c.classes; r.IntN(30) < wildcards {
			c.labels[i] = AnyLabel
		}
	}
	c.x = make([]F, frames*c.classes)
	kind, masked := r.IntN(4), r.IntN(3) == 0
	for i := range c.x {
		v := []float64{-float64(r.IntN(4)), 3 * r.NormFloat64(), 5 * r.ExpFloat64(), -300 * r.ExpFloat64()}[kind]
		if c.scores == Probabilities {
			v = []float64{1 / float64(1+r.IntN(2)), r.Float64(), math.Exp(-v * v), math.Exp(v)}[kind]
		}
		if masked && r.IntN(8) == 0 {
			v = []float64{math.Inf(-1), math.Inf(-1), 0}[c.scores]
		}
		if c.x[i] = F(v); masked && c.scores == Logits && i%c.classes == 0 && c.x[i] < -100 {
			c.x[i] = 0 // or there may be no norm
		}
	}
	if c.anyScore = -3 * r.Float64(); kind == 0 {
		c.anyScore = -float64(r.IntN(3))
	}
	wild := slices.Contains(c.labels, AnyLabel)
	c.exact = kind == 0 && (c.scores == LogProbabilities || !wild)
	return c
}

// Paths are those that trying all of them finds. Sums of small integers are exact, so that ties are.
func TestAlignBruteForce(t *testing.T) {
	t.Run("float32", testAlignBruteForce[float32])
	t.Run("float64", testAlignBruteForce[float64])
}

func testAlignBruteForce[F Float](t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	cases, ties, exact := 10000, 0, 0
	if testing.Short() {
		cases = 1000
	}
	for k := range cases {
		frames := r.IntN(7)
		c := randomCase[F](r, frames, r.IntN(5))
		best, states := c.bestStates()
		if plainBest, plain := c.plainStates(); c.exact {
			require.Equal(t, states, plain, "the reference of other tests")
			exact++
		} else { // a sum may be rounded to that of another path
			require.Equal(t, best, plainBest)
			states = plain
		}
		wantSpans, want := c.want(best, states)
		spans, score := c.align(usualSizes)
		require.Equal(t, wantSpans, spans, "%d: %v %v", k, c, c.x)
		require.Equal(t, want, score)
		for i := range states {
			if i > 0 && c.scores == LogProbabilities && states[i-1] != states[i] && c.emission(i, c.class(states[i-1])) == c.emission(i, c.class(states[i])) {
				ties++
			}
		}
		if math.IsInf(want, -1) {
			continue
		}
		path := make([]int, frames)
		Path(path, spans, c.labels, c.blank)
		for i, s := range states {
			require.Equal(t, c.class(s), path[i])
		}
	}
	assert.Greater(t, ties, cases/20, "there are ties")
	assert.Greater(t, exact, cases/10)
}

// Segments of every size give the same path, on every tier.
func TestAlignSegments(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testAlignSegments[float32])
		t.Run("float64", testAlignSegments[float64])
	})
}

func testAlignSegments[F Float](t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	cases := 90
	if testing.Short() {
		cases = 20
	}
	found := 0
	for k := range cases {
		frames := 1 + r.IntN([]int{40, 400, 1200}[k%3])
		labels := r.IntN(1 + frames*[]int{1, 3, 9}[r.IntN(3)]/10)
		c := randomCase[F](r, frames, labels)
		if LeastFrames(c.labels) > frames {
			c.labels = c.labels[:frames/2]
		}
		best, states := c.plainStates()
		wantSpans, want := c.want(best, states)
		if !math.IsInf(want, -1) {
			found++
		}
		for _, z := range []pathSizes{usualSizes, {0, 0, 1}, {0, 1 << 30, 1}, {0, 0, 100}, {r.IntN(5000), r.IntN(10000), r.IntN(100)}, {1 << 30, 0, 0}} {
			spans, score := c.align(z)
			require.Equal(t, want, score, "%v %v", z, c)
			require.Equal(t, wantSpans, spans, "%v %v", z, c)
		}
	}
	assert.Greater(t, found, cases/2)
}

// More labels and classes than a panel has positions.
func TestAlignPanels(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, classes := range []int{2, 3, 5, 40, 3000} {
			for _, labels := range []int{panelWidth - 1, panelWidth, 300} {
				c := &alignCase[float32]{classes: classes, labels: make([]int, labels), blank: classes - 1}
				for i := range c.labels {
					c.labels[i] = r.IntN(classes - 1)
				}
				c.x = make([]float32, (LeastFrames(c.labels)+r.IntN(100))*classes)
				for i := range c.x {
					c.x[i] = float32(r.NormFloat64())
				}
				wantSpans, want := c.want(c.plainStates())
				for _, z := range []pathSizes{usualSizes, {0, 0, 1}} {
					spans, score := c.align(z)
					require.Equal(t, want, score, "%d classes, %d labels", classes, labels)
					require.Equal(t, wantSpans, spans)
				}
			}
		}
	})
}

// occupancies returns the probability of every state in every frame, by sums of logarithms over all of them.
func (c *alignCase[F]) occupancies() [][]float64 {
	n, frames := 2*len(c.labels)+1, c.frames()
	sum := func(x ...float64) float64 { return LogSumExp(x) }
	alpha, beta := make([][]float64, frames), make([][]float64, frames)
	before := slices.Repeat([]float64{math.Inf(-1)}, n)
	before[0] = 0
	after := slices.Clone(before)
	after[0], after[n-1], after[max(n-2, 0)] = math.Inf(-1), 0, 0
	rows := make([][]float64, frames)
	for t := range frames {
		rows[t] = make([]float64, n)
		for s := range n {
			rows[t][s] = c.emission(t, c.class(s)) - c.norm(t)
		}
	}
	for t := range frames {
		alpha[t] = make([]float64, n)
		for s := range n {
			var terms []float64
			for from := max(s-2, 0); from <= s; from++ {
				if c.follows(from, s) {
					terms = append(terms, before[from])
				}
			}
			alpha[t][s] = sum(terms...) + rows[t][s]
		}
		before = alpha[t]
	}
	for t := frames - 1; t >= 0; t-- {
		beta[t] = after
		after = make([]float64, n)
		for s := range n {
			var terms []float64
			for to := s; to <= min(s+2, n-1); to++ {
				if c.follows(s, to) {
					terms = append(terms, beta[t][to]+rows[t][to])
				}
			}
			after[s] = sum(terms...)
		}
	}
	total := sum(alpha[frames-1][max(n-2, 0)], alpha[frames-1][n-1])
	if n == 1 {
		total = alpha[frames-1][0]
	}
	for t := range alpha {
		for s := range alpha[t] {
			alpha[t][s] = math.Exp(alpha[t][s] + beta[t][s] - total)
		}
	}
	return alpha
}

// A span's confidence is the mean occupancy of its position.
func TestAlignConfidence(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		t.Run("float32", testAlignConfidence[float32])
		t.Run("float64", testAlignConfidence[float64])
	})
}

func testAlignConfidence[F Float](t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	cases, found, worst := 150, 0, 0.0
	if testing.Short() {
		cases = 20
	}
	for k := range cases {
		frames := 1 + r.IntN([]int{6, 60, 400}[k%3])
		c := randomCase[F](r, frames, r.IntN(1+frames/2))
		s := alignment[F]{x: view.Of(c.x, c.classes, c.classes), frames: frames, scores: c.pathScores, spans: make([]Span, len(c.labels))}
		kept := []int{keptBytes, 1}[k/3%2]
		if score := s.align(c.labels, c.blank, true, kept, usualSizes); math.IsInf(score, -1) {
			continue
		}
		found++
		if kept == 1 {
			require.Zero(t, s.confidence.short.workspaceBytes(), "%v: α is not kept", c)
		}
		occupancy := c.occupancies()
		for i, span := range s.spans {
			var want float64
			for t := span.Start; t < span.End; t++ {
				want += occupancy[t][2*i+1]
			}
			want /= float64(span.End - span.Start)
			worst = max(worst, math.Abs(want-span.Confidence))
			require.InDelta(t, want, span.Confidence, 1e-9, "%v: label %d", c, i)
		}
	}
	t.Logf("largest difference: %g", worst)
	assert.Greater(t, found, cases/2)
}

// A long sequence takes little memory: for the path that of some rows, where all of them would be 2 GB; for the
// confidence that of checkpoints.
func TestAlignMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	const frames, labels, classes = 20000, 6000, 32
	r := rand.New(rand.NewPCG(9, 10))
	c := &alignCase[float32]{classes: classes, labels: make([]int, labels), x: make([]float32, frames*classes)}
	for i := range c.labels {
		c.labels[i] = 1 + r.IntN(classes-1)
	}
	for i := range c.x {
		c.x[i] = -8 * r.Float32()
	}
	s := alignment[float32]{x: view.Of(c.x, classes, classes), frames: frames, spans: make([]Span, labels)}
	score := s.align(c.labels, 0, true, keptBytes, usualSizes)
	assert.Less(t, math.Abs(score), 1e6)
	assert.Less(t, s.path.workspaceBytes(), 24<<20)
	assert.Less(t, s.confidence.workspaceBytes(), (checkpointShare+8)*keptBytes)
}

// A label that is less probable than a float64 can say, beside the blank, has a confidence all the same, with a
// wildcard and without.
func TestAlignConfidenceFar(t *testing.T) {
	for _, labels := range [][]int{{1}, {1, AnyLabel}} {
		for _, far := range []float64{100, 590, 610, 1000, 100000} {
			c := &alignCase[float64]{classes: 2, labels: labels, x: []float64{0, -far, 0, 1 - far, 0, -far, 0, -far}}
			s := alignment[float64]{x: view.Of(c.x, 2, 2), frames: c.frames(), scores: c.pathScores, spans: make([]Span, len(labels))}
			s.align(c.labels, 0, true, keptBytes, usualSizes)
			occupancy := c.occupancies()
			for i, span := range s.spans {
				var want float64
				for t := span.Start; t < span.End; t++ {
					want += occupancy[t][2*i+1] / float64(span.End-span.Start)
				}
				assert.InDelta(t, want, span.Confidence, 1e-9, "%v, %v nats", labels, far)
			}
			assert.Greater(t, s.spans[0].Confidence, 0.2)
		}
	}
}
