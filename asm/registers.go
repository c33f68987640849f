package asm

import (
	"fmt"
	"math/bits"
	"slices"
)

// Registers of arm64 are allocated by colouring the interference graph: two
// virtual registers interfere if one is written while the other is live, unless
// the one is being copied to the other. Copies whose ends do not interfere
// are made one register first, so that lowering may copy wherever an instruction
// destroys its operand. There is no spilling: a kernel that needs more registers
// than there are has no code.

// vreg is a virtual register.
type vreg int32

const noReg vreg = 0

type regClass uint8

const (
	classV regClass = iota // vectors
	classR                 // integers
)

// physical has the registers of each class. R18 belongs to the platform, R27 to
// the assembler, R28 is the goroutine, R29 the frame pointer, R30 the link.
var physical = [...][]int{
	classV: {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
		16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
	},
	classR: {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
		16, 17, 19, 20, 21, 22, 23, 24, 25, 26,
	},
}

// machine is one instruction on virtual registers.
type machine struct {
	op            neonOp
	wide          bool
	d, e, n, m, a vreg
	imm           int64
	symbol        string
	constant      *[2]uint64 // in the pool, its address is a + the constant's offset
	from          int        // the kernel's instruction
	depth         int        // of loops around it
}

// reads calls f for every register that the instruction reads.
func (x *machine) reads(f func(vreg)) {
	for _, r := range [...]vreg{x.n, x.m, x.a} {
		if r != noReg {
			f(r)
		}
	}
	if x.op.is(readsDst) {
		f(x.d)
	}
}

// writes calls f for every register that the instruction writes.
func (x *machine) writes(f func(vreg)) {
	for _, r := range [...]vreg{x.d, x.e} {
		if r != noReg {
			f(r)
		}
	}
	if x.op.is(movesBase) {
		f(x.a)
	}
}

// regSet is a set of virtual registers.
type regSet []uint64

func newRegSet(n int) regSet     { return make(regSet, (n+63)/64) }
func (s regSet) has(r vreg) bool { return s[r>>6]>>(r&63)&1 != 0 }
func (s regSet) add(r vreg)      { s[r>>6] |= 1 << (r & 63) }
func (s regSet) remove(r vreg)   { s[r>>6] &^= 1 << (r & 63) }
func (s regSet) each(f func(r vreg)) {
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			f(vreg(i<<6 + bits.TrailingZeros64(w)))
		}
	}
}

// union adds t to s and reports whether s has grown.
func (s regSet) union(t regSet) bool {
	grown := false
	for i, w := range t {
		if w&^s[i] != 0 {
			s[i] |= w
			grown = true
		}
	}
	return grown
}

// allocation is the state of allocating the registers of one kernel.
type allocation struct {
	code    []machine
	class   []regClass
	liveOut []regSet // after each instruction
	edges   []regSet // of the interference graph
	leader  []vreg   // that a register was joined to
}

// allocate gives every virtual register a physical one. Dead code and copies
// within one register are dropped from the code that it returns.
func allocate(code []machine, class []regClass, conservative bool) ([]machine, []int, error) {
	a := &allocation{code: code, class: class}
	for a.live(); a.dropDead(); {
		a.live()
	}
	a.interfere()
	a.join(conservative)
	colors, failed := a.color()
	if failed != noReg {
		return nil, nil, a.shortage(class[failed])
	}
	for r := range colors {
		colors[r] = colors[a.find(vreg(r))]
	}
	kept := slices.DeleteFunc(slices.Clone(a.code), func(x machine) bool {
		return x.op.is(isMove) && colors[x.d] == colors[x.n]
	})
	return kept, colors, nil
}

// live finds which registers are live after each instruction.
func (a *allocation) live() {
	at := map[string]int{}
	for i := range a.code {
		if a.code[i].op == nLabel {
			at[a.code[i].symbol] = i
		}
	}
	n := len(a.class)
	a.liveOut = make([]regSet, len(a.code))
	for i := range a.liveOut {
		a.liveOut[i] = newRegSet(n)
	}
	in := map[string]regSet{} // at labels
	for l := range at {
		in[l] = newRegSet(n)
	}
	for grown := true; grown; {
		grown = false
		now := newRegSet(n)
		for i := len(a.code) - 1; i >= 0; i-- {
			x := &a.code[i]
			if x.op == nB || x.op == nRET {
				clear(now)
			}
			if x.op.isBranch() {
				now.union(in[x.symbol])
			}
			copy(a.liveOut[i], now)
			x.writes(now.remove)
			x.reads(now.add)
			if x.op == nLabel && in[x.symbol].union(now) {
				grown = true
			}
		}
	}
}

// dropDead removes instructions whose results are not read.
func (a *allocation) dropDead() bool {
	var kept []machine
	for i := range a.code {
		x := &a.code[i]
		needed := x.op.is(hasEffect)
		x.writes(func(r vreg) { needed = needed || a.liveOut[i].has(r) })
		if needed {
			kept = append(kept, *x)
		}
	}
	dropped := len(kept) < len(a.code)
	a.code = kept
	return dropped
}

// interfere builds the graph.
func (a *allocation) interfere() {
	n := len(a.class)
	a.edges = make([]regSet, n)
	a.leader = make([]vreg, n)
	for r := range a.edges {
		a.edges[r] = newRegSet(n)
		a.leader[r] = vreg(r)
	}
	edge := func(r, s vreg) {
		if r != s && a.class[r] == a.class[s] {
			a.edges[r].add(s)
			a.edges[s].add(r)
		}
	}
	for i := range a.code {
		x := &a.code[i]
		x.writes(func(w vreg) {
			a.liveOut[i].each(func(r vreg) {
				if !x.op.is(isMove) || r != x.n {
					edge(w, r)
				}
			})
			x.writes(func(v vreg) { edge(w, v) }) // even if one is not read
		})
	}
}

func (a *allocation) find(r vreg) vreg {
	for a.leader[r] != r {
		r = a.leader[r]
	}
	return r
}

func (a *allocation) degree(r vreg) int {
	d := 0
	for _, w := range a.edges[r] {
		d += bits.OnesCount64(w)
	}
	return d
}

// join makes the ends of copies one register, those in the innermost loops first.
// If it is conservative it keeps to those that cannot make the graph harder to
// color (Briggs, Cooper and Torczon 1994): with fewer neighbors of high degree
// than there are registers.
func (a *allocation) join(conservative bool) {
	var moves []*machine
	for i := range a.code {
		if a.code[i].op.is(isMove) {
			moves = append(moves, &a.code[i])
		}
	}
	slices.SortStableFunc(moves, func(x, y *machine) int { return y.depth - x.depth })
	for _, x := range moves {
		r, s := a.find(x.d), a.find(x.n)
		if r == s || a.edges[r].has(s) {
			continue
		}
		if conservative {
			both := slices.Clone(a.edges[r])
			both.union(a.edges[s])
			high := 0
			both.each(func(t vreg) {
				if a.degree(t) >= len(physical[a.class[r]]) {
					high++
				}
			})
			if high >= len(physical[a.class[r]]) {
				continue
			}
		}
		a.leader[s] = r
		a.edges[s].each(func(t vreg) {
			a.edges[t].remove(s)
			a.edges[t].add(r)
			a.edges[r].add(t)
		})
		clear(a.edges[s])
	}
}

// color gives the leaders physical registers, or returns a register for which
// there is none.
func (a *allocation) color() (colors []int, failed vreg) {
	n := len(a.class)
	colors = make([]int, n)
	degree := make([]int, n)
	left := newRegSet(n)
	for r := range n {
		colors[r] = -1
		if r != int(noReg) && a.leader[r] == vreg(r) {
			degree[r] = a.degree(vreg(r))
			left.add(vreg(r))
		}
	}
	// Registers with few neighbors are taken off first: they can be colored
	// whatever the others get. When there are none, the one with the most
	// neighbors goes, and may be lucky.
	var stack []vreg
	for {
		next, most := noReg, noReg
		left.each(func(r vreg) {
			if next == noReg && degree[r] < len(physical[a.class[r]]) {
				next = r
			}
			if most == noReg || degree[r] > degree[most] {
				most = r
			}
		})
		if next == noReg {
			next = most
		}
		if next == noReg {
			break
		}
		left.remove(next)
		stack = append(stack, next)
		a.edges[next].each(func(s vreg) { degree[s]-- })
	}
	for i := len(stack) - 1; i >= 0; i-- {
		r := stack[i]
		taken := map[int]bool{}
		a.edges[r].each(func(s vreg) { taken[colors[s]] = true })
		for _, p := range physical[a.class[r]] {
			if !taken[p] {
				colors[r] = p
				break
			}
		}
		if colors[r] < 0 {
			return nil, r
		}
	}
	return colors, noReg
}

// shortageError tells where the most registers are live.
type shortageError struct {
	class regClass
	from  int // the kernel's instruction
	live  int
}

func (e *shortageError) Error() string {
	return fmt.Sprintf("out of %s registers: of %d, %d are live at instruction %d",
		[...]string{"vector", "integer"}[e.class], len(physical[e.class]), e.live, e.from)
}

func (a *allocation) shortage(class regClass) error {
	worst := &shortageError{class: class}
	for i := range a.code {
		live := slices.Clone(a.liveOut[i])
		a.code[i].writes(live.add)
		n := 0
		live.each(func(r vreg) {
			if a.class[r] == class {
				n++
			}
		})
		if n > worst.live {
			worst.live, worst.from = n, a.code[i].from
		}
	}
	return worst
}
