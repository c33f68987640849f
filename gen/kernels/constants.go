package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
)

// constants are those that gen/fit has written, by name.
type constants map[string]float64

// readConstants reads them from their Go source, so that plain Go and assembly
// have the same.
func readConstants(path string) (constants, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, 0)
	if err != nil {
		return nil, err
	}
	config := types.Config{Importer: importer.Default()}
	pkg, err := config.Check("trellis", set, []*ast.File{file}, nil)
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
		panic("kernels: polynomials.go has no " + name)
	}
	return x
}
