package trellis_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/tiertest"
)

// golden pins the bits of every public function on a fixed set of inputs: they
// are the same on every architecture, whatever its compiler fuses, on every
// tier, and for every number of workers.
var golden = map[string]string{
	"float32/CTCAligner":             "744555d4ac8b0cfd",
	"float32/CTCLoss":                "3a57298697fca654",
	"float32/CTCLoss/Logits":         "f040861df1262568",
	"float32/CTCLoss/Probabilities":  "53517ddfb17bf9ec",
	"float32/CTCLoss/confident":      "4cf2a833acaa0299",
	"float32/CrossEntropyLoss":       "53a5e5165bd91b37",
	"float32/CrossEntropyLoss/Probs": "cd992560b570401b",
	"float32/Gather":                 "c3c4154be028958f",
	"float32/LogSoftmax":             "ca77f21e924caddc",
	"float32/LogSumExp":              "0bc06bf1bb4729b7",
	"float32/NLLLoss":                "2f0244e7fafdf6a7",
	"float32/Softmax":                "876fde2864687438",
	"float64/CTCAligner":             "e4461474470097eb",
	"float64/CTCLoss":                "ed073e861a3c12b5",
	"float64/CTCLoss/Logits":         "72b83d455e8b50c1",
	"float64/CTCLoss/Probabilities":  "c2973ed9174a8d89",
	"float64/CTCLoss/confident":      "8915309b3a3d8471",
	"float64/CrossEntropyLoss":       "7249bfa44fd34767",
	"float64/CrossEntropyLoss/Probs": "a3bcc9b15fa43776",
	"float64/Gather":                 "c3c4154be028958f",
	"float64/LogSoftmax":             "71f63bbeec10b8a8",
	"float64/LogSumExp":              "255cc2140cadd40d",
	"float64/NLLLoss":                "3f301b333b868430",
	"float64/Softmax":                "3ca8124427a037ab",
}

// generator makes the same numbers everywhere: splitmix64 (S. Vigna).
type generator uint64

func (g *generator) next() uint64 {
	*g += 0x9e3779b97f4a7c15
	z := uint64(*g)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0,n).
func (g *generator) below(n int) int { return int(g.next() % uint64(n)) }

// goldenScores returns multiples of 2⁻¹⁶ in [−scale, scale), and some −Inf.
func goldenScores[F trellis.Float](g *generator, n, scale int) []F {
	x := make([]F, n)
	for i := range x {
		x[i] = F(int(g.next()>>47)-1<<16) / (1 << 16) * F(scale)
		if g.below(61) == 0 {
			x[i] = F(math.Inf(-1))
		}
	}
	return x
}

// digest hashes the bits of numbers; all NaN are one.
type digest struct{ b []byte }

func add[F trellis.Float](d *digest, x ...F) {
	d.b = slices.Grow(d.b, 8*len(x))
	for _, v := range x {
		bits := math.Float64bits(float64(v))
		if v != v {
			bits = math.Float64bits(math.NaN())
		}
		d.b = binary.LittleEndian.AppendUint64(d.b, bits)
	}
}

func (d *digest) sum() string {
	h := sha256.Sum256(d.b)
	return hex.EncodeToString(h[:8])
}

func TestGoldenBits(t *testing.T) {
	tiertest.Each(t, func(t *testing.T) {
		seen := map[string]string{}
		goldenRows[float32](seen, "float32/")
		goldenRows[float64](seen, "float64/")
		goldenClasses[float32](t, seen, "float32/")
		goldenClasses[float64](t, seen, "float64/")
		goldenCTC[float32](t, seen, "float32/")
		goldenCTC[float64](t, seen, "float64/")
		goldenAlign[float32](t, seen, "float32/")
		goldenAlign[float64](t, seen, "float64/")
		assert.Equal(t, golden, seen)
	})
}

func goldenRows[F trellis.Float](seen map[string]string, prefix string) {
	g := generator(1)
	var lse, logSoftmax, softmax, gather digest
	for _, n := range []int{0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 1000, 4095, 4096, 4097, 12289} {
		for _, scale := range []int{1, 20, 800} {
			x := goldenScores[F](&g, n, scale)
			dst := make([]F, n)
			add(&lse, trellis.LogSumExp(x))
			trellis.LogSoftmax(dst, x)
			add(&logSoftmax, dst...)
			trellis.Softmax(dst, x)
			add(&softmax, dst...)
		}
	}
	for _, shape := range [][]int{{7}, {3, 5}, {2, 3, 40}, {1200, 33}} {
		x := trellis.Tensor[F]{Shape: shape}
		rows, n := 1, shape[len(shape)-1]
		for _, d := range shape[:len(shape)-1] {
			rows *= d
		}
		x.Data = goldenScores[F](&g, rows*n, 6)
		dst, index := make([]F, rows*n), make([]int32, 2*rows)
		for i := range index {
			index[i] = int32(g.below(n))
		}
		trellis.LogSumExpRows(dst[:rows], x)
		add(&lse, dst[:rows]...)
		trellis.GatherRows(dst[:2*rows], x, index)
		add(&gather, dst[:2*rows]...)
		trellis.Gather(dst[:2], x.Data, index[:2])
		add(&gather, dst[:2]...)
		trellis.LogSoftmaxRows(dst, x)
		add(&logSoftmax, dst...)
		trellis.SoftmaxRows(dst, x)
		add(&softmax, dst...)
	}
	seen[prefix+"LogSumExp"], seen[prefix+"LogSoftmax"] = lse.sum(), logSoftmax.sum()
	seen[prefix+"Softmax"], seen[prefix+"Gather"] = softmax.sum(), gather.sum()
}

func goldenClasses[F trellis.Float](t *testing.T, seen map[string]string, prefix string) {
	g := generator(2)
	var nll, ce, probs digest
	for _, shape := range [][]int{{5}, {40, 7}, {3, 4700}, {2, 70, 150}, {3, 5, 4, 4}} {
		for _, r := range []trellis.Reduction{trellis.Mean, trellis.Sum} {
			for _, smoothing := range []F{0, 0.125} {
				for _, weighted := range []bool{false, true} {
					goldenClassCase(t, &g, shape, r, smoothing, weighted, &nll, &ce, &probs)
				}
			}
		}
	}
	seen[prefix+"NLLLoss"], seen[prefix+"CrossEntropyLoss"], seen[prefix+"CrossEntropyLoss/Probs"] = nll.sum(), ce.sum(), probs.sum()
}

func goldenClassCase[F trellis.Float](t *testing.T, g *generator, shape []int, r trellis.Reduction, smoothing F, weighted bool, nll, ce, probs *digest) {
	size, c := 1, shape[min(1, len(shape)-1)]
	for _, d := range shape {
		size *= d
	}
	x := trellis.Tensor[F]{Data: goldenScores[F](g, size, 9), Shape: shape}
	target := trellis.Tensor[F]{Data: make([]F, size), Shape: shape}
	for i := range target.Data {
		target.Data[i] = F(g.below(1<<12)) / (1 << 12)
	}
	targets, upstream := make([]int, size/c), make([]F, size/c)
	for i := range targets {
		targets[i], upstream[i] = g.below(c), F(g.below(64))/16-2
	}
	ignored, weight := targets[0], []F(nil)
	if weighted {
		for range c {
			weight = append(weight, F(g.below(64))/32)
		}
	}
	grad, dst := make([]F, size), make([]F, size/c)
	collect := func(d *digest, loss F, err error) {
		require.NoError(t, err)
		add(d, loss)
		add(d, grad...)
		add(d, dst...)
	}

	n := trellis.NLLLoss[F]{Weight: weight, IgnoreIndex: &ignored, Reduction: r}
	require.NoError(t, n.Losses(dst, x, targets))
	loss, err := n.Grad(grad, x, targets)
	collect(nll, loss, err)
	collect(nll, 0, n.VJP(grad, upstream, x, targets))

	l := trellis.CrossEntropyLoss[F]{Weight: weight, IgnoreIndex: &ignored, Reduction: r, LabelSmoothing: smoothing}
	require.NoError(t, l.Losses(dst, x, targets))
	loss, err = l.Grad(grad, x, targets)
	collect(ce, loss, err)
	collect(ce, 0, l.VJP(grad, upstream, x, targets))

	require.NoError(t, l.LossesProbs(dst, x, target))
	loss, err = l.GradProbs(grad, x, target)
	collect(probs, loss, err)
	collect(probs, 0, l.VJPProbs(grad, upstream, x, target))
}

func goldenCTC[F trellis.Float](t *testing.T, seen map[string]string, prefix string) {
	g := generator(3)
	var logits, logProbs, probs, confident digest
	for _, shape := range [][3]int{{1, 1, 2}, {20, 5, 4}, {40, 3, 30}, {20, 2, 700}, {100, 2, 8}} {
		for _, s := range []int{0, 1, 2, 15, 16, 17, 40} {
			for _, scale := range []int{1, 12} {
				goldenCTCCase[F](t, &g, shape, s, scale, trellis.Logits, &logits)
				goldenCTCCase[F](t, &g, shape, s, scale, trellis.LogProbabilities, &logProbs)
			}
		}
	}
	for _, s := range []int{0, 1, 5, 20} { // scores that spell a target: losses below 1
		goldenConfident[F](t, &g, s, &confident)
	}
	for _, shape := range [][3]int{{1, 1, 2}, {20, 5, 4}, {40, 3, 30}, {20, 2, 700}} {
		for _, s := range []int{0, 1, 2, 15, 16, 17} {
			for _, scale := range []int{1, 12} {
				goldenCTCCase[F](t, &g, shape, s, scale, trellis.Probabilities, &probs)
			}
		}
	}
	seen[prefix+"CTCLoss/Logits"], seen[prefix+"CTCLoss"], seen[prefix+"CTCLoss/confident"] = logits.sum(), logProbs.sum(), confident.sum()
	seen[prefix+"CTCLoss/Probabilities"] = probs.sum()
}

func goldenCTCCase[F trellis.Float](t *testing.T, g *generator, shape [3]int, s, scale int, scores trellis.Scores, d *digest) {
	frames, n, c := shape[0], shape[1], shape[2]
	x := trellis.Tensor[F]{Data: goldenScores[F](g, frames*n*c, scale), Shape: shape[:]}
	if scores == trellis.Probabilities {
		trellis.SoftmaxRows(x.Data, x)
	}
	blank := g.below(c)
	targets, inputs, lengths := make([]int, n*s), make([]int, n), make([]int, n)
	for i := range targets {
		targets[i] = (blank + 1 + g.below(c-1)) % c
	}
	for i := range inputs {
		inputs[i], lengths[i] = frames-g.below(frames/8+1), s-g.below(s/4+1)
	}
	goldenCTCMethods(t, trellis.CTCLoss[F]{Blank: blank, Scores: scores}, x, targets, inputs, lengths, d)
}

func goldenConfident[F trellis.Float](t *testing.T, g *generator, s int, d *digest) {
	const frames, c = 60, 9
	x := trellis.Tensor[F]{Data: goldenScores[F](g, frames*c, 2), Shape: []int{frames, c}}
	targets := make([]int, s)
	for i := range targets {
		targets[i] = 1 + g.below(c-1)
	}
	for frame := range frames {
		class := 0
		if frame%3 == 1 && frame/3 < s {
			class = targets[frame/3]
		}
		x.Data[frame*c+class] = F(10 + g.below(12))
	}
	goldenCTCMethods(t, trellis.CTCLoss[F]{Scores: trellis.Logits}, x, targets, nil, []int{s}, d)
}

func goldenCTCMethods[F trellis.Float](t *testing.T, l trellis.CTCLoss[F], x trellis.Tensor[F], targets, inputs, lengths []int, d *digest) {
	grad, dst := make([]F, len(x.Data)), make([]F, len(lengths))
	require.NoError(t, l.Losses(dst, x, targets, inputs, lengths))
	add(d, dst...)
	l.ZeroInfinity = true
	loss, err := l.Grad(grad, x, targets, inputs, lengths)
	require.NoError(t, err)
	add(d, loss)
	add(d, grad...)
	l.Gradient = trellis.ScoresGradient
	for i := range dst {
		dst[i] = F(i) - 1.5
	}
	require.NoError(t, l.VJP(grad, dst, x, targets, inputs, lengths))
	add(d, grad...)
}

func goldenAlign[F trellis.Float](t *testing.T, seen map[string]string, prefix string) {
	g := generator(4)
	var d digest
	for _, shape := range [][3]int{{1, 1, 2}, {20, 5, 4}, {40, 3, 30}, {20, 2, 700}, {900, 1, 12}} {
		for _, s := range []int{0, 1, 2, 15, 16, 17, 40, 300} {
			for _, scores := range []trellis.Scores{trellis.LogProbabilities, trellis.Logits, trellis.Probabilities} {
				frames, n, c := shape[0], shape[1], shape[2]
				x := trellis.Tensor[F]{Data: goldenScores[F](&g, frames*n*c, 1+g.below(12)), Shape: shape[:]}
				if scores == trellis.Probabilities {
					trellis.SoftmaxRows(x.Data, x)
				}
				blank := g.below(c)
				targets, inputs, lengths, labels := make([]int, n*s), make([]int, n), make([]int, n), 0
				for i := range targets {
					if targets[i] = (blank + 1 + g.below(c-1)) % c; g.below(9) == 0 {
						targets[i] = trellis.AnyLabel
					}
				}
				for i := range inputs {
					inputs[i], lengths[i] = frames-g.below(frames/8+1), s-g.below(s/4+1)
					labels += lengths[i]
				}
				spans, dst := make([]trellis.Span, labels), make([]float64, n)
				a := trellis.CTCAligner[F]{Blank: blank, Scores: scores, Confidence: true, AnyScore: -2}
				require.NoError(t, a.Align(spans, dst, x, targets, inputs, lengths))
				add(&d, dst...)
				for _, s := range spans {
					add(&d, float64(s.Start), float64(s.End), s.Score, s.Confidence)
				}
			}
		}
	}
	seen[prefix+"CTCAligner"] = d.sum()
}
