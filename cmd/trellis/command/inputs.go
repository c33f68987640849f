package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gotrellis/trellis/internal/npy"
)

// standardInput is the name of what comes through a pipe.
const standardInput = "-"

// inputs opens what the arguments name.
type inputs struct {
	stdin  io.Reader
	opener func(name string) (io.ReadCloser, error) // of files; nil: the system's
	seen   io.Writer                                // gets all that is read; or nil
}

// input is a file, a pipe or the standard input.
type input struct {
	*bufio.Reader
	name  string    // for people
	file  io.Closer // or nil
	whole bool      // it is read to its end, for who wants to see all of it
}

// open opens an input.
func (in *inputs) open(name string) (*input, error) {
	if name == standardInput {
		return &input{in.reader(in.stdin), "standard input", nil, in.seen != nil}, nil
	}
	file, err := in.openFile(name)
	if err != nil {
		return nil, err
	}
	return &input{in.reader(file), name, file, in.seen != nil}, nil
}

// openFile opens a file.
func (in *inputs) openFile(name string) (io.ReadCloser, error) {
	if in.opener != nil {
		return in.opener(name)
	}
	return os.Open(name)
}

// reader reads what was opened.
func (in *inputs) reader(r io.Reader) *bufio.Reader {
	if in.seen != nil {
		in.seen.Write([]byte{0}) // where it begins
		r = io.TeeReader(r, in.seen)
	}
	return bufio.NewReader(r)
}

func (i *input) Close() error {
	if i.whole {
		io.Copy(io.Discard, i.Reader) // what is wrong there matters to nobody else
	}
	if i.file == nil {
		return nil
	}
	return i.file.Close()
}

// maxText is the most bytes of a text file.
const maxText = 1 << 28

// text reads a text file, which may be a pipe, but not an endless one.
func (i *input) text() (string, error) {
	tooLong := fmt.Errorf("%s: more than %d MiB of text", i.name, maxText>>20)
	if file, ok := i.file.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Size() > maxText {
			return "", tooLong
		}
	}
	text, err := io.ReadAll(io.LimitReader(i, maxText+1)) // a pipe has no size
	if err == nil && len(text) > maxText {
		err = tooLong
	}
	return string(text), err
}

// readText reads a text file.
func (in *inputs) readText(name string) (text, source string, err error) {
	file, err := in.open(name)
	if err != nil {
		return "", "", err
	}
	defer file.Close()
	text, err = file.text()
	return text, file.name, err
}

// openScores opens the input file, which may be a pipe.
func (in *inputs) openScores(ctx context.Context, name string) (*npy.Array, error) {
	var x *npy.Array
	if err := interruptible(ctx, func() (err error) {
		x, err = in.openArray(name)
		return err
	}); err != nil {
		return nil, err
	}
	if err := npy.CheckType[float64](x); err != nil {
		x.Close()
		return nil, err
	}
	return x, nil
}

// openArray opens an array in a file, or reads it from a pipe.
func (in *inputs) openArray(name string) (*npy.Array, error) {
	if name != standardInput && !isPipe(name) {
		return npy.Open(name)
	}
	file, err := in.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return npy.FromReader(file.name, file)
}

// isPipe reports whether a name is that of what has no size and is read once.
func isPipe(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeCharDevice|os.ModeSocket) != 0
}

// isFile reports whether a value names a file or a pipe, rather than being a text.
func (in *inputs) isFile(value string) bool {
	if strings.ContainsAny(value, "\n\x00") {
		return false
	}
	if in.opener != nil {
		file, err := in.opener(value)
		if err != nil {
			return false
		}
		file.Close()
		return true
	}
	info, err := os.Stat(value)
	return value == standardInput || err == nil && !info.IsDir()
}

// isLikeFile reports whether a text that is no file may have been meant to be one.
func isLikeFile(text string) bool {
	if strings.Contains(text, " ") {
		return false
	}
	folder, _ := filepath.Split(text)
	info, err := os.Stat(folder)
	return filepath.Ext(text) == ".txt" || err == nil && info.IsDir()
}
