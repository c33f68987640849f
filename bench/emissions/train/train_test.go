package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The ink of letters is within their spans.
func TestSpans(t *testing.T) {
	a, err := newArtist(3)
	require.NoError(t, err)
	for range 20 {
		l := a.draw(0, "M M M M", "M")
		columns := len(l.pixels) / height / 2
		require.Len(t, l.spans, 8)
		var inside, all float32
		for i, span := range l.spans {
			line := i / 7 // the second one has the last character
			var ink float32
			for _, v := range l.pixels[(line*columns+perFrame*span[0])*height : (line*columns+perFrame*span[1])*height] {
				ink += v
			}
			if i%2 == 0 || line == 1 {
				assert.Greater(t, ink, float32(10))
				inside += ink
			}
		}
		for _, v := range l.pixels {
			all += v
		}
		assert.Greater(t, inside, 0.9*all)
		assert.Less(t, l.spans[6][1], l.frames[0])
		assert.Less(t, l.frames[1], l.frames[0])
		assert.Equal(t, l.frames[0]*perFrame, columns)
	}
}

func TestWords(t *testing.T) {
	a, err := newArtist(4)
	require.NoError(t, err)
	for range 1000 {
		text := a.words(5)
		assert.GreaterOrEqual(t, len(text), 5)
		assert.NotContains(t, text, "  ")
		assert.NotContains(t, []byte{text[0], text[len(text)-1]}, byte(' '))
	}
}

// The loss falls as the slope along the gradient says.
func TestGradient(t *testing.T) {
	a, err := newArtist(5)
	require.NoError(t, err)
	n := newNetwork(1+len(characters), a.Rand)
	l := a.draw(0.1, "abc", "de")
	const step = 1e-4
	for i := range n {
		for _, layer := range n {
			clear(layer.first)
		}
		before, err := n.train(l, 0, 0)
		require.NoError(t, err)
		slope := 0.0
		for k, m := range n[i].first {
			g := float64(m) / 0.1 // what the first step has made of the gradient
			slope += g * g
			n[i].weight.Data[k] -= float32(step * g)
		}
		after, err := n.train(l, 0, 0)
		require.NoError(t, err)
		assert.InEpsilon(t, step*slope, float64(before-after), 0.02, "layer %d", i)
	}
}

// A line is learned by heart.
func TestTrain(t *testing.T) {
	a, err := newArtist(6)
	require.NoError(t, err)
	n := newNetwork(1+len(characters), a.Rand)
	l := a.draw(0, "all")
	var loss float32
	for step := range 150 {
		loss, err = n.train(l, step, 3e-3)
		require.NoError(t, err)
	}
	assert.Less(t, loss, float32(0.05))
}

func TestDistance(t *testing.T) {
	assert.Equal(t, 0, distance("abc", "abc"))
	assert.Equal(t, 3, distance("", "abc"))
	assert.Equal(t, 3, distance("kitten", "sitting"))
}
