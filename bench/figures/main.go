// Command figures makes the figures of CTC's documentation.
//
//	go -C bench run ./figures -o ../docs
//
// ctc-lattice.svg is the lattice of a short target. ctc-error.svg is how far float32
// gradients are from those in float64, of trellis and of PyTorch; its numbers are in
// ctc-error.csv. Without PyTorch these two are left as they are.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gotrellis/trellis/bench/internal/side"
)

func main() {
	folder := flag.String("o", "../docs", "`folder` for the figures; made if there is none")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*folder); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "ctc-lattice.svg"), drawLattice("cat", 8), 0o666); err != nil {
		return err
	}

	peer, err := side.StartPyTorch("cpu")
	if err != nil {
		return err
	}
	if peer == nil {
		return errors.New("no PyTorch: ctc-error.svg and ctc-error.csv are left as they are")
	}
	defer peer.Close()
	points, err := measure(peer, os.Stdout)
	if err != nil {
		return err
	}
	figure, err := drawErrors(points, peer.About)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "ctc-error.svg"), figure, 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "ctc-error.csv"), table(points), 0o666)
}
