package trellis

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gotrellis/trellis/internal/tier"
	"github.com/gotrellis/trellis/internal/tiertest"
)

func TestMain(m *testing.M) { tiertest.Main(m) }

func TestTiers(t *testing.T) {
	names := Tiers()
	assert.Equal(t, "generic", names[0])
	for _, name := range names {
		assert.True(t, tier.Exists(name))
	}
	tiertest.Each(t, func(t *testing.T) {
		assert.True(t, strings.HasSuffix(t.Name(), "/"+ActiveTier()))
		assert.Contains(t, names, ActiveTier())
	})
	if os.Getenv("TRELLIS_CPU") == "" {
		assert.Equal(t, names[len(names)-1], ActiveTier())
	}
}
