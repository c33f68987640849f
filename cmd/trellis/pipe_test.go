//go:build linux || darwin

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTextFromAPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(name, 0o600))
	go func() {
		if file, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
			file.WriteString("3,2,1,1,2\n")
			file.Close()
		}
	}()
	l, err := readInts("-targets", name)
	require.NoError(t, err)
	assert.Equal(t, [][]int{{3, 2, 1, 1, 2}}, l.rows)
	_, err = openArray(name)
	assert.ErrorContains(t, err, "not a regular file")
}
