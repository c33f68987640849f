package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/view"
)

// classLayout says where the scores of a tensor of shape (C), (N,C) or (N,C,d1,…,dk) are, and
// divides its positions (n,d1,…,dk) into items. A sample n has C·d1·…·dk scores; that of
// class c at its position j is element c·inner + j of them.
type classLayout struct {
	classes   int // C
	inner     int // positions of a sample: d1·…·dk
	samples   int // N
	positions int // of all samples
	order     classOrder

	itemSamples int // whole samples in an item; 1 if it is a part of one
	part        int // positions of a sample in an item, at most
	parts       int // into which a sample is divided
}

// classOrder is how the classes of a position are brought together.
type classOrder uint8

const (
	contiguous   classOrder = iota // they are neighbours, many of them
	fewScores                      // a sample has few scores: rows are turned into columns
	fewPositions                   // many classes at few positions: columns are turned into rows
	strided                        // positions are neighbours
	pairs                          // so are they, in whole vectors or a part of one; there are two classes
)

// set sets the layout of scores of a shape that has axes, none negative. It reports one that has
// no positions with classes.
func (l *classLayout) set(method string, shape []int) error {
	l.samples, l.inner = 1, 1
	axis := min(1, len(shape)-1)
	if axis == 1 {
		l.samples = shape[0]
	}
	l.classes = shape[axis]
	if len(shape) > 2 {
		inner, ok := view.Size(shape[2:])
		if l.samples == 0 { // no positions, whatever the other axes
			inner, ok = 0, true
		}
		if !ok || inner > 0 && l.samples > math.MaxInt/inner {
			return overflowError(method, "x", shape)
		}
		l.inner = inner
	}
	l.positions = l.samples * l.inner
	if l.classes == 0 && l.positions > 0 {
		return &ArgumentError{method, "x.Shape", []int{axis}, 0, "no classes"}
	}
	if l.classes > math.MaxInt32 {
		return &ArgumentError{method, "x.Shape", []int{axis}, l.classes, "more than 2³¹−1 classes"}
	}
	l.setOrder()
	return nil
}

// setOrder chooses the order, by the shape alone.
func (l *classLayout) setOrder() {
	scores := l.inner * l.classes
	switch {
	case l.inner == 1 && l.classes > fewClasses:
		l.order = contiguous
	case l.classes == 2 && l.inner >= leastPairs && (l.inner%stridedPositions == 0 || stridedPositions%l.inner == 0):
		l.order = pairs
	case l.inner < stridedPositions && scores <= fewSampleScores, l.inner == stridedPositions && scores <= fewVectorScores:
		l.order = fewScores
	case l.inner < leastSequential:
		l.order = fewPositions
	default:
		l.order = strided
	}
}

// divideSamples makes items of whole samples, so many or fewer.
func (l *classLayout) divideSamples(n int) {
	l.itemSamples, l.part, l.parts = max(n, 1), l.inner, 1
}

// divideParts makes items of at most so many positions of a sample.
func (l *classLayout) divideParts(positions int) {
	l.itemSamples, l.part = 1, positions
	l.parts = (l.inner + positions - 1) / positions
}

// items returns the number of items.
func (l *classLayout) items() int {
	switch {
	case l.positions == 0:
		return 0
	case l.itemSamples == 1:
		return l.samples * l.parts
	case l.samples <= l.itemSamples:
		return 1
	}
	return (l.samples + l.itemSamples - 1) / l.itemSamples
}

// classSpan is the positions of an item: some neighbours in each of some samples.
type classSpan struct {
	sample, samples int
	from, count     int // positions of each
}

// span returns the positions of an item.
func (l *classLayout) span(item int) classSpan {
	if l.parts > 1 {
		sample, from := item/l.parts, item%l.parts*l.part
		return classSpan{sample, 1, from, min(l.part, l.inner-from)}
	}
	first := item * l.itemSamples
	return classSpan{first, min(l.itemSamples, l.samples-first), 0, l.inner}
}

// first returns the number of the span's first position.
func (l *classLayout) first(s classSpan) int { return s.sample*l.inner + s.from }

// offset returns where the score of class 0 at the span's first position is.
func (l *classLayout) offset(s classSpan) int { return s.sample*l.inner*l.classes + s.from }
