package lm_test

import (
	"fmt"
	"log"
	"math"
	"strings"

	"github.com/gotrellis/trellis/lm"
)

const bigrams = `\data\
ngram 1=5
ngram 2=3

\1-grams:
-1.0	<unk>
-99	<s>	-0.3
-0.8	</s>
-0.6	the	-0.4
-0.7	cat	-0.2

\2-grams:
-0.2	<s> the
-0.3	the cat
-0.1	cat </s>

\end\
`

func ExampleRead() {
	model, err := lm.Read(strings.NewReader(bigrams)) // or ReadFile("model.arpa.gz")
	if err != nil {
		log.Fatal(err) // such as "lm: line 11: "-0,6" is no logarithm"
	}
	for _, sentence := range []string{"the cat", "cat the"} {
		words := strings.Fields(sentence)
		log := model.LogProb(words)
		fmt.Printf("%s: ln P = %.3f, perplexity %.2f\n", sentence, log, math.Exp(-log/float64(len(words)+1)))
	}
	// Output:
	// the cat: ln P = -1.382, perplexity 1.58
	// cat the: ln P = -6.908, perplexity 10.00
}
