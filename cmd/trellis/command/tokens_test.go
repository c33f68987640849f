package command

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTokensThatDoNotFit(t *testing.T) {
	x := writeFloat64s(t, sines()[:12], 3, 4)
	args := func(tokens, text string, more ...string) []string {
		return append([]string{"ctc", x, "-text", text, "-tokens", write(t, "tokens.txt", []byte(tokens))}, more...)
	}
	for want, args := range map[string][]string{
		"-text: sequence 0, character 2: no token of ":                                         args("_\na\nb\né\n", "aéx"),
		"-text: sequence 1, character 1: no token of ":                                         args("_\na\nb\né\n", "a\néE"),
		"tokens.txt for 'x'":                                                                   args("_\na\nb\nc\n", "x"),
		"tokens.txt for '<'":                                                                   args("<blank>\na\nb\nc\n", "a<blank>b"),
		"tokens.txt: 3 tokens, " + x + " has 4 classes":                                        args("_\na\nb\n", "a"),
		`tokens.txt: line 4: "a" is on line 2 already`:                                         args("_\na\nb\na\n", "a"),
		"tokens.txt: line 3: not UTF-8":                                                        args("_\na\n\xff\nb\n", "a"),
		"tokens.txt: <blank> is class 3, -blank says 0":                                        args("a\nb\nc\n<blank>\n", "a", "-blank", "0"),
		"open missing.txt: no such file":                                                       {"ctc", x, "-text", "a", "-tokens", "missing.txt"},
		"-text: targets for 2 sequences, " + x + " holds 1; each line of TEXT is a sequence\n": args("_\na\nb\nc\n", "a\nb"),
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
	_, _, err := (&inputs{}).readText(name)
	assert.ErrorContains(t, err, "tokens.txt: more than 256 MiB of text")
}

func TestBlankToken(t *testing.T) {
	x := writeFloat64s(t, sines()[:12], 3, 4)
	tokens := write(t, "tokens.txt", []byte("a\nb\nc\n<blank>\n"))
	want := runJSON(t, "ctc", x, "-logits", "-targets", "0,2", "-blank", "3")
	assert.Equal(t, want, runJSON(t, "ctc", x, "-logits", "-text", "ac", "-tokens", tokens))
	assert.Equal(t, want, runJSON(t, "ctc", x, "-logits", "-text", "ac", "-tokens", tokens, "-blank", "3"))
}
