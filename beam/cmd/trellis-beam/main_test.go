package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/memfs"
	"github.com/gotrellis/trellis/cmd/trellis/command"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	flag.Parse()
	beam.Init()
	os.Exit(m.Run())
}

// line is a line of text as a network saw it: its logits, and which frames each character has.
type line struct {
	text   string
	logits []byte // float32, 60 classes
	spans  [][2]int
}

const (
	classes = 60
	tokens  = "../../../bench/emissions/line/tokens.txt"
)

func readLine(t *testing.T) *line {
	folder := filepath.Dir(tokens)
	text, err := os.ReadFile(filepath.Join(folder, "transcript.txt"))
	require.NoError(t, err)
	emissions, err := os.ReadFile(filepath.Join(folder, "emissions.npy"))
	require.NoError(t, err)
	index, err := os.ReadFile(filepath.Join(folder, "index.json"))
	require.NoError(t, err)
	l := &line{text: strings.TrimSpace(string(text)), logits: emissions[128:]}
	require.NoError(t, json.Unmarshal(index, l))
	return l
}

func (l *line) UnmarshalJSON(data []byte) error {
	var index struct{ Spans [][2]int }
	err := json.Unmarshal(data, &index)
	l.spans = index.Spans
	return err
}

// words returns recording n: a word or more of the line, the logits as no other recording has them.
func (l *line) words(n int) (npy []byte, text string) {
	all := strings.Fields(l.text)
	first := n % len(all)
	last := min(first+n/len(all)%2, len(all)-1)
	from := len(strings.Join(all[:first], " "))
	if first > 0 {
		from++ // the space
	}
	text = strings.Join(all[first:last+1], " ")
	frames := l.logits[4*classes*l.spans[from][0] : 4*classes*l.spans[from+len(text)-1][1]]
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d,%d), }", len(frames)/4/classes, classes)
	npy = fmt.Appendf(nil, "\x93NUMPY\x01\x00v\x00%-117s\n", header)
	npy = append(npy, frames...)
	first4 := npy[128:132]
	louder := math.Float32frombits(binary.LittleEndian.Uint32(first4)) - float32(n)/1e4
	binary.LittleEndian.PutUint32(first4, math.Float32bits(louder))
	return npy, text
}

// writeCorpus writes so many recordings and a list of them. Some are bad.
func writeCorpus(t *testing.T, n int) (list string) {
	folder := t.TempDir()
	l := readLine(t)
	lines := []string{"speaker\temissions\ttext"}
	for i := range n {
		npy, text := l.words(i)
		name := fmt.Sprintf("%03d/%d.npy", i/1000, i)
		if i%1000 == 0 {
			require.NoError(t, os.Mkdir(filepath.Join(folder, filepath.Dir(name)), 0o777))
		}
		switch i % 50 {
		case 7:
			npy = npy[:len(npy)-1]
		case 17:
			text += " µ" // no token
		case 27: // no file
			lines = append(lines, fmt.Sprintf("speaker %d\t%s\t%s", i%7, name, text))
			continue
		case 29:
			require.NoError(t, os.Mkdir(filepath.Join(folder, name), 0o777))
			lines = append(lines, fmt.Sprintf("speaker %d\t%s\t%s", i%7, name, text))
			continue
		case 31: // a device, as a pipe would be; this one at least ends
			require.NoError(t, os.Symlink(os.DevNull, filepath.Join(folder, name)))
			lines = append(lines, fmt.Sprintf("speaker %d\t%s\t%s", i%7, name, text))
			continue
		case 37:
			text += "\tone too many"
		case 47: // no file, either
			lines = append(lines, fmt.Sprintf("speaker %d\t%s", i%7, name))
			continue
		}
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), npy, 0o666))
		lines = append(lines, fmt.Sprintf("speaker %d\t%s\t%s", i%7, name, text))
	}
	list = filepath.Join(folder, "files.tsv")
	require.NoError(t, os.WriteFile(list, []byte(strings.Join(lines, "\n")+"\n"), 0o666))
	return list
}

// TestLikeTheCommand compares what pipelines write with what the command does.
func TestLikeTheCommand(t *testing.T) {
	n := 20000
	if testing.Short() {
		n = 200
	}
	list := writeCorpus(t, n)
	for _, args := range [][]string{
		{"ctc", "-logits", "-tokens", tokens},
		{"align", "-logits", "-tokens", tokens, "-frame", "20ms"},
		{"decode", "-logits", "-tokens", tokens, "-beam", "4", "-nbest", "2"},
	} {
		t.Run(args[0], func(t *testing.T) {
			want := filepath.Join(t.TempDir(), "results.jsonl")
			require.Equal(t, 3, command.Main(slices.Concat(args, []string{"-list", list, "-o", want})))
			j := job{list: list, output: filepath.Join(t.TempDir(), "results.jsonl"), shards: 3, command: args}
			out := run(t, &j, exitFailures)
			got := sorted(t, filepath.Join(filepath.Dir(j.output), "results-0000?-of-00003.jsonl"))
			require.Len(t, got, n)
			failures := 0
			for i, line := range sorted(t, want) {
				if strings.Contains(line, `,"error":`) {
					failures++
				}
				require.Equal(t, line, got[i])
			}
			assert.Contains(t, out, fmt.Sprintf("%d files, %d of which failed; ", n, failures))
		})
	}
}

// run runs a job, expects the exit code, and returns what the job says.
func run(t *testing.T, j *job, code int) string {
	t.Helper()
	var out strings.Builder
	require.Equal(t, code, j.run(context.Background(), &out), &out)
	return out.String()
}

// sorted returns the lines of all files that fit a pattern, in order.
func sorted(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	require.NoError(t, err)
	var all []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		all = append(all, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
	}
	slices.Sort(all)
	return all
}

// broken is a filesystem with a bug.
type broken struct{ filesystem.Interface }

func (broken) OpenRead(context.Context, string) (io.ReadCloser, error) { panic("a bug") }
func (broken) Close() error                                            { return nil }

func init() {
	filesystem.Register("broken", func(context.Context) filesystem.Interface { return broken{} })
}

// TestOneFileAlone has a filesystem panic over a file, and not find others.
func TestOneFileAlone(t *testing.T) {
	npy, text := readLine(t).words(0)
	memfs.Write("memfs://corpus/a/good.npy", npy)
	memfs.Write("memfs://corpus/files.tsv", []byte(strings.Join([]string{
		"text\temissions",
		text + "\ta/good.npy",
		text + "\tbroken://bug.npy",
		"",
		text + "\tmemfs://corpus/a/good.npy",
		text + "\ta/missing.npy",
		text + "\tunknown://scheme.npy",
	}, "\r\n")))
	j := job{
		list: "memfs://corpus/files.tsv", output: "memfs://corpus/results.jsonl", failures: "memfs://corpus/failures.jsonl",
		shards: 1, command: []string{"align", "-logits", "-tokens", tokens},
	}
	assert.Contains(t, run(t, &j, exitFailures), "5 files, 3 of which failed; 50 frames in 2 sequences")

	type result struct {
		File, Error string
		Sequences   []struct{ Words []struct{ Word string } }
	}
	read := func(name string) (all []result) {
		for line := range strings.Lines(readFile(t, name)) {
			var r result
			require.NoError(t, json.Unmarshal([]byte(line), &r))
			all = append(all, r)
		}
		slices.SortFunc(all, func(a, b result) int { return strings.Compare(a.File, b.File) })
		return all
	}
	good := read(j.output)
	require.Len(t, good, 2)
	for i, name := range []string{"a/good.npy", "memfs://corpus/a/good.npy"} {
		assert.Equal(t, name, good[i].File)
		assert.Empty(t, good[i].Error)
		assert.Equal(t, text, good[i].Sequences[0].Words[0].Word)
	}
	bad := read(j.failures)
	require.Len(t, bad, 3)
	for i, want := range []result{
		{File: "a/missing.npy", Error: "memfs://corpus/a/missing.npy: file does not exist"},
		{File: "broken://bug.npy", Error: "panic: a bug"},
		{File: "unknown://scheme.npy", Error: `file system scheme "unknown" not registered`},
	} {
		assert.Equal(t, want.File, bad[i].File)
		assert.Contains(t, bad[i].Error, want.Error)
		assert.Empty(t, bad[i].Sequences)
	}
}

// readFile returns what is in a file of any filesystem.
func readFile(t *testing.T, name string) string {
	ctx := context.Background()
	fs, err := filesystem.New(ctx, name)
	require.NoError(t, err)
	defer fs.Close()
	text, err := filesystem.Read(ctx, fs, name)
	require.NoError(t, err)
	return string(text)
}

// TestNoFiles: what nothing failed in is an empty file, not none.
func TestNoFiles(t *testing.T) {
	memfs.Write("memfs://none/files.tsv", []byte("emissions\n"))
	j := job{
		list: "memfs://none/files.tsv", output: "memfs://none/results.jsonl", failures: "memfs://none/failures.jsonl",
		shards: 2, command: []string{"decode", "-logits", "-tokens", tokens},
	}
	assert.Contains(t, run(t, &j, exitOK), "0 files, 0 of which failed")
	assert.Empty(t, readFile(t, "memfs://none/results-00001-of-00002.jsonl"))
	assert.Empty(t, readFile(t, "memfs://none/results-00002-of-00002.jsonl"))
	assert.Empty(t, readFile(t, j.failures))

	assert.Contains(t, run(t, &j, exitUsage), "memfs://none/results-00001-of-00002.jsonl is there already")
}

func TestUsage(t *testing.T) {
	memfs.Write("memfs://usage/files.tsv", []byte("emissions\n"))
	memfs.Write("memfs://usage/long.tsv", bytes.Repeat([]byte("x"), maxLine))
	memfs.Write("memfs://usage/empty.tsv", nil)
	good := job{list: "memfs://usage/files.tsv", output: "memfs://usage/results", shards: 1, command: []string{"decode", "-tokens", tokens}}
	for want, change := range map[string]func(j *job){
		"want -list and -o":                                    func(j *job) { j.list = "" },
		"-shards 0: want 1 or more":                            func(j *job) { j.shards = 0 },
		"-failures is the file of -o":                          func(j *job) { j.failures = j.output },
		"want a command":                                       func(j *job) { j.command = nil },
		`"ce": want ctc, align or decode`:                      func(j *job) { j.command = []string{"ce"} },
		"memfs://usage/none.tsv: file does not exist":          func(j *job) { j.list = "memfs://usage/none.tsv" },
		"memfs://usage/empty.tsv: the list is empty":           func(j *job) { j.list = "memfs://usage/empty.tsv" },
		"memfs://usage/long.tsv: line 1 is longer than 16 MiB": func(j *job) { j.list = "memfs://usage/long.tsv" },
		`"text"`:                              func(j *job) { j.command = []string{"align", "-tokens", tokens} },
		"flag provided but not defined: -bem": func(j *job) { j.command = append(j.command, "-bem", "3") },
		"memfs://usage/none.txt":              func(j *job) { j.command = []string{"decode", "-tokens", "memfs://usage/none.txt"} },
	} {
		j := good
		change(&j)
		assert.Contains(t, run(t, &j, exitUsage), want)
	}
}
