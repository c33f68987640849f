package decode

import (
	"cmp"
	"math"
	"slices"
)

// rival is a prefix that may be in the next beam: entry from of this beam, as it stays, or with a
// label behind it.
type rival struct {
	total float64
	from  int32
	label int32 // or none
	score int32 // from a scorer: which of the scored labels this is
}

// ranking finds the best of many rivals, in order. It sorts them into buckets of an eighth of an
// octave by the bits of their totals, from the best one down to where there are enough, and then
// what is in the buckets.
type ranking struct {
	sorted []rival
	counts [buckets + 1]int32
}

const (
	buckets    = 256 // and one for all that is 32 octaves below the best
	bucketBits = 52 - 3
	// insertions is the number of rivals up to which they are kept sorted by insertion.
	insertions = 24
)

// best returns the best of some rivals, at most so many, the best one first. Those with the same
// total are in the order of ties. The result is overwritten by the next call.
func (r *ranking) best(all []rival, most int, ties func(a, b rival) int) []rival {
	if min(most, len(all)) <= insertions {
		r.sorted = r.sorted[:0]
		for i := range all {
			r.sorted = insert(r.sorted, all[i], most, ties)
		}
		return r.sorted
	}
	top := uint64(0)
	for i := range all {
		top = max(top, math.Float64bits(all[i].total))
	}
	clear(r.counts[:])
	for i := range all {
		r.counts[bucketOf(&all[i], top)]++
	}
	last, sum := 0, int32(0)
	for ; last <= buckets; last++ {
		n := r.counts[last]
		r.counts[last] = sum // where the bucket begins
		if sum += n; int(sum) >= most {
			break
		}
	}
	if cap(r.sorted) < int(sum) {
		r.sorted = make([]rival, sum, 2*sum)
	}
	r.sorted = r.sorted[:sum]
	for i := range all {
		if b := bucketOf(&all[i], top); b <= last {
			r.sorted[r.counts[b]] = all[i]
			r.counts[b]++
		}
	}
	from := int32(0)
	for b := range min(last, buckets) + 1 { // the counts are now where buckets end
		if to := r.counts[b]; to > from {
			if to-from <= insertions {
				bucket := r.sorted[from:from]
				for _, v := range r.sorted[from:to] {
					bucket = insert(bucket, v, insertions, ties)
				}
			} else {
				slices.SortFunc(r.sorted[from:to], func(a, b rival) int {
					if c := cmp.Compare(b.total, a.total); c != 0 {
						return c
					}
					return ties(a, b)
				})
			}
			from = to
		}
	}
	return r.sorted[:min(most, len(r.sorted))]
}

// bucketOf returns the bucket of a rival, where top has the bits of the best one's total.
func bucketOf(r *rival, top uint64) int {
	return int(min((top-math.Float64bits(r.total))>>bucketBits, buckets))
}

// insert puts v into a sorted list in its memory, which keeps at most so many.
func insert(s []rival, v rival, most int, ties func(a, b rival) int) []rival {
	j := len(s)
	if j < most {
		s = append(s, v)
	} else if j--; !better(&v, &s[j], ties) {
		return s
	}
	for ; j > 0 && better(&v, &s[j-1], ties); j-- {
		s[j] = s[j-1]
	}
	s[j] = v
	return s
}

// better reports whether a comes before b.
func better(a, b *rival, ties func(a, b rival) int) bool {
	return a.total > b.total || a.total == b.total && ties(*a, *b) < 0
}
