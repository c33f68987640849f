package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"

	"github.com/gotrellis/trellis/bench/internal/results"
)

// chart is a drawing with its name in a file's, its title and a text beside it.
type chart struct {
	name, title, text string
	renderer
}

type renderer interface{ render() ([]byte, error) }

// curve is a group of works of growing size.
type curve struct {
	group, name   string
	title, across string
	symbol        string // of the size
	// bytes returns what of a work is to be found in a cache, and inCache says that.
	bytes   func(w results.Work) float64
	inCache string
}

var curves = []curve{
	{
		results.Rows, "rows", "Log-sum-exp of one row", "elements of the row, n", "n",
		func(w results.Work) float64 { return float64(w.Bytes) }, "The row fills",
	},
	{
		results.Classes, "classes", "Cross-entropy with its gradient", "classes, C", "C",
		func(w results.Work) float64 { return w.X * size(w) }, "One row fills",
	},
	{
		results.CTCSize, "ctc-size", "CTC with its gradient from logits, by size", "frames × labels of a sequence, T·S", "T·S",
		func(w results.Work) float64 { return float64(w.Bytes) }, "Logits and gradient fill",
	},
	{
		results.CTCClasses, "ctc-classes", "CTC with its gradient from logits, by classes", "classes, C", "C",
		func(w results.Work) float64 { return float64(w.Bytes) }, "Logits and gradient fill",
	},
}

const (
	batchTitle   = "CTC with its gradient from logits, by batch"
	batchAcross  = "sequences of the batch, N"
	workersTitle = "Speed by workers"
)

// size returns the bytes of a number.
func size(w results.Work) float64 {
	if w.Type == "float64" {
		return 8
	}
	return 4
}

// unit returns what an element of the works is called.
func unit(works []results.Work) string {
	if works[0].Unit == "state" {
		return "state and frame"
	}
	return works[0].Unit
}

// comparisons are charts of the table's works.
func (m machine) comparisons() (all []chart) {
	if b, ok := m.peers(); ok {
		all = append(all, chart{"peers", b.title, "", b})
	}
	if b, ok := m.limits(); ok {
		all = append(all, chart{"limit", b.title, "", b})
	}
	return all
}

// growths are charts of works of growing size.
func (m machine) growths() (all []chart) {
	for _, c := range curves {
		if l, ok := m.curve(c); ok {
			all = append(all, chart{c.name, l.title, m.growth(c), l})
		}
	}
	if l, ok := m.batch(); ok {
		all = append(all, chart{"batch", l.title, m.batchGrowth(), l})
	}
	if p, ok := m.scaling(); ok {
		all = append(all, chart{"workers", p.title, m.workersGrowth(), p})
	}
	return all
}

// precision is the chart of errors.
func (m machine) precision() (all []chart) {
	if l, ok := m.errors(); ok {
		all = append(all, chart{"float32-error", l.title, "", l})
	}
	return all
}

// lineOf makes a line of points, whose y is in units of so many nanoseconds. There is
// none of less than two points.
func lineOf(name string, i ink, all []point, unit float64) (l line, ok bool) {
	l = line{name: name, ink: i}
	for _, p := range all {
		l.points = append(l.points, plotter.XY{X: math.Log10(p.x), Y: math.Log10(p.y / unit)})
	}
	return l, len(l.points) > 1
}

func (m machine) curve(c curve) (l lineChart, ok bool) {
	works := m.of(c.group)
	for _, s := range sides {
		if one, ok := lineOf(s.name, s.ink, points(works, s.side, 1), 1); ok {
			one.thin = s.side == results.Memory
			l.lines = append(l.lines, one)
		}
	}
	if len(l.lines) == 0 {
		return l, false
	}
	l.title = c.title
	l.subtitle = fmt.Sprintf("ns per %s, %s, one worker, %s", unit(works), works[0].Type, m.name)
	l.across = c.across
	for i, f := range c.fills(m) {
		if f.x > 0 {
			l.marks = append(l.marks, mark{fmt.Sprintf("L%d", i+1), math.Log10(f.x)})
		}
	}
	return l, true
}

// fill is a cache, and the size from which on a work is larger; 0 if none is.
type fill struct {
	bytes int
	x     float64
}

// fills returns the sizes at which works fill the machine's caches.
func (c curve) fills(m machine) (all []fill) {
	of := points(m.of(c.group), m.Machine.Best(), 1)
	for _, cache := range m.Machine.Caches {
		f := fill{bytes: cache}
		for i := 1; i < len(of); i++ {
			a, b := c.bytes(of[i-1].work), c.bytes(of[i].work)
			if a > 0 && a < float64(cache) && b >= float64(cache) {
				f.x = of[i-1].x * math.Pow(of[i].x/of[i-1].x, math.Log(float64(cache)/a)/math.Log(b/a))
			}
		}
		all = append(all, f)
	}
	return all
}

// batch is the time of a sequence over the size of the batch.
func (m machine) batch() (l lineChart, ok bool) {
	works, all := m.of(results.Batch), m.all(results.Batch)
	for _, s := range []string{results.PyTorch, m.Machine.Best()} {
		for _, n := range slices.Compact([]int{1, all}) {
			name := fmt.Sprintf("%s, %s", nameOf(s), plural(n, "worker"))
			if one, ok := lineOf(name, inkOf(s), points(works, s, n), 1e3); ok {
				one.dashed = n > 1
				l.lines = append(l.lines, one)
			}
		}
	}
	if len(l.lines) == 0 {
		return l, false
	}
	l.title = batchTitle
	l.subtitle = fmt.Sprintf("µs per %s, %s, %s", unit(works), works[0].Type, m.name)
	l.across = batchAcross
	return l, true
}

// scaling is a work with one number of workers after the other.
type scaling struct {
	name  string
	works []results.Work
}

// scalings returns the works of group Workers, by name.
func (m machine) scalings() (all []scaling) {
	for _, w := range m.of(results.Workers) {
		name := strings.TrimSuffix(fullName(w), " for workers") // names differ from those of the table
		i := slices.IndexFunc(all, func(s scaling) bool { return s.name == name })
		if i < 0 {
			all, i = append(all, scaling{name: name}), len(all)
		}
		all[i].works = append(all[i].works, w)
	}
	return all
}

// speedups returns how many times as fast as with one worker a side is: points whose
// y is that.
func (s scaling) speedups(side string) (all []point) {
	for _, w := range s.works {
		if t, ok := median(w, side, int(w.X)); ok && w.X >= 1 {
			all = append(all, point{w.X, t, w})
		}
	}
	slices.SortFunc(all, func(a, b point) int { return int(a.x - b.x) })
	if len(all) == 0 || all[0].x != 1 {
		return nil
	}
	one := all[0].y
	for i := range all {
		all[i].y = one / all[i].y
	}
	return all
}

// ideal is the diagonal of a chart of workers.
func ideal(lines []line) line {
	most := 0.0
	for _, l := range lines {
		most = max(most, l.points[len(l.points)-1].X)
	}
	return line{name: "ideal", ink: limit, thin: true, dashed: true, points: plotter.XYs{{}, {X: most, Y: most}}}
}

func (m machine) scaling() (p panelChart, ok bool) {
	for _, s := range m.scalings() {
		l := lineChart{title: s.name, across: "workers"}
		for _, side := range []string{results.PyTorch, m.Machine.Best()} {
			if one, ok := lineOf(nameOf(side), inkOf(side), s.speedups(side), 1); ok {
				l.lines = append(l.lines, one)
			}
		}
		if len(l.lines) > 0 {
			l.lines = append(l.lines, ideal(l.lines))
			p.panels = append(p.panels, l)
		}
	}
	p.title = workersTitle
	p.subtitle = "times as fast as with one worker, " + m.name
	return p, len(p.panels) > 0
}

// peers is how many times as fast as PyTorch everything else is.
func (m machine) peers() (b barChart, ok bool) {
	b = barChart{
		title:    "Beside PyTorch",
		subtitle: "times as fast as PyTorch, one thread each, " + m.name,
		one:      "PyTorch",
	}
	var shown []string
	for _, s := range sides {
		if s.side == results.PyTorch || s.side == results.Memory {
			continue
		}
		lengths := func(w results.Work) (float64, bool) { return ratio(w, results.PyTorch, 1, s.side, 1) }
		if !slices.ContainsFunc(m.of(results.Table), func(w results.Work) bool { _, ok := lengths(w); return ok }) {
			continue
		}
		one := series{name: s.name, ink: s.ink}
		if i := slices.Index(others, s.side); i >= 0 {
			one.shape = []draw.GlyphDrawer{draw.BoxGlyph{}, draw.CircleGlyph{}, draw.PyramidGlyph{}}[i]
		}
		b.series, shown = append(b.series, one), append(shown, s.side)
	}
	for _, w := range m.of(results.Table) {
		b.add(w, func(i int) (float64, bool) { return ratio(w, results.PyTorch, 1, shown[i], 1) })
	}
	return b, len(b.rows) > 0
}

// limits is how many times as long as bare memory the best tier takes.
func (m machine) limits() (b barChart, ok bool) {
	best := m.Machine.Best()
	b = barChart{
		title:    "Beside bare memory",
		subtitle: "times as long as loads and stores of the same bytes, one worker: 1 is the limit, " + m.name,
		one:      "memory",
		series:   []series{{name: nameOf(best), ink: inkOf(best)}},
	}
	for _, w := range m.of(results.Table) {
		b.add(w, func(int) (float64, bool) { return ratio(w, best, 1, results.Memory, 1) })
	}
	return b, len(b.rows) > 0
}

// add adds the row of a work behind those of its group, if any of the series has a length.
func (b *barChart) add(w results.Work, length func(series int) (float64, bool)) {
	r := row{lengths: map[int]float64{}}
	r.group, r.name = parts(w)
	for i := range b.series {
		if v, ok := length(i); ok {
			r.lengths[i] = v
		}
	}
	if len(r.lengths) == 0 {
		return
	}
	at := len(b.rows)
	for i, other := range b.rows {
		if other.group == r.group {
			at = i + 1
		}
	}
	b.rows = slices.Insert(b.rows, at, r)
}

// errors is the float32 errors over the frames, a line for each scale.
func (m machine) errors() (l lineChart, ok bool) {
	version := results.PyTorch
	if v, ok := m.version(results.PyTorch); ok {
		version = v
	}
	var scales []float64
	for _, e := range m.Errors {
		scales = append(scales, e.Scale)
	}
	slices.Sort(scales)
	scales = slices.Compact(scales)
	for _, who := range []struct {
		name string
		ink  ink
		far  func(results.Error) float64
	}{
		{version, vermilion, func(e results.Error) float64 { return e.PyTorch }},
		{"trellis", blue, func(e results.Error) float64 { return e.Trellis }},
	} {
		for i, scale := range scales {
			one := line{name: fmt.Sprintf("%s, logits × %g", who.name, scale), ink: who.ink, dashed: i > 0}
			for _, e := range m.Errors {
				if far := who.far(e); e.Scale == scale && far > 0 && e.Frames > 0 {
					one.points = append(one.points, plotter.XY{X: math.Log10(float64(e.Frames)), Y: math.Log10(far)})
				}
			}
			if len(one.points) > 1 {
				l.lines = append(l.lines, one)
			}
		}
	}
	if len(l.lines) == 0 {
		return l, false
	}
	l.title = "Errors of CTC's gradient in float32"
	l.subtitle = "largest absolute error of a derivative by a logit, beside float64"
	l.across = "frames"
	if e := m.Errors[0]; e.Labels > 0 {
		l.across = fmt.Sprintf("frames (%d classes, a label for %d frames)", e.Classes, e.Frames/e.Labels)
	}
	return l, true
}
