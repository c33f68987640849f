package main

import (
	"fmt"

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
func row(cores int, name string, j side.Job, peers ...string) work {
	w := work{name: j.Op + " " + name, group: results.Table, job: j, peers: peers, workers: []int{1}}
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
	switch w.job.Op {
	case opLogSumExp, opCrossEntropy, opCTC:
		w.memory = opRead
	case opNLLGrad:
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

// works are all that can be measured on a machine of so many cores.
func works(cores int) (all []work) {
	line := func(name string, j side.Job, peers ...string) { all = append(all, row(cores, name, j, peers...)) }
	line("128×1000", f32(opLogSumExp, 128, 1000))
	line("32×50257", f32(opLogSumExp, 32, 50257))
	line("1024×32", f32(opLogSumExp, 1024, 32))
	line("32", f32(opLogSumExp, 32))
	line("67108864", f32(opLogSumExp, 1<<26)) // 256 MiB, which no cache holds
	line("128×1000 float64", f64(opLogSumExp, 128, 1000), results.Gonum)
	line("32×50257 float64", f64(opLogSumExp, 32, 50257), results.Gonum)
	line("128×1000", f32(opSoftmax, 128, 1000))
	line("4096×5000", f32(opNLLGrad, 4096, 5000))
	for _, op := range []string{opCrossEntropy, opCrossGrad} {
		line("128×1000", f32(op, 128, 1000))
		line("32×50257", f32(op, 32, 50257))
		line("4096×5000", f32(op, 4096, 5000))
		line("8×21×256×256", f32(op, 8, 21, 256, 256))
	}
	for _, op := range []string{opCTC, opCTCGrad} {
		var peers []string
		if op == opCTCGrad {
			peers = []string{results.Gorgonia}
		}
		line("T50 N16 C20 S10–30", ctc(op, "float32", 10, 30, 50, 16, 20))
		line("T150 N1 C28 S40", ctc(op, "float32", 40, 40, 150, 1, 28))
		line("T150 N16 C28 S40", ctc(op, "float32", 40, 40, 150, 16, 28), peers...)
		line("T150 N64 C28 S40", ctc(op, "float32", 40, 40, 150, 64, 28))
		line("T150 N16 C5000 S20", ctc(op, "float32", 20, 20, 150, 16, 5000))
		line("T500 N16 C32 S100", ctc(op, "float32", 100, 100, 500, 16, 32), peers...)
		line("T1000 N16 C80 S200", ctc(op, "float32", 200, 200, 1000, 16, 80))
		line("T150 N16 C28 S40 float64", ctc(op, "float64", 40, 40, 150, 16, 28))
	}
	return append(all, curves(cores)...)
}

// inReadme names the works that the project's README shows: what most users have to do.
var inReadme = []string{
	"log-sum-exp 128×1000",
	"softmax 128×1000",
	"cross-entropy+grad 128×1000",
	"cross-entropy+grad 4096×5000",
	"cross-entropy+grad 8×21×256×256",
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
		w := point(results.Classes, c, fmt.Sprintf("%d×%d for C", n, c), f32(opCrossGrad, n, c), 1)
		w.unit = "logit"
		all = append(all, w)
	}
	for _, s := range []int{4, 8, 14, 25, 45, 79, 141, 250, 447, 790, 1414} {
		t := 5 * s // T·S from 80 to 10⁷
		all = append(all, point(results.CTCSize, t*s, fmt.Sprintf("T%d C32 S%d for T·S", t, s), ctc(opCTCGrad, "float32", s, s, t, 1, 32), 1))
	}
	for _, c := range []int{2, 5, 10, 28, 80, 256, 512, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1e6} {
		w := point(results.CTCClasses, c, fmt.Sprintf("T50 C%d S10 for C", c), ctc(opCTCGrad, "float32", 10, 10, 50, 1, c), 1)
		w.elements, w.unit = w.job.Inputs(), "logit"
		all = append(all, w)
	}
	for _, n := range []int{1, 2, 4, 8, 16, 64, 256, 1 << 10, 1 << 12} {
		w := point(results.Batch, n, fmt.Sprintf("T50 N%d C20 S10–30 for N", n), ctc(opCTCGrad, "float32", 10, 30, 50, n, 20), 1)
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
			{"4096×5000 for workers", f32(opCrossGrad, 4096, 5000)},
			{"T150 N64 C28 S40 for workers", ctc(opCTCGrad, "float32", 40, 40, 150, 64, 28)},
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
