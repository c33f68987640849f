package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	beam.RegisterDoFn(reflect.TypeFor[readLinesFn]())
	register.Emitter1[string]()
}

// maxLine is the most bytes of a line of a list, as of the command's.
const maxLine = 1 << 24

// readHeader returns the first line of a list.
func readHeader(ctx context.Context, list string) (header string, err error) {
	empty := true
	err = eachLine(ctx, list, func(line string) bool {
		header, empty = line, false
		return false
	})
	if err == nil && empty {
		err = fmt.Errorf("%s: the list is empty", list)
	}
	return header, err
}

// readLines returns the lines of a list but the first one. A single worker reads them, as a list is small
// beside the files in it. Beam's textio has several read it, but would take a third of all the time that
// this program takes to compile.
func readLines(s beam.Scope, list string) beam.PCollection {
	return beam.ParDo(s, &readLinesFn{list}, beam.Impulse(s))
}

// readLinesFn reads the lines of a list but the first one.
type readLinesFn struct{ List string }

func (f *readLinesFn) ProcessElement(ctx context.Context, _ []byte, emit func(string)) error {
	first := true
	return eachLine(ctx, f.List, func(line string) bool {
		if !first {
			emit(line)
		}
		first = false
		return true
	})
}

// eachLine calls do for the lines of a file, until that is false.
func eachLine(ctx context.Context, name string, do func(line string) bool) error {
	fs, err := filesystem.New(ctx, name)
	if err != nil {
		return err
	}
	defer fs.Close()
	file, err := fs.OpenRead(ctx, name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer file.Close()
	lines, number := bufio.NewScanner(file), 0
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		number++
		if !do(lines.Text()) {
			return nil
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("%s: line %d is longer than %d MiB", name, number+1, maxLine>>20)
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// folder returns that of a file.
func folder(name string) string {
	if at := strings.LastIndexByte(name, '/'); at >= 0 {
		return name[:at+1]
	}
	return ""
}
