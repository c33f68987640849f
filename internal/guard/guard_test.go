package guard

import (
	"runtime/debug"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// touch reads and writes the element i places behind the first one of x, which need
// not be in x, and reports whether that was a fault.
func touch(x []int32, i int) (fault bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { fault = recover() != nil }()
	p := (*int32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(x)), 4*i))
	*p++
	return false
}

func newPages(t *testing.T, bytes int) *Pages {
	p, err := New(bytes)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Free()) })
	return p
}

func TestGuardPagesFault(t *testing.T) {
	if !Enforced {
		t.Skip("no guard pages on this system")
	}
	p := newPages(t, 100)
	for _, n := range []int{0, 1, 7, 1000} {
		first := First[int32](p, n)
		assert.True(t, touch(first, -1), "before the first of %d", n)
		assert.False(t, touch(first, 0))
		last := Last[int32](p, n)
		assert.True(t, touch(last, n), "behind the last of %d", n)
		assert.False(t, touch(last, n-1))
	}
}

func TestCanaries(t *testing.T) {
	p := newPages(t, 4096)
	for name, slice := range map[string]func() []int32{
		"first":  func() []int32 { return First[int32](p, 9) },
		"last":   func() []int32 { return Last[int32](p, 9) },
		"inside": func() []int32 { return Inside[int32](p, 9, 3) },
	} {
		for i := -1; i <= 9; i++ {
			x := slice()
			require.Len(t, x, 9)
			assert.True(t, Intact(p, x), name)
			if !touch(x, i) {
				assert.Equal(t, i >= 0 && i < 9, Intact(p, x), "%s, element %d", name, i)
			}
		}
	}
}

func TestInsideIsAligned(t *testing.T) {
	p := newPages(t, 4096)
	for offset := range 8 {
		x := Inside[float64](p, 5, offset)
		assert.Equal(t, uintptr(8*offset), addressOf(x)%aligned)
	}
}

func TestTooFewPages(t *testing.T) {
	p := newPages(t, 1)
	assert.Panics(t, func() { Last[byte](p, len(p.data)+1) })
	assert.Panics(t, func() { First[byte](p, len(p.data)+1) })
}
