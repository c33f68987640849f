package trellis

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// task is work in items that do not depend on each other and may be done in
// any order. What an item computes must not depend on who does it: results
// are the same for any number of workers.
type task interface{ item(i int) }

// crew does one task with several goroutines.
type crew struct {
	task  task
	items int
	next  atomic.Int64
	done  sync.WaitGroup
	start func() // c.work, bound once: starting a goroutine with it allocates nothing
}

var crews = sync.Pool{New: func() any {
	c := new(crew)
	c.start = func() { c.work(); c.done.Done() }
	return c
}}

// work takes items until none is left.
func (c *crew) work() {
	for i := int(c.next.Add(1)) - 1; i < c.items; i = int(c.next.Add(1)) - 1 {
		c.task.item(i)
	}
}

// runTask does all items of a task with at most so many goroutines; 0 means
// GOMAXPROCS.
func runTask(t task, items, workers int) {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = min(workers, items)
	if workers <= 1 {
		for i := range items {
			t.item(i)
		}
		return
	}
	c := crews.Get().(*crew)
	c.task, c.items = t, items
	c.next.Store(0)
	c.done.Add(workers - 1)
	for range workers - 1 {
		go c.start()
	}
	c.work()
	c.done.Wait()
	c.task = nil
	crews.Put(c)
}

// pools holds the workspaces of one kind, for either element type.
type pools struct{ float32, float64 sync.Pool }

// poolOf returns the pool of an element type.
func poolOf[F Float](p *pools) *sync.Pool {
	if laneCount[F]() == 16 {
		return &p.float32
	}
	return &p.float64
}

// take returns a workspace from the pool, or a new one.
func take[T any, F Float](p *pools) *T {
	if w, ok := poolOf[F](p).Get().(*T); ok {
		return w
	}
	return new(T)
}

// resize returns s with length n, reusing its memory. The elements have any
// value.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
