package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
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
	call   func(workers int) func() error // with so many workers; 0 means all
	values func() []float64               // of the last call
}

func (c *computer) answer(r side.Request) (a side.Answer, err error) {
	if r.Op == side.Forget {
		c.jobs = nil
		runtime.GC() // not while something is measured
		return a, nil
	}
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
	runtime.GOMAXPROCS(cmp.Or(r.Workers, allCores)) // the functions of rows have no option of their own
	call := did.call(r.Workers)
	if r.Seconds > 0 {
		a.Samples, err = sample(call, time.Duration(r.Seconds*float64(time.Second)))
		return a, err
	}
	if err := call(); err != nil {
		return a, err
	}
	a.Values = did.values()
	if slices.ContainsFunc(a.Values, func(v float64) bool { return math.IsNaN(v - v) }) {
		return a, errors.New("a result is not finite")
	}
	return a, nil
}

var allCores = runtime.GOMAXPROCS(0)

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
	opLogSoftmax   = "log-softmax"
	opSoftmax      = "softmax"
	opGather       = "gather"
	opNLL          = "NLL"
	opCrossEntropy = "cross-entropy"
	opCrossProbs   = "cross-entropy probs"
	opCTC          = "CTC"
	opCTCGradient  = "CTC gradient" // all of it, of PyTorch only
	opGreedy       = "greedy"
	opBeam         = "beam"
	opAlignment    = "alignment"
	opRead         = "read"
	opWrite        = "write"
	opCopy         = "copy"
)

// What the operations of losses end in: the method. Loss has nothing. Another method is a
// line here, in lossOf, inputsOf, values and the table of prepareLoss.
const (
	allLosses     = " losses"
	andGrad       = "+grad"
	lossesAndGrad = " losses+grad"
	vjp           = " VJP"
)

// lossOf is an operation without a loss' method.
func lossOf(op string) string {
	for _, method := range []string{lossesAndGrad, allLosses, andGrad, vjp} {
		op = strings.TrimSuffix(op, method)
	}
	return op
}

// prepare makes a job's inputs, for the kernels that are active in this process.
func prepare(j side.Job) (computation, error) {
	if j.Type == "float64" {
		return prepareOf[float64](j)
	}
	return prepareOf[float32](j)
}

func prepareOf[F trellis.Float](j side.Job) (computation, error) {
	switch lossOf(j.Op) {
	case opLogSumExp, opLogSoftmax, opSoftmax, opGather:
		return prepareRows[F](j)
	case opNLL, opCrossEntropy, opCrossProbs, opCTC:
		return prepareLoss[F](j)
	case opGreedy, opBeam:
		return prepareReading[F](j)
	case opAlignment:
		return prepareAlignment[F](j)
	case opRead, opWrite, opCopy:
		return prepareMemory(j.Op, side.Normal[F](j)), nil
	}
	return computation{}, fmt.Errorf("unknown operation %q", j.Op)
}

func prepareRows[F trellis.Float](j side.Job) (computation, error) {
	data, err := side.Scores[F](j)
	if err != nil {
		return computation{}, err
	}
	x, n := trellis.Tensor[F]{Data: data, Shape: j.Shape}, j.Shape[len(j.Shape)-1]
	dst, sums := make([]F, len(data)), make([]F, len(data)/n)
	var index []int32
	if j.Op == opGather {
		index = indexOf(j)
	}
	calls := map[string]func() error{
		opLogSumExp:  func() error { trellis.LogSumExpRows(sums, x); return nil },
		opLogSoftmax: func() error { trellis.LogSoftmaxRows(dst, x); return nil },
		opSoftmax:    func() error { trellis.SoftmaxRows(dst, x); return nil },
		opGather:     func() error { trellis.GatherRows(dst, x, index); return nil },
	}
	if len(j.Shape) == 1 {
		calls = map[string]func() error{
			opLogSumExp:  func() error { sums[0] = trellis.LogSumExp(data); return nil },
			opLogSoftmax: func() error { trellis.LogSoftmax(dst, data); return nil },
			opSoftmax:    func() error { trellis.Softmax(dst, data); return nil },
			opGather:     func() error { trellis.Gather(dst, data, index); return nil },
		}
	}
	return computation{func(int) func() error { return calls[j.Op] }, func() []float64 {
		if j.Op == opLogSumExp {
			return []float64{mean(sums)}
		}
		return []float64{product(j, dst)}
	}}, nil
}

// indexOf is what a gathering job reads: as many elements of each row as it has.
func indexOf(j side.Job) []int32 {
	index := make([]int32, j.Inputs())
	for i, c := range side.Classes(len(index), j.Shape[len(j.Shape)-1]) {
		index[i] = int32(c)
	}
	return index
}

// prepareLoss makes a call of a method of a loss.
func prepareLoss[F trellis.Float](j side.Job) (computation, error) {
	in, err := inputsOf[F](j)
	if err != nil {
		return computation{}, err
	}
	x, y, probs := trellis.Tensor[F]{Data: in.Scores, Shape: j.Shape}, in.Targets, trellis.Tensor[F]{Data: in.probs, Shape: j.Shape}
	nll := trellis.NLLLoss[F]{Weight: in.weight}
	ce := trellis.CrossEntropyLoss[F]{Weight: in.weight, LabelSmoothing: F(j.Smoothing)}
	ctc := trellis.CTCLoss[F]{Scores: trellis.Logits, Blank: in.Blank, ZeroInfinity: j.Mask.Share > 0}
	if j.LogProbs {
		ctc.Scores = trellis.LogProbabilities
	}
	out := &in.outputs
	call := map[string]func() error{
		opNLL:                 func() (err error) { out.loss, err = nll.Loss(x, y); return err },
		opNLL + allLosses:     func() error { return nll.Losses(out.losses, x, y) },
		opNLL + andGrad:       func() (err error) { out.loss, err = nll.Grad(out.grad, x, y); return err },
		opNLL + lossesAndGrad: func() (err error) { out.loss, err = nll.LossesGrad(out.losses, out.grad, x, y); return err },
		opNLL + vjp:           func() error { return nll.VJP(out.grad, in.upstream, x, y) },

		opCrossEntropy:                 func() (err error) { out.loss, err = ce.Loss(x, y); return err },
		opCrossEntropy + allLosses:     func() error { return ce.Losses(out.losses, x, y) },
		opCrossEntropy + andGrad:       func() (err error) { out.loss, err = ce.Grad(out.grad, x, y); return err },
		opCrossEntropy + lossesAndGrad: func() (err error) { out.loss, err = ce.LossesGrad(out.losses, out.grad, x, y); return err },
		opCrossEntropy + vjp:           func() error { return ce.VJP(out.grad, in.upstream, x, y) },

		opCrossProbs:                 func() (err error) { out.loss, err = ce.LossProbs(x, probs); return err },
		opCrossProbs + allLosses:     func() error { return ce.LossesProbs(out.losses, x, probs) },
		opCrossProbs + andGrad:       func() (err error) { out.loss, err = ce.GradProbs(out.grad, x, probs); return err },
		opCrossProbs + lossesAndGrad: func() (err error) { out.loss, err = ce.LossesGradProbs(out.losses, out.grad, x, probs); return err },
		opCrossProbs + vjp:           func() error { return ce.VJPProbs(out.grad, in.upstream, x, probs) },

		opCTC:             func() (err error) { out.loss, err = ctc.Loss(x, y, in.Frames, in.Lengths); return err },
		opCTC + allLosses: func() error { return ctc.Losses(out.losses, x, y, in.Frames, in.Lengths) },
		opCTC + andGrad:   func() (err error) { out.loss, err = ctc.Grad(out.grad, x, y, in.Frames, in.Lengths); return err },
		opCTC + lossesAndGrad: func() (err error) {
			out.loss, err = ctc.LossesGrad(out.losses, out.grad, x, y, in.Frames, in.Lengths)
			return err
		},
		opCTC + vjp: func() error { return ctc.VJP(out.grad, in.upstream, x, y, in.Frames, in.Lengths) },
	}[j.Op]
	return computation{func(workers int) func() error {
		nll.Workers, ce.Workers, ctc.Workers = workers, workers, workers
		return call
	}, func() []float64 { return out.values(j) }}, nil
}

// inputs is what a loss computes from, and where it writes.
type inputs[F trellis.Float] struct {
	side.Batch[F]           // of class losses, too: Targets are classes
	probs, weight, upstream []F
	outputs[F]
}

type outputs[F trellis.Float] struct {
	count        int // of losses
	loss         F
	losses, grad []F
}

// inputsOf makes what a loss of the job needs.
func inputsOf[F trellis.Float](j side.Job) (in inputs[F], err error) {
	if j.Targets != nil {
		in.Batch, err = side.BatchOf[F](j)
		in.count = len(in.Lengths)
	} else {
		in.Scores, err = side.Scores[F](j)
		in.count = j.Inputs() / j.Shape[1]
		if lossOf(j.Op) == opCrossProbs {
			in.probs = side.Probabilities[F](j)
		} else {
			in.Targets = side.Classes(in.count, j.Shape[1])
		}
		if j.Weighted {
			in.weight = side.Factors[F](j.Shape[1])
		}
	}
	switch {
	case strings.HasSuffix(j.Op, lossesAndGrad):
		in.losses, in.grad = make([]F, in.count), make([]F, len(in.Scores))
	case strings.HasSuffix(j.Op, allLosses):
		in.losses = make([]F, in.count)
	case strings.HasSuffix(j.Op, andGrad):
		in.grad = make([]F, len(in.Scores))
	case strings.HasSuffix(j.Op, vjp):
		in.grad, in.upstream = make([]F, len(in.Scores)), side.Factors[F](in.count)
	}
	return in, err
}

// values sums up what the last call of a job returned and wrote.
func (o *outputs[F]) values(j side.Job) []float64 {
	switch {
	case strings.HasSuffix(j.Op, lossesAndGrad):
		return []float64{float64(o.loss), mean(o.losses), product(j, o.grad)}
	case strings.HasSuffix(j.Op, allLosses):
		return []float64{mean(o.losses)}
	case strings.HasSuffix(j.Op, andGrad):
		return []float64{float64(o.loss), product(j, o.grad)}
	case strings.HasSuffix(j.Op, vjp):
		return []float64{product(j, o.grad) / float64(o.count)}
	}
	return []float64{float64(o.loss)}
}

// prepareGonum is the side of gonum: its log-sum-exp, of float64.
func prepareGonum(j side.Job) (computation, error) {
	if j.Op != opLogSumExp || j.Type != "float64" {
		return computation{}, errors.New("not a job for gonum")
	}
	x, n := side.Normal[float64](j), j.Shape[len(j.Shape)-1]
	rows := make([]float64, len(x)/n)
	call := func() error {
		for r := range rows {
			rows[r] = floats.LogSumExp(x[r*n:][:n])
		}
		return nil
	}
	return computation{func(int) func() error { return call }, func() []float64 { return []float64{mean(rows)} }}, nil
}

func mean[F trellis.Float](x []F) float64 { return sum(x) / float64(len(x)) }

func sum[F trellis.Float](x []F) (sum float64) {
	for _, v := range x {
		sum += float64(v)
	}
	return sum
}

// product sums up numbers that a job wrote for each of its inputs: it is their dot product
// with normal numbers.
func product[F trellis.Float](j side.Job, y []F) float64 {
	return dot(y, side.Normal[F](side.Job{Shape: j.Shape}))
}

func dot[F trellis.Float](x, y []F) (sum float64) {
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}
