package main

import (
	"image"
	"math/rand/v2"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

const (
	height   = 18 // pixels of a column
	perFrame = 2  // columns
	margin   = 14 // columns on either side of the text: no frame sees the line before or after its own
)

// lines are drawn side by side, each in as many columns as the longest has.
type lines struct {
	texts  []string
	frames []int     // that each line fills
	spans  [][2]int  // of each character of all texts: its first frame, and the one after its last
	pixels []float32 // column by column
}

// artist draws lines.
type artist struct {
	*rand.Rand
	faces []font.Face
}

func newArtist(seed uint64) (*artist, error) {
	a := &artist{Rand: rand.New(rand.NewPCG(seed, 0))}
	for _, data := range [][]byte{goregular.TTF, gomono.TTF} {
		parsed, err := opentype.Parse(data)
		if err != nil {
			return nil, err
		}
		for _, size := range []float64{12.5, 14} {
			face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72})
			if err != nil {
				return nil, err
			}
			a.faces = append(a.faces, face)
		}
	}
	return a, nil
}

func (a *artist) between(least, most float64) float64 { return least + (most-least)*a.Float64() }

// draw draws lines with so much noise at the most: the standard deviation of a pixel, where
// ink is 1.
func (a *artist) draw(noise float64, texts ...string) lines {
	l, longest, all := lines{texts: texts}, 0, make([][]float32, len(texts))
	for i, text := range texts {
		all[i] = a.line(&l, text, a.between(0, noise))
		longest = max(longest, len(all[i]))
	}
	for _, pixels := range all {
		l.pixels = append(append(l.pixels, pixels...), make([]float32, longest-len(pixels))...)
	}
	return l
}

// line returns the pixels of a line. Its letters are unevenly set and it is stretched.
func (a *artist) line(l *lines, text string, noise float64) (pixels []float32) {
	face, stretch, ink := a.faces[a.IntN(len(a.faces))], a.between(1, 1.4), a.between(0.8, 1)
	canvas := image.NewAlpha(image.Rect(0, 0, font.MeasureString(face, text).Ceil()+len(text)+2*margin, height))
	pen := font.Drawer{Dst: canvas, Src: image.Opaque, Face: face, Dot: fixed.P(margin, 14)}
	pen.Dot.Y += fixed.Int26_6(a.between(-64, 64))
	frame := func() int { return int(stretch*float64(pen.Dot.X)/64/perFrame + 0.5) }
	for _, r := range text {
		first := frame()
		pen.DrawString(string(r))
		pen.Dot.X += fixed.Int26_6(a.between(-10, 40))
		l.spans = append(l.spans, [2]int{first, frame()})
	}
	frames := frame() + margin/perFrame
	l.frames = append(l.frames, frames)
	for x := range frames * perFrame {
		from := float64(x) / stretch
		left, part := int(from), from-float64(int(from))
		for y := range height {
			v := (1-part)*float64(canvas.AlphaAt(left, y).A) + part*float64(canvas.AlphaAt(left+1, y).A)
			pixels = append(pixels, float32(ink*v/255+noise*a.NormFloat64()))
		}
	}
	return pixels
}

// words are random characters, which nobody can guess from the others.
func (a *artist) words(length int) string {
	var text []byte
	for last := byte(' '); len(text) < length || last == ' '; text = append(text, last) {
		switch {
		case last != ' ' && a.IntN(5) == 0:
			last = ' '
		case last != ' ' && a.IntN(8) == 0: // twice the same
		case a.IntN(2) == 0:
			last = byte('a' + a.IntN(26))
		default:
			last = characters[1+a.IntN(len(characters)-1)]
		}
	}
	return string(text)
}
