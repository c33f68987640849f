package asm

import (
	"fmt"
	"strconv"
	"strings"
)

// goRelease is the Go release whose assembler reads the generated files, as in
// go.mod: 1.26. It is told what it knows by name, the rest as words.
const goRelease = 26

// neonOp is an instruction of arm64, a row of neonTable.
type neonOp uint8

const (
	nVMOV neonOp = iota
	nVMOVI
	nVAND
	nVORR
	nVBIC
	nVBSL
	nVBIT
	nVBIF
	nVADD
	nVSUB
	nVSMAX
	nVSMIN
	nVUMAX
	nVCMGT
	nVCMEQ
	nVSHL
	nVUSHR
	nVFADD
	nVFSUB
	nVFMUL
	nVFDIV
	nVFMAX
	nVFMIN
	nVFMAXNM
	nVFMINNM
	nVFADDP
	nVFMAXNMP
	nVFMLA
	nVFMLS
	nVFRINTN
	nVFCMGT
	nVFCMEQ
	nVFCVTL
	nVFCVTL2
	nVFCVTN
	nVFCVTN2
	nVSXTL
	nVSXTL2
	nVSHRN
	nVUZP1B
	nVUZP1H
	nVUZP1S
	nVZIP1S
	nVZIP2S
	nVZIP1D
	nVZIP2D
	nVEXT
	nVDUPS0
	nVDUPS1
	nVDUPS2
	nVDUPS3
	nVDUPD0
	nVDUPD1
	nVDUPR
	nFMOVDR
	nVMOVD1R
	nLoadS
	nLoadD
	nLoadQ
	nLoadPQ
	nLoadDBack
	nLoadQBack
	nLoadPQBack
	nLoadLaneS
	nLoadSIndex
	nLoadSIndexW
	nLoadDIndex
	nStoreS
	nStoreD
	nStoreQ
	nStorePQ
	nStoreDOn
	nStoreQOn
	nStorePQOn
	nPRFM
	nPRFM2
	nLoadFS
	nLoadFD
	nStoreFS
	nStoreFD
	nMOVD
	nMOVDImm
	nMOVDAddr
	nLoadRB
	nLoadRBU
	nLoadRH
	nLoadRHU
	nLoadRW
	nLoadRWU
	nLoadRD
	nStoreRB
	nStoreRH
	nStoreRW
	nStoreRD
	nLoadW
	nLoadX
	nLoadWIndex
	nLoadXIndex
	nStoreW
	nStoreX
	nStoreWIndex
	nStoreXIndex
	nADD
	nADDImm
	nADDShift
	nSUB
	nSUBImm
	nMUL
	nLSL
	nLSR
	nASR
	nMVN
	nRBIT
	nCLZ
	nCMP
	nCMPImm
	nTBZ
	nB
	nBEQ
	nBNE
	nBLT
	nBGE
	nBLE
	nBGT
	nLabel
	nRET
)

// neonRow describes an instruction.
type neonRow struct {
	// name is the mnemonic in Go's assembly language; without its V it is that of
	// the architecture's manual.
	name string
	// word is the encoding with all registers 0, of four lanes where there is a
	// choice. Instructions that are no arithmetic on vectors have none here, as
	// the assembler has always known them.
	word uint32
	// form is the operands in Go's order, sources first. {d} and {e} are the
	// registers written, {n} and {m} those read, {a} an address, {i} a number,
	// {s} a symbol or label, {T} the arrangement S4 or D2.
	form string
	// since is the first Go release that knows the instruction: 1.since.
	since int
	// flags tell more about the operands.
	flags neonFlags
}

type neonFlags uint8

const (
	readsDst  neonFlags = 1 << iota // {d} is read, too
	movesBase                       // {a} is written, too
	isMove                          // copies {n} to {d}
	hasEffect                       // is needed even if no one reads its result
)

const (
	form3  = "V{m}.{T}, V{n}.{T}, V{d}.{T}"
	form3S = "V{m}.S4, V{n}.S4, V{d}.S4"
	form3B = "V{m}.B16, V{n}.B16, V{d}.B16"
	formI  = "${i}, V{n}.{T}, V{d}.{T}"
)

// neonTable has all instructions that a kernel is lowered to.
var neonTable = [...]neonRow{
	nVMOV:     {"VMOV", 0x4ea01c00, "V{n}.B16, V{d}.B16", 0, isMove},
	nVMOVI:    {"VMOVI", 0x4f00e400, "$0, V{d}.B16", 0, 0},
	nVAND:     {"VAND", 0x4e201c00, form3B, 0, 0},
	nVORR:     {"VORR", 0x4ea01c00, form3B, 0, 0},
	nVBIC:     {"VBIC", 0x4e601c00, form3B, 27, 0},
	nVBSL:     {"VBSL", 0x6e601c00, form3B, 0, readsDst},
	nVBIT:     {"VBIT", 0x6ea01c00, form3B, 0, readsDst},
	nVBIF:     {"VBIF", 0x6ee01c00, form3B, 0, readsDst},
	nVADD:     {"VADD", 0x4ea08400, form3, 0, 0},
	nVSUB:     {"VSUB", 0x6ea08400, form3, 0, 0},
	nVSMAX:    {"VSMAX", 0x4ea06400, form3S, 27, 0},
	nVSMIN:    {"VSMIN", 0x4ea06c00, form3S, 27, 0},
	nVUMAX:    {"VUMAX", 0x6ea06400, form3S, 0, 0},
	nVCMGT:    {"VCMGT", 0x4ea03400, form3, 27, 0},
	nVCMEQ:    {"VCMEQ", 0x6ea08c00, form3, 0, 0},
	nVSHL:     {"VSHL", 0x4f005400, formI, 0, 0},
	nVUSHR:    {"VUSHR", 0x6f000400, formI, 0, 0},
	nVFADD:    {"VFADD", 0x4e20d400, form3, 27, 0},
	nVFSUB:    {"VFSUB", 0x4ea0d400, form3, 27, 0},
	nVFMUL:    {"VFMUL", 0x6e20dc00, form3, 27, 0},
	nVFDIV:    {"VFDIV", 0x6e20fc00, form3, 27, 0},
	nVFMAX:    {"VFMAX", 0x4e20f400, form3, 27, 0},
	nVFMIN:    {"VFMIN", 0x4ea0f400, form3, 27, 0},
	nVFMAXNM:  {"VFMAXNM", 0x4e20c400, form3, 27, 0},
	nVFMINNM:  {"VFMINNM", 0x4ea0c400, form3, 27, 0},
	nVFADDP:   {"VFADDP", 0x6e20d400, form3, 27, 0},
	nVFMAXNMP: {"VFMAXNMP", 0x6e20c400, form3, 27, 0},
	nVFMLA:    {"VFMLA", 0x4e20cc00, form3, 0, readsDst},
	nVFMLS:    {"VFMLS", 0x4ea0cc00, form3, 0, readsDst},
	nVFRINTN:  {"VFRINTN", 0x4e218800, "V{n}.{T}, V{d}.{T}", 27, 0},
	nVFCMGT:   {"VFCMGT", 0x6ea0e400, form3, 27, 0},
	nVFCMEQ:   {"VFCMEQ", 0x4e20e400, form3, 27, 0},
	nVFCVTL:   {"VFCVTL", 0x0e617800, "V{n}.S2, V{d}.D2", 27, 0},
	nVFCVTL2:  {"VFCVTL2", 0x4e617800, "V{n}.S4, V{d}.D2", 27, 0},
	nVFCVTN:   {"VFCVTN", 0x0e616800, "V{n}.D2, V{d}.S2", 27, 0},
	nVFCVTN2:  {"VFCVTN2", 0x4e616800, "V{n}.D2, V{d}.S4", 27, readsDst},
	nVSXTL:    {"VSXTL", 0x0f20a400, "V{n}.S2, V{d}.D2", 27, 0},
	nVSXTL2:   {"VSXTL2", 0x4f20a400, "V{n}.S4, V{d}.D2", 27, 0},
	nVSHRN:    {"VSHRN", 0x0f0c8400, "$4, V{n}.H8, V{d}.B8", 27, 0},
	nVUZP1B:   {"VUZP1", 0x4e001800, form3B, 0, 0},
	nVUZP1H:   {"VUZP1", 0x4e401800, "V{m}.H8, V{n}.H8, V{d}.H8", 0, 0},
	nVUZP1S:   {"VUZP1", 0x4e801800, form3S, 0, 0},
	nVZIP1S:   {"VZIP1", 0x4e803800, form3S, 0, 0},
	nVZIP2S:   {"VZIP2", 0x4e807800, form3S, 0, 0},
	nVZIP1D:   {"VZIP1", 0x4ec03800, "V{m}.D2, V{n}.D2, V{d}.D2", 0, 0},
	nVZIP2D:   {"VZIP2", 0x4ec07800, "V{m}.D2, V{n}.D2, V{d}.D2", 0, 0},
	nVEXT:     {"VEXT", 0x6e000000, "${i}, V{m}.B16, V{n}.B16, V{d}.B16", 0, 0},
	nVDUPS0:   {"VDUP", 0x4e040400, "V{n}.S[0], V{d}.S4", 0, 0},
	nVDUPS1:   {"VDUP", 0x4e0c0400, "V{n}.S[1], V{d}.S4", 0, 0},
	nVDUPS2:   {"VDUP", 0x4e140400, "V{n}.S[2], V{d}.S4", 0, 0},
	nVDUPS3:   {"VDUP", 0x4e1c0400, "V{n}.S[3], V{d}.S4", 0, 0},
	nVDUPD0:   {"VDUP", 0x4e080400, "V{n}.D[0], V{d}.D2", 0, 0},
	nVDUPD1:   {"VDUP", 0x4e180400, "V{n}.D[1], V{d}.D2", 0, 0},

	nVDUPR:   {"VDUP", 0, "R{n}, V{d}.{T}", 0, 0},
	nFMOVDR:  {"FMOVD", 0, "F{n}, R{d}", 0, 0},
	nVMOVD1R: {"VMOV", 0, "V{n}.D[1], R{d}", 0, 0},

	nLoadS:       {"FMOVS", 0, "{i}(R{a}), F{d}", 0, 0},
	nLoadD:       {"FMOVD", 0, "{i}(R{a}), F{d}", 0, 0},
	nLoadQ:       {"FMOVQ", 0, "{i}(R{a}), F{d}", 0, 0},
	nLoadPQ:      {"FLDPQ", 0, "{i}(R{a}), (F{d}, F{e})", 0, 0},
	nLoadDBack:   {"FMOVD.W", 0, "{i}(R{a}), F{d}", 0, movesBase},
	nLoadQBack:   {"FMOVQ.W", 0, "{i}(R{a}), F{d}", 0, movesBase},
	nLoadPQBack:  {"FLDPQ.W", 0, "{i}(R{a}), (F{d}, F{e})", 0, movesBase},
	nLoadLaneS:   {"VLD1", 0, "(R{a}), V{d}.S[0]", 0, readsDst},
	nLoadSIndex:  {"FMOVS", 0, "(R{a})(R{n}<<2), F{d}", 0, 0},
	nLoadSIndexW: {"FMOVS", 0, "(R{a})(R{n}.SXTW<<2), F{d}", 0, 0},
	nLoadDIndex:  {"FMOVD", 0, "(R{a})(R{n}<<3), F{d}", 0, 0},
	nStoreS:      {"FMOVS", 0, "F{n}, {i}(R{a})", 0, hasEffect},
	nStoreD:      {"FMOVD", 0, "F{n}, {i}(R{a})", 0, hasEffect},
	nStoreQ:      {"FMOVQ", 0, "F{n}, {i}(R{a})", 0, hasEffect},
	nStorePQ:     {"FSTPQ", 0, "(F{n}, F{m}), {i}(R{a})", 0, hasEffect},
	nStoreDOn:    {"FMOVD.P", 0, "F{n}, {i}(R{a})", 0, hasEffect | movesBase},
	nStoreQOn:    {"FMOVQ.P", 0, "F{n}, {i}(R{a})", 0, hasEffect | movesBase},
	nStorePQOn:   {"FSTPQ.P", 0, "(F{n}, F{m}), {i}(R{a})", 0, hasEffect | movesBase},
	nPRFM:        {"PRFM", 0, "{i}(R{a}), PLDL1KEEP", 0, hasEffect},
	nPRFM2:       {"PRFM", 0, "{i}(R{a}), PLDL2KEEP", 0, hasEffect},

	nLoadFS:   {"FMOVS", 0, "{s}, F{d}", 0, 0},
	nLoadFD:   {"FMOVD", 0, "{s}, F{d}", 0, 0},
	nStoreFS:  {"FMOVS", 0, "F{n}, {s}", 0, hasEffect},
	nStoreFD:  {"FMOVD", 0, "F{n}, {s}", 0, hasEffect},
	nMOVD:     {"MOVD", 0, "R{n}, R{d}", 0, isMove},
	nMOVDImm:  {"MOVD", 0, "${i}, R{d}", 0, 0},
	nMOVDAddr: {"MOVD", 0, "${s}, R{d}", 0, 0},
	nLoadRB:   {"MOVB", 0, "{s}, R{d}", 0, 0},
	nLoadRBU:  {"MOVBU", 0, "{s}, R{d}", 0, 0},
	nLoadRH:   {"MOVH", 0, "{s}, R{d}", 0, 0},
	nLoadRHU:  {"MOVHU", 0, "{s}, R{d}", 0, 0},
	nLoadRW:   {"MOVW", 0, "{s}, R{d}", 0, 0},
	nLoadRWU:  {"MOVWU", 0, "{s}, R{d}", 0, 0},
	nLoadRD:   {"MOVD", 0, "{s}, R{d}", 0, 0},
	nStoreRB:  {"MOVB", 0, "R{n}, {s}", 0, hasEffect},
	nStoreRH:  {"MOVH", 0, "R{n}, {s}", 0, hasEffect},
	nStoreRW:  {"MOVW", 0, "R{n}, {s}", 0, hasEffect},
	nStoreRD:  {"MOVD", 0, "R{n}, {s}", 0, hasEffect},

	nLoadW:       {"MOVW", 0, "{i}(R{a}), R{d}", 0, 0},
	nLoadX:       {"MOVD", 0, "{i}(R{a}), R{d}", 0, 0},
	nLoadWIndex:  {"MOVW", 0, "(R{a})(R{n}<<2), R{d}", 0, 0},
	nLoadXIndex:  {"MOVD", 0, "(R{a})(R{n}<<3), R{d}", 0, 0},
	nStoreW:      {"MOVW", 0, "R{n}, {i}(R{a})", 0, hasEffect},
	nStoreX:      {"MOVD", 0, "R{n}, {i}(R{a})", 0, hasEffect},
	nStoreWIndex: {"MOVW", 0, "R{m}, (R{a})(R{n}<<2)", 0, hasEffect},
	nStoreXIndex: {"MOVD", 0, "R{m}, (R{a})(R{n}<<3)", 0, hasEffect},

	nADD:      {"ADD", 0, "R{m}, R{n}, R{d}", 0, 0},
	nADDImm:   {"ADD", 0, "${i}, R{n}, R{d}", 0, 0},
	nADDShift: {"ADD", 0, "R{m}<<{i}, R{n}, R{d}", 0, 0},
	nSUB:      {"SUB", 0, "R{m}, R{n}, R{d}", 0, 0},
	nSUBImm:   {"SUB", 0, "${i}, R{n}, R{d}", 0, 0},
	nMUL:      {"MUL", 0, "R{m}, R{n}, R{d}", 0, 0},
	nLSL:      {"LSL", 0, "${i}, R{n}, R{d}", 0, 0},
	nLSR:      {"LSR", 0, "${i}, R{n}, R{d}", 0, 0},
	nASR:      {"ASR", 0, "${i}, R{n}, R{d}", 0, 0},
	nMVN:      {"MVN", 0, "R{n}, R{d}", 0, 0},
	nRBIT:     {"RBIT", 0, "R{n}, R{d}", 0, 0},
	nCLZ:      {"CLZ", 0, "R{n}, R{d}", 0, 0},

	nCMP:    {"CMP", 0, "R{m}, R{n}", 0, hasEffect},
	nCMPImm: {"CMP", 0, "${i}, R{n}", 0, hasEffect},
	nTBZ:    {"TBZ", 0, "${i}, R{n}, {s}", 0, hasEffect},
	nB:      {"B", 0, "{s}", 0, hasEffect},
	nBEQ:    {"BEQ", 0, "{s}", 0, hasEffect},
	nBNE:    {"BNE", 0, "{s}", 0, hasEffect},
	nBLT:    {"BLT", 0, "{s}", 0, hasEffect},
	nBGE:    {"BGE", 0, "{s}", 0, hasEffect},
	nBLE:    {"BLE", 0, "{s}", 0, hasEffect},
	nBGT:    {"BGT", 0, "{s}", 0, hasEffect},
	nLabel:  {"", 0, "{s}", 0, hasEffect},
	nRET:    {"RET", 0, "", 0, hasEffect},
}

// isBranch reports whether an instruction may go to a label.
func (o neonOp) isBranch() bool { return nTBZ <= o && o <= nBGT }

func (o neonOp) is(f neonFlags) bool { return neonTable[o].flags&f != 0 }

// neonText holds the operands of an instruction with physical registers.
type neonText struct {
	op            neonOp
	wide          bool // D2, else S4
	d, e, n, m, a int
	imm           int64
	symbol        string
}

// String returns the instruction in Go's assembly language, a name with its
// operands or a word with a comment.
func (x *neonText) String() string {
	row := &neonTable[x.op]
	if row.since > goRelease {
		return fmt.Sprintf("WORD $%#08x // %s", x.encode(), x.manual())
	}
	if row.form == "" {
		return row.name
	}
	return row.name + " " + x.operands()
}

func (x *neonText) operands() string {
	arrangement := "S4"
	if x.wide {
		arrangement = "D2"
	}
	number := strconv.FormatInt(x.imm, 10)
	form := neonTable[x.op].form
	if x.imm == 0 {
		form = strings.ReplaceAll(form, "{i}(", "(")
	}
	return strings.NewReplacer(
		"{d}", strconv.Itoa(x.d), "{e}", strconv.Itoa(x.e), "{n}", strconv.Itoa(x.n),
		"{m}", strconv.Itoa(x.m), "{a}", strconv.Itoa(x.a), "{i}", number,
		"{s}", x.symbol, "{T}", arrangement,
	).Replace(form)
}

// manual returns the instruction as the architecture's manual writes it:
// destination first.
func (x *neonText) manual() string {
	in := strings.Split(x.operands(), ", ")
	out := make([]string, len(in))
	for i, s := range in {
		if reg, lanes, ok := strings.Cut(s, "."); ok && lanes[1] != '[' {
			s = reg + "." + lanes[1:] + lanes[:1]
		}
		out[len(in)-1-i] = strings.Replace(s, "$", "#", 1)
	}
	return strings.TrimPrefix(neonTable[x.op].name, "V") + " " + strings.Join(out, ", ")
}

// encode returns the machine code of arithmetic on vectors.
func (x *neonText) encode() uint32 {
	row := &neonTable[x.op]
	w := row.word | uint32(x.d) | uint32(x.n)<<5 | uint32(x.m)<<16
	lane := int64(32)
	if x.wide {
		lane = 64
	}
	switch {
	case x.op == nVSHL:
		return w | uint32(lane+x.imm)<<16
	case x.op == nVUSHR:
		return w | uint32(2*lane-x.imm)<<16
	case x.op == nVEXT:
		return w | uint32(x.imm)<<11
	case x.wide:
		return w | 1<<22
	}
	return w
}
