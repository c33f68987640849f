// Command ocr reads a line of print: ONNX Runtime runs a recogniser, and trellis makes text, words and a
// loss of the probabilities that this writes. Start with read below.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"log"
	"math"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/decode"
	"github.com/gotrellis/trellis/tokens"
)

// example is drawn and read if nothing else is asked for. Its letters are easily mistaken for each other.
const example = "Will Illinois sell 1001 oils?"

func main() {
	log.SetFlags(0)
	picture := flag.String("picture", "", "`file` with a line of print, a PNG or JPEG")
	text := flag.String("text", "", "what the line says, for its loss; without a picture this `text` is drawn")
	kept := flag.Bool("kept", false, "read what the recogniser has written once, which takes neither a download nor a C compiler")
	file := flag.String("o", "picture.png", "`file` for the line with what was read under it, a PNG")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("ocr: what is %q? A picture is named by -picture, a text by -text", flag.Arg(0))
	}
	if err := run(os.Stdout, *picture, *text, *kept, *file); err != nil {
		log.Fatal("ocr: ", err)
	}
}

func run(w io.Writer, picture, text string, kept bool, file string) error {
	watch := &stopwatch{last: time.Now()}
	l, err := newLine(picture, text, kept, watch)
	if err != nil {
		return err
	}
	r, err := l.read(watch)
	if err != nil {
		return err
	}
	if err := l.draw(r, file); err != nil {
		return err
	}
	watch.lap("drawing " + file)
	if err := l.print(w, r); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n", strings.Join(watch.laps, ", "))
	return err
}

// stopwatch notes how long each part of the work takes.
type stopwatch struct {
	last time.Time
	laps []string
}

func (s *stopwatch) lap(part string) {
	now := time.Now()
	s.laps = append(s.laps, fmt.Sprintf("%s %.1f ms", part, 1e3*now.Sub(s.last).Seconds()))
	s.last = now
}

// line is a line of print and what the recogniser says of it.
type line struct {
	picture    *image.NRGBA            // 48 pixels high
	text       string                  // that is true, or "" if nobody knows
	emissions  trellis.Tensor[float32] // the probability of each class in each frame, (T,C); a frame is 8 pixels wide
	vocabulary *tokens.Vocabulary      // the classes: the blank, 6623 characters, the space
}

// newLine reads or draws a line, and has it recognised.
func newLine(file, text string, kept bool, watch *stopwatch) (line, error) {
	if kept {
		if file != "" || text != "" {
			return line{}, errors.New("-kept has a line of its own, and takes no other")
		}
		return keptLine()
	}
	var picture image.Image
	var err error
	if file != "" {
		picture, err = readPicture(file)
	} else {
		text = cmp.Or(text, example)
		picture, err = drawText(text)
	}
	if err != nil {
		return line{}, err
	}
	if err := checkShape(picture.Bounds()); err != nil {
		return line{}, err
	}
	return recognise(picture, text, watch)
}

// reading is what trellis finds in the emissions.
type reading struct {
	greedy     decode.Reading
	hypotheses []decode.Hypothesis // the best ones of a beam search
	words      []trellis.Word      // of the best one
	loss       float64             // of the true text, in nats
}

// read does what trellis is for.
func (l line) read(watch *stopwatch) (r reading, err error) {
	space, _ := l.vocabulary.Separator()
	trimMargins(l.emissions, l.vocabulary.Blank, space)

	greedy, err := decode.Greedy[float32]{Scores: trellis.Probabilities}.Decode(nil, l.emissions, nil)
	if err != nil {
		return r, err
	}
	r.greedy = greedy[0]
	watch.lap("greedy")

	// Of 6625 classes only a few are likely in a frame.
	beam := decode.Beam[float32]{Scores: trellis.Probabilities, Threshold: 0.001, NBest: 3, Spans: true}
	hypotheses, err := beam.Decode(nil, l.emissions, nil)
	if err != nil {
		return r, err
	}
	r.hypotheses = hypotheses[0]
	best := r.hypotheses[0]
	r.words = trellis.AppendWords(nil, best.Spans, best.Labels, space)
	watch.lap("beam and spans")

	if l.text != "" {
		labels, err := l.vocabulary.Encode(l.text)
		if err != nil {
			return r, err
		}
		loss, err := trellis.CTCLoss[float32]{Scores: trellis.Probabilities, Reduction: trellis.Sum}.Loss(l.emissions, labels, nil, nil)
		if err != nil {
			return r, err
		}
		r.loss = float64(loss)
		watch.lap("loss")
	}
	return r, nil
}

// trimMargins counts the space as the blank before the first character and behind the last. White
// margins look like spaces, but belong to no text.
func trimMargins(emissions trellis.Tensor[float32], blank, space int) {
	frames, classes := emissions.Shape[0], emissions.Shape[1]
	best := make([]int, frames)
	trellis.ArgMaxRows(best, emissions, nil)
	trim := func(t int) bool {
		if best[t] != blank && best[t] != space {
			return false
		}
		p := emissions.Data[t*classes:][:classes]
		p[blank], p[space] = p[blank]+p[space], 0
		return true
	}
	for t := 0; t < frames && trim(t); t++ {
	}
	for t := frames - 1; t >= 0 && trim(t); t-- {
	}
}

// print prints texts, words and the loss.
func (l line) print(w io.Writer, r reading) error {
	fmt.Fprintf(w, "%d×%d pixels, %d frames of %d classes\n\n", l.picture.Rect.Dx(), height, l.emissions.Shape[0], l.emissions.Shape[1])
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "greedy\t%q\tthe path has p = %.2g\n", l.spell(r.greedy.Labels), math.Exp(r.greedy.Score))
	for i, h := range r.hypotheses {
		fmt.Fprintf(table, "%s\t%q\tp = %.2g\n", []string{"beam", "or", "or"}[i], l.spell(h.Labels), math.Exp(h.LogProbExact))
	}
	if l.text != "" {
		fmt.Fprintf(table, "true\t%q\tp = %.2g: loss %.3f nats\n", l.text, math.Exp(-r.loss), r.loss)
	}
	if err := table.Flush(); err != nil || len(r.words) == 0 {
		return err
	}
	fmt.Fprintf(table, "\nword\tframes\tp\tplace\n")
	for _, word := range r.words {
		fmt.Fprintf(table, "%s\t%d–%d\t%.3f\t%.3f\n", l.spell(r.hypotheses[0].Labels[word.From:word.To]), word.Start, word.End, math.Exp(word.Score), word.Confidence)
	}
	return table.Flush()
}

// spell returns the text of labels that decode has found.
func (l line) spell(labels []int) string {
	text, err := l.vocabulary.Decode(labels)
	if err != nil {
		panic(err) // a class without a token: the vocabulary is not the recogniser's
	}
	return text
}
