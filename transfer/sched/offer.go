package sched

import (
	"math"
	"time"
)

// A peer with more to send than its uplink carries chokes those that ask, and makes an
// Offer to the one whose turn it is. What is asked of it is decided only then, when it
// is known what others have begun to send. This file takes such offers, and tells the
// peers whether we would like one.

// nearlyHere is how many bytes of a leaf may be missing while it counts as on its way no more.
const nearlyHere = 256 << 10

// interest is what a peer that has choked us is told.
type interest struct {
	known bool // it has been told
	wants bool
	load  int
}

// onOffer lets a peer that has choked us be asked for bytes more.
func (s *State) onOffer(p *peerState, bytes int64) *peerState {
	if p == nil || !p.choked {
		return nil
	}
	p.offers, p.limit, p.stealAt = true, p.out+max(bytes, 1), time.Time{}
	return p
}

// takeOffer ends an offer: what could be asked has been, or it is declined.
func (s *State) takeOffer(p *peerState, before int64) {
	if p.out == before {
		s.tell(p, interest{true, false, s.load()}, true)
	}
	p.limit = 0
}

// tellEvery is how often the peers that have choked us are told what has changed for them.
const tellEvery = 20 * time.Millisecond

// tellInterest tells the peers that have choked us what has changed for them: one at once, the others now and again.
func (s *State) tellInterest(at *peerState) {
	all := !s.now.Before(s.tellAt)
	if all {
		s.tellAt = s.now.Add(tellEvery)
	}
	load := -1
	for _, p := range s.peers {
		if !p.choked || !all && p != at {
			continue
		}
		if load < 0 {
			load = s.load()
		}
		now := interest{true, s.wants(p), load}
		if !now.wants && !p.told.wants {
			now.load = p.told.load // nobody's business
		}
		if now != p.told {
			s.tell(p, now, false)
		}
	}
}

func (s *State) tell(p *peerState, i interest, declines bool) {
	p.told = i
	s.flush()
	s.actions = append(s.actions, Interest{p.id, i.wants, i.load, declines})
}

// wants reports whether there is a leaf to ask a peer for that has choked us.
func (s *State) wants(p *peerState) bool {
	switch {
	case s.done || s.now.Before(p.busyUntil):
		return false
	case p.probation && (p.out > 0 || s.now.Before(p.retryAt)), s.cfg.InOrder && s.heldBack(p):
		return false
	case p.dry || s.t.nfree == 0:
		return s.couldTake(p)
	}
	l, ok := s.pick(p)
	if !ok {
		p.dry = !s.cfg.InOrder || !s.couldHelp(p)
		return false
	}
	return s.share(p, l, TurnBytes) > 0
}

// load is how many leaves are on their way to us, or runs of small ones.
func (s *State) load() (n int) {
	for _, p := range s.peers {
		if p.out-p.partial > nearlyHere {
			n++
		}
	}
	return n
}

// couldTake reports whether a peer for which there is no free leaf would take work of others.
func (s *State) couldTake(p *peerState) bool {
	if s.cfg.InOrder || p.probation || p.out > 0 {
		return false
	}
	p.limit = TurnBytes // as at an offer
	defer func() { p.limit = 0 }()
	least := math.Inf(1)
	for range helpTries {
		q, d := s.busiest(p, least)
		if q == nil {
			break
		}
		if len(s.movable(q, p)) > 0 {
			return true
		}
		least = d
	}
	if !s.ended || s.t.nfree > 0 {
		return false
	}
	_, ok := s.copyFor(p)
	return ok
}
