package trellis_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/stretchr/testify/require"
)

// subject is one call of a loss, with all of its arguments chosen but for those
// that a property varies.
type subject[F trellis.Float] struct {
	name string
	x    trellis.Tensor[F]
	bind func(x trellis.Tensor[F], reduction trellis.Reduction, workers int) methods[F]
	want reference
	// floor is the absolute error that a loss may have however small it is.
	floor float64
}

// methods are the four methods of every loss.
type methods[F trellis.Float] struct {
	loss   func() (F, error)
	losses func(dst []F) error
	grad   func(grad []F) (F, error)
	vjp    func(grad, upstream []F) error
}

// classLoss is NLLLoss or CrossEntropyLoss.
type classLoss[F trellis.Float] interface {
	Loss(x trellis.Tensor[F], targets []int) (F, error)
	Losses(dst []F, x trellis.Tensor[F], targets []int) error
	Grad(grad []F, x trellis.Tensor[F], targets []int) (F, error)
	VJP(grad, upstream []F, x trellis.Tensor[F], targets []int) error
}

// bindClasses binds class targets.
func bindClasses[F trellis.Float](l classLoss[F], x trellis.Tensor[F], targets []int) methods[F] {
	return methods[F]{
		loss:   func() (F, error) { return l.Loss(x, targets) },
		losses: func(dst []F) error { return l.Losses(dst, x, targets) },
		grad:   func(grad []F) (F, error) { return l.Grad(grad, x, targets) },
		vjp:    func(grad, upstream []F) error { return l.VJP(grad, upstream, x, targets) },
	}
}

// bindProbs binds class probabilities.
func bindProbs[F trellis.Float](l trellis.CrossEntropyLoss[F], x, target trellis.Tensor[F]) methods[F] {
	return methods[F]{
		loss:   func() (F, error) { return l.LossProbs(x, target) },
		losses: func(dst []F) error { return l.LossesProbs(dst, x, target) },
		grad:   func(grad []F) (F, error) { return l.GradProbs(grad, x, target) },
		vjp:    func(grad, upstream []F) error { return l.VJPProbs(grad, upstream, x, target) },
	}
}

// bindCTC binds the arguments of CTCLoss.
func bindCTC[F trellis.Float](l trellis.CTCLoss[F], x trellis.Tensor[F], targets, inputs, lengths []int) methods[F] {
	return methods[F]{
		loss:   func() (F, error) { return l.Loss(x, targets, inputs, lengths) },
		losses: func(dst []F) error { return l.Losses(dst, x, targets, inputs, lengths) },
		grad:   func(grad []F) (F, error) { return l.Grad(grad, x, targets, inputs, lengths) },
		vjp:    func(grad, upstream []F) error { return l.VJP(grad, upstream, x, targets, inputs, lengths) },
	}
}

// run returns everything that the methods of a subject compute; the reduced
// loss comes once from Loss and once from Grad.
func (s subject[F]) run(t *testing.T, reduction trellis.Reduction, workers int, upstream []F) results[F] {
	t.Helper()
	out, err := s.try(reduction, workers, upstream)
	require.NoError(t, err, s.name)
	return out
}

// try is run for any goroutine.
func (s subject[F]) try(reduction trellis.Reduction, workers int, upstream []F) (out results[F], err error) {
	m := s.bind(s.x, reduction, workers)
	out.losses = filled[F](len(s.want.losses))
	out.grad, out.vjp = filled[F](len(s.x.Data)), filled[F](len(s.x.Data))
	var errs [4]error
	out.loss, errs[0] = m.loss()
	errs[1] = m.losses(out.losses)
	out.gradLoss, errs[2] = m.grad(out.grad)
	errs[3] = m.vjp(out.vjp, upstream)
	return out, errors.Join(errs[:]...)
}

type results[F trellis.Float] struct {
	loss, gradLoss    F
	losses, grad, vjp []F
}

// requireSame fails unless two results have the same bits.
func (r results[F]) requireSame(t *testing.T, what string, other results[F]) {
	t.Helper()
	requireSameBits(t, what+": loss", []F{r.loss, r.gradLoss}, []F{other.loss, other.gradLoss})
	requireSameBits(t, what+": losses", r.losses, other.losses)
	requireSameBits(t, what+": gradient", r.grad, other.grad)
	requireSameBits(t, what+": VJP", r.vjp, other.vjp)
}

// sentinel fills destinations, so that an element that should be written and
// is not, or the other way round, shows.
const sentinel = -12345.5

func filled[F trellis.Float](n int) []F { return slices.Repeat([]F{sentinel}, n) }

// requireSameBits fails unless all elements have the same bits; NaN, whose bits
// are not promised, is as good as NaN.
func requireSameBits[F trellis.Float](t *testing.T, what string, want, got []F) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		a, b := float64(want[i]), float64(got[i])
		if math.Float64bits(a) != math.Float64bits(b) && (a == a || b == b) {
			require.Failf(t, "other bits", "%s[%d]: want %.17g, got %.17g", what, i, a, b)
		}
	}
}

// widen returns x in float64.
func widen[F trellis.Float](x []F) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// narrow returns x rounded to F.
func narrow[F trellis.Float](x []float64) []F {
	y := make([]F, len(x))
	for i, v := range x {
		y[i] = F(v)
	}
	return y
}

// normals returns n normal numbers with the given spread.
func normals[F trellis.Float](rng *rand.Rand, n int, spread float64) []F {
	x := make([]F, n)
	for i := range x {
		x[i] = F(spread * rng.NormFloat64())
	}
	return x
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// bothTypes runs a test for both element types.
func bothTypes(t *testing.T, f32, f64 func(t *testing.T)) {
	t.Run("float32", f32)
	t.Run("float64", f64)
}

// promisedRelative is the promised relative error of a loss: in float32 that is the
// 1e-6 of the project's goals, about 16 roundings. In float64 it is far from
// the type's precision, 1e-12 is 4500 roundings, because the reference is in
// float64 too, and in the log domain: a logarithm of 10³ has an ulp of 1e-13
// and carries one such error for every frame.
func promisedRelative[F trellis.Float]() float64 {
	if fp.IsFloat32[F]() {
		return 1e-6
	}
	return 1e-12
}

// promisedAbsolute is the promised error of a gradient whose factors are about 1. That
// of float64 is the reference's: see promisedRelative.
func promisedAbsolute[F trellis.Float]() float64 {
	if fp.IsFloat32[F]() {
		return 2e-6
	}
	return 1e-12
}

// requireGrad compares a gradient with the reference's, where the losses have
// the given factors.
func (s subject[F]) requireGrad(t *testing.T, what string, upstream, want []float64, got []F) {
	t.Helper()
	factor := 0.0
	for _, u := range upstream {
		factor = max(factor, math.Abs(u))
	}
	requireNear(t, s.name+": "+what, want, widen(got), promisedAbsolute[F]()*factor*s.want.term)
}

// requireLosses compares the losses with the reference's.
func (s subject[F]) requireLosses(t *testing.T, got []F) {
	t.Helper()
	for i, want := range s.want.losses {
		tolerance := promisedRelative[F]()*math.Abs(want) + s.floor
		requireNear(t, fmt.Sprint(s.name, ": losses from ", i), []float64{want}, widen(got[i:i+1]), tolerance)
	}
}

// requireReduced compares the reduced loss with the reference's.
func (s subject[F]) requireReduced(t *testing.T, reduction trellis.Reduction, got F) {
	t.Helper()
	var tolerance float64
	for i, u := range s.want.upstream(reduction) {
		if loss := s.want.losses[i]; !math.IsInf(loss, 0) && !math.IsNaN(loss) {
			tolerance += math.Abs(u) * (promisedRelative[F]()*math.Abs(loss) + s.floor)
		}
	}
	what := fmt.Sprint(s.name, ": ", reduction)
	requireNear(t, what, []float64{s.want.reduced(reduction)}, []float64{float64(got)}, tolerance)
}

// requireReference compares everything with the reference.
func (s subject[F]) requireReference(t *testing.T, rng *rand.Rand) {
	t.Helper()
	upstream := normals[F](rng, len(s.want.losses), 1)
	for _, reduction := range []trellis.Reduction{trellis.Mean, trellis.Sum} {
		got := s.run(t, reduction, 1, upstream)
		s.requireLosses(t, got.losses)
		s.requireReduced(t, reduction, got.loss)
		s.requireReduced(t, reduction, got.gradLoss)
		s.requireGrad(t, "gradient", s.want.upstream(reduction), s.want.gradient(reduction), got.grad)
		s.requireGrad(t, "VJP", widen(upstream), s.want.vjp(widen(upstream)), got.vjp)
	}
}

// classCase is a call of NLLLoss or CrossEntropyLoss before its type is chosen.
type classCase struct {
	kind      string // "NLL", "CE" or "probs"
	shape     []int
	weight    []float64 // nil is the default
	ignore    *int      // nil is the default
	smoothing float64
	spread    float64 // of the scores
}

func (c classCase) String() string {
	ignore := "default"
	if c.ignore != nil {
		ignore = fmt.Sprint(*c.ignore)
	}
	return fmt.Sprintf("%s%v weights=%t ignore=%s smoothing=%g", c.kind, c.shape, c.weight != nil, ignore, c.smoothing)
}

// classes returns the number of classes.
func (c classCase) classes() int { return c.shape[min(1, len(c.shape)-1)] }

// positions returns the number of positions.
func (c classCase) positions() int { return len(classScores(c.shape)) }

// targets returns random targets; some are to be ignored.
func (c classCase) targets(rng *rand.Rand) []int {
	targets := make([]int, c.positions())
	for i := range targets {
		switch {
		case rng.IntN(5) > 0:
			targets[i] = rng.IntN(c.classes())
		case c.ignore != nil:
			targets[i] = *c.ignore
		default:
			targets[i] = -100
		}
	}
	return targets
}

// classSubject makes a case of the given type from random numbers.
func classSubject[F trellis.Float](rng *rand.Rand, c classCase) subject[F] {
	x := trellis.Tensor[F]{Data: normals[F](rng, product(c.shape), c.spread), Shape: c.shape}
	if c.kind == "probs" {
		target := trellis.Tensor[F]{Data: normals[F](rng, product(c.shape), 1), Shape: c.shape}
		for i, v := range target.Data {
			target.Data[i] = max(v, 0) // half of them 0, and no row adds up to 1
		}
		return probsCall(c, x, target)
	}
	return classCall(c, x, c.targets(rng))
}

// options returns the options for the reference, with weights and smoothing as
// they are in F.
func options[F trellis.Float](c classCase) classOptions {
	o := classOptions{weight: widen(narrow[F](c.weight)), ignore: -100, smoothing: float64(F(c.smoothing))}
	if c.weight == nil {
		o.weight = slices.Repeat([]float64{1}, c.classes())
	}
	if c.ignore != nil {
		o.ignore = *c.ignore
	}
	return o
}

// classCall makes a call with class targets.
func classCall[F trellis.Float](c classCase, x trellis.Tensor[F], targets []int) subject[F] {
	s := subject[F]{name: c.String(), x: x}
	weight := narrow[F](c.weight)
	if c.weight == nil {
		weight = nil
	}
	s.bind = func(x trellis.Tensor[F], r trellis.Reduction, workers int) methods[F] {
		var l classLoss[F] = trellis.NLLLoss[F]{Weight: weight, IgnoreIndex: c.ignore, Reduction: r, Workers: workers}
		if c.kind == "CE" {
			l = trellis.CrossEntropyLoss[F]{Weight: weight, IgnoreIndex: c.ignore, Reduction: r, Workers: workers, LabelSmoothing: F(c.smoothing)}
		}
		return bindClasses(l, x, targets)
	}
	s.want = refNLL(widen(x.Data), c.shape, targets, options[F](c))
	if c.kind == "CE" {
		s.want = refCrossEntropy(widen(x.Data), c.shape, targets, options[F](c))
	}
	return s
}

// probsCall makes a call with class probabilities.
func probsCall[F trellis.Float](c classCase, x, target trellis.Tensor[F]) subject[F] {
	s := subject[F]{name: c.String(), x: x}
	weight := narrow[F](c.weight)
	if c.weight == nil {
		weight = nil
	}
	s.bind = func(x trellis.Tensor[F], r trellis.Reduction, workers int) methods[F] {
		l := trellis.CrossEntropyLoss[F]{Weight: weight, IgnoreIndex: c.ignore, Reduction: r, Workers: workers, LabelSmoothing: F(c.smoothing)}
		return bindProbs(l, x, target)
	}
	s.want = refCrossEntropyProbs(widen(x.Data), c.shape, widen(target.Data), options[F](c))
	// The logarithm of a probability near 1 is as exact as the sum of exp.
	s.floor = 4 * epsilon[F]() * s.want.mass
	return s
}

// pointer returns a pointer to an ignored class.
func pointer(i int) *int { return &i }

// positive returns n positive weights.
func positive(rng *rand.Rand, n int) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = 0.1 + 2*rng.Float64()
	}
	return w
}

// classCases returns every combination of options at every kind of shape.
func classCases(rng *rand.Rand) (cases []classCase) {
	for _, shape := range [][]int{{5}, {1}, {4, 3}, {2, 4, 3}, {3, 2, 2, 3}, {2, 70, 3}, {2, 1, 1, 600}, {0, 3}, {2, 3, 5, 7, 0}} {
		c := classCase{shape: shape, spread: 3}
		withZero := positive(rng, c.classes())
		withZero[0] = 0
		for _, c.weight = range [][]float64{nil, positive(rng, c.classes()), withZero} {
			for _, c.ignore = range []*int{nil, pointer(0), pointer(255), pointer(-1)} {
				for _, c.smoothing = range []float64{0, 0.1, 1} {
					for _, c.kind = range []string{"NLL", "CE", "probs"} {
						if c.kind != "NLL" || c.smoothing == 0 {
							cases = append(cases, c)
						}
					}
				}
			}
		}
	}
	return cases
}

// largeClassCases returns cases whose work is divided between workers, and into
// blocks, at edges of all kinds.
func largeClassCases(rng *rand.Rand) (cases []classCase) {
	for _, shape := range [][]int{{300, 50}, {4, 4097}, {2, 8193}, {9000}, {1000, 1}, {2, 130, 5}, {2, 7, 16, 17}, {2, 65, 129}, {1, 3, 1000}} {
		for i, kind := range []string{"NLL", "CE", "probs"} {
			c := classCase{kind: kind, shape: shape, spread: 4}
			if (i+len(cases))%2 == 0 {
				c.weight = positive(rng, c.classes())
				c.ignore = pointer(0)
			}
			if len(cases)%4 == 0 {
				c.smoothing = 0.05
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// ctcCase is a call of CTCLoss before its type is chosen.
type ctcCase struct {
	ctcInput
	unbatched bool
	padding   int     // what pads targets beyond the longest, or −1 to concatenate
	spread    float64 // of the scores
	raw       bool    // scores that are not log-probabilities
}

func (c ctcCase) String() string {
	return fmt.Sprintf("CTC T=%d N=%d C=%d batchFirst=%t unbatched=%t blank=%d targets=%v lengths=%v padding=%d logits=%t raw=%t zero=%t scores=%t",
		c.frames, c.batch, c.classes, c.batchFirst, c.unbatched, c.blank, fewer(c.targets), fewer(c.inputLengths), c.padding, c.fromLogits, c.raw, c.zeroInfinity, c.scoresGradient)
}

// fewer shortens what a message shows.
func fewer[T any](x []T) string {
	if s := fmt.Sprint(x); len(s) <= 60 {
		return s
	}
	return fmt.Sprintf("[%d of them]", len(x))
}

// shape returns the shape of x.
func (c ctcCase) shape() []int {
	switch {
	case c.unbatched:
		return []int{c.frames, c.classes}
	case c.batchFirst:
		return []int{c.batch, c.frames, c.classes}
	}
	return []int{c.frames, c.batch, c.classes}
}

// flatten returns the targets as CTCLoss takes them, and their lengths. What
// pads them is no class.
func (c ctcCase) flatten() (targets, lengths []int) {
	longest := 0
	for _, target := range c.targets {
		lengths = append(lengths, len(target))
		longest = max(longest, len(target))
	}
	for _, target := range c.targets {
		targets = append(targets, target...)
		if c.padding >= 0 {
			targets = append(targets, slices.Repeat([]int{-7}, longest+c.padding-len(target))...)
		}
	}
	return targets, lengths
}

// randomScores returns random scores: logits, log-probabilities, or scores that are
// neither.
func (c ctcCase) randomScores(rng *rand.Rand) []float64 {
	rows := normalRows(rng, c.frames*c.batch, c.classes, c.spread)
	for i := range rows {
		if !c.fromLogits && !c.raw {
			rows[i] = refLogSoftmax(rows[i])
		}
	}
	return slices.Concat(rows...)
}

// ctcSubject makes a case of the given type from random numbers.
func ctcSubject[F trellis.Float](rng *rand.Rand, c ctcCase) subject[F] {
	return ctcCall(c, trellis.Tensor[F]{Data: narrow[F](c.randomScores(rng)), Shape: c.shape()})
}

// ctcLoss returns the loss with the options of the case.
func ctcLoss[F trellis.Float](c ctcCase) trellis.CTCLoss[F] {
	l := trellis.CTCLoss[F]{Blank: c.blank, ZeroInfinity: c.zeroInfinity, FromLogits: c.fromLogits, BatchFirst: c.batchFirst}
	if c.scoresGradient {
		l.Gradient = trellis.ScoresGradient
	}
	return l
}

// ctcCall makes a call with the given scores.
func ctcCall[F trellis.Float](c ctcCase, x trellis.Tensor[F]) subject[F] {
	s := subject[F]{name: c.String(), x: x}
	targets, lengths := c.flatten()
	inputLengths := c.inputLengths
	if !slices.ContainsFunc(inputLengths, func(n int) bool { return n != c.frames }) {
		inputLengths = nil
	}
	s.bind = func(x trellis.Tensor[F], r trellis.Reduction, workers int) methods[F] {
		l := ctcLoss[F](c)
		l.Reduction, l.Workers = r, workers
		return bindCTC(l, x, targets, inputLengths, lengths)
	}
	in := c.ctcInput
	in.x = widen(x.Data)
	s.want = refCTCLoss(in)
	// A loss can be the small difference of large numbers, the number of
	// paths and their scores, and each frame rounds α a few times.
	s.floor = float64(c.frames+1) * promisedRelative[F]() / 8
	return s
}

// ctcCases returns every combination of options.
func ctcCases(rng *rand.Rand) (cases []ctcCase) {
	for i := range 1 << 7 {
		bit := func(k int) bool { return i>>k&1 == 1 }
		for blank := range 3 {
			c := ctcCase{padding: -1, spread: 1.5, raw: rng.IntN(2) == 0}
			c.frames, c.batch, c.classes, c.blank = 7, 4, 5, 2*blank
			c.batchFirst, c.fromLogits, c.zeroInfinity, c.scoresGradient, c.unbatched = bit(0), bit(1), bit(2), bit(3), bit(4)
			labels := []int{0, 2, 3, 5}
			c.inputLengths = []int{7, 7, 7, 7}
			if bit(5) {
				c.padding = rng.IntN(3)
			}
			if bit(6) {
				c.inputLengths = []int{5, 0, 7, 6}
			}
			if c.unbatched {
				c.batch = 1
				labels, c.inputLengths = labels[blank:blank+1], c.inputLengths[blank:blank+1]
			}
			for _, n := range labels {
				c.targets = append(c.targets, labelsOf(rng, n, c.classes, c.blank))
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// largeCTCCases returns batches of some length.
func largeCTCCases(rng *rand.Rand) (cases []ctcCase) {
	for _, size := range []struct{ frames, batch, classes, labels int }{{50, 16, 20, 30}, {80, 4, 80, 40}, {5, 3, 4100, 2}} {
		for i := range 4 {
			c := ctcCase{padding: -1 + 2*(i%2), spread: 2}
			c.frames, c.batch, c.classes, c.blank = size.frames, size.batch, size.classes, i%size.classes
			c.fromLogits, c.scoresGradient, c.batchFirst = i != 3, i == 2, i >= 2
			for range c.batch {
				c.targets = append(c.targets, labelsOf(rng, rng.IntN(size.labels+1), c.classes, c.blank))
				c.inputLengths = append(c.inputLengths, c.frames-rng.IntN(min(10, c.frames)))
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// subjects are calls of every loss: with every combination of options, and with
// enough work to divide. No test writes to them.
type subjects[F trellis.Float] struct{ small, large []subject[F] }

var (
	subjects32 = sync.OnceValue(newSubjects[float32])
	subjects64 = sync.OnceValue(newSubjects[float64])
)

func newSubjects[F trellis.Float]() (all subjects[F]) {
	rng := rand.New(rand.NewPCG(3, 1))
	for _, c := range classCases(rng) {
		all.small = append(all.small, classSubject[F](rng, c))
	}
	for _, c := range ctcCases(rng) {
		all.small = append(all.small, ctcSubject[F](rng, c))
	}
	for _, c := range largeClassCases(rng) {
		all.large = append(all.large, classSubject[F](rng, c))
	}
	for _, c := range largeCTCCases(rng) {
		all.large = append(all.large, ctcSubject[F](rng, c))
	}
	return all
}

// subjectsOf returns the subjects of a type.
func subjectsOf[F trellis.Float]() subjects[F] {
	if s, ok := any(subjects32).(func() subjects[F]); ok {
		return s()
	}
	return any(subjects64).(func() subjects[F])()
}

func (s subjects[F]) all() []subject[F] { return slices.Concat(s.small, s.large) }

func TestLossesMatchReference(t *testing.T) {
	bothTypes(t, testLossesMatchReference[float32], testLossesMatchReference[float64])
}

func testLossesMatchReference[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	for _, s := range subjectsOf[F]().all() {
		s.requireReference(t, rng)
	}
}

// disturb replaces some scores, and sometimes all of a row, by infinities and NaN.
func disturb[F trellis.Float](rng *rand.Rand, x []F, kinds ...float64) {
	for i := range x {
		if rng.IntN(12) == 0 {
			x[i] = F(kinds[rng.IntN(len(kinds))])
		}
	}
}

func TestSpecialScoresMatchReference(t *testing.T) {
	bothTypes(t, testSpecialScoresMatchReference[float32], testSpecialScoresMatchReference[float64])
}

func testSpecialScoresMatchReference[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(42, 1))
	masked := []float64{math.Inf(-1)}
	wild := []float64{math.Inf(-1), math.Inf(1), math.NaN()}
	for i, c := range classCases(rng) {
		s := classSubject[F](rng, c)
		x := trellis.Tensor[F]{Data: slices.Clone(s.x.Data), Shape: c.shape}
		disturb(rng, x.Data, [][]float64{masked, wild}[i%2]...)
		if c.kind != "probs" {
			classCall(c, x, c.targets(rng)).requireReference(t, rng)
			continue
		}
		target := trellis.Tensor[F]{Data: normals[F](rng, len(x.Data), 1), Shape: c.shape}
		for k, v := range target.Data {
			target.Data[k] = max(v, 0)
			if math.IsInf(float64(x.Data[k]), -1) && i%4 == 0 {
				target.Data[k] = 0 // 0·ln 0
			}
		}
		probsCall(c, x, target).requireReference(t, rng)
	}
	for i, c := range ctcCases(rng) {
		x := trellis.Tensor[F]{Data: narrow[F](c.randomScores(rng)), Shape: c.shape()}
		disturb(rng, x.Data, [][]float64{masked, wild}[i%2]...)
		ctcCall(c, x).requireReference(t, rng)
	}
}

// Far from 0 a log-sum-exp has few digits after the point in float32; losses and
// gradients have all of theirs.
func TestShiftedLogitsMatchReference(t *testing.T) {
	bothTypes(t, testShiftedLogitsMatchReference[float32], testShiftedLogitsMatchReference[float64])
}

func testShiftedLogitsMatchReference[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 1))
	for _, offset := range []F{-3000, 100, 20000} {
		for _, shape := range [][]int{{3, 5}, {2, 5, 3}, {2, 700}} {
			c := classCase{kind: "CE", shape: shape, spread: 1}
			s := classSubject[F](rng, c)
			for i := range s.x.Data {
				s.x.Data[i] += offset
			}
			classCall(c, s.x, c.targets(rng)).requireReference(t, rng)
			probsCall(c, s.x, oneHot[F](shape, make([]int, c.positions()), 0.5)).requireReference(t, rng)
		}
		for _, c := range ctcCases(rng) {
			c.fromLogits = true
			x := trellis.Tensor[F]{Data: narrow[F](c.randomScores(rng)), Shape: c.shape()}
			for i := range x.Data {
				x.Data[i] += offset
			}
			ctcCall(c, x).requireReference(t, rng)
		}
	}
}

// upstreams returns random factors for the losses of a subject.
func (s subject[F]) upstreams(rng *rand.Rand) []F { return normals[F](rng, len(s.want.losses), 1) }

func TestWorkersGiveTheSameBits(t *testing.T) {
	bothTypes(t, testWorkersGiveTheSameBits[float32], testWorkersGiveTheSameBits[float64])
}

func testWorkersGiveTheSameBits[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	for i, s := range subjectsOf[F]().large {
		reduction, upstream := trellis.Reduction(i%2), s.upstreams(rng)
		alone := s.run(t, reduction, 1, upstream)
		for _, workers := range []int{0, 2, 3, 7} {
			alone.requireSame(t, fmt.Sprint(s.name, " with ", workers, " workers"), s.run(t, reduction, workers, upstream))
		}
	}
}

func TestGradientInPlace(t *testing.T) {
	bothTypes(t, testGradientInPlace[float32], testGradientInPlace[float64])
}

func testGradientInPlace[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	for _, s := range subjectsOf[F]().all() {
		upstream := s.upstreams(rng)
		apart := s.run(t, trellis.Mean, 1, upstream)
		x := trellis.Tensor[F]{Data: slices.Clone(s.x.Data), Shape: s.x.Shape}
		loss, err := s.bind(x, trellis.Mean, 1).grad(x.Data)
		require.NoError(t, err, s.name)
		requireSameBits(t, s.name+": loss", []F{apart.gradLoss}, []F{loss})
		requireSameBits(t, s.name+": gradient", apart.grad, x.Data)
		copy(x.Data, s.x.Data)
		require.NoError(t, s.bind(x, trellis.Mean, 1).vjp(x.Data, upstream), s.name)
		requireSameBits(t, s.name+": VJP", apart.vjp, x.Data)
	}
}

func TestVJPOfReductionIsGrad(t *testing.T) {
	bothTypes(t, testVJPOfReductionIsGrad[float32], testVJPOfReductionIsGrad[float64])
}

func testVJPOfReductionIsGrad[F trellis.Float](t *testing.T) {
	for _, s := range subjectsOf[F]().all() {
		for _, reduction := range []trellis.Reduction{trellis.Mean, trellis.Sum} {
			factors := s.want.upstream(reduction)
			out := s.run(t, reduction, 1, narrow[F](factors))
			// The factors are rounded to F here; the mean's are not.
			tolerance := 4 * epsilon[F]() * s.want.term * slices.Max(append(factors, 0))
			requireNear(t, s.name, widen(out.grad), widen(out.vjp), tolerance)
			requireSameBits(t, s.name+": loss", []F{out.loss}, []F{out.gradLoss})
		}
	}
}

// epsilon returns the distance from 1 to the next number.
func epsilon[F trellis.Float]() float64 {
	if fp.IsFloat32[F]() {
		return 0x1p-23
	}
	return 0x1p-52
}

func TestConcurrentCalls(t *testing.T) {
	bothTypes(t, testConcurrentCalls[float32], testConcurrentCalls[float64])
}

func testConcurrentCalls[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	for i, s := range subjectsOf[F]().large {
		if i%3 > 0 {
			continue
		}
		upstream := s.upstreams(rng)
		alone := s.run(t, trellis.Mean, 1, upstream)
		var out [6]results[F]
		var errs [6]error
		var wait sync.WaitGroup
		for i := range out {
			wait.Go(func() { out[i], errs[i] = s.try(trellis.Mean, i%3, upstream) })
		}
		wait.Wait()
		for i := range out {
			require.NoError(t, errs[i])
			alone.requireSame(t, s.name, out[i])
		}
	}
}

func TestMethodsLeaveArgumentsAlone(t *testing.T) {
	bothTypes(t, testMethodsLeaveArgumentsAlone[float32], testMethodsLeaveArgumentsAlone[float64])
}

func testMethodsLeaveArgumentsAlone[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	for _, s := range subjectsOf[F]().small {
		upstream := s.upstreams(rng)
		x, factors := slices.Clone(s.x.Data), slices.Clone(upstream)
		s.run(t, trellis.Mean, 1, upstream)
		requireSameBits(t, s.name, x, s.x.Data)
		requireSameBits(t, s.name, factors, upstream)
	}
}

func TestCTCGradientRowsSumToZero(t *testing.T) {
	bothTypes(t, testCTCGradientRowsSumToZero[float32], testCTCGradientRowsSumToZero[float64])
}

func testCTCGradientRowsSumToZero[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 1))
	tolerance := 1e-6
	if !fp.IsFloat32[F]() {
		tolerance = 2e-14 // 2 halves of at most 1 in 90 roundings
	}
	for _, size := range []struct{ frames, classes, labels int }{{1, 2, 1}, {50, 20, 20}, {300, 80, 90}, {700, 30, 200}, {9, 5000, 4}} {
		for _, spread := range []float64{0.1, 1, 10} {
			c := ctcCase{ctcInput: ctcInput{frames: size.frames, batch: 2, classes: size.classes, blank: 1, fromLogits: true}}
			c.targets = [][]int{labelsOf(rng, size.labels, c.classes, 1), {}}
			c.inputLengths = []int{c.frames, c.frames}
			x := trellis.Tensor[F]{Data: normals[F](rng, product(c.shape()), spread), Shape: c.shape()}
			targets, lengths := c.flatten()
			grad := make([]F, len(x.Data))
			loss := ctcLoss[F](c)
			loss.Reduction = trellis.Sum
			_, err := loss.Grad(grad, x, targets, nil, lengths)
			require.NoError(t, err)
			for i := 0; i < len(grad); i += c.classes {
				var sum float64
				for _, g := range grad[i : i+c.classes] {
					sum += float64(g)
				}
				require.InDelta(t, 0, sum, tolerance, "%s spread %g row %d", c, spread, i/c.classes)
			}
		}
	}
}

// variant returns the results of a case whose scores are given for each frame
// and sequence, whatever its layout; the gradients come back so, too.
func variant[F trellis.Float](t *testing.T, c ctcCase, scores [][][]F, upstream []F) results[F] {
	t.Helper()
	x := trellis.Tensor[F]{Data: make([]F, c.frames*c.batch*c.classes), Shape: c.shape()}
	for n := range c.batch {
		for frame := range c.frames {
			copy(x.Data[c.at(n, frame):], scores[frame][n])
		}
	}
	out := ctcCall(c, x).run(t, trellis.Mean, 1, upstream)
	out.grad, out.vjp = timeMajor(c, out.grad), timeMajor(c, out.vjp)
	return out
}

// timeMajor returns data in the layout of a case as (T,N,C).
func timeMajor[F trellis.Float](c ctcCase, data []F) []F {
	moved := make([]F, 0, len(data))
	for frame := range c.frames {
		for n := range c.batch {
			moved = append(moved, data[c.at(n, frame):][:c.classes]...)
		}
	}
	return moved
}

func TestCTCLayoutsGiveTheSameBits(t *testing.T) {
	bothTypes(t, testCTCLayoutsGiveTheSameBits[float32], testCTCLayoutsGiveTheSameBits[float64])
}

func testCTCLayoutsGiveTheSameBits[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 1))
	for _, c := range ctcCases(rng) {
		if c.unbatched {
			continue
		}
		var scores [][][]F
		for range c.frames {
			var frame [][]F
			for range c.batch {
				frame = append(frame, normals[F](rng, c.classes, 2))
			}
			scores = append(scores, frame)
		}
		upstream := normals[F](rng, c.batch, 1)
		c.padding, c.batchFirst = -1, false
		want := variant(t, c, scores, upstream)
		for padding := -1; padding <= 3; padding++ {
			for _, c.batchFirst = range []bool{false, true} {
				c.padding = padding
				want.requireSame(t, c.String(), variant(t, c, scores, upstream))
			}
		}
		requireParts(t, c, scores, upstream, want)
	}
}

// requireParts fails unless every sequence gives alone, as a batch of one and
// without a batch, what it gives in the batch.
func requireParts[F trellis.Float](t *testing.T, c ctcCase, scores [][][]F, upstream []F, want results[F]) {
	t.Helper()
	for n := range c.batch {
		one := c
		one.batch, one.targets, one.inputLengths = 1, c.targets[n:n+1], c.inputLengths[n:n+1]
		var alone [][][]F
		var vjp []F
		for frame := range c.frames {
			alone = append(alone, scores[frame][n:n+1])
			vjp = append(vjp, want.vjp[(frame*c.batch+n)*c.classes:][:c.classes]...)
		}
		batched := variant(t, one, alone, upstream[n:n+1])
		requireSameBits(t, c.String()+": loss alone", want.losses[n:n+1], batched.losses)
		requireSameBits(t, c.String()+": VJP alone", vjp, batched.vjp)
		one.unbatched = true
		batched.requireSame(t, one.String(), variant(t, one, alone, upstream[n:n+1]))
	}
}

func TestCTCGradientsDifferBySoftmax(t *testing.T) {
	bothTypes(t, testCTCGradientsDifferBySoftmax[float32], testCTCGradientsDifferBySoftmax[float64])
}

func testCTCGradientsDifferBySoftmax[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 1))
	for _, fromLogits := range []bool{false, true} {
		c := ctcCase{ctcInput: ctcInput{frames: 12, batch: 2, classes: 6, blank: 3, fromLogits: fromLogits}, spread: 1, raw: true}
		c.targets, c.inputLengths = [][]int{{1, 1, 0}, {2, 5}}, []int{12, 12}
		x := trellis.Tensor[F]{Data: narrow[F](c.randomScores(rng)), Shape: c.shape()}
		ones := []F{1, 1}
		logits := ctcCall(c, x).run(t, trellis.Sum, 1, ones).grad
		c.scoresGradient = true
		want := ctcCall(c, x).run(t, trellis.Sum, 1, ones).grad
		p := slices.Clone(x.Data)
		if fromLogits {
			trellis.SoftmaxRows(p, x)
		} else {
			for i, v := range x.Data {
				p[i] = F(math.Exp(float64(v)))
			}
		}
		for i := range want {
			want[i] += p[i]
		}
		requireNear(t, c.String(), widen(want), widen(logits), 4*epsilon[F]()*float64(slices.Max(p)))
	}
}

// poison is what scores that do not count are set to.
func poison[F trellis.Float](i int) F {
	return []F{F(math.NaN()), F(math.Inf(1)), F(math.Inf(-1)), F(math.Copysign(math.MaxFloat32, -1))}[i%4]
}

func TestFramesBeyondTheInputAreNotRead(t *testing.T) {
	bothTypes(t, testFramesBeyondTheInputAreNotRead[float32], testFramesBeyondTheInputAreNotRead[float64])
}

func testFramesBeyondTheInputAreNotRead[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 1))
	for _, c := range ctcCases(rng) {
		x := trellis.Tensor[F]{Data: narrow[F](c.randomScores(rng)), Shape: c.shape()}
		upstream := normals[F](rng, c.batch, 1)
		want := ctcCall(c, x).run(t, trellis.Mean, 1, upstream)
		poisoned := trellis.Tensor[F]{Data: slices.Clone(x.Data), Shape: x.Shape}
		zeros := make([]F, c.classes)
		for n, length := range c.inputLengths {
			for frame := length; frame < c.frames; frame++ {
				at := c.at(n, frame)
				for i := range c.classes {
					poisoned.Data[at+i] = poison[F](at + i)
				}
				requireSameBits(t, c.String(), zeros, want.grad[at:][:c.classes])
				requireSameBits(t, c.String(), zeros, want.vjp[at:][:c.classes])
			}
		}
		want.requireSame(t, c.String(), ctcCall(c, poisoned).run(t, trellis.Mean, 1, upstream))
	}
}

func TestIgnoredPositionsDoNotMatter(t *testing.T) {
	bothTypes(t, testIgnoredPositionsDoNotMatter[float32], testIgnoredPositionsDoNotMatter[float64])
}

func testIgnoredPositionsDoNotMatter[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 1))
	for _, c := range slices.Concat(classCases(rng), largeClassCases(rng)) {
		if c.kind == "probs" {
			continue
		}
		targets := c.targets(rng)
		x := trellis.Tensor[F]{Data: normals[F](rng, product(c.shape), 2), Shape: c.shape}
		upstream := normals[F](rng, len(targets), 1)
		want := classCall(c, x, targets).run(t, trellis.Mean, 1, upstream)
		poisoned := trellis.Tensor[F]{Data: slices.Clone(x.Data), Shape: c.shape}
		for i, at := range classScores(c.shape) {
			if targets[i] != options[F](c).ignore {
				continue
			}
			for _, k := range at {
				poisoned.Data[k] = poison[F](k)
				requireSameBits(t, c.String()+": ignored", []F{0, 0}, []F{want.grad[k], want.vjp[k]})
			}
			requireSameBits(t, c.String()+": ignored", []F{0}, want.losses[i:i+1])
		}
		want.requireSame(t, c.String(), classCall(c, poisoned, targets).run(t, trellis.Mean, 1, upstream))
	}
}

func TestNLLOfLogSoftmaxIsCrossEntropy(t *testing.T) {
	bothTypes(t, testNLLOfLogSoftmaxIsCrossEntropy[float32], testNLLOfLogSoftmaxIsCrossEntropy[float64])
}

func testNLLOfLogSoftmaxIsCrossEntropy[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 1))
	for _, n := range []int{1, 2, 7, 100, 4097} {
		c := classCase{kind: "NLL", shape: []int{6, n}, weight: positive(rng, n), ignore: pointer(-1)}
		x := trellis.Tensor[F]{Data: normals[F](rng, 6*n, 3), Shape: c.shape}
		logp := trellis.Tensor[F]{Data: make([]F, 6*n), Shape: c.shape}
		trellis.LogSoftmaxRows(logp.Data, x)
		targets := c.targets(rng)
		upstream := normals[F](rng, 6, 1)
		nll := classCall(c, logp, targets).run(t, trellis.Mean, 1, upstream)
		c.kind = "CE"
		ce := classCall(c, x, targets).run(t, trellis.Mean, 1, upstream)
		// Log-softmax is rounded to F before the sum.
		requireNear(t, c.String(), widen(ce.losses), widen(nll.losses), 4*epsilon[F]()*20)
		requireNear(t, c.String(), widen([]F{ce.loss}), widen([]F{nll.loss}), 4*epsilon[F]()*20)
	}
}

// oneHot returns class targets as probabilities, smoothed.
func oneHot[F trellis.Float](shape, targets []int, smoothing float64) trellis.Tensor[F] {
	target := trellis.Tensor[F]{Data: make([]F, product(shape)), Shape: shape}
	for i, at := range classScores(shape) {
		for c, k := range at {
			target.Data[k] = F(smoothing / float64(len(at)))
			if c == targets[i] {
				target.Data[k] += F(1 - smoothing)
			}
		}
	}
	return target
}

func TestClassProbabilitiesAndClassesAgree(t *testing.T) {
	bothTypes(t, testClassProbabilitiesAndClassesAgree[float32], testClassProbabilitiesAndClassesAgree[float64])
}

func testClassProbabilitiesAndClassesAgree[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(16, 1))
	for _, shape := range [][]int{{5}, {15, 10}, {2, 10, 3}, {2, 10, 3, 4}, {3, 600}} {
		for _, smoothing := range []float64{0, 0.05, 0.15, 1} {
			for _, weighted := range []bool{false, true} {
				c := classCase{kind: "CE", shape: shape, ignore: pointer(-1)}
				if weighted {
					c.weight = positive(rng, c.classes())
				}
				x := trellis.Tensor[F]{Data: normals[F](rng, product(shape), 3), Shape: shape}
				targets := c.targets(rng)
				for i, y := range targets {
					targets[i] = max(y, 0)
				}
				upstream := normals[F](rng, len(targets), 1)
				hot := probsCall(c, x, oneHot[F](shape, targets, smoothing)).run(t, trellis.Sum, 1, upstream)
				c.smoothing = smoothing
				class := classCall(c, x, targets)
				index := class.run(t, trellis.Sum, 1, upstream)
				smoothed := probsCall(c, x, oneHot[F](shape, targets, 0)).run(t, trellis.Sum, 1, upstream)
				for _, other := range []results[F]{hot, smoothed} {
					// Each of the many ε/C is rounded in the target.
					tolerance := 256 * epsilon[F]() * class.want.mass
					requireNear(t, c.String()+": losses", widen(index.losses), widen(other.losses), tolerance)
					requireNear(t, c.String()+": gradient", widen(index.grad), widen(other.grad), tolerance)
					requireNear(t, c.String()+": VJP", widen(index.vjp), widen(other.vjp), tolerance)
				}
			}
		}
	}
}

func TestBatchIsTheSumOfItsParts(t *testing.T) {
	bothTypes(t, testBatchIsTheSumOfItsParts[float32], testBatchIsTheSumOfItsParts[float64])
}

func testBatchIsTheSumOfItsParts[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 1))
	for _, c := range classCases(rng) {
		if c.kind == "probs" {
			continue
		}
		x := trellis.Tensor[F]{Data: normals[F](rng, product(c.shape), 2), Shape: c.shape}
		targets := c.targets(rng)
		s := classCall(c, x, targets)
		whole := s.run(t, trellis.Sum, 1, slices.Repeat([]F{1}, len(targets)))
		scores, gradient := widen(x.Data), widen(whole.grad)
		var sum, size float64
		for i, at := range classScores(c.shape) {
			one := c
			one.shape = []int{len(at)}
			row := trellis.Tensor[F]{Data: narrow[F](pick(scores, at)), Shape: one.shape}
			part := classCall(one, row, targets[i:i+1]).run(t, trellis.Sum, 1, []F{1})
			sum += float64(part.loss)
			size += math.Abs(float64(part.loss))
			// The two add up exp in different orders, up to 64 terms in one lane.
			requireNear(t, c.String()+": gradient", widen(part.grad), pick(gradient, at), 16*epsilon[F]()*s.want.term)
		}
		requireNear(t, c.String(), []float64{sum}, widen([]F{whole.loss}), 4*epsilon[F]()*size)
	}
}

func TestLossesAreNeverNegative(t *testing.T) {
	bothTypes(t, testLossesAreNeverNegative[float32], testLossesAreNeverNegative[float64])
}

func testLossesAreNeverNegative[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(18, 1))
	for i := range 3000 {
		c := ctcCase{ctcInput: ctcInput{frames: 1 + rng.IntN(30), batch: 1, classes: 2 + rng.IntN(8), fromLogits: true}}
		c.inputLengths = []int{c.frames}
		x := normals[F](rng, c.frames*c.classes, 1)
		path := make([]int, c.frames) // that the scores make likely
		for frame := range path {
			path[frame] = rng.IntN(c.classes)
			x[c.at(0, frame)+path[frame]] += F(rng.ExpFloat64() * float64(i%60))
		}
		c.targets = [][]int{collapse(path, 0)}
		targets, lengths := c.flatten()
		loss, err := ctcLoss[F](c).Loss(trellis.Tensor[F]{Data: x, Shape: []int{c.frames, c.classes}}, targets, nil, lengths)
		require.NoError(t, err)
		require.False(t, math.Signbit(float64(loss)), "CTC %g: %v %v", loss, x, targets)
		loss, err = trellis.CrossEntropyLoss[F]{}.Loss(trellis.Tensor[F]{Data: x[:c.classes], Shape: []int{c.classes}}, path[:1])
		require.NoError(t, err)
		require.False(t, math.Signbit(float64(loss)), "cross-entropy %g: %v %v", loss, x[:c.classes], path[0])
	}
}

// A small loss is −ln(1−q) where q is what all other paths have: a sum of small
// positive numbers, without cancellation.
func TestSmallCTCLossesAreRelativelyExact(t *testing.T) {
	bothTypes(t, testSmallCTCLossesAreRelativelyExact[float32], testSmallCTCLossesAreRelativelyExact[float64])
}

func testSmallCTCLossesAreRelativelyExact[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 1))
	smallest := 1.0
	for i := range 600 {
		c := ctcCase{ctcInput: ctcInput{frames: 1 + rng.IntN(5), batch: 1, classes: 2 + rng.IntN(3), fromLogits: true}}
		c.blank, c.inputLengths = rng.IntN(c.classes), []int{c.frames}
		x := normals[F](rng, c.frames*c.classes, 1)
		path := make([]int, c.frames)
		for frame := range path {
			path[frame] = rng.IntN(c.classes)
			x[c.at(0, frame)+path[frame]] += F(i%40 + 3)
		}
		c.targets, c.x = [][]int{collapse(path, c.blank)}, widen(x)
		_, miss, _ := refCTCBrute(c.scores(0), c.targets[0], c.blank)
		want := -math.Log1p(-miss)
		targets, lengths := c.flatten()
		var loss [1]F
		err := ctcLoss[F](c).Losses(loss[:], trellis.Tensor[F]{Data: x, Shape: []int{c.frames, c.classes}}, targets, nil, lengths)
		require.NoError(t, err)
		// exp(x − max) carries the rounding of the difference, relatively.
		rounding := epsilon[F]() / 2 * float64(slices.Max(x)-slices.Min(x))
		require.InEpsilon(t, want, float64(loss[0]), promisedRelative[F]()+rounding, "%v %v", x, targets)
		smallest = min(smallest, want)
	}
	require.Less(t, smallest, 1e-15) // or the test has lost its subject
}

func TestPermutedClassesPermuteGradients(t *testing.T) {
	bothTypes(t, testPermutedClassesPermuteGradients[float32], testPermutedClassesPermuteGradients[float64])
}

func testPermutedClassesPermuteGradients[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(20, 1))
	for _, c := range ctcCases(rng) {
		c.raw = false
		to := rng.Perm(c.classes) // class k becomes to[k]
		x := trellis.Tensor[F]{Data: narrow[F](c.randomScores(rng)), Shape: c.shape()}
		upstream := normals[F](rng, c.batch, 1)
		permuted := c
		permuted.blank, permuted.targets = to[c.blank], nil
		for _, target := range c.targets {
			var labels []int
			for _, label := range target {
				labels = append(labels, to[label])
			}
			permuted.targets = append(permuted.targets, labels)
		}
		moved := trellis.Tensor[F]{Data: permuteClasses(x.Data, to), Shape: x.Shape}
		want := ctcCall(c, x).run(t, trellis.Mean, 1, upstream)
		got := ctcCall(permuted, moved).run(t, trellis.Mean, 1, upstream)
		tolerance := 32 * epsilon[F]()
		requireNear(t, c.String()+": losses", widen(want.losses), widen(got.losses), tolerance*8)
		requireNear(t, c.String()+": gradient", widen(permuteClasses(want.grad, to)), widen(got.grad), tolerance)
		requireNear(t, c.String()+": VJP", widen(permuteClasses(want.vjp, to)), widen(got.vjp), tolerance*4)
	}
}

// permuteClasses moves the element k of every row to to[k].
func permuteClasses[F trellis.Float](x []F, to []int) []F {
	moved := make([]F, len(x))
	for i := range x {
		row := i - i%len(to)
		moved[row+to[i%len(to)]] = x[i]
	}
	return moved
}

// rowLengths are the lengths 0 to 70, which end in every lane, and those around
// blocks.
func rowLengths() (lengths []int) {
	for n := range 71 {
		lengths = append(lengths, n)
	}
	return append(lengths, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 8193)
}

func TestRowsMatchReference(t *testing.T) {
	bothTypes(t, testRowsMatchReference[float32], testRowsMatchReference[float64])
}

func testRowsMatchReference[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 1))
	for _, n := range rowLengths() {
		for _, spread := range []float64{0, 0.1, 3, 100} {
			x := trellis.Tensor[F]{Data: normals[F](rng, 3*n, spread), Shape: []int{3, n}}
			var logp, p, sums []float64
			for r := range 3 {
				row := widen(x.Data[r*n : (r+1)*n])
				sums = append(sums, refLogSumExp(row...))
				logp = append(logp, refLogSoftmax(row)...)
				p = append(p, refSoftmax(row)...)
			}
			requireRows(t, x, sums, logp, p)
		}
	}
}

// requireRows compares all forms of the row functions with what they should
// give. Results of the same row have the same bits in all forms.
func requireRows[F trellis.Float](t *testing.T, x trellis.Tensor[F], sums, logp, p []float64) {
	t.Helper()
	n := x.Shape[1]
	gotSums, gotLogp, gotP := filled[F](3), filled[F](3*n), filled[F](3*n)
	trellis.LogSumExpRows(gotSums, x)
	trellis.LogSoftmaxRows(gotLogp, x)
	trellis.SoftmaxRows(gotP, x)
	what := fmt.Sprintf("n=%d ", n)
	tolerance := 4 * epsilon[F]()
	if !fp.IsFloat32[F]() { // the reference adds n numbers one by one
		tolerance *= math.Sqrt(float64(n + 1))
	}
	for r := range 3 {
		if n > 0 {
			require.InEpsilon(t, 1+sums[r], 1+float64(gotSums[r]), tolerance, what) // relative to 1 near 0
		} else {
			require.True(t, math.IsInf(float64(gotSums[r]), -1))
		}
	}
	for i := range logp {
		requireNear(t, what+"log-softmax", logp[i:i+1], widen(gotLogp[i:i+1]), tolerance*(1+math.Abs(logp[i])))
	}
	for i := range p {
		// The error of the logarithm is that of the number times its size.
		requireNear(t, what+"softmax", p[i:i+1], widen(gotP[i:i+1]), tolerance*p[i]*(1+math.Abs(logp[i]))+tiny[F]())
	}
	for r := range 3 {
		row := x.Data[r*n : (r+1)*n]
		require.Equal(t, gotSums[r], trellis.LogSumExp(row), what)
		dst := filled[F](n)
		trellis.LogSoftmax(dst, row)
		requireSameBits(t, what, gotLogp[r*n:(r+1)*n], dst)
		trellis.Softmax(dst, row)
		requireSameBits(t, what, gotP[r*n:(r+1)*n], dst)
		copy(dst, row)
		trellis.LogSoftmax(dst, dst)
		requireSameBits(t, what, gotLogp[r*n:(r+1)*n], dst)
		copy(dst, row)
		trellis.Softmax(dst, dst)
		requireSameBits(t, what, gotP[r*n:(r+1)*n], dst)
	}
}

// tiny returns the smallest normal number: what is below is 0.
func tiny[F trellis.Float]() float64 {
	if fp.IsFloat32[F]() {
		return 0x1p-126
	}
	return 0x1p-1022
}

func TestSpecialScoresInEveryPlace(t *testing.T) {
	bothTypes(t, testSpecialScoresInEveryPlace[float32], testSpecialScoresInEveryPlace[float64])
}

func testSpecialScoresInEveryPlace[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(22, 1))
	inf, nan := math.Inf(1), math.NaN()
	for _, n := range rowLengths() {
		for place := 0; place < n; place += 1 + n/70*17 {
			x := normals[F](rng, n, 3)
			for _, special := range []float64{nan, inf, -inf} {
				x[place] = F(special)
				requireSpecialRow(t, x)
			}
			other := (place*7 + 3) % n
			x[place], x[other] = F(inf), F(nan) // or only the NaN, where both are one place
			requireSpecialRow(t, x)
		}
		requireSpecialRow(t, slices.Repeat([]F{F(-inf)}, n))
		requireSpecialRow(t, slices.Repeat([]F{F(inf)}, n))
	}
}

// requireSpecialRow compares a row that holds infinities or NaN with the
// reference.
func requireSpecialRow[F trellis.Float](t *testing.T, x []F) {
	t.Helper()
	row := widen(x)
	what := fmt.Sprintf("n=%d NaN at %d", len(x), slices.IndexFunc(row, math.IsNaN))
	tolerance := 64 * epsilon[F]()
	requireNear(t, what, []float64{refLogSumExp(row...)}, []float64{float64(trellis.LogSumExp(x))}, tolerance)
	dst := make([]F, len(x))
	trellis.LogSoftmax(dst, x)
	requireNear(t, what+" log-softmax", refLogSoftmax(row), widen(dst), tolerance)
	trellis.Softmax(dst, x)
	requireNear(t, what+" softmax", refSoftmax(row), widen(dst), tolerance)
}

func TestLogitsThatAreNoNumbersGiveNaN(t *testing.T) {
	bothTypes(t, testLogitsThatAreNoNumbersGiveNaN[float32], testLogitsThatAreNoNumbersGiveNaN[float64])
}

// testLogitsThatAreNoNumbersGiveNaN has a bad row among two good ones, with
// contiguous classes and without, and with targets of no mass, too.
func testLogitsThatAreNoNumbersGiveNaN[F trellis.Float](t *testing.T) {
	inf := math.Inf(1)
	for _, shape := range [][]int{{3, 3}, {1, 3, 3}} {
		at := classScores(shape)
		for _, row := range [][]float64{{1, math.NaN(), 2}, {inf, 0, 0}, {-inf, -inf, -inf}, {-inf, inf, math.NaN()}} {
			x := trellis.Tensor[F]{Data: make([]F, 9), Shape: shape}
			for i, v := range row {
				x.Data[at[1][i]] = F(v)
			}
			for _, mass := range []F{0, 1} {
				target := trellis.Tensor[F]{Data: slices.Repeat([]F{mass}, 9), Shape: shape}
				s := probsCall(classCase{kind: "probs", shape: shape}, x, target)
				s.requireReference(t, rand.New(rand.NewPCG(41, 1)))
				require.True(t, math.IsNaN(s.want.losses[1]) && !math.IsNaN(s.want.losses[0]))
			}
			for _, smoothing := range []float64{0, 0.5, 1} {
				c := classCase{kind: "CE", shape: shape, smoothing: smoothing}
				classCall(c, x, []int{2, 2, 2}).requireReference(t, rand.New(rand.NewPCG(41, 1)))
			}
		}
	}
}

func TestGather(t *testing.T) { bothTypes(t, testGather[float32], testGather[float64]) }

func testGather[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 1))
	for _, n := range rowLengths() {
		src := normals[F](rng, 3*n+3, 1)
		index := make([]int32, n)
		want := make([]F, n)
		for i := range index {
			index[i] = int32(rng.IntN(len(src)))
			want[i] = src[index[i]]
		}
		dst := filled[F](n)
		trellis.Gather(dst, src, index)
		require.Equal(t, want, dst)

		for i := range index { // the same as one index for each of three rows, or three, or none
			index[i] %= int32(n + 1)
		}
		index = index[:n-n%3]
		for i := range index {
			want[i] = src[i/max(n/3, 1)*(n+1)+int(index[i])]
		}
		dst = filled[F](len(index))
		trellis.GatherRows(dst, trellis.Tensor[F]{Data: src, Shape: []int{3, n + 1}}, index)
		require.Equal(t, want[:len(index)], dst)
	}
}

func TestRowsOfHigherRank(t *testing.T) {
	x := trellis.Tensor[float32]{Data: []float32{0, 0, 1, 2, 3, 3, 1, 1}, Shape: []int{2, 1, 2, 2}}
	dst := make([]float32, 4)
	trellis.LogSumExpRows(dst, x)
	for r := range dst {
		require.Equal(t, trellis.LogSumExp(x.Data[2*r:2*r+2]), dst[r])
	}
	picked := make([]float32, 8)
	trellis.GatherRows(picked, x, []int32{1, 1, 0, 1, 0, 0, 1, 0})
	require.Equal(t, []float32{0, 0, 1, 2, 3, 3, 1, 1}, picked)
	trellis.LogSumExpRows(nil, trellis.Tensor[float32]{Shape: []int{0, 3}})
	trellis.SoftmaxRows(nil, trellis.Tensor[float32]{Shape: []int{math.MaxInt, 0}})
	trellis.GatherRows(nil, trellis.Tensor[float32]{Shape: []int{0, 3}}, nil)
}

func TestManyRowsAreDivided(t *testing.T) {
	bothTypes(t, testManyRowsAreDivided[float32], testManyRowsAreDivided[float64])
}

func testManyRowsAreDivided[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(24, 1))
	for _, shape := range [][]int{{20000, 3}, {70, 1000}, {5, 16385}, {16385, 1}} {
		x := trellis.Tensor[F]{Data: normals[F](rng, product(shape), 3), Shape: shape}
		rows, n := shape[0], shape[1]
		sums, logp, p, row := filled[F](rows), filled[F](rows*n), filled[F](rows*n), make([]F, n)
		trellis.LogSumExpRows(sums, x)
		trellis.LogSoftmaxRows(logp, x)
		trellis.SoftmaxRows(p, x)
		for r := range rows {
			at := x.Data[r*n : (r+1)*n]
			require.Equal(t, trellis.LogSumExp(at), sums[r])
			trellis.LogSoftmax(row, at)
			require.True(t, slices.Equal(row, logp[r*n:(r+1)*n]))
			trellis.Softmax(row, at)
			require.True(t, slices.Equal(row, p[r*n:(r+1)*n]))
		}
	}
}

// PyTorch's own tests of its losses, in a form that needs no PyTorch.

// torchCase returns a case of full frames with random labels of the given
// lengths, concatenated.
func torchCase(rng *rand.Rand, frames, classes, blank int, lengths ...int) ctcCase {
	c := ctcCase{ctcInput: ctcInput{frames: frames, batch: len(lengths), classes: classes, blank: blank}, padding: -1, spread: 1}
	for _, n := range lengths {
		labels := []int{}
		for range n {
			labels = append(labels, (blank+1+rng.IntN(classes-1))%classes)
		}
		c.targets = append(c.targets, labels)
		c.inputLengths = append(c.inputLengths, frames)
	}
	return c
}

// 1. T=4000 N=4 C=3 S=1200 with equal labels, which need 2399 frames. With just
// as many there is a single path, with one less none.
func TestTorchLongTargets(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	const frames, labels = 4000, 1200
	rng := rand.New(rand.NewPCG(31, 1))
	c := torchCase(rng, frames, 3, 0, 0, labels, labels, labels)
	for n := range c.targets {
		c.targets[n] = slices.Repeat([]int{1}, labels)
	}
	c.zeroInfinity, c.inputLengths = true, []int{frames, 2*labels - 1, 2*labels - 2, frames}
	x := trellis.Tensor[float64]{Data: c.randomScores(rng), Shape: c.shape()}
	losses, grad := make([]float64, 4), make([]float64, len(x.Data))
	targets, lengths := c.flatten()
	loss := ctcLoss[float64](c)
	loss.Reduction = trellis.Sum
	require.NoError(t, loss.Losses(losses, x, targets, c.inputLengths, lengths))
	sum, err := loss.Grad(grad, x, targets, c.inputLengths, lengths)
	require.NoError(t, err)
	require.InEpsilon(t, losses[0]+losses[1]+losses[3], sum, 1e-14)

	want, occupancy := refCTC(c.frameRows(x.Data, 0), c.targets[0], c.blank)
	require.InEpsilon(t, want, losses[0], 1e-12)
	for frame, gamma := range occupancy {
		row := x.Data[c.at(0, frame):][:3]
		expected := []float64{math.Exp(row[0]) - gamma[0], math.Exp(row[1]) - gamma[1], math.Exp(row[2])}
		// The reference's logarithms of 10³ have an ulp of 1e-13, times the frames' square root.
		requireNear(t, fmt.Sprint("frame ", frame), expected, grad[c.at(0, frame):][:3], 2e-11)
	}
	var path float64
	for frame := range 2*labels - 1 {
		path -= x.Data[c.at(1, frame)+(frame+1)%2]
	}
	require.InEpsilon(t, path, losses[1], 1e-12)
	require.Zero(t, losses[2])
	for frame := range frames {
		require.Equal(t, []float64{0, 0, 0}, grad[c.at(2, frame):][:3])
	}
}

// frameRows returns the frames of a sequence in other scores of the same layout.
func (c ctcCase) frameRows(data []float64, sequence int) [][]float64 {
	in := c.ctcInput
	in.x = data
	return in.scores(sequence)
}

// α of long inputs is not kept for all frames but made again in segments: here
// one frame more than a segment, and two segments.
func TestLongInputsMatchReference(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	rng := rand.New(rand.NewPCG(32, 1))
	for _, frames := range []int{1537, 3072} {
		c := torchCase(rng, frames, 30, 3, 1023)
		c.fromLogits = true
		s := ctcSubject[float32](rng, c)
		out := s.run(t, trellis.Sum, 1, []float32{0.5})
		s.requireLosses(t, out.losses)
		s.requireGrad(t, "gradient", []float64{1}, s.want.grad, out.grad)
		s.requireGrad(t, "VJP", []float64{0.5}, s.want.vjp([]float64{0.5}), out.vjp)
	}
}

// 2. The critical target length of GPU kernels.
func TestTorchCriticalTargetLength(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 1))
	c := torchCase(rng, 500, 10, 0, 256)
	ctcSubject[float32](rng, c).requireReference(t, rng)
	ctcSubject[float64](rng, c).requireReference(t, rng)
}

// 3. No frames at all: only an empty target can be spelled.
func TestTorchLengthsOfZero(t *testing.T) {
	rng := rand.New(rand.NewPCG(34, 1))
	c := torchCase(rng, 1, 2, 0, 0, 1, 0)
	c.inputLengths = []int{0, 0, 0}
	s := ctcSubject[float64](rng, c)
	out := s.run(t, trellis.Sum, 1, []float64{1, 1, 1})
	require.Equal(t, []float64{0, math.Inf(1), 0}, out.losses)
	require.Equal(t, make([]float64, 6), out.grad)
	require.Equal(t, make([]float64, 6), out.vjp)
}

// 4. Targets that are partly too long, with ZeroInfinity.
func TestTorchZeroInfinity(t *testing.T) {
	rng := rand.New(rand.NewPCG(35, 1))
	c := torchCase(rng, 50, 15, 0, 60, 25, 20)
	c.zeroInfinity = true
	s := ctcSubject[float32](rng, c)
	s.requireReference(t, rng)
	out := s.run(t, trellis.Sum, 1, []float32{1, 1, 1})
	require.Zero(t, out.losses[0])
	require.Equal(t, out.losses[1]+out.losses[2], out.loss)
	require.False(t, slices.ContainsFunc(widen(out.grad), math.IsNaN))
}

// 5. Empty targets have only the path of blanks.
func TestTorchEmptyTargets(t *testing.T) {
	rng := rand.New(rand.NewPCG(36, 1))
	for _, lengths := range [][]int{{0, 0, 0}, {0, 9, 0}} {
		c := torchCase(rng, 50, 15, 0, lengths...)
		s := ctcSubject[float64](rng, c)
		out := s.run(t, trellis.Mean, 1, []float64{1, 1, 1})
		for _, n := range []int{0, 2} {
			var want float64
			for frame := range c.frames {
				want -= s.x.Data[c.at(n, frame)]
			}
			require.InEpsilon(t, want, out.losses[n], 1e-14)
		}
		require.GreaterOrEqual(t, out.losses[1], 0.0)
		s.requireReference(t, rng)
	}
}

// 6. The gradient in some directions, by finite differences.
func TestTorchGradcheck(t *testing.T) {
	rng := rand.New(rand.NewPCG(37, 1))
	for _, frames := range []int{150, 50} {
		c := torchCase(rng, frames, 101, 0, slices.Repeat([]int{15}, 64)...)
		c.fromLogits = true
		for n := range c.inputLengths {
			c.inputLengths[n] = frames/2 + rng.IntN(frames/2+1)
		}
		x := trellis.Tensor[float64]{Data: c.randomScores(rng), Shape: c.shape()}
		s := ctcCall(c, x)
		grad := s.run(t, trellis.Mean, 0, make([]float64, 64)).grad
		for range 5 {
			direction := normals[float64](rng, len(x.Data), 1)
			along := differences([]float64{0}, func(step []float64) float64 {
				moved := trellis.Tensor[float64]{Data: slices.Clone(x.Data), Shape: x.Shape}
				for i, d := range direction {
					moved.Data[i] += step[0] * d
				}
				loss, err := s.bind(moved, trellis.Mean, 0).loss()
				require.NoError(t, err)
				return loss
			})
			var want float64
			for i, d := range direction {
				want += d * grad[i]
			}
			require.InDelta(t, want, along[0], 1e-8)
		}
	}
}

// 7. A blank that is the last class, padded and concatenated.
func TestTorchBlankLast(t *testing.T) {
	rng := rand.New(rand.NewPCG(38, 1))
	c := torchCase(rng, 50, 15, 14, 30, 25, 20)
	x := trellis.Tensor[float64]{Data: c.randomScores(rng), Shape: c.shape()}
	concatenated := ctcCall(c, x)
	concatenated.requireReference(t, rng)
	c.padding = 0
	upstream := []float64{1, 2, 3}
	want := concatenated.run(t, trellis.Mean, 1, upstream)
	want.requireSame(t, "padded", ctcCall(c, x).run(t, trellis.Mean, 1, upstream))
}

// 8. Negative log-likelihood: shapes and options.
func TestTorchNLL(t *testing.T) {
	rng := rand.New(rand.NewPCG(39, 1))
	for _, shape := range [][]int{{15, 4}, {2, 4, 5}, {2, 4, 5, 5}, {2, 4, 5, 5, 2, 2}} {
		for _, weight := range [][]float64{nil, positive(rng, 4)} {
			for _, ignore := range []*int{nil, pointer(2), pointer(-1), pointer(255)} {
				c := classCase{kind: "NLL", shape: shape, weight: weight, ignore: ignore, spread: 1}
				classSubject[float32](rng, c).requireReference(t, rng)
				classSubject[float64](rng, c).requireReference(t, rng)
			}
		}
	}
}

// 8. Negative log-likelihood of nothing: the mean is NaN, the sum and gradients
// are 0.
func TestTorchNothingCounts(t *testing.T) {
	for _, kind := range []string{"NLL", "CE"} {
		for _, shape := range [][]int{{0, 3}, {0, 3, 5}, {2, 3, 0}, {2, 3, 5, 0}, {2, 3, 5, 7, 0}} {
			requireNothingCounts(t, classCase{kind: kind, shape: shape}, nil)
		}
		requireNothingCounts(t, classCase{kind: kind, shape: []int{2, 3}, ignore: pointer(255)}, []int{255, 255})
		requireNothingCounts(t, classCase{kind: kind, shape: []int{2, 3}, weight: []float64{1, 0, 1}}, []int{1, 1})
	}
	requireNothing(t, probsCall(classCase{kind: "probs", shape: []int{0, 3}},
		trellis.Tensor[float32]{Shape: []int{0, 3}}, trellis.Tensor[float32]{Shape: []int{0, 3}}))
	requireNothing(t, ctcCall(ctcCase{ctcInput: ctcInput{frames: 5, classes: 3}, padding: -1}, trellis.Tensor[float32]{Shape: []int{5, 0, 3}}))
}

func requireNothingCounts(t *testing.T, c classCase, targets []int) {
	t.Helper()
	x := trellis.Tensor[float32]{Data: slices.Repeat([]float32{-1}, product(c.shape)), Shape: c.shape}
	requireNothing(t, classCall(c, x, targets))
}

func requireNothing(t *testing.T, s subject[float32]) {
	t.Helper()
	ones := slices.Repeat([]float32{1}, len(s.want.losses))
	mean, sum := s.run(t, trellis.Mean, 0, ones), s.run(t, trellis.Sum, 0, ones)
	requireSameBits(t, s.name+": mean", []float32{float32(math.NaN())}, []float32{mean.loss})
	requireSameBits(t, s.name+": mean of Grad", []float32{float32(math.NaN())}, []float32{mean.gradLoss})
	for _, zeros := range [][]float32{{sum.loss, sum.gradLoss}, sum.losses, sum.grad, sum.vjp, mean.grad, mean.vjp} {
		for _, v := range zeros {
			require.Zero(t, v, s.name)
		}
	}
}

// 9. Ignored positions: those of another first row, with the same index, give
// the same.
func TestTorchIgnoredCrossEntropy(t *testing.T) {
	for _, ignore := range []int{-100, -2, 2} {
		for _, smoothing := range []float64{0, 0.05, 0.15} {
			c := classCase{kind: "CE", shape: []int{2, 2}, ignore: pointer(ignore), smoothing: smoothing}
			var out [2]results[float64]
			for i, data := range [][]float64{{0.3, 0.4, 1, 2}, {0.3, 0.6, 1, 2}} {
				s := classCall(c, trellis.Tensor[float64]{Data: data, Shape: c.shape}, []int{ignore, 1})
				s.requireReference(t, rand.New(rand.NewPCG(40, 1)))
				out[i] = s.run(t, trellis.Mean, 1, []float64{1, 1})
			}
			out[0].requireSame(t, c.String(), out[1])
		}
	}
}
