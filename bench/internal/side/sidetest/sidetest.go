// Package sidetest has sides for tests.
package sidetest

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/bench/internal/side"
)

// Serve returns a side that answers in a goroutine of this process.
func Serve(t *testing.T, about string, reply func(side.Request) (side.Answer, error)) *side.Side {
	t.Helper()
	hears, asks := io.Pipe()
	answers, says := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- side.Serve(hears, says, about, reply) }()
	s, err := side.Meet(asks, answers, func() { _ = asks.Close() })
	require.NoError(t, err)
	t.Cleanup(func() {
		s.Close()
		assert.NoError(t, <-ended, "Serve, when nothing more is asked")
	})
	return s
}
