// Package tokens turns text into the labels of a network's classes, and labels into text.
//
// A Vocabulary has the token of every class: a character, several characters, or a piece of a
// word. Parse reads the files in which networks come with their tokens: one token a line,
// "token id" lines, and the vocab.json of Hugging Face.
//
//	v, err := tokens.ReadFile("tokens.txt")
//	labels, err := v.Encode("hello world")  // for trellis.CTCLoss
//	text, err := v.Decode(labels)           // hello world
//	words, err := v.Words(labels)           // which labels are hello, and which are world
//
// # Spaces and words
//
// A space of the text is the first of the tokens " ", "<space>", "|" and "▁" that there is, so
// "|" is a plain character where another token is the space. Where tokens begin with "▁" and go
// on, as those of SentencePiece do, "▁" is the beginning of a word: one is put before each word
// of the text, and how many spaces are between words does not matter.
//
// # The blank and unknown characters
//
// Encode never gives the blank, whatever its token looks like. A character that no token has is
// an *UnknownError, or with MapUnknown the class of "<unk>".
package tokens
