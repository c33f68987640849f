package main

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A state is live in a frame if one of all paths that spell the target is there.
func TestTrellis(t *testing.T) {
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
		l := newTrellis(c.target, c.frames)
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
func spelled(l trellis, path []int) string {
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

func TestDrawing(t *testing.T) { wellFormed(t, drawTrellis("cat", 8)) }

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
