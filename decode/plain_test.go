package decode

import (
	"cmp"
	"math"
	"slices"
)

// plainBeam is a prefix beam search as the definition has it: with maps and logarithms, of probabilities.
type plainBeam struct {
	blank, width, topK int
	threshold          float64
	scorers            []Scorer
}

// plainPrefix is a prefix with its sums.
type plainPrefix struct {
	labels       []int
	blank, label float64
	states       []State
	score        Score
}

func (p *plainPrefix) total() float64 { return p.blank + p.label }

// looked returns the probabilities of a frame, 0 for what is not looked at.
func (b plainBeam) looked(row []float64) []float64 {
	var order []int
	for c, p := range row {
		if c != b.blank && p >= b.threshold {
			order = append(order, c)
		}
	}
	slices.SortStableFunc(order, func(c, d int) int { return cmp.Compare(row[d], row[c]) })
	if b.topK > 0 {
		order = order[:min(b.topK, len(order))]
	}
	y := make([]float64, len(row))
	y[b.blank] = row[b.blank]
	for _, c := range order {
		y[c] = row[c]
	}
	return y
}

// decode returns all that is in the beam in the end, sums without what scorers add.
func (b plainBeam) decode(rows [][]float64) (all []Hypothesis) {
	first := &plainPrefix{blank: 1}
	for _, s := range b.scorers {
		first.states = append(first.states, s.Start())
	}
	beam := []*plainPrefix{first}
	for _, row := range rows {
		beam = b.step(beam, b.looked(row))
	}
	for _, p := range beam {
		h := Hypothesis{Labels: p.labels, LogProb: math.Log(p.total()), LM: p.score.LM, Bonus: p.score.Bonus}
		for i, s := range b.scorers {
			end := s.End(p.states[i])
			h.LM, h.Bonus = h.LM+end.LM, h.Bonus+end.Bonus
		}
		h.Score = h.LogProb + h.LM + h.Bonus
		all = append(all, h)
	}
	slices.SortFunc(all, func(g, h Hypothesis) int {
		if c := cmp.Compare(h.Score, g.Score); c != 0 {
			return c
		}
		return slices.Compare(g.Labels, h.Labels)
	})
	return all
}

func (b plainBeam) step(beam []*plainPrefix, y []float64) []*plainPrefix {
	next := map[string]*plainPrefix{}
	of := func(p *plainPrefix, labels []int) *plainPrefix {
		key := ""
		for _, l := range labels {
			key += string(rune(l)) // distinct for distinct labels below 0xd800
		}
		q, ok := next[key]
		if !ok {
			q = &plainPrefix{labels: labels, states: p.states, score: p.score}
			if len(labels) > len(p.labels) {
				q.states = nil
				for i, s := range b.scorers {
					state, score := s.Next(p.states[i], labels[len(labels)-1])
					q.states, q.score = append(q.states, state), q.score.plus(score)
				}
			}
			next[key] = q
		}
		return q
	}
	for _, p := range beam {
		same := of(p, p.labels)
		same.blank += p.total() * y[b.blank]
		for c, v := range y {
			if c == b.blank || v == 0 {
				continue
			}
			from := p.total()
			if n := len(p.labels); n > 0 && p.labels[n-1] == c {
				same.label += p.label * v
				from = p.blank
			}
			if from > 0 {
				of(p, append(slices.Clone(p.labels), c)).label += from * v
			}
		}
	}
	var all []*plainPrefix
	for _, p := range next {
		if p.total() > 0 && !math.IsInf(p.score.sum(), -1) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(p, q *plainPrefix) int {
		a, b := math.Log(p.total())+p.score.sum(), math.Log(q.total())+q.score.sum()
		if c := cmp.Compare(b, a); c != 0 {
			return c
		}
		return slices.Compare(p.labels, q.labels)
	})
	return all[:min(b.width, len(all))]
}

// sumOfPaths returns the probability of every text: the sum over all paths, one after the other.
func sumOfPaths(rows [][]float64, blank int) map[string]float64 {
	sums := map[string]float64{}
	var go_ func(t int, p float64, text string, last int)
	go_ = func(t int, p float64, text string, last int) {
		if p == 0 {
			return
		}
		if t == len(rows) {
			sums[text] += p
			return
		}
		for c, y := range rows[t] {
			next := text
			if c != blank && c != last {
				next += string(rune(c))
			}
			go_(t+1, p*y, next, c)
		}
	}
	go_(0, 1, "", blank)
	return sums
}
