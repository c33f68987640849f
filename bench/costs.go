package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/gotrellis/trellis/bench/internal/report"
	"github.com/gotrellis/trellis/bench/internal/results"
	"github.com/gotrellis/trellis/bench/internal/side"
)

// costTurn is how long a job is repeated, costRounds times; its shortest call counts.
const (
	costTurn   = 20 * time.Millisecond
	costRounds = 10
)

// costModel has two jobs that take a·x + b·y nanoseconds: x and y say how much there is in each of what
// a and b are the costs of, in the words of the library's blocks.go. So two times tell both.
type costModel struct {
	a, b string
	jobs [2]side.Job
	x, y [2]float64
}

func costModels() []costModel {
	const frames, few, many = 400, 4, 100
	ctcLoss := func(labels int) side.Job { return ctc(opCTC, "float32", labels, labels, frames, 1, 28) }
	return []costModel{
		{a: "nllPositionCost", b: "clearByteCost", jobs: [2]side.Job{f32(opNLL, 4096, 10), f32(opNLL+andGrad, 4096, 100)},
			x: [2]float64{4096, 2 * 4096}, y: [2]float64{0, 4 * 4096 * 100}},
		{a: "positionCost", b: "scoreCost", jobs: [2]side.Job{f32(opCrossEntropy, 4096, 2), f32(opCrossEntropy, 256, 1000)},
			x: [2]float64{4096, 256}, y: [2]float64{4096 * 2, 256 * 1000}},
		{a: "frameCost + 28·scoreCost", b: "stateCost", jobs: [2]side.Job{ctcLoss(few), ctcLoss(many)},
			x: [2]float64{frames, frames}, y: [2]float64{frames * few, frames * many}},
	}
}

// solve returns the costs a and b of jobs that take so many nanoseconds.
func (m costModel) solve(times [2]float64) (a, b float64) {
	determinant := m.x[0]*m.y[1] - m.x[1]*m.y[0]
	return (times[0]*m.y[1] - times[1]*m.y[0]) / determinant, (m.x[0]*times[1] - m.x[1]*times[0]) / determinant
}

// fitCosts measures what decides whether a call with Workers 0 is shared, and prints it for the constants of
// the same names in the library's blocks.go.
func fitCosts(tiers []string) error {
	s, err := start(tiers)
	defer s.close()
	if err != nil {
		return err
	}
	header, rows := []string{"nanoseconds"}, [][]string{}
	for _, t := range s.tiers {
		header = append(header, t.About)
	}
	for _, m := range costModels() {
		names := [2][]string{{m.a}, {m.b}}
		for _, t := range s.tiers {
			var times [2]float64
			for i, j := range m.jobs {
				if times[i], err = shortest(t, j); err != nil {
					return err
				}
			}
			a, b := m.solve(times)
			for i, cost := range []float64{a, b} {
				names[i] = append(names[i], results.Digits(cost))
			}
		}
		rows = append(rows, names[0], names[1])
	}
	fmt.Print(report.Lines(header, rows))
	return nil
}

// shortest returns the shortest time of a job on a side, in nanoseconds, with one worker.
func shortest(by *side.Side, j side.Job) (float64, error) {
	j.Workers = 1
	var all []float64
	for range costRounds {
		a, err := by.Ask(side.Request{Job: j, Seconds: costTurn.Seconds()})
		if err != nil {
			return 0, err
		}
		all = append(all, slices.Min(a.Samples))
	}
	return slices.Min(all), nil
}
