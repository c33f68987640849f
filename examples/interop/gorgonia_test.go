package interop_test

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/gotrellis/trellis"
)

// A dense tensor of Gorgonia is a Tensor with the same Data and Shape. One that is transposed or
// sliced is not: tensor.Materialize makes it dense.
func Example_gorgonia() {
	frames := tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float32{5, 0, 0, 6, 1, 1})) // (C,T)
	view, err := frames.SafeT()
	if err != nil {
		panic(err)
	}
	logits := tensor.Materialize(view).(*tensor.Dense) // (T,C)
	grad := tensor.New(tensor.WithShape(logits.Shape()...), tensor.Of(tensor.Float32))
	x := trellis.Tensor[float32]{Data: logits.Data().([]float32), Shape: logits.Shape()}
	loss, err := trellis.CTCLoss[float32]{Scores: trellis.Logits, Reduction: trellis.Sum}.Grad(grad.Data().([]float32), x, []int{1}, nil, nil)
	fmt.Printf("%.4f %v\n%.3f\n", loss, err, grad)
	// Output:
	// 0.0272 <nil>
	// ⎡-0.018  -0.000   0.018⎤
	// ⎣ 0.002  -0.009   0.007⎦
}
