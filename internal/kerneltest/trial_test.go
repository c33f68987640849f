package kerneltest

import (
	"fmt"
	"math"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/guard"
	"github.com/gotrellis/trellis/internal/tier"
)

// double is a kernel in plain Go, dst = 2·x, that stands for one in assembly: a fault that is
// put into it must be found.
func double(dst, x []float32) {
	for i, v := range x {
		dst[i] = 2 * v
	}
}

// beyond returns the element i places behind the first one of x, which need not be in x.
func beyond(x []float32, i int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(x)), 4*i))
}

// failure is what a test says when it fails.
type failure string

// recorder is a test whose failure ends it, and is kept.
type recorder struct {
	testing.TB
	text string
}

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }
func (r *recorder) FailNow()                          { panic(failure(r.text)) }

// failureOf returns how a trial of a kernel fails, or "".
func failureOf(t *testing.T, n int, place Place, input Input[float32], kernel func(dst, x []float32)) (text string) {
	defer func() {
		if f, ok := recover().(failure); ok {
			text = string(f)
		}
	}()
	c := NewTrial[float32](&recorder{TB: t})
	c.N, c.Place, c.Input = n, place, input
	x, want := c.Scores(n), make([]float32, n)
	double(want, x)
	for _, inPlace := range []bool{false, true} {
		dst, y := c.Destination(x, inPlace)
		c.Call(func() { kernel(dst, y) })
		Same(c, "dst", want, dst)
	}
	return ""
}

func TestTrialFindsFaults(t *testing.T) {
	normal := Inputs[float32]()[0]
	places := []Place{AtStart, AtEnd, 0, 3, 15}
	for _, place := range places {
		for _, n := range []int{0, 1, 7, 64, 4096} {
			assert.Empty(t, failureOf(t, n, place, normal, double))
		}
	}
	for name, fault := range map[string]struct {
		text   string
		places []Place
		kernel func(dst, x []float32)
	}{
		"writes behind": {"beside the argument 0 was written", []Place{AtStart, 0, 3}, func(dst, x []float32) {
			double(dst, x)
			*beyond(dst, len(dst)) = 0
		}},
		"writes before": {"beside the argument 0 was written", []Place{AtEnd, 0, 3}, func(dst, x []float32) {
			double(dst, x)
			*beyond(dst, -1) = 0
		}},
		"changes its input": {"the argument 1, an input, was written", places, func(dst, x []float32) {
			double(dst, x)
			x[len(x)-1]++
		}},
		"is off by the last bit": {"other bits", places, func(dst, x []float32) {
			double(dst, x)
			dst[2] = Moved(dst[2], 1)
		}},
		"leaves out the last element":   {"other bits", places, func(dst, x []float32) { double(dst[:64], x[:64]) }},
		"is right only if dst is not x": {"other bits", places, func(dst, x []float32) { clear(dst); double(dst, x) }},
		"panics":                        {"the kernel panics", places, func(dst, x []float32) { panic("no") }},
	} {
		for _, place := range fault.places {
			assert.Contains(t, failureOf(t, 65, place, normal, fault.kernel), fault.text, "a kernel that %s, %v", name, place)
		}
	}
}

func TestTrialFindsReadsBeside(t *testing.T) {
	if !guard.Enforced {
		t.Skip("no guard pages on this system")
	}
	var sink float32
	for place, at := range map[Place]int{AtStart: -1, AtEnd: 65} {
		text := failureOf(t, 65, place, Inputs[float32]()[0], func(dst, x []float32) {
			double(dst, x)
			sink += *beyond(x, at)
		})
		assert.Contains(t, text, "the kernel panics")
	}
}

// What Each promises: every length, every place, every alignment.
func TestEachIsThorough(t *testing.T) {
	if tier.Available[len(tier.Available)-1] == tier.Generic || testing.Short() {
		t.Skip("few trials are done")
	}
	defer func(before tier.Tier) { tier.Active = before }(tier.Active)
	tier.Active = tier.Available[len(tier.Available)-1]
	lengths, places, inputs, alignments := map[int]bool{}, map[Place]bool{}, map[string]bool{}, map[uintptr]bool{}
	Each(t, []int{1000}, func(c *Trial[float64]) {
		lengths[c.N], inputs[c.Input.Name] = true, true
		if c.N != 13 || c.Input.Name != Mixed {
			return
		}
		places[c.Place] = true
		Placed(c, make([]float64, 5))
		second := Placed(c, c.Scores(c.N))
		if c.Place >= 0 {
			alignments[uintptr(unsafe.Pointer(&second[0]))%64] = true
		}
		c.Call(func() {})
	})
	assert.Len(t, lengths, 4*8+2+1)
	assert.Len(t, inputs, len(Inputs[float64]()))
	assert.Len(t, places, 2+8)
	assert.Len(t, alignments, 8)
}

func TestInputs(t *testing.T) {
	c := NewTrial[float32](t)
	made := map[string][]float32{}
	for _, c.Input = range Inputs[float32]() {
		made[c.Input.Name] = c.Scores(500)
	}
	count := func(name string, is func(x float32) bool) (n int) {
		for _, v := range made[name] {
			if is(v) {
				n++
			}
		}
		return n
	}
	isNaN := func(x float32) bool { return x != x }
	isInf := func(x float32) bool { return math.IsInf(float64(x), 0) }
	assert.Equal(t, 500, count(Plain, fp.IsFinite[float32]))
	assert.Equal(t, 1, count("one NaN", isNaN))
	assert.Equal(t, 500, count("all NaN", isNaN))
	assert.Equal(t, 500, count("all −Inf", isInf))
	assert.Equal(t, 2, count("few above −Inf", fp.IsFinite[float32]))
	assert.Greater(t, count("some signalling NaN", isSignalling[float32]), 100)
	assert.Zero(t, count("any bits", isSignalling[float32]))
	for _, kind := range []func(x float32) bool{isNaN, isInf, fp.IsFinite[float32]} {
		assert.Greater(t, count(Mixed, kind), 20)
	}
}
