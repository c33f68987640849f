package report

import (
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// list is a legend over a chart, for names that are too long to stand at what they name.
type list []entry

type entry struct {
	name string
	ink  ink
}

const entryHeight = 18

func (l list) height() vg.Length { return vg.Length(len(l)) * entryHeight }

func (l list) draw(c draw.Canvas) {
	for i, e := range l {
		y := c.Max.Y - entryHeight*(vg.Length(i)+0.5)
		c.DrawGlyph(draw.GlyphStyle{Color: e.ink, Radius: 4.5, Shape: draw.BoxGlyph{}}, vg.Point{X: c.Min.X + 5, Y: y})
		c.FillText(bold(style(tickSize, e.ink, text.XLeft, text.YCenter)), vg.Point{X: c.Min.X + 16, Y: y}, e.name)
	}
}
