package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The report and the README's section are what the committed results give.
func TestReportOfResults(t *testing.T) {
	committed, err := os.ReadDir("results")
	require.NoError(t, err)
	folder := t.TempDir()
	copied := func(from, to string) {
		data, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, data, 0o666))
	}
	for _, f := range committed {
		if filepath.Ext(f.Name()) == ".json" {
			copied(filepath.Join("results", f.Name()), filepath.Join(folder, f.Name()))
		}
	}
	readme := filepath.Join(t.TempDir(), "README.md")
	copied("../README.md", readme)
	require.NoError(t, draw(folder, readme))

	same := func(want, got string) {
		a, err := os.ReadFile(want)
		require.NoError(t, err)
		b, err := os.ReadFile(got)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(a, b), "%s is not what `make report` makes of the results", want)
	}
	same("../README.md", readme)
	drawn, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, committed, len(drawn), "charts of earlier results")
	for _, f := range drawn {
		// Elsewhere the compiler fuses products and sums of a chart's coordinates.
		if filepath.Ext(f.Name()) == ".svg" && runtime.GOARCH != "amd64" {
			continue
		}
		same(filepath.Join("results", f.Name()), filepath.Join(folder, f.Name()))
	}
}
