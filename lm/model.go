package lm

import (
	"math"
	"slices"
	"sort"
)

// Model is an n-gram model with back-off (S. Katz, 1987): the probability of a word given those
// before it is that of the longest n-gram that the model has, times the back-off weights of the
// contexts that are longer. It does not change and may be used concurrently.
//
// N-grams are a trie from the first word to the last, a level for each length, in which
// the continuations of a context are neighbours, in the order of the words' numbers. An n-gram takes
// 8 bytes on the last level and 20 on others.
type Model struct {
	ids     map[string]uint32 // of the words; those of a unigram
	unknown uint32            // the number of <unk>
	levels  []level           // from the unigrams on
	offsets []uint32          // the number of the first context of each level
	suffix  []uint32          // of each context, the longest other one that it ends with
	begin   uint32            // the word <s>
	end     uint32            // the word </s>
}

// level is the n-grams of one length.
type level struct {
	word    []uint32  // the last one
	prob    []float32 // log₁₀
	backoff []float32 // log₁₀, and
	first   []uint32  // where the continuations on the next level begin: not on the last level
}

const ln10 = math.Ln10

// Order returns the length of the longest n-grams.
func (m *Model) Order() int { return len(m.levels) }

// Len returns the number of n-grams of a length, which is at least 1.
func (m *Model) Len(n int) int {
	if n > len(m.levels) {
		return 0
	}
	return len(m.levels[n-1].word)
}

// Has reports whether a word is in the model's vocabulary.
func (m *Model) Has(word string) bool {
	_, ok := m.ids[word]
	return ok
}

// id returns the number of a word, that of <unk> for unknown ones.
func (m *Model) id(word string) uint32 {
	if id, ok := m.ids[word]; ok {
		return id
	}
	return m.unknown
}

// LogProb returns the logarithm, in nats, of the probability of a sentence: of its words behind <s>, and
// of </s> behind them. Words that the model does not know count as <unk>.
func (m *Model) LogProb(words []string) float64 {
	context, sum := m.start(), 0.0
	for _, w := range words {
		next, log := m.next(context, m.id(w))
		context, sum = next, sum+log
	}
	_, log := m.next(context, m.end)
	return sum + log
}

// A context is a number: 0 for none, then those of the levels but the last one, in order.

// next returns ln P(word | context), and the context behind the word.
func (m *Model) next(context, word uint32) (next uint32, log float64) {
	for {
		n, i := m.place(context)
		at, ok := m.find(n, i, word)
		if ok {
			log += float64(m.levels[n].prob[at])
			return m.contextOf(n, at, context, word), float64(log * ln10)
		}
		log += float64(m.levels[n-1].backoff[i])
		context = m.suffix[context]
	}
}

// start returns the context <s>.
func (m *Model) start() uint32 { return m.contextOf(0, m.begin, 0, m.begin) }

// place returns how many words a context has, and which one of its level it is.
func (m *Model) place(context uint32) (n int, i uint32) {
	for n < len(m.offsets)-1 && context >= m.offsets[n+1] {
		n++
	}
	return n, context - m.offsets[n]
}

// find returns the n-gram that a word makes of context i with n words, and whether there is one:
// there always is where n is 0.
func (m *Model) find(n int, i, word uint32) (at uint32, ok bool) {
	if n == 0 {
		return word, true
	}
	from, to := m.levels[n-1].first[i], m.levels[n-1].first[i+1]
	words := m.levels[n].word[from:to]
	k := sort.Search(len(words), func(k int) bool { return words[k] >= word })
	return from + uint32(k), k < len(words) && words[k] == word
}

// contextOf returns the context behind a word, which has made n-gram number at, on level n, of the
// context before it.
func (m *Model) contextOf(n int, at, before, word uint32) uint32 {
	for {
		if n+1 < len(m.offsets) {
			return m.offsets[n+1] + at
		}
		// N-grams of the last level are no contexts, but what they end with is.
		for ok := false; !ok; {
			if before == 0 {
				return 0 // of unigrams alone
			}
			before = m.suffix[before]
			var i uint32
			n, i = m.place(before)
			at, ok = m.find(n, i, word)
		}
	}
}

// link sets offsets and suffix when all levels are there.
func (m *Model) link() {
	m.offsets = []uint32{0}
	contexts := uint32(1)
	for _, l := range m.levels[:len(m.levels)-1] {
		m.offsets = append(m.offsets, contexts)
		contexts += uint32(len(l.word))
	}
	m.suffix = make([]uint32, contexts)
	for n := 1; n+1 < len(m.offsets); n++ { // of those with n+1 words, as that of one with n words is known
		l := &m.levels[n-1]
		for i := range uint32(len(l.word)) {
			for at := l.first[i]; at < l.first[i+1]; at++ {
				word := m.levels[n].word[at]
				s := m.suffix[m.offsets[n]+i]
				for {
					k, j := m.place(s)
					if found, ok := m.find(k, j, word); ok {
						m.suffix[m.offsets[n+1]+at] = m.offsets[k+1] + found
						break
					}
					s = m.suffix[s]
				}
			}
		}
	}
}

// words returns the vocabulary in the order of bytes, without <s>, </s> and <unk>, and the numbers.
func (m *Model) words() (words []string, ids []uint32) {
	for w, id := range m.ids {
		if id != m.unknown && id != m.end && id != m.begin {
			words = append(words, w)
		}
	}
	slices.Sort(words)
	for _, w := range words {
		ids = append(ids, m.ids[w])
	}
	return words, ids
}
