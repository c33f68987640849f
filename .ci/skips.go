// Skips reads what go test -json prints and shows what matters: the results of packages, what
// failing tests say, and which tests were skipped, and why. It fails if a test fails and, in CI, if
// one is skipped for a reason that is not expected there. With -short it expects what short mode leaves
// out, too.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// expected returns the reasons for which a test may be skipped on the gate's bare machine. The test data
// may be missing only where no variable says that they are there.
func expected(short bool) *regexp.Regexp {
	reasons := `generic is exp32|the machine lacks it|no llvm-\S+|no PyTorch|no recogniser|ignored by who started the test`
	if os.Getenv("TRELLIS_TESTDATA") == "" {
		reasons += `|TRELLIS_TESTDATA`
	}
	if short {
		reasons += `|slow|few trials are done|the files are the same on every machine`
	}
	return regexp.MustCompile(reasons)
}

// event is a line of go test -json.
type event struct{ Action, Package, Test, Output string }

func main() {
	short := flag.Bool("short", false, "the tests run in short mode")
	flag.Parse()
	expected := expected(*short)
	said, skipped, ok := map[string]string{}, map[string][]string{}, true
	packages := 0
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<30)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Println(lines.Text()) // of the compiler
			ok = false
			continue
		}
		name := e.Package + " " + e.Test
		if e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
			packages++
		}
		switch e.Action {
		case "build-output":
			fmt.Print(e.Output)
		case "output":
			if e.Test != "" {
				said[name] += e.Output
			} else if e.Output != "PASS\n" {
				fmt.Print(e.Output)
			}
		case "fail", "build-fail":
			fmt.Print(said[name])
			ok = false
		case "skip":
			if e.Test != "" {
				why := reason(said[name])
				skipped[why] = append(skipped[why], e.Test)
			}
		}
	}
	reasons := make([]string, 0, len(skipped))
	for why := range skipped {
		reasons = append(reasons, why)
	}
	slices.Sort(reasons)
	for _, why := range reasons {
		fmt.Printf("NOT RUN (%s): %s\n", why, strings.Join(skipped[why], ", "))
		if os.Getenv("CI") != "" && !expected.MatchString(why) {
			fmt.Println("That is not expected in CI: see .ci/skips.go")
			ok = false
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "skips:", err)
		ok = false
	}
	if packages == 0 { // go test failed before any of them, and said so where it is not read
		fmt.Fprintln(os.Stderr, "skips: no package was tested")
		ok = false
	}
	if !ok {
		os.Exit(1)
	}
}

// reason returns what a skipped test says, without the place in its file.
func reason(said string) string {
	_, why, _ := strings.Cut(said, "_test.go:")
	_, why, _ = strings.Cut(why, ": ")
	why, _, _ = strings.Cut(why, "\n")
	return why
}
