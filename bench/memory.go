package main

import (
	"sync"
	"unsafe"

	"github.com/gotrellis/trellis"
)

// prepareMemory makes a computation that only moves numbers: it reads x, writes as many,
// or does both, which is the least that a function of x can do. Go's runtime has good
// loops for the latter two.
func prepareMemory[F trellis.Float](op string, x []F) computation {
	var dst []F
	if op != opRead {
		dst = make([]F, len(x))
	}
	move := func(worker, from, to int) {
		switch op {
		case opRead:
			kept[worker%len(kept)].bits = read(words(x[from:to]))
		case opWrite:
			clear(dst[from:to])
		default:
			copy(dst[from:to], x[from:to])
		}
	}
	call := func(workers int) func() error {
		return func() error {
			if workers == 1 {
				move(0, 0, len(x))
			} else {
				spread(len(x), workers, move)
			}
			return nil
		}
	}
	return computation{call, func() []float64 { return []float64{sum(dst)} }}
}

// spread does n in equal parts, each on a goroutine of its own.
func spread(n, workers int, part func(worker, from, to int)) {
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() { part(i, i*n/workers, (i+1)*n/workers) })
	}
	all.Wait()
}

// words are the whole words that x consists of.
func words[F trellis.Float](x []F) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(F(0)))/8)
}

// kept keeps what is read from being of no use; each worker has a line of the cache.
var kept [256]struct {
	bits uint64
	_    [7]uint64
}

// read returns the exclusive or of x, loading every word once.
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
