package main

import (
	"regexp"
	"strconv"
	"strings"
)

// architecture is what differs between two of them.
type architecture struct {
	name, triple string
	cpus         []string // whose models to ask
	// steps returns the registers that an instruction moves by a constant or, if
	// the step is byRegister, by a register.
	steps func(text string) map[string]int
	// accesses returns the memory that an instruction works on.
	accesses func(text string) []access
	// assigned matches an instruction that sets a register, its group, whatever the
	// register was before.
	assigned *regexp.Regexp
}

var architectures = []*architecture{
	{"amd64", "x86_64", []string{"znver4", "icelake-server"}, stepsAMD64, accessesAMD64, assignedAMD64},
	{"arm64", "aarch64", []string{"neoverse-v2", "neoverse-n1", "apple-m1"}, stepsARM64, accessesARM64, assignedARM64},
}

func integer(s string) int {
	n, _ := strconv.ParseInt(strings.TrimPrefix(s, "#"), 0, 64)
	return int(n)
}

var (
	addAMD64    = regexp.MustCompile(`^(add|sub)q (?:\$(-?\w+)|%\w+), %(\w+)$`)
	leaAMD64    = regexp.MustCompile(`^leaq (-?\w+)?\(%(\w+)(,.*)?\), %(\w+)$`)
	memoryAMD64 = regexp.MustCompile(`(-?\w+)?\(%(\w+)(?:,%(\w+)(?:,(\d))?)?\)`)
	vectorAMD64 = regexp.MustCompile(`%([xyz])mm`)

	assignedAMD64 = regexp.MustCompile(`^(?:mov|lea)\w* .*, %(\w+)$`)
)

func stepsAMD64(text string) map[string]int {
	if m := addAMD64.FindStringSubmatch(text); m != nil {
		step := byRegister
		if m[2] != "" {
			step = integer(m[2])
		}
		if m[1] == "sub" {
			step = -step
		}
		return map[string]int{m[3]: step}
	}
	if m := leaAMD64.FindStringSubmatch(text); m != nil && m[2] == m[4] {
		if m[3] != "" {
			return map[string]int{m[4]: byRegister}
		}
		return map[string]int{m[4]: integer(m[1])}
	}
	return nil
}

func accessesAMD64(text string) []access {
	m := memoryAMD64.FindStringSubmatch(text)
	if m == nil || strings.HasPrefix(text, "lea") || strings.HasPrefix(text, "prefetch") || m[2] == "rip" {
		return nil
	}
	a := access{base: m[2], index: m[3], scale: max(1, integer(m[4])), offset: m[1], width: 8}
	mnemonic, _, _ := strings.Cut(text, " ")
	switch {
	case strings.HasSuffix(mnemonic, "ss"):
		a.width = 4
	case strings.HasSuffix(mnemonic, "sd"):
	default:
		for _, v := range vectorAMD64.FindAllStringSubmatch(text, -1) {
			a.width = max(a.width, map[string]int{"x": 16, "y": 32, "z": 64}[v[1]])
		}
	}
	return []access{a}
}

var (
	addARM64     = regexp.MustCompile(`^(add|sub)s? (x\d+), (x\d+), (?:(#-?\w+)|x\d+.*)$`)
	memoryARM64  = regexp.MustCompile(`^(.*)\[(x\d+)(?:, (#-?\w+))?(?:, (x\d+)(?:, lsl #(\w+))?)?\](!)?(?:, (?:(#-?\w+)|x\d+))?$`)
	indexedARM64 = regexp.MustCompile(`], (#-?\w+|x\d+)$`)
	operandARM64 = regexp.MustCompile(`\b(?:([qdswx])\d+|v\d+\.(?:(16b|8h|4s|2d)|(8b|4h|2s|1d)|([bhsd])))`)

	assignedARM64 = regexp.MustCompile(`^(?:mov|add|sub|ldr|lsl)\w* (x\d+), `)
)

func stepsARM64(text string) map[string]int {
	if m := addARM64.FindStringSubmatch(text); m != nil && m[2] == m[3] {
		step := byRegister
		if m[4] != "" {
			step = integer(m[4])
		}
		if m[1] == "sub" {
			step = -step
		}
		return map[string]int{m[2]: step}
	}
	m := memoryARM64.FindStringSubmatch(text)
	switch {
	case m == nil:
		return nil
	case m[6] != "": // before the access
		return map[string]int{m[2]: integer(m[3])}
	case m[7] != "":
		return map[string]int{m[2]: integer(m[7])}
	case indexedARM64.MatchString(text): // after it, by a register
		return map[string]int{m[2]: byRegister}
	}
	return nil
}

func accessesARM64(text string) []access {
	m := memoryARM64.FindStringSubmatch(text)
	if m == nil || strings.HasPrefix(text, "prfm") {
		return nil
	}
	a := access{base: m[2], index: m[4], scale: 1 << integer(m[5]), offset: m[3]}
	for _, o := range operandARM64.FindAllStringSubmatch(m[1], -1) {
		switch {
		case o[2] != "":
			a.width += 16
		case o[3] != "":
			a.width += 8
		default:
			a.width += map[string]int{"q": 16, "d": 8, "x": 8, "s": 4, "w": 4, "h": 2, "b": 1}[o[1]+o[4]]
		}
	}
	return []access{a}
}
