package asm

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/arch/arm64/arm64asm"
)

// samples returns the instructions of the table that have a word, each with some
// registers and numbers.
func samples() []neonText {
	rng := rand.New(rand.NewPCG(1, 2))
	var all []neonText
	for o := range neonTable {
		row := &neonTable[o]
		if row.word == 0 {
			continue
		}
		for round := range 8 {
			x := neonText{op: neonOp(o), d: rng.IntN(32)}
			if strings.Contains(row.form, "{n}") {
				x.n = rng.IntN(32)
			}
			if strings.Contains(row.form, "{m}") {
				x.m = rng.IntN(32)
			}
			if strings.Contains(row.form, "{i}") {
				x.imm = 1 + rng.Int64N(15)
			}
			x.wide = round%2 == 1 && strings.Contains(row.form, "{T}")
			if x.op == nVMOV {
				x.m = x.n // a move is VORR of a register with itself
			}
			all = append(all, x)
		}
	}
	return all
}

// Every word means what its comment says.
func TestWordsDecode(t *testing.T) {
	for _, x := range samples() {
		var code [4]byte
		binary.LittleEndian.PutUint32(code[:], x.encode())
		in, err := arm64asm.Decode(code[:])
		require.NoError(t, err, "%s: %#x", x.manual(), x.encode())
		got := strings.ReplaceAll(arm64asm.GNUSyntax(in), "#0x", "#")
		assert.Equal(t, strings.ToLower(x.manual()), got, "%#x", x.encode())
	}
}

// What the assembler knows by name it makes the same word of.
func TestWordsAssemble(t *testing.T) {
	var release int
	_, err := fmt.Sscanf(runtime.Version(), "go1.%d", &release)
	require.NoError(t, err)
	require.GreaterOrEqual(t, release, goRelease)
	var source strings.Builder
	source.WriteString("TEXT ·f(SB), 4, $0-0\n")
	var want, got []string
	for _, x := range samples() {
		if row := &neonTable[x.op]; row.since <= release {
			fmt.Fprintf(&source, "\t%s %s\n", row.name, x.operands())
			want = append(want, fmt.Sprintf("%08x", x.encode()))
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "f.s")
	require.NoError(t, os.WriteFile(file, []byte(source.String()+"\tRET\n"), 0o644))
	tool := func(args ...string) string {
		cmd := exec.Command("go", append([]string{"tool"}, args...)...)
		cmd.Env = append(os.Environ(), "GOARCH=arm64")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	tool("asm", "-p", "f", "-o", filepath.Join(dir, "f.o"), file)
	listing := tool("objdump", filepath.Join(dir, "f.o"))
	for _, m := range regexp.MustCompile(`f\.s:\d+\s+0x\w+\s+([0-9a-f]{8})\s`).FindAllStringSubmatch(listing, -1) {
		got = append(got, m[1])
	}
	require.GreaterOrEqual(t, len(got), len(want))
	assert.Equal(t, want, got[:len(want)])
}

// Whatever has no word is known to the assembler, and every row says what it is.
func TestTableIsComplete(t *testing.T) {
	for o := range neonTable {
		row := &neonTable[o]
		assert.True(t, row.name != "" || neonOp(o) == nLabel, "row %d", o)
		assert.False(t, row.word == 0 && row.since > goRelease, "%s has no word", row.name)
		assert.LessOrEqual(t, row.since, 27, row.name)
	}
}
