// Package interop has examples for data that other libraries hold: matrices of gonum, tensors of
// Gorgonia, a training step in GoMLX, arrays of Apache Arrow, and numbers of 16 bits.
package interop
