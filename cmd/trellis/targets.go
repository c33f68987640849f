package main

import (
	"fmt"

	"github.com/gotrellis/trellis/internal/npy"
)

// readTargets reads the labels of ctc, whichever way they are given, and
// settles which class is the blank.
func (o *ctcOptions) readTargets(x *npy.Array, classes int) (*list[int], int, error) {
	if !o.set("text") {
		l, err := readInts("-targets", o.targets)
		return l, o.blank, err
	}
	k, err := readTokens(o.tokens)
	if err != nil {
		return nil, 0, err
	}
	if err := k.checkCount(x, classes); err != nil {
		return nil, 0, err
	}
	blank, err := k.blank(o.blank, o.set("blank"))
	if err != nil {
		return nil, 0, err
	}
	l, err := k.encode(o.text, blank)
	return l, blank, err
}

// readLengths reads a length for each sequence.
func readLengths(option, value string, r rows) (*list[int], error) {
	l, err := readInts(option, value)
	if err != nil {
		return nil, err
	}
	if got := len(l.flat()); got != r.count {
		return nil, fmt.Errorf("%s: %d lengths, %s holds %d sequences", l.source, got, r.Name, r.count)
	}
	return l, nil
}

// divide makes one target for each sequence of the file. Without lengths every
// row of the list is one; with them the rows are cut to the lengths, or a single
// row is all targets one after the other.
func (o *ctcOptions) divide(l *list[int], r rows) ([][]int, error) {
	if !o.set("target_lengths") {
		if len(l.rows) != r.count {
			return nil, fmt.Errorf("%s: targets for %d sequences, %s holds %d", l.source, len(l.rows), r.Name, r.count)
		}
		return l.rows, nil
	}
	ends, err := readLengths("-target_lengths", o.targetLengths, r)
	if err != nil {
		return nil, err
	}
	lengths := ends.flat()
	total := len(l.flat())
	for n, length := range lengths {
		most := total
		if len(l.rows) == r.count {
			most = len(l.rows[n])
		}
		if length < 0 || length > most {
			return nil, fmt.Errorf("%s: sequence %d: length %d outside [0,%d]", ends.source, n, length, most)
		}
	}
	if len(l.rows) == r.count {
		return cutRows(l.rows, lengths), nil
	}
	return cutConcatenated(l, ends.source, lengths)
}

func cutRows(rows [][]int, lengths []int) [][]int {
	out := make([][]int, len(rows))
	for n, row := range rows {
		out[n] = row[:lengths[n]]
	}
	return out
}

func cutConcatenated(l *list[int], source string, lengths []int) ([][]int, error) {
	rest, total := l.flat(), 0
	for _, length := range lengths {
		total += length
	}
	if len(l.rows) != 1 || total != len(rest) {
		return nil, fmt.Errorf("%s: %d labels in %d rows, %s has %d lengths, in sum %d",
			l.source, len(rest), len(l.rows), source, len(lengths), total)
	}
	out := make([][]int, len(lengths))
	for n, length := range lengths {
		out[n], rest = rest[:length], rest[length:]
	}
	return out, nil
}
