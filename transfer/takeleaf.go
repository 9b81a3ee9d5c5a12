package transfer

import (
	"errors"

	"shoal/transfer/wire"
)

// This file takes leaves in, whole or in parts. All of it is the conn's reader's.

// data reads a leaf that was asked for into a pooled buffer. The session's writers
// compare its digest with the one that is wanted.
func (r *reader) data(n int) error {
	size := n - wire.DataHeaderSize
	if size < 0 {
		return violation("data of %d bytes", n)
	}
	b, err := r.br.Peek(wire.DataHeaderSize)
	if err != nil {
		return err
	}
	if r.parts.open {
		return violation("data within a leaf that comes in parts")
	}
	handle, leaf := wire.ParseDataHeader(b)
	r.skip(wire.DataHeaderSize)
	r.c.down.count(headerRoom)
	s, want, err := r.c.arrive(handle, leaf, size)
	if err != nil {
		return err
	}
	if s == nil || s.ses.has(leaf) {
		return r.surplus(s, leaf, size)
	}
	r.makeRoom(s, size)
	if err := r.c.charge(0); err != nil {
		return err
	}
	off := r.b.used
	r.moved, r.marked = 0, r.last
	if err := r.payload(s, r.b.buf.b[off:off+size]); err != nil {
		return err
	}
	r.b.used += size
	r.b.leaves = append(r.b.leaves, placed{leaf: leaf, off: off, size: size, want: want.digest})
	return nil
}

// payload fills p and gives signs of life meanwhile.
func (r *reader) payload(s *sub, p []byte) error {
	for len(p) > 0 {
		_, down := r.c.e.limits.gates(s.ses.root, r.c.peer)
		n, err := r.br.Read(p[:down.piece(r.c.down.piece(len(p)))])
		p = p[n:]
		r.got(n)
		if err != nil {
			return err
		}
		if err := errors.Join(r.hold(r.c.down, n), r.hold(down, n)); err != nil {
			return err
		}
		if r.moved += n; r.last.Sub(r.marked) >= progress && len(p) > 0 {
			s.ses.in.post(note{sub: s, progress: r.moved}, 0)
			r.moved, r.marked = 0, r.last
		}
	}
	return nil
}

// begin prepares for a leaf that comes in parts.
func (r *reader) begin(m wire.Begin) error {
	if r.parts.open {
		return violation("a leaf begins within another")
	}
	size := int(m.Size)
	s, want, err := r.c.arrive(m.Handle, m.Leaf, size)
	if err != nil {
		return err
	}
	r.parts = incoming{open: true, sub: s, rest: size, leaf: placed{leaf: m.Leaf, size: size, want: want.digest}}
	if s != nil && !s.ses.has(m.Leaf) {
		if err := r.c.charge(0); err != nil {
			return err
		}
		r.parts.b = r.c.e.bufs.getBatch(s, size)
		r.moved, r.marked = 0, r.last
	}
	return r.whole()
}

// part reads the next bytes of the leaf begun, or throws them away if nobody waits for it.
func (r *reader) part(n int) error {
	r.handOver()
	g := &r.parts
	if !g.open || n > g.rest {
		return violation("part of %d bytes, %d are due", n, g.rest)
	}
	if n < 1<<10 {
		if err := r.count(); err != nil {
			return err
		}
	}
	if n == 0 { // it was cancelled, or the subscription has ended
		if g.sub != nil {
			g.sub.ses.in.post(note{sub: g.sub, broken: true, leaf: g.leaf.leaf}, 0)
		}
		r.drop()
		return nil
	}
	var err error
	if g.b == nil {
		err = r.discard(n)
		r.got(n)
	} else {
		err = r.payload(g.sub, g.b.buf.b[g.leaf.size-g.rest:][:n])
	}
	if err != nil {
		return err
	}
	g.rest -= n
	return r.whole()
}

// whole hands the leaf begun on when all of it is here.
func (r *reader) whole() error {
	g := &r.parts
	if g.rest > 0 {
		return nil
	}
	switch {
	case g.b != nil:
		g.b.used, g.b.leaves = g.leaf.size, append(g.b.leaves, g.leaf)
		r.c.e.uplink.received(r.c, g.b.used)
		g.b.sub.ses.submit(g.b)
		g.b = nil
	case g.sub != nil:
		g.sub.ses.in.book(g.sub, []placed{{leaf: g.leaf.leaf, size: g.leaf.size}}, true)
	}
	r.drop()
	return nil
}

// drop forgets the leaf begun.
func (r *reader) drop() {
	if r.parts.b != nil {
		r.c.e.bufs.putBatch(r.parts.b)
	}
	r.parts = incoming{}
}
