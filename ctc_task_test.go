package trellis_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gotrellis/trellis"
)

// Without targetLengths all targets are as long as their rows. Where that is so all methods
// give the bits that they give with lengths.
func TestTargetLengthsMayBeNil(t *testing.T) {
	t.Run("float32", testTargetLengthsMayBeNil[float32])
	t.Run("float64", testTargetLengthsMayBeNil[float64])
}

func testTargetLengthsMayBeNil[F trellis.Float](t *testing.T) {
	for _, c := range []struct {
		name       string
		shape      []int
		batchFirst bool
		targets    []int
		inputs     []int
		lengths    []int
	}{
		{"one sequence", []int{7, 5}, false, []int{1, 2, 2}, nil, []int{3}},
		{"one sequence, empty target", []int{7, 5}, false, nil, nil, []int{0}},
		{"a batch of one", []int{7, 1, 5}, false, []int{4, 3, 1, 1}, []int{6}, []int{4}},
		{"(T,N,C)", []int{7, 3, 5}, false, []int{1, 2, 3, 4, 4, 4}, []int{7, 2, 5}, []int{2, 2, 2}},
		{"(N,T,C)", []int{3, 7, 5}, true, []int{1, 2, 3, 4, 4, 4}, []int{7, 2, 5}, []int{2, 2, 2}},
		{"empty targets", []int{3, 7, 5}, true, []int{}, nil, []int{0, 0, 0}},
		{"an empty batch", []int{7, 0, 5}, false, nil, nil, []int{}},
	} {
		x := trellis.Tensor[F]{Shape: c.shape}
		samples, size := len(c.lengths), 1
		for _, d := range c.shape {
			size *= d
		}
		for i := range size {
			x.Data = append(x.Data, F(2*math.Sin(float64(i))))
		}
		for _, l := range []trellis.CTCLoss[F]{{BatchFirst: c.batchFirst}, {BatchFirst: c.batchFirst, Scores: trellis.Logits, Reduction: trellis.Sum}} {
			results := func(lengths []int) (all []F) {
				loss, err := l.Loss(x, c.targets, c.inputs, lengths)
				require.NoError(t, err, c.name)
				all = append(all, loss)
				dst, grad, upstream := make([]F, samples), make([]F, size), make([]F, samples)
				require.NoError(t, l.Losses(dst, x, c.targets, c.inputs, lengths), c.name)
				all = append(all, dst...)
				loss, err = l.Grad(grad, x, c.targets, c.inputs, lengths)
				require.NoError(t, err, c.name)
				all = append(append(all, loss), grad...)
				for i := range upstream {
					upstream[i] = F(i) - 0.5
				}
				require.NoError(t, l.VJP(grad, upstream, x, c.targets, c.inputs, lengths), c.name)
				return append(all, grad...)
			}
			want, got := results(c.lengths), results(nil)
			require.Len(t, got, len(want))
			for i := range want {
				same := want[i] == got[i] || want[i] != want[i] && got[i] != got[i] // the mean of an empty batch is NaN
				require.True(t, same, "%s: %d: %v, want %v", c.name, i, got[i], want[i])
			}
		}
	}
}

// A shape that was read as another one than it was meant to be is named with its axes.
func TestErrorsOfShapesNameAxes(t *testing.T) {
	for _, c := range []struct {
		shape                    []int
		batchFirst               bool
		targets, inputs, lengths []int
		want                     string
	}{
		{ // (N,T,C) without BatchFirst
			[]int{3, 7, 5}, false, []int{1, 2, 3}, []int{7, 7, 7}, []int{1, 1, 1},
			"len(inputLengths) = 3: want 7, one for each sequence: x.Shape [3 7 5] is (T,N,C); with BatchFirst it would be (N,T,C)",
		},
		{
			[]int{3, 7, 5}, false, []int{1, 2, 3}, nil, []int{1, 1, 1},
			"len(targetLengths) = 3: want 7, one for each sequence: x.Shape [3 7 5] is (T,N,C); with BatchFirst it would be (N,T,C)",
		},
		{
			[]int{3, 7, 5}, false, []int{1, 2, 3}, nil, nil,
			"len(targets) = 3: without targetLengths, want rows of one length for 7 sequences: x.Shape [3 7 5] is (T,N,C); with BatchFirst it would be (N,T,C)",
		},
		{ // axes that cannot be told apart by the number of lengths
			[]int{3, 3, 5}, false, []int{1, 2, 3}, []int{3, 4, 3}, []int{1, 1, 1},
			"inputLengths[1] = 4: outside [0,3]: x.Shape [3 3 5] is (T,N,C); with BatchFirst it would be (N,T,C)",
		},
		{ // (T,N,C) with BatchFirst
			[]int{7, 3, 5}, true, []int{1, 2, 3}, []int{7, 7, 7}, []int{1, 1, 1},
			"len(inputLengths) = 3: want 7, one for each sequence: x.Shape [7 3 5] is (N,T,C), as BatchFirst is set; without it, (T,N,C)",
		},
		{ // a batch that lost its axis
			[]int{21, 5}, false, []int{1, 2, 3}, nil, []int{1, 1, 1},
			"len(targetLengths) = 3: want 1, one for each sequence: x.Shape [21 5] is one sequence, (T,C)",
		},
	} {
		x := tensorOf(c.shape...)
		l := trellis.CTCLoss[float32]{BatchFirst: c.batchFirst}
		_, err := l.Loss(x, c.targets, c.inputs, c.lengths)
		assert.EqualError(t, err, "trellis: CTCLoss.Loss: "+c.want)
	}
}

// Padding that was taken for labels, as there were no targetLengths, is told from a mere
// mistake.
func TestErrorOfPaddingNamesTargetLengths(t *testing.T) {
	x := trellis.Tensor[float64]{Shape: []int{7, 2, 5}, Data: make([]float64, 70)}
	for padding, want := range map[int]string{
		0:  "trellis: CTCLoss.Loss: targets[1,1] = 0: label is the blank; padded targets need targetLengths",
		-1: "trellis: CTCLoss.Loss: targets[1,1] = -1: label outside [0,5); padded targets need targetLengths",
	} {
		targets := []int{1, 2, 3, padding}
		_, err := trellis.CTCLoss[float64]{}.Loss(x, targets, nil, nil)
		assert.EqualError(t, err, want)
		_, err = trellis.CTCLoss[float64]{}.Loss(x, targets, nil, []int{2, 1})
		assert.NoError(t, err)
	}
}
