#include "textflag.h"

// func cloneShared(args, size uintptr, m unsafe.Pointer, entry uintptr) (pid, errno uintptr)
//
// The child has a stack of its own, and the registers of the parent: what it needs is in R19 and R20, which the kernel leaves
// alone. It calls entry as Go does, with the argument in R0, and not by a wrapper, which could do more.
TEXT ·cloneShared(SB),NOSPLIT,$0-48
	MOVD	args+0(FP), R0
	MOVD	size+8(FP), R1
	MOVD	m+16(FP), R19
	MOVD	entry+24(FP), R20
	MOVD	$435, R8	// clone3
	SVC
	CBZ	R0, child
	CMN	$4095, R0
	BCC	ok
	NEG	R0, R0
	MOVD	ZR, pid+32(FP)
	MOVD	R0, errno+40(FP)
	RET
ok:
	MOVD	R0, pid+32(FP)
	MOVD	ZR, errno+40(FP)
	RET
child:
	SUB	$64, RSP
	MOVD	R19, R0
	CALL	(R20)
	BRK
