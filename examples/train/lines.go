package main

import (
	"image"
	"math/rand/v2"
	"strings"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/font/inconsolata"
	"golang.org/x/image/math/fixed"
)

// Label k is the k-th character of the alphabet. Class 0 is the blank: nothing new in this frame.
const (
	alphabet = " abcdefghijklmnopqrstuvwxyz"
	classes  = 1 + len(alphabet)
	height   = 16   // pixels of a column
	stride   = 2    // columns from one frame to the next
	margin   = 16   // columns on either side of a text: no frame sees two texts
	noise    = 0.15 // the most: the standard deviation of a pixel, where ink is 1
)

// batch has lines of text of different lengths. Behind the shorter ones there is nothing.
type batch struct {
	texts  []string
	frames []int     // of each line, without that nothing: CTCLoss' inputLengths
	pixels []float32 // (N, columns, height)
}

// labels returns those of all texts, one after the other, and how many each text has.
func (b batch) labels() (targets, lengths []int) {
	for _, text := range b.texts {
		for _, r := range text {
			targets = append(targets, 1+strings.IndexRune(alphabet, r))
		}
		lengths = append(lengths, len(text))
	}
	return targets, lengths
}

// spell returns the text that labels stand for.
func spell(labels []int) (text string) {
	for _, label := range labels {
		text += alphabet[label-1 : label]
	}
	return text
}

// words returns random letters, none of which can be guessed from the others. One in eight comes twice;
// between the two the network has to write a blank. One in eight ends a word.
func words(r *rand.Rand) (text string) {
	for length := 3 + r.IntN(10); len(text) < length; {
		letter := string(rune('a' + r.IntN(26)))
		text += strings.Repeat(letter, 1+r.IntN(8)/7) + strings.Repeat(" ", r.IntN(8)/7)
	}
	return strings.TrimSpace(text)
}

// newBatch draws n lines: these texts, and words.
func newBatch(r *rand.Rand, n int, texts ...string) batch {
	lines, columns := make([]*image.Gray, n), 0
	b := batch{texts: texts, frames: make([]int, n)}
	for i := range lines {
		if i == len(b.texts) {
			b.texts = append(b.texts, words(r))
		}
		lines[i] = drawLine(r, b.texts[i])
		b.frames[i] = lines[i].Rect.Dx() / stride
		columns = max(columns, lines[i].Rect.Dx())
	}
	b.pixels = make([]float32, n*columns*height)
	for i, line := range lines {
		noise := noise * r.Float64()
		for k := range line.Pix {
			ink := float64(line.GrayAt(k/height, k%height).Y) / 255
			b.pixels[i*columns*height+k] = float32(ink + noise*r.NormFloat64())
		}
	}
	return b
}

// drawLine draws a text in one of the fonts, unevenly, and stretches it.
func drawLine(r *rand.Rand, text string) *image.Gray {
	even := image.NewGray(image.Rect(0, 0, 10*len(text), height))
	faces := []font.Face{basicfont.Face7x13, inconsolata.Regular8x16, inconsolata.Bold8x16}
	pen := font.Drawer{Dst: even, Src: image.White, Face: faces[r.IntN(len(faces))], Dot: fixed.P(0, 11+r.IntN(3))}
	for _, letter := range text {
		pen.DrawString(string(letter))
		pen.Dot.X += fixed.I(r.IntN(3) - 1)
	}
	used := image.Rect(0, 0, pen.Dot.X.Ceil(), height)
	width := int(float64(used.Dx()) * (0.7 + 0.5*r.Float64()))
	line := image.NewGray(image.Rect(0, 0, (width+2*margin)/stride*stride, height))
	draw.BiLinear.Scale(line, image.Rect(margin, 0, margin+width, height), even, used, draw.Src, nil)
	return line
}
