package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"

	"github.com/gotrellis/trellis"
	"github.com/gotrellis/trellis/bench/internal/results"
)

// thisMachine describes the machine; a name for its processor replaces the system's.
func thisMachine(name string) results.Machine {
	m := results.Machine{
		Processor: name,
		Cores:     runtime.GOMAXPROCS(0),
		Caches:    caches("/sys/devices/system/cpu/cpu0/cache"),
		OS:        runtime.GOOS,
		Arch:      runtime.GOARCH,
		Go:        runtime.Version(),
		Tiers:     trellis.Tiers(),
	}
	if cpus, err := cpu.Info(); name == "" && err == nil && len(cpus) > 0 {
		m.Processor = strings.TrimSpace(cpus[0].ModelName)
	}
	if m.Processor == "" {
		m.Processor = runtime.GOARCH
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		m.Trellis = revision(info.Settings)
	}
	return m
}

// revision returns the commit that was built, with a mark if it was changed, or nothing
// if that is not known.
func revision(settings []debug.BuildSetting) (commit string) {
	changed := ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", changed"
		}
	}
	if commit == "" {
		return ""
	}
	return commit + changed
}

// version returns that of a module that is built in.
func version(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return m.Version
			}
		}
	}
	return ""
}

// caches reads the sizes of a core's caches for data from a folder that Linux has; there
// are none elsewhere.
func caches(folder string) (sizes []int) {
	for level := 1; ; level++ {
		size := 0
		entries, _ := filepath.Glob(filepath.Join(folder, "index*"))
		for _, e := range entries {
			read := func(name string) string {
				text, _ := os.ReadFile(filepath.Join(e, name))
				return strings.TrimSpace(string(text))
			}
			if read("level") == strconv.Itoa(level) && read("type") != "Instruction" {
				var unit string
				if _, err := fmt.Sscanf(read("size"), "%d%s", &size, &unit); err != nil {
					return sizes
				}
				size *= map[string]int{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[unit]
			}
		}
		if size == 0 {
			return sizes
		}
		sizes = append(sizes, size)
	}
}
