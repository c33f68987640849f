package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/textio"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	beam.RegisterDoFn(reflect.TypeFor[dropHeaderFn]())
	register.Emitter1[string]()
}

// maxHeader is the most bytes of a list's first line.
const maxHeader = 1 << 16

// readHeader returns the first line of a list, as readLines has it.
func readHeader(ctx context.Context, list string) (string, error) {
	fs, err := filesystem.New(ctx, list)
	if err != nil {
		return "", err
	}
	defer fs.Close()
	file, err := fs.OpenRead(ctx, list)
	if err != nil {
		return "", fmt.Errorf("%s: %w", list, err)
	}
	defer file.Close()
	line, err := bufio.NewReader(io.LimitReader(file, maxHeader)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("%s: %w", list, err)
	}
	if line == "" {
		return "", fmt.Errorf("%s: the list is empty", list)
	}
	if len(line) == maxHeader {
		return "", fmt.Errorf("%s: the first line, which names the columns, has more than %d bytes", list, maxHeader)
	}
	return strings.TrimSuffix(line, "\n"), nil
}

// readLines returns the lines of a list but the first one.
func readLines(s beam.Scope, list, header string) beam.PCollection {
	return beam.ParDo(s, &dropHeaderFn{Header: header}, textio.Read(s, list))
}

// dropHeaderFn leaves out the first line of a list. It is known by what it says, as lines come in any order.
type dropHeaderFn struct{ Header string }

func (f *dropHeaderFn) ProcessElement(line string, emit func(string)) {
	if line != f.Header {
		emit(line)
	}
}

// folder returns that of a file.
func folder(name string) string {
	if at := strings.LastIndexByte(name, '/'); at >= 0 {
		return name[:at+1]
	}
	return ""
}
