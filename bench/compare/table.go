package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/gotrellis/trellis/bench/internal/side"
)

// writeTable writes what was measured, and what the columns mean.
func writeTable(out io.Writer, results []result, s sides) {
	t := table.NewWriter()
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder = false
	t.Style().Options.SeparateColumns = false
	t.Style().Format.Header = text.FormatDefault

	header := table.Row{"work", "beside", "its time"}
	columns := []table.ColumnConfig{{Number: 3, Align: text.AlignRight, AlignHeader: text.AlignRight}}
	for _, tier := range s.tiers {
		header = append(header, tier.About, "×")
	}
	header = append(header, "ns/element", "× in rounds")
	for i := range header[3:] {
		columns = append(columns, table.ColumnConfig{Number: 4 + i, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.AppendHeader(append(header, "floor"))
	t.SetColumnConfigs(columns)
	for _, r := range results {
		for i := range r.beside {
			t.AppendRow(cells(r, i, s.tiers))
		}
	}
	t.Render()

	peer := "no PyTorch"
	if s.peer != nil {
		peer = s.peer.About
	}
	fmt.Fprintf(out, "\n%s. Medians of all calls. ×: how many times as fast as what it is beside.\n", peer)
	fmt.Fprintf(out, "ns/element and × in rounds, least and most: of %s. An element is an input;\n", s.best().About)
	fmt.Fprintln(out, "of CTC, it is a state of the lattice in a frame: T·Σ(2S+1) over the sequences.")
}

// cells returns the line of the i-th reference of a work.
func cells(r result, i int, tiers []*side.Side) table.Row {
	ref, other := r.work.beside[i], r.beside[i]
	otherTime, measured := other.median()
	row := table.Row{r.name, ref.name, duration(otherTime, measured)}
	if ref.bandwidth && measured {
		row[1] = fmt.Sprintf("%s, %.1f GB/s", ref.name, r.bytes()/otherTime)
	}
	for _, tier := range tiers {
		time, ok := r.tiers[tier.About].median()
		row = append(row, duration(time, ok), times(otherTime/time, ok && measured))
	}
	best, _ := r.best.median()
	row = append(row, fmt.Sprintf("%.3f", best/float64(r.job.Elements())), r.spread(other))

	var verdicts []string
	for _, f := range ref.floors {
		c := r.tiers[f.tier]
		if f.tier == "" {
			c = r.best
		}
		verdicts = append(verdicts, f.verdict(c, other))
	}
	return append(row, strings.Join(verdicts, ", "))
}

// bytes returns the size of the job's inputs.
func (r result) bytes() float64 {
	size := 4.0
	if r.job.Type == "float64" {
		size = 8
	}
	return size * float64(r.job.Inputs())
}

// spread returns the least and the most times that the best tier was as fast as the
// other one in a round: what the machine's drift and its other users do to the ratio.
func (r result) spread(other *contender) string {
	if other == nil {
		return ""
	}
	var ratios []float64
	for i := range other.rounds {
		ratios = append(ratios, median(other.rounds[i])/median(r.best.rounds[i]))
	}
	return digits(slices.Min(ratios)) + "–" + digits(slices.Max(ratios))
}

// verdict says what the floor is and whether the medians reach it; in how many rounds
// theirs do, where they do not agree; or nothing more than the floor where there is
// nothing to judge by.
func (f floor) verdict(c, other *contender) string {
	says := f.String()
	time, ok := c.median()
	otherTime, measured := other.median()
	if !ok || !measured && f.nanoseconds == 0 {
		return says
	}
	if f.reached(time, otherTime) {
		says += " ok"
	} else {
		says += " short"
	}
	reached := 0
	for i, samples := range c.rounds {
		if measured {
			otherTime = median(other.rounds[i])
		}
		if f.reached(median(samples), otherTime) {
			reached++
		}
	}
	if reached > 0 && reached < len(c.rounds) {
		says += fmt.Sprintf(" (%d of %d rounds ok)", reached, len(c.rounds))
	}
	return says
}

// reached reports whether a time reaches the floor beside another one.
func (f floor) reached(time, other float64) bool {
	switch {
	case f.nanoseconds > 0:
		return time <= f.nanoseconds
	case f.slowdown > 0:
		return time <= f.slowdown*other
	}
	return other >= f.speedup*time
}

func (f floor) String() string {
	says := fmt.Sprintf("≥ %g×", f.speedup)
	switch {
	case f.nanoseconds > 0:
		says = fmt.Sprintf("≤ %g ns", f.nanoseconds)
	case f.slowdown > 0:
		says = fmt.Sprintf("≤ %g× its time", f.slowdown)
	}
	if f.tier != "" {
		says = f.tier + " " + says
	}
	return says
}

// duration writes a time with three digits.
func duration(ns float64, ok bool) string {
	if !ok {
		return ""
	}
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}} {
		if ns >= unit.size {
			return digits(ns/unit.size) + " " + unit.name
		}
	}
	return digits(ns) + " ns"
}

// digits writes a number with three digits, with more if it has more before the
// point, and with fewer if it is small.
func digits(x float64) string {
	switch {
	case x >= 99.95:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.995:
		return fmt.Sprintf("%.1f", x)
	case x >= 0.0995:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

// times writes a ratio.
func times(x float64, ok bool) string {
	if !ok {
		return ""
	}
	return digits(x) + "×"
}
