package interop_test

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"github.com/gotrellis/trellis"
)

// A matrix of gonum holds its rows one after the other, as a Tensor does.
func Example_gonum() {
	logits := mat.NewDense(2, 3, []float64{1.2, -0.8, -0.5, 0.9, -1.2, 1.1})
	grad := mat.NewDense(2, 3, nil)
	n, c := logits.Dims()
	x := trellis.Tensor[float64]{Data: logits.RawMatrix().Data, Shape: []int{n, c}}
	loss, err := trellis.CrossEntropyLoss[float64]{}.Grad(grad.RawMatrix().Data, x, []int{0, 1})
	fmt.Printf("%.4f %v\n%.4f\n", loss, err, mat.Formatted(grad))
	// Output:
	// 1.6140 <nil>
	// ⎡-0.1206   0.0513   0.0693⎤
	// ⎣ 0.2133  -0.4739   0.2606⎦
}

// A part of a matrix has a Stride that is larger than its row: DenseCopyOf makes it dense.
func Example_gonumSlice() {
	frames := mat.NewDense(3, 4, []float64{
		0, 1, 5, 1,
		0, 6, 1, 1,
		0, 1, 0, 5,
	})
	classes := mat.DenseCopyOf(frames.Slice(0, 3, 1, 4)) // without the first column
	t, c := classes.Dims()
	x := trellis.Tensor[float64]{Data: classes.RawMatrix().Data, Shape: []int{t, c}}
	loss, err := trellis.CTCLoss[float64]{Scores: trellis.Logits, Reduction: trellis.Sum}.Loss(x, []int{1, 2}, nil, nil)
	fmt.Printf("%.4f %v\n", loss, err)
	// Output: 0.0605 <nil>
}
