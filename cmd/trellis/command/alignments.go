package command

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/gotrellis/trellis"
)

// spanOptions are the arguments that say how to show when something was said.
type spanOptions struct {
	labels     bool
	frame      time.Duration
	format     string
	confidence bool
	grow       string
	picture    string
	html       string
}

func (o *spanOptions) register(fs *flag.FlagSet, format string) {
	fs.BoolVar(&o.labels, "labels", false, "print each label instead of each word")
	fs.Func("frame", "`TIME` from one frame to the next, as in 20ms: print seconds", o.setFrame)
	fs.StringVar(&o.format, "format", format, "print `FORMAT`, see below")
	fs.StringVar(&o.grow, "grow", "none", "have words take the frames between them: `none|middle|next`")
	fs.StringVar(&o.html, "html", "", "write a page to look around in emissions, path and words to `FILE`; it\nneeds no network")
	fs.StringVar(&o.picture, "svg", "", "draw the emissions, the path and the words to `FILE`.svg or .png")
}

// setFrame reads the value of -frame.
func (o *spanOptions) setFrame(value string) (err error) {
	if o.frame, err = time.ParseDuration(value); err != nil || o.frame <= 0 {
		return errors.New("want a time above 0 with its unit, as in 20ms")
	}
	return nil
}

// check reports options that contradict each other. names are the formats that there are.
func (o *spanOptions) check(base *options, names ...string) error {
	if err := oneOf("format", o.format, names...); err != nil {
		return err
	}
	if err := oneOf("grow", o.grow, "none", "middle", "next"); err != nil {
		return err
	}
	switch {
	case base.json && base.set("format") && o.format != "json":
		return misuse("%s: -json contradicts -format %s", base.command, o.format)
	case formats[o.format].inSeconds && o.frame == 0:
		return misuse("%s: -format %s wants -frame, the time from one frame to the next", base.command, o.format)
	case o.picture == "" && base.set("svg"):
		return misuse("-svg: want the name of a file")
	case o.html == "" && base.set("html"):
		return misuse("-html: want the name of a file")
	case o.html == standardInput:
		return misuse("-html: want a file, not the standard output")
	case o.html != "" && o.html == o.picture:
		return misuse("-html %s: is what -svg names", o.html)
	case base.json:
		o.format = "json"
	}
	return checkPictureName(o.picture)
}

// draws reports whether something is to be drawn.
func (o *spanOptions) draws() bool { return o.picture != "" || o.html != "" }

// checkFiles reports a drawing that must not be written, and inputs that cannot go together.
func (o *spanOptions) checkFiles(inputs ...string) error {
	if err := checkFiles("-html", o.html, inputs...); err != nil {
		return err
	}
	return checkFiles("-svg", o.picture, inputs...)
}

// alignments are all alignments of a file.
type alignments struct {
	*sequences
	options *spanOptions
	found   []alignment // one for each sequence
	panels  []panel     // of the first frames, to be drawn

	recorded       []emissions // for a page, of each sequence
	recordedFrames int         // of all of them
}

// newAlignments begins the alignments of a file. Some formats have one sequence only.
func newAlignments(s *sequences, o *spanOptions) (*alignments, error) {
	if formats[o.format].ofOne && s.count != 1 {
		return nil, fmt.Errorf("%s: %d sequences, but -format %s is of one recording; json and ctm have many", s.Name, s.count, o.format)
	}
	return &alignments{sequences: s, options: o}, nil
}

// alignment is one sequence's.
type alignment struct {
	frames int
	score  float64
	labels []int
	spans  []trellis.Span // one for each label
	words  []trellis.Word // none without tokens
	texts  []string       // of the words
}

// add adds the alignment of sequence i of those in p, and what is to be drawn of it.
func add[F trellis.Float](a *alignments, p part[F], i int, s alignment) {
	scores := func(t int) []F { return frame(a.sequences, p, i, t) }
	if a.options.picture != "" {
		a.panels = append(a.panels, newPanels(a, p.first+i, s, maxPanels-len(a.panels), scores)...)
	}
	if a.options.html != "" {
		record(a, s, scores)
	}
	a.found = append(a.found, s)
}

// draw writes what the options ask for. hypotheses are those of a decoder, or nil.
func (a *alignments) draw(t *tool, command string, hypotheses [][]hypothesis) error {
	if a.options.picture != "" {
		if err := a.drawPicture(t); err != nil {
			return err
		}
	}
	if a.options.html != "" {
		return a.writePage(t, command, hypotheses)
	}
	return nil
}

// findWords joins labels to words.
func (a *alignments) findWords(s *alignment) error {
	if a.vocabulary == nil {
		return nil
	}
	words, err := a.vocabulary.Words(s.labels)
	if err != nil {
		return err
	}
	for _, w := range words {
		s.texts = append(s.texts, w.Text)
		s.words = append(s.words, trellis.Word{Span: trellis.JoinSpans(s.spans[w.Start:w.End]), From: w.Start, To: w.End})
	}
	switch a.options.grow {
	case "middle":
		trellis.GrowWords(s.words, s.spans, s.labels, trellis.ToMiddle)
	case "next":
		trellis.GrowWords(s.words, s.spans, s.labels, trellis.ToNext)
	}
	return nil
}

// token returns how a label is written.
func (a *alignments) token(label int) string {
	switch {
	case a.vocabulary == nil:
		return fmt.Sprint(label)
	case label == trellis.AnyLabel:
		return cmp.Or(a.vocabulary.Wildcard, "*")
	}
	return a.vocabulary.Token(label)
}

// item is a word or a label, and when it was said.
type item struct {
	text string
	trellis.Span
}

// labelItems returns the labels of a sequence.
func (a *alignments) labelItems(s alignment) []item {
	items := make([]item, len(s.spans))
	for i, span := range s.spans {
		items[i] = item{a.token(s.labels[i]), span}
	}
	return items
}

// wordItems returns the words of a sequence.
func (a *alignments) wordItems(s alignment) []item {
	items := make([]item, len(s.words))
	for i, w := range s.words {
		items[i] = item{s.texts[i], w.Span}
	}
	return items
}

// items returns the words of a sequence, or the labels if these are asked for or there are no
// words.
func (a *alignments) items(s alignment) []item {
	if a.options.labels || a.vocabulary == nil {
		return a.labelItems(s)
	}
	return a.wordItems(s)
}
