package trellis

import (
	"fmt"

	"github.com/gotrellis/trellis/internal/view"
)

// Float is the set of element types: every function and loss of the package
// exists for both.
type Float interface{ float32 | float64 }

// Tensor is a dense array in row-major (C) order: the last axis is contiguous.
// It borrows Data; nothing in this package keeps a reference to it after a
// call returns. len(Data) must equal the product of Shape, and the empty Shape
// is a scalar with one element.
type Tensor[F Float] struct {
	Data  []F
	Shape []int
}

// check reports a Shape that is impossible or does not describe Data.
func (x Tensor[F]) check(method, argument string) error {
	n, ok := view.Size(x.Shape)
	if !ok {
		for i, d := range x.Shape {
			if d < 0 {
				return &ArgumentError{method, argument + ".Shape", []int{i}, d, "negative axis"}
			}
		}
		return overflowError(method, argument, x.Shape)
	}
	if n != len(x.Data) {
		return &ArgumentError{method, argument + ".Shape", nil, clone(x.Shape),
			fmt.Sprintf("needs %d elements, Data has %d", n, len(x.Data))}
	}
	return nil
}

// Reduction says how the losses of a batch become one number. The zero value
// is PyTorch's default.
type Reduction uint8

const (
	// Mean is the weighted mean for class targets (divided by the weights of the
	// targets that count), the mean over the positions for class probabilities, and
	// for CTC the mean over the batch of each loss divided by its target's length.
	Mean Reduction = iota
	// Sum adds the losses.
	Sum
)

// String returns "mean" or "sum".
func (r Reduction) String() string {
	switch r {
	case Mean:
		return "mean"
	case Sum:
		return "sum"
	}
	return fmt.Sprintf("Reduction(%d)", uint8(r))
}

// checkOptions reports options that have no meaning, of those that all losses have.
func checkOptions(method string, r Reduction, workers int) error {
	if r > Sum {
		return &ArgumentError{method, "Reduction", nil, uint8(r), "neither Mean nor Sum"}
	}
	return checkWorkers(method, workers)
}

// checkWorkers reports a number of workers that has no meaning.
func checkWorkers(method string, workers int) error {
	if workers < 0 {
		return &ArgumentError{method, "Workers", nil, workers, "negative"}
	}
	return nil
}

// Scores says what the scores of a CTCLoss or a CTCAligner are. The zero value is PyTorch's.
type Scores uint8

const (
	// LogProbabilities are what a log-softmax has made. They need not be normalised.
	LogProbabilities Scores = iota
	// Logits are anything that log-softmax makes log-probabilities of.
	Logits
	// Probabilities are what a softmax has made. They need not add up to 1 exactly.
	Probabilities
)

// checkScores reports a kind of scores that there is not.
func checkScores(method string, s Scores) error {
	if s > Probabilities {
		return &ArgumentError{method, "Scores", nil, uint8(s), "neither LogProbabilities nor Logits nor Probabilities"}
	}
	return nil
}
