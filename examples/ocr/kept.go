package main

import (
	_ "embed"
	"encoding/json"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/tokens"
)

// keptJSON is what the recogniser has written for the example, of those classes that are likely in some
// frame. go test -update, with cgo, writes it anew.
//
//go:embed kept.json
var keptJSON []byte

// kept is that.
type kept struct {
	Tokens        []string
	Probabilities [][]float32 // of each frame
}

// keptLine returns the example as the recogniser saw it.
func keptLine() (line, error) {
	var k kept
	if err := json.Unmarshal(keptJSON, &k); err != nil {
		return line{}, err
	}
	vocabulary, err := tokens.New(k.Tokens)
	if err != nil {
		return line{}, err
	}
	picture, err := drawText(example)
	if err != nil {
		return line{}, err
	}
	emissions := trellis.Tensor[float32]{Shape: []int{len(k.Probabilities), len(k.Tokens)}}
	for _, frame := range k.Probabilities {
		emissions.Data = append(emissions.Data, frame...)
	}
	return line{scale(picture), example, emissions, vocabulary}, nil
}
