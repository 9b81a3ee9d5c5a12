package store

import (
	"encoding/binary"

	"shoal/chunker"
)

// repeats finds the other places of a leaf that occurs more than once. It is an
// open-addressing table of leaf indexes, 8 bytes a leaf at most, that compares digests
// in the layout; only leaves that do repeat cost more.
type repeats struct {
	layout *chunker.Layout
	table  []uint32 // leaf index + 1; 0: free
	used   int
	known  int
	others map[uint32][]uint32 // first occurrence -> the later ones
}

func newRepeats(l *chunker.Layout) *repeats {
	return &repeats{layout: l, table: make([]uint32, 64), others: map[uint32][]uint32{}}
}

// add takes leaf i, the next one, with its digest.
func (r *repeats) add(i int, digest []byte) {
	r.known = i + 1
	if r.used*2 >= len(r.table) {
		r.grow()
	}
	at, found := r.find(digest)
	if found {
		first := r.table[at] - 1
		r.others[first] = append(r.others[first], uint32(i))
		return
	}
	r.table[at] = uint32(i) + 1
	r.used++
}

// find is the slot of digest, or the free one where it belongs.
func (r *repeats) find(digest []byte) (at int, found bool) {
	mask := len(r.table) - 1
	for at = int(binary.LittleEndian.Uint32(digest)) & mask; r.table[at] != 0; at = (at + 1) & mask {
		have, _ := digestOf(r.layout.Leaf(int(r.table[at] - 1)).CID)
		if string(have) == string(digest) {
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
		digest, _ := digestOf(r.layout.Leaf(int(v - 1)).CID)
		at := int(binary.LittleEndian.Uint32(digest)) & mask
		for r.table[at] != 0 {
			at = (at + 1) & mask
		}
		r.table[at] = v
	}
}

// of calls fn with every place of the leaf with digest except i, until it says no.
func (r *repeats) of(i int, digest []byte, fn func(j int) bool) {
	if len(r.others) == 0 {
		return
	}
	at, found := r.find(digest)
	if !found {
		return
	}
	first := r.table[at] - 1
	later := r.others[first]
	if len(later) == 0 || (int(first) != i && !fn(int(first))) {
		return
	}
	for _, j := range later {
		if int(j) != i && !fn(int(j)) {
			return
		}
	}
}
