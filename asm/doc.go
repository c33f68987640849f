// Package asm is a vector assembler: a kernel that is described once in Go becomes
// an assembly function for AVX2, for AVX-512 and for NEON, in Go's assembly
// language. It runs when a package is generated, and the package that uses the
// kernels does not import it.
//
// # Kernels
//
// A [Kernel] is a function with Go's stack calling convention. It is described by
// calls of methods, each of which records an operation on what earlier ones
// returned: a [Vec], a [Mask] that a comparison of two of them gives, an [Int] for
// counts, or an [Array], the address of elements of one type, from which vectors are
// loaded. These do not change, unless they are variables made by [Kernel.Var],
// [Kernel.Copy] and [Kernel.Array], which Set gives a new value; a loop needs those.
// [Kernel.Each] goes through arrays, a vector at a time, and describes its body
// twice: for whole vectors and for the tail of the arrays. The tail touches no memory
// beyond them. The example shows a whole kernel with what becomes of it.
//
// # Vectors
//
// A [Vec] has 64 bytes on every target: 16 lanes of four bytes or 8 of eight. That
// is one register of AVX-512, two of AVX2 and four of NEON. Sums in lanes, and the
// order in which FoldAdd adds up the lanes at the end, are therefore the same
// everywhere, and so are the results, bit by bit. A vector that is the same in all
// lanes, like a parameter, takes one register, and constants are in memory where
// registers are short.
//
// # What differs
//
// Targets agree except where an operation's comment says otherwise: Max and Min of
// NaN and of zeros of different sign, and Max and Min of I64, which AVX2 lacks.
// Which lane's payload a NaN has is left open. Registers differ in number: AVX2 has
// 16 for half of a vector, AVX-512 32 for a whole one, NEON 32 for a quarter. When
// a kernel needs more, Assemble returns an error; nothing is spilled to the stack.
//
// Instructions of NEON that the assembler of Go 1.26 does not know are written as
// words, which say in a comment what they are.
package asm
