package main

import (
	"encoding/csv"
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/bench/internal/side"
	"github.com/gotrellis/trellis/bench/internal/side/sidetest"
)

// A state is live in a frame if one of all paths that spell the target is there.
func TestLattice(t *testing.T) {
	for _, c := range []struct {
		target string
		frames int
		paths  int
	}{
		{"cat", 3, 1},
		{"cat", 8, 462}, // T+S over 2S, for labels that differ
		{"aa", 2, 0},
		{"aa", 3, 1},
		{"aab", 5, 7},
		{"", 4, 1},
	} {
		l := newLattice(c.target, c.frames)
		want := make([][]bool, c.frames)
		for frame := range want {
			want[frame] = make([]bool, len(l.states))
		}
		paths := 0
		path := make([]int, c.frames)
		var walk func(frame, state int)
		walk = func(frame, state int) {
			path[frame] = state
			if frame < c.frames-1 {
				for _, next := range l.next(state) {
					walk(frame+1, next)
				}
				return
			}
			if spelled(l, path) == c.target {
				paths++
				for frame, state := range path {
					want[frame][state] = true
				}
			}
		}
		for state := range min(2, len(l.states)) {
			walk(0, state)
		}
		assert.Equal(t, want, l.live, c)
		assert.Equal(t, c.paths, paths, c)
	}
}

// spelled merges what is repeated in a path, and drops blanks.
func spelled(l lattice, path []int) string {
	var s strings.Builder
	previous := blank
	for _, state := range path {
		if symbol := l.states[state]; symbol != previous {
			previous = symbol
			if symbol != blank {
				s.WriteRune(symbol)
			}
		}
	}
	return s.String()
}

func TestPoints(t *testing.T) {
	const off = 1e-3
	peer := sidetest.Serve(t, "peer", func(r side.Request) (side.Answer, error) {
		grad, err := gradient[float64](r.Job)
		if r.Type == "float32" {
			grad[7] += off
		}
		return side.Answer{Values: grad}, err
	})
	p, err := measureOne(peer, 5, 50)
	require.NoError(t, err)
	assert.InDelta(t, off, p.pytorch32, 1e-12)
	assert.Zero(t, p.pytorch64)
	assert.Less(t, p.trellis32, 1e-6)

	points := []point{p, {scale: 1, frames: 100, labels: 20, pytorch32: 1e-4, trellis32: 1e-7}}
	lines, err := csv.NewReader(strings.NewReader(string(table(points)))).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, []string{"1", "100", "20", "80", "1.000e-04", "1.000e-07", "0.000e+00"}, lines[2])
	figure, err := drawErrors(points, "peer")
	require.NoError(t, err)
	wellFormed(t, figure)
	wellFormed(t, drawLattice("cat", 8))

	wrong := sidetest.Serve(t, "wrong", func(r side.Request) (side.Answer, error) {
		grad, err := gradient[float64](r.Job)
		grad[0] += 2 * agreement
		return side.Answer{Values: grad}, err
	})
	_, err = measure(wrong, io.Discard)
	assert.ErrorContains(t, err, "neither is the truth")
}

func wellFormed(t *testing.T, figure []byte) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(figure)))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok {
			names := map[xml.Name]bool{}
			for _, a := range e.Attr {
				require.False(t, names[a.Name], "%s has two of %s", e.Name.Local, a.Name.Local)
				names[a.Name] = true
			}
		}
	}
}

func TestFarthest(t *testing.T) {
	assert.Equal(t, 2.0, farthest([]float32{1, -1, 5}, []float64{0, 1, 5}))
	assert.True(t, math.IsNaN(farthest([]float64{1, math.NaN(), 9}, []float64{1, 1, 1})))
}

// PyTorch's gradient is of the same targets, and of the sum.
func TestPyTorch(t *testing.T) {
	peer, err := side.StartPyTorch("cpu")
	require.NoError(t, err)
	if peer == nil {
		t.Skip("no PyTorch")
	}
	defer peer.Close()
	p, err := measureOne(peer, 5, 50)
	require.NoError(t, err)
	assert.LessOrEqual(t, p.pytorch64, agreement)
	assert.Less(t, p.pytorch32, 1e-2)
}
