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
}

// ranking finds the best of many rivals, in order. Few best ones it keeps sorted as rivals come. Of
// many it sorts all into buckets of an eighth of an octave by the bits of their totals, from the best
// one down to where there are enough, and then what is in the buckets.
type ranking struct {
	wanted int                  // how many are wanted
	ties   func(a, b rival) int // orders rivals with equal totals
	all    []rival              // that have come; if few are wanted, without those that were too late

	// If few are wanted, the best so far: how many they are, their totals, and their places in all.
	count  int
	totals [insertions]float64
	places [insertions]int32

	// If many are wanted, where buckets begin and end in sorted, which has the places in all.
	counts [buckets + 1]int32
	sorted []int32
}

const (
	buckets    = 256 // and one for all that is 32 octaves below the best
	bucketBits = 52 - 3
	// insertions is the number of rivals up to which they are sorted by insertion.
	insertions = 24
)

// begin begins without rivals.
func (r *ranking) begin() { r.all, r.count = r.all[:0], 0 }

// offer adds a rival.
func (r *ranking) offer(v rival) {
	if r.wanted <= insertions {
		r.insert(v)
	} else {
		r.all = append(r.all, v)
	}
}

// floor returns the total that another rival must have to be among the best, 0 if that is not known.
func (r *ranking) floor() float64 {
	if r.wanted <= insertions && r.count == r.wanted {
		return r.totals[r.count-1]
	}
	return 0
}

// insert puts a rival where it belongs among few.
func (r *ranking) insert(v rival) {
	j := r.count
	if j == r.wanted {
		if j--; v.total < r.totals[j] || v.total == r.totals[j] && !r.beats(&v, j) {
			return
		}
	} else {
		r.count++
	}
	for ; j > 0 && v.total >= r.totals[j-1]; j-- {
		if v.total == r.totals[j-1] && !r.beats(&v, j-1) {
			break
		}
		r.totals[j], r.places[j] = r.totals[j-1], r.places[j-1]
	}
	r.totals[j], r.places[j] = v.total, int32(len(r.all))
	r.all = append(r.all, v)
}

// beats reports whether a rival comes before number j of few, which has the same total.
func (r *ranking) beats(v *rival, j int) bool { return r.ties(*v, r.all[r.places[j]]) < 0 }

// best returns the places in all of the best rivals, at most as many as are wanted, the best one
// first. More may be offered then; the result is overwritten by the next call.
func (r *ranking) best() []int32 {
	if r.wanted <= insertions {
		return r.places[:r.count]
	}
	top := uint64(0)
	for i := range r.all {
		top = max(top, math.Float64bits(r.all[i].total))
	}
	clear(r.counts[:])
	for i := range r.all {
		r.counts[bucketOf(&r.all[i], top)]++
	}
	last, sum := 0, int32(0)
	for ; last <= buckets; last++ {
		n := r.counts[last]
		r.counts[last] = sum // where the bucket begins
		if sum += n; int(sum) >= r.wanted {
			break
		}
	}
	if cap(r.sorted) < int(sum) {
		r.sorted = make([]int32, sum, 2*sum)
	}
	r.sorted = r.sorted[:sum]
	for i := range r.all {
		if b := bucketOf(&r.all[i], top); b <= last {
			r.sorted[r.counts[b]] = int32(i)
			r.counts[b]++
		}
	}
	from := int32(0)
	for b := range min(last, buckets) + 1 { // the counts are now where buckets end
		if to := r.counts[b]; to > from {
			r.sort(r.sorted[from:to])
			from = to
		}
	}
	return r.sorted[:min(r.wanted, len(r.sorted))]
}

// sort sorts the places of a bucket's rivals.
func (r *ranking) sort(s []int32) {
	if len(s) > insertions {
		slices.SortFunc(s, func(i, j int32) int {
			a, b := &r.all[i], &r.all[j]
			if c := cmp.Compare(b.total, a.total); c != 0 {
				return c
			}
			return r.ties(*a, *b)
		})
		return
	}
	for i := 1; i < len(s); i++ {
		v, j := s[i], i
		for ; j > 0 && r.better(v, s[j-1]); j-- {
			s[j] = s[j-1]
		}
		s[j] = v
	}
}

// bucketOf returns the bucket of a rival, where top has the bits of the best one's total.
func bucketOf(r *rival, top uint64) int {
	return int(min((top-math.Float64bits(r.total))>>bucketBits, buckets))
}

// better reports whether the rival at place i comes before the one at place j.
func (r *ranking) better(i, j int32) bool {
	a, b := &r.all[i], &r.all[j]
	return a.total > b.total || a.total == b.total && r.ties(*a, *b) < 0
}
