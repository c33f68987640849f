// Package workspace keeps the memory that a call works in for the next one.
package workspace

import (
	"sync"

	"github.com/gotrellis/trellis/internal/fp"
)

// Pools holds the workspaces of one kind, for either element type. The zero value is
// empty.
type Pools struct{ float32, float64 sync.Pool }

// of returns the pool of an element type.
func of[F fp.Float](p *Pools) *sync.Pool {
	if fp.IsFloat32[F]() {
		return &p.float32
	}
	return &p.float64
}

// Take returns a workspace from the pool, or a new one.
func Take[T any, F fp.Float](p *Pools) *T {
	if w, ok := of[F](p).Get().(*T); ok {
		return w
	}
	return new(T)
}

// Give puts a workspace into the pool. It must hold nothing that was borrowed.
func Give[F fp.Float, T any](p *Pools, w *T) { of[F](p).Put(w) }

// Resize returns s with length n, reusing its memory. The elements have any value.
func Resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
