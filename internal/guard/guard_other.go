//go:build !(linux || darwin)

package guard

// Enforced says whether touching a guard page is a fault. Here only writes are
// noticed, by their canaries.
const Enforced = false

const page = 4096

// New returns memory for at least so many bytes.
func New(bytes int) (*Pages, error) {
	bytes = roundUp(bytes, page)
	mapping := make([]byte, bytes+2*page+aligned)
	for addressOf(mapping)%aligned != 0 {
		mapping = mapping[1:]
	}
	mapping = mapping[:bytes+2*page]
	fill(mapping)
	return &Pages{mapping[page:][:bytes], mapping}, nil
}

// Free does nothing.
func (p *Pages) Free() error { return nil }

func (p *Pages) guardsIntact() bool {
	return onlyCanaries(p.mapping[:page]) && onlyCanaries(p.mapping[page+len(p.data):])
}
