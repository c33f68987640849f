package trellis

import (
	"unsafe"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// CrossEntropyLoss is the cross-entropy between a target and the softmax of the
// logits x, with the semantics of torch.nn.CrossEntropyLoss. The zero value is
// ready to use and has PyTorch's defaults. A value may be used concurrently; its
// methods allocate nothing once their workspaces are pooled, and give the same
// bits for any number of workers.
//
// The logits have the shape (C), (N,C) or (N,C,d1,…,dk); there is one loss for
// each position (n,d1,…,dk), in row-major order. With p = softmax(x) over the
// classes of a position and ε = LabelSmoothing, the loss of a class target y is
//
//	−(1−ε)·Weight[y]·ln p[y] − ε/C · Σ Weight[c]·ln p[c],
//
// and 0 where y is IgnoreIndex; that of class probabilities y[c], which need not
// add up to 1, is
//
//	−Σ Weight[c] · ((1−ε)·y[c] + ε/C) · ln p[c].
//
// Class targets go with Loss, Losses, Grad and VJP, class probabilities with the
// methods whose names end in Probs. Near 0 the loss of a class target keeps its
// relative accuracy, in float32 to 2⁻²⁵ for each nat by which the target's logit
// leads and the rounding of a sum over the classes, which is some 2⁻²³, and 2⁻¹⁸
// where thousands of them have the same logit. A class at −Inf has probability 0,
// and gradient 0 unless the target puts something on it; in the sums over classes a
// factor of 0 adds nothing even there.
// Logits with NaN or +Inf, or only −Inf, give NaN.
//
// Methods return an *ArgumentError, and write nothing, if the shape of x does not
// describe its data or has positions without classes or 2³¹ classes or more, if a
// length or shape does not fit it, if a target is out of range, if LabelSmoothing
// is outside [0,1], if Reduction or Workers has no meaning, or if a destination
// overlaps an argument (grad may be x.Data itself).
type CrossEntropyLoss[F Float] struct {
	// Weight has one factor for each class; nil means 1 for all.
	Weight []F
	// IgnoreIndex points to the class target that marks a position to be left
	// out: its loss and gradient are 0, and it does not count in the mean. It
	// may lie outside [0,C); nil means −100.
	IgnoreIndex *int
	// Reduction is that of Loss and Grad. For class targets Mean divides the
	// sum by the sum of the weights of the targets that count; if that is 0
	// the mean is NaN, and its gradient 0. For class probabilities it divides
	// by the number of positions.
	Reduction Reduction
	// Workers is the most goroutines that work on one call: 0 means
	// GOMAXPROCS, 1 none beside the caller's.
	Workers int
	// LabelSmoothing is ε above, from 0 to 1.
	LabelSmoothing F
}

// Loss returns the reduced loss of class targets, one for each position.
func (l CrossEntropyLoss[F]) Loss(x Tensor[F], targets []int) (F, error) {
	return l.run(crossEntropy, "CrossEntropyLoss.Loss", outputs[F]{}, x, targets, Tensor[F]{})
}

// Losses writes the loss of every position to dst, in the order of the targets:
// PyTorch's reduction "none".
func (l CrossEntropyLoss[F]) Losses(dst []F, x Tensor[F], targets []int) error {
	_, err := l.run(crossEntropy, "CrossEntropyLoss.Losses", outputs[F]{want: allLosses, losses: dst}, x, targets, Tensor[F]{})
	return err
}

// Grad returns the reduced loss and writes its gradient with respect to the
// logits to grad, which has x's layout and may be x.Data.
func (l CrossEntropyLoss[F]) Grad(grad []F, x Tensor[F], targets []int) (F, error) {
	return l.run(crossEntropy, "CrossEntropyLoss.Grad", outputs[F]{want: lossAndGrad, grad: grad}, x, targets, Tensor[F]{})
}

// VJP writes to grad the gradient with respect to the logits of
// Σ upstream[i]·loss[i], whatever Reduction is: the vector-Jacobian product of
// the losses. grad has x's layout and may be x.Data; upstream has one factor for
// each position.
func (l CrossEntropyLoss[F]) VJP(grad, upstream []F, x Tensor[F], targets []int) error {
	out := outputs[F]{want: productVJP, grad: grad, upstream: upstream}
	_, err := l.run(crossEntropy, "CrossEntropyLoss.VJP", out, x, targets, Tensor[F]{})
	return err
}

// LossProbs returns the reduced loss of class probabilities, a tensor of x's
// shape. IgnoreIndex does not apply.
func (l CrossEntropyLoss[F]) LossProbs(x, target Tensor[F]) (F, error) {
	return l.run(crossEntropyProbs, "CrossEntropyLoss.LossProbs", outputs[F]{}, x, nil, target)
}

// LossesProbs writes the loss of every position to dst. target has x's shape.
func (l CrossEntropyLoss[F]) LossesProbs(dst []F, x, target Tensor[F]) error {
	_, err := l.run(crossEntropyProbs, "CrossEntropyLoss.LossesProbs", outputs[F]{want: allLosses, losses: dst}, x, nil, target)
	return err
}

// GradProbs returns the reduced loss of class probabilities and writes its
// gradient with respect to the logits to grad, which has x's layout and may be
// x.Data. target has x's shape and must not overlap grad.
func (l CrossEntropyLoss[F]) GradProbs(grad []F, x, target Tensor[F]) (F, error) {
	return l.run(crossEntropyProbs, "CrossEntropyLoss.GradProbs", outputs[F]{want: lossAndGrad, grad: grad}, x, nil, target)
}

// VJPProbs writes to grad the gradient with respect to the logits of
// Σ upstream[i]·loss[i] for class probabilities, whatever Reduction is. grad has
// x's layout and may be x.Data; target has x's shape and must not overlap grad.
func (l CrossEntropyLoss[F]) VJPProbs(grad, upstream []F, x, target Tensor[F]) error {
	out := outputs[F]{want: productVJP, grad: grad, upstream: upstream}
	_, err := l.run(crossEntropyProbs, "CrossEntropyLoss.VJPProbs", out, x, nil, target)
	return err
}

func (l CrossEntropyLoss[F]) run(kind classKind, method string, out outputs[F], x Tensor[F], targets []int, probs Tensor[F]) (F, error) {
	if !(l.LabelSmoothing >= 0 && l.LabelSmoothing <= 1) {
		return 0, &ArgumentError{method, "LabelSmoothing", nil, l.LabelSmoothing, "outside [0,1]"}
	}
	t := newClassTask(kind, method, l.Weight, l.IgnoreIndex, l.Reduction, l.Workers)
	defer t.release()
	t.smoothing = float64(l.LabelSmoothing)
	return t.run(out, x, targets, probs)
}

// statistics is what one reading of the logits tells of the positions of an
// item. Where there is no softmax sum and what follows from it is NaN.
type statistics[F Float] struct {
	target  [positions]int32   // class, or −1 for none
	hard    [positions]float64 // its weight, less what smoothing takes from it
	ignored int                // how many positions are left out
	logit   [positions]F       // its logit
	below   [positions]float64 // how far that is below the largest
	rowSums[F]
	ties    [positions]F       // how often the largest is there, where the classes are not contiguous
	ln      [positions]float64 // ln(1+sum)
	hi, lo  [positions]F       // log-sum-exp in two parts: see addLog
	soft    [positions]float64 // −Σ u[c]·ln p[c]; u is the soft target, see softTarget
	softSum [positions]float64 // Σ u[c]
	u       [softBlock]F       // some of u
	factor  [positions]F       // of exp(x−max) in the gradient

	// terms is exp(x−max), where it is kept for the gradient. If the classes are
	// contiguous that is in out.grad itself, else in copy. The terms of a position are
	// column apart, those of a class row.
	terms       []F
	row, column int
	copy        []F
}

var statisticsPool workspace.Pools

// crossEntropyItem computes the losses and gradients of an item and returns the
// sum of its losses. A loss has a hard part, at the target, and a soft part, over
// all classes: probabilities, or what smoothing takes from the target.
func (t *classTask[F]) crossEntropyItem(item int) (sum float64) {
	s := workspace.Take[statistics[F], F](&statisticsPool)
	defer workspace.Give[F](&statisticsPool, s)
	first, n, offset := t.span(item)
	t.readTargets(s, first, n)
	switch {
	case t.inner == 1:
		t.expContiguous(s, n, offset)
	case t.inner < fewPositions:
		t.expColumns(s, n, offset)
	default:
		t.expStrided(s, n, offset)
	}
	log1p(s.ln[:n], s.sum[:n])
	if t.isSoft() {
		for j := range n {
			s.hi[j], s.lo[j] = addLog(s.max[j], s.ln[j])
			s.soft[j], s.softSum[j] = s.ln[j]-s.ln[j], 0 // NaN stays even if u is 0
		}
		t.softLoss(s, n, offset)
	}
	sum = t.addLosses(s, first, n)
	if t.out.wantGrad() {
		t.crossEntropyGrad(s, first, n, offset)
	}
	s.terms = nil
	return sum
}

// isSoft reports whether losses have a soft part.
func (t *classTask[F]) isSoft() bool { return t.kind == crossEntropyProbs || t.smoothing > 0 }

// isIgnored reports whether a position is left out.
func (t *classTask[F]) isIgnored(s *statistics[F], j int) bool {
	return t.kind == crossEntropy && s.target[j] < 0
}

// readTargets sets target and hard.
func (t *classTask[F]) readTargets(s *statistics[F], first, n int) {
	s.ignored = 0
	if t.kind == crossEntropyProbs {
		for j := range n {
			s.target[j], s.hard[j] = -1, 0
		}
		return
	}
	keep := 1 - t.smoothing
	for j, y := range t.targets[first:][:n] {
		s.target[j], s.hard[j] = int32(y), keep
		switch {
		case y == t.ignore:
			s.target[j], s.hard[j] = -1, 0
			s.ignored++
		case t.weight != nil:
			s.hard[j] = float64(keep * float64(t.weight[y]))
		}
	}
}

// expContiguous sets logit, max and sum where the classes are contiguous, and terms,
// in the gradient, unless they would overwrite logits that are needed after.
func (t *classTask[F]) expContiguous(s *statistics[F], n, offset int) {
	for j, y := range s.target[:n] {
		if y >= 0 {
			s.logit[j] = t.x[offset+j*t.c+int(y)]
		}
	}
	if t.c <= shortRow {
		s.sumExpEach(t.x[offset:][:n*t.c], t.c, n)
		return
	}
	if t.out.wantGrad() && t.c <= wholeRow && !(t.isSoft() && &t.out.grad[0] == &t.x[0]) { // softLoss reads the logits again
		s.terms, s.column, s.row = t.out.grad[offset:][:n*t.c], 1, t.c
	}
	for j := range n {
		x := t.x[offset+j*t.c:][:t.c]
		switch {
		case t.isIgnored(s, j):
		case s.terms != nil:
			s.max[j], s.sum[j] = expRow(s.terms[j*t.c:][:t.c], x)
		default:
			s.max[j], s.sum[j] = sumExpRow(x)
		}
	}
}

// streamBytes is the size from which on a gradient of classes that are not contiguous
// is written past the caches: it is more than most of them hold, and its lines need not
// be read before. (That is a tenth faster; of contiguous ones it would be a fifth
// slower.) A variable for tests.
var streamBytes = 32 << 20

// streams reports whether the gradient is written past the caches, which takes rows
// that begin where a vector does.
func (t *classTask[F]) streams() bool {
	size := fp.Size[F]()
	aligned := uintptr(unsafe.Pointer(&t.out.grad[0]))%64 == 0 && t.inner*size%64 == 0
	return aligned && len(t.out.grad)*size >= streamBytes
}

// expStrided sets logit, max, sum and terms where the classes are not contiguous.
func (t *classTask[F]) expStrided(s *statistics[F], n, offset int) {
	lanes := fp.Lanes[F]()
	width := (n + lanes - 1) / lanes * lanes
	s.copy = workspace.Resize(s.copy, width*t.c)
	s.terms, s.column, s.row = s.copy, width, 1
	clear(s.sum[:width])
	clear(s.ties[:width])
	for j := range s.max[:width] {
		s.max[j] = fp.NegInf[F]()
	}
	for c := 0; c < t.c; c += stridedBlock {
		count := min(stridedBlock, t.c-c)
		maxStrided(s.max[:], view.Rows[F]{Data: s.terms[c*width:], Columns: width, Stride: width}, view.Rows[F]{Data: t.x[offset+c*t.inner:], Columns: n, Stride: t.inner}, count)
	}
	for j, y := range s.target[:n] {
		if y >= 0 {
			s.logit[j] = s.terms[int(y)*width+j]
		}
	}
	for c := 0; c < t.c; c += stridedBlock {
		count, last := min(stridedBlock, t.c-c), F(0)
		if c+count == t.c {
			last = 1
		}
		expStrided(s.sum[:], s.ties[:], s.max[:], view.Rows[F]{Data: s.terms[c*width:], Columns: width, Stride: width}, count, last)
	}
}

// fewPositions is the number of neighbouring positions from which on lanes go across
// them: fewer would leave most lanes empty.
const fewPositions = 8

// expColumns sets logit, max, sum and terms of few positions whose classes are not
// contiguous: in the copy they are.
func (t *classTask[F]) expColumns(s *statistics[F], n, offset int) {
	s.copy = workspace.Resize(s.copy, n*t.c)
	s.terms, s.column, s.row = s.copy, 1, t.c
	for c := range t.c {
		for j, v := range t.x[offset+c*t.inner:][:n] {
			s.terms[j*t.c+c] = v
		}
	}
	for j, y := range s.target[:n] {
		row := s.terms[j*t.c:][:t.c]
		if y >= 0 {
			s.logit[j] = row[y]
		}
		s.max[j], s.sum[j] = expRow(row, row)
	}
}

// addLosses returns the sum of the losses of an item, and writes them if that is
// asked for. It sets below.
func (t *classTask[F]) addLosses(s *statistics[F], first, n int) (sum float64) {
	isSoft := t.isSoft()
	for j, y := range s.target[:n] {
		var loss float64
		if y >= 0 {
			s.below[j] = float64(s.max[j]) - float64(s.logit[j])
			loss = float64(s.hard[j] * (s.ln[j] + s.below[j]))
		}
		if isSoft && !t.isIgnored(s, j) {
			loss += s.soft[j]
		}
		sum += loss
		if t.out.want == allLosses {
			t.out.losses[first+j] = F(loss)
		}
	}
	return sum
}

// softBlock is the number of classes whose soft targets are made at a time.
const softBlock = 512

// softTarget returns Weight · ((1−ε)·probability + ε/C), the part of the target that
// is spread over classes, for neighbours in memory: where classes are contiguous, for
// n classes of one position from class c on, else for class c of n positions.
// Probabilities begin at the element at; class targets leave only ε/C here, and it is
// the same for all positions. It is made in buffer, if it must be made.
func (t *classTask[F]) softTarget(buffer []F, c, at, n int) []F {
	keep, share := F(1-t.smoothing), F(t.smoothing/float64(t.c))
	u := buffer[:n]
	switch {
	case t.probs == nil:
		for i := range u {
			u[i] = share
		}
	case t.smoothing == 0 && t.weight == nil && t.inner == 1:
		return t.probs[at:][:n]
	default:
		mulAdd(u, t.probs[at:][:n], keep, share)
	}
	switch {
	case t.weight == nil:
	case t.inner == 1:
		multiply(u, t.weight[c:][:n])
	default:
		scale(u, t.weight[c])
	}
	return u
}

// eachSoftTarget calls f with the soft targets of some contiguous classes of each
// position that is not left out: at is where these are.
func (t *classTask[F]) eachSoftTarget(s *statistics[F], n, offset int, f func(j, at int, u []F)) {
	for c := 0; c < t.c; c += softBlock {
		count := min(softBlock, t.c-c)
		var u []F
		for j := range n {
			at := offset + j*t.c + c
			if u == nil || t.probs != nil {
				u = t.softTarget(s.u[:], c, at, count)
			}
			if !t.isIgnored(s, j) {
				f(j, at, u)
			}
		}
	}
}

// softLoss sets soft and softSum.
func (t *classTask[F]) softLoss(s *statistics[F], n, offset int) {
	if t.inner == 1 {
		t.eachSoftTarget(s, n, offset, func(j, at int, u []F) {
			dot, sum := dotLogSoftmax(u, t.x[at:][:len(u)], s.hi[j], s.lo[j])
			s.soft[j] += float64(dot)
			s.softSum[j] += float64(sum)
		})
	} else {
		for c := range t.c {
			at := offset + c*t.inner
			t.softTarget(s.u[:], c, at, n)
			addLogSoftmax(s.soft[:], s.softSum[:], s.u[:], t.x[at:][:n], s.hi[:], s.lo[:])
		}
	}
	for j := range n {
		s.soft[j] = 0 - s.soft[j]
	}
}

// crossEntropyGrad writes g·((h+Σu)·p − u − h at the target) for every position,
// where g is its factor, h its hard weight and u its soft target.
func (t *classTask[F]) crossEntropyGrad(s *statistics[F], first, n, offset int) {
	isSoft := t.isSoft()
	for j, weight := range s.hard[:n] {
		if isSoft {
			weight += s.softSum[j]
		}
		s.factor[j] = F(t.out.factor(first+j, t.scale) * weight / (1 + s.sum[j]))
	}
	early := s.terms != nil && !isSoft
	if early {
		t.subtractEarly(s, n)
	}
	t.scaleTerms(s, n, offset)
	if isSoft {
		t.subtractSoft(s, first, n, offset)
	}
	if !early {
		t.subtractHard(s, first, n, offset)
	}
	if s.ignored > 0 {
		for j := range n {
			if t.isIgnored(s, j) {
				t.clearClasses(t.at(offset, j))
			}
		}
	}
}

// subtractEarly subtracts the target from the terms, while these are in the first
// cache: p−1 is (exp(x−max)−(1+sum))/(1+sum). Where the target is the largest logit
// that is −sum, to its last digit.
func (t *classTask[F]) subtractEarly(s *statistics[F], n int) {
	for j, y := range s.target[:n] {
		if y < 0 {
			continue
		}
		e := &s.terms[int(y)*s.column+j*s.row]
		if s.below[j] == 0 {
			*e = F(-s.sum[j])
		} else {
			*e = F(float64(*e) - (1 + s.sum[j]))
		}
	}
}

// scaleTerms writes exp(x−max)·factor, from the terms if they were kept.
func (t *classTask[F]) scaleTerms(s *statistics[F], n, offset int) {
	switch {
	case t.inner > 1 && t.inner < fewPositions:
		for c := range t.c {
			for j := range n {
				t.out.grad[offset+c*t.inner+j] = s.terms[j*t.c+c] * s.factor[j]
			}
		}
	case t.inner > 1:
		stream := t.streams()
		for c := 0; c < t.c; c += stridedBlock {
			count, grad := min(stridedBlock, t.c-c), t.out.grad[offset+c*t.inner:]
			if stream {
				scaleStridedStream(view.Rows[F]{Data: grad, Columns: n, Stride: t.inner}, view.Rows[F]{Data: s.terms[c*s.column:], Columns: s.column, Stride: s.column}, count, s.factor[:])
			} else {
				scaleStrided(view.Rows[F]{Data: grad, Columns: n, Stride: t.inner}, view.Rows[F]{Data: s.terms[c*s.column:], Columns: s.column, Stride: s.column}, count, s.factor[:])
			}
		}
	case s.terms != nil:
		for j := range n {
			if !t.isIgnored(s, j) {
				scaleRow(s.terms[j*t.c:][:t.c], s.factor[j])
			}
		}
	case t.c > shortRow:
		for j := range n {
			if at := offset + j*t.c; !t.isIgnored(s, j) {
				writeRows(opSoftmax, t.out.grad[at:][:t.c], t.x[at:][:t.c], t.c, s.max[j:j+1], s.factor[j:j+1])
			}
		}
	default:
		writeRows(opSoftmax, t.out.grad[offset:][:n*t.c], t.x[offset:][:n*t.c], t.c, s.max[:n], s.factor[:n])
	}
}

// subtractSoft subtracts g·u from the gradient.
func (t *classTask[F]) subtractSoft(s *statistics[F], first, n, offset int) {
	if t.inner == 1 {
		t.eachSoftTarget(s, n, offset, func(j, at int, u []F) {
			subtract(t.out.grad[at:][:len(u)], u, F(t.out.factor(first+j, t.scale)))
		})
		return
	}
	g := s.factor[:n] // has done its work
	for j := range g {
		g[j] = F(t.out.factor(first+j, t.scale))
	}
	for c := range t.c {
		at := offset + c*t.inner
		subtractProducts(t.out.grad[at:][:n], t.softTarget(s.u[:], c, at, n), g)
	}
}

// subtractHard subtracts the targets from the gradient. Where a target is the
// largest logit and there is no soft part, the gradient is −g·h·(1−p), and 1−p is known
// better than from p.
func (t *classTask[F]) subtractHard(s *statistics[F], first, n, offset int) {
	for j, y := range s.target[:n] {
		if y < 0 {
			continue
		}
		at := t.at(offset, j) + int(y)*t.inner
		gh := float64(t.out.factor(first+j, t.scale) * s.hard[j])
		if s.below[j] == 0 && !t.isSoft() {
			t.out.grad[at] = F(-gh * (s.sum[j] / (1 + s.sum[j])))
		} else {
			t.out.grad[at] = F(float64(t.out.grad[at]) - gh)
		}
	}
}
