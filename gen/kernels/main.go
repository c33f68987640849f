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

// packages lists the packages that kernels are written into. The plain Go of a kernel
// x is xGeneric, in a file generic*.go of its package.
var packages = []pkg{
	{".", "trellis", []group{
		{"logsumexp", append(append(logSumExp(), softmax()...), gathers()...)},
		{"argmax", argMaxes()},
		{"strided", strided()},
		{"ctc", ctc()},
		{"align", align()},
	}},
	{"decode", "decode", []group{{"classes", classes()}}},
}

func main() {
	root := flag.String("root", ".", "the `folder` of the root module, which is read and written")
	flag.Parse()
	if err := write(*root); err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
}

// write writes the files of all packages.
func write(root string) error {
	for _, p := range packages {
		files, err := p.files(root)
		if err != nil {
			return err
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(root, p.folder, name), text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	module    = "github.com/gotrellis/trellis"
	generator = "gen/kernels"
	// withAssembly is the build constraint of what needs it, beside the architecture.
	withAssembly = "!purego"
)

// architectures lists the targets of each, the best one first.
var architectures = map[string][]asm.Target{
	"amd64": {asm.AVX512, asm.AVX2},
	"arm64": {asm.NEON},
}

// pkg is a package of the root module that kernels are written into: its folder, its name,
// and groups of kernels, each of which becomes an assembly file for every architecture.
type pkg struct {
	folder, name string
	groups       []group
}

// group is the kernels of one assembly file.
type group struct {
	name    string
	kernels []kernel
}

// kernels returns those of all groups.
func (p pkg) kernels() (all []kernel) {
	for _, g := range p.groups {
		all = append(all, g.kernels...)
	}
	return all
}

// files returns what the package gets, by the files' names.
func (p pkg) files(root string) (map[string][]byte, error) {
	c, err := readConstants(filepath.Join(root, "internal/fp/*.go"), filepath.Join(root, p.folder, "generic*.go"))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for arch, targets := range architectures {
		for _, g := range p.groups {
			if files[g.name+"_"+arch+".s"], err = p.assembly(g, targets, c); err != nil {
				return nil, err
			}
		}
		if files["kernels_"+arch+".go"], err = p.dispatchers(targets); err != nil {
			return nil, err
		}
	}
	files["kernels_noasm.go"], err = p.dispatchers(nil)
	return files, err
}

// assembly returns the assembly file of a group.
func (p pkg) assembly(g group, targets []asm.Target, c constants) ([]byte, error) {
	f := &asm.File{Package: p.name, Constraint: withAssembly, Generator: generator}
	for _, k := range g.kernels {
		for _, t := range k.types() {
			for _, target := range targets {
				name := k.symbol(t, target)
				doc := name + " is " + k.name + "Generic"
				if k.isGeneric() {
					doc += " for " + t.String()
				}
				f.Kernel(target, name, "func"+k.stubSignature(t), []string{doc + "."}, func(b *asm.Kernel) {
					k.body(&builder{b, t, c})
				})
			}
		}
	}
	return f.Assemble()
}
