//go:build linux && (amd64 || arm64)

package optest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gotrellis/trellis/asm"
	"github.com/gotrellis/trellis/asm/internal/optest/ops"
)

// tier is a target and whether the machine has it.
type tier struct {
	target asm.Target
	has    bool
}

// kernels returns the kernels of a target.
func (tier tier) kernels(t *testing.T) kernels {
	t.Helper()
	k, ok := generated[tier.target]
	require.True(t, ok, "there are no kernels for %v: write them with go generate ./internal/optest", tier.target)
	return k
}

// TestMain tells which tiers ran. In CI one that the machine has may not be left
// out, as by -run or -skip.
func TestMain(m *testing.M) {
	code := m.Run()
	var names []string
	for _, t := range tiers {
		if ran[t.target] {
			names = append(names, t.target.String())
		} else if t.has && os.Getenv("CI") == "true" {
			fmt.Printf("optest: the machine has %v, which did not run\n", t.target)
			code = 1
		}
	}
	fmt.Printf("optest: ran on [%s]\n", strings.Join(names, " "))
	os.Exit(code)
}

// Kernels that were written before the last change of the assembler test nothing.
func TestKernelsAreCurrent(t *testing.T) {
	written, err := os.Stat("ops_" + runtime.GOARCH + ".s")
	require.NoError(t, err, "write the kernels with go generate ./internal/optest")
	for _, pattern := range []string{"../../*.go", "gen/*.go", "ops/*.go"} {
		sources, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, source := range sources {
			if strings.HasSuffix(source, "_test.go") {
				continue
			}
			changed, err := os.Stat(source)
			require.NoError(t, err)
			require.False(t, changed.ModTime().After(written.ModTime()),
				"%s has changed: write the kernels again with go generate ./internal/optest", source)
		}
	}
}

// ran has the targets whose every operation was compared.
var ran = map[asm.Target]bool{}

// array is memory between two pages that may not be touched.
type array struct {
	pages []byte // between the guards
}

func newArray(t *testing.T, size int) array {
	t.Helper()
	page := unix.Getpagesize()
	size = (size + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(m)) })
	require.NoError(t, unix.Mprotect(m[:page], unix.PROT_NONE))
	require.NoError(t, unix.Mprotect(m[page+size:], unix.PROT_NONE))
	return array{m[page : page+size]}
}

// at returns so many bytes that touch one of the guards, and a pointer to them,
// which is to the guard itself if there are none.
func (a array) at(end bool, size int) ([]byte, *byte) {
	if !end {
		return a.pages[:size], &a.pages[0]
	}
	start := len(a.pages) - size
	if size == 0 {
		return nil, &a.pages[start-1]
	}
	return a.pages[start:], &a.pages[start]
}

// untouched is the byte that dst is full of before a kernel runs.
var untouched = []byte{0xa5}

func TestOperations(t *testing.T) {
	const maxBytes = 5 * 64
	x, y, z, dst := newArray(t, maxBytes), newArray(t, maxBytes), newArray(t, maxBytes), newArray(t, maxBytes)
	for _, tier := range tiers {
		t.Run(tier.target.String(), func(t *testing.T) {
			if !tier.has {
				t.Skip("the machine lacks it")
			}
			kernels := tier.kernels(t)
			for _, o := range ops.All() {
				if !o.Runs(tier.target) {
					continue
				}
				f := kernels.ops[o.Name]
				require.NotNil(t, f, o.Name)
				rng := rand.New(rand.NewPCG(1, 2))
				for n := range 4*o.In.Lanes() + 2 {
					for round := range 4 {
						end := round%2 == 0
						bx, px := x.at(end, n*o.In.Size())
						by, py := y.at(end, n*o.In.Size())
						bz, pz := z.at(end, n*o.In.Size())
						xs, ys, zs := fill(rng, &o, bx, false), fill(rng, &o, by, true), fill(rng, &o, bz, false)
						want := o.Want(xs, ys, zs)
						got, pd := dst.at(end, len(want)*o.Out.Size())
						copy(dst.pages, bytes.Repeat(untouched, len(dst.pages)))
						f(pd, px, py, pz, n)
						if !compare(t, &o, n, got, want) {
							return
						}
						rest := dst.pages[:len(dst.pages)-len(got)]
						if !end {
							rest = dst.pages[len(got):]
						}
						if bytes.Count(rest, untouched) != len(rest) {
							assert.Fail(t, "wrote outside", "%s, n=%d, at the end %v", o.Name, n, end)
							return
						}
					}
				}
			}
			ran[tier.target] = true
		})
	}
}

// fill sets an array to elements of which some are special and some equal, and
// returns their bits.
func fill(rng *rand.Rand, o *ops.Op, b []byte, isY bool) []uint64 {
	specials := ops.Specials(o.In)
	elements := make([]uint64, len(b)/o.In.Size())
	for i := range elements {
		bits := rng.Uint64()
		if o.In.Size() == 4 {
			bits >>= 32
		}
		switch rng.IntN(4) {
		case 0:
			bits = specials[rng.IntN(len(specials))]
		case 1: // small, so that they are often equal and sums do not overflow
			bits = ops.Constant(o.In, float64(rng.IntN(9)-4))
		}
		if isNaN(o.In, bits) {
			bits = ops.Constant(o.In, math.NaN()) // signaling ones are no input
			if isY && o.NumberY || !isY && o.NumberX {
				bits = ops.Constant(o.In, 1)
			}
		}
		elements[i] = bits
		ops.Put(o.In, b, i, bits)
	}
	return elements
}

func compare(t *testing.T, o *ops.Op, n int, got []byte, want []uint64) bool {
	for i, w := range want {
		g := ops.Get(o.Out, got, i)
		if g == w || isNaN(o.Out, g) && isNaN(o.Out, w) {
			continue
		}
		if o.NumberY && o.Out.IsFloat() && ops.IsZero(o.Out, g) && ops.IsZero(o.Out, w) {
			continue
		}
		return assert.Fail(t, "wrong", "%s, n=%d: dst[%d] is %#x, want %#x", o.Name, n, i, g, w)
	}
	return true
}

func isNaN(t asm.Type, bits uint64) bool {
	switch t {
	case asm.F32:
		return math.IsNaN(float64(math.Float32frombits(uint32(bits))))
	case asm.F64:
		return math.IsNaN(math.Float64frombits(bits))
	}
	return false
}

func TestParams(t *testing.T) {
	x := make([]float32, 5)
	x[0], x[1] = 0.5, -2
	for _, tier := range tiers {
		if !tier.has {
			continue
		}
		s, d, n, m, w := tier.kernels(t).params(1.25, -3, -7, 250, 1<<40, x)
		assert.Equal(t, float32(1.75), s, tier.target)
		assert.Equal(t, 9.0, d, tier.target)
		assert.Equal(t, -7+250+1<<40, n, tier.target)
		assert.Equal(t, int32(5), m, tier.target)
		assert.Equal(t, math.Float32bits(-2), w, tier.target)
	}
}
