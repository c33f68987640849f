package command

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/gotrellis/trellis/internal/npy"
)

// failedFiles is the error of a list some of whose files failed.
type failedFiles struct {
	failed, all int
	results     string
}

func (e failedFiles) Error() string {
	return fmt.Sprintf("%d of %d files failed: their lines in %s say why", e.failed, e.all, e.results)
}

// listReader reads the items of a list, or of a shard of it.
type listReader struct {
	file    *input
	lines   *bufio.Scanner
	number  int // of the line
	items   int // so far, in all shards
	shard   shard
	columns *Columns
}

// maxLine is the most bytes of a line of a list.
const maxLine = 1 << 24

// openList opens a list and reads its first line.
func (t *tool) openList(c *Corpus) (*listReader, error) {
	file, err := t.open(c.list.list)
	if err != nil {
		return nil, err
	}
	l := &listReader{file: file, lines: bufio.NewScanner(file), shard: c.list.shard}
	l.lines.Buffer(nil, maxLine)
	if l.lines.Scan() {
		l.number++
		l.columns, err = c.Columns(l.lines.Text())
	} else {
		err = cmp.Or(l.lines.Err(), errors.New("the list is empty"))
	}
	if err != nil {
		file.Close()
		return nil, l.wrong(err)
	}
	return l, nil
}

// next returns the next item, or nil if there is none. Empty lines are none.
func (l *listReader) next() (*Item, error) {
	for l.lines.Scan() {
		l.number++
		if line := l.lines.Text(); line != "" {
			l.items++
			if l.shard.has(l.items) {
				return l.columns.Item(line), nil
			}
		}
	}
	return nil, l.wrong(l.lines.Err())
}

// wrong says where in the list an error is.
func (l *listReader) wrong(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bufio.ErrTooLong):
		err = fmt.Errorf("line %d is longer than %d MiB", l.number+1, maxLine>>20)
	}
	return fmt.Errorf("%s: %w", l.file.name, err)
}

// countItems counts the items of a list, or of a shard of it. A list that can be read only once has −1.
func countItems(name string, s shard) (items int, err error) {
	if name == standardInput || isPipe(name) {
		return -1, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	lines.Scan()
	for all := 0; lines.Scan(); {
		if len(lines.Bytes()) > 0 {
			if all++; s.has(all) {
				items++
			}
		}
	}
	return items, nil // the one who reads the lines says what is wrong
}

// listRun is the work on a list.
type listRun struct {
	tool    tool // of each file, for which it is copied
	corpus  *Corpus
	list    *listReader
	folder  string // that names in the list are relative to
	results *results
	buffers sync.Pool // of small files

	done, failed int
	compared     int        // files with a reference
	rates        errorRates // of these
	progress     *progress
}

// entry is an item of a list, and its result if that stays.
type entry struct {
	item *Item
	kept *kept
}

// outcome is a new result, or one that stays.
type outcome struct {
	Result
	kept *kept
}

// corpus is the commands with -list.
func (t *tool) corpus(ctx context.Context, out io.Writer, c *Corpus) error {
	workers := c.list.parallel
	if workers == 0 {
		workers = 2 * workersOf(0) // some of them wait for a file
	}
	r := &listRun{corpus: c, tool: tool{memory: t.memory / workers, room: newRoom(t.memory)}}
	var total int
	err := interruptible(ctx, func() (err error) {
		if err := c.read(t.inputs); err != nil {
			return err
		}
		t.warnings = append(t.warnings, c.warnings...)
		if r.list, err = t.openList(c); err != nil {
			return err
		}
		if total, err = countItems(c.list.list, c.list.shard); err != nil {
			return err
		}
		r.results, err = createResults(ctx, c.list, t.stdout)
		return err
	})
	if err != nil {
		return err
	}
	defer r.list.file.Close()
	defer r.results.close()
	if name := c.list.list; name != standardInput && !isPipe(name) {
		r.folder = filepath.Dir(name)
	}
	ballast := make([]byte, 16<<20) // never touched: the collector waits until there is as much garbage
	defer runtime.KeepAlive(ballast)
	r.progress = t.newProgress(total)
	r.progress.every = time.Minute
	defer r.progress.clear()
	if err := inOrder(ctx, workers, r.next, r.work, r.put); err != nil {
		return cmp.Or(r.results.flush(), err) // what is whole stays
	}
	if err := r.results.finish(); err != nil {
		return err
	}
	if r.compared > 0 && r.results.file != nil {
		if err := writeTable(out, 0, 2, func(line int) []string {
			if line == 0 {
				return append([]string{"files"}, errorRateColumns...)
			}
			return append([]string{fmt.Sprint(r.compared)}, r.rates.cells()...)
		}); err != nil {
			return err
		}
	}
	if r.failed > 0 {
		return failedFiles{r.failed, r.done, r.results.name}
	}
	return nil
}

// next returns the next item of the list, beside what an earlier process has made of it.
func (r *listRun) next() (e entry, ok bool, err error) {
	if e.item, err = r.list.next(); err != nil {
		return e, false, err
	}
	if e.kept, err = r.results.next(); err != nil {
		return e, false, err
	}
	switch {
	case e.kept != nil:
		return e, e.item != nil, r.results.check(e)
	case r.results.draft != nil && e.item != nil:
		return e, false, fmt.Errorf("%s is not complete; -resume completes it", r.results.name)
	}
	return e, e.item != nil, nil
}

// smallFile is the size up to which files are read at once.
const smallFile = 1 << 20

// work works on an item.
func (r *listRun) work(e entry) outcome {
	if e.kept != nil && !(r.results.draft != nil && e.kept.Error != nil) {
		return outcome{kept: e.kept}
	}
	t := r.tool
	var file *os.File
	buffer, ok := r.buffers.Get().(*[smallFile]byte)
	if !ok {
		buffer = new([smallFile]byte)
	}
	result := r.corpus.workOn(&t, e.item, func() (x *npy.Array, err error) {
		name := e.item.File
		if !filepath.IsAbs(name) {
			name = filepath.Join(r.folder, name)
		}
		var size int64
		if file, size, err = openRegular(npy.Path(name)); err != nil {
			return nil, err
		}
		if size > smallFile {
			return npy.FromReaderAt(e.item.File, file, size)
		}
		if _, err := io.ReadFull(file, buffer[:size]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return npy.FromBytes(e.item.File, buffer[:size])
	})
	if file != nil {
		file.Close()
	}
	r.buffers.Put(buffer)
	return outcome{Result: result}
}

// openRegular opens a file that has a size.
func openRegular(name string) (*os.File, int64, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe does not wait for its other end
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", name)
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// put writes a result, unless it stays where it is.
func (r *listRun) put(o outcome) error {
	line, failed, rates := o.Line, o.Err != nil, o.rates
	if o.kept != nil {
		line, failed, rates = o.kept.line, o.kept.Error != nil, o.kept.rates()
	}
	if o.kept == nil || r.results.draft != nil {
		if err := r.results.put(line); err != nil {
			return err
		}
	}
	r.done++
	if o.kept != nil {
		r.progress.kept++
	}
	if failed {
		r.failed++
	}
	if rates != nil {
		r.compared++
		r.rates = r.rates.plus(*rates)
	}
	r.progress.set(r.done)
	return nil
}
