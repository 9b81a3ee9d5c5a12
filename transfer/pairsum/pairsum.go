package pairsum

import "crypto/sha256"

// Faster tells whether Sum is faster than two calls of [sha256.Sum256] on this machine,
// for messages of one length.
func Faster() bool { return fast }

// Sum returns the SHA-256 digests of a and b.
func Sum(a, b []byte) (sumA, sumB [sha256.Size]byte) {
	if !fast || len(a) != len(b) {
		return sha256.Sum256(a), sha256.Sum256(b)
	}
	return sumPair(a, b)
}
