package ctc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/gotrellis/trellis/cmd/trellis/command"
	"github.com/gotrellis/trellis/internal/npy"
)

// The reflection that register.DoFn4x1 would save is nothing beside a file; it takes 11 seconds to compile.
func init() {
	beam.RegisterDoFn(reflect.TypeFor[doFn]())
	register.Emitter1[string]()
}

// doFn does the work on the files. Beam gives every worker a copy of what is exported.
type doFn struct {
	Args   []string // of the command
	Header string   // of the list
	Folder string

	corpus  *command.Corpus
	columns *command.Columns
	files   files
}

var (
	nFiles     = beam.NewCounter("trellis", "files")
	nFailures  = beam.NewCounter("trellis", "failures")
	nFrames    = beam.NewCounter("trellis", "frames")
	nSequences = beam.NewCounter("trellis", "sequences")
)

// Setup is called before the first line comes.
func (f *doFn) Setup(ctx context.Context) (err error) {
	if f.corpus, err = corpusOf(ctx, f.Args); err != nil {
		return err
	}
	f.columns, err = f.corpus.Columns(f.Header)
	return err
}

// ProcessElement does the work on the file of a line. An error would be that of all lines which come with
// this one, and in the end of the pipeline.
func (f *doFn) ProcessElement(ctx context.Context, line string, result, failure func(string)) error {
	if strings.Trim(line, "\r\n") == "" {
		return nil
	}
	r := f.do(ctx, f.columns.Item(line))
	if err := ctx.Err(); err != nil { // the runner has another worker do it
		return err
	}
	nFiles.Inc(ctx, 1)
	emit := result
	if r.Err != nil {
		nFailures.Inc(ctx, 1)
		emit = failure
	} else {
		nFrames.Inc(ctx, int64(r.Frames))
		nSequences.Inc(ctx, int64(r.Sequences))
	}
	emit(string(bytes.TrimSuffix(r.Line, []byte("\n"))))
	return nil
}

// do does the work on one file. Whatever a filesystem does, it fails alone.
func (f *doFn) do(ctx context.Context, item *command.Item) (r command.Result) {
	defer func() {
		if p := recover(); p != nil {
			log.Errorf(ctx, "%s: panic: %v\n%s", item.File, p, debug.Stack())
			r = f.corpus.Fail(item, fmt.Errorf("panic: %v", p))
		}
	}()
	if item.Err != nil {
		return f.corpus.Fail(item, item.Err)
	}
	emissions, err := f.files.read(ctx, inFolder(f.Folder, npy.Path(item.File)))
	if err != nil {
		return f.corpus.Fail(item, err)
	}
	return f.corpus.Do(item, emissions)
}

// Teardown is called when no more lines come.
func (f *doFn) Teardown() error { return f.files.Close() }

// corpora has what the options of every transform in this process name: there is one doFn for each core
// or more, and language models are large.
var corpora struct {
	sync.Mutex
	of map[string]*command.Corpus
}

// corpusOf returns the corpus of these arguments.
func corpusOf(ctx context.Context, args []string) (*command.Corpus, error) {
	corpora.Lock()
	defer corpora.Unlock()
	key := strings.Join(args, "\x00")
	if c := corpora.of[key]; c != nil {
		return c, nil
	}
	var f files
	defer f.Close()
	c, err := command.NewCorpus(slices.Clone(args), func(name string) (io.ReadCloser, error) { return f.open(ctx, name) })
	if err != nil {
		return nil, err
	}
	if corpora.of == nil {
		corpora.of = map[string]*command.Corpus{}
	}
	corpora.of[key] = c
	return c, nil
}
