// Package tiertest runs tests and benchmarks on every tier of this machine, and makes sure
// that none of the tiers that should have been tested is left out.
package tiertest

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gotrellis/trellis/internal/tier"
)

// Each runs a test on every tier of this machine, as a subtest that has the tier's name.
// The tier in use is one for the whole process: neither t nor any test beside it may be
// parallel, but those that f starts may.
func Each(t *testing.T, f func(t *testing.T)) {
	defer func(before tier.Tier) { tier.Active = before }(tier.Active)
	for _, one := range tier.Available {
		tier.Active = one
		t.Run(one.String(), f)
	}
}

// EachBench runs a benchmark on every tier of this machine, under names that benchstat
// -col /impl puts side by side. In short mode it is on the tier in use alone: that shows that
// the benchmark works.
func EachBench(b *testing.B, f func(b *testing.B)) {
	defer func(before tier.Tier) { tier.Active = before }(tier.Active)
	tiers := tier.Available
	if testing.Short() {
		tiers = []tier.Tier{tier.Active}
	}
	for _, one := range tiers {
		tier.Active = one
		b.Run("impl="+one.String(), f)
	}
}

// tested are the tiers on which kernels have been compared with their specification.
var tested []string

// Tested notes that t compares all kernels of the package with their specification on the
// active tier, which counts if t and all its subtests pass.
func Tested(t *testing.T) {
	name := tier.Active.String()
	t.Cleanup(func() {
		if !t.Failed() && !slices.Contains(tested, name) {
			tested = append(tested, name)
		}
	})
}

// Main is the TestMain of a package with kernels. It says which tiers they were tested on,
// and fails if one of those that TRELLIS_MUST_TEST lists is not among them.
func Main(m *testing.M) {
	code := m.Run()
	if !report(os.Stderr, tested, strings.Fields(os.Getenv("TRELLIS_MUST_TEST"))) {
		code = max(code, 1)
	}
	os.Exit(code)
}

// report writes which tiers were tested and which should have been, and returns whether
// none is missing.
func report(w io.Writer, tested, wanted []string) (complete bool) {
	if len(tested) > 0 {
		fmt.Fprintf(w, "trellis: kernels tested: %s; all else: %s\n", strings.Join(tested, " "), tier.Active)
	}
	complete = true
	for _, name := range wanted {
		switch {
		case !tier.Exists(name):
			fmt.Fprintf(w, "trellis: TRELLIS_MUST_TEST names %q, which is no tier\n", name)
		case !slices.Contains(tested, name):
			fmt.Fprintf(w, "trellis: the kernels for %s were not tested\n", name)
		default:
			continue
		}
		complete = false
	}
	return complete
}
