package command

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A corpus writes what -json prints of one file, behind what the list says of it.
func TestCorpusMatchesTheCommand(t *testing.T) {
	emissions, err := os.ReadFile(line + "emissions.npy")
	require.NoError(t, err)
	text, err := os.ReadFile(line + "transcript.txt")
	require.NoError(t, err)
	for name, c := range map[string]struct{ options, one []string }{
		"ctc":    {nil, []string{"-text", line + "transcript.txt"}},
		"align":  {[]string{"-frame", "20ms", "-grow", "middle"}, []string{"-text", line + "transcript.txt"}},
		"decode": {[]string{"-beam", "5", "-nbest", "2", "-hotwords", "keep"}, []string{"-reference", line + "transcript.txt"}},
	} {
		t.Run(name, func(t *testing.T) {
			options := append([]string{"-logits", "-tokens", line + "tokens.txt", "-dtype", "float32"}, c.options...)
			corpus, err := NewCorpus(append([]string{name}, options...), nil)
			require.NoError(t, err)
			assert.Empty(t, corpus.Warnings())
			columns, err := corpus.Columns("speaker\temissions\ttext\n")
			require.NoError(t, err)
			item := columns.Item("\"A\"\temissions.npy\t" + strings.TrimSuffix(string(text), "\n"))
			require.Equal(t, "emissions.npy", item.File)
			r := corpus.Do(item, emissions)
			require.NoError(t, r.Err)
			assert.Equal(t, 166, r.Frames)
			assert.Equal(t, 1, r.Sequences)

			one := run(append(append(append([]string{name, line + "emissions.npy"}, options...), c.one...), "-json")...)
			require.Equal(t, exitOK, one.code, one.stderr)
			var first struct{ Key string }
			require.NoError(t, json.Unmarshal(r.Line, &first))
			want := strings.Replace(one.stdout, `"file":"`+line+`emissions.npy",`, "", 1)
			want = `{"file":"emissions.npy","key":"` + first.Key + `","speaker":"\"A\"",` + want[1:]
			assert.Equal(t, want, string(r.Line))
		})
	}
}
