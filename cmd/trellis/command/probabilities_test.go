package command

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gotrellis/trellis/internal/npy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// probabilities are files of the logits sin(0.7i) and the class probabilities
// cos²(1.3i), which do not add up to 1.
func probabilities(t *testing.T, shape ...int) (x, targets string) {
	logits, probs := make([]float64, product(shape)), make([]float64, product(shape))
	for i := range logits {
		logits[i] = math.Sin(0.7 * float64(i))
		probs[i] = math.Pow(math.Cos(1.3*float64(i)), 2)
	}
	return writeFloat64s(t, logits, shape...), writeFloat64s(t, probs, shape...)
}

// readArray returns the elements of a file of float64.
func readArray(t *testing.T, name string) []float64 {
	t.Helper()
	values, _, err := npy.ReadFile[float64](name)
	require.NoError(t, err)
	return values
}

// TestClassProbabilities compares with PyTorch.
func TestClassProbabilities(t *testing.T) {
	x, targets := probabilities(t, 2, 3, 1, 2)
	out := runJSON(t, "ce", x, "-targets", targets)
	assertClose(t, []float64{2.3771938777280246, 2.3254098828638092, 0.8668894691502496, 2.738189144946565}, out.Losses)
	assert.InEpsilon(t, 2.076920593672162, out.Loss, 1e-12)

	grad := filepath.Join(t.TempDir(), "grad.npy")
	out = runJSON(t, "ce", x, "-targets", targets, "-weight", "1,0.5,2", "-label_smoothing", "0.1", "-grad", grad)
	assertClose(t, []float64{2.333839010524369, 3.770710903519965, 0.9570228384028716, 2.3427307194762106}, out.Losses)
	assert.InEpsilon(t, 2.351075867980854, out.Loss, 1e-12, "the mean counts positions, not weights")
	assert.InDeltaSlice(t, []float64{
		-0.14754361579562011, 0.1797044264919311, 0.14306133488883804, 0.1906633136937932,
		0.0044822809067821285, -0.37036774018572427, 0.05432284689551001, -0.1837723552937107,
		0.040938398131855416, 0.021043777460844508, -0.09526124502736541, 0.1627285778328661,
	}, readArray(t, grad), 1e-14)
}

func TestClassProbabilitiesThatAreClasses(t *testing.T) {
	x := writeFloat64s(t, []float64{1, 2, 4}, 3)
	oneHot := write(t, "y.npy", npyHeader(1, ">f4", "(3,)"), data(t, binary.BigEndian, []float32{0, 1, 0}))
	for _, dtype := range []string{"float32", "float64"} {
		want := runJSON(t, "ce", x, "-targets", "1", "-dtype", dtype)
		assert.Equal(t, want, runJSON(t, "ce", x, "-targets", oneHot, "-dtype", dtype))
	}
	x = writeFloat64s(t, nil, 0, 3)
	assert.Equal(t, "nan", runJSON(t, "ce", x, "-targets", x).Loss, "no positions")
}

func TestClassProbabilitiesTables(t *testing.T) {
	x := writeFloat64s(t, []float64{0, 0, 0, 0}, 2, 2)
	targets := writeFloat64s(t, []float64{0.5, 0.5, 1, 1}, 2, 2)
	assert.Equal(t, result{stdout: x + `: float64 (2,2), raw scores, targets class probabilities

   row      loss
     0  0.693147
     1  1.386294
  mean  1.039721
`}, run("ce", x, "-targets", targets))

	x, targets = probabilities(t, 2, 3, 1, 2)
	assert.Equal(t, x+`: float64 (2,3,1,2), raw scores, targets class probabilities

  row  positions  sum of losses
    0          2       4.702604
    1          2       3.605079
             sum       8.307682
`, run("ce", x, "-targets", targets, "-reduction", "sum").stdout)
}

func TestClassProbabilitiesThatDoNotFit(t *testing.T) {
	x, targets := probabilities(t, 2, 3, 1, 2)
	labels := writeFloat64s(t, []float64{0, 1, 2, 2}, 2, 1, 2)
	for want, c := range map[string]struct {
		code int
		args []string
	}{
		"ce: -ignore_index goes with classes, " + targets + " holds class probabilities (float64)\n": {
			exitUsage, []string{"ce", x, "-targets", targets, "-ignore_index", "-100"}},
		"-grad " + targets + ": is an input\n": {
			exitUsage, []string{"ce", x, "-targets", targets, "-grad", targets}},
		"-label_smoothing: 1.5: ": {
			exitUsage, []string{"ce", x, "-targets", targets, "-label_smoothing", "1.5"}},
		labels + ": class probabilities (float64) of shape (2,1,2), want (2,3,1,2) as in " + x + "\n": {
			exitData, []string{"ce", x, "-targets", labels}},
		"-weight: 2 weights, ": {
			exitData, []string{"ce", x, "-targets", targets, "-weight", "1,2"}},
		targets + ": dtype float64: want integers\n": {
			exitData, []string{"nll", x, "-targets", targets}},
	} {
		t.Run(want, func(t *testing.T) {
			before, err := os.ReadFile(targets)
			require.NoError(t, err)
			r := run(c.args...)
			assert.Equal(t, c.code, r.code)
			assert.Empty(t, r.stdout)
			assert.Contains(t, r.stderr, "trellis: "+want)
			after, err := os.ReadFile(targets)
			require.NoError(t, err)
			assert.Equal(t, before, after)
		})
	}
}
