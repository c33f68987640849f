package report

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/gotrellis/trellis/bench/internal/results"
)

// shownCPUs are those of the table of models.
var shownCPUs = []string{"neoverse-v2", "neoverse-n1", "apple-m1", "znver4"}

var tierOfKernel = regexp.MustCompile(`^(\w+?)(NEON|AVX2|AVX512)$`)

// hot returns the loop of a kernel that does its work: of those that do at least a
// vector's elements, whose other loops look for a maximum or do what is left of a row,
// the one whose turn takes the most cycles.
func hot(loops []results.Loop) results.Loop {
	full := 8
	if strings.Contains(loops[0].Kernel, "F32") {
		full = 16
	}
	cost := func(l results.Loop) float64 {
		if l.Elements < full {
			return float64(l.Elements-full) / 64 // below the others, and each other by elements
		}
		return slices.Max(slices.Collect(maps.Values(l.Cycles)))
	}
	return slices.MaxFunc(loops, func(a, b results.Loop) int { return cmp.Compare(cost(a), cost(b)) })
}

const modelsLegend = "These are figures of a model, not measurements: cycles per element, by %s, of the loop of each kernel that does " +
	"its work, if all data are in the first-level cache and no jump is mispredicted. An element of `forward` and `backward` is a state " +
	"in a frame. The loop is the one whose turn takes the most cycles, of those that do a whole vector's elements (16 of float32, 8 of " +
	"float64) in a turn.\n"

// modelTable is the cycles per element of each kernel's hot loop.
func modelTable(m results.Models) string {
	type column struct{ tier, cpu string }
	byKernel := map[string]map[string][]results.Loop{} // and by tier
	var kernels []string
	var columns []column
	for _, l := range m.Loops {
		name := tierOfKernel.FindStringSubmatch(l.Kernel)
		if name == nil {
			continue
		}
		if byKernel[name[1]] == nil {
			byKernel[name[1]] = map[string][]results.Loop{}
			kernels = append(kernels, name[1])
		}
		byKernel[name[1]][name[2]] = append(byKernel[name[1]][name[2]], l)
	}
	for _, cpu := range shownCPUs {
		for _, tier := range []string{"NEON", "AVX2", "AVX512"} {
			if slices.ContainsFunc(m.Loops, func(l results.Loop) bool {
				_, ok := l.Cycles[cpu]
				return ok && strings.HasSuffix(l.Kernel, tier)
			}) {
				columns = append(columns, column{tier, cpu})
			}
		}
	}
	header := []string{"kernel"}
	for _, c := range columns {
		header = append(header, c.cpu+", "+nameOf(strings.ToLower(c.tier)))
	}
	var rows [][]string
	for _, kernel := range kernels {
		row := []string{"`" + kernel + "`"}
		for _, c := range columns {
			cell := ""
			if loops := byKernel[kernel][c.tier]; len(loops) > 0 {
				if l := hot(loops); l.Elements > 0 {
					cell = fmt.Sprintf("%.2f", l.Cycles[c.cpu]/float64(l.Elements))
				}
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return markdown(header, rows)
}
