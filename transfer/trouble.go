package transfer

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	p2p "github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/transfer/sched"
	"shoal/transfer/wire"
)

// What a fetch can have against a peer, beside ErrNotFound, ErrChanged and
// ErrNotHave, which are what the peer says, and what dialling it gave.
var (
	// ErrRead: the peer cannot read what it has.
	ErrRead = errors.New("peer cannot read it")
	// ErrBusy: the peer has too many requests.
	ErrBusy = errors.New("peer is busy")
	// ErrDenied: it is not for us.
	ErrDenied = errors.New("peer refuses us")
	// ErrSilent: no answer, or nothing of what was asked, in time.
	ErrSilent = errors.New("peer does not answer")
	// ErrCorrupt: bytes did not match their CID. The peer is left alone for a while.
	ErrCorrupt = errors.New("peer sent corrupt data")
	// ErrViolation: the peer does not keep to the protocol. It is left alone for long.
	ErrViolation = errViolation
)

const (
	maxKnown   = 64          // candidates that Stats tells of
	countEvery = time.Second // between counts of the leaves that nobody has
	countShare = 100         // and at most this part of the owner's time
)

// CandidateStats describes a peer that a fetch knows and is not connected to.
type CandidateStats struct {
	ID      peer.ID
	Addrs   []ma.Multiaddr
	Hinted  bool // peers have named it, nobody else
	Dialing bool
	Banned  bool      // until Next
	Tries   int       // failures in a row
	Next    time.Time // it is not dialled before
	Err     error     // how it ended last; nil: not tried yet
	Damaged int       // leaves that it has sent damaged
}

// Reach connects to a peer, if need be, and opens the stream that a fetch would use.
func (e *Engine) Reach(ctx context.Context, ai peer.AddrInfo) error {
	_, err := e.connect(ctx, ai)
	return err
}

// note remembers what is wrong with a peer. That libp2p does not dial again so soon
// says nothing new.
func (k *candidates) note(id peer.ID, err error) {
	c := k.byID[id]
	if c == nil || err == nil || c.err != nil && errors.Is(err, p2p.ErrDialBackoff) {
		return
	}
	c.err, c.told = err, false
}

// noteTold is note for what the peer itself has said, or shown.
func (k *candidates) noteTold(id peer.ID, err error) {
	if c := k.byID[id]; c != nil {
		c.err, c.told = err, true
	}
}

// silent notes that a peer was left for no better reason.
func (c *candidate) silent() {
	if c.err == nil {
		c.err = ErrSilent
	}
}

// trouble is what a peer has said, or shown, against sending.
func (k *candidates) trouble(id peer.ID) error {
	if c := k.byID[id]; c != nil && c.told {
		return c.err
	}
	return nil
}

// lacks is why a peer does not give some leaves.
func (s *session) lacks(id peer.ID) error {
	if p := s.peers[id]; p != nil {
		return p.lacks
	}
	return nil
}

// spoilt counts the leaves that a peer has sent damaged.
func (k *candidates) spoilt(id peer.ID) int {
	if c := k.byID[id]; c != nil {
		return c.nbad
	}
	return 0
}

// trouble takes out of a note what is to be remembered of its peer.
func (s *session) trouble(n note) {
	if n.sub == nil {
		return
	}
	id := n.sub.c.peer
	switch m := n.msg.(type) {
	case wire.Gone:
		if m.Code != wire.CodeElsewhere {
			s.cands.noteTold(id, errOf(m.Code))
		}
	case wire.Refused:
		s.cands.noteTold(id, errOf(m.Code))
	case wire.Busy:
		s.cands.noteTold(id, ErrBusy)
	}
	switch {
	case n.bad:
		s.cands.noteTold(id, ErrCorrupt)
	case errors.Is(s.cands.trouble(id), ErrCorrupt): // which is why the stream ends
	case errors.Is(n.err, errViolation):
		s.cands.noteTold(id, n.err)
	case n.err != nil:
		s.cands.note(id, n.err)
	}
}

// errOf is what a peer says in a code.
func errOf(code wire.Code) error {
	switch code {
	case wire.CodeNotFound:
		return ErrNotFound
	case wire.CodeChanged:
		return ErrChanged
	case wire.CodeNotHave:
		return ErrNotHave
	case wire.CodeLimit:
		return ErrBusy
	case wire.CodeDenied:
		return ErrDenied
	}
	return ErrRead
}

// appendKnown appends those that are not connected and have something to tell first.
func (k *candidates) appendKnown(dst []CandidateStats, connected func(peer.ID) bool) []CandidateStats {
	for _, tried := range [...]bool{true, false} {
		for _, c := range k.order {
			if (c.err != nil) == tried && len(dst) < maxKnown && !connected(c.ai.ID) {
				dst = append(dst, CandidateStats{
					ID: c.ai.ID, Addrs: c.ai.Addrs[:len(c.ai.Addrs):len(c.ai.Addrs)], Hinted: c.hinted,
					Dialing: c.inUse, Banned: c.banned, Tries: c.fails, Next: c.next, Err: c.err, Damaged: c.nbad,
				})
			}
		}
	}
	return dst
}

// countLost counts the leaves that are missing and that no connected peer has. It
// looks at every missing leaf, so that it runs seldom.
func (s *session) countLost(now time.Time) int {
	t := &s.stats
	if now.Before(t.countNext) {
		return t.lost
	}
	t.lost = 0
	for l := range sched.Leaf(s.known) {
		if s.missing(l) && s.sched.Availability(l) == 0 && !s.local.held(int(l)) {
			t.lost++
		}
	}
	took := time.Since(now)
	t.countNext = now.Add(max(countEvery, countShare*took))
	return t.lost
}

// missing tells whether a leaf is still to come; of a stream, whether it is not here.
func (s *session) missing(l sched.Leaf) bool {
	if s.needs != nil {
		return !s.job.Has(int(l))
	}
	return !s.sched.Has(l)
}
