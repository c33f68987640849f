package main

import (
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serveHere returns a side that answers in a goroutine of this process.
func serveHere(t *testing.T, about string, reply func(request) (answer, error)) *side {
	t.Helper()
	hears, asks := io.Pipe()
	answers, says := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- serve(hears, says, about, reply) }()
	s, err := meet(asks, answers, func() { _ = asks.Close() })
	require.NoError(t, err)
	t.Cleanup(func() {
		s.close()
		assert.NoError(t, <-ended, "serve, when nothing more is asked")
	})
	return s
}

func TestProtocol(t *testing.T) {
	var asked []request
	s := serveHere(t, "echo", func(r request) (answer, error) {
		asked = append(asked, r)
		if r.Op == "fail" {
			return answer{}, errors.New("cannot")
		}
		return answer{Values: []float64{r.Seconds, float64(r.Workers)}}, nil
	})
	assert.Equal(t, "echo", s.about)

	first := request{job{"add", "float64", []int{2, 3}, 4}, 0.5}
	a, err := s.ask(first)
	require.NoError(t, err)
	assert.Equal(t, []float64{0.5, 4}, a.Values)

	_, err = s.ask(request{job: job{Op: "fail"}})
	assert.EqualError(t, err, "echo: cannot")

	a, err = s.ask(request{job: job{Op: "add", Workers: 1}})
	require.NoError(t, err, "after an error")
	assert.Equal(t, []float64{0, 1}, a.Values)
	assert.Equal(t, first, asked[0])
}

func TestMeetingAnError(t *testing.T) {
	_, err := meet(io.Discard, strings.NewReader(`{"error": "no module"}`+"\n"), nil)
	assert.ErrorAs(t, err, new(sideError))
	_, err = meet(io.Discard, strings.NewReader(""), nil)
	assert.ErrorIs(t, err, io.EOF)
}

func TestNoPeer(t *testing.T) {
	peer, err := startPeer("no-such-python", "/no/such/python")
	assert.NoError(t, err)
	assert.Nil(t, peer)
	if mute, err := exec.LookPath("true"); err == nil {
		_, err = startPeer(mute)
		assert.ErrorIs(t, err, io.EOF)
	}
}

// Both languages make the same numbers, and compute the same from them.
func TestPeerAgrees(t *testing.T) {
	peer, err := startPeer("/usr/bin/python3", "python3")
	require.NoError(t, err)
	if peer == nil {
		t.Skip("no PyTorch")
	}
	defer peer.close()
	all := []*contender{}
	for _, j := range []job{
		{opLogSumExp, "float32", []int{7, 300}, 1},
		{opLogSumExp, "float64", []int{7, 300}, 1},
		{opLogSumExp, "float32", []int{1000100}, 1}, // more than there are different numbers
		{opSoftmax, "float32", []int{7, 300}, 1},
		{opNLLGrad, "float32", []int{40, 30}, 1},
		{opCrossEntropy, "float32", []int{40, 30}, 1},
		{opCrossGrad, "float32", []int{40, 30}, 1},
		{opCrossGrad, "float32", []int{2, 21, 5, 6}, 1},
	} {
		here := serveHere(t, "here", new(computer).answer)
		all = append(all, &contender{side: peer, job: j})
		assert.NoError(t, check([]*contender{{side: here, job: j}, {side: peer, job: j}}), j)
	}
	a, err := all[0].side.ask(request{all[0].job, 1e-3})
	require.NoError(t, err)
	assert.NotEmpty(t, a.Samples)
	_, err = peer.ask(request{job: job{Op: "no such", Type: "float32", Shape: []int{2}}})
	assert.ErrorAs(t, err, new(sideError))
}
