package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/stretchr/testify/require"
)

// upstreams returns random factors for the losses of a call.
func (call Call[F]) upstreams(rng *rand.Rand) []F { return normals[F](rng, call.samples, 1) }

func TestWorkersGiveTheSameBits(t *testing.T) {
	bothTypes(t, testWorkersGiveTheSameBits[float32], testWorkersGiveTheSameBits[float64])
}

func testWorkersGiveTheSameBits[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	for i, call := range callsOf[F]().large {
		reduction, upstream := trellis.Reduction(i%2), call.upstreams(rng)
		alone := call.Run(t, reduction, 1, upstream)
		for _, workers := range []int{0, 2, 3, 7} {
			alone.requireSame(t, fmt.Sprint(call.Name, " with ", workers, " workers"), call.Run(t, reduction, workers, upstream))
		}
	}
}

func TestConcurrentCalls(t *testing.T) {
	bothTypes(t, testConcurrentCalls[float32], testConcurrentCalls[float64])
}

func testConcurrentCalls[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	for i, call := range callsOf[F]().large {
		if i%3 > 0 {
			continue
		}
		upstream := call.upstreams(rng)
		alone := call.Run(t, trellis.Mean, 1, upstream)
		var out [6]Results[F]
		var errs [6]error
		var wait sync.WaitGroup
		for i := range out {
			wait.Go(func() { out[i], errs[i] = call.try(trellis.Mean, i%3, upstream) })
		}
		wait.Wait()
		for i := range out {
			require.NoError(t, errs[i])
			alone.requireSame(t, call.Name, out[i])
		}
	}
}

func TestGradientInPlace(t *testing.T) {
	bothTypes(t, testGradientInPlace[float32], testGradientInPlace[float64])
}

func testGradientInPlace[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	for _, call := range callsOf[F]().all() {
		upstream := call.upstreams(rng)
		apart := call.Run(t, trellis.Mean, 1, upstream)
		x := trellis.Tensor[F]{Data: slices.Clone(call.X.Data), Shape: call.X.Shape}
		loss, err := call.Bind(x, trellis.Mean, 1).Grad(x.Data)
		require.NoError(t, err, call.Name)
		RequireSameBits(t, call.Name+": loss", []F{apart.GradLoss}, []F{loss})
		RequireSameBits(t, call.Name+": gradient", apart.Grad, x.Data)
		copy(x.Data, call.X.Data)
		require.NoError(t, call.Bind(x, trellis.Mean, 1).VJP(x.Data, upstream), call.Name)
		RequireSameBits(t, call.Name+": VJP", apart.VJP, x.Data)
	}
}

func TestMethodsLeaveArgumentsAlone(t *testing.T) {
	bothTypes(t, testMethodsLeaveArgumentsAlone[float32], testMethodsLeaveArgumentsAlone[float64])
}

func testMethodsLeaveArgumentsAlone[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	for _, call := range callsOf[F]().small {
		upstream := call.upstreams(rng)
		x, factors := slices.Clone(call.X.Data), slices.Clone(upstream)
		call.Run(t, trellis.Mean, 1, upstream)
		RequireSameBits(t, call.Name, x, call.X.Data)
		RequireSameBits(t, call.Name, factors, upstream)
	}
}

func TestVJPOfReductionIsGrad(t *testing.T) {
	bothTypes(t, testVJPOfReductionIsGrad[float32], testVJPOfReductionIsGrad[float64])
}

func testVJPOfReductionIsGrad[F trellis.Float](t *testing.T) {
	for _, call := range callsOf[F]().all() {
		for _, reduction := range []trellis.Reduction{trellis.Mean, trellis.Sum} {
			factors := call.want().upstream(reduction)
			out := call.Run(t, reduction, 1, Cast[F](factors))
			// The factors are rounded to F here; the mean's are not.
			tolerance := 4 * Epsilon[F]() * call.want().term * slices.Max(append(factors, 0))
			requireNear(t, call.Name, Cast[float64](out.Grad), out.VJP, tolerance)
			RequireSameBits(t, call.Name+": loss", []F{out.Loss}, []F{out.GradLoss})
		}
	}
}

func TestBatchIsTheSumOfItsParts(t *testing.T) {
	bothTypes(t, testBatchIsTheSumOfItsParts[float32], testBatchIsTheSumOfItsParts[float64])
}

func testBatchIsTheSumOfItsParts[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 1))
	for _, c := range classCases(rng) {
		if c.Kind == "probs" {
			continue
		}
		x := trellis.Tensor[F]{Data: normals[F](rng, product(c.Shape), 2), Shape: c.Shape}
		targets := c.randomTargets(rng)
		call := ClassCall(c, x, targets)
		gradient := Filled[F](len(x.Data))
		whole, err := call.Bind(x, trellis.Sum, 1).Grad(gradient)
		require.NoError(t, err, call.Name)
		var sum, size float64
		for i, at := range classScores(c.Shape) {
			one := c
			one.Shape = []int{len(at)}
			row := trellis.Tensor[F]{Data: pick(x.Data, at), Shape: one.Shape}
			part := Filled[F](len(at))
			loss, err := ClassCall(one, row, targets[i:i+1]).Bind(row, trellis.Sum, 1).Grad(part)
			require.NoError(t, err, call.Name)
			sum += float64(loss)
			size += math.Abs(float64(loss))
			// The two add up exp in different orders, up to 64 terms in one lane.
			requireNear(t, call.Name+": gradient", Cast[float64](part), pick(gradient, at), 16*Epsilon[F]()*call.want().term)
		}
		requireNear(t, call.Name, []float64{sum}, []F{whole}, 4*Epsilon[F]()*size)
	}
}

func TestNLLOfLogSoftmaxIsCrossEntropy(t *testing.T) {
	bothTypes(t, testNLLOfLogSoftmaxIsCrossEntropy[float32], testNLLOfLogSoftmaxIsCrossEntropy[float64])
}

func testNLLOfLogSoftmaxIsCrossEntropy[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 1))
	for _, n := range []int{1, 2, 7, 100, 4097} {
		c := ClassCase{Kind: "NLL", Shape: []int{6, n}, Weight: positive(rng, n), Ignore: new(-1)}
		x := trellis.Tensor[F]{Data: normals[F](rng, 6*n, 3), Shape: c.Shape}
		logp := trellis.Tensor[F]{Data: make([]F, 6*n), Shape: c.Shape}
		trellis.LogSoftmaxRows(logp.Data, x)
		targets := c.randomTargets(rng)
		upstream := normals[F](rng, 6, 1)
		nll := ClassCall(c, logp, targets).Run(t, trellis.Mean, 1, upstream)
		c.Kind = "CE"
		ce := ClassCall(c, x, targets).Run(t, trellis.Mean, 1, upstream)
		// Log-softmax is rounded to F before the sum.
		requireNear(t, c.String(), Cast[float64](ce.Losses), nll.Losses, 4*Epsilon[F]()*20)
		requireNear(t, c.String(), Cast[float64]([]F{ce.Loss}), []F{nll.Loss}, 4*Epsilon[F]()*20)
	}
}

// oneHot returns class targets as probabilities, smoothed.
func oneHot[F trellis.Float](shape, targets []int, smoothing float64) trellis.Tensor[F] {
	target := trellis.Tensor[F]{Data: make([]F, product(shape)), Shape: shape}
	for i, at := range classScores(shape) {
		for c, k := range at {
			target.Data[k] = F(smoothing / float64(len(at)))
			if c == targets[i] {
				target.Data[k] += F(1 - smoothing)
			}
		}
	}
	return target
}

func TestClassProbabilitiesAndClassesAgree(t *testing.T) {
	bothTypes(t, testClassProbabilitiesAndClassesAgree[float32], testClassProbabilitiesAndClassesAgree[float64])
}

func testClassProbabilitiesAndClassesAgree[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(16, 1))
	for _, shape := range [][]int{{5}, {15, 10}, {2, 10, 3}, {2, 10, 3, 4}, {3, 600}} {
		for _, smoothing := range []float64{0, 0.05, 0.15, 1} {
			for _, weighted := range []bool{false, true} {
				c := ClassCase{Kind: "CE", Shape: shape, Ignore: new(-1)}
				if weighted {
					c.Weight = positive(rng, c.classes())
				}
				x := trellis.Tensor[F]{Data: normals[F](rng, product(shape), 3), Shape: shape}
				targets := c.randomTargets(rng)
				for i, y := range targets {
					targets[i] = max(y, 0)
				}
				upstream := normals[F](rng, len(targets), 1)
				hot := ProbsCall(c, x, oneHot[F](shape, targets, smoothing)).Run(t, trellis.Sum, 1, upstream)
				c.Smoothing = smoothing
				class := ClassCall(c, x, targets)
				index := class.Run(t, trellis.Sum, 1, upstream)
				smoothed := ProbsCall(c, x, oneHot[F](shape, targets, 0)).Run(t, trellis.Sum, 1, upstream)
				for _, other := range []Results[F]{hot, smoothed} {
					// Each of the many ε/C is rounded in the target.
					tolerance := 256 * Epsilon[F]() * class.want().mass
					requireNear(t, c.String()+": losses", Cast[float64](index.Losses), other.Losses, tolerance)
					requireNear(t, c.String()+": gradient", Cast[float64](index.Grad), other.Grad, tolerance)
					requireNear(t, c.String()+": VJP", Cast[float64](index.VJP), other.VJP, tolerance)
				}
			}
		}
	}
}

// poison is what scores that do not count are set to.
func poison[F trellis.Float](i int) F {
	return []F{F(math.NaN()), F(math.Inf(1)), F(math.Inf(-1)), F(math.Copysign(math.MaxFloat32, -1))}[i%4]
}

func TestIgnoredPositionsDoNotMatter(t *testing.T) {
	bothTypes(t, testIgnoredPositionsDoNotMatter[float32], testIgnoredPositionsDoNotMatter[float64])
}

func testIgnoredPositionsDoNotMatter[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 1))
	for _, c := range slices.Concat(classCases(rng), largeClassCases(rng)) {
		if c.Kind == "probs" {
			continue
		}
		targets := c.randomTargets(rng)
		x := trellis.Tensor[F]{Data: normals[F](rng, product(c.Shape), 2), Shape: c.Shape}
		upstream := normals[F](rng, len(targets), 1)
		want := ClassCall(c, x, targets).Run(t, trellis.Mean, 1, upstream)
		name := c.String()
		poisoned := trellis.Tensor[F]{Data: slices.Clone(x.Data), Shape: c.Shape}
		for i, at := range classScores(c.Shape) {
			if targets[i] != options[F](c).ignore {
				continue
			}
			for _, k := range at {
				poisoned.Data[k] = poison[F](k)
				RequireSameBits(t, name+": ignored", []F{0, 0}, []F{want.Grad[k], want.VJP[k]})
			}
			RequireSameBits(t, name+": ignored", []F{0}, want.Losses[i:i+1])
		}
		want.requireSame(t, name, ClassCall(c, poisoned, targets).Run(t, trellis.Mean, 1, upstream))
	}
}
