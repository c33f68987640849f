//go:build cgo

package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write kept.json")

// What is kept is what the recogniser writes.
func TestModel(t *testing.T) {
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(cache, "trellis-ocr", "ch_PP-OCRv4_rec_infer.onnx")); err != nil {
		t.Skip("no recogniser, which go run . fetches")
	}
	l, err := newLine("", "", false, &stopwatch{})
	require.NoError(t, err)
	assert.Equal(t, 6625, l.vocabulary.Len())
	assert.InDelta(t, 1, sum(l.emissions.Data[:l.vocabulary.Len()]), 1e-4)
	if *update {
		writeKept(t, l)
	}
	k, err := keptLine()
	require.NoError(t, err)
	require.Equal(t, k.emissions.Shape[0], l.emissions.Shape[0])
	for class := range k.vocabulary.Len() {
		here, ok := l.vocabulary.Class(k.vocabulary.Token(class))
		require.True(t, ok)
		for frame := range k.emissions.Shape[0] {
			want := k.emissions.Data[frame*k.vocabulary.Len()+class]
			assert.InDelta(t, want, l.emissions.Data[frame*l.vocabulary.Len()+here], 1e-3)
		}
	}
}

func sum(p []float32) (s float64) {
	for _, v := range p {
		s += float64(v)
	}
	return s
}

// writeKept keeps the blank, the space and each class that has one per mille somewhere.
func writeKept(t *testing.T, l line) {
	classes := l.vocabulary.Len()
	k := kept{Probabilities: make([][]float32, l.emissions.Shape[0])}
	for class := range classes {
		likely := class == l.vocabulary.Blank || class == classes-1
		for i := class; i < len(l.emissions.Data); i += classes {
			likely = likely || l.emissions.Data[i] >= 0.001
		}
		if !likely {
			continue
		}
		k.Tokens = append(k.Tokens, l.vocabulary.Token(class))
		for frame := range k.Probabilities {
			k.Probabilities[frame] = append(k.Probabilities[frame], l.emissions.Data[frame*classes+class])
		}
	}
	data, err := json.Marshal(k)
	require.NoError(t, err)
	keptJSON = append(data, '\n')
	require.NoError(t, os.WriteFile("kept.json", keptJSON, 0o666))
}
