// Package trellis computes log-sum-exp, softmax, negative log-likelihood,
// cross-entropy and CTC, values and gradients, and aligns targets by CTC's scores, for
// float32 and float64.
//
// The losses have PyTorch's semantics: NLLLoss, CrossEntropyLoss and CTCLoss are
// structs whose fields are its options and whose zero values have its defaults,
// and five methods each, which CrossEntropyLoss has again for class probabilities:
//
//	Loss        the reduced loss
//	Losses      one loss for each sample: PyTorch's reduction "none"
//	Grad        the reduced loss and its gradient
//	LossesGrad  all three in one pass
//	VJP         the gradient of Σ upstream[i]·loss[i]
//
// CTCAligner finds the frames of each label of a target: forced alignment.
//
// Where PyTorch crashes on bad input, returns NaN by accident or reads out of
// bounds, the methods return an *ArgumentError that names the argument, the
// element and its value, and they check everything before they write anything.
// The functions of slices and rows return no error: they panic instead.
//
// # Exactness
//
// Results are the same bits on every machine, for every tier of kernels and every
// number of workers. exp and log are this package's own, fixed sequences of
// IEEE-754 operations with an error below 1 ulp, and sums run in a fixed order:
// over up to 4096 neighbours in a row in the type of the scores, over more of them
// and over a batch in float64. CTC keeps probabilities as float64 with exponents of
// their own instead of logarithms, which neither underflow nor lose digits as
// logarithms of small numbers do: over thousands of frames float32 gradients are off
// by some 1.3·10⁻⁷, whatever the number of classes. A loss near 0 keeps its
// relative accuracy and, from logits, is never negative.
//
// # Kernels
//
// What takes time runs in assembly for AVX-512, AVX2 and NEON, and in plain Go on
// other machines and with the build tag purego. The best tier of the machine is
// chosen when the program starts: see ActiveTier. The environment variable
// TRELLIS_CPU (generic, avx2, avx512 or neon) sets a limit.
//
// # Memory and goroutines
//
// Nothing is allocated in steady state: workspaces are pooled. Gradients may
// overwrite the scores they are computed from. Arguments are borrowed for the
// call. Work is spread over goroutines by rows and by sequences, at most as many
// as a loss's Workers.
package trellis

//go:generate go -C gen run ./fit -o ../internal/fp/polynomials.go
//go:generate go -C gen run ./kernels -root ..
