package main

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/side"
)

// BenchmarkLongAlignment aligns an hour of speech, of 50 frames and 15 characters a second, and a quarter of
// an hour with confidences, which take longer, with one worker. What the first call allocates is what it
// takes beside scores, target and spans.
func BenchmarkLongAlignment(b *testing.B) {
	for _, c := range []struct {
		minutes    int
		confidence bool
	}{{60, false}, {15, false}, {15, true}} {
		b.Run(fmt.Sprintf("minutes=%d/confidence=%v", c.minutes, c.confidence), func(b *testing.B) {
			labels := c.minutes * 60 * 15
			j := ctc(opAlignment, "float32", labels, labels, c.minutes*60*50, 1, 32)
			j.LogProbs = true
			in, err := side.BatchOf[float32](j)
			require.NoError(b, err)
			x, spans := trellis.Tensor[float32]{Data: in.Scores, Shape: j.Shape}, make([]trellis.Span, labels)
			a := trellis.CTCAligner[float32]{Confidence: c.confidence, Workers: 1}
			runtime.GC() // twice, so that pools are empty
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b.ResetTimer()
			for range b.N {
				require.NoError(b, a.Align(spans, nil, x, in.Targets, nil, nil))
			}
			b.StopTimer()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/1e6, "MB")
		})
	}
}
