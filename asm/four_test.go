package asm

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// foldRows folds four vectors, computes with the results, and stores them or spreads
// the first and the last.
func foldRows(target Target, t Type, spread bool) ([]string, error) {
	f := &File{Package: "p", Generator: "a test"}
	f.Kernel(target, "rows", "func(dst, x *byte)", nil, func(k *Kernel) {
		dst, x := k.Pointer(t, "dst"), k.Pointer(t, "x")
		var v [4]Vec
		for i := range v {
			v[i] = x.Vector(i).Load()
		}
		s := FoldAdd4(v[0], v[1], v[2], v[3])
		s = s.Mul(s)
		if spread {
			dst.Store(s.Spread())
			dst.Vector(1).Store(s.SpreadLane(3))
		} else {
			dst.StoreFour(s)
		}
	})
	text, err := f.Assemble()
	return strings.Split(string(text), "\n"), err
}

// Four vectors are folded with few instructions, and what follows is computed
// once.
func TestFold4Instructions(t *testing.T) {
	const moves = `^\s*(VSHUF|VPERM|VBLEND|VUNPCK|VEXTRACT|VBROADCAST|VZIP|VUZP|VDUP|VMOVAPS)`
	for _, c := range []struct {
		target              Target
		t                   Type
		adds, moves, spread int
	}{
		{AVX2, F32, 4 + 2 + 1 + 1, 7 + 2, 7 + 2},
		{AVX2, F64, 4 + 2 + 1, 6, 6 + 2},
		{AVX512, F32, 5, 8 + 1, 8 + 2},
		{AVX512, F64, 4, 7 + 1, 7 + 2},
		{NEON, F32, 12 + 2 + 1, 4, 4 + 2},
		{NEON, F64, 12 + 2, 0, 2},
	} {
		for _, spread := range []bool{false, true} {
			lines, err := foldRows(c.target, c.t, spread)
			require.NoError(t, err)
			want := c.moves
			if spread {
				want = c.spread
			}
			text := strings.Join(lines, "\n")
			assert.Equal(t, c.adds, count(lines, `^\s*VADDP[SD]|// FADDP? `), text)
			assert.Equal(t, want, count(lines, moves), text)
			products := 1
			if c.target == NEON {
				products = c.t.Size() / 4
			}
			assert.Equal(t, products, count(lines, `^\s*VMULP|// FMUL `), text)
		}
	}
}

func TestBadFold4(t *testing.T) {
	for want, body := range map[string]func(k *Kernel){
		"asm: bad: SpreadLane of lane 4": func(k *Kernel) { k.Iota(I32).SpreadLane(4) },
		"asm: bad: FoldAdd4 of int32": func(k *Kernel) {
			v := k.Iota(I32)
			FoldAdd4(v, v, v, v)
		},
	} {
		assert.PanicsWithValue(t, want, func() { _, _ = assembleOne("bad", "func()", body) })
	}
}
