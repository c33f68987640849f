package decode

import (
	"fmt"
	"math"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/view"
)

// input is the scores of a call, checked, with what all decoders are told about them.
type input[F trellis.Float] struct {
	method                 string // for errors
	scores                 trellis.Scores
	blank                  int
	batchFirst             bool
	data                   []F
	frames, batch, classes int   // T, N, C
	lengths                []int // or nil: all frames count
}

// maxFrames bounds T as CTCLoss does.
const maxFrames = 1 << 26

// take checks scores and lengths, and keeps them for the call.
func (in *input[F]) take(x trellis.Tensor[F], lengths []int) error {
	if err := in.checkOptions(); err != nil {
		return err
	}
	if err := in.checkShape(x); err != nil {
		return err
	}
	in.data = x.Data
	switch {
	case len(x.Shape) == 2:
		in.frames, in.batch, in.classes = x.Shape[0], 1, x.Shape[1]
	case in.batchFirst:
		in.batch, in.frames, in.classes = x.Shape[0], x.Shape[1], x.Shape[2]
	default:
		in.frames, in.batch, in.classes = x.Shape[0], x.Shape[1], x.Shape[2]
	}
	if in.frames > maxFrames {
		return in.wrong("x.Shape", nil, clone(x.Shape), "more than 2²⁶ frames")
	}
	if err := in.checkClasses(); err != nil {
		return err
	}
	if lengths == nil {
		return nil
	}
	if len(lengths) != in.batch {
		return in.wrong("len(inputLengths)", nil, len(lengths), fmt.Sprintf("want %d, one for each sequence: x.Shape is %v", in.batch, clone(x.Shape)))
	}
	for n, frames := range lengths {
		if frames < 0 || frames > in.frames {
			return in.wrong("inputLengths", []int{n}, frames, fmt.Sprintf("outside [0,%d]: x.Shape is %v", in.frames, clone(x.Shape)))
		}
	}
	in.lengths = lengths
	return nil
}

// checkOptions reports scores that have no meaning.
func (in *input[F]) checkOptions() error {
	if in.scores > trellis.Probabilities {
		return in.wrong("Scores", nil, uint8(in.scores), "neither LogProbabilities nor Logits nor Probabilities")
	}
	return nil
}

// checkClasses reports a number of classes that is too large, or a blank that is none of them.
func (in *input[F]) checkClasses() error {
	switch {
	case in.classes > math.MaxInt32:
		return in.wrong("classes", nil, in.classes, "more than 2³¹−1 classes")
	case in.blank < 0 || in.blank >= in.classes:
		return in.wrong("Blank", nil, in.blank, fmt.Sprintf("class outside [0,%d)", in.classes))
	}
	return nil
}

// checkShape reports a Shape that is impossible or does not describe Data.
func (in *input[F]) checkShape(x trellis.Tensor[F]) error {
	if len(x.Shape) != 2 && len(x.Shape) != 3 {
		return in.wrong("x.Shape", nil, clone(x.Shape), "want (T,C), (T,N,C), or (N,T,C) with BatchFirst")
	}
	for i, d := range x.Shape {
		if d < 0 {
			return in.wrong("x.Shape", []int{i}, d, "negative axis")
		}
	}
	switch n, ok := view.Size(x.Shape); {
	case !ok:
		return in.wrong("x.Shape", nil, clone(x.Shape), "the product of the axes overflows an int")
	case n != len(x.Data):
		return in.wrong("x.Shape", nil, clone(x.Shape), fmt.Sprintf("needs %d elements, Data has %d", n, len(x.Data)))
	}
	return nil
}

// checkWorkers reports a number of workers that is none.
func (in *input[F]) checkWorkers(workers int) error {
	if workers < 0 {
		return in.wrong("Workers", nil, workers, "negative")
	}
	return nil
}

// wrong returns the error of an argument.
func (in *input[F]) wrong(argument string, index []int, value any, reason string) error {
	return &trellis.ArgumentError{Method: in.method, Argument: argument, Index: index, Value: value, Reason: reason}
}

// clone copies a shape into an error, so that the caller's does not escape.
func clone(shape []int) []int { return append([]int(nil), shape...) }

// length returns how many frames of sequence n count.
func (in *input[F]) length(n int) int {
	if in.lengths == nil {
		return in.frames
	}
	return in.lengths[n]
}

// row returns which row of the data frame t of sequence n is.
func (in *input[F]) row(n, t int) int {
	if in.batchFirst {
		return n*in.frames + t
	}
	return t*in.batch + n
}

// sequence returns the frames of sequence n that count.
func (in *input[F]) sequence(n int) view.Rows[F] {
	if in.length(n) == 0 {
		return view.Rows[F]{}
	}
	stride := in.classes
	if !in.batchFirst {
		stride *= in.batch
	}
	return view.Of(in.data[in.row(n, 0)*in.classes:], in.classes, stride)
}

// isProbability reports whether a number can be a probability, which need not add up to 1
// exactly with others.
func isProbability(p float64) bool { return p >= 0 && p <= 1.001 }

// logRests writes, for rows of n logits whose largest is top[r], ln Σ exp(x[r·n+i]−top[r]): how far top[r] is
// above its log-probability. It keeps its digits near 0. It is NaN if top[r] is not finite or a NaN is
// in the row. There are at most block rows: log1p takes no more.
func logRests[F trellis.Float](dst []float64, x []F, n int, top []F) {
	const most = 64 // rows of a call
	var sum, ties [most]F
	for from := 0; from < len(top); {
		to := min(from+max(1, min(most, block/n)), len(top))
		m, rest, equal := top[from:to], dst[from:to], [most]float64{}
		clear(rest)
		for at := from * n; at < to*n; at += block { // more than once only of one row
			b := x[at:min(at+block, to*n)]
			sumExpTops(sum[:], ties[:], b, min(n, len(b)), m)
			for r := range rest {
				rest[r] += float64(sum[r])
				equal[r] += float64(ties[r])
			}
		}
		for r := range rest {
			rest[r] += equal[r] - 1
		}
		from = to
	}
	log1p(dst, dst)
}

// resized returns s with n elements, which keep what memory they have.
func resized[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	return append(s[:cap(s)], make([]T, n-cap(s))...)
}
