package trellis_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/conformance"
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/stretchr/testify/require"
)

// A fuzz target takes a call of a loss apart into the bytes that it decodes it
// from. It has its own opinion of which calls are legal: the others must be
// refused without anything being written. What legal calls give is compared with
// the reference, whatever scores are NaN or infinite.

// stream decodes values from fuzzed bytes; after their end there are zeros.
type stream struct{ bytes []byte }

func (s *stream) byte() byte {
	if len(s.bytes) == 0 {
		return 0
	}
	b := s.bytes[0]
	s.bytes = s.bytes[1:]
	return b
}

// below returns a number in [0,n).
func (s *stream) below(n int) int { return int(s.byte()) % n }

func (s *stream) bool() bool { return s.byte()&1 == 1 }

// rarely is true for one byte of 32.
func (s *stream) rarely() bool { return s.byte()%32 == 31 }

// special are scores of which arithmetic may think twice.
var special = []float64{
	math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1e-40, -1e-40, 1e-310, 5e-324, 0x1p-126, 0x1p-1022,
	80, -80, 88.8, -88.8, -104, 700, -700, 709.9, -746, 1e4, -1e4, 1e5, -1e5, 1e30, -1e30,
	math.MaxFloat32, -math.MaxFloat32, math.MaxFloat64, -math.MaxFloat64, math.Nextafter(1, 2), math.Inf(-1),
}

// score decodes a score: mostly a small one, with or without bits to round, or a
// special one, or any bits at all.
func score[F trellis.Float](s *stream) F {
	switch b := s.byte(); {
	case b < 128:
		return F(int(b)-64) / 8
	case b < 208:
		return F(int(b)-168)/3 + F(int8(s.byte()))/1e3
	case b < 248:
		return F(special[int(b-208)%len(special)])
	case fp.IsFloat32[F]():
		return F(math.Float32frombits(uint32(s.bits(4))))
	default:
		return F(math.Float64frombits(s.bits(8)))
	}
}

// bits decodes any integer of n bytes.
func (s *stream) bits(n int) uint64 {
	var word [8]byte
	for i := range n {
		word[i] = s.byte()
	}
	return binary.LittleEndian.Uint64(word[:])
}

// scores decodes n scores.
func scores[F trellis.Float](s *stream, n int) []F {
	x := make([]F, n)
	for i := range x {
		x[i] = score[F](s)
	}
	return x
}

// number decodes a number in [0,n), or rarely a little or far outside.
func (s *stream) number(n int) int {
	if s.rarely() {
		return []int{-1, n, n + 1, -100, math.MinInt, math.MaxInt, math.MaxInt/2 + 1, math.MaxInt32 + n}[s.below(8)]
	}
	return s.below(max(n, 1))
}

// axes decodes a shape. Most axes are up to most, and some are 0.
func (s *stream) axes(rank, most int) []int {
	shape := make([]int, rank)
	for i := range shape {
		shape[i] = 1 + s.below(most)
		if s.rarely() {
			shape[i] = []int{0, 0, 0, -1, huge, 4}[s.below(6)]
		}
	}
	return shape
}

// elements returns how many elements a shape has, and false if it is
// impossible or has too many for a test.
func elements(shape []int) (n int, ok bool) {
	if slices.Contains(shape, 0) {
		return 0, slices.Min(shape) >= 0
	}
	n = 1
	for _, d := range shape {
		if d < 0 || d > 1<<20 {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// tensorFor decodes data for a shape, and whether it describes it.
func tensorFor[F trellis.Float](s *stream, shape []int) (x trellis.Tensor[F], ok bool) {
	n, ok := elements(shape)
	if s.rarely() {
		n, ok = n+1, false
	}
	return trellis.Tensor[F]{Data: scores[F](s, n), Shape: shape}, ok
}

// requireRefused fails unless all methods return an ArgumentError and write
// nothing. That a destination alone is wrong is no matter of fuzzing.
func requireRefused[F trellis.Float](t *testing.T, what string, m conformance.Methods[F], elements, samples int) {
	t.Helper()
	grad, dst := conformance.Filled[F](elements), conformance.Filled[F](samples)
	_, lossErr := m.Loss()
	lossesErr := m.Losses(dst)
	_, gradErr := m.Grad(grad)
	vjpErr := m.VJP(grad, make([]F, samples))
	for _, err := range []error{lossErr, lossesErr, gradErr, vjpErr} {
		var argument *trellis.ArgumentError
		require.ErrorAs(t, err, &argument, what)
	}
	require.Equal(t, conformance.Filled[F](elements), grad, what)
	require.Equal(t, conformance.Filled[F](samples), dst, what)
}

// requireLegal runs the methods of a legal call. It fails unless the reduced loss
// is the same from Loss and Grad, and the gradient the same in place.
func requireLegal[F trellis.Float](t *testing.T, call conformance.Call[F], upstream []F) conformance.Results[F] {
	t.Helper()
	out := call.Run(t, trellis.Mean, 1, upstream)
	conformance.RequireSameBits(t, call.Name+": loss", []F{out.Loss}, []F{out.GradLoss})
	x := slices.Clone(call.X.Data)
	inPlace := call.X
	inPlace.Data = x
	_, err := call.Bind(inPlace, trellis.Mean, 2).Grad(x)
	require.NoError(t, err, call.Name)
	conformance.RequireSameBits(t, call.Name+": gradient in place", out.Grad, x)
	return out
}

// magnitude returns the largest of the finite numbers in x.
func magnitude[F trellis.Float](x []F) float64 {
	var m float64
	for _, v := range x {
		if a := math.Abs(float64(v)); a > m && !math.IsInf(a, 0) {
			m = a
		}
	}
	return m
}

// factors decodes n ordinary factors of losses.
func factors[F trellis.Float](s *stream, n int) []F {
	u := make([]F, n)
	for i := range u {
		u[i] = F(s.byte())/64 - 1
	}
	return u
}

// bothOf runs a fuzz target of either element type, as the first byte says.
func bothOf(f *testing.F, f32, f64 func(t *testing.T, s *stream)) {
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &stream{data}
		if s.bool() {
			f64(t, s)
		} else {
			f32(t, s)
		}
	})
}

// addSeeds adds some inputs to start from: from plain ones to wild ones, of
// either type.
func addSeeds(f *testing.F) {
	for kind := range byte(2) {
		f.Add([]byte{kind})
		for step := range byte(12) {
			data := []byte{kind}
			for i := range 120 {
				data = append(data, byte(i)*(2*step+1)+step)
			}
			f.Add(data)
		}
	}
}

// fuzzedClass is what the class losses have in common.
type fuzzedClass[F trellis.Float] struct {
	x         trellis.Tensor[F]
	weight    []F
	ignore    *int
	reduction trellis.Reduction
	workers   int
	smoothing F
	c, count  int  // classes and positions, if legal
	legal     bool // as far as decoded
}

// decodeClass decodes options and scores.
func decodeClass[F trellis.Float](s *stream) (a fuzzedClass[F]) {
	shape := s.axes([]int{2, 1, 3, 4, 0}[min(s.below(16), 4)%5], 5)
	a.x, a.legal = tensorFor[F](s, shape)
	a.legal = a.legal && len(shape) > 0
	if a.legal {
		a.count, a.legal = positionsOf(shape)
		a.c = shape[min(1, len(shape)-1)]
		a.legal = a.legal && (a.c > 0 || a.count == 0) && a.c <= math.MaxInt32
	}
	if !a.legal {
		a.c, a.count = min(a.c, 5), min(a.count, 5)
	}
	if s.bool() {
		a.weight = make([]F, a.c)
		for i := range a.weight {
			a.weight[i] = max(score[F](s), 0)
		}
		if s.rarely() {
			a.weight, a.legal = append(a.weight, 1), false
		}
	}
	a.ignore = []*int{nil, new(0), new(2), new(-1), new(1 << 20)}[s.below(5)]
	a.reduction = trellis.Reduction(s.below(2))
	if s.rarely() {
		a.reduction, a.legal = trellis.Reduction(2+s.below(254)), false
	}
	a.workers = s.below(4)
	if s.rarely() {
		a.workers, a.legal = -1, false
	}
	return a
}

// positionsOf returns the number of positions of a legal shape.
func positionsOf(shape []int) (int, bool) {
	others := slices.Clone(shape)
	others[min(1, len(shape)-1)] = 1
	return elements(others)
}

// decodeSmoothing decodes label smoothing.
func (a *fuzzedClass[F]) decodeSmoothing(s *stream) {
	a.smoothing = []F{0, 0, 0.1, 0.5, 1}[s.below(5)]
	if s.rarely() {
		a.smoothing = score[F](s)
		a.legal = a.legal && a.smoothing >= 0 && a.smoothing <= 1
	}
}

// case returns the options for the reference.
func (a fuzzedClass[F]) asCase(kind string) conformance.ClassCase {
	c := conformance.ClassCase{Kind: kind, Shape: a.x.Shape, Ignore: a.ignore, Smoothing: float64(a.smoothing)}
	if a.weight != nil {
		c.Weight = conformance.Cast[float64](a.weight)
	}
	return c
}

// decodeTargets decodes class targets.
func (a *fuzzedClass[F]) decodeTargets(s *stream) []int {
	ignore := -100
	if a.ignore != nil {
		ignore = *a.ignore
	}
	targets := make([]int, a.count)
	for i := range targets {
		targets[i] = s.number(a.c)
		if s.below(8) == 7 {
			targets[i] = ignore
		}
		if y := targets[i]; y != ignore && (y < 0 || y >= a.c) {
			a.legal = false
		}
	}
	if s.rarely() {
		targets, a.legal = append(targets, 0), false
	}
	return targets
}

// isComparable reports whether the reference's range is enough: results are
// products of weights and scores.
func (a fuzzedClass[F]) isComparable() bool {
	for _, w := range a.weight {
		if w != 0 && !(w >= 1e-3 && w <= 1e3) {
			return false
		}
	}
	return magnitude(a.x.Data) <= 1e30
}

// requireClass checks a call of a class loss.
func requireClass[F trellis.Float](t *testing.T, s *stream, a fuzzedClass[F], m func(x trellis.Tensor[F]) conformance.Methods[F], reference func() conformance.Call[F]) {
	what := fmt.Sprintf("%+v", a)
	if !a.legal {
		requireRefused(t, what, m(a.x), len(a.x.Data), a.count)
		return
	}
	call := reference()
	call.Bind = func(x trellis.Tensor[F], _ trellis.Reduction, _ int) conformance.Methods[F] { return m(x) }
	call.Name += what
	upstream := factors[F](s, a.count)
	out := requireLegal(t, call, upstream)
	if a.isComparable() {
		call.RequireClose(t, a.reduction, out, upstream, magnitude(a.x.Data))
	}
}

func FuzzNLL(f *testing.F) {
	addSeeds(f)
	bothOf(f, fuzzNLL[float32], fuzzNLL[float64])
}

func fuzzNLL[F trellis.Float](t *testing.T, s *stream) {
	a := decodeClass[F](s)
	targets := a.decodeTargets(s)
	loss := trellis.NLLLoss[F]{Weight: a.weight, IgnoreIndex: a.ignore, Reduction: a.reduction, Workers: a.workers}
	requireClass(t, s, a,
		func(x trellis.Tensor[F]) conformance.Methods[F] { return conformance.BindClasses(loss, x, targets) },
		func() conformance.Call[F] { return conformance.ClassCall(a.asCase("NLL"), a.x, targets) })
}

func FuzzCrossEntropy(f *testing.F) {
	addSeeds(f)
	bothOf(f, fuzzCrossEntropy[float32], fuzzCrossEntropy[float64])
}

func fuzzCrossEntropy[F trellis.Float](t *testing.T, s *stream) {
	a := decodeClass[F](s)
	a.decodeSmoothing(s)
	targets := a.decodeTargets(s)
	loss := a.crossEntropy()
	requireClass(t, s, a,
		func(x trellis.Tensor[F]) conformance.Methods[F] { return conformance.BindClasses(loss, x, targets) },
		func() conformance.Call[F] { return conformance.ClassCall(a.asCase("CE"), a.x, targets) })
}

func (a fuzzedClass[F]) crossEntropy() trellis.CrossEntropyLoss[F] {
	return trellis.CrossEntropyLoss[F]{Weight: a.weight, IgnoreIndex: a.ignore, Reduction: a.reduction, Workers: a.workers, LabelSmoothing: a.smoothing}
}

func FuzzCrossEntropyProbs(f *testing.F) {
	addSeeds(f)
	bothOf(f, fuzzCrossEntropyProbs[float32], fuzzCrossEntropyProbs[float64])
}

func fuzzCrossEntropyProbs[F trellis.Float](t *testing.T, s *stream) {
	a := decodeClass[F](s)
	a.decodeSmoothing(s)
	target := trellis.Tensor[F]{Data: make([]F, len(a.x.Data)), Shape: slices.Clone(a.x.Shape)}
	for i := range target.Data {
		target.Data[i] = F(max(s.below(64)-32, 0)) / 31
	}
	if s.rarely() && len(target.Shape) > 0 {
		target.Shape[s.below(len(target.Shape))]++
		a.legal = false
	}
	loss := a.crossEntropy()
	requireClass(t, s, a,
		func(x trellis.Tensor[F]) conformance.Methods[F] { return conformance.BindProbs(loss, x, target) },
		func() conformance.Call[F] { return conformance.ProbsCall(a.asCase("probs"), a.x, target) })
}

// fuzzedCTC is a call of CTCLoss.
type fuzzedCTC[F trellis.Float] struct {
	loss    trellis.CTCLoss[F]
	x       trellis.Tensor[F]
	targets []int
	inputs  []int // nil for all frames
	lengths []int
	c       conformance.CTCCase
	legal   bool
}

// decodeCTC decodes a call, and judges it.
func decodeCTC[F trellis.Float](s *stream) (a fuzzedCTC[F]) {
	a.legal = true
	a.decodeOptions(s)
	a.decodeScores(s)
	a.decodeLengths(s)
	a.decodeTargets(s)
	return a
}

// decodeOptions decodes what is in the struct.
func (a *fuzzedCTC[F]) decodeOptions(s *stream) {
	a.c.ZeroInfinity, a.c.Scores, a.c.BatchFirst = s.bool(), trellis.Scores(s.below(3)), s.bool()
	a.c.ScoresGradient, a.c.Unbatched = s.bool(), s.below(4) == 3
	a.loss = trellis.CTCLoss[F]{
		ZeroInfinity: a.c.ZeroInfinity, Scores: a.c.Scores, BatchFirst: a.c.BatchFirst,
		Reduction: trellis.Reduction(s.below(2)), Workers: s.below(4),
	}
	if a.c.ScoresGradient {
		a.loss.Gradient = trellis.ScoresGradient
	}
	if s.rarely() {
		a.legal = false
		switch s.below(3) {
		case 0:
			a.loss.Reduction = 2
		case 1:
			a.loss.Gradient = 7
		default:
			a.loss.Workers = -3
		}
	}
}

// decodeScores decodes the scores, of up to 6 frames, 3 sequences and 4
// classes, and the blank.
func (a *fuzzedCTC[F]) decodeScores(s *stream) {
	size := s.axes(3, 4)
	size[0] += s.below(3)
	a.c.Frames, a.c.Batch, a.c.Classes = size[0], size[1], size[2]
	if a.c.Unbatched {
		a.c.Batch = 1
	}
	var ok bool
	a.x, ok = tensorFor[F](s, a.c.Shape())
	if a.c.Scores == trellis.Probabilities && s.bool() {
		for i, v := range a.x.Data {
			v = max(v, -v)
			a.x.Data[i] = v / (1 + v)
		}
	}
	if s.rarely() {
		a.x.Shape, ok = append(a.x.Shape, 1, 1), false
	}
	a.loss.Blank = s.number(a.c.Classes)
	a.c.Blank = a.loss.Blank
	a.legal = a.legal && ok && a.c.Blank >= 0 && a.c.Blank < a.c.Classes
	a.legal = a.legal && a.c.Frames <= 1<<26 && a.c.Classes <= math.MaxInt32 && a.c.Batch <= 4
	if !a.legal { // there need not be as much as the shape says
		a.c.Batch, a.c.Frames = min(max(a.c.Batch, 0), 4), min(max(a.c.Frames, 0), 6)
	}
}

// decodeLengths decodes the lengths of inputs and targets.
func (a *fuzzedCTC[F]) decodeLengths(s *stream) {
	given := s.bool()
	for range a.c.Batch {
		frames := a.c.Frames
		if given {
			frames = s.number(a.c.Frames + 1)
			a.inputs = append(a.inputs, frames)
		}
		a.c.InputLengths = append(a.c.InputLengths, frames)
		labels := s.number(4)
		a.lengths = append(a.lengths, labels)
		a.legal = a.legal && frames >= 0 && frames <= a.c.Frames && labels >= 0
	}
	switch {
	case !s.rarely():
	case given && s.bool():
		a.inputs, a.legal = append(a.inputs, 0), false
	default:
		a.lengths, a.legal = append(a.lengths, 0), false
	}
}

// decodeTargets decodes the labels of rows that may be padded, or of another
// number of rows, which may happen to be legal, too.
func (a *fuzzedCTC[F]) decodeTargets(s *stream) {
	width := -1
	if s.bool() {
		width = s.below(7)
	}
	for n := range a.c.Batch {
		labels := max(min(a.lengths[n], 6), 0)
		for range labels {
			a.targets = append(a.targets, s.number(a.c.Classes))
		}
		for range width - labels {
			a.targets = append(a.targets, -5)
		}
	}
	if s.rarely() {
		a.targets = append(a.targets, 1)
	}
	if a.legal {
		a.split()
	}
}

// split finds the targets of the sequences, if they are legal.
func (a *fuzzedCTC[F]) split() {
	total, longest := 0, 0
	for _, n := range a.lengths {
		if n > len(a.targets) {
			a.legal = false
			return
		}
		total, longest = total+n, max(longest, n)
	}
	width, rows := 0, a.c.Batch
	switch {
	case total == len(a.targets):
	case rows > 0 && len(a.targets)%rows == 0 && len(a.targets)/rows >= longest:
		width = len(a.targets) / rows
	default:
		a.legal = false
		return
	}
	rest := a.targets
	for _, n := range a.lengths {
		target := rest[:n]
		for _, label := range target {
			a.legal = a.legal && label >= 0 && label < a.c.Classes && label != a.c.Blank
		}
		a.c.Targets = append(a.c.Targets, target)
		rest = rest[max(n, width):]
	}
}

// isComparable reports whether the reference's range is enough. exp(x), which
// only log-probabilities should see, must be a number.
func (a fuzzedCTC[F]) isComparable() bool {
	for _, v := range a.x.Data {
		size := math.Abs(float64(v))
		if size > 1e5 && !math.IsInf(size, 0) || v > 80 && a.c.Scores != trellis.Logits && !a.c.ScoresGradient {
			return false
		}
	}
	return true
}

func FuzzCTC(f *testing.F) {
	addSeeds(f)
	bothOf(f, fuzzCTC[float32], fuzzCTC[float64])
}

func fuzzCTC[F trellis.Float](t *testing.T, s *stream) {
	a := decodeCTC[F](s)
	what := fmt.Sprintf("%+v", a)
	bind := func(x trellis.Tensor[F], _ trellis.Reduction, _ int) conformance.Methods[F] {
		return conformance.BindCTC(a.loss, x, a.targets, a.inputs, a.lengths)
	}
	if !a.legal {
		requireRefused(t, what, bind(a.x, 0, 0), len(a.x.Data), a.c.Batch)
		return
	}
	call := conformance.CTCCall(a.c, a.x)
	call.Bind, call.Name = bind, what
	upstream := factors[F](s, a.c.Batch)
	out := requireLegal(t, call, upstream)
	for n, loss := range out.Losses {
		require.Falsef(t, a.c.Scores == trellis.Logits && math.Signbit(float64(loss)) && loss == loss, "loss %d of %s is %g", n, what, loss)
		requireZeros(t, a.c, n, out.Grad, what)
	}
	if a.isComparable() {
		size := magnitude(a.x.Data)
		if a.c.Scores == trellis.Probabilities {
			size = 745 // of logarithms
		}
		size *= float64(a.c.Frames)
		call.RequireClose(t, a.loss.Reduction, out, upstream, size)
		call.RequireAllPaths(t, a.c, out, upstream)
	}
}

// requireZeros fails if a frame that does not count has a gradient.
func requireZeros[F trellis.Float](t *testing.T, c conformance.CTCCase, n int, grad []F, what string) {
	t.Helper()
	for frame := c.InputLengths[n]; frame < c.Frames; frame++ {
		for _, g := range grad[c.At(n, frame):][:c.Classes] {
			require.Zero(t, g, what)
		}
	}
}

func FuzzAlign(f *testing.F) {
	addSeeds(f)
	bothOf(f, fuzzAlign[float32], fuzzAlign[float64])
}

// fuzzAlign aligns what FuzzCTC computes the loss of, with wildcards.
func fuzzAlign[F trellis.Float](t *testing.T, s *stream) {
	a := decodeCTC[F](s)
	aligner := trellis.CTCAligner[F]{Blank: a.loss.Blank, Scores: a.loss.Scores, BatchFirst: a.loss.BatchFirst,
		Workers: a.loss.Workers, Confidence: s.bool(), AnyScore: -float64(s.below(4))}
	labels := 0
	for _, n := range a.lengths {
		if n < 0 || n > len(a.targets)-labels {
			labels = 0
			break
		}
		labels += n
	}
	filled := trellis.Span{Start: -9, End: -9, Score: 9, Confidence: 9}
	spans, scores := slices.Repeat([]trellis.Span{filled}, labels), conformance.Filled[float64](max(a.c.Batch, 0))
	what := fmt.Sprintf("%+v %+v", aligner, a)
	if !a.legal {
		illegal := a.loss.Gradient <= trellis.ScoresGradient && a.loss.Reduction <= trellis.Sum && !slices.Contains(a.targets, trellis.AnyLabel)
		err := aligner.Align(spans, scores, a.x, a.targets, a.inputs, a.lengths)
		var argument *trellis.ArgumentError
		if illegal {
			require.ErrorAs(t, err, &argument, what)
		}
		if err != nil {
			require.Equal(t, conformance.Filled[float64](max(a.c.Batch, 0)), scores, what)
			require.Equal(t, slices.Repeat([]trellis.Span{filled}, labels), spans, what)
		}
		return
	}
	for _, target := range a.c.Targets {
		for i := range target {
			if s.below(4) == 3 {
				target[i] = trellis.AnyLabel
			}
		}
	}
	require.NoError(t, aligner.Align(spans, scores, a.x, a.targets, a.inputs, a.lengths), what)
	for n, target := range a.c.Targets {
		requireAlignment(t, a, aligner, n, target, spans[:len(target)], scores[n], what)
		spans = spans[len(target):]
	}
}

// requireAlignment fails if spans are no path with the score, or a better one is found by the plain recursion.
func requireAlignment[F trellis.Float](t *testing.T, a fuzzedCTC[F], aligner trellis.CTCAligner[F], n int, target []int, spans []trellis.Span, score float64, what string) {
	t.Helper()
	frames := a.c.InputLengths[n]
	logs := make([][]float64, frames)
	for k := range logs {
		row := conformance.Cast[float64](a.x.Data[a.c.At(n, k):][:a.c.Classes])
		switch a.c.Scores {
		case trellis.Logits:
			row = conformance.RefLogSoftmax(row)
		case trellis.Probabilities:
			for c, p := range row {
				row[c] = math.Log(p*0x1p100) - 100*math.Ln2 // math.Log has none of subnormal numbers
			}
		}
		logs[k] = row
	}
	of := func(k, class int) float64 {
		if class == trellis.AnyLabel {
			return aligner.AnyScore
		}
		return logs[k][class]
	}
	if math.IsNaN(score) {
		for _, s := range spans {
			require.True(t, s.Start == 0 && s.End == 0 && math.IsNaN(s.Score) && math.IsNaN(s.Confidence), what)
		}
		return
	}
	if magnitude(a.x.Data) > 1e200 { // may count as infinite
		return
	}
	best := map[int]float64{0: 0} // by state
	for k := range frames {
		next := map[int]float64{}
		for state, sum := range best {
			for to := state; to <= min(state+2, 2*len(target)); to++ {
				class := a.c.Blank
				if to%2 == 1 {
					class = target[to/2]
				}
				if to == state+2 && (to%2 == 0 || target[to/2] == target[to/2-1] && class != trellis.AnyLabel) {
					continue
				}
				v := sum + of(k, class)
				if old, ok := next[to]; !ok || v > old {
					next[to] = v
				}
			}
		}
		best = next
	}
	want := math.Inf(-1)
	for state, sum := range best {
		if state >= 2*len(target)-1 {
			want = max(want, sum)
		}
	}
	if math.IsInf(score, -1) {
		require.True(t, math.IsInf(want, -1), "%v: %s", want, what)
		for _, s := range spans {
			require.Equal(t, trellis.Span{Score: score}, s, what)
		}
		return
	}
	path := make([]int, frames)
	trellis.Path(path, spans, target, a.c.Blank)
	var sum, size float64
	for k, class := range path {
		sum += of(k, class)
		size += magnitude(a.x.Data)
	}
	tolerance := 1e-5 * (1 + math.Abs(score) + size)
	require.InDelta(t, sum, score, tolerance, what)
	require.InDelta(t, want, score, tolerance, what)
	for _, s := range spans {
		require.True(t, s.Start < s.End && s.Confidence >= 0 && s.Confidence < 1+1e-6, "%v %s", s, what)
	}
}

func FuzzRows(f *testing.F) {
	addSeeds(f)
	bothOf(f, fuzzRows[float32], fuzzRows[float64])
}

func fuzzRows[F trellis.Float](t *testing.T, s *stream) {
	rows, n := 1+s.below(3), s.below(40)
	if s.rarely() {
		n *= 1 + s.below(10)
	}
	x := trellis.Tensor[F]{Data: scores[F](s, rows*n), Shape: []int{rows, n}}
	sums, logp, p := conformance.Filled[F](rows), conformance.Filled[F](rows*n), conformance.Filled[F](rows*n)
	trellis.LogSumExpRows(sums, x)
	trellis.LogSoftmaxRows(logp, x)
	trellis.SoftmaxRows(p, x)
	tolerance := 16 * conformance.Epsilon[F]()
	for r := range rows {
		own := slices.Clone(x.Data[r*n:][:n])
		row := conformance.Cast[float64](own)
		sum, logs := conformance.RefLogSumExp(row...), conformance.RefLogSoftmax(row)
		conformance.RequireRounded(t, fmt.Sprint("log-sum-exp of ", row), []float64{sum}, sums[r:r+1], func(int) float64 { return tolerance * (1 + math.Abs(sum)) })
		conformance.RequireRounded(t, fmt.Sprint("log-softmax of ", row), logs, logp[r*n:][:n], func(i int) float64 { return tolerance * (1 + math.Abs(logs[i])) })
		conformance.RequireRounded(t, fmt.Sprint("softmax of ", row), conformance.RefSoftmax(row), p[r*n:][:n], func(int) float64 { return tolerance })
		// A row alone, and in place.
		conformance.RequireSameBits(t, fmt.Sprint("log-sum-exp of ", row), sums[r:r+1], []F{trellis.LogSumExp(own)})
		trellis.LogSoftmax(own, own)
		conformance.RequireSameBits(t, fmt.Sprint("log-softmax of ", row), logp[r*n:][:n], own)
		copy(own, x.Data[r*n:])
		trellis.Softmax(own, own)
		conformance.RequireSameBits(t, fmt.Sprint("softmax of ", row), p[r*n:][:n], own)
	}
	requireGather(t, s, x)
}

// requireGather checks GatherRows, which panics before it writes if an index is
// wrong.
func requireGather[F trellis.Float](t *testing.T, s *stream, x trellis.Tensor[F]) {
	t.Helper()
	rows, n, k := x.Shape[0], x.Shape[1], s.below(5)
	index, want := make([]int32, rows*k), conformance.Filled[F](rows*k)
	legal := true
	for i := range index {
		index[i] = int32(s.number(n))
		legal = legal && index[i] >= 0 && int(index[i]) < n
	}
	dst := conformance.Filled[F](len(index))
	if !legal {
		requirePanic(t, "trellis: GatherRows: index out of range", func() { trellis.GatherRows(dst, x, index) })
		require.Equal(t, want, dst)
		return
	}
	for i := range want {
		want[i] = x.Data[i/k*n+int(index[i])]
	}
	trellis.GatherRows(dst, x, index)
	conformance.RequireSameBits(t, "gathered", want, dst)
	trellis.Gather(dst[:k], x.Data[:n], index[:k])
	conformance.RequireSameBits(t, "gathered from a row", want[:k], dst[:k])
}
