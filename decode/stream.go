package decode

import (
	"cmp"
	"fmt"

	"github.com/gotrellis/trellis"
)

// Stream reads one sequence that comes in pieces, as Beam.Decode does a whole one: whatever the pieces
// are, the result has the same bits. Its memory does not grow with the frames, but for the labels, and with
// Beam.Spans for the classes that are looked at. It is for one goroutine at a time.
type Stream[F trellis.Float] struct {
	beam   Beam[F]
	input  input[F]
	reader reader[F]
	labels []int // of the best hypothesis so far, for Spans
}

// Stream returns a stream of frames with so many classes. BatchFirst and Workers do not matter.
//
// An error is a *trellis.ArgumentError: an option for which Decode has one, or a number of
// classes that is negative, more than 2³¹−1 or without the blank.
func (b Beam[F]) Stream(classes int) (*Stream[F], error) {
	s := &Stream[F]{beam: b, input: input[F]{method: "Beam.Stream", scores: b.Scores, blank: b.Blank, classes: classes}}
	if err := b.check(&s.input); err != nil {
		return nil, err
	}
	if err := s.input.checkOptions(); err != nil {
		return nil, err
	}
	if err := s.input.checkClasses(); err != nil {
		return nil, err
	}
	s.input.method = "Stream.Write"
	s.reader.start(&s.beam, classes)
	return s, nil
}

// Write goes on with frames of shape (T,C). It keeps nothing of x. An error is a
// *trellis.ArgumentError for a Shape that is another or does not describe its Data; then nothing
// was read.
func (s *Stream[F]) Write(x trellis.Tensor[F]) error {
	if len(x.Shape) != 2 || x.Shape[1] != s.input.classes {
		return s.input.wrong("x.Shape", nil, clone(x.Shape), fmt.Sprintf("want (T,%d)", s.input.classes))
	}
	if err := s.input.checkShape(x); err != nil {
		return err
	}
	for t := range x.Shape[0] {
		s.reader.read(x.Data[t*s.input.classes:][:s.input.classes])
	}
	return nil
}

// Stable returns the labels that are sure to be at the beginning of every hypothesis, whatever comes.
// Later it returns the same ones and more. The slice is the stream's, up to Finish.
func (s *Stream[F]) Stable() []int { return s.reader.settled }

// Tentative returns the labels behind the stable ones of what is the best hypothesis so far, as if the text
// went on. They are in dst, which may be nil: its memory is used again.
func (s *Stream[F]) Tentative(dst []int) []int {
	if s.reader.impossible {
		return dst[:0]
	}
	return s.reader.appendLabels(dst[:0], s.reader.beam[0].node)
}

// Spans returns, with Beam.Spans, the spans of the stable labels in the frames so far, where the
// best hypothesis goes on behind them. It aligns all frames since the beginning. The spans are in
// dst, which may be nil: its memory is used again. Without Beam.Spans there are none.
func (s *Stream[F]) Spans(dst []trellis.Span) []trellis.Span {
	stable := len(s.reader.settled)
	if !s.reader.keeps || s.reader.impossible || stable == 0 {
		return dst[:0]
	}
	s.labels = append(s.labels[:0], s.reader.settled...)
	s.labels = s.reader.appendLabels(s.labels, s.reader.beam[0].node)
	return s.reader.align(dst, s.labels)[:stable]
}

// Finish ends the text and returns its hypotheses as Decode does, in dst, which may be nil: its memory
// is used again. Then the stream begins a new one.
func (s *Stream[F]) Finish(dst []Hypothesis) []Hypothesis {
	dst = s.reader.finish(dst, cmp.Or(s.beam.NBest, 1))
	s.reader.start(&s.beam, s.input.classes)
	return dst
}
