package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// simulate returns the cycles of one turn of each loop.
func simulate(tool, triple, cpu string, loops []loop) ([]float64, error) {
	if len(loops) == 0 {
		return nil, nil
	}
	cmd := exec.Command(tool, "-mtriple="+triple, "-mcpu="+cpu, "-iterations=200", "-json")
	cmd.Stdin = strings.NewReader(regions(loops))
	out, err := output(cmd)
	if err != nil {
		return nil, err
	}
	var report struct {
		CodeRegions []struct {
			Name        string
			SummaryView struct{ Iterations, TotalCycles int }
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		return nil, err
	}
	cycles := make([]float64, len(loops))
	for _, r := range report.CodeRegions {
		i, err := strconv.Atoi(r.Name)
		if err != nil || i < 0 || i >= len(loops) {
			return nil, fmt.Errorf("%s answers for a region %q", tool, r.Name)
		}
		cycles[i] = float64(r.SummaryView.TotalCycles) / float64(r.SummaryView.Iterations)
	}
	return cycles, nil
}

// regions writes loops as regions of llvm-mca, named by their numbers. Jumps go to
// the loop's label, wherever they went: an address would be nothing to an assembler.
func regions(loops []loop) string {
	var b strings.Builder
	for i, l := range loops {
		fmt.Fprintf(&b, "# LLVM-MCA-BEGIN %d\nloop%d:\n", i, i)
		for _, text := range l.body {
			if m := jump.FindStringSubmatchIndex(text); m != nil {
				text = text[:m[2]] + fmt.Sprintf("loop%d", i)
			}
			fmt.Fprintln(&b, text)
		}
		fmt.Fprintf(&b, "# LLVM-MCA-END %d\n", i)
	}
	return b.String()
}
