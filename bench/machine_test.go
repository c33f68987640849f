package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
)

func TestCaches(t *testing.T) {
	folder := t.TempDir()
	for i, cache := range []string{"1 Data 48K", "1 Instruction 32K", "2 Unified 2048K", "3 Unified 1G"} {
		index := filepath.Join(folder, "index"+string(rune('0'+i)))
		require.NoError(t, os.Mkdir(index, 0o777))
		for j, name := range []string{"level", "type", "size"} {
			require.NoError(t, os.WriteFile(filepath.Join(index, name), []byte(strings.Fields(cache)[j]+"\n"), 0o666))
		}
	}
	assert.Equal(t, []int{48 << 10, 2 << 20, 1 << 30}, caches(folder))
	assert.Empty(t, caches(filepath.Join(folder, "none")))
}

func TestThisMachine(t *testing.T) {
	m := thisMachine("")
	assert.NotEmpty(t, m.Processor)
	assert.Positive(t, m.Cores)
	assert.Equal(t, trellis.Tiers(), m.Tiers)
	assert.Equal(t, "a better one", thisMachine("a better one").Processor)
}

func TestRevision(t *testing.T) {
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef"}
	assert.Empty(t, revision(nil))
	assert.Equal(t, "0123456789ab", revision([]debug.BuildSetting{commit, {Key: "vcs.modified", Value: "false"}}))
	assert.Equal(t, "0123456789ab, changed", revision([]debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, commit}))
}
