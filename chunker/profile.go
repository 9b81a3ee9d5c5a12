package chunker

import "fmt"

// MaxBlockSize is the largest block, in bytes, that is made or read: the limit
// the IPFS network agrees on.
const MaxBlockSize = 2 << 20

// maxFanout is the widest HAMT that implementations accept.
const maxFanout = 1024

// Profile fixes every choice that decides a CID (IPIP-499). All profiles use
// CIDv1, SHA2-256, raw leaves and a balanced DAG.
type Profile struct {
	Name          string
	ChunkSize     int // bytes in a leaf, at most MaxBlockSize
	LinksPerNode  int // children of an inner file node, 2 to 8192
	HAMTFanout    int // children of a shard, a power of two from 8 to 1024
	HAMTThreshold int // a directory block of more bytes than this becomes a HAMT
}

// UnixFSV1_2025 is the profile `unixfs-v1-2025` of IPIP-499.
func UnixFSV1_2025() Profile {
	return Profile{
		Name:          "unixfs-v1-2025",
		ChunkSize:     1 << 20,
		LinksPerNode:  1024,
		HAMTFanout:    256,
		HAMTThreshold: 256 << 10,
	}
}

func (p Profile) check() error {
	switch {
	case p.ChunkSize < 1 || p.ChunkSize > MaxBlockSize:
		return fmt.Errorf("profile %q: chunk size %d is not within 1 to %d", p.Name, p.ChunkSize, MaxBlockSize)
	case p.LinksPerNode < 2 || p.LinksPerNode > 8192:
		return fmt.Errorf("profile %q: %d links a node are not within 2 to 8192", p.Name, p.LinksPerNode)
	case !validFanout(uint64(p.HAMTFanout)):
		return fmt.Errorf("profile %q: HAMT fan-out %d is not a power of two from 8 to %d", p.Name, p.HAMTFanout, maxFanout)
	case p.HAMTThreshold < 1 || p.HAMTThreshold > MaxBlockSize:
		return fmt.Errorf("profile %q: HAMT threshold %d is not within 1 to %d", p.Name, p.HAMTThreshold, MaxBlockSize)
	}
	return nil
}

func validFanout(n uint64) bool { return n >= 8 && n <= maxFanout && n&(n-1) == 0 }
