// Package parallel does work that is divided into items with several goroutines.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Task is work in items that do not depend on each other and may be done in any order.
// What an item computes must not depend on who does it: results are the same for any
// number of workers.
type Task interface{ Item(i int) }

// crew does one task with several goroutines.
type crew struct {
	task  Task
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
		c.task.Item(i)
	}
}

// Run does all items of a task with at most so many goroutines, one of which is the
// caller's; 0 means GOMAXPROCS.
func Run(t Task, items, workers int) {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = min(workers, items)
	if workers <= 1 {
		for i := range items {
			t.Item(i)
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
