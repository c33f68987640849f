package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/gotrellis/trellis"
)

// gradient is a .npy file in the making, with the header of the array whose
// gradient it holds. It is written beside its place and moved there when
// complete, so that there is never half a file.
type gradient struct {
	name string
	x    *array
	file *os.File
}

// createGradient begins the gradient of all rows. A name of "" is none.
func createGradient(name string, r rows) (*gradient, error) {
	if name == "" {
		return nil, nil
	}
	if err := checkReplaceable(name, r.inputs()); err != nil {
		return nil, err
	}
	temporary := fmt.Sprintf("%s.%d.tmp", name, os.Getpid())
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	g := &gradient{name: name, x: r.array, file: file}
	if _, err := file.Write(r.header); err != nil {
		g.discard()
		return nil, err
	}
	return g, nil
}

// checkReplaceable reports a place that must not be overwritten.
func checkReplaceable(name string, inputs []*array) error {
	info, err := os.Stat(name)
	if os.IsNotExist(err) {
		return nil
	} else if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return misuse("-grad %s: not a regular file", name)
	}
	for _, a := range inputs {
		input, err := a.file.Stat()
		if err != nil {
			return err
		}
		if os.SameFile(info, input) {
			return misuse("-grad %s: is an input", name)
		}
	}
	return nil
}

// writeFloats writes elements from the index first on.
func writeFloats[F trellis.Float](g *gradient, src []F, first int) error {
	d := g.x.dtype
	raw := make([]byte, min(chunk, len(src))*d.size)
	at := int64(len(g.x.header)) + int64(first)*int64(d.size)
	for part := range slices.Chunk(src, chunk) {
		encodeFloats(raw, part, d)
		n, err := g.file.WriteAt(raw[:len(part)*d.size], at)
		if err != nil {
			return err
		}
		at += int64(n)
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
