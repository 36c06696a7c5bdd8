//go:build !portable

#include "textflag.h"

// func prlimit(l *Limit)
TEXT ·prlimit(SB), NOSPLIT, $0-8
	MOVD $261, R8 // prlimit64
	MOVD ZR, R0
	MOVD $7, R1   // RLIMIT_NOFILE
	MOVD ZR, R2
	MOVD l+0(FP), R3
	SVC
	RET
