package tokens_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/gotrellis/trellis/tokens"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// vocabulary makes one of tokens with line ends between them.
func vocabulary(t testing.TB, lines string) *tokens.Vocabulary {
	t.Helper()
	v, err := tokens.New(strings.Split(lines, "\n"))
	require.NoError(t, err)
	return v
}

func TestEncode(t *testing.T) {
	for name, c := range map[string]struct {
		tokens, text string
		want         []int
	}{
		"characters":           {"_\na\nb", "abba", []int{1, 2, 2, 1}},
		"nothing":              {"_\na\nb", "", []int{}},
		"beyond ASCII":         {"_\né\n語", "語é", []int{2, 1}},
		"longest match":        {"_\ns\nc\nh\nsch\nsc", "schscs", []int{4, 5, 1}},
		"longer ones break":    {"_\na\nb\nc\nabcd", "abcabcd", []int{1, 2, 3, 4}},
		"space as itself":      {"_\na\n \n|", "a a|", []int{1, 2, 1, 3}},
		"space as <space>":     {"_\na\n<space>\n|", "a a|", []int{1, 2, 1, 3}},
		"space as |":           {"_\na\n|\n▁", "a a|a", []int{1, 2, 1, 2, 1}},
		"space as ▁":           {"_\na\n▁", "a  a▁a", []int{1, 2, 2, 1, 2, 1}},
		"all kinds of spaces":  {"_\na\n|", "a\ta\u00a0a\u3000a", []int{1, 2, 1, 2, 1, 2, 1}},
		"ideographic space":    {"_\na\n|\n\u3000", "a\u3000a a", []int{1, 3, 1, 2, 1}},
		"no token":             {"\na\n\nb", "ab", []int{1, 3}},
		"the blank is no text": {"<blank>\n<\nblank\n>\nbl", "<blank>", []int{1, 2, 3}},
		"pieces":               {"<blk>\n▁the\n▁\nth\n▁th\ne\nn\ns", "the then  es ", []int{1, 1, 6, 2, 5, 7}},
		"pieces, as written":   {"<blk>\n▁the\n▁\nth\n▁th\ne\nn\ns", "▁the▁thes", []int{1, 1, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := vocabulary(t, c.tokens).Encode(c.text)
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestBlank(t *testing.T) {
	for lines, want := range map[string]int{
		"a\n<blank>\n<pad>": 1, "<pad>\na\n<blk>": 2, "a\n<pad>": 1, "[PAD]\na": 0, "a\nb": -1, "": -1,
	} {
		assert.Equal(t, want, vocabulary(t, lines).Blank, lines)
	}
	v := vocabulary(t, "-\na\n--")
	got, err := v.Encode("a--a")
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2, 1}, got)
	v.Blank = 2
	got, err = v.Encode("a--a")
	require.NoError(t, err)
	assert.Equal(t, []int{1, 0, 0, 1}, got)
	v.Blank = 0
	_, err = v.Encode("a-a")
	assert.Equal(t, &tokens.UnknownError{Rune: '-', Index: 1}, err)
	spaces := vocabulary(t, "_\na\n|")
	spaces.Blank = 2
	_, err = spaces.Encode("a a")
	assert.Equal(t, &tokens.UnknownError{Rune: ' ', Index: 1}, err)
}

func TestUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		tokens, text string
		want         tokens.UnknownError
		mapped       []int
	}{
		"ASCII":            {"_\na\n<unk>", "aax", tokens.UnknownError{Rune: 'x', Index: 2}, []int{1, 1, 2}},
		"behind others":    {"_\né\n[UNK]", "éüé", tokens.UnknownError{Rune: 'ü', Index: 1}, []int{1, 2, 1}},
		"a space":          {"_\na\n<UNK>", "a a", tokens.UnknownError{Rune: ' ', Index: 1}, []int{1, 2, 1}},
		"no UTF-8":         {"_\na\n<unk>", "a\xffa", tokens.UnknownError{Rune: '\ufffd', Index: 1}, []int{1, 2, 1}},
		"in a word":        {"_\n▁a\nb\n<unk>", "ab  abxb a", tokens.UnknownError{Rune: 'x', Index: 6}, []int{1, 2, 1, 2, 3, 2, 1}},
		"first of a word":  {"_\n▁a\nb\n<unk>", "ab bb", tokens.UnknownError{Rune: 'b', Index: 3}, []int{1, 2, 3, 2}},
		"none is <unk>":    {"_\na", "aax", tokens.UnknownError{Rune: 'x', Index: 2}, nil},
		"<unk> is another": {"_\n<unk>\nx", "x<unk>y", tokens.UnknownError{Rune: 'y', Index: 6}, []int{2, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			v := vocabulary(t, c.tokens)
			got, err := v.Encode(c.text)
			assert.Equal(t, &c.want, err)
			assert.Nil(t, got)
			v.MapUnknown = true
			got, err = v.Encode(c.text)
			assert.Equal(t, c.mapped, got)
			assert.Equal(t, c.mapped == nil, err != nil)
		})
	}
	_, err := vocabulary(t, "a").Encode("ax")
	assert.EqualError(t, err, "tokens: character 1: no token for 'x'")
}

func TestCaseAndNormalize(t *testing.T) {
	v := vocabulary(t, "_\nA\nÉ\n|\nb")
	v.Normalize = func(text string) string { return strings.ReplaceAll(text, "e\u0301", "é") }
	v.Case = tokens.Upper
	got, err := v.Encode("ae\u0301 A")
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2, 3, 1}, got)
	_, err = v.Encode("ae\u0301b")
	assert.Equal(t, &tokens.UnknownError{Rune: 'B', Index: 2}, err)
	v.Case = tokens.Lower
	got, err = v.Encode("B")
	require.NoError(t, err)
	assert.Equal(t, []int{4}, got)
}

func TestWildcard(t *testing.T) {
	v := vocabulary(t, "_\na\n*\n|")
	got, err := v.Encode("*a")
	require.NoError(t, err)
	assert.Equal(t, []int{2, 1}, got)
	v.Wildcard = "*"
	got, err = v.Encode("* a*")
	require.NoError(t, err)
	assert.Equal(t, []int{-1, 3, 1, -1}, got)

	pieces := vocabulary(t, "_\n▁a\nb")
	pieces.Wildcard = "<star>"
	got, err = pieces.Encode("<star> ab <star>")
	require.NoError(t, err)
	assert.Equal(t, []int{-1, 1, 2, -1}, got)
	words, err := pieces.Words(got)
	require.NoError(t, err)
	assert.Equal(t, []tokens.Word{{"ab", 1, 3}}, words)

	// The case is that of the text, whatever the wildcard's is.
	for _, v := range []*tokens.Vocabulary{vocabulary(t, "_\nA\nB"), vocabulary(t, "_\n▁A\nB")} {
		v.Wildcard, v.Case = "<star>", tokens.Upper
		got, err = v.Encode("<star>")
		require.NoError(t, err)
		assert.Equal(t, []int{-1}, got)
	}
}

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		tokens string
		labels []int
		want   string
		words  []tokens.Word
	}{
		"nothing":    {"_\na", nil, "", nil},
		"characters": {"<blank>\na\né", []int{1, 2, 0, 1}, "aéa", []tokens.Word{{"aéa", 0, 4}}},
		"separators": {"_\na\nb\n|", []int{3, 1, 2, 3, 3, 1, 3}, " ab  a ", []tokens.Word{{"ab", 1, 3}, {"a", 5, 6}}},
		"plain |":    {"_\na\n \n|", []int{1, 3, 2, 1}, "a| a", []tokens.Word{{"a|", 0, 2}, {"a", 3, 4}}},
		"pieces":     {"_\n▁a\nb\n▁", []int{1, 2, 3, 2, 1}, "ab b a", []tokens.Word{{"ab", 0, 2}, {"b", 3, 4}, {"a", 4, 5}}},
		"ends":       {"_\na \nb", []int{2, 1, 2, 1}, "ba ba ", []tokens.Word{{"ba", 0, 2}, {"ba", 2, 4}}},
		"wildcard":   {"_\na", []int{1, -1, 1}, "a*a", []tokens.Word{{"a", 0, 1}, {"a", 2, 3}}},
		"no token":   {"_\n\na", []int{2, 1, 2}, "aa", []tokens.Word{{"aa", 0, 3}}},
		"ideograms":  {"_\n\u3000\n語", []int{2, 1, 2}, "語\u3000語", []tokens.Word{{"語", 0, 1}, {"語", 2, 3}}},
	} {
		t.Run(name, func(t *testing.T) {
			v := vocabulary(t, c.tokens)
			text, err := v.Decode(c.labels)
			require.NoError(t, err)
			assert.Equal(t, c.want, text)
			words, err := v.Words(c.labels)
			require.NoError(t, err)
			assert.Equal(t, c.words, words)
		})
	}
	for label, text := range map[int]string{-2: "tokens: labels[1] = -2: outside [0,2)", 2: "tokens: labels[1] = 2: outside [0,2)"} {
		v := vocabulary(t, "_\na")
		_, err := v.Decode([]int{1, label})
		assert.Equal(t, &tokens.LabelError{Index: 1, Label: label, Classes: 2}, err)
		assert.EqualError(t, err, text)
		_, err = v.Words([]int{1, label})
		assert.Equal(t, &tokens.LabelError{Index: 1, Label: label, Classes: 2}, err)
	}
}

func TestClasses(t *testing.T) {
	v := vocabulary(t, "b\n\na\n|")
	assert.Equal(t, 4, v.Len())
	assert.Equal(t, "a", v.Token(2))
	assert.Empty(t, v.Token(1))
	class, ok := v.Class("b")
	assert.True(t, ok)
	assert.Equal(t, 0, class)
	for _, token := range []string{"", "c", " "} {
		_, ok := v.Class(token)
		assert.False(t, ok, token)
	}
	class, ok = v.Separator()
	assert.True(t, ok)
	assert.Equal(t, 3, class)
	for _, lines := range []string{"a\nb", "▁a\n▁\nb"} {
		_, ok = vocabulary(t, lines).Separator()
		assert.False(t, ok, lines)
	}
}

func TestVocabularyKeepsItsTokens(t *testing.T) {
	list := []string{"a", "b"}
	v, err := tokens.New(list)
	require.NoError(t, err)
	list[0] = "b"
	assert.Equal(t, "a", v.Token(0))
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":            {"", nil},
		"lines":              {"<blank>\na\n\nb\n", []string{"<blank>", "a", "", "b"}},
		"no newline at last": {"_\na\nb", []string{"_", "a", "b"}},
		"byte order mark":    {"\ufeffa\nb\n", []string{"a", "b"}},
		"CR LF":              {"_\r\na\r\n", []string{"_", "a"}},
		"a space":            {"_\n \na\n", []string{"_", " ", "a"}},
		"digits":             {"0\n1\n2\n", []string{"0", "1", "2"}},
		"a long one":         {"a\n" + strings.Repeat("é", 512), []string{"a", strings.Repeat("é", 512)}},
		"some have spaces":   {"a 0\nb\n", []string{"a 0", "b"}},
		"braces":             {"{\na\n}\n", []string{"{", "a", "}"}},
		"with classes":       {"<blk> 0\nb 2\na\t1\n", []string{"<blk>", "a", "b"}},
		"classes left out":   {"a 1\nb 3\n\n", []string{"", "a", "", "b"}},
		"space, its class":   {"a 0\n  2\nb 1\n", []string{"a", "b", " "}},
		"only its class":     {"a 0\n 2\nb 1\n", []string{"a", "b", " "}},
		"digits and classes": {"1 0\n0 1\r\n", []string{"1", "0"}},
		"symbols at the end": {"<blk> 0\n#1 3\n# 1\n#0 2\n", []string{"<blk>", "#"}},
		"symbols within":     {"#0 0\na 1\n", []string{"#0", "a"}},
		"only symbols":       {"#0 0\n#1 1\n", []string{"#0", "#1"}},
		"JSON":               {"{\"<pad>\": 0, \"|\": 2,\n \"\\u00e9\": 1}\n", []string{"<pad>", "é", "|"}},
		"JSON of nothing":    {"{}", []string{}},
		"JSON, left out":     {` {"a": 2, "": 0}`, []string{"", "", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := tokens.Parse([]byte(c.text))
			require.NoError(t, err)
			require.Equal(t, len(c.want), v.Len())
			for class, token := range c.want {
				assert.Equal(t, token, v.Token(class))
			}
		})
	}
}

func TestFilesThatAreNoVocabularies(t *testing.T) {
	for text, want := range map[string]tokens.FormatError{
		"_\na\nb\na\n":                   {Line: 4, Reason: `"a" is on line 2 already`},
		"_\na\n\xff\nb\n":                {Line: 3, Reason: "not UTF-8"},
		"a 0\nb 1\na 2\n":                {Line: 3, Reason: `"a" is on line 1 already`},
		"a 0\nb 1\nc 1\n":                {Line: 3, Reason: "class 1 is on line 2 already"},
		"a\n" + strings.Repeat("é", 513): {Line: 2, Reason: "a token of 1026 bytes: more than 1024"},
		strings.Repeat("b", 1025) + " 7": {Line: 1, Reason: "a token of 1025 bytes: more than 1024"},
		"a 0\n\xff 1\n":                  {Line: 2, Reason: "not UTF-8"},
		"a 0\nb 1048576\n":               {Line: 2, Reason: `class 1048576 of "b": more classes than 1048576`},
		"{\"a\": 0,\n\"b\": 2000000}":    {Line: 2, Reason: `class 2000000 of "b": more classes than 1048576`},
		"{\"a\": 0,\n\"a\": 1}":          {Line: 2, Reason: `"a" is on line 1 already`},
		"{\"a\": 0,\n\n\"b\": 0}":        {Line: 3, Reason: "class 0 is on line 1 already"},
		`{"a": 0.5}`:                     {Line: 1, Reason: `JSON: the class of "a" is no integer that counts from 0`},
		`{"a": -1}`:                      {Line: 1, Reason: `JSON: the class of "a" is no integer that counts from 0`},
		`{"a": null}`:                    {Line: 1, Reason: `JSON: the class of "a" is no integer that counts from 0`},
		`{"eng": {"a": 0}}`:              {Line: 1, Reason: `JSON: the class of "eng" is no integer that counts from 0`},
		`{"a": 0} {"b": 1}`:              {Line: 1, Reason: "JSON: something follows the object"},
		`{"a": 0, }`:                     {Line: 1, Reason: "JSON: invalid character '}' looking for beginning of object key string"},
		`{"a": 99999999999999999999}`:    {Line: 1, Reason: `JSON: the class of "a" is no integer that counts from 0`},
	} {
		t.Run(text, func(t *testing.T) {
			_, err := tokens.Parse([]byte(text))
			var got *tokens.FormatError
			require.ErrorAs(t, err, &got)
			assert.Equal(t, want, *got)
		})
	}
	_, err := tokens.New([]string{"a", "a"})
	assert.EqualError(t, err, `tokens: line 2: "a" is on line 1 already`)
}

func TestReadFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tokens.txt")
	require.NoError(t, os.WriteFile(name, []byte("a\nb\n"), 0o600))
	v, err := tokens.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, 2, v.Len())
	require.NoError(t, os.WriteFile(name, []byte("a\na\n"), 0o600))
	_, err = tokens.ReadFile(name)
	assert.EqualError(t, err, name+`: tokens: line 2: "a" is on line 1 already`)
	_, err = tokens.ReadFile(name + ".missing")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// FuzzText makes a vocabulary of any bytes. What it encodes it decodes to the same text, but for
// spaces, and the words are those of that text.
func FuzzText(f *testing.F) {
	f.Add([]byte("<blank>\na\nb\n|\nsch\n"), "ab schb", false)
	f.Add([]byte("<blk> 0\n▁ 1\n▁the 2\nn 3\n<unk> 4\n"), "the n then x", true)
	f.Add([]byte(`{"<pad>": 0, "é": 1, "|": 3}`), "é é", false)
	f.Add([]byte(" \n\u3000\na"), " a\u3000", true)
	f.Fuzz(func(t *testing.T, file []byte, text string, mapUnknown bool) {
		v, err := tokens.Parse(file)
		if err != nil {
			var format *tokens.FormatError
			require.ErrorAs(t, err, &format)
			return
		}
		v.MapUnknown = mapUnknown
		labels, err := v.Encode(text)
		if err != nil {
			var unknown *tokens.UnknownError
			require.ErrorAs(t, err, &unknown)
			require.Less(t, unknown.Index, len(text))
			return
		}
		require.NotContains(t, labels, v.Blank)
		decoded, err := v.Decode(labels)
		require.NoError(t, err)
		if !mapUnknown {
			require.Equal(t, withoutSpaces(text), withoutSpaces(decoded))
		}
		words, err := v.Words(labels)
		require.NoError(t, err)
		end := 0
		all := ""
		for _, w := range words {
			require.LessOrEqual(t, end, w.Start)
			require.Less(t, w.Start, w.End)
			part, err := v.Decode(labels[w.Start:w.End])
			require.NoError(t, err)
			require.Equal(t, w.Text, strings.TrimSpace(part))
			end = w.End
			all += w.Text
		}
		require.LessOrEqual(t, end, len(labels))
		require.Equal(t, withoutSpaces(decoded), withoutSpaces(all))
	})
}

// withoutSpaces leaves out all that a space of the text may be.
func withoutSpaces(text string) string {
	text = strings.NewReplacer("<space>", "", "|", "", "▁", "").Replace(text)
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
}
