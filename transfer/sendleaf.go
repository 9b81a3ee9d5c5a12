package transfer

import (
	"errors"
	"fmt"
	"io"
	"time"

	"shoal/transfer/wire"
)

// This file sends leaves, whole or in parts. All of it is the conn's writer's.

// sendLeaves reads requested leaves behind one another into the buffer, as long as
// they fit, each behind its header, and writes them at once. The rest of one that
// does not fit follows in pieces. It does so when it is the conn's turn.
func (v *server) sendLeaves() (bool, error) {
	u := &v.c.e.uplink
	if v.cur.sv != nil {
		return v.sendPart()
	}
	if !v.asked() || !v.withinLimits() {
		u.idle(v.c)
		return false, nil
	}
	if !u.begin(v.c) {
		return false, nil
	}
	err := v.sendBatch()
	if v.cur.sv == nil {
		u.over(v.c, v.asked())
	}
	return true, err
}

// partial is a leaf that is sent in parts.
type partial struct {
	sv        *serve // nil: none
	leaf      uint32
	off, size int
}

// begin sends the first full bytes of the buffer, of so many bytes of payload, and
// begins to send a leaf in parts. The first got bytes of it are in the buffer, behind room for a header.
func (v *server) begin(sv *serve, leaf uint32, full, bytes, got, size int) error {
	v.setCurrent(partial{sv: sv, leaf: leaf, off: got, size: size})
	v.c.e.uplink.sent(v.c, bytes+got)
	if full > 0 {
		if err := v.write(sv, v.buf.b[:full]); err != nil {
			return err
		}
	}
	if err := v.c.write(wire.Append(nil, wire.Begin{Handle: sv.handle, Leaf: leaf, Size: uint32(size)})); err != nil {
		return err
	}
	at := full + headerRoom
	part := v.buf.b[at-wire.HeaderSize : at+got]
	wire.AppendHeader(part[:0], wire.Header{Kind: wire.KindPart, Length: uint32(got)})
	return v.write(sv, part)
}

// sendPart sends some more of the leaf begun, if the uplink has room: what waits in
// the buffers below makes everything behind it late.
func (v *server) sendPart() (bool, error) {
	cur, u := &v.cur, &v.c.e.uplink
	sv := cur.sv
	if v.stopped() {
		v.breakOff(cur.sv)
		return true, nil
	}
	room := u.room(v.c)
	if room <= 0 {
		return false, nil
	}
	if v.buf == nil {
		v.buf = v.c.e.bufs.get(sendBytes)
	}
	const head = wire.HeaderSize
	b := v.buf.b[:head+min(room, cur.size-cur.off, sendBytes)]
	n, _, err := cur.sv.r.ReadLeafAt(int(cur.leaf), b[head:], cur.off)
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		v.c.e.tore(leafOf{cur.sv.root, cur.leaf}, err, time.Now())
		return true, fmt.Errorf("read leaf %d from byte %d: %w", cur.leaf, cur.off, err)
	}
	wire.AppendHeader(b[:0], wire.Header{Kind: wire.KindPart, Length: uint32(n)})
	u.sent(v.c, n)
	if cur.off += n; cur.off == cur.size {
		v.setCurrent(partial{})
		defer func() { u.over(v.c, v.asked()) }()
	}
	return true, v.write(sv, b[:head+n])
}

// setCurrent notes which leaf is being sent in parts.
func (v *server) setCurrent(cur partial) {
	v.cur = cur
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sending.sv, v.sending.leaf, v.sending.stop = cur.sv, cur.leaf, false
}

// stopped reports whether the leaf that is being sent was cancelled.
func (v *server) stopped() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sending.stop
}

// breakOff ends the leaf begun, if it is of that subscription: the rest is not wanted.
func (v *server) breakOff(sv *serve) {
	if v.cur.sv == sv {
		v.setCurrent(partial{})
		v.c.send(wire.Part{})
		v.c.e.uplink.over(v.c, v.asked())
	}
}

// sendBatch sends some small leaves or a large one.
func (v *server) sendBatch() error {
	n, bytes, misses, first := 0, 0, 0, true
	var last, only *serve
	for n+headerRoom < sendBytes && misses < maxMisses {
		sv, leaf, ok := v.nextLeaf(only)
		if !ok {
			break
		}
		if first {
			first = false
			if v.c.e.limits.rooted.Load() > 0 {
				only = sv // each root has a limit of its own to pass
			}
			defer v.rotate(sv)
			if err := v.c.charge(1); err != nil {
				return err
			}
		}
		if !v.give(sv, leaf) {
			misses++
			continue
		}
		got, size, err := v.readLeaf(sv, leaf, n)
		switch {
		case err != nil:
			misses++
			v.lose(sv, leaf, err)
		case got == size:
			n += headerRoom + size
			bytes += size
			last = sv
		default:
			v.tellLost()
			if v.c.e.uplink.paced(v.c) {
				return v.begin(sv, leaf, n, bytes, got, size)
			}
			v.c.e.uplink.sent(v.c, bytes+got)
			return v.sendPieces(sv, leaf, n+headerRoom+got, got, size)
		}
	}
	v.tellLost()
	if n == 0 {
		return nil
	}
	v.c.e.uplink.sent(v.c, bytes)
	return v.write(last, v.buf.b[:n])
}

// give reports whether a requested leaf is to be sent, or has been dealt to others.
// A leaf that there is not is for readLeaf to refuse.
func (v *server) give(sv *serve, leaf uint32) bool {
	if !sv.dealt {
		return true
	}
	r, err := v.open(sv)
	if err != nil || int64(leaf) >= int64(r.Leaves()) {
		return true
	}
	return v.c.e.swarms.give(sv, leaf)
}

// readLeaf reads a leaf, or as much of it as fits, behind what the buffer holds already.
func (v *server) readLeaf(sv *serve, leaf uint32, at int) (got, size int, err error) {
	if err := v.c.e.tornErr(leafOf{sv.root, leaf}, time.Now()); err != nil {
		return 0, 0, err
	}
	r, err := v.open(sv)
	if err != nil {
		return 0, 0, err
	}
	if v.buf == nil {
		v.buf = v.c.e.bufs.get(sendBytes)
	}
	got, size, err = r.ReadLeafAt(int(leaf), v.buf.b[at+headerRoom:sendBytes], 0)
	if errors.Is(err, ErrNotFound) { // the root was removed: it may have been shared again
		v.closeRoot(sv)
		if r, err = v.open(sv); err == nil {
			got, size, err = r.ReadLeafAt(int(leaf), v.buf.b[at+headerRoom:sendBytes], 0)
		}
	}
	if err != nil {
		return 0, 0, err
	}
	if size > wire.MaxPayload {
		return 0, 0, fmt.Errorf("leaf %d has %d bytes: %w", leaf, size, ErrNotHave)
	}
	wire.PutDataHeader(v.buf.b[at:], sv.handle, leaf, size)
	return got, size, nil
}

// sendPieces sends the full bytes of the buffer, which end with the first got bytes
// of a leaf, and the rest of that leaf. Once its header is out, the rest has to
// follow: an error in between ends the stream, and the peer hears the reason when it
// asks again.
func (v *server) sendPieces(sv *serve, leaf uint32, full, got, size int) error {
	if err := v.write(sv, v.buf.b[:full]); err != nil {
		return err
	}
	for off := got; off < size; {
		n, _, err := sv.r.ReadLeafAt(int(leaf), v.buf.b[:sendBytes], off)
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			v.c.e.tore(leafOf{sv.root, leaf}, err, time.Now())
			return fmt.Errorf("read leaf %d from byte %d: %w", leaf, off, err)
		}
		v.c.e.uplink.sent(v.c, n)
		if err := v.write(sv, v.buf.b[:n]); err != nil {
			return err
		}
		off += n
	}
	return nil
}
