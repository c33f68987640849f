package decode

import (
	"cmp"
	"math"
	"slices"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/workspace"
)

// looker finds the classes of a frame that are worth a look.
type looker[F trellis.Float] struct {
	frame
	scores    trellis.Scores
	blankAt   int
	threshold float64
	most      int  // classes beside the blank that prefixes may go on with
	cuts      bool // no class beyond those is looked at; else any label may at least be repeated

	cut     F // the threshold as a score, of probabilities and log-probabilities
	index   []int32
	maxima  []F
	touched []int32 // the classes that are not 0 in p
}

// prepare makes a looker ready for frames of so many classes.
func (l *looker[F]) prepare(scores trellis.Scores, classes, blank int, threshold float64, most int, cuts bool) {
	l.scores, l.blankAt, l.threshold, l.most, l.cuts = scores, blank, threshold, most, cuts
	l.p = workspace.Resize(l.p, classes)
	clear(l.p)
	l.touched, l.classes = l.touched[:0], l.classes[:0]
	l.index = workspace.Resize(l.index, classes)
	l.cut = fp.NegInf[F]()
	switch {
	case threshold > 0 && scores == trellis.Probabilities:
		l.cut = F(threshold)
	case threshold > 0:
		l.cut = F(fp.LogFrom0(threshold))
	}
}

// look finds the classes of a frame, and the logarithm of what their probabilities have to be
// multiplied with: NaN if the frame has scores that are none, −Inf if all probabilities are 0.
// beam has the labels that may be repeated.
func (l *looker[F]) look(row []F, beam []entry) (log float64) {
	for _, c := range l.touched {
		l.p[c] = 0
	}
	l.touched = l.touched[:0]
	cut, norm := l.cut, 0.0
	if l.scores == trellis.Logits {
		best := trellis.ArgMax(row, nil)
		var rest [1]float64
		logRests(rest[:], row, len(row), row[best:][:1])
		norm = float64(row[best]) + rest[0]
		if norm != norm {
			return norm
		}
		if l.threshold > 0 {
			cut = F(float64(l.cut) + norm)
		}
	}
	l.find(row, cut)
	blank := float64(row[l.blankAt])
	top := blank
	for _, c := range l.classes {
		top = max(top, c.p) // NaN if one is
	}
	if l.scores == trellis.Probabilities {
		if !isProbability(top) || !(blank >= 0) {
			return math.NaN()
		}
		log, l.blank = 0, blank
		if top == 0 {
			log = math.Inf(-1)
		}
	} else {
		log, l.blank = top-norm, expOf(blank-top)
		switch {
		case !(top <= math.MaxFloat64):
			return math.NaN()
		case top < -math.MaxFloat64:
			return top
		}
	}
	l.probabilities(row, top, beam)
	return log
}

// find sets classes to those that are not below cut, sorted by their scores, and not more than most.
func (l *looker[F]) find(row []F, cut F) {
	if l.most < len(row)/4 {
		cut = max(cut, l.bound(row))
	}
	l.classes = l.classes[:0]
	count := 0
	if cut > fp.NegInf[F]() {
		for at := 0; at < len(row); at += block {
			b := row[at:min(at+block, len(row))]
			count += notBelow(l.index[count:][:len(b)], b, cut, at)
		}
		for _, i := range l.index[:count] {
			if int(i) != l.blankAt {
				l.classes = append(l.classes, class{float64(row[i]), i})
			}
		}
	} else {
		for i, v := range row {
			if i != l.blankAt {
				l.classes = append(l.classes, class{float64(v), int32(i)})
			}
		}
	}
	sortClasses(l.classes)
	l.classes = l.classes[:min(l.most, len(l.classes))]
}

// bound returns a score that at least most classes and the blank reach, but not many more: that
// of the best ones in pieces of the row.
func (l *looker[F]) bound(row []F) F {
	lanes := fp.Lanes[F]()
	pieces := (2*(l.most+1) + lanes - 1) / lanes
	vectors := max(1, len(row)/(lanes*pieces))
	l.maxima = l.maxima[:0]
	for at := 0; at < len(row); at += block {
		b := row[at:min(at+block, len(row))]
		from := len(l.maxima)
		piece := vectors * lanes
		l.maxima = append(l.maxima, make([]F, (len(b)+piece-1)/piece*lanes)...)
		pieceMaxima(l.maxima[from:], b, vectors)
	}
	if len(l.maxima) <= l.most+1 {
		return fp.NegInf[F]()
	}
	return largest(l.maxima, l.most+1)
}

// probabilities turns the classes' scores into probabilities, relative to that of the score top
// unless they are some already, leaves out those of 0, and finds those of labels that may be repeated.
func (l *looker[F]) probabilities(row []F, top float64, beam []entry) {
	if l.scores != trellis.Probabilities {
		for i := range l.classes {
			l.classes[i].p = expOf(l.classes[i].p - top)
		}
	}
	for len(l.classes) > 0 && !(l.classes[len(l.classes)-1].p > 0) {
		l.classes = l.classes[:len(l.classes)-1]
	}
	for _, c := range l.classes {
		l.p[c.label] = c.p
		l.touched = append(l.touched, c.label)
	}
	if l.cuts || len(l.classes) < l.most {
		return
	}
	for i := range beam {
		c := beam[i].last
		if c == none || l.p[c] > 0 {
			continue
		}
		p := float64(row[c])
		if l.scores != trellis.Probabilities {
			p = fp.Exp64(p - top)
		}
		l.p[c] = p
		l.touched = append(l.touched, c)
	}
}

// expOf returns eˣ, without computing it for the frame's best class, whose x is 0.
func expOf(x float64) float64 {
	if x == 0 {
		return 1
	}
	return fp.Exp64(x)
}

// sortClasses sorts classes by their scores, the largest one first, and equal ones by their numbers.
func sortClasses(s []class) {
	if len(s) > insertions {
		slices.SortFunc(s, func(a, b class) int {
			if c := cmp.Compare(b.p, a.p); c != 0 {
				return c
			}
			return int(a.label) - int(b.label)
		})
		return
	}
	for i := 1; i < len(s); i++ { // equal ones keep their order, by number
		v, j := s[i], i
		for ; j > 0 && v.p > s[j-1].p; j-- {
			s[j] = s[j-1]
		}
		s[j] = v
	}
}

// largest returns the k-th largest of some numbers, which it reorders (C. A. R. Hoare's FIND).
func largest[F trellis.Float](s []F, k int) F {
	for lo, hi := 0, len(s)-1; lo < hi; {
		pivot := s[k-1]
		i, j := lo, hi
		for i <= j {
			for s[i] > pivot {
				i++
			}
			for s[j] < pivot {
				j--
			}
			if i <= j {
				s[i], s[j] = s[j], s[i]
				i++
				j--
			}
		}
		switch {
		case k-1 <= j:
			hi = j
		case k-1 >= i:
			lo = i
		default:
			lo = hi
		}
	}
	return s[k-1]
}
