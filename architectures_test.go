package trellis_test

import (
	"encoding/json"
	"errors"
	"go/ast"
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

// Every package of the module and its tests have the right types wherever Go builds them: with
// the files that are built there, and integers of the size that they have there. (go vet would
// compile all that they import for each architecture, which takes minutes.)
func TestEveryArchitecture(t *testing.T) {
	if testing.Short() {
		t.Skip("the files are the same on every machine")
	}
	// No assembly and an int of 32 bits; no assembly, and none of what Linux and macOS have.
	for _, platform := range []string{"linux/386", "js/wasm"} {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			system, arch, _ := strings.Cut(platform, "/")
			checked := checkedPackages{}
			for _, p := range listPackages(t, system, arch) {
				checked.add(t, p, types.SizesFor("gc", arch))
			}
			assert.Contains(t, checked, "github.com/gotrellis/trellis")
		})
	}
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
