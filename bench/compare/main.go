// Command compare measures trellis beside PyTorch and prints one table: for every
// work PyTorch's time, the time of each instruction set that this machine has, how
// many times as fast that is, and whether it reaches the floor that is set for it.
//
//	go -C bench run ./compare
//	go -C bench run ./compare -only 'cross-entropy.*4096' -rounds 21
//	go -C bench run ./compare -only T100000 -long -rounds 1
//
// Every side is a process of its own that stays alive: this program itself, once for
// each instruction set, and Python with peer.py. The sides take turns, a tenth of a
// second each, in several rounds, so that a machine whose speed drifts drifts for
// all of them; a time is the median of all calls of all rounds. Everything runs on
// one thread except where a work's name says otherwise. Before a work is measured,
// all sides compute it once, from the same numbers, and must agree.
//
// Without PyTorch (for /usr/bin/python3 or python3) its column stays empty.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"

	"github.com/schollz/progressbar/v3"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/side"
)

func main() {
	only := flag.String("only", "", "measure only the works whose `name` matches this regular expression")
	long := flag.Bool("long", false, "measure also what takes minutes")
	rounds := flag.Int("rounds", 9, "`number` of times that the sides take turns")
	serving := flag.Bool("serve", false, "be a side: answer requests on stdin")
	flag.Parse()
	if flag.NArg() > 0 || *rounds < 1 {
		flag.Usage()
		os.Exit(2)
	}
	var err error
	if *serving {
		err = side.Serve(os.Stdin, os.Stdout, trellis.ActiveTier(), new(computer).answer)
	} else {
		err = compare(*only, *long, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// compare measures what matches and prints the table.
func compare(only string, long bool, rounds int) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	var chosen []work
	for _, w := range works() {
		if pattern.MatchString(w.name) && (long || !w.long) {
			chosen = append(chosen, w)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no work matches %q", only)
	}

	s, err := startAll()
	defer s.close()
	if err != nil {
		return err
	}
	if s.peer == nil {
		fmt.Fprintln(os.Stderr, "No PyTorch: neither /usr/bin/python3 nor python3 can import torch, so its column stays empty.")
	}

	bar := progressbar.NewOptions(len(chosen)*rounds,
		progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetWidth(20),
		progressbar.OptionClearOnFinish())
	var results []result
	for _, w := range chosen {
		bar.Describe(w.name)
		r, err := measure(w, s, rounds, func() { _ = bar.Add(1) })
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		results = append(results, r)
	}
	writeTable(os.Stdout, results, s)
	return nil
}

// sides are the processes that are compared.
type sides struct {
	tiers []*side.Side // the fastest last
	peer  *side.Side   // PyTorch, or nil
}

func (s sides) best() *side.Side { return s.tiers[len(s.tiers)-1] }

func (s sides) close() {
	for _, t := range s.tiers {
		t.Close()
	}
	if s.peer != nil {
		s.peer.Close()
	}
}

// startAll starts this program for every tier of this machine, and the first Python
// that has PyTorch.
func startAll() (sides, error) {
	var s sides
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	for _, tier := range trellis.Tiers() {
		cmd := exec.Command(self, "-serve")
		// What a call shares its thread with must not depend on the machine; works
		// for two workers raise this themselves.
		cmd.Env = append(os.Environ(), "TRELLIS_CPU="+tier, "GOMAXPROCS=1")
		t, err := side.Start(cmd)
		if err != nil {
			return s, err
		}
		s.tiers = append(s.tiers, t)
		if t.About != tier {
			return s, fmt.Errorf("asked for %s, and %s is active", tier, t.About)
		}
	}
	s.peer, err = side.StartPyTorch()
	return s, err
}
