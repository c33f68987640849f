package tokens

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Vocabulary has the tokens of a network's classes. Make one with New, Parse or ReadFile, then
// set its fields; from then on it may be used concurrently.
type Vocabulary struct {
	// Blank is the class of CTC's blank, which Encode does not give and Decode leaves out.
	// New sets it to the class of the first of <blank>, <blk>, <pad> and [PAD] that is a
	// token, or to −1, no class, if none is.
	Blank int
	// Case is what Encode does with upper and lower case.
	Case Case
	// Normalize, unless it is nil, is what Encode does with a text before anything else.
	// Unicode writes é in two ways, so NFC of golang.org/x/text/unicode/norm is a good one.
	Normalize func(text string) string
	// MapUnknown has Encode give the class of <unk> (or <UNK> or [UNK]) for each character
	// that no token has, where there is such a class.
	MapUnknown bool
	// Wildcard, unless it is "", is the text that stands for speech that the text does not
	// have. Its label is −1, trellis.AnyLabel. Normalize and Case apply to it as to the text.
	Wildcard string

	tokens  []string // by class
	sorted  []int    // the classes with a token, by token
	space   int      // the class of a space, or −1
	unknown int      // the class of <unk>, or −1
	pieces  bool     // tokens have "▁" where words begin
}

// Case says what becomes of upper and lower case before text is looked up.
type Case uint8

const (
	// AsIs leaves the text as it is.
	AsIs Case = iota
	// Upper makes all letters upper case.
	Upper
	// Lower makes all letters lower case.
	Lower
)

// wildcard is the label of Vocabulary.Wildcard.
const wildcard = -1

// wordStart is how SentencePiece writes the space before a word.
const wordStart = "▁"

var (
	blankTokens   = []string{"<blank>", "<blk>", "<pad>", "[PAD]"}
	unknownTokens = []string{"<unk>", "<UNK>", "[UNK]"}
	spaceTokens   = []string{" ", "<space>", "|", wordStart}
)

// maxToken is far above the bytes of any token. What Encode takes grows with the longest one.
const maxToken = 1 << 10

// New makes a vocabulary of the tokens of classes 0, 1, …. An empty string is a class that text
// cannot have. A token that is there twice, is no UTF-8 or has more than 1024 bytes is a
// *FormatError, whose Line counts the tokens from 1.
func New(tokens []string) (*Vocabulary, error) {
	v := &Vocabulary{tokens: slices.Clone(tokens)}
	for c, token := range v.tokens {
		if reason := refusal(token); reason != "" {
			return nil, &FormatError{Line: c + 1, Reason: reason}
		}
		if token != "" {
			v.sorted = append(v.sorted, c)
		}
		if len(token) > len(wordStart) && strings.HasPrefix(token, wordStart) {
			v.pieces = true
		}
	}
	slices.SortStableFunc(v.sorted, func(a, b int) int { return cmp.Compare(v.tokens[a], v.tokens[b]) })
	for i := 1; i < len(v.sorted); i++ {
		if before, c := v.sorted[i-1], v.sorted[i]; v.tokens[before] == v.tokens[c] {
			return nil, &FormatError{Line: c + 1, Reason: fmt.Sprintf("%q is on line %d already", v.tokens[c], before+1)}
		}
	}
	v.Blank, v.unknown, v.space = v.first(blankTokens), v.first(unknownTokens), v.first(spaceTokens)
	return v, nil
}

// refusal returns why a string can be no token, or "".
func refusal(token string) string {
	switch {
	case !utf8.ValidString(token):
		return "not UTF-8"
	case len(token) > maxToken:
		return fmt.Sprintf("a token of %d bytes: more than %d", len(token), maxToken)
	}
	return ""
}

// first returns the class of the first of some tokens that there is, or −1.
func (v *Vocabulary) first(tokens []string) int {
	for _, token := range tokens {
		if c, ok := v.Class(token); ok {
			return c
		}
	}
	return -1
}

// Len returns the number of classes.
func (v *Vocabulary) Len() int { return len(v.tokens) }

// Token returns the token of a class, as New or Parse got it. It panics if there is no such
// class.
func (v *Vocabulary) Token(class int) string { return v.tokens[class] }

// Class returns the class of a token, and whether there is one. The empty string is no token.
func (v *Vocabulary) Class(token string) (class int, ok bool) {
	i, ok := sort.Find(len(v.sorted), func(i int) int { return cmp.Compare(token, v.tokens[v.sorted[i]]) })
	if !ok {
		return 0, false
	}
	return v.sorted[i], true
}

// Separator returns the class that a space of the text has, and whether there is one. Between
// pieces of words, whose tokens begin with "▁", there is none.
func (v *Vocabulary) Separator() (class int, ok bool) {
	if v.pieces || v.space < 0 {
		return 0, false
	}
	return v.space, true
}

// Encode returns the labels of a text. Of several tokens that the rest of the text begins with it
// takes the longest. A character that no token has is an *UnknownError, unless MapUnknown says
// otherwise.
func (v *Vocabulary) Encode(text string) ([]int, error) {
	e := encoder{Vocabulary: v, wildcard: v.fold(v.Wildcard), labels: []int{}}
	encode := e.encode
	if v.pieces {
		encode = e.encodeWords
	}
	if err := encode(v.fold(text)); err != nil {
		return nil, err
	}
	return e.labels, nil
}

// fold does with a text what Normalize and Case say.
func (v *Vocabulary) fold(text string) string {
	if v.Normalize != nil {
		text = v.Normalize(text)
	}
	switch v.Case { // rune by rune, so that none moves
	case Upper:
		return strings.Map(unicode.ToUpper, text)
	case Lower:
		return strings.Map(unicode.ToLower, text)
	}
	return text
}

// encoder is Encode at work.
type encoder struct {
	*Vocabulary
	wildcard string // as it is in the text after fold
	labels   []int
	runes    int // of the text, before what is encoded next
}

// encodeWords encodes words that each begin with "▁".
func (e *encoder) encodeWords(text string) error {
	isSpace := func(r rune) bool { return unicode.IsSpace(r) || string(r) == wordStart }
	for text != "" {
		if r, size := utf8.DecodeRuneInString(text); isSpace(r) {
			e.runes, text = e.runes+1, text[size:]
			continue
		}
		end := strings.IndexFunc(text, isSpace)
		if end < 0 {
			end = len(text)
		}
		word := text[:end]
		text = text[end:]
		if word != e.wildcard {
			e.runes-- // the text does not have the mark
			word = wordStart + word
		}
		if err := e.encode(word); err != nil {
			return err
		}
	}
	return nil
}

// encode encodes text as it stands.
func (e *encoder) encode(text string) error {
	for text != "" {
		size, label := e.match(text)
		if size == 0 {
			mark := 0
			if e.pieces && strings.HasPrefix(text, wordStart) && len(text) > len(wordStart) {
				mark = len(wordStart)
			}
			r, n := utf8.DecodeRuneInString(text[mark:])
			if !e.MapUnknown || e.unknown < 0 {
				return &UnknownError{Rune: r, Index: e.runes + utf8.RuneCountInString(text[:mark])}
			}
			size, label = mark+n, e.unknown
		}
		e.labels = append(e.labels, label)
		e.runes += utf8.RuneCountInString(text[:size])
		text = text[size:]
	}
	return nil
}

// match returns the label of what a text begins with, and its length in bytes: the wildcard,
// the longest token, or a space. The length is 0 if it begins with none of them.
func (e *encoder) match(text string) (size, label int) {
	v := e.Vocabulary
	if e.wildcard != "" && strings.HasPrefix(text, e.wildcard) {
		return len(e.wildcard), wildcard
	}
	// Of the tokens in order, those that begin as the text does are neighbours, and the one
	// that is no longer than this beginning is the first of them.
	fit := v.sorted
	for n := 1; n <= len(text) && len(fit) > 0; n++ {
		b := text[n-1]
		has := func(i int) int { // compares byte n of token i with b
			if token := v.tokens[fit[i]]; len(token) >= n {
				return cmp.Compare(token[n-1], b)
			}
			return -1
		}
		low := sort.Search(len(fit), func(i int) bool { return has(i) >= 0 })
		high := low + sort.Search(len(fit)-low, func(i int) bool { return has(low+i) > 0 })
		if fit = fit[low:high]; len(fit) > 0 && len(v.tokens[fit[0]]) == n && fit[0] != v.Blank {
			size, label = n, fit[0]
		}
	}
	if r, n := utf8.DecodeRuneInString(text); size == 0 && unicode.IsSpace(r) && v.space >= 0 && v.space != v.Blank {
		return n, v.space
	}
	return size, label
}

// Decode returns the text of labels. It leaves the blank out, and of pieces of words the space
// before the first one. A label that is neither a class nor, being −1, the wildcard is a
// *LabelError.
func (v *Vocabulary) Decode(labels []int) (string, error) {
	if err := v.check(labels); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, label := range labels {
		b.WriteString(v.text(label))
	}
	if v.pieces {
		return strings.TrimPrefix(b.String(), " "), nil
	}
	return b.String(), nil
}

// check reports a label that is neither a class nor the wildcard.
func (v *Vocabulary) check(labels []int) error {
	for i, label := range labels {
		if label < wildcard || label >= len(v.tokens) {
			return &LabelError{Index: i, Label: label, Classes: len(v.tokens)}
		}
	}
	return nil
}

// text returns what a label stands for.
func (v *Vocabulary) text(label int) string {
	switch {
	case label == wildcard:
		return cmp.Or(v.Wildcard, "*")
	case label == v.Blank:
		return ""
	case label == v.space:
		return " "
	case v.pieces:
		return strings.ReplaceAll(v.tokens[label], wordStart, " ")
	}
	return v.tokens[label]
}
