// Command figures makes the figure of CTC's documentation that shows no measurement:
// ctc-trellis.svg, the trellis of a short target.
//
//	go -C bench run ./figures -o ../docs
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	folder := flag.String("o", "../docs", "`folder` for the figure")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := os.WriteFile(filepath.Join(*folder, "ctc-trellis.svg"), drawTrellis("cat", 8), 0o666); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}
