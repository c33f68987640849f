package command

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
)

const listUsage = `
The first line of LIST names its columns, with tabs between them: emissions, text or
targets, and others. Each line after it is of one file. text is the text itself, for
decode a reference; targets are numbers. Names of files are relative to LIST's folder,
or if LIST is a pipe to the current one.
RESULTS get a line of JSON for each, in the same order: the name of the file, the other
columns, and what -json prints for one file; or if that file failed its "error". All
others go on, and the exit code is 3. "warnings" are what is likely a mistake.
When the process has been killed, the same command with -resume goes on; "key" in
RESULTS tells whether they are of the same list and options. -workers is then how many
files are worked on at a time, by one goroutine each; 0: two for each core.
`

// listOptions are the arguments that say to work on all files of a list.
type listOptions struct {
	list     string
	output   string
	shard    shard
	resume   bool
	retry    bool
	parallel int // files at a time; 0: two for each core
}

func (o *listOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&o.list, "list", "", "work on all files of `LIST`, see below")
	fs.StringVar(&o.output, "o", standardInput, "with -list, write to `RESULTS`")
	fs.Var(&o.shard, "shard", "with -list, take only every Nth file from the Kth on: `K/N`, as in 3/16")
	fs.BoolVar(&o.resume, "resume", false, "go on with RESULTS that are not complete")
	fs.BoolVar(&o.retry, "retry", false, "work again on the files that failed in RESULTS, which are complete")
}

// oneFileOptions are those that do not go with a list.
var oneFileOptions = []string{"text", "targets", "input_lengths", "target_lengths", "reference", "grad", "svg", "html"}

// check reports options that contradict each other. There are no further files with a list.
func (o *listOptions) check(base *options, files ...string) error {
	if !base.set("list") {
		for _, name := range []string{"o", "shard", "resume", "retry"} {
			if base.set(name) {
				return misuse("%s: -%s goes with -list", base.command, name)
			}
		}
		return nil
	}
	if more := strings.Join(files, " "); more != "" {
		return misuse("%s: -list names the files, got %q, too", base.command, more)
	}
	for _, name := range oneFileOptions {
		if base.set(name) {
			return misuse("%s: -%s goes with one file, not with -list", base.command, name)
		}
	}
	switch format := base.flags.Lookup("format"); {
	case base.set("format") && format.Value.String() != "json":
		return misuse("%s: -list writes JSON, not -format %s", base.command, format.Value)
	case base.workers < 0:
		return misuse("-workers %d: want 0 or more", base.workers)
	case o.output == "":
		return misuse("-o: want the name of a file")
	case (o.resume || o.retry) && o.output == standardInput:
		return misuse("%s: -resume and -retry go with -o FILE", base.command)
	case o.resume && o.retry:
		return misuse("%s: want either -resume or -retry", base.command)
	}
	pipes := []string{o.list}
	for _, name := range byContent {
		if f := base.flags.Lookup(name); f != nil {
			pipes = append(pipes, f.Value.String())
		}
	}
	if err := checkFiles("", "", pipes...); err != nil {
		return err
	}
	base.json = true
	o.parallel, base.workers = base.workers, 1 // a goroutine for each file
	return nil
}

// shard is the part of a list that is worked on: every line number n of which (n−k)/of is whole.
type shard struct{ k, of int }

// Set reads a shard as in "3/16".
func (s *shard) Set(value string) error {
	k, of, _ := strings.Cut(value, "/")
	var errK, errOf error
	s.k, errK = strconv.Atoi(k)
	s.of, errOf = strconv.Atoi(of)
	if errK != nil || errOf != nil || s.k < 1 || s.k > s.of {
		return fmt.Errorf("want K/N with K from 1 to N, as in 3/16")
	}
	return nil
}

// has reports whether an item, of which the first is 1, is in the shard.
func (s shard) has(item int) bool { return s.of == 0 || (item-s.k)%s.of == 0 }

// String returns what Set reads; the whole list is "".
func (s *shard) String() string {
	if s.of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.k, s.of)
}
