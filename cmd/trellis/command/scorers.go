package command

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/gotrellis/trellis/lm"
	"github.com/gotrellis/trellis/tokens"
	"golang.org/x/text/unicode/norm"
)

// scorerOptions are the arguments that say what, beside the network, has a say in a text.
type scorerOptions struct {
	lm, lmUnits       string
	alpha, beta       float64
	unknownScore      float64
	lexicon, hotwords string
	lexiconPenalty    float64
	hotwordWeight     float64
}

func (o *scorerOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&o.lm, "lm", "", "with -beam, ask the n-gram model of an ARPA `FILE`, which may be a .gz")
	fs.StringVar(&o.lmUnits, "lm_units", "words", "the model is of `words|tokens`")
	fs.Float64Var(&o.alpha, "alpha", 0.5, "`weight` of the model")
	fs.Float64Var(&o.beta, "beta", 1.5, "`score` for each word (or token) of a text, with -lm")
	fs.Float64Var(&o.unknownScore, "unk_score", 0, "`score` for each that the model does not know")
	fs.StringVar(&o.lexicon, "lexicon", "", "with -beam, read only words of `FILE`, see below")
	fs.Float64Var(&o.lexiconPenalty, "lexicon_penalty", math.Inf(1), "what other words cost instead: `nats`")
	fs.StringVar(&o.hotwords, "hotwords", "", "with -beam, look out for `HOTWORDS`, see below")
	fs.Float64Var(&o.hotwordWeight, "hotword_weight", 10, "`weight` of a hotword that has none of its own")
}

// check reports options that contradict each other.
func (o *scorerOptions) check(base *options) error {
	for _, p := range []struct{ option, with string }{
		{"lm_units", "lm"}, {"alpha", "lm"}, {"beta", "lm"}, {"unk_score", "lm"},
		{"lexicon_penalty", "lexicon"}, {"hotword_weight", "hotwords"},
	} {
		if base.set(p.option) && !base.set(p.with) {
			return misuse("%s: -%s goes with -%s", base.command, p.option, p.with)
		}
	}
	for _, n := range []struct {
		option string
		value  float64
	}{{"alpha", o.alpha}, {"beta", o.beta}, {"unk_score", o.unknownScore}, {"hotword_weight", o.hotwordWeight}} {
		if !isFinite(n.value) {
			return misuse("-%s %v: want a number", n.option, n.value)
		}
	}
	if !(o.lexiconPenalty >= 0) {
		return misuse("-lexicon_penalty %v: want 0 or more, or inf", o.lexiconPenalty)
	}
	return oneOf("lm_units", o.lmUnits, "words", "tokens")
}

func isFinite(v float64) bool { return v-v == 0 }

// fold writes a text as all texts are that are compared: normalised, in the case that is asked for.
func (o *emissionOptions) fold(text string) string {
	text = norm.NFC.String(text)
	switch letterCases[o.letters] {
	case tokens.Upper:
		return strings.Map(unicode.ToUpper, text)
	case tokens.Lower:
		return strings.Map(unicode.ToLower, text)
	}
	return text
}

// foldedTokens returns the tokens of all classes as texts are compared.
func (d *decoding) foldedTokens() []string {
	folded := make([]string, d.options.vocabulary.Len())
	for c := range folded {
		if folded[c] = d.options.vocabulary.Token(c); folded[c] != "<space>" {
			folded[c] = d.options.fold(folded[c])
		}
	}
	return folded
}

// readScorers reads the model, the lexicon and the hotwords.
func (d *decoding) readScorers(t *tool) error {
	o := d.options
	folded := d.foldedTokens()
	if o.set("lm") {
		if err := d.readModel(t, folded); err != nil {
			return err
		}
	}
	if o.set("lexicon") {
		l, err := d.readLexicon(t)
		if err != nil {
			return err
		}
		d.scorers = append(d.scorers, lm.NewLexicon(l, folded, o.lexiconPenalty))
	}
	if o.set("hotwords") {
		h, err := d.readHotwords(t)
		if err != nil {
			return err
		}
		d.scorers = append(d.scorers, lm.NewHotwords(h, folded))
	}
	return nil
}

// readModel reads the language model.
func (d *decoding) readModel(t *tool, folded []string) error {
	o := d.options
	file, err := t.open(o.lm)
	if err != nil {
		return err
	}
	defer file.Close()
	d.model, err = lm.Read(file)
	var format *lm.FormatError
	if errors.As(err, &format) {
		return fmt.Errorf("%s: line %d: %s", file.name, format.Line, format.Reason)
	} else if err != nil {
		return fmt.Errorf("%s: %s", file.name, strings.TrimPrefix(err.Error(), "lm: "))
	}
	weights := lm.Weights{LM: o.alpha, Word: o.beta, Unknown: o.unknownScore}
	if o.lmUnits == "words" {
		d.scorers = append(d.scorers, lm.NewWords(d.model, folded, weights))
		return nil
	}
	d.scorers = append(d.scorers, lm.NewTokens(d.model, folded, weights))
	for c, token := range folded {
		if c != d.options.vocabulary.Blank && d.model.Has(token) {
			return nil
		}
	}
	return t.warn(o.strict, "%s: none of the tokens of %s is in it", file.name, d.options.source)
}

// readLexicon reads the words that there are.
func (d *decoding) readLexicon(t *tool) (words []string, err error) {
	text, source, err := t.readText(d.options.lexicon)
	if err != nil {
		return nil, err
	}
	l := &lines{source: source, unit: "line", first: 1, lines: textLines(text)}
	for n, line := range l.lines {
		l.lines[n] = ""
		if fields := strings.Fields(line); len(fields) > 0 {
			l.lines[n] = fields[0]
			words = append(words, d.options.fold(fields[0]))
		}
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("%s: no words", source)
	}
	return words, d.warnOfSpelling(t, l)
}

// readHotwords reads the hotwords and their weights.
func (d *decoding) readHotwords(t *tool) (words []lm.Hotword, err error) {
	o := d.options
	l, err := t.readLines("-hotwords", o.hotwords, o.strict)
	if err != nil {
		return nil, err
	}
	if l.source == "-hotwords" {
		l.unit, l.lines = "hotword", strings.Split(o.hotwords, ",")
	}
	for n, line := range l.lines {
		h := lm.Hotword{Text: line, Weight: o.hotwordWeight}
		if at := strings.LastIndex(line, " :"); at >= 0 {
			weight := strings.TrimSpace(line[at+2:])
			if h.Weight, err = strconv.ParseFloat(weight, 64); err != nil || !isFinite(h.Weight) {
				return nil, fmt.Errorf("%s: %.30q is no weight", l.place(n), weight)
			}
			h.Text = line[:at]
		}
		h.Text = strings.Join(strings.Fields(o.fold(h.Text)), " ")
		if l.lines[n] = h.Text; h.Text != "" {
			words = append(words, h)
		}
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("%s: no words", l.source)
	}
	return words, d.warnOfSpelling(t, l)
}

// warnOfSpelling names words that the tokens cannot spell.
func (d *decoding) warnOfSpelling(t *tool, l *lines) error {
	speller, err := d.speller()
	if err != nil {
		return err
	}
	var found []string
	for n, word := range l.lines {
		_, err := speller.Encode(word)
		var unknown *tokens.UnknownError
		if errors.As(err, &unknown) {
			found = append(found, fmt.Sprintf("%s %d: no token of %s for %q%s",
				l.unit, n+l.first, d.options.source, unknown.Rune, adviceOnCase(d.options.vocabulary, unknown.Rune)))
		}
	}
	return t.warnSome(d.options.strict, l.source, l.unit+"s", found)
}

// speller returns a vocabulary of the folded tokens. Of those that are then the same it has one.
func (d *decoding) speller() (*tokens.Vocabulary, error) {
	folded := d.foldedTokens()
	seen := map[string]bool{}
	for c, token := range folded {
		if seen[token] {
			folded[c] = ""
		}
		seen[token] = true
	}
	v, err := tokens.New(folded)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.options.source, err)
	}
	v.Blank, v.Normalize, v.Case = d.options.vocabulary.Blank, d.options.vocabulary.Normalize, d.options.vocabulary.Case
	return v, nil
}

// warnUnknown warns of a model of words that has none of those that were read.
func (d *decoding) warnUnknown(t *tool) error {
	o := d.options
	if d.model == nil || o.lmUnits != "words" {
		return nil
	}
	var words []string
	for _, h := range d.best() {
		words = append(words, strings.Fields(h.text)...)
	}
	known := func(letters string) (n int) {
		folding := emissionOptions{letters: letters}
		for _, w := range words {
			if d.model.Has(folding.fold(w)) {
				n++
			}
		}
		return n
	}
	if len(words) == 0 || known(o.letters) > 0 {
		return nil
	}
	advice := ""
	for _, letters := range []string{"upper", "lower"} {
		if n := known(letters); n > 0 {
			advice = fmt.Sprintf("; with -case %s it has %d", letters, n)
		}
	}
	if _, ok := d.options.vocabulary.Separator(); !ok && len(words) == len(d.best()) {
		advice = cmp.Or(advice, "; is it one of tokens, as -lm_units says?")
	}
	return t.warn(o.strict, "-lm %s has none of the %d words that were read%s", o.lm, len(words), advice)
}
