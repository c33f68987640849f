package command

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/gotrellis/trellis/internal/npy"
)

// list is numbers given inline, by a text file or by a .npy file.
type list[T npy.Element] struct {
	source string // the file, or the option
	rows   [][]T  // lines of text, or rows of an array
	shape  []int  // of an array, else nil
}

// flat returns all numbers.
func (l *list[T]) flat() []T {
	var all []T
	for _, row := range l.rows {
		all = append(all, row...)
	}
	return all
}

// The characters of numbers.
const (
	intDigits   = "0123456789+-"
	floatDigits = intDigits + ".eE"
)

// readInts reads the list that an option names.
func readInts(in *inputs, option, value string) (*list[int], error) {
	return readList(in, option, value, intDigits, strconv.Atoi)
}

// parseInts parses sequences of labels.
func parseInts(source, value string) (*list[int], error) {
	return parseLines(source, "sequence", strings.Split(value, ";"), 0, strconv.Atoi)
}

// readNumbers reads the list that an option names.
func readNumbers(in *inputs, option, value string) (*list[float64], error) {
	parse := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	return readList(in, option, value, floatDigits, parse)
}

// isInline reports whether a value is nothing but numbers and separators: the
// list itself, and not the name of a file.
func isInline(value, digits string) bool {
	return value != standardInput && strings.Trim(value, digits+",; ") == ""
}

// readList reads a list that is inline or in a file.
func readList[T npy.Element](in *inputs, option, value, digits string, parse func(string) (T, error)) (*list[T], error) {
	if isInline(value, digits) {
		return parseLines(option, "sequence", strings.Split(value, ";"), 0, parse)
	}
	if npy.IsArray(value) {
		return readArrayList[T](npy.Open(value))
	}
	file, err := in.open(value)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG) {
		return nil, fmt.Errorf("%s %.40q: neither numbers nor a file", option, value)
	} else if err != nil {
		return nil, err
	}
	defer file.Close()
	if start, _ := file.Peek(len(npy.Magic)); npy.IsMagic(start) {
		return readArrayList[T](npy.FromReader(file.name, file))
	}
	text, err := file.text()
	if err != nil {
		return nil, err
	}
	return parseLines(file.name, "line", textLines(text), 1, parse)
}

// textLines splits a text; a newline at its end begins no further line.
func textLines(text string) []string {
	text = strings.TrimPrefix(text, "\ufeff") // what some editors of Windows begin UTF-8 with
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// parseLines parses one row from each line. base is the number of the first.
func parseLines[T npy.Element](source, unit string, lines []string, base int, parse func(string) (T, error)) (*list[T], error) {
	l := &list[T]{source: source}
	for n, line := range lines {
		row := []T{}
		for _, field := range strings.FieldsFunc(line, isSeparator) {
			v, err := parse(field)
			if err != nil {
				return nil, fmt.Errorf("%s: %s %d: %.30q is not a number of the kind wanted", source, unit, n+base, field)
			}
			row = append(row, v)
		}
		l.rows = append(l.rows, row)
	}
	return l, nil
}

func isSeparator(r rune) bool { return strings.ContainsRune(", ;\t", r) }

// maxList is the most numbers of a list in a .npy file, which are held in memory.
const maxList = 1 << 28

// readArrayList takes the first axis of a matrix as rows, and any other array
// as a single row.
func readArrayList[T npy.Element](a *npy.Array, err error) (*list[T], error) {
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if a.Len() > maxList {
		return nil, fmt.Errorf("%s: shape %s: more than %d numbers", a.Name, npy.Tuple(a.Shape), maxList)
	}
	values, err := npy.ReadAll[T](a)
	if err != nil {
		return nil, err
	}
	l := &list[T]{source: a.Name, shape: a.Shape}
	if len(a.Shape) != 2 {
		l.rows = [][]T{values}
		return l, nil
	}
	for n := range a.Shape[0] {
		l.rows = append(l.rows, values[n*a.Shape[1]:][:a.Shape[1]])
	}
	return l, nil
}
