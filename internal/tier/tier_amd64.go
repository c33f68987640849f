//go:build !purego

package tier

import "golang.org/x/sys/cpu"

// assembly returns the tiers whose instructions the processor has, each bit named, since
// a bit can be switched off without those that build on it.
func assembly() (tiers []Tier) {
	if !(cpu.X86.HasAVX && cpu.X86.HasAVX2 && cpu.X86.HasFMA) {
		return nil
	}
	tiers = append(tiers, AVX2)
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL {
		tiers = append(tiers, AVX512)
	}
	return tiers
}
