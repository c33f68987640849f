package trellis_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/gotrellis/trellis"
)

// A network's scores of two pictures, for cat, dog and bird: it has the first right, and
// takes the second, a dog, for a bird or a cat.
func Example() {
	logits := trellis.Tensor[float32]{
		Data:  []float32{1.2, -0.8, -0.5, 0.9, -1.2, 1.1},
		Shape: []int{2, 3}, // N pictures, C classes
	}
	grad := make([]float32, len(logits.Data))
	loss, err := trellis.CrossEntropyLoss[float32]{}.Grad(grad, logits, []int{0, 1}) // a cat, a dog
	if err != nil {
		log.Fatal(err) // such as "trellis: CrossEntropyLoss.Grad: targets[1] = 3: class outside [0,3)"
	}
	fmt.Printf("mean loss %.4f nats, gradient %.4f\n", loss, grad)
	// Output: mean loss 1.6140 nats, gradient [-0.1206 0.0513 0.0693 0.2133 -0.4739 0.2606]
}

// What a recogniser makes of five frames: scores of the blank, a, c and t in each.
func Example_ctc() {
	x := trellis.Tensor[float32]{
		Data: []float32{
			1, 0, 5, 0, // c
			0, 6, 1, 0, // a
			2, 5, 0, 0, // still a
			6, 0, 0, 1, // nothing
			0, 1, 0, 5, // t
		},
		Shape: []int{5, 4}, // T frames, C classes
	}
	ctc := trellis.CTCLoss[float32]{Scores: trellis.Logits, Reduction: trellis.Sum} // class 0 is the blank
	act, _ := ctc.Loss(x, []int{1, 2, 3}, nil, nil)
	grad := make([]float32, len(x.Data))
	cat, err := ctc.Grad(grad, x, []int{2, 1, 3}, nil, nil) // the labels c, a, t
	if err != nil {
		log.Fatal(err) // such as "trellis: CTCLoss.Grad: targets[0,2] = 4: label outside [0,4)"
	}
	fmt.Printf("cat %.3f nats, act %.3f, gradient of the last frame %.3f\n", cat, act, grad[16:])
	// Output: cat 0.081 nats, act 8.489, gradient of the last frame [0.006 0.018 0.007 -0.031]
}

// When each of the labels was said.
func Example_alignment() {
	x := trellis.Tensor[float32]{Data: []float32{1, 0, 5, 0, 0, 6, 1, 0, 2, 5, 0, 0, 6, 0, 0, 1, 0, 1, 0, 5}, Shape: []int{5, 4}}
	spans := make([]trellis.Span, 3) // of c, a and t
	aligner := trellis.CTCAligner[float32]{Scores: trellis.Logits, Confidence: true}
	if err := aligner.Align(spans, nil, x, []int{2, 1, 3}, nil, nil); err != nil {
		log.Fatal(err)
	}
	for i, s := range spans {
		start, end := s.Seconds(20 * time.Millisecond) // that a frame takes
		fmt.Printf("%c: %.2f s to %.2f s, ln p %.3f, confidence %.3f\n", "cat"[i], start, end, s.Score, s.Confidence)
	}
	// Output:
	// c: 0.00 s to 0.02 s, ln p -0.031, confidence 1.000
	// a: 0.02 s to 0.06 s, ln p -0.036, confidence 0.972
	// t: 0.08 s to 0.10 s, ln p -0.031, confidence 1.000
}

func ExampleLogSumExp() {
	fmt.Printf("%.6f\n", trellis.LogSumExp([]float64{1000, 1000}))
	// Output: 1000.693147
}

func ExampleSoftmaxRows() {
	x := trellis.Tensor[float64]{Data: []float64{0, 0, 1, 3}, Shape: []int{2, 2}}
	trellis.SoftmaxRows(x.Data, x) // in place
	fmt.Printf("%.4f\n", x.Data)
	// Output: [0.5000 0.5000 0.1192 0.8808]
}

// Padding positions carry a target that is not a class.
func ExampleNLLLoss() {
	logProbs := trellis.Tensor[float64]{Data: []float64{-0.1, -2.4, -1.6, -0.3, -0.7, -0.7}, Shape: []int{3, 2}}
	padding := -1
	nll := trellis.NLLLoss[float64]{IgnoreIndex: &padding}
	losses := make([]float64, 3)
	if err := nll.Losses(losses, logProbs, []int{0, 1, padding}); err != nil {
		fmt.Println(err)
		return
	}
	mean, _ := nll.Loss(logProbs, []int{0, 1, padding})
	fmt.Printf("%.1f, mean %.1f\n", losses, mean)
	// Output: [0.1 0.3 0.0], mean 0.2
}

// Distillation: the target is another network's distribution.
func ExampleCrossEntropyLoss_LossProbs() {
	logits := trellis.Tensor[float64]{Data: []float64{2, 1, 0}, Shape: []int{3}}
	teacher := trellis.Tensor[float64]{Data: []float64{0.7, 0.2, 0.1}, Shape: []int{3}}
	loss, err := trellis.CrossEntropyLoss[float64]{LabelSmoothing: 0.1}.LossProbs(logits, teacher)
	fmt.Printf("%.4f %v\n", loss, err)
	// Output: 0.8676 <nil>
}

// Two sequences of a recogniser's raw scores, of 5 and 4 frames, with targets
// of 2 labels and 1, padded to rows of 2. Class 0 is the blank.
func ExampleCTCLoss() {
	const frames, sequences, classes = 5, 2, 4
	x := trellis.Tensor[float32]{Data: make([]float32, frames*sequences*classes), Shape: []int{frames, sequences, classes}}
	for i := range x.Data {
		x.Data[i] = float32(i * i % 7)
	}
	targets := []int{1, 3, 2, 0}
	ctc := trellis.CTCLoss[float32]{Scores: trellis.Logits}
	loss, err := ctc.Grad(x.Data, x, targets, []int{5, 4}, []int{2, 1}) // the gradient replaces the scores
	fmt.Printf("%.4f %v\n", loss, err)
	fmt.Printf("%.4f\n", x.Data[:classes])
	// Output:
	// 4.3292 <nil>
	// [-0.0549 -0.1810 0.2077 0.0281]
}

// An error says what is wrong where.
func ExampleArgumentError() {
	x := trellis.Tensor[float32]{Data: make([]float32, 12), Shape: []int{4, 3}}
	_, err := trellis.CTCLoss[float32]{}.Loss(x, []int{1, 2, 3}, nil, []int{3})
	fmt.Println(err)
	var bad *trellis.ArgumentError
	if errors.As(err, &bad) {
		fmt.Println(bad.Argument, bad.Index, bad.Value)
	}
	// Output:
	// trellis: CTCLoss.Loss: targets[0,2] = 3: label outside [0,3)
	// targets [0 2] 3
}
