package main

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"

	"git.sr.ht/~sbinet/gg"
	"golang.org/x/image/draw"
)

// The picture, in pixels.
const (
	frameWidth = 18 // of a frame
	edge       = 28 // around everything
	lineTop    = edge
	lineHeight = 2 * height
	boxTop     = lineTop + lineHeight + 10 // of the characters' boxes
	boxHeight  = 26
	barTop     = boxTop + boxHeight + 12 // of the probabilities
	barHeight  = 120
	wordTop    = barTop + barHeight + 14
	total      = wordTop + 54
)

var (
	ink    = color.NRGBA{0x22, 0x28, 0x33, 0xff}
	pale   = color.NRGBA{0x78, 0x82, 0x90, 0xff}
	ground = color.NRGBA{0xee, 0xf1, 0xf5, 0xff} // the blank
	read   = color.NRGBA{0x2a, 0x6f, 0xbb, 0xff}
	doubt  = color.NRGBA{0xe8, 0x8a, 0x1a, 0xff} // other characters
	band   = color.NRGBA{0x2a, 0x6f, 0xbb, 0x22}
)

// draw draws the line; under it the characters of the best hypothesis, each in the frames where it is
// read; the probabilities in each frame; and the words.
func (l line) draw(r reading, file string) error {
	frames, classes := l.emissions.Shape[0], l.emissions.Shape[1]
	dc := gg.NewContext(2*edge+frames*frameWidth, total)
	dc.SetColor(color.White)
	dc.Clear()
	x := func(frame int) float64 { return float64(edge + frame*frameWidth) }
	box := func(c color.Color, from, to int, top, height float64) {
		dc.SetColor(c)
		dc.DrawRectangle(x(from)+1, top, x(to)-x(from)-2, height)
		dc.Fill()
	}

	printed := image.NewRGBA(image.Rect(0, 0, frames*frameWidth, lineHeight))
	draw.CatmullRom.Scale(printed, printed.Rect, l.picture, l.picture.Rect, draw.Src, nil)
	dc.DrawImage(printed, edge, lineTop)
	for t := range frames {
		box(ground, t, t+1, barTop, barHeight)
	}

	face, err := newFace(17)
	if err != nil {
		return err
	}
	dc.SetFontFace(face)
	best := r.hypotheses[0]
	said := make([]int, frames) // the class that is read, if any
	for i, s := range best.Spans {
		for t := s.Start; t < s.End; t++ {
			said[t] = best.Labels[i]
		}
		box(band, s.Start, s.End, lineTop, boxTop-lineTop)
		box(read, s.Start, s.End, boxTop, boxHeight)
		dc.SetColor(color.White)
		dc.DrawStringAnchored(l.vocabulary.Token(best.Labels[i]), (x(s.Start)+x(s.End))/2, boxTop+boxHeight/2, 0.5, 0.35)
	}

	// The bar of a frame has what is read below, and other characters above that.
	for t := range frames {
		p := l.emissions.Data[t*classes:][:classes]
		order := []int{}
		for class := range p {
			if class != l.vocabulary.Blank && p[class] > 0.01 {
				order = append(order, class)
			}
		}
		slices.SortFunc(order, func(a, b int) int {
			if a == said[t] || b != said[t] && p[a] > p[b] {
				return -1
			}
			return 1
		})
		bottom := float64(barTop + barHeight)
		for _, class := range order {
			high := float64(p[class]) * barHeight
			bottom -= high
			if class == said[t] {
				box(read, t, t+1, bottom, high)
				continue
			}
			box(doubt, t, t+1, bottom, high)
			if high > 15 {
				dc.SetColor(color.White)
				dc.DrawStringAnchored(l.vocabulary.Token(class), (x(t)+x(t+1))/2, bottom+high/2, 0.5, 0.35)
			}
		}
	}

	for _, w := range r.words {
		text, err := l.vocabulary.Decode(best.Labels[w.From:w.To])
		if err != nil {
			return err
		}
		box(ink, w.Start, w.End, wordTop, 2)
		dc.SetColor(ink)
		dc.DrawStringAnchored(text, (x(w.Start)+x(w.End))/2, wordTop+18, 0.5, 0.35)
		dc.SetColor(pale)
		dc.DrawStringAnchored(fmt.Sprintf("%.2f", math.Exp(w.Score)), (x(w.Start)+x(w.End))/2, wordTop+38, 0.5, 0.35)
	}
	return dc.SavePNG(file)
}
