package command

import (
	"strings"
)

// errorRates say how far a text is from a reference.
type errorRates struct{ characters, words errorRate }

// errorRate counts the units of a reference, and the edits that make the text of it.
type errorRate struct{ units, errors int }

// rate returns the errors of a unit: of a reference that has none, 0 or +Inf.
func (r errorRate) rate() number {
	if r.errors == 0 {
		return numberOf(0.0)
	}
	return numberOf(float64(r.errors) / float64(r.units))
}

func (r errorRate) plus(o errorRate) errorRate {
	return errorRate{r.units + o.units, r.errors + o.errors}
}

func (r errorRates) plus(o errorRates) errorRates {
	return errorRates{r.characters.plus(o.characters), r.words.plus(o.words)}
}

// compare returns how far a text is from a reference. How much space is between words does not
// matter.
func compare(reference, text string) errorRates {
	want, got := strings.Fields(reference), strings.Fields(text)
	return errorRates{
		characters: newErrorRate([]rune(strings.Join(want, " ")), []rune(strings.Join(got, " "))),
		words:      newErrorRate(want, got),
	}
}

func newErrorRate[E comparable](want, got []E) errorRate {
	return errorRate{units: len(want), errors: distance(want, got)}
}

// distance returns the least number of elements that are replaced, left out and put in to make b
// of a. (E. Ukkonen, "Algorithms for approximate string matching", Information and Control 64, 1985:
// the time grows with the square of the distance, not with the product of the lengths.)
func distance[E comparable](a, b []E) int {
	// reach[k+d] is how much of a can be had with so many edits where b is d elements ahead.
	k := max(len(a), len(b)) + 1
	reach, next := make([]int, 2*k+1), make([]int, 2*k+1)
	for i := range reach {
		reach[i], next[i] = -k, -k
	}
	reach[k] = -1 // so that the first one is at 0 without an edit
	for edits := 0; ; edits++ {
		for d := max(-edits, -len(a)); d <= min(edits, len(b)); d++ {
			at := max(reach[k+d]+1, reach[k+d-1], reach[k+d+1]+1)
			at = min(at, len(a), len(b)-d)
			for at < len(a) && at+d < len(b) && a[at] == b[at+d] {
				at++
			}
			next[k+d] = at
		}
		if next[k+len(b)-len(a)] == len(a) {
			return edits
		}
		reach, next = next, reach
	}
}
