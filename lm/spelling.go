package lm

import "strings"

// spelling is what the tokens say of words.
type spelling struct {
	separated bool // there is something between words
	tokens    []piece
}

// piece is a token: what it adds to a word, and whether it ends the word before it.
type piece struct {
	ends bool
	text string
}

// piece returns the token of a label; classes that have none add nothing.
func (s *spelling) piece(label int) piece {
	if label >= len(s.tokens) {
		return piece{}
	}
	return s.tokens[label]
}

const wordBegin = "▁"

// separators are the tokens that stand between words: the first that there is does.
var separators = []string{" ", "<space>", "|", wordBegin}

// newSpelling returns that of some tokens.
func newSpelling(tokens []string) spelling {
	separator := ""
	for _, s := range separators {
		for _, t := range tokens {
			if t == s && separator == "" {
				separator = s
			}
		}
	}
	s := spelling{separated: separator != "", tokens: make([]piece, len(tokens))}
	for i, t := range tokens {
		rest, begins := strings.CutPrefix(t, wordBegin)
		switch {
		case t == separator && separator != "":
			s.tokens[i] = piece{ends: true}
		case begins:
			s.tokens[i], s.separated = piece{true, rest}, true
		default:
			s.tokens[i] = piece{text: t}
		}
	}
	return s
}
