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

const classesUsage = `trellis %[1]s FILE.npy -targets TARGETS [options]

Prints the %[2]s loss of every row, and the reduced loss.
FILE.npy holds %[3]s: (C), (N,C) or (N,C,d1,...,dk).

  trellis %[1]s %[4]s.npy -targets "1,0,4" -reduction sum
  trellis %[1]s %[4]s.npy -targets labels.npy -ignore_index 255 -weight "1,2,1,1,3" -grad grad.npy

%%s
TARGETS are numbers ("1,0,4"), a text file or a .npy file, one class for each of
(N,d1,...,dk). Rows and positions are counted from 0.
%[5]s`

// classOptions are the arguments of trellis nll and ce.
type classOptions struct {
	lossOptions
	targets        string
	weight         string
	ignoreIndex    int
	labelSmoothing float64
}

func parseClasses(out io.Writer, command string, args []string) (*classOptions, error) {
	var o classOptions
	usage := fmt.Sprintf(classesUsage, "nll", "negative log-likelihood", "log-probabilities", "logprobs", "")
	fs := flag.NewFlagSet(command, flag.ContinueOnError)
	fs.StringVar(&o.targets, "targets", "", "a class for every row and position: `TARGETS`, see below")
	fs.StringVar(&o.weight, "weight", "", "`WEIGHTS` of the classes, inline or in a file; unset: 1")
	fs.IntVar(&o.ignoreIndex, "ignore_index", -100, "`target` that does not count")
	if command == "ce" {
		usage = fmt.Sprintf(classesUsage, "ce", "cross-entropy", "raw scores", "logits", probabilitiesUsage)
		fs.Float64Var(&o.labelSmoothing, "label_smoothing", 0, "`share` of the target in [0,1] that goes to all classes")
	}
	o.register(fs)
	if err := o.parse(fs, usage, out, args); err != nil {
		return nil, err
	}
	if !o.set("targets") {
		return nil, misuse("%s: want -targets", command)
	}
	return &o, checkFiles("-grad", o.grad, o.file, o.targets, o.weight)
}

// classes is the commands nll and ce.
func (t *tool) classes(ctx context.Context, out io.Writer, command string, args []string) error {
	o, err := parseClasses(out, command, args)
	if err != nil {
		return err
	}
	x, err := t.openScores(ctx, o.file)
	if err != nil {
		return err
	}
	defer x.Close()
	probs, err := o.openProbabilities(x)
	if err != nil {
		return err
	}
	if probs != nil {
		defer probs.Close()
	}
	run := classes[float32]
	if o.dtype == "float64" {
		run = classes[float64]
	}
	return explainShape(run(ctx, t, out, o, x, probs), x)
}

// classes takes the targets from probs, or if that is nil from the options.
func classes[F trellis.Float](ctx context.Context, t *tool, out io.Writer, o *classOptions, x, probs *npy.Array) error {
	shape := x.Shape
	if len(shape) == 1 {
		shape = []int{1, shape[0]}
	}
	if len(shape) == 0 {
		return fmt.Errorf("%s: shape (): want (C), (N,C) or (N,C,d1,...,dk)", x.Name)
	}
	positions := product(shape[2:])
	r := rows{
		Array: x, target: probs, blocks: 1, count: shape[0], inner: shape[1] * positions,
		losses: positions, cost: shape[1] * positions,
	}
	c := &classCriterion[F]{reduction: o.reduction, strict: o.strict, shape: shape, ignore: o.ignoreIndex}
	c.inspector = inspector{name: x.Name, scores: trellis.LogProbabilities, unit: "row", advice: nllAdvice}
	if o.command == "ce" {
		c.inspector.scores, c.inspector.advice = trellis.Logits, ceAdvice
	}
	if err := interruptible(ctx, func() error { return c.readArguments(&t.inputs, o, x, probs) }); err != nil {
		return err
	}
	losses, err := compute(ctx, t, &o.lossOptions, r, c)
	if err != nil {
		return err
	}
	c.inspector.warn(t)
	return c.report(o, x, losses).print(out, o.json)
}

// classLoss is NLLLoss or CrossEntropyLoss.
type classLoss[F trellis.Float] interface {
	Losses(dst []F, x trellis.Tensor[F], targets []int) error
	VJP(grad, upstream []F, x trellis.Tensor[F], targets []int) error
}

// classCriterion is a class loss over the rows of a file.
type classCriterion[F trellis.Float] struct {
	loss      classLoss[F]
	probs     *trellis.CrossEntropyLoss[F] // if the targets are class probabilities
	inspector inspector
	strict    bool
	reduction string
	shape     []int // (N,C,d1,…,dk)
	ignore    int
	weight    []F
	targets   []int
	total     float64 // what the mean divides by
}

// tensor shapes n rows.
func (c *classCriterion[F]) tensor(data []F, n int) trellis.Tensor[F] {
	return trellis.Tensor[F]{Data: data, Shape: slices.Concat([]int{n}, c.shape[1:])}
}

// targetsOf returns the class targets of some rows.
func (c *classCriterion[F]) targetsOf(p part[F]) []int {
	positions := product(c.shape[2:])
	return c.targets[p.first*positions:][:p.n*positions]
}

// inspect looks at the scores of every position for what is likely a mistake.
func (c *classCriterion[F]) inspect(p part[F]) error {
	classes, positions := c.shape[1], product(c.shape[2:])
	row := make([]F, classes)
	for i := range p.n * positions {
		first := i/positions*classes*positions + i%positions
		for class := range row {
			row[class] = p.x[first+class*positions]
		}
		look(&c.inspector, row, func() string { return c.position(p.first*positions + i) })
	}
	if c.strict {
		return c.inspector.err()
	}
	return nil
}

func (c *classCriterion[F]) Losses(dst []F, p part[F]) error {
	if err := c.inspect(p); err != nil {
		return err
	}
	x := c.tensor(p.x, p.n)
	if c.probs != nil {
		return c.probs.LossesProbs(dst, x, c.tensor(p.target, p.n))
	}
	return c.loss.Losses(dst, x, c.targetsOf(p))
}

func (c *classCriterion[F]) Grad(p part[F]) error {
	share := F(1)
	switch {
	case c.reduction == "mean" && c.total == 0: // nothing counts
		share = 0
	case c.reduction == "mean":
		share = F(1 / c.total)
	}
	x, upstream := c.tensor(p.x, p.n), slices.Repeat([]F{share}, p.n*product(c.shape[2:]))
	if c.probs != nil {
		return c.probs.VJPProbs(p.x, upstream, x, c.tensor(p.target, p.n))
	}
	return c.loss.VJP(p.x, upstream, x, c.targetsOf(p))
}

// reduce returns the reduced loss, false if there is none to report.
func (c *classCriterion[F]) reduce(losses []F) (F, bool) {
	var sum float64
	for _, loss := range losses {
		sum += float64(loss)
	}
	if c.reduction == "mean" {
		sum /= c.total
	}
	return F(sum), c.reduction != "none"
}

// readArguments reads the weights and class targets, and checks them.
func (c *classCriterion[F]) readArguments(in *inputs, o *classOptions, x, probs *npy.Array) error {
	if err := c.readWeight(in, o, x); err != nil {
		return err
	}
	c.loss = trellis.NLLLoss[F]{Weight: c.weight, IgnoreIndex: &c.ignore, Workers: o.workers}
	if o.command == "ce" {
		ce := trellis.CrossEntropyLoss[F]{
			Weight: c.weight, IgnoreIndex: &c.ignore, Workers: o.workers, LabelSmoothing: F(o.labelSmoothing),
		}
		c.loss = ce
		if probs != nil {
			c.probs = &ce
		}
	}
	if c.probs != nil {
		c.total = float64(c.shape[0] * product(c.shape[2:]))
	} else if err := c.readTargets(in, o, x); err != nil {
		return err
	}
	// The library checks the options, which takes no row.
	return explain(c.loss.Losses(nil, c.tensor(nil, 0), nil), map[string]string{
		"Workers": "-workers", "LabelSmoothing": "-label_smoothing",
	}, nil)
}

// readWeight reads the weights of the classes, if there are any.
func (c *classCriterion[F]) readWeight(in *inputs, o *classOptions, x *npy.Array) error {
	if !o.set("weight") {
		return nil
	}
	l, err := readNumbers(in, "-weight", o.weight)
	if err != nil {
		return err
	}
	c.weight = []F{}
	for _, w := range l.flat() {
		c.weight = append(c.weight, F(w))
	}
	if len(c.weight) != c.shape[1] {
		return fmt.Errorf("%s: %d weights, %s has %d classes", l.source, len(c.weight), x.Name, c.shape[1])
	}
	return nil
}

// readTargets reads the class targets, checks them and adds up their weights.
func (c *classCriterion[F]) readTargets(in *inputs, o *classOptions, x *npy.Array) error {
	l, err := readInts(in, "-targets", o.targets)
	if err != nil {
		return err
	}
	c.targets = l.flat()
	want := slices.Concat(c.shape[:1], c.shape[2:])
	if len(x.Shape) == 1 {
		want = nil
	}
	if l.shape != nil && !slices.Equal(l.shape, want) {
		return fmt.Errorf("%s: shape %s, want %s for %s of shape %s", l.source, npy.Tuple(l.shape), npy.Tuple(want), x.Name, npy.Tuple(x.Shape))
	}
	if len(c.targets) != product(want) {
		return fmt.Errorf("%s: %d targets, want %d for %s of shape %s", l.source, len(c.targets), product(want), x.Name, npy.Tuple(x.Shape))
	}
	for i, y := range c.targets {
		switch {
		case y == c.ignore:
		case y < 0 || y >= c.shape[1]:
			return fmt.Errorf("%s: %s: class %d outside [0,%d)", l.source, c.position(i), y, c.shape[1])
		case c.weight != nil:
			c.total += float64(c.weight[y])
		default:
			c.total++
		}
	}
	return nil
}

// position names the place of a target.
func (c *classCriterion[F]) position(i int) string {
	at := []int{}
	for _, d := range slices.Backward(c.shape[2:]) {
		at = append(at, i%d)
		i /= d
	}
	if len(at) == 0 {
		return fmt.Sprintf("row %d", i)
	}
	slices.Reverse(at)
	return fmt.Sprintf("row %d, position %s", i, npy.Tuple(at))
}

func (c *classCriterion[F]) report(o *classOptions, x *npy.Array, losses []F) report {
	p := o.lossOptions.report(x)
	p.Losses = numbersOf(losses)
	if loss, ok := c.reduce(losses); ok {
		n := numberOf(loss)
		p.Loss = &n
	}
	p.kind = kinds[c.inspector.scores]
	p.rows, p.columns = c.shape[0], []string{"row", "target", "loss"}
	p.cells = func(n int) []any { return []any{n, c.targets[n], p.Losses[n]} }
	if c.probs != nil {
		p.kind += ", targets class probabilities"
		p.columns = []string{"row", "loss"}
		p.cells = func(n int) []any { return []any{n, p.Losses[n]} }
	}
	if len(c.shape) > 2 {
		p.columns = []string{"row", "positions", "sum of losses"}
		p.cells = func(n int) []any { return c.imageCells(losses, n) }
	}
	return p
}

// imageCells sums a row of many positions up.
func (c *classCriterion[F]) imageCells(losses []F, n int) []any {
	positions := product(c.shape[2:])
	counted, sum := 0, 0.0
	for i := n * positions; i < (n+1)*positions; i++ {
		sum += float64(losses[i])
		if c.probs != nil || c.targets[i] != c.ignore {
			counted++
		}
	}
	return []any{n, counted, numberOf(F(sum))}
}

// product returns the number of elements of a shape, or of some of its axes.
func product(axes []int) int {
	n := 1
	for _, d := range axes {
		n *= d
	}
	return n
}
