package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// draw draws the losses, a line, and what the network made of it at four times.
func (h *history) draw(file string) error {
	plots, last := [][]*plot.Plot{{h.linePlot()}}, len(h.looks)-1
	for _, i := range []int{0, min(1, last), last / 5, last} {
		plots = append(plots, []*plot.Plot{h.looks[i].plot()})
	}
	picture := vgimg.New(9*vg.Inch, 9*vg.Inch)
	canvas := vgdraw.Crop(vgdraw.New(picture), vg.Inch/8, -vg.Inch/8, vg.Inch/8, -vg.Inch/8)
	h.lossPlot().Draw(vgdraw.Crop(canvas, 0, 0, 6*vg.Inch, 0))
	tiles := vgdraw.Tiles{Rows: len(plots), Cols: 1, PadY: vg.Inch / 8}
	for i, tile := range plot.Align(plots, tiles, vgdraw.Crop(canvas, 0, 0, 0, -3*vg.Inch)) {
		plots[i][0].Draw(tile[0])
	}
	var data bytes.Buffer
	if err := png.Encode(&data, picture.Image()); err != nil {
		return err
	}
	return os.WriteFile(file, data.Bytes(), 0o666)
}

// lossPlot shows each line of the training as a dot.
func (h *history) lossPlot() *plot.Plot {
	const least = 0.01 // what is below is drawn there
	dots, rates := &plotter.Scatter{}, &plotter.Line{LineStyle: vgdraw.LineStyle{Color: plotutil.Color(0), Width: 1.5}}
	dots.GlyphStyle = vgdraw.GlyphStyle{Color: color.Gray{Y: 170}, Radius: 0.7, Shape: vgdraw.CircleGlyph{}}
	for _, xy := range h.losses {
		dots.XYs = append(dots.XYs, plotter.XY{X: xy.X, Y: max(xy.Y, least)})
	}
	for _, l := range h.looks {
		rates.XYs = append(rates.XYs, plotter.XY{X: float64(l.step), Y: max(l.errorRate, least)})
	}
	p := plot.New()
	p.X.Label.Text = "training steps"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Add(dots, rates)
	p.Legend.Top = true
	p.Legend.Add("loss of a line, nats per character", dots)
	p.Legend.Add("wrong characters of unseen lines, per character", rates)
	return p
}

// linePlot shows the line that is looked at, its frames above those of the plots below.
func (h *history) linePlot() *plot.Plot {
	frames := h.unseen.frames[0]
	gray := image.NewGray(image.Rect(0, 0, frames*stride, height))
	for i := range gray.Pix {
		gray.SetGray(i/height, i%height, color.Gray{Y: uint8(255 * (1 - min(max(h.unseen.pixels[i], 0), 1)))})
	}
	p := plot.New()
	p.HideAxes()
	p.Add(plotter.NewImage(gray, 0, 0, float64(frames), 1))
	return p
}

// plot shows the probability of each class in each frame, the blank's in grey, and what is read.
func (l look) plot() *plot.Plot {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("after %d steps: %q", l.step, l.text)
	p.HideX()
	p.Y.Max = 1.3
	p.Y.Tick.Marker = plot.ConstantTicks{{Value: 0, Label: "0"}, {Value: 1, Label: "1"}}
	for class := range classes {
		c := &plotter.Line{LineStyle: vgdraw.LineStyle{Color: plotutil.Color(class), Width: 1.5}}
		if class == 0 {
			c.Color = color.Gray{Y: 170}
		}
		for t := range len(l.emissions) / classes {
			c.XYs = append(c.XYs, plotter.XY{X: float64(t) + 0.5, Y: float64(l.emissions[t*classes+class])})
		}
		p.Add(c)
	}
	letters := &plotter.Labels{Labels: strings.Split(l.text, "")}
	for _, s := range l.spans {
		letters.XYs = append(letters.XYs, plotter.XY{X: float64(s.Start+s.End) / 2, Y: 1.3})
		letters.TextStyle = append(letters.TextStyle, p.X.Tick.Label)
	}
	p.Add(letters)
	return p
}
