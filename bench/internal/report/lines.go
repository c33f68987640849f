package report

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// lineChart has lines on logarithmic axes. plot's own logarithmic scale makes room for
// an axis' label where it does not stand; so scales are linear, of logarithms.
type lineChart struct {
	title, subtitle, across string
	lines                   []line
	marks                   []mark
}

// line is one of a chart, named where it ends.
type line struct {
	name         string
	ink          ink
	thin, dashed bool
	points       plotter.XYs // logarithms to base 10
}

// mark is a place on the axis across.
type mark struct {
	name string
	x    float64 // logarithm to base 10
}

const (
	chartWidth, chartHeight = 800, 460
	labelGap                = 15 // from one label's middle to the next one's
	leader                  = 20 // from the data to the labels
)

func (l lineChart) render() ([]byte, error) {
	return render(l.title, l.subtitle, chartWidth, chartHeight, func(c draw.Canvas) { l.draw(c, logTicks) })
}

// ticker returns ticks between two logarithms that are so far apart.
type ticker func(least, most float64, space vg.Length) []plot.Tick

func (l lineChart) draw(c draw.Canvas, ticks ticker) {
	p := plot.New()
	p.BackgroundColor = nil
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.LineStyle.Color, a.Tick.LineStyle.Color, a.Tick.Label.Color = axis, axis, quiet
		a.Tick.Label.Font.Size = tickSize
		a.Tick.Length, a.Padding = 0, 0
	}
	p.Y.LineStyle.Width, p.Y.Padding = 0, 6
	p.X.LineStyle.Width, p.X.Tick.LineStyle.Width, p.X.Tick.Length = 1, 1, 5
	p.X.Label.Text = l.across
	p.X.Label.TextStyle.Color, p.X.Label.TextStyle.Font.Size = quiet, textSize
	p.X.Label.Padding = 5

	var x, y []float64
	for _, one := range l.lines {
		for _, at := range one.points {
			x, y = append(x, at.X), append(y, at.Y)
		}
	}
	least, most := slices.Min(y), slices.Max(y)
	room := max(0.05*(most-least), 0.05)
	p.X.Min, p.X.Max = slices.Min(x), slices.Max(x)
	p.Y.Min, p.Y.Max = least-room, most+room
	p.X.Tick.Marker = plot.ConstantTicks(ticks(p.X.Min, p.X.Max, c.Size().X))
	p.Y.Tick.Marker = plot.ConstantTicks(ticks(p.Y.Min, p.Y.Max, c.Size().Y))

	p.Add(rulers{}, marks(l.marks))
	for _, one := range l.lines {
		p.Add(one)
	}
	labels := endLabels(l.lines)
	p.Add(labels)
	p.Draw(draw.Crop(c, 0, -labels.width()-leader, 0, -12))
}

// logTicks are at powers of ten, not all if there is too little space; and between them
// if they would be few.
func logTicks(least, most float64, space vg.Length) (ticks []plot.Tick) {
	const slack, gap, few = 1e-9, 40, 3
	decade := float64(space) / (most - least)
	every := int(max(1, math.Ceil(gap/decade)))
	for _, steps := range [][]float64{{1}, {1, 2, 5}, {1, 1.5, 2, 3, 4, 5, 6, 8}} {
		var finer []plot.Tick
		for e := int(math.Floor(least)); e <= int(math.Ceil(most)); e++ {
			for _, step := range steps {
				at := float64(e) + math.Log10(step)
				if e%every == 0 && at >= least-slack && at <= most+slack {
					finer = append(finer, plot.Tick{Value: at, Label: power(step, e)})
				}
			}
		}
		if len(ticks) > 0 && decade*math.Log10(10/steps[len(steps)-1]) < gap {
			break
		}
		if ticks = finer; len(ticks) > few {
			break
		}
	}
	return ticks
}

// doublings are ticks at powers of two.
func doublings(least, most float64, _ vg.Length) (ticks []plot.Tick) {
	const slack = 1e-9
	for x := 1.0 / 64; math.Log10(x) <= most+slack; x *= 2 {
		if at := math.Log10(x); at >= least-slack {
			ticks = append(ticks, plot.Tick{Value: at, Label: cmp.Or(map[float64]string{0.5: "½", 0.25: "¼"}[x], plain(x))})
		}
	}
	return ticks
}

// rulers are thin lines from the ticks of the axis upwards.
type rulers struct{}

func (rulers) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		c.StrokeLine2(draw.LineStyle{Color: grid, Width: 1}, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
	}
}

// marks are dashed lines from places of the axis across, named at the top.
type marks []mark

func (m marks) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	dashes := draw.LineStyle{Color: axis, Width: 0.75, Dashes: []vg.Length{2, 3}}
	for _, one := range m {
		if one.x >= p.X.Min && one.x <= p.X.Max {
			c.StrokeLine2(dashes, x(one.x), c.Min.Y, x(one.x), c.Max.Y-2)
			c.FillText(style(11, quiet, text.XCenter, text.YBottom), vg.Point{X: x(one.x), Y: c.Max.Y}, one.name)
		}
	}
}

// Plot draws a line and its points.
func (l line) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	stroke := draw.LineStyle{Color: l.ink, Width: 2}
	radius := vg.Length(2.6)
	if l.thin {
		stroke.Width, radius = 1.25, 0
	}
	if l.dashed {
		stroke.Dashes = []vg.Length{6, 4}
	}
	var path []vg.Point
	for _, at := range l.points {
		path = append(path, vg.Point{X: x(at.X), Y: y(at.Y)})
	}
	c.StrokeLines(stroke, path)
	for _, at := range path {
		c.DrawGlyph(draw.GlyphStyle{Color: l.ink, Radius: radius, Shape: draw.CircleGlyph{}}, at)
	}
}

// endLabels name the lines that have names right of the data, at the heights at which they end, or as near
// as their neighbours let them.
type endLabels []line

func (l endLabels) style(i ink) text.Style { return bold(style(textSize, i, text.XLeft, text.YCenter)) }

func (l endLabels) width() (w vg.Length) {
	for _, one := range l {
		w = max(w, l.style(one.ink).Width(one.name))
	}
	return w
}

func (l endLabels) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	lines := slices.DeleteFunc(slices.Clone(l), func(l line) bool { return l.name == "" })
	ends := func(l line) vg.Point {
		last := l.points[len(l.points)-1]
		return vg.Point{X: x(last.X), Y: y(last.Y)}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(ends(a).Y, ends(b).Y) })
	var heights []float64
	for _, one := range lines {
		heights = append(heights, float64(ends(one).Y))
	}
	heights = spread(heights, labelGap)
	for i, one := range lines {
		end, height := ends(one), vg.Length(heights[i])
		s := l.style(one.ink)
		if c.Max.X-end.X > 1 || math.Abs(float64(height-end.Y)) > 3 {
			c.StrokeLines(draw.LineStyle{Color: one.ink, Width: 0.75}, []vg.Point{
				{X: end.X + 5, Y: end.Y}, {X: max(end.X+5, c.Max.X+6), Y: end.Y}, {X: c.Max.X + leader - 4, Y: height},
			})
		}
		c.FillText(s, vg.Point{X: c.Max.X + leader, Y: height}, one.name)
	}
}

// spread moves ascending heights apart, by the least squares of ways that leave gaps
// between them.
func spread(heights []float64, gap float64) []float64 {
	// Neighbours that are too close share a block, whose middle is the mean of theirs.
	type block struct {
		sum float64 // of heights less the gaps below
		n   int
	}
	var blocks []block
	for i, h := range heights {
		blocks = append(blocks, block{h - gap*float64(i), 1})
		for len(blocks) > 1 {
			a, b := blocks[len(blocks)-2], blocks[len(blocks)-1]
			if a.sum/float64(a.n) <= b.sum/float64(b.n) {
				break
			}
			blocks = append(blocks[:len(blocks)-2], block{a.sum + b.sum, a.n + b.n})
		}
	}
	var apart []float64
	for _, b := range blocks {
		for range b.n {
			apart = append(apart, b.sum/float64(b.n)+gap*float64(len(apart)))
		}
	}
	return apart
}
