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

// startAll starts this program for every tier of this machine and for Gorgonia, and the
// first Python that has PyTorch, for its processor and for its GPU.
func startAll() (sides, error) {
	s := sides{peers: map[string]*side.Side{}}
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	start := func(serve string, env ...string) (*side.Side, error) {
		cmd := exec.Command(self, "-serve", serve)
		cmd.Env = append(os.Environ(), env...)
		return side.Start(cmd)
	}
	for _, tier := range trellis.Tiers() {
		t, err := start(trellisSide, "TRELLIS_CPU="+tier)
		if err != nil {
			return s, err
		}
		s.tiers = append(s.tiers, t)
		if t.About != tier {
			return s, fmt.Errorf("asked for %s, and %s is active", tier, t.About)
		}
	}
	if s.peers[results.Gorgonia], err = start(results.Gorgonia); err != nil {
		return s, err
	}
	for name, device := range map[string]string{results.PyTorch: "cpu", results.CUDA: "cuda"} {
		peer, err := side.StartPyTorch(device)
		if err != nil {
			return s, err
		}
		if peer != nil {
			s.peers[name] = peer
		}
	}
	return s, nil
}
