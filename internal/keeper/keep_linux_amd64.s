#include "textflag.h"

// System calls.
#define CLONE 56
#define CLOSE_RANGE 436
#define PRCTL 157
#define GETPPID 110
#define RT_SIGTIMEDWAIT 128
#define NANOSLEEP 35
#define EXIT_GROUP 231

#define CLONE_VM 0x100
#define PR_SET_PDEATHSIG 1
#define SIGCONT 18
#define EINTR 4

// The signals to wait for, SIGCONT alone, by which a keeper that somebody has stopped goes on: it would keep the memory, and locks on
// mapped files, for ever.
DATA wanted<>+0(SB)/8, $(1<<(SIGCONT-1))
GLOBL wanted<>(SB), RODATA|NOPTR, $8

// For how long the memory is kept yet: threads of the parent may have their files open still. 0 s, 50 ms.
DATA moment<>+0(SB)/8, $0
DATA moment<>+8(SB)/8, $50000000
GLOBL moment<>(SB), RODATA|NOPTR, $16

// func keep(ppid uintptr, ready *uint32) (pid int)
//
// The child has the parent's memory and a copy of its registers, the stack's pointer included: it must touch no stack.
TEXT ·keep(SB), NOSPLIT, $0-24
	MOVQ	ppid+0(FP), R12
	MOVQ	ready+8(FP), R13
	MOVQ	$CLONE, AX
	MOVQ	$CLONE_VM, DI	// and no signal to the parent at its end
	XORQ	SI, SI
	XORQ	DX, DX
	XORQ	R10, R10
	XORQ	R8, R8
	SYSCALL
	TESTQ	AX, AX
	JZ	child
	MOVQ	AX, pid+16(FP)
	RET

child:
	// Files first: a copy of a connection would keep it open.
	MOVQ	$CLOSE_RANGE, AX
	XORQ	DI, DI
	MOVL	$0xffffffff, SI
	XORQ	DX, DX
	SYSCALL
	TESTQ	AX, AX
	JNZ	exit

	MOVQ	$PRCTL, AX
	MOVQ	$PR_SET_PDEATHSIG, DI
	MOVQ	$SIGCONT, SI
	SYSCALL
	TESTQ	AX, AX
	JNZ	exit

	// Has the parent ended before?
	MOVQ	$GETPPID, AX
	SYSCALL
	CMPQ	AX, R12
	JNE	exit
	MOVL	$1, (R13)

wait:
	MOVQ	$RT_SIGTIMEDWAIT, AX
	LEAQ	wanted<>(SB), DI
	XORQ	SI, SI
	XORQ	DX, DX
	MOVQ	$8, R10
	SYSCALL
	CMPQ	AX, $-EINTR	// it was stopped, and goes on
	JEQ	wait
	CMPQ	AX, $SIGCONT
	JNE	exit

	// Somebody else may have sent it. Once all threads of the parent are ending there is another parent.
	MOVQ	$GETPPID, AX
	SYSCALL
	CMPQ	AX, R12
	JEQ	wait

	MOVQ	$NANOSLEEP, AX
	LEAQ	moment<>(SB), DI
	XORQ	SI, SI
	SYSCALL

exit:
	MOVQ	$EXIT_GROUP, AX
	XORQ	DI, DI
	SYSCALL
	JMP	exit
