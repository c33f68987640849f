package command

import (
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"sync"
)

// jsonReport is what a command prints with -json: an object, of which it writes the names and values.
type jsonReport interface{ writeJSON(w *jsonWriter) }

// printJSON prints a report, in one line.
func printJSON(out io.Writer, r jsonReport) error {
	w := takeJSONWriter()
	defer jsonWriters.Put(w)
	w.begin('{')
	r.writeJSON(w)
	w.end("}\n")
	_, err := out.Write(w.text)
	return err
}

// jsonWriter writes the same as package json, without reflection: of a list of short files that would take
// longer than the work on them.
type jsonWriter struct{ text []byte }

var jsonWriters = sync.Pool{New: func() any { return new(jsonWriter) }}

// takeJSONWriter returns a writer of jsonWriters, to which who has copied the text gives it back.
func takeJSONWriter() *jsonWriter {
	w := jsonWriters.Get().(*jsonWriter)
	w.text = w.text[:0]
	return w
}

// next separates what comes from what was before.
func (w *jsonWriter) next() {
	if n := len(w.text); n > 0 && w.text[n-1] != '{' && w.text[n-1] != '[' && w.text[n-1] != ':' {
		w.text = append(w.text, ',')
	}
}

// begin begins an object or an array.
func (w *jsonWriter) begin(bracket byte) {
	w.next()
	w.text = append(w.text, bracket)
}

// end ends it.
func (w *jsonWriter) end(bracket string) { w.text = append(w.text, bracket...) }

// name begins a member of an object; the value is to follow. The name needs no escapes.
func (w *jsonWriter) name(name string) *jsonWriter {
	w.next()
	w.text = append(append(append(w.text, '"'), name...), `":`...)
	return w
}

func (w *jsonWriter) int(v int) {
	w.next()
	w.text = strconv.AppendInt(w.text, int64(v), 10)
}

func (w *jsonWriter) ints(values []int) {
	w.begin('[')
	for _, v := range values {
		w.int(v)
	}
	w.end("]")
}

func (w *jsonWriter) float(v float64) {
	if v != 0 && !(math.Abs(v) >= 1e-6 && math.Abs(v) < 1e21) {
		w.any(v) // with an exponent
		return
	}
	w.next()
	w.text = strconv.AppendFloat(w.text, v, 'f', -1, 64)
}

func (w *jsonWriter) number(n number) {
	w.next()
	w.text = n.appendJSON(w.text)
}

func (w *jsonWriter) numbers(values []number) {
	w.begin('[')
	for _, n := range values {
		w.number(n)
	}
	w.end("]")
}

func (w *jsonWriter) string(s string) {
	if slices.ContainsFunc([]byte(s), needsEscape) {
		w.any(s)
		return
	}
	w.next()
	w.text = append(append(append(w.text, '"'), s...), '"')
}

// needsEscape reports whether package json may write a byte of a string as something else.
func needsEscape(b byte) bool {
	return b < ' ' || b > '~' || b == '"' || b == '\\' || b == '<' || b == '>' || b == '&'
}

// any writes what package json can write.
func (w *jsonWriter) any(v any) {
	w.next()
	w.text = append(w.text, marshal(v)...)
}

// marshal returns JSON of what can be written as such.
func marshal(value any) []byte {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return b
}
