package command

import (
	"archive/zip"
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// softmaxes returns rows of probabilities, of C classes.
func softmaxes(rows, classes int) []float64 {
	x := make([]float64, rows*classes)
	for i := range rows {
		row, sum := x[i*classes:][:classes], 0.0
		for c := range row {
			row[c] = math.Exp(2 * math.Sin(float64(7*i+3*c)))
			sum += row[c]
		}
		for c := range row {
			row[c] /= sum
		}
	}
	return x
}

// each applies a function to numbers.
func each(f func(float64) float64, x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = f(v)
	}
	return out
}

// transposed swaps the axes.
func transposed(x []float64, rows, columns int) []float64 {
	out := make([]float64, 0, len(x))
	for c := range columns {
		for r := range rows {
			out = append(out, x[r*columns+c])
		}
	}
	return out
}

// TestWarnings has what is likely a mistake, and what is not.
func TestWarnings(t *testing.T) {
	probs := softmaxes(6, 4)
	logs := each(math.Log, probs)
	logits := each(func(v float64) float64 { return math.Log(v) + 3 }, probs)
	oneBad := append([]float64{}, logs...)
	oneBad[4*2+1] += 2
	withNaN := append([]float64{}, logs...)
	withNaN[4*3+2] = math.NaN()
	withInf := append([]float64{}, withNaN...)
	withInf[4*3+2] = math.Inf(1)
	withInf[4*5+1] = math.NaN()
	masked := each(math.Log, []float64{0, 1, 0, 0, .5, 0, .5, 0})
	mixed := append(append([]float64{}, probs[:4]...), logits[4:]...)
	// Of shape (6,2,4): one sequence is transposed, of a network with 6 classes for 4 frames.
	partly := make([]float64, 4*2*6)
	for i, v := range transposed(logs, 6, 4) {
		partly[i/6*12+i%6] = v
		partly[i/6*12+6+i%6] = math.Sin(float64(i))
	}
	rounded := each(func(v float64) float64 { return math.Round(1024*math.Log(v)) / 1024 }, probs)
	for name, c := range map[string]struct {
		x     []float64
		shape []int
		args  []string
		want  string // of x.npy
	}{
		"log-probabilities":               {logs, []int{6, 4}, []string{"ctc", "-targets", "1,2"}, ""},
		"half precision":                  {rounded, []int{6, 4}, []string{"ctc", "-targets", "1,2"}, ""},
		"impossible classes":              {masked, []int{2, 4}, []string{"nll", "-targets", "1,2"}, ""},
		"probabilities":                   {probs, []int{6, 4}, []string{"ctc", "-scores", "probs", "-targets", "1,2"}, ""},
		"logits":                          {logits, []int{6, 4}, []string{"ctc", "-logits", "-targets", "1,2"}, ""},
		"log-probabilities as logits":     {logs, []int{6, 4}, []string{"ctc", "-logits", "-targets", "1,2"}, ""},
		"no frames":                       {nil, []int{0, 1, 4}, []string{"ctc", "-targets", ";"[:0]}, ""},
		"padding":                         {append(append([]float64{}, logs[:8]...), make([]float64, 8)...), []int{4, 4}, []string{"align", "-targets", "1", "-input_lengths", "2"}, ""},
		"logits, not log-probabilities":   {logits, []int{6, 4}, []string{"ctc", "-targets", "1,2"}, "the probabilities of 6 of 6 frames do not add up to 1 (sequence 0, frame 0: 20.09); if these are raw scores, say -logits"},
		"the same of a batch":             {logits, []int{3, 2, 4}, []string{"align", "-targets", "1;2"}, "the probabilities of 6 of 6 frames do not add up to 1 (sequence 0, frame 0: 20.09); if these are raw scores, say -logits"},
		"one frame":                       {oneBad, []int{6, 4}, []string{"ctc", "-targets", "1,2"}, "the probabilities of 1 of 6 frames do not add up to 1 (sequence 0, frame 2: "},
		"one frame of a batch":            {oneBad, []int{2, 3, 4}, []string{"ctc", "-targets", "1;2", "-batch_first"}, "the probabilities of 1 of 6 frames do not add up to 1 (sequence 0, frame 2: "},
		"probabilities for logarithms":    {probs, []int{6, 4}, []string{"ctc", "-targets", "1,2"}, "these seem to be probabilities, not log-probabilities: say -scores probs"},
		"probabilities for logits":        {probs, []int{6, 4}, []string{"align", "-logits", "-targets", "1,2"}, "these seem to be probabilities, not raw scores: say -scores probs"},
		"logarithms for probabilities":    {logs, []int{6, 4}, []string{"align", "-scores", "probs", "-targets", "1,2"}, "these seem to be log-probabilities, not probabilities: say -scores log_probs"},
		"logits for probabilities":        {logits, []int{6, 4}, []string{"align", "-scores", "probs", "-targets", "1,2"}, "the probabilities of 6 of 6 frames do not add up to 1 (sequence 0, frame 0: "},
		"transposed":                      {transposed(logs, 6, 4), []int{4, 6}, []string{"ctc", "-targets", "1,2"}, "it seems to be transposed: the columns are log-probabilities, not the rows"},
		"transposed, probabilities":       {transposed(probs, 6, 4), []int{4, 6}, []string{"align", "-scores", "probs", "-targets", "1,2"}, "it seems to be transposed: the columns are probabilities, not the rows"},
		"transposed, too few frames":      {transposed(logits, 6, 4), []int{4, 6}, []string{"ctc", "-logits", "-targets", "1,2,1,2,1"}, "sequence 0: its target needs 5 frames, has 4: its loss is +Inf; is its shape (4,6) transposed?"},
		"one row like probabilities":      {mixed, []int{6, 4}, []string{"ctc", "-logits", "-targets", "1,2"}, ""},
		"one sequence transposed":         {partly, []int{4, 2, 6}, []string{"ctc", "-targets", "1,2;1"}, "the probabilities of 8 of 8 frames do not add up to 1"},
		"columns and a row":               {[]float64{1, 0, 0, .5, 0, .5}, []int{3, 2}, []string{"ctc", "-scores", "probs", "-targets", "1"}, "the probabilities of 2 of 3 frames do not add up to 1"},
		"too few frames, no more classes": {logits, []int{6, 4}, []string{"ctc", "-logits", "-targets", "1,1,1,1"}, "sequence 0: its target needs 7 frames, has 6: its loss is +Inf\n"},
		"infeasible":                      {logs, []int{6, 4}, []string{"ctc", "-targets", "1,1,1,1"}, "sequence 0: its target needs 7 frames, has 6: its loss is +Inf\n"},
		"infeasible, counts as 0":         {logs, []int{6, 4}, []string{"ctc", "-targets", "1,1,1,1", "-zero_infinity"}, "sequence 0: its target needs 7 frames, has 6: its loss counts as 0\n"},
		"infeasible by a length":          {logs, []int{3, 2, 4}, []string{"align", "-targets", "1,2;1", "-input_lengths", "1,3"}, "sequence 0: its target needs 2 frames, has 1: it has no alignment\n"},
		"NaN":                             {withNaN, []int{6, 4}, []string{"ctc", "-targets", "1,2"}, "sequence 0, frame 3, class 2 is NaN\n"},
		"NaN of a batch":                  {withNaN, []int{2, 3, 4}, []string{"align", "-targets", "1;2;1"}, "sequence 0, frame 1, class 2 is NaN\n"},
		"+Inf":                            {withInf, []int{6, 4}, []string{"ctc", "-targets", "1,2"}, "sequence 0, frame 3, class 2 is +Inf, and so are some in 1 more frames\n"},
		"NaN beyond the length":           {withNaN, []int{6, 4}, []string{"ctc", "-targets", "1,2", "-input_lengths", "3"}, ""},
		"nll of logits":                   {logits, []int{6, 4}, []string{"nll", "-targets", "0 1 2 3 0 1"}, "the probabilities of 6 of 6 rows do not add up to 1 (row 0: 20.09); if these are raw scores, trellis ce takes them"},
		"nll of probabilities":            {probs, []int{6, 4}, []string{"nll", "-targets", "0 1 2 3 0 1"}, "these seem to be probabilities, not log-probabilities: take their logarithms"},
		"nll of images":                   {transposed(logs, 6, 4), []int{1, 4, 2, 3}, []string{"nll", "-targets", "0 1 2 3 0 1"}, ""},
		"nll of images with NaN":          {transposed(withNaN, 6, 4), []int{1, 4, 2, 3}, []string{"nll", "-targets", "0 1 2 3 0 1"}, "row 0, position (1,0), class 2 is NaN\n"},
		"nll of log-probabilities":        {logs, []int{6, 4}, []string{"nll", "-targets", "0 1 2 3 0 1"}, ""},
		"ce of logits":                    {logits, []int{6, 4}, []string{"ce", "-targets", "0 1 2 3 0 1"}, ""},
		"ce of probabilities":             {probs, []int{6, 4}, []string{"ce", "-targets", "0 1 2 3 0 1"}, "these seem to be probabilities, not raw scores: take their logarithms, for trellis nll"},
	} {
		t.Run(name, func(t *testing.T) {
			x := writeFloat64s(t, c.x, c.shape...)
			for _, dtype := range []string{"float64", "float32"} {
				args := append([]string{c.args[0], x, "-dtype", dtype}, c.args[1:]...)
				r := run(args...)
				require.Equal(t, exitOK, r.code, r.stderr)
				strict := run(append(args, "-strict")...)
				if c.want == "" {
					assert.Empty(t, r.stderr)
					assert.Equal(t, r, strict)
					continue
				}
				assert.True(t, strings.HasPrefix(r.stderr, "trellis: warning: "+x+": "+c.want), r.stderr)
				assert.Equal(t, 1, strings.Count(r.stderr, "\n"))
				assert.Equal(t, result{code: exitData, stderr: strings.Replace(r.stderr, "warning: ", "", 1)}, strict)
			}
		})
	}
}

// TestStrictLeavesTheGradient has a mistake in a late group.
func TestStrictLeavesTheGradient(t *testing.T) {
	logs := each(math.Log, softmaxes(12, 4))
	logs[4*11] = math.NaN()
	x := writeFloat64s(t, logs, 12, 4)
	grad := write(t, "grad.npy", []byte("old"))
	args := []string{"nll", x, "-targets", strings.Repeat("1 ", 12), "-grad", grad}
	r := runTool(t.Context(), 1, append(args, "-strict")...)
	assert.Equal(t, result{code: exitData, stderr: "trellis: " + x + ": row 11, class 0 is NaN\n"}, r)
	raw, err := os.ReadFile(grad)
	require.NoError(t, err)
	assert.Equal(t, "old", string(raw))
	assertAlone(t, grad)
}

func TestManyInfeasible(t *testing.T) {
	x := writeFloat64s(t, each(math.Log, softmaxes(20, 4)), 2, 10, 4)
	r := run("ctc", x, "-targets", "1;1,1;1,1;1;1,1;1,1;1;1,1;1;1,1,1")
	assert.Equal(t, exitOK, r.code)
	lines := strings.Split(r.stderr, "\n")
	require.Len(t, lines, 5)
	assert.Contains(t, lines[2], ": sequence 4: its target needs 3 frames, has 2")
	assert.Equal(t, "trellis: warning: "+x+": so it is with 3 more sequences", lines[3])
}

func TestAdvice(t *testing.T) {
	x := writeFloat64s(t, sines(), 5, 3, 4)
	square := writeFloat64s(t, sines()[:12], 4, 3)
	tokens := write(t, "tokens.txt", []byte("<unk>\nA\nb\n<blank>\n"))
	padded := write(t, "y.npy", npyHeader(1, "|i1", "(3, 2)"), []byte{1, 2, 1, 255, 3, 255})
	for want, args := range map[string][]string{
		"-targets: targets for 5 sequences, " + x + " holds 3; with -batch_first it is as many":                        {"ctc", x, "-targets", "1;1;1;1;1"},
		"-targets: targets for 3 sequences, " + x + " holds 5; without -batch_first it is as many":                     {"ctc", x, "-targets", "1;1;1", "-batch_first"},
		"-targets: targets for 2 sequences, " + x + " holds 3\n":                                                       {"ctc", x, "-targets", "1;1"},
		tokens + ": 4 tokens, " + square + " has 3 classes; is its shape (4,3) transposed?":                            {"ctc", square, "-text", "A", "-tokens", tokens},
		padded + ": sequence 1, position 1: label -1 outside [0,4); if it pads the target, -target_lengths says where": {"ctc", x, "-targets", padded},
		"-targets: sequence 1, position 1: label 0 is the blank; if it pads the target, -target_lengths says where":    {"ctc", x, "-targets", "1,2;3,0;1,2"},
		"-text: sequence 0, character 0: no token of " + tokens + " for 'a'; with -case upper there is one\n":          {"ctc", x, "-text", "a\nA\nA", "-tokens", tokens},
		"-text: sequence 1, character 1: no token of " + tokens + " for 'B'; with -case lower there is one\n":          {"ctc", x, "-text", "A\nAB\nA", "-tokens", tokens},
		"-text: sequence 0, character 0: no token of " + tokens + " for 'x'; with -unknown it is <unk>\n":              {"ctc", x, "-text", "x\nA\nA", "-tokens", tokens},
		"-text: sequence 0, character 0: no token of " + tokens + " for 'B'; with -unknown it is <unk>\n":              {"ctc", x, "-text", "b\nA\nA", "-tokens", tokens, "-case", "upper"},
	} {
		t.Run(want, func(t *testing.T) {
			r := run(args...)
			assert.Equal(t, exitData, r.code)
			assert.Contains(t, r.stderr, "trellis: "+want)
		})
	}
	r := run("ctc", x, "-targets", "1,2;3,0;1,2", "-target_lengths", "2,2,2")
	assert.Equal(t, "trellis: -targets: sequence 1, position 1: label 0 is the blank\n", r.stderr)
	pad := write(t, "tokens.txt", []byte("<pad>\nA\nb\n_\n"))
	r = run("ctc", x, "-logits", "-text", "A\nA\nb", "-tokens", pad, "-blank", "3")
	assert.Contains(t, r.stdout, ", blank 3\n", "padding may be another class than the blank")
	assert.Contains(t, run("ctc", x, "-logits", "-text", "A\nA\nb", "-tokens", pad).stdout, ", blank 0\n")
	r = run("ctc", x, "-logits", "-text", "x\nA\nA", "-tokens", tokens, "-unknown")
	assert.Equal(t, exitOK, r.code, r.stderr)
	r = run("ctc", x, "-logits", "-text", "a\nA\nA", "-tokens", tokens, "-case", "upper")
	assert.Equal(t, exitOK, r.code, r.stderr)
}

// TestText reads texts from files, and takes others as they are.
func TestText(t *testing.T) {
	x := writeFloat64s(t, sines(), 5, 3, 4)
	tokens := write(t, "tokens.txt", []byte("_\na\nb\né\n"))
	vocab := write(t, "vocab.json", []byte(`{"[PAD]": 0, "b": 2, "a": 1, "é": 3}`))
	file := write(t, "text.txt", []byte("\ufeffab\r\na\r\ne\u0301ba\r\n"))
	want := runJSON(t, "ctc", x, "-logits", "-targets", "1,2;1;3,2,1")
	for name, args := range map[string][]string{
		"inline":     {"-text", "ab\na\néba", "-tokens", tokens},
		"normalised": {"-text", "ab\na\ne\u0301ba\n", "-tokens", tokens},
		"file":       {"-text", file, "-tokens", tokens},
		"vocab.json": {"-text", file, "-tokens", vocab},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, want, runJSON(t, append([]string{"ctc", x, "-logits"}, args...)...))
		})
	}
	bad := write(t, "bad.txt", []byte("a\nab\nabx\n"))
	r := run("ctc", x, "-logits", "-text", bad, "-tokens", tokens)
	assert.Equal(t, result{code: exitData, stderr: "trellis: " + bad + ": line 3, character 2: no token of " + tokens + " for 'x'\n"}, r)

	one := writeFloat64s(t, sines()[:40], 10, 4)
	letters := write(t, "tokens.txt", []byte("_\na\nb\n.\n"))
	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir("ab", 0o700))
	args := []string{"ctc", one, "-logits", "-tokens", letters, "-json", "-text"}
	r = run(append(args, "ab")...)
	assert.Equal(t, exitOK, r.code, "the name of a folder: %s", r.stderr)
	assert.Empty(t, r.stderr)
	r = run(append(args, "ab.")...)
	assert.Empty(t, r.stderr)
	letters = write(t, "tokens.txt", []byte("b\na\nt\nx\n.\n"))
	five := writeFloat64s(t, sines()[:50], 10, 5)
	args = []string{"ctc", five, "-logits", "-blank", "0", "-tokens", letters, "-text", "a.txt"}
	r = run(args...)
	assert.Equal(t, exitOK, r.code)
	assert.Equal(t, "trellis: warning: -text \"a.txt\": there is no such file; it is taken for the text itself\n", r.stderr)
	assert.Equal(t, exitData, run(append(args, "-strict")...).code)
	require.NoError(t, os.WriteFile("a.txt", []byte("a"), 0o600))
	r = run(args...)
	assert.Empty(t, r.stderr)
	assert.Contains(t, r.stdout, "\n         0      10       1  ")
}

func TestTextsLikeFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir("folder", 0o700))
	for text, want := range map[string]bool{
		"a.txt": true, "folder/a": true, "none/a.txt": true, "/a": true,
		"and/or": false, "see a.txt": false, "word": false, "": false, "folder": false,
	} {
		assert.Equal(t, want, isLikeFile(text), text)
	}
}

// runWith runs the tool with a standard input.
func runWith(t *testing.T, stdin []byte, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	tool := tool{inputs: inputs{stdin: bytes.NewReader(stdin)}, stdout: &stdout, stderr: &stderr, memory: 1 << 30}
	code := tool.run(t.Context(), args)
	return result{code, stdout.String(), stderr.String()}
}

// TestStandardInput gives each input through a pipe.
func TestStandardInput(t *testing.T) {
	x := writeFloat64s(t, sines(), 5, 3, 4)
	tokens := write(t, "tokens.txt", []byte("_\na\nb\nc\n"))
	y := write(t, "y.npy", npyHeader(1, "|u1", "(3, 2)"), []byte{1, 2, 1, 0, 3, 0})
	lengths := write(t, "lengths.txt", []byte("2 1 1\n"))
	text := write(t, "text.txt", []byte("ab\na\nc\n"))
	ctc := []string{"ctc", x, "-logits", "-targets", y, "-target_lengths", lengths}
	spelled := []string{"align", x, "-logits", "-text", text, "-tokens", tokens, "-format", "ctm", "-frame", "1s"}
	for input, args := range map[string][]string{x: ctc, y: ctc, lengths: ctc, text: spelled, tokens: spelled} {
		raw, err := os.ReadFile(input)
		require.NoError(t, err)
		want := run(args...)
		require.Equal(t, exitOK, want.code, want.stderr)
		piped := append([]string{}, args...)
		for i, a := range piped {
			if a == input {
				piped[i] = "-"
			}
		}
		got := runWith(t, raw, piped...)
		got.stdout = strings.ReplaceAll(got.stdout, "standard input", x)
		assert.Equal(t, want, got, piped)
	}
	r := runWith(t, []byte("text"), "nll", "-", "-targets", "1")
	assert.Equal(t, result{code: exitData, stderr: "trellis: standard input: not a .npy file\n"}, r)
	r = runWith(t, nil, "nll", "-", "-targets", "-")
	assert.Equal(t, exitUsage, r.code)
}

// TestArchivesAndHalfPrecision reads what is not a .npy file of float32 or float64.
func TestArchivesAndHalfPrecision(t *testing.T) {
	values := each(func(v float64) float64 { return math.Round(64*v) / 64 }, sines())
	x := writeFloat64s(t, values, 5, 3, 4)
	want := runJSON(t, "ctc", x, "-logits", "-targets", "1,2;1;3,2,1")
	header := npyHeader(1, "<f2", "(5, 3, 4)")
	half := write(t, "half.npy", header, float16s(values))
	grad := filepath.Join(t.TempDir(), "grad.npy")
	got := runJSON(t, "ctc", half, "-logits", "-targets", "1,2;1;3,2,1", "-grad", grad)
	assert.Equal(t, "float16", got.Dtype)
	assert.Equal(t, want.Losses, got.Losses)
	raw, err := os.ReadFile(grad)
	require.NoError(t, err)
	assert.Equal(t, header, raw[:len(header)])
	assert.Len(t, raw, len(header)+2*60)

	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, file := range map[string]string{"x.npy": x, "half.npy": half} {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		w, err := z.Create(name)
		require.NoError(t, err)
		_, err = w.Write(raw)
		require.NoError(t, err)
	}
	w, err := z.Create("y.npy")
	require.NoError(t, err)
	w.Write(append(npyHeader(1, "|u1", "(6,)"), 1, 2, 1, 3, 2, 1))
	require.NoError(t, z.Close())
	archive := write(t, "all.npz", b.Bytes())
	for _, member := range []string{":x", ":half"} {
		got := runJSON(t, "ctc", archive+member, "-logits", "-targets", archive+":y", "-target_lengths", "2,1,3", "-grad", grad)
		assert.Equal(t, want.Losses, got.Losses)
	}
	r := run("ctc", archive, "-logits", "-targets", "1")
	assert.Equal(t, exitData, r.code)
	assert.Contains(t, r.stderr, archive+": 3 arrays are in it; say which, as in x.npz:")
	r = run("ctc", archive+":x", "-logits", "-targets", "1,2;1;3,2,1", "-grad", archive)
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.stderr, "-grad "+archive+": is an input\n")
}

func TestVersion(t *testing.T) {
	r := run("version")
	assert.Equal(t, exitOK, r.code)
	assert.Regexp(t, `^trellis \S.*, go1\.\d+.*, \w+/\w+, (generic|neon|avx2|avx512)\n$`, r.stdout)
}
