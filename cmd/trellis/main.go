// Command trellis computes the NLL, cross-entropy and CTC losses and gradients
// of a network's output in .npy files. Run "trellis help".
package main

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
	"slices"
	"syscall"
	"time"

	"golang.org/x/term"
)

const help = `trellis computes losses and gradients of a network's output in .npy files.

  trellis ctc EMISSIONS.npy -targets TARGETS   connectionist temporal classification
  trellis ce  LOGITS.npy    -targets TARGETS   cross-entropy
  trellis nll LOGPROBS.npy  -targets TARGETS   negative log-likelihood
  trellis help [COMMAND]                       what a command takes
  trellis                                      PyTorch's documentation examples, beside PyTorch's results

Example:

  trellis ctc emissions.npy -logits -text "Blanks keep two equal letters apart." -tokens tokens.txt

The exit code is 0, or 1 for bad data, 2 for bad usage, 130 when interrupted.
`

// The exit codes.
const (
	exitOK          = 0
	exitData        = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// usageError is a mistake on the command line, not in the data.
type usageError struct{ error }

func misuse(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// tool is one invocation: where it writes, and how much it takes on at a time.
type tool struct {
	stdout, stderr io.Writer
	terminal       bool          // stderr is one, which may show progress
	patience       time.Duration // before it does
	memory         int           // bytes of the input held at a time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), signals()...)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	t := tool{
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		terminal: term.IsTerminal(int(os.Stderr.Fd())),
		patience: time.Second,
		memory:   256 << 20,
	}
	os.Exit(t.run(ctx, os.Args[1:]))
}

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
	err = cmp.Or(err, out.Flush())
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(t.stderr, "trellis: interrupted")
		return exitInterrupted
	case errors.As(err, &usage):
		fmt.Fprintf(t.stderr, "trellis: %v\nRun \"trellis help\" for how to use it.\n", err)
		return exitUsage
	}
	fmt.Fprintln(t.stderr, "trellis:", err)
	return exitData
}

var helpNames = []string{"help", "-h", "-help", "--help"}

func (t *tool) command(ctx context.Context, out io.Writer, args []string) error {
	if len(args) == 0 {
		return runExamples(out)
	}
	switch name, rest := args[0], args[1:]; name {
	case "ctc":
		return t.ctc(ctx, out, rest)
	case "nll", "ce":
		return t.classes(ctx, out, name, rest)
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
