package decode

// frame is what the search sees of a frame: probabilities that all have a factor in common.
type frame struct {
	blank   float64
	classes []class   // that a prefix may go on with, without the blank: the most probable one first
	p       []float64 // of each class that is looked at, 0 for others
}

// class is one with its score or, when all are known, its probability.
type class struct {
	p     float64
	label int32
}
