package trellis

import (
	"slices"

	"github.com/gotrellis/trellis/internal/fp"
	"github.com/gotrellis/trellis/internal/view"
	"github.com/gotrellis/trellis/internal/workspace"
)

// A small loss is the logarithm of a probability near 1, which says little about
// how far from 1 it is: in float64 a loss of 10⁻¹⁶ is lost altogether. The
// probability of everything but the target is small then, and as a sum of products of
// positive numbers it keeps its relative accuracy. It is what a path through the
// trellis loses when a frame emits a class that does not go on with the target, and
// what has not arrived at the end:
//
//	missed = Σ_t Σ_s α_t−1(s) · p_t(classes that lead out of s) + Σ α_T(s not final).
//
// Here α is a plain float64: what underflows cannot matter.

// isSmall reports whether the loss of a sequence of so many frames is to be refined. The
// trellis loses about 10⁻¹⁶ of P in each frame: too much for small losses in float64, and in
// float32 only below 10⁻⁸ for each frame. From float32 logits the errors of exp cancel where P
// is near 1, since emissions and their sum share them: the error of a probability p is
// proportional to 1−p.
func isSmall[F Float](loss float64, frames int) bool {
	if fp.IsFloat32[F]() {
		return loss < 1e-8*float64(frames)
	}
	return loss < 1e-3*float64(frames)
}

// smallLoss computes small losses. It is a workspace of refine.
type smallLoss[F Float] struct {
	b, l, nextB, nextL []float64 // α of the blanks and of the labels
	from, to           int       // the places in them that are not negligible
	missed             float64   // so far

	// Of probabilities only the classes that the target names count: each of them once, what
	// they have in a frame, and where among them the class of every label is, then the blank.
	distinct []int32
	given    []F
	places   []int32

	p   []float64 // probability of every label, then of the blank
	top []int8    // which of the frame's top classes it is, or −1

	class [3]int     // classes with the largest scores of the frame, −1 for none
	mass  [3]float64 // their probabilities
	rest  float64    // probability of all other classes
}

// refine returns a better value for a small loss: that of a target in so many frames of x.
func (k *smallLoss[F]) refine(loss float64, target *ctcTarget, x view.Rows[F], frames int, scores Scores) float64 {
	var logNorms float64 // the sum of the logarithms of what normalised the frames
	k.reset(target.length + 1)
	if scores == Probabilities {
		k.distinguish(target.named())
	}
	for t := range frames {
		switch scores {
		case LogProbabilities:
			logNorms += k.read(x.Row(t), target.named())
		case Logits:
			k.read(x.Row(t), target.named())
		case Probabilities:
			logNorms += k.readProbabilities(x.Row(t))
		}
		k.step(target)
	}
	missed, spelled := k.end()
	switch {
	case !(spelled > 0x1p-150): // far from normalised scores, or NaN at a class that the target does not name
		return loss
	case spelled < 0.5:
		return 0 - (fp.Log(spelled) + logNorms)
	}
	return 0 - (fp.Log1p(-missed) + logNorms) // never −0
}

// end returns the probabilities that the frames, each normalised to add up to 1, do not
// spell the target and that they do.
func (k *smallLoss[F]) end() (missed, spelled float64) {
	last := len(k.b) - 1
	missed = k.missed
	for i := k.from; i < k.to; i++ {
		if i < last {
			missed += k.b[i]
		} else {
			spelled += k.b[i]
		}
		if i < last-1 {
			missed += k.l[i]
		} else if i < last {
			spelled += k.l[i]
		}
	}
	return missed, spelled
}

// reset puts all of α before the first frame.
func (k *smallLoss[F]) reset(width int) {
	for _, row := range [...]*[]float64{&k.b, &k.l, &k.nextB, &k.nextL, &k.p} {
		*row = workspace.Resize(*row, width)
	}
	k.top = workspace.Resize(k.top, width)
	k.b[0], k.l[0] = 1, 0
	k.from, k.to, k.missed = 0, 1, 0
}

// read takes in a frame and returns its log-sum-exp. Everything is relative to
// the largest score first.
func (k *smallLoss[F]) read(x []F, classes []int32) (logNorm float64) {
	k.findTop(x)
	top := x[k.class[0]]
	k.rest = k.sumRest(x, top)
	for i, c := range k.class {
		k.mass[i] = 0
		if c >= 0 {
			k.mass[i] = fp.Exp64(float64(x[c]) - float64(top))
		}
	}
	others := (k.rest + k.mass[2]) + k.mass[1]
	total := 1 + others
	last := len(classes) - 1
	for i := k.from; i <= k.reach(last); i++ {
		k.readClass(classes[i], i, fp.Exp64(float64(x[classes[i]])-float64(top))/total)
	}
	k.readClass(classes[last], last, fp.Exp64(float64(x[classes[last]])-float64(top))/total)
	k.normalize(total)
	return float64(top) + fp.Log1p(others)
}

// reach returns the last label to which the next step may lead, or from there.
func (k *smallLoss[F]) reach(last int) int { return min(k.to+1, last) }

// readClass sets p and top of one label, or of the blank.
func (k *smallLoss[F]) readClass(class int32, i int, p float64) {
	k.top[i] = -1
	for j, t := range k.class {
		if t == int(class) {
			k.top[i] = int8(j)
		}
	}
	k.p[i] = p
}

// normalize divides the probabilities of classes by their total.
func (k *smallLoss[F]) normalize(total float64) {
	for i := range k.mass {
		k.mass[i] /= total
	}
	k.rest /= total
}

// distinguish finds the distinct classes that a target names.
func (k *smallLoss[F]) distinguish(named []int32) {
	k.distinct = append(k.distinct[:0], named...)
	slices.Sort(k.distinct)
	k.distinct = slices.Compact(k.distinct)
	k.given, k.places = workspace.Resize(k.given, len(k.distinct)), workspace.Resize(k.places, len(named))
	for i, c := range named {
		place, _ := slices.BinarySearch(k.distinct, c)
		k.places[i] = int32(place)
	}
}

// readProbabilities is read for probabilities. The classes that the target names are
// normalised to add up to 1, and the logarithm of their sum returned: what it is short of 1 is
// exact, however small.
func (k *smallLoss[F]) readProbabilities(x []F) (logNorm float64) {
	excess, lost := -1.0, 0.0
	for j, c := range k.distinct {
		var err float64
		k.given[j] = x[c]
		excess, err = fp.Difference(excess, -float64(x[c]))
		lost += err
	}
	excess += lost
	total := 1 + excess
	k.findTop(k.given)
	for i, j := range k.class {
		k.mass[i] = 0
		if j >= 0 {
			k.mass[i] = float64(k.given[j])
		}
	}
	k.rest = 0
	for j, v := range k.given {
		if !slices.Contains(k.class[:], j) {
			k.rest += float64(v)
		}
	}
	last := len(k.places) - 1
	for i := k.from; i <= k.reach(last); i++ {
		k.readClass(k.places[i], i, float64(k.given[k.places[i]])/total)
	}
	k.readClass(k.places[last], last, float64(k.given[k.places[last]])/total)
	k.normalize(total)
	return fp.Log1p(excess) // below −½, 1+excess is exact
}

// findTop finds the three largest scores, the first of equal ones.
func (k *smallLoss[F]) findTop(x []F) {
	k.class = [3]int{-1, -1, -1}
	for c, v := range x {
		for i, t := range k.class {
			if t < 0 || v > x[t] {
				copy(k.class[i+1:], k.class[i:])
				k.class[i] = c
				break
			}
		}
	}
}

// sumRest returns Σ exp(x−m) over all classes but the top three, of which m is the
// largest: between them there are up to four stretches.
func (k *smallLoss[F]) sumRest(x []F, m F) (sum float64) {
	cuts := k.class
	for i := range cuts {
		if cuts[i] < 0 {
			cuts[i] = len(x)
		}
	}
	sort3(&cuts)
	from := 0
	for _, cut := range [...]int{cuts[0], cuts[1], cuts[2], len(x)} {
		for ; from < cut; from += block {
			s, _ := sumExpBelow(x[from:min(from+block, cut)], m)
			sum += float64(s)
		}
		from = cut + 1
	}
	return sum
}

// sort3 sorts three numbers.
func sort3(a *[3]int) {
	lo, hi := min(a[0], a[1], a[2]), max(a[0], a[1], a[2])
	a[0], a[1], a[2] = lo, a[0]+a[1]+a[2]-lo-hi, hi
}

// step takes α through the frame. A blank goes on with the blank or its label; a
// label with itself, the blank, or the label after it if that is another one.
func (k *smallLoss[F]) step(target *ctcTarget) {
	last := len(k.b) - 1
	end := min(k.to, last)
	if k.to <= last {
		k.b[k.to], k.l[k.to] = 0, 0
	}
	var prev, lost float64
	for i := k.from; i <= end; i++ {
		k.nextB[i] = float64((k.b[i] + prev) * k.p[last])
		if i == last {
			k.nextL[i] = 0
			lost += float64(k.b[i] * k.leaving(last, -1, -1))
			break
		}
		jump, next := prev, -1
		if !target.maySkip(i) {
			jump = 0
		}
		if i+1 < last && target.maySkip(i+1) {
			next = i + 1
		}
		k.nextL[i] = float64(((k.l[i] + k.b[i]) + jump) * k.p[i])
		lost += float64(k.b[i] * k.leaving(last, i, -1))
		lost += float64(k.l[i] * k.leaving(last, i, next))
		prev = k.l[i]
	}
	k.missed += lost
	k.b, k.nextB = k.nextB, k.b
	k.l, k.nextL = k.nextL, k.l
	k.to = end + 1
	k.trim()
}

// trim leaves out the ends of α that are too small to matter to missed, and to a
// probability of the target that refine accepts.
func (k *smallLoss[F]) trim() {
	negligible := max(k.missed*0x1p-240, 0x1p-900)
	for k.from < k.to && max(k.b[k.from], k.l[k.from]) < negligible {
		k.from++
	}
	for k.from < k.to && max(k.b[k.to-1], k.l[k.to-1]) < negligible {
		k.to--
	}
}

// leaving returns the probability that the frame emits none of up to three
// classes, given by their places in p; −1 is none. It subtracts only from what is
// at least as large: a class is taken out of the rest only when one that is above
// it stays.
func (k *smallLoss[F]) leaving(a, b, c int) float64 {
	out := k.mass
	rest := k.rest
	for _, i := range [...]int{a, b, c} {
		switch {
		case i < 0:
		case k.top[i] >= 0:
			out[k.top[i]] = 0
		default:
			rest -= k.p[i]
		}
	}
	return max(((rest+out[2])+out[1])+out[0], 0)
}
