package results

import (
	"fmt"
	"regexp"
	"strings"
)

// Digits writes a number with three digits, with more if it has more before the
// point, and with fewer if it is small.
func Digits(x float64) string {
	switch {
	case x >= 99.95:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.995:
		return fmt.Sprintf("%.1f", x)
	case x >= 0.0995:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

// Duration writes nanoseconds in the unit that they have digits before the point in.
func Duration(ns float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}} {
		if ns >= 0.9995*unit.size { // what would be 1000 of the next one
			return Digits(ns/unit.size) + " " + unit.name
		}
	}
	return Digits(ns) + " ns"
}

// Times writes a ratio.
func Times(x float64) string { return Digits(x) + "×" }

// Slug writes a name so that it can be a file's.
func Slug(name string) string {
	return strings.Trim(notInSlug.ReplaceAllString(strings.ToLower(name), "-"), "-")
}

var notInSlug = regexp.MustCompile(`[^a-z0-9]+`)

// Size writes a number of bytes.
func Size(bytes int) string {
	x, unit := float64(bytes), "B"
	for _, next := range []string{"KiB", "MiB", "GiB"} {
		if x < 1024 {
			break
		}
		x, unit = x/1024, next
	}
	return fmt.Sprintf("%.4g %s", x, unit)
}
