package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/gotrellis/trellis/internal/npy"
)

// draft is a file in the making. It is written beside its place and moved there when it is complete
// and on the disk, so that there is never half a file, even after a power failure.
type draft struct {
	*os.File
	name string
}

// createDraft begins a file.
func createDraft(name string) (*draft, error) {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target // a link stays one
	}
	// Not the process's number: the next process in a container may have the same,
	// and a file that a killed one left would be in its way.
	temporary := fmt.Sprintf("%s.%08x.tmp", name, rand.Uint32())
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	var failed *fs.PathError
	if errors.As(err, &failed) {
		failed.Path = name // the other one tells nobody anything
	}
	if err != nil {
		return nil, err
	}
	return &draft{file, name}, nil
}

// finish moves the complete file to its place.
func (d *draft) finish() error {
	if err := cmp.Or(d.Sync(), d.Close()); err != nil {
		return err
	}
	return os.Rename(d.Name(), d.name)
}

// discard removes the file if it has not been finished.
func (d *draft) discard() {
	d.Close()
	os.Remove(d.Name())
}

// writeDraft makes a file of what it reads.
func writeDraft(name string, content io.Reader) error {
	file, err := createDraft(name)
	if err != nil {
		return err
	}
	defer file.discard()
	if _, err := io.Copy(file, content); err != nil {
		return err
	}
	return file.finish()
}

// checkFiles reports an output, which an option names, that must not be overwritten, and inputs
// that cannot go together. Inputs that name no file do not count.
func checkFiles(option, output string, inputs ...string) error {
	pipes := 0
	for _, input := range inputs {
		if input == standardInput {
			pipes++
		}
	}
	if pipes > 1 {
		return misuse("only one of the files can be %s, the standard input", standardInput)
	}
	if output == "" {
		return nil
	}
	info, err := os.Stat(output)
	if os.IsNotExist(err) {
		return nil
	} else if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return misuse("%s %s: not a regular file", option, output)
	}
	for _, input := range inputs {
		if other, err := os.Stat(npy.Path(input)); err == nil && os.SameFile(info, other) {
			return misuse("%s %s: is an input", option, output)
		}
	}
	return nil
}
