package results

import "fmt"

// Models is what models of processors say of the kernels' inner loops: no measurement.
type Models struct {
	Tool  string   `json:"tool"` // with its version
	CPUs  []string `json:"cpus"`
	Loops []Loop   `json:"loops"`
}

// Loop is an innermost loop of a kernel.
type Loop struct {
	Kernel       string             `json:"kernel"`
	Offset       uint64             `json:"offset"`             // of its first instruction in the kernel
	Elements     int                `json:"elements,omitempty"` // of one turn; 0 if unknown
	Instructions int                `json:"instructions"`
	Cycles       map[string]float64 `json:"cycles"` // of one turn, by processor
}

// ReadModels reads a file.
func ReadModels(name string) (m Models, err error) {
	if err := read(name, &m); err != nil {
		return m, err
	}
	if len(m.Loops) == 0 {
		return m, fmt.Errorf("%s: no loops of bench/mca", name)
	}
	return m, nil
}

// Write writes a file.
func (m Models) Write(name string) error { return write(name, m) }
