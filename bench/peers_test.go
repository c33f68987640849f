// Package bench measures trellis beside other Go libraries. The sides of a
// comparison are in one benchmark and one process; run it with -count and compare
// medians:
//
//	go test -bench . -count 10 | benchstat -col /impl -
package bench

import (
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"

	"github.com/gotrellis/trellis"
)

func normal[F trellis.Float](n int) []F {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]F, n)
	for i := range x {
		x[i] = F(r.NormFloat64())
	}
	return x
}

// perElement reports the time of one element beside that of one operation.
func perElement(b *testing.B, elements int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(elements), "ns/element")
}

func BenchmarkLogSumExp(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"n=32", 32}, {"n=1000", 1000}, {"n=4096", 4096}, {"n=50257", 50257}} {
		x, y := normal[float64](size.n), normal[float32](size.n)
		b.Run(size.name+"/type=float64/impl=trellis", func(b *testing.B) {
			for b.Loop() {
				trellis.LogSumExp(x)
			}
			perElement(b, size.n)
		})
		b.Run(size.name+"/type=float32/impl=trellis", func(b *testing.B) {
			for b.Loop() {
				trellis.LogSumExp(y)
			}
			perElement(b, size.n)
		})
		b.Run(size.name+"/type=float64/impl=gonum", func(b *testing.B) {
			for b.Loop() {
				floats.LogSumExp(x)
			}
			perElement(b, size.n)
		})
	}
}
