package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/decode"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/gotrellis/trellis/lm"
)

const decodeUsage = `trellis decode EMISSIONS.npy... -tokens FILE [options]
trellis decode -list LIST -o RESULTS -tokens FILE [options]

Prints what was said, a line for each sequence: what the most probable path spells
(greedy), or with -beam the most probable text, of all paths that spell it, and of
what a language model, a lexicon and hotwords have to say (prefix beam search).
EMISSIONS.npy holds log-probabilities, with -logits raw scores, or with
-scores probs probabilities, which a softmax has made already:
(T,N,C), (T,C), or with -batch_first (N,T,C). There may be several files.

In bench/emissions/line of a clone:

  trellis decode emissions.npy -logits -tokens tokens.txt -reference transcript.txt
  trellis decode emissions.npy -logits -tokens tokens.txt -beam 10 -nbest 3 -html report.html
  trellis decode emissions.npy -logits -tokens tokens.txt -beam 9 -hotwords "equal, two letters :5"
  trellis decode emissions.npy -logits -tokens tokens.txt -format srt -frame 5ms -svg picture.svg

%s
FORMAT is text, table (when each word was said), json, or for one of these programs:
ctm (NIST sclite and Kaldi), textgrid (Praat), audacity (its label track), srt or vtt
(subtitles). With -frame times are in seconds, else in frames; START is in, END is
not. The n best are in text, json and the page; json also has the error rates.
A lexicon has a word on each line; what follows it there is left out. HOTWORDS are
words or phrases with commas between them, or a text file with one on each line;
" :5" behind one is its own weight. Weights, penalties and scores are in nats: they
are added to ln p. REFERENCE is the text itself or a text file; each line is a sequence,
of all files one after the other. An error is a character or word that is to be
replaced, left out or put in.
LENGTHS are numbers ("90,80"), a text file or a .npy file. The name - is the standard
input. Of several arrays in a .npz file, x.npz:NAME is one.
` + tokensUsage + listUsage

// decodeOptions are the arguments of trellis decode.
type decodeOptions struct {
	options
	emissionOptions
	spanOptions
	listOptions
	emissions []string // the files
	beam      int
	threshold float64
	topK      int
	nbest     int
	scorerOptions
	reference string
}

func parseDecode(out io.Writer, args []string) (*decodeOptions, error) {
	var o decodeOptions
	fs := flag.NewFlagSet("decode", flag.ContinueOnError)
	fs.StringVar(&o.tokens, "tokens", "", "`FILE` of the tokens of the classes")
	fs.StringVar(&o.letters, "case", "as_is", "take the letters of lexicon, hotwords and REFERENCE, and for these and\nthe model those of the tokens, `as_is|upper|lower`")
	fs.IntVar(&o.beam, "beam", 0, "keep `N` beginnings of texts; 0: greedy")
	fs.Float64Var(&o.threshold, "threshold", 0.001, "with -beam, look at classes of probability `P` or more")
	fs.IntVar(&o.topK, "top_k", 0, "with -beam, look at the `N` most probable classes; 0: all")
	fs.IntVar(&o.nbest, "nbest", 1, "print the `N` best texts")
	fs.StringVar(&o.reference, "reference", "", "print the error rates against `REFERENCE`, see below")
	o.scorerOptions.register(fs)
	o.spanOptions.register(fs, "text")
	o.emissionOptions.register(fs)
	o.listOptions.register(fs)
	o.options.register(fs)
	var err error
	if o.emissions, err = o.parseFiles(fs, decodeUsage, out, args); err != nil {
		return nil, err
	}
	if err := o.listOptions.check(&o.options, o.emissions...); err != nil {
		return nil, err
	}
	o.confidence = true
	if err := o.check(); err != nil {
		return nil, err
	}
	return &o, o.checkFiles(append(o.emissions, o.tokens, o.inputLengths, o.lm, o.lexicon, o.hotwords, o.reference)...)
}

// widestBeam keeps a slip of the hand from filling the memory.
const widestBeam = 1 << 20

// check reports options that contradict each other.
func (o *decodeOptions) check() error {
	if err := o.emissionOptions.check(&o.options); err != nil {
		return err
	}
	if err := o.spanOptions.check(&o.options, append([]string{"text"}, formatNames...)...); err != nil {
		return err
	}
	for _, name := range []string{"threshold", "top_k", "nbest", "lm", "lexicon", "hotwords"} {
		if o.set(name) && o.beam == 0 {
			return misuse("decode: -%s goes with -beam", name)
		}
	}
	for _, name := range []string{"frame", "grow"} {
		if o.set(name) && !o.wantsSpans() {
			return misuse("decode: -%s goes with a -format that has times, -svg or -html", name)
		}
	}
	many, f := len(o.emissions) > 1, formats[o.format]
	hasTexts := o.format == "text" || o.format == "json"
	switch {
	case len(o.emissions) == 0 && !o.set("list"):
		return misuse("decode takes files, got none")
	case o.tokens == "":
		return misuse("decode: want -tokens, of which texts are made")
	case many && o.set("input_lengths"):
		return misuse("decode: -input_lengths goes with one file")
	case many && o.draws():
		return misuse("decode: -svg and -html go with one file")
	case many && f.ofOne:
		return misuse("decode: -format %s is of one recording; json and ctm have many", o.format)
	case o.set("reference") && !hasTexts:
		return misuse("decode: -reference goes with -format text or json")
	case o.labels && hasTexts:
		return misuse("decode: -labels does not go with -format %s", o.format)
	case o.nbest > 1 && !hasTexts && o.html == "":
		return misuse("decode: -nbest goes with -format text or json, or -html")
	case o.nbest < 1:
		return misuse("-nbest %d: want 1 or more", o.nbest)
	case o.beam > widestBeam:
		return misuse("-beam %d: want %d or less", o.beam, widestBeam)
	case o.beam > 0 && o.nbest > o.beam:
		return misuse("decode: -nbest %d is more than -beam %d keeps", o.nbest, o.beam)
	}
	return o.scorerOptions.check(&o.options)
}

// wantsSpans reports whether it is to be said when words were said.
func (o *decodeOptions) wantsSpans() bool { return o.format != "text" || o.draws() }

// decode is the command.
func (t *tool) decode(ctx context.Context, out io.Writer, args []string) error {
	o, err := parseDecode(out, args)
	if err != nil {
		return err
	}
	if o.set("list") {
		return t.corpus(ctx, out, o.corpus())
	}
	d := &decoding{options: o}
	if err := interruptible(ctx, func() error { return d.readArguments(t) }); err != nil {
		return err
	}
	if err := d.readFiles(ctx, t); err != nil {
		return err
	}
	if err := d.warnUnknown(t); err != nil {
		return err
	}
	if o.draws() {
		if err := d.files[0].draw(t, o.command, d.files[0].hypotheses); err != nil {
			return err
		}
	}
	if d.references != nil {
		if err := interruptible(ctx, func() error { d.compareAll(); return nil }); err != nil {
			return err
		}
	}
	return d.print(t, out)
}

// corpus returns the work on the files of a list.
func (o *decodeOptions) corpus() *Corpus {
	o.workers = 1
	d := &decoding{options: o}
	return &Corpus{options: &o.options, list: &o.listOptions, frame: o.frame, work: work{
		saidBy:  []string{textColumn},
		prepare: d.readArguments,
		do: func(t *tool, said *said, x *npy.Array) (*sequences, jsonReport, error) {
			one := *d
			if said != nil {
				one.references = said.lines()
			}
			if err := one.read(context.Background(), t, x); err != nil {
				return nil, nil, err
			}
			if one.references != nil {
				one.compareAll()
			}
			return one.files[0].sequences, &one, nil
		},
	}}
}

// decoding is what is read, and with what.
type decoding struct {
	options    *decodeOptions
	scorers    []decode.Scorer
	model      *lm.Model // or nil
	references *lines    // or nil
	files      []transcript
	count      int          // sequences in these
	rates      []errorRates // of all of them, and
	total      errorRates   // their sum
}

// transcript is what is read in a file.
type transcript struct {
	*alignments                // of the best hypotheses
	hypotheses  [][]hypothesis // of each sequence
}

// hypothesis is what a sequence may say.
type hypothesis struct {
	alignment
	text               string
	logProb, lm, bonus float64
}

// readArguments reads what there is beside the emissions.
func (d *decoding) readArguments(t *tool) (err error) {
	o := d.options
	if err := o.readTokens(&t.inputs, &o.options); err != nil {
		return err
	}
	if o.set("reference") {
		if d.references, err = t.readLines("-reference", o.reference, o.strict); err != nil {
			return err
		}
	}
	return d.readScorers(t)
}

// readFiles reads all files, several at a time.
func (d *decoding) readFiles(ctx context.Context, t *tool) error {
	names := d.options.emissions
	if len(names) == 1 {
		return d.readFile(ctx, t, names[0])
	}
	workers := min(workersOf(d.options.workers), len(names))
	options := *d.options
	if options.workers >= 0 {
		options.workers = workersOf(options.workers) / workers // of each file
	}
	shared := tool{inputs: t.inputs, memory: t.memory / workers, room: newRoom(t.memory)}
	progress := t.newProgress(len(names))
	defer progress.clear()
	type reading struct {
		*decoding
		warnings []string
		err      error
	}
	i := 0
	next := func() (name string, ok bool, err error) {
		if i == len(names) {
			return "", false, nil
		}
		i++
		return names[i-1], true, nil
	}
	return inOrder(ctx, workers, next, func(name string) reading {
		t, one := shared, &decoding{options: &options, scorers: d.scorers, model: d.model}
		err := one.readFile(context.Background(), &t, name)
		return reading{one, t.warnings, err}
	}, func(r reading) error {
		if r.err != nil {
			return r.err
		}
		t.warnings = append(t.warnings, r.warnings...)
		d.count += r.count
		d.files = append(d.files, r.files...)
		progress.set(len(d.files))
		return d.checkReferences(r.files[0].sequences, len(d.files) == len(names))
	})
}

// readFile opens and reads a file.
func (d *decoding) readFile(ctx context.Context, t *tool, name string) error {
	x, err := t.openScores(ctx, name)
	if err != nil {
		return err
	}
	defer x.Close()
	return d.read(ctx, t, x)
}

// read reads a file.
func (d *decoding) read(ctx context.Context, t *tool, x *npy.Array) error {
	s, err := d.options.layout(x)
	if err != nil {
		return err
	}
	a, err := newAlignments(s, &d.options.spanOptions)
	if err != nil {
		return err
	}
	if err := interruptible(ctx, func() error { return d.prepare(t, s) }); err != nil {
		return err
	}
	run := decodeFile[float32]
	if d.options.dtype == "float64" {
		run = decodeFile[float64]
	}
	f := transcript{alignments: a}
	if err := run(ctx, t, d, &f); err != nil {
		return explainShape(err, x)
	}
	s.inspector.warn(t)
	d.files = append(d.files, f)
	return d.warnImpossible(t, &f)
}

// decodeFile reads what is said in the sequences of f.
func decodeFile[F trellis.Float](ctx context.Context, t *tool, d *decoding, f *transcript) error {
	o := d.options
	r := reader[F](o, f.sequences, d.scorers)
	if err := r.check(); err != nil {
		return f.explain(err, &o.options)
	}
	return eachGroup(t, o.workers, f.rows, func(p part[F]) error {
		return interruptible(ctx, func() error { return decodeGroup(o, f, r, p) })
	})
}

// decodeSources names the options that the fields of decode.Greedy and Beam are of.
var decodeSources = map[string]string{"Blank": "-blank", "Workers": "-workers", "Width": "-beam", "Threshold": "-threshold", "TopK": "-top_k"}

// prepare makes the sequences of a file ready.
func (d *decoding) prepare(t *tool, s *sequences) error {
	o := d.options
	if err := s.take(d.options.vocabulary, d.options.source); err != nil {
		return err
	}
	s.sources = decodeSources
	if err := s.readInputLengths(&t.inputs, &o.options, o.inputLengths); err != nil {
		return err
	}
	// A prefix is about as much work in a frame as 20 elements.
	s.cost = s.blocks*s.inner + 20*s.frames*max(o.beam, 0)
	d.count += s.count
	return d.checkReferences(s, true)
}

// checkReferences reports references of another number of sequences than are in the files up to one,
// which is the last one or not.
func (d *decoding) checkReferences(s *sequences, last bool) error {
	if d.references == nil {
		return nil
	}
	have := len(d.references.lines)
	if d.count > have || last && d.count < have {
		all, advice := s.Name+" holds", s.adviceOnCount(have, &d.options.options)
		switch {
		case len(d.options.emissions) > 1:
			all, advice = "the files up to "+s.Name+" hold", ""
		case s.count == 1:
			advice = "; each line of REFERENCE is a sequence"
		}
		return fmt.Errorf("%s: references of %d sequences, %s %d%s", d.references.source, have, all, d.count, advice)
	}
	return nil
}

// sequenceReader is a decoder of the library, one of them.
type sequenceReader[F trellis.Float] struct {
	greedy decode.Greedy[F]
	beam   decode.Beam[F]
	width  int // of the beam, 0 for greedy
	none   trellis.Tensor[F]
}

// reader returns what the options ask for.
func reader[F trellis.Float](o *decodeOptions, s *sequences, scorers []decode.Scorer) *sequenceReader[F] {
	return &sequenceReader[F]{
		greedy: decode.Greedy[F]{Blank: s.blank, Scores: s.scores, BatchFirst: s.batchFirst, Workers: o.workers},
		beam: decode.Beam[F]{
			Blank: s.blank, Scores: s.scores, BatchFirst: s.batchFirst, Workers: o.workers,
			Width: o.beam, Threshold: o.threshold, TopK: o.topK, NBest: o.nbest, Scorers: scorers, Spans: o.wantsSpans(),
		},
		width: o.beam,
		none:  trellis.Tensor[F]{Shape: []int{0, 0, s.classes}},
	}
}

// check checks the options with no scores.
func (r *sequenceReader[F]) check() error {
	_, err := r.read(r.none, nil)
	return err
}

// read returns the hypotheses of each sequence.
func (r *sequenceReader[F]) read(x trellis.Tensor[F], frames []int) ([][]decode.Hypothesis, error) {
	if r.width != 0 {
		return r.beam.Decode(nil, x, frames)
	}
	readings, err := r.greedy.Decode(nil, x, frames)
	if err != nil {
		return nil, err
	}
	all := make([][]decode.Hypothesis, len(readings))
	for n, h := range readings {
		all[n] = []decode.Hypothesis{{Labels: h.Labels, Spans: h.Spans, LogProb: h.Score, Score: h.Score}}
	}
	return all, nil
}

// decodeGroup reads some sequences.
func decodeGroup[F trellis.Float](o *decodeOptions, f *transcript, r *sequenceReader[F], p part[F]) error {
	p, err := readPart(p, f.rows)
	if err != nil {
		return err
	}
	if err := inspect(f.sequences, p, o.strict); err != nil {
		return err
	}
	frames := f.inputLengths[p.first:][:p.n]
	read, err := r.read(tensorOf(f.sequences, p.x, p.n), frames)
	if err != nil {
		return err
	}
	for i, hypotheses := range read {
		all := make([]hypothesis, len(hypotheses))
		for k, h := range hypotheses {
			all[k] = hypothesis{
				alignment: alignment{frames: frames[i], score: h.Score, labels: h.Labels},
				logProb:   h.LogProb, lm: h.LM, bonus: h.Bonus,
			}
			if all[k].text, err = f.vocabulary.Decode(h.Labels); err != nil {
				return err
			}
			if !o.wantsSpans() {
				continue
			}
			all[k].spans = h.Spans
			if err := f.findWords(&all[k].alignment); err != nil {
				return err
			}
		}
		add(f.alignments, p, i, all[0].alignment)
		f.hypotheses = append(f.hypotheses, all)
	}
	return nil
}

// warnImpossible names sequences that no text fits.
func (d *decoding) warnImpossible(t *tool, f *transcript) error {
	var found []string
	for n, h := range f.hypotheses {
		if !math.IsInf(h[0].score, -1) {
			continue
		}
		advice := ""
		if d.options.lexicon != "" && math.IsInf(d.options.lexiconPenalty, 1) {
			advice = " with words of the lexicon alone; -lexicon_penalty allows others"
		}
		found = append(found, fmt.Sprintf("sequence %d: no text is possible%s", n, advice))
	}
	return t.warnSome(d.options.strict, f.Name, "sequences", found)
}

// best returns the best hypothesis of every sequence.
func (d *decoding) best() (all []hypothesis) {
	for _, f := range d.files {
		for _, h := range f.hypotheses {
			all = append(all, h[0])
		}
	}
	return all
}
