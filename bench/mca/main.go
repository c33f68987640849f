// Command mca prints what the innermost loops of the assembly kernels cost on
// processors that need not be at hand: cycles per element, as llvm-mca computes them
// from its models, all data in the first-level cache.
//
//	go -C bench run ./mca
//	go -C bench run ./mca -arch arm64 -only sumExp
//	go -C bench run ./mca -json results/mca.json
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

	"github.com/gotrellis/trellis/bench/internal/results"
)

const module = "github.com/gotrellis/trellis"

func main() {
	arch := flag.String("arch", "", "only this `architecture`: amd64 or arm64")
	only := flag.String("only", "", "only the kernels whose `name` matches this regular expression")
	llvm := flag.String("llvm", "-19", "`suffix` of the names of LLVM's tools")
	file := flag.String("json", "", "write the loops to this `file`, too")
	flag.Parse()
	if err := run(os.Stdout, *arch, *only, *llvm, *file); err != nil {
		fmt.Fprintln(os.Stderr, "mca:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, arch, only, llvm, file string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	models, err := model(arch, pattern, llvm)
	if err != nil {
		return err
	}
	writeTable(out, models)
	if file == "" {
		return nil
	}
	return models.Write(file)
}

// model asks the models of the chosen architectures, of all if arch is empty, about the
// loops of the kernels that match.
func model(arch string, only *regexp.Regexp, llvm string) (m results.Models, err error) {
	version, err := output(exec.Command("llvm-mca"+llvm, "--version"))
	if err != nil {
		return m, err
	}
	m.Tool = "llvm-mca " + versionNumber.FindString(version)
	folder, err := os.MkdirTemp("", "mca")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(folder)
	chosen := false
	for _, a := range architectures {
		if arch != "" && arch != a.name {
			continue
		}
		chosen = true
		loops, err := loopsOf(a, folder, only, llvm)
		if err != nil {
			return m, fmt.Errorf("%s: %w", a.name, err)
		}
		if len(loops) == 0 {
			fmt.Fprintf(os.Stderr, "mca: no kernels for %s\n", a.name)
		}
		first := len(m.Loops)
		for _, l := range loops {
			m.Loops = append(m.Loops, results.Loop{
				Kernel: l.kernel, Offset: l.offset, Elements: l.elements, Instructions: len(l.body), Cycles: map[string]float64{},
			})
		}
		for _, cpu := range a.cpus {
			cycles, err := simulate("llvm-mca"+llvm, a.triple, cpu, loops)
			if err != nil {
				return m, fmt.Errorf("%s: %w", cpu, err)
			}
			for i, c := range cycles {
				m.Loops[first+i].Cycles[cpu] = c
			}
		}
		m.CPUs = append(m.CPUs, a.cpus...)
	}
	if !chosen {
		return m, fmt.Errorf("no architecture %q", arch)
	}
	return m, nil
}

var versionNumber = regexp.MustCompile(`\d+\.[\d.]+`)

func writeTable(out io.Writer, m results.Models) {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder = false
	t.Style().Options.SeparateColumns = false
	t.Style().Format.Header = text.FormatDefault
	header := table.Row{"kernel", "loop", "elements"}
	for _, cpu := range m.CPUs {
		header = append(header, cpu)
	}
	t.AppendHeader(header)
	var columns []table.ColumnConfig
	for i := 2; i <= len(header); i++ {
		columns = append(columns, table.ColumnConfig{Number: i, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	for _, l := range m.Loops {
		row := table.Row{l.Kernel, fmt.Sprintf("+%#x", l.Offset), ""}
		if l.Elements > 0 {
			row[2] = l.Elements
		}
		for _, cpu := range m.CPUs {
			cell := ""
			if cycles, ok := l.Cycles[cpu]; ok && l.Elements > 0 {
				cell = fmt.Sprintf("%.3f", cycles/float64(l.Elements))
			}
			row = append(row, cell)
		}
		t.AppendRow(row)
	}
	fmt.Fprintln(out, t.Render())
	fmt.Fprintln(out, "\nCycles per element, which is a state in forward and backward. elements: of one turn of the loop, where its memory tells.")
}

// kernelName matches the symbols of the assembly kernels, in whatever package they are.
var kernelName = regexp.MustCompile(`^` + regexp.QuoteMeta(module) + `[\w/]*\.(\w+(?:NEON|AVX2|AVX512))(?:\.abi0)?$`)

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
