package main

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"math"
	"strings"

	"git.sr.ht/~sbinet/gg"
	"golang.org/x/image/draw"

	"github.com/gotrellis/trellis"
)

// The picture from top to bottom, in pixels.
const (
	frameWidth = 18
	edge       = 28 // around everything
	lineHeight = 2 * height
	boxTop     = edge + lineHeight + 10 // of the characters' boxes
	boxHeight  = 26
	barTop     = boxTop + boxHeight + 12 // of the probabilities
	barHeight  = 120
	wordTop    = barTop + barHeight + 14
	legendTop  = wordTop + 66
	total      = legendTop + 14 + edge
)

var (
	ink    = color.NRGBA{0x22, 0x28, 0x33, 0xff}
	pale   = color.NRGBA{0x78, 0x82, 0x90, 0xff}
	blank  = color.NRGBA{0xee, 0xf1, 0xf5, 0xff}
	read   = color.NRGBA{0x2a, 0x6f, 0xbb, 0xff}
	spaces = color.NRGBA{0x92, 0xb6, 0xde, 0xff} // that are read
	doubt  = color.NRGBA{0xe8, 0x8a, 0x1a, 0xff}
	band   = color.NRGBA{0x2a, 0x6f, 0xbb, 0x22}
)

// canvas is the picture, with frames across.
type canvas struct{ *gg.Context }

// box fills a rectangle over frames.
func (c canvas) box(fill color.Color, from, to int, top, height float64) {
	c.SetColor(fill)
	c.DrawRectangle(float64(edge+from*frameWidth+1), top, float64((to-from)*frameWidth-2), height)
	c.Fill()
}

// write writes in the middle of frames.
func (c canvas) write(text string, fill color.Color, from, to int, middle float64) {
	c.SetColor(fill)
	c.DrawStringAnchored(text, edge+float64(from+to)/2*frameWidth, middle, 0.5, 0.35)
}

// draw draws the line; under it the characters of the best hypothesis, each in the frames where it is
// read; how probable it is there, and what else might be; and the words, with the mean probability of
// their characters.
func (l line) draw(r reading, file string) error {
	frames, classes := l.emissions.Shape[0], l.emissions.Shape[1]
	c := canvas{gg.NewContext(2*edge+max(frames, 20)*frameWidth, total)}
	c.SetColor(color.White)
	c.Clear()
	_, face := newFace(17)
	c.SetFontFace(face)
	enlarged := image.NewRGBA(image.Rect(0, 0, frames*frameWidth, lineHeight))
	draw.CatmullRom.Scale(enlarged, enlarged.Rect, l.picture, l.picture.Rect, draw.Src, nil)
	c.DrawImage(enlarged, edge, edge)

	best := r.hypotheses[0]
	space, _ := l.vocabulary.Separator()
	fills := map[int]color.Color{l.vocabulary.Blank: blank, space: spaces}
	for i, s := range best.Spans {
		label := best.Labels[i]
		if fills[label] == nil {
			fills[label] = read
		}
		c.box(band, s.Start, s.End, edge, boxTop-edge)
		c.box(fills[label], s.Start, s.End, boxTop, boxHeight)
		c.write(l.vocabulary.Token(label), color.White, s.Start, s.End, boxTop+boxHeight/2)
	}

	path, others := make([]int, frames), make([]bool, classes)
	trellis.Path(path, best.Spans, best.Labels, l.vocabulary.Blank)
	for class := range others {
		others[class] = class != l.vocabulary.Blank
	}
	for t, class := range path {
		p := l.emissions.Data[t*classes:][:classes]
		others[class] = false
		other := trellis.ArgMax(p, others)
		others[class] = class != l.vocabulary.Blank
		bottom := float64(barTop + barHeight)
		c.box(blank, t, t+1, barTop, barHeight)
		if class != l.vocabulary.Blank {
			high := float64(p[class]) * barHeight
			bottom -= high
			c.box(fills[class], t, t+1, bottom, high)
		}
		high := float64(p[other]) * barHeight
		c.box(doubt, t, t+1, bottom-high, high)
		if high > 14 {
			c.write(cmp.Or(strings.TrimSpace(l.vocabulary.Token(other)), "_"), color.White, t, t+1, bottom-high/2)
		}
	}

	for _, w := range r.words {
		c.box(ink, w.Start, w.End, wordTop, 2)
		c.write(l.spell(best.Labels[w.From:w.To]), ink, w.Start, w.End, wordTop+18)
		c.write(fmt.Sprintf("%.2f", math.Exp(w.Score)), pale, w.Start, w.End, wordTop+38)
	}
	for i, text := range []string{"read", "what else it may be", "blank"} {
		at := []int{0, 4, 14}[i]
		c.box([]color.Color{read, doubt, blank}[i], at, at+1, legendTop, 14)
		c.SetColor(pale)
		c.DrawString(text, float64(edge+(at+1)*frameWidth+6), legendTop+13)
	}
	return c.SavePNG(file)
}
