package trellis

import (
	"math"

	"github.com/gotrellis/trellis/internal/workspace"
)

// ctcTarget is the target of a sequence, as rows of the trellis have it: position i is
// label i with the blank before it, and the last position, S, is the blank behind the S
// labels. Rows are wider than that, by whole vectors.
type ctcTarget struct {
	length int // S, the number of labels
	// inUse is the number of positions that kernels go through, S+1 rounded up to
	// eights; width is that of a row in memory, rounded up to 16s.
	inUse, width int
	// symbols has the class of each label, and from position S on the blank.
	symbols []int32
	// skipExponents is 0 at a label that may follow the one before without a blank
	// between them, because it is another one, and else −Inf: see forwardFactorsGeneric and
	// viterbiGeneric.
	skipExponents []float64
}

// set describes a target.
func (g *ctcTarget) set(labels []int, blank int) {
	g.length = len(labels)
	g.inUse = (g.length + 8) &^ 7
	g.width = (g.length + 16) &^ 15
	symbols, skip := workspace.Resize(g.symbols, g.width), workspace.Resize(g.skipExponents, g.width)
	g.symbols, g.skipExponents = symbols, skip
	for i := range symbols {
		symbols[i] = int32(blank)
	}
	for i := range skip {
		skip[i] = math.Inf(-1)
	}
	for i, label := range labels {
		symbols[i] = int32(label)
		if i > 0 && !needBlank(labels[i-1], label) {
			skip[i] = 0
		}
	}
}

// copy makes g the same as another target.
func (g *ctcTarget) copy(from *ctcTarget) {
	symbols, skip := append(g.symbols[:0], from.symbols...), append(g.skipExponents[:0], from.skipExponents...)
	*g = *from
	g.symbols, g.skipExponents = symbols, skip
}

// named returns the classes that a path through the trellis emits: those of the labels,
// and the blank.
func (g *ctcTarget) named() []int32 { return g.symbols[:g.length+1] }

// maySkip reports whether label i may follow label i−1 without a blank between them.
func (g *ctcTarget) maySkip(i int) bool { return g.skipExponents[i] == 0 }

// AnyLabel is a label of CTCAligner for speech that the text does not have: a wildcard, which
// any class may fill, for one frame or more. It is −1, which is no class.
const AnyLabel = -1

// LeastFrames returns the least number of frames that can spell a target: one for each label,
// and one for the blank that must stand between equal ones. AnyLabel equals no label, not even
// another AnyLabel. A target with fewer frames has the loss +Inf and no alignment.
func LeastFrames(labels []int) int {
	least := len(labels)
	for i := 1; i < len(labels); i++ {
		if needBlank(labels[i-1], labels[i]) {
			least++
		}
	}
	return least
}

// needBlank reports whether a blank must stand between two labels that follow on each other.
func needBlank(label, next int) bool { return label == next && label != AnyLabel }

// classSet finds the different ones of many labels.
type classSet struct {
	place   []int32 // where a class is in classes, counted from 1, or 0 if it is not
	classes []int32
}

// begin empties the set, for so many classes, in time that does not grow with them.
func (s *classSet) begin(classes int) {
	for _, c := range s.classes {
		s.place[c] = 0
	}
	if s.classes = s.classes[:0]; len(s.place) < classes {
		s.place = make([]int32, classes)
	}
}

// add takes in a class, and returns where it is.
func (s *classSet) add(class int32) int32 {
	if s.place[class] == 0 {
		s.classes = append(s.classes, class)
		s.place[class] = int32(len(s.classes))
	}
	return s.place[class] - 1
}

// index returns where a class of the set is.
func (s *classSet) index(class int32) int { return int(s.place[class]) - 1 }

// distinct returns the classes among labels, of so many, each once. They stay until the next call.
func distinct[T int | int32](s *classSet, labels []T, classes int) []int32 {
	s.begin(classes)
	for _, c := range labels {
		s.add(int32(c))
	}
	return s.classes
}
