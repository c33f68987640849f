package conformance

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/decode"
	"github.com/gotrellis/trellis/internal/lmtest"
	"github.com/gotrellis/trellis/lm"
)

// beamRun is what a prefix beam search of width 100 made of a recording taken as logits, in float64
// and with every class of every frame.
type beamRun struct {
	Greedy greedyRun
	Runs   struct {
		Beam []struct {
			Tokens   []int
			LogProb  number `json:"log_prob_in_beam"`
			LogExact number `json:"log_prob_exact"`
		} `json:"reference_prefix_beam_w100_sum"`
	} `json:"peer_run"`
}

// greedyRun is what the best path says, and the frames in which its labels begin.
type greedyRun struct{ Tokens, Timesteps []int }

func checkGreedy[F trellis.Float](t *testing.T, g decode.Greedy[F], x trellis.Tensor[F], want greedyRun) {
	t.Helper()
	got, err := g.Decode(nil, x, nil)
	require.NoError(t, err)
	assert.True(t, slices.Equal(want.Tokens, got[0].Labels), "%v and %v", want.Tokens, got[0].Labels)
	for i, start := range want.Timesteps {
		assert.Equal(t, start, got[0].Spans[i].Start, "span %d", i)
	}
}

func TestBeamReferences(t *testing.T) {
	bothTypes(t, testBeamReferences[float32], testBeamReferences[float64])
}

func testBeamReferences[F trellis.Float](t *testing.T) {
	paths, err := filepath.Glob(testdata(t, "emissions", "*", "emissions.npy"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		folder := filepath.Dir(path)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			var e emission
			var run beamRun
			readJSON(t, filepath.Join(folder, "index.json"), &e)
			readJSON(t, filepath.Join(folder, "index.json"), &run)
			x, shape := readArray[float32](t, path)
			checkGreedy(t, decode.Greedy[F]{Blank: e.Blank, Scores: trellis.Logits}, trellis.Tensor[F]{Data: Cast[F](x), Shape: shape}, run.Greedy)
			want := run.Runs.Beam
			require.NotEmpty(t, want)
			beam := decode.Beam[F]{Blank: e.Blank, Scores: trellis.Logits, NBest: len(want)}
			got, err := beam.Decode(nil, trellis.Tensor[F]{Data: Cast[F](x), Shape: shape}, nil)
			require.NoError(t, err)
			require.Len(t, got[0], len(want))
			for i, w := range want {
				assert.Equal(t, w.Tokens, got[0][i].Labels, "hypothesis %d, %v and %v", i, w.LogProb, got[0][i].LogProb)
				assert.InDelta(t, float64(w.LogProb), got[0][i].LogProb, 1e-6, "hypothesis %d", i)
			}
		})
	}
}

// hypothesis is one in the references of fixtures/decoding.json.
type hypothesis struct {
	Tokens  []int
	LogProb number `json:"log_prob"`
	Exact   number `json:"log_prob_exact"`
}

// decodingFixture is an entry of fixtures/decoding.json: what other decoders expect in their own tests,
// and references in float64.
type decodingFixture struct {
	Name     string
	Kind     string // of the input: logits or probs
	Input    [][]float64
	Length   int // of the frames that count
	Blank    int
	Labels   []string
	Expected map[string]json.RawMessage
	Greedy   greedyRun    `json:"ref_greedy"`
	Wide     []hypothesis `json:"ref_prefix_beam_w100"`
	Narrow   struct {
		Width int
		NBest []hypothesis
	} `json:"ref_prefix_beam_width"`
}

// text spells labels.
func (f decodingFixture) text(labels []int) (text string) {
	for _, l := range labels {
		text += f.Labels[l]
	}
	return text
}

// scores are the input and what it is.
func scoresOf[F trellis.Float](f decodingFixture) (trellis.Scores, trellis.Tensor[F]) {
	x := trellis.Tensor[F]{Data: Cast[F](slices.Concat(f.Input...)), Shape: []int{len(f.Input), len(f.Input[0])}}
	if f.Kind == "probs" {
		return trellis.Probabilities, x
	}
	return trellis.Logits, x
}

func TestDecodingFixtures(t *testing.T) {
	bothTypes(t, testDecodingFixtures[float32], testDecodingFixtures[float64])
}

func testDecodingFixtures[F trellis.Float](t *testing.T) {
	var fixtures []decodingFixture
	readJSON(t, testdata(t, "fixtures", "decoding.json"), &fixtures)
	require.NotEmpty(t, fixtures)
	for _, f := range fixtures {
		t.Run(f.Name, func(t *testing.T) {
			scores, x := scoresOf[F](f)
			lengths := []int{f.Length}
			greedy, err := decode.Greedy[F]{Blank: f.Blank, Scores: scores}.Decode(nil, x, lengths)
			require.NoError(t, err)
			assert.True(t, slices.Equal(f.Greedy.Tokens, greedy[0].Labels), "%v", greedy[0].Labels)
			for i, start := range f.Greedy.Timesteps {
				assert.Equal(t, start, greedy[0].Spans[i].Start)
			}
			beam := decode.Beam[F]{Blank: f.Blank, Scores: scores, NBest: 5, Spans: true}
			wide, err := beam.Decode(nil, x, lengths)
			require.NoError(t, err)
			checkHypotheses(t, f.Wide, wide[0])
			if f.Narrow.Width > 0 {
				beam.Width = f.Narrow.Width
				beam.NBest = len(f.Narrow.NBest)
				narrow, err := beam.Decode(nil, x, lengths)
				require.NoError(t, err)
				checkHypotheses(t, f.Narrow.NBest, narrow[0])
			}
			for name := range f.Expected {
				check, ok := expectations[F]()[name]
				require.True(t, ok, "nothing checks %s", name)
				if check != nil {
					t.Run(name, func(t *testing.T) { check(t, f, greedy[0], wide[0]) })
				}
			}
		})
	}
}

func checkHypotheses(t *testing.T, want []hypothesis, got []decode.Hypothesis) {
	t.Helper()
	want = slices.DeleteFunc(slices.Clone(want), func(h hypothesis) bool { return math.IsInf(float64(h.LogProb), -1) })
	require.Len(t, got, len(want))
	for i, w := range want {
		if !tied(want, i) {
			assert.True(t, slices.Equal(w.Tokens, got[i].Labels), "hypothesis %d: %v and %v", i, w.Tokens, got[i].Labels)
		}
		assert.InDelta(t, float64(w.LogProb), got[i].LogProb, 2e-6, "hypothesis %d", i)
		if w.Exact != 0 {
			assert.InDelta(t, float64(w.Exact), got[i].LogProbExact, 2e-6, "hypothesis %d", i)
		}
	}
}

// tied reports whether a hypothesis is as probable as one beside it, or may be, as the last one of
// those that are known: rounding then says which comes first.
func tied(all []hypothesis, i int) bool {
	near := func(j int) bool {
		return j >= 0 && j < len(all) && math.Abs(float64(all[i].LogProb-all[j].LogProb)) < 1e-6
	}
	return near(i-1) || near(i+1) || i > 0 && i == len(all)-1
}

// expectation checks what a peer expects of a fixture.
type expectation func(t *testing.T, f decodingFixture, greedy decode.Reading, wide []decode.Hypothesis)

// expectations says of each name in the field expected how it is checked. Those that are nil say what no
// search for the most probable text gives, or need a language model that is not there.
func expectations[F trellis.Float]() map[string]expectation {
	beamOf := func(width int, scorers ...decode.Scorer) func(t *testing.T, f decodingFixture) []decode.Hypothesis {
		return func(t *testing.T, f decodingFixture) []decode.Hypothesis {
			scores, x := scoresOf[F](f)
			got, err := decode.Beam[F]{Blank: f.Blank, Scores: scores, Width: width, NBest: 16, Threshold: math.Exp(-5), Scorers: scorers, Spans: true}.Decode(nil, x, []int{f.Length})
			require.NoError(t, err)
			return got[0]
		}
	}
	value := func(t *testing.T, f decodingFixture, name string, to any) {
		require.NoError(t, json.Unmarshal(f.Expected[name], to))
	}
	textOf := func(name string, labels func(t *testing.T, f decodingFixture, greedy decode.Reading, wide []decode.Hypothesis) []int) expectation {
		return func(t *testing.T, f decodingFixture, greedy decode.Reading, wide []decode.Hypothesis) {
			var want string
			value(t, f, name, &want)
			assert.Equal(t, want, f.text(labels(t, f, greedy, wide)))
		}
	}
	best := func(t *testing.T, f decodingFixture, greedy decode.Reading, wide []decode.Hypothesis) []int {
		return wide[0].Labels
	}
	first := func(t *testing.T, f decodingFixture, greedy decode.Reading, wide []decode.Hypothesis) []int {
		return greedy.Labels
	}
	width := func(width int) func(t *testing.T, f decodingFixture, greedy decode.Reading, wide []decode.Hypothesis) []int {
		return func(t *testing.T, f decodingFixture, greedy decode.Reading, wide []decode.Hypothesis) []int {
			scores, x := scoresOf[F](f)
			got, err := decode.Beam[F]{Blank: f.Blank, Scores: scores, Width: width}.Decode(nil, x, []int{f.Length})
			require.NoError(t, err)
			return got[0][0].Labels
		}
	}
	wordSpans := func(f decodingFixture, h decode.Hypothesis) (all [][]any) {
		separator := slices.Index(f.Labels, " ")
		for _, w := range trellis.AppendWords(nil, h.Spans, h.Labels, separator) {
			all = append(all, []any{f.text(h.Labels[w.From:w.To]), []any{float64(w.Start), float64(w.End)}})
		}
		return all
	}
	return map[string]expectation{
		"greedy": textOf("greedy", first), "best_path": textOf("best_path", first), "viterbi": textOf("viterbi", first),
		"beam_search": textOf("beam_search", best), "prefix_search": textOf("prefix_search", best), "text": textOf("text", best),
		"beam_width20": textOf("beam_width20", width(20)), "beam5": textOf("beam5", width(5)),
		"beam_width20_lm_test_arpa": nil, // no such model is here
		"probability_of_a": func(t *testing.T, f decodingFixture, _ decode.Reading, wide []decode.Hypothesis) {
			assert.InDelta(t, 0.64, math.Exp(wide[0].LogProb), 1e-7)
		},
		"merge_repeated_true": func(t *testing.T, f decodingFixture, greedy decode.Reading, _ []decode.Hypothesis) {
			var want []int
			value(t, f, "merge_repeated_true", &want)
			assert.Equal(t, want, greedy.Labels)
		},
		"neg_sum_logits": func(t *testing.T, f decodingFixture, greedy decode.Reading, _ []decode.Hypothesis) {
			var want float64
			value(t, f, "neg_sum_logits", &want)
			assert.InDelta(t, want, -greedy.Score, 1e-6)
		},
		"beam3":         func(t *testing.T, f decodingFixture, _ decode.Reading, _ []decode.Hypothesis) { checkWenet[F](t, f) },
		"prefix_score":  nil, // checkWenet does
		"viterbi_score": nil,
		"timestamps":    nil,
		"beam2": func(t *testing.T, f decodingFixture, _ decode.Reading, _ []decode.Hypothesis) {
			var want [][]int
			value(t, f, "beam2", &want)
			assert.Equal(t, want[0], width(2)(t, f, decode.Reading{}, nil))
		},
		"log_prob": nil, // of ref_prefix_beam_width
		"word_beam_search_dict_a_ba": func(t *testing.T, f decodingFixture, _ decode.Reading, _ []decode.Hypothesis) {
			got := beamOf(100, lm.NewLexicon([]string{"a", "ba"}, f.Labels, math.Inf(1)))(t, f)
			assert.Equal(t, "ba", f.text(got[0].Labels))
		},
		"tokens": func(t *testing.T, f decodingFixture, _ decode.Reading, wide []decode.Hypothesis) {
			assert.Equal(t, []int{0, 1}, wide[0].Labels)
			assert.Equal(t, []int{0, 2}, []int{wide[0].Spans[0].Start, wide[0].Spans[1].Start})
		},
		"timesteps": nil, // of tokens
		"score":     nil, // a sum of logits along the best path
		"n_beams": func(t *testing.T, f decodingFixture, _ decode.Reading, _ []decode.Hypothesis) {
			assert.Len(t, beamOf(100)(t, f), 16)
		},
		"worst": nil, // all 16 but the best ones are nearly equal: the order is rounding
		"frames_best": func(t *testing.T, f decodingFixture, _ decode.Reading, wide []decode.Hypothesis) {
			var want [][]any
			value(t, f, "frames_best", &want)
			assert.Equal(t, want, wordSpans(f, wide[0]))
		},
		"frames_worst": func(t *testing.T, f decodingFixture, _ decode.Reading, _ []decode.Hypothesis) {
			var want [][]any
			value(t, f, "frames_worst", &want)
			got := beamOf(100, wordsOf(t, f.Labels, "bugs bunny", 2))(t, f)
			assert.Equal(t, want, wordSpans(f, got[0]))
		},
		"logit_score": func(t *testing.T, f decodingFixture, _ decode.Reading, wide []decode.Hypothesis) {
			assert.InDelta(t, -2.6933782130551505, wide[0].LogProb, 1e-6)
		},
		"with_kenlm": func(t *testing.T, f decodingFixture, _ decode.Reading, _ []decode.Hypothesis) {
			got := beamOf(100, wordsOf(t, f.Labels, "bugs bunny", 2))(t, f)
			assert.Equal(t, "bugs bunny", f.text(got[0].Labels))
		},
		"lm_logit_score": func(t *testing.T, f decodingFixture, _ decode.Reading, _ []decode.Hypothesis) {
			got := beamOf(100, wordsOf(t, f.Labels, "bugs bunny", 2))(t, f)
			assert.InDelta(t, -2.853399551509947, got[0].LogProb, 1e-6)
		},
		"lm_score": nil, // of the peer's model
	}
}

// wordsOf returns a scorer by a model of a text.
func wordsOf(t testing.TB, tokens []string, text string, order int) decode.Scorer {
	t.Helper()
	var b strings.Builder
	require.NoError(t, lmtest.WriteARPA(&b, lmtest.Sentences(text, strings.ToUpper(text) == text), order))
	m, err := lm.Read(strings.NewReader(b.String()))
	require.NoError(t, err)
	return lm.NewWords(m, tokens, lm.Weights{LM: 0.7, Word: 1.5, Unknown: -3})
}

// checkWenet checks texts, what a beam of three keeps of their sums, the probability of their best
// paths and when labels begin.
func checkWenet[F trellis.Float](t *testing.T, f decodingFixture) {
	var want struct {
		Beam  [][]int
		Sum   []float64
		Path  []float64
		Start [][]int
	}
	for name, to := range map[string]any{"beam3": &want.Beam, "prefix_score": &want.Sum, "viterbi_score": &want.Path, "timestamps": &want.Start} {
		require.NoError(t, json.Unmarshal(f.Expected[name], to))
	}
	scores, x := scoresOf[F](f)
	got, err := decode.Beam[F]{Blank: f.Blank, Scores: scores, Width: 3, NBest: 3, Spans: true}.Decode(nil, x, []int{f.Length})
	require.NoError(t, err)
	for i, h := range got[0] {
		assert.Equal(t, want.Beam[i], h.Labels)
		assert.InDelta(t, want.Sum[i], math.Exp(h.LogProb), 1e-7)
		spans, score := make([]trellis.Span, len(h.Labels)), make([]float64, 1)
		require.NoError(t, trellis.CTCAligner[F]{Blank: f.Blank, Scores: scores}.Align(spans, score, x, h.Labels, nil, nil))
		assert.InDelta(t, want.Path[i], math.Exp(score[0]), 1e-7)
		for k, s := range h.Spans {
			assert.Equal(t, spans[k].Start, s.Start)
			assert.True(t, s.Start <= want.Start[i][k] && want.Start[i][k] < s.End) // the peer's frame is not always the first
		}
	}
}

// Printed lines are read without an error, but for the white margin, which is read as a space, and one
// space of line_2 that is narrow.
func TestReadLines(t *testing.T) { bothTypes(t, testReadLines[float32], testReadLines[float64]) }

func testReadLines[F trellis.Float](t *testing.T) {
	paths, err := filepath.Glob(testdata(t, "ocr", "*", "emissions.npy"))
	require.NoError(t, err)
	require.Len(t, paths, 3)
	for _, path := range paths {
		folder := filepath.Dir(path)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			var line struct {
				Transcript string
				Greedy     struct{ Text string }
			}
			readJSON(t, filepath.Join(folder, "index.json"), &line)
			list, err := os.ReadFile(filepath.Join(folder, "classes.txt"))
			require.NoError(t, err)
			classes := strings.Split(strings.TrimSuffix(string(list), "\n"), "\n")
			textOf := func(labels []int) (text string) {
				for _, l := range labels {
					text += classes[l]
				}
				return text
			}
			x, shape := readArray[float32](t, path)
			tensor := trellis.Tensor[F]{Data: Cast[F](x), Shape: shape}
			greedy, err := decode.Greedy[F]{Scores: trellis.Probabilities}.Decode(nil, tensor, nil)
			require.NoError(t, err)
			assert.Equal(t, line.Greedy.Text, textOf(greedy[0].Labels))
			assert.Greater(t, greedy[0].Confidence, 0.9)
			for _, beam := range []decode.Beam[F]{{Width: 10}, {TopK: 40}, {Width: 20, Threshold: 0.001}} {
				beam.Scores = trellis.Probabilities
				got, err := beam.Decode(nil, tensor, nil)
				require.NoError(t, err)
				want := line.Transcript
				if filepath.Base(folder) == "line_2" {
					want = strings.Replace(want, ", ", ",", 1)
				}
				assert.Equal(t, want, strings.TrimSpace(textOf(got[0][0].Labels)), "%+v", beam)
			}
		})
	}
}

// prose is a free text with words that are in the recording, and with others, in other sentences.
const prose = `Mister Brown is at home. Where is Mister Quilter? He is the apostle of good taste, and we are
told that his gospel is work. The middle of the night is cold. The ladies of the middle classes are welcome to the
house, and we are glad to see them. Some classes are over. They were glad to welcome us. I welcome his letter. Peace is his gospel.
The apostle is old. Of the books that we have read, some are new. Mister White is the master of the house.`

// A language model of a few sentences brings the word errors of a recording down.
func TestLanguageModelHelps(t *testing.T) {
	folder := testdata(t, "emissions", "ctclib_libri")
	var e struct {
		emission
		Labels     []string
		Transcript string
	}
	readJSON(t, filepath.Join(folder, "index.json"), &e)
	x, shape := readArray[float32](t, filepath.Join(folder, "emissions.npy"))
	tensor := trellis.Tensor[float32]{Data: x, Shape: shape}
	errors := func(scorers ...decode.Scorer) (count int, h decode.Hypothesis) {
		got, err := decode.Beam[float32]{Blank: e.Blank, Threshold: 0.001, Scorers: scorers}.Decode(nil, tensor, nil)
		require.NoError(t, err)
		text := ""
		for _, l := range got[0][0].Labels {
			text += e.Labels[l]
		}
		t.Logf("%d scorers: %s", len(scorers), text)
		return distance(strings.Split(strings.Trim(e.Transcript, "|"), "|"), strings.Split(strings.Trim(text, "|"), "|")), got[0][0]
	}
	without, plain := errors()
	with, scored := errors(wordsOf(t, e.Labels, strings.ToUpper(prose), 3))
	t.Logf("word errors: %d, with a language model %d", without, with)
	assert.Equal(t, 11, without)
	assert.LessOrEqual(t, with, 3)
	assert.Less(t, scored.LogProb, plain.LogProb)
	assert.Less(t, scored.LM, 0.0)
	hot, boosted := errors(lm.NewHotwords([]lm.Hotword{{Text: "MISTER", Weight: 8}, {Text: "GLAD", Weight: 8}}, e.Labels))
	assert.Less(t, hot, without)
	assert.Equal(t, 16.0, boosted.Bonus)
}

// distance is the least number of words that are to be replaced, left out and put in (V. Levenshtein,
// 1966).
func distance(want, got []string) int {
	row := make([]int, len(got)+1)
	for j := range row {
		row[j] = j
	}
	for i, w := range want {
		diagonal := row[0]
		row[0] = i + 1
		for j, g := range got {
			cost := diagonal
			if w != g {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(got)]
}
