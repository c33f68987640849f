package main

import (
	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/side"
	"github.com/gotrellis/trellis/decode"
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
	beam, texts := decode.Beam[F]{Blank: blank, Width: j.Width, Threshold: j.Threshold}, [][]decode.Hypothesis(nil)
	return computation{func(workers int) func() error {
		beam.Workers = workers
		return func() (err error) { texts, err = beam.Decode(texts, x, nil); return err }
	}, func() []float64 { return textValues(texts[0][0].Labels, texts[0][0].LogProb) }}, nil
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

// textValues sums up a text and its score.
func textValues(labels []int, score float64) []float64 {
	values := []float64{score, float64(len(labels))}
	for i, l := range labels {
		values = append(values, float64((i+1)*l))
	}
	return values
}
