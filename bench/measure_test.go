package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis/bench/internal/results"
	"github.com/gotrellis/trellis/bench/internal/side"
	"github.com/gotrellis/trellis/bench/internal/side/sidetest"
	"github.com/gotrellis/trellis/internal/npy"
)

func TestTime(t *testing.T) {
	c := contender{name: "avx2", job: side.Job{Workers: 3}, rounds: [][]float64{{9, 2, 1}, {5, 4}, {3, 7}}}
	assert.Equal(t, results.Time{
		Side: "avx2", Workers: 3, Median: 4, Quartiles: [2]float64{2, 7}, Calls: 7, Rounds: []float64{2, 4, 3},
	}, c.time())
}

func TestSample(t *testing.T) {
	calls := 0
	samples, err := sample(func() error { calls++; time.Sleep(2 * time.Millisecond); return nil }, 0)
	require.NoError(t, err)
	assert.Equal(t, 1, calls, "a call that is longer than the time")
	assert.GreaterOrEqual(t, samples[0], 2e6)

	samples, err = sample(func() error { calls++; return nil }, 5*time.Millisecond)
	require.NoError(t, err)
	assert.Less(t, quantile(samples, 0.5), 1e3, "one of a batch of calls")

	_, err = sample(func() error { return errors.New("cannot") }, time.Hour)
	assert.EqualError(t, err, "cannot")
}

func TestAgree(t *testing.T) {
	assert.True(t, agree([]float64{1000.009, 0.000009}, []float64{1000, 0}, 1e-5))
	assert.False(t, agree([]float64{1000.011}, []float64{1000}, 1e-5))
	assert.False(t, agree([]float64{math.NaN()}, []float64{1}, 1e-5))
	assert.False(t, agree([]float64{1}, []float64{1, 1}, 1e-5))
}

// constant is a side that always has the same results, and takes longer for other
// operations and for more workers.
func constant(t *testing.T, about string, value, ns float64) *side.Side {
	return sidetest.Serve(t, about, func(r side.Request) (side.Answer, error) {
		switch {
		case r.Seconds == 0:
			return side.Answer{Values: []float64{value}}, nil
		case r.Op == opRead:
			ns++
		}
		return side.Answer{Samples: []float64{ns * float64(r.Workers)}}, nil
	})
}

func TestMeasure(t *testing.T) {
	w := row(3, f32(opLogSumExp, 8, 8), results.Gonum, results.Gorgonia)
	slow, fast := constant(t, "slow", 1, 20), constant(t, "fast", 1, 10)
	s := sides{[]*side.Side{slow, fast}, map[string]*side.Side{
		results.PyTorch: constant(t, "peer", 1.000001, 40), results.Gonum: constant(t, "other", 1, 14),
	}}

	turns := 0
	got, err := measure(w, s, 1, func(n int) { turns += n })
	require.NoError(t, err)
	type time struct {
		side    string
		workers int
		median  float64
	}
	var times []time
	for _, one := range got.Times {
		times = append(times, time{one.Side, one.Workers, one.Median})
		assert.Len(t, one.Rounds, 1)
	}
	assert.Equal(t, []time{
		{"slow", 1, 20}, {"fast", 1, 10}, {results.PyTorch, 1, 40}, {results.Memory, 1, 11},
		{"slow", 3, 60}, {"fast", 3, 33}, {results.PyTorch, 3, 120}, {results.Memory, 3, 36},
		{results.Gonum, 1, 14},
	}, times)
	assert.Equal(t, len(times), turns)
	assert.Equal(t, "log-sum-exp 8×8", got.Name)
	assert.Equal(t, 64*4, got.Bytes)

	w.bestOnly, w.workers, w.peers = true, []int{1}, nil
	got, err = measure(w, sides{tiers: s.tiers}, 3, func(int) {})
	require.NoError(t, err)
	require.Len(t, got.Times, 2)
	assert.Equal(t, "fast", got.Times[0].Side)
	assert.Len(t, got.Times[0].Rounds, 3)
	w.bestOnly = false

	s.peers[results.PyTorch] = constant(t, "off", 1.0001, 40)
	_, err = measure(w, s, 1, func(int) {})
	assert.EqualError(t, err, "PyTorch computes [1.0001] where slow computes [1]")
	s = sides{tiers: []*side.Side{slow, constant(t, "other bits", 1+0x1p-52, 10)}}
	_, err = measure(w, s, 1, func(int) {})
	assert.ErrorContains(t, err, "other bits computes")
}

// The choice of works goes by their names, so each has its own in its group, but for those
// of more or fewer workers, and what a work needs is there.
func TestWorks(t *testing.T) {
	for cores, want := range map[int][]float64{1: {1}, 2: {1, 2}, 6: {1, 2, 4, 6}, 16: {1, 2, 4, 8, 16}} {
		names, workers := map[string]bool{}, map[string][]float64{}
		all, err := works(cores, "emissions")
		require.NoError(t, err)
		for _, w := range all {
			assert.Positive(t, w.elements, w.name)
			if w.group == results.Workers {
				workers[w.name] = append(workers[w.name], w.x)
				assert.Equal(t, []int{int(w.x)}, w.workers)
				continue
			}
			assert.False(t, names[w.group+w.name], w.name)
			names[w.group+w.name] = true
			assert.Equal(t, 1, w.workers[0])
			if w.group == results.Everyday {
				assert.Contains(t, w.peers, results.Naive, w.name)
				assert.Zero(t, w.x, w.name)
				continue
			}
			assert.LessOrEqual(t, len(w.workers), min(cores, 2), w.name)
			assert.Equal(t, w.group == results.Table, w.x == 0, w.name)
			assert.NotEmpty(t, w.memory, w.name)
		}
		assert.Len(t, workers, 3)
		for name, got := range workers {
			assert.Equal(t, want, got, name)
		}
	}
}

// Scores that a network wrote come before random ones, as logits and as log-probabilities.
func TestPeakedWorks(t *testing.T) {
	all, err := works(2, "emissions")
	require.NoError(t, err)
	for _, op := range []string{opCTC, opCTC + andGrad} {
		first := slices.IndexFunc(all, func(w work) bool { return w.job.Op == op })
		for i, want := range []string{"T\\d+ N1 C60 S\\d+", "T\\d+ N1 C60 S\\d+, log-probabilities", "T\\d+–\\d+ N4 C60 S\\d+–\\d+", "T\\d+–\\d+ N4 C60 S\\d+–\\d+, log-probabilities"} {
			w := all[first+i]
			assert.Regexp(t, "^"+regexp.QuoteMeta(op)+" peaked "+want+"$", w.name)
			assert.Equal(t, []int{1, 2}, w.workers)
			assert.Equal(t, i%2 == 1, w.job.LogProbs)
		}
		assert.NotContains(t, all[first+4].name, "peaked")
		r, err := side.ReadRecording("emissions/batch")
		require.NoError(t, err)
		assert.Equal(t, r.States(), all[first+2].elements, "those of the frames that each line has")
	}
}

// Names stay as those in results that are kept.
func TestNameOf(t *testing.T) {
	masked := ctc(opCTC+andGrad, "float32", 3, 3, 20, 1, 12)
	masked.Scale, masked.Mask, masked.Recording = 10, side.Mask{Share: 0.01, Score: "-Inf"}, "/data/line"
	for want, j := range map[string]side.Job{
		"log-sum-exp 67108864":                                   f32(opLogSumExp, 1<<26),
		"log-sum-exp 128×1000 float64":                           f64(opLogSumExp, 128, 1000),
		"cross-entropy+grad 8×21×256×256":                        f32(opCrossEntropy+andGrad, 8, 21, 256, 256),
		"CTC T50 N16 C20 S10–30":                                 ctc(opCTC, "float32", 10, 30, 50, 16, 20),
		"CTC T150 N16 C28 S40 float64":                           ctc(opCTC, "float64", 40, 40, 150, 16, 28),
		"NLL 256×10, weights":                                    weighted(f32(opNLL, 256, 10)),
		"cross-entropy VJP 256×3, smoothing 0.1":                 smoothed(f32(opCrossEntropy+vjp, 256, 3)),
		"CTC+grad T20 N1 C12 S3, scores × 10, 1 % of -Inf, line": masked,
	} {
		assert.Equal(t, want, nameOf(j))
	}
}

// Every operation is one that Go's side can do, with any number of workers to the same
// bits.
func TestComputer(t *testing.T) {
	here := sidetest.Serve(t, "here", (&computer{prepare: prepare}).answer)
	for _, j := range small {
		var want []float64
		for workers := 1; workers <= 3; workers++ {
			j.Workers = workers
			a, err := here.Ask(side.Request{Job: j})
			require.NoError(t, err, j)
			if workers == 1 {
				want = a.Values
			}
			require.NotEmpty(t, a.Values, j)
			assert.Equal(t, want, a.Values, j)
		}
	}
	for _, j := range []side.Job{f32(opNLL, 40, 30), f32(opCrossEntropy, 40, 30), ctc(opCTC, "float32", 3, 7, 20, 5, 12)} {
		j.Workers = -1
		_, err := here.Ask(side.Request{Job: j})
		assert.ErrorContains(t, err, "Workers = -1", "the loss is told")
	}
	_, err := here.Ask(side.Request{Job: side.Job{Op: "no such", Type: "float32", Shape: []int{2}, Workers: 1}})
	assert.EqualError(t, err, `here: unknown operation "no such"`)
}

// small has every operation, and all that a job may ask for.
var small = func() []side.Job {
	jobs := []side.Job{
		f32(opLogSumExp, 1000100), // more than there are different numbers
		ctc(opCTC, "float64", 6, 6, 20, 5, 12),
	}
	masked := func(j side.Job, score string) side.Job {
		j.Mask = side.Mask{Share: 0.2, Score: score}
		return j
	}
	for _, op := range []string{opLogSumExp, opLogSoftmax, opSoftmax, opGather} {
		jobs = append(jobs, f32(op, 7, 300), f32(op, 300), f64(op, 7, 300), masked(f32(op, 7, 300), "-1e4"))
	}
	for _, method := range []string{"", allLosses, andGrad, vjp} {
		for _, op := range []string{opNLL, opCrossEntropy, opCrossProbs} {
			weighted := f32(op+method, 40, 30)
			weighted.Weighted = true
			jobs = append(jobs, f32(op+method, 40, 30), f32(op+method, 2, 21, 5, 6), weighted)
			if op != opNLL {
				smoothed, both := f32(op+method, 40, 3), f32(op+method, 3, 4, 5)
				smoothed.Smoothing, both.Smoothing, both.Weighted = 0.1, 0.1, true
				jobs = append(jobs, smoothed, both)
			}
		}
		j := ctc(opCTC+method, "float32", 3, 7, 20, 5, 12)
		scaled := j
		scaled.Scale = 3
		jobs = append(jobs, j, scaled, masked(j, "-1e4"), ctc(opCTC+method, "float64", 3, 7, 20, 5, 12))
	}
	aligned := ctc(opAlignment, "float32", 3, 7, 20, 5, 12)
	aligned.LogProbs = true
	return append(jobs, aligned, ctc(opAlignment, "float32", 3, 7, 20, 5, 12))
}()

// Both languages make the same numbers, and compute the same from them.
func TestPyTorchAgrees(t *testing.T) {
	peer := pyTorch(t)
	here := sidetest.Serve(t, "here", (&computer{prepare: prepare}).answer)
	for _, j := range slices.Concat(small, []side.Job{recorded(t)}, peakedJobs(t, "line"), peakedJobs(t, "batch")) {
		j.Workers = 1
		assert.NoError(t, check([]*contender{{name: "here", side: here, job: j}, {name: results.PyTorch, side: peer, job: j}}), j)
	}
	a, err := peer.Ask(side.Request{Job: side.Job{Op: opLogSumExp, Type: "float32", Shape: []int{7, 300}, Workers: 2}, Seconds: 1e-3})
	require.NoError(t, err)
	assert.NotEmpty(t, a.Samples)
	a, err = peer.Ask(side.Request{Job: f32(opSoftmax, 7, 300)})
	require.NoError(t, err, "all threads")
	assert.NotEmpty(t, a.Values)
	_, err = peer.Ask(side.Request{Job: side.Job{Op: "no such", Type: "float32", Shape: []int{2}, Workers: 1}})
	assert.ErrorAs(t, err, new(side.Error))
}

func pyTorch(t *testing.T) *side.Side {
	t.Helper()
	peer, err := side.StartPyTorch("cpu")
	require.NoError(t, err)
	if peer == nil {
		t.Skip("no PyTorch")
	}
	t.Cleanup(peer.Close)
	return peer
}

// recorded is a job whose scores and target are in files.
func recorded(t *testing.T) side.Job {
	t.Helper()
	j := ctc(opCTC+andGrad, "float32", 3, 3, 20, 1, 12)
	j.Recording = t.TempDir()
	var file bytes.Buffer
	header := "{'descr': '<f4', 'fortran_order': False, 'shape': (20, 12), }\n"
	file.WriteString(npy.Magic + "\x01\x00")
	require.NoError(t, binary.Write(&file, binary.LittleEndian, uint16(len(header))))
	file.WriteString(header)
	for i := range j.Inputs() {
		require.NoError(t, binary.Write(&file, binary.LittleEndian, float32(i*i%7)))
	}
	require.NoError(t, os.WriteFile(filepath.Join(j.Recording, "emissions.npy"), file.Bytes(), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(j.Recording, "index.json"), []byte(`{"blank": 4, "target_tokens": [0, 0, 11]}`), 0o666))
	return j
}

// peakedJobs are all jobs with a recording of package emissions.
func peakedJobs(t *testing.T, name string) (jobs []side.Job) {
	for _, method := range []string{"", andGrad} {
		works, err := peaked(1, opCTC+method, filepath.Join("emissions", name))
		require.NoError(t, err)
		for _, w := range works {
			jobs = append(jobs, w.job)
		}
	}
	return jobs
}

func TestNaiveAgrees(t *testing.T) {
	here := sidetest.Serve(t, "here", (&computer{prepare: prepare}).answer)
	naive := sidetest.Serve(t, "naive", (&computer{prepare: prepareNaive}).answer)
	jobs := slices.Concat(small, []side.Job{recorded(t)}, peakedJobs(t, "line"))
	for _, share := range []float64{0.1, 0.3} { // with targets that cannot be spelled
		j := ctc(opCTC+andGrad, "float32", 3, 7, 20, 5, 12)
		j.Mask = side.Mask{Share: share, Score: "-Inf"}
		jobs = append(jobs, j)
	}
	for _, j := range jobs {
		j.Workers = 1
		if j.Type == "float32" {
			assert.NoError(t, check([]*contender{{name: "here", side: here, job: j}, {name: results.Naive, side: naive, job: j}}), j)
		}
	}
	_, err := naive.Ask(side.Request{Job: f64(opLogSumExp, 2, 3)})
	assert.ErrorContains(t, err, "not a job for a naive loop")
	_, err = naive.Ask(side.Request{Job: peakedJobs(t, "batch")[0]})
	assert.ErrorContains(t, err, "not a job for a naive loop")
}

// A result that is not finite agrees with nothing.
func TestNotFinite(t *testing.T) {
	here := sidetest.Serve(t, "here", (&computer{prepare: prepare}).answer)
	j := f32(opCrossEntropy, 40, 30)
	j.Mask = side.Mask{Share: 0.5, Score: "-Inf"}
	_, err := here.Ask(side.Request{Job: j})
	assert.EqualError(t, err, "here: a result is not finite")
}

func TestGorgoniaAgrees(t *testing.T) {
	here := sidetest.Serve(t, "here", (&computer{prepare: prepare}).answer)
	gorgonia := sidetest.Serve(t, results.Gorgonia, (&computer{prepare: prepareGorgonia}).answer)
	j := ctc(opCTC+andGrad, "float32", 4, 4, 20, 5, 12)
	j.Workers = 1
	assert.NoError(t, check([]*contender{{side: here, job: j}, {side: gorgonia, job: j}, {side: gorgonia, job: j}}))
	j.Op = opCTC
	_, err := gorgonia.Ask(side.Request{Job: j})
	assert.ErrorContains(t, err, "not a job for Gorgonia")
}

func TestGonumAgrees(t *testing.T) {
	here := sidetest.Serve(t, "here", (&computer{prepare: prepare}).answer)
	gonum := sidetest.Serve(t, results.Gonum, (&computer{prepare: prepareGonum}).answer)
	j := f64(opLogSumExp, 7, 300)
	j.Workers = 1
	assert.NoError(t, check([]*contender{{side: here, job: j}, {side: gonum, job: j}}))
	_, err := gonum.Ask(side.Request{Job: f32(opLogSumExp, 7, 300)})
	assert.ErrorContains(t, err, "not a job for gonum")
}
