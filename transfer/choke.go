package transfer

import (
	"math"
	"slices"
	"time"

	"shoal/transfer/sched"
	"shoal/transfer/wire"
)

// This file is about turns at a slow uplink that many want something of: see
// sched.Uplink, and "A crowd" in package wire. The first half is the provider's, the
// second the requester's.

// choking is what a provider knows of a subscription while it chokes it. It belongs
// to server.mu.
type choking struct {
	on       bool
	unheeded int  // chokes that have not been answered: requests from before them may follow
	offers   int  // not answered
	wants    bool // would take one
	load     int
}

// choke chokes all subscriptions, or none. One that keeps nothing is never choked: its
// reader waits for one leaf at a time, in order.
func (v *server) choke(on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !on && v.choked == 0 {
		return
	}
	for _, sv := range v.serves {
		v.chokeServe(sv, on)
	}
}

// chokeServe chokes one subscription, or no more. mu is held.
func (v *server) chokeServe(sv *serve, on bool) {
	if sv.reads || sv.choke.on == on {
		return
	}
	if on {
		v.dropRequests(sv)
		sv.choke.on = true
		sv.choke.unheeded++
		sv.hungry.Store(true) // until it says that it is not
		v.choked++
		v.c.send(wire.Choke{Handle: sv.handle})
		return
	}
	sv.choke = choking{unheeded: sv.choke.unheeded}
	sv.hungry.Store(len(sv.reqs) > 0)
	v.choked--
	v.c.send(wire.Unchoke{Handle: sv.handle})
}

// interest takes up what a requester says of a subscription, and tells the uplink
// what that makes of the conn. Called by the reader.
func (v *server) interest(m wire.Interest) {
	v.mu.Lock()
	sv := v.serves[m.Handle]
	if sv == nil {
		v.mu.Unlock()
		return
	}
	k := &sv.choke
	if m.Flags&wire.InterestChoked != 0 && k.unheeded > 0 {
		k.unheeded--
	}
	declines := m.Flags&wire.InterestDeclines != 0 && k.offers > 0
	if declines {
		k.offers--
	}
	k.wants, k.load = k.on && m.Flags&wire.InterestWants != 0, int(m.Load)
	sv.hungry.Store(len(sv.reqs) > 0 || k.wants)
	v.mu.Unlock()
	v.tellUplink(declines)
}

// tellUplink says what the subscriptions together would take, and whether that answers an offer. mu is not held.
func (v *server) tellUplink(declines bool) {
	v.mu.Lock()
	wants, load := v.wanting()
	v.mu.Unlock()
	v.c.e.uplink.interest(v.c, wants, load, declines)
}

// wanting tells whether an offer would be taken, and the least that one who would
// take it waits for. mu is held.
func (v *server) wanting() (wants bool, load int) {
	load = math.MaxInt
	for _, sv := range v.serves {
		if sv.choke.wants && sv.choke.unheeded == 0 {
			wants, load = true, min(load, sv.choke.load)
		}
	}
	return wants, load
}

// offer makes one of the subscriptions an offer, in turn. It reports whether any wants one.
func (v *server) offer() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	var next *serve
	for _, sv := range v.serves {
		if !sv.choke.wants || sv.choke.unheeded > 0 {
			continue
		}
		if next == nil || sv.handle-v.offered-1 < next.handle-v.offered-1 { // the first behind the last one
			next = sv
		}
	}
	if next == nil {
		return false
	}
	v.offered = next.handle
	next.choke.offers++
	v.c.send(wire.Offer{Handle: next.handle, Bytes: sched.TurnBytes})
	return true
}

// choke stops asking on one connection. The peer counts as choked when all are.
func (s *session) choke(now time.Time, p *source, by *sub) {
	by.choked, by.unheeding = true, true
	leaves := by.left()
	by.takeBack(everything)
	s.askAgain(now, p, leaves)
	if by.unheeding { // others take requests still
		by.unheeding = false
		by.c.send(wire.Interest{Handle: by.handle, Flags: wire.InterestChoked})
	}
}

func (s *session) unchoke(now time.Time, p *source, by *sub) {
	by.choked = false
	p.offered = nil
	s.handle(now, sched.Unchoke{Peer: p.id})
}

// chokedBy tells the scheduler that a peer takes no requests on any connection. Of what it owes, leaves that are lost, were not
// asked for yet or are still awaited do not come. The others have begun to, or are being written.
func (s *session) chokedBy(now time.Time, p *source, lost []uint32) {
	var coming []sched.Leaf
	for _, r := range s.sched.Outstanding(p.id) {
		for l := r.First; l-r.First < sched.Leaf(r.Count); l++ {
			if !slices.Contains(lost, uint32(l)) && !p.awaits(uint32(l)) {
				coming = append(coming, l)
			}
		}
	}
	p.takeBackAll(nil)
	p.ops = slices.DeleteFunc(p.ops, func(o op) bool { return !o.cancel })
	s.handle(now, sched.Choke{Peer: p.id, Coming: coming})
}

// awaits reports whether a leaf is to come that a peer has not begun to send.
func (p *source) awaits(leaf uint32) bool {
	return slices.ContainsFunc(p.subs, func(s *sub) bool { return s.awaits(leaf) }) ||
		slices.ContainsFunc(p.ops, func(o op) bool { return !o.cancel && leaf-o.run.First < o.run.Count })
}

// broken takes up that a peer has ended a leaf before it was whole. Unless we wanted it no longer, or have asked for it again since,
// it refuses it.
func (s *session) broken(now time.Time, p *source, leaf uint32) {
	owed := slices.ContainsFunc(s.sched.Outstanding(p.id), func(r sched.Run) bool {
		return sched.Leaf(leaf)-r.First < sched.Leaf(r.Count)
	})
	if owed && !p.awaits(leaf) {
		p.lost = now
		s.handle(now, sched.Lost{Peer: p.id, Runs: []sched.Run{{First: sched.Leaf(leaf), Count: 1}}})
	}
}

// offer passes an offer on. What is asked next is asked there.
func (s *session) offer(now time.Time, p *source, by *sub, m wire.Offer) {
	if !by.choked {
		return // it crossed with our news of the unchoke
	}
	if p.offered != nil {
		s.flushSource(p)
	}
	p.offered = by
	s.handle(now, sched.Offer{Peer: p.id, Bytes: int64(m.Bytes)})
}

// tellInterest tells a peer on all connections whether we would take an offer.
func (s *session) tellInterest(a sched.Interest) {
	p := s.peers[a.Peer]
	if p == nil {
		return
	}
	for _, sub := range p.subs {
		m := wire.Interest{Handle: sub.handle, Load: uint16(min(a.Load, math.MaxUint16))}
		if a.Wants {
			m.Flags |= wire.InterestWants
		}
		if sub.unheeding {
			m.Flags |= wire.InterestChoked
			sub.unheeding = false
		}
		if a.Declines && sub == p.offered {
			m.Flags |= wire.InterestDeclines
			p.offered = nil
		}
		if sub.choked {
			sub.c.send(m)
		}
	}
}

// unanswered declines an offer where all that was to be asked has appeared meanwhile.
func (p *source) unanswered() {
	if sub := p.offered; sub != nil {
		p.offered = nil
		sub.c.send(wire.Interest{Handle: sub.handle, Flags: wire.InterestDeclines | wire.InterestWants})
	}
}
