package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/bench/internal/results"
)

// The report and the sections of the project's pages are what the committed results give.
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
	project := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(project, "docs"), 0o777))
	pages := []string{"README.md", "docs/performance.md"}
	for _, page := range pages {
		copied(filepath.Join("..", page), filepath.Join(project, page))
	}
	require.NoError(t, draw(folder, project))

	same := func(want, got string) {
		a, err := os.ReadFile(want)
		require.NoError(t, err)
		b, err := os.ReadFile(got)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(a, b), "%s is not what `make report` makes of the results", want)
	}
	for _, page := range pages {
		same(filepath.Join("..", page), filepath.Join(project, page))
	}
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

// What the README shows is measured.
func TestInReadme(t *testing.T) {
	all, err := works(1, "emissions")
	require.NoError(t, err)
	var table []string
	for _, w := range all {
		if w.group == results.Table {
			table = append(table, w.name)
		}
	}
	assert.Subset(t, table, inReadme)
}
