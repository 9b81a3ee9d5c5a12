package transfer

import (
	"sync"

	"shoal/transfer/wire"
)

// headerRoom is what a data frame needs before its payload.
const headerRoom = wire.HeaderSize + wire.DataHeaderSize

// classes are the buffer sizes in bytes of payload: a group of small leaves, a
// leaf of the default profile, the largest leaf.
var classes = [...]int{64 << 10, 256 << 10, 1 << 20, wire.MaxPayload}

// buffer is a pooled byte slice of one class, with room for a frame's header.
type buffer struct {
	b     []byte
	class int
}

// buffers hands out byte slices and takes them back, so that in steady state a
// leaf costs no allocation. The zero value is ready.
type buffers struct {
	pools   [len(classes)]sync.Pool
	batches sync.Pool
}

// get returns a buffer with room for n bytes of payload, n at most
// wire.MaxPayload, and a header.
func (p *buffers) get(n int) *buffer {
	class := 0
	for class < len(classes)-1 && classes[class] < n {
		class++
	}
	if b, ok := p.pools[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, classes[class]+headerRoom), class: class}
}

func (p *buffers) put(b *buffer) {
	if b != nil {
		p.pools[b.class].Put(b)
	}
}

// batch is leaves on their way from a conn's reader to the writers of a session: one
// large leaf, or as many small ones as arrived together.
type batch struct {
	sub    *sub
	buf    *buffer
	used   int
	leaves []placed
}

// placed is one leaf of a batch: its payload is buf.b[off:off+size].
type placed struct {
	leaf      uint32
	off, size int
	want      digest
	bad       bool // the payload has another digest
}

func (b *batch) payload(l *placed) []byte { return b.buf.b[l.off : l.off+l.size] }

func (p *buffers) getBatch(s *sub, room int) *batch {
	b, ok := p.batches.Get().(*batch)
	if !ok {
		b = new(batch)
	}
	b.sub, b.buf, b.used, b.leaves = s, p.get(room), 0, b.leaves[:0]
	return b
}

func (p *buffers) putBatch(b *batch) {
	p.put(b.buf)
	b.sub, b.buf = nil, nil
	p.batches.Put(b)
}
