package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/bench/internal/side"
	"github.com/gotrellis/trellis/bench/internal/side/sidetest"
)

func TestGrid(t *testing.T) {
	recording := recorded(t).Recording
	g, err := newGrid([]string{recording, "emissions/batch"})
	require.NoError(t, err)
	near := neighbours(g.points)
	names, ops := map[string]bool{}, map[string]int{}
	for i, p := range g.points {
		assert.False(t, names[p.name()], p.name())
		names[p.name()] = true
		ops[p.job.Op]++
		assert.Positive(t, p.elements, p.name())
		assert.NotEqual(t, "emissions/batch", p.job.Recording, "has several sequences")
		assert.LessOrEqual(t, p.job.Inputs(), int(gridElements), p.name())
		if !strings.HasSuffix(p.name(), "T20 N1 C12 S3") { // is alone, but for the recording
			assert.NotEmpty(t, near[i], p.name())
		}
	}
	for _, name := range []string{
		"NLL losses 100000×2", "cross-entropy+grad 1×1000000", "cross-entropy probs VJP 4×10", "cross-entropy 256×10, weights",
		"cross-entropy+grad 131072×2×4, smoothing 0.1", "NLL+grad 32×2×16384", "gather 1×16", "softmax 16",
		"softmax 256×32, scores × 100, 50 % of -Inf", "cross-entropy 64×1024, 1 % of -1e4",
		"CTC+grad T2000 N1 C5 S300", "CTC VJP T4 N1 C28 S1", "CTC T50 N1 C28 S10, scores × 0.1", "CTC T50 N1 C28 S10, 10 % of -1e9",
		"CTC+grad T20 N1 C12 S3", "CTC+grad T20 N1 C12 S3, " + filepath.Base(recording),
	} {
		assert.True(t, names[name], name)
	}

	// A side knows every operation.
	here := sidetest.Serve(t, "here", (&computer{prepare: prepare}).answer)
	naive := sidetest.Serve(t, "naive", (&computer{prepare: prepareNaive}).answer)
	for _, p := range g.points {
		if ops[p.job.Op] > 0 && p.elements < 1000 {
			ops[p.job.Op] = 0
			assert.NoError(t, check([]*contender{{side: here, job: p.job}, {name: "naive", side: naive, job: p.job}}), p.name())
		}
	}
	for op, left := range ops {
		assert.Zero(t, left, op)
	}

	_, err = newGrid([]string{t.TempDir()})
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestElements(t *testing.T) {
	var g grid
	g.rows(opNLL, usual)
	g.rows(opNLL+andGrad, usual)
	g.ctc(opCTC, 5)
	elements := map[string]int{}
	for _, p := range g.points {
		elements[p.name()] = p.elements
	}
	assert.Equal(t, 256, elements["NLL 256×10"], "positions")
	assert.Equal(t, 2560, elements["NLL+grad 256×10"])
	assert.Equal(t, 50*5+50*21, elements["CTC T50 N1 C5 S10"])
}

func TestNeighbours(t *testing.T) {
	at := func(op, axes string, variant, x, y int) gridPoint {
		return gridPoint{job: side.Job{Op: op}, axes: axes, place: [3]int{x, y}, variant: variant}
	}
	points := []gridPoint{
		0: at("a", "rows", 0, 8, 1),
		1: at("a", "rows", 0, 2, 1),
		2: at("a", "rows", 0, 2, 30),
		3: at("a", "rows", 0, 9, 1), // 4 is missing
		4: at("a", "rows", 1, 8, 1), // a variant of 0
		5: at("a", "rows", 1, 9, 1), // and of 3
		6: at("a", "inner", 0, 8, 2),
		7: at("b", "rows", 0, 8, 2),
		8: at("a", "rows", 0, 8, 30),
	}
	want := [][]int{
		0: {1, 3, 8},
		1: {0, 2},
		2: {1, 8},
		3: {0},
		4: {5, 0},
		5: {4, 3},
		6: nil,
		7: nil,
		8: {2, 0},
	}
	got := neighbours(points)
	for i := range want {
		assert.ElementsMatch(t, want[i], got[i], i)
	}
}

func TestRecordingsIn(t *testing.T) {
	folder := t.TempDir()
	none, err := recordingsIn(folder)
	require.NoError(t, err)
	assert.Empty(t, none)
	one := filepath.Join(folder, "emissions", "one")
	require.NoError(t, os.MkdirAll(one, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(one, "emissions.npy"), nil, 0o666))
	some, err := recordingsIn(folder)
	require.NoError(t, err)
	assert.Equal(t, []string{one}, some)
	none, err = recordingsIn("") // and not those in the working directory
	require.NoError(t, err)
	assert.Empty(t, none)
}
