package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gotrellis/trellis/bench/internal/results"
)

// within is how far from a straight line a point may be.
const within = 0.25

// straight is a stretch of a curve in which cost is proportional to size.
type straight struct {
	first, last int
	per         float64 // nanoseconds of an element
}

// findStraight returns the longest stretch of at least three sizes, as the charts
// show them, in which no time of an element is more than 25 % from the stretch's
// median: of equally long ones, the cheapest.
func findStraight(all []point) (best straight, ok bool) {
	long := 0.0
	for first := range all {
		for last := first + 2; last < len(all); last++ {
			s := straight{first, last, middle(all[first : last+1])}
			straight := !slices.ContainsFunc(all[first:last+1], func(p point) bool { return s.side(p) != 0 })
			length := math.Log(all[last].x / all[first].x)
			if straight && (length > long*(1+1e-9) || length > long*(1-1e-9) && s.per < best.per) {
				best, long, ok = s, length, true
			}
		}
	}
	return best, ok
}

func middle(all []point) float64 {
	var y []float64
	for _, p := range all {
		y = append(y, p.y)
	}
	slices.Sort(y)
	return (y[(len(y)-1)/2] + y[len(y)/2]) / 2
}

// side returns 1 if a point is above the line, -1 if it is below, and 0 on it.
func (s straight) side(p point) int {
	switch {
	case p.y > s.per*(1+within):
		return 1
	case p.y < s.per*(1-within):
		return -1
	}
	return 0
}

// departure is neighbours that are all above the line or all below it, on one side of
// the straight stretch.
type departure struct {
	points   []point
	farthest point
	right    bool
	side     int
}

func (s straight) departures(all []point) (found []departure) {
	for i, p := range all {
		side := s.side(p)
		if side == 0 {
			continue
		}
		previous := 0
		if i > 0 {
			previous = s.side(all[i-1])
		}
		if side != previous {
			found = append(found, departure{right: i > s.last, side: side, farthest: p})
		}
		d := &found[len(found)-1]
		d.points = append(d.points, p)
		if math.Abs(math.Log(p.y/s.per)) > math.Abs(math.Log(d.farthest.y/s.per)) {
			d.farthest = p
		}
	}
	return found
}

// sizes says from where to where points are.
func sizes(symbol string, all []point) string {
	first, last := all[0].x, all[len(all)-1].x
	if first == last {
		return at(symbol, first)
	}
	return fmt.Sprintf("from %s = %s to %s", symbol, count(first), count(last))
}

func at(symbol string, x float64) string { return fmt.Sprintf("at %s = %s", symbol, count(x)) }

// cost writes what an element costs, with three digits however little it is.
func cost(ns float64) string {
	if ns >= 1 || ns <= 0 {
		return results.Duration(ns)
	}
	decimals := 2 - int(math.Floor(math.Log10(ns)))
	return strconv.FormatFloat(ns, 'f', decimals, 64) + " ns"
}

// call is what a point's whole work takes.
func (p point) call() string { return results.Duration(p.y * float64(p.work.Elements)) }

// growth says how a curve grows: its straight line, and where and why it leaves it.
func (m machine) growth(c curve) string {
	works, best := m.of(c.group), m.Machine.Best()
	all := points(works, best, 1)
	if len(all) < 2 {
		return ""
	}
	s, ok := findStraight(all)
	says := []string{s.says(ok, all, nameOf(best), unit(works), c.symbol)}
	if ok {
		for _, d := range s.departures(all) {
			says = append(says, s.describe(d, c.symbol), c.why(d))
		}
	}
	return paragraph(append(says, c.caches(m), besideMemory(all, nameOf(best), c.symbol), m.besidePyTorch(works, c.symbol)))
}

// paragraph joins what is there.
func paragraph(says []string) string {
	return strings.Join(slices.DeleteFunc(says, func(s string) bool { return s == "" }), " ")
}

// says says what the line is, if there is one.
func (s straight) says(ok bool, all []point, who, unit, symbol string) string {
	switch {
	case !ok:
		return fmt.Sprintf("%s has no line: nowhere are three sizes in a row within 25 %% of their median.", who)
	case s.first == 0 && s.last == len(all)-1:
		return fmt.Sprintf("%s takes %s per %s at all sizes, %s.", who, cost(s.per), unit, sizes(symbol, all))
	}
	return fmt.Sprintf("%s takes %s per %s %s.", who, cost(s.per), unit, sizes(symbol, all[s.first:s.last+1]))
}

// describe says where a departure is and how far it goes.
func (s straight) describe(d departure, symbol string) string {
	where := "above"
	if d.side < 0 {
		where = "below"
	}
	says := fmt.Sprintf("%s it is %s the line: %s times its cost", capital(sizes(symbol, d.points)), where, results.Digits(d.farthest.y/s.per))
	if len(d.points) > 1 {
		says += " " + at(symbol, d.farthest.x)
	}
	return says + "."
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// why returns the reason of a departure that is known to have one.
func (c curve) why(d departure) string {
	if d.side < 0 {
		return ""
	}
	first, last := d.points[0], d.points[len(d.points)-1]
	switch {
	case c.group == results.Rows && !d.right:
		return fmt.Sprintf("A call takes %s for %s and %s for %s: a short row costs what a call costs, most of it the way of some 200 "+
			"cycles from the first load to the logarithm, so per element it falls like 1/n.",
			first.call(), count(first.x), last.call(), count(last.x))
	case c.group == results.Rows:
		return "Such rows come from memory, whose bandwidth is the limit."
	case c.group == results.Classes && !d.right:
		return "Rows of less than 128 classes go another way, four passes over up to 64 rows at once; less than 16 do not fill a vector."
	case c.group == results.Classes:
		return "The gradient takes each row a second time, from caches that no longer hold it; 8 bytes per logit move at least, and what " +
			"is written is read before."
	case c.group == results.CTCSize && !d.right:
		return fmt.Sprintf("A call takes %s at the least: checks and the workspace are a fixed cost, short targets leave vectors of "+
			"8 or 16 states unfilled, and the way from one frame to the next is a chain of steps that wait for each other.", first.call())
	case c.group == results.CTCSize:
		return fmt.Sprintf("A gradient keeps α and the emissions of all frames, 12 bytes for a state and frame; what is more than "+
			"8 MiB, from some %s of them on, is cut into segments whose α is computed once more.", count(8<<20/12))
	case c.group == results.CTCClasses && !d.right:
		return fmt.Sprintf("A frame of few classes costs what its states cost, a call %s with %s and %s with %s, so per logit it falls "+
			"like 1/C.", first.call(), count(first.x), last.call(), count(last.x))
	case c.group == results.CTCClasses:
		return "Logits are read twice and the gradient is written once, from and to caches that do not hold them: memory is the limit."
	}
	return ""
}

// caches says at which sizes the works fill the caches.
func (c curve) caches(m machine) string {
	var fills []string
	for i, f := range c.fills(m) {
		if f.x > 0 {
			fills = append(fills, fmt.Sprintf("the L%d (%s) %s", i+1, results.Size(f.bytes), at(c.symbol, f.x)))
		}
	}
	if len(fills) == 0 {
		return ""
	}
	return c.inCache + " " + enumerate(fills) + "."
}

// enumerate joins words as a sentence does.
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// besideMemory says how far the largest work is from bare memory.
func besideMemory(all []point, who, symbol string) string {
	last := all[len(all)-1]
	memory, ok := median(last.work, results.Memory, 1)
	if !ok {
		return ""
	}
	memory /= float64(last.work.Elements)
	return fmt.Sprintf("%s bare memory takes %s, and %s %s times that.",
		capital(at(symbol, last.x)), cost(memory), who, results.Digits(last.y/memory))
}

// besidePyTorch says how many times as long PyTorch takes.
func (m machine) besidePyTorch(works []results.Work, symbol string) string {
	var ratios []point
	for _, p := range points(works, results.PyTorch, 1) {
		if r, ok := ratio(p.work, results.PyTorch, 1, m.Machine.Best(), 1); ok {
			ratios = append(ratios, point{x: p.x, y: r})
		}
	}
	if len(ratios) == 0 {
		return ""
	}
	compare := func(a, b point) int { return cmp.Compare(a.y, b.y) }
	least, most := slices.MinFunc(ratios, compare), slices.MaxFunc(ratios, compare)
	if results.Digits(least.y) == results.Digits(most.y) {
		return fmt.Sprintf("PyTorch takes %s times as long at all sizes.", results.Digits(least.y))
	}
	return fmt.Sprintf("PyTorch takes from %s (%s) to %s times as long (%s).",
		results.Digits(least.y), at(symbol, least.x), results.Digits(most.y), at(symbol, most.x))
}

// batchGrowth says what a sequence of a batch costs.
func (m machine) batchGrowth() string {
	const symbol = "N"
	works, best, all := m.of(results.Batch), m.Machine.Best(), m.all(results.Batch)
	one := points(works, best, 1)
	if len(one) < 2 {
		return ""
	}
	s, ok := findStraight(one)
	says := []string{s.says(ok, one, nameOf(best)+" with one worker", unit(works), symbol)}
	if ok {
		for _, d := range s.departures(one) {
			says = append(says, s.describe(d, symbol))
			says = append(says, m.whyBatch(d))
		}
	}
	if all > 1 {
		says = append(says, together(works, best, all))
	}
	return paragraph(append(says, m.besidePyTorch(works, symbol)))
}

// whyBatch returns the reason of a departure of a batch's curve.
func (m machine) whyBatch(d departure) string {
	caches := m.Machine.Caches
	switch {
	case d.side < 0:
		return ""
	case !d.right:
		return "A call has a fixed cost, which few sequences share."
	case len(caches) > 0:
		return fmt.Sprintf("Logits and gradient are %s then, and the last cache has %s.",
			results.Size(d.points[0].work.Bytes), results.Size(caches[len(caches)-1]))
	}
	return ""
}

// waking is about how long it takes until another thread runs, in nanoseconds.
const waking = 50e3

// together says what all workers gain over one.
func together(works []results.Work, best string, all int) string {
	var gains []point
	for _, p := range points(works, best, all) {
		if r, ok := ratio(p.work, best, 1, best, all); ok {
			gains = append(gains, point{p.x, r, p.work})
		}
	}
	if len(gains) == 0 {
		return ""
	}
	from := len(gains) // from where on they always gain
	for from > 0 && gains[from-1].y > 1+within {
		from--
	}
	last := gains[len(gains)-1]
	says := fmt.Sprintf("%d workers are %s times as fast as one at N = %s", all, results.Digits(last.y), count(last.x))
	if from > 0 && from < len(gains) {
		says += fmt.Sprintf(", and gain more than 25 %% from N = %s on", count(gains[from].x))
		if smaller, _ := median(gains[from-1].work, best, 1); smaller < 10*waking {
			says += fmt.Sprintf(": one worker takes %s at N = %s, and to wake another one takes some 50 µs",
				results.Duration(smaller), count(gains[from-1].x))
		}
	}
	return says + "."
}

// workersGrowth says what workers gain.
func (m machine) workersGrowth() string {
	best := m.Machine.Best()
	var says []string
	short := false // of the ideal
	for _, s := range m.scalings() {
		gains := s.speedups(best)
		if len(gains) < 2 {
			continue
		}
		last := gains[len(gains)-1]
		short = short || last.y < 0.9*last.x
		says = append(says, fmt.Sprintf("%s: %s workers are %s times as fast as one.", s.name, count(last.x), results.Digits(last.y)))
	}
	if len(says) == 0 {
		return ""
	}
	if !short {
		return paragraph(says)
	}
	return paragraph(append(says, "What keeps them from more is bandwidth of memory, which all share, and some 50 µs for waking each."))
}
