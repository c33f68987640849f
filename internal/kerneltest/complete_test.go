package kerneltest

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// moduleRoot is the directory of go.mod.
const moduleRoot = "../.."

// Every package of the module that has assembly has kernels, a dispatcher of each in every
// build, and the three functions that the documentation of this package shows, so that its
// Suite is tested.
func TestPackagesWithAssembly(t *testing.T) {
	packages := packagesWithAssembly(t)
	require.Contains(t, packages, moduleRoot)
	for _, dir := range packages {
		_, err := readPackage(dir)
		assert.NoError(t, err)
		functions, imports := testFunctions(t, dir)
		for name, called := range map[string]string{"TestKernels": "Test", "BenchmarkKernel": "Benchmark", "TestMain": "Main"} {
			f := functions[name]
			assert.True(t, f != nil && names(f.Body)[called], "%s has no %s that calls %s", dir, name, called)
		}
		for _, path := range []string{"kerneltest", "tiertest"} {
			assert.True(t, imports["github.com/gotrellis/trellis/internal/"+path], "%s has no tests with internal/%s", dir, path)
		}
	}
}

// packagesWithAssembly returns the directories with assembly of the module, but not of those
// that are nested in it.
func packagesWithAssembly(t *testing.T) (dirs []string) {
	err := filepath.WalkDir(moduleRoot, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			if dir := filepath.Dir(path); filepath.Ext(path) == ".s" && !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
			return nil
		}
		_, noModule := os.Stat(filepath.Join(path, "go.mod"))
		isOutside := noModule == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")
		if path != moduleRoot && isOutside {
			return fs.SkipDir
		}
		return nil
	})
	require.NoError(t, err)
	return dirs
}

// testFunctions returns the functions of a package's own test files, and what these import.
func testFunctions(t *testing.T, dir string) (functions map[string]*ast.FuncDecl, imports map[string]bool) {
	pkg, err := build.ImportDir(dir, 0)
	require.NoError(t, err)
	functions, imports = map[string]*ast.FuncDecl{}, map[string]bool{}
	for _, path := range pkg.TestImports {
		imports[path] = true
	}
	for _, name := range pkg.TestGoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				functions[f.Name.Name] = f
			}
		}
	}
	return functions, imports
}

// files are the sources of a package with the kernels best, for both types, and count.
var files = map[string]string{
	"go.mod": "module example\n",
	"generic.go": `package example
func bestGeneric[F float32 | float64](x []F) {}
func countGeneric(x []int32) {}
func helper() {}
`,
	"kernels_amd64.go": `//go:build !purego
package example
func best[F float32 | float64](x []F) {
	bestF32AVX2(); bestF32AVX512(); bestF64AVX2(); bestF64AVX512()
	bestGeneric(x)
}
func count(x []int32) { countAVX2(); countAVX512(); countGeneric(x) }
func bestF32AVX2()
func bestF32AVX512()
func bestF64AVX2()
func bestF64AVX512()
func countAVX2()
func countAVX512()
`,
	"kernels_arm64.go": `//go:build !purego
package example
func best[F float32 | float64](x []F) { bestF32NEON(); bestF64NEON(); bestGeneric(x) }
func count(x []int32) { countNEON(); countGeneric(x) }
func bestF32NEON()
func bestF64NEON()
func countNEON()
`,
	"kernels_noasm.go": `//go:build purego || !(amd64 || arm64)
package example
func best[F float32 | float64](x []F) { bestGeneric(x) }
func count(x []int32) { countGeneric(x) }
`,
}

// writePackage writes files with one text replaced by another in one of them.
func writePackage(t *testing.T, name, before, after string) (dir string) {
	dir = t.TempDir()
	for file, text := range files {
		if file == name {
			require.Contains(t, text, before)
			text = strings.Replace(text, before, after, 1)
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
	}
	return dir
}

func TestReadPackage(t *testing.T) {
	kernels, err := readPackage(writePackage(t, "", "", ""))
	require.NoError(t, err)
	assert.Equal(t, []kernel{{"best", true}, {"count", false}}, kernels)

	for _, c := range []struct{ file, before, after, want string }{
		{"generic.go", "countGeneric", "other", "amd64[]: countAVX2 has a body in assembly and is no kernel of a tier"},
		{"generic.go", "func helper", "func newGeneric() {}\nfunc helper", "amd64[]: new has no dispatcher"},
		{"kernels_amd64.go", "countAVX512(); countGeneric", "countGeneric", "the dispatcher count does not call countAVX512"},
		{"kernels_amd64.go", "bestF64AVX2(); ", "", "the dispatcher best does not call bestF64AVX2"},
		{"kernels_arm64.go", "countNEON(); countGeneric(x)", "countNEON()", "arm64[]: the dispatcher count does not call countGeneric"},
		{"kernels_noasm.go", "func count(x []int32) { countGeneric(x) }", "", "riscv64[]: count has no dispatcher"},
		{"kernels_noasm.go", "purego || ", "", "amd64[purego]: best has no dispatcher"},
		{"kernels_arm64.go", "func countNEON", "func restNEON()\nfunc countNEON", "restNEON has a body in assembly and is no kernel"},
	} {
		_, err := readPackage(writePackage(t, c.file, c.before, c.after))
		assert.ErrorContains(t, err, c.want, "%+v", c)
	}
	_, err = readPackage(".")
	assert.ErrorContains(t, err, "no kernel is specified")
}

func TestMissing(t *testing.T) {
	kernels := []kernel{{"best", true}, {"count", false}}
	test := func(*testing.T) {}
	suite := func() Suite {
		works := func(names ...string) func() []Work {
			return func() (all []Work) {
				for _, name := range names {
					all = append(all, NewWork(name, Amount{}, nil))
				}
				return all
			}
		}
		return Suite{
			{"float32", map[string]func(*testing.T){"best": test}, works("best")},
			{"float64", map[string]func(*testing.T){"best": test}, works("best")},
			{"int32", map[string]func(*testing.T){"count": test}, works("count")},
		}
	}
	assert.Empty(t, suite().missing(kernels))
	assert.Equal(t, []string{"count is no kernel", "count is no kernel"}, suite().missing(kernels[:1]))
	assert.Len(t, suite().missing(append(kernels, kernel{"other", false})), 2)

	s := suite()
	delete(s[1].Tests, "best")
	assert.Equal(t, []string{`best has a test for ["float32"]`}, s.missing(kernels))
	s = suite()
	s[2].Works = func() []Work { return nil }
	assert.Equal(t, []string{`count has a benchmark for []`}, s.missing(kernels))
	s = suite()
	s[0].Tests["new"] = test
	assert.Equal(t, []string{"new is no kernel"}, s.missing(kernels))
}
