// Package command is the program trellis: Main is all of it, and a [Corpus] does to one file after the
// other what the program does to the files of a list, for programs that have lists and files of their own.
package command

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/gotrellis/trellis"
	"golang.org/x/term"
)

const help = `trellis computes losses, gradients, alignments and texts of a network's output in .npy
files.

  trellis ctc EMISSIONS.npy -targets TARGETS            connectionist temporal classification
  trellis align EMISSIONS.npy -text TEXT -tokens FILE   when each word was said
  trellis decode EMISSIONS.npy -tokens FILE             what was said
  trellis ce LOGITS.npy -targets TARGETS                cross-entropy
  trellis nll LOGPROBS.npy -targets TARGETS             negative log-likelihood
  trellis help [COMMAND]                                what a command takes
  trellis version                                       which trellis this is
  trellis                                               PyTorch's examples, beside its results

Examples, in bench/emissions/line of a clone:

  trellis ctc emissions.npy -logits -text "Blanks keep two equal letters apart." -tokens tokens.txt
  trellis align emissions.npy -logits -text transcript.txt -tokens tokens.txt -svg picture.svg
  trellis decode emissions.npy -logits -tokens tokens.txt -reference transcript.txt

The file - is the standard input. What is likely a mistake is a warning, or with
-strict an error. The exit code is 0, or 1 for bad data, 2 for bad usage, 3 if files of
a -list failed, 130 when interrupted.
`

// The exit codes.
const (
	exitOK          = 0
	exitData        = 1
	exitUsage       = 2
	exitFailed      = 3 // files of a list
	exitInterrupted = 130
)

// usageError is a mistake on the command line, not in the data.
type usageError struct{ error }

func misuse(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// tool is one invocation: where it writes, and how much it takes on at a time.
type tool struct {
	inputs
	stdout, stderr io.Writer
	terminal       bool          // stderr is one, which may show progress
	patience       time.Duration // before it does
	memory         int           // bytes of the input held at a time
	room           *room         // for these, if others take of it, too
	warnings       []string      // to be shown at the end
}

// Main runs the program with the arguments that follow its name, and returns its exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), signals()...)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	t := tool{
		inputs:   inputs{stdin: os.Stdin},
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		terminal: term.IsTerminal(int(os.Stderr.Fd())),
		patience: time.Second,
		memory:   defaultMemory,
	}
	return t.run(ctx, args)
}

// defaultMemory is how many bytes of emissions are held at a time.
const defaultMemory = 256 << 20

// signals returns those that interrupt. Who starts the process may have it ignore
// some, as nohup does and the & of a script; asking for them would undo that.
func signals() []os.Signal {
	s := slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGHUP}, signal.Ignored)
	return append(s, syscall.SIGTERM)
}

// run does what the arguments say and returns the exit code.
func (t *tool) run(ctx context.Context, args []string) int {
	out := bufio.NewWriter(interruptibleWriter{ctx, t.stdout})
	err := t.command(ctx, out, args)
	if errors.Is(err, flag.ErrHelp) {
		err = nil
	}
	if !errors.Is(err, context.Canceled) { // else the work that adds to them goes on
		for _, warning := range t.warnings {
			fmt.Fprintln(t.stderr, "trellis: warning:", warning)
		}
	}
	err = cmp.Or(err, out.Flush())
	var usage usageError
	var failed failedFiles
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(t.stderr, "trellis: interrupted")
		return exitInterrupted
	case errors.As(err, &failed):
		fmt.Fprintln(t.stderr, "trellis:", err)
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(t.stderr, "trellis: %v\nRun \"trellis %s\" for how to use it.\n", err, helpFor(args))
		return exitUsage
	}
	fmt.Fprintln(t.stderr, "trellis:", err)
	return exitData
}

// warn notes what is likely a mistake, or with -strict returns it as an error.
func (t *tool) warn(strict bool, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if strict {
		return err
	}
	t.warnings = append(t.warnings, err.Error())
	return nil
}

// warnSome warns of the first of what was found in a file, and says in how many more units it was.
func (t *tool) warnSome(strict bool, name, units string, found []string) error {
	const most = 3 // that are named
	for i, what := range found {
		if i == most {
			return t.warn(strict, "%s: so it is with %d more %s", name, len(found)-most, units)
		}
		if err := t.warn(strict, "%s: %s", name, what); err != nil {
			return err
		}
	}
	return nil
}

var commandNames = []string{"ctc", "align", "decode", "nll", "ce"}

// helpFor returns the arguments that print the help which goes with others.
func helpFor(args []string) string {
	if len(args) > 0 && slices.Contains(commandNames, args[0]) {
		return args[0] + " -h"
	}
	return "help"
}

var helpNames = []string{"help", "-h", "-help", "--help"}

func (t *tool) command(ctx context.Context, out io.Writer, args []string) error {
	if len(args) == 0 {
		return runExamples(out)
	}
	switch name, rest := args[0], args[1:]; name {
	case "ctc":
		return t.ctc(ctx, out, rest)
	case "align":
		return t.align(ctx, out, rest)
	case "decode":
		return t.decode(ctx, out, rest)
	case "nll", "ce":
		return t.classes(ctx, out, name, rest)
	case "version":
		_, err := fmt.Fprintln(out, version())
		return err
	case helpNames[0], helpNames[1], helpNames[2], helpNames[3]:
		if len(rest) > 0 && !slices.Contains(helpNames, rest[0]) {
			return t.command(ctx, out, []string{rest[0], "-h"})
		}
		_, err := io.WriteString(out, help)
		return err
	default:
		return misuse("unknown command %q", name)
	}
}

// version says which trellis this is, with what it was built and what it runs on.
func version() string {
	module := "of unknown version"
	if info, ok := debug.ReadBuildInfo(); ok {
		module = info.Main.Version
	}
	return fmt.Sprintf("trellis %s, %s, %s/%s, %v", module, runtime.Version(), runtime.GOOS, runtime.GOARCH, trellis.ActiveTier())
}
