package side

import (
	"cmp"
	"math"
	"sync"

	"github.com/gotrellis/trellis"
)

// mix is splitmix64: the i-th of a sequence of random numbers that Python can make
// too.
func mix(i uint64) uint64 {
	z := (i + 1) * 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// uniform returns a number between 0 and 1 from random bits.
func uniform(bits uint64) float64 { return (float64(bits>>11) + 0.5) * 0x1p-53 }

// normals are standard normal, by Box and Muller. There are as many as keep making
// them quick; longer inputs repeat them.
var normals = sync.OnceValue(func() []float64 {
	x := make([]float64, 1000003)
	for i := range x {
		u, v := uniform(mix(uint64(2*i))), uniform(mix(uint64(2*i+1)))
		x[i] = math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
	}
	return x
})

// Normal returns the job's inputs: standard normal numbers, scaled, and rounded to
// float32 so that both types have the same.
func Normal[F trellis.Float](j Job) []F {
	dst, src, scale := make([]F, j.Inputs()), normals(), cmp.Or(j.Scale, 1)
	done := min(len(dst), len(src))
	for i := range done {
		dst[i] = F(float32(scale * src[i]))
	}
	for done > 0 && done < len(dst) {
		done += copy(dst[done:], dst[:done])
	}
	return dst
}

// Classes returns n random classes.
func Classes(n, of int) []int {
	y := make([]int, n)
	for i := range y {
		y[i] = int(mix(uint64(i)) % uint64(of))
	}
	return y
}

// Targets returns random targets for CTC, padded to rows, and their lengths. The blank
// is class 0.
func Targets(j Job) (targets, lengths []int) {
	least, most := j.Targets[0], j.Targets[1]
	targets = Classes(j.Shape[1]*most, j.Shape[2]-1)
	for i := range targets {
		targets[i]++
	}
	lengths = Classes(j.Shape[1], most-least+1)
	for i := range lengths {
		lengths[i] += least
	}
	return targets, lengths
}
