#include "textflag.h"

// Two messages, A and B, in turn: four rounds of one, then four of the other. The
// processor runs both at once, for neither needs a result of the other.
//
//	X0       words and constants of the rounds at hand, as SHA256RNDS2 wants it
//	X1, X2   ABEF and CDGH of A     X3-X6    its message words, sixteen at a time
//	X7, X8   the same of B          X9-X12   the same of B
//	X13      scratch                X14      byte order
//
// The hash values before a block wait on the stack to be added.

// LOAD takes message words from memory.
#define LOAD(p, off, m) \
	MOVOU  off(p), m \
	PSHUFB X14, m

// FIRST and SECOND do two rounds each with the words in m.
#define FIRST(k, m, abef, cdgh) \
	MOVO        m, X0       \
	PADDD       k(AX), X0   \
	SHA256RNDS2 X0, abef, cdgh

#define SECOND(abef, cdgh) \
	PSHUFD      $0x0e, X0, X0 \
	SHA256RNDS2 X0, cdgh, abef

// NEXT finishes the words that follow those in m; before are those before m.
#define NEXT(before, m, next) \
	MOVO       m, X13          \
	PALIGNR    $4, before, X13 \
	PADDD      X13, next       \
	SHA256MSG2 m, next

// func blocks(stateA, stateB *[8]uint32, a, b *byte, n int)
TEXT ·blocks(SB), NOSPLIT, $64-40
	MOVQ stateA+0(FP), DI
	MOVQ stateB+8(FP), SI
	MOVQ a+16(FP), R8
	MOVQ b+24(FP), R9
	MOVQ n+32(FP), CX
	LEAQ constants<>(SB), AX
	MOVOU order<>(SB), X14

	// DCBA and HGFE become ABEF and CDGH.
	MOVOU   (DI), X1
	MOVOU   16(DI), X2
	PSHUFD  $0xb1, X1, X1
	PSHUFD  $0x1b, X2, X2
	MOVO    X1, X13
	PALIGNR $8, X2, X1
	PBLENDW $0xf0, X13, X2
	MOVOU   (SI), X7
	MOVOU   16(SI), X8
	PSHUFD  $0xb1, X7, X7
	PSHUFD  $0x1b, X8, X8
	MOVO    X7, X13
	PALIGNR $8, X8, X7
	PBLENDW $0xf0, X13, X8

block:
	MOVOU X1, 0(SP)
	MOVOU X2, 16(SP)
	MOVOU X7, 32(SP)
	MOVOU X8, 48(SP)

	// Rounds 0 to 3.
	LOAD(R8, 0, X3)
	FIRST(0, X3, X1, X2)
	SECOND(X1, X2)
	LOAD(R9, 0, X9)
	FIRST(0, X9, X7, X8)
	SECOND(X7, X8)

	// Rounds 4 to 7.
	LOAD(R8, 16, X4)
	FIRST(16, X4, X1, X2)
	SECOND(X1, X2)
	SHA256MSG1 X4, X3
	LOAD(R9, 16, X10)
	FIRST(16, X10, X7, X8)
	SECOND(X7, X8)
	SHA256MSG1 X10, X9

	// Rounds 8 to 11.
	LOAD(R8, 32, X5)
	FIRST(32, X5, X1, X2)
	SECOND(X1, X2)
	SHA256MSG1 X5, X4
	LOAD(R9, 32, X11)
	FIRST(32, X11, X7, X8)
	SECOND(X7, X8)
	SHA256MSG1 X11, X10

	// Rounds 12 to 15.
	LOAD(R8, 48, X6)
	FIRST(48, X6, X1, X2)
	NEXT(X5, X6, X3)
	SECOND(X1, X2)
	SHA256MSG1 X6, X5
	LOAD(R9, 48, X12)
	FIRST(48, X12, X7, X8)
	NEXT(X11, X12, X9)
	SECOND(X7, X8)
	SHA256MSG1 X12, X11

	// Rounds 16 to 19.
	FIRST(64, X3, X1, X2)
	NEXT(X6, X3, X4)
	SECOND(X1, X2)
	SHA256MSG1 X3, X6
	FIRST(64, X9, X7, X8)
	NEXT(X12, X9, X10)
	SECOND(X7, X8)
	SHA256MSG1 X9, X12

	// Rounds 20 to 23.
	FIRST(80, X4, X1, X2)
	NEXT(X3, X4, X5)
	SECOND(X1, X2)
	SHA256MSG1 X4, X3
	FIRST(80, X10, X7, X8)
	NEXT(X9, X10, X11)
	SECOND(X7, X8)
	SHA256MSG1 X10, X9

	// Rounds 24 to 27.
	FIRST(96, X5, X1, X2)
	NEXT(X4, X5, X6)
	SECOND(X1, X2)
	SHA256MSG1 X5, X4
	FIRST(96, X11, X7, X8)
	NEXT(X10, X11, X12)
	SECOND(X7, X8)
	SHA256MSG1 X11, X10

	// Rounds 28 to 31.
	FIRST(112, X6, X1, X2)
	NEXT(X5, X6, X3)
	SECOND(X1, X2)
	SHA256MSG1 X6, X5
	FIRST(112, X12, X7, X8)
	NEXT(X11, X12, X9)
	SECOND(X7, X8)
	SHA256MSG1 X12, X11

	// Rounds 32 to 35.
	FIRST(128, X3, X1, X2)
	NEXT(X6, X3, X4)
	SECOND(X1, X2)
	SHA256MSG1 X3, X6
	FIRST(128, X9, X7, X8)
	NEXT(X12, X9, X10)
	SECOND(X7, X8)
	SHA256MSG1 X9, X12

	// Rounds 36 to 39.
	FIRST(144, X4, X1, X2)
	NEXT(X3, X4, X5)
	SECOND(X1, X2)
	SHA256MSG1 X4, X3
	FIRST(144, X10, X7, X8)
	NEXT(X9, X10, X11)
	SECOND(X7, X8)
	SHA256MSG1 X10, X9

	// Rounds 40 to 43.
	FIRST(160, X5, X1, X2)
	NEXT(X4, X5, X6)
	SECOND(X1, X2)
	SHA256MSG1 X5, X4
	FIRST(160, X11, X7, X8)
	NEXT(X10, X11, X12)
	SECOND(X7, X8)
	SHA256MSG1 X11, X10

	// Rounds 44 to 47.
	FIRST(176, X6, X1, X2)
	NEXT(X5, X6, X3)
	SECOND(X1, X2)
	SHA256MSG1 X6, X5
	FIRST(176, X12, X7, X8)
	NEXT(X11, X12, X9)
	SECOND(X7, X8)
	SHA256MSG1 X12, X11

	// Rounds 48 to 51.
	FIRST(192, X3, X1, X2)
	NEXT(X6, X3, X4)
	SECOND(X1, X2)
	SHA256MSG1 X3, X6
	FIRST(192, X9, X7, X8)
	NEXT(X12, X9, X10)
	SECOND(X7, X8)
	SHA256MSG1 X9, X12

	// Rounds 52 to 55.
	FIRST(208, X4, X1, X2)
	NEXT(X3, X4, X5)
	SECOND(X1, X2)
	FIRST(208, X10, X7, X8)
	NEXT(X9, X10, X11)
	SECOND(X7, X8)

	// Rounds 56 to 59.
	FIRST(224, X5, X1, X2)
	NEXT(X4, X5, X6)
	SECOND(X1, X2)
	FIRST(224, X11, X7, X8)
	NEXT(X10, X11, X12)
	SECOND(X7, X8)

	// Rounds 60 to 63.
	FIRST(240, X6, X1, X2)
	SECOND(X1, X2)
	FIRST(240, X12, X7, X8)
	SECOND(X7, X8)

	MOVOU 0(SP), X13
	PADDD X13, X1
	MOVOU 16(SP), X13
	PADDD X13, X2
	MOVOU 32(SP), X13
	PADDD X13, X7
	MOVOU 48(SP), X13
	PADDD X13, X8
	ADDQ  $64, R8
	ADDQ  $64, R9
	DECQ  CX
	JNZ   block

	// And back.
	PSHUFD  $0x1b, X1, X1
	PSHUFD  $0xb1, X2, X2
	MOVO    X1, X13
	PBLENDW $0xf0, X2, X1
	PALIGNR $8, X13, X2
	MOVOU   X1, (DI)
	MOVOU   X2, 16(DI)
	PSHUFD  $0x1b, X7, X7
	PSHUFD  $0xb1, X8, X8
	MOVO    X7, X13
	PBLENDW $0xf0, X8, X7
	PALIGNR $8, X13, X8
	MOVOU   X7, (SI)
	MOVOU   X8, 16(SI)
	RET

// The byte order of message words.
DATA order<>+0(SB)/8, $0x0405060700010203
DATA order<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL order<>(SB), RODATA|NOPTR, $16

// The constants of FIPS 180-4, 4.2.2.
DATA constants<>+0(SB)/8, $0x71374491428a2f98
DATA constants<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA constants<>+16(SB)/8, $0x59f111f13956c25b
DATA constants<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA constants<>+32(SB)/8, $0x12835b01d807aa98
DATA constants<>+40(SB)/8, $0x550c7dc3243185be
DATA constants<>+48(SB)/8, $0x80deb1fe72be5d74
DATA constants<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA constants<>+64(SB)/8, $0xefbe4786e49b69c1
DATA constants<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA constants<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA constants<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA constants<>+96(SB)/8, $0xa831c66d983e5152
DATA constants<>+104(SB)/8, $0xbf597fc7b00327c8
DATA constants<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA constants<>+120(SB)/8, $0x1429296706ca6351
DATA constants<>+128(SB)/8, $0x2e1b213827b70a85
DATA constants<>+136(SB)/8, $0x53380d134d2c6dfc
DATA constants<>+144(SB)/8, $0x766a0abb650a7354
DATA constants<>+152(SB)/8, $0x92722c8581c2c92e
DATA constants<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA constants<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA constants<>+176(SB)/8, $0xd6990624d192e819
DATA constants<>+184(SB)/8, $0x106aa070f40e3585
DATA constants<>+192(SB)/8, $0x1e376c0819a4c116
DATA constants<>+200(SB)/8, $0x34b0bcb52748774c
DATA constants<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA constants<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA constants<>+224(SB)/8, $0x78a5636f748f82ee
DATA constants<>+232(SB)/8, $0x8cc7020884c87814
DATA constants<>+240(SB)/8, $0xa4506ceb90befffa
DATA constants<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL constants<>(SB), RODATA|NOPTR, $256
