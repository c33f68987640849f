package command

import (
	"fmt"
	"slices"

	"github.com/gotrellis/trellis/internal/npy"
)

const probabilitiesUsage = `
TARGETS may also be a .npy file of floats in the shape of FILE.npy: class
probabilities. The mean is then that over all positions, whatever the weights,
and -ignore_index does not apply:

  trellis ce logits.npy -targets probs.npy -label_smoothing 0.1
`

// openProbabilities opens the targets of ce if they are class probabilities, an
// array of floats; it returns nil if they are not.
func (o *classOptions) openProbabilities(x *npy.Array) (*npy.Array, error) {
	if o.command != "ce" || isInline(o.targets, intDigits) || !npy.IsArray(o.targets) {
		return nil, nil
	}
	probs, err := npy.Open(o.targets)
	if err != nil {
		return nil, err
	}
	isClasses := probs.Dtype.Kind != 'f'
	if !isClasses {
		err = o.checkProbabilities(probs, x)
	}
	if isClasses || err != nil {
		probs.Close()
		return nil, err
	}
	return probs, nil
}

// checkProbabilities reports class probabilities that do not go with the options
// or with x.
func (o *classOptions) checkProbabilities(probs, x *npy.Array) error {
	switch {
	case o.set("ignore_index"):
		return misuse("ce: -ignore_index goes with classes, %s holds class probabilities (%s)", probs.Name, probs.Dtype)
	case !slices.Equal(probs.Shape, x.Shape):
		return fmt.Errorf("%s: class probabilities (%s) of shape %s, want %s as in %s",
			probs.Name, probs.Dtype, npy.Tuple(probs.Shape), npy.Tuple(x.Shape), x.Name)
	}
	return npy.CheckType[float64](probs)
}
