package trellis

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// ctcBatch is the scores and the targets of one call, checked: those of a loss or of an
// alignment.
type ctcBatch[F Float] struct {
	ctcInput
	method  string // for errors
	x       []F
	frames  int // T
	batch   int // N, the number of sequences
	classes int // C

	targets       []int
	inputLengths  []int // or nil: all frames count
	targetLengths []int
	targetStarts  []int // where the target of a sequence begins in targets
	fullLengths   []int // targetLengths where the caller gave none
	order         []int // the sequences, the most expensive one first
}

// ctcInput is the options that say what the scores and the targets are.
type ctcInput struct {
	blank      int
	scores     Scores
	batchFirst bool
	wildcards  bool // AnyLabel is a label
}

// maxFrames bounds T so that exponents stay apart from never: each frame adds at most
// 2²¹ nats.
const maxFrames = 1 << 26

// checkInput reports what is wrong with the scores, the lengths and the targets.
func (b *ctcBatch[F]) checkInput(x Tensor[F]) error {
	b.x = x.Data
	if err := b.checkScores(x); err != nil {
		return err
	}
	if err := b.checkInputLengths(x.Shape); err != nil {
		return err
	}
	full := b.targetLengths == nil
	if full {
		if err := b.fillTargetLengths(x.Shape); err != nil {
			return err
		}
	}
	if err := b.checkTargetLengths(x.Shape); err != nil {
		return err
	}
	for n := range b.batch {
		if err := b.checkLabels(n, full); err != nil {
			return err
		}
	}
	return nil
}

// kept returns what the next call uses again.
func (b *ctcBatch[F]) kept() ctcBatch[F] {
	return ctcBatch[F]{targetStarts: b.targetStarts[:0], fullLengths: b.fullLengths[:0], order: b.order[:0]}
}

// checkScores checks the shape of x and Blank, and takes the shape apart.
func (b *ctcBatch[F]) checkScores(x Tensor[F]) error {
	if len(x.Shape) != 2 && len(x.Shape) != 3 {
		return &ArgumentError{b.method, "x.Shape", nil, clone(x.Shape), "want (T,C), (T,N,C), or (N,T,C) with BatchFirst"}
	}
	if err := x.check(b.method, "x"); err != nil {
		return err
	}
	switch {
	case len(x.Shape) == 2:
		b.frames, b.batch, b.classes = x.Shape[0], 1, x.Shape[1]
	case b.batchFirst:
		b.batch, b.frames, b.classes = x.Shape[0], x.Shape[1], x.Shape[2]
	default:
		b.frames, b.batch, b.classes = x.Shape[0], x.Shape[1], x.Shape[2]
	}
	switch {
	case b.blank < 0 || b.blank >= b.classes:
		return &ArgumentError{b.method, "Blank", nil, b.blank, fmt.Sprintf("class outside [0,%d)", b.classes)}
	case b.classes > math.MaxInt32:
		return &ArgumentError{b.method, "x.Shape", []int{len(x.Shape) - 1}, b.classes, "more than 2³¹−1 classes"}
	case b.frames > maxFrames:
		return &ArgumentError{b.method, "x.Shape", nil, clone(x.Shape), "more than 2²⁶ frames"}
	}
	return nil
}

// batchAxis says which axis of a shape the number of sequences was read from, and what
// to change if it was meant to be another.
func (b *ctcBatch[F]) batchAxis(shape []int) string {
	switch {
	case len(shape) == 2:
		return fmt.Sprintf("x.Shape %v is one sequence, (T,C)", clone(shape))
	case b.batchFirst:
		return fmt.Sprintf("x.Shape %v is (N,T,C), as BatchFirst is set; without it, (T,N,C)", clone(shape))
	}
	return fmt.Sprintf("x.Shape %v is (T,N,C); with BatchFirst it would be (N,T,C)", clone(shape))
}

// checkBatch reports an argument that has not one element for each sequence.
func (b *ctcBatch[F]) checkBatch(argument string, got int, shape []int) error {
	if got == b.batch {
		return nil
	}
	return &ArgumentError{b.method, "len(" + argument + ")", nil, got,
		fmt.Sprintf("want %d, one for each sequence: %s", b.batch, b.batchAxis(shape))}
}

// checkInputLengths reports lengths that are too few or not in [0,T].
func (b *ctcBatch[F]) checkInputLengths(shape []int) error {
	if b.inputLengths == nil {
		return nil
	}
	if err := b.checkBatch("inputLengths", len(b.inputLengths), shape); err != nil {
		return err
	}
	for n, frames := range b.inputLengths {
		if frames < 0 || frames > b.frames {
			return &ArgumentError{b.method, "inputLengths", []int{n}, frames,
				fmt.Sprintf("outside [0,%d]: %s", b.frames, b.batchAxis(shape))}
		}
	}
	return nil
}

// fillTargetLengths serves calls without targetLengths: each sequence has len(targets)/N
// labels. It reports a number of targets that N does not divide.
func (b *ctcBatch[F]) fillTargetLengths(shape []int) error {
	rows := max(b.batch, 1)
	if b.batch == 0 && len(b.targets) > 0 || len(b.targets)%rows != 0 {
		return &ArgumentError{b.method, "len(targets)", nil, len(b.targets),
			fmt.Sprintf("without targetLengths, want rows of one length for %d sequences: %s", b.batch, b.batchAxis(shape))}
	}
	b.fullLengths = workspace.Resize(b.fullLengths, b.batch)
	for n := range b.fullLengths {
		b.fullLengths[n] = len(b.targets) / rows
	}
	b.targetLengths = b.fullLengths
	return nil
}

// checkTargetLengths reports lengths that are too few, negative, or fit targets
// neither as padded rows nor as concatenated ones, and finds where the targets
// begin. If they fit both ways, both mean the same.
func (b *ctcBatch[F]) checkTargetLengths(shape []int) error {
	if err := b.checkBatch("targetLengths", len(b.targetLengths), shape); err != nil {
		return err
	}
	longest, total := 0, 0
	for n, s := range b.targetLengths {
		if s < 0 || s > len(b.targets) {
			return &ArgumentError{b.method, "targetLengths", []int{n}, s, fmt.Sprintf("outside [0,%d], as there are %[1]d targets", len(b.targets))}
		}
		longest = max(longest, s)
		total = min(total+s, len(b.targets)+1) // more than that cannot fit, and could overflow
	}
	rows := max(b.batch, 1)
	concatenated := total == len(b.targets)
	padded := b.batch > 0 && len(b.targets)%rows == 0 && longest <= len(b.targets)/rows
	if !concatenated && !padded {
		return &ArgumentError{b.method, "len(targets)", nil, len(b.targets),
			fmt.Sprintf("neither the sum of targetLengths nor %d rows of at least %d", b.batch, longest)}
	}
	b.targetStarts = workspace.Resize(b.targetStarts, b.batch)
	start := 0
	for n, s := range b.targetLengths {
		b.targetStarts[n] = start
		if concatenated {
			start += s
		} else {
			start += len(b.targets) / rows
		}
	}
	return nil
}

// checkLabels reports a label of sequence n that is no class, or the blank. full says that
// the caller gave no targetLengths: a wrong label may then be padding, which the error says.
func (b *ctcBatch[F]) checkLabels(n int, full bool) error {
	for i, label := range b.labels(n) {
		var reason string
		switch {
		case label == AnyLabel && b.wildcards && (!full || b.batch == 1):
			continue
		case label < 0 || label >= b.classes:
			reason = fmt.Sprintf("label outside [0,%d)", b.classes)
		case label == b.blank:
			reason = "label is the blank"
		default:
			continue
		}
		if full {
			reason += "; padded targets need targetLengths"
			if label == AnyLabel && b.wildcards {
				reason += ", and so do several with AnyLabel"
			}
		}
		return &ArgumentError{b.method, "targets", []int{n, i}, label, reason}
	}
	return nil
}

// labels returns the target of sequence n.
func (b *ctcBatch[F]) labels(n int) []int { return b.targets[b.targetStarts[n]:][:b.targetLengths[n]] }

// inputLength returns how many frames of sequence n count.
func (b *ctcBatch[F]) inputLength(n int) int {
	if b.inputLengths == nil {
		return b.frames
	}
	return b.inputLengths[n]
}

// sequence returns the frames of sequence n in x or in a gradient, a row each.
func (b *ctcBatch[F]) sequence(data []F, n int) view.Rows[F] {
	if b.frames == 0 {
		return view.Rows[F]{}
	}
	if b.batchFirst {
		return view.Of(data[n*b.frames*b.classes:], b.classes, b.classes)
	}
	return view.Of(data[n*b.classes:], b.classes, b.batch*b.classes)
}

// isFar reports whether the scores are too many for the caches.
func (b *ctcBatch[F]) isFar() bool { return len(b.x) >= streamBytes/fp.Size[F]() }

// schedule sorts the sequences by cost, so that a long one does not come last.
func (b *ctcBatch[F]) schedule() {
	b.order = workspace.Resize(b.order, b.batch)
	for n := range b.order {
		b.order[n] = n
	}
	slices.SortFunc(b.order, func(i, j int) int {
		return cmp.Compare(b.inputLength(j)*(b.classes+b.targetLengths[j]), b.inputLength(i)*(b.classes+b.targetLengths[i]))
	})
}

// cost returns about how many nanoseconds the losses take.
func (b *ctcBatch[F]) cost() (cost float64) {
	for n := range b.batch {
		states := float64(b.targetLengths[n])*stateCost + float64(b.classes)*scoreCost()
		cost += float64(b.inputLength(n)) * (frameCost + states)
	}
	return cost
}
