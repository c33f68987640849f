package command

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// chdirToCopy makes a copy of a folder the current one.
func chdirToCopy(t *testing.T, folder string) {
	t.Helper()
	copied := t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(folder)))
	t.Chdir(copied)
}

// runLine runs a command as it stands in a text.
func runLine(t *testing.T, command string) result {
	t.Helper()
	words := csv.NewReader(strings.NewReader(command))
	words.Comma = ' '
	args, err := words.Read()
	require.NoError(t, err)
	require.Equal(t, "trellis", args[0])
	return run(args[1:]...)
}

// runSessions runs the commands that a page shows, in the folder that it names, and compares what they
// print with what it says there.
func runSessions(t *testing.T, page string) (commands []string) {
	t.Helper()
	folder := regexp.MustCompile(`(?m)^    \$ cd (.*)$`).FindStringSubmatch(page)
	require.NotNil(t, folder)
	chdirToCopy(t, "../../../"+folder[1])
	for _, s := range regexp.MustCompile(`(?m)^    \$ (trellis .*)\n((?:    [^$\n].*\n|\n)+)`).FindAllStringSubmatch(page, -1) {
		r := runLine(t, s[1])
		assert.Equal(t, result{stdout: r.stdout}, r)
		shown := regexp.MustCompile(`(?m)^    `).ReplaceAllString(s[2], "")
		assert.Equal(t, strings.TrimRight(shown, "\n"), strings.TrimRight(r.stdout, "\n"))
		commands = append(commands, s[1])
	}
	return commands
}

// The commands that docs/decoding.md shows print what it says there.
func TestDecodingPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/decoding.md")
	require.NoError(t, err)
	assert.Len(t, runSessions(t, string(page)), 2)
}

// The commands that README.md shows print what it says there, and the help has them, too. The
// picture is the one that docs has.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	shown, err := filepath.Abs("../../../docs/alignment.svg")
	require.NoError(t, err)
	commands := runSessions(t, string(readme))
	require.Len(t, commands, 3)
	for _, command := range commands {
		assert.Contains(t, help, "\n  "+command+"\n")
	}
	picture, err := os.ReadFile("picture.svg")
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(shown, picture, 0o666))
	}
	want, err := os.ReadFile(shown)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(picture))
	assert.Less(t, len(picture), 60000)
}

// TestHelpExamples runs what the help of each command shows.
func TestHelpExamples(t *testing.T) {
	examples := regexp.MustCompile(`(?m)^  (trellis \w+ \S*[a-z]\.npy .*)$`)
	for _, command := range commandNames {
		t.Run(command, func(t *testing.T) {
			help := run(command, "-h").stdout
			switch command {
			case "ctc", "align", "decode":
				chdirToCopy(t, "../../../bench/emissions/line")
			default: // of three rows, as the help has it
				t.Chdir(t.TempDir())
				logits := softmaxes(3, 5)
				file := writeFloat64s(t, each(func(v float64) float64 { return 3 * v }, logits), 3, 5)
				require.NoError(t, os.Rename(file, "logits.npy"))
				file = writeProbabilities(t, logits, 3, 5)
				require.NoError(t, os.Rename(file, "logprobs.npy"))
				file = writeFloat64s(t, logits, 3, 5)
				require.NoError(t, os.Rename(file, "probs.npy"))
				labels := append(npyHeader(1, "|u1", "(3,)"), 1, 255, 4)
				require.NoError(t, os.WriteFile("labels.npy", labels, 0o600))
			}
			found := examples.FindAllStringSubmatch(help, -1)
			require.GreaterOrEqual(t, len(found), 2)
			for _, e := range found {
				r := runLine(t, e[1])
				assert.Equal(t, result{stdout: r.stdout}, r, e[1])
				assert.NotEmpty(t, r.stdout)
			}
		})
	}
}
