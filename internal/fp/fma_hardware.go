//go:build !(386 || mips || mipsle || mips64 || mips64le || wasm)

package fp

import "math"

// FMA64 is math.FMA.
func FMA64(x, y, z float64) float64 { return math.FMA(x, y, z) }

func addProducts64(sums, x, y []float64, mask int) {
	y = y[:len(x)]
	for i, v := range x {
		z := &sums[i&mask]
		*z = math.FMA(v, y[i], *z)
	}
}

func addMultiples64(sums, x []float64, factor float64) {
	sums = sums[:len(x)]
	for i, v := range x {
		sums[i] = math.FMA(v, factor, sums[i])
	}
}

// AddScaled returns x·power + z rounded once, for a power of two or 0 and numbers that are not
// negative.
func AddScaled(z, x, power float64) float64 { return math.FMA(x, power, z) }

func exps64(dst, x []float64, m, least, largest, k float64) {
	expsFused(dst, x, m, least, largest, k)
}

func logCorrected(x, c float64) float64 { return logFused(x, c) }

func logPoly(z float64) float64 { return logPolyFused(z) }
