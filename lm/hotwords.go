package lm

import (
	"slices"
	"strings"

	"github.com/gotrellis/trellis/decode"
)

// Hotword is a word to look out for, or several with a space between them, and what it adds to the
// score of a text each time it is there, in nats. A negative weight makes it rarer.
type Hotword struct {
	Text   string
	Weight float64
}

// Hotwords adds to the scores of texts with certain words. Of a positive weight the part
// that has been said is given at once, so that a beam keeps the text, and taken back if the rest does not
// follow. Words are found with the automaton of A. Aho and M. Corasick ("Efficient string matching",
// Comm. ACM 18, 1975), however many they are. It may be used concurrently.
type Hotwords struct {
	spelling spelling
	trie     trie
	fail     []uint32  // of each node, the longest other one that it ends with
	gain     []float64 // what the hotwords add that end here
	part     []float64 // what has been given for those that have begun
}

// NewHotwords returns a scorer by hotwords that are spelled with the tokens. Where the tokens have
// something between words, only whole words count, and anywhere else what is in the text. A hotword
// that is there twice has both weights.
func NewHotwords(words []Hotword, tokens []string) *Hotwords {
	h := &Hotwords{spelling: newSpelling(tokens)}
	weights := map[string]float64{}
	for _, w := range words {
		text := strings.Join(strings.Fields(w.Text), " ")
		if text == "" {
			continue
		}
		if h.spelling.separated {
			text = " " + text + " "
		}
		weights[text] += w.Weight
	}
	var texts []string
	for text := range weights {
		texts = append(texts, text)
	}
	slices.Sort(texts)
	h.trie = newTrie(texts)
	h.gain, h.part = make([]float64, len(h.trie.word)), make([]float64, len(h.trie.word))
	for _, text := range texts {
		h.weigh(text, weights[text])
	}
	h.link()
	return h
}

// weigh sets the gain of a hotword, and the parts for its beginnings.
func (h *Hotwords) weigh(text string, weight float64) {
	skip := 0 // what is between words counts for nothing
	if h.spelling.separated {
		skip = 1
	}
	node, letters := uint32(0), len(text)-2*skip
	for i := range len(text) {
		node = h.trie.childOf(node, text[i])
		said := min(max(i+1-skip, 0), letters)
		if i+1 < len(text) {
			h.part[node] = max(h.part[node], weight*float64(said)/float64(letters))
		}
	}
	h.gain[node] = weight
}

// link finds what nodes end with, from short ones to long ones, which is their order.
func (h *Hotwords) link() {
	h.fail = make([]uint32, len(h.trie.word))
	for node := range h.fail {
		for child := h.trie.child[node]; child < h.trie.child[node+1]; child++ {
			if node > 0 {
				h.fail[child] = h.follow(h.fail[node], h.trie.label[child])
			}
			h.gain[child] += h.gain[h.fail[child]]
			h.part[child] = max(h.part[child], h.part[h.fail[child]])
		}
	}
}

// follow returns the node behind a byte: the longest one that the text ends with.
func (h *Hotwords) follow(node uint32, b byte) uint32 {
	for {
		if next := h.trie.childOf(node, b); next != lost {
			return next
		}
		if node == 0 {
			return 0
		}
		node = h.fail[node]
	}
}

// Start returns the state at the beginning of a text, which is the beginning of a word.
func (h *Hotwords) Start() decode.State {
	if !h.spelling.separated {
		return 0
	}
	return decode.State(h.follow(0, ' '))
}

// Next returns the state behind a label: see decode.Scorer.
func (h *Hotwords) Next(before decode.State, label int) (decode.State, decode.Score) {
	p, node := h.spelling.piece(label), uint32(before)
	bonus := -h.part[node]
	if p.ends {
		node = h.follow(node, ' ')
		bonus += h.gain[node]
	}
	for i := range len(p.text) {
		node = h.follow(node, p.text[i])
		bonus += h.gain[node]
	}
	return decode.State(node), decode.Score{Bonus: bonus + h.part[node]}
}

// End completes the last word, and takes back what was given for others.
func (h *Hotwords) End(s decode.State) decode.Score {
	bonus := -h.part[s]
	if h.spelling.separated {
		bonus += h.gain[h.follow(uint32(s), ' ')]
	}
	return decode.Score{Bonus: bonus}
}
