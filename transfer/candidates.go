package transfer

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/transfer/wire"
)

// No failure and no refusal is for the whole session: a drive is mounted again, a file restored, a daemon started again. The
// longest pause, with the longest dial before it, is below half a minute.
const (
	firstRetry = time.Second // after the first failure, doubled each time
	lastRetry  = 16 * time.Second
	jitterPart = 4  // a pause is longer or shorter by up to one part in so many
	maxHints   = 16 // addresses remembered of one candidate
	maxBad     = 64 // leaves remembered of one that sent them damaged
	proofs     = 16 // leaves that are right make up for one that was not
)

// A peer that sends what it must not is left alone for longer each time. Damaged leaves may come of a bad disk, whose other
// leaves are well; not to keep to the protocol has no such reason.
const (
	corruptPause   = 5 * time.Second // after the first time, then four times as long each time
	violationPause = 2 * time.Minute
	longestBan     = 30 * time.Minute
	badFor         = 5 * time.Minute // a damaged leaf is not asked of its sender again
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
	banned bool // until next
	hinted bool // peers have named it, nobody else
	away   bool // was not connected when it was left
	fails  int
	bans   int       // in a row
	proved int       // leaves that were right, since
	next   time.Time // not before
	err    error     // what is wrong with it, as far as known
	told   bool      // it has said that itself, or shown it
	bad    []badLeaf // that it has sent damaged lately
	nbad   int       // how many ever
}

// badLeaf is a leaf that came damaged.
type badLeaf struct {
	leaf uint32
	at   time.Time
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
			if !c.banned {
				c.fails, c.next = 0, time.Time{}
			}
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
		return !c.inUse && !now.Before(c.next)
	})
}

// pick takes the next peer to dial.
func (k *candidates) pick(now time.Time) (peer.AddrInfo, bool) {
	if k.using >= k.maxActive || k.dialing >= k.maxDials {
		return peer.AddrInfo{}, false
	}
	for i, c := range k.order {
		if c.inUse || now.Before(c.next) {
			continue
		}
		c.banned = false
		copy(k.order[i:], k.order[i+1:])
		k.order[len(k.order)-1] = c
		c.inUse = true
		k.using++
		k.dialing++
		return c.ai, true
	}
	return peer.AddrInfo{}, false
}

// holds tells whether a peer is being dialled or used.
func (k *candidates) holds(id peer.ID) bool {
	c := k.byID[id]
	return c != nil && c.inUse
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
	k.free(id).silent()
	k.pause(id, now)
}

// refused lets go of a peer that does not have the root, or not yet.
func (k *candidates) refused(id peer.ID, now time.Time) { k.pause(id, now) }

// pause lets go of a peer for longer each time. Those that left together do not come back together.
func (k *candidates) pause(id peer.ID, now time.Time) {
	c := k.free(id)
	wait := min(firstRetry<<min(c.fails, 10), lastRetry)
	c.next = now.Add(wait - wait/jitterPart + rand.N(2*wait/jitterPart))
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

// ban lets go of a peer that broke the protocol.
func (k *candidates) ban(id peer.ID, now time.Time) { k.banFor(id, now, violationPause) }

// corrupt lets go of a peer that has sent a damaged leaf, and remembers which.
func (k *candidates) corrupt(id peer.ID, now time.Time, leaf uint32) {
	c := k.free(id)
	c.nbad++
	c.bad = slices.DeleteFunc(c.bad, func(b badLeaf) bool { return b.leaf == leaf || now.Sub(b.at) >= badFor })
	if len(c.bad) < maxBad {
		c.bad = append(c.bad, badLeaf{leaf, now})
	}
	k.banFor(id, now, corruptPause)
}

func (k *candidates) banFor(id peer.ID, now time.Time, first time.Duration) {
	c := k.free(id)
	if !c.banned { // else it was on its way when the peer was banned: that is one event
		c.bans++
	}
	c.banned, c.proved = true, 0
	if until := now.Add(min(first<<min(2*(c.bans-1), 20), longestBan)); c.next.Before(until) {
		c.next = until
	}
}

// damaged is the leaves that a peer sent damaged lately.
func (k *candidates) damaged(id peer.ID, now time.Time) (runs []wire.Run) {
	if c := k.byID[id]; c != nil {
		for _, b := range c.bad {
			if now.Sub(b.at) < badFor {
				runs = append(runs, wire.Run{First: b.leaf, Count: 1})
			}
		}
	}
	return runs
}

// proved forgives a peer its failures, and by and by that it had to be banned.
func (k *candidates) proved(id peer.ID) {
	c := k.byID[id]
	if c == nil || c.banned { // what was on its way changes nothing
		return
	}
	c.fails, c.err, c.told = 0, nil, false
	if c.proved++; c.proved >= proofs {
		c.bans = 0
	}
}

// left notes whether a peer was connected when it was let go.
func (k *candidates) left(id peer.ID, connected bool) {
	if c := k.byID[id]; c != nil {
		c.away = !connected
	}
}

// returned lets those be tried at once that have connected to us since they could not be reached.
func (k *candidates) returned(connected func(peer.ID) bool) {
	for _, c := range k.order {
		if c.away && !c.inUse && !c.banned && connected(c.ai.ID) {
			c.away, c.next = false, time.Time{}
		}
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
	s.cands.maxActive = s.e.limits.mostPeers(s.root, s.e.cfg.MaxPeers)
	for {
		ai, ok := s.cands.pick(time.Now())
		if !ok {
			return
		}
		s.wg.Go(func() {
			c, err := s.e.connectFor(ctx, ai, s.root)
			s.cands.dialed <- dialed{ai.ID, c, err} // has room for all dials
		})
	}
}
