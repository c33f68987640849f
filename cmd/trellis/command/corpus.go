package command

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gotrellis/trellis/internal/npy"
)

// A Corpus does to the files of a list what ctc, align or decode does to one. It may be used
// concurrently, and prints nothing.
type Corpus struct {
	work
	options  *options
	list     *listOptions
	frame    time.Duration // of -frame
	memory   int           // for the emissions that are held at a time
	setup    [32]byte      // a hash of the options and of the files that they name
	warnings []string      // of these
}

// work is what a command does to a file of a list.
type work struct {
	// saidBy has the columns, one of which says what was said.
	saidBy    []string
	needsSaid bool
	// prepare reads the files that the options name.
	prepare func(t *tool) error
	// do returns what -json prints.
	do func(t *tool, said *said, x *npy.Array) (*sequences, jsonReport, error)
}

// Result is what became of an Item.
type Result struct {
	Line      []byte // of JSON, and a newline
	Frames    int    // of all sequences
	Sequences int
	Err       error // which Line has as "error"

	rates *errorRates // of decode with a reference, else nil
}

// NewCorpus reads the arguments of a command as they follow the name of the program: its name and
// options, such as "align", "-logits", "-tokens", "tokens.txt", but no file and nothing of what the
// lines of a list say. open opens the files that options name; nil opens those of the system.
func NewCorpus(args []string, open func(name string) (io.ReadCloser, error)) (*Corpus, error) {
	if len(args) == 0 {
		return nil, misuse("want a command and its options")
	}
	args = slices.Concat(args[:1], []string{"-list="}, args[1:])
	c, err := parseCorpus(args)
	if err != nil {
		return nil, err
	}
	if c.list.output != standardInput || c.list.shard.of != 0 {
		return nil, misuse("-o and -shard go with a list")
	}
	if err := c.read(inputs{stdin: bytes.NewReader(nil), opener: open}); err != nil {
		return nil, err
	}
	return c, nil
}

// parseCorpus reads the arguments.
func parseCorpus(args []string) (*Corpus, error) {
	switch command, rest := args[0], args[1:]; command {
	case "ctc":
		o, err := parseCTC(io.Discard, rest)
		if err != nil {
			return nil, err
		}
		return o.corpus(), nil
	case "align":
		o, err := parseAlign(io.Discard, rest)
		if err != nil {
			return nil, err
		}
		return o.corpus(), nil
	case "decode":
		o, err := parseDecode(io.Discard, rest)
		if err != nil {
			return nil, err
		}
		return o.corpus(), nil
	default:
		return nil, misuse("%q: want ctc, align or decode", command)
	}
}

// read reads the files that the options name.
func (c *Corpus) read(in inputs) error {
	hash := sha256.New()
	fmt.Fprintln(hash, c.options.command)
	c.options.flags.VisitAll(func(f *flag.Flag) {
		switch {
		case slices.Contains(withoutEffect, f.Name), f.Value.String() == f.DefValue:
		case slices.Contains(byContent, f.Name):
			fmt.Fprintf(hash, "-%s\n", f.Name)
		default:
			fmt.Fprintf(hash, "-%s=%q\n", f.Name, f.Value)
		}
	})
	fmt.Fprintln(hash, c.frame)
	in.seen = hash
	t := &tool{inputs: in}
	if err := c.prepare(t); err != nil {
		return err
	}
	c.warnings, c.memory = t.warnings, defaultMemory
	hash.Sum(c.setup[:0])
	return nil
}

// withoutEffect are the options that results do not depend on, and byContent those that name files, or
// are what could be in a file: they depend on that, not on the name.
var (
	withoutEffect = []string{"workers", "json", "format", "list", "o", "shard", "resume", "retry"}
	byContent     = []string{"tokens", "lm", "lexicon", "hotwords"}
)

// Warnings says what is likely a mistake in the options and in the files that they name. They are
// no errors, which with -strict NewCorpus returns.
func (c *Corpus) Warnings() []string { return c.warnings }

// Do does the work on the file of an item, a .npy or .npz file of which these are the bytes. One
// goroutine does it. A panic is an error.
func (c *Corpus) Do(item *Item, emissions []byte) Result {
	return c.workOn(&tool{memory: c.memory}, item, func() (*npy.Array, error) { return npy.FromBytes(item.File, emissions) })
}

// Fail returns the result of an item whose file cannot be read.
func (c *Corpus) Fail(item *Item, err error) Result {
	return c.result(item, Result{Err: err}, nil, nil)
}

// workOn does the work on a file.
func (c *Corpus) workOn(t *tool, item *Item, open func() (*npy.Array, error)) (r Result) {
	defer func() {
		if v := recover(); v != nil {
			r = c.Fail(item, fmt.Errorf("panic: %v", v))
		}
	}()
	if item.Err != nil {
		return c.Fail(item, item.Err)
	}
	x, err := open()
	if err == nil {
		err = npy.CheckType[float64](x)
	}
	if err != nil {
		return c.Fail(item, err)
	}
	s, report, err := c.work.do(t, item.said, x)
	if err != nil {
		return c.result(item, Result{Err: err}, nil, t.warnings)
	}
	r = Result{Sequences: s.count}
	if d, ok := report.(*decoding); ok && d.references != nil {
		r.rates = &d.total
	}
	for _, frames := range s.inputLengths {
		r.Frames += frames
	}
	return c.result(item, r, report, t.warnings)
}

// result writes the line of a result.
func (c *Corpus) result(item *Item, r Result, report jsonReport, warnings []string) Result {
	w := takeJSONWriter()
	defer jsonWriters.Put(w)
	w.begin('{')
	w.name("file").string(item.File)
	w.name("key").string(item.keyText())
	for _, f := range item.others {
		w.name(f.name).string(f.value)
	}
	if r.Err != nil {
		w.name("error").string(r.Err.Error())
	} else {
		report.writeJSON(w)
	}
	if len(warnings) > 0 {
		w.name("warnings").any(warnings)
	}
	w.end("}\n")
	r.Line = slices.Clone(w.text)
	return r
}
