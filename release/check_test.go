package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// small is a repository of two modules that nothing keeps from being tagged as v0.1.0.
func small() map[string]string {
	return map[string]string{
		"LICENSE":      "None.\n",
		"CHANGELOG.md": "# Changelog\n\n## [0.1.0] - 2001-02-03\n\nA constant.\n",
		"go.mod":       "module example.com/small\n\ngo 1.26\n",
		"small.go":     "package small\n\nconst Zero = 0\n",
		"go.work": `go 1.26

use (
	.
	./cmd/tool
)

// A comment.
replace example.com/small v0.1.0 => .
`,
		"cmd/tool/go.mod": `module example.com/small/cmd/tool

go 1.26

require example.com/small v0.1.0
`,
		"cmd/tool/main.go": `package main

import "example.com/small"

func main() { println(small.Zero) }
`,
	}
}

// repository commits files to a new repository and returns where it is.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, dir, name, text)
	}
	_, err := git(dir, "init", "--quiet")
	require.NoError(t, err)
	require.NoError(t, (&tree{dir: dir}).commit())
	return dir
}

func TestTags(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	source := repository(t, small())
	head, err := git(source, "rev-parse", "HEAD")
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, run(&out, filepath.Join(source, "cmd"), "", false, ""))
	assert.Equal(t, `example.com/small                             v0.1.0     2 KiB
example.com/small/cmd/tool                    v0.1.0     1 KiB

Nothing is in the way of v0.1.0:

  git tag v0.1.0 HEAD
  git tag cmd/tool/v0.1.0 HEAD
  git push --atomic origin v0.1.0 cmd/tool/v0.1.0
`, strings.ReplaceAll(out.String(), head, "HEAD"))
	tags, err := git(source, "tag", "--list")
	require.NoError(t, err)
	assert.Empty(t, tags)
}

func TestProblemsOfTheRepository(t *testing.T) {
	change := func(name, from, to string) func(t *testing.T, files map[string]string) {
		return func(t *testing.T, files map[string]string) {
			require.Contains(t, files[name], from)
			files[name] = strings.Replace(files[name], from, to, 1)
		}
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, files map[string]string)
		want   string
	}{
		"a replacement":           {change("cmd/tool/go.mod", "\nrequire", "\nreplace example.com/small => ../..\n\nrequire"), "cmd/tool/go.mod replaces modules, which go install refuses."},
		"another version":         {change("cmd/tool/go.mod", "v0.1.0", "v0.0.9"), "cmd/tool/go.mod requires example.com/small@v0.0.9, not v0.1.0: make tidy VERSION=v0.1.0"},
		"another path":            {change("cmd/tool/go.mod", "cmd/tool", "tool"), "cmd/tool/go.mod: the module is example.com/small/tool, not example.com/small/cmd/tool."},
		"outside the workspace":   {change("go.work", "\t./cmd/tool\n", ""), "go.work does not use cmd/tool."},
		"another version's files": {change("go.work", "v0.1.0", "v0.0.9"), "go.work has no replace example.com/small v0.1.0 by the files in .."},
		"unreleased":              {change("CHANGELOG.md", "[0.1.0] - 2001-02-03", "[Unreleased]"), "CHANGELOG.md has no section ## [0.1.0] - YYYY-MM-DD."},
		"no changelog":            {func(t *testing.T, files map[string]string) { delete(files, "CHANGELOG.md") }, "CHANGELOG.md has no section ## [0.1.0] - YYYY-MM-DD."},
	} {
		t.Run(name, func(t *testing.T) {
			files := small()
			c.change(t, files)
			assert.Equal(t, []string{c.want}, problemsOfRepository(t, repository(t, files)))
		})
	}
	t.Run("a workspace of its own", func(t *testing.T) {
		files := small()
		files["cmd/tool/go.work"] = "go 1.26\n\nuse .\n"
		assert.Equal(t, []string{"cmd/tool/go.work has no replace example.com/small v0.1.0 by the files in .."}, problemsOfRepository(t, repository(t, files)))
		files["cmd/tool/go.work"] = "go 1.26\n\nuse ../..\n\nreplace example.com/small v0.1.0 => ../..\n"
		assert.Equal(t, []string{"cmd/tool/go.work does not use cmd/tool."}, problemsOfRepository(t, repository(t, files)))
		files["cmd/tool/go.work"] = "go 1.26\n\nuse (\n\t.\n\t../..\n)\n\nreplace example.com/small v0.1.0 => ../..\n"
		assert.Empty(t, problemsOfRepository(t, repository(t, files)))
	})
	t.Run("a change", func(t *testing.T) {
		source := repository(t, small())
		write(t, source, "small.go", "package small\n\nconst Zero = 1\n")
		assert.Equal(t, []string{"There are changes that are not committed:\n M small.go"}, problemsOfRepository(t, source))
	})
	t.Run("a tag", func(t *testing.T) {
		source := repository(t, small())
		_, err := git(source, "tag", "cmd/tool/v0.1.0")
		require.NoError(t, err)
		assert.Equal(t, []string{"There is a tag cmd/tool/v0.1.0."}, problemsOfRepository(t, source))
	})
}

func problemsOfRepository(t *testing.T, source string) []string {
	tr, err := copyTree(source, filepath.Join(t.TempDir(), "tree"))
	require.NoError(t, err)
	problems, err := checkRepository(source, tr, "v0.1.0")
	require.NoError(t, err)
	return append(problems, checkRequirements(tr, "v0.1.0")...)
}

func TestProblemsOfModules(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"a comment that is wrong": {
			map[string]string{"cmd/tool/go.mod": strings.TrimSuffix(small()["cmd/tool/go.mod"], "\n") + " // indirect\n"},
			[]string{"cmd/tool/go.mod is not tidy: make tidy"},
		},
		"a hash of what is not released": {
			map[string]string{"cmd/tool/go.sum": "example.com/small v0.1.0/go.mod h1:vJ3fNGxL9r+cXPzbXDdMFyIpHKsm5i5ZJkBRo5EzEjY=\n"},
			[]string{"cmd/tool/go.sum is not tidy: make tidy"},
		},
		"packages that do not compile": {
			map[string]string{"cmd/tool/main.go": "package main\n\nimport \"example.com/small\"\n\nfunc main() { small.One() }\n"},
			[]string{"undefined: small.One"},
		},
		"a file that no zip can have": {
			map[string]string{"a:b": ""},
			[]string{"malformed file path"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := small()
			maps.Copy(files, c.files)
			tr, err := copyTree(repository(t, files), filepath.Join(t.TempDir(), "tree"))
			require.NoError(t, err)
			p, err := newProxy(t.TempDir(), tr, "v0.1.0")
			require.NoError(t, err)
			var out strings.Builder
			problems, err := checkModules(&out, tr, p)
			require.NoError(t, err)
			require.Len(t, problems, len(c.want), problems)
			for i, want := range c.want {
				assert.Contains(t, problems[i], want)
			}
		})
	}
}

func TestTidy(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	files := small()
	files["cmd/tool/go.mod"] = strings.TrimSuffix(files["cmd/tool/go.mod"], "\n") + " // indirect\n"
	files["cmd/tool/go.work"] = "go 1.26\n\nuse (\n\t.\n\t../..\n)\n\nreplace example.com/small v0.1.0 => ../..\n"
	source := repository(t, files)
	var out strings.Builder
	require.NoError(t, run(&out, source, "v0.2.0", true, ""))
	assert.Equal(t, "changed go.work\nchanged cmd/tool/go.work\nchanged cmd/tool/go.mod\n", out.String())
	files["cmd/tool/go.mod"] = small()["cmd/tool/go.mod"]
	for _, name := range []string{"go.work", "cmd/tool/go.work", "cmd/tool/go.mod"} {
		data, err := os.ReadFile(filepath.Join(source, name))
		require.NoError(t, err)
		assert.Equal(t, strings.ReplaceAll(files[name], "v0.1.0", "v0.2.0"), string(data))
	}
	changes, err := git(source, "status", "--porcelain")
	require.NoError(t, err)
	assert.Equal(t, " M cmd/tool/go.mod\n M cmd/tool/go.work\n M go.work", changes)

	out.Reset()
	require.NoError(t, run(&out, source, "", true, ""))
	assert.Empty(t, out.String())
}

func TestVersions(t *testing.T) {
	source := repository(t, small())
	for version, want := range map[string]string{
		"0.1.0":  `"0.1.0" is not a version such as v0.1.0`,
		"v0.1":   `"v0.1" is not a version such as v0.1.0`,
		"v2.0.0": "should be v0 or v1, not v2",
	} {
		var out strings.Builder
		assert.ErrorContains(t, run(&out, source, version, false, ""), want)
	}
}
