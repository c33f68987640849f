package lm

import (
	"github.com/gotrellis/trellis/decode"
)

// Weights say how much a language model has to say beside the network.
type Weights struct {
	// LM is the factor of the logarithms of the model, often called α.
	LM float64
	// Word is added for each word (Words) or token (Tokens), often called β: without it a model
	// prefers few.
	Word float64
	// Unknown is added for each that the model does not know, which also has the probability of <unk>.
	Unknown float64
}

// score returns what n-grams with the logarithm log are worth.
func (w Weights) score(log float64, unknown bool) decode.Score {
	s := decode.Score{LM: float64(w.LM * log), Bonus: w.Word}
	if unknown {
		s.Bonus += w.Unknown
	}
	return s
}

// Words scores texts with a model of words. A word is scored when it is complete, and </s> at the end.
// It may be used concurrently.
type Words struct {
	model    *Model
	spelling spelling
	weights  Weights
	trie     trie
	ids      []uint32 // of the trie's words
}

// NewWords returns a scorer by a model whose words are spelled with the tokens. Upper and lower case
// are different.
func NewWords(m *Model, tokens []string, weights Weights) *Words {
	w := &Words{model: m, spelling: newSpelling(tokens), weights: weights}
	words, ids := m.words()
	w.trie, w.ids = newTrie(words), ids
	return w
}

// A state is the context of the n-grams, and in the lower half the node of the beginning of a
// word: 0 between words.

// Start returns the state behind <s>.
func (w *Words) Start() decode.State { return decode.State(w.model.start()) << 32 }

// Next returns the state behind a label: see decode.Scorer.
func (w *Words) Next(before decode.State, label int) (decode.State, decode.Score) {
	p, node, score := w.spelling.piece(label), uint32(before), decode.Score{}
	if p.ends {
		before, score = w.complete(before)
		node = 0
	}
	return before>>32<<32 | decode.State(w.trie.step(node, p.text)), score
}

// complete scores the word that has been begun, if one has.
func (w *Words) complete(s decode.State) (decode.State, decode.Score) {
	node := uint32(s)
	if node == 0 {
		return s, decode.Score{}
	}
	id := w.model.unknown
	if node != lost && w.trie.word[node] >= 0 {
		id = w.ids[w.trie.word[node]]
	}
	context, log := w.model.next(uint32(s>>32), id)
	return decode.State(context) << 32, w.weights.score(log, id == w.model.unknown)
}

// End scores the last word and </s>.
func (w *Words) End(s decode.State) decode.Score {
	s, score := w.complete(s)
	_, log := w.model.next(uint32(s>>32), w.model.end)
	score.LM += float64(w.weights.LM * log)
	return score
}

// Tokens scores texts with a model whose words are the tokens themselves. It may be used concurrently.
type Tokens struct {
	model   *Model
	weights Weights
	ids     []uint32
}

// NewTokens returns a scorer by a model of the tokens. A space in a token is looked up as it is and, as
// the ARPA format has no such words, as "<space>", "|" and "▁".
func NewTokens(m *Model, tokens []string, weights Weights) *Tokens {
	t := &Tokens{model: m, weights: weights}
	for _, token := range tokens {
		id, ok := m.ids[token]
		for i := 1; !ok && token == " " && i < len(separators); i++ {
			id, ok = m.ids[separators[i]]
		}
		if !ok {
			id = m.unknown
		}
		t.ids = append(t.ids, id)
	}
	return t
}

// Start returns the state behind <s>.
func (t *Tokens) Start() decode.State { return decode.State(t.model.start()) }

// Next returns the state behind a label: see decode.Scorer.
func (t *Tokens) Next(before decode.State, label int) (decode.State, decode.Score) {
	id := t.model.unknown
	if label < len(t.ids) {
		id = t.ids[label]
	}
	context, log := t.model.next(uint32(before), id)
	return decode.State(context), t.weights.score(log, id == t.model.unknown)
}

// End scores </s>.
func (t *Tokens) End(s decode.State) decode.Score {
	_, log := t.model.next(uint32(s), t.model.end)
	return decode.Score{LM: float64(t.weights.LM * log)}
}

// Lexicon allows only words of a list, or makes others dearer. It may be used concurrently.
type Lexicon struct {
	spelling spelling
	trie     trie
	penalty  float64
}

// NewLexicon returns a scorer by a list of words that are spelled with the tokens. What is in no word
// costs penalty nats, once for each word, as soon as it is in none: +Inf allows no others.
func NewLexicon(words, tokens []string, penalty float64) *Lexicon {
	return &Lexicon{newSpelling(tokens), newTrie(sorted(words)), penalty}
}

// Start returns the state between words.
func (l *Lexicon) Start() decode.State { return 0 }

// Next returns the state behind a label: see decode.Scorer.
func (l *Lexicon) Next(before decode.State, label int) (decode.State, decode.Score) {
	p, node, score := l.spelling.piece(label), uint32(before), decode.Score{}
	if p.ends {
		node, score = 0, l.End(before)
	}
	after := l.trie.step(node, p.text)
	if after == lost && node != lost {
		score.Bonus -= l.penalty
	}
	return decode.State(after), score
}

// End scores the last word.
func (l *Lexicon) End(s decode.State) decode.Score {
	if node := uint32(s); node == 0 || node == lost || l.trie.word[node] >= 0 {
		return decode.Score{}
	}
	return decode.Score{Bonus: -l.penalty}
}
