package report

import (
	"slices"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// panelChart has small line charts beside each other, whose titles are their own.
type panelChart struct {
	title, subtitle string
	panels          []lineChart
}

const (
	panelsAcross = 3
	panelHeight  = 230
)

func (p panelChart) render() ([]byte, error) {
	names := p.list()
	down := (len(p.panels) + panelsAcross - 1) / panelsAcross
	height := headline + margin + names.height() + vg.Length(down*panelHeight)
	return render(p.title, p.subtitle, chartWidth, height, func(c draw.Canvas) {
		const gap = 26
		names.draw(c)
		width := (c.Size().X - gap*(panelsAcross-1)) / panelsAcross
		top := c.Max.Y - names.height()
		for i, one := range p.panels {
			at := draw.Canvas{Canvas: c.Canvas}
			at.Min = vg.Point{X: c.Min.X + vg.Length(i%panelsAcross)*(width+gap), Y: top - panelHeight*vg.Length(i/panelsAcross+1)}
			at.Max = vg.Point{X: at.Min.X + width, Y: at.Min.Y + panelHeight}
			at.FillText(bold(style(textSize, words, text.XLeft, text.YTop)), vg.Point{X: at.Min.X, Y: at.Max.Y - 6}, one.title)
			if len(names) > 0 {
				one.lines = slices.Clone(one.lines)
				for j := range one.lines {
					one.lines[j].name = ""
				}
			}
			one.draw(draw.Crop(at, 0, 0, 10, -26), doublings)
		}
	})
}

// list has the names of the lines, if they are too long for the panels.
func (p panelChart) list() (names list) {
	wide := vg.Length(0)
	for _, one := range p.panels {
		for _, l := range one.lines {
			wide = max(wide, endLabels(one.lines).width())
			if e := (entry{l.name, l.ink}); !slices.Contains(names, e) {
				names = append(names, e)
			}
		}
	}
	if wide < 0.1*chartWidth {
		return nil
	}
	return names
}
