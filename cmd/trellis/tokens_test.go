package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEncode(t *testing.T) {
	for name, c := range map[string]struct {
		tokens, text string
		blank        int
		want         [][]int
	}{
		"characters":            {"_\na\nb\n", "abba", 0, [][]int{{1, 2, 2, 1}}},
		"no newline at the end": {"_\na\nb", "b", 0, [][]int{{2}}},
		"byte order mark":       {"\ufeffa\nb\n_\n", "ba", 2, [][]int{{1, 0}}},
		"CR LF":                 {"_\r\na\r\nb\r\n", "b\r\na", 0, [][]int{{2}, {1}}},
		"beyond ASCII":          {"_\né\n語\n", "語é", 0, [][]int{{2, 1}}},
		"longest match":         {"_\ns\nc\nh\nsch\nsc\n", "schscs", 0, [][]int{{4, 5, 1}}},
		"space as itself":       {"_\na\n \n|\n", "a a|", 0, [][]int{{1, 2, 1, 3}}},
		"space as <space>":      {"_\na\n<space>\n|\n", "a a|", 0, [][]int{{1, 2, 1, 3}}},
		"space as |":            {"_\na\n|\n", "a a|a", 0, [][]int{{1, 2, 1, 2, 1}}},
		"empty line":            {"\na\n\nb\n", "ab", 0, [][]int{{1, 3}}},
		"blank is no text":      {"-\na\n--\n", "a--a", 0, [][]int{{1, 2, 1}}},
		"several sequences":     {"_\na\nb\n", "a\n\nba\n", 0, [][]int{{1}, {}, {2, 1}}},
		"empty text":            {"_\na\n", "", 0, [][]int{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := readTokens(write(t, "tokens.txt", []byte(c.tokens)))
			require.NoError(t, err)
			l, err := k.encode(c.text, c.blank)
			require.NoError(t, err)
			assert.Equal(t, c.want, l.rows)
		})
	}
}

func TestTokensThatDoNotFit(t *testing.T) {
	x := writeFloat64s(t, sines()[:12], 3, 4)
	args := func(tokens, text string, more ...string) []string {
		return append([]string{"ctc", x, "-text", text, "-tokens", write(t, "tokens.txt", []byte(tokens))}, more...)
	}
	for want, args := range map[string][]string{
		"-text: sequence 0, character 2: no token of ":          args("_\na\nb\né\n", "aéx"),
		"-text: sequence 1, character 1: no token of ":          args("_\na\nb\né\n", "a\néE"),
		"tokens.txt for 'x'":                                    args("_\na\nb\nc\n", "x"),
		"tokens.txt for '<'":                                    args("<blank>\na\nb\nc\n", "a<blank>b"),
		"tokens.txt: 3 tokens, " + x + " has 4 classes":         args("_\na\nb\n", "a"),
		`tokens.txt: line 4: "a" is on line 2 already`:          args("_\na\nb\na\n", "a"),
		"tokens.txt: line 3: not UTF-8":                         args("_\na\n\xff\nb\n", "a"),
		"tokens.txt: line 4: <blank> is class 3, -blank says 0": args("a\nb\nc\n<blank>\n", "a", "-blank", "0"),
		"open missing.txt: no such file":                        {"ctc", x, "-text", "a", "-tokens", "missing.txt"},
		"-text: targets for 2 sequences, " + x + " holds 1\n":   args("_\na\nb\nc\n", "a\nb"),
	} {
		t.Run(want, func(t *testing.T) {
			r := run(args...)
			assert.Equal(t, exitData, r.code)
			assert.Contains(t, r.stderr, want)
		})
	}
}

func TestTokensWithoutEnd(t *testing.T) {
	name := write(t, "tokens.txt")
	require.NoError(t, os.Truncate(name, maxText+1))
	_, err := readTokens(name)
	assert.ErrorContains(t, err, "tokens.txt: more than 256 MiB of text")
}

func TestBlankToken(t *testing.T) {
	x := writeFloat64s(t, sines()[:12], 3, 4)
	tokens := write(t, "tokens.txt", []byte("a\nb\nc\n<blank>\n"))
	want := runJSON(t, "ctc", x, "-logits", "-targets", "0,2", "-blank", "3")
	assert.Equal(t, want, runJSON(t, "ctc", x, "-logits", "-text", "ac", "-tokens", tokens))
	assert.Equal(t, want, runJSON(t, "ctc", x, "-logits", "-text", "ac", "-tokens", tokens, "-blank", "3"))
}
