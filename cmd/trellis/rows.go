package main

import (
	"context"
	"runtime"

	"github.com/gotrellis/trellis"
)

// rows is an array seen as rows whose losses do not depend on each other: the
// sequences of ctc, the items of nll and ce. Element i of a row is, for every
// block o, at (o·count+row)·inner+i. Only the (T,N,C) of ctc has more than one
// block.
type rows struct {
	*array
	blocks, count, inner int
	losses               int // of one row
	cost                 int // of one row, in elements
}

// criterion is a loss of n rows from first on, which are x.
type criterion[F trellis.Float] interface {
	// Losses writes the losses of the rows.
	Losses(dst, x []F, first, n int) error
	// Grad replaces x by the gradient of the reduced loss.
	Grad(x []F, first, n int) error
}

// groupCost is how many elements are about as much work as the user should wait
// for between two signs of life.
const groupCost = 1 << 24

// group returns how many rows to take on at a time: enough to keep the workers
// busy, few enough to show progress and to fit in memory.
func (r rows) group(memory, workers int) int {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	fit := memory / max(8*r.blocks*r.inner, 1)
	n := max(groupCost/max(r.cost, 1), 4*workers)
	return max(1, min(n, fit, r.count))
}

// compute returns the losses of all rows and writes the gradient of the reduced
// loss if the options ask for it.
func compute[F trellis.Float](ctx context.Context, t *tool, o *options, r rows, c criterion[F]) ([]F, error) {
	grad, err := createGradient(o.grad, r.array)
	if err != nil {
		return nil, err
	}
	defer grad.discard()
	losses := make([]F, r.count*r.losses)
	size := r.group(t.memory, o.workers)
	x := make([]F, r.blocks*min(size, r.count)*r.inner)
	progress := t.newProgress(r.count)
	defer progress.clear()
	for first := 0; first < r.count; first += size {
		n := min(size, r.count-first)
		part, dst := x[:r.blocks*n*r.inner], losses[first*r.losses:][:n*r.losses]
		if err := computeGroup(ctx, r, c, dst, part, grad, first, n); err != nil {
			return nil, err
		}
		progress.set(first + n)
	}
	return losses, grad.finish()
}

// computeGroup does n rows from first on; x is room for them.
func computeGroup[F trellis.Float](ctx context.Context, r rows, c criterion[F], dst, x []F, grad *gradient, first, n int) error {
	if err := readRows(x, r, first, n); err != nil {
		return err
	}
	err := interruptible(ctx, func() error {
		err := c.Losses(dst, x, first, n)
		if err == nil && grad != nil {
			err = c.Grad(x, first, n)
		}
		return err
	})
	if err != nil || grad == nil {
		return err
	}
	return writeRows(grad, x, r, first, n)
}

// interruptible runs work until it ends or ctx does. What ctx cuts off goes on
// unseen, so it must not touch files.
func interruptible(ctx context.Context, work func() error) error {
	if ctx.Err() != nil {
		return context.Canceled
	}
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Canceled
	}
}

// readRows reads n rows from first on, in the layout of an array that holds no
// others.
func readRows[F trellis.Float](dst []F, r rows, first, n int) error {
	for o := range r.blocks {
		if err := readFloats(dst[o*n*r.inner:][:n*r.inner], r.array, (o*r.count+first)*r.inner); err != nil {
			return err
		}
	}
	return nil
}

// writeRows writes what readRows would read.
func writeRows[F trellis.Float](g *gradient, src []F, r rows, first, n int) error {
	for o := range r.blocks {
		if err := writeFloats(g, src[o*n*r.inner:][:n*r.inner], (o*r.count+first)*r.inner); err != nil {
			return err
		}
	}
	return nil
}
