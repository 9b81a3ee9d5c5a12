package store

import "math/bits"

// bitmap is a set of leaves: leaf i is bit i%8 of byte i/8, least significant first.
type bitmap []byte

func newBitmap(n int) bitmap { return make(bitmap, (n+7)/8) }

// allOf is the bitmap of the leaves [0, n).
func allOf(n int) bitmap {
	b := newBitmap(n)
	b.fill(0, n, true)
	return b
}

func (b bitmap) get(i int) bool { return i>>3 < len(b) && b[i>>3]&(1<<(i&7)) != 0 }
func (b bitmap) set(i int)      { b[i>>3] |= 1 << (i & 7) }
func (b bitmap) clear(i int)    { b[i>>3] &^= 1 << (i & 7) }

// grown is b with room for n leaves.
func (b bitmap) grown(n int) bitmap {
	if need := (n+7)/8 - len(b); need > 0 {
		return append(b, make([]byte, need)...)
	}
	return b
}

// fill sets or clears [first, end).
func (b bitmap) fill(first, end int, on bool) {
	for i := first; i < end; i++ {
		if i&7 == 0 && i+8 <= end {
			if b[i>>3] = 0; on {
				b[i>>3] = 0xff
			}
			i += 7
			continue
		}
		if on {
			b.set(i)
		} else {
			b.clear(i)
		}
	}
}

func (b bitmap) count() int {
	n := 0
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}

// segment is the k-th stored piece, padded with zeros to full length.
func (b bitmap) segment(k int) []byte {
	seg := make([]byte, segBytes)
	if at := k * segBytes; at < len(b) {
		copy(seg, b[at:])
	}
	return seg
}
