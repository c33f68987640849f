package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/gotrellis/trellis/bench/internal/results"
)

// markdown renders a table for a page; nothing if there are no rows.
func markdown(header []string, rows [][]string) string {
	if len(rows) == 0 {
		return ""
	}
	return tableOf(header, rows).RenderMarkdown() + "\n"
}

// tableOf makes a table whose first column is text and whose others are numbers, without
// columns that are empty.
func tableOf(header []string, rows [][]string) table.Writer {
	t := table.NewWriter()
	var columns []table.ColumnConfig
	var head table.Row
	var shown []int
	for i, name := range header {
		if !slices.ContainsFunc(rows, func(r []string) bool { return r[i] != "" }) {
			continue
		}
		shown, head = append(shown, i), append(head, name)
		if len(shown) > 1 {
			columns = append(columns, table.ColumnConfig{Number: len(shown), Align: text.AlignRight})
		}
	}
	t.AppendHeader(head)
	t.SetColumnConfigs(columns)
	for _, r := range rows {
		var cells table.Row
		for _, i := range shown {
			cells = append(cells, r[i])
		}
		t.AppendRow(cells)
	}
	return t
}

func durationOf(w results.Work, side string, workers int) string {
	if t, ok := median(w, side, workers); ok {
		return results.Duration(t)
	}
	return ""
}

func timesOf(w results.Work, side string, workers int, beside string, besideWorkers int) string {
	if r, ok := ratio(w, side, workers, beside, besideWorkers); ok {
		return results.Times(r)
	}
	return ""
}

// Table is all that was measured, for a terminal.
func Table(f results.File) string { return Lines(machines([]results.File{f})[0].times(f.Works)) }

// Lines is a table for a terminal, without the columns that are empty.
func Lines(header []string, rows [][]string) string {
	t := tableOf(header, rows)
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder = false
	t.Style().Options.SeparateColumns = false
	t.Style().Format.Header = text.FormatDefault
	return t.Render() + "\n"
}

// times are those of works, line by line under a header.
func (m machine) times(works []results.Work) (header []string, rows [][]string) {
	header = []string{"work", "workers"}
	for _, tier := range m.Machine.Tiers {
		header = append(header, nameOf(tier))
	}
	header = append(header, "PyTorch", "×", "in rounds", "naive", "×", "others", "memory", "its time")
	best := m.Machine.Best()
	for _, w := range works {
		for _, n := range workers(w) {
			row := []string{fullName(w), fmt.Sprint(n)}
			for _, tier := range m.Machine.Tiers {
				row = append(row, durationOf(w, tier, n))
			}
			row = append(row, durationOf(w, results.PyTorch, n), timesOf(w, results.PyTorch, n, best, n))
			least, most, ok := spreadOf(w, results.PyTorch, best, n)
			if ok {
				row = append(row, results.Digits(least)+"–"+results.Digits(most))
			} else {
				row = append(row, "")
			}
			row = append(row, durationOf(w, results.Naive, n), timesOf(w, results.Naive, n, best, n))
			var beside []string
			for _, other := range others {
				if t := durationOf(w, other, n); t != "" {
					beside = append(beside, strings.TrimSuffix(fmt.Sprintf("%s %s, %s", nameOf(other), t, timesOf(w, other, n, best, n)), ", "))
				}
			}
			row = append(row, strings.Join(beside, "; "), durationOf(w, results.Memory, n), timesOf(w, best, n, results.Memory, n))
			rows = append(rows, row)
		}
	}
	return header, rows
}

// mergedTable is the best tier's time of each machine, and how many times as fast as
// PyTorch there it is.
func mergedTable(all []machine) string {
	header := []string{"work"}
	for _, m := range all {
		header = append(header, m.nameWithTier())
	}
	var rows [][]string
	for _, works := range same(all) {
		row := []string{""}
		for i, m := range all {
			w := works[i]
			if w.Times != nil {
				row[0] = fullName(w)
			}
			cell := durationOf(w, m.Machine.Best(), 1)
			if r := timesOf(w, results.PyTorch, 1, m.Machine.Best(), 1); r != "" {
				cell += ", " + r
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return markdown(header, rows)
}

// errorTable is the errors that a chart shows.
func (m machine) errorTable() string {
	header := []string{"logits", "frames", "labels", "PyTorch", "trellis", "PyTorch float64"}
	var rows [][]string
	for _, e := range m.Errors {
		row := []string{fmt.Sprintf("× %g", e.Scale), fmt.Sprint(e.Frames), fmt.Sprint(e.Labels)}
		for _, far := range []float64{e.PyTorch, e.Trellis, e.Double} {
			cell := ""
			if far > 0 {
				cell = scientific(far)
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return markdown(header, rows)
}
