package tokens_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/gotrellis/trellis/tokens"
)

func Example() {
	v, err := tokens.Parse([]byte("<blank>\n|\na\nc\nt\n")) // or ReadFile
	if err != nil {
		log.Fatal(err)
	}
	labels, err := v.Encode("a cat")
	if err != nil {
		log.Fatal(err)
	}
	text, _ := v.Decode(labels)
	words, _ := v.Words(labels)
	fmt.Println("blank:", v.Blank)
	fmt.Println(labels, text, words)
	// Output:
	// blank: 0
	// [2 1 3 2 4] a cat [{a 0 1} {cat 2 5}]
}

// The tokens of many networks are upper case, and have no digits.
func ExampleVocabulary_Encode() {
	v, err := tokens.New([]string{"<pad>", "<unk>", "|", "A", "C", "T"})
	if err != nil {
		log.Fatal(err)
	}
	v.Case = tokens.Upper
	_, err = v.Encode("Act 1")
	var unknown *tokens.UnknownError
	if errors.As(err, &unknown) {
		fmt.Printf("%q has no token, behind %d characters\n", unknown.Rune, unknown.Index)
	}
	v.MapUnknown = true
	fmt.Println(v.Encode("Act 1"))
	// Output:
	// '1' has no token, behind 4 characters
	// [3 4 5 2 1] <nil>
}

// SentencePiece's tokens begin with "▁" where words begin.
func ExampleVocabulary_Words() {
	v, err := tokens.Parse([]byte("<blk> 0\n▁the 1\n▁c 2\nat 3\n▁s 4\n"))
	if err != nil {
		log.Fatal(err)
	}
	labels, err := v.Encode("the cat sat")
	if err != nil {
		log.Fatal(err)
	}
	words, _ := v.Words(labels)
	for _, w := range words {
		fmt.Println(w.Text, labels[w.Start:w.End])
	}
	// Output:
	// the [1]
	// cat [2 3]
	// sat [4 3]
}
