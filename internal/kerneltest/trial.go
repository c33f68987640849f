package kerneltest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/guard"
	"github.com/gotrellis/trellis/internal/tier"
)

// Place is where the arguments of a call lie: at the guard pages, or so many elements
// behind a multiple of 64 bytes.
type Place int

const (
	AtStart Place = -2
	AtEnd   Place = -1
)

// pageSizes are those of the memory for an argument, in bytes. It lies in the smallest
// that will do, because all of that is filled with canaries.
var pageSizes = [...]int{4 << 10, 20 << 10, 40 << 10, 160 << 10, 480 << 10}

// Trial is one call of a kernel, or some, with one sort of arguments.
type Trial[F fp.Float] struct {
	T     testing.TB
	R     *rand.Rand
	N     int // the length that the trial is about
	Input Input[F]
	Place Place
	Notes []any // further parameters, for messages

	pages  [][len(pageSizes)]*guard.Pages // for each argument of a call, by size
	used   int                            // number of arguments so far
	checks []func() string                // what went wrong with them, after the call
}

// NewTrial returns a trial without a length, an input and a place.
func NewTrial[F fp.Float](t testing.TB) *Trial[F] {
	return &Trial[F]{T: t, R: rand.New(rand.NewPCG(1, 2))}
}

// String says what the trial is about, for messages.
func (c *Trial[F]) String() string {
	place := map[Place]string{AtStart: "behind a guard page", AtEnd: "before a guard page"}[c.Place]
	if place == "" {
		place = fmt.Sprintf("%d elements behind 64 bytes", c.Place)
	}
	return fmt.Sprintf("n = %d, %s, %s, %v", c.N, c.Input.Name, place, c.Notes)
}

// Scores returns n elements of the trial's input.
func (c *Trial[F]) Scores(n int) []F { return c.Input.Make(c.R, n) }

// Placed returns a copy of x in the trial's place, in pages of its own, for the next call.
// Each argument of a call has another alignment.
func Placed[F fp.Float, T any](c *Trial[F], x []T) []T {
	p, argument := c.nextPages(len(bytesOf(x))+256), c.used
	var y []T
	switch c.Place {
	case AtStart:
		y = guard.First[T](p, len(x))
	case AtEnd:
		y = guard.Last[T](p, len(x))
	default:
		y = guard.Inside[T](p, len(x), (int(c.Place)+5*c.used)%fp.Lanes[F]())
	}
	copy(y, x)
	c.used++
	c.checks = append(c.checks, func() string {
		if !guard.Intact(p, y) {
			return fmt.Sprintf("something beside the argument %d was written", argument)
		}
		return ""
	})
	return y
}

// nextPages returns memory of so many bytes for the next argument.
func (c *Trial[F]) nextPages(size int) *guard.Pages {
	if c.used == len(c.pages) {
		c.pages = append(c.pages, [len(pageSizes)]*guard.Pages{})
	}
	i := slices.IndexFunc(pageSizes[:], func(s int) bool { return size <= s })
	p := c.pages[c.used][i]
	if p == nil {
		var err error
		p, err = guard.New(pageSizes[i])
		require.NoError(c.T, err)
		c.T.Cleanup(func() { require.NoError(c.T, p.Free()) })
		c.pages[c.used][i] = p
	}
	return p
}

// Constant is Placed for an argument that the kernel must not change.
func Constant[F fp.Float, T any](c *Trial[F], x []T) []T {
	y, argument := Placed(c, x), c.used
	c.checks = append(c.checks, func() string {
		if !bytes.Equal(bytesOf(x), bytesOf(y)) {
			return fmt.Sprintf("the argument %d, an input, was written", argument-1)
		}
		return ""
	})
	return y
}

// Destination returns x, placed, and a destination of its length, which may be x.
func (c *Trial[F]) Destination(x []F, inPlace bool) (dst, y []F) {
	if inPlace {
		dst = Placed(c, x)
		return dst, dst
	}
	return Placed(c, make([]F, len(x))), Constant(c, x)
}

// Call calls the kernel, and fails if that touches what it was not given. The next call
// has the pages to itself.
func (c *Trial[F]) Call(kernel func()) {
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		if r := recover(); r != nil {
			require.Fail(c.T, "the kernel panics", "%v: %v", c, r)
		}
	}(debug.SetPanicOnFault(true))
	kernel()
	for _, check := range c.checks {
		if wrong := check(); wrong != "" {
			require.Fail(c.T, wrong, "%v", c)
		}
	}
	c.checks, c.used = c.checks[:0], 0
}

// Same requires the same bits. A NaN is as good as any other.
func Same[F, G fp.Float](c *Trial[F], what string, want, got []G) {
	for i := range want {
		if Bits(want[i]) != Bits(got[i]) {
			require.Fail(c.T, "other bits", "%v: %s[%d] = %v (%x), want %v (%x)",
				c, what, i, got[i], Bits(got[i]), want[i], Bits(want[i]))
		}
	}
}

// SameOne is Same for one number.
func SameOne[F, G fp.Float](c *Trial[F], what string, want, got G) {
	Same(c, what, []G{want}, []G{got})
}

// SameTop is SameOne for the largest element of x.
func SameTop[F fp.Float](c *Trial[F], x []F, want, got F) {
	if !LosesTop(x) {
		SameOne(c, "top", want, got)
	}
}

// LosesTop reports whether the largest element of x may be lost: FMAXNM of NEON takes a
// signalling NaN for the largest, after which it is forgotten.
func LosesTop[F fp.Float](x []F) bool {
	return tier.Active == tier.NEON && slices.ContainsFunc(x, isSignalling[F])
}

// Brief reports whether a few trials are enough: in short mode, and of the specification
// beside itself.
func Brief() bool { return testing.Short() || tier.Active == tier.Generic }

// Thorough reports whether the trial has one of the inputs for which everything else is
// varied.
func (c *Trial[F]) Thorough() bool {
	return (c.Input.Name == Plain || c.Input.Name == Mixed) && !Brief()
}

// Some returns all of what else a trial varies in, or one if a few trials are enough.
func Some[F fp.Float, T any](c *Trial[F], all []T) []T {
	if !Brief() {
		return all
	}
	return one(c, all)
}

// one returns one of all at random.
func one[F fp.Float, T any](c *Trial[F], all []T) []T {
	i := c.R.IntN(len(all))
	return all[i : i+1]
}

// exhaustive asks for all trials: what else comes by turns is combined.
var exhaustive = os.Getenv("TRELLIS_EXHAUSTIVE") != ""

// places are those to try the length and the input of the trial in: all, or one.
func (c *Trial[F]) places() []Place {
	all := []Place{AtStart, AtEnd, Place(c.R.IntN(fp.Lanes[F]()))}
	if c.Thorough() {
		for offset := range fp.Lanes[F]() {
			all = append(all, Place(offset))
		}
		return all
	}
	if exhaustive && !Brief() {
		return all
	}
	return one(c, all)
}

// Each does trials of a kernel for all lengths up to four vectors and the long ones, with
// all Inputs: two of these in every place, and the others in one that changes. (With
// TRELLIS_EXHAUSTIVE=1 those, too, lie at both guard pages and elsewhere.)
func Each[F fp.Float](t *testing.T, long []int, do func(c *Trial[F])) {
	EachOf(t, append(slices.Clone(long), UpTo(0, 4*fp.Lanes[F]()+1)...), Inputs[F](), do)
}

// EachOf is Each for other lengths and inputs.
func EachOf[F fp.Float](t *testing.T, lengths []int, inputs []Input[F], do func(c *Trial[F])) {
	c := NewTrial[F](t)
	for i, n := range lengths {
		if tier.Active == tier.Generic && i%7 > 0 {
			continue
		}
		c.N = n
		for k := range inputs {
			if Brief() && n > long && (i+k)%4 > 0 { // a quarter of the inputs
				continue
			}
			c.Input = inputs[k]
			for _, c.Place = range c.places() {
				c.Notes = c.Notes[:0]
				do(c)
			}
		}
	}
}

// long is the length from which on a trial takes much longer than others.
const long = 100

// UpTo returns the integers from one to another.
func UpTo(from, to int) (all []int) {
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}
