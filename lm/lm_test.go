package lm

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/decode"
	"github.com/gotrellis/trellis/internal/lmtest"
)

// plainModel is the n-grams of an ARPA file by their text.
type plainModel map[string]struct{ prob, backoff float64 }

func readPlain(t *testing.T, text string) plainModel {
	m := plainModel{}
	order := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if n, ok := strings.CutSuffix(strings.TrimPrefix(line, `\`), "-grams:"); ok {
			order, _ = strconv.Atoi(n)
			continue
		}
		fields := strings.Fields(line)
		if order == 0 || len(fields) < order+1 {
			continue
		}
		g := m[""]
		var err error
		g.prob, err = strconv.ParseFloat(fields[0], 64)
		require.NoError(t, err)
		if len(fields) > order+1 {
			g.backoff, err = strconv.ParseFloat(fields[order+1], 64)
			require.NoError(t, err)
		}
		m[strings.Join(fields[1:order+1], " ")] = g
	}
	return m
}

// prob is Katz' definition: log₁₀ of the probability of a word behind others.
func (m plainModel) prob(context []string, word string) float64 {
	if g, ok := m[strings.Join(append(context[:len(context):len(context)], word), " ")]; ok {
		return g.prob
	}
	if len(context) == 0 {
		return m["<unk>"].prob
	}
	return m[strings.Join(context, " ")].backoff + m.prob(context[1:], word)
}

// sentence is log₁₀ of the probability of a sentence by a model of an order.
func (m plainModel) sentence(words []string, order int) (sum float64) {
	said := []string{"<s>"}
	for _, w := range append(words[:len(words):len(words)], "</s>") {
		if _, ok := m[w]; !ok {
			w = "<unk>"
		}
		sum += m.prob(said[max(0, len(said)-order+1):], w)
		said = append(said, w)
	}
	return sum
}

// randomSentences are of few words, so that n-grams are there often and seldom.
func randomSentences(r *rand.Rand, count, vocabulary int) (all [][]string) {
	for range count {
		var s []string
		for range r.IntN(12) {
			s = append(s, fmt.Sprintf("w%d", int(float64(vocabulary)*r.Float64()*r.Float64())))
		}
		all = append(all, s)
	}
	return all
}

func arpaOf(t testing.TB, sentences [][]string, order int) string {
	var b strings.Builder
	require.NoError(t, lmtest.WriteARPA(&b, sentences, order))
	return b.String()
}

// Perplexities are those of a slow model, for texts that the model has seen and others, also where
// n-grams are missing that others end with.
func TestModelIsPlainModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for order := 1; order <= 5; order++ {
		text := arpaOf(t, randomSentences(r, 200, 30), order)
		for _, thin := range []bool{false, true} {
			if thin {
				text = thinned(r, text)
			}
			plain := readPlain(t, text)
			m, err := Read(strings.NewReader(text))
			require.NoError(t, err)
			require.Equal(t, order, m.Order())
			for _, s := range randomSentences(r, 300, 40) {
				want := plain.sentence(s, order) * math.Ln10
				require.InEpsilon(t, want, m.LogProb(s), 1e-6, "order %d, %v", order, s)
			}
		}
	}
}

// thinned leaves out some n-grams that are no contexts of others, with the numbers in the head corrected.
func thinned(r *rand.Rand, text string) string {
	lines := strings.Split(text, "\n")
	context := map[string]bool{}
	for _, l := range lines {
		if f := strings.Split(l, "\t"); len(f) > 1 && strings.Contains(f[1], " ") {
			context[f[1][:strings.LastIndex(f[1], " ")]] = true
		}
	}
	counts := map[int]int{}
	var kept []string
	for _, l := range lines {
		if f := strings.Split(l, "\t"); len(f) > 1 {
			n := strings.Count(f[1], " ") + 1
			if n > 1 && !context[f[1]] && r.IntN(3) == 0 {
				continue
			}
			counts[n]++
		}
		kept = append(kept, l)
	}
	for i, l := range kept {
		if rest, ok := strings.CutPrefix(l, "ngram "); ok {
			n, _ := strconv.Atoi(rest[:strings.Index(rest, "=")])
			kept[i] = fmt.Sprintf("ngram %d=%d", n, counts[n])
		}
	}
	return strings.Join(kept, "\n")
}

// Behind any words the probabilities of all words add up to 1.
func TestModelAddsUp(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	m, err := Read(strings.NewReader(arpaOf(t, randomSentences(r, 300, 20), 3)))
	require.NoError(t, err)
	for range 100 {
		context := m.start()
		for _, w := range randomSentences(r, 1, 25)[0] {
			context, _ = m.next(context, m.id(w))
		}
		sum := 0.0
		for w, id := range m.ids {
			if w != "<s>" {
				_, log := m.next(context, id)
				sum += math.Exp(log)
			}
		}
		require.InDelta(t, 1, sum, 1e-5)
	}
}

const tiny = `
\data\
ngram 1=5
ngram 2=3
ngram 3=1

\1-grams:
-1.0	<unk>
-99	<s>	-0.30103
-0.7	</s>
-0.5	a	-0.2
-0.6	b	-0.1

\2-grams:
-0.4	<s> a	-0.05
-0.3	a b	-0.15
-0.2	b </s>

\3-grams:
-0.1	<s> a b

\end\
`

func TestModelByHand(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write([]byte("a comment\n" + strings.ReplaceAll(tiny, "\t", "  ")))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	for _, in := range []string{tiny, zipped.String(), strings.ReplaceAll(tiny, "\n", "\r\n"), strings.TrimSuffix(tiny, "\n")} {
		m, err := Read(strings.NewReader(in))
		require.NoError(t, err)
		assert.Equal(t, []int{5, 3, 1, 0}, []int{m.Len(1), m.Len(2), m.Len(3), m.Len(4)})
		assert.True(t, m.Has("a") && !m.Has("c"))
		for _, c := range []struct {
			words []string
			want  float64
		}{
			{[]string{"a", "b"}, -0.4 - 0.1 - (0.15 + 0.2)}, // a|<s>, b|<s> a, </s>|a b: backs off to </s>|b
			{[]string{"b"}, -(0.30103 + 0.6) - 0.2},
			{[]string{"a", "c"}, -0.4 - (0.05 + 0.2 + 1.0) - 0.7},
			{nil, -0.30103 - 0.7},
		} {
			assert.InDelta(t, c.want*math.Ln10, m.LogProb(c.words), 1e-6, "%v", c.words)
		}
	}
}

// What is wrong with a file is named with its line.
func TestReadErrors(t *testing.T) {
	for _, c := range []struct {
		from, to string
		line     int
		reason   string
	}{
		{`\data\`, `\dota\`, 23, `the file ends, want \data\`},
		{"ngram 2=3", "ngram 3=3", 4, `"ngram 3=3", want ngram 2= and a number, with the others up to 2³⁰`},
		{"ngram 2=3", "ngram 2=-3", 4, `"ngram 2=-3", want ngram 2= and a number, with the others up to 2³⁰`},
		{"ngram 2=3", "ngram 2=9223372036854775807", 4, `"ngram 2=9223372036854775807", want ngram 2= and a number, with the others up to 2³⁰`},
		{"ngram 1=5", "ngram 1=0", 7, "there are no unigrams"},
		{"ngram 1=5", "ngram 1=4", 12, "more than the 4 1-grams that the head says"},
		{"ngram 2=3", "ngram 2=4", 19, "3 2-grams, the head says 4"},
		{`\2-grams:`, `\3-grams:`, 14, `"\\3-grams:", want \2-grams:`},
		{`\end\`, ``, 23, "the file ends, want an n-gram"},
		{`\end\`, `\fin\`, 22, `"\\fin\\", want \end\`},
		{"-0.5	a	-0.2", "-0,5	a	-0.2", 11, `"-0,5" is no logarithm`},
		{"-0.5	a	-0.2", "0.5	a	-0.2", 11, "the logarithm of a probability is 0.5, above 0"},
		{"-0.5	a	-0.2", "-0.5	a	nan", 11, `"nan" is no logarithm`},
		{"-0.5	a	-0.2", "-0.5	a	inf", 11, `"inf" is no logarithm`},
		{"-0.5	a	-0.2", "-0.5	a	-0.2	7", 11, "4 fields, want a logarithm, 1 words and perhaps a back-off weight"},
		{"-0.5	a	-0.2", "-0.5	b	-0.2", 12, `"b" is there twice`},
		{"<s> a b", "<s> a c", 20, `"c" is no unigram`},
		{"<s> a b", "b a b", 20, "what comes before the last word is no 2-gram"},
		{"b </s>", "a b", 17, "the n-gram was in line 16 already"},
		{"</s>\n", "<t>\n", 14, "</s> is no unigram"},
	} {
		_, err := Read(strings.NewReader(strings.Replace(tiny, c.from, c.to, 1)))
		var wrong *FormatError
		require.ErrorAs(t, err, &wrong, "%q", c.to)
		assert.Equal(t, FormatError{c.line, c.reason}, *wrong)
	}
	_, err := Read(strings.NewReader(strings.Replace(tiny, "a	-0.2", strings.Repeat("a", 2<<20), 1)))
	assert.EqualError(t, err, "lm: line 11: longer than 1048576 bytes")
	_, err = Read(strings.NewReader("\x1f\x8bnonsense"))
	assert.True(t, errors.Is(err, gzip.ErrHeader))
	_, err = ReadFile("no such file")
	assert.Error(t, err)
}

// letters are tokens with something between words; pieces are those of SentencePiece.
var (
	letters = []string{"<blank>", "|", "a", "b", "c", "ab"}
	pieces  = []string{"<blank>", "▁a", "b", "▁", "c", "▁ab"}
)

// scoreOf goes through labels and returns what a scorer adds, in the end and label by label.
func scoreOf(s decode.Scorer, labels ...int) (total decode.Score, steps []float64) {
	state := s.Start()
	for _, l := range labels {
		var score decode.Score
		state, score = s.Next(state, l)
		total.LM, total.Bonus = total.LM+score.LM, total.Bonus+score.Bonus
		steps = append(steps, score.LM+score.Bonus)
	}
	end := s.End(state)
	return decode.Score{LM: total.LM + end.LM, Bonus: total.Bonus + end.Bonus}, steps
}

func TestWords(t *testing.T) {
	m, err := Read(strings.NewReader(tiny))
	require.NoError(t, err)
	w := NewWords(m, letters, Weights{LM: 0.5, Word: 2, Unknown: -7})
	half := func(words ...string) float64 { return m.LogProb(words) / 2 }
	for _, c := range []struct {
		labels []int
		words  []string
		bonus  float64
	}{
		{nil, nil, 0},
		{[]int{1, 1}, nil, 0},
		{[]int{2}, []string{"a"}, 2},
		{[]int{1, 2, 1, 1, 3, 1}, []string{"a", "b"}, 4},
		{[]int{2, 1, 2, 3}, []string{"a", "ab"}, 4 - 7},
		{[]int{5, 1, 4, 4}, []string{"ab", "cc"}, 4 - 14},
	} {
		got, _ := scoreOf(w, c.labels...)
		assert.InDelta(t, half(c.words...), got.LM, 1e-12, "%v", c.labels)
		assert.InDelta(t, c.bonus, got.Bonus, 1e-12, "%v", c.labels)
	}
	_, steps := scoreOf(w, 2, 1, 3)
	assert.Zero(t, steps[0]) // before a word is complete nothing is known
	assert.InDelta(t, -0.4*math.Ln10/2+2, steps[1], 1e-6)

	p := NewWords(m, pieces, Weights{LM: 0.5})
	got, _ := scoreOf(p, 1, 3, 2, 1) // ▁a ▁ b ▁a
	assert.InDelta(t, half("a", "b", "a"), got.LM, 1e-12)
	got, _ = scoreOf(p, 1, 2)
	assert.InDelta(t, half("ab"), got.LM, 1e-12)
}

func TestTokens(t *testing.T) {
	m, err := Read(strings.NewReader(tiny))
	require.NoError(t, err)
	got, steps := scoreOf(NewTokens(m, letters, Weights{LM: 1, Word: 1, Unknown: 3}), 2, 3, 4)
	assert.InDelta(t, m.LogProb([]string{"a", "b", "c"}), got.LM, 1e-12)
	assert.InDelta(t, 3+3, got.Bonus, 1e-12)
	assert.InDelta(t, -0.4*math.Ln10+1, steps[0], 1e-6)
}

// A class without a token adds no text.
func TestClassWithoutToken(t *testing.T) {
	m, err := Read(strings.NewReader(tiny))
	require.NoError(t, err)
	for _, s := range []decode.Scorer{
		NewWords(m, letters, Weights{LM: 1}), NewLexicon([]string{"ab"}, letters, 5), NewHotwords([]Hotword{{"ab", 5}}, letters),
	} {
		want, _ := scoreOf(s, 2, 3)
		got, _ := scoreOf(s, 2, 77, 3)
		assert.Equal(t, want, got)
	}
	got, _ := scoreOf(NewTokens(m, letters, Weights{Unknown: 1}), 77)
	assert.Equal(t, 1.0, got.Bonus)
}

func TestLexicon(t *testing.T) {
	soft := NewLexicon([]string{"ab", "a", "", "abc", "a"}, letters, 5)
	hard := NewLexicon([]string{"ab", "a", "", "abc", "a"}, letters, math.Inf(1))
	for _, c := range []struct {
		labels []int
		wrong  float64 // words
	}{
		{nil, 0}, {[]int{1, 1}, 0}, {[]int{2}, 0}, {[]int{2, 3, 1, 5, 4, 1}, 0},
		{[]int{3}, 1}, {[]int{2, 3, 2, 2, 2, 1, 3, 3}, 2}, {[]int{2, 4, 1, 2}, 1},
	} {
		got, _ := scoreOf(soft, c.labels...)
		assert.Equal(t, -5*c.wrong, got.Bonus, "%v", c.labels)
		got, _ = scoreOf(hard, c.labels...)
		assert.Equal(t, c.wrong > 0, math.IsInf(got.Bonus, -1), "%v", c.labels)
	}
	_, steps := scoreOf(soft, 2, 4, 4, 1) // the penalty comes with the first letter that no word has
	assert.Equal(t, []float64{0, -5, 0, 0}, steps)
	unfinished := NewLexicon([]string{"abc"}, letters, 5)
	_, steps = scoreOf(unfinished, 2, 3, 1) // or with the end of the word
	assert.Equal(t, []float64{0, 0, -5}, steps)
}

func TestHotwords(t *testing.T) {
	h := NewHotwords([]Hotword{{"abc", 6}, {"ab", 3}, {"ab  c", 10}, {"cc", -4}, {" ", 9}}, letters)
	for _, c := range []struct {
		labels []int
		want   float64
	}{
		{nil, 0},
		{[]int{2, 3, 4}, 6},
		{[]int{5, 4, 1}, 6},
		{[]int{5}, 3},
		{[]int{5, 1, 4}, 3 + 10},
		{[]int{5, 1, 4, 4}, 3 - 4},
		{[]int{2, 3, 4, 4}, 0},    // abcc
		{[]int{4, 2, 3, 4}, 0},    // cabc
		{[]int{2, 3, 1, 5, 1}, 6}, // twice
		{[]int{4, 4, 1, 4, 4, 1, 2}, -8},
	} {
		got, _ := scoreOf(h, c.labels...)
		assert.InDelta(t, c.want, got.Bonus, 1e-12, "%v", c.labels)
	}
	_, steps := scoreOf(NewHotwords([]Hotword{{"abc", 6}}, letters), 2, 3, 3, 1)
	assert.InDeltaSlice(t, []float64{2, 2, -4, 0}, steps, 1e-12) // given, and taken back

	anywhere := NewHotwords([]Hotword{{"aba", 3}, {"bab", 5}}, []string{"", "a", "b"})
	got, _ := scoreOf(anywhere, 1, 2, 1, 2, 1) // ababa
	assert.InDelta(t, 3+5+3, got.Bonus, 1e-12)
}

// However a text goes on, what is given for beginnings is taken back.
func TestHotwordsAddUp(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	tokens := []string{"|", "a", "b", "ab", "ba"}
	for range 300 {
		var words []Hotword
		for range r.IntN(8) {
			text := ""
			for range 1 + r.IntN(4) {
				text += string("ab"[r.IntN(2)])
			}
			words = append(words, Hotword{text, 4*r.Float64() - 1})
		}
		separated := r.IntN(2) == 0
		if !separated {
			tokens[0] = ""
		} else {
			tokens[0] = "|"
		}
		var labels []int
		text := ""
		for range r.IntN(20) {
			l := r.IntN(len(tokens))
			labels = append(labels, l)
			text += tokens[l]
		}
		want := 0.0
		for _, w := range words {
			if separated {
				for _, field := range strings.Split(text, "|") {
					if field == w.Text {
						want += w.Weight
					}
				}
				continue
			}
			for i := range text {
				if strings.HasPrefix(text[i:], w.Text) {
					want += w.Weight
				}
			}
		}
		got, _ := scoreOf(NewHotwords(words, tokens), labels...)
		require.InDelta(t, want, got.Bonus, 1e-9, "%q %v", text, words)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(tiny))
	f.Add([]byte(strings.ReplaceAll(tiny, "\t", " ")))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		for _, words := range [][]string{nil, {"a", "b", "c"}, {"<s>", "</s>", "a", "a", "b"}} {
			if p := m.LogProb(words); p != p || p > 1e9 {
				t.Fatalf("%v: %v", words, p)
			}
		}
		NewWords(m, letters, Weights{LM: 1}).Start()
	})
}
