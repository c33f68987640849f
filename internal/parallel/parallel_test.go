package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// counter counts how often each item is done, and how many at a time.
type counter struct {
	done       []atomic.Int32
	busy, most atomic.Int32
	item       func(i int) // what else an item does, or nil
}

func (c *counter) Item(i int) {
	busy := c.busy.Add(1)
	for most := c.most.Load(); busy > most && !c.most.CompareAndSwap(most, busy); most = c.most.Load() {
	}
	c.done[i].Add(1)
	if c.item != nil {
		c.item(i)
	}
	c.busy.Add(-1)
}

func TestEveryItemIsDoneOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 7, 100} {
		for _, items := range []int{0, 1, 2, 3, 50, 1000} {
			c := &counter{done: make([]atomic.Int32, items)}
			Run(c, items, workers)
			for i := range c.done {
				assert.Equal(t, int32(1), c.done[i].Load(), "item %d of %d, %d workers", i, items, workers)
			}
		}
	}
}

func TestNoMoreWorkersThanAskedFor(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		c := &counter{done: make([]atomic.Int32, 40), item: func(int) { time.Sleep(100 * time.Microsecond) }}
		Run(c, len(c.done), workers)
		assert.LessOrEqual(t, c.most.Load(), int32(workers))
	}
}

// All workers are there at once: each waits for the others.
func TestAsManyWorkersAsAskedFor(t *testing.T) {
	const workers = 4
	var together sync.WaitGroup
	together.Add(workers)
	c := &counter{done: make([]atomic.Int32, workers), item: func(int) { together.Done(); together.Wait() }}
	Run(c, workers, workers)
	assert.Equal(t, int32(workers), c.most.Load())
}

// One worker is the caller: it takes the items in order.
func TestOneWorkerIsTheCaller(t *testing.T) {
	before, order := runtime.NumGoroutine(), []int(nil)
	c := &counter{done: make([]atomic.Int32, 9)}
	c.item = func(i int) { order = append(order, i); assert.LessOrEqual(t, runtime.NumGoroutine(), before) }
	Run(c, 9, 1)
	assert.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}, order)
}

// Crews are reused by calls that run beside one another and within another.
func TestConcurrentAndNestedRuns(t *testing.T) {
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 20 {
				inner := &counter{done: make([]atomic.Int32, 3*10)}
				outer := &counter{done: make([]atomic.Int32, 3)}
				outer.item = func(i int) { Run(part{inner, 10 * i}, 10, 2) }
				Run(outer, 3, 3)
				for i := range inner.done {
					assert.Equal(t, int32(1), inner.done[i].Load())
				}
			}
		})
	}
	wait.Wait()
}

// part is the items of a counter from one on.
type part struct {
	*counter
	from int
}

func (p part) Item(i int) { p.counter.Item(p.from + i) }

// The caller does not wait for a helper that comes when all is done, and the helper then does
// nothing: with one thread it cannot come earlier.
func TestLateHelpers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for range 100 {
		c := &counter{done: make([]atomic.Int32, 3)}
		Run(c, 3, 3)
		for i := range c.done {
			assert.Equal(t, int32(1), c.done[i].Load())
		}
		runtime.Gosched()
	}
}

// Run returns when all items are done, not only the caller's.
func TestRunWaitsForHelpers(t *testing.T) {
	for range 20 {
		var begun sync.WaitGroup
		begun.Add(2)
		var ended atomic.Int32
		c := &counter{done: make([]atomic.Int32, 2), item: func(i int) {
			begun.Done()
			begun.Wait()
			time.Sleep(time.Duration(i) * time.Millisecond)
			ended.Add(1)
		}}
		Run(c, 2, 2)
		assert.Equal(t, int32(2), ended.Load())
	}
}

// Small work is the caller's alone, and large work is for all, unless the field says how many.
func TestWorkers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	assert.Equal(t, 1, Workers(0, 100, 2*WorkerCost-1))
	assert.Equal(t, 2, Workers(0, 100, 2*WorkerCost))
	assert.Equal(t, 3, Workers(0, 100, 3.5*WorkerCost))
	assert.Equal(t, 4, Workers(0, 100, 1e12))
	assert.Equal(t, 2, Workers(0, 2, 1e12), "no more than items")
	assert.Equal(t, 1, Workers(1, 100, 1e12))
	assert.Equal(t, 8, Workers(8, 100, 0))
}
