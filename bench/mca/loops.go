package main

import (
	"regexp"
	"strconv"
	"strings"
)

// loop is an innermost loop of a kernel.
type loop struct {
	kernel   string
	offset   uint64   // of its first instruction in the kernel
	body     []string // in LLVM's syntax, comments left out
	elements int      // of one turn; 0 if unknown
}

// instruction is one line of a disassembly.
type instruction struct {
	address, target uint64 // target only of a jump
	text            string
}

var (
	functionLine    = regexp.MustCompile(`^[0-9a-f]+ <(.+)>:$`)
	instructionLine = regexp.MustCompile(`^\s*([0-9a-f]+):\s+(.+)$`)
	// A comment, or the name of what an address points to.
	remark = regexp.MustCompile(`\s*(#\s|//|;|<).*$`)
	jump   = regexp.MustCompile(`^(?:j\w+|b(?:\.\w+)?|cbn?z|tbn?z)\s.*?(0x[0-9a-f]+)$`)
	spaces = regexp.MustCompile(`\s+`)
)

// parse returns the innermost loops in a listing of llvm-objdump.
func (a *architecture) parse(listing string) (loops []loop) {
	var kernel string
	var code []instruction
	flush := func() {
		loops = append(loops, a.innermost(kernel, code)...)
		code = nil
	}
	for line := range strings.Lines(listing) {
		line = strings.TrimRight(line, "\n")
		if m := functionLine.FindStringSubmatch(line); m != nil {
			flush()
			if kernel = m[1]; kernelName.MatchString(kernel) {
				kernel = kernelName.FindStringSubmatch(kernel)[1]
			}
		} else if m := instructionLine.FindStringSubmatch(line); m != nil {
			i := instruction{text: spaces.ReplaceAllString(remark.ReplaceAllString(m[2], ""), " ")}
			i.address, _ = strconv.ParseUint(m[1], 16, 64)
			if to := jump.FindStringSubmatch(i.text); to != nil {
				i.target, _ = strconv.ParseUint(to[1], 0, 64)
			}
			code = append(code, i)
		}
	}
	flush()
	return loops
}

// innermost returns the loops that contain no other: from where a jump goes back to,
// to the jump.
func (a *architecture) innermost(kernel string, code []instruction) (loops []loop) {
	for last, i := range code {
		if i.target == 0 || i.target > i.address {
			continue
		}
		first := last
		inner := true
		for ; first > 0 && code[first].address > i.target; first-- {
			b := code[first-1]
			inner = inner && !(b.target >= i.target && b.target != 0 && b.target <= b.address)
		}
		if code[first].address != i.target || !inner {
			continue
		}
		l := loop{kernel: kernel, offset: i.target - code[0].address}
		for _, i := range code[first : last+1] {
			l.body = append(l.body, i.text)
		}
		l.elements = a.elements(l)
		loops = append(loops, l)
	}
	return loops
}

// elementSize returns the bytes of an element of a kernel.
func elementSize(kernel string) int {
	if strings.Contains(kernel, "F32") || strings.Contains(kernel, "Index") {
		return 4
	}
	return 8
}

// access is memory that an instruction works on.
type access struct {
	base, index string // registers; index may be empty
	scale       int    // of the index
	offset      string
	width       int // in bytes
}

// byRegister is the step of a register that another one is added to.
const byRegister = 0

// sweep matches the kernels whose elements are states. Their rows of states move by strides, beside what moves by a
// number for each frame.
var sweep = regexp.MustCompile(`^(forward|backward)(NEON|AVX2|AVX512)$`)

// elements returns how many elements one turn of a loop works on, by how far it moves
// what it addresses memory with.
func (a *architecture) elements(l loop) int {
	size := elementSize(l.kernel)
	steps := map[string]int{}
	var accesses []access
	var fresh []string // registers that do not keep what they were in the last turn
	for _, text := range l.body {
		moved := a.steps(text)
		for register, step := range moved {
			steps[register] += step
		}
		if m := a.assigned.FindStringSubmatch(text); m != nil {
			if _, moves := moved[m[1]]; !moves {
				fresh = append(fresh, m[1])
			}
		}
		accesses = append(accesses, a.accesses(text)...)
	}
	for _, register := range fresh {
		delete(steps, register)
	}

	// The other arrays of a float32 kernel may be of float64, those of a float64
	// kernel of int32, so that what counts is the shortest or the longest way.
	elements := 0
	byNumbers := accesses
	if sweep.MatchString(l.kernel) {
		byNumbers = nil
	}
	for _, m := range byNumbers {
		n := steps[m.base] / size
		if step, moves := steps[m.index]; m.index != "" && moves {
			n = step * m.scale / size
			if m.scale > 1 {
				n = step
			}
		}
		n = max(n, -n)
		if n > 0 && (elements == 0 || size == 4 && n < elements || size == 8 && n > elements) {
			elements = n
		}
	}
	if elements > 0 {
		return elements
	}

	// A pointer that moves by strides moves past what the loop does not touch.
	bytes := map[string]int{}
	seen := map[access]bool{}
	for _, m := range accesses {
		key := access{base: m.base, offset: m.offset} // read and written counts once
		if step, moves := steps[m.base]; moves && step == byRegister && !seen[key] {
			seen[key] = true
			bytes[m.base] += m.width
			elements = max(elements, bytes[m.base]/size)
		}
	}
	return elements
}
