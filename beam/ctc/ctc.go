// Package ctc has transforms of Apache Beam for the output of CTC networks, a file for each recording:
// Score computes the loss of what was said, Align finds when each word was said, and Decode reads what
// was said. They do what the command trellis does with -list, and their results are the same bytes.
//
// A transform takes the lines of a list, each of which has the name of a file, in columns with tabs between
// them. The files are read with the filesystems of Beam that the program imports: with
// github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/gcs, names may begin with gs://.
//
// Results are lines of JSON, without a line feed. What fails, be it that a file cannot be read, that it
// does not fit its text, or that something panics, concerns this one file: its line, with the error, is
// among the failures. The columns of the list that a transform does not use are in the lines of both.
//
// The counters "files", "failures", "frames" and "sequences" of the namespace "trellis" say how much was
// done; files that failed are counted by the first two.
package ctc

import (
	"cmp"
	"context"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"
)

// Options say what a transform does.
type Options struct {
	// Args are options of the command, as "trellis help ctc", "align" or "decode" has them: for example
	// "-logits", "-tokens", "gs://bucket/tokens.txt". Every worker reads the files that they name. Options
	// of a single file, such as -text, and of the output are an error.
	Args []string
	// Columns names the columns of the lines, with tabs between them: "emissions" is that of the files, and
	// "text" or "targets" that of what was said. "" is "emissions": a line is the name of a file.
	Columns string
	// Folder is where the names of files in the lines start that are not absolute, such as
	// "gs://bucket/corpus". "" is the working folder of the worker.
	Folder string
}

// Score computes the CTC loss of each sequence, as trellis ctc does. lines is a collection of strings, and
// so are results and failures, whose order is any. Options are an error if they are wrong, or if a file
// that they name cannot be read here.
func Score(s beam.Scope, o Options, lines beam.PCollection) (results, failures beam.PCollection, err error) {
	return transform(s.Scope("ctc.Score"), "ctc", o, lines)
}

// Align finds when each word or label was said, as trellis align does, and is otherwise like Score.
func Align(s beam.Scope, o Options, lines beam.PCollection) (results, failures beam.PCollection, err error) {
	return transform(s.Scope("ctc.Align"), "align", o, lines)
}

// Decode reads what was said, as trellis decode does, and is otherwise like Score.
func Decode(s beam.Scope, o Options, lines beam.PCollection) (results, failures beam.PCollection, err error) {
	return transform(s.Scope("ctc.Decode"), "decode", o, lines)
}

func transform(s beam.Scope, command string, o Options, lines beam.PCollection) (results, failures beam.PCollection, err error) {
	ctx := context.Background()
	do := &doFn{Args: append([]string{command}, o.Args...), Header: cmp.Or(o.Columns, "emissions"), Folder: o.Folder}
	if err := do.Setup(ctx); err != nil {
		return beam.PCollection{}, beam.PCollection{}, err
	}
	for _, warning := range do.corpus.Warnings() {
		log.Warn(ctx, warning)
	}
	// Without this a runner may leave all lines of a list to the worker that reads it.
	results, failures = beam.ParDo2(s, do, beam.Reshuffle(s, lines))
	return results, failures, nil
}
