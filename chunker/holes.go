package chunker

import (
	"crypto/sha256"
	"io/fs"
	"math"
	"os"
)

// Holes tells what of a file was never written and reads as zeros, so that nobody has
// to read it. It is for one goroutine; several may have one each of the same file.
type Holes struct {
	f        *os.File
	size     int64 // no hole ends behind it
	from, to int64 // known to be a hole
}

// NewHoles is for f, of which info is a recent stat. A file that occupies as much as it is
// long has none.
func NewHoles(f *os.File, info fs.FileInfo) *Holes {
	h := &Holes{f: f, size: info.Size()}
	if allocated(info) >= info.Size() {
		h.size = 0
	}
	return h
}

// Covers tells whether the n bytes at off are in a hole, as far as the file system
// shows its holes.
func (h *Holes) Covers(off, n int64) bool {
	if off+n > h.size {
		return false
	}
	if off < h.from || off+n > h.to {
		at, ok := nextData(h.f, off)
		if !ok {
			at = math.MaxInt64 // none behind off
		}
		h.from, h.to = off, at
	}
	return off+n <= h.to
}

// zeroBlock is what ZeroSum hashes.
var zeroBlock [64 << 10]byte

// ZeroSum is the SHA2-256 sum of n zeros.
func ZeroSum(n int) (sum [32]byte) {
	h := sha256.New()
	for ; n > 0; n -= len(zeroBlock) {
		h.Write(zeroBlock[:min(n, len(zeroBlock))])
	}
	h.Sum(sum[:0])
	return sum
}
