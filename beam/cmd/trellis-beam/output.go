package main

import (
	"bufio"
	"context"
	"fmt"
	"hash/crc32"
	"path"
	"reflect"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	beam.RegisterDoFn(reflect.TypeFor[shardsFn]())
	beam.RegisterDoFn(reflect.TypeFor[toShardFn]())
	beam.RegisterDoFn(reflect.TypeFor[writeFn]())
	register.Emitter2[int, bool]()
	register.Emitter2[int, string]()
	register.Iter1[bool]()
	register.Iter1[string]()
}

// output is a file of lines, or some that share them.
type output struct {
	Name   string
	Shards int
}

// name returns that of a shard, the first of which is 1.
func (o output) name(shard int) string {
	if o.Shards == 1 {
		return o.Name
	}
	ext := path.Ext(o.Name)
	return fmt.Sprintf("%s-%05d-of-%05d%s", strings.TrimSuffix(o.Name, ext), shard, o.Shards, ext)
}

// check reports a file that is there already.
func (o output) check(ctx context.Context) error {
	fs, err := filesystem.New(ctx, o.Name)
	if err != nil {
		return err
	}
	defer fs.Close()
	for shard := range o.Shards {
		name := o.name(shard + 1)
		found, err := fs.List(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(found) > 0 {
			return fmt.Errorf("%s is there already", name)
		}
	}
	return nil
}

// write writes lines. A shard that gets none is an empty file.
func (o output) write(s beam.Scope, lines beam.PCollection) {
	s = s.Scope("write")
	shards := beam.ParDo(s, &shardsFn{o}, beam.Impulse(s))
	beam.ParDo0(s, &writeFn{o}, beam.CoGroupByKey(s, shards, beam.ParDo(s, &toShardFn{o}, lines)))
}

// shardsFn makes the key of every shard.
type shardsFn struct{ Output output }

func (f *shardsFn) ProcessElement(_ []byte, emit func(int, bool)) {
	for shard := range f.Output.Shards {
		emit(shard+1, true)
	}
}

// toShardFn gives every line the key of a shard, always the same one.
type toShardFn struct{ Output output }

func (f *toShardFn) ProcessElement(line string, emit func(int, string)) {
	emit(int(crc32.ChecksumIEEE([]byte(line))%uint32(f.Output.Shards))+1, line)
}

// writeFn writes the lines of a shard.
type writeFn struct{ Output output }

func (f *writeFn) ProcessElement(ctx context.Context, shard int, _ func(*bool) bool, lines func(*string) bool) error {
	name := f.Output.name(shard)
	fs, err := filesystem.New(ctx, name)
	if err != nil {
		return err
	}
	defer fs.Close()
	file, err := fs.OpenWrite(ctx, name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w := bufio.NewWriterSize(file, 1<<20)
	for line := ""; lines(&line); {
		w.WriteString(line)
		w.WriteByte('\n')
	}
	// What is closed is whole, as a cloud takes it for that. Of a shard that fails all is written again.
	if err := w.Flush(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
