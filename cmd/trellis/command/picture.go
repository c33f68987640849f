package command

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/rivo/uniseg"
)

// The sizes of what is drawn.
const (
	maxPanels   = 12
	panelFrames = 400 // at most
	maxLanes    = 64
	maxName     = 20 // letters in front of a lane
)

// panel is what is drawn of some frames of a sequence: for each class that the target names there,
// and the blank, the probability in each of them.
type panel struct {
	alignment
	sequence int
	from, to int // the frames
	lanes    []lane
	hidden   int // classes beyond the lanes
}

// lane is a class and its probabilities.
type lane struct {
	class         int
	probabilities []float64
}

// newPanels divides a sequence into panels of about the same length, at most so many. frame returns
// the scores of a frame.
func newPanels[F trellis.Float](a *alignments, n int, s alignment, most int, frame func(t int) []F) []panel {
	all := max((s.frames+panelFrames-1)/panelFrames, 1)
	panels := make([]panel, min(all, most))
	for i := range panels {
		p := panel{alignment: s, sequence: n, from: i * s.frames / all, to: (i + 1) * s.frames / all}
		p.addLanes(a.blank)
		for t := p.from; t < p.to; t++ {
			scores := newFrameScores(a.scores, frame(t))
			for _, l := range p.lanes {
				l.probabilities[t-p.from] = scores.probability(l.class)
			}
		}
		panels[i] = p
	}
	return panels
}

// frameScores are the scores of a frame, which are to be shown as probabilities.
type frameScores[F trellis.Float] struct {
	row  []F
	kind trellis.Scores
	sum  float64 // ln Σ e^row of logits
}

func newFrameScores[F trellis.Float](kind trellis.Scores, row []F) frameScores[F] {
	s := frameScores[F]{row: row, kind: kind}
	if kind == trellis.Logits {
		s.sum = float64(trellis.LogSumExp(row))
	}
	return s
}

// probability returns that of a class. What is not a number counts as 0.
func (s frameScores[F]) probability(class int) float64 {
	v := float64(s.row[class])
	if s.kind != trellis.Probabilities {
		v = math.Exp(v - s.sum)
	}
	if v > 0 {
		return min(v, 1)
	}
	return 0
}

// scoreOf returns the score that a class of some probability has.
func (s frameScores[F]) scoreOf(probability float64) F {
	if s.kind == trellis.Probabilities {
		return F(probability)
	}
	return F(math.Log(probability) + s.sum)
}

// addLanes adds the classes of the labels whose spans are in the panel, and the blank below them.
func (p *panel) addLanes(blank int) {
	add := func(class int) {
		switch {
		case class == trellis.AnyLabel || p.laneOf(class) >= 0:
		case len(p.lanes) == maxLanes:
			p.hidden++
		default:
			p.lanes = append(p.lanes, lane{class, make([]float64, p.to-p.from)})
		}
	}
	add(blank)
	for i, span := range p.spans {
		if _, visible := p.clip(span); visible || span.Start == span.End {
			add(p.labels[i])
		}
	}
	p.lanes = append(p.lanes[1:], p.lanes[0])
}

// laneOf returns the place of a class among the lanes, or −1.
func (p *panel) laneOf(class int) int {
	return slices.IndexFunc(p.lanes, func(l lane) bool { return l.class == class })
}

// clip returns the part of a span that is in the panel, counted from its first frame, and whether
// there is one.
func (p *panel) clip(s trellis.Span) (trellis.Span, bool) {
	s.Start, s.End = max(s.Start, p.from)-p.from, min(s.End, p.to)-p.from
	return s, s.Start < s.End
}

// checkPictureName reports a name that does not say how to draw.
func checkPictureName(name string) error {
	switch ext := strings.ToLower(filepath.Ext(name)); {
	case name == "" || ext == ".svg" || ext == ".png":
		return nil
	}
	return misuse("-svg %s: want a name that ends in .svg or .png", name)
}

// drawPicture writes the picture that the options ask for.
func (a *alignments) drawPicture(t *tool) error {
	frames, drawn := 0, 0
	for _, s := range a.found {
		frames += s.frames
	}
	for _, p := range a.panels {
		drawn += p.to - p.from
		if p.hidden > 0 {
			t.warnings = append(t.warnings, fmt.Sprintf("%s lacks labels of sequence %d: %d classes are too many", a.options.picture, p.sequence, maxLanes+p.hidden))
		}
	}
	if drawn < frames {
		t.warnings = append(t.warnings, fmt.Sprintf("%s has the first %d of %d frames", a.options.picture, drawn, frames))
	}
	write := picture.writeSVG
	if strings.EqualFold(filepath.Ext(a.options.picture), ".png") {
		write = picture.writePNG
	}
	var b bytes.Buffer
	if err := write(a.picture(), &b); err != nil {
		return err
	}
	return writeDraft(a.options.picture, &b)
}

// ink is a colour by its use.
type ink uint8

const (
	paper  ink = iota
	strong     // letters
	faint      // axes, and letters that matter less
	heat       // probabilities
	trail      // the path
	inks       // how many there are
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
	left, frames := 0.0, 1
	for _, panel := range a.panels {
		for _, l := range panel.lanes {
			left = max(left, textWidth(a.laneName(l.class)))
		}
		frames = max(frames, panel.to-panel.from)
	}
	left = math.Ceil(margin + left + 6)
	// All panels have the same scale of time, in pixels of a frame.
	scale := min(math.Floor(960/float64(frames)), 40)
	p.width = left + scale*float64(frames) + margin
	for _, panel := range a.panels {
		p.width = math.Ceil(max(p.width, 3*margin+textWidth(a.title(panel))+legendWidth))
	}
	y := margin
	for _, panel := range a.panels {
		if panel.from == 0 {
			y = a.drawTitle(&p, panel, y)
		}
		y = a.drawPanel(&p, panel, left, y, scale)
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
	name := []rune(cmp.Or(drawable(a.token(class)), fmt.Sprint(class)))
	if len(name) > maxName {
		name = append(name[:maxName-1], '…')
	}
	return string(name)
}

// drawable returns a token as fonts have it: few have the mark of SentencePiece.
func drawable(token string) string { return strings.ReplaceAll(token, "▁", "_") }

// isSeparator reports whether a label is the space between words.
func (a *alignments) isSeparator(label int) bool {
	if a.vocabulary == nil {
		return false
	}
	separator, ok := a.vocabulary.Separator()
	return ok && label == separator
}

// title says whose panel it is.
func (a *alignments) title(s panel) string {
	title := filepath.Base(npy.Path(a.Name))
	if len(a.found) > 1 {
		title += fmt.Sprintf(", sequence %d", s.sequence)
	}
	return fmt.Sprintf("%s: score %v", title, numberOf(s.score))
}

// drawTitle writes what is drawn, from y on, and returns where it ends.
func (a *alignments) drawTitle(p *picture, s panel, y float64) float64 {
	p.write(margin, y+fontSize, 0, strong, a.title(s))
	p.drawLegend(p.width-margin, y+fontSize)
	return y + lineHeight + 6
}

// drawPanel draws some frames from y on, and returns where they end.
func (a *alignments) drawPanel(p *picture, s panel, left, y, scale float64) float64 {
	width := scale * float64(s.to-s.from)
	for i, l := range s.lanes {
		at := y + laneHeight*float64(i)
		inkOf := strong
		if l.class == a.blank || a.isSeparator(l.class) {
			inkOf = faint
		}
		p.write(left-6, at+laneHeight-3, 1, inkOf, a.laneName(l.class))
		p.rect(left, at+laneHeight-0.5, width, 0.5, faint, 0.35)
	}
	p.drawHeat(s, left, y, scale)
	a.drawPath(p, s, left, y, scale)
	bottom := y + laneHeight*float64(len(s.lanes))
	bottom = a.drawTokens(p, s, left, bottom+4, scale)
	bottom = a.drawWords(p, s, left, bottom, scale)
	return a.drawTime(p, s, left, bottom+4, scale) + margin
}

// shade is how strongly a probability is drawn, in 10 steps; the root shows small ones, too.
func shade(probability float64) int { return int(math.Round(10 * math.Sqrt(probability))) }

// legendWidth is that of the legend, in pixels.
const legendWidth = 4*50 + 90

// drawLegend explains the shades, to the left of x.
func (p *picture) drawLegend(x, y float64) {
	for i, probability := range []float64{1, 0.5, 0.1, 0.01} {
		at := x - 50*float64(i+1)
		p.rect(at, y-fontSize+2, laneHeight, fontSize, heat, float64(shade(probability))/10)
		p.write(at+laneHeight+3, y, 0, faint, fmt.Sprint(probability))
	}
	p.write(x-50*4-6, y, 1, faint, "probability")
}

// drawHeat draws the probabilities, shade by shade, frames of one shade in one piece.
func (p *picture) drawHeat(s panel, left, top, scale float64) {
	for level := 1; level <= 10; level++ {
		for i, l := range s.lanes {
			at := top + laneHeight*float64(i) + 1
			for from := 0; from < len(l.probabilities); from++ {
				to := from
				for to < len(l.probabilities) && shade(l.probabilities[to]) == level {
					to++
				}
				if to > from {
					p.rect(left+scale*float64(from), at, scale*float64(to-from), laneHeight-2, heat, float64(level)/10)
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
	blank := top + laneHeight*(float64(s.laneOf(a.blank))+0.5) - 0.75
	drawBlank := func(from, to int) {
		if gap, visible := s.clip(trellis.Span{Start: from, End: to}); visible {
			p.rect(left+scale*float64(gap.Start), blank, scale*float64(gap.End-gap.Start), 1.5, trail, 1)
		}
	}
	end := 0
	for i, span := range s.spans {
		drawBlank(end, span.Start)
		end = span.End
		part, visible := s.clip(span)
		lane := s.laneOf(s.labels[i])
		if !visible || lane < 0 {
			continue
		}
		x, width := left+scale*float64(part.Start)-edgeWidth, scale*float64(part.End-part.Start)+2*edgeWidth
		edge := p.rect(x, top+laneHeight*float64(lane), width, laneHeight, trail, 1)
		edge.outline = true
		edge.title = a.describe(item{a.token(s.labels[i]), span})
	}
	drawBlank(end, s.frames)
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
		part, visible := s.clip(it.Span)
		text := drawable(it.text)
		middle, half := left+scale*float64(part.Start+part.End)/2, textWidth(text)/2
		if visible && !a.isSeparator(s.labels[i]) && middle-half >= free {
			p.write(middle, y+fontSize, 0.5, trail, text)
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
	const bar = 7.0
	rows := 0
	var free [maxWordRows]float64
	for _, it := range a.wordItems(s.alignment) {
		part, visible := s.clip(it.Span)
		if !visible {
			continue
		}
		strength := 1.0
		if a.options.confidence {
			strength = 0.2 + 0.8*min(max(it.Confidence, 0), 1)
		}
		x, width := left+scale*float64(part.Start), scale*float64(part.End-part.Start)
		p.rect(x, y+2, max(width-1, 1), bar, trail, strength).title = a.describe(it)
		middle, half := x+width/2, textWidth(it.text)/2
		for row := range free {
			if middle-half >= free[row] {
				p.write(middle, y+bar+fontSize+3+lineHeight*float64(row), 0.5, strong, it.text).title = a.describe(it)
				free[row] = middle + half + 6
				rows = max(rows, row+1)
				break
			}
		}
	}
	if rows == 0 {
		return y
	}
	return y + bar + 4 + lineHeight*float64(rows)
}

// drawTime draws the axis, and returns where it ends.
func (a *alignments) drawTime(p *picture, s panel, left, y, scale float64) float64 {
	width := scale * float64(s.to-s.from)
	p.rect(left, y, width, 1, faint, 1)
	unit, perUnit := "frame", scale // pixels
	if a.options.frame > 0 {
		unit, perUnit = "s", scale/a.options.frame.Seconds()
	}
	step := niceStep(80 / perUnit)
	begin := scale * float64(s.from) / perUnit // in units
	free := left
	for i := math.Ceil(begin / step); (i*step-begin)*perUnit <= width; i++ {
		x := left + (i*step-begin)*perUnit
		p.rect(x, y, 1, 4, faint, 1)
		text := fmt.Sprintf("%.6g", i*step)
		p.write(x, y+fontSize+6, 0.5, faint, text)
		free = x + textWidth(text)/2
	}
	if free+6+textWidth(unit) < left+width {
		p.write(left+width, y+fontSize+6, 1, faint, unit)
	}
	return y + lineHeight + 6
}

// niceStep returns the least of 1, 2 and 5, times a power of ten, that is not below a step.
func niceStep(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, n := range []float64{1, 2, 5} {
		if n*power >= step*(1-1e-9) {
			return n * power
		}
	}
	return 10 * power
}
