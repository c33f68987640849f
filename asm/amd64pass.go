package asm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mmcloughlin/avo/ir"
)

// checkVEX reports a kernel for AVX2 that needs AVX-512: an instruction or a
// register that only it has.
func checkVEX(functions []*ir.Function, k *Kernel) error {
	i := slices.IndexFunc(functions, func(f *ir.Function) bool { return f.Name == k.name })
	if k.target != AVX2 {
		return nil
	}
	for _, isa := range functions[i].ISA {
		if strings.HasPrefix(isa, "AVX512") {
			return fmt.Errorf("asm: %s: a kernel for AVX2 requires %s", k.name, isa)
		}
	}
	for _, in := range functions[i].Instructions() {
		for _, o := range in.Operands {
			name := o.Asm()
			for _, class := range [...]string{"X", "Y", "Z"} {
				if n, ok := strings.CutPrefix(name, class); ok && len(n) == 2 && n >= "16" && n <= "31" {
					return fmt.Errorf("asm: %s: a kernel for AVX2 uses the register %s", k.name, name)
				}
			}
		}
	}
	return nil
}

// pruneMoves removes moves of a register to itself, which remain where two values
// got the same register.
func pruneMoves(f *ir.Function) error {
	f.Nodes = slices.DeleteFunc(f.Nodes, func(n ir.Node) bool {
		in, ok := n.(*ir.Instruction)
		return ok && (in.Opcode == "MOVQ" || in.Opcode == "VMOVAPS") && len(in.Operands) == 2 && in.Operands[0] == in.Operands[1]
	})
	return nil
}
