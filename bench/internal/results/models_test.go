package results

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestModels(t *testing.T) {
	name := filepath.Join(t.TempDir(), "models.json")
	m := Models{Tool: "tool 1", CPUs: []string{"cpu"}, Loops: []Loop{
		{Kernel: "sum", Offset: 5, Elements: 16, Instructions: 3, Cycles: map[string]float64{"cpu": 1.5}},
	}}
	require.NoError(t, m.Write(name))
	read, err := ReadModels(name)
	require.NoError(t, err)
	assert.Equal(t, m, read)

	require.NoError(t, os.WriteFile(name, []byte("{}"), 0o666))
	_, err = ReadModels(name)
	assert.ErrorContains(t, err, "no loops")
	_, err = Read(name)
	assert.ErrorContains(t, err, "no results")
	require.NoError(t, os.WriteFile(name, []byte("["), 0o666))
	_, err = ReadModels(name)
	assert.ErrorContains(t, err, name)
}
