package trellis

import (
	"fmt"
	"time"
)

// Span is the frames of a label: those in which the path emits it, from Start up to, but not
// including, End. The blanks around it belong to no label.
type Span struct {
	Start, End int
	// Score is the mean of ln p over the frames of the span, in nats.
	Score float64
	// Confidence is the mean, over the frames of the span, of the label's occupancy: the probability
	// that the frame belongs to this label of the target, given the scores and the target. It is a
	// posterior over all paths, in [0,1] but for rounding, and says how sure the place is and not how well the text fits: that
	// is what Score says. It is 0 if the aligner's Confidence is not set.
	Confidence float64
}

// Path writes the class of every frame to dst: the label in the frames of its span, be it a
// class or AnyLabel, and blank in all others. dst has one element for each frame that counts;
// spans and labels are those of one sequence, as CTCAligner.Align takes and writes them. It
// panics, before it writes anything, if there is not one span for each label, or if spans are
// not in order or not in [0,len(dst)]. The path of a target that has no alignment is all blank.
func Path(dst []int, spans []Span, labels []int, blank int) {
	if len(spans) != len(labels) {
		panic(fmt.Sprintf("trellis: Path: len(spans) = %d, but there are %d labels", len(spans), len(labels)))
	}
	end := 0
	for i, s := range spans {
		if s.Start < end || s.End < s.Start || s.End > len(dst) {
			panic(fmt.Sprintf("trellis: Path: spans[%d] = [%d,%d): outside [%d,%d], what is behind the span before it", i, s.Start, s.End, end, len(dst)))
		}
		end = s.End
	}
	for t := range dst {
		dst[t] = blank
	}
	for i, s := range spans {
		for t := s.Start; t < s.End; t++ {
			dst[t] = labels[i]
		}
	}
}

// Word is some labels of a target that follow on one another, and the frames from the first one's
// Start to the last one's End, with the blanks between them. Score and Confidence are means
// over the frames of its labels, without the blanks.
type Word struct {
	Span
	From, To int // the labels, targets[From:To] of the sequence
}

// JoinSpans returns the span of some labels that follow on one another, as Word has it. Of no
// spans it is the zero Span.
func JoinSpans(spans []Span) Span {
	if len(spans) == 0 {
		return Span{}
	}
	joined := Span{Start: spans[0].Start, End: spans[len(spans)-1].End}
	var frames float64
	for _, s := range spans {
		n := float64(max(s.End-s.Start, 1)) // a label without an alignment has no frames, but −Inf or NaN
		joined.Score += float64(n * s.Score)
		joined.Confidence += float64(n * s.Confidence)
		frames += n
	}
	joined.Score /= frames
	joined.Confidence /= frames
	return joined
}

// AppendWords appends the words of one sequence to dst and returns it: labels up to the next
// separator, which belongs to no word, and neither does AnyLabel, which separates words as well.
// spans and labels are as Path takes them. It panics if there is not one span for each label.
func AppendWords(dst []Word, spans []Span, labels []int, separator int) []Word {
	if len(spans) != len(labels) {
		panic(fmt.Sprintf("trellis: AppendWords: len(spans) = %d, but there are %d labels", len(spans), len(labels)))
	}
	from := 0
	for i := 0; i <= len(labels); i++ {
		if i < len(labels) && labels[i] != separator && labels[i] != AnyLabel {
			continue
		}
		if i > from {
			dst = append(dst, Word{JoinSpans(spans[from:i]), from, i})
		}
		from = i + 1
	}
	return dst
}

// Growth says which word gets the frames between two words.
type Growth uint8

const (
	// ToMiddle gives each word the half that is next to it; of an odd number of frames the second
	// word has one more.
	ToMiddle Growth = iota
	// ToNext gives them all to the first word, which then ends where the next one starts.
	ToNext
)

// GrowWords has words of one sequence take the frames between them: most of these are blanks, which a
// network emits for much of what is said. Frames of a wildcard between two words are not
// theirs: it counts as a word of its own. Nothing is added in front of the first word and behind the
// last, and Score and Confidence stay. words are in order, as AppendWords makes them of spans and
// labels. It panics if there is not one span for each label, or if growth has no meaning.
func GrowWords(words []Word, spans []Span, labels []int, growth Growth) {
	if len(spans) != len(labels) {
		panic(fmt.Sprintf("trellis: GrowWords: len(spans) = %d, but there are %d labels", len(spans), len(labels)))
	}
	if growth > ToNext {
		panic(fmt.Sprintf("trellis: GrowWords: growth = %d: neither ToMiddle nor ToNext", growth))
	}
	for i := 1; i < len(words); i++ {
		before := &words[i-1].Span
		for j := words[i-1].To; j < words[i].From; j++ {
			if labels[j] == AnyLabel {
				wildcard := spans[j]
				meet(before, &wildcard, growth)
				before = &wildcard
			}
		}
		meet(before, &words[i].Span, growth)
	}
}

// meet has two spans share the frames between them.
func meet(a, b *Span, growth Growth) {
	if growth == ToMiddle {
		b.Start = a.End + (b.Start-a.End)/2
	}
	a.End = b.Start
}

// Seconds returns when the span begins and ends, in seconds from the beginning of the first frame.
// frame is how far the network moves on from one frame to the next.
func (s Span) Seconds(frame time.Duration) (start, end float64) {
	seconds := func(t int) float64 { return float64(time.Duration(t)*frame) / float64(time.Second) }
	return seconds(s.Start), seconds(s.End)
}
