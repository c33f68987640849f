// Package decode reads text from the scores of a CTC network: the labels, when each was said, and how
// surely.
//
// [Greedy] takes the largest class of each frame, merges repeated ones and drops blanks. It is all that a
// sure network needs, and from log-probabilities of many classes as fast as memory can be read. [Beam] adds
// up all paths that spell a text, keeps the best beginnings of texts in every frame, and returns the best
// texts. It asks [Scorer]s: language models, lexicons and hotwords of package lm, or one's own. [Stream]
// does the same with frames that come in pieces.
//
// Labels are classes. Package tokens makes text of them.
//
// Results are the same bits on every machine, for every tier of kernels and every number of workers,
// and for a stream however it is cut. Texts with equal scores are ordered by their labels.
// docs/decoding.md explains the method, its options and its cost.
package decode
