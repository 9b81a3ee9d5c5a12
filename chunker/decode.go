package chunker

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// maxContent bounds the bytes of content a node may claim, so that sums of a few
// of them cannot overflow.
const maxContent = math.MaxInt64 / 4

// minLink is the least bytes a link takes: its CID and three field headers.
const minLink = cidLen + 6

// node is a decoded inner block. Its links point into raw.
type node struct {
	raw    []byte // private copy of the block
	links  []link
	typ    uint64
	size   uint64 // content bytes claimed by a file
	fanout int    // of a HAMT shard
	target []byte // of a symlink
	attrs  attrs
}

// link is one link of a node, compact because a node can have tens of thousands.
type link struct {
	digest uint32 // offset of the 32 bytes in raw
	name   uint32 // offset
	nameN  uint32
	raw    bool   // raw leaf, else dag-pb
	v0     bool   // written as a CIDv0
	sized  bool   // size was given
	size   uint64 // blocksize below a file, Tsize below a directory
}

func (n *node) digest(l link) digest { return digest(n.raw[l.digest:]) }
func (n *node) name(l link) []byte   { return n.raw[l.name : l.name+l.nameN] }

// cost is the memory of a node, in bytes.
func (n *node) cost() int { return len(n.raw) + 32*len(n.links) }

// decodeNode reads a dag-pb block with a UnixFS message inside, within lim. Like
// other decoders it takes Data before or after Links, and blocksizes packed or
// not; beyond syntax it checks what must hold inside one node of each type.
func decodeNode(block []byte, lim Limits) (*node, error) {
	if len(block) > lim.BlockSize {
		return nil, fmt.Errorf("%w: block of %d bytes", ErrLimit, len(block))
	}
	n := &node{raw: bytes.Clone(block)}
	data, err := n.decodePB(lim)
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, fmt.Errorf("%w: dag-pb node without UnixFS data", ErrUnsupported)
	}
	if err := n.decodeUnixFS(data, lim); err != nil {
		return nil, err
	}
	return n, nil
}

// decodePB reads the dag-pb layer, by the rules of its specification: Data
// at most once, Links in one run.
func (n *node) decodePB(lim Limits) (data []byte, err error) {
	f := fields{b: n.raw}
	n.links = make([]link, 0, min(len(n.raw)/minLink, lim.Links))
	linksDone := false
	for f.next() {
		switch {
		case f.num == 1 && f.wire == wireBytes:
			if data != nil {
				return nil, fmt.Errorf("%w: dag-pb: Data twice", ErrMalformed)
			}
			if data = f.sub; data == nil {
				data = []byte{}
			}
			linksDone = len(n.links) > 0
		case f.num == 2 && f.wire == wireBytes:
			if linksDone {
				return nil, fmt.Errorf("%w: dag-pb: Links before and after Data", ErrMalformed)
			}
			if len(n.links) == lim.Links {
				return nil, fmt.Errorf("%w: more than %d links in a node", ErrLimit, lim.Links)
			}
			l, err := n.decodeLink(f.sub)
			if err != nil {
				return nil, fmt.Errorf("link %d: %w", len(n.links), err)
			}
			n.links = append(n.links, l)
		default:
			return nil, fmt.Errorf("%w: dag-pb: field %d of wire type %d", ErrMalformed, f.num, f.wire)
		}
	}
	return data, f.err
}

// decodeLink reads a PBLink: Hash, then Name, then Tsize, the last two optional.
func (n *node) decodeLink(b []byte) (link, error) {
	var l link
	f := fields{b: b}
	last := uint64(0)
	for f.next() {
		if f.num <= last {
			return l, fmt.Errorf("%w: dag-pb: link field %d after %d", ErrMalformed, f.num, last)
		}
		last = f.num
		switch {
		case f.num == 1 && f.wire == wireBytes:
			codec, v0, at, err := decodeCID(f.sub)
			if err != nil {
				return l, err
			}
			l.raw, l.v0 = codec == cid.Raw, v0
			l.digest = n.offset(f.sub[at:])
		case f.num == 2 && f.wire == wireBytes:
			if l.nameN = uint32(len(f.sub)); l.nameN > 0 {
				l.name = n.offset(f.sub)
			}
		case f.num == 3 && f.wire == wireVarint:
			l.size, l.sized = f.val, true
		default:
			return l, fmt.Errorf("%w: dag-pb: link field %d of wire type %d", ErrMalformed, f.num, f.wire)
		}
	}
	if f.err == nil && l.digest == 0 {
		return l, fmt.Errorf("%w: dag-pb: link without CID", ErrMalformed)
	}
	return l, f.err
}

// offset is where sub, a slice of n.raw, starts in it.
func (n *node) offset(sub []byte) uint32 { return uint32(cap(n.raw) - cap(sub)) }

// decodeCID reads the binary CID of a link and says where its digest starts.
func decodeCID(b []byte) (codec uint64, v0 bool, at int, err error) {
	switch {
	case len(b) == cidLen && b[0] == 1 && (b[1] == cid.Raw || b[1] == cid.DagProtobuf) && b[2] == multihash.SHA2_256 && b[3] == 32:
		return uint64(b[1]), false, 4, nil
	case len(b) == 34 && b[0] == multihash.SHA2_256 && b[1] == 32:
		return cid.DagProtobuf, true, 2, nil
	}
	n, c, err := cid.CidFromBytes(b)
	if err != nil || n != len(b) {
		return 0, false, 0, fmt.Errorf("%w: link is not a CID", ErrMalformed)
	}
	if err := checkCID(c); err != nil {
		return 0, false, 0, err
	}
	return 0, false, 0, fmt.Errorf("%w: CID %s", ErrUnsupported, c)
}

// decodeUnixFS reads the UnixFS layer (unixfs.proto). Unknown fields are skipped.
func (n *node) decodeUnixFS(b []byte, lim Limits) error {
	m := message{typ: -1}
	f := fields{b: b}
	for f.next() {
		if err := m.field(&f, len(n.links)); err != nil {
			return err
		}
	}
	if f.err != nil {
		return f.err
	}
	n.attrs = m.attrs
	n.typ = uint64(m.typ)
	switch m.typ {
	case typeFile, typeRaw:
		return n.checkFile(&m)
	case typeDirectory:
		if len(m.sizes) > 0 || len(m.data) > 0 {
			return fmt.Errorf("%w: directory with file data", ErrMalformed)
		}
		return nil
	case typeHAMTShard:
		return n.checkShard(&m)
	case typeSymlink:
		n.target = m.data
		return checkTarget(m.data, len(n.links), lim)
	case -1:
		return fmt.Errorf("%w: UnixFS node without a type", ErrMalformed)
	}
	return fmt.Errorf("%w: UnixFS node type %d", ErrUnsupported, m.typ)
}

// message is the UnixFS message as it stands on the wire.
type message struct {
	typ      int64
	data     []byte
	size     uint64
	hasSize  bool
	sizes    []uint64
	hashType uint64
	fanout   uint64
	attrs    attrs
}

// field takes in one field; of sizes at most max.
func (m *message) field(f *fields, max int) error {
	wire := wireVarint
	if f.num == 2 || f.num == 8 || f.num == 4 && f.wire == wireBytes {
		wire = wireBytes
	}
	if f.num <= 8 && f.wire != wire {
		return fmt.Errorf("%w: UnixFS field %d of wire type %d", ErrMalformed, f.num, f.wire)
	}
	switch f.num {
	case 1:
		m.typ = int64(min(f.val, math.MaxInt64))
	case 2:
		m.data = f.sub
	case 3:
		m.size, m.hasSize = f.val, true
	case 4:
		if f.wire == wireVarint {
			return m.blocksize(f.val, max)
		}
		p := fields{b: f.sub}
		for len(p.b) > 0 {
			v, ok := p.varint()
			if !ok {
				return p.err
			}
			if err := m.blocksize(v, max); err != nil {
				return err
			}
		}
	case 5:
		m.hashType = f.val
	case 6:
		m.fanout = f.val
	case 7:
		m.attrs.mode, m.attrs.hasMode = uint32(f.val)&0o7777, true
	case 8:
		return m.mtime(f.sub)
	}
	return nil
}

func (m *message) blocksize(v uint64, max int) error {
	if len(m.sizes) == max {
		return fmt.Errorf("%w: more blocksizes than the %d links", ErrMalformed, max)
	}
	if m.sizes == nil {
		m.sizes = make([]uint64, 0, max)
	}
	m.sizes = append(m.sizes, v)
	return nil
}

// mtime reads a UnixTime. One that is out of range counts as not recorded, as
// elsewhere.
func (m *message) mtime(b []byte) error {
	a := &m.attrs
	a.sec, a.nsec, a.hasTime = 0, 0, false
	valid := true
	f := fields{b: b}
	for f.next() {
		switch {
		case f.num == 1 && f.wire == wireVarint:
			a.sec, a.hasTime = int64(f.val), true
		case f.num == 2 && f.wire == wire32:
			a.nsec = uint32(f.val)
			valid = f.val > 0 && f.val < 1e9
		case f.num <= 2:
			return fmt.Errorf("%w: mtime field %d of wire type %d", ErrMalformed, f.num, f.wire)
		}
	}
	year := time.Unix(a.sec, 0).UTC().Year()
	if !valid || year < 1 || year > 9999 {
		a.hasTime = false
	}
	return f.err
}

// checkFile matches an inner file node's sizes with its links.
func (n *node) checkFile(m *message) error {
	if len(m.data) > 0 {
		return fmt.Errorf("%w: file data inside a dag-pb node (made without raw leaves)", ErrUnsupported)
	}
	if len(m.sizes) != len(n.links) {
		return fmt.Errorf("%w: %d links but %d blocksizes", ErrMalformed, len(n.links), len(m.sizes))
	}
	var sum uint64
	for i, v := range m.sizes {
		if sum += v; v > maxContent || sum > maxContent {
			return fmt.Errorf("%w: blocksizes overflow", ErrMalformed)
		}
		n.links[i].size, n.links[i].sized = v, true
	}
	if m.hasSize && m.size != sum {
		return fmt.Errorf("%w: filesize %d but blocksizes sum to %d", ErrMalformed, m.size, sum)
	}
	n.size = sum
	return nil
}

// checkShard looks at what a HAMT shard says of itself.
func (n *node) checkShard(m *message) error {
	switch {
	case m.hashType != hashMurmur3:
		return fmt.Errorf("%w: HAMT hash function %#x", ErrUnsupported, m.hashType)
	case !validFanout(m.fanout):
		return fmt.Errorf("%w: HAMT fan-out %d", ErrMalformed, m.fanout)
	case len(n.links) > int(m.fanout) || len(m.data) > int(m.fanout)/8:
		return fmt.Errorf("%w: HAMT shard wider than its fan-out %d", ErrMalformed, m.fanout)
	}
	n.fanout = int(m.fanout)
	return nil
}

func checkTarget(target []byte, links int, lim Limits) error {
	switch {
	case len(target) > lim.Target:
		return fmt.Errorf("%w: symlink target of %d bytes", ErrLimit, len(target))
	case len(target) == 0 || bytes.IndexByte(target, 0) >= 0:
		return fmt.Errorf("%w: symlink target %q", ErrMalformed, target)
	case links > 0:
		return fmt.Errorf("%w: symlink with links", ErrMalformed)
	}
	return nil
}
