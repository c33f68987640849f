package main

import (
	"fmt"
	"unicode/utf8"

	"github.com/gotrellis/trellis/internal/npy"
)

// tokens maps text to classes.
type tokens struct {
	name    string
	lines   []string       // the token of each class
	class   map[string]int // of the tokens that text is made of
	longest int            // token, in bytes
}

// blankToken is how a tokens file writes the blank.
const blankToken = "<blank>"

// spaceTokens are what a space in the text may be in the tokens, best first.
var spaceTokens = []string{" ", "<space>", "|"}

// readTokens reads one token a line; the first line is class 0. An empty line is
// a class that no text contains.
func readTokens(name string) (*tokens, error) {
	text, err := readText(name)
	if err != nil {
		return nil, err
	}
	k := &tokens{name: name, lines: textLines(string(text)), class: map[string]int{}}
	for c, token := range k.lines {
		if !utf8.ValidString(token) {
			return nil, fmt.Errorf("%s: line %d: not UTF-8", name, c+1)
		}
		if before, ok := k.class[token]; ok {
			return nil, fmt.Errorf("%s: line %d: %q is on line %d already", name, c+1, token, before+1)
		}
		if token != "" {
			k.class[token] = c
			k.longest = max(k.longest, len(token))
		}
	}
	for _, token := range spaceTokens {
		if c, ok := k.class[token]; ok {
			k.class[" "] = c
			break
		}
	}
	return k, nil
}

// blank returns the class of the blank: that of the token <blank> if there is
// one, which the option may repeat but not contradict, else the option.
func (k *tokens) blank(option int, isSet bool) (int, error) {
	c, ok := k.class[blankToken]
	switch {
	case !ok:
		return option, nil
	case isSet && option != c:
		return 0, fmt.Errorf("%s: line %d: %s is class %d, -blank says %d", k.name, c+1, blankToken, c, option)
	}
	return c, nil
}

// encode turns every line of a text into a sequence of classes, always taking
// the longest token that fits. The blank is not a token of the text.
func (k *tokens) encode(text string, blank int) (*list[int], error) {
	l := &list[int]{source: "-text"}
	lines := textLines(text)
	if text == "" {
		lines = []string{""} // one empty target
	}
	for n, line := range lines {
		row, err := k.encodeLine(line, blank)
		if err != nil {
			return nil, fmt.Errorf("-text: sequence %d, %w", n, err)
		}
		l.rows = append(l.rows, row)
	}
	return l, nil
}

func (k *tokens) encodeLine(line string, blank int) ([]int, error) {
	labels := []int{}
	for at := 0; at < len(line); {
		size, c := k.match(line[at:], blank)
		if size == 0 {
			r, _ := utf8.DecodeRuneInString(line[at:])
			return nil, fmt.Errorf("character %d: no token of %s for %q", utf8.RuneCountInString(line[:at]), k.name, r)
		}
		labels = append(labels, c)
		at += size
	}
	return labels, nil
}

// match returns the longest token that a text begins with, or size 0.
func (k *tokens) match(text string, blank int) (size, class int) {
	for size := min(k.longest, len(text)); size > 0; size-- {
		if c, ok := k.class[text[:size]]; ok && c != blank {
			return size, c
		}
	}
	return 0, 0
}

// checkCount reports tokens that are not as many as the classes of x.
func (k *tokens) checkCount(x *npy.Array, classes int) error {
	if len(k.lines) == classes {
		return nil
	}
	return fmt.Errorf("%s: %d tokens, %s has %d classes", k.name, len(k.lines), x.Name, classes)
}
