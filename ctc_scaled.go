package trellis

import "math"

// A frame whose emissions are too far apart for float64, or where a state is that much
// smaller than what flows into it, is done here, with exponents at every step.

// number is v·2^e. plus requires v to be 0, or so near 1 that the exponents tell which
// number is larger.
type number struct{ v, e float64 }

// normal returns the same number with v in [1, 2), or 0.
func (a number) normal() number {
	if a.v == 0 {
		return number{}
	}
	bits := math.Float64bits(a.v)
	return number{math.Float64frombits(bits&(1<<52-1) | 1023<<52), a.e + float64(int(bits>>52)-1023)}
}

// plus returns a + b.
func (a number) plus(b number) number {
	switch {
	case b.v == 0 || a.v != 0 && a.e-b.e > -minFactor:
		return a
	case a.v == 0 || b.e-a.e > -minFactor:
		return b
	case a.e < b.e:
		a, b = b, a
	}
	return number{a.v + float64(b.v*power(b.e-a.e)), a.e}
}

// times returns a·b, normalised.
func (a number) times(b number) number { return number{a.v * b.v, a.e + b.e}.normal() }

// scaledRow is a row of numbers. If exponents is nil, every exponent is 0.
type scaledRow struct{ v, exponents []float64 }

// at returns number i of a row of emissions.
func (r scaledRow) at(i int) number {
	if r.exponents == nil {
		return number{r.v[i], 0}
	}
	return number{r.v[i], r.exponents[i]}
}

// states returns the blank and the label at a position of a row of states.
func (r scaledRow) states(i int) (blank, label number) {
	b, l := blankAt(i), labelAt(i)
	return number{r.v[b], r.exponents[b]}, number{r.v[l], r.exponents[l]}
}

// forwardScaled does one frame of α with the emissions y, from the row src to alpha, which
// may have the same exponents: those are brought up to date.
func (g *ctcTarget) forwardScaled(alpha, src, y scaledRow) {
	clear(alpha.v)
	blank := y.at(g.length)
	var before number // label i−1
	for i := range g.length + 1 {
		b, l := src.states(i)
		toBlank := b.plus(before).times(blank)
		alpha.v[blankAt(i)], alpha.exponents[blankAt(i)] = toBlank.v, toBlank.e
		if i < g.length {
			toLabel := l.plus(b)
			if g.maySkip(i) {
				toLabel = toLabel.plus(before)
			}
			toLabel = toLabel.times(y.at(i))
			alpha.v[labelAt(i)], alpha.exponents[labelAt(i)] = toLabel.v, toLabel.e
		}
		before = l
	}
}

// backwardScaled takes β from a frame, whose α and emissions y are given, to the one before
// it, whose exponents are before, and makes the occupancies of the frame, that of the blank
// behind those of the labels.
func (g *ctcTarget) backwardScaled(occupancy, beta []float64, alpha, y scaledRow, before []float64) {
	blank := y.at(g.length)
	occupancy[g.length] = 0
	// β times the emission of b[i+1] and l[i+1], with the exponents taken off that all have
	var nextB, nextL number
	for i := g.length; i >= 0; i-- {
		at := blankAt(i)
		occupancy[g.length] += float64(alpha.v[at] * beta[at])
		b := number{beta[at], -alpha.exponents[at]}.times(blank)
		var l number
		if i < g.length {
			at := labelAt(i)
			occupancy[i] = alpha.v[at] * beta[at]
			l = number{beta[at], -alpha.exponents[at]}.times(y.at(i))
			fromLabel := l.plus(nextB).plus(nextL)
			beta[at] = fromLabel.v * power(fromLabel.e+before[at])
		}
		fromBlank := b.plus(l)
		beta[at] = fromBlank.v * power(fromBlank.e+before[at])
		nextB, nextL = b, number{}
		if g.maySkip(i) {
			nextL = l
		}
	}
}
