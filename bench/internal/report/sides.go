package report

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/gotrellis/trellis/bench/internal/results"
)

// sides are how tiers, peers and memory are shown, in the order of charts.
var sides = []struct {
	side, name string
	ink        ink
}{
	{results.PyTorch, "PyTorch", vermilion},
	{results.CUDA, "PyTorch CUDA", violet},
	{results.Naive, "naive", amber},
	{results.Gonum, "gonum", amber},
	{results.Gorgonia, "Gorgonia", violet},
	{"generic", "generic", pink},
	{"avx2", "AVX2", green},
	{"avx512", "AVX-512", blue},
	{"neon", "NEON", blue},
	{results.Memory, "memory", limit},
}

// others are what is shown beside the tiers and PyTorch.
var others = []string{results.CUDA, results.Gonum, results.Gorgonia}

func nameOf(side string) string {
	for _, s := range sides {
		if s.side == side {
			return s.name
		}
	}
	return side
}

func inkOf(side string) ink {
	for _, s := range sides {
		if s.side == side {
			return s.ink
		}
	}
	return words
}

// machine is a file with what it is called.
type machine struct {
	results.File
	name, slug string
}

// machines names files by their processors, and those of equal ones by more.
func machines(files []results.File) (all []machine) {
	more := []func(f results.File) string{
		func(f results.File) string { return f.Machine.Processor },
		func(f results.File) string { return fmt.Sprintf("%s, %s", f.Machine.Processor, cores(f.Machine)) },
		func(f results.File) string {
			return fmt.Sprintf("%s, %s, %s", f.Machine.Processor, cores(f.Machine), f.Date)
		},
	}
	slugs := map[string]int{}
	for _, f := range files {
		name := ""
		for _, naming := range more {
			name = cmp.Or(naming(f), "unknown processor")
			alike := 0
			for _, other := range files {
				if naming(other) == naming(f) {
					alike++
				}
			}
			if alike == 1 {
				break
			}
		}
		slug := results.Slug(name)
		slugs[slug]++
		if n := slugs[slug]; n > 1 {
			slug = fmt.Sprintf("%s-%d", slug, n)
		}
		all = append(all, machine{f, name, slug})
	}
	return all
}

// has reports whether a side was measured.
func (m machine) has(side string) bool {
	return slices.ContainsFunc(m.Works, func(w results.Work) bool {
		return slices.ContainsFunc(w.Times, func(t results.Time) bool { return t.Side == side })
	})
}

// version returns the name and the version of a peer that was measured.
func (m machine) version(peer string) (string, bool) {
	for _, p := range m.Machine.Peers {
		if p.Name == peer {
			return versionOf(p), true
		}
	}
	return "", false
}

// versionOf names a peer, whose version may begin with its name, once.
func versionOf(p results.Peer) string {
	return strings.TrimSpace(p.Name + " " + strings.TrimSpace(strings.TrimPrefix(p.Version, p.Name)))
}

func cores(m results.Machine) string { return plural(m.Cores, "core") }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// of returns the works of a group.
func (m machine) of(group string) (works []results.Work) {
	for _, w := range m.Works {
		if w.Group == group {
			works = append(works, w)
		}
	}
	return works
}

// all is the largest number of workers of a group's works.
func (m machine) all(group string) int {
	most := 1
	for _, w := range m.of(group) {
		for _, t := range w.Times {
			most = max(most, t.Workers)
		}
	}
	return most
}

// median returns what a side takes for a work, and whether that was measured.
func median(w results.Work, side string, workers int) (float64, bool) {
	t, ok := w.Time(side, workers)
	return t.Median, ok && t.Median > 0 && !math.IsInf(t.Median, 0)
}

// ratio returns how many times as long one side takes as another one.
func ratio(w results.Work, side string, workers int, beside string, besideWorkers int) (float64, bool) {
	a, measured := median(w, side, workers)
	b, ok := median(w, beside, besideWorkers)
	if !measured || !ok {
		return 0, false
	}
	return a / b, true
}

// rival is the faster one of PyTorch and a plain loop, of those that were measured, in one
// thread.
func rival(w results.Work) string {
	naive, looped := median(w, results.Naive, 1)
	if torch, ok := median(w, results.PyTorch, 1); looped && (!ok || naive < torch) {
		return results.Naive
	}
	return results.PyTorch
}

// spreadOf returns the least and the most of a ratio in the rounds.
func spreadOf(w results.Work, side, beside string, workers int) (least, most float64, ok bool) {
	a, _ := w.Time(side, workers)
	b, _ := w.Time(beside, workers)
	if len(a.Rounds) == 0 || len(a.Rounds) != len(b.Rounds) {
		return 0, 0, false
	}
	least, most = math.Inf(1), 0
	for i, t := range a.Rounds {
		least, most = min(least, t/b.Rounds[i]), max(most, t/b.Rounds[i])
	}
	return least, most, least > 0 && !math.IsInf(most, 0)
}

// workers returns the numbers of workers that a work has times of.
func workers(w results.Work) (numbers []int) {
	for _, t := range w.Times {
		numbers = append(numbers, t.Workers)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// point is what an element costs at a size.
type point struct {
	x, y float64 // y in nanoseconds
	work results.Work
}

// points returns the cost of a side over the sizes of a curve.
func points(works []results.Work, side string, workers int) (all []point) {
	for _, w := range works {
		if t, ok := median(w, side, workers); ok && w.X > 0 && w.Elements > 0 {
			all = append(all, point{w.X, t / float64(w.Elements), w})
		}
	}
	slices.SortStableFunc(all, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	return slices.CompactFunc(all, func(a, b point) bool { return a.x == b.x })
}

// fullName is the name of a work with its type, if that is not the usual one.
func fullName(w results.Work) string {
	if w.Type == "float64" && !strings.Contains(w.Name, w.Type) {
		return w.Name + ", float64"
	}
	return w.Name
}

var shape = regexp.MustCompile(`^(.*?\S)\s+([A-Z]?\d.*)$`)

// parts returns what a work computes, and of what shape.
func parts(w results.Work) (group, name string) {
	if m := shape.FindStringSubmatch(fullName(w)); m != nil {
		return strings.TrimRight(m[1], ",:"), m[2]
	}
	return "", fullName(w)
}
