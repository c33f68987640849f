package command

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// batch is where the emissions of four lines are, two of which greedy reads wrong.
const batch = "../../../bench/emissions/batch/"

// readLine and readBatch decode these.
func readLine(more ...string) []string {
	return append([]string{"decode", line + "emissions.npy", "-logits", "-tokens", line + "tokens.txt"}, more...)
}

func readBatch(more ...string) []string {
	return append([]string{"decode", batch + "emissions.npy", "-logits", "-batch_first", "-input_lengths", "152,148,110,148", "-tokens", batch + "tokens.txt"}, more...)
}

// TestDecodeFormats compares with files that were looked at.
func TestDecodeFormats(t *testing.T) {
	for name, args := range map[string][]string{
		"text.txt":            readLine(),
		"beam.txt":            readLine("-beam", "10"),
		"nbest.txt":           readLine("-beam", "10", "-nbest", "3"),
		"hotwords.txt":        readLine("-beam", "10", "-nbest", "2", "-hotwords", "two letters, equal :2"),
		"frames.txt":          readLine("-format", "table"),
		"seconds.txt":         readLine("-format", "table", "-frame", "20ms", "-beam", "10"),
		"labels.txt":          readLine("-format", "table", "-labels"),
		"text.json":           readLine("-json"),
		"nbest.json":          readLine("-json", "-beam", "10", "-nbest", "2", "-frame", "20ms", "-reference", "Banks keep two letters"),
		"words.ctm":           readLine("-format", "ctm", "-frame", "20ms", "-beam", "10"),
		"words.TextGrid":      readLine("-format", "textgrid", "-frame", "20ms"),
		"slow.srt":            readLine("-format", "srt", "-frame", "100ms", "-grow", "next"),
		"words.vtt":           readLine("-format", "vtt", "-frame", "20ms"),
		"labels.audacity.txt": readLine("-format", "audacity", "-frame", "20ms", "-labels"),
		"batch.txt":           readBatch("-reference", batch+"transcript.txt"),
		"batch-nbest.txt":     readBatch("-beam", "20", "-nbest", "2"),
		"batch.json":          readBatch("-json", "-reference", batch+"transcript.txt"),
	} {
		t.Run(name, func(t *testing.T) {
			r := run(args...)
			require.Equal(t, result{stdout: r.stdout}, r)
			assertGolden(t, filepath.Join("testdata", "decode", name), r.stdout)
		})
	}
}

// decoded is the JSON of decode.
type decoded struct {
	Sequences []struct {
		File, Text string
		Hypotheses []decodedHypothesis
		Errors     *decodedErrors
	}
	Errors *decodedErrors
}

type decodedHypothesis struct {
	Text    string
	Labels  []int
	LogProb any `json:"log_prob"`
	LM      float64
	Bonus   float64
	Score   any
	Words   []struct {
		Word       string
		Start, End int
		StartS     *float64 `json:"start_s"`
		EndS       *float64 `json:"end_s"`
		Confidence any
	}
}

type decodedErrors struct {
	Reference       string
	Characters      int
	CharacterErrors int `json:"character_errors"`
	CER             any
	Words           int
	WordErrors      int `json:"word_errors"`
	WER             any
}

// runDecode runs decode and reads its JSON.
func runDecode(t *testing.T, args ...string) decoded {
	t.Helper()
	r := run(append(args, "-json")...)
	require.Equal(t, exitOK, r.code, r.stderr)
	var out decoded
	d := json.NewDecoder(strings.NewReader(r.stdout))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&out))
	_, err := d.Token()
	require.ErrorIs(t, err, io.EOF)
	return out
}

// letters are the tokens of small cases.
func letters(t *testing.T) string {
	return write(t, "tokens.txt", []byte("<blank>\na\nb\n|\n"))
}

// writeLetters writes frames whose classes, one letter each, have the probability 0.97 and all others
// 0.01. "_" is the blank.
func writeLetters(t *testing.T, text string) string {
	t.Helper()
	var p []float64
	for _, r := range text {
		row := []float64{.01, .01, .01, .01}
		row[strings.IndexRune("_ab|", r)] = .97
		p = append(p, row...)
	}
	return writeProbabilities(t, p, len(text), 4)
}

// TestDecodeSmall has all numbers by hand.
func TestDecodeSmall(t *testing.T) {
	tokens := letters(t)
	x := writeProbabilities(t, []float64{
		.5, .3, .1, .1,
		.5, .3, .1, .1,
	}, 2, 4)
	got := runDecode(t, "decode", x, "-tokens", tokens).Sequences[0].Hypotheses
	require.Len(t, got, 1)
	assert.Empty(t, got[0].Text)
	assert.NotNil(t, got[0].Labels)
	assert.NotNil(t, got[0].Words)
	assert.InEpsilon(t, 2*math.Log(.5), got[0].LogProb, 1e-12)
	assert.Equal(t, got[0].LogProb, got[0].Score)

	// Of all paths a has aa, a- and -a.
	got = runDecode(t, "decode", x, "-tokens", tokens, "-beam", "20", "-nbest", "3").Sequences[0].Hypotheses
	require.Len(t, got, 3)
	assert.Equal(t, "a", got[0].Text)
	assert.Equal(t, []int{1}, got[0].Labels)
	assert.InEpsilon(t, math.Log(.3*.3+2*.3*.5), got[0].LogProb, 1e-12)
	assert.InEpsilon(t, math.Log(.25), got[1].LogProb, 1e-12)
	assert.Empty(t, got[1].Text)
	assert.Equal(t, "b", got[2].Text, "of equal ones the first")
	assert.InEpsilon(t, math.Log(.1*.1+2*.1*.5), got[2].LogProb, 1e-12)

	// Below the threshold there is nothing but the blank.
	got = runDecode(t, "decode", x, "-tokens", tokens, "-beam", "20", "-nbest", "3", "-threshold", "0.4").Sequences[0].Hypotheses
	require.Len(t, got, 1)
	assert.Empty(t, got[0].Text)

	// Of the classes beside the blank a is the most probable one.
	got = runDecode(t, "decode", x, "-tokens", tokens, "-beam", "20", "-nbest", "3", "-top_k", "1").Sequences[0].Hypotheses
	require.Len(t, got, 2)
	assert.Equal(t, "a", got[0].Text)
	assert.Empty(t, got[1].Text)

	// Probabilities and float32 are the same, and a blank elsewhere.
	x = writeFloat64s(t, []float64{.3, .1, .1, .5, .3, .1, .1, .5}, 2, 4)
	other := write(t, "tokens.txt", []byte("a\nb\n|\n<blank>\n"))
	got = runDecode(t, "decode", x, "-tokens", other, "-beam", "20", "-scores", "probs", "-dtype", "float32").Sequences[0].Hypotheses
	assert.Equal(t, "a", got[0].Text)
	assert.InEpsilon(t, math.Log(.39), got[0].LogProb, 1e-6)
	other = write(t, "tokens.txt", []byte("a\nb\n|\nc\n"))
	assert.Equal(t, "\n", run("decode", x, "-tokens", other, "-blank", "3", "-scores", "probs").stdout)
	assert.Equal(t, "c\n", run("decode", x, "-tokens", other, "-scores", "probs").stdout)
}

// TestDecodeIsAligned compares the times of a beam with those of align for the same text.
func TestDecodeIsAligned(t *testing.T) {
	got := runDecode(t, readLine("-beam", "10", "-threshold", "0")...).Sequences[0].Hypotheses[0]
	want := runAlign(t, lineArgs()[1:]...).Sequences[0]
	require.Len(t, got.Words, len(want.Words))
	for i, w := range want.Words {
		assert.Equal(t, w.Word, got.Words[i].Word)
		assert.Equal(t, [2]int{w.Start, w.End}, [2]int{got.Words[i].Start, got.Words[i].End})
		assert.InDelta(t, w.Confidence, got.Words[i].Confidence, 1e-9)
		assert.Nil(t, got.Words[i].StartS)
	}
	// The most probable path of the text is that of greedy, and so is its picture.
	pictures := map[string]string{}
	for name, args := range map[string][]string{"align": lineArgs(), "decode": readLine()} {
		file := filepath.Join(t.TempDir(), "picture.svg")
		require.Equal(t, exitOK, run(append(args, "-svg", file)...).code)
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		pictures[name] = string(raw)
	}
	marks := func(picture string) (n int) { return strings.Count(picture, "<rect") + strings.Count(picture, "<text") }
	assert.Equal(t, marks(pictures["align"]), marks(pictures["decode"]))
	assert.Contains(t, pictures["decode"], "emissions.npy: score -5.734694")
	assert.Contains(t, pictures["decode"], "<title>keep: frames 36 to 51, score -0.006136, confidence 0.99")
}

// TestDecodeBatch compares sequences of a batch with each of them alone, and groups of one.
func TestDecodeBatch(t *testing.T) {
	for name, more := range map[string][]string{"greedy": {"-json"}, "beam": {"-json", "-beam", "10", "-nbest", "3"}} {
		t.Run(name, func(t *testing.T) {
			want := run(readBatch(more...)...)
			require.Equal(t, result{stdout: want.stdout}, want)
			assert.Equal(t, want, runTool(t.Context(), 1, readBatch(more...)...))
			for _, workers := range []string{"1", "3"} {
				assert.Equal(t, want, run(readBatch(append(more, "-workers", workers)...)...))
			}
		})
	}
	text, err := os.ReadFile(batch + "transcript.txt")
	require.NoError(t, err)
	lexicon := write(t, "lexicon.txt", []byte(strings.Join(strings.Fields(string(text)), "\n")))
	r := run(readBatch("-beam", "100", "-lexicon", lexicon)...)
	assert.Equal(t, result{stdout: "Roses climb the old trellis.\nWill the bells still toll?\nYes - we've seen it, Max!\nQuick, feed the zebra!\n"}, r)
}

// TestDecodeFiles reads several files at once.
func TestDecodeFiles(t *testing.T) {
	tokens := letters(t)
	one, two := writeLetters(t, "a_a|b"), writeProbabilities(t, slices.Concat(
		[]float64{.1, .7, .1, .1, .1, .1, .7, .1}, // a, b
		[]float64{.1, .7, .1, .1, .7, .1, .1, .1}, // a, -
	), 2, 2, 4)
	args := []string{"decode", one, "-tokens", tokens, two}
	assert.Equal(t, result{stdout: "aa b\na\nb\n"}, run(args...))
	r := run(append(args, "-reference", "aa b\nab\nb")...)
	assert.Equal(t, result{}, result{r.code, "", r.stderr})
	rows := strings.Split(r.stdout, "\n")
	require.Len(t, rows, 10)
	assert.Regexp(t, `^  sequence +characters  errors +CER  words  errors +WER$`, rows[4])
	assert.Regexp(t, `^  \S*x.npy +4 +0  0.000000 +2 +0  0.000000$`, rows[5])
	assert.Regexp(t, `^  \S*x.npy, sequence 0 +2 +1  0.500000 +1 +1  1.000000$`, rows[6])
	assert.Regexp(t, `^  total +7 +1  0.142857 +4 +1  0.250000$`, rows[8])

	got := runDecode(t, append(args, "-reference", write(t, "reference.txt", []byte("aa b\nab\nb\n")))...)
	require.Len(t, got.Sequences, 3)
	assert.Equal(t, []string{one, two, two}, []string{got.Sequences[0].File, got.Sequences[1].File, got.Sequences[2].File})
	assert.Equal(t, &decodedErrors{"ab", 2, 1, .5, 1, 1, 1.0}, got.Sequences[1].Errors)
	assert.Equal(t, &decodedErrors{"", 7, 1, 1. / 7, 4, 1, .25}, got.Errors)

	r = run(append(args, "-format", "ctm", "-frame", "1s")...)
	assert.Equal(t, "x 1 0.000 3.000 aa 0.9700\nx 1 4.000 1.000 b 0.9700\nx-0 1 0.000 2.000 a 0.7000\nx-1 1 0.000 1.000 b 0.7000\n", r.stdout)
	assert.Empty(t, r.stderr)
	r = run("decode", one, one, "-tokens", tokens, "-format", "ctm", "-frame", "1s")
	assert.Equal(t, "trellis: warning: "+one+" and "+one+" are both called x, as -format ctm takes names of files\n", r.stderr)
	assert.Equal(t, exitData, run("decode", one, one, "-tokens", tokens, "-format", "ctm", "-frame", "1s", "-strict").code)
	assert.Equal(t, 2, strings.Count(run(append(args, "-format", "table")...).stdout, "log-probabilities, blank 0"))
	assert.Contains(t, run(append(args, "-beam", "5", "-nbest", "2")...).stdout, "\n\n"+two+", sequence 1\n\n  text ")

	// The tokens of all of them come through one pipe.
	raw, err := os.ReadFile(tokens)
	require.NoError(t, err)
	r = runWith(t, raw, "decode", one, two, "-tokens", "-")
	assert.Equal(t, result{stdout: "aa b\na\nb\n"}, r)
}

// TestErrorRates has the numbers of edits by hand.
func TestErrorRates(t *testing.T) {
	for _, c := range []struct {
		reference, text   string
		characters, words errorRate
	}{
		{"", "", errorRate{0, 0}, errorRate{0, 0}},
		{"kitten", "sitting", errorRate{6, 3}, errorRate{1, 1}},
		{"flaw", "lawn", errorRate{4, 2}, errorRate{1, 1}},
		{"the cat sat", "the sat", errorRate{11, 4}, errorRate{3, 1}},
		{"the cat sat", "the  cat\tsat ", errorRate{11, 0}, errorRate{3, 0}},
		{"the cat sat", "a the cat is sat", errorRate{11, 5}, errorRate{3, 2}},
		{"", "one two", errorRate{0, 7}, errorRate{0, 2}},
		{"one two", "", errorRate{7, 7}, errorRate{2, 2}},
		{"größe 語", "grösse 語", errorRate{7, 2}, errorRate{2, 1}},
		{"abc", "xyz", errorRate{3, 3}, errorRate{1, 1}},
	} {
		assert.Equal(t, errorRates{c.characters, c.words}, compare(c.reference, c.text), "%q and %q", c.reference, c.text)
	}
	assert.Equal(t, "0.333333", errorRate{6, 2}.rate().String())
	assert.Equal(t, "0.000000", errorRate{0, 0}.rate().String())
	assert.Equal(t, "inf", errorRate{0, 7}.rate().String())
}

// TestDistance compares with the table of all distances.
func TestDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() []byte {
		b := make([]byte, r.IntN(9))
		for i := range b {
			b[i] = "abc"[r.IntN(3)]
		}
		return b
	}
	for range 3000 {
		a, b := random(), random()
		row := make([]int, len(b)+1)
		for j := range row {
			row[j] = j
		}
		for i := range a {
			diagonal := row[0]
			row[0] = i + 1
			for j := range b {
				cost := 1
				if a[i] == b[j] {
					cost = 0
				}
				diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
			}
		}
		require.Equal(t, row[len(b)], distance(a, b), "%q and %q", a, b)
	}
}

// model is an ARPA file. Its words are in capitals, as the text is in none.
const model = `\data\
ngram 1=6
ngram 2=2

\1-grams:
-1.0	<unk>
-99	<s>	-0.3
-0.8	</s>
-0.6	A	-0.4
-0.7	B	-0.2
-0.9	|

\2-grams:
-0.2	<s> A
-0.1	A B

\end\
`

func TestDecodeModel(t *testing.T) {
	tokens, file := letters(t), write(t, "model.arpa", []byte(model))
	x := writeLetters(t, "a|b")
	args := []string{"decode", x, "-tokens", tokens, "-beam", "50", "-lm", file}
	const ln10 = math.Ln10
	// ln P(A B) = −0.2 −0.1, and </s> after B with the back-off −0.2 −0.8.
	got := runDecode(t, append(args, "-case", "upper", "-alpha", "0.25", "-beta", "3")...).Sequences[0].Hypotheses[0]
	assert.Equal(t, "a b", got.Text)
	assert.InEpsilon(t, -0.25*1.3*ln10, got.LM, 1e-6)
	assert.Equal(t, 6.0, got.Bonus)
	assert.InDelta(t, got.LogProb.(float64)+got.LM+got.Bonus, got.Score, 1e-12)

	// By default α is 0.5 and β 1.5.
	got = runDecode(t, append(args, "-case", "upper")...).Sequences[0].Hypotheses[0]
	assert.InEpsilon(t, -0.5*1.3*ln10, got.LM, 1e-6)
	assert.Equal(t, 3.0, got.Bonus)

	// Without the case all words are unknown: twice <unk>, the first behind <s> with its back-off.
	r := run(append(args, "-json", "-alpha", "1", "-beta", "0", "-unk_score", "-0.125", "-lexicon", write(t, "lexicon.txt", []byte("a x\nb\n")))...)
	assert.Equal(t, "trellis: warning: -lm "+file+" has none of the 2 words that were read; with -case upper it has 2\n", r.stderr)
	var all decoded
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &all))
	got = all.Sequences[0].Hypotheses[0]
	assert.Equal(t, "a b", got.Text)
	assert.InEpsilon(t, -(0.3+1+1+0.8)*ln10, got.LM, 1e-6)
	assert.Equal(t, -0.25, got.Bonus)

	// Of tokens: A | B.
	got = runDecode(t, append(args, "-case", "upper", "-lm_units", "tokens", "-alpha", "1", "-beta", "2")...).Sequences[0].Hypotheses[0]
	assert.Equal(t, "a b", got.Text)
	assert.InEpsilon(t, -(0.2+0.4+0.9+0.7+0.2+0.8)*ln10, got.LM, 1e-6)
	assert.Equal(t, 6.0, got.Bonus)
	assert.Empty(t, run(append(args, "-case", "upper", "-lm_units", "tokens")...).stderr)
	only := write(t, "model.arpa", []byte(strings.ReplaceAll(model, "|", "x")))
	r = run("decode", x, "-tokens", tokens, "-beam", "5", "-lm", only, "-lm_units", "tokens")
	assert.Equal(t, "trellis: warning: "+only+": none of the tokens of "+tokens+" is in it\n", r.stderr)

	// Without spaces a text is a word.
	tokens = write(t, "tokens.txt", []byte("<blank>\na\nb\nc\n"))
	r = run("decode", writeLetters(t, "a_b"), "-tokens", tokens, "-beam", "5", "-lm", file)
	assert.Equal(t, result{stdout: "ab\n", stderr: "trellis: warning: -lm " + file + " has none of the 1 words that were read; is it one of tokens, as -lm_units says?\n"}, r)
}

func TestDecodeLexicon(t *testing.T) {
	tokens, x := letters(t), writeLetters(t, "ab_|b")
	args := []string{"decode", x, "-tokens", tokens, "-beam", "50"}
	assert.Equal(t, result{stdout: "ab b\n"}, run(args...))
	assert.Equal(t, result{stdout: "b b\n"}, run(append(args, "-lexicon", write(t, "lexicon.txt", []byte("bb a b\n\nb\n")))...))
	// In capitals, with the case that all have.
	assert.Equal(t, result{stdout: "b b\n"}, run(append(args, "-case", "lower", "-lexicon", write(t, "lexicon.txt", []byte("BB\nB\n")))...))
	// A penalty that is worth it: b in place of a costs 4.6 nats.
	lexicon := write(t, "lexicon.txt", []byte("b\nbb\n"))
	got := runDecode(t, append(args, "-lexicon", lexicon, "-lexicon_penalty", "0.5")...).Sequences[0].Hypotheses[0]
	assert.Equal(t, "ab b", got.Text)
	assert.Equal(t, -0.5, got.Bonus)

	// No word fits one frame.
	lexicon = write(t, "lexicon.txt", []byte("aaaaaaaaa\n"))
	bad := writeProbabilities(t, []float64{0, 1, 0, 0}, 1, 4)
	r := run("decode", bad, "-tokens", tokens, "-beam", "50", "-lexicon", lexicon)
	warning := "trellis: warning: " + bad + ": sequence 0: no text is possible with words of the lexicon alone; -lexicon_penalty allows others\n"
	assert.Equal(t, result{stdout: "\n", stderr: warning}, r)
	r = run("decode", bad, "-tokens", tokens, "-beam", "50", "-lexicon", lexicon, "-strict")
	assert.Equal(t, result{code: exitData, stderr: strings.Replace(warning, "warning: ", "", 1)}, r)
	hypothesis := runDecode(t, "decode", bad, "-tokens", tokens, "-beam", "50", "-lexicon", lexicon).Sequences[0].Hypotheses[0]
	assert.Equal(t, "-inf", hypothesis.Score)

	lexicon = write(t, "lexicon.txt", []byte("b\n\nBB\nc\nd\ne\nf\n"))
	r = run(append(args, "-lexicon", lexicon)...)
	assert.Equal(t, "trellis: warning: "+lexicon+": line 3: no token of "+tokens+" for 'B'; with -case lower there is one\n"+
		"trellis: warning: "+lexicon+": line 4: no token of "+tokens+" for 'c'\n"+
		"trellis: warning: "+lexicon+": line 5: no token of "+tokens+" for 'd'\n"+
		"trellis: warning: "+lexicon+": so it is with 2 more lines\n", r.stderr)
}

func TestDecodeHotwords(t *testing.T) {
	tokens, x := letters(t), writeLetters(t, "a|b_")
	args := []string{"decode", x, "-tokens", tokens, "-beam", "50"}
	bonus := func(more ...string) float64 {
		h := runDecode(t, append(args, more...)...).Sequences[0].Hypotheses[0]
		assert.Equal(t, "a b", h.Text)
		return h.Bonus
	}
	assert.Equal(t, 1.5, bonus("-hotwords", "b, aa", "-hotword_weight", "1.5"))
	assert.Equal(t, 0.75, bonus("-hotwords", "b :0.5,a  b :0.25", "-hotword_weight", "1.5"))
	file := write(t, "hotwords.txt", []byte("B :2\r\n\n a\tb \n"))
	assert.Equal(t, 3.0, bonus("-hotwords", file, "-case", "lower", "-hotword_weight", "1"))
	assert.Equal(t, -1.0, bonus("-hotwords", "b :-1"))

	r := run(append(args, "-hotwords", "ab,xb")...)
	assert.Equal(t, "trellis: warning: -hotwords: hotword 1: no token of "+tokens+" for 'x'\n", r.stderr)
	r = run(append(args, "-hotwords", "a :b :2")...)
	assert.Equal(t, "trellis: warning: -hotwords: hotword 0: no token of "+tokens+" for ':'\n", r.stderr, "the weight is behind the last one")
	r = run(append(args, "-hotwords", "missing.txt")...)
	assert.Contains(t, r.stderr, `trellis: warning: -hotwords "missing.txt": there is no such file; it is taken for the text itself`)
}

// TestDecodeCase compares error rates in another case and form of Unicode.
func TestDecodeCase(t *testing.T) {
	tokens := write(t, "tokens.txt", []byte("<blank>\nA\nÉ\n|\n"))
	x := writeLetters(t, "a|b")
	got := runDecode(t, "decode", x, "-tokens", tokens, "-reference", "a e\u0301").Errors
	assert.Equal(t, 2, got.CharacterErrors)
	for _, letters := range []string{"upper", "lower"} {
		got = runDecode(t, "decode", x, "-tokens", tokens, "-reference", "a e\u0301", "-case", letters).Errors
		assert.Equal(t, 0, got.CharacterErrors)
		assert.Equal(t, 3, got.Characters)
	}
	// Of tokens that are the same in the case, words can have either.
	tokens = write(t, "tokens.txt", []byte("<blank>\na\nA\n|\n"))
	r := run("decode", writeLetters(t, "b|a"), "-tokens", tokens, "-beam", "9", "-case", "lower", "-lexicon", write(t, "lexicon.txt", []byte("a\n")))
	assert.Equal(t, result{stdout: "A a\n"}, r)
	// A line is one, whatever the tokens are.
	tokens = write(t, "vocab.json", []byte(`{"<blank>": 0, "a": 1, "\n": 2, "|": 3}`))
	assert.Equal(t, result{stdout: "a a\n"}, run("decode", writeLetters(t, "aba"), "-tokens", tokens))
	// A space stays one.
	tokens = write(t, "tokens.txt", []byte("<blank>\na\nb\n<space>\n"))
	got = runDecode(t, "decode", x, "-tokens", tokens, "-reference", "A B", "-case", "upper", "-beam", "9",
		"-lexicon", write(t, "lexicon.txt", []byte("A\nB\n"))).Errors
	assert.Equal(t, &decodedErrors{"", 3, 0, 0.0, 2, 0, 0.0}, got)
}

// TestDecodeSpeech reads a recording; a table of distances, made elsewhere, has the same numbers of
// errors.
func TestDecodeSpeech(t *testing.T) {
	folder := testdata(t, "emissions/ctclib_libri")
	raw, err := os.ReadFile(filepath.Join(folder, "index.json"))
	require.NoError(t, err)
	var index struct {
		Tokens     []string `json:"labels"`
		Transcript string
		Peer       struct{ Greedy string } `json:"peer_expected"`
	}
	require.NoError(t, json.Unmarshal(raw, &index))
	tokens := write(t, "tokens.txt", []byte(strings.Join(index.Tokens, "\n")))
	text := strings.ToLower(strings.ReplaceAll(index.Transcript, "|", " "))
	got := runDecode(t, "decode", filepath.Join(folder, "emissions.npy"), "-logits", "-tokens", tokens, "-reference", text, "-case", "upper")
	assert.Equal(t, strings.ReplaceAll(index.Peer.Greedy, "|", " "), got.Sequences[0].Text)
	assert.Equal(t, &decodedErrors{"", 89, 14, 14. / 89, 17, 12, 12. / 17}, got.Errors)
}

// TestDecodePrint reads lines of print, whose emissions are probabilities of 6625 classes. The margin
// reads as a space.
func TestDecodePrint(t *testing.T) {
	folder := testdata(t, "ocr")
	var args []string
	for _, name := range []string{"line_0", "line_1", "line_2"} {
		args = append(args, filepath.Join(folder, name, "emissions.npy"))
	}
	args = append(args, "-scores", "probs", "-tokens", filepath.Join(folder, "line_0", "classes.txt"), "-beam", "10")
	assert.Equal(t, result{stdout: " The quick brown fox jumps over 13 lazy dogs.\n Connectionist temporal classification \n Invoice No. 2024-00817,total 1,249.50 EUR \n"},
		run(append([]string{"decode"}, args...)...))
}

// TestDecodeWarns has what align warns of, too.
func TestDecodeWarns(t *testing.T) {
	tokens := letters(t)
	logits := writeFloat64s(t, sines()[:12], 3, 4)
	nan := writeFloat64s(t, []float64{math.NaN(), 0, 0, 0}, 1, 4)
	for want, args := range map[string][]string{
		logits + ": the probabilities of 3 of 3 frames do not add up to 1":           {logits},
		nan + ": sequence 0, frame 0, class 0 is NaN":                                {nan, "-logits"},
		nan + ": sequence 0, frame 0, class 0 is NaN ":                               {nan, "-logits", "-beam", "3"},
		`-reference "a.txt": there is no such file; it is taken for the text itself`: {logits, "-logits", "-reference", "a.txt"},
	} {
		t.Run(want, func(t *testing.T) {
			want := strings.TrimSpace(want)
			r := run(append([]string{"decode", "-tokens", tokens}, args...)...)
			assert.Equal(t, exitOK, r.code)
			assert.Contains(t, r.stderr, "trellis: warning: "+want)
			r = run(append([]string{"decode", "-tokens", tokens, "-strict"}, args...)...)
			assert.Equal(t, exitData, r.code)
			assert.Empty(t, r.stdout)
			assert.Contains(t, r.stderr, "trellis: "+want)
		})
	}
	got := runDecode(t, "decode", nan, "-logits", "-tokens", tokens).Sequences[0].Hypotheses[0]
	assert.Equal(t, "nan", got.Score)
}

func TestDecodeUsage(t *testing.T) {
	x, tokens := writeLetters(t, "ab"), letters(t)
	with := func(more ...string) []string { return append([]string{x, "-tokens", tokens}, more...) }
	for want, args := range map[string][]string{
		"decode takes files, got none":                                                      {"-tokens", tokens},
		"decode: want -tokens":                                                              {x},
		`-format "xml": want text, table, json`:                                             with("-format", "xml"),
		"decode: -format srt wants -frame":                                                  with("-format", "srt"),
		"decode: -json contradicts -format text":                                            with("-json", "-format", "text"),
		`-grow "x": want none, middle or next`:                                              with("-grow", "x"),
		"-svg: want the name of a file":                                                     with("-svg", ""),
		"-svg a.pdf: want a name that ends in .svg":                                         with("-svg", "a.pdf"),
		"decode: -nbest goes with -beam":                                                    with("-nbest", "3"),
		"decode: -threshold goes with -beam":                                                with("-threshold", "0.1"),
		"decode: -top_k goes with -beam":                                                    with("-top_k", "3"),
		"decode: -lm goes with -beam":                                                       with("-lm", "a.arpa"),
		"decode: -lexicon goes with -beam":                                                  with("-lexicon", "a.txt"),
		"decode: -hotwords goes with -beam":                                                 with("-hotwords", "a", "-beam", "0"),
		"decode: -alpha goes with -lm":                                                      with("-beam", "3", "-alpha", "1"),
		"decode: -lm_units goes with -lm":                                                   with("-beam", "3", "-lm_units", "words"),
		"decode: -lexicon_penalty goes with -lexicon":                                       with("-beam", "3", "-lexicon_penalty", "1"),
		"decode: -hotword_weight goes with -hotwords":                                       with("-beam", "3", "-hotword_weight", "1"),
		"-alpha NaN: want a number":                                                         with("-beam", "3", "-lm", "a", "-alpha", "nan"),
		"-hotword_weight +Inf: want a number":                                               with("-beam", "3", "-hotwords", "a", "-hotword_weight", "inf"),
		"-lexicon_penalty -1: want 0 or more, or inf":                                       with("-beam", "3", "-lexicon", "a", "-lexicon_penalty", "-1"),
		`-lm_units "x": want words or tokens`:                                               with("-beam", "3", "-lm", "a", "-lm_units", "x"),
		`-case "x": want as_is, upper or lower`:                                             with("-case", "x"),
		"-nbest 0: want 1 or more":                                                          with("-beam", "3", "-nbest", "0"),
		"-beam 1048577: want 1048576 or less":                                               with("-beam", "1048577"),
		"decode: -nbest 4 is more than -beam 3 keeps":                                       with("-beam", "3", "-nbest", "4"),
		"-beam: -1: negative":                                                               with("-beam", "-1"),
		"-threshold: 1: outside [0,1)":                                                      with("-beam", "3", "-threshold", "1"),
		"-top_k: -1: negative":                                                              with("-beam", "3", "-top_k", "-1"),
		"-blank: class 4 outside [0,4)":                                                     {x, "-tokens", write(t, "t.txt", []byte("_\na\nb\nc\n")), "-blank", "4"},
		"-workers: -1: negative":                                                            with("-workers", "-1"),
		"decode: -nbest goes with -format text or json":                                     with("-beam", "3", "-nbest", "2", "-format", "table"),
		"decode: -reference goes with -format text or json":                                 with("-reference", "a", "-format", "table"),
		"decode: -labels does not go with -format json":                                     with("-labels", "-json"),
		"decode: -frame goes with a -format that has times":                                 with("-frame", "20ms"),
		"decode: -input_lengths goes with one file":                                         with(x, "-input_lengths", "1"),
		"decode: -svg and -html go with one file":                                           with(x, "-svg", "a.svg"),
		"decode: -format vtt is of one recording; json and ctm have many":                   with(x, "-format", "vtt", "-frame", "1s"),
		"only one of the files can be -, the standard input":                                {"-", "-tokens", "-"},
		"decode: -logits contradicts -scores probs":                                         with("-logits", "-scores", "probs"),
		`invalid value "20" for flag -frame: want a time above 0 with its unit, as in 20ms`: with("-frame", "20"),
		"flag provided but not defined: -text":                                              with("-text", "a"),
	} {
		t.Run(want, func(t *testing.T) {
			r := run(append([]string{"decode"}, args...)...)
			assert.Equal(t, exitUsage, r.code)
			assert.Empty(t, r.stdout)
			assert.Contains(t, r.stderr, "trellis: "+want)
			assert.Contains(t, r.stderr, "\nRun \"trellis decode -h\" for how to use it.\n")
		})
	}
	for _, option := range []string{"-lm", "-lexicon", "-hotwords", "-reference"} {
		picture := write(t, "x.svg", []byte("old"))
		r := run(append([]string{"decode"}, with("-beam", "3", option, picture, "-svg", picture)...)...)
		assert.Equal(t, exitUsage, r.code)
		assert.Contains(t, r.stderr, "-svg "+picture+": is an input\n")
	}
}

func TestDecodeBadData(t *testing.T) {
	x, tokens := writeLetters(t, "ab"), letters(t)
	three := writeFloat64s(t, sines(), 5, 3, 4)
	with := func(more ...string) []string { return append([]string{x, "-tokens", tokens, "-beam", "3"}, more...) }
	file := func(name, text string) string { return write(t, name, []byte(text)) }
	for want, args := range map[string][]string{
		"open missing.npy: no such file":                   {"missing.npy", "-tokens", tokens},
		"open missing.arpa: no such file":                  with("-lm", "missing.arpa"),
		"open missing.txt: no such file":                   with("-lexicon", "missing.txt"),
		"tokens.txt: 3 tokens, " + x + " has 4 classes":    {x, "-tokens", file("tokens.txt", "<blank>\na\nb\n")},
		"tokens.txt: <blank> is class 0, -blank says 1":    with("-blank", "1"),
		"model.arpa: line 8: \"-0,5\" is no logarithm":     with("-lm", file("model.arpa", strings.Replace(model, "-0.8", "-0,5", 1))),
		"model.arpa: line 1: the file ends, want \\data\\": with("-lm", file("model.arpa", "")),
		"model.arpa: ":                             with("-lm", file("model.arpa", "\x1f\x8bxxxxxxxxxx")),
		"lexicon.txt: no words":                    with("-lexicon", file("lexicon.txt", "\n \n")),
		"-hotwords: no words":                      with("-hotwords", " , "),
		`-hotwords: hotword 1: "x" is no weight`:   with("-hotwords", "a,b :x"),
		`hotwords.txt: line 2: "inf" is no weight`: with("-hotwords", file("hotwords.txt", "a\nb :inf\n")),
		"-reference: references of 2 sequences, " + x + " holds 1; each line of REFERENCE is a sequence": with("-reference", "a\nb"),
		"references of 2 sequences, " + three + " holds 3\n":                                             {three, "-logits", "-tokens", tokens, "-reference", "a\nb"},
		"references of 5 sequences, " + three + " holds 3; with -batch_first it is as many":              {three, "-logits", "-tokens", tokens, "-reference", "a\nb\na\nb\na"},
		"references of 1 sequences, the files up to " + x + " hold 2":                                    with(x, x, "-reference", "a"),
		"references of 2 sequences, the files up to " + x + " hold 3":                                    with(x, x, "-reference", "a\nb"),
		"references of 4 sequences, the files up to " + x + " hold 2":                                    with(x, "-reference", "a\nb\na\nb"),
		three + ": 3 sequences, but -format srt is of one recording; json and ctm have many":             {three, "-logits", "-tokens", tokens, "-format", "srt", "-frame", "1s"},
		"-input_lengths: sequence 0: 3 frames outside [0,2]":                                             with("-input_lengths", "3"),
		"open /missing/x.svg: no such file or directory":                                                 with("-svg", "/missing/x.svg"),
	} {
		t.Run(want, func(t *testing.T) {
			r := run(append([]string{"decode"}, args...)...)
			assert.Equal(t, exitData, r.code)
			assert.Empty(t, r.stdout)
			assert.Contains(t, r.stderr, want)
			assert.NotContains(t, r.stderr, "lm: ")
			assert.Equal(t, 1, strings.Count(r.stderr, "\n"), "one line")
		})
	}
}

// TestDecodeNothing has no frames, no sequences or no probability, in every format.
func TestDecodeNothing(t *testing.T) {
	tokens := letters(t)
	for _, x := range []string{
		writeFloat64s(t, nil, 0, 4), writeFloat64s(t, nil, 0, 1, 4), writeFloat64s(t, nil, 3, 0, 4),
		writeFloat64s(t, slices.Repeat([]float64{math.Inf(-1)}, 12), 3, 4),
	} {
		for _, format := range formatNames {
			for _, beam := range []string{"0", "3"} {
				picture := filepath.Join(t.TempDir(), "picture.svg")
				r := run("decode", x, "-logits", "-tokens", tokens, "-frame", "1s", "-format", format, "-beam", beam, "-svg", picture)
				if r.code == exitData { // no recording at all
					assert.Contains(t, r.stderr, ": 0 sequences, but -format "+format+" is of one")
					continue
				}
				assert.Equal(t, exitOK, r.code, r.stderr)
				raw, err := os.ReadFile(picture)
				require.NoError(t, err)
				assert.NoError(t, xml.Unmarshal(raw, new(struct{})))
				assert.NotContains(t, string(raw)+r.stdout, "NaN")
			}
		}
	}
	none := writeFloat64s(t, nil, 3, 0, 4)
	assert.Equal(t, result{stdout: `{"sequences":[]}` + "\n"}, run("decode", none, "-tokens", tokens, "-json"))
	assert.Equal(t, result{}, run("decode", none, "-tokens", tokens))
	r := run("decode", writeFloat64s(t, nil, 0, 4), "-tokens", tokens, "-reference", "")
	assert.Regexp(t, `^\n\n  sequence .*\n  0 +0 +0  0.000000 +0 +0  0.000000\n$`, r.stdout)
}

// Several files are read at a time; what is printed, and the warnings, are in their order, and the first
// error is that of the first file that has one.
func TestDecodeManyAtATime(t *testing.T) {
	tokens := write(t, "tokens.txt", []byte("_\na\nb\nc\n"))
	args := []string{"decode", "-tokens", tokens, "-json", "-logits"}
	for i := range 12 {
		args = append(args, writeFloat64s(t, sines()[:12+4*i], 3+i, 4))
	}
	for _, more := range [][]string{nil, {"-beam", "3"}, {"-scores", "probs"}} {
		args := append(slices.Clone(args), more...)
		if more != nil && more[0] == "-scores" {
			args = slices.DeleteFunc(args, func(arg string) bool { return arg == "-logits" })
		}
		want := run(append(args, "-workers", "1")...)
		assert.Equal(t, exitOK, want.code, want.stderr)
		assert.Equal(t, 12, strings.Count(want.stdout, `"file"`))
		for _, workers := range []string{"0", "3", "40"} {
			assert.Equal(t, want, run(append(args, "-workers", workers)...))
		}
		assert.Equal(t, want, runTool(context.Background(), 1, args...), "in little memory")
	}
	bad := append(slices.Clone(args), "missing1.npy", "missing2.npy", args[5])
	for range 20 {
		assert.Contains(t, run(bad...).stderr, "missing1.npy")
	}
	r := run(append(args, "-workers", "-1")...)
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.stderr, "-workers: -1")
}
