package trellis_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Wherever Go builds them, packages of the module have the files that they have on one of these
// platforms. Make has tests or vet for all but the last: no assembly, an int of 64 bits, and
// nothing of what Linux and macOS have. (go vet for each would compile all that they import.)
func TestEveryArchitecture(t *testing.T) {
	if testing.Short() {
		t.Skip("the files are the same on every machine")
	}
	known := map[string]bool{}
	for _, platform := range []string{"linux/amd64", "linux/arm64", "linux/386", "js/wasm"} {
		for _, files := range filesFor(t, platform) {
			known[files] = true
		}
	}
	platforms, err := exec.Command("go", "tool", "dist", "list").Output()
	require.NoError(t, err)
	for _, platform := range strings.Fields(string(platforms)) {
		for _, files := range filesFor(t, platform) {
			assert.True(t, known[files], "only %s has %s", platform, files)
		}
	}

	checked := checkedPackages{}
	for _, p := range listPackages(t, "js", "wasm") {
		checked.add(t, p, types.SizesFor("gc", "wasm"))
	}
	assert.Contains(t, checked, "github.com/gotrellis/trellis")
}

// filesFor returns the files of each package of the module on a platform, as lines of text.
func filesFor(t *testing.T, platform string) (all []string) {
	context := build.Default
	context.GOOS, context.GOARCH, _ = strings.Cut(platform, "/")
	context.CgoEnabled = false
	dirs, err := filepath.Glob("internal/*")
	require.NoError(t, err)
	for _, dir := range append(dirs, ".") {
		p, err := context.ImportDir(dir, 0)
		require.NoError(t, err, platform)
		all = append(all, fmt.Sprint(dir, ": ", p.GoFiles, p.SFiles, p.TestGoFiles, p.XTestGoFiles))
	}
	return all
}

// listedPackage is one as go list describes it.
type listedPackage struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string // what an import path in a file stands for
	DepOnly         bool              // it is imported, but not of the module
}

// listPackages returns all packages and tests of the module behind what they import.
func listPackages(t *testing.T, system, arch string) (all []listedPackage) {
	list := exec.Command("go", "list", "-deps", "-test", "-json=ImportPath,Dir,GoFiles,ImportMap,DepOnly", "./...")
	list.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0")
	out, err := list.Output()
	require.NoError(t, err)
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else {
			require.NoError(t, err)
		}
		all = append(all, p)
	}
}

// checkedPackages are those whose types are known, by their import paths.
type checkedPackages map[string]*types.Package

// add checks the types of a package. Of those that are imported it looks at declarations alone.
func (c checkedPackages) add(t *testing.T, p listedPackage, sizes types.Sizes) {
	if p.ImportPath == "unsafe" || strings.HasSuffix(p.ImportPath, ".test") { // the main package of a test
		return
	}
	config := types.Config{Sizes: sizes, IgnoreFuncBodies: p.DepOnly, Importer: importFunc(func(path string) (*types.Package, error) {
		if mapped, ok := p.ImportMap[path]; ok {
			path = mapped
		}
		if path == "unsafe" {
			return types.Unsafe, nil
		}
		return c[path], nil
	})}
	if p.DepOnly {
		config.Error = func(error) {} // what the compiler alone knows of
	}
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
	}
	path, _, _ := strings.Cut(p.ImportPath, " ") // " [x.test]" is a package with its tests
	pkg, err := config.Check(path, set, files, nil)
	if !p.DepOnly {
		assert.NoError(t, err)
	}
	c[p.ImportPath] = pkg
}

type importFunc func(path string) (*types.Package, error)

func (f importFunc) Import(path string) (*types.Package, error) { return f(path) }
