package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
)

const ctcUsage = `trellis ctc EMISSIONS.npy -targets TARGETS [options]
trellis ctc EMISSIONS.npy -text TEXT -tokens FILE [options]

Prints the CTC loss of every sequence, and the reduced loss.
EMISSIONS.npy holds log-probabilities, with -logits raw scores, or with
-scores probs probabilities, which a softmax has made already:
(T,N,C), (T,C), or with -batch_first (N,T,C).

  trellis ctc emissions.npy -targets "3,1,4;1,5" -input_lengths 50,42
  trellis ctc emissions.npy -logits -text "hello world" -tokens tokens.txt -grad grad.npy

%s
TARGETS and lengths are numbers ("1,2;3": a semicolon ends a sequence), a text
file (a line is a sequence), or a .npy file: (N,S), or 1-D for one sequence or,
with -target_lengths, all of them one after the other.
A tokens file has a token on each line; the first line is class 0. <blank> is the
blank; a space of TEXT is the token " ", else <space>, else |; an empty line is a
class that TEXT cannot have. Of several tokens that fit, the longest is taken.
Each line of TEXT is a sequence. Sequences, positions and characters are counted
from 0, lines of files from 1.
`

// ctcOptions are the arguments of trellis ctc.
type ctcOptions struct {
	options
	targets, text, tokens       string
	inputLengths, targetLengths string
	blank                       int
	scores                      string
	zeroInfinity, batchFirst    bool
	gradient                    string
	set                         func(name string) bool // reports whether a flag was given
}

// gradients are the values of -gradient.
var gradients = map[string]trellis.CTCGradient{
	"logits": trellis.LogitsGradient,
	"scores": trellis.ScoresGradient,
}

// scores are the values of -scores.
var scores = map[string]trellis.Scores{
	"log_probs": trellis.LogProbabilities,
	"logits":    trellis.Logits,
	"probs":     trellis.Probabilities,
}

func parseCTC(out io.Writer, args []string) (*ctcOptions, error) {
	var o ctcOptions
	fs := flag.NewFlagSet("ctc", flag.ContinueOnError)
	fs.StringVar(&o.targets, "targets", "", "the labels of every sequence: `TARGETS`, see below")
	fs.StringVar(&o.text, "text", "", "`TEXT` of every sequence, instead of -targets")
	fs.StringVar(&o.tokens, "tokens", "", "`FILE` of the tokens that TEXT is made of")
	fs.StringVar(&o.inputLengths, "input_lengths", "", "`LENGTHS` of the sequences in frames; unset: T")
	fs.StringVar(&o.targetLengths, "target_lengths", "", "`LENGTHS` of the targets; unset: as TARGETS is divided")
	fs.IntVar(&o.blank, "blank", 0, "`class` of the blank; with tokens, that of <blank>")
	fs.BoolVar(&o.zeroInfinity, "zero_infinity", false, "count infinite losses as 0")
	fs.StringVar(&o.scores, "scores", "log_probs", "the file has `SCORES`: log_probs, logits or probs")
	logits := fs.Bool("logits", false, "short for -scores logits")
	fs.BoolVar(&o.batchFirst, "batch_first", false, "the file is (N,T,C)")
	fs.StringVar(&o.gradient, "gradient", "logits", "differentiate by the `logits|scores`: the input of the log-softmax,\nas PyTorch does, or the scores that enter CTC")
	o.register(fs)
	o.set = func(name string) bool { return isSet(fs, name) }
	if err := o.parse(fs, ctcUsage, out, args); err != nil {
		return nil, err
	}
	switch {
	case o.set("targets") == o.set("text"):
		return nil, misuse("ctc: want either -targets or -text")
	case o.set("text") != o.set("tokens"):
		return nil, misuse("ctc: -text and -tokens go together")
	case o.set("gradient") && o.grad == "":
		return nil, misuse("ctc: -gradient goes with -grad")
	}
	if *logits {
		if o.set("scores") && o.scores != "logits" {
			return nil, misuse("ctc: -logits contradicts -scores %s", o.scores)
		}
		o.scores = "logits"
	}
	if _, ok := scores[o.scores]; !ok {
		return nil, misuse("-scores %q: want log_probs, logits or probs", o.scores)
	}
	if _, ok := gradients[o.gradient]; !ok {
		return nil, misuse("-gradient %q: want logits or scores", o.gradient)
	}
	return &o, checkReplaceable(o.grad, o.file, o.targets, o.tokens, o.inputLengths, o.targetLengths)
}

// ctc is the command.
func (t *tool) ctc(ctx context.Context, out io.Writer, args []string) error {
	o, err := parseCTC(out, args)
	if err != nil {
		return err
	}
	x, err := o.openScores()
	if err != nil {
		return err
	}
	defer x.Close()
	run := ctc[float32]
	if o.dtype == "float64" {
		run = ctc[float64]
	}
	return explainShape(run(ctx, t, out, o, x), x)
}

func ctc[F trellis.Float](ctx context.Context, t *tool, out io.Writer, o *ctcOptions, x *npy.Array) error {
	r, frames, err := o.layout(x)
	if err != nil {
		return err
	}
	c := &ctcCriterion[F]{
		loss: trellis.CTCLoss[F]{
			ZeroInfinity: o.zeroInfinity, Scores: scores[o.scores], BatchFirst: o.batchFirst,
			Gradient: gradients[o.gradient], Workers: o.workers,
		},
		reduction: o.reduction,
		frames:    frames,
		classes:   x.Shape[len(x.Shape)-1],
	}
	if err := interruptible(ctx, func() error { return c.readArguments(o, r) }); err != nil {
		return err
	}
	// A state of the lattice is about as much work as two elements.
	labels := len(slices.Concat(c.targets...))
	r.cost = r.blocks*r.inner + 2*c.frames*labels/max(r.count, 1)
	losses, err := compute(ctx, t, &o.options, r, c)
	if err != nil {
		return err
	}
	return c.report(o, x, losses).print(out, o.json)
}

// readArguments reads the targets and lengths, and checks them.
func (c *ctcCriterion[F]) readArguments(o *ctcOptions, r rows) error {
	targets, blank, err := o.readTargets(r.Array, c.classes)
	if err != nil {
		return err
	}
	c.loss.Blank = blank
	sources := map[string]string{"targets": targets.source, "Blank": "-blank", "Workers": "-workers"}
	if c.targets, err = o.divide(targets, r); err != nil {
		return err
	}
	c.inputLengths = slices.Repeat([]int{c.frames}, r.count)
	if o.set("input_lengths") {
		l, err := readLengths("-input_lengths", o.inputLengths, r)
		if err != nil {
			return err
		}
		c.inputLengths, sources["inputLengths"] = l.flat(), l.source
	}
	return c.check(sources)
}

// layout takes the shape of the emissions apart.
func (o *ctcOptions) layout(x *npy.Array) (r rows, frames int, err error) {
	s := x.Shape
	switch {
	case len(s) == 2:
		return rows{Array: x, blocks: 1, count: 1, inner: s[0] * s[1], losses: 1}, s[0], nil
	case len(s) == 3 && o.batchFirst:
		return rows{Array: x, blocks: 1, count: s[0], inner: s[1] * s[2], losses: 1}, s[1], nil
	case len(s) == 3:
		return rows{Array: x, blocks: s[0], count: s[1], inner: s[2], losses: 1}, s[0], nil
	}
	return r, 0, fmt.Errorf("%s: shape %s: want (T,N,C), (T,C), or (N,T,C) with -batch_first", x.Name, npy.Tuple(s))
}

// ctcCriterion is CTCLoss over the sequences of a file.
type ctcCriterion[F trellis.Float] struct {
	loss         trellis.CTCLoss[F]
	reduction    string
	frames       int
	classes      int
	targets      [][]int
	inputLengths []int
}

// tensor shapes n sequences.
func (c *ctcCriterion[F]) tensor(x []F, n int) trellis.Tensor[F] {
	if c.loss.BatchFirst {
		return trellis.Tensor[F]{Data: x, Shape: []int{n, c.frames, c.classes}}
	}
	return trellis.Tensor[F]{Data: x, Shape: []int{c.frames, n, c.classes}}
}

func (c *ctcCriterion[F]) Losses(dst []F, p part[F]) error {
	targets := c.targets[p.first:][:p.n]
	return c.loss.Losses(dst, c.tensor(p.x, p.n), slices.Concat(targets...), c.inputLengths[p.first:][:p.n], lengths(targets))
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
	return c.loss.VJP(p.x, upstream, c.tensor(p.x, p.n), slices.Concat(targets...), c.inputLengths[p.first:][:p.n], lengths(targets))
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

// check has the library check everything but the scores, which it gets none of.
func (c *ctcCriterion[F]) check(sources map[string]string) error {
	for n, frames := range c.inputLengths {
		if frames < 0 || frames > c.frames {
			return fmt.Errorf("%s: sequence %d: %d frames outside [0,%d]", sources["inputLengths"], n, frames, c.frames)
		}
	}
	loss := c.loss
	loss.BatchFirst = false
	none := trellis.Tensor[F]{Shape: []int{0, len(c.targets), c.classes}}
	err := loss.Losses(make([]F, len(c.targets)), none, slices.Concat(c.targets...), nil, lengths(c.targets))
	return explain(err, sources, func(index []int) string {
		return fmt.Sprintf("sequence %d, position %d", index[0], index[1])
	})
}

func lengths(sequences [][]int) []int {
	out := make([]int, len(sequences))
	for n, s := range sequences {
		out[n] = len(s)
	}
	return out
}

func (c *ctcCriterion[F]) report(o *ctcOptions, x *npy.Array, losses []F) report {
	p := o.options.report(x)
	p.Losses, p.InputLengths, p.TargetLengths = numbersOf(losses), c.inputLengths, lengths(c.targets)
	if loss, ok := c.reduce(losses); ok {
		n := numberOf(loss)
		p.Loss = &n
	}
	kind := map[trellis.Scores]string{
		trellis.LogProbabilities: "log-probabilities", trellis.Logits: "raw scores", trellis.Probabilities: "probabilities",
	}[c.loss.Scores]
	p.kind = fmt.Sprintf("%s, blank %d", kind, c.loss.Blank)
	p.rows, p.columns = len(losses), []string{"sequence", "frames", "labels", "loss"}
	p.cells = func(n int) []any {
		return []any{n, c.inputLengths[n], len(c.targets[n]), p.Losses[n]}
	}
	return p
}
