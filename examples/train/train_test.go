package main

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/schollz/progressbar/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
)

// The loss falls, and it is the same on one core.
func TestTrain(t *testing.T) {
	const steps = 20
	h, err := train(steps, progressbar.DefaultSilent(steps))
	require.NoError(t, err)
	sums := make([]float64, steps)
	for _, loss := range h.losses {
		sums[int(loss.X)] += loss.Y
	}
	assert.Less(t, sums[steps-1], sums[0]/2)
	assert.NoError(t, h.draw(filepath.Join(t.TempDir(), "train.png")))

	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	again, err := train(steps, progressbar.DefaultSilent(steps))
	require.NoError(t, err)
	assert.Equal(t, h, again)
}

// A small step against the slopes of a convolution lowers the loss by as much as they say.
func TestSlopes(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 0))
	n, b := newNetwork(r), newBatch(r, 3, "abba")
	targets, lengths := b.labels()
	loss := func() float64 {
		logits := n.forward(b)
		grad := make([]float32, len(logits.Data))
		loss, err := trellis.CTCLoss[float32]{Scores: trellis.Logits, BatchFirst: true}.Grad(grad, logits, targets, b.frames, lengths)
		require.NoError(t, err)
		n.backward(grad)
		return float64(loss)
	}
	const step = 1e-5
	for i, c := range n {
		before, fall := loss(), 0.0
		for k, s := range c.slopes.Data {
			require.False(t, math.IsNaN(float64(s)) || math.IsInf(float64(s), 0))
			fall += step * float64(s*s)
			c.weights.Data[k] -= step * s
		}
		assert.InEpsilon(t, fall, before-loss(), 0.05, "convolution %d", i)
	}
}

// No frame sees two texts, and every text that is drawn can be spelled.
func TestBatch(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 0))
	n, b := newNetwork(r), newBatch(r, 50, "abba", strings.Repeat("l", 20))
	before := n.forward(b)
	second := b.pixels[len(b.pixels)/len(b.texts):][:b.frames[1]*stride*height]
	clear(second[margin*height : len(second)-margin*height])
	after := n.forward(b)
	for i, text := range b.texts {
		line := i * before.Shape[1] * classes
		seen := b.frames[i] * classes
		assert.Equal(t, i != 1, slices.Equal(before.Data[line:][:seen], after.Data[line:][:seen]), "line %d", i)
		needed := len(text)
		for k := range text[1:] {
			if text[k] == text[k+1] {
				needed++
			}
		}
		assert.GreaterOrEqual(t, b.frames[i], needed, text)
	}
	targets, lengths := b.labels()
	assert.Equal(t, b.texts[1], spell(targets[lengths[0]:][:lengths[1]]))
}
