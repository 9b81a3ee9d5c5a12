package transfer

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	firstRetry = time.Second // after the first failure, doubled each time
	lastRetry  = time.Minute
	maxHints   = 16 // addresses remembered of one candidate
)

// candidates are the peers a session might use. They belong to its owner.
type candidates struct {
	maxKnown, maxActive, maxDials int

	byID    map[peer.ID]*candidate
	order   []*candidate // dialled in turn
	hinted  int          // known by hints of peers alone
	using   int          // connected, or being dialled
	dialing int
	dialed  chan dialed
}

type candidate struct {
	ai     peer.AddrInfo
	inUse  bool // connected or being dialled
	banned bool
	hinted bool // peers have named it, nobody else
	fails  int
	next   time.Time // not before
	err    error     // what is wrong with it, as far as known
	told   bool      // it has said that itself, or shown it
}

// dialed is the outcome of a dial.
type dialed struct {
	id  peer.ID
	c   *conn
	err error
}

func (k *candidates) init(cfg Config) {
	k.maxKnown, k.maxActive, k.maxDials = cfg.MaxCandidates, cfg.MaxPeers, cfg.MaxDials
	k.byID = make(map[peer.ID]*candidate)
	k.dialed = make(chan dialed, cfg.MaxDials)
}

// add takes a peer in, or learns new addresses of a known one, which is then
// tried again soon if it had failed. What peers name, by hint, gets no more than
// half of the room: they can make up any number.
func (k *candidates) add(self peer.ID, ai peer.AddrInfo, hint bool) {
	if ai.ID == self || ai.ID == "" {
		return
	}
	c := k.byID[ai.ID]
	if c == nil {
		if !k.room(hint) {
			return
		}
		c = &candidate{ai: peer.AddrInfo{ID: ai.ID}, hinted: hint}
		k.byID[ai.ID] = c
		k.order = append(k.order, c)
		if hint {
			k.hinted++
		}
	}
	if c.hinted && !hint {
		c.hinted = false
		k.hinted--
	}
	for _, a := range ai.Addrs {
		if len(c.ai.Addrs) < maxHints && !ma.Contains(c.ai.Addrs, a) {
			c.ai.Addrs = append(c.ai.Addrs, a)
			c.fails = 0
			c.next = time.Time{}
		}
	}
}

// room makes sure that one more fits, by forgetting one that has failed or, rather
// than a peer that others than peers have named, one that is banned.
func (k *candidates) room(hint bool) bool {
	switch {
	case hint && k.hinted >= (k.maxKnown+1)/2:
		return k.evict(func(c *candidate) bool { return c.hinted && !c.banned && c.fails > 0 })
	case len(k.order) < k.maxKnown:
		return true
	}
	return k.evict(func(c *candidate) bool { return !c.banned && c.fails > 0 }) ||
		!hint && k.evict(func(c *candidate) bool { return c.banned })
}

// evict forgets the first idle peer that will do.
func (k *candidates) evict(will func(*candidate) bool) bool {
	for i, c := range k.order {
		if !c.inUse && will(c) {
			delete(k.byID, c.ai.ID)
			k.order = slices.Delete(k.order, i, i+1)
			if c.hinted {
				k.hinted--
			}
			return true
		}
	}
	return false
}

// crowded tells whether a peer could be dialled if there were a place for it.
func (k *candidates) crowded(now time.Time) bool {
	return k.using >= k.maxActive && slices.ContainsFunc(k.order, func(c *candidate) bool {
		return !c.inUse && !c.banned && !now.Before(c.next)
	})
}

// pick takes the next peer to dial.
func (k *candidates) pick(now time.Time) (peer.AddrInfo, bool) {
	if k.using >= k.maxActive || k.dialing >= k.maxDials {
		return peer.AddrInfo{}, false
	}
	for i, c := range k.order {
		if c.inUse || c.banned || now.Before(c.next) {
			continue
		}
		copy(k.order[i:], k.order[i+1:])
		k.order[len(k.order)-1] = c
		c.inUse = true
		k.using++
		k.dialing++
		return c.ai, true
	}
	return peer.AddrInfo{}, false
}

// active notes that a dial has succeeded. What the peer itself has said before holds
// until it sends something.
func (k *candidates) active(id peer.ID) {
	k.dialing--
	if c := k.byID[id]; c != nil && !c.told {
		c.err = nil
	}
}

// failed notes that a dial has not.
func (k *candidates) failed(id peer.ID, now time.Time) {
	k.dialing--
	k.retry(id, now)
}

// retry lets go of a peer, to be tried again later and later.
func (k *candidates) retry(id peer.ID, now time.Time) {
	c := k.free(id)
	c.silent()
	c.next = now.Add(min(firstRetry<<min(c.fails, 10), lastRetry))
	c.fails++
}

// refused lets go of a peer that has not the root, or not yet.
func (k *candidates) refused(id peer.ID, now time.Time) {
	c := k.free(id)
	c.next = now.Add(min(refusedWait<<min(c.fails, 10), lastRetry))
	c.fails++
}

// later lets go of a peer until a time.
func (k *candidates) later(id peer.ID, until time.Time) {
	c := k.free(id)
	c.silent()
	if c.next.Before(until) {
		c.next = until
	}
}

// ban lets go of a peer for good.
func (k *candidates) ban(id peer.ID, _ time.Time) { k.free(id).banned = true }

// proved forgives a peer its failures.
func (k *candidates) proved(id peer.ID) {
	if c := k.byID[id]; c != nil {
		c.fails, c.err, c.told = 0, nil, false
	}
}

func (k *candidates) free(id peer.ID) *candidate {
	c := k.byID[id]
	if c == nil { // evicted; what is noted about it is lost
		return &candidate{}
	}
	if c.inUse {
		c.inUse = false
		k.using--
	}
	return c
}

// dial starts as many dials as are due.
func (s *session) dial(ctx context.Context) {
	s.cands.maxActive = s.e.limits.mostPeers(s.e.cfg.MaxPeers)
	for {
		ai, ok := s.cands.pick(time.Now())
		if !ok {
			return
		}
		s.wg.Go(func() {
			c, err := s.e.connect(ctx, ai)
			s.cands.dialed <- dialed{ai.ID, c, err} // has room for all dials
		})
	}
}
