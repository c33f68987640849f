package asm

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A table is looked up with few instructions, or gathered from.
func TestGatherTableInstructions(t *testing.T) {
	for _, c := range []struct {
		target                          Target
		vectors                         int
		picks, tests, chosen, gathering int
	}{
		{AVX512, 1, 1, 0, 0, 0},
		{AVX512, 2, 1, 0, 0, 0},
		{AVX512, 3, 2, 1, 1, 0},
		{AVX512, 4, 2, 1, 1, 0},
		{AVX512, 5, 3, 2, 2, 0},
		{AVX512, 6, 3, 2, 2, 0},
		{AVX512, 7, 4, 2, 3, 0},
		{AVX512, 8, 4, 2, 3, 0},
		{AVX2, 1, 4, 2, 2, 0},
		{AVX2, 2, 8, 4, 6, 0},
		{AVX2, 3, 0, 0, 0, 2},
		{NEON, 1, 0, 0, 0, 16},
	} {
		f := &File{Package: "p", Generator: "a test"}
		f.Kernel(c.target, "table", "func(dst, table, index *byte)", nil, func(k *Kernel) {
			index := k.Pointer(I32, "index").Load()
			k.Pointer(F32, "dst").Store(k.Pointer(F32, "table").GatherTable(c.vectors, index))
		})
		text, err := f.Assemble()
		require.NoError(t, err)
		lines := strings.Split(string(text), "\n")
		assert.Equal(t, c.picks, count(lines, `^\s*VPERM(T2)?PS `), "%s", text)
		assert.Equal(t, c.tests, count(lines, `^\s*(VPTESTMD.BCST|VPSLLD) `), "%s", text)
		assert.Equal(t, c.chosen, count(lines, `^\s*(VBLENDVPS |(VMOVAPS|VPERMPS) .*, K\d, )`), "%s", text)
		assert.Equal(t, c.gathering, count(lines, `^\s*(VGATHERDPS|FMOVS) `), "%s", text)
	}
}
