package command

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// results is the file of the results of a list, a line of JSON for each file of it. A process that is
// killed leaves whole lines and perhaps the beginning of another, which the next one cuts off.
type results struct {
	name     string // for people
	lines    io.Writer
	file     *os.File // or nil
	isStream bool     // to a pipe, a device or the standard output

	mutex   sync.Mutex
	waiting []byte // lines that are to be written
	timer   *time.Timer
	failed  error // to write

	// Of an earlier process:
	old   *bufio.Reader // its lines, until all have been read
	line  int           // how many of them have been
	end   int64         // where the last whole one ends
	draft *draft        // of a file that takes the place of that one; or nil
}

// createResults creates the file of results, or opens one that there is.
func createResults(ctx context.Context, o *listOptions, stdout io.Writer) (*results, error) {
	if o.output == standardInput {
		return &results{name: "standard output", lines: interruptibleWriter{ctx, stdout}, isStream: true}, nil
	}
	info, err := os.Stat(o.output)
	switch isThere := err == nil; {
	case !isThere && o.retry:
		return nil, err
	case !isThere || info.Mode().IsRegular():
		return openResults(o)
	case o.resume || o.retry:
		return nil, misuse("-o %s: not a regular file, with which one could go on", o.output)
	}
	file, err := os.OpenFile(o.output, os.O_WRONLY, 0) // a pipe or a device
	if err != nil {
		return nil, err
	}
	return &results{name: o.output, lines: interruptibleWriter{ctx, file}, file: file, isStream: true}, nil
}

// openResults opens or creates a regular file, which no other process may be writing.
func openResults(o *listOptions) (r *results, err error) {
	file, err := os.OpenFile(o.output, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	if !lock(file) {
		return nil, fmt.Errorf("-o %s: another process is writing it", o.output)
	}
	r = &results{name: o.output, lines: file, file: file}
	if o.resume || o.retry {
		r.old = bufio.NewReader(file)
	} else if info, err := file.Stat(); err != nil {
		return nil, err
	} else if info.Size() > 0 {
		return nil, misuse("-o %s: the file exists; -resume goes on with results that are not complete", o.output)
	}
	if o.retry {
		if r.draft, err = createDraft(o.output); err != nil {
			return nil, err
		}
		r.lines = r.draft
	}
	return r, nil
}

// kept is a result of an earlier process.
type kept struct {
	line      []byte
	File, Key string
	Error     *string
	Errors    *struct { // as errorRates.writeJSON writes them
		Characters      int
		CharacterErrors int `json:"character_errors"`
		Words           int
		WordErrors      int `json:"word_errors"`
	}
}

// rates returns the error rates, or nil if there are none.
func (k *kept) rates() *errorRates {
	if k.Errors == nil {
		return nil
	}
	e := k.Errors
	return &errorRates{errorRate{e.Characters, e.CharacterErrors}, errorRate{e.Words, e.WordErrors}}
}

// next returns the next result of an earlier process, or nil if there is none.
func (r *results) next() (*kept, error) {
	if r.old == nil {
		return nil, nil
	}
	line, err := r.old.ReadBytes('\n')
	if err == io.EOF {
		return nil, r.goOn(line)
	} else if err != nil {
		return nil, err
	}
	r.line++
	r.end += int64(len(line))
	k := &kept{line: line}
	if err := json.Unmarshal(line, k); err != nil || k.Key == "" {
		return nil, fmt.Errorf("%s: line %d is no result of a list", r.name, r.line)
	}
	return k, nil
}

// check reports a result that is not that of an item, or of none.
func (r *results) check(e entry) error {
	switch {
	case e.item == nil:
		return fmt.Errorf("%s: line %d is of %q, and the list ends before it: it is another list, or another shard", r.name, r.line, e.kept.File)
	case e.kept.Key == e.item.keyText():
		return nil
	case e.kept.File != e.item.File:
		return fmt.Errorf("%s: line %d is of %q, in the list it is %q: it is another list, or another shard", r.name, r.line, e.kept.File, e.item.File)
	}
	return fmt.Errorf("%s: line %d, of %q, was made with other options, tokens or another text", r.name, r.line, e.kept.File)
}

// begun is how a line of results begins.
const begun = `{"file":`

// goOn ends the lines of the earlier process, after which there is perhaps the beginning of another.
func (r *results) goOn(rest []byte) error {
	r.old = nil
	if n := min(len(rest), len(begun)); !bytes.Equal(rest[:n], []byte(begun)[:n]) {
		return fmt.Errorf("%s: its last line is not the beginning of a result", r.name)
	}
	if r.draft != nil {
		return nil // finish needs all that was there before
	}
	if len(rest) > 0 {
		if err := r.file.Truncate(r.end); err != nil {
			return err
		}
	}
	_, err := r.file.Seek(r.end, io.SeekStart)
	return err
}

// Lines wait for others, to be written together, but not for long.
const (
	enoughBytes = 1 << 16
	longEnough  = 100 * time.Millisecond
)

// put writes a line, soon.
func (r *results) put(line []byte) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.failed != nil { // nothing is to stand behind what is lost, and an interrupted write may still read waiting
		return r.failed
	}
	r.waiting = append(r.waiting, line...)
	if len(r.waiting) >= enoughBytes {
		r.write()
	} else if r.timer == nil {
		r.timer = time.AfterFunc(longEnough, func() { r.flush() })
	}
	return r.failed
}

// flush writes the lines that wait.
func (r *results) flush() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.write()
	return r.failed
}

// write writes the lines that wait.
func (r *results) write() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	if len(r.waiting) > 0 {
		_, r.failed = r.lines.Write(r.waiting)
	}
	r.waiting = r.waiting[:0]
}

// finish writes what is left and closes the file, which is then on the disk.
func (r *results) finish() error {
	if err := r.flush(); err != nil {
		return err
	}
	switch {
	case r.draft != nil:
		return r.draft.finish()
	case !r.isStream:
		return cmp.Or(r.file.Sync(), r.file.Close())
	case r.file != nil:
		return r.file.Close()
	}
	return nil
}

// close closes the file, whatever is in it.
func (r *results) close() {
	if r.draft != nil {
		r.draft.discard()
	}
	if r.file != nil {
		r.file.Close()
	}
}
