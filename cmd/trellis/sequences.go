package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/gotrellis/trellis/tokens"
	"golang.org/x/text/unicode/norm"
)

const sequencesUsage = `TARGETS and lengths are numbers ("1,2;3": a semicolon ends a sequence), a text
file (a line is a sequence), or a .npy file: (N,S), or 1-D for one sequence or,
with -target_lengths, all of them one after the other. TEXT is the text itself or
a text file; each line is a sequence. The name - is the standard input. Of several
arrays in a .npz file, x.npz:NAME is one.
A tokens file has a token on each line, the first of which is class 0, or "token
class" lines, or is a vocab.json. <blank>, <blk>, <pad> or [PAD] is the blank; a
space of TEXT is the token " ", else <space>, else |, else ▁; tokens that begin
with ▁ begin words; an empty line is a class that TEXT cannot have. Of several
tokens that fit, the longest is taken. Sequences, positions and characters are
counted from 0, lines of files from 1.
`

// sequenceOptions are the arguments that say what a file of emissions and its targets are.
type sequenceOptions struct {
	targets, text, tokens       string
	letters                     string
	unknown                     bool
	wildcard                    string // only of align
	inputLengths, targetLengths string
	blank                       int
	scores                      string
	logits                      bool
	batchFirst                  bool
}

// scores are the values of -scores.
var scores = map[string]trellis.Scores{
	"log_probs": trellis.LogProbabilities,
	"logits":    trellis.Logits,
	"probs":     trellis.Probabilities,
}

// letterCases are the values of -case.
var letterCases = map[string]tokens.Case{"as_is": tokens.AsIs, "upper": tokens.Upper, "lower": tokens.Lower}

func (o *sequenceOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&o.targets, "targets", "", "the labels of every sequence: `TARGETS`, see below")
	fs.StringVar(&o.text, "text", "", "`TEXT` of every sequence, instead of -targets")
	fs.StringVar(&o.tokens, "tokens", "", "`FILE` of the tokens that TEXT is made of")
	fs.StringVar(&o.letters, "case", "as_is", "take the letters of TEXT `as_is|upper|lower`")
	fs.BoolVar(&o.unknown, "unknown", false, "take <unk> for characters that no token has")
	fs.StringVar(&o.inputLengths, "input_lengths", "", "`LENGTHS` of the sequences in frames; unset: T")
	fs.StringVar(&o.targetLengths, "target_lengths", "", "`LENGTHS` of the targets; unset: as TARGETS is divided")
	fs.IntVar(&o.blank, "blank", 0, "`class` of the blank; with tokens, that of <blank>")
	fs.StringVar(&o.scores, "scores", "log_probs", "the file has `SCORES`: log_probs, logits or probs")
	fs.BoolVar(&o.logits, "logits", false, "short for -scores logits")
	fs.BoolVar(&o.batchFirst, "batch_first", false, "the file is (N,T,C)")
}

// check reports options that contradict each other.
func (o *sequenceOptions) check(base *options) error {
	switch {
	case base.set("targets") == base.set("text"):
		return misuse("%s: want either -targets or -text", base.command)
	case base.set("text") && o.tokens == "":
		return misuse("%s: -text and -tokens go together", base.command)
	case (base.set("case") || base.set("unknown")) && !base.set("text"):
		return misuse("%s: -case and -unknown go with -text", base.command)
	case o.logits && base.set("scores") && o.scores != "logits":
		return misuse("%s: -logits contradicts -scores %s", base.command, o.scores)
	case o.logits:
		o.scores = "logits"
	}
	if err := oneOf("case", o.letters, "as_is", "upper", "lower"); err != nil {
		return err
	}
	return oneOf("scores", o.scores, "log_probs", "logits", "probs")
}

// files are the arguments that may be names of files.
func (o *sequenceOptions) files(base *options) []string {
	return []string{base.file, o.targets, o.text, o.tokens, o.inputLengths, o.targetLengths}
}

// sequences are the emissions of a file, and what was said in each.
type sequences struct {
	rows
	frames, classes int
	batchFirst      bool
	scores          trellis.Scores
	blank           int
	vocabulary      *tokens.Vocabulary // or nil
	targets         [][]int
	inputLengths    []int
	sources         map[string]string // which file or option the library's arguments came from
	inspector       inspector
}

// layout takes the shape of the emissions apart.
func (o *sequenceOptions) layout(x *npy.Array) (*sequences, error) {
	s := &sequences{batchFirst: o.batchFirst, scores: scores[o.scores]}
	s.inspector = inspector{name: x.Name, scores: s.scores, unit: "frame", advice: sequenceAdvice}
	d := x.Shape
	switch {
	case len(d) == 2:
		s.rows, s.frames = rows{Array: x, blocks: 1, count: 1, inner: d[0] * d[1], losses: 1}, d[0]
	case len(d) == 3 && o.batchFirst:
		s.rows, s.frames = rows{Array: x, blocks: 1, count: d[0], inner: d[1] * d[2], losses: 1}, d[1]
	case len(d) == 3:
		s.rows, s.frames = rows{Array: x, blocks: d[0], count: d[1], inner: d[2], losses: 1}, d[0]
	default:
		return nil, fmt.Errorf("%s: shape %s: want (T,N,C), (T,C), or (N,T,C) with -batch_first", x.Name, npy.Tuple(d))
	}
	s.classes = d[len(d)-1]
	return s, nil
}

// read reads the targets and lengths. what says what becomes of a target that has too few frames.
func (s *sequences) read(t *tool, base *options, o *sequenceOptions, what string) error {
	list, err := s.readTargets(t, base, o)
	if err != nil {
		return err
	}
	s.sources = map[string]string{
		"targets": list.source, "Blank": "-blank", "Workers": "-workers", "AnyScore": "-any_score", "inputLengths": "-input_lengths",
	}
	if s.targets, err = s.divide(&t.inputs, base, o, list); err != nil {
		return err
	}
	s.inputLengths = slices.Repeat([]int{s.frames}, s.count)
	if base.set("input_lengths") {
		l, err := readLengths(&t.inputs, "-input_lengths", o.inputLengths, s.rows)
		if err != nil {
			return err
		}
		s.inputLengths, s.sources["inputLengths"] = l.flat(), l.source
	}
	for n, frames := range s.inputLengths {
		if frames < 0 || frames > s.frames {
			return fmt.Errorf("%s: sequence %d: %d frames outside [0,%d]", s.sources["inputLengths"], n, frames, s.frames)
		}
	}
	// A state of the lattice is about as much work as two elements.
	labels := len(slices.Concat(s.targets...))
	s.cost = s.blocks*s.inner + 2*s.frames*labels/max(s.count, 1)
	return s.warnInfeasible(t, base, what)
}

// readTargets reads the labels, whichever way they are given, and settles which class is the
// blank.
func (s *sequences) readTargets(t *tool, base *options, o *sequenceOptions) (*list[int], error) {
	s.blank = o.blank
	if o.tokens != "" {
		if err := s.readTokens(&t.inputs, base, o); err != nil {
			return nil, err
		}
	}
	if base.set("targets") {
		return readInts(&t.inputs, "-targets", o.targets)
	}
	l, text := &list[int]{source: "-text"}, o.text
	unit, first := "sequence", 0
	if isFile(o.text) {
		var err error
		if text, l.source, err = t.readText(o.text); err != nil {
			return nil, err
		}
		unit, first = "line", 1
	} else if isLikeFile(o.text) {
		if err := t.warn(base.strict, "-text %q: there is no such file; it is taken for the text itself", o.text); err != nil {
			return nil, err
		}
	}
	lines := textLines(text)
	if o.text == "" {
		lines = []string{""} // one empty target
	}
	for n, line := range lines {
		labels, err := s.vocabulary.Encode(line)
		var unknown *tokens.UnknownError
		if errors.As(err, &unknown) {
			return nil, fmt.Errorf("%s: %s %d, character %d: no token of %s for %q%s",
				l.source, unit, n+first, unknown.Index, o.tokens, unknown.Rune, s.adviceFor(unknown.Rune))
		}
		l.rows = append(l.rows, labels)
	}
	return l, nil
}

// readTokens reads the tokens of the classes.
func (s *sequences) readTokens(in *inputs, base *options, o *sequenceOptions) error {
	text, source, err := in.readText(o.tokens)
	if err != nil {
		return err
	}
	v, err := tokens.Parse([]byte(text))
	var format *tokens.FormatError
	if errors.As(err, &format) {
		return fmt.Errorf("%s: line %d: %s", source, format.Line, format.Reason)
	}
	v.Normalize, v.Case, v.MapUnknown, v.Wildcard = norm.NFC.String, letterCases[o.letters], o.unknown, o.wildcard
	if v.Len() != s.classes {
		hint := ""
		if slices.Contains(s.Shape[:len(s.Shape)-1], v.Len()) {
			hint = fmt.Sprintf("; is its shape %s transposed?", npy.Tuple(s.Shape))
		}
		return fmt.Errorf("%s: %d tokens, %s has %d classes%s", source, v.Len(), s.Name, s.classes, hint)
	}
	if v.Blank >= 0 && !base.set("blank") {
		s.blank = v.Blank
	} else if v.Blank >= 0 && v.Blank != o.blank && !strings.Contains(strings.ToLower(v.Token(v.Blank)), "pad") {
		return fmt.Errorf("%s: %s is class %d, -blank says %d", source, v.Token(v.Blank), v.Blank, o.blank)
	}
	v.Blank = s.blank
	s.vocabulary = v
	return nil
}

// adviceFor names an option with which there is a token for a character.
func (s *sequences) adviceFor(r rune) string {
	for _, letters := range []string{"upper", "lower"} {
		v := *s.vocabulary
		if v.Case = letterCases[letters]; s.vocabulary.Case == tokens.AsIs {
			if _, err := v.Encode(string(r)); err == nil {
				return "; with -case " + letters + " there is one"
			}
		}
	}
	v := *s.vocabulary
	v.MapUnknown = true
	if _, err := v.Encode(string(r)); err == nil {
		return "; with -unknown it is <unk>"
	}
	return ""
}

// readLengths reads a length for each sequence.
func readLengths(in *inputs, option, value string, r rows) (*list[int], error) {
	l, err := readInts(in, option, value)
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
func (s *sequences) divide(in *inputs, base *options, o *sequenceOptions, l *list[int]) ([][]int, error) {
	if !base.set("target_lengths") {
		if len(l.rows) != s.count {
			return nil, fmt.Errorf("%s: targets for %d sequences, %s holds %d%s", l.source, len(l.rows), s.Name, s.count, s.adviceOnCount(len(l.rows), base))
		}
		return l.rows, nil
	}
	ends, err := readLengths(in, "-target_lengths", o.targetLengths, s.rows)
	if err != nil {
		return nil, err
	}
	lengths := ends.flat()
	total := len(l.flat())
	for n, length := range lengths {
		most := total
		if len(l.rows) == s.count {
			most = len(l.rows[n])
		}
		if length < 0 || length > most {
			return nil, fmt.Errorf("%s: sequence %d: length %d outside [0,%d]", ends.source, n, length, most)
		}
	}
	if len(l.rows) == s.count {
		return cutRows(l.rows, lengths), nil
	}
	return cutConcatenated(l, ends.source, lengths)
}

// adviceOnCount says why there may be another number of sequences than of targets.
func (s *sequences) adviceOnCount(targets int, base *options) string {
	switch {
	case len(s.Shape) == 3 && s.batchFirst && s.Shape[1] == targets:
		return "; without -batch_first it is as many"
	case len(s.Shape) == 3 && !s.batchFirst && s.Shape[0] == targets:
		return "; with -batch_first it is as many"
	case base.set("text") && s.count == 1:
		return "; each line of TEXT is a sequence"
	}
	return ""
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

// explain says an error of the library about targets and options in the words of the command
// line.
func (s *sequences) explain(err error, base *options) error {
	advice := ""
	var a *trellis.ArgumentError
	if errors.As(err, &a) && a.Argument == "targets" && !base.set("target_lengths") && (a.Value == s.blank || a.Value == -1) {
		advice = "; if it pads the target, -target_lengths says where that ends"
	}
	explained := explain(err, s.sources, func(index []int) string {
		return fmt.Sprintf("sequence %d, position %d", index[0], index[1])
	})
	if advice != "" {
		return fmt.Errorf("%w%s", explained, advice)
	}
	return explained
}

// warnInfeasible names targets that need more frames than there are.
func (s *sequences) warnInfeasible(t *tool, base *options, what string) error {
	const most = 3 // that are named
	found := 0
	for n, target := range s.targets {
		need, have := trellis.LeastFrames(target), s.inputLengths[n]
		if need <= have {
			continue
		}
		if found++; found > most {
			continue
		}
		hint := ""
		if len(s.Shape) == 2 && need <= s.classes {
			hint = fmt.Sprintf("; is its shape %s transposed?", npy.Tuple(s.Shape))
		}
		if err := t.warn(base.strict, "%s: sequence %d: its target needs %d frames, has %d: %s%s", s.Name, n, need, have, what, hint); err != nil {
			return err
		}
	}
	if found > most {
		return t.warn(base.strict, "%s: so it is with %d more sequences", s.Name, found-most)
	}
	return nil
}

// tensorOf shapes n sequences.
func tensorOf[F trellis.Float](s *sequences, x []F, n int) trellis.Tensor[F] {
	if s.batchFirst {
		return trellis.Tensor[F]{Data: x, Shape: []int{n, s.frames, s.classes}}
	}
	return trellis.Tensor[F]{Data: x, Shape: []int{s.frames, n, s.classes}}
}

// frame returns a frame of sequence i of those in p.
func frame[F trellis.Float](s *sequences, p part[F], i, t int) []F {
	row := t*p.n + i
	if s.batchFirst {
		row = i*s.frames + t
	}
	return p.x[row*s.classes:][:s.classes]
}

// inspect looks at the frames of p that count for what is likely a mistake.
func inspect[F trellis.Float](s *sequences, p part[F], strict bool) error {
	for i := range p.n {
		n := p.first + i
		for t := range s.inputLengths[n] {
			look(&s.inspector, frame(s, p, i, t), func() string { return fmt.Sprintf("sequence %d, frame %d", n, t) })
		}
		lookAcross(&s.inspector, s.inputLengths[n], func(t int) []F { return frame(s, p, i, t) })
	}
	if strict {
		return s.inspector.err()
	}
	return nil
}

// kindOf says what the scores are, for people.
func (s *sequences) kindOf() string {
	return fmt.Sprintf("%s, blank %d", kinds[s.scores], s.blank)
}

func lengths(sequences [][]int) []int {
	out := make([]int, len(sequences))
	for n, s := range sequences {
		out[n] = len(s)
	}
	return out
}
