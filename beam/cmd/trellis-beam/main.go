// Command trellis-beam scores, aligns or decodes the files of a list, as trellis does with -list, in a
// pipeline of Apache Beam: in this process, or on the machines of Flink, Spark or Dataflow.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/metrics"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx"
	"github.com/gotrellis/trellis/beam/ctc"
	"github.com/gotrellis/trellis/cmd/trellis/command"
)

const usage = `trellis-beam -list FILES.tsv -o RESULTS.jsonl [flags] COMMAND [options]

Scores, aligns or decodes the files of a list, as trellis does with -list, in a pipeline
of Apache Beam. COMMAND is ctc, align or decode, with the options of trellis. The first
line of the list names its columns, with tabs between them: "emissions" is a .npy file,
"text" or "targets" what was said in it. Others pass through to the results. A name that
is not absolute starts in the folder of the list. Results are a line of JSON for each
file, in any order.

  trellis-beam -list files.tsv -o results.jsonl align -logits -tokens tokens.txt
  trellis-beam -list gs://b/files.tsv -o gs://b/results.jsonl -shards 16 \
    -runner dataflow -project p -region europe-west1 -staging_location gs://b/staging \
    decode -logits -tokens gs://b/tokens.txt

No file that is there is written over. The exit code is 0, or 1 if the pipeline fails, 2
for bad usage, 3 if a file failed. "trellis-beam align -h" explains the options of align,
and so on. Flags:

`

// The exit codes.
const (
	exitOK       = 0
	exitPipeline = 1
	exitUsage    = 2
	exitFailures = 3
)

// job is what the flags say.
type job struct {
	list, output, failures string
	shards                 int
	command                []string
}

func main() {
	var j job
	own, beams := flag.NewFlagSet("", flag.PanicOnError), flag.NewFlagSet("", flag.PanicOnError)
	own.StringVar(&j.list, "list", "", "work on the files that `FILE` lists")
	own.StringVar(&j.output, "o", "", "write results to `FILE`")
	own.StringVar(&j.failures, "failures", "", "write the lines of files that failed to `FILE`, not to that of -o")
	own.IntVar(&j.shards, "shards", 1, "write `N` files, such as results-00002-of-00016.jsonl, each by one worker")
	flag.VisitAll(func(f *flag.Flag) { beams.Var(f.Value, f.Name, f.Usage) })
	own.VisitAll(func(f *flag.Flag) { flag.Var(f.Value, f.Name, f.Usage) })
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		own.PrintDefaults()
		fmt.Fprint(os.Stderr, "\nFlags of Beam:\n\n")
		beams.PrintDefaults()
	}
	flag.Parse()
	beam.Init() // a worker does not return from this
	j.command = flag.Args()
	os.Exit(j.run(context.Background(), os.Stderr))
}

// run runs the pipeline, says how that went, and returns the exit code.
func (j *job) run(ctx context.Context, stderr io.Writer) int {
	if len(j.command) == 2 && slices.Contains([]string{"-h", "-help", "--help"}, j.command[1]) {
		return command.Main(j.command)
	}
	p, err := j.pipeline(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "trellis-beam: %v\nRun \"trellis-beam -h\" for how to use it.\n", err)
		return exitUsage
	}
	result, err := beamx.RunWithMetrics(ctx, p)
	if err != nil {
		fmt.Fprintln(stderr, "trellis-beam:", err)
		return exitPipeline
	}
	if *jobopts.Async { // it goes on without us
		return exitOK
	}
	n := counts(result.Metrics())
	fmt.Fprintf(stderr, "trellis-beam: %d files, %d of which failed; %d frames in %d sequences\n", n["files"], n["failures"], n["frames"], n["sequences"])
	if n["failures"] > 0 {
		return exitFailures
	}
	return exitOK
}

// counts returns the counters of the transforms by their names.
func counts(all metrics.Results) map[string]int64 {
	n := map[string]int64{}
	for _, c := range all.Query(func(r metrics.SingleResult) bool { return r.Namespace() == "trellis" }).Counters() {
		n[c.Name()] += c.Result()
	}
	return n
}

// pipeline makes the pipeline.
func (j *job) pipeline(ctx context.Context) (*beam.Pipeline, error) {
	switch {
	case j.list == "" || j.output == "":
		return nil, errors.New("want -list and -o")
	case j.shards < 1:
		return nil, fmt.Errorf("-shards %d: want 1 or more", j.shards)
	case j.failures == j.output:
		return nil, errors.New("-failures is the file of -o; without it failures go there")
	case len(j.command) == 0:
		return nil, errors.New("want a command: ctc, align or decode")
	}
	transform := transforms[j.command[0]]
	if transform == nil {
		return nil, fmt.Errorf("%q: want ctc, align or decode", j.command[0])
	}
	outputs := []output{{j.output, j.shards}}
	if j.failures != "" {
		outputs = append(outputs, output{j.failures, 1})
	}
	for _, o := range outputs {
		if err := o.check(ctx); err != nil {
			return nil, err
		}
	}
	columns, err := readHeader(ctx, j.list)
	if err != nil {
		return nil, err
	}
	p, s := beam.NewPipelineWithRoot()
	results, failures, err := transform(s, ctc.Options{Args: j.command[1:], Columns: columns, Folder: folder(j.list)}, readLines(s, j.list))
	if err != nil {
		return nil, err
	}
	if j.failures != "" {
		outputs[1].write(s, failures)
	} else {
		results = beam.Flatten(s, results, failures)
	}
	outputs[0].write(s, results)
	return p, nil
}

// transforms has those of ctc by the names of commands.
var transforms = map[string]func(beam.Scope, ctc.Options, beam.PCollection) (results, failures beam.PCollection, err error){
	"ctc":    ctc.Score,
	"align":  ctc.Align,
	"decode": ctc.Decode,
}
