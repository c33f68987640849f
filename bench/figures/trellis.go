package main

import (
	"bytes"
	"fmt"
	"math"

	svg "github.com/ajstarks/svgo/float"
)

// blank is the state that emits no label.
const blank = '–'

// trellis is CTC's, of a target: its states are the labels with a blank around each,
// and it has all of them in every frame.
type trellis struct {
	states []rune
	live   [][]bool // of a frame and a state: whether a whole path passes
}

func newTrellis(target string, frames int) trellis {
	l := trellis{states: []rune{blank}}
	for _, label := range target {
		l.states = append(l.states, label, blank)
	}

	// Forward from the first two states, and back from the last two.
	last := len(l.states) - 1
	from, to := make([][]bool, frames), make([][]bool, frames)
	for t := range frames {
		from[t], to[t] = make([]bool, last+1), make([]bool, last+1)
	}
	for s := range l.states {
		from[0][s] = s <= 1
		to[frames-1][s] = s >= last-1
	}
	for t := 1; t < frames; t++ {
		for s := range l.states {
			for _, next := range l.next(s) {
				from[t][next] = from[t][next] || from[t-1][s]
				to[frames-1-t][s] = to[frames-1-t][s] || to[frames-t][next]
			}
		}
	}
	for t := range frames {
		for s := range l.states {
			from[t][s] = from[t][s] && to[t][s]
		}
	}
	l.live = from
	return l
}

// next returns the states that may follow s in the next frame: itself, the next one,
// and the label after a blank if the blank does not stand between equal labels.
func (l trellis) next(s int) []int {
	next := []int{s}
	if s+1 < len(l.states) {
		next = append(next, s+1)
	}
	if s+2 < len(l.states) && l.states[s] != blank && l.states[s] != l.states[s+2] {
		next = append(next, s+2)
	}
	return next
}

// Of the drawing.
const (
	column, row = 80.0, 52.0  // from one state to the next
	left, top   = 120.0, 40.0 // the first state
	radius      = 13.0
)

// transitions are named by how many states they advance.
var transitions = []struct{ name, color string }{
	{"stay in the state", "#555"}, {"to the next state", "#1f77b4"}, {"over a blank", "#d9480f"},
}

// drawTrellis draws the trellis of a target, states that are on no whole path faint.
func drawTrellis(target string, frames int) []byte {
	l := newTrellis(target, frames)
	width := left + column*float64(frames-1) + 50
	bottom := top + row*float64(len(l.states)-1)
	height := bottom + 90

	var out bytes.Buffer
	d := svg.New(&out)
	d.Start(width, height, fmt.Sprintf(`viewBox="0 0 %g %g"`, width, height),
		`font-family="Helvetica,Arial,sans-serif"`, `font-size="15"`)
	d.Title(fmt.Sprintf("CTC's trellis of %q in %d frames", target, frames))
	d.Def()
	for i, t := range transitions {
		d.Marker(fmt.Sprintf("head%d", i), 7, 3.5, 8, 8, `orient="auto"`, `markerUnits="userSpaceOnUse"`)
		d.Polygon([]float64{0, 7, 0}, []float64{0, 3.5, 7}, fmt.Sprintf(`fill="%s"`, t.color))
		d.MarkerEnd()
	}
	d.DefEnd()
	d.Rect(0, 0, width, height, `fill="white"`)

	arrow := func(x1, y1, x2, y2 float64, advance int, style ...string) {
		style = append(style, fmt.Sprintf(`stroke="%s" marker-end="url(#head%d)"`, transitions[advance].color, advance))
		d.Line(x1, y1, x2, y2, style...)
	}
	opacity := func(live bool) string {
		if live {
			return `opacity="1"`
		}
		return `opacity="0.15"`
	}
	x := func(frame int) float64 { return left + column*float64(frame) }
	y := func(state int) float64 { return top + row*float64(state) }

	for t := range frames - 1 {
		for s := range l.states {
			for _, next := range l.next(s) {
				dx, dy := column, y(next)-y(s)
				start, end := radius/math.Hypot(dx, dy), 1-(radius+2)/math.Hypot(dx, dy)
				arrow(x(t)+dx*start, y(s)+dy*start, x(t)+dx*end, y(s)+dy*end, next-s,
					`stroke-width="1.5"`, opacity(l.live[t][s] && l.live[t+1][next]))
			}
		}
	}
	for s, symbol := range l.states {
		name, fill := string(symbol), `fill="#222"`
		if symbol == blank {
			name, fill = "blank", `fill="white"`
		}
		d.Text(left-35, y(s)+5, name, `text-anchor="end"`)
		for t := range frames {
			d.Circle(x(t), y(s), radius, fill, `stroke="#222"`, `stroke-width="1.5"`, opacity(l.live[t][s]))
		}
	}
	for t := range frames {
		d.Text(x(t), bottom+38, fmt.Sprint(t+1), `text-anchor="middle"`)
	}
	d.Text(left-35, bottom+38, "frame", `text-anchor="end"`)
	for i, t := range transitions {
		at := left - radius + 180*float64(i)
		arrow(at, bottom+68, at+34, bottom+68, i, `stroke-width="1.5"`)
		d.Text(at+42, bottom+73, t.name)
	}
	d.End()
	return out.Bytes()
}
