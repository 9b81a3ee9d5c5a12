package dht

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-varint"
)

// The saved peers are one row:
//
//	version    byte     1
//	count      uvarint  at most 200
//	count times, newest first:
//	  seen     uvarint  unix seconds, when the peer was last in the routing table
//	  id       uvarint length (at most 64), peer ID bytes
//	  addrs    uvarint  at most 8, then each: uvarint length (at most 128), multiaddr bytes
//
// Varints are minimal (multiformats unsigned-varint) and nothing follows, so a row has exactly one form.
const (
	savedVersion  = 1
	maxSaved      = 200
	maxSavedAddrs = 8
	maxIDBytes    = 64
	maxSavedAge   = 30 * 24 * time.Hour
	maxSeen       = 1 << 40 // seconds; keeps time arithmetic from overflowing
)

// savedPeer is a peer remembered from an earlier run.
type savedPeer struct {
	ID    peer.ID
	Seen  time.Time
	Addrs []ma.Multiaddr
}

var errSaved = errors.New("saved peers")

// encodeSaved expects what decodeSaved accepts: its caller keeps to the limits.
func encodeSaved(peers []savedPeer) []byte {
	out := []byte{savedVersion}
	out = append(out, varint.ToUvarint(uint64(len(peers)))...)
	for _, p := range peers {
		out = append(out, varint.ToUvarint(uint64(p.Seen.Unix()))...)
		out = appendBytes(out, []byte(p.ID))
		out = append(out, varint.ToUvarint(uint64(len(p.Addrs)))...)
		for _, a := range p.Addrs {
			out = appendBytes(out, a.Bytes())
		}
	}
	return out
}

func appendBytes(out, b []byte) []byte {
	return append(append(out, varint.ToUvarint(uint64(len(b)))...), b...)
}

// decodeSaved reads a row; every length is checked before it is believed.
func decodeSaved(data []byte) ([]savedPeer, error) {
	if len(data) == 0 || data[0] != savedVersion {
		return nil, fmt.Errorf("%w: unknown version", errSaved)
	}
	r := &reader{data: data[1:]}
	n := r.number(maxSaved)
	var out []savedPeer
	for range n {
		p := savedPeer{Seen: time.Unix(int64(r.number(maxSeen)), 0)}
		id := r.bytes(maxIDBytes)
		addrs := r.number(maxSavedAddrs)
		for range addrs {
			p.Addrs = append(p.Addrs, r.addr())
		}
		if r.err != nil {
			break
		}
		var err error
		if p.ID, err = peer.IDFromBytes(id); err != nil {
			return nil, fmt.Errorf("%w: peer %d: %w", errSaved, len(out), err)
		}
		out = append(out, p)
	}
	if r.err == nil && len(r.data) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.data))
	}
	if r.err != nil {
		return nil, fmt.Errorf("%w: peer %d: %w", errSaved, len(out), r.err)
	}
	return out, nil
}

// reader takes values off data until the first error, which sticks.
type reader struct {
	data []byte
	err  error
}

func (r *reader) number(limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n, err := varint.FromUvarint(r.data)
	if err == nil && v > limit {
		err = fmt.Errorf("%d is more than %d", v, limit)
	}
	if err != nil {
		r.err = err
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) bytes(limit uint64) []byte {
	n := r.number(limit)
	if r.err == nil && n > uint64(len(r.data)) {
		r.err = fmt.Errorf("%d bytes announced, %d there", n, len(r.data))
	}
	if r.err != nil {
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) addr() ma.Multiaddr {
	b := r.bytes(maxAddrBytes)
	if r.err != nil {
		return nil
	}
	a, err := ma.NewMultiaddrBytes(b)
	if err == nil && !bytes.Equal(a.Bytes(), b) {
		err = errors.New("multiaddr is not in its canonical form")
	}
	r.err = err
	return a
}
