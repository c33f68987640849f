package main

// work is one line of the table or more: a job that is done by every tier, or only
// by the best one, beside other things.
type work struct {
	name     string
	job      job
	bestOnly bool
	beside   []reference
}

// reference is what a work is measured beside.
type reference struct {
	name      string
	peer      bool // done by the peer, not by Go's best tier
	bandwidth bool // reads what the job reads, and nothing else
	job       job
	floors    []floor
}

// floor is what a tier is to reach.
type floor struct {
	tier        string  // empty: the best one
	speedup     float64 // at least so many times as fast as the reference,
	slowdown    float64 // or at most so many times its time,
	nanoseconds float64 // or at most so long
}

func works() []work {
	f32 := func(op string, shape ...int) job { return job{op, "float32", shape, 1} }
	f64 := func(op string, shape ...int) job { return job{op, "float64", shape, 1} }
	with512 := func(speedup float64) floor { return floor{tier: "avx512", speedup: speedup} }
	with2 := func(speedup float64) floor { return floor{tier: "avx2", speedup: speedup} }
	within := func(ns float64) floor { return floor{tier: "avx512", nanoseconds: ns} }
	beside := func(name string, j job, floors ...floor) work {
		return work{name: name, job: j, beside: []reference{{name: "PyTorch", peer: true, job: j, floors: floors}}}
	}
	two := func(name string, one job) work {
		j := one
		j.Workers = 2
		return work{name: name + ", two workers", job: j, bestOnly: true, beside: []reference{
			{name: "one worker", job: one, floors: []floor{{speedup: 1.7}}},
		}}
	}

	double := beside("log-sum-exp 32×50257 float64", f64(opLogSumExp, 32, 50257), with512(4))
	double.beside = append(double.beside, reference{
		name: "gonum", job: f64(opGonum, 32, 50257), floors: []floor{{tier: "avx512", speedup: 30}},
	})
	// 256 MB, which no cache holds.
	long := beside("log-sum-exp 1×67108864", f32(opLogSumExp, 1<<26))
	long.beside = append(long.beside, reference{
		name: "bare read", bandwidth: true, job: f32(opRead, 1<<26), floors: []floor{{tier: "avx512", slowdown: 1.25}},
	})

	return []work{
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
}
