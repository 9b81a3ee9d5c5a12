package sched

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

// onOffer lets a peer that has choked us be asked for bytes more. It is declined where
// more has come to be on its way than the peer knows of: then somebody else may need it more.
func (s *State) onOffer(p *peerState, bytes int64) *peerState {
	if p == nil || !p.choked {
		return nil
	}
	p.offers = true
	if load := s.load(); p.told.known && p.told.wants && load > p.told.load {
		s.tell(p, interest{true, s.wants(p), load}, true)
		return nil
	}
	p.limit = p.out + max(bytes, 1)
	return p
}

// takeOffer ends an offer: what could be asked has been, or it is declined.
func (s *State) takeOffer(p *peerState, before int64) {
	if p.out == before {
		s.tell(p, interest{true, false, s.load()}, true)
	}
	p.limit = 0
}

// tellInterest tells the peers that have choked us what has changed for them.
func (s *State) tellInterest() {
	load := -1
	for _, p := range s.peers {
		if !p.choked {
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
	case p.probation:
		return p.out == 0 && !s.now.Before(p.retryAt) && p.known > 0
	case s.ended && s.t.nfree == 0 && !s.cfg.InOrder:
		if p.out > 0 {
			return false
		}
		_, ok := s.copyFor(p)
		return ok
	case p.dry || s.t.nfree == 0:
		return false
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
