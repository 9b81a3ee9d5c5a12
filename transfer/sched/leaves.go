package sched

import (
	"math"
	"math/bits"
)

// State of a leaf, one byte: how many peers owe it to us, and three flags.
const (
	copiesMask uint8 = 0x0f
	needed     uint8 = 0x10
	here       uint8 = 0x20
	held       uint8 = 0x40 // expected from elsewhere: never free
)

// minCost is what the smallest leaf counts against windows and rates. Empty
// leaves and those of unknown size count this much too: each costs a header
// and its share of the work, and windows must bound their number.
const minCost = 512

// leaves is what we know of each leaf: size, state, availability, about seven
// bytes, plus bitmaps of those that are free (needed, not here, owed by nobody).
type leaves struct {
	size  []uint32
	state []uint8
	avail []int16 // partial peers that have it, less the full ones that lost it

	free []uint64 // bit set: free
	sum  []uint64 // bit set: that word of free is not zero
	low  []int16  // per word of free: no free leaf in it has less availability

	nfree, need, have int
	missing           int64 // cost of the leaves needed and not here
	total             int64 // cost of the leaves needed
}

func (t *leaves) n() int { return len(t.size) }

// cost is what a leaf counts against windows and rates, in bytes.
func (t *leaves) cost(l Leaf) int64 { return max(int64(t.size[l]), minCost) }

func (t *leaves) copies(l Leaf) int { return int(t.state[l] & copiesMask) }

func (t *leaves) wanted(l Leaf) bool {
	return int(l) < t.n() && t.state[l]&(needed|here) == needed
}

func (t *leaves) isFree(l Leaf) bool {
	return int(l) < t.n() && t.free[l/64]&(1<<(l%64)) != 0
}

// add appends a leaf.
func (t *leaves) add(info LeafInfo) {
	l := Leaf(t.n())
	t.size = append(t.size, info.Size)
	t.state = append(t.state, 0)
	t.avail = append(t.avail, 0)
	if l%64 == 0 {
		t.free = append(t.free, 0)
		t.low = append(t.low, math.MaxInt16)
	}
	if l%4096 == 0 {
		t.sum = append(t.sum, 0)
	}
	if !info.Need {
		return
	}
	t.state[l] = needed
	t.need++
	t.missing += t.cost(l)
	t.total += t.cost(l)
	if info.Held {
		t.state[l] |= held
		return
	}
	t.release(l)
}

// unhold frees a held leaf, unless it has come, and reports whether it did.
func (t *leaves) unhold(l Leaf) bool {
	if t.state[l]&held == 0 {
		return false
	}
	t.state[l] &^= held
	if !t.wanted(l) {
		return false
	}
	t.release(l)
	return true
}

// take makes a peer more owe the leaf.
func (t *leaves) take(l Leaf) {
	t.state[l]++
	t.unfree(l)
}

// drop makes a peer fewer owe the leaf and reports whether it is free now.
func (t *leaves) drop(l Leaf) bool {
	t.state[l]--
	if t.copies(l) > 0 || t.state[l]&here != 0 {
		return false
	}
	t.release(l)
	return true
}

// arrive marks a wanted leaf as here.
func (t *leaves) arrive(l Leaf) {
	t.state[l] |= here
	t.have++
	t.missing -= t.cost(l)
	t.unfree(l)
}

func (t *leaves) release(l Leaf) {
	t.free[l/64] |= 1 << (l % 64)
	t.sum[l/4096] |= 1 << (l / 64 % 64)
	t.low[l/64] = min(t.low[l/64], t.avail[l])
	t.nfree++
}

func (t *leaves) unfree(l Leaf) {
	if !t.isFree(l) {
		return
	}
	w := l / 64
	t.free[w] &^= 1 << (l % 64)
	if t.free[w] == 0 {
		t.sum[w/64] &^= 1 << (w % 64)
		t.low[w] = math.MaxInt16
	}
	t.nfree--
}

// adjust adds d to the availability of the leaves set in word w.
func (t *leaves) adjust(w int, set uint64, d int16) {
	for b := set; b != 0; b &= b - 1 {
		l := w*64 + bits.TrailingZeros64(b)
		t.avail[l] += d
		if d < 0 && t.free[w]&b&-b != 0 {
			t.low[w] = min(t.low[w], t.avail[l])
		}
	}
}

// tighten makes the bound of a word exact again and returns, of the leaves in
// set (free ones), the lowest availability and which have it.
func (t *leaves) tighten(w int, set uint64) (lowest int16, ties uint64) {
	bound := int16(math.MaxInt16)
	lowest = math.MaxInt16
	for b := t.free[w]; b != 0; b &= b - 1 {
		a, bit := t.avail[w*64+bits.TrailingZeros64(b)], b&-b
		bound = min(bound, a)
		switch {
		case set&bit == 0:
		case a < lowest:
			lowest, ties = a, bit
		case a == lowest:
			ties |= bit
		}
	}
	t.low[w] = bound
	return lowest, ties
}

// nextFree returns the first free leaf from l on.
func (t *leaves) nextFree(l Leaf) (Leaf, bool) {
	if int(l) >= t.n() {
		return 0, false
	}
	w := l / 64
	if m := t.free[w] >> (l % 64); m != 0 {
		return l + Leaf(bits.TrailingZeros64(m)), true
	}
	w++
	for i := int(w / 64); i < len(t.sum); i++ {
		m := t.sum[i]
		if i == int(w/64) {
			m &= ^uint64(0) << (w % 64)
		}
		if m != 0 {
			w = Leaf(i*64 + bits.TrailingZeros64(m))
			return w*64 + Leaf(bits.TrailingZeros64(t.free[w])), true
		}
	}
	return 0, false
}

// nextTaken returns the first leaf from l on that is not free, at most n().
func (t *leaves) nextTaken(l Leaf) Leaf {
	for int(l) < t.n() {
		m := ^t.free[l/64] >> (l % 64)
		if m != 0 {
			return min(l+Leaf(bits.TrailingZeros64(m)), Leaf(t.n()))
		}
		l = (l/64 + 1) * 64
	}
	return Leaf(t.n())
}

// knownMask returns which leaves of a word are known.
func (t *leaves) knownMask(w int) uint64 {
	switch k := t.n() - w*64; {
	case k <= 0:
		return 0
	case k < 64:
		return 1<<k - 1
	}
	return ^uint64(0)
}

func popcount(words []uint64) int {
	n := 0
	for _, w := range words {
		n += bits.OnesCount64(w)
	}
	return n
}
