package tokens

import "fmt"

// UnknownError is the error of Encode for a character that no token has.
type UnknownError struct {
	Rune  rune // U+FFFD for bytes that are no UTF-8
	Index int  // where it is: how many characters of the text, after Normalize, come before it
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("tokens: character %d: no token for %q", e.Index, e.Rune)
}

// LabelError is the error of Decode and Words for a label that is no class.
type LabelError struct {
	Index   int // labels[Index] is it
	Label   int
	Classes int // there are
}

func (e *LabelError) Error() string {
	return fmt.Sprintf("tokens: labels[%d] = %d: outside [0,%d)", e.Index, e.Label, e.Classes)
}

// FormatError is the error of New, Parse and ReadFile for tokens that cannot be a vocabulary.
type FormatError struct {
	Line   int // counted from 1
	Reason string
}

func (e *FormatError) Error() string { return fmt.Sprintf("tokens: line %d: %s", e.Line, e.Reason) }
