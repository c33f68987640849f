package command

import (
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// line is where the emissions of a line of text are.
const line = "../../../bench/emissions/line/"

// lineArgs align the line.
func lineArgs(more ...string) []string {
	return append([]string{"align", line + "emissions.npy", "-logits", "-text", line + "transcript.txt", "-tokens", line + "tokens.txt"}, more...)
}

// TestAlignFormats compares with files that were looked at.
func TestAlignFormats(t *testing.T) {
	for name, more := range map[string][]string{
		"frames.txt":          nil,
		"seconds.txt":         {"-frame", "20ms"},
		"labels.txt":          {"-labels", "-confidence=false"},
		"words.json":          {"-format", "json"},
		"seconds.json":        {"-json", "-frame", "20ms", "-confidence=false"},
		"words.ctm":           {"-format", "ctm", "-frame", "20ms"},
		"labels.ctm":          {"-format", "ctm", "-frame", "20ms", "-labels", "-confidence=false"},
		"words.TextGrid":      {"-format", "textgrid", "-frame", "20ms"},
		"words.srt":           {"-format", "srt", "-frame", "20ms"},
		"slow.srt":            {"-format", "srt", "-frame", "100ms", "-grow", "next"},
		"words.vtt":           {"-format", "vtt", "-frame", "20ms"},
		"words.audacity.txt":  {"-format", "audacity", "-frame", "20ms"},
		"labels.audacity.txt": {"-format", "audacity", "-frame", "20ms", "-labels"},
		"middle.txt":          {"-grow", "middle"},
		"next.txt":            {"-grow", "next"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(lineArgs(more...)...)
			require.Equal(t, result{stdout: r.stdout}, r)
			assertGolden(t, filepath.Join("testdata", "align", name), r.stdout)
		})
	}
}

// assertGolden compares with a file.
func assertGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o666))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

// aligned is the JSON of align.
type aligned struct {
	Sequences []struct {
		Score  any
		Frames int
		Labels []alignedLabel
		Words  []struct {
			Word string
			alignedSpan
		}
	}
}

type alignedLabel struct {
	Label int
	Token *string
	alignedSpan
}

type alignedSpan struct {
	Start, End        int
	StartS            *float64 `json:"start_s"`
	EndS              *float64 `json:"end_s"`
	Score, Confidence any
}

// runAlign runs align and reads its JSON.
func runAlign(t *testing.T, args ...string) aligned {
	t.Helper()
	r := run(append([]string{"align", "-json"}, args...)...)
	require.Equal(t, exitOK, r.code, r.stderr)
	var out aligned
	d := json.NewDecoder(strings.NewReader(r.stdout))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&out))
	_, err := d.Token()
	require.ErrorIs(t, err, io.EOF)
	return out
}

// TestAlignDrawn compares the spans with where the letters were drawn. The network may name a letter
// beside its place, as it sees more than one.
func TestAlignDrawn(t *testing.T) {
	raw, err := os.ReadFile(line + "index.json")
	require.NoError(t, err)
	var index struct {
		Spans  [][2]int
		Labels []int `json:"target_tokens"`
	}
	require.NoError(t, json.Unmarshal(raw, &index))
	got := runAlign(t, lineArgs()[1:]...).Sequences[0]
	require.Len(t, got.Labels, len(index.Spans))
	for i, l := range got.Labels {
		assert.Equal(t, index.Labels[i], l.Label)
		assert.Less(t, l.Start, index.Spans[i][1]+4, "label %d", i)
		assert.Greater(t, l.End, index.Spans[i][0]-4, "label %d", i)
	}
	assert.Equal(t, 166, got.Frames)
	x := readLogProbabilities(t, line+"emissions.npy")
	assertOccupied(t, got.Labels, x, occupancies(x, index.Labels, 0))
}

// readLogProbabilities reads the frames of a file of raw scores.
func readLogProbabilities(t *testing.T, path string) [][]float64 {
	t.Helper()
	data, shape, err := npy.ReadFile[float32](path)
	require.NoError(t, err)
	x := make([][]float64, shape[0])
	for t := range x {
		for _, v := range data[t*shape[1]:][:shape[1]] {
			x[t] = append(x[t], float64(v))
		}
		trellis.LogSoftmax(x[t], x[t])
	}
	return x
}

// assertOccupied compares scores and confidences of labels with log-probabilities and occupancies.
func assertOccupied(t *testing.T, labels []alignedLabel, x, occupied [][]float64) {
	t.Helper()
	for i, l := range labels {
		var score, confidence float64
		for t := l.Start; t < l.End; t++ {
			score += x[t][l.Label] / float64(l.End-l.Start)
			confidence += occupied[t][i] / float64(l.End-l.Start)
		}
		assert.InDelta(t, score, l.Score, 1e-12, "label %d", i)
		assert.InDelta(t, confidence, l.Confidence, 1e-9, "label %d", i)
	}
}

// TestKindsOfScores has the line as raw scores, as log-probabilities and as probabilities, and with the
// blank as the last class: they align and read the same, and look the same.
func TestKindsOfScores(t *testing.T) {
	frames := readLogProbabilities(t, line+"emissions.npy")
	logs := slices.Concat(frames...)
	var turned []float64
	for _, f := range frames {
		turned = append(append(turned, f[1:]...), f[0])
	}
	text, err := os.ReadFile(line + "tokens.txt")
	require.NoError(t, err)
	blank, others, _ := strings.Cut(strings.TrimSuffix(string(text), "\n"), "\n")
	require.Equal(t, "<blank>", blank)
	tokens, turnedTokens := line+"tokens.txt", write(t, "tokens.txt", []byte(others+"\n<blank>\n"))
	picture := filepath.Join(t.TempDir(), "picture.svg")
	var want []string
	for _, c := range []struct {
		kind   string
		values []float64
		tokens string
	}{
		{"logits", each(func(v float64) float64 { return v + 3 }, logs), tokens},
		{"log_probs", logs, tokens},
		{"probs", each(math.Exp, logs), tokens},
		{"log_probs", turned, turnedTokens},
	} {
		args := []string{writeFloat64s(t, c.values, 166, 60), "-scores", c.kind, "-tokens", c.tokens, "-strict"}
		r := run(append([]string{"align", "-text", line + "transcript.txt", "-svg", picture}, args...)...)
		require.Equal(t, result{stdout: r.stdout}, r)
		_, table, _ := strings.Cut(r.stdout, "\n") // without the kind
		drawn, err := os.ReadFile(picture)
		require.NoError(t, err)
		got := []string{table, string(drawn)}
		for _, beam := range []string{"0", "5"} {
			r = run(append([]string{"decode", "-beam", beam, "-format", "table", "-frame", "20ms"}, args...)...)
			require.Equal(t, result{stdout: r.stdout}, r)
			_, table, _ = strings.Cut(r.stdout, "\n")
			got = append(got, table)
		}
		if want == nil {
			want = got
		}
		assert.Equal(t, want, got, c.kind)
	}
}

// TestAlignBatch compares sequences of a batch with each of them alone.
func TestAlignBatch(t *testing.T) {
	const folder = "../../../bench/emissions/batch/"
	data, shape, err := npy.ReadFile[float32](folder + "emissions.npy")
	require.NoError(t, err)
	text, err := os.ReadFile(folder + "transcript.txt")
	require.NoError(t, err)
	frames := []int{152, 148, 110, 148}
	all := runAlign(t, folder+"emissions.npy", "-logits", "-batch_first", "-text", folder+"transcript.txt",
		"-tokens", folder+"tokens.txt", "-input_lengths", strings.Trim(fmt.Sprint(frames), "[]"))
	require.Len(t, all.Sequences, 4)
	for n, line := range textLines(string(text)) {
		values := make([]float64, frames[n]*shape[2])
		for i := range values {
			values[i] = float64(data[n*shape[1]*shape[2]+i])
		}
		x := writeFloat64s(t, values, frames[n], shape[2])
		alone := runAlign(t, x, "-logits", "-text", line, "-tokens", folder+"tokens.txt")
		assert.Equal(t, all.Sequences[n], alone.Sequences[0])
		var words []string
		for _, w := range alone.Sequences[0].Words {
			words = append(words, w.Word)
		}
		assert.Equal(t, strings.Fields(line), words)
	}
	r := run("align", folder+"emissions.npy", "-logits", "-batch_first", "-text", folder+"transcript.txt",
		"-tokens", folder+"tokens.txt", "-input_lengths", "152,148,110,148", "-format", "ctm", "-frame", "10ms")
	assert.Equal(t, exitOK, r.code, r.stderr)
	assert.Contains(t, r.stdout, "\nemissions-3 1 ")
	assert.True(t, strings.HasPrefix(r.stdout, "emissions-0 1 0.090 0.200 Roses 0.98"), r.stdout)

	// A group for each sequence makes no difference.
	picture := filepath.Join(t.TempDir(), "picture.svg")
	args := []string{"align", folder + "emissions.npy", "-logits", "-batch_first", "-text", folder + "transcript.txt",
		"-tokens", folder + "tokens.txt", "-input_lengths", "152,148,110,148", "-svg", picture}
	want := run(args...)
	wantPicture, err := os.ReadFile(picture)
	require.NoError(t, err)
	assert.Equal(t, want, runTool(t.Context(), 1, args...))
	gotPicture, err := os.ReadFile(picture)
	require.NoError(t, err)
	assert.Equal(t, string(wantPicture), string(gotPicture))
	for n, s := range all.Sequences {
		assert.Contains(t, string(gotPicture), fmt.Sprintf(">emissions.npy, sequence %d: score %.6f</text>", n, s.Score))
	}
}

// writeProbabilities writes log-probabilities.
func writeProbabilities(t *testing.T, probabilities []float64, shape ...int) string {
	t.Helper()
	logs := make([]float64, len(probabilities))
	for i, p := range probabilities {
		logs[i] = math.Log(p)
	}
	return writeFloat64s(t, logs, shape...)
}

func TestAlignTargets(t *testing.T) {
	x := writeProbabilities(t, []float64{
		.1, .8, .1,
		.7, .2, .1,
		.1, .2, .7,
	}, 3, 3)
	r := run("align", x, "-targets", "1,2")
	assert.Equal(t, result{stdout: x + `: float64 (3,3), log-probabilities, blank 0

3 frames, 2 labels, score -0.936493

  label  start  end      score  confidence
  1          0    1  -0.223144    0.975945
  2          2    3  -0.356675    0.986254
`}, r)
	got := runAlign(t, x, "-targets", "1,2").Sequences[0]
	assert.Empty(t, got.Words)
	assert.Nil(t, got.Labels[0].Token)
	// The paths are 1-2 .392, 112 .112, 122 .056, 1-2 with other places: -12 .014, 12- .008.
	total := .8*.7*.7 + .8*.2*.7 + .8*.1*.7 + .1*.2*.7 + .8*.1*.1
	assert.InEpsilon(t, 1-.1*.2*.7/total, got.Labels[0].Confidence, 1e-12)
	assert.InEpsilon(t, 1-.8*.1*.1/total, got.Labels[1].Confidence, 1e-12)
}

func TestAlignWildcard(t *testing.T) {
	x := writeProbabilities(t, []float64{
		.1, .1, .8,
		.1, .1, .8,
		.1, .8, .1,
		.8, .1, .1,
	}, 4, 3)
	tokens := write(t, "tokens.txt", []byte("<blank>\na\nb\n"))
	for name, args := range map[string][]string{
		"targets": {"-targets", "-1,1"},
		"text":    {"-text", "*a", "-tokens", tokens, "-wildcard", "*"},
	} {
		t.Run(name, func(t *testing.T) {
			got := runAlign(t, append([]string{x}, args...)...).Sequences[0]
			require.Len(t, got.Labels, 2)
			assert.Equal(t, -1, got.Labels[0].Label)
			assert.Equal(t, 0, got.Labels[0].Start)
			assert.Equal(t, 2, got.Labels[0].End)
			assert.Equal(t, 0.0, got.Labels[0].Score)
			assert.Equal(t, 2, got.Labels[1].Start)
			assert.InEpsilon(t, 2*math.Log(.8), got.Score, 1e-12)

			got = runAlign(t, append([]string{x, "-any_score", "-2"}, args...)...).Sequences[0]
			assert.Equal(t, -2.0, got.Labels[0].Score)
			assert.InEpsilon(t, 2*math.Log(.8)-4, got.Score, 1e-12)
		})
	}
	assert.Contains(t, run("align", x, "-targets", "-1,1", "-labels").stdout, "\n  -1         0    2")
	assert.Contains(t, run("align", x, "-text", "*a", "-tokens", tokens, "-wildcard", "*", "-labels").stdout, "\n  *         -1      0    2")
	r := run("align", x, "-text", "*a", "-tokens", tokens, "-wildcard", "*", "-format", "srt", "-frame", "1s")
	assert.Equal(t, result{stdout: "1\n00:00:02,000 --> 00:00:03,000\na\n\n"}, r)
}

// A token that is a line break stays in its line.
func TestAlignLineBreak(t *testing.T) {
	x := writeProbabilities(t, []float64{
		.1, .7, .1, .1,
		.1, .1, .7, .1,
		.1, .7, .1, .1,
	}, 3, 4)
	tokens := write(t, "vocab.json", []byte(`{"<blank>": 0, "a": 1, "\n": 2, "|": 3}`))
	for format, want := range map[string]string{
		"table":    "\n  a          1    0.000  1.000  -0.356675    1.000000\n             2    1.000  2.000  -0.356675    1.000000\n",
		"audacity": "0.000000\t1.000000\ta\n1.000000\t2.000000\t \n2.000000\t3.000000\ta\n",
		"srt":      "\n2\n00:00:01,000 --> 00:00:02,000\n \n\n3\n",
		"vtt":      "\n00:00:01.000 --> 00:00:02.000\n \n\n",
		"ctm":      "\nx 1 1.000 1.000 <space> 1.0000\n",
		"textgrid": "text = \" \"\n",
		"json":     `"token":"\n"`,
	} {
		r := run("align", x, "-targets", "1,2,1", "-tokens", tokens, "-labels", "-frame", "1s", "-format", format)
		assert.Equal(t, exitOK, r.code)
		assert.Contains(t, r.stdout, want, format)
	}
}

func TestAlignWithoutAPath(t *testing.T) {
	x := writeProbabilities(t, slices.Repeat([]float64{.5, .25, .25}, 4), 2, 2, 3)
	tokens := write(t, "tokens.txt", []byte("<blank>\na\nb\n"))
	args := []string{"align", x, "-text", "aa\nab", "-tokens", tokens}
	warning := "trellis: warning: " + x + ": sequence 0: its target needs 3 frames, has 2: it has no alignment\n"
	r := run(args...)
	assert.Equal(t, warning, r.stderr)
	assert.Contains(t, r.stdout, "sequence 0: 2 frames, 2 labels, score -inf\n\n  word  start  end  score  confidence\n  aa        0    0   -inf    0.000000\n")
	assert.Contains(t, r.stdout, "\n  ab        0    2  -1.386294    1.000000\n")
	got := runAlign(t, args[1:]...)
	assert.Equal(t, "-inf", got.Sequences[0].Score)
	assert.Equal(t, "-inf", got.Sequences[0].Labels[1].Score)
	r = run(append(args, "-format", "ctm", "-frame", "1s")...)
	assert.Equal(t, result{stdout: "x-1 1 0.000 2.000 ab 1.0000\n", stderr: warning}, r)
	for _, ext := range []string{"svg", "png"} {
		picture := filepath.Join(t.TempDir(), "picture."+ext)
		assert.Equal(t, exitOK, run(append(args, "-svg", picture)...).code)
		raw, err := os.ReadFile(picture)
		require.NoError(t, err)
		if ext == "svg" {
			assert.Equal(t, 2, strings.Count(string(raw), ">a</text>")-1, "a lane in both sequences, a letter in one")
		}
	}
	r = run(append(args, "-strict")...)
	assert.Equal(t, result{code: exitData, stderr: strings.Replace(warning, "warning: ", "", 1)}, r)

	x = writeFloat64s(t, []float64{math.NaN(), 0, 0, 0}, 2, 2)
	got = runAlign(t, x, "-logits", "-targets", "1")
	assert.Equal(t, "nan", got.Sequences[0].Score)
	assert.Equal(t, "nan", got.Sequences[0].Labels[0].Confidence)
}

func TestAlignUsage(t *testing.T) {
	x := writeFloat64s(t, sines()[:12], 3, 4)
	tokens := write(t, "tokens.txt", []byte("_\na\nb\nc\n"))
	for want, args := range map[string][]string{
		`-format "xml": want table, json, ctm`:                                               {"-targets", "1", "-format", "xml"},
		`-grow "x": want none, middle or next`:                                               {"-targets", "1", "-grow", "x"},
		"align: -format srt wants -frame":                                                    {"-text", "a", "-tokens", tokens, "-format", "srt"},
		"align: -format ctm wants -tokens":                                                   {"-targets", "1", "-format", "ctm", "-frame", "1s"},
		"align: -grow wants -tokens":                                                         {"-targets", "1", "-grow", "next"},
		"align: -json contradicts -format table":                                             {"-targets", "1", "-json", "-format", "table"},
		"align: -wildcard goes with -text":                                                   {"-targets", "1", "-wildcard", "*"},
		`invalid value "-1s" for flag -frame: want a time above 0 with its unit, as in 20ms`: {"-targets", "1", "-frame", "-1s"},
		`invalid value "0s" for flag -frame: want`:                                           {"-targets", "1", "-frame", "0s"},
		`invalid value "20" for flag -frame: want`:                                           {"-targets", "1", "-frame", "20"},
		"-svg: want the name of a file":                                                      {"-targets", "1", "-svg", ""},
		"-svg a.pdf: want a name that ends in .svg":                                          {"-targets", "1", "-svg", "a.pdf"},
		"-html: want the name of a file":                                                     {"-targets", "1", "-html", ""},
		"-html: want a file, not":                                                            {"-targets", "1", "-html", "-"},
		"-html a.svg: is what -svg names":                                                    {"-targets", "1", "-html", "a.svg", "-svg", "a.svg"},
		"-any_score: +Inf: no log-probability":                                               {"-targets", "1", "-any_score", "inf"},
		"-blank: class 4 outside [0,4)":                                                      {"-targets", "1", "-blank", "4"},
		"-workers: -1: negative":                                                             {"-targets", "1", "-workers", "-1"},
		"align: want either -targets or -text":                                               {},
		"align: -text and -tokens go together":                                               {"-text", "a"},
		"align: -case and -unknown go with -text":                                            {"-targets", "1", "-unknown"},
		`-case "x": want as_is, upper or lower`:                                              {"-text", "a", "-tokens", tokens, "-case", "x"},
		"only one of the files can be -, the standard input":                                 {"-text", "-", "-tokens", "-"},
		"flag provided but not defined: -reduction":                                          {"-targets", "1", "-reduction", "sum"},
		"align: -logits contradicts -scores probs":                                           {"-targets", "1", "-logits", "-scores", "probs"},
	} {
		t.Run(want, func(t *testing.T) {
			r := run(append([]string{"align", x}, args...)...)
			assert.Equal(t, exitUsage, r.code)
			assert.Empty(t, r.stdout)
			assert.Contains(t, r.stderr, "trellis: "+want)
			assert.Contains(t, r.stderr, "\nRun \"trellis align -h\" for how to use it.\n")
		})
	}
	picture := write(t, "x.svg", []byte("old"))
	r := run("align", x, "-text", picture, "-tokens", tokens, "-svg", picture)
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.stderr, "-svg "+picture+": is an input\n")
	r = run("align", x, "-text", picture, "-tokens", tokens, "-html", picture)
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.stderr, "-html "+picture+": is an input\n")
}

func TestAlignBadData(t *testing.T) {
	x := writeFloat64s(t, sines(), 5, 3, 4)
	single := writeFloat64s(t, sines()[:12], 3, 4)
	tokens := write(t, "tokens.txt", []byte("_\na\nb\nc\n"))
	ints := write(t, "y.npy", npyHeader(1, "|i1", "(3, 2)"), []byte{1, 2, 1, 255, 3, 1})
	for want, args := range map[string][]string{
		"-targets: sequence 1, position 0: label 4 outside":                                                 {x, "-targets", "1;4;1"},
		"-targets: sequence 1, position 0: label 0 is the blank; if it pads":                                {x, "-targets", "1;0;1"},
		"-targets: sequence 0, position 0: label -2 outside [0,4)":                                          {x, "-targets", "-2;1;1"},
		"y.npy: sequence 1 ends with -1: -target_lengths says":                                              {x, "-targets", ints},
		"x.npy: 3 sequences, but -format srt is of one recording; json and ctm":                             {x, "-text", "a\nb\nc", "-tokens", tokens, "-format", "srt", "-frame", "1s"},
		"x.npy: 3 sequences, but -format textgrid is of one":                                                {x, "-text", "a\nb\nc", "-tokens", tokens, "-format", "textgrid", "-frame", "1s"},
		"-text: sequence 0, character 1: no token of " + tokens + " for 'A'; with -case lower there is one": {single, "-text", "aA", "-tokens", tokens},
		"no such file": {single, "-text", "a", "-tokens", "missing.txt"},
		"open /missing/x.svg: no such file or directory": {single, "-text", "a", "-tokens", tokens, "-svg", "/missing/x.svg"},
	} {
		t.Run(want, func(t *testing.T) {
			r := run(append([]string{"align", "-logits"}, args...)...)
			assert.Equal(t, exitData, r.code)
			assert.Empty(t, r.stdout)
			assert.Contains(t, r.stderr, want)
			assert.Equal(t, 1, strings.Count(r.stderr, "\n"), "one line")
		})
	}
	assert.Equal(t, exitOK, run("align", x, "-logits", "-targets", ints, "-target_lengths", "2,1,2").code)
	assert.Equal(t, exitOK, run("align", x, "-logits", "-targets", ints, "-target_lengths", "2,2,2").code, "a wildcard")
	picture := filepath.Join(t.TempDir(), "picture.svg")
	assert.Equal(t, exitData, run("align", x, "-text", "missing.txt", "-tokens", tokens, "-format", "vtt", "-frame", "1s", "-svg", picture).code)
	assert.NoFileExists(t, picture, "what cannot be printed is not aligned")
}

// inksOf are the colours of a light page.
func inksOf(k ink) color.Color { return colourOf(shape{ink: k, opacity: 1}) }

func TestAlignPNG(t *testing.T) {
	name := filepath.Join(t.TempDir(), "picture.png")
	r := run(lineArgs("-svg", name)...)
	require.Equal(t, result{stdout: r.stdout}, r)
	file, err := os.Open(name)
	require.NoError(t, err)
	defer file.Close()
	img, err := png.Decode(file)
	require.NoError(t, err)
	count := map[color.Color]int{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			count[color.NRGBAModel.Convert(img.At(x, y))]++
		}
	}
	for k, least := range map[ink]int{paper: 1e5, strong: 1000, faint: 1000, heat: 10000, trail: 5000} {
		assert.Greater(t, count[inksOf(k)], least, "ink %d", k)
	}
	assert.Equal(t, image.Rect(0, 0, 2*896, 2*357), img.Bounds())
}

// TestAlignSVG looks for what must be in the picture.
func TestAlignSVG(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "picture.svg")
	tokens := write(t, "tokens.txt", []byte("<blank>\n<\n&\x01\n|\n"))
	x := writeProbabilities(t, []float64{
		.1, .7, .1, .1,
		.7, .1, .1, .1,
		.1, .1, .1, .7,
		.1, .1, .7, .1,
	}, 4, 4)
	r := run("align", x, "-text", "< &\x01", "-tokens", tokens, "-svg", name, "-frame", "500ms")
	require.Equal(t, result{stdout: r.stdout}, r)
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	var all []string
	d := xml.NewDecoder(strings.NewReader(string(raw)))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, "well-formed")
		if text, ok := token.(xml.CharData); ok && strings.TrimSpace(string(text)) != "" {
			all = append(all, string(text))
		}
	}
	for _, want := range []string{
		"x.npy: score -1.426700", "<", "&\ufffd", "space", "blank", "0", "1", "2", "probability",
		"<: 0.000 to 0.500 s, score -0.356675, confidence 0.984881",
	} {
		assert.Contains(t, all, want)
	}
	assert.Contains(t, string(raw), "@media (prefers-color-scheme: dark)")
	assertAlone(t, name)
	assert.Less(t, len(raw), 8000)
}

// TestWordsBesideEachOther writes words that are wider than their frames in two rows.
func TestWordsBesideEachOther(t *testing.T) {
	tokens := write(t, "tokens.txt", []byte("<blank>\nlongishword\nlongerwords\n|\n"))
	x := writeProbabilities(t, []float64{
		.1, .7, .1, .1,
		.1, .1, .1, .7,
		.1, .1, .7, .1,
		.7, .1, .1, .1,
		.1, .1, .1, .7,
		.7, .1, .1, .1,
		.7, .1, .1, .1,
		.1, .7, .1, .1,
	}, 8, 4)
	name := filepath.Join(t.TempDir(), "picture.svg")
	require.Equal(t, exitOK, run("align", x, "-text", "longishword longerwords longishword", "-tokens", tokens, "-svg", name).code)
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	var rows []string
	for _, m := range regexp.MustCompile(`y="(\S+)" class="f1" text-anchor="middle"><title>long`).FindAllStringSubmatch(string(raw), -1) {
		rows = append(rows, m[1])
	}
	require.Len(t, rows, 3)
	assert.NotEqual(t, rows[0], rows[1])
	assert.Equal(t, rows[0], rows[2])
}

func TestCues(t *testing.T) {
	word := func(text string, start, end int) item {
		return item{text, trellis.Span{Start: start, End: end}}
	}
	a := &alignments{options: &spanOptions{frame: 100 * time.Millisecond}}
	long := strings.Repeat("x", 38)
	for name, c := range map[string]struct {
		items []item
		want  []int // words of each cue
	}{
		"none":             {nil, nil},
		"together":         {[]item{word("a", 0, 5), word("b", 14, 20)}, []int{2}},
		"a second apart":   {[]item{word("a", 0, 5), word("b", 15, 20)}, []int{1, 1}},
		"seven seconds":    {[]item{word("a", 0, 62), word("b", 65, 70)}, []int{2}},
		"more than seven":  {[]item{word("a", 0, 62), word("b", 65, 71)}, []int{1, 1}},
		"42 characters":    {[]item{word(long, 0, 1), word("b", 2, 3), word("c", 4, 5)}, []int{3}},
		"43 characters":    {[]item{word(long, 0, 1), word("b", 2, 3), word("cc", 4, 5), word("d", 6, 7)}, []int{2, 2}},
		"wide characters":  {[]item{word(strings.Repeat("語", 20), 0, 1), word("語", 2, 3)}, []int{1, 1}},
		"longer than that": {[]item{word(long+long, 0, 99), word("b", 99, 100)}, []int{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			for _, cue := range a.cues(c.items) {
				got = append(got, len(cue))
			}
			assert.Equal(t, c.want, got)
		})
	}
	assert.Equal(t, "01:02:03,005", clock(3723005*time.Millisecond, ","))
	assert.Equal(t, "100:00:00.000", clock(360000*time.Second-time.Microsecond, "."))
}

// TestPictureOfMuch draws more than fits.
func TestPictureOfMuch(t *testing.T) {
	values := make([]float64, 5000*100)
	for i := range values {
		values[i] = math.Sin(float64(i))
	}
	name := filepath.Join(t.TempDir(), "picture.svg")
	many := writeFloat64s(t, values[:20*13*100], 20, 13, 100)
	r := run("align", many, "-logits", "-targets", strings.TrimSuffix(strings.Repeat("1;", 13), ";"), "-svg", name)
	assert.Equal(t, exitOK, r.code)
	assert.Equal(t, "trellis: warning: "+name+" has the first 240 of 260 frames\n", r.stderr)

	long := writeFloat64s(t, values, 5000, 100)
	var targets []string
	for c := 1; c < 100; c++ {
		targets = append(targets, fmt.Sprint(c))
	}
	r = run("align", long, "-logits", "-targets", strings.Join(targets, ","), "-svg", name)
	assert.Equal(t, exitOK, r.code)
	assert.Contains(t, r.stderr, "trellis: warning: "+name+" has the first 4615 of 5000 frames\n")
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(raw, new(struct{})))
	assert.Contains(t, string(raw), ">4600</text>", "the axis of the last panel")

	// All labels in one panel.
	short := writeFloat64s(t, values[:100*100], 100, 100)
	r = run("align", short, "-logits", "-targets", strings.Join(targets, ","), "-svg", name)
	assert.Equal(t, "trellis: warning: "+name+" lacks labels of sequence 0: 100 classes are too many\n", r.stderr)
}

// occupancies returns the probability that frame t is at label i: forward-backward in logarithms, on all T×S states.
func occupancies(x [][]float64, labels []int, blank int) [][]float64 {
	states := 2*len(labels) + 1
	class := func(s int) int {
		if s%2 == 0 {
			return blank
		}
		return labels[s/2]
	}
	skips := func(s int) bool { return s%2 == 1 && s > 1 && class(s) != class(s-2) }
	add := func(values ...float64) float64 {
		top := slices.Max(values)
		if math.IsInf(top, -1) {
			return top
		}
		sum := 0.0
		for _, v := range values {
			sum += math.Exp(v - top)
		}
		return top + math.Log(sum)
	}
	none := math.Inf(-1)
	table := func() [][]float64 {
		rows := make([][]float64, len(x))
		for t := range rows {
			rows[t] = slices.Repeat([]float64{none}, states)
		}
		return rows
	}
	alpha, beta := table(), table()
	last := len(x) - 1
	for t := range x {
		for s := range states {
			before := none
			if t == 0 && s < 2 {
				before = 0
			}
			if t > 0 {
				before = alpha[t-1][s]
				if s > 0 {
					before = add(before, alpha[t-1][s-1])
				}
				if skips(s) {
					before = add(before, alpha[t-1][s-2])
				}
			}
			alpha[t][s] = before + x[t][class(s)]
		}
	}
	for t := last; t >= 0; t-- {
		for s := range states {
			if t == last {
				if s >= states-2 {
					beta[t][s] = 0
				}
				continue
			}
			after := beta[t+1][s] + x[t+1][class(s)]
			if s+1 < states {
				after = add(after, beta[t+1][s+1]+x[t+1][class(s+1)])
			}
			if s+2 < states && skips(s+2) {
				after = add(after, beta[t+1][s+2]+x[t+1][class(s+2)])
			}
			beta[t][s] = after
		}
	}
	total := add(alpha[last][states-1], alpha[last][states-2])
	out := make([][]float64, len(x))
	for t := range x {
		for i := range labels {
			out[t] = append(out[t], math.Exp(alpha[t][2*i+1]+beta[t][2*i+1]-total))
		}
	}
	return out
}

// TestAlignSpeech compares words and times with those of a reference in float64, and confidences
// with occupancies of all states.
func TestAlignSpeech(t *testing.T) {
	folder := testdata(t, "emissions/ctclib_libri")
	raw, err := os.ReadFile(filepath.Join(folder, "index.json"))
	require.NoError(t, err)
	var index struct {
		Tokens     []string `json:"labels"`
		Transcript string
		Labels     []int `json:"target_tokens"`
		Viterbi    struct {
			Score float64
			Spans [][2]int
		}
	}
	require.NoError(t, json.Unmarshal(raw, &index))
	path := filepath.Join(folder, "emissions.npy")
	tokens := write(t, "tokens.txt", []byte(strings.Join(index.Tokens, "\n")))
	text := write(t, "text.txt", []byte(strings.ToLower(strings.ReplaceAll(index.Transcript, "|", " "))+"\n"))
	got := runAlign(t, path, "-text", text, "-tokens", tokens, "-case", "upper", "-frame", "20ms", "-logits").Sequences[0]
	assert.InDelta(t, index.Viterbi.Score, got.Score, 1e-12)

	x := readLogProbabilities(t, path) // once more a softmax, as the reference did
	occupied := occupancies(x, index.Labels, 0)
	require.Len(t, got.Labels, len(index.Labels))
	for i, l := range got.Labels {
		assert.Equal(t, index.Labels[i], l.Label)
		assert.Equal(t, index.Tokens[l.Label], *l.Token)
		assert.Equal(t, index.Viterbi.Spans[i], [2]int{l.Start, l.End}, "label %d", i)
		assert.InDelta(t, 0.02*float64(l.Start), *l.StartS, 1e-12)
		assert.InDelta(t, 0.02*float64(l.End), *l.EndS, 1e-12)
	}
	assertOccupied(t, got.Labels, x, occupied)

	words := strings.Split(strings.Trim(index.Transcript, "|"), "|")
	require.Len(t, got.Words, len(words))
	table := run("align", path, "-text", text, "-tokens", tokens, "-case", "upper", "-frame", "20ms", "-logits").stdout
	from := 0
	for i, w := range got.Words {
		to := from + len(words[i])
		assert.Equal(t, words[i], w.Word)
		assert.Equal(t, index.Viterbi.Spans[from][0], w.Start)
		assert.Equal(t, index.Viterbi.Spans[to-1][1], w.End)
		var score, confidence, frames float64
		for j := from; j < to; j++ {
			for t := index.Viterbi.Spans[j][0]; t < index.Viterbi.Spans[j][1]; t++ {
				score += x[t][index.Labels[j]]
				confidence += occupied[t][j]
				frames++
			}
		}
		assert.InDelta(t, score/frames, w.Score, 1e-12)
		assert.InDelta(t, confidence/frames, w.Confidence, 1e-9)
		assert.Regexp(t, fmt.Sprintf(`(?m)^  %s +%.3f +%.3f +\S+ +\S+$`, w.Word, 0.02*float64(w.Start), 0.02*float64(w.End)), table)
		from = to + 1
	}
}

// TestAlignPrint aligns a line of print, whose emissions are probabilities of 6625 classes.
func TestAlignPrint(t *testing.T) {
	folder := testdata(t, "ocr", "line_0")
	raw, err := os.ReadFile(filepath.Join(folder, "index.json"))
	require.NoError(t, err)
	var index struct {
		Transcript string
		Viterbi    struct{ Spans [][2]int }
	}
	require.NoError(t, json.Unmarshal(raw, &index))
	got := runAlign(t, filepath.Join(folder, "emissions.npy"), "-scores", "probs", "-text", index.Transcript,
		"-tokens", filepath.Join(folder, "classes.txt")).Sequences[0]
	require.Len(t, got.Labels, len(index.Viterbi.Spans))
	for i, l := range got.Labels {
		assert.Equal(t, index.Viterbi.Spans[i], [2]int{l.Start, l.End}, "label %d", i)
	}
	require.Len(t, got.Words, 9)
	assert.Equal(t, "dogs.", got.Words[8].Word)
}

// float16s encodes numbers in half precision.
func float16s(values []float64) []byte {
	raw := make([]byte, 2*len(values))
	npy.Encode(raw, values, npy.Dtype{Kind: 'f', Size: 2, Order: binary.LittleEndian})
	return raw
}

// TestAlignNothing has no frames, no sequences or no labels, in every format.
func TestAlignNothing(t *testing.T) {
	tokens := write(t, "tokens.txt", []byte("_\na\nb\n \n"))
	texts := map[string]string{
		writeFloat64s(t, nil, 0, 4):                                        "",
		writeFloat64s(t, nil, 0, 1, 4):                                     "a",
		writeFloat64s(t, nil, 3, 0, 4):                                     write(t, "none.txt"),
		writeFloat64s(t, sines()[:12], 3, 4):                               "",
		writeFloat64s(t, sines()[12:24], 3, 4):                             "   ",
		writeFloat64s(t, slices.Repeat([]float64{math.Inf(-1)}, 12), 3, 4): "a",
	}
	for x, text := range texts {
		for _, format := range formatNames {
			for _, labels := range []string{"-labels=false", "-labels"} {
				picture := filepath.Join(t.TempDir(), "picture.svg")
				r := run("align", x, "-logits", "-text", text, "-tokens", tokens, "-frame", "1s", "-format", format, labels, "-svg", picture)
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
}
