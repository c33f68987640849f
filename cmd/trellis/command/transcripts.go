package command

import (
	"fmt"
	"io"
)

// print prints what was read.
func (d *decoding) print(t *tool, out io.Writer) error {
	switch d.options.format {
	case "text":
		return d.printTexts(out)
	case "json":
		return printJSON(out, d)
	case "ctm":
		if err := d.warnSameNames(t); err != nil {
			return err
		}
	}
	for i, f := range d.files {
		if i > 0 && d.options.format == "table" {
			fmt.Fprintln(out)
		}
		if err := formats[d.options.format].print(out, f.alignments); err != nil {
			return err
		}
	}
	return nil
}

// warnSameNames names recordings of several files that have the same name.
func (d *decoding) warnSameNames(t *tool) error {
	seen := map[string]string{}
	for _, f := range d.files {
		for _, name := range f.recordings() {
			if other, ok := seen[name]; ok {
				return t.warn(d.options.strict, "%s and %s are both called %s, as -format ctm takes names of files", other, f.Name, name)
			}
			seen[name] = f.Name
		}
	}
	return nil
}

// printTexts prints a line for each sequence, or a table of the n best, and the error rates.
func (d *decoding) printTexts(out io.Writer) error {
	names, n := d.names(), 0
	for _, f := range d.files {
		for _, h := range f.hypotheses {
			if err := d.printTextsOf(out, names[n], h, n == 0); err != nil {
				return err
			}
			n++
		}
	}
	if d.references == nil {
		return nil
	}
	if n > 0 {
		fmt.Fprintln(out)
	}
	return d.printErrorRates(out, names)
}

// printTextsOf prints the texts of a sequence.
func (d *decoding) printTextsOf(out io.Writer, name string, all []hypothesis, first bool) error {
	if d.options.nbest == 1 {
		_, err := fmt.Fprintln(out, oneLine.Replace(all[0].text))
		return err
	}
	if !first {
		fmt.Fprintln(out)
	}
	switch {
	case len(d.files) > 1:
		fmt.Fprintf(out, "%s\n\n", name)
	case d.count > 1:
		fmt.Fprintf(out, "sequence %s\n\n", name)
	}
	return writeTable(out, 1, len(all)+1, func(line int) []string {
		cells := []string{"text", "score", "log_prob", "lm", "bonus"}
		if line > 0 {
			h := all[line-1]
			cells = []string{
				oneLine.Replace(h.text), numberOf(h.score).String(),
				numberOf(h.logProb).String(), numberOf(h.lm).String(), numberOf(h.bonus).String(),
			}
		}
		if len(d.scorers) == 0 { // then the score is the log-probability
			cells = cells[:2]
		}
		return cells
	})
}

// names returns how sequences are called: by their number, or of several files by the file.
func (d *decoding) names() (names []string) {
	for _, f := range d.files {
		for n := range f.hypotheses {
			switch {
			case len(d.files) == 1:
				names = append(names, fmt.Sprint(n))
			case len(f.hypotheses) == 1:
				names = append(names, f.Name)
			default:
				names = append(names, fmt.Sprintf("%s, sequence %d", f.Name, n))
			}
		}
	}
	return names
}

// compareAll compares the texts with the references.
func (d *decoding) compareAll() {
	for n, h := range d.best() {
		e := compare(d.options.fold(d.references.lines[n]), d.options.fold(h.text))
		d.rates, d.total = append(d.rates, e), d.total.plus(e)
	}
}

// printErrorRates prints those of each sequence, and if there are several those of all.
func (d *decoding) printErrorRates(out io.Writer, names []string) error {
	all := d.rates
	if len(all) != 1 {
		all, names = append(all, d.total), append(names, "total")
	}
	return writeTable(out, 1, len(all)+1, func(line int) []string {
		if line == 0 {
			return append([]string{"sequence"}, errorRateColumns...)
		}
		return append([]string{names[line-1]}, all[line-1].cells()...)
	})
}

var errorRateColumns = []string{"characters", "errors", "CER", "words", "errors", "WER"}

// cells returns what a table has of error rates.
func (r errorRates) cells() []string {
	c, w := r.characters, r.words
	return []string{
		fmt.Sprint(c.units), fmt.Sprint(c.errors), c.rate().String(),
		fmt.Sprint(w.units), fmt.Sprint(w.errors), w.rate().String(),
	}
}

// writeJSON writes all hypotheses, and the error rates.
func (d *decoding) writeJSON(w *jsonWriter) {
	w.name("sequences").begin('[')
	n := 0
	for _, f := range d.files {
		for _, all := range f.hypotheses {
			w.begin('{')
			if len(d.files) > 1 {
				w.name("file").string(f.Name)
			}
			w.name("text").string(all[0].text)
			w.name("hypotheses").begin('[')
			for _, h := range all {
				f.writeHypothesis(w, h)
			}
			w.end("]")
			if d.references != nil {
				d.rates[n].writeJSON(w, &d.references.lines[n])
			}
			w.end("}")
			n++
		}
	}
	w.end("]")
	if d.references != nil {
		d.total.writeJSON(w, nil)
	}
}

func (f *transcript) writeHypothesis(w *jsonWriter, h hypothesis) {
	w.begin('{')
	w.name("text").string(h.text)
	w.name("labels").ints(h.labels)
	w.name("log_prob").number(numberOf(h.logProb))
	w.name("lm").number(numberOf(h.lm))
	w.name("bonus").number(numberOf(h.bonus))
	w.name("score").number(numberOf(h.score))
	w.name("words").begin('[')
	for i, word := range h.words {
		w.begin('{')
		w.name("word").string(h.texts[i])
		f.writeTimes(w, word.Span)
		w.name("confidence").number(numberOf(word.Confidence))
		w.end("}")
	}
	w.end("]}")
}

// writeJSON writes error rates against a reference, or those of all sequences. kept reads them again.
func (r errorRates) writeJSON(w *jsonWriter, reference *string) {
	w.name("errors").begin('{')
	if reference != nil {
		w.name("reference").string(*reference)
	}
	w.name("characters").int(r.characters.units)
	w.name("character_errors").int(r.characters.errors)
	w.name("cer").number(r.characters.rate())
	w.name("words").int(r.words.units)
	w.name("word_errors").int(r.words.errors)
	w.name("wer").number(r.words.rate())
	w.end("}")
}
