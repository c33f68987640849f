package command

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
)

// colours are those of light pages and of dark ones.
var colours = [inks][2]string{
	paper:  {"#ffffff", "#0d1117"},
	strong: {"#1f2328", "#e6edf3"},
	faint:  {"#6e7781", "#8b949e"},
	heat:   {"#0969da", "#58a6ff"},
	trail:  {"#bc4c00", "#ffa657"},
}

// writeSVG writes the picture with the colours of the page that shows it, light or dark. Titles
// show under the pointer.
func (p picture) writeSVG(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%s\" height=\"%s\" viewBox=\"0 0 %[1]s %[2]s\" font-family=\"Helvetica,Arial,sans-serif\" font-size=\"%[3]g\">\n",
		pixels(p.width), pixels(p.height), fontSize)
	for i, before := range []string{"<style>\n", "@media (prefers-color-scheme: dark) {\n"} {
		fmt.Fprint(b, before)
		for k := range inks {
			fmt.Fprintf(b, ".f%d{fill:%s}.o%[1]d{fill:none;stroke:%[2]s;stroke-width:%[3]g}\n", k, colours[k][i], edgeWidth)
		}
	}
	fmt.Fprint(b, "}\n</style>\n")
	for i := 0; i < len(p.shapes); i++ {
		s := p.shapes[i]
		class := fmt.Sprintf("class=\"f%d\"", s.ink)
		if s.outline { // SVG has half of the edge outside
			s.x, s.y, s.width, s.height = s.x+edgeWidth/2, s.y+edgeWidth/2, s.width-edgeWidth, s.height-edgeWidth
			class = fmt.Sprintf("class=\"o%d\"", s.ink)
		}
		if s.opacity < 1 {
			class += fmt.Sprintf(" opacity=\"%.2g\"", s.opacity)
		}
		title := ""
		if s.title != "" {
			title = "<title>" + escaped(s.title) + "</title>"
		}
		switch {
		case s.text != "":
			anchor := map[float64]string{0: "", 0.5: " text-anchor=\"middle\"", 1: " text-anchor=\"end\""}[s.anchor]
			fmt.Fprintf(b, "<text x=\"%s\" y=\"%s\" %s%s>%s%s</text>\n", pixels(s.x), pixels(s.y), class, anchor, title, escaped(s.text))
		case title != "":
			fmt.Fprintf(b, "<path %s d=\"%s\">%s</path>\n", class, s.path(), title)
		default: // those that look the same in one
			fmt.Fprintf(b, "<path %s d=\"%s", class, s.path())
			for ; i+1 < len(p.shapes) && p.shapes[i+1].looksLike(s); i++ {
				fmt.Fprint(b, p.shapes[i+1].path())
			}
			fmt.Fprint(b, "\"/>\n")
		}
	}
	fmt.Fprint(b, "</svg>\n")
	return b.Flush()
}

// looksLike reports whether two rectangles differ only in place and size.
func (s shape) looksLike(t shape) bool {
	s.x, s.y, s.width, s.height = t.x, t.y, t.width, t.height
	return s == t
}

// path returns a rectangle as the data of a path.
func (s shape) path() string {
	return fmt.Sprintf("M%s %sh%sv%sh%sz", pixels(s.x), pixels(s.y), pixels(s.width), pixels(s.height), pixels(-s.width))
}

// pixels writes a coordinate.
func pixels(v float64) string {
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

// escaped writes a text as XML has it; what XML cannot have becomes U+FFFD.
func escaped(text string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(text))
	return b.String()
}
