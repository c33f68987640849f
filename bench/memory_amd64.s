#include "textflag.h"

// func readAVX512(x []uint64) uint64
// Requires: AVX512F
TEXT ·readAVX512(SB), NOSPLIT, $0-32
	MOVQ   x_base+0(FP), AX
	MOVQ   x_len+8(FP), CX
	VPXORQ Z0, Z0, Z0
	VPXORQ Z1, Z1, Z1
	VPXORQ Z2, Z2, Z2
	VPXORQ Z3, Z3, Z3
	VPXORQ Z4, Z4, Z4
	VPXORQ Z5, Z5, Z5
	VPXORQ Z6, Z6, Z6
	VPXORQ Z7, Z7, Z7
	SUBQ   $64, CX
	JLT    fold

loop:
	VPXORQ (AX), Z0, Z0
	VPXORQ 64(AX), Z1, Z1
	VPXORQ 128(AX), Z2, Z2
	VPXORQ 192(AX), Z3, Z3
	VPXORQ 256(AX), Z4, Z4
	VPXORQ 320(AX), Z5, Z5
	VPXORQ 384(AX), Z6, Z6
	VPXORQ 448(AX), Z7, Z7
	ADDQ   $512, AX
	SUBQ   $64, CX
	JGE    loop

fold:
	VPXORQ        Z1, Z0, Z0
	VPXORQ        Z3, Z2, Z2
	VPXORQ        Z5, Z4, Z4
	VPXORQ        Z7, Z6, Z6
	VPXORQ        Z2, Z0, Z0
	VPXORQ        Z6, Z4, Z4
	VPXORQ        Z4, Z0, Z0
	VEXTRACTI64X4 $1, Z0, Y1
	VPXOR         Y1, Y0, Y0
	VEXTRACTI128  $1, Y0, X1
	VPXOR         X1, X0, X0
	VPSRLDQ       $8, X0, X1
	VPXOR         X1, X0, X0
	VMOVQ         X0, ret+24(FP)
	VZEROUPPER
	RET
