package tokens

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Word is a word among labels.
type Word struct {
	Text       string
	Start, End int // its labels are [Start,End) of those that Words got
}

// Words divides labels into words: at labels that are a space, which belong to no word, and
// before and after tokens that begin or end with a space or "▁". The wildcard belongs to no word
// and separates words, too. A label that is neither a class nor, being −1, the wildcard is a *LabelError.
func (v *Vocabulary) Words(labels []int) ([]Word, error) {
	if err := v.check(labels); err != nil {
		return nil, err
	}
	var words []Word
	open := false // whether the last word goes on
	for i, label := range labels {
		text := v.text(label)
		first, _ := utf8.DecodeRuneInString(text)
		last, _ := utf8.DecodeLastRuneInString(text)
		if label == wildcard {
			open = false
			continue
		}
		if unicode.IsSpace(first) {
			open = false
		}
		if text = strings.TrimSpace(text); text != "" {
			if !open {
				words = append(words, Word{Start: i})
			}
			w := &words[len(words)-1]
			w.Text += text
			w.End = i + 1
			open = true
		}
		if unicode.IsSpace(last) {
			open = false
		}
	}
	return words, nil
}
