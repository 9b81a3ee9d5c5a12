package sched

import (
	"math/bits"
	"time"
)

// This file is for a reader that takes the leaves in order (Config.InOrder). The
// leaves of a window before it are needed; Need moves the window. What counts is
// when the lowest of them, the head, is here: leaves go to peers that bring them
// before their turn, and one that is late is asked of a second peer.

const (
	rushEvery  = 10 * time.Millisecond  // how often the leaves in front are looked at
	rushLeaves = 4                      // how many of them,
	rushLooks  = 256                    // no farther from the first than this
	rushPart   = 16                     // copies may cost one part in so many of what has come,
	rushFew    = 4                      // and a few leaves
	gamble     = 500 * time.Millisecond // a head due later is asked of a peer of unknown rate too
	lateAfter  = 250 * time.Millisecond // the shortest silence that makes a peer late
	guess      = 200 * time.Millisecond // what such a peer is then taken to need
)

// onNeed makes leaves needed.
func (s *State) onNeed(runs []Run) {
	for _, r := range runs {
		end := min(uint64(r.First)+uint64(r.Count), uint64(s.t.n()))
		for l := uint64(r.First); l < end; l++ {
			if s.t.demand(Leaf(l)) {
				s.front = min(s.front, Leaf(l))
				s.freed, s.done = true, false
			}
		}
	}
}

// demand makes a leaf needed and reports whether that makes it wanted.
func (t *leaves) demand(l Leaf) bool {
	if t.state[l]&needed != 0 {
		return false
	}
	t.state[l] |= needed
	t.need++
	t.total += t.cost(l)
	if t.state[l]&here != 0 {
		t.have++
		return false
	}
	t.missing += t.cost(l)
	t.release(l)
	return true
}

// head returns the lowest leaf that is needed and not here: the reader waits for
// it, or will first.
func (s *State) head() (Leaf, bool) {
	if s.t.have == s.t.need {
		return 0, false
	}
	for int(s.front) < s.t.n() && !s.t.wanted(s.front) {
		s.front++
	}
	return s.front, int(s.front) < s.t.n()
}

// heldBack reports whether a peer is not to be asked yet: until the first leaf is
// here, its sender has our line to itself.
func (s *State) heldBack(p *peerState) bool {
	if s.received > 0 {
		return false
	}
	l, ok := s.head()
	if !ok || s.t.copies(l) == 0 {
		return false
	}
	_, owes := p.owes(l)
	return !owes
}

// pickInOrder returns the lowest free leaf that the peer has and could deliver
// before the others have brought everything up to it: a slow peer works ahead,
// where its leaves are not late. One that is too slow for any gets none, unless
// nobody else would be quicker. One that is not known yet is tried with the last.
func (s *State) pickInOrder(p *peerState) (Leaf, bool) {
	low, ok := s.t.nextFree(0)
	if !ok {
		return 0, false
	}
	r := s.rate(p)
	if r == 0 && s.workSpeed() > 0 {
		if p.out > 0 || !s.mayTry() {
			return 0, false
		}
		return s.highest(p)
	}
	if r > 0 {
		cost := s.t.cost(low)
		lead := (s.workSpeed()-r)*float64(p.out+cost)/r - float64(s.inFlight()-p.out)
		if ahead := lead / float64(cost); ahead >= 1 {
			if ahead < float64(s.t.n()) {
				if l, ok := s.lowest(p, low+Leaf(ahead)); ok {
					return l, true
				}
			}
			l, ok := s.lowest(p, low)
			return l, ok && !s.quicker(p, l, 0, float64(p.out+cost)/r)
		}
	}
	return s.lowest(p, low)
}

// mayTry reports whether one more peer of unknown rate may be asked: never more at
// a time than are known, since all share our line with what the reader waits for.
func (s *State) mayTry() bool {
	known, tried := 0, 0
	for _, q := range s.peers {
		switch {
		case q.meter.bytes > 0:
			known++
		case q.out > 0:
			tried++
		}
	}
	return tried < known
}

// couldHelp reports whether the peer has a free leaf, wanted of it or not.
func (s *State) couldHelp(p *peerState) bool {
	_, ok := s.lowest(p, 0)
	return ok
}

// lowest returns the lowest free leaf from l on that the peer has.
func (s *State) lowest(p *peerState, l Leaf) (Leaf, bool) {
	for {
		l, ok := s.t.nextFree(l)
		if !ok {
			return 0, false
		}
		for w := int(l / 64); ; w++ {
			if w == len(s.t.free) {
				return 0, false
			}
			m := s.t.free[w] & p.haves.word(w)
			if w == int(l/64) {
				m &= ^uint64(0) << (l % 64)
			}
			if m != 0 {
				return Leaf(w*64 + bits.TrailingZeros64(m)), true
			}
		}
	}
}

// highest returns the highest free leaf that the peer has.
func (s *State) highest(p *peerState) (Leaf, bool) {
	for w := len(s.t.free) - 1; w >= 0; w-- {
		if m := s.t.free[w] & p.haves.word(w); m != 0 {
			return Leaf(w*64 + 63 - bits.LeadingZeros64(m)), true
		}
	}
	return 0, false
}

// rush asks a second peer for leaves in front that are late where they were asked.
func (s *State) rush() {
	if !s.cfg.InOrder || s.now.Before(s.rushAt) {
		return
	}
	s.rushAt = s.now.Add(rushEvery)
	first, ok := s.head()
	if !ok {
		return
	}
	end := min(first+rushLooks, Leaf(s.t.n()))
	for l, n := first, 0; l < end && n < rushLeaves; l++ {
		if s.t.wanted(l) {
			n++
			s.rushLeaf(l)
		}
	}
}

func (s *State) rushLeaf(l Leaf) {
	cost, owed := s.t.cost(l), s.t.copies(l)
	if owed == 0 || owed >= maxCopies || s.copied+cost > s.received/rushPart+rushFew*cost {
		return
	}
	due := s.expected(l)
	var best *peerState
	soonest := eternity.Seconds()
	for _, p := range s.peers {
		if _, owes := p.owes(l); owes || p.out >= p.window || !p.usable(s.now) || p.probation || !p.haves.has(l) {
			continue
		}
		if d := s.promise(p, cost, due, owed); d < soonest {
			best, soonest = p, d
		}
	}
	if best != nil && due > soonest*1.5+worthIt.Seconds() {
		s.copied += cost
		s.ask(best, Run{l, 1})
	}
}

// promise estimates in how many seconds a peer would deliver cost bytes more.
func (s *State) promise(p *peerState, cost int64, due float64, owed int) float64 {
	if s.rate(p) > 0 {
		return s.fresh(p, cost)
	}
	if p.out > 0 || owed > 1 || due <= gamble.Seconds() && s.meanRate() > 0 {
		return eternity.Seconds()
	}
	return guess.Seconds() + p.rtt.Seconds()
}

// late reports whether a peer has been silent for so long that nothing is expected
// of it, long before it counts as stalled.
func (s *State) late(p *peerState) bool {
	silent := s.now.Sub(p.heard())
	d := max(lateAfter, 2*p.rtt)
	if r := p.meter.rate(); r > 0 {
		next := float64(s.t.cost(p.head())-p.partial) / r
		d = max(d, time.Duration(min(3*next, maxPatience.Seconds())*float64(time.Second)))
	}
	return silent > d
}

// expected estimates when the first of those who owe a leaf will have delivered it.
func (s *State) expected(l Leaf) float64 {
	soonest := eternity.Seconds()
	for _, p := range s.peers {
		var upTo int64
		for _, r := range p.owed {
			if l >= r.First && l-r.First < Leaf(r.Count) {
				for i := r.First; i <= l; i++ {
					upTo += s.t.cost(i)
				}
				if !s.late(p) {
					soonest = min(soonest, s.due(p, upTo))
				}
				break
			}
			for i := r.First; i < r.First+Leaf(r.Count); i++ {
				upTo += s.t.cost(i)
			}
		}
	}
	return soonest
}
