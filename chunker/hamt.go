package chunker

import (
	"errors"
	"fmt"
	"math/bits"
	"sort"

	"github.com/spaolacci/murmur3"
)

// errHAMTDepth needs two names with equal 64-bit hashes.
var errHAMTDepth = errors.New("sharded directory too deep")

// shardBuilder writes one directory as a HAMT of UnixFS shards.
//
// An entry sits in the first shard where its slot, the next log2(fanout) bits of
// its name's hash taken from the top, is its alone. So the trie depends only on
// the set of names, not on the order in which other writers insert them.
type shardBuilder struct {
	fanout int
	lg     int
	pad    int // hex digits of a slot in a link name
	hashes []uint64
	kids   []child // sorted by hash, as hashes
	put    func(child, []byte) error
}

func buildHAMT(kids []child, fanout int, a attrs, put func(child, []byte) error) (child, error) {
	b := &shardBuilder{fanout: fanout, put: put, hashes: make([]uint64, len(kids)), kids: append([]child(nil), kids...)}
	b.lg, b.pad = slotBits(fanout)
	for i := range kids {
		b.hashes[i] = nameHash(kids[i].name)
	}
	sort.Sort(b)
	return b.shard(0, len(kids), 0, a)
}

func (b *shardBuilder) Len() int           { return len(b.kids) }
func (b *shardBuilder) Less(i, j int) bool { return b.hashes[i] < b.hashes[j] }
func (b *shardBuilder) Swap(i, j int) {
	b.hashes[i], b.hashes[j] = b.hashes[j], b.hashes[i]
	b.kids[i], b.kids[j] = b.kids[j], b.kids[i]
}

// shard writes the shard of entries [lo,hi), whose hashes agree on their first
// used bits.
func (b *shardBuilder) shard(lo, hi, used int, a attrs) (child, error) {
	if used+b.lg > 64 {
		return child{}, errHAMTDepth
	}
	links := make([]child, 0, min(hi-lo, b.fanout))
	field := make([]byte, b.fanout/8)
	for lo < hi {
		slot := slotAt(b.hashes[lo], used, b.lg)
		end := lo + 1
		for end < hi && slotAt(b.hashes[end], used, b.lg) == slot {
			end++
		}
		link := b.kids[lo]
		if end-lo > 1 {
			sub, err := b.shard(lo, end, used+b.lg, attrs{})
			if err != nil {
				return child{}, err
			}
			link = sub
		}
		link.name = slotName(slot, b.pad) + link.name
		links = append(links, link)
		field[len(field)-1-slot/8] |= 1 << (slot % 8)
		lo = end
	}
	for len(field) > 0 && field[0] == 0 {
		field = field[1:]
	}
	block := encodeNode(links, shardData(field, b.fanout, a))
	c := seal(links, block)
	return c, b.put(c, block)
}

// slotBits gives the hash bits a level of a HAMT uses and the hex digits of a
// slot number in a link name.
func slotBits(fanout int) (lg, pad int) {
	lg = bits.TrailingZeros(uint(fanout))
	return lg, (lg + 3) / 4
}

func slotName(slot, pad int) string { return fmt.Sprintf("%0*X", pad, slot) }

// slotAt is the slot of a hash in the shard below used consumed bits.
func slotAt(hash uint64, used, lg int) int { return int(hash << used >> (64 - lg)) }

// nameHash is murmur3-x64-64: the first half of the 128-bit sum.
func nameHash(name string) uint64 { return murmur3.Sum64([]byte(name)) }
