package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
)

const alignUsage = `trellis align EMISSIONS.npy -text TEXT -tokens FILE [options]
trellis align EMISSIONS.npy -targets TARGETS [options]

Prints when each word of the text was said: the frames of the most probable path
that spells it (forced alignment), the mean log-probability of the path in them
(score), and how probable it is that they belong to the word (confidence).
EMISSIONS.npy holds log-probabilities, with -logits raw scores, or with
-scores probs probabilities, which a softmax has made already:
(T,N,C), (T,C), or with -batch_first (N,T,C).

In bench/emissions/line of a clone, if a frame is 5 milliseconds long:

  trellis align emissions.npy -logits -text transcript.txt -tokens tokens.txt -svg picture.svg
  trellis align emissions.npy -logits -text transcript.txt -tokens tokens.txt -json -frame 5ms
  trellis align emissions.npy -logits -text "* equal *" -wildcard "*" -tokens tokens.txt

%s
FORMAT is table, json, or for one of these programs: ctm (NIST sclite and Kaldi),
textgrid (Praat), audacity (its label track), srt or vtt (subtitles). With -frame
times are in seconds, else in frames; START is in, END is not. The label -1 of
TARGETS is a wildcard, as the -wildcard of TEXT is: speech that the text does not
have, one frame or more, each at the score -any_score.
` + sequencesUsage

// alignOptions are the arguments of trellis align.
type alignOptions struct {
	options
	sequenceOptions
	labels     bool
	frame      time.Duration
	format     string
	confidence bool
	grow       string
	anyScore   float64
	picture    string
}

func parseAlign(out io.Writer, args []string) (*alignOptions, error) {
	var o alignOptions
	fs := flag.NewFlagSet("align", flag.ContinueOnError)
	fs.BoolVar(&o.labels, "labels", false, "print each label instead of each word")
	fs.Func("frame", "`TIME` from one frame to the next, as in 20ms: print seconds", o.setFrame)
	fs.StringVar(&o.format, "format", "table", "print `FORMAT`, see below")
	fs.BoolVar(&o.confidence, "confidence", true, "find confidences, too; =false is faster")
	fs.StringVar(&o.grow, "grow", "none", "have words take the frames between them: `none|middle|next`")
	fs.Float64Var(&o.anyScore, "any_score", 0, "log-probability of a frame of a wildcard: `SCORE`")
	fs.StringVar(&o.wildcard, "wildcard", "", "`CHARACTERS` of TEXT that stand for any speech, as in *")
	fs.StringVar(&o.picture, "svg", "", "draw the emissions, the path and the words to `FILE`.svg or .png")
	o.sequenceOptions.register(fs)
	o.options.register(fs)
	if err := o.parse(fs, alignUsage, out, args); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return &o, checkFiles("-svg", o.picture, o.files(&o.options)...)
}

// setFrame reads the value of -frame.
func (o *alignOptions) setFrame(value string) (err error) {
	if o.frame, err = time.ParseDuration(value); err != nil || o.frame <= 0 {
		return errors.New("want a time above 0 with its unit, as in 20ms")
	}
	return nil
}

// check reports options that contradict each other.
func (o *alignOptions) check() error {
	if err := o.sequenceOptions.check(&o.options); err != nil {
		return err
	}
	if err := oneOf("format", o.format, formatNames...); err != nil {
		return err
	}
	if err := oneOf("grow", o.grow, "none", "middle", "next"); err != nil {
		return err
	}
	f := formats[o.format]
	switch {
	case o.json && o.set("format") && o.format != "json":
		return misuse("align: -json contradicts -format %s", o.format)
	case f.inSeconds && o.frame == 0:
		return misuse("align: -format %s wants -frame, the time from one frame to the next", o.format)
	case f.ofWords && o.tokens == "" && !o.labels:
		return misuse("align: -format %s wants -tokens, or -labels", o.format)
	case o.set("wildcard") && !o.set("text"):
		return misuse("align: -wildcard goes with -text; in -targets it is -1")
	case o.grow != "none" && o.tokens == "":
		return misuse("align: -grow wants -tokens, of which words are made")
	case o.picture == "" && o.set("svg"):
		return misuse("-svg: want the name of a file")
	}
	if o.json {
		o.format = "json"
	}
	return checkPictureName(o.picture)
}

// align is the command.
func (t *tool) align(ctx context.Context, out io.Writer, args []string) error {
	o, err := parseAlign(out, args)
	if err != nil {
		return err
	}
	x, err := t.openScores(ctx, o.file)
	if err != nil {
		return err
	}
	defer x.Close()
	run := align[float32]
	if o.dtype == "float64" {
		run = align[float64]
	}
	return explainShape(run(ctx, t, out, o, x), x)
}

func align[F trellis.Float](ctx context.Context, t *tool, out io.Writer, o *alignOptions, x *npy.Array) error {
	s, err := o.layout(x)
	if err != nil {
		return err
	}
	a := &alignments{sequences: s, options: o}
	if err := interruptible(ctx, func() error { return readArguments[F](a, t) }); err != nil {
		return err
	}
	err = eachGroup(t, o.workers, s.rows, func(p part[F]) error {
		return interruptible(ctx, func() error { return alignGroup(a, p) })
	})
	if err != nil {
		return err
	}
	s.inspector.warn(t)
	if o.picture != "" {
		if err := a.draw(t); err != nil {
			return err
		}
	}
	return formats[o.format].print(out, a)
}

// alignments are all alignments of a file.
type alignments struct {
	*sequences
	options *alignOptions
	found   []alignment // one for each sequence
	panels  []panel     // of the first frames, to be drawn
}

// alignment is one sequence's.
type alignment struct {
	frames int
	score  float64
	labels []int
	spans  []trellis.Span // one for each label
	words  []trellis.Word // none without tokens
	texts  []string       // of the words
}

// aligner returns the library's.
func aligner[F trellis.Float](a *alignments) trellis.CTCAligner[F] {
	return trellis.CTCAligner[F]{
		Blank: a.blank, Scores: a.scores, BatchFirst: a.batchFirst,
		Confidence: a.options.confidence, AnyScore: a.options.anyScore, Workers: a.options.workers,
	}
}

// readArguments reads the targets and lengths, and checks them.
func readArguments[F trellis.Float](a *alignments, t *tool) error {
	o := a.options
	if err := a.read(t, &o.options, &o.sequenceOptions, "it has no alignment"); err != nil {
		return err
	}
	if !o.set("target_lengths") && !o.set("text") && len(a.targets) > 1 {
		for n, target := range a.targets {
			if len(target) > 0 && target[len(target)-1] == trellis.AnyLabel {
				return fmt.Errorf("%s: sequence %d ends with -1: -target_lengths says whether that is a wildcard or padding", a.sources["targets"], n)
			}
		}
	}
	// The library checks everything but the scores, which it gets none of.
	check := aligner[F](a)
	check.BatchFirst = false
	none := trellis.Tensor[F]{Shape: []int{0, len(a.targets), a.classes}}
	all := slices.Concat(a.targets...)
	err := check.Align(make([]trellis.Span, len(all)), nil, none, all, nil, lengths(a.targets))
	return a.explain(err, &o.options)
}

// alignGroup reads some sequences and aligns them.
func alignGroup[F trellis.Float](a *alignments, p part[F]) error {
	p, err := readPart(p, a.rows)
	if err != nil {
		return err
	}
	if err := inspect(a.sequences, p, a.options.strict); err != nil {
		return err
	}
	targets, frames := a.targets[p.first:][:p.n], a.inputLengths[p.first:][:p.n]
	all := slices.Concat(targets...)
	spans, scores := make([]trellis.Span, len(all)), make([]float64, p.n)
	if err := aligner[F](a).Align(spans, scores, tensorOf(a.sequences, p.x, p.n), all, frames, lengths(targets)); err != nil {
		return err
	}
	for i, labels := range targets {
		found := alignment{frames: frames[i], score: scores[i], labels: labels, spans: spans[:len(labels)]}
		spans = spans[len(labels):]
		if err := a.findWords(&found); err != nil {
			return err
		}
		if a.options.picture != "" {
			a.panels = append(a.panels, newPanels(a, p.first+i, found, maxPanels-len(a.panels), func(t int) []F { return frame(a.sequences, p, i, t) })...)
		}
		a.found = append(a.found, found)
	}
	return nil
}

// findWords joins labels to words.
func (a *alignments) findWords(s *alignment) error {
	if a.vocabulary == nil {
		return nil
	}
	words, err := a.vocabulary.Words(s.labels)
	if err != nil {
		return err
	}
	for _, w := range words {
		s.texts = append(s.texts, w.Text)
		s.words = append(s.words, trellis.Word{Span: trellis.JoinSpans(s.spans[w.Start:w.End]), From: w.Start, To: w.End})
	}
	switch a.options.grow {
	case "middle":
		trellis.GrowWords(s.words, s.spans, s.labels, trellis.ToMiddle)
	case "next":
		trellis.GrowWords(s.words, s.spans, s.labels, trellis.ToNext)
	}
	return nil
}

// token returns how a label is written.
func (a *alignments) token(label int) string {
	switch {
	case a.vocabulary == nil:
		return fmt.Sprint(label)
	case label == trellis.AnyLabel:
		return cmp.Or(a.options.wildcard, "*")
	}
	return a.vocabulary.Token(label)
}

// item is a word or a label, and when it was said.
type item struct {
	text string
	trellis.Span
}

// labelItems returns the labels of a sequence.
func (a *alignments) labelItems(s alignment) []item {
	items := make([]item, len(s.spans))
	for i, span := range s.spans {
		items[i] = item{a.token(s.labels[i]), span}
	}
	return items
}

// wordItems returns the words of a sequence.
func (a *alignments) wordItems(s alignment) []item {
	items := make([]item, len(s.words))
	for i, w := range s.words {
		items[i] = item{s.texts[i], w.Span}
	}
	return items
}

// items returns the words of a sequence, or the labels if these are asked for or there are no
// words.
func (a *alignments) items(s alignment) []item {
	if a.options.labels || a.vocabulary == nil {
		return a.labelItems(s)
	}
	return a.wordItems(s)
}
