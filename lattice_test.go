package trellis

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Cutting the frames into segments changes memory and time, and no bit of what is above
// leastOccupancy.
func TestSegments(t *testing.T) {
	t.Run("float32", testSegments[float32])
	t.Run("float64", testSegments[float64])
}

func testSegments[F Float](t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, classes := range []int{7, 400} { // exp by class and by name
		for _, frames := range []int{1, 2, 3, 4, 15, 16, 17, 99, 100, 101} {
			x := make([]F, frames*classes)
			for i := range x {
				x[i] = F(3 * r.NormFloat64())
			}
			targets := make([]int, frames/3)
			for i := range targets {
				targets[i] = 1 + r.IntN(classes-1)
			}
			task := ctcTask[F]{
				CTCLoss: CTCLoss[F]{FromLogits: true}, method: "test",
				out: outputs[F]{want: lossAndGrad}, x: x, targets: targets, spelled: []int{len(targets)},
			}
			want, got := make([]F, len(x)), make([]F, len(x))
			task.out.grad = want
			require.NoError(t, task.check(Tensor[F]{x, []int{frames, classes}}))
			whole := new(lattice[F])
			loss := whole.run(&task, 0, keptBytes)
			require.Equal(t, frames, whole.segment)
			for _, kept := range []int{0, 20000, 60000} {
				for _, inPlace := range []bool{false, true} {
					cut := new(lattice[F])
					task.out.grad, task.x = got, x
					if inPlace { // segments are read again before they are overwritten
						task.x = append(got[:0], x...)
					}
					assert.Equal(t, loss, cut.run(&task, 0, kept))
					assert.Equal(t, want, got, "%d frames of %d classes in segments of %d, in place: %v", frames, classes, cut.segment, inPlace)
					if kept == 0 && frames > 3 {
						assert.Less(t, cut.segment, frames/2+1)
					}
					task.x = x
				}
			}
		}
	}
}
