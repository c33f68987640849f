package command

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/rivo/uniseg"
)

// number is a float that is written with the digits its width has.
type number struct {
	value float64
	bits  int
}

// numberOf widens a float; adding 0 turns −0 into 0.
func numberOf[F trellis.Float](v F) number {
	bits := 64
	if _, ok := any(v).(float32); ok {
		bits = 32
	}
	return number{float64(v) + 0, bits}
}

func numbersOf[F trellis.Float](values []F) []number {
	out := make([]number, len(values))
	for i, v := range values {
		out[i] = numberOf(v)
	}
	return out
}

// appendJSON writes the shortest number that reads back as the same float, and
// the strings "inf", "-inf" and "nan", for which JSON has no numbers.
func (n number) appendJSON(b []byte) []byte {
	switch {
	case math.IsNaN(n.value):
		return append(b, `"nan"`...)
	case math.IsInf(n.value, 1):
		return append(b, `"inf"`...)
	case math.IsInf(n.value, -1):
		return append(b, `"-inf"`...)
	}
	return strconv.AppendFloat(b, n.value, 'g', -1, n.bits)
}

// String writes 6 decimals, or an exponent where they would hide or pretend
// digits.
func (n number) String() string {
	size := math.Abs(n.value)
	switch {
	case math.IsNaN(n.value):
		return "nan"
	case math.IsInf(n.value, 0):
		return strings.ToLower(strings.TrimPrefix(fmt.Sprint(n.value), "+"))
	case size != 0 && (size < 1e-3 || size >= 1e7):
		return fmt.Sprintf("%.6e", n.value)
	}
	return fmt.Sprintf("%.6f", n.value)
}

// report is what a command prints.
type report struct {
	File          string // "" in a list's results, which begin with it
	Dtype         string
	Shape         []int
	Reduction     string
	Loss          *number // nil for "none"
	Losses        []number
	InputLengths  []int // nil: there are none
	TargetLengths []int
	Gradient      string // or ""

	kind    string // what the file holds, for people
	columns []string
	cells   func(row int) []any
	rows    int
}

func (r report) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(out, r)
	}
	fmt.Fprintf(out, "%s: %s %s, %s\n\n", r.File, r.Dtype, npy.Tuple(r.Shape), r.kind)
	lines := r.rows + 1
	if r.Loss != nil {
		lines++
	}
	if err := writeTable(out, 0, lines, r.line); err != nil {
		return err
	}
	return r.printGradient(out)
}

// writeJSON writes all but what is for people.
func (r report) writeJSON(w *jsonWriter) {
	if r.File != "" {
		w.name("file").string(r.File)
	}
	w.name("dtype").string(r.Dtype)
	w.name("shape").ints(r.Shape)
	w.name("reduction").string(r.Reduction)
	if r.Loss != nil {
		w.name("loss").number(*r.Loss)
	}
	w.name("losses").numbers(r.Losses)
	if len(r.InputLengths) > 0 {
		w.name("input_lengths").ints(r.InputLengths)
	}
	if len(r.TargetLengths) > 0 {
		w.name("target_lengths").ints(r.TargetLengths)
	}
	if r.Gradient != "" {
		w.name("grad").string(r.Gradient)
	}
}

// line returns the cells of a line of the table: the names of the columns, the
// rows, the reduced loss.
func (r report) line(n int) []string {
	line := make([]string, len(r.columns))
	switch {
	case n == 0:
		return r.columns
	case n > r.rows:
		line[len(line)-2], line[len(line)-1] = r.Reduction, r.Loss.String()
	default:
		for i, cell := range r.cells(n - 1) {
			line[i] = fmt.Sprint(cell)
		}
	}
	return line
}

func (r report) printGradient(out io.Writer) error {
	if r.Gradient == "" {
		return nil
	}
	of := r.Reduction
	if of == "none" {
		of = "sum"
	}
	_, err := fmt.Fprintf(out, "\ngradient of the %s: %s\n", of, r.Gradient)
	return err
}

// writeTable writes lines with the cells of the first columns, so many, aligned to the left and
// all others to the right. It asks for every line twice and keeps none, there may be millions.
func writeTable(out io.Writer, left, lines int, line func(n int) []string) error {
	var widths []int
	for n := range lines {
		for i, cell := range line(n) {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], uniseg.StringWidth(cell))
		}
	}
	for n := range lines {
		for i, cell := range line(n) {
			fill := strings.Repeat(" ", widths[i]-uniseg.StringWidth(cell))
			if i < left {
				cell += fill
			} else {
				cell = fill + cell
			}
			fmt.Fprint(out, "  ", cell)
		}
		if _, err := fmt.Fprintln(out); err != nil {
			return err
		}
	}
	return nil
}
