package main

import (
	"fmt"
	"image"
	_ "image/jpeg" // formats that image.Decode reads
	_ "image/png"
	"os"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// height is that of the lines that the recogniser was trained on, in pixels.
const height = 48

// readPicture reads a PNG or JPEG.
func readPicture(file string) (image.Image, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	picture, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return picture, nil
}

// maxAspect bounds how wide a line is for its height: each frame of the network looks at all others.
const maxAspect = 100

// checkShape reports a picture that is no line of print.
func checkShape(r image.Rectangle) error {
	if r.Empty() || r.Dx() > maxAspect*r.Dy() {
		return fmt.Errorf("a picture of %d×%d pixels: want one line, at most %d times as wide as high", r.Dx(), r.Dy(), maxAspect)
	}
	return nil
}

// drawText draws a line of text in the Go font.
func drawText(text string) (image.Image, error) {
	const margin, baseline = 6, 34
	goFont, face := newFace(32)
	for _, r := range text {
		if glyph, err := goFont.GlyphIndex(nil, r); err != nil || glyph == 0 {
			return nil, fmt.Errorf("the Go font has no %q: take a -picture", r)
		}
	}
	picture := image.NewGray(image.Rect(0, 0, 2*margin+font.MeasureString(face, text).Ceil(), height))
	draw.Draw(picture, picture.Rect, image.White, image.Point{}, draw.Src)
	pen := font.Drawer{Dst: picture, Src: image.Black, Face: face, Dot: fixed.P(margin, baseline)}
	pen.DrawString(text)
	return picture, nil
}

// newFace returns the Go font, and a face of it that is so many pixels high.
func newFace(size float64) (*opentype.Font, font.Face) {
	goFont, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic(err)
	}
	face, err := opentype.NewFace(goFont, &opentype.FaceOptions{Size: size, DPI: 72})
	if err != nil {
		panic(err)
	}
	return goFont, face
}

// scale makes a picture as high as the recogniser wants it, white where it is transparent.
func scale(picture image.Image) *image.NRGBA {
	from := picture.Bounds()
	to := image.NewNRGBA(image.Rect(0, 0, max(8, from.Dx()*height/from.Dy()), height))
	draw.Draw(to, to.Rect, image.White, image.Point{}, draw.Src)
	draw.CatmullRom.Scale(to, to.Rect, picture, from, draw.Over, nil)
	return to
}

// input returns the pixels as the recogniser wants them: all blue, then all green, then all red, each
// from −1 to 1, so that the shape is (3,48,W).
func input(picture *image.NRGBA) []float32 {
	area := len(picture.Pix) / 4
	x := make([]float32, 3*area)
	for i := range area {
		for channel := range 3 {
			x[channel*area+i] = float32(picture.Pix[4*i+2-channel])/127.5 - 1
		}
	}
	return x
}
