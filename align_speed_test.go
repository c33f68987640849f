package trellis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/gotrellis/trellis/internal/npy"
)

func median(times []time.Duration) time.Duration {
	for i := range times {
		for j := range i {
			if times[i] < times[j] {
				times[i], times[j] = times[j], times[i]
			}
		}
	}
	return times[len(times)/2]
}

func TestAlignSpeed(t *testing.T) {
	if os.Getenv("SPEED") == "" {
		t.Skip()
	}
	type c struct {
		name   string
		x      []float32
		T, C   int
		labels []int
		reps   int
	}
	var cases []c
	random := func(T, S, C, reps int) {
		r := rand.New(rand.NewPCG(3, 4))
		x := make([]float32, T*C)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		LogSoftmaxRows(x, Tensor[float32]{x, []int{T, C}})
		labels := make([]int, S)
		for i := range labels {
			labels[i] = 1 + r.IntN(C-1)
		}
		cases = append(cases, c{fmt.Sprintf("random T%d S%d C%d", T, S, C), x, T, C, labels, reps})
	}
	dir := os.Getenv("TRELLIS_TESTDATA") + "/emissions/ctclib_libri/"
	x, shape, err := npy.ReadFile[float32](dir + "emissions.npy")
	if err != nil {
		t.Fatal(err)
	}
	labels := libriTokens()
	tile := func(n int, reps int) {
		var xs []float32
		var ls []int
		for range n {
			xs = append(xs, x...)
			ls = append(ls, labels...)
		}
		cases = append(cases, c{fmt.Sprintf("libri×%d T%d S%d", n, n*shape[0], len(ls)), xs, n * shape[0], shape[1], ls, reps})
	}
	tile(1, 300)
	random(1000, 200, 32, 100)
	random(50, 10, 32, 1000)
	if os.Getenv("SPEED") == "1" {
		return
	}
	random(200, 40, 5000, 30)
	random(20000, 2000, 32, 5)
	tile(69, 5)
	if os.Getenv("SPEED") == "hour" {
		tile(617, 1)
	}
	for _, c := range cases {
		x := Tensor[float32]{c.x, []int{c.T, c.C}}
		spans, scores := make([]Span, len(c.labels)), make([]float64, 1)
		var ours, loss, logits, lossLogits, probs, lossProbs []time.Duration
		p := make([]float32, len(c.x))
		for i, v := range c.x {
			p[i] = float32(math.Exp(float64(v)))
		}
		px := Tensor[float32]{p, x.Shape}
		dst := make([]float32, 1)
		timed := func(d *[]time.Duration, f func() error) {
			start := time.Now()
			if err := f(); err != nil {
				t.Fatal(err)
			}
			*d = append(*d, time.Since(start))
		}
		grads := make([]float32, len(c.x))
		var conf, gr []time.Duration
		if c.T < 100000 {
			for range max(c.reps/4, 1) {
				timed(&conf, func() error {
					return CTCAligner[float32]{Workers: 1, Confidence: true}.Align(spans, scores, x, c.labels, nil, nil)
				})
				timed(&gr, func() error { _, err := CTCLoss[float32]{Workers: 1}.Grad(grads, x, c.labels, nil, nil); return err })
			}
			t.Logf("confidence %v, grad %v", median(conf), median(gr))
		}
		for range c.reps {
			for s, d := range [][2]*[]time.Duration{{&ours, &loss}, {&logits, &lossLogits}, {&probs, &lossProbs}} {
				x := x
				if Scores(s) == Probabilities {
					x = px
				}
				if c.T > 100000 && s > 0 {
					continue
				}
				timed(d[0], func() error {
					return CTCAligner[float32]{Workers: 1, Scores: Scores(s)}.Align(spans, scores, x, c.labels, nil, nil)
				})
				timed(d[1], func() error {
					return CTCLoss[float32]{Workers: 1, Scores: Scores(s)}.Losses(dst, x, c.labels, nil, nil)
				})
			}
		}
		if c.T > 100000 {
			logits, lossLogits, probs, lossProbs = ours, loss, ours, loss
		}
		t.Logf("%-24s align %v loss %v | logits %v loss %v | probs %v loss %v  score %v", c.name, median(ours), median(loss), median(logits), median(lossLogits), median(probs), median(lossProbs), scores[0])
	}
}
func libriTokens() []int {
	return []int{17, 10, 12, 6, 5, 13, 4, 30, 16, 10, 15, 6, 5, 13, 4, 10, 12, 4, 6, 11, 5, 4, 7, 23, 8, 12, 6, 15, 5, 4, 8, 20, 4, 6, 11, 5, 4, 17, 10, 14, 14, 15, 5, 4, 19, 15, 7, 12, 12, 5, 12, 4, 7, 9, 14, 4, 18, 5, 4, 7, 13, 5, 4, 21, 15, 7, 14, 4, 6, 8, 4, 18, 5, 15, 19, 8, 17, 5, 4, 11, 10, 12, 4, 21, 8, 12, 23, 5, 15, 4}
}
