//go:build 386 || mips || mipsle || mips64 || mips64le || wasm

package fp

import "math"

// These architectures have no FMA instruction, and math.FMA takes some ten times as long as sums and
// products.

// FMA64 is math.FMA.
func FMA64(x, y, z float64) float64 { return fmaOfSums(x, y, z) }

func addProducts64(sums, x, y []float64, mask int) { addProductsOfSums(sums, x, y, mask) }

func addMultiples64(sums, x []float64, factor float64) { addMultiplesOfSums(sums, x, factor) }

// AddScaled returns x·power + z rounded once, for a power of two or 0 and numbers that are not
// negative.
func AddScaled(z, x, power float64) (sum float64) {
	if sum = x*power + z; sum < 0x1p-960 && sum != 0 { // else the product is exact, or nothing beside z
		sum = math.FMA(x, power, z)
	}
	return
}

func exps64(dst, x []float64, m, least, largest, k float64) {
	expsBetween(dst, x, m, least, largest, k)
}

func logCorrected(x, c float64) float64 {
	low, high := logBetween(x, c)
	if low == high {
		return low
	}
	return logFused(x, c)
}

func logPoly(z float64) float64 {
	low, high := logPolyBetween(z)
	if low == high {
		return low
	}
	return logPolyFused(z)
}
