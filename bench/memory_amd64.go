package main

import "golang.org/x/sys/cpu"

func readBlocks(x []uint64) uint64 {
	if cpu.X86.HasAVX512F {
		return readAVX512(x)
	}
	return readGeneric(x)
}

// readAVX512 works like readGeneric. The length of x is a multiple of readWords.
//
//go:noescape
func readAVX512(x []uint64) uint64
