package report

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"gonum.org/v1/plot/vg"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct{ heights, want []float64 }{
		{nil, nil},
		{[]float64{0, 20, 50}, []float64{0, 20, 50}},
		{[]float64{10, 10}, []float64{5, 15}},
		{[]float64{10, 12, 50, 51, 52}, []float64{6, 16, 41, 51, 61}},
		{[]float64{0, 9, 18}, []float64{-1, 9, 19}},
	} {
		assert.Equal(t, c.want, spread(c.heights, 10), c.heights)
	}
}

func TestLogTicks(t *testing.T) {
	for _, c := range []struct {
		least, most float64
		space       vg.Length
		want        []string
	}{
		{1, 1e6, 600, []string{"1", "10", "100", "1000", "10⁴", "10⁵", "10⁶"}},
		{1e-6, 1, 600, []string{"10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "0.01", "0.1", "1"}},
		{0.5, 60, 340, []string{"0.5", "1", "2", "5", "10", "20", "50"}},
		{11, 19, 340, []string{"15"}},
		{1, 1e8, 200, []string{"1", "100", "10⁴", "10⁶", "10⁸"}},
		{1e5, 1e6, 300, []string{"10⁵", "2·10⁵", "5·10⁵", "10⁶"}},
	} {
		var labels []string
		for _, tick := range logTicks(math.Log10(c.least), math.Log10(c.most), c.space) {
			labels = append(labels, tick.Label)
		}
		assert.Equal(t, c.want, labels, c)
	}
}

func TestDoublings(t *testing.T) {
	var labels []string
	for _, tick := range doublings(math.Log10(0.5), math.Log10(8), 0) {
		labels = append(labels, tick.Label)
	}
	assert.Equal(t, []string{"½", "1", "2", "4", "8"}, labels)
}

func TestNumbers(t *testing.T) {
	for want, x := range map[string]float64{"7": 7, "99999": 99999, "10⁵": 1e5, "6.7·10⁷": 1 << 26, "3·10⁵": 3.04e5, "10⁶": 999999} {
		assert.Equal(t, want, count(x))
	}
	assert.Equal(t, "1.0·10⁻¹²", scientific(1e-12))
}
