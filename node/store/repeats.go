package store

import (
	"encoding/binary"

	"shoal/chunker"
)

// repeats finds the other places of a leaf that is wanted at more than one. It is an
// open-addressing table of leaf indexes, 8 bytes a leaf at most, that compares digests
// in the layout; only leaves that do repeat cost more.
type repeats struct {
	layout *chunker.Layout
	table  []uint32 // leaf index + 1; 0: free
	used   int
	others map[uint32][]uint32 // first occurrence -> the later ones
}

func newRepeats(l *chunker.Layout) *repeats {
	return &repeats{layout: l, table: make([]uint32, 64), others: map[uint32][]uint32{}}
}

// add takes wanted leaf i, which is behind all that were added. It returns the first
// place of the same leaf, i itself if it is new.
func (r *repeats) add(i int) (first int) {
	if r.used*2 >= len(r.table) {
		r.grow()
	}
	at, found := r.find(r.layout.Digest(i))
	if found {
		first := r.table[at] - 1
		r.others[first] = append(r.others[first], uint32(i))
		return int(first)
	}
	r.table[at] = uint32(i) + 1
	r.used++
	return i
}

// find is the slot of digest, or the free one where it belongs.
func (r *repeats) find(digest [digestSize]byte) (at int, found bool) {
	mask := len(r.table) - 1
	for at = int(binary.LittleEndian.Uint32(digest[:])) & mask; r.table[at] != 0; at = (at + 1) & mask {
		if r.layout.Digest(int(r.table[at]-1)) == digest {
			return at, true
		}
	}
	return at, false
}

func (r *repeats) grow() {
	old := r.table
	r.table = make([]uint32, 2*len(old))
	mask := len(r.table) - 1
	for _, v := range old {
		if v == 0 {
			continue
		}
		digest := r.layout.Digest(int(v - 1))
		at := int(binary.LittleEndian.Uint32(digest[:])) & mask
		for r.table[at] != 0 {
			at = (at + 1) & mask
		}
		r.table[at] = v
	}
}

// of is where leaf i is wanted: the first place, and the later ones. None: only at i.
func (r *repeats) of(i int) (first int, later []uint32) {
	if len(r.others) == 0 {
		return i, nil
	}
	at, found := r.find(r.layout.Digest(i))
	if !found {
		return i, nil
	}
	f := r.table[at] - 1
	return int(f), r.others[f]
}
