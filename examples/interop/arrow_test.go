package interop_test

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/gotrellis/trellis"
)

// ints returns labels as trellis takes them.
func ints(values []int32) []int {
	labels := make([]int, len(values))
	for i, v := range values {
		labels[i] = int(v)
	}
	return labels
}

// A float32 array is used where it lies; its labels, which are int32, are copied. Arrow's nulls have
// no meaning here: an array with some is to be filled first.
func Example_arrow() {
	scores, labels := array.NewFloat32Builder(memory.DefaultAllocator), array.NewInt32Builder(memory.DefaultAllocator)
	scores.AppendValues([]float32{1.2, -0.8, -0.5, 0.9, -1.2, 1.1}, nil)
	labels.AppendValues([]int32{0, 1}, nil)
	x, targets := scores.NewFloat32Array(), labels.NewInt32Array()
	defer x.Release()
	defer targets.Release()

	logits := trellis.Tensor[float32]{Data: x.Float32Values(), Shape: []int{2, 3}}
	losses := make([]float32, targets.Len())
	err := trellis.CrossEntropyLoss[float32]{}.Losses(losses, logits, ints(targets.Int32Values()))
	fmt.Printf("%.4f %v\n", losses, err)
	// Output: [0.2761 2.9518] <nil>
}

// float16 becomes float32, in which every one of its numbers is exact.
func Example_float16() {
	scores := array.NewFloat16Builder(memory.DefaultAllocator)
	for _, v := range []float32{5, 0, 1, 0, 6, 1} {
		scores.Append(float16.New(v))
	}
	x := scores.NewFloat16Array()
	defer x.Release()

	logits := trellis.Tensor[float32]{Data: make([]float32, x.Len()), Shape: []int{2, 3}}
	for i, v := range x.Values() {
		logits.Data[i] = v.Float32()
	}
	loss, err := trellis.CTCLoss[float32]{Scores: trellis.Logits}.Loss(logits, []int{1}, nil, nil)
	fmt.Printf("%.4f %v\n", loss, err)
	// Output: 0.0272 <nil>
}

// bfloat16 is the upper half of a float32: here as a file of it may have it, two bytes a number.
func Example_bfloat16() {
	file := []byte{0xa0, 0x40, 0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x40, 0x80, 0x3f} // 5 0 1 0 6 1

	logits := trellis.Tensor[float32]{Data: make([]float32, len(file)/2), Shape: []int{2, 3}}
	for i := range logits.Data {
		logits.Data[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(file[2*i:])) << 16)
	}
	loss, err := trellis.CTCLoss[float32]{Scores: trellis.Logits}.Loss(logits, []int{1}, nil, nil)
	fmt.Printf("%.4f %v\n", loss, err)
	// Output: 0.0272 <nil>
}
