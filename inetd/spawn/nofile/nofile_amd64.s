//go:build !portable

#include "textflag.h"

// func prlimit(l *Limit)
TEXT ·prlimit(SB), NOSPLIT, $0-8
	MOVQ $302, AX // prlimit64
	XORL DI, DI
	MOVL $7, SI   // RLIMIT_NOFILE
	XORL DX, DX
	MOVQ l+0(FP), R10
	SYSCALL
	RET
