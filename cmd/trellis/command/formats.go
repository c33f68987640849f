package command

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/rivo/uniseg"
)

// format is a way to print alignments.
type format struct {
	print     func(out io.Writer, a *alignments) error
	inSeconds bool
	ofWords   bool // or of labels if these are asked for
	ofOne     bool // recording
}

var formatNames = []string{"table", "json", "ctm", "textgrid", "srt", "vtt", "audacity"}

var formats = map[string]format{
	"table":    {print: printTable},
	"json":     {print: func(out io.Writer, a *alignments) error { return printJSON(out, a) }},
	"ctm":      {print: printCTM, inSeconds: true, ofWords: true},
	"textgrid": {print: printTextGrid, inSeconds: true, ofOne: true},
	"srt":      {print: printSRT, inSeconds: true, ofWords: true, ofOne: true},
	"vtt":      {print: printVTT, inSeconds: true, ofWords: true, ofOne: true},
	"audacity": {print: printAudacity, inSeconds: true, ofWords: true, ofOne: true},
}

// about says what is in the file.
func (a *alignments) about() string {
	text := fmt.Sprintf("%s %s, %s", a.Dtype, npy.Tuple(a.Shape), a.kindOf())
	if a.options.frame > 0 {
		text += fmt.Sprintf(", %v a frame", a.options.frame)
	}
	return text
}

// printTable prints a table for each sequence.
func printTable(out io.Writer, a *alignments) error {
	fmt.Fprintf(out, "%s: %s\n", a.Name, a.about())
	for n, s := range a.found {
		fmt.Fprintln(out)
		if len(a.found) > 1 {
			fmt.Fprintf(out, "sequence %d: ", n)
		}
		fmt.Fprintf(out, "%d frames, %d labels, score %v\n\n", s.frames, len(s.labels), numberOf(s.score))
		items := a.items(s)
		if err := writeTable(out, 1, len(items)+1, func(line int) []string {
			return a.cells(s, items, line)
		}); err != nil {
			return err
		}
	}
	return nil
}

// oneLine writes a text, which tokens may break, in one line.
var oneLine = strings.NewReplacer("\n", " ", "\r", " ")

// cells returns a line of the table, the first of which has the names of the columns.
func (a *alignments) cells(s alignment, items []item, line int) []string {
	names, unit := []string{"word"}, ""
	if ofLabels := a.options.labels || a.vocabulary == nil; ofLabels && a.vocabulary != nil {
		names = []string{"token", "label"}
	} else if ofLabels {
		names = []string{"label"}
	}
	if a.options.frame > 0 {
		unit = "_s"
	}
	if line == 0 {
		names = append(names, "start"+unit, "end"+unit, "score")
		if a.options.confidence {
			names = append(names, "confidence")
		}
		return names
	}
	it := items[line-1]
	cells := []string{oneLine.Replace(it.text)}
	if len(names) > 1 {
		cells = append(cells, fmt.Sprint(s.labels[line-1]))
	}
	if a.options.frame > 0 {
		start, end := it.Seconds(a.options.frame)
		cells = append(cells, fmt.Sprintf("%.3f", start), fmt.Sprintf("%.3f", end))
	} else {
		cells = append(cells, fmt.Sprint(it.Start), fmt.Sprint(it.End))
	}
	cells = append(cells, numberOf(it.Score).String())
	if a.options.confidence {
		cells = append(cells, numberOf(it.Confidence).String())
	}
	return cells
}

// writeJSON writes all that is known. Without tokens there are no words.
func (a *alignments) writeJSON(w *jsonWriter) {
	w.name("sequences").begin('[')
	for _, s := range a.found {
		w.begin('{')
		w.name("score").number(numberOf(s.score))
		w.name("frames").int(s.frames)
		w.name("labels").begin('[')
		for i, span := range s.spans {
			w.begin('{')
			w.name("label").int(s.labels[i])
			if a.vocabulary != nil {
				w.name("token").string(a.token(s.labels[i]))
			}
			a.writeTimes(w, span)
			a.writeScores(w, span)
			w.end("}")
		}
		w.end("]")
		w.name("words").begin('[')
		for i, word := range s.words {
			w.begin('{')
			w.name("word").string(s.texts[i])
			a.writeTimes(w, word.Span)
			a.writeScores(w, word.Span)
			w.end("}")
		}
		w.end("]}")
	}
	w.end("]")
}

// writeTimes writes when something was said.
func (a *alignments) writeTimes(w *jsonWriter, span trellis.Span) {
	w.name("start").int(span.Start)
	w.name("end").int(span.End)
	if a.options.frame > 0 {
		start, end := span.Seconds(a.options.frame)
		w.name("start_s").float(start)
		w.name("end_s").float(end)
	}
}

// writeScores writes how surely it was said.
func (a *alignments) writeScores(w *jsonWriter, span trellis.Span) {
	w.name("score").number(numberOf(span.Score))
	if a.options.confidence {
		w.name("confidence").number(numberOf(span.Confidence))
	}
}

// recordings returns the names of the sequences: that of the file, with a number if there are
// several.
func (a *alignments) recordings() []string {
	name := strings.TrimSuffix(filepath.Base(npy.Path(a.Name)), filepath.Ext(npy.Path(a.Name)))
	names := make([]string, len(a.found))
	for n := range names {
		names[n] = strings.ReplaceAll(name, " ", "_")
		if len(names) > 1 {
			names[n] += fmt.Sprintf("-%d", n)
		}
	}
	return names
}

// printCTM prints what NIST's sclite and Kaldi read: recording, channel, start, duration, word
// and confidence.
func printCTM(out io.Writer, a *alignments) error {
	for n, name := range a.recordings() {
		for _, it := range spoken(a.items(a.found[n])) {
			start, end := it.Seconds(a.options.frame)
			text := strings.Join(strings.Fields(it.text), "_")
			fmt.Fprintf(out, "%s 1 %.3f %.3f %s", name, start, end-start, cmp.Or(text, "<space>"))
			if a.options.confidence {
				fmt.Fprintf(out, " %.4f", it.Confidence)
			}
			if _, err := fmt.Fprintln(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// spoken returns the items that were said, each in one line: all or, of a sequence without an
// alignment, none.
func spoken(items []item) []item {
	var spoken []item
	for _, it := range items {
		if it.Start < it.End {
			it.text = oneLine.Replace(it.text)
			spoken = append(spoken, it)
		}
	}
	return spoken
}

// printTextGrid prints Praat's TextGrid, with a tier of words and one of labels.
func printTextGrid(out io.Writer, a *alignments) error {
	s := a.found[0]
	type tier struct {
		name  string
		items []item
	}
	tiers := []tier{{"labels", a.labelItems(s)}}
	if a.vocabulary != nil {
		tiers = append([]tier{{"words", a.wordItems(s)}}, tiers...)
	}
	_, end := trellis.Span{End: s.frames}.Seconds(a.options.frame)
	fmt.Fprintf(out, "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\nxmin = 0\nxmax = %v\ntiers? <exists>\nsize = %d\nitem []:\n", end, len(tiers))
	for n, tier := range tiers {
		all := intervals(spoken(tier.items), s.frames)
		fmt.Fprintf(out, "    item [%d]:\n        class = \"IntervalTier\"\n        name = %q\n        xmin = 0\n        xmax = %v\n        intervals: size = %d\n",
			n+1, tier.name, end, len(all))
		for i, it := range all {
			from, to := it.Seconds(a.options.frame)
			text := strings.ReplaceAll(it.text, `"`, `""`)
			if _, err := fmt.Fprintf(out, "        intervals [%d]:\n            xmin = %v\n            xmax = %v\n            text = \"%s\"\n", i+1, from, to, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// intervals returns items that leave no gap: between those that were said there is silence.
func intervals(items []item, frames int) []item {
	var all []item
	end := 0
	silence := func(until int) {
		if until > end {
			gap := item{}
			gap.Start, gap.End = end, until
			all = append(all, gap)
		}
	}
	for _, it := range items {
		silence(it.Start)
		all = append(all, it)
		end = it.End
	}
	silence(frames)
	return all
}

// printAudacity prints a label track of Audacity: start, end and text, with tabs between them.
func printAudacity(out io.Writer, a *alignments) error {
	s := a.found[0]
	for _, it := range spoken(a.items(s)) {
		start, end := it.Seconds(a.options.frame)
		if _, err := fmt.Fprintf(out, "%.6f\t%.6f\t%s\n", start, end, strings.ReplaceAll(it.text, "\t", " ")); err != nil {
			return err
		}
	}
	return nil
}

// A cue of subtitles is as long as can be read at a glance, and ends where nobody speaks.
const (
	longestCue  = 42 // characters
	longestTime = 7 * time.Second
	longestGap  = time.Second
)

// cues divides words into what is shown at a time. A label is a cue of its own.
func (a *alignments) cues(items []item) [][]item {
	frame := a.options.frame
	var cues [][]item
	width := 0
	for i, it := range items {
		w := uniseg.StringWidth(it.text)
		if i > 0 && !a.options.labels {
			cue := cues[len(cues)-1]
			gap := time.Duration(it.Start-cue[len(cue)-1].End) * frame
			length := time.Duration(it.End-cue[0].Start) * frame
			if width+1+w <= longestCue && length <= longestTime && gap < longestGap {
				cues[len(cues)-1] = append(cue, it)
				width += 1 + w
				continue
			}
		}
		cues = append(cues, []item{it})
		width = w
	}
	return cues
}

// clock writes a time as subtitles have it.
func clock(t time.Duration, point string) string {
	t = t.Round(time.Millisecond)
	return fmt.Sprintf("%02d:%02d:%02d%s%03d", t/time.Hour, t/time.Minute%60, t/time.Second%60, point, t/time.Millisecond%1000)
}

// printSRT prints SubRip's subtitles.
func printSRT(out io.Writer, a *alignments) error {
	s := a.found[0]
	at := func(frame int) string { return clock(time.Duration(frame)*a.options.frame, ",") }
	for n, cue := range a.cues(spoken(a.items(s))) {
		var words []string
		for _, it := range cue {
			words = append(words, it.text)
		}
		if _, err := fmt.Fprintf(out, "%d\n%s --> %s\n%s\n\n", n+1, at(cue[0].Start), at(cue[len(cue)-1].End), strings.Join(words, " ")); err != nil {
			return err
		}
	}
	return nil
}

var vttEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// printVTT prints WebVTT, in which each word has its time.
func printVTT(out io.Writer, a *alignments) error {
	s := a.found[0]
	at := func(frame int) string { return clock(time.Duration(frame)*a.options.frame, ".") }
	fmt.Fprint(out, "WEBVTT\n")
	for _, cue := range a.cues(spoken(a.items(s))) {
		fmt.Fprintf(out, "\n%s --> %s\n", at(cue[0].Start), at(cue[len(cue)-1].End))
		for i, it := range cue {
			if i > 0 {
				fmt.Fprintf(out, " <%s>", at(it.Start))
			}
			fmt.Fprint(out, vttEscapes.Replace(it.text))
		}
		if _, err := fmt.Fprintln(out); err != nil {
			return err
		}
	}
	return nil
}
