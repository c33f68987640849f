package command

import (
	"encoding/json"
	"fmt"
	"io"
)

// print prints what was read.
func (d *decoding) print(t *tool, out io.Writer) error {
	switch d.options.format {
	case "text":
		return d.printTexts(out)
	case "json":
		return json.NewEncoder(out).Encode(d.json())
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

// jsonTiming is when a word was said, and how surely.
type jsonTiming struct {
	Word         string   `json:"word"`
	Start        int      `json:"start"`
	End          int      `json:"end"`
	StartSeconds *float64 `json:"start_s,omitempty"`
	EndSeconds   *float64 `json:"end_s,omitempty"`
	Confidence   number   `json:"confidence"`
}

type jsonHypothesis struct {
	Text    string       `json:"text"`
	Labels  []int        `json:"labels"`
	LogProb number       `json:"log_prob"`
	LM      number       `json:"lm"`
	Bonus   number       `json:"bonus"`
	Score   number       `json:"score"`
	Words   []jsonTiming `json:"words"`
}

type jsonErrorRates struct {
	Reference       *string `json:"reference,omitempty"`
	Characters      int     `json:"characters"`
	CharacterErrors int     `json:"character_errors"`
	CER             number  `json:"cer"`
	Words           int     `json:"words"`
	WordErrors      int     `json:"word_errors"`
	WER             number  `json:"wer"`
}

type jsonTranscript struct {
	File       string           `json:"file,omitempty"` // of several
	Text       string           `json:"text"`
	Hypotheses []jsonHypothesis `json:"hypotheses"`
	Errors     *jsonErrorRates  `json:"errors,omitempty"`
}

type jsonDecoding struct {
	Sequences []jsonTranscript `json:"sequences"`
	Errors    *jsonErrorRates  `json:"errors,omitempty"` // of all sequences
}

func newJSONErrorRates(e errorRates, reference *string) *jsonErrorRates {
	return &jsonErrorRates{
		Reference: reference, Characters: e.characters.units, CharacterErrors: e.characters.errors, CER: e.characters.rate(),
		Words: e.words.units, WordErrors: e.words.errors, WER: e.words.rate(),
	}
}

// json returns all hypotheses, and the error rates.
func (d *decoding) json() jsonDecoding {
	sequences := []jsonTranscript{}
	for _, f := range d.files {
		for _, all := range f.hypotheses {
			s := jsonTranscript{Text: all[0].text}
			if len(d.files) > 1 {
				s.File = f.Name
			}
			for _, h := range all {
				s.Hypotheses = append(s.Hypotheses, f.jsonHypothesis(h))
			}
			sequences = append(sequences, s)
		}
	}
	report := jsonDecoding{Sequences: sequences}
	if d.references != nil {
		for n, e := range d.rates {
			sequences[n].Errors = newJSONErrorRates(e, &d.references.lines[n])
		}
		report.Errors = newJSONErrorRates(d.total, nil)
	}
	return report
}

func (f *transcript) jsonHypothesis(h hypothesis) jsonHypothesis {
	j := jsonHypothesis{
		Text: h.text, Labels: append([]int{}, h.labels...), LogProb: numberOf(h.logProb),
		LM: numberOf(h.lm), Bonus: numberOf(h.bonus), Score: numberOf(h.score), Words: []jsonTiming{},
	}
	for _, it := range f.wordItems(h.alignment) {
		s := f.jsonSpan(it)
		j.Words = append(j.Words, jsonTiming{it.text, s.Start, s.End, s.StartSeconds, s.EndSeconds, *s.Confidence})
	}
	return j
}
