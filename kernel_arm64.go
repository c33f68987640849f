//go:build !purego

package trellis

import "golang.org/x/sys/cpu"

// assemblyTiers returns the tiers whose instructions the processor has.
func assemblyTiers() []cpuTier {
	if cpu.ARM64.HasASIMD {
		return []cpuTier{neon}
	}
	return nil
}
