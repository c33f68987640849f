package command

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// result is what a run left behind.
type result struct {
	code           int
	stdout, stderr string
}

// runTool runs the tool on a quiet terminal with room for so many bytes.
func runTool(ctx context.Context, memory int, args ...string) result {
	var stdout, stderr bytes.Buffer
	t := tool{inputs: inputs{stdin: strings.NewReader("")}, stdout: &stdout, stderr: &stderr, memory: memory}
	code := t.run(ctx, args)
	return result{code, stdout.String(), stderr.String()}
}

func run(args ...string) result { return runTool(context.Background(), 1<<30, args...) }

// output is the JSON of a command, with losses as they stand there.
type output struct {
	File          string
	Dtype         string
	Shape         []int
	Reduction     string
	Loss          any
	Losses        []any
	InputLengths  []int `json:"input_lengths"`
	TargetLengths []int `json:"target_lengths"`
	Grad          string
}

func runJSON(t *testing.T, args ...string) output {
	t.Helper()
	r := run(append(args, "-json")...)
	require.Equal(t, exitOK, r.code, r.stderr)
	var out output
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &out))
	return out
}

// assertClose compares numbers of JSON.
func assertClose(t *testing.T, want []float64, got []any) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		assert.InEpsilon(t, want[i], got[i], 1e-12, "element %d", i)
	}
}

// npyHeader makes what NumPy writes before the data.
func npyHeader(version byte, descr, shape string) []byte {
	dict := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
	start := 12
	if version == 1 {
		start = 10
	}
	for (start+len(dict)+1)%64 != 0 {
		dict += " "
	}
	dict += "\n"
	header := append([]byte("\x93NUMPY"), version, 0)
	if version == 1 {
		header = binary.LittleEndian.AppendUint16(header, uint16(len(dict)))
	} else {
		header = binary.LittleEndian.AppendUint32(header, uint32(len(dict)))
	}
	return append(header, dict...)
}

// data encodes a slice of numbers of fixed size.
func data(t *testing.T, order binary.ByteOrder, values any) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, binary.Write(&b, order, values))
	return b.Bytes()
}

// pyTuple writes a shape as Python does.
func pyTuple(shape []int) string {
	if len(shape) == 1 {
		return fmt.Sprintf("(%d,)", shape[0])
	}
	return npy.Tuple(shape)
}

// write puts a file into a folder of the test.
func write(t *testing.T, name string, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, bytes.Join(parts, nil), 0o600))
	return path
}

// writeFloat64s writes a version 1 file of little-endian float64.
func writeFloat64s(t *testing.T, values []float64, shape ...int) string {
	t.Helper()
	return write(t, "x.npy", npyHeader(1, "<f8", pyTuple(shape)), data(t, binary.LittleEndian, values))
}

// sines are the logits sin(0.1(7t+13n+3c)) of shape (T,N,C) = (5,3,4).
func sines() []float64 {
	x := make([]float64, 0, 60)
	for i := range 60 {
		x = append(x, math.Sin(0.1*float64(7*(i/12)+13*(i/4%3)+3*(i%4))))
	}
	return x
}

// batchFirst swaps the first two axes.
func batchFirst(x []float64, frames, sequences, classes int) []float64 {
	out := make([]float64, 0, len(x))
	for n := range sequences {
		for t := range frames {
			out = append(out, x[(t*sequences+n)*classes:][:classes]...)
		}
	}
	return out
}

// The exact losses of sines for the targets 1,2; 1; 3,2,1.
var sineLosses = []float64{3.5236571890748943, 3.4953140629497055, 4.2626775859983157}

const sineMean = 2.2260117287177526

func TestCTCTargetsOfEveryForm(t *testing.T) {
	timeMajor := writeFloat64s(t, sines(), 5, 3, 4)
	rowMajor := writeFloat64s(t, batchFirst(sines(), 5, 3, 4), 3, 5, 4)
	padded := write(t, "y.npy", npyHeader(1, "|u1", "(3, 3)"), []byte{1, 2, 0, 1, 9, 9, 3, 2, 1})
	flat := write(t, "y.npy", npyHeader(2, "<i4", "(6,)"), data(t, binary.LittleEndian, []int32{1, 2, 1, 3, 2, 1}))
	lines := write(t, "y.txt", []byte("\ufeff1 2\r\n1\n3,2\t1\n"))
	lengths := write(t, "lengths.npy", npyHeader(1, ">i8", "(3,)"), data(t, binary.BigEndian, []int64{2, 1, 3}))
	tokens := write(t, "tokens.txt", []byte("<blank>\na\nb\nc\n"))
	for name, args := range map[string][]string{
		"inline":               {timeMajor, "-targets", "1,2;1;3,2,1"},
		"flags first":          {"-targets", "1 2; 1; 3 2 1", timeMajor},
		"two dashes":           {timeMajor, "--targets=1,2;1;3,2,1"},
		"text file":            {timeMajor, "-targets", lines},
		"inline, concatenated": {timeMajor, "-targets", "1,2,1,3,2,1", "-target_lengths", "2,1,3"},
		"inline, padded":       {timeMajor, "-targets", "1,2,0;1,0,0;3,2,1", "-target_lengths", "2,1,3"},
		".npy, padded":         {timeMajor, "-targets", padded, "-target_lengths", lengths},
		".npy, concatenated":   {timeMajor, "-targets", flat, "-target_lengths", lengths},
		"text":                 {timeMajor, "-text", "ab\na\ncba", "-tokens", tokens},
		"batch first":          {rowMajor, "-batch_first", "-targets", "1,2;1;3,2,1"},
		"input lengths":        {timeMajor, "-targets", lines, "-input_lengths", "5,5,5"},
		"one worker":           {timeMajor, "-targets", lines, "-workers", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			out := runJSON(t, append([]string{"ctc", "-logits"}, args...)...)
			assertClose(t, sineLosses, out.Losses)
			assert.InEpsilon(t, sineMean, out.Loss, 1e-12)
			assert.Equal(t, []int{2, 1, 3}, out.TargetLengths)
			assert.Equal(t, []int{5, 5, 5}, out.InputLengths)
			assert.Equal(t, "float64", out.Dtype)
			assert.Equal(t, "mean", out.Reduction)
		})
	}
}

func TestCTCOptions(t *testing.T) {
	x := writeFloat64s(t, sines(), 5, 3, 4)
	out := runJSON(t, "ctc", x, "-logits", "-targets", "1,2;1;3,2,1", "-reduction", "sum")
	assert.InEpsilon(t, sineLosses[0]+sineLosses[1]+sineLosses[2], out.Loss, 1e-12)
	out = runJSON(t, "ctc", x, "-logits", "-targets", "1,2;1;3,2,1", "-reduction", "none")
	assert.Nil(t, out.Loss)
	assertClose(t, sineLosses, out.Losses)

	unbatched := writeFloat64s(t, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, 3, 5)
	out = runJSON(t, "ctc", unbatched, "-logits", "-targets", "3,3")
	assertClose(t, []float64{7.3557431878127797}, out.Losses)

	uniform := slices.Repeat([]float64{math.Log(0.25)}, 12)
	out = runJSON(t, "ctc", writeFloat64s(t, uniform, 3, 4), "-blank", "3", "-targets", "1,2")
	assertClose(t, []float64{2.5494451709255715}, out.Losses)

	out = runJSON(t, "ctc", x, "-targets", ";;", "-input_lengths", "0,0,1")
	assert.Equal(t, []any{0.0, 0.0}, out.Losses[:2], "no frames")
	assertClose(t, []float64{-math.Sin(0.1 * 26)}, out.Losses[2:])
}

func TestNumbersThatJSONLacks(t *testing.T) {
	x := writeFloat64s(t, sines(), 5, 3, 4)
	args := []string{"ctc", x, "-logits", "-targets", "1,2;1,1,1,1;3,2,1"}
	out := runJSON(t, args...)
	assert.Equal(t, "inf", out.Losses[1])
	assert.Equal(t, "inf", out.Loss)
	out = runJSON(t, append(args, "-zero_infinity")...)
	assert.Equal(t, 0.0, out.Losses[1])

	y := writeFloat64s(t, []float64{math.NaN(), math.Inf(1), math.Inf(-1)}, 3, 1)
	out = runJSON(t, "nll", y, "-targets", "0,0,0")
	assert.Equal(t, []any{"nan", "-inf", "inf"}, out.Losses)
	assert.Equal(t, "nan", out.Loss)
	assert.Contains(t, run("nll", y, "-targets", "0,0,0").stdout, "-inf")
}

func TestClasses(t *testing.T) {
	x := writeFloat64s(t, []float64{1.2, -.8, -.5, .9, -1.2, 1.1}, 2, 3)
	out := runJSON(t, "ce", x, "-targets", "0,1")
	assertClose(t, []float64{.27612970554553755, 2.9517987958544252}, out.Losses)
	assert.InEpsilon(t, (.27612970554553755+2.9517987958544252)/2, out.Loss, 1e-12)

	x = writeFloat64s(t, []float64{.2, .3, .5, .5, .2, .3}, 2, 3)
	weight := write(t, "w.npy", npyHeader(1, ">f4", "(3,)"), data(t, binary.BigEndian, []float32{2, 4, 6}))
	for _, w := range []string{"2,4.0,6e0", weight} {
		out = runJSON(t, "ce", x, "-targets", "2,1", "-weight", w)
		assertClose(t, []float64{5.6389863650667604, 4.9593242433778402}, out.Losses)
		assert.InEpsilon(t, 1.0598310608444601, out.Loss, 1e-12)
	}

	out = runJSON(t, "nll", x, "-targets", "2,255", "-ignore_index", "255", "-weight", "1,1,3")
	assert.Equal(t, []any{-1.5, 0.0}, out.Losses)
	assert.Equal(t, -0.5, out.Loss, "the mean counts the weight 3 only")

	out = runJSON(t, "nll", writeFloat64s(t, []float64{-1, -2}, 2), "-targets", "1")
	assert.Equal(t, []any{2.0}, out.Losses, "a single row")
	grad := filepath.Join(t.TempDir(), "grad.npy")
	out = runJSON(t, "nll", x, "-targets", "-100,-100", "-grad", grad)
	assert.Equal(t, "nan", out.Loss, "nothing counts")
	assert.Equal(t, make([]float64, 6), readArray(t, grad))

	out = runJSON(t, "ce", writeFloat64s(t, []float64{1, 0}, 1, 2), "-targets", "0", "-label_smoothing", "0.5")
	assertClose(t, []float64{.75*math.Log1p(math.Exp(-1)) + .25*math.Log1p(math.E)}, out.Losses)
}

// twoImages is a file of shape (2,3,1,2) and targets with one to be ignored.
func twoImages(t *testing.T) (x, targets string) {
	x = writeFloat64s(t, []float64{-1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -12}, 2, 3, 1, 2)
	targets = write(t, "y.npy", npyHeader(1, "<i8", "(2, 1, 2)"), data(t, binary.LittleEndian, []int64{0, 2, -100, 1}))
	return x, targets
}

func TestImages(t *testing.T) {
	x, targets := twoImages(t)
	out := runJSON(t, "nll", x, "-targets", targets)
	assert.Equal(t, []any{1.0, 6.0, 0.0, 10.0}, out.Losses)
	assert.InEpsilon(t, 17.0/3, out.Loss, 1e-15)
	assert.Equal(t, x+`: float64 (2,3,1,2), log-probabilities

  row  positions  sum of losses
    0          2       7.000000
    1          1      10.000000
            mean       5.666667
`, run("nll", x, "-targets", targets).stdout)
}

func TestTables(t *testing.T) {
	x := writeFloat64s(t, sines(), 5, 3, 4)
	grad := filepath.Join(t.TempDir(), "grad.npy")
	r := run("ctc", x, "-logits", "-targets", "1,2;1;1,1,1,1", "-reduction", "sum", "-grad", grad)
	assert.Equal(t, result{stdout: x + `: float64 (5,3,4), raw scores, blank 0

  sequence  frames  labels      loss
         0       5       2  3.523657
         1       5       1  3.495314
         2       5       4       inf
                       sum       inf

gradient of the sum: ` + grad + "\n",
		stderr: "trellis: warning: " + x + ": sequence 2: its target needs 7 frames, has 5: its loss is +Inf\n"}, r)

	x = writeFloat64s(t, []float64{0, 17, 30, 0}, 2, 2)
	assert.Equal(t, x+`: float64 (2,2), raw scores

  row  target          loss
    0       0     17.000000
    1       0  9.357623e-14
`, run("ce", x, "-targets", "0,0", "-reduction", "none").stdout)
}

func TestFloat32(t *testing.T) {
	x := write(t, "x.npy", npyHeader(1, "<f4", "(1, 2)"), data(t, binary.LittleEndian, []float32{0.1, 0.7}))
	assert.Contains(t, run("nll", x, "-targets", "0", "-json", "-dtype", "float32").stdout, `"losses":[-0.1]`, "shortest float32")
	assert.Contains(t, run("nll", x, "-targets", "0", "-json").stdout, `"losses":[-0.10000000149011612]`)
}

// TestGradient compares files with what the library gives.
func TestGradient(t *testing.T) {
	values := sines()
	narrow := make([]float32, len(values))
	for i, v := range values {
		narrow[i] = float32(v)
		values[i] = float64(narrow[i])
	}
	header := npyHeader(3, ">f4", "(5, 3, 4)")
	x := write(t, "x.npy", header, data(t, binary.BigEndian, narrow))
	grad := filepath.Join(t.TempDir(), "grad.npy")
	for reduction, r := range map[string]trellis.Reduction{"mean": trellis.Mean, "sum": trellis.Sum, "none": trellis.Sum} {
		t.Run(reduction, func(t *testing.T) {
			out := runJSON(t, "ctc", x, "-logits", "-targets", "1,2;1;3,2,1", "-reduction", reduction, "-grad", grad)
			assert.Equal(t, grad, out.Grad)
			raw, err := os.ReadFile(grad)
			require.NoError(t, err)
			require.Equal(t, header, raw[:len(header)], "layout, dtype and byte order of the input")

			want := make([]float64, len(values))
			_, err = trellis.CTCLoss[float64]{Scores: trellis.Logits, Reduction: r}.Grad(want,
				trellis.Tensor[float64]{Data: values, Shape: []int{5, 3, 4}}, []int{1, 2, 1, 3, 2, 1}, nil, []int{2, 1, 3})
			require.NoError(t, err)
			got := make([]float32, len(values))
			require.NoError(t, binary.Read(bytes.NewReader(raw[len(header):]), binary.BigEndian, got))
			for i := range want {
				assert.InDelta(t, want[i], got[i], 1.0/(1<<25), "half an ulp of float32 below 1")
			}
		})
	}
	assertAlone(t, grad)
}

// TestCTCGradients takes one frame, in which the target has the label 1 for sure.
func TestCTCGradients(t *testing.T) {
	raw := writeFloat64s(t, []float64{0, math.Log(3)}, 1, 2)
	normalised := writeFloat64s(t, []float64{math.Log(0.25), math.Log(0.75)}, 1, 2)
	probs := writeFloat64s(t, []float64{0.25, 0.75}, 1, 2)
	grad := filepath.Join(t.TempDir(), "grad.npy")
	for name, c := range map[string]struct {
		args []string
		want []float64
	}{
		"default":                   {[]string{raw, "-logits"}, []float64{0.25, -0.25}},
		"logits":                    {[]string{normalised, "-gradient", "logits"}, []float64{0.25, -0.25}},
		"scores":                    {[]string{normalised, "-gradient", "scores"}, []float64{0, -1}},
		"raw, scores":               {[]string{raw, "-gradient", "scores"}, []float64{0, -1}},
		"scores within":             {[]string{raw, "-logits", "-gradient", "scores"}, []float64{0, -1}},
		"long for logits":           {[]string{raw, "-scores", "logits"}, []float64{0.25, -0.25}},
		"logits twice":              {[]string{raw, "-logits", "-scores", "logits"}, []float64{0.25, -0.25}},
		"log-probabilities by name": {[]string{normalised, "-scores", "log_probs"}, []float64{0.25, -0.25}},
		"probabilities":             {[]string{probs, "-scores", "probs"}, []float64{0.25, -0.25}},
		"probabilities, scores":     {[]string{probs, "-scores", "probs", "-gradient", "scores"}, []float64{0, -4. / 3}},
	} {
		t.Run(name, func(t *testing.T) {
			runJSON(t, append([]string{"ctc", "-targets", "1", "-grad", grad}, c.args...)...)
			assert.InDeltaSlice(t, c.want, readArray(t, grad), 1e-12)
		})
	}
}

// assertAlone checks that nothing else, no temporary file, is beside a file.
func assertAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, filepath.Base(path), entries[0].Name())
}

// TestByRowsIsTheSame reads files one row at a time, and in groups that do not
// divide the rows.
func TestByRowsIsTheSame(t *testing.T) {
	timeMajor := writeFloat64s(t, sines(), 5, 3, 4)
	rowMajor := writeFloat64s(t, batchFirst(sines(), 5, 3, 4), 3, 5, 4)
	picture, targets := twoImages(t)
	logits, probs := probabilities(t, 3, 3, 1, 2)
	for name, args := range map[string][]string{
		"time first":    {"ctc", timeMajor, "-logits", "-targets", "1,2;1;3,2,1", "-input_lengths", "5,2,4"},
		"batch first":   {"ctc", rowMajor, "-logits", "-batch_first", "-targets", "1,2;1;3,2,1", "-input_lengths", "5,2,4"},
		"nll":           {"nll", picture, "-targets", targets},
		"ce":            {"ce", picture, "-targets", targets, "-weight", "1,2,3"},
		"probabilities": {"ce", logits, "-targets", probs, "-weight", "1,2,3"},
	} {
		for _, reduction := range []string{"none", "sum", "mean"} {
			t.Run(name+" "+reduction, func(t *testing.T) {
				grad := filepath.Join(t.TempDir(), "grad.npy")
				args := append(slices.Clone(args), "-json", "-reduction", reduction, "-grad", grad)
				whole := run(args...)
				require.Equal(t, exitOK, whole.code, whole.stderr)
				wholeGrad, err := os.ReadFile(grad)
				require.NoError(t, err)
				for _, memory := range []int{0, 2 * 5 * 4 * 8} {
					assert.Equal(t, whole, runTool(context.Background(), memory, args...))
					raw, err := os.ReadFile(grad)
					require.NoError(t, err)
					assert.Equal(t, wholeGrad, raw)
				}
			})
		}
	}
}

func TestGroups(t *testing.T) {
	r := rows{blocks: 10, count: 1000, inner: 4, cost: groupCost / 100}
	assert.Equal(t, 100, r.group(1<<30, 2), "by work")
	assert.Equal(t, 400, r.group(1<<30, 100), "enough for the workers")
	assert.Equal(t, 3, r.group(3*10*4*8, 2), "by memory")
	assert.Equal(t, 1, r.group(0, 2), "at least one")
	r.target = &npy.Array{}
	assert.Equal(t, 3, r.group(2*3*10*4*8, 2), "by memory, with as much for the targets")
	r.cost = 1
	assert.Equal(t, 1000, r.group(1<<30, 2), "all")
}

func TestEmptyBatch(t *testing.T) {
	x := writeFloat64s(t, nil, 0, 3)
	assert.Equal(t, "nan", runJSON(t, "nll", x, "-targets", "").Loss)
	x = writeFloat64s(t, nil, 0, 3, 1<<30)
	out := runJSON(t, "ce", x, "-targets", "", "-reduction", "sum")
	assert.Equal(t, 0.0, out.Loss)
	assert.Equal(t, []any{}, out.Losses)
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"help", "help"}} {
		assert.Equal(t, result{stdout: help}, run(args...))
	}
	for _, command := range commandNames {
		r := run("help", command)
		assert.Equal(t, r, run(command, "-h"))
		assert.Equal(t, exitOK, r.code)
		assert.Empty(t, r.stderr)
		assert.Contains(t, r.stdout, "trellis "+command)
		assert.NotContains(t, r.stdout, "%!", "a format and its arguments do not fit")
		for line := range strings.Lines(r.stdout) {
			assert.LessOrEqual(t, len(line), 100, line)
		}
	}
	assert.Contains(t, run("ce", "-h").stdout, "-label_smoothing")
	assert.NotContains(t, run("nll", "-h").stdout, "-label_smoothing")
	assert.Contains(t, run("ce", "-h").stdout, "class\nprobabilities")
	assert.NotContains(t, run("nll", "-h").stdout, "class\nprobabilities")
}

func TestBadUsage(t *testing.T) {
	x := writeFloat64s(t, sines(), 5, 3, 4)
	for want, args := range map[string][]string{
		`unknown command "ctd"`:                  {"ctd"},
		`unknown command "ctf"`:                  {"help", "ctf"},
		"flag provided but not defined: -blnk":   {"ctc", x, "-blnk", "1"},
		`invalid value "x" for flag -blank`:      {"ctc", x, "-blank", "x"},
		"flag needs an argument: -targets":       {"ctc", x, "-targets"},
		"ctc takes one file, got none":           {"ctc", "-targets", "1"},
		"ctc takes one file, got 2: [":           {"ctc", x, "-targets", "1", x},
		"want either -targets or -text":          {"ctc", x},
		"ctc: want either -targets":              {"ctc", x, "-targets", "1", "-text", "a", "-tokens", "t"},
		"-text and -tokens go together":          {"ctc", x, "-text", "a"},
		"ctc: -text and -tokens":                 {"ctc", x, "-targets", "1", "-tokens", "t"},
		"ctc: -gradient goes with -grad":         {"ctc", x, "-targets", "1;1;1", "-gradient", "logits"},
		`-gradient "x": want logits or scores`:   {"ctc", x, "-targets", "1;1;1", "-gradient", "x", "-grad", "grad.npy"},
		`-scores "x": want log_probs, logits or`: {"ctc", x, "-targets", "1;1;1", "-scores", "x"},
		"-logits contradicts -scores probs":      {"ctc", x, "-targets", "1;1;1", "-scores", "probs", "-logits"},
		"nll: want -targets":                     {"nll", x},
		`-reduction "max": want none, mean`:      {"nll", x, "-targets", "1", "-reduction", "max"},
		`-dtype "float16": want float32`:         {"nll", x, "-targets", "1", "-dtype", "float16"},
		"-blank: class 4 outside [0,4)":          {"ctc", x, "-targets", "1;1;1", "-blank", "4"},
		"-workers: -1: negative":                 {"ctc", x, "-targets", "1;1;1", "-workers", "-1"},
		"-label_smoothing: 1.5: ":                {"ce", writeFloat64s(t, []float64{1, 2}, 1, 2), "-targets", "1", "-label_smoothing", "1.5"},
		"-grad " + x + ": is an input":           {"ctc", x, "-targets", "1;1;1", "-grad", x},
		"-grad: want the name of a file":         {"ctc", x, "-targets", "1;1;1", "-grad", ""},
		"-grad .: not a regular file":            {"ctc", x, "-targets", "1;1;1", "-grad", "."},
		"flag provided but not defined: -logit":  {"nll", x, "-targets", "1", "-logits"},
	} {
		t.Run(want, func(t *testing.T) {
			r := run(args...)
			assert.Equal(t, exitUsage, r.code)
			assert.Empty(t, r.stdout)
			assert.Contains(t, r.stderr, want)
			assert.Contains(t, r.stderr, "Run \"trellis "+helpFor(args)+"\"")
		})
	}
}

func TestBadData(t *testing.T) {
	x := writeFloat64s(t, sines(), 5, 3, 4)
	rows := writeFloat64s(t, sines(), 15, 4)
	picture, _ := twoImages(t)
	text := func(s string) string { return write(t, "list.txt", []byte(s)) }
	ints := func(shape string, values ...uint8) string {
		return write(t, "y.npy", npyHeader(1, "|u1", shape), values)
	}
	floats := writeFloat64s(t, []float64{1, 2, 3}, 3)
	missing := filepath.Join(t.TempDir(), "missing", "grad.npy")
	empty := writeFloat64s(t, nil, 2, 0)
	cut := write(t, "cut.npy", npyHeader(1, "<f4", "(2, 3)"), make([]byte, 23))
	large := write(t, "y.npy", npyHeader(1, "<u8", "(2,)"), data(t, binary.LittleEndian, []uint64{7, 1 << 63}))
	for want, args := range map[string][]string{
		"no such file":              {"ctc", "missing.npy", "-targets", "1"},
		"list.txt: not a .npy file": {"ctc", text("some text, no array"), "-targets", "1"},
		"cut.npy: truncated: (2,3) of float32 takes 24 b": {"nll", cut, "-targets", "1"},
		"y.npy: dtype uint8: want floats\n":               {"ce", ints("(1, 3)", 1, 2, 3), "-targets", "1"},
		"y.npy: element 1 is too large\n":                 {"ctc", rows, "-targets", large},
		"shape (3): want (T,N,C), (T,C)":                  {"ctc", floats, "-targets", "1"},
		"shape (): want (C)":                              {"nll", writeFloat64s(t, []float64{1}), "-targets", "1"},
		"list.txt: sequence 2, position 1: label 99 outs": {"ctc", x, "-targets", text("1\n2\n3 99\n")},
		"-targets: sequence 1, position 0: label -1 outs": {"ctc", x, "-targets", "1;-1;2"},
		"sequence 0, position 1: label 0 is the blank":    {"ctc", x, "-targets", "1,0;1;2"},
		`list.txt: line 2: "two" is not a number`:         {"ctc", x, "-targets", text("1\n2,two\n3\n")},
		`-targets: sequence 1: "--3" is not a number`:     {"ctc", x, "-targets", "1;--3"},
		`line 1: "1.5" is not a number`:                   {"ctc", x, "-targets", text("1.5")},
		`-targets "1,2,x": neither numbers nor a file`:    {"ctc", x, "-targets", "1,2,x"},
		"aaaa\": neither numbers nor a file":              {"ctc", x, "-targets", strings.Repeat("a", 300)},
		"x.npy: dtype float64: want integers":             {"ctc", x, "-targets", floats},
		"targets for 2 sequences, " + x + " holds 3":      {"ctc", x, "-targets", "1;2"},
		"-input_lengths: 2 lengths, ":                     {"ctc", x, "-targets", "1;2;3", "-input_lengths", "5,5"},
		"-input_lengths: sequence 1: 6 frames outside":    {"ctc", x, "-targets", "1;2;3", "-input_lengths", "5,6,5"},
		"list.txt: sequence 0: -1 frames outside [0,5]":   {"ctc", x, "-targets", "1;2;3", "-input_lengths", text("-1 5 5")},
		"-target_lengths: 1 lengths, ":                    {"ctc", x, "-targets", "1;2;3", "-target_lengths", "1"},
		"-target_lengths: sequence 2: length 2 outside":   {"ctc", x, "-targets", "1;2;3", "-target_lengths", "1,1,2"},
		"-target_lengths: sequence 1: length -1 outside":  {"ctc", x, "-targets", ints("(3, 1)", 1, 2, 3), "-target_lengths", "1,-1,1"},
		"3 labels in 1 rows, -target_lengths has 3 lengt": {"ctc", x, "-targets", "1,2,3", "-target_lengths", "1,1,2"},
		"4 labels in 2 rows, -target_lengths has 3 lengt": {"ctc", x, "-targets", "1,2;3,1", "-target_lengths", "1,1,2"},
		"row 14: class 4 outside [0,4)":                   {"nll", rows, "-targets", "0,0,0,0,0,0,0,0,0,0,0,0,0,0,4"},
		"row 1, position (0,1): class 3 outside [0,3)":    {"ce", picture, "-targets", ints("(2, 1, 2)", 0, 1, 2, 3)},
		"y.npy: shape (4), want (2,1,2) for ":             {"ce", picture, "-targets", ints("(4,)", 0, 1, 2, 2)},
		"-targets: 3 targets, want 4 for ":                {"ce", picture, "-targets", "0,1,2"},
		"x.npy: shape (2,0): no classes":                  {"ce", empty, "-targets", empty},
		"-weight: 0 weights, ":                            {"ce", picture, "-targets", "0,1,2,0", "-weight", ""},
		"-weight: 2 weights, ":                            {"ce", picture, "-targets", "0,1,2,0", "-weight", "1,2"},
		`-weight: sequence 0: "1e" is not a number`:       {"ce", picture, "-targets", "0,1,2,0", "-weight", "1e"},
		missing[:len(missing)-len("grad.npy")]:            {"nll", picture, "-targets", "0,1,2,0", "-grad", missing},
	} {
		t.Run(want, func(t *testing.T) {
			r := run(args...)
			assert.Equal(t, exitData, r.code)
			assert.Empty(t, r.stdout)
			assert.Contains(t, r.stderr, want)
			assert.Equal(t, 1, strings.Count(r.stderr, "\n"), "one line")
		})
	}
}

func TestErrorLeavesTheOldGradient(t *testing.T) {
	x := writeFloat64s(t, sines(), 5, 3, 4)
	grad := write(t, "grad.npy", []byte("old"))
	require.Equal(t, exitData, run("ctc", x, "-targets", "1;2;9", "-grad", grad).code)
	raw, err := os.ReadFile(grad)
	require.NoError(t, err)
	assert.Equal(t, "old", string(raw))
	assertAlone(t, grad)
}

func TestGradientInPlaceOfAnInput(t *testing.T) {
	x := writeFloat64s(t, sines(), 5, 3, 4)
	labels := write(t, "y.txt", []byte("1\n2\n3\n"))
	array := write(t, "y.npy", npyHeader(1, "|u1", "(3, 1)"), []byte{1, 2, 3})
	tokens := write(t, "tokens.txt", []byte("_\na\nb\nc\n"))
	lengths := write(t, "lengths.txt", []byte("1 1 1"))
	logits := writeFloat64s(t, []float64{1, 2, 3}, 3)
	class := write(t, "y.npy", npyHeader(1, "|u1", "()"), []byte{1})
	for name, c := range map[string]struct {
		input string
		args  []string
	}{
		"text":           {labels, []string{"ctc", x, "-targets", labels}},
		"array":          {array, []string{"ctc", x, "-targets", array}},
		"tokens":         {tokens, []string{"ctc", x, "-text", "a\nb\nc", "-tokens", tokens}},
		"input lengths":  {lengths, []string{"ctc", x, "-targets", "1;2;3", "-input_lengths", lengths}},
		"target lengths": {lengths, []string{"ctc", x, "-targets", "1;2;3", "-target_lengths", lengths}},
		"classes":        {class, []string{"nll", logits, "-targets", class}},
		"weights":        {lengths, []string{"ce", logits, "-targets", "1", "-weight", lengths}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, exitOK, run(c.args...).code)
			before, err := os.ReadFile(c.input)
			require.NoError(t, err)
			link := filepath.Join(filepath.Dir(c.input), "link")
			require.NoError(t, os.Link(c.input, link))
			defer os.Remove(link)
			for _, grad := range []string{c.input, link} {
				r := run(append(c.args, "-grad", grad)...)
				assert.Equal(t, exitUsage, r.code)
				assert.Contains(t, r.stderr, "-grad "+grad+": is an input\n")
			}
			after, err := os.ReadFile(c.input)
			require.NoError(t, err)
			assert.Equal(t, before, after)
		})
	}
}

// TestGradientBesideWhatWasLeft is for a process that has the number of one that
// was killed, as the first of a container does.
func TestGradientBesideWhatWasLeft(t *testing.T) {
	x := writeFloat64s(t, []float64{-1, -2}, 2)
	grad := filepath.Join(t.TempDir(), "grad.npy")
	require.NoError(t, os.WriteFile(fmt.Sprintf("%s.%d.tmp", grad, os.Getpid()), nil, 0o600))
	runJSON(t, "nll", x, "-targets", "1", "-grad", grad)
	assert.Equal(t, []float64{0, -1}, readArray(t, grad))
}

func TestListThatIsTooLong(t *testing.T) {
	header := npyHeader(1, "|u1", fmt.Sprintf("(%d,)", maxList+1))
	name := write(t, "y.npy", header)
	require.NoError(t, os.Truncate(name, int64(len(header)+maxList+1)))
	_, err := readInts(&inputs{}, "-targets", name)
	assert.ErrorContains(t, err, "y.npy: shape (268435457): more than 268435456 numbers")
}

// criterionFunc is a criterion that only has losses.
type criterionFunc func()

func (f criterionFunc) Losses([]float64, part[float64]) error { f(); return nil }
func (f criterionFunc) Grad(part[float64]) error              { return nil }

func TestInterrupt(t *testing.T) {
	path := writeFloat64s(t, sines(), 15, 4)
	grad := write(t, "grad.npy", []byte("old"))
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	r := runTool(cancelled, 1<<30, "nll", path, "-targets", strings.Repeat("0,", 15), "-grad", grad)
	assert.Equal(t, result{code: exitInterrupted, stderr: "trellis: interrupted\n"}, r)
	assertAlone(t, grad)

	// While the library is at work, which cannot be stopped.
	x, err := npy.Open(path)
	require.NoError(t, err)
	defer x.Close()
	ctx, cancel := context.WithCancel(context.Background())
	release := make(chan struct{})
	defer close(release)
	work := criterionFunc(func() { cancel(); <-release })
	r2 := rows{Array: x, blocks: 1, count: 15, inner: 4, losses: 1, cost: 4}
	_, err = compute(ctx, &tool{memory: 1 << 30}, &lossOptions{grad: grad}, r2, work)
	assert.ErrorIs(t, err, context.Canceled)
	assertAlone(t, grad)
	raw, err := os.ReadFile(grad)
	require.NoError(t, err)
	assert.Equal(t, "old", string(raw))

	// Before a row is read, and before it is written.
	x.Close()
	work = func() { t.Error("read from a closed file") }
	assert.ErrorIs(t, computeGroup(cancelled, r2, work, nil, part[float64]{n: 15, x: make([]float64, 60)}, nil), context.Canceled)
	assert.ErrorIs(t, writeFloats(cancelled, &gradient{x: x}, make([]float64, 4), 0), context.Canceled)
}

// TestInterruptWhileNobodyReads stops in the middle of a table.
func TestInterruptWhileNobodyReads(t *testing.T) {
	const n = 1 << 12
	x := writeFloat64s(t, make([]float64, n), n, 1)
	ctx, cancel := context.WithCancel(context.Background())
	release := make(chan struct{})
	defer close(release)
	var stderr bytes.Buffer
	tool := tool{memory: 1 << 30, stderr: &stderr, stdout: writerFunc(func(p []byte) (int, error) {
		cancel()
		<-release
		return len(p), nil
	})}
	assert.Equal(t, exitInterrupted, tool.run(ctx, []string{"nll", x, "-targets", strings.Repeat("0 ", n)}))
	assert.Equal(t, "trellis: interrupted\n", stderr.String())
}

func TestOutputThatCannotBeWritten(t *testing.T) {
	failure := errors.New("disk full")
	var stderr bytes.Buffer
	tool := tool{stdout: writerFunc(func([]byte) (int, error) { return 0, failure }), stderr: &stderr}
	for _, args := range [][]string{{"help"}, {"help", "ctc"}} {
		stderr.Reset()
		assert.Equal(t, exitData, tool.run(context.Background(), args))
		assert.Equal(t, "trellis: disk full\n", stderr.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestProgress(t *testing.T) {
	x := writeFloat64s(t, sines(), 15, 4)
	for _, terminal := range []bool{true, false} {
		var stdout, stderr bytes.Buffer
		tool := tool{stdout: &stdout, stderr: &stderr, terminal: terminal}
		require.Equal(t, exitOK, tool.run(context.Background(), []string{"ce", x, "-targets", strings.Repeat("0 ", 15)}))
		if !terminal {
			assert.Empty(t, stderr.String())
			continue
		}
		assert.Contains(t, stderr.String(), "(14/15")
		assert.True(t, strings.HasSuffix(stderr.String(), "\033[2K\r"), "the bar is gone at the end")
	}
}

// testdata returns the path of a file in the folder of the test data, which is not part of the
// repository, or skips the test.
func testdata(t *testing.T, path ...string) string {
	t.Helper()
	folder := os.Getenv("TRELLIS_TESTDATA")
	if folder == "" {
		t.Skip("TRELLIS_TESTDATA is not set")
	}
	return filepath.Join(append([]string{folder}, path...)...)
}

func TestRealEmissions(t *testing.T) {
	for folder, c := range map[string]struct {
		loss  string
		flags []string
	}{
		"emissions/harald_line":  {"28.090721", []string{"-logits", "-blank", "79"}},
		"emissions/ctclib_libri": {"32.298191", nil},
	} {
		t.Run(folder, func(t *testing.T) {
			raw, err := os.ReadFile(testdata(t, folder, "index.json"))
			require.NoError(t, err)
			var index struct {
				Labels     []string
				Transcript string
				Targets    []int `json:"target_tokens"`
			}
			require.NoError(t, json.Unmarshal(raw, &index))
			x := testdata(t, folder, "emissions.npy")
			targets := strings.Trim(fmt.Sprint(index.Targets), "[]")
			r := run(append([]string{"ctc", x, "-targets", targets}, c.flags...)...)
			assert.Contains(t, r.stdout, "  "+c.loss+"\n", r.stderr)

			tokens := write(t, "tokens.txt", []byte(strings.Join(index.Labels, "\n")))
			spelled := run(append([]string{"ctc", x, "-text", index.Transcript, "-tokens", tokens}, c.flags...)...)
			assert.Equal(t, r, spelled)
		})
	}
}

// A recogniser of printed text has probabilities, of 6625 classes.
func TestRealProbabilities(t *testing.T) {
	folder := testdata(t, "ocr", "line_0")
	r := run("ctc", filepath.Join(folder, "emissions.npy"), "-scores", "probs", "-dtype", "float64",
		"-text", "The quick brown fox jumps over 13 lazy dogs.", "-tokens", filepath.Join(folder, "classes.txt"))
	assert.Contains(t, r.stdout, "probabilities, blank 0", r.stderr)
	assert.Contains(t, r.stdout, "  1.043633\n", r.stderr)
}

func TestHelpOfHelp(t *testing.T) {
	for _, args := range [][]string{{"help", "-h"}, {"-h", "-h"}, {"help", "help"}, {"help", "--help"}} {
		r := run(args...)
		assert.Equal(t, result{code: exitOK, stdout: help}, r, args)
	}
}
