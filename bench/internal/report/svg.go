package report

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	stdfont "golang.org/x/image/font"
)

// ink is a colour of a chart: on a light ground, in which it is drawn, and on a dark one.
// The lines' inks are told apart with any colour vision; see TestInks.
type ink struct{ light, dark uint32 }

// RGBA makes an ink a color.Color.
func (i ink) RGBA() (r, g, b, a uint32) {
	return color.RGBA{uint8(i.light >> 16), uint8(i.light >> 8), uint8(i.light), 0xff}.RGBA()
}

var (
	paper = ink{0xFFFFFF, 0x0D1117}
	words = ink{0x1F2328, 0xE6EDF3}
	quiet = ink{0x59636E, 0x9DA7B3}
	axis  = ink{0x8C959F, 0x6E7681}
	grid  = ink{0xE5E8EC, 0x262C36}
	limit = ink{0x7A828B, 0x848D97}

	blue      = ink{0x004A9F, 0x4C94FF}
	vermilion = ink{0xD55E00, 0xFF7A33}
	green     = ink{0x00945A, 0x3FD08A}
	pink      = ink{0xB8508F, 0xF0A0D0}
	amber     = ink{0x8F6B00, 0xE3C04A}
	violet    = ink{0x5B3A9C, 0xB9A2FF}
)

var inks = []ink{paper, words, quiet, axis, grid, limit, blue, vermilion, green, pink, amber, violet}

// Units are pixels: of what is drawn in points, render changes the name.
const (
	margin    = 20
	headline  = 14 + 52 // what is above a chart: its title and subtitle
	titleSize = 16
	textSize  = 12.5
	tickSize  = 12
)

func init() { plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"} }

// style is of text at a place that the alignments say.
func style(size vg.Length, i ink, x text.XAlignment, y text.YAlignment) text.Style {
	return text.Style{Color: i, Font: font.From(plot.DefaultFont, size), XAlign: x, YAlign: y, Handler: plot.DefaultTextHandler}
}

func bold(s text.Style) text.Style {
	s.Font.Weight = stdfont.WeightBold
	return s
}

// render draws a chart under its title: an SVG with a ground of its own and both
// palettes.
func render(title, subtitle string, width, height vg.Length, chart func(draw.Canvas)) ([]byte, error) {
	image := vgsvg.New(width, height)
	c := draw.New(image)
	c.SetColor(paper)
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, margin, -margin, margin-6, -margin)
	c.FillText(bold(style(titleSize, words, text.XLeft, text.YTop)), vg.Point{X: c.Min.X, Y: c.Max.Y}, title)
	c.FillText(style(textSize, quiet, text.XLeft, text.YTop), vg.Point{X: c.Min.X, Y: c.Max.Y - 23}, subtitle)
	chart(draw.Crop(c, 0, 0, 0, -(headline - 14)))

	var out bytes.Buffer
	if _, err := image.WriteTo(&out); err != nil {
		return nil, err
	}
	return bothPalettes(out.Bytes(), title)
}

// bothPalettes gives an SVG of vgsvg a title, pixels, fonts that browsers have, and
// rules that put an ink's dark colour in place of its light one.
func bothPalettes(image []byte, title string) ([]byte, error) {
	start := bytes.Index(image, []byte("<svg "))
	end := bytes.IndexByte(image[max(start, 0):], '>')
	if start < 0 || end < 0 {
		return nil, fmt.Errorf("report: no SVG: %.40q", image)
	}
	head, body := image[start:start+end+1], image[start+end+1:]
	head = bytes.ReplaceAll(head, []byte(`pt"`), []byte(`"`))
	// Text is measured with Liberation Sans, which few browsers have; Arial is as wide.
	body = bytes.ReplaceAll(body, []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif"))

	var out bytes.Buffer
	out.Write(head)
	fmt.Fprintf(&out, "\n<title>%s</title>\n<style>\n@media (prefers-color-scheme: dark) {\n", html.EscapeString(title))
	for _, i := range inks {
		for _, property := range []string{"fill", "stroke"} {
			light := fmt.Sprintf("%s:#%06X", property, i.light)
			if bytes.Contains(body, []byte(light)) {
				fmt.Fprintf(&out, "[style*=%s] { %s:#%06X !important }\n", strconv.Quote(light), property, i.dark)
			}
		}
	}
	out.WriteString("}\n</style>")
	out.Write(body)
	return out.Bytes(), nil
}
