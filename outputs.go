package trellis

// outputs is what a method of a loss is asked for. The four methods of every
// loss are four values of it.
type outputs[F Float] struct {
	want     output
	losses   []F // one for each position or sequence
	grad     []F // in x's layout; may be x itself
	upstream []F // factor of each loss in the gradient
}

type output uint8

const (
	reducedLoss output = iota // Loss
	allLosses                 // Losses
	lossAndGrad               // Grad
	productVJP                // VJP
)

// check reports destinations of a wrong length, and those that would overwrite
// what is still to be read.
func (o *outputs[F]) check(method string, x []F, count int) error {
	switch o.want {
	case allLosses:
		if err := checkLen(method, "dst", len(o.losses), count); err != nil {
			return err
		}
		return checkApart(method, "dst", "x", o.losses, x)
	case productVJP:
		if err := checkLen(method, "upstream", len(o.upstream), count); err != nil {
			return err
		}
		if err := checkApart(method, "grad", "upstream", o.grad, o.upstream); err != nil {
			return err
		}
	case reducedLoss:
		return nil
	}
	if err := checkLen(method, "grad", len(o.grad), len(x)); err != nil {
		return err
	}
	if inexactOverlap(o.grad, x) {
		return overlapError(method, "grad", "x without being x", o.grad)
	}
	return nil
}

// factor returns the derivative of the result with respect to loss i, where
// reduction is that of the reduced loss.
func (o *outputs[F]) factor(i int, reduction float64) float64 {
	if o.want == productVJP {
		return float64(o.upstream[i])
	}
	return reduction
}

// wantGrad reports whether there is a gradient to write.
func (o *outputs[F]) wantGrad() bool { return o.want >= lossAndGrad }
