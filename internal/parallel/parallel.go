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

// crew does one task with several goroutines: the caller's, and helpers. To wake a thread
// for a helper can take longer than the task, so the caller waits only for helpers that have
// begun.
type crew struct {
	task    Task
	items   int
	next    atomic.Int64
	helpers atomic.Int64  // how many are at work, and closed
	left    chan struct{} // tells the caller that the last helper has left
	holders atomic.Int64  // goroutines that have the crew: it is used again when none has
	help    func()        // c.assist, bound once: starting a goroutine with it allocates nothing
}

// closed is added to helpers when no more may begin.
const closed = 1 << 32

var crews sync.Pool

// newCrew returns one from the pool, or another.
func newCrew() *crew {
	if c, ok := crews.Get().(*crew); ok {
		return c
	}
	c := &crew{left: make(chan struct{}, 1)}
	c.help = c.assist
	return c
}

// work takes items until none is left.
func (c *crew) work() {
	for i := int(c.next.Add(1)) - 1; i < c.items; i = int(c.next.Add(1)) - 1 {
		c.task.Item(i)
	}
}

// assist is a helper's goroutine.
func (c *crew) assist() {
	for {
		n := c.helpers.Load()
		if n >= closed {
			break
		}
		if c.helpers.CompareAndSwap(n, n+1) {
			c.work()
			if c.helpers.Add(-1) == closed {
				c.left <- struct{}{}
			}
			break
		}
	}
	c.release()
}

// release gives the crew back if nobody else has it.
func (c *crew) release() {
	if c.holders.Add(-1) == 0 {
		c.task = nil
		crews.Put(c)
	}
}

// WorkerCost is the least work for a worker, in nanoseconds: waking one takes some of it.
const WorkerCost = 50000

// Workers returns how many workers shall do a call of so many items that takes about cost
// nanoseconds. field is the caller's field Workers: 0 leaves it to the cost.
func Workers(field, items int, cost float64) int {
	workers := field
	if workers == 0 {
		workers = 1
		if cost >= 2*WorkerCost {
			workers = min(runtime.GOMAXPROCS(0), int(cost/WorkerCost))
		}
	}
	return min(workers, items)
}

// Run does all items of a task with at most so many goroutines, one of which is the
// caller's.
func Run(t Task, items, workers int) {
	workers = min(workers, items)
	if workers <= 1 {
		for i := range items {
			t.Item(i)
		}
		return
	}
	c := newCrew()
	c.task, c.items = t, items
	c.next.Store(0)
	c.helpers.Store(0)
	c.holders.Store(int64(workers))
	for range workers - 1 {
		go c.help()
	}
	c.work()
	if c.helpers.Add(closed) > closed {
		<-c.left
	}
	if c.holders.Load() > 1 { // helpers that wait for this thread would become ever more
		runtime.Gosched()
	}
	c.release()
}
