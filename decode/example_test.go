package decode_test

import (
	"fmt"
	"log"
	"math"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/decode"
	"github.com/gotrellis/trellis/lm"
)

// tokens are those of the classes; class 0 is the blank.
var tokens = []string{"", "c", "a", "t", "r"}

// frames are probabilities that a network has written: the last letter may be t or r.
var frames = trellis.Tensor[float32]{
	Shape: []int{5, 5},
	Data: []float32{
		0.10, 0.80, 0.05, 0.05, 0.00, // c
		0.10, 0.00, 0.90, 0.00, 0.00, // a
		0.20, 0.00, 0.80, 0.00, 0.00, // still a
		0.55, 0.00, 0.05, 0.25, 0.15, // nothing, or t
		0.05, 0.00, 0.00, 0.45, 0.50, // r, or t
	},
}

func text(labels []int) (s string) {
	for _, l := range labels {
		s += tokens[l]
	}
	return s
}

func ExampleGreedy() {
	greedy := decode.Greedy[float32]{Scores: trellis.Probabilities}
	readings, err := greedy.Decode(nil, frames, nil)
	if err != nil {
		log.Fatal(err) // such as "trellis: Greedy.Decode: Blank = 5: class outside [0,5)"
	}
	r := readings[0]
	fmt.Printf("%s, with %.3f, the mean of the largest probabilities\n", text(r.Labels), r.Confidence)
	for i, s := range r.Spans {
		fmt.Printf("%s in frames %d to %d\n", tokens[r.Labels[i]], s.Start, s.End-1)
	}
	// Output:
	// car, with 0.710, the mean of the largest probabilities
	// c in frames 0 to 0
	// a in frames 1 to 2
	// r in frames 4 to 4
}

// More paths spell "cat" than "car".
func ExampleBeam() {
	beam := decode.Beam[float32]{Scores: trellis.Probabilities, NBest: 3}
	hypotheses, err := beam.Decode(nil, frames, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, h := range hypotheses[0] {
		fmt.Printf("%-5s p = %.3f\n", text(h.Labels), math.Exp(h.LogProb))
	}
	// Output:
	// cat   p = 0.307
	// car   p = 0.297
	// catr  p = 0.098
}

// A list of words that there are, and one to look out for.
func ExampleBeam_scorers() {
	words := lm.NewLexicon([]string{"car", "cat", "carat"}, tokens, math.Inf(1))
	hot := lm.NewHotwords([]lm.Hotword{{Text: "car", Weight: 2}}, tokens)
	beam := decode.Beam[float32]{Scores: trellis.Probabilities, NBest: 2, Scorers: []decode.Scorer{words, hot}}
	hypotheses, err := beam.Decode(nil, frames, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, h := range hypotheses[0] {
		fmt.Printf("%s: %.2f + %.2f = %.2f\n", text(h.Labels), h.LogProb, h.Bonus, h.Score)
	}
	// Output:
	// car: -1.22 + 2.00 = 0.78
	// cat: -1.18 + 0.00 = -1.18
}

func ExampleBeam_Stream() {
	beam := decode.Beam[float32]{Scores: trellis.Probabilities, Width: 2, Threshold: 0.2, Spans: true}
	stream, err := beam.Stream(5)
	if err != nil {
		log.Fatal(err)
	}
	for t := range 5 { // a frame at a time
		frame := trellis.Tensor[float32]{Shape: []int{1, 5}, Data: frames.Data[t*5:][:5]}
		if err := stream.Write(frame); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q and perhaps %q\n", text(stream.Stable()), text(stream.Tentative(nil)))
	}
	best := stream.Finish(nil)[0]
	fmt.Printf("%s, its last letter with a confidence of %.2f\n", text(best.Labels), best.Spans[2].Confidence)
	// Output:
	// "" and perhaps "c"
	// "" and perhaps "ca"
	// "" and perhaps "ca"
	// "ca" and perhaps ""
	// "ca" and perhaps "t"
	// cat, its last letter with a confidence of 0.97
}
