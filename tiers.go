package trellis

import "github.com/gotrellis/trellis/internal/tier"

// ActiveTier returns the name of the kernels in use: "avx512", "avx2", "neon", or
// "generic" for plain Go. It is the best tier of the machine, unless the environment
// variable TRELLIS_CPU named a lower one when the program started. Results are the
// same bits on all of them.
func ActiveTier() string { return tier.Active.String() }

// Tiers returns the names of all tiers that this machine can run, "generic" first
// and the fastest last.
func Tiers() []string { return tier.Names(tier.Available) }
