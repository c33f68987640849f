package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

func TestMain(m *testing.M) {
	forgetRepository()
	os.Exit(m.Run())
}

// This repository, as it is in the working tree, seen by those who install it.
func TestFromTheProxy(t *testing.T) {
	source, err := git(".", "rev-parse", "--show-toplevel")
	require.NoError(t, err)
	temp := t.TempDir()
	tr, err := copyTree(source, filepath.Join(temp, "tree"))
	require.NoError(t, err)
	version := tr.required()
	assert.Empty(t, checkRequirements(tr, version))
	require.NoError(t, tr.require(version))
	p, err := newProxy(filepath.Join(temp, "proxy"), tr, version)
	require.NoError(t, err)
	for _, m := range tr.modules {
		_, err := p.publish(m)
		require.NoError(t, err)
	}

	t.Run("install", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		p := *p
		p.env = append(slices.Clone(p.env), "GOBIN="+dir)
		mustGo(t, &p, dir, "install", "github.com/gotrellis/trellis/cmd/trellis@"+version)
		out, err := output(exec.Command(filepath.Join(dir, "trellis")))
		require.NoError(t, err)
		assert.Contains(t, out, "All are within what is promised")
	})

	t.Run("library", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, dir, "main.go", `package main

import (
	"fmt"

	"github.com/gotrellis/trellis"
)

func main() { fmt.Printf("%.6f\n", trellis.LogSumExp([]float64{1, 2, 3})) }
`)
		mustGo(t, p, dir, "mod", "init", "example.com/program")
		mustGo(t, p, dir, "get", "github.com/gotrellis/trellis@"+version)
		assert.Equal(t, "3.407606", mustGo(t, p, dir, "run", "."))
		mustGo(t, p, dir, "mod", "tidy")
		var needed []string
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		require.NoError(t, err)
		file, err := modfile.Parse("go.mod", data, nil)
		require.NoError(t, err)
		for _, r := range file.Require {
			needed = append(needed, r.Mod.Path)
		}
		assert.Equal(t, []string{"github.com/gotrellis/trellis", "golang.org/x/sys"}, needed)
	})

	t.Run("clone", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "clone")
		_, err := git(temp, "clone", "--quiet", tr.dir, dir)
		require.NoError(t, err)
		for _, m := range tr.modules {
			cmd := exec.Command("go", "generate", "./...")
			cmd.Dir = filepath.Join(dir, m.dir)
			_, err := output(cmd)
			require.NoError(t, err)
		}
		changes, err := git(dir, "status", "--porcelain")
		require.NoError(t, err)
		assert.Empty(t, changes, "go generate changes files")
	})
}

func mustGo(t *testing.T, p *proxy, dir string, args ...string) string {
	t.Helper()
	out, err := p.goCommand(dir, args...)
	require.NoError(t, err)
	return out
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o777))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o666))
}
