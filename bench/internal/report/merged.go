package report

import (
	"fmt"
	"slices"

	"github.com/gotrellis/trellis/bench/internal/results"
)

// ofMachines are the inks of machines; further ones take them again, with dashes.
var ofMachines = []ink{blue, vermilion, green, pink, amber, violet}

// nameWithTier says which tier is a machine's best.
func (m machine) nameWithTier() string {
	return fmt.Sprintf("%s, %s", m.name, nameOf(m.Machine.Best()))
}

// mergedCharts show the best tiers of several machines.
func mergedCharts(all []machine) (charts []chart) {
	for _, c := range curves {
		l := lineChart{title: c.title, across: c.across}
		if l.merge(all, c.group, 1); len(l.lines) > 0 {
			charts = append(charts, chart{c.name, l.title, "", l})
		}
	}
	l := lineChart{title: batchTitle, across: batchAcross}
	if l.merge(all, results.Batch, 1e3); len(l.lines) > 0 {
		charts = append(charts, chart{"batch", l.title, "", l})
	}
	if p := mergedWorkers(all); len(p.panels) > 0 {
		charts = append(charts, chart{"workers", p.title, "", p})
	}
	peers := barChart{title: "Beside PyTorch", one: "PyTorch", subtitle: "times as fast as PyTorch on the same machine, one thread each, best tiers"}
	peers.merge(all, func(m machine, w results.Work) (float64, bool) {
		return ratio(w, results.PyTorch, 1, m.Machine.Best(), 1)
	})
	if len(peers.rows) > 0 {
		charts = append(charts, chart{"peers", peers.title, "", peers})
	}
	limits := barChart{title: "Beside bare memory", one: "memory", subtitle: "times as long as loads and stores of the same bytes, one worker, best tiers: 1 is the limit"}
	limits.merge(all, func(m machine, w results.Work) (float64, bool) {
		return ratio(w, m.Machine.Best(), 1, results.Memory, 1)
	})
	if len(limits.rows) > 0 {
		charts = append(charts, chart{"limit", limits.title, "", limits})
	}
	return charts
}

// merge adds each machine's line of a curve, whose times are in so many nanoseconds.
func (l *lineChart) merge(all []machine, group string, scale float64) {
	for i, m := range all {
		works := m.of(group)
		one, ok := lineOf(m.name, ofMachines[i%len(ofMachines)], points(works, m.Machine.Best(), 1), scale)
		if ok {
			one.dashed = i >= len(ofMachines)
			l.lines = append(l.lines, one)
			name := "ns"
			if scale == 1e3 {
				name = "µs"
			}
			l.subtitle = fmt.Sprintf("%s per %s, %s, one worker, best tier of each machine", name, unit(works), works[0].Type)
		}
	}
}

// mergedWorkers has a panel for each work, with a line for each machine.
func mergedWorkers(all []machine) panelChart {
	p := panelChart{title: workersTitle, subtitle: "times as fast as with one worker, best tier of each machine"}
	for i, m := range all {
		for _, s := range m.scalings() {
			one, ok := lineOf(m.name, ofMachines[i%len(ofMachines)], s.speedups(m.Machine.Best()), 1)
			if !ok {
				continue
			}
			one.dashed = i >= len(ofMachines)
			at := slices.IndexFunc(p.panels, func(l lineChart) bool { return l.title == s.name })
			if at < 0 {
				p.panels, at = append(p.panels, lineChart{title: s.name, across: "workers"}), len(p.panels)
			}
			p.panels[at].lines = append(p.panels[at].lines, one)
		}
	}
	for i := range p.panels {
		p.panels[i].lines = append(p.panels[i].lines, ideal(p.panels[i].lines))
	}
	return p
}

// merge adds a series for each machine that has a length for any work.
func (b *barChart) merge(all []machine, length func(machine, results.Work) (float64, bool)) {
	var having []machine
	for i, m := range all {
		if slices.ContainsFunc(m.of(results.Table), func(w results.Work) bool { _, ok := length(m, w); return ok }) {
			having = append(having, m)
			b.series = append(b.series, series{name: m.nameWithTier(), ink: ofMachines[i%len(ofMachines)]})
		}
	}
	for _, works := range same(having) {
		any := slices.IndexFunc(works, func(w results.Work) bool { return w.Times != nil })
		b.add(works[any], func(i int) (float64, bool) { return length(having[i], works[i]) })
	}
}

// same returns the table's works of several machines, those of one name together: an
// empty one where a machine has none.
func same(all []machine) (table [][]results.Work) {
	var names []string
	for i, m := range all {
		for _, w := range m.of(results.Table) {
			at := slices.Index(names, fullName(w))
			if at < 0 {
				at = len(names)
				names = append(names, fullName(w))
				table = append(table, make([]results.Work, len(all)))
			}
			table[at][i] = w
		}
	}
	return table
}
