// Package guard gives tests memory between two pages that nothing may touch, so that
// a kernel which reads or writes beyond its slices is found out: the race detector
// and the sanitizers do not see into assembly.
package guard

import (
	"bytes"
	"unsafe"
)

// Pages is memory between two guard pages. The slices that it hands out share it:
// the last one that was asked for is the one to use.
type Pages struct {
	data    []byte // what may be used
	mapping []byte // with the guard pages
}

const (
	canary  = 0xa5
	aligned = 64 // bytes
)

// First returns n elements that begin where the first guard page ends. All memory
// beside them is filled with canaries.
func First[T any](p *Pages, n int) []T { return at[T](p, 0, n) }

// Last returns n elements that end where the second guard page begins.
func Last[T any](p *Pages, n int) []T { return at[T](p, len(p.data)-n*size[T](), n) }

// Inside returns n elements that begin some elements behind a multiple of 64 bytes,
// away from the guard pages if there is room.
func Inside[T any](p *Pages, n, offset int) []T { return at[T](p, aligned+offset*size[T](), n) }

// Intact reports whether all canaries beside x are there.
func Intact[T any](p *Pages, x []T) bool {
	from := int(addressOf(x) - addressOf(p.data))
	return onlyCanaries(p.data[:from]) && onlyCanaries(p.data[from+len(x)*size[T]():]) && p.guardsIntact()
}

func addressOf[T any](x []T) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(x))) }

func size[T any]() int { return int(unsafe.Sizeof(*new(T))) }

// at returns the n elements behind so many bytes.
func at[T any](p *Pages, offset, n int) []T {
	if offset < 0 || offset+n*size[T]() > len(p.data) {
		panic("guard: too few pages")
	}
	fill(p.data)
	return unsafe.Slice((*T)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(p.data)), offset)), n)
}

var canaries = bytes.Repeat([]byte{canary}, 1<<12)

func fill(b []byte) {
	for len(b) > 0 {
		b = b[copy(b, canaries):]
	}
}

func onlyCanaries(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(canaries))
		if !bytes.Equal(b[:n], canaries[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// roundUp returns the least multiple of a page that is not below size, and not 0.
func roundUp(size, page int) int { return max(1, (size+page-1)/page) * page }
