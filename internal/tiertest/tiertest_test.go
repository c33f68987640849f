package tiertest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gotrellis/trellis/internal/tier"
)

func TestEach(t *testing.T) {
	before := tier.Active
	var seen []tier.Tier
	Each(t, func(t *testing.T) {
		seen = append(seen, tier.Active)
		assert.True(t, strings.HasSuffix(t.Name(), "/"+tier.Active.String()))
	})
	assert.Equal(t, tier.Available, seen)
	assert.Equal(t, before, tier.Active)
}

func TestTestedWaitsForSubtests(t *testing.T) {
	defer func() { tested = nil }()
	Each(t, func(t *testing.T) {
		Tested(t)
		t.Run("parallel", func(t *testing.T) {
			t.Parallel()
			assert.NotContains(t, tested, tier.Active.String())
		})
	})
	assert.Equal(t, tier.Names(tier.Available), tested)
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		tested, wanted, text string
		complete             bool
	}{
		{"", "", "", true},
		{"generic avx2", "", "trellis: kernels tested: generic avx2; all else: ACTIVE\n", true},
		{"generic avx2", "avx2 generic", "trellis: kernels tested: generic avx2; all else: ACTIVE\n", true},
		{"", "generic", "trellis: the kernels for generic were not tested\n", false},
		{"generic", "generic neon AVX2", "trellis: kernels tested: generic; all else: ACTIVE\n" +
			"trellis: the kernels for neon were not tested\n" +
			"trellis: TRELLIS_MUST_TEST names \"AVX2\", which is no tier\n", false},
	} {
		var text strings.Builder
		assert.Equal(t, c.complete, report(&text, strings.Fields(c.tested), strings.Fields(c.wanted)))
		assert.Equal(t, strings.ReplaceAll(c.text, "ACTIVE", tier.Active.String()), text.String())
	}
}
