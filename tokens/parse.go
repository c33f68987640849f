package tokens

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxClass is far above the classes of any network. A file that names one beyond it, and few
// before, would take memory for all between them.
const maxClass = 1 << 20

// ReadFile reads a vocabulary from a file: see Parse.
func ReadFile(name string) (*Vocabulary, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	v, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// Parse makes a vocabulary of the text of a file, which has one of three forms. If it cannot be
// a vocabulary, the error is a *FormatError.
//
//   - One token a line. The first line is class 0, and an empty line is a class that text cannot
//     have.
//   - A token, a space or tab, and its class, on each line, in any order, as k2 and sherpa write
//     it. Nothing before the class is the token " ". What such files have behind the
//     network's classes, #0, #1, …, is left out.
//   - An object of JSON with the class of each token: the vocab.json of Hugging Face.
//
// Classes that are left out have no token. Lines may end as on Windows, and the text may begin
// with a byte order mark.
func Parse(text []byte) (*Vocabulary, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if isObject(text) {
		return parseObject(text)
	}
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
	if len(text) == 0 {
		lines = nil
	}
	if classes, ok := parseClasses(lines); ok {
		return fromClasses(classes)
	}
	return New(lines)
}

// isObject reports whether a text is an object of JSON, or would be one: a list of tokens may
// have a brace, too.
func isObject(text []byte) bool {
	text = bytes.TrimSpace(text)
	inner, isOpen := bytes.CutPrefix(text, []byte("{"))
	inner, isClosed := bytes.CutSuffix(inner, []byte("}"))
	inner = bytes.TrimSpace(inner)
	return isOpen && isClosed && (len(inner) == 0 && len(text) == 2 || len(inner) > 0 && inner[0] == '"')
}

// entry is a token and its class, as a file has them.
type entry struct {
	token       string
	class, line int
}

// parseClasses reads lines of a token and its class each; false if they are none.
func parseClasses(lines []string) (entries []entry, ok bool) {
	for n, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		line = strings.TrimRightFunc(line, unicode.IsSpace)
		space := strings.LastIndexFunc(line, unicode.IsSpace)
		if space < 0 {
			return nil, false
		}
		_, size := utf8.DecodeRuneInString(line[space:])
		class, err := strconv.ParseUint(line[space+size:], 10, strconv.IntSize-1)
		if err != nil {
			return nil, false
		}
		token := line[:space]
		if strings.TrimSpace(token) == "" {
			token = " "
		}
		entries = append(entries, entry{token, int(class), n + 1})
	}
	return withoutSymbols(entries), len(entries) > 0
}

// withoutSymbols leaves out the disambiguation symbols of Kaldi's and k2's graphs, #0, #1, …,
// which are not among the network's classes if they come behind them.
func withoutSymbols(entries []entry) []entry {
	last := -1
	isSymbol := func(e entry) bool {
		digits, ok := strings.CutPrefix(e.token, "#")
		return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
	}
	for _, e := range entries {
		if !isSymbol(e) {
			last = max(last, e.class)
		}
	}
	var kept []entry
	for _, e := range entries {
		if last < 0 || e.class <= last || !isSymbol(e) {
			kept = append(kept, e)
		}
	}
	return kept
}

// parseObject reads an object of JSON, key by key, as a map would hide what is there twice.
func parseObject(text []byte) (*Vocabulary, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	fail := func(format string, args ...any) (*Vocabulary, error) {
		line := 1 + bytes.Count(text[:d.InputOffset()], []byte("\n"))
		return nil, &FormatError{Line: line, Reason: "JSON: " + fmt.Sprintf(format, args...)}
	}
	d.Token() // the brace
	var entries []entry
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return fail("%v", err)
		}
		e := entry{token: token.(string), class: -1}
		if err := d.Decode(&e.class); err != nil || e.class < 0 {
			return fail("the class of %q is no integer that counts from 0", e.token)
		}
		e.line = 1 + bytes.Count(text[:d.InputOffset()], []byte("\n"))
		entries = append(entries, e)
	}
	if _, err := d.Token(); err != nil {
		return fail("%v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fail("something follows the object")
	}
	return fromClasses(entries)
}

// fromClasses orders tokens by their classes.
func fromClasses(entries []entry) (*Vocabulary, error) {
	tokens := []string{}
	tokenLine, classLine := map[string]int{}, map[int]int{}
	for _, e := range entries {
		fail := func(format string, args ...any) (*Vocabulary, error) {
			return nil, &FormatError{Line: e.line, Reason: fmt.Sprintf(format, args...)}
		}
		switch {
		case e.class >= maxClass:
			return fail("class %d of %q: more classes than %d", e.class, e.token, maxClass)
		case tokenLine[e.token] > 0:
			return fail("%q is on line %d already", e.token, tokenLine[e.token])
		case classLine[e.class] > 0:
			return fail("class %d is on line %d already", e.class, classLine[e.class])
		case refusal(e.token) != "":
			return fail("%s", refusal(e.token))
		}
		tokenLine[e.token], classLine[e.class] = e.line, e.line
		tokens = append(tokens, make([]string, max(0, e.class+1-len(tokens)))...)
		tokens[e.class] = e.token
	}
	return New(tokens)
}
