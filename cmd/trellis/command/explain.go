package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
)

// explain says an error of the library in the words of the command line.
// source names the file or option that each argument came from, index how an
// element of it is called there.
func explain(err error, source map[string]string, index func([]int) string) error {
	var a *trellis.ArgumentError
	if !errors.As(err, &a) || source[a.Argument] == "" {
		return err
	}
	// "label outside [0,28)" becomes "label 99 outside [0,28)".
	what := fmt.Sprintf("%v: %s", a.Value, a.Reason)
	for _, noun := range []string{"label", "class"} {
		if rest, ok := strings.CutPrefix(a.Reason, noun+" "); ok {
			what = fmt.Sprintf("%s %v %s", noun, a.Value, rest)
		}
	}
	where := source[a.Argument]
	switch {
	case a.Index != nil:
		return fmt.Errorf("%s: %s: %s", where, index(a.Index), what)
	case strings.HasPrefix(where, "-"):
		return misuse("%s: %s", where, what)
	}
	return fmt.Errorf("%s: %s", where, what)
}

// explainShape says an error of the library about the shape of the scores in the
// words of the command line.
func explainShape(err error, x *npy.Array) error {
	var a *trellis.ArgumentError
	if !errors.As(err, &a) || a.Argument != "x.Shape" {
		return err
	}
	return fmt.Errorf("%s: shape %s: %s", x.Name, npy.Tuple(x.Shape), a.Reason)
}
