package asm

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// program returns random code with branches forward, a loop that is run twice,
// copies and instructions that change an operand.
func program(rng *rand.Rand, registers int) (code []machine, class []regClass) {
	class = make([]regClass, registers+1)
	counter := vreg(registers)
	class[counter] = classR
	any := func() vreg { return vreg(1 + rng.IntN(registers-1)) }
	for r := vreg(1); r < counter; r++ {
		code = append(code, machine{op: nVMOVI, d: r, imm: int64(r)})
	}
	code = append(code, machine{op: nMOVDImm, d: counter, imm: 2}, machine{op: nLabel, symbol: "loop"})
	pending := ""
	for i := range 60 {
		switch rng.IntN(6) {
		case 0:
			code = append(code, machine{op: nVMOV, d: any(), n: any()})
		case 1:
			code = append(code, machine{op: nVFMLA, d: any(), n: any(), m: any()})
		case 2:
			code = append(code, machine{op: nStoreQ, n: any(), a: counter})
		case 3:
			if pending == "" {
				pending = "skip" + string(rune('a'+i))
				code = append(code, machine{op: nTBZ, n: counter, imm: int64(rng.IntN(2)), symbol: pending})
				break
			}
			code = append(code, machine{op: nLabel, symbol: pending})
			pending = ""
		default:
			code = append(code, machine{op: nVADD, d: any(), n: any(), m: any()})
		}
	}
	if pending != "" {
		code = append(code, machine{op: nLabel, symbol: pending})
	}
	return append(code,
		machine{op: nSUBImm, d: counter, n: counter, imm: 1},
		machine{op: nCMPImm, n: counter, imm: 0},
		machine{op: nBGT, symbol: "loop"},
		machine{op: nRET}), class
}

// run interprets a program, of which the register r is number at(r), and returns
// what it stores.
func run(code []machine, at func(class regClass, r vreg) int, class []regClass) (stored []int64) {
	var registers [2][256]int64
	reg := func(r vreg) *int64 { return &registers[class[r]][at(class[r], r)] }
	labels := map[string]int{}
	for i := range code {
		if code[i].op == nLabel {
			labels[code[i].symbol] = i
		}
	}
	var flag int64
	for i := 0; i < len(code); i++ {
		x := &code[i]
		switch x.op {
		case nVMOVI, nMOVDImm:
			*reg(x.d) = x.imm
		case nVMOV:
			*reg(x.d) = *reg(x.n)
		case nVADD:
			*reg(x.d) = *reg(x.n) + 3**reg(x.m)
		case nVFMLA:
			*reg(x.d) += 5**reg(x.n) + 7**reg(x.m)
		case nStoreQ:
			stored = append(stored, *reg(x.n), *reg(x.a))
		case nSUBImm:
			*reg(x.d) = *reg(x.n) - x.imm
		case nCMPImm:
			flag = *reg(x.n) - x.imm
		case nTBZ:
			if *reg(x.n)>>x.imm&1 == 0 {
				i = labels[x.symbol]
			}
		case nBGT:
			if flag > 0 {
				i = labels[x.symbol]
			}
		}
	}
	return stored
}

// Random programs store the same on virtual and on physical registers.
func TestAllocateRandomPrograms(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	allocated := 0
	for i := range 400 {
		code, class := program(rng, 20+rng.IntN(40))
		want := run(code, func(_ regClass, r vreg) int { return int(r) }, class)
		got, physical, err := allocate(code, class, i%2 == 0)
		if err != nil {
			require.ErrorContains(t, err, "out of vector registers")
			continue
		}
		allocated++
		require.Equal(t, want, run(got, func(_ regClass, r vreg) int { return physical[r] }, class))
	}
	require.Greater(t, allocated, 200)
}
