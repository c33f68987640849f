package asm

import (
	"fmt"
	"go/token"
	"go/types"

	"github.com/mmcloughlin/avo/gotypes"
)

// Target is an instruction set that kernels are lowered to.
type Target uint8

const (
	AVX2   Target = iota // with FMA
	AVX512               // F, BW, DQ and VL, beside AVX2 and FMA
	NEON                 // Advanced SIMD, as every arm64 has it
)

// String returns "AVX2", "AVX512" or "NEON": the end of a kernel's name.
func (t Target) String() string { return []string{"AVX2", "AVX512", "NEON"}[t] }

// Arch returns the GOARCH of a target.
func (t Target) Arch() string { return []string{"amd64", "amd64", "arm64"}[t] }

// File is an assembly file with kernels for targets of one architecture.
type File struct {
	// Package is the name of the package that the file belongs to.
	Package string
	// Constraint is the file's build constraint, as in "!purego".
	Constraint string
	// Generator is named in the file's first line.
	Generator string

	kernels []*Kernel
}

// Kernel adds a function. Its signature, as in "func(x []float32, m float32) (sum
// float32)", has parameters of basic types and slices of them. Body describes what
// it does; the function returns where body ends.
func (f *File) Kernel(target Target, name, signature string, doc []string, body func(k *Kernel)) {
	value, err := types.Eval(token.NewFileSet(), nil, token.NoPos, signature)
	if err != nil {
		panic(fmt.Sprintf("asm: %s: %v", name, err))
	}
	s := value.Type.(*types.Signature)
	k := &Kernel{name: name, doc: doc, parameters: s.Params(), signature: gotypes.NewSignature(nil, s), target: target}
	body(k)
	k.check()
	if len(f.kernels) > 0 && f.kernels[0].target.Arch() != target.Arch() {
		k.fail("a file has kernels of one architecture")
	}
	f.kernels = append(f.kernels, k)
}

// Assemble returns the file's text in Go's assembly language.
func (f *File) Assemble() ([]byte, error) {
	if len(f.kernels) == 0 {
		return nil, fmt.Errorf("asm: a file without kernels")
	}
	if f.kernels[0].target == NEON {
		return assembleARM64(f)
	}
	return assembleAMD64(f)
}
