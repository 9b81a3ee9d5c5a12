package pairsum

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

func verify(t *testing.T, a, b []byte) {
	t.Helper()
	sumA, sumB := Sum(a, b)
	if sumA != sha256.Sum256(a) || sumB != sha256.Sum256(b) {
		t.Errorf("messages of %d and %d bytes: %x %x", len(a), len(b), sumA, sumB)
	}
}

func TestSumAgreesWithTheStandardLibrary(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, 1<<20+400)
	random.Read(data)
	for n := range 400 {
		verify(t, data[:n], data[400:400+n])
		verify(t, data[n:2*n+1], data[1:n+2]) // at odd addresses, and over each other
	}
	verify(t, data[:1<<20], data[400:])
	verify(t, data[:10], data[:11])
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("abc"), []byte("abd"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		n := min(len(a), len(b))
		verify(t, a[:n], b[:n])
		verify(t, a, b)
	})
}

func BenchmarkSum(b *testing.B) {
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	b.SetBytes(2 << 20)
	for b.Loop() {
		Sum(x, y)
	}
}

// BenchmarkOneByOne is what Sum is measured against.
func BenchmarkOneByOne(b *testing.B) {
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	b.SetBytes(2 << 20)
	for b.Loop() {
		sha256.Sum256(x)
		sha256.Sum256(y)
	}
}
