package pairsum

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/klauspost/cpuid/v2"
)

// fast tells whether the processor has the instructions.
var fast = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4)

// initial is the hash value that every message starts from, FIPS 180-4, 5.3.3.
var initial = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

// blocks takes n blocks of 64 bytes from a and from b into the two hash values.
//
//go:noescape
func blocks(stateA, stateB *[8]uint32, a, b *byte, n int)

// sumPair hashes two messages of one length.
func sumPair(a, b []byte) (sumA, sumB [sha256.Size]byte) {
	stateA, stateB := initial, initial
	whole := len(a) / sha256.BlockSize
	if whole > 0 {
		blocks(&stateA, &stateB, &a[0], &b[0], whole)
	}
	var endA, endB [2 * sha256.BlockSize]byte
	n := pad(&endA, a[whole*sha256.BlockSize:], len(a))
	pad(&endB, b[whole*sha256.BlockSize:], len(b))
	blocks(&stateA, &stateB, &endA[0], &endB[0], n)
	for i := range stateA {
		binary.BigEndian.PutUint32(sumA[4*i:], stateA[i])
		binary.BigEndian.PutUint32(sumB[4*i:], stateB[i])
	}
	return sumA, sumB
}

// pad makes the last one or two blocks of a message, 5.1.1, from the bytes that are
// left of it.
func pad(end *[2 * sha256.BlockSize]byte, rest []byte, length int) (n int) {
	copy(end[:], rest)
	end[len(rest)] = 0x80
	n = (len(rest) + 1 + 8 + sha256.BlockSize - 1) / sha256.BlockSize
	binary.BigEndian.PutUint64(end[n*sha256.BlockSize-8:], uint64(length)*8)
	return n
}
