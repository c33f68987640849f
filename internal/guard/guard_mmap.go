//go:build linux || darwin

package guard

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Enforced says whether touching a guard page is a fault, as it is here. Elsewhere
// only writes are noticed, by their canaries.
const Enforced = true

// New returns memory for at least so many bytes.
func New(bytes int) (*Pages, error) {
	page := os.Getpagesize()
	bytes = roundUp(bytes, page)
	mapping, err := unix.Mmap(-1, 0, bytes+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	p := &Pages{mapping[page:][:bytes], mapping}
	for _, guard := range [][]byte{mapping[:page], mapping[page+bytes:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			p.Free()
			return nil, fmt.Errorf("guard: %w", err)
		}
	}
	return p, nil
}

// Free gives the memory back.
func (p *Pages) Free() error { return unix.Munmap(p.mapping) }

func (p *Pages) guardsIntact() bool { return true }
