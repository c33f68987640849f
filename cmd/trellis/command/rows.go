package command

import (
	"context"
	"io"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
	"github.com/gotrellis/trellis/internal/workspace"
)

// rows is an array seen as rows whose losses do not depend on each other: the
// sequences of ctc, the items of nll and ce. Element i of a row is, for every
// block o, at (o·count+row)·inner+i. Only the (T,N,C) of ctc has more than one
// block.
type rows struct {
	*npy.Array
	target               *npy.Array // of the same layout, read along with it; or nil
	blocks, count, inner int
	losses               int // of one row
	cost                 int // of one row, in elements
}

// part is the data of n rows from first on, in the layout of an array that holds
// no others.
type part[F trellis.Float] struct {
	first, n  int
	x, target []F
}

// criterion is a loss of rows.
type criterion[F trellis.Float] interface {
	// Losses writes the losses of the rows.
	Losses(dst []F, p part[F]) error
	// Grad replaces p.x by the gradient of the reduced loss.
	Grad(p part[F]) error
}

// groupCost is how many elements are about as much work as the user should wait
// for between two signs of life.
const groupCost = 1 << 24

// group returns how many rows to take on at a time: enough to keep the workers
// busy, few enough to show progress and to fit in memory.
func (r rows) group(memory, workers int) int {
	fit := memory / max(8*r.blocks*r.inner*len(r.inputs()), 1)
	n := max(groupCost/max(r.cost, 1), 4*workersOf(workers))
	return max(1, min(n, fit, r.count))
}

// inputs returns the files that are read row by row.
func (r rows) inputs() []*npy.Array {
	if r.target == nil {
		return []*npy.Array{r.Array}
	}
	return []*npy.Array{r.Array, r.target}
}

// compute returns the losses of all rows and writes the gradient of the reduced
// loss if the options ask for it.
func compute[F trellis.Float](ctx context.Context, t *tool, o *lossOptions, r rows, c criterion[F]) ([]F, error) {
	grad, err := createGradient(o.grad, r)
	if err != nil {
		return nil, err
	}
	defer grad.discard()
	losses := make([]F, r.count*r.losses)
	err = eachGroup(t, o.workers, r, func(p part[F]) error {
		return computeGroup(ctx, r, c, losses[p.first*r.losses:][:p.n*r.losses], p, grad)
	})
	if err != nil {
		return nil, err
	}
	return losses, grad.finish()
}

// eachGroup calls work for some rows at a time, in order, with room for their data, and shows
// progress.
func eachGroup[F trellis.Float](t *tool, workers int, r rows, work func(p part[F]) error) error {
	size := r.group(t.memory, workers)
	elements := r.blocks * min(size, r.count) * r.inner
	bytes := 8 * elements * len(r.inputs())
	for _, x := range r.inputs() {
		bytes += x.Unpacked()
	}
	defer t.room.give(t.room.take(bytes))
	buffer := workspace.Take[part[F], F](&buffers)
	p := part[F]{x: workspace.Resize(buffer.x, elements)}
	if r.target != nil {
		p.target = make([]F, len(p.x))
	}
	progress := t.newProgress(r.count)
	defer progress.clear()
	for first := 0; first < r.count; first += size {
		p.first, p.n = first, min(size, r.count-first)
		if err := work(p); err != nil {
			return err
		}
		progress.set(first + p.n)
	}
	if elements <= keptElements { // else the next file would hardly need as much
		buffer.x = p.x
		workspace.Give[F](&buffers, buffer)
	}
	return nil
}

// buffers are for the data of small files, after which there are often more. keptElements is the most
// that one of them keeps.
var buffers workspace.Pools

const keptElements = 1 << 18

// computeGroup does some rows; the data of p are room for them, or for more.
func computeGroup[F trellis.Float](ctx context.Context, r rows, c criterion[F], dst []F, p part[F], grad *gradient) error {
	err := interruptible(ctx, func() (err error) {
		if p, err = readPart(p, r); err != nil {
			return err
		}
		err = c.Losses(dst, p)
		if err == nil && grad != nil {
			err = c.Grad(p)
		}
		return err
	})
	if err != nil || grad == nil {
		return err
	}
	return writeRows(ctx, grad, p.x, r, p.first, p.n)
}

// interruptible runs work until it ends or ctx does. What ctx cuts off goes on
// unseen, so it must not write files.
func interruptible(ctx context.Context, work func() error) error {
	if ctx.Err() != nil {
		return context.Canceled
	}
	if ctx.Done() == nil { // nothing will
		return work()
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

// interruptibleWriter lets go of a reader that does not read.
type interruptibleWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w interruptibleWriter) Write(p []byte) (int, error) {
	err := interruptible(w.ctx, func() error {
		_, err := w.w.Write(p)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// readPart cuts the data of p to its rows and reads them.
func readPart[F trellis.Float](p part[F], r rows) (part[F], error) {
	p.x = p.x[:r.blocks*p.n*r.inner]
	if err := readRows(p.x, r.Array, r, p.first, p.n); err != nil || r.target == nil {
		return p, err
	}
	p.target = p.target[:len(p.x)]
	return p, readRows(p.target, r.target, r, p.first, p.n)
}

// readRows reads n rows of a, which is laid out as r, from first on.
func readRows[F trellis.Float](dst []F, a *npy.Array, r rows, first, n int) error {
	for o := range r.blocks {
		if err := npy.Read(dst[o*n*r.inner:][:n*r.inner], a, (o*r.count+first)*r.inner); err != nil {
			return err
		}
	}
	return nil
}

// writeRows writes what readRows would read.
func writeRows[F trellis.Float](ctx context.Context, g *gradient, src []F, r rows, first, n int) error {
	for o := range r.blocks {
		if err := writeFloats(ctx, g, src[o*n*r.inner:][:n*r.inner], (o*r.count+first)*r.inner); err != nil {
			return err
		}
	}
	return nil
}
