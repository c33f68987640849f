package command

import (
	"errors"
	"fmt"
	"math"

	"github.com/gotrellis/trellis"
)

// kinds are what scores can be, for people.
var kinds = map[trellis.Scores]string{
	trellis.LogProbabilities: "log-probabilities",
	trellis.Logits:           "raw scores",
	trellis.Probabilities:    "probabilities",
}

// inspector looks at rows of scores, a frame or an item each, for what is likely a mistake: rows
// that are not what they are said to be, and NaN.
type inspector struct {
	name   string         // of the file
	scores trellis.Scores // what the rows are said to be
	unit   string         // what a row is
	advice map[guess]string

	rows        int                            // seen that are numbers
	unlike      int                            // of them are not what they are said to be
	firstUnlike string                         // where, and what they add up to
	like        [trellis.Probabilities + 1]int // rows of each kind
	columns     int                            // sequences whose columns, not rows, are what they are said to be
	sequences   int
	bad         int // rows with NaN or +Inf
	firstBad    string
}

// guess is what scores are said to be, and what they seem to be.
type guess struct{ said, seem trellis.Scores }

var sequenceAdvice = map[guess]string{
	{trellis.LogProbabilities, trellis.Logits}:        "say -logits",
	{trellis.LogProbabilities, trellis.Probabilities}: "say -scores probs",
	{trellis.Probabilities, trellis.Logits}:           "say -logits",
	{trellis.Probabilities, trellis.LogProbabilities}: "say -scores log_probs",
	{trellis.Logits, trellis.Probabilities}:           "say -scores probs",
}

var nllAdvice = map[guess]string{
	{trellis.LogProbabilities, trellis.Logits}:        "trellis ce takes them",
	{trellis.LogProbabilities, trellis.Probabilities}: "take their logarithms",
}

var ceAdvice = map[guess]string{
	{trellis.Logits, trellis.Probabilities}: "take their logarithms, for trellis nll",
}

// tolerance is how far from 1 probabilities may add up to: half precision takes up to a half of it.
const tolerance = 0.01

// seems returns what a row, which is said to be of some kind, may be, and its sum. Any row may be
// logits; if it is said to be, log-probabilities are no mistake.
func seems[F trellis.Float](row []F, said trellis.Scores) (kind trellis.Scores, sum float64) {
	negative, large := false, false
	for _, v := range row {
		negative = negative || v < 0
		large = large || v > tolerance
		sum += float64(v)
	}
	if !negative && isNearOne(sum) {
		return trellis.Probabilities, sum
	}
	if said != trellis.Logits && !large && isNearOne(math.Exp(float64(trellis.LogSumExp(row)))) {
		return trellis.LogProbabilities, sum
	}
	return trellis.Logits, sum
}

func isNearOne(sum float64) bool { return math.Abs(sum-1) <= tolerance }

// look looks at a row; where says which one it is.
func look[F trellis.Float](in *inspector, row []F, where func() string) {
	kind, sum := seems(row, in.scores)
	if !(sum <= math.MaxFloat64) {
		// The sum may only be too large.
		for c, v := range row {
			if v != v || math.IsInf(float64(v), 1) {
				if in.bad++; in.bad == 1 {
					in.firstBad = fmt.Sprintf("%s, class %d is %v", where(), c, float64(v))
				}
				return
			}
		}
	}
	in.rows++
	in.like[kind]++
	if in.scores == trellis.Logits || kind == in.scores {
		return
	}
	if in.unlike++; in.unlike == 1 {
		if in.scores == trellis.LogProbabilities {
			sum = math.Exp(float64(trellis.LogSumExp(row)))
		}
		in.firstUnlike = fmt.Sprintf("%s: %.4g", where(), sum)
	}
}

// lookAcross looks at the columns of a sequence, each a class over all frames, if no frame so far
// is what it is said to be.
func lookAcross[F trellis.Float](in *inspector, frames int, frame func(t int) []F) {
	in.sequences++
	if in.unlike == 0 || in.unlike < in.rows || frames < 2 {
		return
	}
	column := make([]F, frames)
	for c := range frame(0) {
		for t := range column {
			column[t] = frame(t)[c]
		}
		if kind, _ := seems(column, in.scores); kind != in.scores {
			return
		}
	}
	in.columns++
}

// findings says what is likely a mistake.
func (in *inspector) findings() []string {
	var found []string
	say := func(format string, args ...any) {
		found = append(found, in.name+": "+fmt.Sprintf(format, args...))
	}
	if in.bad > 0 {
		more := ""
		if in.bad > 1 {
			more = fmt.Sprintf(", and so are some in %d more %ss", in.bad-1, in.unit)
		}
		say("%s%s", in.firstBad, more)
	}
	for _, kind := range []trellis.Scores{trellis.Probabilities, trellis.LogProbabilities} {
		advice := in.advice[guess{in.scores, kind}]
		if advice != "" && in.rows > 0 && in.like[kind] == in.rows {
			say("these seem to be %s, not %s: %s", kinds[kind], kinds[in.scores], advice)
			return found
		}
	}
	switch {
	case in.unlike == 0:
	case in.columns > 0 && in.columns == in.sequences:
		say("it seems to be transposed: the columns are %s, not the rows", kinds[in.scores])
	default:
		say("the probabilities of %d of %d %ss do not add up to 1 (%s); if these are %s, %s",
			in.unlike, in.rows, in.unit, in.firstUnlike, kinds[trellis.Logits], in.advice[guess{in.scores, trellis.Logits}])
	}
	return found
}

// err returns what was found as an error.
func (in *inspector) err() error {
	for _, finding := range in.findings() {
		return errors.New(finding)
	}
	return nil
}

// warn says what was found.
func (in *inspector) warn(t *tool) {
	t.warnings = append(t.warnings, in.findings()...)
}
