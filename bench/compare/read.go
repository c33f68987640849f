package main

// read returns the exclusive or of x. It does nothing beside loading every word
// once, which is the least that a function of x can do: what it takes for an x that
// no cache holds is the memory's limit.
func read(x []uint64) uint64 {
	whole := len(x) &^ (readWords - 1)
	return readBlocks(x[:whole]) ^ readGeneric(x[whole:])
}

// readWords is what readBlocks wants len(x) to be a multiple of.
const readWords = 64

func readGeneric(x []uint64) uint64 {
	var a, b, c, d uint64 // more than one, so that loads do not wait for each other
	for ; len(x) >= 4; x = x[4:] {
		a ^= x[0]
		b ^= x[1]
		c ^= x[2]
		d ^= x[3]
	}
	for _, v := range x {
		a ^= v
	}
	return a ^ b ^ c ^ d
}
