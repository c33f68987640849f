package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const listing = `
x.test:	file format elf64-x86-64

Disassembly of section .text:

0000000000649f00 <github.com/gotrellis/trellis.sumF32AVX512.abi0>:
  649f00:      	movq	0x8(%rsp), %rax
  649f05:      	vmovups	(%rdx), %zmm18
  649f0b:      	vaddps	0x214396(%rip), %zmm18, %zmm1 # 0x859900 <constants>
  649f10:      	addq	$0x40, %rdx            # imm = 0x40
  649f14:      	jl	0x649f1d <github.com/gotrellis/trellis.sumF32AVX512.abi0+0x1d>
  649f16:      	subq	$0x10, %rbx
  649f1a:      	jge	0x649f05 <github.com/gotrellis/trellis.sumF32AVX512.abi0+0x5>
  649f1d:      	subq	$0x1, %rcx
  649f21:      	jg	0x649f00 <github.com/gotrellis/trellis.sumF32AVX512.abi0>
  649f23:      	retq

000000000064a000 <github.com/gotrellis/trellis.addF64AVX2.abi0>:
  64a000:      	incq	%rax
  64a003:      	jmp	0x64a000 <github.com/gotrellis/trellis.addF64AVX2.abi0>
`

func TestParse(t *testing.T) {
	loops := architectures[0].parse(listing)
	require.Len(t, loops, 2, "the outer loop is not one of them")
	assert.Equal(t, loop{
		kernel: "sumF32AVX512",
		offset: 5,
		body: []string{
			"vmovups (%rdx), %zmm18",
			"vaddps 0x214396(%rip), %zmm18, %zmm1",
			"addq $0x40, %rdx",
			"jl 0x649f1d",
			"subq $0x10, %rbx",
			"jge 0x649f05",
		},
		elements: 16,
	}, loops[0])
	assert.Equal(t, "addF64AVX2", loops[1].kernel)
	assert.Zero(t, loops[1].elements)

	assert.Equal(t, `# LLVM-MCA-BEGIN 0
loop0:
incq %rax
jmp loop0
# LLVM-MCA-END 0
`, regions(loops[1:]))
}

func TestParseARM64(t *testing.T) {
	loops := architectures[1].parse(`
0000000000010000 <github.com/gotrellis/trellis.sumF32NEON.abi0>:
   10000:      	ldp	q0, q1, [x0], #0x20
   10004:      	fadd	v2.4s, v2.4s, v0.4s
   10008:      	sub	x1, x1, #0x8 // =8
   1000c:      	cbnz	x1, 0x10000 <github.com/gotrellis/trellis.sumF32NEON.abi0>
   10010:      	tbz	w3, #0x4, 0x10018 <github.com/gotrellis/trellis.sumF32NEON.abi0+0x18>
   10014:      	b.ge	0x10010 <github.com/gotrellis/trellis.sumF32NEON.abi0+0x10>
   10018:      	bl	0x10000 <github.com/gotrellis/trellis.sumF32NEON.abi0>
`)
	require.Len(t, loops, 2)
	assert.Equal(t, []string{"ldp q0, q1, [x0], #0x20", "fadd v2.4s, v2.4s, v0.4s", "sub x1, x1, #0x8", "cbnz x1, 0x10000"}, loops[0].body)
	assert.Equal(t, 8, loops[0].elements)
	assert.Equal(t, uint64(0x10), loops[1].offset)
}

func TestElements(t *testing.T) {
	amd64, arm64 := architectures[0], architectures[1]
	for _, c := range []struct {
		name   string
		arch   *architecture
		kernel string
		body   []string
		want   int
	}{
		{"by an index", amd64, "gatherF64AVX2", []string{"movslq (%rdx,%rsi,4), %rdi", "movq (%rcx,%rdi,8), %rdi", "movq %rdi, (%rax,%rsi,8)", "addq $0x1, %rsi"}, 1},
		{"downwards", amd64, "sumF64AVX2", []string{"vmovups -0x20(%rdx), %ymm0", "subq $0x20, %rdx"}, 4},
		{"lea", amd64, "sumF64AVX2", []string{"vmovups (%rdx), %ymm0", "leaq 0x20(%rdx), %rdx"}, 4},
		{"float64 beside float32", amd64, "sumF32AVX512", []string{"vmovups (%rdx), %zmm0", "vmovupd %zmm1, (%rax)", "addq $0x40, %rdx", "addq $0x80, %rax"}, 16},
		{"int32 beside float64", amd64, "maxF64AVX512", []string{"vmovups (%rdx), %zmm0", "vmovups %ymm1, (%rax)", "addq $0x40, %rdx", "addq $0x20, %rax"}, 8},
		{"int32", amd64, "maxIndexAVX512", []string{"vpmaxud (%rax), %zmm0, %zmm0", "addq $0x40, %rax"}, 16},
		{"float64 without saying so", amd64, "log1pAVX2", []string{"vmovups (%rax), %ymm0", "vmovups 0x20(%rax), %ymm0", "addq $0x40, %rax"}, 8},
		{"by strides", amd64, "softmaxStridedF64AVX2", []string{
			"prefetcht0 (%rdi,%r9,8)", "vmovups (%rdi), %ymm4", "vmovups 0x20(%rdi), %ymm5", "vmovups %ymm4, (%rdi)", "vmovups %ymm5, 0x20(%rdi)", "vmovups (%rcx), %ymm5", "addq %r9, %rdi",
		}, 8},
		{"a scalar by strides", amd64, "maxStridedF32AVX2", []string{"vmaxss (%rdi), %xmm0, %xmm0", "addq %r9, %rdi"}, 1},
		{"no memory", amd64, "sumF32AVX2", []string{"addq $0x1, %rax"}, 0},

		{"after the access", arm64, "sumF32NEON", []string{"ld1 {v0.4s, v1.4s, v2.4s, v3.4s}, [x0], #0x40"}, 16},
		{"before the access", arm64, "sumF64NEON", []string{"ldr q0, [x0, #0x10]!"}, 2},
		{"an addition", arm64, "sumF64NEON", []string{"ldr q0, [x0]", "ldr q1, [x0, #0x10]", "add x0, x0, #0x20"}, 4},
		{"by an index", arm64, "gatherF32NEON", []string{"ldrsw x5, [x2, x4, lsl #2]", "ldr w6, [x1, x5, lsl #2]", "str w6, [x0, x4, lsl #2]", "add x4, x4, #0x1"}, 1},
		{"by strides", arm64, "maxStridedF32NEON", []string{"prfm pldl1keep, [x0, x9]", "ldp q0, q1, [x0]", "ldp q2, q3, [x0, #0x20]", "stp q2, q3, [x0, #0x20]", "add x0, x0, x3"}, 16},
		{"a rest by strides, through a pointer of its own", arm64, "maxStridedF32NEON", []string{
			"add x0, x4, x6, lsl #2", "ldr d0, [x0, #-0x8]!", "ldp q1, q2, [x0, #-0x20]!", "stp q1, q2, [x3]", "stp q1, q2, [x3, #0x20]", "add x4, x4, x8", "add x3, x3, x9",
		}, 16},
		{"by strides, after the access", arm64, "maxStridedF32NEON", []string{"ldr s0, [x0], x3"}, 1},
	} {
		assert.Equal(t, c.want, c.arch.elements(loop{kernel: c.kernel, body: c.body}), "%s: %s", c.arch.name, c.name)
	}
}
