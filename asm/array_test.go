package asm

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// arrayCode returns the instructions of a kernel for AVX-512 that has arrays x, of F32,
// and index, of I32.
func arrayCode(t *testing.T, body func(k *Kernel)) string {
	t.Helper()
	f := &File{Package: "p", Generator: "a test"}
	f.Kernel(AVX512, "test", "func(x []float32, index []int32, n int)", nil, body)
	text, err := f.Assemble()
	require.NoError(t, err)
	_, code, _ := strings.Cut(string(text), "\n\tMOVQ")
	var lines []string
	for line := range strings.Lines("MOVQ" + code) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

// Places count in elements and vectors of the array's type, and add up.
func TestArrayPlaces(t *testing.T) {
	code := arrayCode(t, func(k *Kernel) {
		x := k.Array("x")
		x.From(3).StoreInt(k.Int(2), k.Int(1))
		x.As(F64).From(3).Vector(-1).StoreInt(k.Int(0), k.Int(2))
		x.From(1).StoreInt(k.Arg("n"), k.Int(3))
		x.Vector(2).Copy().StoreInt(k.Int(0), k.Int(4))
	})
	assert.Contains(t, code, "MOVQ $+1, CX\nMOVL CX, 20(AX)")
	assert.Contains(t, code, "MOVQ $+2, CX\nMOVQ CX, -40(AX)")
	assert.Contains(t, code, "MOVQ $+3, DX\nMOVL DX, 4(AX)(CX*4)")
	assert.Contains(t, code, "ADDQ $+128, AX\nMOVQ $+4, CX\nMOVL CX, (AX)")
}

// Distances are in bytes in the end, whatever they were counted in.
func TestArrayDistances(t *testing.T) {
	move := func(d func(k *Kernel, x Array) Distance) string {
		return arrayCode(t, func(k *Kernel) {
			x := k.Array("x")
			x.Move(d(k, x))
		})
	}
	assert.Contains(t, move(func(k *Kernel, x Array) Distance { return x.Elements(k.Arg("n")) }), "SHLQ $0x02, CX")
	assert.Contains(t, move(func(k *Kernel, x Array) Distance { return x.As(F64).Elements(k.Arg("n")) }), "SHLQ $0x03, CX")
	assert.Contains(t, move(func(k *Kernel, x Array) Distance { return x.Rows(k.Arg("n"), 6) }), "IMUL3Q $+24, CX, CX")
	assert.Contains(t, move(func(k *Kernel, x Array) Distance { return Bytes(k.Arg("n")).Twice() }), "SHLQ $0x01, CX")
	assert.Contains(t, move(func(k *Kernel, x Array) Distance { return Bytes(k.Arg("n")).Times(k.Int(7)) }), "IMUL3Q $+7, CX, CX")
	forth, back := arrayCode(t, func(k *Kernel) { k.Array("x").Advance(5) }), arrayCode(t, func(k *Kernel) { k.Array("x").Advance(-5) })
	assert.Contains(t, forth, "ADDQ $+20, AX")
	assert.Contains(t, back, "SUBQ $+20, AX")
}

func TestBadArrays(t *testing.T) {
	const signature = "func(x []float32, index []int32, y []float64, u []uint8, n int)"
	for want, body := range map[string]func(k *Kernel){
		"asm: bad: there is no parameter z":                                func(k *Kernel) { k.Array("z") },
		"asm: bad: n is no slice":                                          func(k *Kernel) { k.Array("n") },
		"asm: bad: u is of uint8, which is no element of a vector":         func(k *Kernel) { k.Array("u") },
		"asm: bad: n is of int, which is no element of a vector":           func(k *Kernel) { k.Param("n") },
		"asm: bad: only a variable can change":                             func(k *Kernel) { k.Base("x").Advance(1) },
		"asm: bad: only a variable can move, not a place 64 bytes from it": func(k *Kernel) { k.Array("x").Vector(1).Advance(1) },
		"asm: bad: Store of float64 to an array of float32":                func(k *Kernel) { k.Array("x").Store(k.Const(F64, 0)) },
		"asm: bad: StoreFour of int32 to an array of float32":              func(k *Kernel) { k.Array("x").StoreFour(k.Iota(I32)) },
		"asm: bad: LoadOr of float64 and float32":                          func(k *Kernel) { k.All().LoadOr(k.Array("x"), k.Const(F64, 0)) },
		"asm: bad: the fill of a load is no constant":                      func(k *Kernel) { k.All().LoadOr(k.Array("index"), k.Iota(I32)) },
		"asm: bad: GatherBy of float32 by float32":                         func(k *Kernel) { k.Array("x").GatherBy(k.Array("x")) },
		"asm: bad: LoadWiden of float32":                                   func(k *Kernel) { k.All().LoadWiden(k.Array("x")) },
		"asm: bad: StoreNarrow of int64 to an array of float64":            func(k *Kernel) { k.All().StoreNarrow(k.Array("y"), k.Iota(I64)) },
		"asm: bad: Each of arrays of float32 and float64": func(k *Kernel) {
			k.Each(k.Len("x"), []Array{k.Array("x"), k.Array("y")}, func(Lanes) {})
		},
	} {
		assert.PanicsWithValue(t, want, func() { _, _ = assembleOne("bad", signature, body) })
	}
}
