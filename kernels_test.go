package trellis

import (
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/kerneltest"
	"github.com/gotrellis/trellis/internal/ref"
	"github.com/gotrellis/trellis/internal/tier"
	"github.com/gotrellis/trellis/internal/tiertest"
	"github.com/gotrellis/trellis/internal/view"
)

// The kernels of generic.go, generic_ctc.go and generic_align.go: each has a test in the file of its name, and
// a benchmark in kernels_bench_test.go.
func kernels() kerneltest.Suite {
	doubles := kernelTests[float64]()
	maps.Copy(doubles, doubleTests)
	return kerneltest.Suite{
		{Type: "float32", Tests: kernelTests[float32](), Works: kernelWorks[float32]},
		{Type: "float64", Tests: doubles, Works: func() []kerneltest.Work { return append(kernelWorks[float64](), doubleWorks()...) }},
		{Type: "int32", Tests: map[string]func(t *testing.T){"maxIndex": testMaxIndex}, Works: indexWorks},
	}
}

func TestKernels(t *testing.T) { kernels().Test(t) }

func BenchmarkKernel(b *testing.B) { kernels().Benchmark(b) }

// kernelTests are the tests of the kernels that exist for both element types.
func kernelTests[F Float]() map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		"sumExpBlock":       testSumExpBlock[F],
		"expBlock":          testExpBlock[F],
		"sumExpBelow":       testSumExpBelow[F],
		"expCopy":           testExpCopy[F],
		"maxBlock":          testMaxBlock[F],
		"sumExpRows":        testSumExpRows[F],
		"softmaxRows":       testSoftmaxRows[F],
		"scale":             testScale[F],
		"logSoftmaxRows":    testLogSoftmaxRows[F],
		"dotLogSoftmax":     testDotLogSoftmax[F],
		"mulAdd":            testMulAdd[F],
		"multiply":          testMultiply[F],
		"subtract":          testSubtract[F],
		"gather":            testGather[F],
		"fetch":             testFetch[F],
		"argMax":            testArgMax[F],
		"argMaxAllowed":     testArgMaxAllowed[F],
		"argMaxRows":        testArgMaxShortRows[F],
		"argMaxAllowedRows": testArgMaxShortRows[F],

		"targetLogits":                 testTargetLogits[F],
		"maxStrided":                   testMaxStrided[F],
		"expStrided":                   testExpStrided[F],
		"scaleStrided":                 testScaleStrided[F],
		"logSoftmaxColumns":            testLogSoftmaxColumns[F],
		"gradientStrided":              testGradientStrided[F],
		"gradientStridedStream":        testGradientStridedStream[F],
		"gradientStridedUniform":       testGradientStridedUniform[F],
		"gradientStridedUniformStream": testGradientStridedUniformStream[F],
		"gradientStridedSoft":          testGradientStridedSoft[F],
		"splitLogSums":                 testSplitLogSums[F],
		"spreadTargets":                testSpreadTargets[F],
		"addLogSoftmax":                testAddLogSoftmax[F],
		"addLogSoftmaxUniform":         testAddLogSoftmaxUniform[F],
		"targetLosses":                 testTargetLosses[F],
		"gradientFactors":              testGradientFactors[F],
		"targetGradients":              testTargetGradients[F],
		"targetGradientsSoft":          testTargetGradientsSoft[F],
		"toColumns":                    testToColumns[F],
		"toRows":                       testToRows[F],
		"sumExpColumns":                testSumExpColumns[F],
		"expColumns":                   testExpColumns[F],
		"pairTerms":                    testPairTerms[F],
		"pairGradients":                testPairGradients[F],

		"expFrames":      testExpFrames[F],
		"widen":          testWiden[F],
		"narrow":         testNarrow[F],
		"emit":           testEmit[F],
		"nearest":        testNearest[F],
		"rowsOfSums":     testRowsOfSums[F],
		"writeGradients": testWriteGradients[F], "writeFewGradients": testWriteFewGradients[F],
		"toBlocks": testToBlocks[F],
	}
}

// doubleTests are the tests of the kernels that are float64 alone.
var doubleTests = map[string]func(t *testing.T){
	"log1p":          testLog1p,
	"narrowTargets":  testNarrowTargets,
	"otherTargets":   testOtherTargets,
	"normalizeRow":   testNormalizeRow,
	"forwardFactors": testForwardFactors,
	"leastFactors":   testLeastFactors,
	"dropUnreached":  testDropUnreached,
	"forward":        testForward,
	"expWide":        testExpWide,
	"extent":         testExtent,
	"rescale":        testRescale,
	"backward":       testBackward,
	"wideFactors":    testWideFactors,
	"forwardWide":    testForwardWide,
	"backwardWide":   testBackwardWide,
	"addOccupancies": testAddOccupancies,
	"viterbi":        testViterbi,
	"emitBlock":      testEmitBlock,
	"logs":           testLogs,
}

// exponentials returns how the kernels compute exp of up to block float32: for any
// argument, and for those that are not above 0.
func exponentials() (of, ofNegative func(dst, x []float32)) {
	zero, one := make([]float32, block), []float32{1}
	terms, ties, sum := make([]float32, block), make([]float32, block), make([]float64, block)
	of = func(dst, x []float32) { softmaxRows(dst, x, len(x), zero[:1], one) }
	ofNegative = func(dst, x []float32) {
		clear(sum)
		clear(ties)
		copy(terms, x)
		of := view.Of(terms, len(x), len(x))
		expStrided(sum, ties, zero, of, 1, 0, of)
		for i := range dst {
			dst[i] = float32(sum[i]) + ties[i]
		}
	}
	return of, ofNegative
}

// The kernels' exp is Exp32: of a sample of all inputs, or with
// TRELLIS_EXHAUSTIVE=1 of every one.
func TestKernelExp32(t *testing.T) {
	step := uint64(389)
	if testing.Short() {
		step = 4099
	}
	if os.Getenv("TRELLIS_EXHAUSTIVE") != "" {
		step = 1
	}
	tiertest.Each(t, func(t *testing.T) {
		if tier.Active == tier.Generic && step == 1 {
			t.Skip("generic is exp32")
		}
		of, ofNegative := exponentials()
		x, got, gotNegative := make([]float32, block), make([]float32, block), make([]float32, block)
		for b := uint64(0); b < 1<<32; b += step * block {
			for i := range x {
				x[i] = math.Float32frombits(uint32(b + step*uint64(i))) // the last ones begin again
			}
			of(got, x)
			ofNegative(gotNegative, x)
			for i, v := range x {
				want := fp.Exp32(v)
				if got[i] != want && (got[i] == got[i] || want == want) {
					require.Fail(t, "softmaxRows", "fp.Exp(%v) = %v, want %v", v, got[i], want)
				}
				if !(v > 0) && gotNegative[i] != want && (gotNegative[i] == gotNegative[i] || want == want) {
					require.Fail(t, "expStrided", "fp.Exp(%v) = %v, want %v", v, gotNegative[i], want)
				}
			}
		}
	})
}

// expPoint returns an argument of exp for which it is a normal number.
func expPoint(r *rand.Rand) float64 {
	if r.IntN(2) == 0 {
		least, largest := fp.ExpRange[float64]()
		return least + (largest-least)*r.Float64()
	}
	return 2*r.Float64() - 1
}

// log1pPoint returns an argument above 0 of log1p.
func log1pPoint(r *rand.Rand) float64 {
	switch r.IntN(4) {
	case 0:
		return r.Float64() + 0x1p-60
	case 1:
		return 100 * r.Float64()
	case 2:
		return math.Ldexp(1+r.Float64(), -1-r.IntN(100))
	}
	return math.Ldexp(1+r.Float64(), r.IntN(990))
}

// The kernels' exp and log1p in float64: at 10⁵ points each on every tier, with
// TRELLIS_EXHAUSTIVE=1 at 3·10⁷.
func TestKernelAccuracy(t *testing.T) {
	blocks := 25
	if testing.Short() {
		blocks = 5
	}
	if os.Getenv("TRELLIS_EXHAUSTIVE") != "" {
		blocks = 1 << 13
	}
	tiertest.Each(t, func(t *testing.T) {
		for _, c := range []struct {
			name     string
			kernel   func(dst, x []float64)
			point    func(r *rand.Rand) float64
			ulps     func(x, y float64) float64
			promised float64
		}{
			{"exp", func(dst, x []float64) { softmaxRows(dst, x, len(x), []float64{0}, []float64{1}) }, expPoint, ref.ExpULPs, 0.9},
			{"log1p", log1p, log1pPoint, ref.Log1pULPs, 1},
		} {
			r := rand.New(rand.NewPCG(15, 16))
			x, y := make([]float64, block), make([]float64, block)
			worst, at := 0.0, 0.0
			for range blocks {
				for i := range x {
					x[i] = c.point(r)
				}
				c.kernel(y, x)
				for i := range x {
					u := c.ulps(x[i], y[i])
					require.Equal(t, u, u, "%s(%x) = %v", c.name, x[i], y[i]) // no NaN
					if u > worst {
						worst, at = u, x[i]
					}
				}
			}
			t.Logf("%s: worst error %.4f ulp at %x = %v", c.name, worst, at, at)
			assert.LessOrEqual(t, worst, c.promised, c.name)
		}
	})
}
