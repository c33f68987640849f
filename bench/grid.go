package main

import (
	"path/filepath"
	"slices"

	"github.com/gotrellis/trellis/bench/internal/side"
)

// gridPoint is a work of a grid. Its place is three sizes; works that differ in something
// else are at the same place, as variants, of which 0 is the usual one.
type gridPoint struct {
	job      side.Job // with one worker
	axes     string   // what the sizes are of
	place    [3]int
	variant  int
	elements int // what cost should be proportional to
	unit     string
}

func (p gridPoint) name() string { return nameOf(p.job) }

// The sizes. From one to the next it is at most some five times as many, so that what a
// call costs beside its elements is no cliff.
var (
	gridClasses = []int{2, 3, 5, 8, 10, 16, 32, 64, 128, 256, 1024, 4096, 16384, 65536, 262144, 1e6}
	gridRows    = []int{1, 4, 16, 64, 256, 1024, 4096, 20000, 1e5}
	gridInner   = []int{1, 2, 4, 8, 16, 64, 256, 1024, 4096, 16384}
	gridVolumes = []int{1 << 12, 1 << 20} // elements, where there are inner axes

	gridFrames = []int{4, 16, 50, 150, 500, 2000}
	gridLabels = []int{1, 3, 10, 30, 100, 300}
	gridTokens = []int{2, 5, 12, 28, 80, 256, 1024, 5000} // classes of CTC
)

// gridElements is the most elements of a work.
const gridElements = 4e6

// variant makes another work of the same sizes.
type variant func(side.Job) side.Job

func usual(j side.Job) side.Job { return j }

// scores are variants of what is computed from: all scales, and at each all masks.
func scores(masked ...string) (all []variant) {
	for _, scale := range []float64{0, 0.1, 10, 100} {
		scaled := func(j side.Job) side.Job {
			j.Scale = scale
			return j
		}
		all = append(all, scaled)
		for _, score := range masked {
			for _, share := range []float64{0.01, 0.1, 0.5} {
				all = append(all, func(j side.Job) side.Job {
					j.Mask = side.Mask{Share: share, Score: score}
					return scaled(j)
				})
			}
		}
	}
	return all
}

// grid collects points.
type grid struct{ points []gridPoint }

// newGrid has all points. The recordings are folders for side.ReadRecording.
func newGrid(recordings []string) (g grid, err error) {
	for _, op := range []string{opLogSumExp, opLogSoftmax, opSoftmax, opGather} {
		g.rows(op, usual)
		for _, n := range gridClasses {
			g.add("slices", [3]int{n}, 0, f32(op, n))
		}
	}
	// A method of a loss is a line: its variants without inner axes, and with them.
	for _, l := range []struct {
		op          string
		rows, inner []variant
	}{
		{opNLL, []variant{usual, weighted}, []variant{usual}},
		{opNLL + allLosses, []variant{usual}, nil},
		{opNLL + andGrad, []variant{usual, weighted}, []variant{usual}},
		{opNLL + lossesAndGrad, []variant{usual}, nil},
		{opNLL + vjp, []variant{usual}, nil},
		{opCrossEntropy, []variant{usual, weighted, smoothed}, []variant{usual, smoothed}},
		{opCrossEntropy + allLosses, []variant{usual}, nil},
		{opCrossEntropy + andGrad, []variant{usual, weighted, smoothed}, []variant{usual, smoothed}},
		{opCrossEntropy + lossesAndGrad, []variant{usual}, nil},
		{opCrossEntropy + vjp, []variant{usual}, nil},
		{opCrossProbs, []variant{usual}, []variant{usual}},
		{opCrossProbs + allLosses, []variant{usual}, nil},
		{opCrossProbs + andGrad, []variant{usual}, []variant{usual}},
		{opCrossProbs + vjp, []variant{usual}, nil},
	} {
		g.rows(l.op, l.rows...)
		g.inner(l.op, l.inner...)
	}
	for _, op := range []string{opLogSumExp, opSoftmax} {
		g.scores(op, scores("-1e4", "-1e9", "-Inf"))
	}
	for _, op := range []string{opCrossEntropy, opCrossEntropy + andGrad} {
		g.scores(op, scores("-1e4", "-1e9")) // with −Inf the loss is infinite
	}
	for _, op := range []string{opCTC, opCTC + andGrad} {
		for _, classes := range gridTokens {
			g.ctc(op, classes)
		}
		for _, place := range [][3]int{{50, 10, 28}, {150, 30, 28}, {500, 100, 28}, {150, 10, 1024}} {
			for i, v := range scores("-1e4", "-1e9", "-Inf") {
				if i > 0 { // the usual one is there
					g.sequence(op, place, i, v)
				}
			}
		}
		if err := g.recorded(op, recordings); err != nil {
			return g, err
		}
	}
	g.ctc(opCTC+allLosses, 28)
	g.ctc(opCTC+vjp, 28)
	return g, nil
}

// add adds a point unless it is too large.
func (g *grid) add(axes string, place [3]int, number int, j side.Job) {
	j.Workers = 1
	p := gridPoint{job: j, axes: axes, place: place, variant: number, elements: j.Inputs(), unit: "element"}
	switch {
	case j.Op == opNLL || j.Op == opNLL+allLosses: // which read an element of each
		p.elements, p.unit = j.Inputs()/j.Shape[1], "position"
	case j.Targets != nil:
		p.elements, p.unit = j.Inputs()+j.States(), "logit or state"
	}
	if j.Inputs() <= gridElements && p.elements <= gridElements {
		g.points = append(g.points, p)
	}
}

// rows adds all works of two axes.
func (g *grid) rows(op string, variants ...variant) {
	for _, c := range gridClasses {
		for _, n := range gridRows {
			for i, v := range variants {
				g.add("rows", [3]int{c, n}, i, v(f32(op, n, c)))
			}
		}
	}
}

// scores adds variants of some of them.
func (g *grid) scores(op string, variants []variant) {
	for _, place := range [][3]int{{32, 256}, {1024, 64}} {
		for i, v := range variants {
			if i > 0 { // the usual one is there
				g.add("rows", place, 100+i, v(f32(op, place[1], place[0])))
			}
		}
	}
}

// inner adds all works of three axes, with as many rows as make the volume.
func (g *grid) inner(op string, variants ...variant) {
	for _, volume := range gridVolumes {
		for _, c := range gridClasses {
			for _, inner := range gridInner {
				for i, v := range variants {
					if n := volume / (c * inner); n > 0 {
						g.add("inner", [3]int{c, inner, volume}, i, v(f32(op, n, c, inner)))
					}
				}
			}
		}
	}
}

// ctc adds a sequence of every length, with every target that fits it.
func (g *grid) ctc(op string, classes int) {
	for _, frames := range gridFrames {
		for _, labels := range gridLabels {
			if 2*labels <= frames { // even if all labels are alike
				g.sequence(op, [3]int{frames, labels, classes}, 0, usual)
			}
		}
	}
}

func (g *grid) sequence(op string, place [3]int, number int, v variant) {
	g.add("sequence", place, number, v(ctc(op, "float32", place[1], place[1], place[0], 1, place[2])))
}

// recorded adds what networks wrote for one sequence, as variants of random scores of the same sizes.
func (g *grid) recorded(op string, folders []string) error {
	for i, folder := range folders {
		r, err := side.ReadRecording(folder)
		if err != nil {
			return err
		}
		if len(r.Lengths) > 1 {
			continue
		}
		place := [3]int{r.Shape[0], len(r.Targets), r.Shape[2]}
		if !slices.ContainsFunc(g.points, func(p gridPoint) bool { return p.job.Op == op && p.place == place }) {
			g.sequence(op, place, 0, usual)
		}
		g.sequence(op, place, 100+i, func(j side.Job) side.Job {
			j.Recording = folder
			return j
		})
	}
	return nil
}

// recordingsIn returns the folders of recordings in the test data, of which there are none if the folder
// has no name.
func recordingsIn(testdata string) (folders []string, err error) {
	if testdata == "" {
		return nil, nil
	}
	names, err := filepath.Glob(filepath.Join(testdata, "emissions", "*", "emissions.npy"))
	for _, name := range names {
		folders = append(folders, filepath.Dir(name))
	}
	return folders, err
}

// neighbours returns the numbers of each point's neighbours: the next point up and down
// along each axis, of the same variant, and for a variant the usual work at its place.
func neighbours(points []gridPoint) [][]int {
	type line struct {
		op, axes string
		variant  int
		axis     int
		others   [3]int // place, without the axis
	}
	all := make([][]int, len(points))
	lines := map[line][]int{}
	usual := map[line]int{}
	for i, p := range points {
		for axis := range p.place {
			l := line{p.job.Op, p.axes, p.variant, axis, p.place}
			l.others[axis] = 0
			lines[l] = append(lines[l], i)
		}
		if p.variant == 0 {
			usual[line{op: p.job.Op, axes: p.axes, others: p.place}] = i
		}
	}
	for l, on := range lines {
		slices.SortFunc(on, func(a, b int) int { return points[a].place[l.axis] - points[b].place[l.axis] })
		for k := 1; k < len(on); k++ {
			all[on[k-1]] = append(all[on[k-1]], on[k])
			all[on[k]] = append(all[on[k]], on[k-1])
		}
	}
	for i, p := range points {
		if u, ok := usual[line{op: p.job.Op, axes: p.axes, others: p.place}]; ok && p.variant > 0 {
			all[i] = append(all[i], u)
		}
	}
	return all
}
