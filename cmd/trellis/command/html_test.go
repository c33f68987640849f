package command

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writePage runs a command with -html, which must succeed, and returns where the page is.
func writePage(t *testing.T, args ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "report.html")
	r := run(append(args, "-html", name)...)
	require.Equal(t, exitOK, r.code)
	require.Empty(t, r.stderr)
	assertAlone(t, name)
	return name
}

// readPage returns a page and the data in it.
func readPage(t *testing.T, name string) (string, page) {
	t.Helper()
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	data := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindSubmatch(raw)
	require.NotNil(t, data)
	var p page
	require.NoError(t, json.Unmarshal(data[1], &p))
	return string(raw), p
}

// decoded returns the probabilities that a page has of each frame, by class, in units of its resolution.
func (s pageSequence) decoded(t *testing.T) []map[int]int {
	t.Helper()
	coded := s.Emissions
	next := func() int {
		v, n := binary.Uvarint(coded)
		require.Positive(t, n)
		coded = coded[n:]
		return int(v)
	}
	frames := make([]map[int]int, s.Recorded)
	for i := range frames {
		frames[i] = map[int]int{}
		for range next() {
			class := next()
			frames[i][class] = next()
		}
	}
	require.Empty(t, coded)
	return frames
}

// softmaxRows reads a file of logits, and returns probabilities.
func softmaxRows(t *testing.T, name string, shape ...int) [][]float64 {
	t.Helper()
	x, err := npy.Open(name)
	require.NoError(t, err)
	defer x.Close()
	require.Equal(t, shape, x.Shape)
	all := make([]float64, shape[0]*shape[1])
	require.NoError(t, npy.Read(all, x, 0))
	var rows [][]float64
	for row := range slices.Chunk(all, shape[1]) {
		trellis.Softmax(row, row)
		rows = append(rows, row)
	}
	return rows
}

// TestPageEmissions compares what is in a page with the file, in all kinds of scores.
func TestPageEmissions(t *testing.T) {
	rows := softmaxRows(t, line+"emissions.npy", 166, 60)
	kinds := map[string]func(p float64) float64{
		"logits":    func(p float64) float64 { return math.Log(p) + 3 },
		"log_probs": math.Log,
		"probs":     func(p float64) float64 { return p },
	}
	for kind, of := range kinds {
		for _, dtype := range []string{"float64", "float32"} {
			t.Run(kind+dtype, func(t *testing.T) {
				var scores []float64
				for _, p := range slices.Concat(rows...) {
					scores = append(scores, of(p))
				}
				x := writeFloat64s(t, scores, 166, 60)
				_, p := readPage(t, writePage(t, "align", x, "-scores", kind, "-dtype", dtype, "-text", line+"transcript.txt", "-tokens", line+"tokens.txt"))
				require.Len(t, p.Sequences, 1)
				s := p.Sequences[0]
				assert.Equal(t, 166, s.Frames)
				path := make([]int, 166)
				labels := s.Readings[0].Labels
				for i, class := range labels.Classes {
					for frame := labels.Start[i]; frame < labels.End[i]; frame++ {
						path[frame] = class
					}
				}
				for frame, got := range s.decoded(t) {
					likely := 0
					for class, want := range rows[frame] {
						units, ok := got[class]
						assert.Equal(t, want >= 0.001 || class == path[frame], ok, "frame %d, class %d: %g", frame, class, want)
						if ok {
							assert.InDelta(t, want, float64(units)*p.Resolution, 0.5001*p.Resolution, "frame %d, class %d", frame, class)
							likely++
						}
						if ok && class != 0 {
							assert.Contains(t, p.Names, class)
						}
					}
					assert.Len(t, got, likely)
				}
			})
		}
	}
}

// TestPageHasTheLikeliest has frames with more probable classes than a page keeps, and a path that takes
// an improbable one.
func TestPageHasTheLikeliest(t *testing.T) {
	probabilities := make([]float64, 3*40)
	for frame := range 3 {
		for class := range 40 {
			probabilities[40*frame+class] = float64(class+1) / 820
		}
	}
	_, p := readPage(t, writePage(t, "align", writeProbabilities(t, probabilities, 3, 40), "-targets", "5,1"))
	for frame, got := range p.Sequences[0].decoded(t) {
		want := map[int]int{}
		for class := 30; class < 40; class++ {
			want[class] = int(math.Round(float64(class+1) / 820 * 1e4))
		}
		for _, c := range []int{0, 1, 5} {
			if v, ok := got[c]; ok {
				want[c] = v
			}
		}
		assert.Equal(t, want, got, "frame %d", frame)
		assert.Len(t, got, likelyClasses+1)
	}
}

// printed is what JSON has of a word or label.
type printed struct {
	Word              string
	Label, Start, End int
	Score, Confidence float64
}

// assertItems compares what a page has with what is printed. Decoders print no scores of words.
func assertItems(t *testing.T, want []printed, got *pageItems, scores bool) {
	t.Helper()
	require.Len(t, got.Start, len(want))
	require.NotEmpty(t, want)
	for i, w := range want {
		p := printed{Start: got.Start[i], End: got.End[i], Score: w.Score, Confidence: w.Confidence}
		if got.Classes == nil {
			p.Word = got.Texts[i]
		} else {
			p.Label = got.Classes[i]
		}
		assert.Equal(t, w, p)
		assert.InDelta(t, w.Confidence, float64(got.Confidence[i]), 1e-5)
		if scores {
			assert.InDelta(t, w.Score, float64(got.Score[i]), 1e-5)
		}
	}
}

// TestPageItems compares words, labels and scores with the JSON of the same command.
func TestPageItems(t *testing.T) {
	name := filepath.Join(t.TempDir(), "report.html")
	r := run(lineArgs("-frame", "5ms", "-json", "-html", name)...)
	require.Equal(t, exitOK, r.code, r.stderr)
	var want struct {
		Sequences []struct {
			Score  float64
			Labels []printed
			Words  []printed
		}
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &want))
	_, p := readPage(t, name)
	require.Len(t, p.Sequences[0].Readings, 1)
	got := p.Sequences[0].Readings[0]
	assert.Nil(t, got.Hypothesis)
	assert.InDelta(t, want.Sequences[0].Score, float64(got.Score), 1e-4)
	assertItems(t, want.Sequences[0].Labels, got.Labels, true)
	assertItems(t, want.Sequences[0].Words, got.Words, true)
	assert.Equal(t, page{
		File: "emissions.npy", About: "float32 (166,60), raw scores, blank 0, 5ms a frame", Step: 0.005, Unit: "word", Confidence: true,
		Resolution: 1e-4, Likely: 0.001, Most: 10, Names: p.Names, Sequences: p.Sequences,
	}, p)
	assert.Equal(t, "blank", p.Names[0])
}

func TestDecodePageItems(t *testing.T) {
	name := filepath.Join(t.TempDir(), "report.html")
	r := run("decode", line+"emissions.npy", "-logits", "-tokens", line+"tokens.txt", "-beam", "10", "-nbest", "3", "-hotwords", "equal", "-json", "-html", name)
	require.Equal(t, exitOK, r.code, r.stderr)
	var want struct {
		Sequences []struct {
			Hypotheses []struct {
				Text    string
				LogProb float64 `json:"log_prob"`
				LM      float64
				Bonus   float64
				Score   float64
				Labels  []int
				Words   []printed
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &want))
	_, p := readPage(t, name)
	require.Len(t, p.Sequences[0].Readings, 3)
	for k, h := range want.Sequences[0].Hypotheses {
		got := p.Sequences[0].Readings[k]
		assert.Equal(t, h.Text, got.Hypothesis.Text)
		assert.InDeltaSlice(t, []float64{h.Score, h.LogProb, h.LM, h.Bonus},
			[]float64{float64(got.Score), float64(got.Hypothesis.LogProb), float64(got.Hypothesis.LM), float64(got.Hypothesis.Bonus)}, 1e-4)
		assert.Equal(t, h.Labels, got.Labels.Classes)
		assertItems(t, h.Words, got.Words, false)
	}
}

// wicked are tokens that a page must not take for anything else.
var wicked = []string{"<blank>", "</script>", "\"'`", "<!--", "שלום", "\u202e", "\x01", "&amp;", "😀", "|"}

// wickedPage aligns them all.
func wickedPage(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	x := filepath.Join(folder, `a<b>"&'.npy`)
	probabilities := make([]float64, 0, 20*10)
	for frame := range 20 {
		for class := range 10 {
			p := 0.01
			if class == (frame+1)/2%10 {
				p = 0.91
			}
			probabilities = append(probabilities, p)
		}
	}
	require.NoError(t, os.Rename(writeProbabilities(t, probabilities, 20, 10), x))
	tokens := write(t, "tokens.txt", []byte(strings.Join(wicked, "\n")+"\n"))
	text := strings.Join(wicked[1:9], "")
	return writePage(t, "align", x, "-text", text, "-tokens", tokens, "-frame", "1s")
}

// TestPageEscapes looks for what would end a script, begin a comment or be a tag.
func TestPageEscapes(t *testing.T) {
	raw, p := readPage(t, wickedPage(t))
	assert.Equal(t, `a<b>"&'.npy`, p.File)
	assert.Equal(t, strings.Join(wicked[1:9], ""), p.Sequences[0].Readings[0].Words.Texts[0])
	assert.Equal(t, 2, strings.Count(raw, "</script>"))
	assert.Equal(t, 2, strings.Count(raw, "<script"))
	assert.NotContains(t, raw, "<!--")
	assert.NotContains(t, raw, "<b>")
	title := regexp.MustCompile(`<title>(.*)</title>`).FindStringSubmatch(raw)
	require.NotNil(t, title)
	assert.Equal(t, `a<b>"&'.npy – trellis align`, html.UnescapeString(title[1]))
}

// TestPageAsksForNothing checks the policy of a page, and that nothing in it names another file.
func TestPageAsksForNothing(t *testing.T) {
	raw, _ := readPage(t, writePage(t, lineArgs()...))
	script := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindStringSubmatch(raw)
	require.NotNil(t, script)
	hash := sha256.Sum256([]byte(script[1]))
	policy := regexp.MustCompile(`http-equiv="Content-Security-Policy" content="(.*?)"`).FindStringSubmatch(raw)
	require.NotNil(t, policy)
	assert.Equal(t, fmt.Sprintf("default-src 'none'; script-src 'sha256-%s'; style-src 'unsafe-inline'; img-src data:",
		base64.StdEncoding.EncodeToString(hash[:])), html.UnescapeString(policy[1]))
	assert.NotRegexp(t, `(src|href)\s*=\s*"[^d"]|url\(|@import|fetch\(|XMLHttpRequest`, raw)
	assert.Contains(t, raw, "Copyright (c) 2022 Leon Sorokin", "the licence of the chart library")
	assert.Contains(t, raw, "uPlot (v1.6")
}

// TestPageOfNoPath aligns a target that does not fit: its score and spans are no numbers of JSON.
func TestPageOfNoPath(t *testing.T) {
	name := filepath.Join(t.TempDir(), "report.html")
	r := run("align", writeProbabilities(t, []float64{.5, .5}, 1, 2), "-targets", "1,1", "-html", name)
	require.Equal(t, exitOK, r.code)
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Contains(t, string(raw), `"readings":[{"score":"-inf","labels":{"texts":null,"classes":[1,1],"start":[0,0],"end":[0,0]`)
}

// TestPageIsBounded has more frames, and more labels of hypotheses, than a page takes.
func TestPageIsBounded(t *testing.T) {
	a := &alignments{sequences: &sequences{classes: 2}, options: &spanOptions{html: "x.html"}}
	half := []float64{math.Log(.5), math.Log(.5)}
	for _, frames := range []int{maxPageFrames - 10, 30, 5} {
		s := alignment{frames: frames}
		record(a, s, func(int) []float64 { return half })
		a.found = append(a.found, s)
	}
	a.sequences.rows.Array = &npy.Array{Name: "x.npy"}
	label := func(n int) hypothesis {
		return hypothesis{alignment: alignment{labels: make([]int, n), spans: make([]trellis.Span, n)}}
	}
	p := a.page("decode", [][]hypothesis{
		{label(maxPageLabels + 1), label(maxPageLabels - 1), label(1)}, {label(5), label(1), label(0)}, {label(0)},
	})
	recorded, has := []int{}, [][]bool{}
	for _, s := range p.Sequences {
		recorded = append(recorded, s.Recorded)
		var labels []bool
		for _, r := range s.Readings {
			labels = append(labels, r.Labels != nil)
		}
		has = append(has, labels)
	}
	assert.Equal(t, []int{maxPageFrames - 10, 10, 0}, recorded)
	assert.Equal(t, [][]bool{{true, true, true}, {true, false, false}, {true}}, has)
}

// hour writes an hour of frames of 20 ms, in which each letter of the alphabet comes after the other, with a blank
// and a rival of it, and returns the file and its tokens.
func hour(t *testing.T) (x, tokens string) {
	t.Helper()
	const frames, classes = 180_000, 28
	values := make([]float64, frames*classes)
	for i := range values {
		values[i] = math.Log(0.0005)
	}
	for frame := range frames {
		row := values[frame*classes:][:classes]
		if frame%3 == 0 {
			row[1+frame/3%27] = math.Log(0.9)
			row[1+frame/6%27] = math.Log(0.08)
		} else {
			row[0] = math.Log(0.98)
		}
	}
	names := []byte("<blank>\n|\n")
	for c := 'a'; c <= 'z'; c++ {
		names = append(names, byte(c), '\n')
	}
	return writeFloat64s(t, values, frames, classes), write(t, "tokens.txt", names)
}

// TestPageOfAnHour looks at the size of a page with 60000 labels.
func TestPageOfAnHour(t *testing.T) {
	x, tokens := hour(t)
	name := writePage(t, "decode", x, "-logits", "-tokens", tokens, "-frame", "20ms")
	info, err := os.Stat(name)
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(5<<20))
}
