package command

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/gotrellis/trellis/internal/npy"
)

// options are what all commands take.
type options struct {
	command string
	file    string
	dtype   string
	workers int
	strict  bool
	json    bool
	flags   *flag.FlagSet
	given   map[string]bool // of these
}

func (o *options) register(fs *flag.FlagSet) {
	o.command, o.flags = fs.Name(), fs
	fs.StringVar(&o.dtype, "dtype", "float64", "compute in `float32|float64`, whatever the file holds")
	fs.IntVar(&o.workers, "workers", 0, "at most `N` goroutines; 0: one for each core")
	fs.BoolVar(&o.strict, "strict", false, "take what is likely a mistake for an error, not for a warning")
	fs.BoolVar(&o.json, "json", false, "print JSON; \"inf\", \"-inf\" and \"nan\" are strings")
}

// parse reads flags that stand before or after the one file name.
func (o *options) parse(fs *flag.FlagSet, usage string, out io.Writer, args []string) error {
	files, err := o.parseFiles(fs, usage, out, args)
	if err != nil {
		return err
	}
	if len(files) == 0 && o.set("list") {
		return nil
	}
	switch len(files) {
	case 0:
		return misuse("%s takes one file, got none", fs.Name())
	case 1:
	default:
		return misuse("%s takes one file, got %d: %q", fs.Name(), len(files), files)
	}
	o.file = files[0]
	return nil
}

// parseFiles reads flags that stand before, after or between the names of files, which it returns.
func (o *options) parseFiles(fs *flag.FlagSet, usage string, out io.Writer, args []string) (files []string, err error) {
	fs.SetOutput(io.Discard)
	for {
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, cmp.Or(printUsage(out, fs, usage), err)
		} else if err != nil {
			return nil, usageError{err}
		}
		if fs.NArg() == 0 {
			break
		}
		files = append(files, fs.Arg(0))
		args = fs.Args()[1:]
	}
	o.given = map[string]bool{}
	fs.Visit(func(f *flag.Flag) { o.given[f.Name] = true })
	return files, oneOf("dtype", o.dtype, "float32", "float64")
}

// oneOf reports an option that has none of the values it may have.
func oneOf(option, value string, values ...string) error {
	for _, v := range values {
		if v == value {
			return nil
		}
	}
	last := len(values) - 1
	return misuse("-%s %q: want %s or %s", option, value, strings.Join(values[:last], ", "), values[last])
}

// lossOptions are what commands of losses take.
type lossOptions struct {
	options
	reduction string
	grad      string
}

func (o *lossOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&o.reduction, "reduction", "mean", "`none|mean|sum` of the losses")
	fs.StringVar(&o.grad, "grad", "", "write the gradient to `FILE`, in the input's layout and dtype\n(with -reduction none, that of the sum)")
	o.options.register(fs)
}

func (o *lossOptions) parse(fs *flag.FlagSet, usage string, out io.Writer, args []string) error {
	if err := o.options.parse(fs, usage, out, args); err != nil {
		return err
	}
	if o.grad == "" && o.set("grad") {
		return misuse("-grad: want the name of a file")
	}
	return oneOf("reduction", o.reduction, "none", "mean", "sum")
}

// printUsage prints a command's help: the text, with its flags where it says %s.
func printUsage(out io.Writer, fs *flag.FlagSet, usage string) error {
	var list strings.Builder
	w := tabwriter.NewWriter(&list, 0, 0, 2, ' ', 0)
	fs.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			text += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  -%s %s\t%s\n", f.Name, value, strings.ReplaceAll(text, "\n", "\n\t"))
	})
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, usage, list.String())
	return err
}

// set reports whether a flag was given.
func (o *options) set(name string) bool { return o.given[name] }

// report begins what a command prints about a file.
func (o *lossOptions) report(x *npy.Array) report {
	return report{File: x.Name, Dtype: x.Dtype.String(), Shape: x.Shape, Reduction: o.reduction, Gradient: o.grad}
}
