//go:build !portable

#include "textflag.h"

// func vfork(trap, a1, a2 uintptr) (r1, errno uintptr)
//
// The child runs on the parent's stack and returns from here first, which
// overwrites the word that holds the return address. It is kept in a register
// over the system call, so that the parent finds its own again.
TEXT ·vfork(SB), NOSPLIT|NOFRAME, $0-40
	MOVQ trap+0(FP), AX
	MOVQ a1+8(FP), DI
	MOVQ a2+16(FP), SI
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	XORL R9, R9
	POPQ R12
	SYSCALL
	PUSHQ R12
	CMPQ AX, $-4095
	JCC  failed
	MOVQ AX, r1+24(FP)
	MOVQ $0, errno+32(FP)
	RET

failed:
	NEGQ AX
	MOVQ $-1, r1+24(FP)
	MOVQ AX, errno+32(FP)
	RET
