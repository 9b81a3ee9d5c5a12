package chunker

import (
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"math/bits"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// digest is a SHA2-256 sum. Every block here has one; with a codec it is a CID.
type digest = [sha256.Size]byte

// cidLen is the length of a binary CIDv1 with a SHA2-256 multihash.
const cidLen = 4 + sha256.Size

// UnixFS node types (unixfs.proto, enum DataType).
const (
	typeRaw       = 0
	typeDirectory = 1
	typeFile      = 2
	typeMetadata  = 3
	typeSymlink   = 4
	typeHAMTShard = 5
)

// hashMurmur3 is the multicodec of murmur3-x64-64, the only HAMT hash in use.
const hashMurmur3 = 0x22

// child is a link to write: a node already hashed and what its parent must know.
type child struct {
	name   string
	digest digest
	raw    bool   // raw leaf, else dag-pb
	size   uint64 // bytes of file content below it
	tsize  uint64 // bytes of all blocks below and including it (dag-pb Tsize)
}

func (c child) cid() cid.Cid {
	if c.raw {
		return makeCID(cid.Raw, c.digest)
	}
	return makeCID(cid.DagProtobuf, c.digest)
}

func makeCID(codec uint64, d digest) cid.Cid {
	var mh [2 + sha256.Size]byte
	mh[0], mh[1] = multihash.SHA2_256, sha256.Size
	copy(mh[2:], d[:])
	return cid.NewCidV1(codec, mh[:])
}

// attrs are the optional UnixFS 1.5 attributes of a node.
type attrs struct {
	mode    uint32 // unix bits, 12 of them
	hasMode bool
	sec     int64 // since the Unix epoch
	nsec    uint32
	hasTime bool
}

func (a attrs) any() bool { return a.hasMode || a.hasTime }

// attrsOf takes attributes from fi as Kubo does: a file of mode 000 and a
// symlink record no mode, a directory always does.
func attrsOf(fi fs.FileInfo) attrs {
	var a attrs
	m := fi.Mode()
	if m&fs.ModeSymlink == 0 {
		a.mode = uint32(m & fs.ModePerm)
		if m&fs.ModeSetuid != 0 {
			a.mode |= 0o4000
		}
		if m&fs.ModeSetgid != 0 {
			a.mode |= 0o2000
		}
		if m&fs.ModeSticky != 0 {
			a.mode |= 0o1000
		}
		a.hasMode = a.mode != 0 || m.IsDir()
	}
	a.setTime(fi.ModTime())
	return a
}

func (a *attrs) setTime(t time.Time) {
	if !t.IsZero() {
		a.sec, a.nsec, a.hasTime = t.Unix(), uint32(t.Nanosecond()), true
	}
}

func (a attrs) append(b []byte) []byte {
	if a.hasMode {
		b = binary.AppendUvarint(append(b, 7<<3), uint64(a.mode))
	}
	if a.hasTime {
		var ts [16]byte
		t := binary.AppendUvarint(append(ts[:0], 1<<3), uint64(a.sec))
		if a.nsec > 0 {
			t = binary.LittleEndian.AppendUint32(append(t, 2<<3|5), a.nsec)
		}
		b = append(b, 8<<3|2, byte(len(t)))
		b = append(b, t...)
	}
	return b
}

// fileData is the UnixFS message of an inner file node over kids.
func fileData(kids []child, a attrs) []byte {
	var total uint64
	for i := range kids {
		total += kids[i].size
	}
	b := make([]byte, 0, 32+4*len(kids))
	b = binary.AppendUvarint(append(b, 1<<3, typeFile, 3<<3), total)
	for i := range kids {
		b = binary.AppendUvarint(append(b, 4<<3), kids[i].size)
	}
	return a.append(b)
}

func dirData(a attrs) []byte {
	return a.append([]byte{1 << 3, typeDirectory})
}

func symlinkData(target string, a attrs) []byte {
	b := binary.AppendUvarint([]byte{1 << 3, typeSymlink, 2<<3 | 2}, uint64(len(target)))
	return a.append(append(b, target...))
}

// shardData is the UnixFS message of a HAMT shard. bitfield is big-endian,
// without leading zero bytes.
func shardData(bitfield []byte, fanout int, a attrs) []byte {
	b := []byte{1 << 3, typeHAMTShard}
	b = binary.AppendUvarint(append(b, 2<<3|2), uint64(len(bitfield)))
	b = append(b, bitfield...)
	b = append(b, 5<<3, hashMurmur3)
	b = binary.AppendUvarint(append(b, 6<<3), uint64(fanout))
	return a.append(b)
}

// encodeNode is the canonical dag-pb block: links in the order given, then
// data. An empty Name is written, as every UnixFS writer does.
func encodeNode(kids []child, data []byte) []byte {
	n := bytesField(len(data))
	for i := range kids {
		n += linkSize(&kids[i])
	}
	b := make([]byte, 0, n)
	for i := range kids {
		k := &kids[i]
		b = binary.AppendUvarint(append(b, 2<<3|2), uint64(linkBody(k)))
		codec := byte(cid.DagProtobuf)
		if k.raw {
			codec = cid.Raw
		}
		b = append(b, 1<<3|2, cidLen, 1, codec, multihash.SHA2_256, sha256.Size)
		b = append(b, k.digest[:]...)
		b = binary.AppendUvarint(append(b, 2<<3|2), uint64(len(k.name)))
		b = append(b, k.name...)
		b = binary.AppendUvarint(append(b, 3<<3), k.tsize)
	}
	b = binary.AppendUvarint(append(b, 1<<3|2), uint64(len(data)))
	return append(b, data...)
}

// linkSize is the bytes a link takes in an encoded node.
func linkSize(k *child) int { return bytesField(linkBody(k)) }

func linkBody(k *child) int {
	return bytesField(cidLen) + bytesField(len(k.name)) + 1 + varintLen(k.tsize)
}

// bytesField is the size of a length-delimited field of n bytes, tag included.
func bytesField(n int) int { return 1 + varintLen(uint64(n)) + n }

func varintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// seal hashes an encoded node and says what its parent links to.
func seal(kids []child, block []byte) child {
	c := child{digest: sha256.Sum256(block), tsize: uint64(len(block))}
	for i := range kids {
		c.size += kids[i].size
		c.tsize += kids[i].tsize
	}
	return c
}
