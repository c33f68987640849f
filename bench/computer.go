package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"gonum.org/v1/gonum/floats"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/side"
)

// computer is a side in Go: it prepares jobs and does them, and keeps what it made for
// them until it is told to forget.
type computer struct {
	prepare func(side.Job) (computation, error)
	jobs    map[string]computation
}

// computation is a job with its inputs.
type computation struct {
	call   func(workers int) error
	values func() []float64 // of the last call
}

func (c *computer) answer(r side.Request) (a side.Answer, err error) {
	if r.Op == side.Forget {
		c.jobs = nil
		runtime.GC() // not while something is measured
		return a, nil
	}
	runtime.GOMAXPROCS(r.Workers) // LogSumExpRows has no option of its own
	inputs := r.Job
	inputs.Workers = 0
	key := fmt.Sprint(inputs)
	did, ok := c.jobs[key]
	if !ok {
		if did, err = c.prepare(inputs); err != nil {
			return a, err
		}
		if c.jobs == nil {
			c.jobs = map[string]computation{}
		}
		c.jobs[key] = did
	}
	call := func() error { return did.call(r.Workers) }
	if r.Seconds > 0 {
		a.Samples, err = sample(call, time.Duration(r.Seconds*float64(time.Second)))
		return a, err
	}
	if err := call(); err != nil {
		return a, err
	}
	a.Values = did.values()
	return a, nil
}

// batchTime is the least time that is measured: the clock is much finer.
const batchTime = 20 * time.Microsecond

// sample calls f again and again for about so long, at least until there is one
// sample, and returns nanoseconds of one call. Calls that are too short for the clock
// are measured in batches, which are doubled until they are long enough.
func sample(f func() error, length time.Duration) (samples []float64, err error) {
	calls := 1
	for start := time.Now(); len(samples) == 0 || time.Since(start) < length; {
		before := time.Now()
		for range calls {
			if err := f(); err != nil {
				return nil, err
			}
		}
		if took := time.Since(before); took < batchTime {
			calls *= 2
		} else {
			samples = append(samples, float64(took.Nanoseconds())/float64(calls))
		}
	}
	return samples, nil
}

// The operations.
const (
	opLogSumExp    = "log-sum-exp"
	opSoftmax      = "softmax"
	opNLLGrad      = "NLL+grad"
	opCrossEntropy = "cross-entropy"
	opCrossGrad    = "cross-entropy+grad"
	opCTC          = "CTC"
	opCTCGrad      = "CTC+grad"
	opCTCGradient  = "CTC gradient" // all of it, of PyTorch only
	opGonum        = "gonum's log-sum-exp"
	opRead         = "read"
	opWrite        = "write"
	opCopy         = "copy"
)

// prepare makes a job's inputs, for the kernels that are active in this process.
func prepare(j side.Job) (computation, error) {
	if j.Type == "float64" {
		if j.Op == opGonum {
			return prepareGonum(j), nil
		}
		return prepareOf[float64](j)
	}
	return prepareOf[float32](j)
}

func prepareOf[F trellis.Float](j side.Job) (computation, error) {
	x := trellis.Tensor[F]{Data: side.Normal[F](j), Shape: j.Shape}
	last := len(j.Shape) - 1
	switch j.Op {
	case opLogSumExp:
		rows := make([]F, len(x.Data)/j.Shape[last])
		call := func(int) error { trellis.LogSumExpRows(rows, x); return nil }
		if last == 0 {
			call = func(int) error { rows[0] = trellis.LogSumExp(x.Data); return nil }
		}
		return computation{call, func() []float64 { return []float64{sum(rows) / float64(len(rows))} }}, nil
	case opSoftmax:
		dst := make([]F, len(x.Data))
		call := func(int) error { trellis.SoftmaxRows(dst, x); return nil }
		return computation{call, func() []float64 { return []float64{dot(dst, x.Data)} }}, nil
	case opNLLGrad, opCrossEntropy, opCrossGrad, opCTC, opCTCGrad:
		return prepareLoss(j, x), nil
	case opRead, opWrite, opCopy:
		return prepareMemory(j.Op, x.Data), nil
	}
	return computation{}, fmt.Errorf("unknown operation %q", j.Op)
}

func prepareLoss[F trellis.Float](j side.Job, x trellis.Tensor[F]) computation {
	var y, lengths []int
	if j.Targets != nil {
		y, lengths = side.Targets(j)
	} else {
		y = side.Classes(len(x.Data)/j.Shape[1], j.Shape[1])
	}
	var loss F
	var grad []F
	if strings.HasSuffix(j.Op, "+grad") {
		grad = make([]F, len(x.Data))
	}
	call := func(workers int) (err error) {
		nll, ce := trellis.NLLLoss[F]{Workers: workers}, trellis.CrossEntropyLoss[F]{Workers: workers}
		ctc := trellis.CTCLoss[F]{FromLogits: true, Workers: workers}
		switch j.Op {
		case opNLLGrad:
			loss, err = nll.Grad(grad, x, y)
		case opCrossEntropy:
			loss, err = ce.Loss(x, y)
		case opCrossGrad:
			loss, err = ce.Grad(grad, x, y)
		case opCTC:
			loss, err = ctc.Loss(x, y, nil, lengths)
		case opCTCGrad:
			loss, err = ctc.Grad(grad, x, y, nil, lengths)
		}
		return err
	}
	return computation{call, func() []float64 {
		if grad == nil {
			return []float64{float64(loss)}
		}
		return []float64{float64(loss), dot(grad, x.Data)}
	}}
}

func prepareGonum(j side.Job) computation {
	x, n := side.Normal[float64](j), j.Shape[len(j.Shape)-1]
	rows := make([]float64, len(x)/n)
	call := func(int) error {
		for r := range rows {
			rows[r] = floats.LogSumExp(x[r*n:][:n])
		}
		return nil
	}
	return computation{call, func() []float64 { return []float64{sum(rows) / float64(len(rows))} }}
}

func sum[F trellis.Float](x []F) (sum float64) {
	for _, v := range x {
		sum += float64(v)
	}
	return sum
}

func dot[F trellis.Float](x, y []F) (sum float64) {
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}
