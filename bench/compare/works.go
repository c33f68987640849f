package main

import "github.com/gotrellis/trellis/bench/internal/side"

// work is one line of the table or more: a job that is done by every tier, or only
// by the best one, beside other things.
type work struct {
	name     string
	job      side.Job
	bestOnly bool
	long     bool // only measured with -long
	beside   []reference
}

// reference is what a work is measured beside.
type reference struct {
	name      string
	peer      bool // done by the peer, not by Go's best tier
	bandwidth bool // reads what the job reads, and nothing else
	job       side.Job
	floors    []floor
}

// floor is what a tier is to reach.
type floor struct {
	tier        string  // empty: the best one
	speedup     float64 // at least so many times as fast as the reference,
	slowdown    float64 // or at most so many times its time,
	nanoseconds float64 // or at most so long
}

func f32(op string, shape ...int) side.Job {
	return side.Job{Op: op, Type: "float32", Shape: shape, Workers: 1}
}

func f64(op string, shape ...int) side.Job {
	return side.Job{Op: op, Type: "float64", Shape: shape, Workers: 1}
}

func ctc(op, typ string, least, most int, shape ...int) side.Job {
	return side.Job{Op: op, Type: typ, Shape: shape, Targets: []int{least, most}, Workers: 1}
}

func with512(speedup float64) floor { return floor{tier: "avx512", speedup: speedup} }
func with2(speedup float64) floor   { return floor{tier: "avx2", speedup: speedup} }
func within(ns float64) floor       { return floor{tier: "avx512", nanoseconds: ns} }

func beside(name string, j side.Job, floors ...floor) work {
	return work{name: name, job: j, beside: []reference{{name: "PyTorch", peer: true, job: j, floors: floors}}}
}

func two(name string, one side.Job) work {
	j := one
	j.Workers = 2
	return work{name: name + ", two workers", job: j, bestOnly: true, beside: []reference{
		{name: "one worker", job: one, floors: []floor{{speedup: 1.7}}},
	}}
}

func works() []work {
	double := beside("log-sum-exp 32×50257 float64", f64(opLogSumExp, 32, 50257), with512(4))
	double.beside = append(double.beside, reference{
		name: "gonum", job: f64(opGonum, 32, 50257), floors: []floor{{tier: "avx512", speedup: 30}},
	})
	// 256 MB, which no cache holds.
	long := beside("log-sum-exp 1×67108864", f32(opLogSumExp, 1<<26))
	long.beside = append(long.beside, reference{
		name: "bare read", bandwidth: true, job: f32(opRead, 1<<26), floors: []floor{{tier: "avx512", slowdown: 1.25}},
	})

	all := []work{
		beside("log-sum-exp 128×1000", f32(opLogSumExp, 128, 1000), with512(4), with2(2.5)),
		beside("log-sum-exp 32×50257", f32(opLogSumExp, 32, 50257), with512(4), with2(2.5)),
		beside("log-sum-exp 1024×32", f32(opLogSumExp, 1024, 32), with512(3)),
		beside("log-sum-exp 1×32", f32(opLogSumExp, 32), within(25)),
		long,
		double,
		beside("softmax 128×1000", f32(opSoftmax, 128, 1000)),
		beside("nll+grad 4096×5000", f32(opNLLGrad, 4096, 5000)),
		beside("cross-entropy 128×1000", f32(opCrossEntropy, 128, 1000)),
		beside("cross-entropy 32×50257", f32(opCrossEntropy, 32, 50257)),
		beside("cross-entropy 4096×5000", f32(opCrossEntropy, 4096, 5000)),
		beside("cross-entropy 8×21×256×256", f32(opCrossEntropy, 8, 21, 256, 256)),
		beside("cross-entropy+grad 128×1000", f32(opCrossGrad, 128, 1000), with512(4)),
		beside("cross-entropy+grad 32×50257", f32(opCrossGrad, 32, 50257), with512(5)),
		beside("cross-entropy+grad 4096×5000", f32(opCrossGrad, 4096, 5000), with512(12)),
		beside("cross-entropy+grad 8×21×256×256", f32(opCrossGrad, 8, 21, 256, 256), with512(10)),
		two("log-sum-exp 32×50257", f32(opLogSumExp, 32, 50257)),
		two("cross-entropy+grad 32×50257", f32(opCrossGrad, 32, 50257)),
		two("cross-entropy+grad 4096×5000", f32(opCrossGrad, 4096, 5000)),
		two("cross-entropy+grad 8×21×256×256", f32(opCrossGrad, 8, 21, 256, 256)),
	}
	return append(all, ctcWorks()...)
}

// ctcWorks are CTC's: T frames, N sequences, C classes, S labels.
func ctcWorks() (all []work) {
	shapes := []struct {
		name         string
		typ          string
		least, most  int
		shape        []int
		avx512, avx2 float64 // floors of the gradient
	}{
		{"T50 N16 C20 S10–30", "float32", 10, 30, []int{50, 16, 20}, 20, 14},
		{"T150 N1 C28 S40", "float32", 40, 40, []int{150, 1, 28}, 20, 14},
		{"T150 N16 C28 S40", "float32", 40, 40, []int{150, 16, 28}, 25, 16},
		{"T150 N64 C28 S40", "float32", 40, 40, []int{150, 64, 28}, 25, 16},
		{"T150 N16 C5000 S20", "float32", 20, 20, []int{150, 16, 5000}, 25, 20},
		{"T500 N16 C32 S100", "float32", 100, 100, []int{500, 16, 32}, 30, 20},
		{"T1000 N16 C80 S200", "float32", 200, 200, []int{1000, 16, 80}, 30, 20},
		{"T150 N16 C28 S40 float64", "float64", 40, 40, []int{150, 16, 28}, 15, 10},
	}
	for _, s := range shapes {
		j := ctc(opCTCGrad, s.typ, s.least, s.most, s.shape...)
		all = append(all, beside("ctc+grad "+s.name, j, with512(s.avx512), with2(s.avx2)))
	}
	for _, s := range shapes {
		j := ctc(opCTC, s.typ, s.least, s.most, s.shape...)
		all = append(all, beside("ctc "+s.name, j, with512(20)))
	}

	// What would take PyTorch seconds or minutes is beside the other type, which
	// has to agree.
	precise := func(name string, least, most int, shape ...int) work {
		return work{name: name, job: ctc(opCTCGrad, "float32", least, most, shape...), bestOnly: true, beside: []reference{
			{name: "float64", job: ctc(opCTCGrad, "float64", least, most, shape...)},
		}}
	}
	huge := precise("ctc+grad T100000 N1 C32 S5000", 5000, 5000, 100000, 1, 32)
	huge.long = true
	return append(all,
		precise("ctc+grad T10000 N1 C80 S2000", 2000, 2000, 10000, 1, 80),
		huge,
		two("ctc+grad T150 N16 C28 S40", ctc(opCTCGrad, "float32", 40, 40, 150, 16, 28)),
		two("ctc+grad T500 N16 C32 S100", ctc(opCTCGrad, "float32", 100, 100, 500, 16, 32)),
		two("ctc+grad T1000 N16 C80 S200", ctc(opCTCGrad, "float32", 200, 200, 1000, 16, 80)),
	)
}
