package transfer

import (
	"crypto/sha256"
	"time"

	"github.com/ipfs/go-cid"

	"shoal/transfer/wire"
)

// maxLate bounds the cancelled leaves a conn remembers one by one.
const maxLate = 16384

// digest is a sha2-256 digest.
type digest = [sha256.Size]byte

// digestOf takes the digest out of a CID of version 0, or of version 1 with a
// one-byte codec; false for other hash functions.
func digestOf(c cid.Cid) (d digest, ok bool) {
	s := c.KeyString()
	switch {
	case len(s) == 36 && s[0] == 1 && s[1] < 0x80 && s[2] == 0x12 && s[3] == sha256.Size,
		len(s) == 34 && s[0] == 0x12 && s[1] == sha256.Size:
		copy(d[:], s[len(s)-sha256.Size:])
		return d, true
	}
	return d, false
}

// sub is a session's subscription to its root at one peer, and what it has asked
// there. The fields below handle belong to the conn's mu.
type sub struct {
	ses    *session
	c      *conn
	handle uint32

	asked  map[uint32]expect // by leaf
	late   int               // cancelled ones among asked
	owed   int64             // the cost of the others
	spoilt bool              // a leaf with a wrong hash has come

	moved     time.Time // something came, or was asked of an idle peer; the session owner's
	choked    bool      // the owner's too, as is
	unheeding bool      // the choke has not been answered
}

// expect is what a requested leaf must be.
type expect struct {
	digest    digest
	size      int32 // -1: not known
	cancelled bool  // taken back, but may be under way
}

// cost is the most payload the leaf can bring, in bytes.
func (x expect) cost() int64 {
	if x.size < 0 {
		return wire.MaxPayload
	}
	return int64(x.size)
}

// subscribe binds a new handle to the session's root, without telling the peer.
func (c *conn) subscribe(ses *session) (*sub, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	s := &sub{ses: ses, c: c, handle: c.nextHandle, asked: make(map[uint32]expect)}
	c.subs[c.nextHandle] = s
	c.nextHandle++
	return s, nil
}

// unsubscribe ends a subscription. What it had asked may still come.
func (c *conn) unsubscribe(s *sub) {
	c.mu.Lock()
	if c.subs[s.handle] != s {
		c.mu.Unlock()
		return
	}
	delete(c.subs, s.handle)
	for _, x := range s.asked {
		c.stray += x.cost()
	}
	s.asked, s.late, s.owed = nil, 0, 0
	c.mu.Unlock()
	c.send(wire.Unwant{Handle: s.handle})
}

// expect books leaves that are about to be requested. It tells whether nothing had
// been owed before.
func (s *sub) expect(leaves []uint32, xs []expect) (idle bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.asked == nil {
		return false
	}
	idle = s.owed == 0
	for i, leaf := range leaves {
		if old, ok := s.asked[leaf]; ok {
			s.unbook(old)
			if old.cancelled {
				s.c.stray += old.cost() // it may come twice now
			}
		}
		s.asked[leaf] = xs[i]
		s.owed += xs[i].cost()
	}
	return idle
}

// unbook takes what was asked out of the sums. c.mu is held.
func (s *sub) unbook(x expect) {
	if x.cancelled {
		s.late--
	} else {
		s.owed -= x.cost()
	}
}

// spoil notes a leaf with a wrong hash. It tells whether it is the first one.
func (s *sub) spoil() (first bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	first = !s.spoilt
	s.spoilt = true
	return first
}

// owes is how many bytes have been asked and neither come nor been taken back.
func (s *sub) owes() int64 {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.owed
}

// left returns the leaves that have been asked and neither come nor been taken back.
func (s *sub) left() (leaves []uint32) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for leaf, x := range s.asked {
		if !x.cancelled {
			leaves = append(leaves, leaf)
		}
	}
	return leaves
}

// awaits reports whether a leaf is one of those left.
func (s *sub) awaits(leaf uint32) bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	x, ok := s.asked[leaf]
	return ok && !x.cancelled
}

// comes returns the leaf that has begun to come, or come, last.
func (s *sub) comes() (leaf uint32, ok bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.c.leaf, s.c.coming == s
}

// takeBack marks leaves as cancelled: they are welcome but not awaited. It tells
// whether there were any.
func (s *sub) takeBack(run wire.Run) (any bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.late == len(s.asked) {
		return false
	}
	s.each(run, func(leaf uint32, x expect) {
		if !x.cancelled {
			s.unbook(x)
			x.cancelled, any = true, true
			s.asked[leaf] = x
			s.late++
		}
	})
	if s.late <= maxLate {
		return any
	}
	for leaf, x := range s.asked {
		if x.cancelled {
			s.c.stray += x.cost()
			delete(s.asked, leaf)
		}
	}
	s.late = 0
	return any
}

// forget takes out leaves that the peer has said will not come. Those that had been
// asked are appended to asked.
func (s *sub) forget(asked []wire.Run, run wire.Run) []wire.Run {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.each(run, func(leaf uint32, x expect) {
		s.unbook(x)
		delete(s.asked, leaf)
		asked = addLeaf(asked, leaf)
	})
	return asked
}

// each calls f for the asked leaves of a run, which may be much longer than what
// was asked. c.mu is held.
func (s *sub) each(run wire.Run, f func(leaf uint32, x expect)) {
	end := uint64(run.First) + uint64(run.Count)
	if int64(run.Count) <= int64(len(s.asked)) {
		for leaf := uint64(run.First); leaf < end; leaf++ {
			if x, ok := s.asked[uint32(leaf)]; ok {
				f(uint32(leaf), x)
			}
		}
		return
	}
	for leaf, x := range s.asked {
		if leaf >= run.First && uint64(leaf) < end {
			f(leaf, x)
		}
	}
}

// everything is the run of all leaves there can be, but the very last.
var everything = wire.Run{First: 0, Count: 1<<32 - 1}

// arrive matches a data header to what was asked. A nil sub means that the
// payload is to be thrown away: it comes late for a subscription that has ended.
func (c *conn) arrive(handle, leaf uint32, size int) (*sub, expect, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.subs[handle]; s != nil {
		if x, ok := s.asked[leaf]; ok {
			delete(s.asked, leaf)
			s.unbook(x)
			c.coming, c.leaf = s, leaf
			if x.size >= 0 && int(x.size) != size {
				return nil, x, violation("leaf %d is %d bytes long, not %d", leaf, size, x.size)
			}
			return s, x, nil
		}
	}
	// An allowance of zero bytes still lets empty leaves pass; they cost the flood limit.
	if handle >= c.nextHandle || c.stray < int64(size) {
		return nil, expect{}, violation("leaf %d of handle %d was not asked", leaf, handle)
	}
	c.stray -= int64(size)
	return nil, expect{}, nil
}

// find returns the subscription a provider's message is about, nil if it has ended.
func (c *conn) find(handle uint32) (*sub, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if handle >= c.nextHandle {
		return nil, violation("handle %d was never bound", handle)
	}
	return c.subs[handle], nil
}
