package command

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The columns of a list that are not just passed through.
const (
	emissionsColumn = "emissions"
	textColumn      = "text"
	targetsColumn   = "targets"
)

// reserved are the names in a line of results that a column cannot have.
var reserved = []string{
	"file", "key", "error", "warnings", // of all commands
	"dtype", "shape", "reduction", "loss", "losses", "input_lengths", "target_lengths", // ctc
	"sequences", "errors", // align and decode
}

// Columns are those of a list.
type Columns struct {
	names     []string
	json      []string // the names, with escapes
	emissions int
	said      int // the one of the text or the targets, or −1
	isText    bool
	setup     []byte // of the corpus, and the first line
}

// An Item is a line of a list: a file of emissions, and what was said in it.
type Item struct {
	// File is the name of the emissions as it stands in the list.
	File string
	// Err is what is wrong with the line. Then nothing needs to be read: it is the error of the result.
	Err error

	said   *said   // or nil
	others []field // the other columns
	key    [8]byte // of the line and of how it is worked on
}

// keyText returns the key as results have it.
func (i *Item) keyText() string { return hex.EncodeToString(i.key[:]) }

// field is a column of an item.
type field struct {
	name  string // with the escapes of JSON
	value string
}

// Columns reads the first line of a list, which names its columns. There are tabs between them.
// "emissions" is the file. "text" or "targets" is what was said in it: the text if there are tokens,
// else the labels, as in "3,39,28"; a semicolon ends a sequence. decode needs neither, and compares its
// texts with a column "text". All other columns are passed through to the results.
func (c *Corpus) Columns(header string) (*Columns, error) {
	header = withoutEnd(strings.TrimPrefix(header, "\ufeff"))
	columns := &Columns{names: strings.Split(header, "\t"), said: -1}
	columns.setup = fmt.Appendf(c.setup[:], "%s\n", header)
	if strings.HasPrefix(header, "\xff\xfe") || strings.HasPrefix(header, "\xfe\xff") {
		return nil, errors.New("the list is in UTF-16; save it in UTF-8")
	}
	columns.emissions = slices.Index(columns.names, emissionsColumn)
	if columns.emissions < 0 {
		return nil, fmt.Errorf("the first line, %.60q, names no column %q; it names the columns, with tabs between them, as in %q",
			header, emissionsColumn, "emissions\ttext")
	}
	for i, name := range columns.names {
		switch {
		case name == "":
			return nil, fmt.Errorf("column %d has no name", i+1)
		case slices.Contains(reserved, name):
			return nil, fmt.Errorf("column %d is called %q, as a part of the results is", i+1, name)
		case slices.Contains(columns.names[:i], name):
			return nil, fmt.Errorf("two columns are called %q", name)
		}
		quoted := marshal(name)
		columns.json = append(columns.json, string(quoted[1:len(quoted)-1]))
	}
	for _, name := range c.saidBy {
		if at := slices.Index(columns.names, name); at >= 0 {
			columns.said, columns.isText = at, name == textColumn
			return columns, nil
		}
	}
	if c.needsSaid {
		advice := ""
		if slices.Contains(columns.names, textColumn) {
			advice = "; for the text there, say -tokens"
		}
		return nil, fmt.Errorf("the first line names no column %q%s", c.saidBy[0], advice)
	}
	return columns, nil
}

// Item reads another line of a list. What is wrong with it is the error of its result.
func (c *Columns) Item(line string) *Item {
	line = withoutEnd(line)
	sum := sha256.Sum256(append(c.setup[:len(c.setup):len(c.setup)], line...))
	item := &Item{key: [8]byte(sum[:])}
	cells := strings.Split(line, "\t")
	if len(cells) != len(c.names) {
		item.Err = fmt.Errorf("the first line of the list names %d columns, this one has %d", len(c.names), len(cells))
	}
	for i, cell := range cells[:min(len(cells), len(c.names))] {
		switch i {
		case c.emissions:
			item.File = cell
		case c.said:
			item.said = &said{c.isText, cell}
		default:
			item.others = append(item.others, field{c.json[i], cell})
		}
	}
	if item.File == "" && item.Err == nil {
		item.Err = fmt.Errorf("no file in column %q", emissionsColumn)
	}
	return item
}

// withoutEnd cuts the end of a line off.
func withoutEnd(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}

// said is what a line of a list has for the sequences of its file: a text, or labels.
type said struct {
	isText bool
	value  string
}

// lines returns a text.
func (s *said) lines() *lines {
	return &lines{source: "column " + textColumn, unit: "sequence", lines: []string{s.value}}
}

// labels returns targets.
func (s *said) labels() (*list[int], error) {
	return parseInts("column "+targetsColumn, s.value)
}
