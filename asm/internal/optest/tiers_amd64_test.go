package optest

import (
	"golang.org/x/sys/cpu"

	"github.com/gotrellis/trellis/asm"
)

var tiers = []tier{
	{asm.AVX2, cpu.X86.HasAVX2 && cpu.X86.HasFMA},
	{asm.AVX512, cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW &&
		cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL},
}
