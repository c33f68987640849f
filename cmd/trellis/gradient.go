package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
)

// gradient is a .npy file in the making, with the header of the array whose
// gradient it holds. It is written beside its place and moved there when
// complete, so that there is never half a file.
type gradient struct {
	name string
	x    *npy.Array
	file *os.File
}

// createGradient begins the gradient of all rows. A name of "" is none.
func createGradient(name string, r rows) (*gradient, error) {
	if name == "" {
		return nil, nil
	}
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target // a link stays one
	}
	// Not the process's number: the next process in a container may have the same,
	// and a file that a killed one left would be in its way.
	temporary := fmt.Sprintf("%s.%08x.tmp", name, rand.Uint32())
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	g := &gradient{name: name, x: r.Array, file: file}
	if _, err := file.Write(r.Header); err != nil {
		g.discard()
		return nil, err
	}
	return g, nil
}

// checkReplaceable reports a file that an option names and that must not be overwritten.
// Inputs that name no file do not count.
func checkReplaceable(option, name string, inputs ...string) error {
	if name == "" {
		return nil
	}
	info, err := os.Stat(name)
	if os.IsNotExist(err) {
		return nil
	} else if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return misuse("%s %s: not a regular file", option, name)
	}
	for _, input := range inputs {
		if other, err := os.Stat(npy.Path(input)); err == nil && os.SameFile(info, other) {
			return misuse("%s %s: is an input", option, name)
		}
	}
	return nil
}

// chunk is how many elements go from memory to the file at a time.
const chunk = 1 << 17

// writeFloats writes elements from the index first on.
func writeFloats[F trellis.Float](ctx context.Context, g *gradient, src []F, first int) error {
	d := g.x.Dtype
	raw := make([]byte, min(chunk, len(src))*d.Size)
	for part := range slices.Chunk(src, chunk) {
		if err := ctx.Err(); err != nil {
			return err
		}
		npy.Encode(raw, part, d)
		if _, err := g.file.WriteAt(raw[:len(part)*d.Size], g.x.Offset(first)); err != nil {
			return err
		}
		first += len(part)
	}
	return nil
}

// finish moves the complete file to its place.
func (g *gradient) finish() error {
	if g == nil {
		return nil
	}
	if err := g.file.Close(); err != nil {
		return err
	}
	return os.Rename(g.file.Name(), g.name)
}

// discard removes the file if it has not been finished.
func (g *gradient) discard() {
	if g != nil {
		g.file.Close()
		os.Remove(g.file.Name())
	}
}
