package kerneltest

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBits(t *testing.T) {
	assert.NotEqual(t, Bits(float32(0)), Bits(MinusZero[float32]()))
	assert.NotEqual(t, Bits(1.0), Bits(Moved(1.0, 1)))
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		assert.Equal(t, Bits(math.NaN()), Bits(SomeNaN[float64](r)))
		assert.Equal(t, Bits(float32(math.NaN())), Bits(signallingNaN[float32](r)))
		assert.True(t, isSignalling(signallingNaN[float64](r)))
		assert.False(t, isSignalling(SomeNaN[float32](r)))
	}
	for _, x := range []float64{0, 1, -2.5, math.MaxFloat64, math.Inf(-1)} {
		assert.Equal(t, x, FromBits[float64](Bits(x)))
		assert.Equal(t, float32(x), FromBits[float32](Bits(float32(x))))
	}
}

func TestMoved(t *testing.T) {
	assert.Equal(t, math.Nextafter(1, 2), Moved(1.0, 1))
	assert.Equal(t, math.Nextafter32(1, 0), Moved[float32](1, -1))
	largest, normal := limits[float32]()
	assert.Equal(t, float32(math.MaxFloat32), largest)
	assert.Equal(t, float32(0x1p-126), normal)
	assert.Equal(t, Inf[float32](), Moved(largest, 1))
}
