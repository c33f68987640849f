package trellis

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gotrellis/trellis/internal/tier"
	"github.com/stretchr/testify/assert"
)

// EachTier runs a test on every tier of this machine.
func EachTier(t *testing.T, f func(t *testing.T)) {
	defer func(before tier.Tier) { tier.Active = before }(tier.Active)
	for _, one := range tier.Available {
		tier.Active = one
		t.Run(one.String(), f)
	}
}

// EachImpl runs a benchmark on every tier of this machine, under names that benchstat
// -col /impl puts side by side.
func EachImpl(b *testing.B, f func(b *testing.B)) {
	defer func(before tier.Tier) { tier.Active = before }(tier.Active)
	for _, one := range tier.Available {
		tier.Active = one
		b.Run("impl="+one.String(), f)
	}
}

// testedTiers are those on which the kernels have been compared with their
// specification.
var testedTiers []string

// TestMain says which tiers the kernels were tested on, and fails if one of those
// that TRELLIS_MUST_TEST lists is not among them.
func TestMain(m *testing.M) {
	code := m.Run()
	if len(testedTiers) > 0 {
		fmt.Fprintf(os.Stderr, "trellis: kernels tested: %s; all else: %s\n", strings.Join(testedTiers, " "), ActiveTier())
	}
	for _, name := range strings.Fields(os.Getenv("TRELLIS_MUST_TEST")) {
		switch {
		case !tier.Exists(name):
			fmt.Fprintf(os.Stderr, "trellis: TRELLIS_MUST_TEST names %q, which is no tier\n", name)
		case !slices.Contains(testedTiers, name):
			fmt.Fprintf(os.Stderr, "trellis: the kernels for %s were not tested\n", name)
		default:
			continue
		}
		code = max(code, 1)
	}
	os.Exit(code)
}

func TestTiers(t *testing.T) {
	names := Tiers()
	assert.Equal(t, "generic", names[0])
	for _, name := range names {
		assert.True(t, tier.Exists(name))
	}
	EachTier(t, func(t *testing.T) {
		assert.True(t, strings.HasSuffix(t.Name(), "/"+ActiveTier()))
		assert.Contains(t, names, ActiveTier())
	})
	if os.Getenv("TRELLIS_CPU") == "" {
		assert.Equal(t, names[len(names)-1], ActiveTier())
	}
}
