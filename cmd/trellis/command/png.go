package command

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
	"strconv"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// density is how many pixels of a PNG are one of the picture.
const density = 2

// writePNG writes the picture in the colours of light pages, with letters of the Go font, which has
// the alphabets of Europe.
func (p picture) writePNG(w io.Writer) error {
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return err
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: fontSize * density, DPI: 72})
	if err != nil {
		return err
	}
	defer face.Close()
	img := image.NewRGBA(image.Rect(0, 0, place(p.width), place(p.height)))
	for _, s := range p.shapes {
		source := image.NewUniform(colourOf(s))
		if s.text != "" {
			d := font.Drawer{Dst: img, Src: source, Face: face}
			left := fixed.I(place(s.x)) - fixed.Int26_6(s.anchor*float64(d.MeasureString(s.text)))
			d.Dot = fixed.Point26_6{X: left, Y: fixed.I(place(s.y))}
			d.DrawString(s.text)
			continue
		}
		r := image.Rect(place(s.x), place(s.y), place(s.x+s.width), place(s.y+s.height))
		r.Max.X, r.Max.Y = max(r.Max.X, r.Min.X+1), max(r.Max.Y, r.Min.Y+1)
		if !s.outline {
			draw.Draw(img, r, source, image.Point{}, draw.Over)
			continue
		}
		const edge = density * edgeWidth
		for _, side := range []image.Rectangle{
			{r.Min, image.Pt(r.Max.X, r.Min.Y+edge)}, {image.Pt(r.Min.X, r.Max.Y-edge), r.Max},
			{r.Min, image.Pt(r.Min.X+edge, r.Max.Y)}, {image.Pt(r.Max.X-edge, r.Min.Y), r.Max},
		} {
			draw.Draw(img, side, source, image.Point{}, draw.Over)
		}
	}
	return png.Encode(w, img)
}

// place returns the pixel of a coordinate.
func place(v float64) int { return int(math.Round(density * v)) }

// colourOf returns a shape's colour on a light page.
func colourOf(s shape) color.NRGBA {
	rgb, err := strconv.ParseUint(colours[s.ink][0][1:], 16, 32)
	if err != nil {
		panic(err)
	}
	return color.NRGBA{uint8(rgb >> 16), uint8(rgb >> 8), uint8(rgb), uint8(math.Round(255 * s.opacity))}
}
