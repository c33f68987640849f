package main

import (
	"strings"

	"github.com/gotrellis/trellis/asm"
)

// kernel describes one kernel for all element types and targets.
type kernel struct {
	name            string
	params, results []parameter
	// stub is what the assembly gets, in its order, where that is not params as they are: a
	// view is taken apart.
	stub []parameter
	body func(k *builder)
}

// builder is what a kernel is written with: for one target, and one element type if it
// is a generic one.
type builder struct {
	*asm.Kernel
	F asm.Type // what the element type F stands for
	constants
}

// arrays are those that a loop goes through.
type arrays = []asm.Array

// parameter is a parameter or a result of a Go function or of its assembly.
type parameter struct {
	name    string
	kind    kind
	element element
	value   string // the parameter as its function passes it on, in Go
}

// kind says what a parameter has of its elements.
type kind int

const (
	aNumber kind = iota
	aSlice
	aView // rows with a stride, view.Rows
)

// element is a Go type of numbers, or F: the kernels that name it exist for float32 and
// float64.
type element string

const (
	F    element = "F"
	f64  element = "float64"
	i32  element = "int32"
	u32  element = "uint32"
	ints element = "int"
)

func slice(name string, e element) parameter  { return parameter{name, aSlice, e, name} }
func view(name string, e element) parameter   { return parameter{name, aView, e, name} }
func number(name string, e element) parameter { return parameter{name, aNumber, e, name} }
func integer(name string) parameter           { return number(name, ints) }

// data is the elements of a view, from the first row on.
func (p parameter) data() parameter {
	return parameter{p.name, aSlice, p.element, p.name + ".Data"}
}

// part is an integer that the assembly gets of a parameter.
func (p parameter) part(suffix, value string) parameter {
	return parameter{p.name + suffix, aNumber, ints, value}
}

func (p parameter) columns() parameter    { return p.part("Columns", p.name+".Columns") }
func (p parameter) lastColumn() parameter { return p.part("LastColumn", p.name+".Columns-1") }
func (p parameter) stride() parameter     { return p.part("Stride", p.name+".Stride") }
func (p parameter) length() parameter     { return p.part("Length", "len("+p.name+")") }

// goType returns a parameter's type in Go.
func (p parameter) goType() string {
	switch p.kind {
	case aSlice:
		return "[]" + string(p.element)
	case aView:
		return "view.Rows[" + string(p.element) + "]"
	}
	return string(p.element)
}

// of returns a parameter with t for F.
func (p parameter) of(t asm.Type) parameter {
	if p.element == F {
		p.element = element(t.String())
	}
	return p
}

// list returns parameters as Go declares them: a, b []float64, n int.
func list(params []parameter) string {
	var b strings.Builder
	for i, p := range params {
		b.WriteString(p.name)
		if i+1 == len(params) {
			b.WriteString(" " + p.goType())
			break
		}
		if p.goType() != params[i+1].goType() {
			b.WriteString(" " + p.goType())
		}
		b.WriteString(", ")
	}
	return b.String()
}

// signature returns parameters and results as Go declares them.
func signature(params, results []parameter) string {
	s := "(" + list(params) + ")"
	if len(results) > 0 {
		s += " (" + list(results) + ")"
	}
	return s
}

// isGeneric reports whether the kernel exists for both element types.
func (k kernel) isGeneric() bool {
	for _, p := range k.params {
		if p.element == F {
			return true
		}
	}
	return false
}

// types returns what F stands for in turn; a kernel without F is there once.
func (k kernel) types() []asm.Type {
	if k.isGeneric() {
		return []asm.Type{asm.F32, asm.F64}
	}
	return []asm.Type{asm.F64}
}

// symbol returns the name of the assembly function for a type and a target.
func (k kernel) symbol(t asm.Type, target asm.Target) string {
	suffix := ""
	if k.isGeneric() {
		suffix = map[asm.Type]string{asm.F32: "F32", asm.F64: "F64"}[t]
	}
	return k.name + suffix + target.String()
}

// arguments returns what the assembly gets.
func (k kernel) arguments() []parameter {
	if k.stub != nil {
		return k.stub
	}
	return k.params
}

// stubSignature returns the signature of the assembly function for a type.
func (k kernel) stubSignature(t asm.Type) string {
	with := func(params []parameter) (all []parameter) {
		for _, p := range params {
			all = append(all, p.of(t))
		}
		return all
	}
	return signature(with(k.arguments()), with(k.results))
}
