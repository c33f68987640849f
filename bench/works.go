package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotrellis/trellis/bench/internal/results"
	"github.com/gotrellis/trellis/bench/internal/side"
)

// work is a computation that is measured: by every tier and beside its peers.
type work struct {
	name     string
	group    string // of package results
	x        float64
	job      side.Job // Workers is left open
	workers  []int
	bestOnly bool     // by the best tier only
	peers    []string // besides PyTorch
	ownWork  bool     // which PyTorch does not do, or with NaN as the result
	memory   string   // operation that only moves what the job has to
	elements int      // of these
	unit     string
}

func f32(op string, shape ...int) side.Job {
	return side.Job{Op: op, Type: "float32", Shape: shape}
}

func f64(op string, shape ...int) side.Job {
	return side.Job{Op: op, Type: "float64", Shape: shape}
}

func ctc(op, typ string, least, most int, shape ...int) side.Job {
	return side.Job{Op: op, Type: typ, Shape: shape, Targets: []int{least, most}}
}

func weighted(j side.Job) side.Job {
	j.Weighted = true
	return j
}

func smoothed(j side.Job) side.Job {
	j.Smoothing = 0.1
	return j
}

// nameOf says all about a job but its workers.
func nameOf(j side.Job) string {
	var name strings.Builder
	name.WriteString(j.Op)
	if j.Targets == nil {
		shape := strings.Trim(fmt.Sprint(j.Shape), "[]")
		name.WriteString(" " + strings.ReplaceAll(shape, " ", "×"))
	} else {
		fmt.Fprintf(&name, " T%d N%d C%d S%s", j.Shape[0], j.Shape[1], j.Shape[2], between(j.Targets))
	}
	if j.Type == "float64" {
		name.WriteString(" " + j.Type)
	}
	if j.Width != 0 {
		fmt.Fprintf(&name, ", width %d", j.Width)
	}
	if j.Threshold != 0 {
		fmt.Fprintf(&name, ", above %g", j.Threshold)
	}
	if j.Model {
		name.WriteString(", 3-gram and hotwords")
	}
	if j.Weighted {
		name.WriteString(", weights")
	}
	if j.Smoothing != 0 {
		fmt.Fprintf(&name, ", smoothing %g", j.Smoothing)
	}
	if j.Scale != 0 {
		fmt.Fprintf(&name, ", scores × %g", j.Scale)
	}
	if j.Mask.Share != 0 {
		fmt.Fprintf(&name, ", %g %% of %s", 100*j.Mask.Share, j.Mask.Score)
	}
	if j.LogProbs {
		name.WriteString(", log-probabilities")
	}
	if j.Recording != "" {
		name.WriteString(", " + filepath.Base(j.Recording))
	}
	return name.String()
}

// between is the least and the most of lengths.
func between(lengths []int) string {
	least, most := slices.Min(lengths), slices.Max(lengths)
	if most > least {
		return fmt.Sprintf("%d–%d", least, most)
	}
	return fmt.Sprint(least)
}

// bytes returns what the job has to move: its inputs, its outputs if there are as many,
// or both.
func (w work) bytes() int {
	n := 4 * w.job.Inputs()
	if w.job.Type == "float64" {
		n *= 2
	}
	if w.memory == opCopy {
		n *= 2
	}
	return n
}

// row makes a line of the table, for one worker and for all cores.
func row(cores int, j side.Job, peers ...string) work {
	w := work{name: nameOf(j), group: results.Table, job: j, peers: peers, workers: []int{1}}
	if cores > 1 && (j.Op != opLogSumExp || len(j.Shape) > 1) {
		w.workers = append(w.workers, cores)
	}
	return w.counted()
}

// counted fills in what the operation decides.
func (w work) counted() work {
	w.elements, w.unit = w.job.Inputs(), "element"
	if w.job.Targets != nil {
		w.elements, w.unit = w.job.States(), "state"
	}
	if w.group == results.Everyday { // which has no column for memory
		return w
	}
	switch w.job.Op {
	case opLogSumExp, opCrossEntropy, opCTC, opAlignment, opGreedy, opBeam:
		w.memory = opRead
	case opNLL + andGrad:
		w.memory = opWrite
	default:
		w.memory = opCopy
	}
	return w
}

// point makes one of a curve.
func point(group string, x int, name string, j side.Job, workers ...int) work {
	w := work{name: j.Op + " " + name, group: group, x: float64(x), job: j, workers: workers}
	return w.counted()
}

// peaked makes lines of the table from what a trained network wrote: scores that are sure
// of a class in nearly all frames, of the blank in most.
func peaked(cores int, op, recording string) (all []work, err error) {
	r, err := side.ReadRecording(recording)
	if err != nil {
		return nil, err
	}
	for _, logProbs := range []bool{false, true} {
		j := ctc(op, "float32", slices.Min(r.Lengths), slices.Max(r.Lengths), r.Shape...)
		j.LogProbs = logProbs
		w := row(cores, j)
		w.name = strings.Replace(w.name, fmt.Sprintf(" T%d ", r.Shape[0]), fmt.Sprintf(" peaked T%s ", between(r.Frames)), 1)
		w.job.Recording, w.elements = recording, r.States()
		all = append(all, w)
	}
	return all, nil
}

// works are all that can be measured on a machine of so many cores. The folder has the
// recordings of package emissions.
func works(cores int, folder string) (all []work, err error) {
	line := func(j side.Job, peers ...string) { all = append(all, row(cores, j, peers...)) }
	line(f32(opLogSumExp, 128, 1000))
	line(f32(opLogSumExp, 32, 50257))
	line(f32(opLogSumExp, 1024, 32))
	line(f32(opLogSumExp, 32))
	line(f32(opLogSumExp, 1<<26)) // 256 MiB, which no cache holds
	line(f64(opLogSumExp, 128, 1000), results.Gonum)
	line(f64(opLogSumExp, 32, 50257), results.Gonum)
	line(f32(opSoftmax, 128, 1000))
	line(f32(opNLL+andGrad, 4096, 5000))
	for _, op := range []string{opCrossEntropy, opCrossEntropy + andGrad} {
		line(f32(op, 128, 1000))
		line(f32(op, 32, 50257))
		line(f32(op, 4096, 5000))
		line(f32(op, 8, 21, 256, 256))
	}
	for _, op := range []string{opCTC, opCTC + andGrad} {
		var peers []string
		if op == opCTC+andGrad {
			peers = []string{results.Gorgonia}
		}
		for _, name := range []string{"line", "batch"} {
			lines, err := peaked(cores, op, filepath.Join(folder, name))
			if err != nil {
				return nil, err
			}
			all = append(all, lines...)
		}
		line(ctc(op, "float32", 10, 30, 50, 16, 20))
		line(ctc(op, "float32", 40, 40, 150, 1, 28))
		line(ctc(op, "float32", 40, 40, 150, 16, 28), peers...)
		line(ctc(op, "float32", 40, 40, 150, 64, 28))
		line(ctc(op, "float32", 20, 20, 150, 16, 5000))
		line(ctc(op, "float32", 100, 100, 500, 16, 32), peers...)
		line(ctc(op, "float32", 200, 200, 1000, 16, 80))
		line(ctc(op, "float64", 40, 40, 150, 16, 28))
	}
	lines, err := peaked(cores, opAlignment, filepath.Join(folder, "line"))
	if err != nil {
		return nil, err
	}
	for _, w := range lines {
		w.peers = []string{results.Naive}
		all = append(all, w)
	}
	for _, shape := range [][2]int{{292, 90}, {1000, 200}, {20000, 2000}} {
		j := ctc(opAlignment, "float32", shape[1], shape[1], shape[0], 1, 32)
		j.LogProbs = true
		line(j, results.Naive)
	}
	return slices.Concat(all, readings(filepath.Join(folder, "line")), everyday(), curves(cores)), nil
}

// readings are works of package decode, from log-probabilities: of what a network wrote for a line of
// text, and of as many frames and classes as a recogniser of printed Chinese has.
func readings(recording string) (all []work) {
	add := func(j side.Job) {
		j.LogProbs = true
		w := work{name: nameOf(j), group: results.Table, job: j, peers: []string{results.Naive}, workers: []int{1}, ownWork: true}
		all = append(all, w.counted())
	}
	line, page := []int{166, 1, 60}, []int{85, 1, 6625}
	add(side.Job{Op: opGreedy, Type: "float32", Shape: line, Recording: recording})
	add(side.Job{Op: opGreedy, Type: "float32", Shape: page, Scale: 5})
	for _, width := range []int{10, 100} {
		add(side.Job{Op: opBeam, Type: "float32", Shape: line, Recording: recording, Width: width, Threshold: 0.001})
		add(side.Job{Op: opBeam, Type: "float32", Shape: line, Recording: recording, Width: width})
	}
	add(side.Job{Op: opBeam, Type: "float32", Shape: line, Recording: recording, Width: 100, Threshold: 0.001, Model: true})
	add(side.Job{Op: opBeam, Type: "float32", Shape: line, Recording: recording, Width: 100, Model: true})
	add(side.Job{Op: opBeam, Type: "float32", Shape: page, Scale: 5, Width: 10, Threshold: 0.001})
	return all
}

// everyday are works of sizes that most training has: many of them short.
func everyday() (all []work) {
	add := func(j side.Job, workers ...int) {
		if workers == nil {
			workers = []int{1}
		}
		all = append(all, work{name: nameOf(j), group: results.Everyday, job: j, workers: workers, peers: []string{results.Naive}}.counted())
	}
	for _, op := range []string{opNLL, opNLL + andGrad} {
		add(f32(op, 1, 10))
		add(f32(op, 32, 10))
		add(f32(op, 256, 10), 1, 0)
		add(f32(op, 4096, 10))
		add(f32(op, 4096, 1000))
	}
	for _, op := range []string{opCrossEntropy, opCrossEntropy + andGrad} {
		add(f32(op, 1, 2))
		add(f32(op, 1, 10))
		add(f32(op, 32, 10), 1, 0)
		add(f32(op, 256, 3))
		add(f32(op, 256, 10), 1, 0)
		add(f32(op, 32, 1000))
		add(weighted(f32(op, 256, 3)))
		add(weighted(f32(op, 256, 10)))
		add(smoothed(f32(op, 256, 3)))
		add(smoothed(f32(op, 256, 10)))
		for _, c := range []int{2, 3, 5, 8, 16} {
			add(f32(op, 4096, c))
		}
		add(f32(op, 4096, 10), 1, 0)
		add(f32(op, 4096, 1024)) // what a logit costs where nothing is in the way
		add(f32(op, 262144, 2, 4))
		add(f32(op, 131072, 2, 8))
		add(f32(op, 65536, 2, 16))
	}
	for _, op := range []string{opCrossProbs, opCrossProbs + andGrad} {
		add(f32(op, 256, 10))
	}
	for _, shape := range [][]int{{64, 5000, 2}, {8, 50257, 3}, {65536, 10, 16}, {8, 21, 256, 256}} {
		j := f32(opCrossEntropy+andGrad, shape...)
		add(j)
		add(smoothed(j))
	}
	for _, op := range []string{opCrossEntropy + andGrad, opCrossEntropy + lossesAndGrad} {
		add(f32(op, 4096, 100))
	}
	add(f32(opLogSumExp, 128, 1000))
	add(f32(opLogSumExp, 1024, 32), 1, 0)
	add(f32(opLogSumExp, 4096, 10))
	add(f32(opSoftmax, 4096, 10))
	for _, op := range []string{opCTC, opCTC + andGrad} {
		add(ctc(op, "float32", 5, 5, 20, 1, 28))
		add(ctc(op, "float32", 20, 20, 100, 1, 28))
	}
	for _, change := range []func(j *side.Job){
		func(j *side.Job) { j.Scale = 30 },
		func(j *side.Job) { j.Mask = side.Mask{Share: 0.1, Score: "-1e4"} },
		func(j *side.Job) { j.Mask = side.Mask{Share: 0.01, Score: "-1e4"} },
		func(j *side.Job) { j.Mask = side.Mask{Share: 0.01, Score: "-Inf"} },
	} {
		j := ctc(opCTC+andGrad, "float32", 100, 100, 500, 16, 32)
		change(&j)
		add(j) // beside the same from standard normal numbers, which is in works
		all[len(all)-1].ownWork = j.Mask.Score == "-Inf"
	}
	return all
}

// inReadme names the works that the project's README shows: what most users have to do.
var inReadme = []string{
	"log-sum-exp 128×1000",
	"softmax 128×1000",
	"cross-entropy+grad 128×1000",
	"cross-entropy+grad 4096×5000",
	"cross-entropy+grad 8×21×256×256",
	"CTC+grad peaked T166 N1 C60 S36",
	"CTC+grad peaked T110–152 N4 C60 S22–28",
	"CTC+grad T150 N16 C28 S40",
	"CTC+grad T150 N16 C5000 S20",
	"CTC+grad T500 N16 C32 S100",
}

// curves show how cost grows.
func curves(cores int) (all []work) {
	for _, n := range []int{2, 4, 8, 16, 32, 64, 128, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26} {
		all = append(all, point(results.Rows, n, fmt.Sprintf("row of %d", n), f32(opLogSumExp, n), 1))
	}
	for _, c := range []int{2, 4, 8, 16, 32, 64, 128, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1e6} {
		n := max(1, 1<<20/c)
		w := point(results.Classes, c, fmt.Sprintf("%d×%d for C", n, c), f32(opCrossEntropy+andGrad, n, c), 1)
		w.unit = "logit"
		all = append(all, w)
	}
	for _, s := range []int{4, 8, 14, 25, 45, 79, 141, 250, 447, 790, 1414} {
		t := 5 * s // T·S from 80 to 10⁷
		all = append(all, point(results.CTCSize, t*s, fmt.Sprintf("T%d C32 S%d for T·S", t, s), ctc(opCTC+andGrad, "float32", s, s, t, 1, 32), 1))
	}
	for _, c := range []int{2, 5, 10, 28, 80, 256, 512, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1e6} {
		w := point(results.CTCClasses, c, fmt.Sprintf("T50 C%d S10 for C", c), ctc(opCTC+andGrad, "float32", 10, 10, 50, 1, c), 1)
		w.elements, w.unit = w.job.Inputs(), "logit"
		all = append(all, w)
	}
	for _, n := range []int{1, 2, 4, 8, 16, 64, 256, 1 << 10, 1 << 12} {
		w := point(results.Batch, n, fmt.Sprintf("T50 N%d C20 S10–30 for N", n), ctc(opCTC+andGrad, "float32", 10, 30, 50, n, 20), 1)
		if cores > 1 {
			w.workers = append(w.workers, cores)
		}
		w.elements, w.unit, w.bestOnly = n, "sequence", true
		all = append(all, w)
	}
	for workers := 1; ; workers = min(2*workers, cores) {
		for _, j := range []struct {
			name string
			job  side.Job
		}{
			{"4096×1000 for workers", f32(opLogSumExp, 4096, 1000)},
			{"4096×5000 for workers", f32(opCrossEntropy+andGrad, 4096, 5000)},
			{"T150 N64 C28 S40 for workers", ctc(opCTC+andGrad, "float32", 40, 40, 150, 64, 28)},
		} {
			w := point(results.Workers, workers, j.name, j.job, workers)
			w.bestOnly = true
			all = append(all, w)
		}
		if workers == cores {
			return all
		}
	}
}
