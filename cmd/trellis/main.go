// Command trellis computes the NLL, cross-entropy and CTC losses and gradients, alignments and texts
// of a network's output in .npy files. Run "trellis help".
package main

import (
	"os"

	"github.com/gotrellis/trellis/cmd/trellis/command"
)

func main() { os.Exit(command.Main(os.Args[1:])) }
