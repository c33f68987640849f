package side_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/bench/internal/side"
	"github.com/gotrellis/trellis/bench/internal/side/sidetest"
	"github.com/gotrellis/trellis/internal/npy"
)

func TestProtocol(t *testing.T) {
	var asked []side.Request
	s := sidetest.Serve(t, "echo", func(r side.Request) (side.Answer, error) {
		asked = append(asked, r)
		if r.Op == "fail" {
			return side.Answer{}, errors.New("cannot")
		}
		return side.Answer{Values: []float64{r.Seconds, float64(r.Workers)}}, nil
	})
	assert.Equal(t, "echo", s.About)

	first := side.Request{
		Job:     side.Job{Op: "add", Type: "float64", Shape: []int{2, 3}, Targets: []int{5, 6}, Scale: 1.5, Workers: 4},
		Seconds: 0.5,
	}
	a, err := s.Ask(first)
	require.NoError(t, err)
	assert.Equal(t, []float64{0.5, 4}, a.Values)

	_, err = s.Ask(side.Request{Job: side.Job{Op: "fail"}})
	assert.EqualError(t, err, "echo: cannot")

	a, err = s.Ask(side.Request{Job: side.Job{Op: "add", Workers: 1}})
	require.NoError(t, err, "after an error")
	assert.Equal(t, []float64{0, 1}, a.Values)
	assert.Equal(t, first, asked[0])
}

func TestMeetingAnError(t *testing.T) {
	_, err := side.Meet(io.Discard, strings.NewReader(`{"error": "no module"}`+"\n"), nil)
	assert.ErrorAs(t, err, new(side.Error))
	_, err = side.Meet(io.Discard, strings.NewReader(""), nil)
	assert.ErrorIs(t, err, io.EOF)
}

func TestNoPyTorch(t *testing.T) {
	peer, err := side.StartPyTorch("cpu", "no-such-python", "/no/such/python")
	assert.NoError(t, err)
	assert.Nil(t, peer)
	if mute, err := exec.LookPath("true"); err == nil {
		_, err = side.StartPyTorch("cpu", mute)
		assert.ErrorIs(t, err, io.EOF)
	}
}

func TestNormal(t *testing.T) {
	x := side.Normal[float64](side.Job{Shape: []int{256, 256}})
	var sum, square float64
	for _, v := range x {
		sum += v
		square += v * v
	}
	n := float64(len(x))
	assert.InDelta(t, 0, sum/n, 0.02)
	assert.InDelta(t, 1, square/n, 0.02)

	long := side.Normal[float32](side.Job{Shape: []int{2500000}, Scale: 1})
	assert.Equal(t, long[:400000], long[2000006:2400006])
	scaled := side.Normal[float64](side.Job{Shape: []int{256}, Scale: 4})
	for i, v := range scaled {
		assert.Equal(t, float64(long[i]), x[i], "the same in both types")
		assert.Equal(t, 4*x[i], v)
	}
}

func TestScores(t *testing.T) {
	j := side.Job{Shape: []int{100, 100}, Scale: 3}
	plain, err := side.Scores[float64](j)
	require.NoError(t, err)
	assert.Equal(t, side.Normal[float64](j), plain)
	j.Mask = side.Mask{Share: 0.1, Score: "-Inf"}
	x, err := side.Scores[float64](j)
	require.NoError(t, err)
	masked := 0
	for i, v := range x {
		if math.IsInf(v, -1) {
			masked++
		} else {
			assert.Equal(t, plain[i], v)
		}
	}
	assert.InDelta(t, 1000, masked, 100)
	j.Mask.Score = "much"
	_, err = side.Scores[float64](j)
	assert.Error(t, err)
}

func TestProbabilities(t *testing.T) {
	sum := 0.0
	for _, p := range side.Probabilities[float32](side.Job{Shape: []int{100, 50, 2}}) {
		assert.Greater(t, p, float32(0))
		sum += float64(p)
	}
	assert.InDelta(t, 200, sum, 5, "1 for each position")
}

func TestReadRecording(t *testing.T) {
	folder := t.TempDir()
	_, err := side.ReadRecording(folder)
	assert.ErrorIs(t, err, os.ErrNotExist)
	record := func(shape, index string, scores ...float32) (side.Recording, error) {
		header := "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }\n"
		file := append([]byte(npy.Magic), 1, 0, byte(len(header)), 0)
		file, err := binary.Append(append(file, header...), binary.LittleEndian, scores)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "emissions.npy"), file, 0o666))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "index.json"), []byte(index), 0o666))
		return side.ReadRecording(folder)
	}
	r, err := record("(2, 3)", `{"blank": 2, "target_tokens": [1]}`, 1, 2, 3, 4, 5, 6)
	require.NoError(t, err)
	assert.Equal(t, []int{2, 1, 3}, r.Shape)
	assert.Equal(t, 2*3, r.States())

	r, err = record("(2, 3, 2)", `{"blank": 0, "target_tokens": [1, 1, 1], "target_lengths": [1, 2], "input_lengths": [2, 3]}`, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
	require.NoError(t, err)
	assert.Equal(t, []int{3, 2, 2}, r.Shape)
	assert.Equal(t, 2*3+3*5, r.States())
	j := side.Job{Shape: r.Shape, Recording: folder}
	b, err := side.BatchOf[float64](j)
	require.NoError(t, err)
	assert.Equal(t, side.Batch[float64]{
		Scores: []float64{0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11}, Targets: []int{1, 1, 1}, Lengths: []int{1, 2}, Frames: []int{2, 3},
	}, b)
	j.LogProbs = true
	b, err = side.BatchOf[float64](j)
	require.NoError(t, err)
	for i, v := range b.Scores {
		assert.InDelta(t, -math.Log(1+math.Exp(1-2*float64(i%2))), v, 1e-12)
	}

	_, err = record("(2,)", "{}", 1, 2)
	assert.ErrorContains(t, err, "want (T,C) or (N,T,C)")
	_, err = record("(1, 1)", "{", 1)
	assert.ErrorContains(t, err, folder)
}

func TestTargets(t *testing.T) {
	j := side.Job{Shape: []int{50, 400, 20}, Targets: []int{3, 5}}
	targets, lengths := side.Targets(j)
	assert.Len(t, targets, 400*5)
	labels, spelled := map[int]bool{}, map[int]bool{}
	states := 0
	for _, y := range targets {
		labels[y] = true
	}
	for _, s := range lengths {
		spelled[s] = true
		states += 2*s + 1
	}
	assert.Len(t, labels, 19)
	assert.False(t, labels[0], "the blank")
	assert.Equal(t, map[int]bool{3: true, 4: true, 5: true}, spelled)
	assert.Equal(t, 50*states, j.States())
}
