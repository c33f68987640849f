// Package tier knows which instruction sets the kernels are written for, which of them
// this machine has, and which one is in use.
package tier

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Tier is an instruction set that the kernels are written for, or Generic: plain Go.
type Tier uint8

const (
	Generic Tier = iota
	NEON
	AVX2
	AVX512
)

var names = [...]string{"generic", "neon", "avx2", "avx512"}

// String returns the name of a tier, as TRELLIS_CPU has it.
func (t Tier) String() string { return names[t] }

// Available are the tiers that this machine can run, the best one last.
var Available = append([]Tier{Generic}, assembly()...)

// Active is the tier in use: the best one that TRELLIS_CPU allows. Only tests change it.
var Active = choose(Available, os.Getenv("TRELLIS_CPU"), os.Stderr)

// choose returns the best tier that is not above the one named; without a name there is
// no limit. A name that is no tier sets none either, and is reported.
func choose(available []Tier, name string, report io.Writer) Tier {
	limit := slices.Index(names[:], name)
	if limit < 0 {
		limit = len(names)
		if name != "" {
			fmt.Fprintf(report, "trellis: TRELLIS_CPU=%s is ignored: want one of %s\n", name, strings.Join(names[:], ", "))
		}
	}
	best := Generic
	for _, t := range available {
		if int(t) <= limit {
			best = t
		}
	}
	return best
}

// Exists reports whether a tier has this name, be it available or not.
func Exists(name string) bool { return slices.Contains(names[:], name) }

// Names returns the names of some tiers.
func Names(tiers []Tier) []string {
	all := make([]string, len(tiers))
	for i, t := range tiers {
		all[i] = t.String()
	}
	return all
}
