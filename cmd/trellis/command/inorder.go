package command

import (
	"context"
	"runtime"
	"sync"
)

// ahead is how many results of each worker may wait for one before them.
const ahead = 16

// inOrder does work on all that next has, until that is false or an error, with so many goroutines;
// 0 is one for each core. It hands the results to put, in the order of next. An error of next or put,
// or the end of ctx, ends it; work that has begun then goes on unseen.
func inOrder[In, Out any](ctx context.Context, workers int, next func() (In, bool, error), work func(In) Out, put func(Out) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	workers = workersOf(workers)
	type job struct {
		in  In
		out chan Out
	}
	jobs := make(chan job, ahead*workers)
	results := make(chan chan Out, ahead*workers)
	var failed error // of next, once results are closed
	go func() {
		defer close(results)
		defer close(jobs)
		for {
			in, ok, err := next()
			if failed = err; !ok || err != nil {
				return
			}
			out := make(chan Out, 1)
			select {
			case results <- out:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- job{in, out}:
			case <-ctx.Done():
				return
			}
		}
	}()
	for range workers {
		go func() {
			for j := range jobs {
				if ctx.Err() != nil {
					return
				}
				j.out <- work(j.in)
			}
		}()
	}
	for {
		var out chan Out
		var ok bool
		select {
		case out, ok = <-results:
		case <-ctx.Done():
			return context.Canceled
		}
		switch {
		case ok:
		case ctx.Err() != nil:
			return context.Canceled
		default:
			return failed
		}
		select {
		case result := <-out:
			if err := put(result); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Canceled
		}
	}
}

// workersOf returns how many workers an option asks for: 0 is one for each core.
func workersOf(option int) int {
	if option <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return option
}

// room is memory that workers share.
type room struct {
	all, free int
	mutex     sync.Mutex
	given     *sync.Cond
}

func newRoom(bytes int) *room {
	r := &room{all: bytes, free: bytes}
	r.given = sync.NewCond(&r.mutex)
	return r
}

// take waits until so many bytes are free, or if there are less in all, until all are. It returns how
// many are to be given back. A nil room is without bounds.
func (r *room) take(bytes int) int {
	if r == nil {
		return 0
	}
	bytes = min(bytes, r.all)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for r.free < bytes {
		r.given.Wait()
	}
	r.free -= bytes
	return bytes
}

func (r *room) give(bytes int) {
	if r == nil {
		return
	}
	r.mutex.Lock()
	r.free += bytes
	r.mutex.Unlock()
	r.given.Broadcast()
}
