// Package lmtest makes language models for tests.
package lmtest

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// counted is n-grams of one length and how often each is there, words with a space between them.
type counted map[string]int

// WriteARPA writes an n-gram model of some sentences in the ARPA format: absolute discounting with
// back-off (H. Ney, U. Essen, 1991), so that the probabilities behind every context add up to 1. <unk>
// has what is left of the unigrams.
func WriteARPA(w io.Writer, sentences [][]string, order int) error {
	const discount = 0.5
	counts := make([]counted, order)
	for n := range counts {
		counts[n] = counted{}
	}
	for _, s := range sentences {
		words := slices.Concat([]string{"<s>"}, s, []string{"</s>"})
		for n := range counts {
			for i := 0; i+n < len(words); i++ {
				counts[n][strings.Join(words[i:][:n+1], " ")]++
			}
		}
	}
	total := 0
	for word, c := range counts[0] {
		if word != "<s>" {
			total += c
		}
	}
	counts[0]["<unk>"] = 0
	probs := make([]map[string]float64, order)
	probs[0] = map[string]float64{"<s>": 0}
	seen := float64(len(counts[0]) - 2)
	for word, c := range counts[0] {
		switch word {
		case "<s>":
		case "<unk>":
			probs[0][word] = discount * seen / float64(total)
		default:
			probs[0][word] = (float64(c) - discount) / float64(total)
		}
	}
	backoff := make([]map[string]float64, order)
	for n := 1; n < order; n++ {
		probs[n], backoff[n-1] = map[string]float64{}, map[string]float64{}
		behind, left, lower := counted{}, map[string]float64{}, map[string]float64{}
		for gram, c := range counts[n] {
			behind[contextOf(gram)] += c
		}
		for _, gram := range slices.Sorted(maps.Keys(counts[n])) {
			context := contextOf(gram)
			p := (float64(counts[n][gram]) - discount) / float64(behind[context])
			probs[n][gram] = p
			left[context] += p
			_, shorter, _ := strings.Cut(gram, " ")
			lower[context] += probs[n-1][shorter]
		}
		for context, sum := range left {
			backoff[n-1][context] = (1 - sum) / (1 - lower[context])
		}
	}
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, `\data\`)
	for n, p := range probs {
		fmt.Fprintf(b, "ngram %d=%d\n", n+1, len(p))
	}
	for n, p := range probs {
		fmt.Fprintf(b, "\n\\%d-grams:\n", n+1)
		for _, gram := range slices.Sorted(maps.Keys(p)) {
			fmt.Fprintf(b, "%.7g\t%s", max(math.Log10(p[gram]), -99), gram)
			if weight, ok := backoff[n][gram]; ok {
				fmt.Fprintf(b, "\t%.7g", math.Log10(weight))
			}
			fmt.Fprintln(b)
		}
	}
	fmt.Fprintln(b, "\n\\end\\")
	return b.Flush()
}

// contextOf returns an n-gram without its last word.
func contextOf(gram string) string { return gram[:strings.LastIndexByte(gram, ' ')] }

// Sentences splits a text into sentences of words, in capitals if upper is set.
func Sentences(text string, upper bool) (all [][]string) {
	if text = strings.ToLower(text); upper {
		text = strings.ToUpper(text)
	}
	for _, s := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(".!?;", r) }) {
		words := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" ,\n\t\"()", r) })
		if len(words) > 0 {
			all = append(all, words)
		}
	}
	return all
}
