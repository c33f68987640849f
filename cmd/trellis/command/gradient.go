package command

import (
	"context"
	"slices"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/internal/npy"
)

// gradient is a .npy file in the making, with the header of the array whose gradient it holds.
type gradient struct {
	*draft
	x *npy.Array
}

// createGradient begins the gradient of all rows. A name of "" is none.
func createGradient(name string, r rows) (*gradient, error) {
	if name == "" {
		return nil, nil
	}
	file, err := createDraft(name)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(r.Header); err != nil {
		file.discard()
		return nil, err
	}
	return &gradient{file, r.Array}, nil
}

// chunk is how many elements go from memory to the file at a time.
const chunk = 1 << 17

// writeFloats writes elements from the index first on.
func writeFloats[F trellis.Float](ctx context.Context, g *gradient, src []F, first int) error {
	d := g.x.Dtype
	raw := make([]byte, min(chunk, len(src))*d.Size)
	for part := range slices.Chunk(src, chunk) {
		if err := ctx.Err(); err != nil {
			return err
		}
		npy.Encode(raw, part, d)
		if _, err := g.WriteAt(raw[:len(part)*d.Size], g.x.Offset(first)); err != nil {
			return err
		}
		first += len(part)
	}
	return nil
}

// finish moves the complete file, if there is to be one, to its place.
func (g *gradient) finish() error {
	if g == nil {
		return nil
	}
	return g.draft.finish()
}

// discard removes the file if it has not been finished.
func (g *gradient) discard() {
	if g != nil {
		g.draft.discard()
	}
}
