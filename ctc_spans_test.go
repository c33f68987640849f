package trellis_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gotrellis/trellis"
)

const wild = trellis.AnyLabel

func TestLeastFrames(t *testing.T) {
	for _, c := range []struct {
		labels []int
		want   int
	}{
		{nil, 0}, {[]int{5}, 1}, {[]int{1, 2, 1}, 3}, {[]int{1, 1, 1}, 5}, {[]int{2, 2, 3, 3}, 6},
		{[]int{wild}, 1}, {[]int{wild, wild}, 2}, {[]int{1, wild, 1}, 3},
	} {
		assert.Equal(t, c.want, trellis.LeastFrames(c.labels), "%v", c.labels)
	}
}

// spansOf returns spans of so many frames each, from pairs of start and end.
func spansOf(bounds ...int) (spans []trellis.Span) {
	for i := 0; i < len(bounds); i += 2 {
		spans = append(spans, trellis.Span{Start: bounds[i], End: bounds[i+1], Score: -float64(i), Confidence: 1 / float64(int(1)<<(i/2))})
	}
	return spans
}

func TestPath(t *testing.T) {
	dst := []int{9, 9, 9, 9, 9, 9, 9}
	trellis.Path(dst, spansOf(1, 2, 2, 4, 5, 6), []int{3, wild, 3}, 0)
	assert.Equal(t, []int{0, 3, wild, wild, 0, 3, 0}, dst)
	trellis.Path(dst[:2], []trellis.Span{{Score: math.Inf(-1)}, {Score: math.Inf(-1)}}, []int{1, 2}, 5)
	assert.Equal(t, []int{5, 5, wild, wild, 0, 3, 0}, dst)
	trellis.Path(nil, nil, nil, 0)

	for text, call := range map[string]func(){
		"trellis: Path: len(spans) = 1, but there are 2 labels":                             func() { trellis.Path(dst, spansOf(0, 1), []int{1, 2}, 0) },
		"trellis: Path: spans[1] = [1,3): outside [2,7], what is behind the span before it": func() { trellis.Path(dst, spansOf(0, 2, 1, 3), []int{1, 2}, 0) },
		"trellis: Path: spans[0] = [5,8): outside [0,7], what is behind the span before it": func() { trellis.Path(dst, spansOf(5, 8), []int{1}, 0) },
		"trellis: Path: spans[0] = [3,2): outside [0,7], what is behind the span before it": func() { trellis.Path(dst, spansOf(3, 2), []int{1}, 0) },
		"trellis: AppendWords: len(spans) = 0, but there are 1 labels":                      func() { trellis.AppendWords(nil, nil, []int{1}, 0) },
		"trellis: GrowWords: len(spans) = 0, but there are 1 labels":                        func() { trellis.GrowWords(nil, nil, []int{1}, trellis.ToMiddle) },
		"trellis: GrowWords: growth = 2: neither ToMiddle nor ToNext":                       func() { trellis.GrowWords(nil, nil, nil, 2) },
	} {
		assert.PanicsWithValue(t, text, call)
	}
	assert.Equal(t, []int{5, 5, wild, wild, 0, 3, 0}, dst, "nothing is written before the check")
}

func TestWords(t *testing.T) {
	const bar = 1
	labels := []int{bar, 5, 6, bar, bar, 7, wild, 8, 8}
	spans := spansOf(0, 1, 2, 3, 4, 6, 7, 8, 8, 9, 11, 12, 14, 16, 17, 18, 20, 21)
	words := trellis.AppendWords(nil, spans, labels, bar)
	want := []trellis.Word{
		{trellis.Span{2, 6, (-2 - 2*4.) / 3, (1/2. + 2/4.) / 3}, 1, 3},
		{trellis.Span{11, 12, -10, 1 / 32.}, 5, 6},
		{trellis.Span{17, 21, -15, (1/128. + 1/256.) / 2}, 7, 9},
	}
	assert.Equal(t, want, words)

	grown := func(growth trellis.Growth) (bounds []int) {
		words := trellis.AppendWords(nil, spans, labels, bar)
		trellis.GrowWords(words, spans, labels, growth)
		for i, w := range words {
			bounds = append(bounds, w.Start, w.End)
			assert.Equal(t, want[i].Score, w.Score)
		}
		return bounds
	}
	assert.Equal(t, []int{2, 8, 8, 13, 16, 21}, grown(trellis.ToMiddle))
	assert.Equal(t, []int{2, 11, 11, 14, 17, 21}, grown(trellis.ToNext))
	assert.Equal(t, spansOf(0, 1, 2, 3, 4, 6, 7, 8, 8, 9, 11, 12, 14, 16, 17, 18, 20, 21), spans, "spans stay")

	assert.Empty(t, trellis.AppendWords(nil, nil, nil, bar))
	assert.Empty(t, trellis.AppendWords(nil, spans[:2], []int{bar, wild}, bar))
	none := trellis.Span{Score: math.Inf(-1)}
	assert.Equal(t, []trellis.Word{{none, 0, 2}}, trellis.AppendWords(nil, []trellis.Span{none, none}, []int{2, 3}, bar), "no alignment")
	assert.Zero(t, trellis.JoinSpans(nil))
}

func TestSeconds(t *testing.T) {
	start, end := trellis.Span{Start: 57, End: 180164}.Seconds(20 * time.Millisecond)
	assert.Equal(t, 1.14, start)
	assert.Equal(t, 3603.28, end)
}

// A recogniser's classes are blank, |, a and b; a frame takes 20 ms.
func ExampleCTCAligner() {
	const blank, bar = 0, 1
	x := trellis.Tensor[float32]{Shape: []int{8, 4}, Data: []float32{
		5, 0, 1, 0,
		0, 0, 4, 1,
		5, 0, 0, 0,
		0, 0, 0, 5,
		2, 0, 0, 3,
		2, 4, 0, 0,
		5, 0, 0, 0,
		0, 0, 4, 0,
	}}
	labels := []int{2, 3, bar, 2} // ab|a
	spans, scores := make([]trellis.Span, len(labels)), make([]float64, 1)
	aligner := trellis.CTCAligner[float32]{Blank: blank, Scores: trellis.Logits, Confidence: true}
	if err := aligner.Align(spans, scores, x, labels, nil, nil); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("score %.4f\n", scores[0])
	words := trellis.AppendWords(nil, spans, labels, bar)
	trellis.GrowWords(words, spans, labels, trellis.ToMiddle)
	for _, w := range words {
		start, end := w.Seconds(20 * time.Millisecond)
		fmt.Printf("labels %v, %.2f s to %.2f s, score %.4f, confidence %.3f\n", labels[w.From:w.To], start, end, w.Score, w.Confidence)
	}
	// Output:
	// score -0.7699
	// labels [2 3], 0.02 s to 0.12 s, score -0.1621, confidence 0.899
	// labels [2], 0.12 s to 0.16 s, score -0.0535, confidence 1.000
}
