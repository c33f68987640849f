//go:build linux || darwin

package command

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
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
	for name, args := range map[string][]string{
		"targets": {"ctc", x, "-targets"},
		"tokens":  {"ctc", x, "-text", "a", "-tokens"},
		"classes": {"nll", x, "-targets"},
		"scores":  {"nll", "-targets", "1"},
		"model":   {"decode", x, "-tokens", tokens, "-beam", "2", "-lm"},
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
