package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/asm"
)

const root = "../.."

// The files of the root module are those that would be written now, and complete: each of
// the three Go files has a function for every kernel, and those for an architecture a
// stub for all that their assembly has.
func TestFiles(t *testing.T) {
	for _, p := range packages {
		files, err := p.files(root)
		require.NoError(t, err)
		for name, want := range files {
			got, err := os.ReadFile(filepath.Join(root, p.folder, name))
			require.NoError(t, err)
			assert.True(t, string(want) == string(got), "%s is out of date: run go generate", name)
		}
		for name, targets := range map[string][]asm.Target{
			"kernels_amd64.go": {asm.AVX2, asm.AVX512}, "kernels_arm64.go": {asm.NEON}, "kernels_noasm.go": nil,
		} {
			var wantFunctions, wantStubs []string
			for _, k := range p.kernels() {
				wantFunctions = append(wantFunctions, k.name)
				for _, target := range targets {
					for _, typ := range k.types() {
						wantStubs = append(wantStubs, k.symbol(typ, target))
					}
				}
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, files[name], 0)
			require.NoError(t, err)
			var functions, stubs []string
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Body == nil {
					stubs = append(stubs, f.Name.Name)
				} else if ok {
					functions = append(functions, f.Name.Name)
				}
			}
			assert.ElementsMatch(t, wantFunctions, functions, name)
			assert.ElementsMatch(t, wantStubs, stubs, name)
		}
	}
}

// Kernels can be written into a package of their own, here one in a copy of the root
// module, for which the compiler, the assembler and vet have to find no fault with them.
func TestAnotherPackage(t *testing.T) {
	example := pkg{"internal/example", "example", []group{{"rows", []kernel{scale(), maxIndex(), toColumns()}}, {"trellis", []kernel{forward()}}}}
	files, err := example.files(root)
	require.NoError(t, err)
	files["generic.go"] = []byte(`package example

import (
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
)

func scaleGeneric[F fp.Float](dst []F, factor F)                            {}
func maxIndexGeneric(index []int32) (most uint32)                           { return 0 }
func toColumnsGeneric[F fp.Float](dst, x view.Rows[F], count int) {}

func forwardGeneric(alpha view.Rows[float64], boundary, column []float64, y view.Rows[float64], factors []float64, positions, frames int) {
}

// Use calls every kernel.
func Use(x []float64, index []int32) {
	scale(x, 2)
	_ = maxIndex(index)
	toColumns(view.Rows[float64]{}, view.Rows[float64]{}, 1)
	forward(view.Rows[float64]{}, x, x, view.Rows[float64]{}, x, 0, 1)
}
`)
	module := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(module, "internal"), os.DirFS(filepath.Join(root, "internal"))))
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		files["../../"+name] = text
	}
	require.NoError(t, os.Mkdir(filepath.Join(module, example.folder), 0o755))
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(module, example.folder, name), text, 0o644))
	}
	for _, c := range []struct{ arch, command string }{
		{"amd64", "build"}, {"amd64", "vet -asmdecl"}, {"arm64", "build"}, {"arm64", "vet -asmdecl"},
		{"riscv64", "build"}, {"amd64", "build -tags=purego"},
	} {
		cmd := exec.Command("go", append(strings.Fields(c.command), "./"+example.folder)...)
		cmd.Dir = module
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOOS=linux", "GOARCH="+c.arch, "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, "%s for %s: %s", c.command, c.arch, out)
	}
}
