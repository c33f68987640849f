package trellis

import "math"

// A frame whose emissions are too far apart for float64, or where a state is that much
// smaller than what flows into it, is done here, with exponents at every step.

// number is v·2^e. A sum needs v that are 0 or near 1.
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

// state returns the state at a place of a row.
func state(v, e []float64, at int) number { return number{v[at], e[at]} }

// forwardWide does one frame of α from source, whose exponents e holds, and leaves
// those of the frame there.
func (w *lattice[F]) forwardWide(t int, e []float64) {
	row, m := w.alphaRow(t), &w.emission
	clear(row)
	blank := m.of(w, t, w.last)
	var before number
	for i := range w.last + 1 {
		at := blankAt(i)
		b, l := state(w.source, e, at), state(w.source, e, at+8)
		onBlank := b.plus(before).times(blank)
		row[at], e[at] = onBlank.v, onBlank.e
		if i < w.last {
			onLabel := l.plus(b)
			if w.skip[i] == 0 {
				onLabel = onLabel.plus(before)
			}
			onLabel = onLabel.times(m.of(w, t, i))
			row[at+8], e[at+8] = onLabel.v, onLabel.e
		}
		before = l
	}
}

// backwardWide does the same for β, which goes from the frame's exponents, after, to those
// before it, and for the occupancies.
func (w *lattice[F]) backwardWide(t int, before, after []float64) {
	row, m := w.alphaRow(t), &w.emission
	blank := m.of(w, t, w.last)
	w.occupancy[w.last] = 0
	// β times the emission of b[i+1] and l[i+1], with the exponents taken off that all have
	var nextB, nextL number
	for i := w.last; i >= 0; i-- {
		at := blankAt(i)
		w.occupancy[w.last] += float64(row[at] * w.beta[at])
		b := number{w.beta[at], -after[at]}.times(blank)
		var l number
		if i < w.last {
			w.occupancy[i] = row[at+8] * w.beta[at+8]
			l = number{w.beta[at+8], -after[at+8]}.times(m.of(w, t, i))
			onLabel := l.plus(nextB).plus(nextL)
			w.beta[at+8] = onLabel.v * power(onLabel.e+before[at+8])
		}
		onBlank := b.plus(l)
		w.beta[at] = onBlank.v * power(onBlank.e+before[at])
		nextB, nextL = b, number{}
		if w.skip[i] == 0 {
			nextL = l
		}
	}
}
