package lm

import (
	"bytes"
	"slices"
)

// trie holds words by their bytes: node 0 is the empty beginning, and lost that of no word. The
// children of a node are neighbours, in the order of their bytes.
type trie struct {
	label []byte
	child []uint32 // the first child; those of a node end where those of the next begin
	word  []int32  // the number of the word that ends here, or −1
}

const lost = 1<<32 - 1

// newTrie returns a trie of words in the order of bytes, none twice. The number of a word is its
// place among them.
func newTrie(words []string) trie {
	type group struct{ from, to, depth int }
	t := trie{label: []byte{0}, word: []int32{-1}}
	groups := []group{{0, len(words), 0}}
	for i := 0; i < len(groups); i++ { // the words that begin as node i, which groups gets in the order of nodes
		g := groups[i]
		if g.from < g.to && len(words[g.from]) == g.depth {
			t.word[i] = int32(g.from)
			g.from++
		}
		t.child = append(t.child, uint32(len(groups)))
		for g.from < g.to {
			b, to := words[g.from][g.depth], g.from+1
			for to < g.to && words[to][g.depth] == b {
				to++
			}
			groups = append(groups, group{g.from, to, g.depth + 1})
			t.label, t.word = append(t.label, b), append(t.word, -1)
			g.from = to
		}
	}
	t.child = append(t.child, uint32(len(groups)))
	return t
}

// step returns the node behind some bytes.
func (t *trie) step(at uint32, text string) uint32 {
	for i := range len(text) {
		if at == lost {
			break
		}
		at = t.childOf(at, text[i])
	}
	return at
}

// childOf returns the child of a node with a byte, or lost.
func (t *trie) childOf(at uint32, b byte) uint32 {
	from := t.child[at]
	if i := bytes.IndexByte(t.label[from:t.child[at+1]], b); i >= 0 {
		return from + uint32(i)
	}
	return lost
}

// sorted returns words in the order of bytes, without empty ones and each once.
func sorted(words []string) []string {
	all := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" })
	slices.Sort(all)
	return slices.Compact(all)
}
