package transfer

import (
	"cmp"
	"errors"
	"math/bits"
	"slices"
	"time"

	"shoal/transfer/sched"
	"shoal/transfer/wire"
)

// leastRetry is how long a busy peer is left alone at least: each round of busy and
// asking again costs it nothing. And at most: one that stays busy says it again.
const (
	leastRetry = 100 * time.Millisecond
	mostRetry  = 15 * time.Second
)

// drain takes what readers and writers have posted. Arrivals come first: what is
// here need not be asked for again when its sender has left.
func (s *session) drain(now time.Time) error {
	notes, arrivals := s.in.take(s.notes, s.arrivals)
	s.notes, s.arrivals = notes, arrivals
	for _, a := range arrivals {
		s.arrived(now, a)
	}
	var failed error
	for _, n := range notes {
		switch {
		case n.sub == nil && n.err != nil:
			failed = cmp.Or(failed, n.err) // one disk fails all writers
		case n.sub == nil:
			for _, ai := range n.found {
				s.cands.add(s.e.host.ID(), ai, n.hints)
			}
		default:
			if err := s.hear(now, n); err != nil {
				return err
			}
		}
	}
	clear(notes) // let go of the blocks
	s.takeNeeds(now)
	return failed
}

// arrived books a leaf. A second copy may get here while the first is still being
// written; then it waits, for the scheduler takes either to mean that the leaf is held.
func (s *session) arrived(now time.Time, a arrival) {
	if a.surplus && !s.sched.Has(sched.Leaf(a.leaf)) {
		s.early = append(s.early, a)
		return
	}
	s.bookArrival(now, a)
	if a.surplus || len(s.early) == 0 {
		return
	}
	s.early = slices.DeleteFunc(s.early, func(e arrival) bool {
		if e.leaf != a.leaf {
			return false
		}
		s.bookArrival(now, e)
		return true
	})
}

func (s *session) bookArrival(now time.Time, a arrival) {
	id := a.sub.c.peer
	a.sub.moved = now
	s.stats.arrived(now, id, int(a.size), a.surplus)
	if !a.surplus {
		if s.needs == nil {
			s.fresh = append(s.fresh, a.leaf)
		}
		s.cands.proved(id)
		if p := s.peers[id]; p != nil {
			p.useful = now
			p.lanes.came += int64(a.size)
		}
	}
	s.handle(now, sched.Received{Peer: id, Leaf: sched.Leaf(a.leaf), Bytes: int(a.size)})
}

// hear takes one note about a peer. Notes about peers left already are stale.
func (s *session) hear(now time.Time, n note) error {
	s.trouble(n)
	p := s.peers[n.sub.c.peer]
	switch {
	case n.bad:
		s.damaged(now, p, n)
		return nil
	case p == nil || !slices.Contains(p.subs, n.sub):
		if errors.Is(n.err, errViolation) {
			s.cands.ban(n.sub.c.peer, now)
		}
		return nil
	case n.err != nil:
		switch {
		case errors.Is(n.err, errViolation):
			s.part(now, p, s.cands.ban)
		case n.sub != p.sub:
			s.narrow(now, p, n.sub)
		default:
			s.part(now, p, s.cands.retry)
		}
		s.walkNodes(now)
		return nil
	case n.broken:
		s.broken(now, p, n.leaf)
		return nil
	case n.progress > 0:
		p.useful, n.sub.moved = now, now
		s.stats.progressed(p.id, n.progress)
		s.handle(now, sched.Progress{Peer: p.id, Bytes: n.progress})
		return nil
	}
	err := s.message(now, p, n)
	if errors.Is(err, errViolation) {
		n.sub.c.fail(err)
		s.part(now, p, s.cands.ban)
		return nil
	}
	return err
}

// damaged leaves a peer that has sent a leaf with a wrong hash, and tells it: it may not know that its copy is damaged.
// Others fill in. The stream stays: other roots of that peer may be well.
func (s *session) damaged(now time.Time, p *source, n note) {
	id := n.sub.c.peer
	s.stats.damaged(id, n.size)
	if p != nil {
		if slices.Contains(p.subs, n.sub) {
			n.sub.c.send(wire.Corrupt{Handle: n.sub.handle, Leaf: n.leaf})
		}
		s.remove(p)
	}
	s.cands.corrupt(id, now, n.leaf)
	s.handle(now, sched.Bad{Peer: id, Leaf: sched.Leaf(n.leaf)})
	s.walkNodes(now)
}

// withhold takes from what a peer says it has the leaves that it has sent damaged.
func (s *session) withhold(now time.Time, p *source) {
	if bad := s.cands.damaged(p.id, now); len(bad) > 0 {
		p.lost = now
		s.handle(now, sched.Lost{Peer: p.id, Runs: schedRuns(bad)})
	}
}

// message takes up what a provider has said. An error is the job's, or a violation.
func (s *session) message(now time.Time, p *source, n note) error {
	if n.sub != p.sub {
		switch n.msg.(type) {
		case wire.Info, wire.HaveAll, wire.HaveBits, wire.HaveRuns:
			return nil // as on the first connection
		case wire.Node, wire.NoNode:
			return violation("nodes were not asked there")
		case wire.Refused:
			s.narrow(now, p, n.sub)
			return nil
		}
	}
	switch m := n.msg.(type) {
	case wire.Info:
		s.info(now, p, m)
	case wire.HaveAll:
		p.lacks = nil
		s.handle(now, sched.HaveAll{Peer: p.id})
		s.withhold(now, p)
	case wire.HaveBits:
		if err := s.within(uint64(m.First) + uint64(bitLen(m.Bits))); err != nil {
			return err
		}
		s.handle(now, sched.HaveBits{Peer: p.id, First: sched.Leaf(m.First), Bits: m.Bits})
		s.withhold(now, p)
	case wire.HaveRuns:
		m.Runs = mergeRuns(m.Runs) // ones that overlap would make much work of few bytes
		if err := s.runsWithin(m.Runs); err != nil {
			return err
		}
		s.handle(now, sched.HaveRuns{Peer: p.id, Runs: schedRuns(m.Runs)})
	case wire.Gone:
		m.Runs = mergeRuns(m.Runs)
		if err := s.runsWithin(m.Runs); err != nil {
			return err
		}
		if m.Code != wire.CodeElsewhere {
			p.lost, p.lacks = now, errOf(m.Code)
		}
		var asked []wire.Run
		for _, r := range m.Runs {
			asked = n.sub.forget(asked, r)
		}
		if n.sub != p.sub {
			m.Runs = mergeRuns(asked) // the rest is told on the first connection, and in order
		} else {
			p.unawait(m.Runs)
		}
		s.handle(now, sched.Lost{Peer: p.id, Runs: schedRuns(m.Runs)})
	case wire.Choke:
		s.choke(now, p, n.sub)
	case wire.Unchoke:
		s.unchoke(now, p, n.sub)
	case wire.Offer:
		s.offer(now, p, n.sub, m)
	case wire.Busy:
		p.takeBackAll(n.sub)
		retry := min(max(time.Duration(m.RetryMillis)*time.Millisecond, leastRetry), mostRetry)
		s.handle(now, sched.Busy{Peer: p.id, For: retry})
	case wire.Refused:
		s.part(now, p, s.cands.refused)
		s.walkNodes(now)
	case wire.Node:
		return s.node(now, p, m, n.digest)
	case wire.NoNode:
		s.noNode(now, p)
	}
	return nil
}

// info is a provider's answer to the want, or news of its growth.
func (s *session) info(now time.Time, p *source, m wire.Info) {
	if !p.answered {
		p.answered = true
		s.e.swarms.uses(s.root, p.id, 1)
		s.handle(now, sched.RTT{Peer: p.id, D: now.Sub(p.wanted)})
	}
	if name := wireName(m.Name); name != "" && !s.named {
		s.named = true
		s.job.SetName(name)
	}
	if !s.complete {
		p.noNodes = time.Time{} // it may know more now
		s.walkNodes(now)
	}
}

// within checks that a leaf range ends at or before the end of the root, once
// that is known. Until then the scheduler's own limit holds.
func (s *session) within(end uint64) error {
	if s.complete && end > uint64(s.known) {
		return violation("leaf %d of %d", end-1, s.known)
	}
	return nil
}

func (s *session) runsWithin(runs []wire.Run) error {
	for _, r := range runs {
		if err := s.within(uint64(r.First) + uint64(r.Count)); err != nil {
			return err
		}
	}
	return nil
}

// bitLen is the index behind the highest bit set.
func bitLen(b []byte) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0 {
			return 8*i + bits.Len8(b[i])
		}
	}
	return 0
}

func schedRuns(runs []wire.Run) []sched.Run {
	out := make([]sched.Run, len(runs))
	for i, r := range runs {
		out[i] = sched.Run{First: sched.Leaf(r.First), Count: r.Count}
	}
	return out
}

// addNode gives the job the inner node it wants next.
func (s *session) addNode(now time.Time, block []byte) error {
	if err := s.job.AddNode(block); err != nil {
		return err
	}
	return s.grow(now)
}
