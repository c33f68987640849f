package kerneltest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotrellis/trellis/internal/tier"
)

// builds are what the kernels of a package are built for, and the tiers whose assembly
// each has. riscv64 stands for all architectures without any.
var builds = []struct {
	arch  string
	tags  []string
	tiers []tier.Tier
}{
	{"amd64", nil, []tier.Tier{tier.AVX2, tier.AVX512}},
	{"arm64", nil, []tier.Tier{tier.NEON}},
	{"riscv64", nil, nil},
	{"amd64", []string{"purego"}, nil},
	{"arm64", []string{"purego"}, nil},
}

// kernel is one as its package declares it.
type kernel struct {
	name    string
	forBoth bool // it exists for float32 and float64, else for one type
}

// readPackage returns the kernels of the package in dir, in order: every function
// xGeneric in generic*.go is one. It reports one that has no dispatcher x in a build, or a
// dispatcher that leaves out a tier, and assembly that no dispatcher calls.
func readPackage(dir string) ([]kernel, error) {
	var kernels []kernel
	for _, b := range builds {
		context := build.Default
		context.GOOS, context.GOARCH, context.BuildTags, context.CgoEnabled = "linux", b.arch, b.tags, false
		pkg, err := context.ImportDir(dir, 0)
		if err != nil {
			return nil, err
		}
		functions, err := functionsOf(dir, pkg.GoFiles)
		if err != nil {
			return nil, err
		}
		kernels = specified(functions)
		if err := checkDispatchers(kernels, functions, b.tiers); err != nil {
			return nil, fmt.Errorf("%s, %s%v: %w", dir, b.arch, b.tags, err)
		}
	}
	if len(kernels) == 0 {
		return nil, fmt.Errorf("%s: no kernel is specified in generic*.go", dir)
	}
	return kernels, nil
}

// function is one of a package's, and the file that has it.
type function struct {
	*ast.FuncDecl
	file string
}

// functionsOf returns the functions of some files by their names.
func functionsOf(dir string, files []string) (map[string]function, error) {
	all := map[string]function{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				all[f.Name.Name] = function{f, name}
			}
		}
	}
	return all, nil
}

// specified returns the kernels that have a specification.
func specified(functions map[string]function) (kernels []kernel) {
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		f := functions[name]
		if name, ok := strings.CutSuffix(name, "Generic"); ok && strings.HasPrefix(f.file, "generic") {
			kernels = append(kernels, kernel{name, f.Type.TypeParams != nil})
		}
	}
	return kernels
}

// checkDispatchers reports dispatchers that do not call what they should.
func checkDispatchers(kernels []kernel, functions map[string]function, tiers []tier.Tier) error {
	var wrong []error
	stubs := map[string]bool{}
	for name, f := range functions {
		if f.Body == nil {
			stubs[name] = true
		}
	}
	for _, k := range kernels {
		dispatcher, ok := functions[k.name]
		if !ok || dispatcher.Body == nil {
			wrong = append(wrong, fmt.Errorf("%s has no dispatcher", k.name))
			continue
		}
		called := names(dispatcher.Body)
		for _, callee := range append(k.stubs(tiers), k.name+"Generic") {
			if !called[callee] {
				wrong = append(wrong, fmt.Errorf("the dispatcher %s does not call %s", k.name, callee))
			}
			delete(stubs, callee)
		}
	}
	for _, stub := range slices.Sorted(maps.Keys(stubs)) {
		wrong = append(wrong, fmt.Errorf("%s has a body in assembly and is no kernel of a tier", stub))
	}
	return errors.Join(wrong...)
}

// stubs returns the names of a kernel's assembly for some tiers.
func (k kernel) stubs(tiers []tier.Tier) (all []string) {
	types := []string{""}
	if k.forBoth {
		types = []string{"F32", "F64"}
	}
	for _, t := range tiers {
		for _, element := range types {
			all = append(all, k.name+element+strings.ToUpper(t.String()))
		}
	}
	return all
}

// names returns the identifiers in a function's body.
func names(body *ast.BlockStmt) map[string]bool {
	all := map[string]bool{}
	ast.Inspect(body, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			all[id.Name] = true
		}
		return true
	})
	return all
}

// missing says what is missing in s for it to have each of the kernels once with a test and
// once with a benchmark, for each type that there is, and what is there of none.
func (s Suite) missing(kernels []kernel) (all []string) {
	tests, works := map[string][]string{}, map[string][]string{} // types by kernel
	for _, k := range s {
		for name := range k.Tests {
			tests[name] = append(tests[name], k.Type)
		}
		for _, w := range k.Works() {
			works[w.Kernel] = append(works[w.Kernel], k.Type)
		}
	}
	for _, k := range kernels {
		for what, types := range map[string][]string{"test": tests[k.name], "benchmark": works[k.name]} {
			slices.Sort(types)
			if k.forBoth && !slices.Equal(types, []string{"float32", "float64"}) || !k.forBoth && len(types) != 1 {
				all = append(all, fmt.Sprintf("%s has a %s for %q", k.name, what, types))
			}
		}
		delete(tests, k.name)
		delete(works, k.name)
	}
	for _, none := range []map[string][]string{tests, works} {
		for _, name := range slices.Sorted(maps.Keys(none)) {
			all = append(all, name+" is no kernel")
		}
	}
	return all
}
