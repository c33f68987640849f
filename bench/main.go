// Command bench measures trellis on every tier of the machine, beside PyTorch, gonum,
// Gorgonia, plain loops and bare memory, each if it is there, and prints a table.
//
//	go -C bench run .
//	go -C bench run . -only 'cross-entropy.*4096' -rounds 21
//	go -C bench run . -only everyday
//	go -C bench run . -o results -project ..
//	go -C bench run . -o results -draw
//	go -C bench run . -cliffs -only 'cross-entropy.* 256×10'
//	go -C bench run . -costs
//
// With -o the results are kept in a folder as JSON, one file for each run, and all that
// the folder has, of this machine or others, becomes a report: its README.md, and
// charts. With -project the sections about speed in the project's README.md and
// docs/performance.md are made from it, too. Nothing but the built program is needed to
// measure, neither the repository nor a network.
//
// With -cliffs it searches a grid of works, of all methods, for those that take much
// longer than their neighbours, or longer than a plain loop or PyTorch: see judge. With
// -costs it measures what decides whether several workers share a call.
//
// Every side is a process of its own that stays alive: this program itself, once for
// each tier and for each peer in Go, and Python with peer.py. The sides take turns, a few
// hundredths of a second each, in several rounds, so that a machine whose speed drifts
// drifts for all of them; a time is the median of all calls of all rounds. Before a
// work is measured, all sides compute it once, from the same numbers, and must agree:
// tiers and numbers of workers to the last bit.
//
// The Python is the first of /usr/bin/python3 and python3 that has PyTorch.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/emissions"
	"github.com/gotrellis/trellis/bench/internal/report"
	"github.com/gotrellis/trellis/bench/internal/results"
	"github.com/gotrellis/trellis/bench/internal/side"
)

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "measure only the works whose `name` or group matches this regular expression")
	flag.IntVar(&o.rounds, "rounds", 7, "`number` of times that the sides take turns")
	flag.StringVar(&o.name, "name", "", "`name` of the processor, if the system's is not good enough")
	flag.StringVar(&o.folder, "o", "", "`folder` to keep results in, and to make a report of all that it has")
	flag.StringVar(&o.project, "project", "", "`folder` of the project whose pages get new sections about speed from what -o has")
	flag.BoolVar(&o.draw, "draw", false, "measure nothing, only make the report")
	flag.BoolVar(&o.cliffs, "cliffs", false, "look for works that take much longer than their neighbours, or than a plain loop or PyTorch")
	flag.BoolVar(&o.costs, "costs", false, "measure the costs by which Workers 0 decides how many share a call")
	serve := flag.String("serve", "", "be a `side`, such as "+trellisSide+": answer requests on stdin")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 || (o.draw || o.project != "") && o.folder == "" || (o.cliffs || o.costs) && o.folder != "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(o, *serve); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	only, name, folder, project string
	rounds                      int
	draw, cliffs, costs         bool
}

func run(o options, serve string) error {
	if serve != "" {
		p, ok := programs[serve]
		if !ok {
			return fmt.Errorf("no side %q", serve)
		}
		return side.Serve(os.Stdin, os.Stdout, p.about(), (&computer{prepare: p.prepare}).answer)
	}
	if o.cliffs {
		return findCliffs(o.only)
	}
	if o.costs {
		return fitCosts(trellis.Tiers())
	}
	if !o.draw {
		if err := compare(o); err != nil {
			return err
		}
	}
	if o.folder == "" {
		return nil
	}
	return draw(o.folder, o.project)
}

// peers are all that trellis is measured beside.
var peers = []string{results.PyTorch, results.CUDA, results.Gorgonia, results.Gonum, results.Naive}

// compare measures what matches, prints the table, and keeps the results.
func compare(o options) error {
	pattern, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	machine := thisMachine(o.name)
	folder, err := os.MkdirTemp("", "trellis-emissions")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := os.CopyFS(folder, emissions.Files); err != nil {
		return err
	}
	all, err := works(machine.Cores, folder)
	if err != nil {
		return err
	}
	var chosen []work
	for _, w := range all {
		if pattern.MatchString(w.name) || pattern.MatchString(w.group) {
			chosen = append(chosen, w)
		}
	}
	exactness := pattern.MatchString(exactnessName)
	if len(chosen) == 0 && !exactness {
		return fmt.Errorf("no work matches %q", o.only)
	}
	file := results.File{Date: time.Now().Format(time.DateOnly), Machine: machine}

	s, err := start(trellis.Tiers(), peers...)
	defer s.close()
	if err != nil {
		return err
	}
	for _, name := range peers {
		if peer := s.peers[name]; peer != nil {
			file.Machine.Peers = append(file.Machine.Peers, results.Peer{Name: name, Version: peer.About})
		}
	}
	if s.peers[results.PyTorch] == nil {
		fmt.Fprintln(os.Stderr, "No PyTorch: neither /usr/bin/python3 nor python3 can import torch.")
	}

	turns := 0
	for _, w := range chosen {
		turns += o.rounds * len(contenders(w, s))
	}
	bar := progress(turns)
	for _, w := range chosen {
		bar.Describe(w.name)
		r, err := measure(w, s, o.rounds, func(turns int) { _ = bar.Add(turns) })
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		file.Works = append(file.Works, r)
	}
	if peer := s.peers[results.PyTorch]; exactness && peer != nil {
		fmt.Fprintln(os.Stderr, exactnessName)
		if file.Errors, err = errorsOf(peer); err != nil {
			return err
		}
	}
	if len(file.Works) > 0 {
		fmt.Print(report.Table(file))
	}
	if o.folder == "" {
		return nil
	}
	if err := os.MkdirAll(o.folder, 0o777); err != nil {
		return err
	}
	return file.Write(filepath.Join(o.folder, file.Date+"-"+results.Slug(machine.Processor)+".json"))
}

func progress(turns int) *progressbar.ProgressBar {
	return progressbar.NewOptions(turns,
		progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetWidth(20),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
}

// draw makes the report of all results in a folder and, unless project is empty, the
// sections about speed of the project's pages.
func draw(folder, project string) error {
	names, err := filepath.Glob(filepath.Join(folder, "????-??-??-*.json"))
	if err != nil {
		return err
	}
	files, err := results.Read(names...)
	if err != nil {
		return err
	}
	var models *results.Models
	if m, err := results.ReadModels(filepath.Join(folder, "mca.json")); err == nil {
		models = &m
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := report.Write(folder, files, models); err != nil || project == "" {
		return err
	}
	section, err := report.ReadmeSection(files, inReadme)
	if err != nil {
		return err
	}
	if err := replaceSection(filepath.Join(project, "README.md"), section); err != nil {
		return err
	}
	if section, err = report.PerformanceSection(files); err != nil {
		return err
	}
	return replaceSection(filepath.Join(project, "docs", "performance.md"), section)
}

// replaceSection puts a new section about speed into a page.
func replaceSection(name, section string) error {
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	page, err := report.Replace(old, section)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, page, 0o666)
}
