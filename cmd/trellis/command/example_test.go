package command

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExamples(t *testing.T) {
	r := run()
	require.Equal(t, exitOK, r.code, r.stderr)
	line := regexp.MustCompile(`^  (\S+Loss .*[^ ]) +(float32|float64) +(\d+\.\d{12}) +(\d+\.\d{12}) +(\S+e\S+) +(\S+e\S+)$`)
	var got []string
	for l := range strings.Lines(r.stdout) {
		if m := line.FindStringSubmatch(strings.TrimRight(l, "\n")); m != nil {
			got = append(got, fmt.Sprintf("%s, %s: %s", m[1], m[2], m[4]))
		}
	}
	assert.Equal(t, []string{
		"NLLLoss N=3 C=5, float32: 2.312191269903",
		"NLLLoss N=3 C=5, float64: 2.312191269903",
		"NLLLoss images N=5 C=4 8x8, float32: 1.822859668438",
		"NLLLoss images N=5 C=4 8x8, float64: 1.822859668438",
		"CTCLoss padded T=50 N=16 C=20, float32: 5.898350891769",
		"CTCLoss padded T=50 N=16 C=20, float64: 5.898350891769",
		"CTCLoss concatenated T=50 N=16 C=20, float32: 10.532170385606",
		"CTCLoss concatenated T=50 N=16 C=20, float64: 10.532170385606",
		"CTCLoss unbatched T=50 C=20, float32: 4.287585954718",
		"CTCLoss unbatched T=50 C=20, float64: 4.287585954718",
	}, got)
	assert.Contains(t, r.stdout, "All are within what is promised")
}

func TestReferencesCoverTheGradient(t *testing.T) {
	var references map[string]reference
	require.NoError(t, json.Unmarshal(exampleJSON, &references))
	require.Len(t, references, len(examples))
	for _, e := range examples {
		_, grad, err := e.in64()
		require.NoError(t, err)
		want := references[e.key]
		assert.Len(t, want.Grad, (len(grad)+want.Step-1)/want.Step, e.title)
	}
}

func TestResultsThatAreTooFarAway(t *testing.T) {
	want := reference{Loss: 2, Norm: 5, Step: 2, Grad: []float64{3}}
	for name, c := range map[string]struct {
		loss float64
		grad []float64
		ok   bool
	}{
		"exact":               {2, []float64{3, 4}, true},
		"within":              {2 + 1e-11, []float64{3 + 5e-12, 4}, true},
		"loss":                {2 + 1e-9, []float64{3, 4}, false},
		"gradient":            {2, []float64{3 + 1e-10, 4}, false},
		"gradient left out":   {2, []float64{3, 4 + 1e-9}, false},
		"NaN loss":            {math.NaN(), []float64{3, 4}, false},
		"NaN gradient":        {2, []float64{math.NaN(), 4}, false},
		"NaN gradient unseen": {2, []float64{3, math.NaN()}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compareExample("title", c.loss, c.grad, want)
			if c.ok {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, "title, float64: loss off by")
			}
		})
	}
}
