package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/report"
	"github.com/gotrellis/trellis/bench/internal/results"
	"github.com/gotrellis/trellis/bench/internal/side"
)

// What is a cliff: see judge.
const (
	allowance = 60.0 // nanoseconds of a call
	steep     = 3.0  // times the cost of a neighbour's element
	slower    = 1.1  // times a peer's time: less than that is noise
)

// best is the shortest call of each side, in nanoseconds.
type best map[string]float64

// cliff is a point that takes too long.
type cliff struct {
	point     int
	over      float64            // times what it may take at the most, by the strictest of the limits
	peers     map[string]float64 // how many times as long as those that are faster
	neighbour int                // the one whose elements cost least
	steepness float64            // how many times as much an element costs here; 0 if that is not too much
}

// judge returns the cliffs, the worst one first: points that take longer, less the
// allowance, than a peer, or three times as long as a neighbour for each element. What has
// not been measured is left out.
func judge(points []gridPoint, neighbours [][]int, times []best) (cliffs []cliff) {
	for i, p := range points {
		ours := times[i][trellisSide] - allowance
		c := cliff{point: i, peers: map[string]float64{}}
		for _, name := range cliffPeers {
			if peer := times[i][name]; peer > 0 && ours > slower*peer {
				c.peers[name] = (ours + allowance) / peer
				c.over = max(c.over, ours/(slower*peer))
			}
		}
		least := math.Inf(1)
		for _, n := range neighbours[i] {
			if cost := times[n][trellisSide] / float64(points[n].elements); cost > 0 && cost < least {
				least, c.neighbour = cost, n
			}
		}
		if s := ours / float64(p.elements) / least; s > steep {
			c.steepness = s
			c.over = max(c.over, s/steep)
		}
		if c.over > 1 {
			cliffs = append(cliffs, c)
		}
	}
	slices.SortStableFunc(cliffs, func(a, b cliff) int { return cmp.Compare(b.over, a.over) })
	return cliffs
}

// search measures points.
type search struct {
	sides
	points []gridPoint
	chosen func(gridPoint) bool // which of them are judged
	times  []best
	differ map[string][]string // at which points a peer has other results, and which
}

// Points are measured with a glance, and those that look like cliffs then once more.
var (
	glance = pace{rounds: 3, turn: time.Millisecond}
	look   = pace{rounds: 6, turn: 3 * time.Millisecond}
)

type pace struct {
	rounds int
	turn   time.Duration
}

// farBehind is how many times as long a peer takes that needs no further turns.
const farBehind = 2

// measure measures a point: sides in turns, the shortest call of each.
func (s *search) measure(i int, at pace) error {
	for _, by := range s.all() {
		if _, err := by.Ask(side.Request{Job: side.Job{Op: side.Forget}}); err != nil {
			return err
		}
	}
	j := s.points[i].job
	order := []*contender{{name: trellisSide, side: s.best(), job: j}}
	for _, name := range cliffPeers {
		if s.peers[name] != nil {
			order = append(order, &contender{name: name, side: s.peers[name], job: j})
		}
	}
	if s.times[i] == nil {
		s.times[i] = best{}
		if err := s.compare(order); err != nil {
			return err
		}
	}
	times := s.times[i]
	for range at.rounds {
		for _, c := range order {
			if times[c.name] > farBehind*times[trellisSide] {
				continue
			}
			a, err := c.side.Ask(side.Request{Job: j, Seconds: at.turn.Seconds()})
			if err != nil {
				return err
			}
			times[c.name] = min(cmp.Or(times[c.name], math.Inf(1)), slices.Min(a.Samples))
		}
		slices.Reverse(order)
	}
	return nil
}

// compare notes which peers have other results. They are measured nevertheless: PyTorch's
// float32 is less exact, and CTC takes scores of −1e9 for impossible.
func (s *search) compare(all []*contender) error {
	for _, peer := range all[1:] {
		var differs side.Error
		if err := check([]*contender{all[0], peer}); errors.As(err, &differs) {
			s.differ[peer.name] = append(s.differ[peer.name], nameOf(peer.job)+": "+string(differs))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// cliffPeers are what points are measured beside.
var cliffPeers = []string{results.Naive, results.PyTorch}

// findCliffs measures the points whose names match, and prints the cliffs among them.
func findCliffs(only string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	recordings, err := recordingsIn(os.Getenv("TRELLIS_TESTDATA"))
	if err != nil {
		return err
	}
	if len(recordings) == 0 {
		fmt.Fprintln(os.Stderr, "No recordings: TRELLIS_TESTDATA does not name a folder with any in emissions.")
	}
	g, err := newGrid(recordings)
	if err != nil {
		return err
	}
	s := newSearch(g.points, func(p gridPoint) bool { return pattern.MatchString(p.name()) })
	if !slices.ContainsFunc(s.points, s.chosen) {
		return fmt.Errorf("no work matches %q", only)
	}
	began := time.Now()
	s.sides, err = start([]string{trellis.ActiveTier()}, cliffPeers...)
	defer s.close()
	if err != nil {
		return err
	}
	cliffs, err := s.run()
	if err != nil {
		return err
	}
	fmt.Print(s.table(cliffs))
	fmt.Print(s.summary(cliffs))
	fmt.Printf("%s was measured for %s.\n", s.best().About, time.Since(began).Round(time.Second))
	return nil
}

func newSearch(points []gridPoint, chosen func(gridPoint) bool) *search {
	return &search{points: points, chosen: chosen, times: make([]best, len(points)), differ: map[string][]string{}}
}

// run measures the chosen points and their neighbours, and those again that look like
// cliffs until all that do have been.
func (s *search) run() ([]cliff, error) {
	near := neighbours(s.points)
	var wanted []int
	for i, p := range s.points {
		if s.chosen(p) || slices.ContainsFunc(near[i], func(n int) bool { return s.chosen(s.points[n]) }) {
			wanted = append(wanted, i)
		}
	}
	bar := progress(len(wanted))
	for _, i := range wanted {
		bar.Describe(s.points[i].job.Op)
		if err := s.measure(i, glance); err != nil {
			return nil, fmt.Errorf("%s: %w", s.points[i].name(), err)
		}
		_ = bar.Add(1)
	}
	for again := map[int]bool{}; ; {
		cliffs := slices.DeleteFunc(judge(s.points, near, s.times), func(c cliff) bool { return !s.chosen(s.points[c.point]) })
		suspicious := slices.DeleteFunc(slices.Clone(cliffs), func(c cliff) bool { return again[c.point] })
		if len(suspicious) == 0 {
			return cliffs, nil
		}
		bar := progress(len(suspicious))
		for _, c := range suspicious {
			bar.Describe(s.points[c.point].job.Op + ", again")
			if err := s.measure(c.point, look); err != nil {
				return nil, err
			}
			again[c.point] = true
			_ = bar.Add(1)
		}
	}
}

// table is the cliffs, line by line.
func (s *search) table(cliffs []cliff) string {
	if len(cliffs) == 0 {
		return ""
	}
	header := []string{"work", "over", "time", "naive", "×", "PyTorch", "×", "per", "", "", "×", "neighbour"}
	var rows [][]string
	for _, c := range cliffs {
		p, times := s.points[c.point], s.times[c.point]
		row := []string{p.name(), results.Times(c.over), results.Duration(times[trellisSide])}
		for _, peer := range cliffPeers {
			time, factor := "", ""
			if t := times[peer]; t > 0 {
				time = results.Duration(t)
			}
			if f := c.peers[peer]; f > 0 {
				factor = results.Times(f)
			}
			row = append(row, time, factor)
		}
		row = append(row, p.unit, results.Duration(times[trellisSide]/float64(p.elements)))
		if n := s.points[c.neighbour]; c.steepness > 0 {
			row = append(row, results.Duration(s.times[c.neighbour][trellisSide]/float64(n.elements)),
				results.Times(c.steepness), strings.TrimPrefix(n.name(), n.job.Op+" "))
		} else {
			row = append(row, "", "", "")
		}
		rows = append(rows, row)
	}
	return report.Lines(header, rows)
}

// summary counts the cliffs of each operation, and all points.
func (s *search) summary(cliffs []cliff) string {
	var out strings.Builder
	for _, name := range cliffPeers {
		if d := s.differ[name]; len(d) > 0 {
			fmt.Fprintf(&out, "%s has other results at %d points, such as %s\n", name, len(d), d[0])
		}
	}
	var ops []string
	of, over, all := map[string]int{}, map[string]int{}, 0
	for _, p := range s.points {
		if !s.chosen(p) {
			continue
		}
		if of[p.job.Op] == 0 {
			ops = append(ops, p.job.Op)
		}
		of[p.job.Op]++
		all++
	}
	for _, c := range cliffs {
		over[s.points[c.point].job.Op]++
	}
	for _, op := range ops {
		fmt.Fprintf(&out, "%s: %d of %d\n", op, over[op], of[op])
	}
	fmt.Fprintf(&out, "%d of %d points tried are cliffs.\n", len(cliffs), all)
	return out.String()
}
