package decode

import (
	"math"
	"slices"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/workspace"
)

// Greedy reads the text of the most probable path: the largest class of each frame, of equal ones the
// first; then repeated classes are merged and blanks dropped (A. Graves et al., ICML 2006, "best path
// decoding"). It is the fastest way to read, and all that a network that is sure needs. The zero value
// is ready to use. A value may be used concurrently; results are the same bits on every machine and for
// any number of workers.
type Greedy[F trellis.Float] struct {
	// Blank is the class that stands for no label, in [0,C).
	Blank int
	// Scores says what x is: LogProbabilities, Logits or Probabilities.
	Scores trellis.Scores
	// BatchFirst takes x as (N,T,C) instead of (T,N,C).
	BatchFirst bool
	// Allowed says of each class whether it may be read: digits only, say. It applies before the
	// largest one is looked for. The blank is a class like others here, and should be among those that
	// may. nil allows all. Probabilities of logits are those beside all classes.
	Allowed []bool
	// Workers is the most goroutines that work on one call: 1 means none beside the caller's,
	// and 0 as many as the work is worth, up to GOMAXPROCS.
	Workers int
}

// Reading is what Greedy reads in a sequence.
type Reading struct {
	Labels []int
	// Spans has for each label the frames of the path in which it is read. The Score is the mean of ln p
	// of the class in these frames, in nats, and the Confidence the mean of p.
	Spans []trellis.Span
	// Score is Σ ln p of the path, frames added in order: of all texts' paths the best. Without frames
	// it is 0.
	Score float64
	// Confidence is the mean, over all frames, of the largest probability, and Least the least of
	// them: 1 without frames.
	Confidence, Least float64
}

// Decode reads each sequence of x, which has the shape (T,N,C), or (N,T,C) with BatchFirst, or (T,C)
// for a single one. inputLengths[n] is how many frames of sequence n count; nil means T for all. What
// later frames hold does not matter. The results are in dst, which may be nil: its memory is used
// again, and that of what is in it, so that nothing is allocated once it is large enough.
//
// A sequence with a NaN among the classes that may be read, or with a largest score of +Inf, a
// probability that is below 0 or above 1.001, or a frame of logits that has no softmax, has the Score
// NaN and no labels.
//
// An error is a *trellis.ArgumentError: x's Shape does not describe its Data or has more than 2²⁶
// frames or 2³¹−1 classes, Blank is no class, Allowed has another length or allows none, a length or
// the number of lengths does not fit, or Scores or Workers has no meaning. Then dst is as it was.
func (g Greedy[F]) Decode(dst []Reading, x trellis.Tensor[F], inputLengths []int) ([]Reading, error) {
	t := workspace.Take[greedyTask[F], F](&greedyTasks)
	defer t.release()
	t.input = input[F]{method: "Greedy.Decode", scores: g.Scores, blank: g.Blank, batchFirst: g.BatchFirst || len(x.Shape) == 2}
	if err := t.checkWorkers(g.Workers); err != nil {
		return dst, err
	}
	if err := t.take(x, inputLengths); err != nil {
		return dst, err
	}
	if err := t.allow(g.Allowed); err != nil {
		return dst, err
	}
	dst = resized(dst, t.batch)
	t.divide()
	parallel.Run(t, len(t.pieces), parallel.Workers(g.Workers, len(t.pieces), t.cost()))
	for n := range dst {
		t.read(&dst[n], n)
	}
	return dst, nil
}

// greedyTask is the state of one call.
type greedyTask[F trellis.Float] struct {
	input[F]
	allowed []bool
	pieces  []piece
	// Of each row of the data, the class that it is read as, its ln p, and p: NaN for what is none.
	index       []int
	logs, probs []float64
	// Of logits: the largest of the row, and, if that may be another, its class.
	top     []F
	largest []int
}

const (
	// pieceElements is the most elements of a piece that has several rows, so that logits are still in the
	// cache when they are read again. pieceRows is the most rows: ArgMaxRows, which has no field Workers,
	// does so few alone.
	pieceElements, pieceRows = 1 << 16, 1 << 11
)

// piece is some rows of the data that one worker reads.
type piece struct {
	from, to int
	shape    [2]int // of these rows
}

var greedyTasks workspace.Pools

// release gives the task back without what it borrowed.
func (t *greedyTask[F]) release() {
	*t = greedyTask[F]{
		pieces: t.pieces[:0], index: t.index[:0], logs: t.logs[:0], probs: t.probs[:0],
		top: t.top[:0], largest: t.largest[:0],
	}
	workspace.Give[F](&greedyTasks, t)
}

// allow keeps which classes may be read.
func (t *greedyTask[F]) allow(allowed []bool) error {
	if allowed == nil {
		return nil
	}
	if len(allowed) != t.classes {
		return t.wrong("len(Allowed)", nil, len(allowed), "want one for each class of x")
	}
	for _, a := range allowed {
		if a {
			t.allowed = allowed
			return nil
		}
	}
	return t.wrong("Allowed", nil, "false for all", "no class may be read")
}

// divide makes pieces of the rows that count, or that lie between those.
func (t *greedyTask[F]) divide() {
	rows := min(max(1, pieceElements/t.classes), pieceRows)
	add := func(from, to int) {
		for ; from < to; from += rows {
			n := min(rows, to-from)
			t.pieces = append(t.pieces, piece{from, from + n, [2]int{n, t.classes}})
		}
	}
	if t.batchFirst {
		for n := range t.batch {
			add(t.row(n, 0), t.row(n, t.length(n)))
		}
	} else {
		longest := 0
		for n := range t.batch {
			longest = max(longest, t.length(n))
		}
		add(0, longest*t.batch)
	}
	all := t.frames * t.batch
	t.index, t.logs, t.probs = workspace.Resize(t.index, all), workspace.Resize(t.logs, all), workspace.Resize(t.probs, all)
	if t.scores == trellis.Logits {
		t.top = workspace.Resize(t.top, all)
		if t.allowed != nil {
			t.largest = workspace.Resize(t.largest, all)
		}
	}
}

// cost returns about how many nanoseconds the rows take.
func (t *greedyTask[F]) cost() (cost float64) {
	each := 0.1 // of a score
	if t.scores == trellis.Logits {
		each = 0.6
	}
	for _, p := range t.pieces {
		cost += float64(p.to-p.from) * (30 + each*float64(t.classes))
	}
	return cost
}

// Item reads the rows of piece i.
func (t *greedyTask[F]) Item(i int) {
	p, c := &t.pieces[i], t.classes
	x, index := trellis.Tensor[F]{Data: t.data[p.from*c : p.to*c], Shape: p.shape[:]}, t.index[p.from:p.to]
	trellis.ArgMaxRows(index, x, t.allowed)
	ln, probs := t.logs[p.from:p.to], t.probs[p.from:p.to]
	for r, best := range index {
		ln[r] = float64(x.Data[r*c+best])
	}
	switch t.scores {
	case trellis.Probabilities:
		copy(probs, ln)
		logs(ln, ln)
		for r, v := range probs {
			if !isProbability(v) {
				probs[r], ln[r] = math.NaN(), math.NaN()
			}
		}
		return
	case trellis.LogProbabilities:
		for r, v := range ln {
			if v > math.MaxFloat64 {
				ln[r] = math.NaN()
			}
		}
	case trellis.Logits:
		largest, top, rest := index, t.top[p.from:p.to], probs
		if t.allowed != nil {
			largest = t.largest[p.from:p.to]
			trellis.ArgMaxRows(largest, x, nil)
		}
		for r, best := range largest {
			top[r] = x.Data[r*c+best]
		}
		logRests(rest, x.Data, c, top)
		for r, v := range top {
			ln[r] = ln[r] - float64(v) - rest[r]
		}
	}
	exps(probs, ln)
}

// countLabels returns how many labels sequence n says.
func (t *greedyTask[F]) countLabels(n int) (labels int) {
	before := t.blank
	for i := range t.length(n) {
		class := t.index[t.row(n, i)]
		if class != t.blank && class != before {
			labels++
		}
		before = class
	}
	return labels
}

// read writes what sequence n says.
func (t *greedyTask[F]) read(r *Reading, n int) {
	frames, before, sum := t.length(n), t.blank, 0.0
	labels := t.countLabels(n)
	*r = Reading{Labels: slices.Grow(r.Labels[:0], labels), Spans: slices.Grow(r.Spans[:0], labels), Confidence: 1, Least: 1}
	for i := range frames {
		row := t.row(n, i)
		class, log, p := t.index[row], t.logs[row], t.probs[row]
		if log != log {
			*r = Reading{Labels: r.Labels[:0], Spans: r.Spans[:0], Score: log, Confidence: log, Least: log}
			return
		}
		r.Score += log
		sum += p
		if i == 0 || p < r.Least {
			r.Least = p
		}
		switch {
		case class == t.blank:
		case class != before:
			r.Labels = append(r.Labels, class)
			r.Spans = append(r.Spans, trellis.Span{Start: i, End: i + 1, Score: log, Confidence: p})
		default:
			s := &r.Spans[len(r.Spans)-1]
			s.End, s.Score, s.Confidence = i+1, s.Score+log, s.Confidence+p
		}
		before = class
	}
	for i := range r.Spans {
		s := &r.Spans[i]
		length := float64(s.End - s.Start)
		s.Score /= length
		s.Confidence /= length
	}
	if frames > 0 {
		r.Confidence = sum / float64(frames)
	}
}
