package command

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// counter returns a next that counts to n.
func counter(n int) func() (int, bool, error) {
	i := -1
	return func() (int, bool, error) {
		i++
		return i, i < n, nil
	}
}

// The results come in order, though later work is done before earlier work.
func TestInOrder(t *testing.T) {
	for _, workers := range []int{0, 1, 3, 50} {
		var got []int
		var first sync.WaitGroup
		first.Add(1)
		err := inOrder(context.Background(), workers, counter(200), func(i int) int {
			switch {
			case workers > 1 && i == 0:
				first.Wait() // for the second
			case workers > 1 && i == 1:
				first.Done()
			}
			return i * i
		}, func(square int) error {
			got = append(got, square)
			return nil
		})
		assert.NoError(t, err)
		assert.Len(t, got, 200)
		assert.True(t, slices.IsSorted(got))
	}
}

// Only so much work is done ahead of a result that takes its time.
func TestInOrderDoesNotRunAhead(t *testing.T) {
	var done atomic.Int64
	release := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	most := int64(0)
	err := inOrder(context.Background(), 2, counter(10000), func(i int) int {
		if i == 0 {
			<-release
		}
		done.Add(1)
		return i
	}, func(i int) error {
		if i == 0 {
			most = done.Load()
		}
		return nil
	})
	assert.NoError(t, err)
	assert.Less(t, most, int64(5000))
	assert.EqualValues(t, 10000, done.Load())
}

func TestInOrderEnds(t *testing.T) {
	wrong := errors.New("wrong")
	identity := func(i int) int { return i }
	put := 0
	count := func(int) error { put++; return nil }
	next := counter(10)
	err := inOrder(context.Background(), 2, func() (int, bool, error) {
		i, ok, _ := next()
		if i == 7 {
			return 0, true, wrong
		}
		return i, ok, nil
	}, identity, count)
	assert.Equal(t, wrong, err)
	assert.Equal(t, 7, put, "what came before has been put")

	err = inOrder(context.Background(), 2, counter(10000), identity, func(i int) error {
		if i == 5 {
			return wrong
		}
		return nil
	})
	assert.Equal(t, wrong, err)

	ctx, cancel := context.WithCancel(context.Background())
	never := make(chan int)
	err = inOrder(ctx, 2, counter(10), func(i int) int {
		if i == 3 {
			cancel()
			<-never
		}
		return i
	}, func(int) error { return nil })
	assert.ErrorIs(t, err, context.Canceled)
	err = inOrder(ctx, 2, func() (int, bool, error) { return <-never, true, nil }, identity, func(int) error { return nil })
	assert.ErrorIs(t, err, context.Canceled)
}

// Of the work that waits nothing begins after the end, and no goroutine stays.
func TestInOrderLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong, release, done := errors.New("wrong"), make(chan struct{}), 0
		err := inOrder(t.Context(), 1, counter(10000), func(i int) int {
			if i > 0 {
				<-release
			}
			done++
			return i
		}, func(int) error { synctest.Wait(); return wrong })
		assert.Equal(t, wrong, err)
		close(release)
		synctest.Wait()
		assert.Equal(t, 2, done, "the first, and one that had begun")
	})
}

// Who takes room waits until there is some; nobody gets more than there is.
func TestRoom(t *testing.T) {
	r := newRoom(100)
	var taken atomic.Int64
	var crowd sync.WaitGroup
	for i := range 40 {
		crowd.Go(func() {
			for range 50 {
				n := r.take(10 * i) // from 0 to more than there is
				assert.LessOrEqual(t, taken.Add(int64(n)), int64(100))
				taken.Add(int64(-n))
				r.give(n)
			}
		})
	}
	crowd.Wait()
	assert.Equal(t, 100, r.free)
	assert.Equal(t, 100, r.take(1000))
	var none *room
	assert.Zero(t, none.take(5))
	none.give(0)
}
