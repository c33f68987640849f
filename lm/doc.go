// Package lm has what package decode can ask about a text while it reads it: n-gram language
// models, lexicons, and words to look out for. Each is a decode.Scorer, and one can have several.
//
//	model, err := lm.ReadFile("3-gram.arpa.gz")
//	beam := decode.Beam[float32]{Threshold: 0.001, Scorers: []decode.Scorer{
//		lm.NewWords(model, tokens, lm.Weights{LM: 0.5, Word: 1.5}),
//		lm.NewHotwords([]lm.Hotword{{Text: "trellis", Weight: 10}}, tokens),
//	}}
//
// # Tokens and words
//
// tokens has the token of every class; classes beyond add no text. The first of " ", "<space>", "|" and "▁" that is a token
// stands between words. A token that begins with "▁" begins a word, too, as SentencePiece has it. All
// other tokens are a part of a word, of one character or several. Without any of these a text is one word.
package lm
