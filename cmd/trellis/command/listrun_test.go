package command

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gotrellis/trellis/internal/npy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// corpusFolder makes a folder with a list of 5 small recordings, the third of which is missing, and
// the tokens of their texts.
func corpusFolder(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "sub"), 0o777))
	list := "speaker\temissions\ttext\n"
	for i, text := range []string{"ab", "ca", "b", "", "cc"} {
		name := fmt.Sprintf("sub/%d.npy", i)
		list += fmt.Sprintf("s%d\t%s\t%s\n", i, name, text)
		if i != 2 {
			x := writeFloat64s(t, sines()[i*4:][:40], 10, 4)
			require.NoError(t, os.Rename(x, filepath.Join(folder, name)))
		}
	}
	writeIn(t, folder, "tokens.txt", "<blank>\na\nb\nc\n")
	writeIn(t, folder, "list.tsv", list)
	return folder
}

// writeIn writes a file into a folder.
func writeIn(t testing.TB, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func readString(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// listArgs are the arguments for a list of corpusFolder, or of the same name as there.
func listArgs(command, folder, results string, more ...string) []string {
	return append([]string{
		command, "-list", filepath.Join(folder, "list.tsv"), "-logits", "-tokens", filepath.Join(folder, "tokens.txt"),
		"-o", filepath.Join(folder, results),
	}, more...)
}

// allButOne is what a list with a file that is missing leaves behind.
func allButOne(results string) result {
	return result{code: exitFailed, stderr: "trellis: 1 of 5 files failed: their lines in " + results + " say why\n"}
}

// runList runs a command with a list of corpusFolder and returns its results.
func runList(t *testing.T, command, folder, results string, more ...string) string {
	t.Helper()
	path := filepath.Join(folder, results)
	r := run(listArgs(command, folder, results, more...)...)
	assert.Equal(t, exitFailed, r.code)
	assert.Equal(t, allButOne(path).stderr, r.stderr)
	return readString(t, path)
}

// listLine is a line of results.
type listLine struct {
	File, Key, Speaker, Error string
	Warnings                  []string
	Loss                      any
	Sequences                 []any
}

func parseResults(t *testing.T, results string) (all []listLine) {
	t.Helper()
	for line := range strings.Lines(results) {
		var l listLine
		require.NoError(t, json.Unmarshal([]byte(line), &l), line)
		all = append(all, l)
	}
	return all
}

// A list gives the results of its files, in their order; one that fails has a line, too.
func TestList(t *testing.T) {
	for _, command := range []string{"ctc", "align", "decode"} {
		t.Run(command, func(t *testing.T) {
			folder := corpusFolder(t)
			results := runList(t, command, folder, "results.jsonl")
			lines := parseResults(t, results)
			require.Len(t, lines, 5)
			keys := map[string]bool{}
			for i, l := range lines {
				assert.Equal(t, fmt.Sprintf("sub/%d.npy", i), l.File)
				assert.Equal(t, fmt.Sprintf("s%d", i), l.Speaker)
				assert.Len(t, l.Key, 16)
				keys[l.Key] = true
				if i == 2 {
					assert.Equal(t, "open "+filepath.Join(folder, "sub/2.npy")+": no such file or directory", l.Error)
					continue
				}
				assert.Empty(t, l.Error)
				assert.Equal(t, command == "ctc", l.Loss != nil)
				assert.Equal(t, command == "ctc", l.Sequences == nil)
			}
			assert.Len(t, keys, 5)

			corpus, err := NewCorpus([]string{command, "-logits", "-tokens", filepath.Join(folder, "tokens.txt")}, nil)
			require.NoError(t, err)
			columns, err := corpus.Columns("speaker\temissions\ttext")
			require.NoError(t, err)
			raw, err := os.ReadFile(filepath.Join(folder, "sub/4.npy"))
			require.NoError(t, err)
			last := corpus.Do(columns.Item("s4\tsub/4.npy\tcc"), raw)
			assert.Equal(t, string(last.Line), results[strings.LastIndex(results[:len(results)-1], "\n")+1:])

			for _, workers := range []string{"1", "2", "7"} {
				assert.Equal(t, results, runList(t, command, folder, workers, "-workers", workers))
			}
		})
	}
}

// The error rates of all files are printed, of those that an earlier process did, too.
func TestListWithReferences(t *testing.T) {
	folder := corpusFolder(t)
	first := run(listArgs("decode", folder, "results.jsonl")...)
	assert.Contains(t, first.stdout, "  files  characters  errors")
	assert.Contains(t, first.stdout, "\n      4           6 ")
	assert.Equal(t, first, run(listArgs("decode", folder, "results.jsonl", "-resume")...))
	assert.Empty(t, run("decode", "-list", filepath.Join(folder, "list.tsv"), "-o", os.DevNull, "-logits").stdout)
}

// A line of a list that is no good does no harm to others.
func TestBadLines(t *testing.T) {
	folder := corpusFolder(t)
	writeIn(t, folder, "no.npy", "text")
	ints := write(t, "x", npyHeader(1, "<i4", "(1, 4)"), make([]byte, 16))
	require.NoError(t, os.Rename(ints, filepath.Join(folder, "ints.npy")))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "short.npy"), npyHeader(1, "<f4", "(3, 4)"), 0o600))
	for line, want := range map[string]string{
		"sub/0.npy":           "the first line of the list names 2 columns, this one has 1",
		"sub/0.npy\ta\tb":     "the first line of the list names 2 columns, this one has 3",
		"\ta":                 `no file in column "emissions"`,
		"sub\ta":              folder + "/sub: not a regular file",
		"no.npy\ta":           "no.npy: not a .npy file",
		"ints.npy\ta":         "ints.npy: dtype int32: want floats",
		"short.npy\ta":        "short.npy: truncated: (3,4) of float32 takes 48 bytes, the file has 0",
		"sub/0.npy\tax":       "column text: sequence 0, character 1: no token of " + folder + "/tokens.txt for 'x'",
		"sub/0.npy:logits\ta": "open " + folder + "/sub/0.npy:logits: no such file or directory",
	} {
		writeIn(t, folder, "list.tsv", "emissions\ttext\n"+line+"\nsub/0.npy\tab\n")
		r := run(append(listArgs("ctc", folder, "x"), "-o", "-")...)
		assert.Equal(t, exitFailed, r.code)
		lines := parseResults(t, r.stdout)
		require.Len(t, lines, 2)
		assert.Equal(t, want, lines[0].Error)
		assert.NotNil(t, lines[1].Loss)
	}
}

// What is likely a mistake stands in the line, or with -strict is an error there.
func TestWarningsOfAList(t *testing.T) {
	folder := corpusFolder(t)
	args := []string{"ctc", "-list", filepath.Join(folder, "list.tsv"), "-tokens", filepath.Join(folder, "tokens.txt")}
	lines := parseResults(t, run(args...).stdout)
	require.Len(t, lines, 5)
	require.NotEmpty(t, lines[0].Warnings)
	assert.Contains(t, lines[0].Warnings[0], "sub/0.npy: the probabilities of 10 of 10 frames do not add up to 1")
	strict := parseResults(t, run(append(args, "-strict")...).stdout)
	assert.Equal(t, lines[0].Warnings[0], strict[0].Error)
	assert.Nil(t, strict[0].Loss)
}

// Windows' ends of lines, empty lines, a last line without an end, and names from the root, and a list that comes
// through a pipe, from where names are relative to the current folder.
func TestFormsOfLists(t *testing.T) {
	folder := corpusFolder(t)
	name := filepath.Join(folder, "sub/0.npy")
	one := run(append(listArgs("ctc", folder, "x"), "-o", "-")...).stdout
	loss := parseResults(t, one)[0].Loss
	for _, list := range []string{
		"\ufeffemissions\ttext\r\nsub/0.npy\tab\r\n\r\n",
		"text\temissions\tb<b\nab\t" + name + "\t<&>\n",
		"emissions\ttext\n\n\nsub/0.npy\tab",
		"emissions\ttargets\ttext\n" + name + "\t1,2\tab\n",
	} {
		writeIn(t, folder, "list.tsv", list)
		lines := parseResults(t, run(append(listArgs("ctc", folder, "x"), "-o", "-")...).stdout)
		require.Len(t, lines, 1, list)
		assert.Equal(t, loss, lines[0].Loss, list)
	}
	writeIn(t, folder, "list.tsv", "emissions\ttargets\nsub/0.npy\t1,2\n")
	args := []string{"ctc", "-logits", "-list"}
	lines := parseResults(t, run(append(args, filepath.Join(folder, "list.tsv"))...).stdout)
	assert.Equal(t, loss, lines[0].Loss)
	t.Chdir(folder)
	r := runWith(t, []byte("emissions\ttargets\nsub/0.npy\t1,2\n"), append(args, "-")...)
	assert.Equal(t, exitOK, r.code, r.stderr)
	assert.Equal(t, loss, parseResults(t, r.stdout)[0].Loss)
}

// A header that names no columns, or wrong ones.
func TestHeadersOfLists(t *testing.T) {
	folder := corpusFolder(t)
	for header, want := range map[string]string{
		"":                        "the list is empty",
		"a.npy\tab\n":             `the first line, "a.npy\tab", names no column "emissions"; it names the columns, with tabs between them, as in "emissions\ttext"`,
		"emissions text\n":        `the first line, "emissions text", names no column "emissions"; it names the columns, with tabs between them, as in "emissions\ttext"`,
		"\xff\xfee\x00m\x00":      "the list is in UTF-16; save it in UTF-8",
		"emissions\n":             `the first line names no column "text"`,
		"emissions\ttext\t\n":     "column 3 has no name",
		"emissions\ttext\ttext\n": `two columns are called "text"`,
		"emissions\ttext\tloss\n": `column 3 is called "loss", as a part of the results is`,
	} {
		list := writeIn(t, folder, "list.tsv", header)
		r := run(listArgs("ctc", folder, "results")...)
		assert.Equal(t, result{code: exitData, stderr: "trellis: " + list + ": " + want + "\n"}, r)
	}
	list := writeIn(t, folder, "list.tsv", "emissions\ttext\n")
	r := run("align", "-list", list)
	assert.Equal(t, "trellis: "+list+": the first line names no column \"targets\"; for the text there, say -tokens\n", r.stderr)
	assert.NoFileExists(t, filepath.Join(folder, "results"))
	writeIn(t, folder, "list.tsv", "emissions\ttext\n"+strings.Repeat("x", maxLine+1))
	r = run(listArgs("ctc", folder, "results")...)
	assert.Equal(t, "trellis: "+list+": line 2 is longer than 16 MiB\n", r.stderr)
}

// Every part of a name that a command's JSON has is one that a column cannot have.
func TestReservedColumns(t *testing.T) {
	for _, command := range []string{"ctc", "align", "decode"} {
		folder := corpusFolder(t)
		first, _, _ := strings.Cut(runList(t, command, folder, "results"), "\n")
		var parts map[string]any
		require.NoError(t, json.Unmarshal([]byte(first), &parts))
		delete(parts, "speaker")
		for name := range parts {
			assert.Contains(t, reserved, name)
		}
	}
}

func TestOptionsOfLists(t *testing.T) {
	folder := corpusFolder(t)
	list := filepath.Join(folder, "list.tsv")
	there := writeIn(t, folder, "there", "x\n")
	for want, args := range map[string][]string{
		"ctc: -o goes with -list":                                 {"ctc", "x.npy", "-targets", "1", "-o", "x"},
		"align: -resume goes with -list":                          {"align", "x.npy", "-targets", "1", "-resume"},
		"decode: -list names the files, got \"x.npy\", too":       {"decode", "x.npy", "-list", list, "-tokens", "x"},
		"ctc: -targets goes with one file, not with -list":        {"ctc", "-list", list, "-targets", "1"},
		"align: -svg goes with one file, not with -list":          {"align", "-list", list, "-svg", "x.svg"},
		"align: -list writes JSON, not -format srt":               {"align", "-list", list, "-format", "srt", "-frame", "1s"},
		"-workers -1: want 0 or more":                             {"ctc", "-list", list, "-workers", "-1"},
		"ctc: -resume and -retry go with -o FILE":                 {"ctc", "-list", list, "-resume"},
		"ctc: want either -resume or -retry":                      {"ctc", "-list", list, "-o", "x", "-resume", "-retry"},
		"invalid value \"0/4\" for flag -shard: want K/N with K":  {"ctc", "-list", list, "-shard", "0/4"},
		"invalid value \"5/4\" for flag -shard: want K/N with K":  {"ctc", "-list", list, "-shard", "5/4"},
		"invalid value \"1\" for flag -shard: want K/N with K":    {"ctc", "-list", list, "-shard", "1"},
		"-o " + there + ": the file exists; -resume goes on with": {"ctc", "-list", list, "-logits", "-tokens", filepath.Join(folder, "tokens.txt"), "-o", there},
		"-o " + folder + ": not a regular file, with which one":   {"ctc", "-list", list, "-logits", "-tokens", filepath.Join(folder, "tokens.txt"), "-o", folder, "-resume"},
		"decode: want -tokens, of which texts are made":           {"decode", "-list", list},
		"only one of the files can be -, the standard input":      {"ctc", "-list", "-", "-tokens", "-"},
	} {
		r := run(args...)
		assert.Equal(t, exitUsage, r.code, want)
		assert.Contains(t, r.stderr, "trellis: "+want)
	}
	assert.Equal(t, "x\n", readString(t, there))
}

// The shards of a list are all of it, each file once.
func TestShards(t *testing.T) {
	folder := corpusFolder(t)
	whole := strings.SplitAfter(runList(t, "ctc", folder, "whole"), "\n")
	var parts [3][]string
	for k := range parts {
		name := fmt.Sprint(k)
		run(listArgs("ctc", folder, name, "-shard", fmt.Sprintf("%d/3", k+1))...)
		parts[k] = strings.SplitAfter(readString(t, filepath.Join(folder, name)), "\n")
	}
	for i, line := range whole[:5] {
		assert.Equal(t, line, parts[i%3][i/3])
	}
	assert.Equal(t, [3]int{3, 3, 2}, [3]int{len(parts[0]), len(parts[1]), len(parts[2])}, "with the empty end")
}

// failingWriter takes so many bytes.
type failingWriter struct {
	bytes.Buffer
	left int
}

var errFull = errors.New("no space left on device")

func (w *failingWriter) Write(p []byte) (int, error) {
	n, _ := w.Buffer.Write(p[:min(w.left, len(p))])
	w.left -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// Wherever the disk was full, or the process killed, the next one goes on there.
func TestResume(t *testing.T) {
	folder := corpusFolder(t)
	want := runList(t, "ctc", folder, "whole")
	path := filepath.Join(folder, "results")
	for n := range len(want) + 1 {
		if end := strings.LastIndexByte(want[:n], '\n') + 1; n > end+1 && n < len(want) && want[n] != '\n' && n%41 != 0 {
			continue // in a line it is hardly different
		}
		w := &failingWriter{left: n}
		tool := tool{stdout: w, stderr: &bytes.Buffer{}, memory: 1 << 30}
		code := tool.run(context.Background(), listArgs("ctc", folder, "x", "-o", "-"))
		if n < len(want) {
			assert.Equal(t, exitData, code)
		}
		require.Equal(t, want[:n], w.String())
		writeIn(t, folder, "results", w.String())
		assert.Equal(t, want, runList(t, "ctc", folder, "results", "-resume"))
	}
	assert.Equal(t, want, runList(t, "ctc", folder, "results", "-resume"), "there is nothing to do")
	last := strings.LastIndexByte(want[:len(want)-1], '\n') + 1
	writeIn(t, folder, "results", want[:last]+`{"file":"sub/4.npy","longer":"`+strings.Repeat("x", 1000))
	assert.Equal(t, want, runList(t, "ctc", folder, "results", "-resume"), "half a line that is longer than the whole one will be")
	require.NoError(t, os.Remove(path))
	assert.Equal(t, want, runList(t, "ctc", folder, "results", "-resume"), "there is all to do")
}

// Nothing is written behind a line that could not be written, even if there is room again.
func TestNothingBehindWhatIsLost(t *testing.T) {
	w := &failingWriter{left: 3}
	r := &results{lines: w}
	require.NoError(t, r.put([]byte("one\n")))
	assert.Equal(t, errFull, r.flush())
	w.left = 100
	assert.Equal(t, errFull, r.put([]byte("two\n")))
	assert.Equal(t, errFull, r.flush())
	assert.Equal(t, "one", w.String())
}

// Results are left alone that are not of the same list and options.
func TestResultsOfOthers(t *testing.T) {
	folder := corpusFolder(t)
	path := filepath.Join(folder, "results")
	results := runList(t, "ctc", folder, "results")
	list := readString(t, filepath.Join(folder, "list.tsv"))
	another := path + `: line 1 is of "sub/0.npy", in the list it is "sub/1.npy": it is another list, or another shard`
	options := path + `: line 1, of "sub/0.npy", was made with other options, tokens or another text`
	for name, c := range map[string]struct {
		list, results string
		more          []string
		want          string
	}{
		"another order":   {strings.ReplaceAll(strings.ReplaceAll(list, "0.npy", "4.npy"), "4.npy", "1.npy"), results, nil, another},
		"another text":    {strings.Replace(list, "ab", "ba", 1), results, nil, options},
		"another speaker": {strings.Replace(list, "s0", "s9", 1), results, nil, options},
		"other options":   {list, results, []string{"-zero_infinity"}, options},
		"another shard":   {list, results, []string{"-shard", "2/2"}, another},
		"a longer list": {list[:len(list)-len("s4\tsub/4.npy\tcc\n")], results, nil,
			path + `: line 5 is of "sub/4.npy", and the list ends before it: it is another list, or another shard`},
		"no results":     {list, "{}\n" + results, nil, path + ": line 1 is no result of a list"},
		"no JSON":        {list, "emissions\n" + results, nil, path + ": line 1 is no result of a list"},
		"no last result": {list, results + "x", nil, path + ": its last line is not the beginning of a result"},
		"the list":       {list, list, nil, path + ": line 1 is no result of a list"},
	} {
		t.Run(name, func(t *testing.T) {
			writeIn(t, folder, "list.tsv", c.list)
			writeIn(t, folder, "results", c.results)
			r := run(listArgs("ctc", folder, "results", append(c.more, "-resume")...)...)
			assert.Equal(t, result{code: exitData, stderr: "trellis: " + c.want + "\n"}, r)
			assert.Equal(t, c.results, readString(t, path))
		})
	}
	writeIn(t, folder, "list.tsv", list)
	writeIn(t, folder, "results", results)
	writeIn(t, folder, "tokens.txt", "<blank>\nb\na\nc\n")
	r := run(listArgs("ctc", folder, "results", "-resume")...)
	assert.Equal(t, "trellis: "+options+"\n", r.stderr)
}

// The name of a file of tokens does not matter, what is in it does.
func TestKeysOfContents(t *testing.T) {
	folder := corpusFolder(t)
	key := func(args ...string) string {
		corpus, err := NewCorpus(append([]string{"decode"}, args...), nil)
		require.NoError(t, err)
		columns, err := corpus.Columns("emissions")
		require.NoError(t, err)
		return columns.Item("x").keyText()
	}
	tokens := filepath.Join(folder, "tokens.txt")
	other := writeIn(t, folder, "other", readString(t, tokens))
	a, b := writeIn(t, folder, "a", "a\nb\n"), writeIn(t, folder, "b", "a\nb\n")
	assert.Equal(t, key("-tokens", tokens), key("-tokens", other, "-workers", "3", "-json"))
	assert.Equal(t, key("-tokens", tokens, "-beam", "2", "-lexicon", a), key("-tokens", tokens, "-beam", "2", "-lexicon", b))
	seen := map[string][]string{}
	for _, args := range [][]string{
		{}, {"-logits"}, {"-beam", "2"}, {"-beam", "3"}, {"-frame", "1s"}, {"-frame", "2s"}, {"-beam", "2", "-lexicon", a},
		{"-beam", "2", "-hotwords", a}, {"-beam", "2", "-hotwords", "a"}, {"-beam", "2", "-hotwords", "b"}, {"-dtype", "float32"}, {"-strict"},
	} {
		k := key(append(args, "-tokens", tokens)...)
		assert.Nil(t, seen[k], args)
		seen[k] = args
	}
}

// With -retry files that failed are worked on again, in their places.
func TestRetry(t *testing.T) {
	folder := corpusFolder(t)
	before := runList(t, "ctc", folder, "results")
	assert.Equal(t, before, runList(t, "ctc", folder, "results", "-retry"), "it is missing still")
	require.NoError(t, os.Link(filepath.Join(folder, "sub/0.npy"), filepath.Join(folder, "sub/2.npy")))
	assert.Equal(t, before, runList(t, "ctc", folder, "results", "-resume"), "what failed stays")
	assert.Equal(t, result{}, run(listArgs("ctc", folder, "results", "-retry")...))
	after := readString(t, filepath.Join(folder, "results"))
	assert.Equal(t, result{}, run(listArgs("ctc", folder, "anew")...))
	assert.Equal(t, readString(t, filepath.Join(folder, "anew")), after)
	assert.Contains(t, before, `"error"`)
	assert.NotContains(t, after, `"error"`)

	lines := strings.SplitAfter(before, "\n")
	short := strings.Join(lines[:4], "")
	path := writeIn(t, folder, "results", short)
	r := run(listArgs("ctc", folder, "results", "-retry")...)
	assert.Equal(t, result{code: exitData, stderr: "trellis: " + path + " is not complete; -resume completes it\n"}, r)
	assert.Equal(t, short, readString(t, path))
	found, err := filepath.Glob(path + ".*")
	require.NoError(t, err)
	assert.Empty(t, found, "the draft has been removed")
	r = run(listArgs("ctc", folder, "missing", "-retry")...)
	assert.Equal(t, exitData, r.code)
	assert.NoFileExists(t, filepath.Join(folder, "missing"))
}

// A panic in one file is the error of its line.
func TestPanicInOneFile(t *testing.T) {
	corpus, err := NewCorpus([]string{"ctc", "-logits"}, nil)
	require.NoError(t, err)
	do := corpus.work.do
	corpus.work.do = func(t *tool, said *said, x *npy.Array) (*sequences, jsonReport, error) {
		if x.Name == "bad.npy" {
			panic("it is bad")
		}
		return do(t, said, x)
	}
	columns, err := corpus.Columns("emissions\ttargets")
	require.NoError(t, err)
	raw, err := os.ReadFile(writeFloat64s(t, sines()[:40], 10, 4))
	require.NoError(t, err)
	r := corpus.Do(columns.Item("bad.npy\t1"), raw)
	assert.EqualError(t, r.Err, "panic: it is bad")
	assert.Equal(t, "panic: it is bad", parseResults(t, string(r.Line))[0].Error)
	r = corpus.Do(columns.Item("good.npy\t1"), raw)
	assert.NoError(t, r.Err)
	assert.Equal(t, 10, r.Frames)
}

// With little memory files that need more of it are worked on one at a time.
func TestListInLittleMemory(t *testing.T) {
	folder := corpusFolder(t)
	want := runList(t, "align", folder, "results")
	for i, memory := range []int{0, 1, 400} {
		name := fmt.Sprint(i)
		runTool(context.Background(), memory, listArgs("align", folder, name)...)
		assert.Equal(t, want, readString(t, filepath.Join(folder, name)))
	}
}

// Somebody who looks into a log sees how far it is.
func TestProgressInALog(t *testing.T) {
	var stderr bytes.Buffer
	p := (&tool{stderr: &stderr}).newProgress(1000)
	p.set(10)
	assert.Empty(t, stderr.String())
	p.every = time.Nanosecond
	p.set(1000)
	assert.Empty(t, stderr.String())
	p.set(10)
	assert.Regexp(t, `^trellis: 10 of 1000 files, about \d+s left\n$`, stderr.String())
	p.kept = 200
	assert.Equal(t, "300 of 1000 files, about 7m0s left", p.estimate(300, time.Minute))
	p.total = -1
	assert.Equal(t, "300 files", p.estimate(300, time.Minute))
}

// Others than a list's files are opened by who has them.
func TestCorpusOpensByTheCaller(t *testing.T) {
	folder := corpusFolder(t)
	model := "\\data\\\nngram 1=3\n\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 ab\n\n\\end\\\n"
	writeIn(t, folder, "lm", model+"what is behind it\n")
	opened := []string{}
	corpus, err := NewCorpus([]string{"decode", "-tokens", "far:tokens", "-beam", "2", "-hotwords", "far:hot", "-logits", "-lm", "far:lm"}, func(name string) (file io.ReadCloser, err error) {
		opened = append(opened, name)
		switch name {
		case "far:tokens":
			return os.Open(filepath.Join(folder, "tokens.txt"))
		case "far:lm": // in small pieces
			file, err := os.Open(filepath.Join(folder, "lm"))
			return struct {
				io.Reader
				io.Closer
			}{iotest.OneByteReader(file), file}, err
		case "far:hot":
			return os.Open(writeIn(t, folder, "hot", "ab\n"))
		}
		return nil, os.ErrNotExist
	})
	require.NoError(t, err)
	assert.Contains(t, opened, "far:tokens")
	assert.Contains(t, opened, "far:hot")
	assert.Empty(t, corpus.Warnings())
	near, err := NewCorpus([]string{
		"decode", "-tokens", filepath.Join(folder, "tokens.txt"), "-beam", "2", "-hotwords", filepath.Join(folder, "hot"), "-logits",
		"-lm", filepath.Join(folder, "lm"),
	}, nil)
	require.NoError(t, err)
	assert.Equal(t, near.setup, corpus.setup)
	_, err = NewCorpus([]string{"decode", "-tokens", "x"}, func(string) (io.ReadCloser, error) { return nil, os.ErrNotExist })
	assert.ErrorIs(t, err, os.ErrNotExist)
	for _, args := range [][]string{nil, {"ce"}, {"ctc", "-o", "x"}, {"ctc", "x.npy"}, {"ctc", "-nonsense"}} {
		_, err := NewCorpus(args, nil)
		assert.Error(t, err, args)
	}
}

// BenchmarkList is the work on a list of 20000 lines, and what it takes to read their files one after the other.
// There are 2000 small files: of more, the system would still be writing some to the disk while it is measured.
func BenchmarkList(b *testing.B) {
	folder := b.TempDir()
	writeIn(b, folder, "tokens.txt", "<blank>\na\nb\n"+strings.Repeat("\n", 29))
	var list strings.Builder
	fmt.Fprintln(&list, "emissions\ttext")
	raw := npyHeader(1, "<f4", "(50, 32)")
	for i := range 50 * 32 {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(math.Sin(float64(i)))))
	}
	names := make([]string, 20000)
	for i := range names {
		name := fmt.Sprintf("%05d.npy", i%2000)
		if i < 2000 {
			writeIn(b, folder, name, string(raw))
		}
		names[i] = filepath.Join(folder, name)
		fmt.Fprintf(&list, "%s\tabbabaabba\n", name)
	}
	writeIn(b, folder, "list.tsv", list.String())
	b.Run("reading", func(b *testing.B) {
		for range b.N {
			for _, name := range names {
				if _, err := os.ReadFile(name); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	for _, command := range []string{"ctc", "align", "decode"} {
		b.Run(command, func(b *testing.B) {
			for range b.N {
				r := run(listArgs(command, folder, "x", "-o", os.DevNull)...)
				if r.code != exitOK {
					b.Fatal(r.stderr)
				}
			}
		})
	}
}

// The commands that docs/corpus.md shows do what it says there.
func TestCorpusPage(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/corpus.md")
	require.NoError(t, err)
	page := regexp.MustCompile(`(?m)^    `).ReplaceAllString(string(raw), "")
	found := regexp.MustCompile(`(?m)^\$ printf '(.*)' > files\.tsv\n\$ (trellis .*)\n(trellis: .*\n)\$ cat results\.jsonl\n(\{.*\n\{.*\n)`).FindStringSubmatch(page)
	require.NotNil(t, found)
	chdirToCopy(t, "../../../bench/emissions")
	list, err := strconv.Unquote(`"` + found[1] + `"`)
	require.NoError(t, err)
	writeIn(t, ".", "files.tsv", list)
	assert.Equal(t, result{code: exitFailed, stderr: found[3]}, runLine(t, found[2]))
	assert.Equal(t, found[4], readString(t, "results.jsonl"))
}

// While a process writes results another one does not, whether it would begin or go on. When that has
// been killed, or has finished, one may go on.
func TestOneWriterOfResults(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files are not locked")
	}
	folder := corpusFolder(t)
	path := filepath.Join(folder, "results")
	first, err := createResults(context.Background(), &listOptions{output: path}, nil)
	require.NoError(t, err)
	for _, more := range [][]string{nil, {"-resume"}, {"-retry"}} {
		r := run(listArgs("ctc", folder, "results", more...)...)
		assert.Equal(t, result{code: exitData, stderr: "trellis: -o " + path + ": another process is writing it\n"}, r, more)
	}
	assert.Empty(t, readString(t, path))
	found, err := filepath.Glob(path + ".*")
	require.NoError(t, err)
	assert.Empty(t, found)
	first.close()
	want := runList(t, "ctc", folder, "results")
	assert.Equal(t, want, runList(t, "ctc", folder, "results", "-resume"))
}

// A write that has been interrupted may go on: what it writes stays as it is.
func TestInterruptedWriteKeepsItsLines(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	begun, release := make(chan struct{}), make(chan struct{})
	written := make(chan string)
	r := &results{lines: interruptibleWriter{ctx, writerFunc(func(p []byte) (int, error) {
		close(begun)
		<-release
		written <- string(p)
		return len(p), nil
	})}}
	require.NoError(t, r.put([]byte("one\n")))
	<-begun // by the timer
	cancel()
	assert.ErrorIs(t, r.put([]byte("two\n")), context.Canceled)
	assert.ErrorIs(t, r.flush(), context.Canceled)
	close(release)
	assert.Equal(t, "one\n", <-written)
}

// Lines that wait when the work is interrupted are written.
func TestInterruptedResultsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	ctx, cancel := context.WithCancel(context.Background())
	r, err := createResults(ctx, &listOptions{output: path}, nil)
	require.NoError(t, err)
	require.NoError(t, r.put([]byte("one\n")))
	cancel()
	assert.NoError(t, r.flush())
	r.close()
	assert.Equal(t, "one\n", readString(t, path))
}

// What a compressed file takes when it is unpacked is room that others have not.
func TestRoomOfCompressedFiles(t *testing.T) {
	folder := corpusFolder(t)
	raw, err := os.ReadFile(filepath.Join(folder, "sub/0.npy"))
	require.NoError(t, err)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("logits.npy")
	require.NoError(t, err)
	_, err = w.Write(raw)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	x, err := npy.FromBytes("x.npz", b.Bytes())
	require.NoError(t, err)
	r := newRoom(1 << 20)
	var least int
	require.NoError(t, eachGroup(&tool{memory: 1 << 20, room: r}, 1, rows{Array: x, blocks: 1, count: 10, inner: 4, losses: 1, cost: 4}, func(p part[float64]) error {
		least = r.free
		return nil
	}))
	assert.Equal(t, 1<<20-8*40-len(raw), least)
	assert.Equal(t, 1<<20, r.free)
}

// Files that are read at once, and those that are too large for that.
func TestSizesOfFilesInAList(t *testing.T) {
	folder := corpusFolder(t)
	for _, frames := range []int{smallFile / 32, smallFile / 16} { // the second is larger by its header
		raw := npyHeader(1, "<f4", fmt.Sprintf("(%d, 4)", frames))
		for i := range 4 * frames {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(math.Sin(float64(i)))))
		}
		one := run("ctc", writeIn(t, folder, "x.npy", string(raw)), "-logits", "-targets", "1,2", "-json")
		require.Equal(t, exitOK, one.code, one.stderr)
		list := writeIn(t, folder, "list.tsv", "emissions\ttargets\nx.npy\t1,2\n")
		all := run("ctc", "-list", list, "-logits")
		require.Equal(t, exitOK, all.code, all.stdout)
		assert.Equal(t, parseResults(t, one.stdout)[0].Loss, parseResults(t, all.stdout)[0].Loss)
	}
}

// What progress is measured by: the files of all shards together are those of the list.
func TestItemsOfShards(t *testing.T) {
	name := filepath.Join(corpusFolder(t), "list.tsv")
	for of, want := range map[int][]int{0: {5}, 2: {3, 2}, 6: {1, 1, 1, 1, 1, 0}} {
		for i, want := range want {
			got, err := countItems(name, shard{i + 1, of})
			require.NoError(t, err)
			assert.Equal(t, want, got)
		}
	}
	got, err := countItems(standardInput, shard{})
	require.NoError(t, err)
	assert.Equal(t, -1, got)
}
