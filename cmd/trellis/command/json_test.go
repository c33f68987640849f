package command

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What jsonWriter writes is what package json does.
func TestJSONWriter(t *testing.T) {
	same := func(want any, write func(w *jsonWriter)) {
		t.Helper()
		var w jsonWriter
		write(&w)
		text, err := json.Marshal(want)
		require.NoError(t, err)
		assert.Equal(t, string(text), string(w.text))
	}
	texts := []string{"", "a", " ~", "ü", "語", "\xff", "a\u2028b", "tab\t", "\x7f"}
	for b := range 256 {
		texts = append(texts, "x"+string([]byte{byte(b)}))
	}
	same(texts, func(w *jsonWriter) {
		w.begin('[')
		for _, s := range texts {
			w.string(s)
		}
		w.end("]")
	})
	for _, v := range []float64{0, 1, -2.5, 0.02, 1e-6, 9.999999e-7, 1e-7, 1e20, 1e21, -1e300, 123456.789, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64} {
		same(v, func(w *jsonWriter) { w.float(v) })
	}
	type inner struct {
		Empty  []int    `json:"empty"`
		Ints   []int    `json:"ints"`
		Nested [][]bool `json:"nested"`
	}
	same([]inner{{[]int{}, []int{1, -2}, [][]bool{{}, {true, false}}}, {[]int{}, []int{3}, [][]bool{}}}, func(w *jsonWriter) {
		w.begin('[')
		w.begin('{')
		w.name("empty").ints(nil)
		w.name("ints").ints([]int{1, -2})
		w.name("nested").begin('[')
		w.begin('[')
		w.end("]")
		w.any([]bool{true, false})
		w.end("]}")
		w.begin('{')
		w.name("empty").ints(nil)
		w.name("ints").ints([]int{3})
		w.name("nested").begin('[')
		w.end("]}]")
	})
}
