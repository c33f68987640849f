package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
)

const alignUsage = `trellis align EMISSIONS.npy -text TEXT -tokens FILE [options]
trellis align EMISSIONS.npy -targets TARGETS [options]
trellis align -list LIST -o RESULTS [-tokens FILE] [options]

Prints when each word of the text was said: the frames of the most probable path
that spells it (forced alignment), the mean log-probability of the path in them
(score), and how probable it is that they belong to the word (confidence).
EMISSIONS.npy holds log-probabilities, with -logits raw scores, or with
-scores probs probabilities, which a softmax has made already:
(T,N,C), (T,C), or with -batch_first (N,T,C).

In bench/emissions/line of a clone, if a frame is 5 milliseconds long:

  trellis align emissions.npy -logits -text transcript.txt -tokens tokens.txt -svg picture.svg
  trellis align emissions.npy -logits -text transcript.txt -tokens tokens.txt -html report.html
  trellis align emissions.npy -logits -text transcript.txt -tokens tokens.txt -json -frame 5ms
  trellis align emissions.npy -logits -text "* equal *" -wildcard "*" -tokens tokens.txt

%s
FORMAT is table, json, or for one of these programs: ctm (NIST sclite and Kaldi),
textgrid (Praat), audacity (its label track), srt or vtt (subtitles). With -frame
times are in seconds, else in frames; START is in, END is not. The label -1 of
TARGETS is a wildcard, as the -wildcard of TEXT is: speech that the text does not
have, one frame or more, each at the score -any_score.
` + sequencesUsage + listUsage

// alignOptions are the arguments of trellis align.
type alignOptions struct {
	options
	sequenceOptions
	spanOptions
	listOptions
	anyScore float64
}

func parseAlign(out io.Writer, args []string) (*alignOptions, error) {
	var o alignOptions
	fs := flag.NewFlagSet("align", flag.ContinueOnError)
	fs.BoolVar(&o.confidence, "confidence", true, "find confidences, too; =false is faster")
	fs.Float64Var(&o.anyScore, "any_score", 0, "log-probability of a frame of a wildcard: `SCORE`")
	fs.StringVar(&o.wildcard, "wildcard", "", "`CHARACTERS` of TEXT that stand for any speech, as in *")
	o.spanOptions.register(fs, "table")
	o.sequenceOptions.register(fs)
	o.listOptions.register(fs)
	o.options.register(fs)
	if err := o.parse(fs, alignUsage, out, args); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return &o, o.checkFiles(o.files(&o.options)...)
}

// check reports options that contradict each other.
func (o *alignOptions) check() error {
	if err := o.listOptions.check(&o.options, o.file); err != nil {
		return err
	}
	if err := o.sequenceOptions.check(&o.options); err != nil {
		return err
	}
	if err := o.spanOptions.check(&o.options, formatNames...); err != nil {
		return err
	}
	switch {
	case formats[o.format].ofWords && o.tokens == "" && !o.labels:
		return misuse("align: -format %s wants -tokens, or -labels", o.format)
	case o.set("wildcard") && !o.set("text") && !o.set("list"):
		return misuse("align: -wildcard goes with -text; in -targets it is -1")
	case o.grow != "none" && o.tokens == "":
		return misuse("align: -grow wants -tokens, of which words are made")
	}
	return nil
}

// align is the command.
func (t *tool) align(ctx context.Context, out io.Writer, args []string) error {
	o, err := parseAlign(out, args)
	if err != nil {
		return err
	}
	if o.set("list") {
		return t.corpus(ctx, out, o.corpus())
	}
	x, err := t.openScores(ctx, o.file)
	if err != nil {
		return err
	}
	defer x.Close()
	a, err := o.find(ctx, t, x)
	if err != nil {
		return err
	}
	if err := a.draw(t, o.command, nil); err != nil {
		return err
	}
	return formats[o.format].print(out, a)
}

// corpus returns the work on the files of a list.
func (o *alignOptions) corpus() *Corpus {
	return &Corpus{options: &o.options, list: &o.listOptions, frame: o.frame, work: work{
		saidBy: o.saidBy(), needsSaid: true,
		prepare: func(t *tool) error { return o.readVocabulary(&t.inputs, &o.options) },
		do: func(t *tool, said *said, x *npy.Array) (*sequences, jsonReport, error) {
			one := *o
			one.said = said
			a, err := one.find(context.Background(), t, x)
			if err != nil {
				return nil, nil, err
			}
			return a.sequences, a, nil
		},
	}}
}

// find aligns the sequences of a file.
func (o *alignOptions) find(ctx context.Context, t *tool, x *npy.Array) (*alignments, error) {
	s, err := o.layout(x)
	if err != nil {
		return nil, err
	}
	a, err := newAlignments(s, &o.spanOptions)
	if err != nil {
		return nil, err
	}
	run := align[float32]
	if o.dtype == "float64" {
		run = align[float64]
	}
	return a, explainShape(run(ctx, t, o, a), x)
}

func align[F trellis.Float](ctx context.Context, t *tool, o *alignOptions, a *alignments) error {
	if err := interruptible(ctx, func() error { return readArguments[F](t, o, a.sequences) }); err != nil {
		return err
	}
	err := eachGroup(t, o.workers, a.rows, func(p part[F]) error {
		return interruptible(ctx, func() error { return alignGroup(o, a, p) })
	})
	if err != nil {
		return err
	}
	a.inspector.warn(t)
	return nil
}

// aligner returns the library's.
func aligner[F trellis.Float](o *alignOptions, s *sequences) trellis.CTCAligner[F] {
	return trellis.CTCAligner[F]{
		Blank: s.blank, Scores: s.scores, BatchFirst: s.batchFirst,
		Confidence: o.confidence, AnyScore: o.anyScore, Workers: o.workers,
	}
}

// readArguments reads the targets and lengths, and checks them.
func readArguments[F trellis.Float](t *tool, o *alignOptions, s *sequences) error {
	if err := s.read(t, &o.options, &o.sequenceOptions, "it has no alignment"); err != nil {
		return err
	}
	if !o.set("target_lengths") && !o.hasText(&o.options) && len(s.targets) > 1 {
		for n, target := range s.targets {
			if len(target) > 0 && target[len(target)-1] == trellis.AnyLabel {
				return fmt.Errorf("%s: sequence %d ends with -1: -target_lengths says whether that is a wildcard or padding", s.sources["targets"], n)
			}
		}
	}
	// The library checks everything but the scores, which it gets none of.
	check := aligner[F](o, s)
	check.BatchFirst = false
	none := trellis.Tensor[F]{Shape: []int{0, len(s.targets), s.classes}}
	all := slices.Concat(s.targets...)
	err := check.Align(make([]trellis.Span, len(all)), nil, none, all, nil, lengths(s.targets))
	return s.explain(err, &o.options)
}

// alignGroup reads some sequences and aligns them.
func alignGroup[F trellis.Float](o *alignOptions, a *alignments, p part[F]) error {
	p, err := readPart(p, a.rows)
	if err != nil {
		return err
	}
	if err := inspect(a.sequences, p, o.strict); err != nil {
		return err
	}
	targets, frames := a.targets[p.first:][:p.n], a.inputLengths[p.first:][:p.n]
	all := slices.Concat(targets...)
	spans, scores := make([]trellis.Span, len(all)), make([]float64, p.n)
	if err := aligner[F](o, a.sequences).Align(spans, scores, tensorOf(a.sequences, p.x, p.n), all, frames, lengths(targets)); err != nil {
		return err
	}
	for i, labels := range targets {
		found := alignment{frames: frames[i], score: scores[i], labels: labels, spans: spans[:len(labels)]}
		spans = spans[len(labels):]
		if err := a.findWords(&found); err != nil {
			return err
		}
		add(a, p, i, found)
	}
	return nil
}
