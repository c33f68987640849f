//go:build !purego

package tier

import "golang.org/x/sys/cpu"

// assembly returns the tiers whose instructions the processor has.
func assembly() []Tier {
	if cpu.ARM64.HasASIMD {
		return []Tier{NEON}
	}
	return nil
}
