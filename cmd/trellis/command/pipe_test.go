//go:build linux || darwin

package command

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pipe makes a named pipe.
func pipe(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(name, 0o600))
	return name
}

func TestTextFromAPipe(t *testing.T) {
	name := pipe(t)
	go func() {
		if file, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
			file.WriteString("3,2,1,1,2\n")
			file.Close()
		}
	}()
	l, err := readInts(&inputs{}, "-targets", name)
	require.NoError(t, err)
	assert.Equal(t, [][]int{{3, 2, 1, 1, 2}}, l.rows)
}

func TestScoresFromAPipe(t *testing.T) {
	file := writeFloat64s(t, sines(), 5, 3, 4)
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	args := []string{"-logits", "-targets", "1,2;1;3,2,1", "-grad", filepath.Join(t.TempDir(), "grad.npy")}
	want := runJSON(t, append([]string{"ctc", file}, args...)...)
	wantGrad := readArray(t, args[len(args)-1])
	name := pipe(t)
	go os.WriteFile(name, raw, 0)
	got := runJSON(t, append([]string{"ctc", name}, args...)...)
	assert.Equal(t, wantGrad, readArray(t, args[len(args)-1]))
	got.File = file
	assert.Equal(t, want, got)
}

// TestInterruptAtAPipe waits for a writer that does not come.
func TestInterruptAtAPipe(t *testing.T) {
	x := writeFloat64s(t, sines(), 15, 4)
	tokens := write(t, "tokens.txt", []byte("_\na\nb\nc\n"))
	list := write(t, "list.tsv", []byte("emissions\ttargets\n"+x+"\t1\n"))
	for name, args := range map[string][]string{
		"targets":     {"ctc", x, "-targets"},
		"tokens":      {"ctc", x, "-text", "a", "-tokens"},
		"classes":     {"nll", x, "-targets"},
		"scores":      {"nll", "-targets", "1"},
		"model":       {"decode", x, "-tokens", tokens, "-beam", "2", "-lm"},
		"list":        {"ctc", "-list"},
		"results":     {"ctc", "-list", list, "-o"},
		"one of many": {"decode", x, x, "-tokens", tokens},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			list := pipe(t)
			r := runTool(ctx, 1<<30, append(args, list)...)
			assert.Equal(t, result{code: exitInterrupted, stderr: "trellis: interrupted\n"}, r)
			file, err := os.OpenFile(list, os.O_RDWR, 0) // lets the reader go
			require.NoError(t, err)
			file.Close()
		})
	}
}

// TestMain runs the command itself for TestSignals.
func TestMain(m *testing.M) {
	if os.Getenv("TRELLIS_TEST_MAIN") != "" {
		os.Exit(Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestSignals(t *testing.T) {
	x := writeFloat64s(t, sines(), 15, 4)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			if signal.Ignored(s) {
				t.Skip("ignored by who started the test")
			}
			name := pipe(t)
			command := exec.Command(os.Args[0], "nll", x, "-targets", name)
			command.Env = append(os.Environ(), "TRELLIS_TEST_MAIN=1")
			var stderr bytes.Buffer
			command.Stderr = &stderr
			require.NoError(t, command.Start())
			file, err := os.OpenFile(name, os.O_WRONLY, 0) // waits until the command reads
			require.NoError(t, err)
			defer file.Close()
			require.NoError(t, command.Process.Signal(s))
			command.Wait()
			assert.Equal(t, exitInterrupted, command.ProcessState.ExitCode())
			assert.Equal(t, "trellis: interrupted\n", stderr.String())
		})
	}
}

func TestSignalsThatAreIgnored(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	assert.NotContains(t, signals(), syscall.SIGHUP)
	assert.Contains(t, signals(), syscall.SIGTERM)
}

func TestGradientBehindALink(t *testing.T) {
	x := writeFloat64s(t, []float64{-1, -2}, 2)
	grad := write(t, "grad.npy", []byte("old"))
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(grad, link))
	runJSON(t, "nll", x, "-targets", "1", "-grad", link)
	assert.Equal(t, []float64{0, -1}, readArray(t, grad))
	assertAlone(t, grad)
	assertAlone(t, link)
}

// What a list's files have given stays when it is interrupted, and a pipe that stands in it is none of
// its files.
func TestInterruptedList(t *testing.T) {
	folder := corpusFolder(t)
	require.NoError(t, syscall.Mkfifo(filepath.Join(folder, "sub/pipe"), 0o600))
	name := filepath.Join(folder, "list.tsv")
	list := readString(t, name)
	require.NoError(t, os.Remove(name))
	require.NoError(t, syscall.Mkfifo(name, 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	path := filepath.Join(folder, "results")
	go func() {
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return
		}
		defer file.Close()
		file.WriteString(list)
		for {
			if got, err := os.ReadFile(path); err == nil && bytes.Count(got, []byte("\n")) == 5 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel() // while there may be more lines
		time.Sleep(10 * time.Millisecond)
	}()
	t.Chdir(folder) // that names in a pipe are relative to
	r := runTool(ctx, 1<<30, listArgs("ctc", folder, "results")...)
	assert.Equal(t, result{code: exitInterrupted, stderr: "trellis: interrupted\n"}, r)
	assert.Len(t, parseResults(t, readString(t, path)), 5)

	require.NoError(t, os.Remove(name))
	writeIn(t, folder, "list.tsv", "emissions\ttext\nsub/pipe\tab\n")
	r = run(listArgs("ctc", folder, "x", "-o", "-")...)
	assert.Equal(t, folder+"/sub/pipe: not a regular file", parseResults(t, r.stdout)[0].Error)
}

func TestListOnAFullDisk(t *testing.T) {
	folder := corpusFolder(t)
	r := run(listArgs("ctc", folder, "x", "-o", "/dev/full")...)
	assert.Equal(t, result{code: exitData, stderr: "trellis: write /dev/full: no space left on device\n"}, r)
}

// TestKilledList kills the command again and again, each time after it has written some more. The last one
// ends, and nothing is lost or doubled.
func TestKilledList(t *testing.T) {
	folder := corpusFolder(t)
	name := filepath.Join(folder, "list.tsv")
	header, lines, _ := strings.Cut(readString(t, name), "\n")
	var list strings.Builder
	fmt.Fprintln(&list, header)
	for i := range 1000 { // of other speakers
		for line := range strings.Lines(lines) {
			fmt.Fprintf(&list, "%d-%s", i, line)
		}
	}
	writeIn(t, folder, "list.tsv", list.String())
	run(listArgs("ctc", folder, "whole")...)
	want := readString(t, filepath.Join(folder, "whole"))
	require.Len(t, parseResults(t, want), 5000)

	path := filepath.Join(folder, "results")
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	random := rand.New(rand.NewPCG(1, 2))
	kills, cut := 0, 0
	for {
		command := exec.Command(os.Args[0], listArgs("ctc", folder, "results", "-resume")...)
		command.Env = append(os.Environ(), "TRELLIS_TEST_MAIN=1")
		enough := size() + random.Int64N(int64(len(want)/6))
		require.NoError(t, command.Start())
		ended := make(chan error, 1)
		go func() { ended <- command.Wait() }()
		for waiting := true; waiting; {
			select {
			case <-ended:
				waiting = false
			case <-time.After(time.Millisecond):
				if size() > enough {
					command.Process.Kill()
					<-ended
					waiting = false
				}
			}
		}
		if command.ProcessState.Exited() {
			assert.Equal(t, exitFailed, command.ProcessState.ExitCode())
			break
		}
		kills++
		got := readString(t, path)
		require.True(t, strings.HasPrefix(want, got))
		if !strings.HasSuffix(got, "\n") {
			cut++
		}
		if kills%2 == 1 { // as if it had been in the middle of a line
			require.NoError(t, os.Truncate(path, size()-random.Int64N(300)))
		}
	}
	assert.Equal(t, want, readString(t, path))
	assert.Positive(t, kills)
	t.Logf("%d were killed, %d in the middle of a line", kills, cut)
}
