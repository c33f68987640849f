package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
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
` + tokensUsage + `Of several tokens that fit, the longest is taken.
`

const tokensUsage = `A tokens file has a token on each line, the first of which is class 0, or "token
class" lines, or is a vocab.json. <blank>, <blk>, <pad> or [PAD] is the blank; a
space of a text is the token " ", else <space>, else |, else ▁; tokens that begin
with ▁ begin words; an empty line is a class that texts cannot have. Sequences,
positions and characters are counted from 0, lines of files from 1.
`

// emissionOptions are the arguments that say what a file of emissions is.
type emissionOptions struct {
	tokens, letters string
	vocabulary      *tokens.Vocabulary // the tokens, once they have been read
	source          string             // and their file
	inputLengths    string
	blank           int
	scores          string
	logits          bool
	batchFirst      bool
}

// sequenceOptions are the arguments that say what a file of emissions and its targets are.
type sequenceOptions struct {
	emissionOptions
	targets, text string
	unknown       bool
	wildcard      string // only of align
	targetLengths string
	said          *said // of a file of a list, instead of targets and text
}

// scores are the values of -scores.
var scores = map[string]trellis.Scores{
	"log_probs": trellis.LogProbabilities,
	"logits":    trellis.Logits,
	"probs":     trellis.Probabilities,
}

// letterCases are the values of -case.
var letterCases = map[string]tokens.Case{"as_is": tokens.AsIs, "upper": tokens.Upper, "lower": tokens.Lower}

func (o *emissionOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&o.inputLengths, "input_lengths", "", "`LENGTHS` of the sequences in frames; unset: T")
	fs.IntVar(&o.blank, "blank", 0, "`class` of the blank; with tokens, that of <blank>")
	fs.StringVar(&o.scores, "scores", "log_probs", "the file has `SCORES`: log_probs, logits or probs")
	fs.BoolVar(&o.logits, "logits", false, "short for -scores logits")
	fs.BoolVar(&o.batchFirst, "batch_first", false, "the file is (N,T,C)")
}

// check reports options that contradict each other.
func (o *emissionOptions) check(base *options) error {
	switch {
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

func (o *sequenceOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&o.targets, "targets", "", "the labels of every sequence: `TARGETS`, see below")
	fs.StringVar(&o.text, "text", "", "`TEXT` of every sequence, instead of -targets")
	fs.StringVar(&o.tokens, "tokens", "", "`FILE` of the tokens that TEXT is made of")
	fs.StringVar(&o.letters, "case", "as_is", "take the letters of TEXT `as_is|upper|lower`")
	fs.BoolVar(&o.unknown, "unknown", false, "take <unk> for characters that no token has")
	fs.StringVar(&o.targetLengths, "target_lengths", "", "`LENGTHS` of the targets; unset: as TARGETS is divided")
	o.emissionOptions.register(fs)
}

// check reports options that contradict each other.
func (o *sequenceOptions) check(base *options) error {
	switch {
	case base.set("list"):
		// its columns say what was said
	case base.set("targets") == base.set("text"):
		return misuse("%s: want either -targets or -text", base.command)
	case base.set("text") && o.tokens == "":
		return misuse("%s: -text and -tokens go together", base.command)
	case (base.set("case") || base.set("unknown")) && !base.set("text"):
		return misuse("%s: -case and -unknown go with -text", base.command)
	}
	return o.emissionOptions.check(base)
}

// saidBy returns the columns of a list that say what was said: the first one that there is.
func (o *sequenceOptions) saidBy() []string {
	if o.tokens != "" {
		return []string{textColumn, targetsColumn}
	}
	return []string{targetsColumn}
}

// hasText reports whether a text says what was said.
func (o *sequenceOptions) hasText(base *options) bool {
	if o.said != nil {
		return o.said.isText
	}
	return base.set("text")
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
func (o *emissionOptions) layout(x *npy.Array) (*sequences, error) {
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
	s.sources = map[string]string{"targets": list.source, "Blank": "-blank", "Workers": "-workers", "AnyScore": "-any_score"}
	if s.targets, err = s.divide(&t.inputs, base, o, list); err != nil {
		return err
	}
	if err := s.readInputLengths(&t.inputs, base, o.inputLengths); err != nil {
		return err
	}
	// A state of the lattice is about as much work as two elements.
	labels := len(slices.Concat(s.targets...))
	s.cost = s.blocks*s.inner + 2*s.frames*labels/max(s.count, 1)
	return s.warnInfeasible(t, base, what)
}

// readInputLengths reads how many frames of each sequence count.
func (s *sequences) readInputLengths(in *inputs, base *options, value string) error {
	s.inputLengths = slices.Repeat([]int{s.frames}, s.count)
	if !base.set("input_lengths") {
		return nil
	}
	l, err := readLengths(in, "-input_lengths", value, s.rows)
	if err != nil {
		return err
	}
	s.inputLengths = l.flat()
	for n, frames := range s.inputLengths {
		if frames < 0 || frames > s.frames {
			return fmt.Errorf("%s: sequence %d: %d frames outside [0,%d]", l.source, n, frames, s.frames)
		}
	}
	return nil
}

// readTargets reads the labels, whichever way they are given, and settles which class is the
// blank.
func (s *sequences) readTargets(t *tool, base *options, o *sequenceOptions) (*list[int], error) {
	s.blank = o.blank
	if err := o.readVocabulary(&t.inputs, base); err != nil {
		return nil, err
	}
	if o.vocabulary != nil {
		if err := s.take(o.vocabulary, o.source); err != nil {
			return nil, err
		}
	}
	var text *lines
	var err error
	switch {
	case o.said != nil && o.said.isText:
		text = o.said.lines()
	case o.said != nil:
		return o.said.labels()
	case base.set("targets"):
		return readInts(&t.inputs, "-targets", o.targets)
	default:
		if text, err = t.readLines("-text", o.text, base.strict); err != nil {
			return nil, err
		}
	}
	l := &list[int]{source: text.source}
	for n, line := range text.lines {
		labels, err := s.vocabulary.Encode(line)
		var unknown *tokens.UnknownError
		if errors.As(err, &unknown) {
			return nil, fmt.Errorf("%s, character %d: no token of %s for %q%s",
				text.place(n), unknown.Index, o.tokens, unknown.Rune, s.adviceFor(unknown.Rune))
		}
		l.rows = append(l.rows, labels)
	}
	return l, nil
}

// lines are those of a text that an option gives, or of the file that it names.
type lines struct {
	source string // the option or the file
	unit   string // what a line is called there
	first  int    // its first number
	lines  []string
}

// place says where line n is.
func (l *lines) place(n int) string { return fmt.Sprintf("%s: %s %d", l.source, l.unit, n+l.first) }

// readLines reads a text, or the file that it names.
func (t *tool) readLines(option, text string, strict bool) (*lines, error) {
	l := &lines{source: option, unit: "sequence"}
	switch {
	case text == "":
		l.lines = []string{""} // one empty sequence
		return l, nil
	case t.isFile(text):
		var err error
		if text, l.source, err = t.readText(text); err != nil {
			return nil, err
		}
		l.unit, l.first = "line", 1
	case isLikeFile(text):
		if err := t.warn(strict, "%s %q: there is no such file; it is taken for the text itself", option, text); err != nil {
			return nil, err
		}
	}
	if t.seen != nil && l.source == option {
		io.WriteString(t.seen, text)
	}
	l.lines = textLines(text)
	return l, nil
}

// readVocabulary reads the tokens that targets are made of, if there are any and they have not been read.
func (o *sequenceOptions) readVocabulary(in *inputs, base *options) error {
	if o.tokens == "" || o.vocabulary != nil {
		return nil
	}
	if err := o.readTokens(in, base); err != nil {
		return err
	}
	o.vocabulary.MapUnknown, o.vocabulary.Wildcard = o.unknown, o.wildcard
	return nil
}

// readTokens reads the tokens of the classes, and settles which one is the blank.
func (o *emissionOptions) readTokens(in *inputs, base *options) error {
	text, source, err := in.readText(o.tokens)
	if err != nil {
		return err
	}
	v, err := tokens.Parse([]byte(text))
	var format *tokens.FormatError
	if errors.As(err, &format) {
		return fmt.Errorf("%s: line %d: %s", source, format.Line, format.Reason)
	}
	v.Normalize, v.Case = norm.NFC.String, letterCases[o.letters]
	switch {
	case v.Blank < 0:
		v.Blank = o.blank
	case base.set("blank") && v.Blank != o.blank:
		if !strings.Contains(strings.ToLower(v.Token(v.Blank)), "pad") {
			return fmt.Errorf("%s: %s is class %d, -blank says %d", source, v.Token(v.Blank), v.Blank, o.blank)
		}
		v.Blank = o.blank
	}
	o.vocabulary, o.source = v, source
	return nil
}

// take takes tokens for those of the classes.
func (s *sequences) take(v *tokens.Vocabulary, source string) error {
	if v.Len() != s.classes {
		hint := ""
		if slices.Contains(s.Shape[:len(s.Shape)-1], v.Len()) {
			hint = fmt.Sprintf("; is its shape %s transposed?", npy.Tuple(s.Shape))
		}
		return fmt.Errorf("%s: %d tokens, %s has %d classes%s", source, v.Len(), s.Name, s.classes, hint)
	}
	s.vocabulary, s.blank = v, v.Blank
	return nil
}

// adviceFor names an option with which there is a token for a character.
func (s *sequences) adviceFor(r rune) string {
	if advice := adviceOnCase(s.vocabulary, r); advice != "" {
		return advice
	}
	v := *s.vocabulary
	v.MapUnknown = true
	if _, err := v.Encode(string(r)); err == nil {
		return "; with -unknown it is <unk>"
	}
	return ""
}

// adviceOnCase names the case in which there is a token for a character.
func adviceOnCase(vocabulary *tokens.Vocabulary, r rune) string {
	for _, letters := range []string{"upper", "lower"} {
		v := *vocabulary
		if v.Case = letterCases[letters]; vocabulary.Case == tokens.AsIs {
			if _, err := v.Encode(string(r)); err == nil {
				return "; with -case " + letters + " there is one"
			}
		}
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
	var found []string
	for n, target := range s.targets {
		need, have := trellis.LeastFrames(target), s.inputLengths[n]
		if need <= have {
			continue
		}
		hint := ""
		if len(s.Shape) == 2 && need <= s.classes {
			hint = fmt.Sprintf("; is its shape %s transposed?", npy.Tuple(s.Shape))
		}
		found = append(found, fmt.Sprintf("sequence %d: its target needs %d frames, has %d: %s%s", n, need, have, what, hint))
	}
	return t.warnSome(base.strict, s.Name, "sequences", found)
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
