// Command mca prints what the innermost loops of the assembly kernels cost on
// processors that need not be at hand: cycles per element, as llvm-mca computes them
// from its models, all data in the first-level cache.
//
//	go -C bench run ./mca
//	go -C bench run ./mca -arch arm64 -only sumExp
//
// It builds the test binary of trellis for each architecture, takes every loop that
// contains no other from the disassembly of every kernel, and gives it to llvm-mca as
// a straight line: a jump inside of a loop counts as not taken. A loop for the rest
// of a row counts as if its vectors were full. LLVM is needed; the version is part of
// its tools' names on Debian, hence -llvm.
package main

import (
	"debug/elf"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

const module = "github.com/gotrellis/trellis"

func main() {
	arch := flag.String("arch", "", "only this `architecture`: amd64 or arm64")
	only := flag.String("only", "", "only the kernels whose `name` matches this regular expression")
	llvm := flag.String("llvm", "-19", "`suffix` of the names of LLVM's tools")
	flag.Parse()
	if err := run(os.Stdout, *arch, *only, *llvm); err != nil {
		fmt.Fprintln(os.Stderr, "mca:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, arch, only, llvm string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "mca")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)

	var chosen []*architecture
	for _, a := range architectures {
		if arch == "" || arch == a.name {
			chosen = append(chosen, a)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no architecture %q", arch)
	}

	header := table.Row{"kernel", "loop", "elements"}
	for _, a := range chosen {
		for _, cpu := range a.cpus {
			header = append(header, cpu)
		}
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder = false
	t.Style().Options.SeparateColumns = false
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(header)
	var columns []table.ColumnConfig
	for i := 2; i <= len(header); i++ {
		columns = append(columns, table.ColumnConfig{Number: i, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)

	first := 3 // column of the first processor of an architecture
	for _, a := range chosen {
		loops, err := loopsOf(a, folder, pattern, llvm)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		rows := make([]table.Row, len(loops))
		for i, l := range loops {
			rows[i] = table.Row{l.kernel, fmt.Sprintf("+%#x", l.offset)}
			for len(rows[i]) < len(header) {
				rows[i] = append(rows[i], "")
			}
			if l.elements > 0 {
				rows[i][2] = l.elements
			}
		}
		for c, cpu := range a.cpus {
			cycles, err := simulate("llvm-mca"+llvm, a.triple, cpu, loops)
			if err != nil {
				return fmt.Errorf("%s: %w", cpu, err)
			}
			for i, l := range loops {
				if l.elements > 0 {
					rows[i][first+c] = fmt.Sprintf("%.3f", cycles[i]/float64(l.elements))
				}
			}
		}
		first += len(a.cpus)
		t.AppendRows(rows)
		if len(rows) == 0 {
			fmt.Fprintf(os.Stderr, "mca: no kernels for %s\n", a.name)
		}
	}
	fmt.Fprintln(out, t.Render())
	fmt.Fprintln(out, "\nCycles per element, which is a state in forward and backward. elements: of one turn of the loop, where its memory tells.")
	return nil
}

// kernelName matches the symbols of the assembly kernels.
var kernelName = regexp.MustCompile(`^` + regexp.QuoteMeta(module) + `\.(\w+(?:NEON|AVX2|AVX512))(?:\.abi0)?$`)

// loopsOf returns the innermost loops of the kernels that match.
func loopsOf(a *architecture, folder string, only *regexp.Regexp, llvm string) ([]loop, error) {
	root, err := output(exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module))
	if err != nil {
		return nil, err
	}
	// Linux, because its executables are what debug/elf reads; Go's objects are
	// nothing that LLVM's tools read.
	binary := filepath.Join(folder, a.name)
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Dir = strings.TrimSpace(root)
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+a.name, "CGO_ENABLED=0")
	if _, err := output(build); err != nil {
		return nil, err
	}
	file, err := elf.Open(binary)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	symbols, err := file.Symbols()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range symbols {
		if m := kernelName.FindStringSubmatch(s.Name); m != nil && only.MatchString(m[1]) {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 { // without names everything would be disassembled
		return nil, nil
	}
	listing, err := output(exec.Command("llvm-objdump"+llvm, "-d", "--no-show-raw-insn",
		"--disassemble-symbols="+strings.Join(names, ","), binary))
	if err != nil {
		return nil, err
	}
	return a.parse(listing), nil
}

// output runs a command; what it says on stderr becomes part of the error.
func output(cmd *exec.Cmd) (string, error) {
	var says strings.Builder
	cmd.Stderr = &says
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd.Args[0], err, says.String())
	}
	return string(out), nil
}
