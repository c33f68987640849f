package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/results"
	"github.com/gotrellis/trellis/bench/internal/side"
)

// trellisSide is the name of trellis' side, for -serve.
const trellisSide = "trellis"

// programs are the sides that this program can be, and what they say about themselves.
var programs = map[string]struct {
	about   func() string
	prepare func(side.Job) (computation, error)
}{
	trellisSide:      {trellis.ActiveTier, prepare},
	results.Naive:    {func() string { return "loops in Go" }, prepareNaive},
	results.Gonum:    {func() string { return version("gonum.org/v1/gonum") }, prepareGonum},
	results.Gorgonia: {func() string { return version("gorgonia.org/gorgonia") }, prepareGorgonia},
}

// sides are the processes that are compared.
type sides struct {
	tiers []*side.Side          // the fastest last
	peers map[string]*side.Side // that there are, by their names in results
}

func (s sides) best() *side.Side { return s.tiers[len(s.tiers)-1] }

// all lists tiers and peers.
func (s sides) all() []*side.Side {
	return slices.AppendSeq(slices.Clone(s.tiers), maps.Values(s.peers))
}

func (s sides) close() {
	for _, one := range s.all() {
		one.Close()
	}
}

// start starts sides: this program for every named tier and for most peers, and for
// PyTorch the first Python that has it. A peer that is not to be had is left out.
func start(tiers []string, peers ...string) (sides, error) {
	s := sides{peers: map[string]*side.Side{}}
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	serve := func(program string, env ...string) (*side.Side, error) {
		cmd := exec.Command(self, "-serve", program)
		cmd.Env = append(os.Environ(), env...)
		return side.Start(cmd)
	}
	for _, tier := range tiers {
		t, err := serve(trellisSide, "TRELLIS_CPU="+tier)
		if err != nil {
			return s, err
		}
		s.tiers = append(s.tiers, t)
		if t.About != tier {
			return s, fmt.Errorf("asked for %s, and %s is active", tier, t.About)
		}
	}
	for _, name := range peers {
		var peer *side.Side
		switch name {
		case results.PyTorch:
			peer, err = side.StartPyTorch("cpu")
		case results.CUDA:
			peer, err = side.StartPyTorch("cuda")
		default:
			peer, err = serve(name)
		}
		if err != nil {
			return s, err
		}
		if peer != nil {
			s.peers[name] = peer
		}
	}
	return s, nil
}
