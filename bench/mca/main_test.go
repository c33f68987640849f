package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gotrellis/trellis/bench/internal/results"
)

func TestTable(t *testing.T) {
	var out strings.Builder
	writeTable(&out, results.Models{CPUs: []string{"one", "other"}, Loops: []results.Loop{
		{Kernel: "sum", Offset: 0x2a, Elements: 16, Cycles: map[string]float64{"other": 24}},
		{Kernel: "reset", Cycles: map[string]float64{"one": 8}},
	}})
	lines := strings.Split(out.String(), "\n")
	assert.Equal(t, []string{"kernel", "loop", "elements", "one", "other"}, strings.Fields(lines[0]))
	assert.Equal(t, []string{"sum", "+0x2a", "16", "1.500"}, strings.Fields(lines[2]))
	assert.Equal(t, []string{"reset", "+0x0"}, strings.Fields(lines[3]))
}
