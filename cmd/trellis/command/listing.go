package command

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// listOptions are the arguments that say to work on all files of a list.
type listOptions struct {
	list   string
	output string
	shard  shard
	resume bool
}

func (o *listOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&o.list, "list", "", "work on all files of the list `FILE`, see below")
	fs.StringVar(&o.output, "o", standardInput, "with -list, write the results to `FILE`")
	fs.Var(&o.shard, "shard", "with -list, take only every Nth line from the Kth on: `K/N`")
	fs.BoolVar(&o.resume, "resume", false, "with -list, go on with results that are not complete")
}

// checkList reports options that do not go with a list. There may be no further files.
func (o *options) checkList(files []string) error {
	if len(files) > 0 {
		return misuse("%s: -list names the files, got %d more %q", o.command, len(files), files)
	}
	for _, name := range []string{"text", "targets", "input_lengths", "target_lengths", "reference", "grad", "svg"} {
		if o.set(name) {
			return misuse("%s: -%s goes with one file, not with -list", o.command, name)
		}
	}
	if f := o.flags.Lookup("format"); o.set("format") && f.Value.String() != "json" {
		return misuse("%s: -list writes JSON, not -format %s", o.command, f.Value)
	}
	if o.workers < 0 {
		return misuse("-workers %d: want 0 or more", o.workers)
	}
	o.json = true
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

// String returns what Set reads; the whole list is "".
func (s *shard) String() string {
	if s.of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.k, s.of)
}
