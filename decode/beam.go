package decode

import (
	"cmp"
	"math"
	"slices"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/parallel"
	"github.com/gotrellis/trellis/internal/workspace"
)

// Beam reads the most probable texts: of a text it adds up the probabilities of all paths that spell
// it, where Greedy has but one path, and Scorers may have their say on each label. In every frame it
// keeps the best beginnings of texts, which is a prefix beam search (A. Hannun et al., 2014,
// https://arxiv.org/abs/1408.2873). The zero value is ready to use. A value may be used concurrently;
// results are the same bits on every machine and for any number of workers. docs/decoding.md explains
// the method.
type Beam[F trellis.Float] struct {
	// Blank is the class that stands for no label, in [0,C).
	Blank int
	// Scores says what x is: LogProbabilities, Logits or Probabilities.
	Scores trellis.Scores
	// BatchFirst takes x as (N,T,C) instead of (T,N,C).
	BatchFirst bool
	// Width is how many prefixes are kept in each frame; 0 means 100.
	Width int
	// TopK is how many classes of a frame beside the blank are looked at, the most probable ones; 0
	// means all.
	TopK int
	// Threshold is the least probability of a class that is looked at; the blank always is. 0.001 makes
	// reading two to four times as fast, as many frames then have no class but the blank, and changes a
	// text hardly ever. 0 means none.
	Threshold float64
	// NBest is how many hypotheses are returned; 0 means one.
	NBest int
	// Scorers add to the scores of texts: see package lm.
	Scorers []Scorer
	// Spans asks for the Spans and the LogProbExact of the hypotheses that are returned. They are made
	// of the classes that are looked at, as if others were impossible, so that each frame's are kept to
	// the end.
	Spans bool
	// Workers is the most goroutines that work on one call, each on whole sequences: 1 means none
	// beside the caller's, and 0 as many as the work is worth, up to GOMAXPROCS.
	Workers int
}

const defaultWidth = 100

// Decode reads each sequence of x, which has the shape (T,N,C), or (N,T,C) with BatchFirst, or (T,C)
// for a single one. inputLengths[n] is how many frames of sequence n count; nil means T for all. What
// later frames hold does not matter. The hypotheses of each sequence are in the result, at least one
// and at most NBest, the best one first and those with equal scores ordered by their labels. The
// results are in dst, which may be nil: its memory is used again, and that of what is in it, so that
// nothing is allocated once it is large enough.
//
// Log-probabilities and probabilities need not be normalised. A class that is more than 700 nats less
// probable than the frame's best one counts as impossible, and so does a prefix that is more than 1000
// nats below the best one. A sequence that no text fits has one hypothesis, with no labels and the
// LogProb −Inf. One with NaN, +Inf or a probability below 0 or above 1.001 among the classes that are
// looked at, or with a frame of logits that has no softmax, has one with no labels and the LogProb NaN.
//
// An error is a *trellis.ArgumentError: x's Shape does not describe its Data or has more than 2²⁶
// frames or 2³¹−1 classes, Blank is no class, a length or the number of lengths does not fit, Width,
// TopK, NBest or Workers is negative, Threshold is not in [0,1), a Scorer is nil, or Scores has no
// meaning. Then dst is as it was.
func (b Beam[F]) Decode(dst [][]Hypothesis, x trellis.Tensor[F], inputLengths []int) ([][]Hypothesis, error) {
	t := workspace.Take[beamTask[F], F](&beamTasks)
	defer t.release()
	t.Beam = b
	t.input = input[F]{method: "Beam.Decode", scores: b.Scores, blank: b.Blank, batchFirst: b.BatchFirst || len(x.Shape) == 2}
	if err := b.check(&t.input); err != nil {
		return dst, err
	}
	if err := t.take(x, inputLengths); err != nil {
		return dst, err
	}
	t.dst = resized(dst, t.batch)
	t.schedule()
	parallel.Run(t, t.batch, parallel.Workers(b.Workers, t.batch, t.cost()))
	return t.dst, nil
}

// check reports options that have no meaning.
func (b Beam[F]) check(in *input[F]) error {
	for _, o := range [...]struct {
		name  string
		value int
	}{{"Width", b.Width}, {"TopK", b.TopK}, {"NBest", b.NBest}, {"Workers", b.Workers}} {
		if o.value < 0 {
			return in.wrong(o.name, nil, o.value, "negative")
		}
	}
	if !(b.Threshold >= 0 && b.Threshold < 1) {
		return in.wrong("Threshold", nil, b.Threshold, "outside [0,1)")
	}
	for i, s := range b.Scorers {
		if s == nil {
			return in.wrong("Scorers", []int{i}, s, "no scorer")
		}
	}
	return nil
}

// beamTask is the state of one call.
type beamTask[F trellis.Float] struct {
	Beam[F]
	input[F]
	dst   [][]Hypothesis
	order []int // the sequences, the longest one first
}

var beamTasks workspace.Pools

// release gives the task back without what it borrowed.
func (t *beamTask[F]) release() {
	*t = beamTask[F]{order: t.order[:0]}
	workspace.Give[F](&beamTasks, t)
}

// schedule sorts the sequences by length, so that a long one does not come last.
func (t *beamTask[F]) schedule() {
	t.order = workspace.Resize(t.order, t.batch)
	for n := range t.order {
		t.order[n] = n
	}
	slices.SortFunc(t.order, func(a, b int) int { return cmp.Compare(t.length(b), t.length(a)) })
}

// cost returns about how many nanoseconds the call takes.
func (t *beamTask[F]) cost() (cost float64) {
	for n := range t.batch {
		cost += float64(t.length(n)) * (float64(t.classes) + 20*float64(cmp.Or(t.Width, defaultWidth)))
	}
	return cost
}

// Item reads one sequence.
func (t *beamTask[F]) Item(i int) {
	n := t.order[i]
	r := workspace.Take[reader[F], F](&readers)
	r.start(&t.Beam, t.classes)
	x := t.sequence(n)
	for i := range t.length(n) {
		r.read(x.Row(i))
	}
	t.dst[n] = r.finish(t.dst[n], cmp.Or(t.NBest, 1))
	r.scorers = nil
	workspace.Give[F](&readers, r)
}

// reader reads one sequence, frame by frame.
type reader[F trellis.Float] struct {
	looker[F]
	search
	aligner
	finals []final
	keeps  bool // the classes that are looked at, for the aligner
}

// final is an entry of the beam as a hypothesis, without its labels.
type final struct {
	Hypothesis
	node int32
}

var readers workspace.Pools

// start makes the reader ready for frames of so many classes.
func (r *reader[F]) start(b *Beam[F], classes int) {
	width, cuts := cmp.Or(b.Width, defaultWidth), b.TopK > 0 || b.Threshold > 0
	most := cmp.Or(b.TopK, classes)
	if r.keeps = b.Spans; r.keeps {
		r.forget(classes)
	} else if !cuts && len(b.Scorers) == 0 {
		most = min(most, width+1) // see search.collect: others are at best repeated
	}
	r.prepare(b.Scores, classes, b.Blank, b.Threshold, most, cuts)
	r.search.start(width, b.Scorers, classes)
}

// read goes through a frame.
func (r *reader[F]) read(row []F) {
	log := r.look(row, r.beam)
	r.step(&r.frame, log)
	if r.keeps && !r.impossible {
		r.keep(&r.frame, log)
	}
}

// finish returns the hypotheses, at most so many, in dst.
func (r *reader[F]) finish(dst []Hypothesis, most int) []Hypothesis {
	if !r.impossible {
		r.end(most)
	}
	if r.impossible {
		dst = resized(dst, 1)
		dst[0] = Hypothesis{Labels: dst[0].Labels[:0], Spans: dst[0].Spans[:0], LogProb: r.log, Score: r.log, LogProbExact: r.log}
		return dst
	}
	dst = resized(dst, min(most, len(r.finals)))
	for i := range dst {
		labels, spans := append(dst[i].Labels[:0], r.settled...), dst[i].Spans[:0]
		dst[i] = r.finals[i].Hypothesis
		dst[i].Labels, dst[i].Spans = r.appendLabels(labels, r.finals[i].node), spans
		if r.keeps {
			dst[i].Spans = r.align(dst[i].Spans, dst[i].Labels)
			dst[i].LogProbExact = r.exact()
		}
	}
	return dst
}

// end finds what the texts in the beam score if they end here, at least of so many of the best ones.
func (r *reader[F]) end(most int) {
	r.finals = r.finals[:0]
	for i := range r.beam {
		if i == most && len(r.scorers) == 0 {
			return
		}
		if f := r.final(&r.beam[i]); f.Score >= -math.MaxFloat64 {
			r.finals = append(r.finals, f)
		}
	}
	if len(r.finals) == 0 {
		r.giveUp()
	}
	if len(r.scorers) > 0 {
		slices.SortFunc(r.finals, func(a, b final) int {
			if c := cmp.Compare(b.Score, a.Score); c != 0 {
				return c
			}
			return r.compare(extended{a.node, none}, extended{b.node, none})
		})
	}
}

// final returns what the text of an entry scores if it ends here.
func (r *reader[F]) final(e *entry) final {
	h := Hypothesis{LogProb: r.logProb(e)}
	if n := len(r.scorers); n > 0 {
		score := r.added[e.node]
		for i, s := range r.scorers {
			score = score.plus(s.End(r.states[int(e.node)*n+i]))
		}
		h.LM, h.Bonus = score.LM, score.Bonus
	}
	h.Score = h.LogProb + h.LM + h.Bonus
	return final{h, e.node}
}
