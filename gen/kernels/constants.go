package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
)

// constants are those of the plain Go, by name.
type constants map[string]float64

// readConstants reads the constants of Go files, tests left out, as if all files were of
// one package, so that plain Go and assembly have the same.
func readConstants(patterns ...string) (constants, error) {
	set := token.NewFileSet()
	var files []*ast.File
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return nil, err
			}
			file.Decls = slices.DeleteFunc(file.Decls, func(d ast.Decl) bool {
				g, ok := d.(*ast.GenDecl)
				return !ok || g.Tok != token.CONST
			})
			file.Name.Name = "constants"
			files = append(files, file)
		}
	}
	pkg, err := new(types.Config).Check("constants", set, files, nil)
	if err != nil {
		return nil, err
	}
	all := constants{}
	for _, name := range pkg.Scope().Names() {
		if c, ok := pkg.Scope().Lookup(name).(*types.Const); ok {
			all[name], _ = constant.Float64Val(c.Val())
		}
	}
	return all, nil
}

// get returns a constant that must be there.
func (c constants) get(format string, a ...any) float64 {
	name := fmt.Sprintf(format, a...)
	x, ok := c[name]
	if !ok {
		panic("kernels: there is no constant " + name)
	}
	return x
}
