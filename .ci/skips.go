// Skips reads what go test -json prints and shows what matters: the results of packages, what
// failing tests say, and which tests were skipped, and why. It fails if a test fails and, in CI, if
// one is skipped for a reason that is not expected there.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// expected are the reasons for which a test may be skipped on the gate's bare machine. What short
// mode leaves out is not among them.
var expected = regexp.MustCompile(`generic is exp32|the machine lacks it|no llvm-\S+|no PyTorch|ignored by who started the test|TRELLIS_TESTDATA`)

// event is a line of go test -json.
type event struct{ Action, Package, Test, Output string }

func main() {
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
