package decode

import "github.com/gotrellis/trellis"

// Hypothesis is what a sequence may say.
type Hypothesis struct {
	Labels []int
	// LogProb is ln Σ p over the paths that spell the labels, as far as the beam has kept them.
	LogProb float64
	// LM and Bonus are what the scorers have added.
	LM, Bonus float64
	// Score is the sum of the three, by which hypotheses are ordered.
	Score float64
	// Spans has with Beam.Spans the frames in which each label is said: those of the most probable path
	// that spells the labels, with the mean of ln p and the confidence that CTCAligner finds.
	Spans []trellis.Span
	// LogProbExact is with Beam.Spans ln Σ p over all paths that spell the labels: −CTCLoss. The
	// beam may have lost some, so LogProb is at most that, but for rounding.
	LogProbExact float64
}
