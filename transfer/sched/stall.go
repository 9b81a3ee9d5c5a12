package sched

import "time"

const (
	// A peer is silent when nothing came for Config.Stall and for slack times
	// what its next leaf should take.
	slack       = 4
	maxPatience = time.Minute
	maxBackOff  = 30 * time.Second

	// alonePatience is how much longer we wait for peers when nobody else could
	// take over: asking again would only cost what is on its way.
	alonePatience = 2

	// maxStrikes silences in a row and a peer that is not needed is dropped.
	maxStrikes = 3
)

// onTick looks for silent peers and gives everybody work.
func (s *State) onTick() {
	for i := 0; i < len(s.peers); i++ {
		p := s.peers[i]
		if p.out > 0 && s.now.Sub(p.heard()) >= s.patience(p) {
			s.stall(p)
			if i == len(s.peers) || s.peers[i] != p {
				i-- // it was dropped
			}
		}
	}
	if !s.done && !s.freed {
		s.refillAll()
	}
}

// heard is when the peer last delivered anything, or was asked after idling.
func (p *peerState) heard() time.Time { return p.meter.mark }

// patience is how long a peer that owes us something may be silent.
func (s *State) patience(p *peerState) time.Duration {
	d := max(s.cfg.Stall, slack*p.rtt)
	if r := p.meter.rate(); r > 0 {
		next := float64(s.t.cost(p.head())) / r
		d = max(d, time.Duration(min(next*slack, maxPatience.Seconds())*float64(time.Second)))
	}
	if !s.othersWork(p) {
		d = d * alonePatience << min(p.strikes, 4)
	}
	return min(d, maxPatience)
}

// othersWork reports whether another peer is there that serves us and does not
// look stalled itself.
func (s *State) othersWork(p *peerState) bool {
	for _, q := range s.peers {
		if q != p && s.healthy(q) {
			return true
		}
	}
	return false
}

func (s *State) healthy(q *peerState) bool {
	if !q.serves(s.now) || q.probation || q.known == 0 {
		return false
	}
	return q.out == 0 || s.now.Sub(q.heard()) < s.cfg.Stall
}

// stall takes everything back from a silent peer and tries it again with one
// leaf at a time, later each time it stays silent.
func (s *State) stall(p *peerState) {
	next := p.head() + 1
	for _, r := range p.owed {
		s.retract(p, r)
	}
	s.giveBack(p)
	p.strikes++
	if p.strikes >= maxStrikes && s.othersWork(p) && !s.soleSource(p) {
		s.drop(p, "silent again and again")
		return
	}
	p.probation = true
	p.retryAt = s.now
	if p.strikes > 1 {
		p.retryAt = s.now.Add(min(s.cfg.Stall<<min(p.strikes-2, 8), maxBackOff))
	}
	p.cursor = next // rather another leaf than the one that may still come
	p.window, p.delay = s.cfg.MinWindow, 0
}

// recover ends the probation of a peer that delivered something.
func (s *State) recover(p *peerState) {
	p.strikes = max(0, p.strikes-1)
	p.probation = false
}

// soleSource reports whether the peer has a missing leaf that no healthy peer
// has. It looks at every word of leaves, which is fine for what is rare.
func (s *State) soleSource(p *peerState) bool {
	for w := range s.t.free {
		m := p.haves.word(w) & s.t.knownMask(w)
		for _, q := range s.peers {
			if m == 0 {
				break
			}
			if q != p && s.healthy(q) {
				m &^= q.haves.word(w)
			}
		}
		for l := Leaf(w * 64); m != 0; l, m = l+1, m>>1 {
			if m&1 != 0 && s.t.wanted(l) {
				return true
			}
		}
	}
	return !s.ended && p.haves.all && !s.otherSeed(p)
}

func (s *State) otherSeed(p *peerState) bool {
	for _, q := range s.peers {
		if q != p && s.healthy(q) && q.haves.seed() {
			return true
		}
	}
	return false
}
