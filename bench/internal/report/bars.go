package report

import (
	"math"
	"slices"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/gotrellis/trellis/bench/internal/results"
)

// barChart has bars from 1 on a logarithmic axis across, beside a table of their
// lengths.
type barChart struct {
	title, subtitle string
	one             string // what 1 is
	series          []series
	rows            []row
}

// series is what has bars of one colour and a column of the table or, if it has few
// lengths, marks that are named where they are.
type series struct {
	name  string
	ink   ink
	shape draw.GlyphDrawer // of marks
}

// row is a work: its lengths by the series' numbers.
type row struct {
	group, name string
	lengths     map[int]float64
}

// listed reports whether names of series are too long for heads of columns.
func (b barChart) listed() bool {
	wide := vg.Length(0)
	for _, s := range b.series {
		wide += bold(style(tickSize, s.ink, text.XLeft, text.YCenter)).Width(s.name)
	}
	return wide > 0.3*chartWidth
}

// list has the names of the series, if they are too long for heads.
func (b barChart) list() (l list) {
	if b.listed() {
		for _, s := range b.series {
			l = append(l, entry{s.name, s.ink})
		}
	}
	return l
}

const (
	headHeight  = 24
	axisHeight  = 30
	rowHeight   = 22
	groupHeight = 27
	barHeight   = 16 // of all of a row
	columnGap   = 16
)

func (b barChart) render() ([]byte, error) {
	height := headline + margin + b.list().height() + headHeight + axisHeight
	for i, r := range b.rows {
		height += rowHeight
		if r.group != "" && (i == 0 || r.group != b.rows[i-1].group) {
			height += groupHeight
		}
	}
	return render(b.title, b.subtitle, chartWidth, height, b.draw)
}

func (b barChart) draw(c draw.Canvas) {
	name := style(tickSize, words, text.XRight, text.YCenter)
	number := style(tickSize, words, text.XRight, text.YCenter)
	heading := bold(style(tickSize, words, text.XLeft, text.YCenter))

	// What is left and right of the bars.
	left := vg.Length(0)
	for _, r := range b.rows {
		left = max(left, name.Width(r.name))
	}
	columns := make([]vg.Length, len(b.series)) // right edges
	right := c.Max.X
	for i, s := range slices.Backward(b.series) {
		if s.shape != nil {
			continue
		}
		columns[i] = right
		wide := number.Width("1000×")
		if !b.listed() {
			wide = max(wide, bold(number).Width(s.name)+14)
		}
		right -= wide + columnGap
	}

	least, most := 1.0, 1.0
	for _, r := range b.rows {
		for _, v := range r.lengths {
			least, most = min(least, v), max(most, v)
		}
	}
	from, to := math.Log10(least)-0.03, math.Log10(most)+0.03
	b.list().draw(c)
	bottom, top := c.Min.Y+axisHeight, c.Max.Y-b.list().height()-headHeight
	start, end := c.Min.X+left+10, right-4
	x := func(v float64) vg.Length {
		return start + vg.Length((math.Log10(v)-from)/(to-from))*(end-start)
	}

	for _, t := range logTicks(from, to, end-start) {
		at := x(math.Pow(10, t.Value))
		c.StrokeLine2(draw.LineStyle{Color: grid, Width: 1}, at, bottom, at, top)
		c.FillText(style(tickSize, quiet, text.XCenter, text.YTop), vg.Point{X: at, Y: bottom - 5}, t.Label+"×")
	}

	// The columns' heads are the legend, too.
	var bars []int
	for i, s := range b.series {
		if s.shape != nil {
			continue
		}
		bars = append(bars, i)
		glyph := draw.GlyphStyle{Color: s.ink, Radius: 4.5, Shape: draw.BoxGlyph{}}
		head := bold(style(tickSize, s.ink, text.XRight, text.YCenter))
		at := vg.Point{X: columns[i], Y: top + headHeight/2}
		if b.listed() {
			c.DrawGlyph(glyph, vg.Point{X: at.X - 6, Y: at.Y})
			continue
		}
		c.DrawGlyph(glyph, vg.Point{X: at.X - head.Width(s.name) - 9, Y: at.Y})
		c.FillText(head, at, s.name)
	}

	y := top
	for i, r := range b.rows {
		if r.group != "" && (i == 0 || r.group != b.rows[i-1].group) {
			y -= groupHeight
			c.FillText(heading, vg.Point{X: c.Min.X, Y: y + 9}, r.group)
		}
		y -= rowHeight
		middle := y + rowHeight/2
		c.FillText(name, vg.Point{X: c.Min.X + left, Y: middle}, r.name)

		shortest, longest := x(1), x(1)
		edge, thick := middle+barHeight/2, vg.Length(barHeight)/vg.Length(max(1, len(bars)))
		for _, j := range bars {
			if v, ok := r.lengths[j]; ok {
				c.SetColor(b.series[j].ink)
				c.Fill(vg.Rectangle{
					Min: vg.Point{X: min(x(1), x(v)), Y: edge - thick + 0.5},
					Max: vg.Point{X: max(x(1), x(v)), Y: edge - 0.5},
				}.Path())
				c.FillText(number, vg.Point{X: columns[j], Y: middle}, results.Times(v))
				shortest, longest = min(shortest, x(v)), max(longest, x(v))
			}
			edge -= thick
		}
		for j, s := range b.series {
			v, ok := r.lengths[j]
			if !ok || s.shape == nil {
				continue
			}
			at := vg.Point{X: x(v), Y: middle}
			c.DrawGlyph(draw.GlyphStyle{Color: paper, Radius: 6.5, Shape: s.shape}, at)
			c.DrawGlyph(draw.GlyphStyle{Color: s.ink, Radius: 5, Shape: s.shape}, at)
			says := s.name + " " + results.Times(v)
			named := style(tickSize, s.ink, text.XLeft, text.YCenter)
			// Beside the mark if no bar is there, else behind all bars.
			if end := at.X + 10 + named.Width(says); end < shortest-4 {
				c.FillText(named, vg.Point{X: at.X + 10, Y: middle}, says)
				continue
			}
			longest = max(longest, at.X) + 10
			c.FillText(named, vg.Point{X: longest, Y: middle}, says)
			longest += named.Width(says)
		}
	}
	c.StrokeLine2(draw.LineStyle{Color: axis, Width: 1.25}, x(1), bottom, x(1), top)
	c.FillText(style(tickSize, quiet, text.XCenter, text.YCenter), vg.Point{X: max(x(1), start+style(tickSize, quiet, 0, 0).Width(b.one)/2), Y: top + headHeight/2}, b.one)
}
