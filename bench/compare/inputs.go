package main

import (
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

// normal returns n standard normal numbers.
func normal[F trellis.Float](n int) []F {
	dst, src := make([]F, n), normals()
	done := min(n, len(src))
	for i := range done {
		dst[i] = F(src[i])
	}
	for done > 0 && done < n {
		done += copy(dst[done:], dst[:done])
	}
	return dst
}

// classes returns n random classes.
func classes(n, of int) []int {
	y := make([]int, n)
	for i := range y {
		y[i] = int(mix(uint64(i)) % uint64(of))
	}
	return y
}
