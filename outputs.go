package trellis

import "fmt"

// outputs is what a method of a loss is asked for. The five methods of every
// loss are five values of it.
type outputs[F Float] struct {
	want     output
	losses   []F // one for each position or sequence
	grad     []F // in x's layout; may be x itself
	upstream []F // factor of each loss in the gradient
}

type output uint8

const (
	reducedLoss   output = iota // Loss
	allLosses                   // Losses
	lossAndGrad                 // Grad
	lossesAndGrad               // LossesGrad
	productVJP                  // VJP
)

// wantLosses reports whether every loss is to be written.
func (o *outputs[F]) wantLosses() bool { return o.want == allLosses || o.want == lossesAndGrad }

// wantGrad reports whether there is a gradient to write.
func (o *outputs[F]) wantGrad() bool { return o.want >= lossAndGrad }

// lossesName is what the method calls losses.
func (o *outputs[F]) lossesName() string {
	if o.want == allLosses {
		return "dst"
	}
	return "losses"
}

// check reports destinations of a wrong length, and those that would overwrite
// what is still to be read. There are count losses, one for each of what unit names.
func (o *outputs[F]) check(method string, x []F, count int, unit string) error {
	if o.wantLosses() {
		name := o.lossesName()
		if err := o.checkCount(method, name, o.losses, count, unit); err != nil {
			return err
		}
		if err := checkApart(method, name, "x", o.losses, x); err != nil {
			return err
		}
		if err := checkApart(method, name, "grad", o.losses, o.grad); err != nil {
			return err
		}
	}
	if o.want == productVJP {
		if err := o.checkCount(method, "upstream", o.upstream, count, unit); err != nil {
			return err
		}
		if err := checkApart(method, "grad", "upstream", o.grad, o.upstream); err != nil {
			return err
		}
	}
	if !o.wantGrad() {
		return nil
	}
	if len(o.grad) != len(x) {
		return &ArgumentError{method, "len(grad)", nil, len(o.grad), fmt.Sprintf("want %d, the length of x.Data", len(x))}
	}
	if inexactOverlap(o.grad, x) {
		return overlapError(method, "grad", "x without being x", o.grad)
	}
	return nil
}

// fits reports whether check has nothing to report.
func (o *outputs[F]) fits(x []F, count int) bool {
	if o.wantLosses() && (len(o.losses) != count || overlap(o.losses, x) || overlap(o.losses, o.grad)) {
		return false
	}
	if o.want == productVJP && (len(o.upstream) != count || overlap(o.upstream, o.grad)) {
		return false
	}
	return !o.wantGrad() || len(o.grad) == len(x) && !inexactOverlap(o.grad, x)
}

// checkCount reports an argument that has not one element for each loss.
func (o *outputs[F]) checkCount(method, argument string, s []F, count int, unit string) error {
	if len(s) == count {
		return nil
	}
	return &ArgumentError{method, "len(" + argument + ")", nil, len(s), fmt.Sprintf("want %d, one for each %s", count, unit)}
}

// factor returns the derivative of the result with respect to loss i, where
// reduction is that of the reduced loss.
func (o *outputs[F]) factor(i int, reduction float64) float64 {
	if o.want == productVJP {
		return float64(o.upstream[i])
	}
	return reduction
}
