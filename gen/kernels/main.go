// Kernels writes trellis's assembly kernels, their stubs and the functions that
// choose among them. Every kernel is described once here, in terms of
// trellis/asm, and lowered to AVX2, AVX-512 and NEON.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gotrellis/trellis/asm"
)

func main() {
	root := flag.String("o", ".", "write the generated files to `folder`, which has polynomials.go and exp.go")
	flag.Parse()
	if err := generate(*root); err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
}

// generate writes all files.
func generate(root string) error {
	c, err := readConstants(filepath.Join(root, "polynomials.go"), filepath.Join(root, "exp.go"), filepath.Join(root, "generic.go"))
	if err != nil {
		return err
	}
	groups := []group{logSumExp(c), softmax(c), strided(c), gather(), ctc(c)}
	files := map[string][]byte{}
	for _, g := range groups {
		for arch, targets := range architectures {
			base := g.name + "_" + arch
			if files[base+".s"], err = g.assemble(targets); err != nil {
				return err
			}
			if files[base+".go"], err = g.dispatch(arch, targets); err != nil {
				return err
			}
		}
	}
	if files["kernel_noasm.go"], err = dispatchGeneric(groups); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

const generator = "gen/kernels"

// architectures lists the targets of each, the best one first.
var architectures = map[string][]asm.Target{
	"amd64": {asm.AVX512, asm.AVX2},
	"arm64": {asm.NEON},
}

// group is the kernels of one file.
type group struct {
	name    string
	kernels []kernel
}

// kernel describes one kernel for all element types and targets.
type kernel struct {
	name  string
	types []asm.Type
	// The parameters and results, where F is the element type: "x []F, m F".
	params, results string
	// describe writes the kernel for one element type.
	describe func(k *asm.Kernel, t asm.Type)
}

var floats = []asm.Type{asm.F32, asm.F64}

// assemble returns the group's assembly file.
func (g group) assemble(targets []asm.Target) ([]byte, error) {
	f := &asm.File{Package: "trellis", Constraint: "!purego", Generator: generator}
	for _, k := range g.kernels {
		for _, t := range k.types {
			for _, target := range targets {
				doc := []string{k.function(t, target) + " is " + k.name + "Generic for " + t.String() + "."}
				f.Kernel(target, k.function(t, target), "func("+k.typed(k.params, t)+") ("+k.typed(k.results, t)+")", doc,
					func(b *asm.Kernel) { k.describe(b, t) })
			}
		}
	}
	return f.Assemble()
}
