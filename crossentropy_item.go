package trellis

import (
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// crossEntropyTask is what a call of CrossEntropyLoss is given.
type crossEntropyTask[F Float] struct {
	classTask[F]
	probs     []F     // class probabilities, in x's layout; nil for class targets
	smoothing float64 // ε

	// uniform is the soft target of class targets, which is the same at all positions, and
	// uniformMass its sum, unless rows have it from a kernel. For class probabilities it is what they
	// are multiplied by.
	uniform     []F
	uniformMass float64
}

// hasSoft reports whether there is a soft part.
func (t *crossEntropyTask[F]) hasSoft() bool { return t.probs != nil || t.smoothing > 0 }

// isPlain reports whether class probabilities are the soft targets as they are.
func (t *crossEntropyTask[F]) isPlain() bool { return t.smoothing == 0 && t.weight == nil }

// isSequential reports whether the terms of a position are added one by one, and not as the
// lanes of a row are: see leastSequential. For two terms that is the same.
func (t *crossEntropyTask[F]) isSequential() bool {
	return t.order == strided || t.order == fewScores && t.inner >= leastSequential && t.classes > 2
}

// share is the part of a class target that smoothing gives to each class.
func (t *crossEntropyTask[F]) share() F { return F(t.smoothing / float64(t.classes)) }

// crossEntropyItem is the losses and gradients of an item. A loss has a hard part, at the
// class target, and a soft part, over all classes: class probabilities, or what smoothing
// takes from a class target.
//
// What there is once for each position is in arrays, whose elements are called lanes: kernels
// take them by vectors. Arrays come first, where their vectors do not cross lines of the
// cache.
type crossEntropyItem[F Float] struct {
	rowSums[F]                    // the largest score, and Σ exp(x−max) without its 1; NaN if there is no softmax
	ties       [itemLanes]F       // how often the largest score is there; only if strided
	ln         [itemLanes]float64 // ln(1+sum), where max + ln is the log-sum-exp
	hi, lo     [itemLanes]F       // the log-sum-exp in two parts: see splitLogSumExp
	class      [itemLanes]int32   // the class target, or leftOut or noClass
	logit      [itemLanes]F       // the score of that class
	hard       [itemLanes]float64 // weight of the class target, less what smoothing takes from it
	dot, mass  [itemLanes]float64 // Σ u[c]·ln p[c] and Σ u[c] of the soft target u
	factor     [itemLanes]F       // of exp(x−max) in the gradient
	scale      [itemLanes]F       // of the loss in the gradient
	soft       [itemLanes]F       // the part of soft targets that the class target has
	loss       [itemLanes]F
	hit        [itemLanes]F // the gradient at the class target

	task           crossEntropyTask[F]
	span           classSpan
	next           int  // the item whose scores are asked for while exp is made: the likely next one
	goesOn         bool // the same goroutine does it next, and then waits for what is streamed
	left, ignored  int  // positions of the item, and of all so far, that are left out
	bad            int  // the number of a target that is no class, or −1
	constant       int  // lanes that have what setConstants sets
	x, probs, grad []F  // of the task, from the first score of the item on

	laneMap
	scores  places[F] // the scores, where classes or lanes are neighbours
	targets places[F] // class probabilities, likewise
	terms   places[F] // exp(x−max), if it is kept
	out     places[F] // the gradient, before it is brought into its order

	scoreColumns, targetColumns columns[F]
	room, u, uniform            []F // for terms, soft targets of some classes, and those of the task
}

// Values of crossEntropyItem.class that are no class.
const (
	leftOut int32 = -1 // the position has loss and gradient 0
	noClass int32 = -2 // the target is class probabilities alone
)

// places is where something is that each class has at each position: that of class c at the
// k-th lane of group g is data[g·group + k·lane + c·class].
type places[F Float] struct {
	data               []F
	group, lane, class int
}

// laneMap says which position a lane has. The lanes of an item are in groups of so many, which
// begin where a vector does; those behind a group are left out.
type laneMap struct {
	groups, perGroup    int
	width               int // lanes from one group to the next
	groupStep, laneStep int // positions from one group, or lane, to the next
}

// lanes returns the number of lanes, up to the end of the last group.
func (m *laneMap) lanes() int { return (m.groups-1)*m.width + m.perGroup }

// spread writes what positions have to their lanes.
func spread[F Float](m *laneMap, lanes, positions []F) {
	for g := range m.groups {
		at := g * m.groupStep
		for k := range lanes[g*m.width:][:m.perGroup] {
			lanes[g*m.width+k] = positions[at]
			at += m.laneStep
		}
	}
}

// collect writes what lanes have to their positions.
func collect[F Float](m *laneMap, positions, lanes []F) {
	for g := range m.groups {
		at := g * m.groupStep
		for _, v := range lanes[g*m.width:][:m.perGroup] {
			positions[at] = v
			at += m.laneStep
		}
	}
}

var crossEntropyItems workspace.Pools

// start begins with the items of a call.
func (w *crossEntropyItem[F]) start(t *crossEntropyTask[F]) {
	w.task, w.ignored, w.bad, w.constant, w.goesOn = *t, 0, -1, 0, false
}

// release gives the workspace back without what it borrowed.
func (w *crossEntropyItem[F]) release() {
	w.task, w.x, w.probs, w.grad = crossEntropyTask[F]{}, nil, nil, nil
	w.scores.data, w.targets.data, w.terms.data, w.out.data = nil, nil, nil, nil
	workspace.Give[F](&crossEntropyItems, w)
}

// view returns some classes of what is at these places, where lanes are neighbours: rows of so
// many lanes of a group, from a class on.
func (p *places[F]) view(group, class, lanes int) view.Rows[F] {
	return view.Of(p.data[group*p.group+class*p.class:], lanes, p.class)
}
