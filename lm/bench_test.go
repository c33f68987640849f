package lm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/lmtest"
)

// BenchmarkRead reads a 3-gram of about a million n-grams, and says how many there are and what is held of them.
func BenchmarkRead(b *testing.B) {
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.2, 4, 50000)
	sentences := make([][]string, 60000)
	for i := range sentences {
		for range 12 {
			sentences[i] = append(sentences[i], fmt.Sprint("w", zipf.Uint64()))
		}
	}
	var text bytes.Buffer
	require.NoError(b, lmtest.WriteARPA(&text, sentences, 3))
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var model *Model
	var err error
	before := held()
	for b.Loop() {
		model, err = Read(bytes.NewReader(text.Bytes()))
	}
	require.NoError(b, err)
	b.ReportMetric(float64(held()-before)/(1<<20), "MiB")
	b.ReportMetric(float64(bytes.Count(text.Bytes(), []byte{'\n'})), "lines")
	runtime.KeepAlive(model)
}
