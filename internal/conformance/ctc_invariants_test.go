package conformance

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/stretchr/testify/require"
)

func TestFramesBeyondTheInputAreNotRead(t *testing.T) {
	bothTypes(t, testFramesBeyondTheInputAreNotRead[float32], testFramesBeyondTheInputAreNotRead[float64])
}

func testFramesBeyondTheInputAreNotRead[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 1))
	for _, c := range ctcCases(rng) {
		x := trellis.Tensor[F]{Data: Cast[F](c.randomScores(rng)), Shape: c.Shape()}
		upstream := normals[F](rng, c.Batch, 1)
		want := CTCCall(c, x).Run(t, trellis.Mean, 1, upstream)
		poisoned := trellis.Tensor[F]{Data: slices.Clone(x.Data), Shape: x.Shape}
		zeros := make([]F, c.Classes)
		for n, length := range c.InputLengths {
			for frame := length; frame < c.Frames; frame++ {
				at := c.At(n, frame)
				for i := range c.Classes {
					poisoned.Data[at+i] = poison[F](at + i)
				}
				RequireSameBits(t, c.String(), zeros, want.Grad[at:][:c.Classes])
				RequireSameBits(t, c.String(), zeros, want.VJP[at:][:c.Classes])
			}
		}
		want.requireSame(t, c.String(), CTCCall(c, poisoned).Run(t, trellis.Mean, 1, upstream))
	}
}

func TestCTCLayoutsGiveTheSameBits(t *testing.T) {
	bothTypes(t, testCTCLayoutsGiveTheSameBits[float32], testCTCLayoutsGiveTheSameBits[float64])
}

func testCTCLayoutsGiveTheSameBits[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 1))
	for _, c := range ctcCases(rng) {
		if c.Unbatched {
			continue
		}
		var scores [][][]F
		for range c.Frames {
			var frame [][]F
			for range c.Batch {
				frame = append(frame, normals[F](rng, c.Classes, 2))
			}
			scores = append(scores, frame)
		}
		upstream := normals[F](rng, c.Batch, 1)
		c.padding, c.BatchFirst = -1, false
		want := variant(t, c, scores, upstream)
		for padding := -1; padding <= 3; padding++ {
			for _, c.BatchFirst = range []bool{false, true} {
				c.padding = padding
				want.requireSame(t, c.String(), variant(t, c, scores, upstream))
			}
		}
		requireParts(t, c, scores, upstream, want)
	}
}

// requireParts fails unless every sequence gives alone, as a batch of one and
// without a batch, what it gives in the batch.
func requireParts[F trellis.Float](t *testing.T, c CTCCase, scores [][][]F, upstream []F, want Results[F]) {
	t.Helper()
	for n := range c.Batch {
		one := c
		one.Batch, one.Targets, one.InputLengths = 1, c.Targets[n:n+1], c.InputLengths[n:n+1]
		var alone [][][]F
		var vjp []F
		for frame := range c.Frames {
			alone = append(alone, scores[frame][n:n+1])
			vjp = append(vjp, want.VJP[(frame*c.Batch+n)*c.Classes:][:c.Classes]...)
		}
		batched := variant(t, one, alone, upstream[n:n+1])
		RequireSameBits(t, c.String()+": loss alone", want.Losses[n:n+1], batched.Losses)
		RequireSameBits(t, c.String()+": VJP alone", vjp, batched.VJP)
		one.Unbatched = true
		batched.requireSame(t, one.String(), variant(t, one, alone, upstream[n:n+1]))
	}
}

// variant returns the results of a case whose scores are given for each frame
// and sequence, whatever its layout; the gradients come back so, too.
func variant[F trellis.Float](t *testing.T, c CTCCase, scores [][][]F, upstream []F) Results[F] {
	t.Helper()
	x := trellis.Tensor[F]{Data: make([]F, c.Frames*c.Batch*c.Classes), Shape: c.Shape()}
	for n := range c.Batch {
		for frame := range c.Frames {
			copy(x.Data[c.At(n, frame):], scores[frame][n])
		}
	}
	out := CTCCall(c, x).Run(t, trellis.Mean, 1, upstream)
	out.Grad, out.VJP = timeMajor(c, out.Grad), timeMajor(c, out.VJP)
	return out
}

// timeMajor returns data in the layout of a case as (T,N,C).
func timeMajor[F trellis.Float](c CTCCase, data []F) []F {
	moved := make([]F, 0, len(data))
	for frame := range c.Frames {
		for n := range c.Batch {
			moved = append(moved, data[c.At(n, frame):][:c.Classes]...)
		}
	}
	return moved
}

func TestPermutedClassesPermuteGradients(t *testing.T) {
	bothTypes(t, testPermutedClassesPermuteGradients[float32], testPermutedClassesPermuteGradients[float64])
}

func testPermutedClassesPermuteGradients[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(20, 1))
	for _, c := range ctcCases(rng) {
		c.raw = false
		to := rng.Perm(c.Classes) // class k becomes to[k]
		x := trellis.Tensor[F]{Data: Cast[F](c.randomScores(rng)), Shape: c.Shape()}
		upstream := normals[F](rng, c.Batch, 1)
		permuted := c
		permuted.Blank, permuted.Targets = to[c.Blank], nil
		for _, target := range c.Targets {
			var labels []int
			for _, label := range target {
				labels = append(labels, to[label])
			}
			permuted.Targets = append(permuted.Targets, labels)
		}
		moved := trellis.Tensor[F]{Data: permuteClasses(x.Data, to), Shape: x.Shape}
		want := CTCCall(c, x).Run(t, trellis.Mean, 1, upstream)
		got := CTCCall(permuted, moved).Run(t, trellis.Mean, 1, upstream)
		tolerance := 32 * Epsilon[F]()
		requireNear(t, c.String()+": losses", Cast[float64](want.Losses), got.Losses, tolerance*8)
		requireNear(t, c.String()+": gradient", Cast[float64](permuteClasses(want.Grad, to)), got.Grad, tolerance)
		requireNear(t, c.String()+": VJP", Cast[float64](permuteClasses(want.VJP, to)), got.VJP, tolerance*4)
	}
}

// permuteClasses moves the element k of every row to to[k].
func permuteClasses[F trellis.Float](x []F, to []int) []F {
	moved := make([]F, len(x))
	for i := range x {
		row := i - i%len(to)
		moved[row+to[i%len(to)]] = x[i]
	}
	return moved
}

func TestCTCGradientRowsSumToZero(t *testing.T) {
	bothTypes(t, testCTCGradientRowsSumToZero[float32], testCTCGradientRowsSumToZero[float64])
}

func testCTCGradientRowsSumToZero[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 1))
	tolerance := 1e-6
	if !fp.IsFloat32[F]() {
		tolerance = 2e-14 // 2 halves of at most 1 in 90 roundings
	}
	for _, size := range []struct{ frames, classes, labels int }{{1, 2, 1}, {50, 20, 20}, {300, 80, 90}, {700, 30, 200}, {9, 5000, 4}} {
		for _, spread := range []float64{0.1, 1, 10} {
			c := CTCCase{Frames: size.frames, Batch: 2, Classes: size.classes, Blank: 1, Scores: trellis.Logits}
			c.Targets = [][]int{labelsOf(rng, size.labels, c.Classes, 1), {}}
			c.InputLengths = []int{c.Frames, c.Frames}
			x := trellis.Tensor[F]{Data: normals[F](rng, product(c.Shape()), spread), Shape: c.Shape()}
			targets, lengths := c.flatten()
			grad := make([]F, len(x.Data))
			loss := ctcLoss[F](c)
			loss.Reduction = trellis.Sum
			_, err := loss.Grad(grad, x, targets, nil, lengths)
			require.NoError(t, err)
			for i := 0; i < len(grad); i += c.Classes {
				var sum float64
				for _, g := range grad[i : i+c.Classes] {
					sum += float64(g)
				}
				require.InDelta(t, 0, sum, tolerance, "%s spread %g row %d", c, spread, i/c.Classes)
			}
		}
	}
}

func TestCTCGradientsDifferBySoftmax(t *testing.T) {
	bothTypes(t, testCTCGradientsDifferBySoftmax[float32], testCTCGradientsDifferBySoftmax[float64])
}

func testCTCGradientsDifferBySoftmax[F trellis.Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 1))
	for _, scores := range []trellis.Scores{trellis.LogProbabilities, trellis.Logits, trellis.Probabilities} {
		c := CTCCase{Frames: 12, Batch: 2, Classes: 6, Blank: 3, Scores: scores, spread: 1, raw: true}
		c.Targets, c.InputLengths = [][]int{{1, 1, 0}, {2, 5}}, []int{12, 12}
		x := trellis.Tensor[F]{Data: Cast[F](c.randomScores(rng)), Shape: c.Shape()}
		ones := []F{1, 1}
		logits := CTCCall(c, x).Run(t, trellis.Sum, 1, ones).Grad
		c.ScoresGradient = true
		want := CTCCall(c, x).Run(t, trellis.Sum, 1, ones).Grad
		p := slices.Clone(x.Data)
		switch scores {
		case trellis.Logits:
			trellis.SoftmaxRows(p, x)
		case trellis.LogProbabilities:
			for i, v := range x.Data {
				p[i] = F(math.Exp(float64(v)))
			}
		}
		for i := range want {
			if scores == trellis.Probabilities {
				want[i] *= p[i]
			}
			want[i] += p[i]
		}
		requireNear(t, c.String(), Cast[float64](want), logits, 4*Epsilon[F]()*float64(slices.Max(p)))
	}
}
