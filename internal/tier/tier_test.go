package tier

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		available []Tier
		name      string
		want      Tier
	}{
		{[]Tier{Generic}, "", Generic},
		{[]Tier{Generic, AVX2}, "", AVX2},
		{[]Tier{Generic, AVX2, AVX512}, "", AVX512},
		{[]Tier{Generic, AVX2, AVX512}, "avx512", AVX512},
		{[]Tier{Generic, AVX2, AVX512}, "avx2", AVX2},
		{[]Tier{Generic, AVX2, AVX512}, "generic", Generic},
		{[]Tier{Generic, AVX2}, "avx512", AVX2},
		{[]Tier{Generic, NEON}, "", NEON},
		{[]Tier{Generic, NEON}, "neon", NEON},
		{[]Tier{Generic, NEON}, "generic", Generic},
	} {
		var report strings.Builder
		assert.Equal(t, c.want, choose(c.available, c.name, &report), "%v, TRELLIS_CPU=%s", c.available, c.name)
		assert.Empty(t, report.String())
	}
}

func TestUnknownNameIsIgnoredAndReported(t *testing.T) {
	var report strings.Builder
	assert.Equal(t, AVX512, choose([]Tier{Generic, AVX2, AVX512}, "AVX2", &report))
	assert.Equal(t, "trellis: TRELLIS_CPU=AVX2 is ignored: want one of generic, neon, avx2, avx512\n", report.String())
}

func TestAvailable(t *testing.T) {
	assert.Equal(t, Generic, Available[0])
	assert.IsIncreasing(t, Available)
	assert.Contains(t, Available, Active)
	assert.True(t, Exists("neon"))
	assert.False(t, Exists("AVX2"))
}
