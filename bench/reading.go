package main

import (
	"bytes"
	"path/filepath"
	"slices"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/side"
	"github.com/gotrellis/trellis/decode"
	"github.com/gotrellis/trellis/internal/lmtest"
	"github.com/gotrellis/trellis/lm"
	"github.com/gotrellis/trellis/tokens"
)

// prepareReading makes a call of package decode, with log-probabilities.
func prepareReading[F trellis.Float](j side.Job) (computation, error) {
	data, blank, err := logProbabilities[F](j)
	if err != nil {
		return computation{}, err
	}
	x := trellis.Tensor[F]{Data: data, Shape: j.Shape}
	if j.Op == opGreedy {
		greedy, readings := decode.Greedy[F]{Blank: blank}, []decode.Reading(nil)
		return computation{func(workers int) func() error {
			greedy.Workers = workers
			return func() (err error) { readings, err = greedy.Decode(readings, x, nil); return err }
		}, func() []float64 { return textValues(readings[0].Labels, readings[0].Score) }}, nil
	}
	scorers, err := scorersOf(j)
	if err != nil {
		return computation{}, err
	}
	beam := decode.Beam[F]{Blank: blank, Width: j.Width, Threshold: j.Threshold, Scorers: scorers}
	var texts [][]decode.Hypothesis
	return computation{func(workers int) func() error {
		beam.Workers = workers
		return func() (err error) { texts, err = beam.Decode(texts, x, nil); return err }
	}, func() []float64 { return textValues(texts[0][0].Labels, texts[0][0].Score) }}, nil
}

// logProbabilities are those of a job, of shape (T,1,C), and the blank.
func logProbabilities[F trellis.Float](j side.Job) (x []F, blank int, err error) {
	if j.Recording != "" {
		b, err := side.BatchOf[F](j)
		return b.Scores, b.Blank, err
	}
	x, err = side.Scores[F](j)
	if err == nil {
		trellis.LogSoftmaxRows(x, trellis.Tensor[F]{Data: x, Shape: j.Shape})
	}
	return x, 0, err
}

// prose is what the language model is made of. Some of the words that are read are in it.
const prose = `A decoder reads what a network has written, frame by frame. Blanks keep two equal letters apart, and
without them a double letter would be read as one. Most frames are blank. Two letters that are equal stand
apart when there is a blank between them. The letters of a word come one after another, each in a few frames.
A language model knows which words people like to say together, and how often. When the network hears a word badly,
the model helps it to find a better one. A lexicon has all words that there are, or so its authors hope. Names
of places, people and products are seldom in it, so a list of hotwords makes up for that. The old trellis in
the garden keeps the roses apart from the path. They climb it every summer, and some of them reach the roof. The
gardener says that blanks are equal to weeds: one has to keep them down. We read the best path first, then we
add up other paths which spell the same text. Paths that end in a blank are added apart from paths that end in
their last letter. Whoever keeps both sums can go on to another frame and forget the frames before.`

// hotwords is how many words of it are looked out for.
const hotwords = 100

// scorersOf returns what has a say in the texts of a job.
func scorersOf(j side.Job) ([]decode.Scorer, error) {
	if !j.Model {
		return nil, nil
	}
	v, err := tokens.ReadFile(filepath.Join(j.Recording, "tokens.txt"))
	if err != nil {
		return nil, err
	}
	all := make([]string, v.Len())
	for c := range all {
		all[c] = v.Token(c)
	}
	var arpa bytes.Buffer
	sentences := lmtest.Sentences(prose, false)
	if err := lmtest.WriteARPA(&arpa, sentences, 3); err != nil {
		return nil, err
	}
	model, err := lm.Read(&arpa)
	if err != nil {
		return nil, err
	}
	words := slices.Concat(sentences...)
	slices.Sort(words)
	var hot []lm.Hotword
	for _, w := range slices.Compact(words)[:hotwords] {
		hot = append(hot, lm.Hotword{Text: w, Weight: 2})
	}
	return []decode.Scorer{
		lm.NewWords(model, all, lm.Weights{LM: 0.5, Word: 1.5, Unknown: -3}),
		lm.NewHotwords(hot, all),
	}, nil
}

// textValues sums up a text and its score.
func textValues(labels []int, score float64) []float64 {
	values := []float64{score, float64(len(labels))}
	for i, l := range labels {
		values = append(values, float64((i+1)*l))
	}
	return values
}
