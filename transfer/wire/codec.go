package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
)

// ErrMalformed is wrapped by every error of [Decode] and [Header.Check].
var ErrMalformed = errors.New("malformed message")

// Header is a frame's header.
type Header struct {
	Length uint32 // bytes of the body
	Kind   Kind
}

// ParseHeader reads a header from the first [HeaderSize] bytes of b.
func ParseHeader(b []byte) Header {
	return Header{Length: binary.BigEndian.Uint32(b), Kind: Kind(b[4])}
}

// AppendHeader appends a header to b.
func AppendHeader(b []byte, h Header) []byte {
	return append(binary.BigEndian.AppendUint32(b, h.Length), byte(h.Kind))
}

// Known tells whether the kind is one this version defines.
func (k Kind) Known() bool { return k >= KindHello && k <= KindCorrupt }

// Check bounds the body's length, before anything is allocated for it.
func (h Header) Check() error {
	limit := uint32(MaxControl)
	switch h.Kind {
	case KindNode, KindData:
		limit = MaxPayload + 8
	case KindBlock:
		limit = MaxPayload + 5
	case KindPart:
		limit = MaxPayload
	}
	if h.Length > limit {
		return fmt.Errorf("%w: kind %d body of %d bytes, limit %d", ErrMalformed, h.Kind, h.Length, limit)
	}
	return nil
}

// Append appends m as a whole frame to b. The caller keeps to the limits.
func Append(b []byte, m Message) []byte {
	start := len(b)
	b = AppendHeader(b, Header{Kind: m.kind()})
	b = m.append(b)
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-HeaderSize))
	return b
}

// PutDataHeader writes the frame header and the fixed part of a [Data] with a
// payload of n bytes to the first HeaderSize+DataHeaderSize bytes of b.
func PutDataHeader(b []byte, handle, leaf uint32, n int) {
	binary.BigEndian.PutUint32(b, uint32(DataHeaderSize+n))
	b[4] = byte(KindData)
	binary.BigEndian.PutUint32(b[5:], handle)
	binary.BigEndian.PutUint32(b[9:], leaf)
}

// ParseDataHeader reads the fixed part of a [Data] from the first
// [DataHeaderSize] bytes of its body.
func ParseDataHeader(b []byte) (handle, leaf uint32) {
	return binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
}

// Decode reads the body of a frame of a known kind. Byte slices of the result
// point into body.
func Decode(k Kind, body []byte) (Message, error) {
	r := &reader{b: body}
	m := decode(k, r)
	if r.bad || m == nil {
		return nil, fmt.Errorf("%w: kind %d of %d bytes", ErrMalformed, k, len(body))
	}
	return m, nil
}

func decode(k Kind, r *reader) Message {
	switch k {
	case KindHello:
		return Hello{MinVersion: r.u16(), MaxVersion: r.u16(), Features: r.u64()}
	case KindWant:
		return Want{Handle: r.u32(), Flags: r.u32(), Root: r.cid()}
	case KindUnwant:
		return Unwant{Handle: r.u32()}
	case KindNodes:
		return Nodes{Handle: r.u32(), From: r.u32()}
	case KindRequest:
		return Request{Handle: r.u32(), Runs: r.runs()}
	case KindCancel:
		return Cancel{Handle: r.u32(), Runs: r.runs()}
	case KindBlocks:
		return Blocks{ID: r.u32(), CIDs: r.cids()}
	case KindInterest:
		return Interest{Handle: r.u32(), Flags: r.u8(), Load: r.u16()}
	case KindCorrupt:
		return Corrupt{Handle: r.u32(), Leaf: r.u32()}
	case KindNode:
		return Node{Handle: r.u32(), Index: r.u32(), Block: r.rest()}
	case KindData:
		return Data{Handle: r.u32(), Leaf: r.u32(), Payload: r.rest()}
	case KindBlock:
		return Block{ID: r.u32(), Index: r.u8(), Block: r.rest()}
	}
	return decodeProvider(k, r)
}

func decodeProvider(k Kind, r *reader) Message {
	switch k {
	case KindInfo:
		m := Info{Handle: r.u32(), Flags: r.u32(), Leaves: r.u32()}
		m.Name = string(r.bytes(int(r.u16()), MaxName))
		return m
	case KindHaveAll:
		return HaveAll{Handle: r.u32()}
	case KindHaveBits:
		m := HaveBits{Handle: r.u32(), First: r.u32()}
		m.Bits = r.bytes(int(r.u16()), MaxBitsBytes)
		r.check(len(m.Bits) > 0 && m.First%8 == 0 && uint64(m.First)+8*uint64(len(m.Bits)) <= 1<<32)
		return m
	case KindHaveRuns:
		return HaveRuns{Handle: r.u32(), Runs: r.runs()}
	case KindNoNode:
		return NoNode{Handle: r.u32(), Index: r.u32()}
	case KindChoke:
		return Choke{Handle: r.u32()}
	case KindUnchoke:
		return Unchoke{Handle: r.u32()}
	case KindOffer:
		return Offer{Handle: r.u32(), Bytes: r.u32()}
	case KindPeers:
		return Peers{Handle: r.u32(), Peers: r.peers()}
	case KindGone:
		return Gone{Handle: r.u32(), Code: Code(r.u8()), Runs: r.runs()}
	case KindRefused:
		return Refused{Handle: r.u32(), Code: Code(r.u8())}
	case KindBusy:
		return Busy{Handle: r.u32(), RetryMillis: r.u32()}
	case KindNoBlock:
		return NoBlock{ID: r.u32(), Index: r.u8(), Code: Code(r.u8())}
	case KindPace:
		return Pace{Every: r.u32()}
	case KindGot:
		return Got{Total: r.u64()}
	case KindBegin:
		m := Begin{Handle: r.u32(), Leaf: r.u32(), Size: r.u32()}
		r.check(m.Size <= MaxPayload)
		return m
	case KindPart:
		return Part{Payload: r.rest()}
	}
	return nil
}

// reader takes fields off a body. After a field that is not all there it returns
// zeros and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) check(ok bool) { r.bad = r.bad || !ok }

// bytes takes n bytes, which may be at most limit.
func (r *reader) bytes(n, limit int) []byte {
	if r.bad || n > limit || n > len(r.b) {
		r.bad = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) rest() []byte { return r.bytes(len(r.b), MaxPayload) }

func (r *reader) u8() uint8 {
	if v := r.bytes(1, 1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.bytes(2, 2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.bytes(4, 4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.bytes(8, 8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) runs() []Run {
	n := int(r.u16())
	raw := r.bytes(8*n, 8*MaxRuns)
	r.check(n > 0)
	if r.bad {
		return nil
	}
	runs := make([]Run, n)
	for i := range runs {
		run := Run{binary.BigEndian.Uint32(raw[8*i:]), binary.BigEndian.Uint32(raw[8*i+4:])}
		r.check(run.Count > 0 && uint64(run.First)+uint64(run.Count) <= 1<<32)
		runs[i] = run
	}
	return runs
}

func (r *reader) cid() cid.Cid {
	c, err := cid.Cast(r.bytes(int(r.u8()), 255))
	r.check(err == nil)
	return c
}

func (r *reader) cids() []cid.Cid {
	n := int(r.u8())
	r.check(n > 0 && n <= MaxBlocks)
	var cids []cid.Cid
	for ; n > 0 && !r.bad; n-- {
		cids = append(cids, r.cid())
	}
	return cids
}

func (r *reader) peers() []Peer {
	n := int(r.u8())
	r.check(n <= MaxPeers)
	var peers []Peer
	for ; n > 0 && !r.bad; n-- {
		p := Peer{ID: string(r.bytes(int(r.u8()), 255))}
		addrs := int(r.u8())
		r.check(p.ID != "" && addrs <= MaxAddrs)
		for ; addrs > 0 && !r.bad; addrs-- {
			p.Addrs = append(p.Addrs, r.bytes(int(r.u16()), MaxAddrBytes))
		}
		peers = append(peers, p)
	}
	return peers
}
