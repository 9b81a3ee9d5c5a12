// Package pairsum computes the SHA-256 digests of two messages at once.
//
// The SHA instructions of x86 take several cycles each and every one needs the
// result of the one before, so a core hashing one message mostly waits. Two messages
// interleaved fill the gaps: together they take little more time than one alone.
//
// [Sum] is all there is. sum_amd64.s holds the rounds (FIPS 180-4, section 6.2.2);
// elsewhere, and on processors without these instructions, crypto/sha256 does the
// work. There are no goroutines here.
package pairsum
