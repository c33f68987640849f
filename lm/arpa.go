package lm

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
)

// FormatError is the error for a file that is not what it should be.
type FormatError struct {
	Line   int // counted from 1
	Reason string
}

func (e *FormatError) Error() string { return fmt.Sprintf("lm: line %d: %s", e.Line, e.Reason) }

// ReadFile reads a model from an ARPA file: see Read.
func ReadFile(path string) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// Read reads a model in the ARPA format
// (https://www.speech.sri.com/projects/srilm/manpages/ngram-format.5.html), which may be compressed by
// gzip. The format's rules hold: the numbers of n-grams are those of its head, all words are unigrams,
// and what an n-gram is without its last word is an n-gram. <s> and </s> are words. Where <unk> is none
// it has the probability 10⁻¹⁰⁰, as in KenLM. What breaks a rule is a *FormatError.
func Read(r io.Reader) (*Model, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	if magic, _ := b.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("lm: %w", err)
		}
		b = bufio.NewReaderSize(z, 1<<16)
	}
	a := &arpa{in: b, m: &Model{ids: map[string]uint32{}}}
	if err := a.read(); err != nil {
		return nil, err
	}
	return a.m, nil
}

// arpa is a file while it is read.
type arpa struct {
	in     *bufio.Reader
	line   int
	text   []byte // the line, without space around it
	long   []byte // room for one that does not fit into the reader's
	m      *Model
	counts []int // of n-grams of each length, by the head

	fields  [][]byte
	words   []uint32 // of the n-gram at hand
	context []uint32 // the words of the last context, which is
	parent  uint32
	grams   []gram
}

// gram is an n-gram of the level that is read.
type gram struct {
	parent, word  uint32
	prob, backoff float32
	line          int32
}

// mostGrams is the most n-grams: places are uint32. Memory is taken only for lines that come.
const mostGrams = 1 << 30

// maxLine is the length of the longest line.
const maxLine = 1 << 20

func (a *arpa) wrong(format string, args ...any) error {
	return &FormatError{a.line, fmt.Sprintf(format, args...)}
}

// next reads the next line that is not empty, and reports whether there is one.
func (a *arpa) next() (bool, error) {
	for {
		line, err := a.in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			a.long = append(a.long[:0], line...)
			for err == bufio.ErrBufferFull && len(a.long) <= maxLine {
				line, err = a.in.ReadSlice('\n')
				a.long = append(a.long, line...)
			}
			line = a.long
		}
		if len(line) == 0 && err == io.EOF {
			return false, nil
		}
		a.line++
		if err != nil && err != io.EOF {
			if err == bufio.ErrBufferFull {
				return false, a.wrong("longer than %d bytes", maxLine)
			}
			return false, fmt.Errorf("lm: line %d: %w", a.line, err)
		}
		if a.text = bytes.Trim(line, spaces); len(a.text) > 0 {
			return true, nil
		}
	}
}

const spaces = " \t\r\n\v\f"

// must is next where the file must go on with what is named.
func (a *arpa) must(what string) error {
	ok, err := a.next()
	if err == nil && !ok {
		a.line++
		err = a.wrong("the file ends, want %s", what)
	}
	return err
}

// read reads the whole file.
func (a *arpa) read() error {
	for string(a.text) != `\data\` { // before it there may be anything
		if err := a.must(`\data\`); err != nil {
			return err
		}
	}
	if err := a.head(); err != nil {
		return err
	}
	for n := range a.counts {
		if want := fmt.Sprintf(`\%d-grams:`, n+1); string(a.text) != want {
			return a.wrong("%.40q, want %s", a.text, want)
		}
		if err := a.section(n); err != nil {
			return err
		}
	}
	if string(a.text) != `\end\` {
		return a.wrong(`%.40q, want \end\`, a.text)
	}
	a.m.link()
	return nil
}

// head reads the numbers of n-grams, and the line behind them.
func (a *arpa) head() error {
	for total := 0; ; {
		if err := a.must("ngram 1="); err != nil {
			return err
		}
		rest, ok := bytes.CutPrefix(a.text, []byte("ngram "))
		if !ok {
			break
		}
		length, count, _ := bytes.Cut(rest, []byte("="))
		n, err := strconv.Atoi(string(bytes.Trim(length, spaces)))
		c, err2 := strconv.Atoi(string(bytes.Trim(count, spaces)))
		if total += c; err != nil || err2 != nil || n != len(a.counts)+1 || c < 0 || total < c || total > mostGrams {
			return a.wrong("%.40q, want ngram %d= and a number, with the others up to 2³⁰", a.text, len(a.counts)+1)
		}
		a.counts = append(a.counts, c)
	}
	if len(a.counts) == 0 || a.counts[0] == 0 {
		return a.wrong("there are no unigrams")
	}
	return nil
}

// section reads the n-grams with n+1 words, and the line behind them.
func (a *arpa) section(n int) error {
	a.grams, a.context = a.grams[:0], nil
	for {
		if err := a.must("an n-gram"); err != nil {
			return err
		}
		if a.text[0] == '\\' && bytes.IndexAny(a.text, " \t") < 0 {
			break
		}
		if len(a.grams) == a.counts[n] {
			return a.wrong("more than the %d %d-grams that the head says", a.counts[n], n+1)
		}
		if err := a.gram(n); err != nil {
			return err
		}
	}
	if len(a.grams) < a.counts[n] {
		return a.wrong("%d %d-grams, the head says %d", len(a.grams), n+1, a.counts[n])
	}
	if n == 0 {
		if err := a.special(); err != nil {
			return err
		}
	}
	return a.level(n)
}

// gram reads a line: log₁₀ of the probability, the words, and perhaps that of the back-off weight.
func (a *arpa) gram(n int) error {
	a.fields = a.fields[:0]
	for rest := a.text; len(rest) > 0; {
		i := bytes.IndexAny(rest, " \t")
		if i < 0 {
			i = len(rest)
		}
		a.fields = append(a.fields, rest[:i])
		rest = bytes.TrimLeft(rest[i:], spaces)
	}
	if got := len(a.fields); got != n+2 && got != n+3 {
		return a.wrong("%d fields, want a logarithm, %d words and perhaps a back-off weight", got, n+1)
	}
	prob, err := a.number(a.fields[0])
	if err != nil {
		return err
	}
	if prob > 0 {
		return a.wrong("the logarithm of a probability is %v, above 0", prob)
	}
	g := gram{prob: prob, line: int32(a.line)}
	if len(a.fields) == n+3 {
		if g.backoff, err = a.number(a.fields[n+2]); err != nil {
			return err
		}
	}
	if n == 0 {
		word := string(a.fields[1])
		if _, ok := a.m.ids[word]; ok {
			return a.wrong("%.40q is there twice", word)
		}
		g.word = uint32(len(a.grams))
		a.m.ids[word] = g.word
		a.grams = append(a.grams, g)
		return nil
	}
	a.words = a.words[:0]
	for _, w := range a.fields[1 : n+2] {
		id, ok := a.m.ids[string(w)]
		if !ok {
			return a.wrong("%.40q is no unigram", w)
		}
		a.words = append(a.words, id)
	}
	if !slices.Equal(a.context, a.words[:n]) {
		if a.parent, err = a.find(a.words[:n]); err != nil {
			return err
		}
		a.context = append(a.context[:0], a.words[:n]...)
	}
	g.parent, g.word = a.parent, a.words[n]
	a.grams = append(a.grams, g)
	return nil
}

// number reads a logarithm.
func (a *arpa) number(text []byte) (float32, error) {
	v, err := strconv.ParseFloat(string(text), 32)
	if err != nil || v != v || v > math.MaxFloat32 {
		return 0, a.wrong("%.40q is no logarithm", text)
	}
	return max(float32(v), -1e6), nil // and not −Inf, of which there may be differences
}

// find returns the place of an n-gram on its level.
func (a *arpa) find(words []uint32) (at uint32, err error) {
	at = words[0]
	for n := 1; n < len(words); n++ {
		var ok bool
		if at, ok = a.m.find(n, at, words[n]); !ok {
			return 0, a.wrong("what comes before the last word is no %d-gram", len(words))
		}
	}
	return at, nil
}

// level makes a level of the n-grams with n+1 words.
func (a *arpa) level(n int) error {
	order := func(g, h gram) int {
		return cmp.Or(cmp.Compare(g.parent, h.parent), cmp.Compare(g.word, h.word), cmp.Compare(g.line, h.line))
	}
	if !slices.IsSortedFunc(a.grams, order) {
		slices.SortFunc(a.grams, order)
	}
	count := len(a.grams)
	l := level{word: make([]uint32, count), prob: make([]float32, count)}
	if last := n+1 == len(a.counts); !last {
		l.backoff = make([]float32, count)
	}
	for i, g := range a.grams {
		if n > 0 && i > 0 && g.parent == a.grams[i-1].parent && g.word == a.grams[i-1].word {
			a.line = int(g.line)
			return a.wrong("the n-gram was in line %d already", a.grams[i-1].line)
		}
		l.word[i], l.prob[i] = g.word, g.prob
		if l.backoff != nil {
			l.backoff[i] = g.backoff
		}
	}
	if n > 0 {
		above := &a.m.levels[n-1]
		above.first = make([]uint32, len(above.word)+1)
		for _, g := range a.grams {
			above.first[g.parent+1]++
		}
		for i := range above.word {
			above.first[i+1] += above.first[i]
		}
	}
	a.m.levels = append(a.m.levels, l)
	return nil
}

// special finds the words that every model has, when all unigrams are there.
func (a *arpa) special() error {
	m := a.m
	for _, w := range []struct {
		word string
		id   *uint32
	}{{"<s>", &m.begin}, {"</s>", &m.end}} {
		var ok bool
		if *w.id, ok = m.ids[w.word]; !ok {
			return a.wrong("%s is no unigram", w.word)
		}
	}
	for _, word := range []string{"<unk>", "<UNK>"} {
		if id, ok := m.ids[word]; ok {
			m.unknown = id
			return nil
		}
	}
	m.unknown = uint32(len(a.grams))
	m.ids["<unk>"] = m.unknown
	a.grams = append(a.grams, gram{word: m.unknown, prob: -100})
	return nil
}
