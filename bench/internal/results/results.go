// Package results has what a run of bench measured: the form in which it is kept.
package results

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// File is one run on one machine.
type File struct {
	Date    string  `json:"date"` // when it began, as 2006-01-02
	Machine Machine `json:"machine"`
	Works   []Work  `json:"works"`
	Errors  []Error `json:"errors,omitempty"`
}

// Machine is where a run was, and with what.
type Machine struct {
	Processor string   `json:"processor"`
	Cores     int      `json:"cores"`            // as many as Go uses
	Caches    []int    `json:"caches,omitempty"` // bytes of data in level 1, 2, …, of one core's; none if not known
	OS        string   `json:"os"`
	Arch      string   `json:"arch"`
	Go        string   `json:"go"`
	Trellis   string   `json:"trellis,omitempty"` // revision
	Tiers     []string `json:"tiers"`             // the best one last
	Peers     []Peer   `json:"peers,omitempty"`
}

// Best is the fastest tier.
func (m Machine) Best() string { return m.Tiers[len(m.Tiers)-1] }

// Peer is what else was measured.
type Peer struct {
	Name    string `json:"name"` // also of a Time's side
	Version string `json:"version"`
}

// The sides of a work besides the tiers.
const (
	PyTorch  = "PyTorch"
	CUDA     = "PyTorch CUDA"
	Gonum    = "gonum"
	Gorgonia = "Gorgonia"
	Naive    = "naive"  // plain loops in Go
	Memory   = "memory" // bare loads, or loads and stores, of what the work reads and writes
)

// The groups of works: tables, and curves of how cost grows with Work.X.
const (
	Table      = "table"
	Everyday   = "everyday"    // sizes at which a call is short
	Rows       = "rows"        // elements of one row
	Classes    = "classes"     // C of cross-entropy, at about 2^20 logits
	CTCSize    = "ctc size"    // T·S of one sequence
	CTCClasses = "ctc classes" // C
	Batch      = "batch"       // N sequences of CTC
	Workers    = "workers"
)

// Work is a computation and its times.
type Work struct {
	Group    string  `json:"group"`
	Name     string  `json:"name"`
	X        float64 `json:"x,omitempty"` // of a curve
	Type     string  `json:"type"`        // "float32" or "float64"
	Bytes    int     `json:"bytes"`       // that cannot but be read or written
	Elements int     `json:"elements"`    // what cost should be proportional to
	Unit     string  `json:"unit"`        // what one of them is: "element", "state", "logit", "sequence"
	Times    []Time  `json:"times"`
}

// Time is what one side takes, in nanoseconds of a call.
type Time struct {
	Side      string     `json:"side"`      // a tier, a peer's name, or Memory
	Workers   int        `json:"workers"`   // 0 is the default, all
	Median    float64    `json:"median"`    // of all calls
	Quartiles [2]float64 `json:"quartiles"` // the lower and the upper one, of all calls
	Calls     int        `json:"calls"`
	Rounds    []float64  `json:"rounds"` // median of each turn; the sides' turns of a round are next to each other
}

// Time returns that of a side, and whether there is one.
func (w Work) Time(side string, workers int) (Time, bool) {
	i := slices.IndexFunc(w.Times, func(t Time) bool { return t.Side == side && t.Workers == workers })
	if i < 0 {
		return Time{}, false
	}
	return w.Times[i], true
}

// Error is how far float32 gradients of CTC are from those in float64: the largest
// absolute error of a derivative of one sequence's loss by a logit.
type Error struct {
	Scale   float64 `json:"scale"` // of standard normal logits
	Frames  int     `json:"frames"`
	Labels  int     `json:"labels"`
	Classes int     `json:"classes"`
	Trellis float64 `json:"trellis"`
	PyTorch float64 `json:"pytorch"`
	Double  float64 `json:"double"` // of PyTorch's float64 gradient from trellis': what the others are measured by
}

// Read reads files, and returns them by date.
func Read(names ...string) (files []File, err error) {
	for _, name := range names {
		var f File
		if err := read(name, &f); err != nil {
			return nil, err
		}
		if len(f.Machine.Tiers) == 0 || len(f.Works)+len(f.Errors) == 0 {
			return nil, fmt.Errorf("%s: no results of bench", name)
		}
		files = append(files, f)
	}
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Date, b.Date) })
	return files, nil
}

func read(name string, to any) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Write writes a file.
func (f File) Write(name string) error { return write(name, f) }

func write(name string, of any) error {
	data, err := json.MarshalIndent(of, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(data, '\n'), 0o666)
}
