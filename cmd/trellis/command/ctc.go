package command

import (
	"context"
	"flag"
	"io"
	"slices"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
)

const ctcUsage = `trellis ctc EMISSIONS.npy -targets TARGETS [options]
trellis ctc EMISSIONS.npy -text TEXT -tokens FILE [options]
trellis ctc -list LIST -o RESULTS [-tokens FILE] [options]

Prints the CTC loss of every sequence, and the reduced loss.
EMISSIONS.npy holds log-probabilities, with -logits raw scores, or with
-scores probs probabilities, which a softmax has made already:
(T,N,C), (T,C), or with -batch_first (N,T,C).

In bench/emissions/line of a clone:

  trellis ctc emissions.npy -logits -text transcript.txt -tokens tokens.txt -grad grad.npy
  trellis ctc emissions.npy -logits -targets "3,39,28,41,38,46" -input_lengths 32

%s
` + sequencesUsage + listUsage

// ctcOptions are the arguments of trellis ctc.
type ctcOptions struct {
	lossOptions
	sequenceOptions
	listOptions
	zeroInfinity bool
	gradient     string
}

// gradients are the values of -gradient.
var gradients = map[string]trellis.CTCGradient{
	"logits": trellis.LogitsGradient,
	"scores": trellis.ScoresGradient,
}

func parseCTC(out io.Writer, args []string) (*ctcOptions, error) {
	var o ctcOptions
	fs := flag.NewFlagSet("ctc", flag.ContinueOnError)
	fs.BoolVar(&o.zeroInfinity, "zero_infinity", false, "count infinite losses as 0")
	fs.StringVar(&o.gradient, "gradient", "logits", "differentiate by the `logits|scores`: the input of the log-softmax,\nas PyTorch does, or the scores that enter CTC")
	o.sequenceOptions.register(fs)
	o.listOptions.register(fs)
	o.lossOptions.register(fs)
	if err := o.parse(fs, ctcUsage, out, args); err != nil {
		return nil, err
	}
	if err := o.listOptions.check(&o.options, o.file); err != nil {
		return nil, err
	}
	if err := o.sequenceOptions.check(&o.options); err != nil {
		return nil, err
	}
	switch {
	case o.set("tokens") && !o.set("text") && !o.set("list"):
		return nil, misuse("ctc: -text and -tokens go together")
	case o.set("gradient") && o.grad == "":
		return nil, misuse("ctc: -gradient goes with -grad")
	}
	if err := oneOf("gradient", o.gradient, "logits", "scores"); err != nil {
		return nil, err
	}
	return &o, checkFiles("-grad", o.grad, o.files(&o.options)...)
}

// ctc is the command.
func (t *tool) ctc(ctx context.Context, out io.Writer, args []string) error {
	o, err := parseCTC(out, args)
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
	_, r, err := o.score(ctx, t, x)
	if err != nil {
		return err
	}
	return r.print(out, o.json)
}

// corpus returns the work on the files of a list.
func (o *ctcOptions) corpus() *Corpus {
	return &Corpus{options: &o.options, list: &o.listOptions, work: work{
		saidBy: o.saidBy(), needsSaid: true,
		prepare: func(t *tool) error { return o.readVocabulary(&t.inputs, &o.options) },
		do: func(t *tool, said *said, x *npy.Array) (*sequences, jsonReport, error) {
			one := *o
			one.said = said
			s, r, err := one.score(context.Background(), t, x)
			r.File = "" // with which the line begins
			return s, r, err
		},
	}}
}

// score computes the losses of a file.
func (o *ctcOptions) score(ctx context.Context, t *tool, x *npy.Array) (*sequences, report, error) {
	s, err := o.layout(x)
	if err != nil {
		return nil, report{}, err
	}
	run := ctc[float32]
	if o.dtype == "float64" {
		run = ctc[float64]
	}
	r, err := run(ctx, t, o, s)
	return s, r, explainShape(err, x)
}

func ctc[F trellis.Float](ctx context.Context, t *tool, o *ctcOptions, s *sequences) (report, error) {
	c := &ctcCriterion[F]{sequences: s, reduction: o.reduction, strict: o.strict}
	if err := interruptible(ctx, func() error { return c.readArguments(t, o) }); err != nil {
		return report{}, err
	}
	losses, err := compute(ctx, t, &o.lossOptions, s.rows, c)
	if err != nil {
		return report{}, err
	}
	s.inspector.warn(t)
	return c.report(o, losses), nil
}

// readArguments reads the targets and lengths, and checks them.
func (c *ctcCriterion[F]) readArguments(t *tool, o *ctcOptions) error {
	what := "its loss is +Inf"
	if o.zeroInfinity {
		what = "its loss counts as 0"
	}
	if err := c.read(t, &o.options, &o.sequenceOptions, what); err != nil {
		return err
	}
	c.loss = trellis.CTCLoss[F]{
		Blank: c.blank, ZeroInfinity: o.zeroInfinity, Scores: c.scores, BatchFirst: c.batchFirst,
		Gradient: gradients[o.gradient], Workers: o.workers,
	}
	// The library checks everything but the scores, which it gets none of.
	loss := c.loss
	loss.BatchFirst = false
	none := trellis.Tensor[F]{Shape: []int{0, len(c.targets), c.classes}}
	err := loss.Losses(make([]F, len(c.targets)), none, slices.Concat(c.targets...), nil, lengths(c.targets))
	return c.explain(err, &o.options)
}

// ctcCriterion is CTCLoss over the sequences of a file.
type ctcCriterion[F trellis.Float] struct {
	*sequences
	loss      trellis.CTCLoss[F]
	reduction string
	strict    bool
}

func (c *ctcCriterion[F]) Losses(dst []F, p part[F]) error {
	if err := inspect(c.sequences, p, c.strict); err != nil {
		return err
	}
	targets := c.targets[p.first:][:p.n]
	return c.loss.Losses(dst, tensorOf(c.sequences, p.x, p.n), slices.Concat(targets...), c.inputLengths[p.first:][:p.n], lengths(targets))
}

func (c *ctcCriterion[F]) Grad(p part[F]) error {
	targets := c.targets[p.first:][:p.n]
	upstream := make([]F, p.n)
	for i, target := range targets {
		upstream[i] = 1
		if c.reduction == "mean" {
			upstream[i] = F(1 / (float64(max(len(target), 1)) * float64(len(c.targets))))
		}
	}
	return c.loss.VJP(p.x, upstream, tensorOf(c.sequences, p.x, p.n), slices.Concat(targets...), c.inputLengths[p.first:][:p.n], lengths(targets))
}

// reduce returns the reduced loss, false if there is none to report.
func (c *ctcCriterion[F]) reduce(losses []F) (F, bool) {
	var sum float64
	for n, loss := range losses {
		if c.reduction == "mean" {
			sum += float64(loss) / float64(max(len(c.targets[n]), 1))
		} else {
			sum += float64(loss)
		}
	}
	if c.reduction == "mean" {
		sum /= float64(len(losses))
	}
	return F(sum), c.reduction != "none"
}

func (c *ctcCriterion[F]) report(o *ctcOptions, losses []F) report {
	p := o.lossOptions.report(c.Array)
	p.Losses, p.InputLengths, p.TargetLengths = numbersOf(losses), c.inputLengths, lengths(c.targets)
	if loss, ok := c.reduce(losses); ok {
		n := numberOf(loss)
		p.Loss = &n
	}
	p.kind = c.kindOf()
	p.rows, p.columns = len(losses), []string{"sequence", "frames", "labels", "loss"}
	p.cells = func(n int) []any {
		return []any{n, c.inputLengths[n], len(c.targets[n]), p.Losses[n]}
	}
	return p
}
