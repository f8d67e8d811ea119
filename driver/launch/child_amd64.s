#include "textflag.h"

// func cloneShared(args, size uintptr, m unsafe.Pointer, entry uintptr) (pid, errno uintptr)
//
// The child has a stack of its own, and the registers of the parent: what it needs is in R12 and R13, which the kernel leaves
// alone. It calls entry as Go does, with the argument in AX and X15 zero, and not by a wrapper, which could do more.
TEXT ·cloneShared(SB),NOSPLIT,$0-48
	MOVQ	args+0(FP), DI
	MOVQ	size+8(FP), SI
	MOVQ	m+16(FP), R12
	MOVQ	entry+24(FP), R13
	MOVQ	$435, AX	// clone3
	SYSCALL
	TESTQ	AX, AX
	JZ	child
	CMPQ	AX, $0xfffffffffffff001
	JLS	ok
	NEGQ	AX
	MOVQ	$0, pid+32(FP)
	MOVQ	AX, errno+40(FP)
	RET
ok:
	MOVQ	AX, pid+32(FP)
	MOVQ	$0, errno+40(FP)
	RET
child:
	XORPS	X15, X15
	MOVQ	R12, AX
	SUBQ	$64, SP
	CALL	R13
	INT	$3
