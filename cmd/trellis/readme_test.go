package main

import (
	"encoding/csv"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The commands that README.md shows print what it says there, and the help has them, too.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	folder := regexp.MustCompile(`(?m)^    \$ cd (.*)$`).FindSubmatch(readme)
	require.NotNil(t, folder)
	t.Chdir("../../" + string(folder[1]))
	sessions := regexp.MustCompile(`(?m)^    \$ (trellis .*)\n((?:    [^$\n].*\n|\n)+)`).FindAllSubmatch(readme, -1)
	require.NotEmpty(t, sessions)
	for _, s := range sessions {
		command := string(s[1])
		assert.Contains(t, help, "\n  "+command+"\n")
		words := csv.NewReader(strings.NewReader(command))
		words.Comma = ' '
		args, err := words.Read()
		require.NoError(t, err)
		r := run(args[1:]...)
		assert.Equal(t, result{stdout: r.stdout}, r)
		shown := regexp.MustCompile(`(?m)^    `).ReplaceAllString(string(s[2]), "")
		assert.Equal(t, strings.TrimRight(shown, "\n"), strings.TrimRight(r.stdout, "\n"))
	}
}
