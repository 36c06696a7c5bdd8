//go:build !portable

#include "textflag.h"

// func vfork(trap, a1, a2 uintptr) (r1, errno uintptr)
//
// The return address is in a register (R30) here, and the function has no
// frame to save it in, so parent and child each keep their own.
TEXT ·vfork(SB), NOSPLIT, $0-40
	MOVD trap+0(FP), R8
	MOVD a1+8(FP), R0
	MOVD a2+16(FP), R1
	MOVD ZR, R2
	MOVD ZR, R3
	MOVD ZR, R4
	MOVD ZR, R5
	SVC
	CMN  $4095, R0
	BCS  failed
	MOVD R0, r1+24(FP)
	MOVD ZR, errno+32(FP)
	RET

failed:
	NEG  R0, R0
	MOVD $-1, R1
	MOVD R1, r1+24(FP)
	MOVD R0, errno+32(FP)
	RET
