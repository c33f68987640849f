package trellis

import (
	"os"
	"slices"
	"unsafe"
)

// cpuTier is an instruction set that the kernels are written for, or generic.
type cpuTier uint8

const (
	generic cpuTier = iota
	neon
	avx2
	avx512
)

var tierNames = [...]string{"generic", "neon", "avx2", "avx512"}

func (t cpuTier) String() string { return tierNames[t] }

// tiers are those that this machine can run, the best one last.
var tiers = append([]cpuTier{generic}, assemblyTiers()...)

// tier is the one in use.
var tier = chooseTier(os.Getenv("TRELLIS_CPU"))

// chooseTier returns the best tier that is not above the one that is named; there is
// no limit without a name, and a name that this machine does not know is generic.
func chooseTier(name string) cpuTier {
	limit := cpuTier(max(0, slices.Index(tierNames[:], name)))
	if name == "" {
		limit = avx512
	}
	best := generic
	for _, t := range tiers {
		if t <= limit {
			best = t
		}
	}
	return best
}

// ActiveTier returns the name of the kernels in use: "avx512", "avx2", "neon", or
// "generic" for plain Go. It is the best tier of the machine, unless the environment
// variable TRELLIS_CPU named a lower one when the program started. Results are the
// same bits on all of them.
func ActiveTier() string { return tier.String() }

// Tiers returns the names of all tiers that this machine can run, "generic" first
// and the fastest last.
func Tiers() []string {
	names := make([]string, len(tiers))
	for i, t := range tiers {
		names[i] = t.String()
	}
	return names
}

// isFloat32 reports which of the two element types F is; the compiler knows.
func isFloat32[F Float]() bool { return unsafe.Sizeof(F(0)) == 4 }

// asFloat32 returns x, whose elements are float32.
func asFloat32[F Float](x []F) []float32 { return *(*[]float32)(unsafe.Pointer(&x)) }

// asFloat64 returns x, whose elements are float64.
func asFloat64[F Float](x []F) []float64 { return *(*[]float64)(unsafe.Pointer(&x)) }
