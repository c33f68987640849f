package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/rivo/uniseg"
)

// maxPanels is how many sequences a picture has, and maxLanes how many classes of each.
const (
	maxPanels = 8
	maxLanes  = 64
)

// panel is what is drawn of one sequence: for each class that the target names, and the blank, the
// probability over time.
type panel struct {
	alignment
	lanes   []lane
	columns int // of a lane, each one frame or more
	hidden  int // classes beyond the lanes
}

// lane is a class and its probability in every column, the largest of the column's frames.
type lane struct {
	class         int
	probabilities []float64
}

// maxColumns is how many columns are told apart.
const maxColumns = 1200

// newPanel reads what is drawn of a sequence; frame returns the scores of a frame.
func newPanel[F trellis.Float](a *alignments, s alignment, frame func(t int) []F) panel {
	p := panel{alignment: s, columns: min(s.frames, maxColumns)}
	add := func(class int) {
		switch {
		case class == trellis.AnyLabel || slices.ContainsFunc(p.lanes, func(l lane) bool { return l.class == class }):
		case len(p.lanes) == maxLanes:
			p.hidden++
		default:
			p.lanes = append(p.lanes, lane{class, make([]float64, p.columns)})
		}
	}
	add(a.blank)
	for _, label := range s.labels {
		add(label)
	}
	p.lanes = append(p.lanes[1:], p.lanes[0]) // the blank below the others
	for t := range s.frames {
		row, column := frame(t), t*p.columns/s.frames
		sum := 0.0
		if a.scores == trellis.Logits {
			sum = float64(trellis.LogSumExp(row))
		}
		for _, l := range p.lanes {
			v := float64(row[l.class])
			if a.scores != trellis.Probabilities {
				v = math.Exp(v - sum)
			}
			if v > l.probabilities[column] { // NaN is not
				l.probabilities[column] = min(v, 1)
			}
		}
	}
	return p
}

// checkPictureName reports a name that does not say how to draw.
func checkPictureName(name string) error {
	switch ext := strings.ToLower(filepath.Ext(name)); {
	case name == "" || ext == ".svg" || ext == ".png":
		return nil
	}
	return misuse("-svg %s: want a name that ends in .svg or .png", name)
}

// draw writes the picture that the options ask for.
func (a *alignments) draw(t *tool) error {
	if len(a.found) > len(a.panels) {
		t.warnings = append(t.warnings, fmt.Sprintf("%s has the first %d of %d sequences", a.options.picture, len(a.panels), len(a.found)))
	}
	for n, p := range a.panels {
		if p.hidden > 0 {
			t.warnings = append(t.warnings, fmt.Sprintf("%s lacks labels of sequence %d: it has the first %d classes", a.options.picture, n, maxLanes))
		}
	}
	write := picture.writeSVG
	if strings.EqualFold(filepath.Ext(a.options.picture), ".png") {
		write = picture.writePNG
	}
	var b bytes.Buffer
	if err := write(a.picture(), &b); err != nil {
		return err
	}
	file, err := createDraft(a.options.picture)
	if err != nil {
		return err
	}
	defer file.discard()
	if _, err := io.Copy(file, &b); err != nil {
		return err
	}
	return file.finish()
}

// ink is a colour by its use.
type ink uint8

const (
	paper ink = iota
	words     // letters
	faint     // axes, and letters that matter less
	heat      // probabilities
	trail     // the path
	inks      // how many there are
)

// shape is a rectangle, or if it has a text that.
type shape struct {
	x, y          float64 // the upper left corner, or where on its base line the text is
	width, height float64
	ink           ink
	opacity       float64
	outline       bool // draw the edge only
	text          string
	anchor        float64 // how much of the text is left of x: 0, 0.5 or 1
	title         string  // to be shown under the pointer
}

// picture is shapes, each above those before it.
type picture struct {
	width, height float64
	shapes        []shape
}

// The sizes of a picture, in pixels.
const (
	fontSize   = 12.0
	laneHeight = 14.0
	margin     = 12.0
	lineHeight = 16.0
	edgeWidth  = 1.5 // of what is drawn as its edge, which lies inside
)

func (p *picture) rect(x, y, width, height float64, ink ink, opacity float64) *shape {
	p.shapes = append(p.shapes, shape{x: x, y: y, width: width, height: height, ink: ink, opacity: opacity})
	return &p.shapes[len(p.shapes)-1]
}

func (p *picture) write(x, y, anchor float64, ink ink, text string) *shape {
	p.shapes = append(p.shapes, shape{x: x, y: y, anchor: anchor, ink: ink, opacity: 1, text: text})
	return &p.shapes[len(p.shapes)-1]
}

// textWidth is about how wide a text is.
func textWidth(text string) float64 { return 0.6 * fontSize * float64(uniseg.StringWidth(text)) }

// picture lays all panels out, one below the other.
func (a *alignments) picture() picture {
	var p picture
	left, columns, frames := 0.0, 1, 1
	for _, panel := range a.panels {
		for _, l := range panel.lanes {
			left = max(left, textWidth(a.laneName(l.class)))
		}
		columns, frames = max(columns, panel.columns), max(frames, panel.frames)
	}
	left = math.Ceil(margin + min(left, 160) + 6)
	// All panels have the same scale of time.
	cell := min(max(math.Floor(960/float64(columns)), 1), 40)
	scale := cell * float64(columns) / float64(frames) // pixels of a frame
	p.width = max(left+cell*float64(columns)+margin, 420)
	y := margin
	for n, panel := range a.panels {
		y = a.drawPanel(&p, panel, n, left, y, scale)
	}
	p.height = y
	background := shape{width: p.width, height: p.height, ink: paper, opacity: 1}
	p.shapes = append([]shape{background}, p.shapes...)
	return p
}

// laneName returns what stands before a lane.
func (a *alignments) laneName(class int) string {
	switch {
	case class == a.blank:
		return "blank"
	case a.isSeparator(class):
		return "space"
	}
	return a.token(class)
}

// isSeparator reports whether a label is the space between words.
func (a *alignments) isSeparator(label int) bool {
	if a.vocabulary == nil {
		return false
	}
	separator, ok := a.vocabulary.Separator()
	return ok && label == separator
}

// drawPanel draws a sequence from y on, and returns where it ends.
func (a *alignments) drawPanel(p *picture, s panel, n int, left, y, scale float64) float64 {
	title := npy.Path(a.Name)
	if len(a.found) > 1 {
		title += fmt.Sprintf(", sequence %d", n)
	}
	p.write(margin, y+fontSize, 0, words, fmt.Sprintf("%s: score %v", filepath.Base(title), numberOf(s.score)))
	p.drawLegend(p.width-margin, y+fontSize)
	top := y + lineHeight + 6
	column := scale * float64(s.frames) / float64(max(s.columns, 1))
	width := scale * float64(s.frames)
	for i, l := range s.lanes {
		at := top + laneHeight*float64(i)
		inkOf := words
		if l.class == a.blank || a.isSeparator(l.class) {
			inkOf = faint
		}
		p.write(left-6, at+laneHeight-3, 1, inkOf, a.laneName(l.class))
		p.rect(left, at+laneHeight-0.5, width, 0.5, faint, 0.35)
	}
	p.drawHeat(s, left, top, column)
	a.drawPath(p, s, left, top, scale)
	bottom := top + laneHeight*float64(len(s.lanes))
	bottom = a.drawTokens(p, s, left, bottom+4, scale)
	bottom = a.drawWords(p, s, left, bottom, scale)
	return a.drawTime(p, s, left, bottom+4, scale) + margin
}

// shade is how strongly a probability is drawn, in 10 steps; the root shows small ones, too.
func shade(probability float64) int { return int(math.Round(10 * math.Sqrt(probability))) }

// drawLegend explains the shades, to the left of x.
func (p *picture) drawLegend(x, y float64) {
	for i, probability := range []float64{1, 0.5, 0.1, 0.01} {
		at := x - 50*float64(i+1)
		p.rect(at, y-fontSize+2, laneHeight, fontSize, heat, float64(shade(probability))/10)
		p.write(at+laneHeight+3, y, 0, faint, fmt.Sprint(probability))
	}
	p.write(x-50*4-6, y, 1, faint, "probability")
}

// drawHeat draws the probabilities, shade by shade, columns of one shade in one piece.
func (p *picture) drawHeat(s panel, left, top, column float64) {
	for level := 1; level <= 10; level++ {
		for i, l := range s.lanes {
			for from := 0; from < s.columns; from++ {
				to := from
				for to < s.columns && shade(l.probabilities[to]) == level {
					to++
				}
				if to > from {
					p.rect(left+column*float64(from), top+laneHeight*float64(i)+1, column*float64(to-from), laneHeight-2, heat, float64(level)/10)
					from = to
				}
			}
		}
	}
}

// drawPath draws the path: an edge around the frames of each label, and a line through the blanks.
func (a *alignments) drawPath(p *picture, s panel, left, top, scale float64) {
	if math.IsInf(s.score, 0) || math.IsNaN(s.score) {
		return
	}
	place := func(class int) float64 {
		i := slices.IndexFunc(s.lanes, func(l lane) bool { return l.class == class })
		return top + laneHeight*float64(i)
	}
	blank := place(a.blank) + laneHeight/2 - 0.75
	end := 0
	for i, span := range append(s.spans[:len(s.spans):len(s.spans)], trellis.Span{Start: s.frames, End: s.frames}) {
		if span.Start > end {
			p.rect(left+scale*float64(end), blank, scale*float64(span.Start-end), 1.5, trail, 1)
		}
		end = span.End
		if i == len(s.spans) || s.labels[i] == trellis.AnyLabel || !slices.ContainsFunc(s.lanes, func(l lane) bool { return l.class == s.labels[i] }) {
			continue
		}
		edge := p.rect(left+scale*float64(span.Start)-edgeWidth, place(s.labels[i]), scale*float64(span.End-span.Start)+2*edgeWidth, laneHeight, trail, 1)
		edge.outline = true
		edge.title = a.describe(item{a.token(s.labels[i]), span})
	}
}

// describe says all about a word or label.
func (a *alignments) describe(it item) string {
	text := fmt.Sprintf("%s: frames %d to %d", it.text, it.Start, it.End)
	if a.options.frame > 0 {
		start, end := it.Seconds(a.options.frame)
		text = fmt.Sprintf("%s: %.3f to %.3f s", it.text, start, end)
	}
	text += fmt.Sprintf(", score %v", numberOf(it.Score))
	if a.options.confidence {
		text += fmt.Sprintf(", confidence %v", numberOf(it.Confidence))
	}
	return text
}

// drawTokens writes the labels below their spans, where there is room, and returns where they end.
func (a *alignments) drawTokens(p *picture, s panel, left, y, scale float64) float64 {
	free := 0.0
	for i, it := range a.labelItems(s.alignment) {
		middle, half := left+scale*float64(it.Start+it.End)/2, textWidth(it.text)/2
		if it.Start < it.End && !a.isSeparator(s.labels[i]) && middle-half >= free {
			p.write(middle, y+fontSize, 0.5, trail, it.text)
			free = middle + half
		}
	}
	return y + lineHeight
}

// maxWordRows is in how many rows words stand that do not fit beside each other.
const maxWordRows = 3

// drawWords draws a bar for each word, the more confident the stronger, with the word below it
// where there is room, and returns where they end.
func (a *alignments) drawWords(p *picture, s panel, left, y, scale float64) float64 {
	items := a.spoken(a.wordItems(s.alignment))
	if len(items) == 0 {
		return y
	}
	const bar = 7.0
	rows := 1
	var free [maxWordRows]float64
	for _, it := range items {
		strength := 1.0
		if a.options.confidence {
			strength = 0.2 + 0.8*min(max(it.Confidence, 0), 1)
		}
		x, width := left+scale*float64(it.Start), scale*float64(it.End-it.Start)
		p.rect(x, y+2, max(width-1, 1), bar, trail, strength).title = a.describe(it)
		middle, half := x+width/2, textWidth(it.text)/2
		for row := range free {
			if middle-half >= free[row] {
				p.write(middle, y+bar+fontSize+3+lineHeight*float64(row), 0.5, words, it.text).title = a.describe(it)
				free[row] = middle + half + 6
				rows = max(rows, row+1)
				break
			}
		}
	}
	return y + bar + 4 + lineHeight*float64(rows)
}

// drawTime draws the axis, and returns where it ends.
func (a *alignments) drawTime(p *picture, s panel, left, y, scale float64) float64 {
	width := scale * float64(s.frames)
	p.rect(left, y, width, 1, faint, 1)
	unit, perUnit := "frame", scale // pixels
	if a.options.frame > 0 {
		unit, perUnit = "s", scale/a.options.frame.Seconds()
	}
	step := niceStep(80 / perUnit)
	free := left
	for i := 0; float64(i)*step*perUnit <= width; i++ {
		x := left + float64(i)*step*perUnit
		p.rect(x, y, 1, 4, faint, 1)
		text := fmt.Sprintf("%.6g", float64(i)*step)
		p.write(x, y+fontSize+6, 0.5, faint, text)
		free = x + textWidth(text)/2
	}
	if free+6+textWidth(unit) < left+width {
		p.write(left+width, y+fontSize+6, 1, faint, unit)
	}
	return y + lineHeight + 6
}

// niceStep returns the least of 1, 2, 5, 10, … and their tenths that is not below a step.
func niceStep(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, n := range []float64{1, 2, 5} {
		if n*power >= step*(1-1e-9) {
			return n * power
		}
	}
	return 10 * power
}
