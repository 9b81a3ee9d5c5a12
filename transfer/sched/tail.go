package sched

import (
	"math"
	"time"
)

// Towards the end, what counts is when the last leaf comes. This file keeps
// slow peers from holding it up: they get no more than they can deliver in the
// time the rest takes, queued leaves move from them to peers that have nothing
// left to do, and the very last leaves are asked of a second peer.

const (
	sweepEvery = 20 * time.Millisecond // how often idle peers look for work in the endgame
	helpEvery  = 10 * time.Millisecond // how often one peer does
	helpLooks  = 64                    // leaves looked at in each queue
	helpMoves  = 4                     // queues taken from at a time
	helpTries  = 12                    // queues looked at

	maxCopies = 3                      // peers that may owe the same leaf
	inWire    = 100 * time.Millisecond // leaves due sooner (or within two round trips) are on their way
	wireBytes = 512 << 10              // as are the next so many bytes, or those of
	wireTime  = 1.5                    // so many seconds, whichever is less: buffers hold that much
	worthIt   = 50 * time.Millisecond  // no work is moved to gain less

	// Copies may cost 1 % of the download. From a peer that would keep us waiting
	// for very long, a copy is always taken: what it has sent of the leaf is little.
	// What came twice for any reason counts, since moved leaves may have been on
	// their way: once it is 1 %, leaves are moved for much time only.
	copyPart  = 100
	copyAny   = 20 * time.Second
	moveGain  = time.Second
	eternity  = time.Hour // a peer on probation is not expected to deliver
	lateGuess = 0.25      // seconds we expect a peer of unknown rate to need at least
)

// share returns how many of room bytes to ask of the peer, starting at a free
// leaf. Until the end is in sight that is all. Then it is what the peer can
// deliver while the whole swarm delivers the rest, or a single leaf if nobody
// else would be quicker with it.
func (s *State) share(p *peerState, l Leaf, room int64) int64 {
	r := s.rate(p)
	if !s.ended && !s.cfg.InOrder || r == 0 {
		return room
	}
	rest := float64(s.t.missing) / max(s.workSpeed(), r)
	if p.probation {
		if rest < 2*s.cfg.Stall.Seconds() && s.quicker(p, l, rest, eternity.Seconds()) {
			return 0
		}
		return room
	}
	fair := int64((rest*1.1+worthIt.Seconds())*r) - p.out
	if fair >= room {
		return room
	}
	if cost := s.t.cost(l); fair < cost {
		if s.quicker(p, l, rest, float64(p.out+cost)/r) {
			return 0
		}
		return 1
	}
	return fair
}

// quicker reports whether a peer other than p would have the leaf clearly
// before p, which needs own seconds, even after all the rest.
func (s *State) quicker(p *peerState, l Leaf, rest, own float64) bool {
	for _, q := range s.peers {
		if q == p || !q.serves(s.now) || q.probation || !q.haves.has(l) {
			continue
		}
		if r := s.rate(q); r > 0 {
			its := max(rest, float64(q.out+s.t.cost(l))/r)
			if own > its*1.25+worthIt.Seconds() {
				return true
			}
		}
	}
	return false
}

// due estimates when a peer will have delivered so many bytes of what it owes,
// in seconds from now. One that is late is expected to stay silent as long again.
func (s *State) due(p *peerState, upTo int64) float64 {
	if p.probation {
		return eternity.Seconds()
	}
	silent := max(0, s.now.Sub(p.meter.mark).Seconds())
	r := p.meter.rate()
	if p.meter.bytes == 0 {
		if r = s.meanRate(); r == 0 {
			return max(silent, lateGuess)
		}
	}
	next := float64(s.t.cost(p.head())-p.partial) / r
	return max(float64(upTo-p.partial)/r-silent, 0) + max(0, silent-next)
}

// meanRate is the mean of the rates that are known.
func (s *State) meanRate() float64 {
	sum, n := 0.0, 0
	for _, p := range s.peers {
		if p.meter.bytes > 0 {
			sum, n = sum+p.meter.rate(), n+1
		}
	}
	return sum / float64(max(n, 1))
}

// fresh estimates in how many seconds a peer would deliver cost bytes if it
// were asked now.
func (s *State) fresh(p *peerState, cost int64) float64 {
	r := s.rate(p)
	if r == 0 {
		if r = s.meanRate(); r == 0 {
			return eternity.Seconds()
		}
	}
	return p.rtt.Seconds() + float64(p.out+cost)/r
}

// help gives a peer that is about to be idle leaves that others owe: moved from
// the ends of the longest queues, or copied if nothing can be moved and this is
// the end.
func (s *State) help(p *peerState) {
	if s.t.nfree > 0 && !p.dry || s.now.Before(p.stealAt) {
		return
	}
	if p.out > 0 && s.due(p, p.out) > (worthIt+p.rtt).Seconds() {
		return
	}
	p.stealAt = s.now.Add(helpEvery)
	least := math.Inf(1)
	for moved, tries := 0, 0; moved < helpMoves && tries < helpTries && p.out < p.allowed(); tries++ {
		q, d := s.busiest(p, least)
		if q == nil {
			break
		}
		if s.move(q, p) {
			moved++
		} else {
			least = d // nothing of that queue: look at the next shorter one
		}
	}
	if p.out == 0 && s.ended && s.t.nfree == 0 && !s.cfg.InOrder {
		if l, ok := s.copyFor(p); ok {
			s.copied += s.t.cost(l)
			s.ask(p, Run{l, 1})
		}
	}
}

// busiest returns the peer, other than p, whose queue lasts longest of those that
// last less than so many seconds, and how long that is.
func (s *State) busiest(p *peerState, less float64) (*peerState, float64) {
	var most *peerState
	last := 0.0
	for _, q := range s.peers {
		if q == p || q.out == 0 {
			continue
		}
		if d := s.due(q, q.out); d > last && d < less {
			most, last = q, d
		}
	}
	return most, last
}

// move takes leaves off the end of q's queue and asks p for them, as long as p
// would clearly deliver them sooner.
func (s *State) move(q, p *peerState) bool {
	list := s.movable(q, p)
	for i := len(list); i > 0; {
		run := Run{First: list[i-1]}
		for ; i > 0 && list[i-1] == run.First+Leaf(run.Count) && run.Count < s.cfg.MaxRun; i-- {
			l := list[i-1]
			q.forget(l)
			q.out -= s.t.cost(l)
			s.t.drop(l)
			run.Count++
		}
		s.retract(q, run)
		s.ask(p, run)
	}
	return len(list) > 0
}

// movable returns the leaves to move from q to p, last first. What q has begun
// to send or has likely on its way stays.
func (s *State) movable(q, p *peerState) []Leaf {
	wire, worth := max(inWire, 2*q.rtt).Seconds(), worthIt
	if s.duplicate*copyPart >= s.t.total {
		worth = moveGain
	}
	begun := q.partial + min(wireBytes, int64(wireTime*s.rate(q)))
	list, gain, upTo, looks := s.scratch[:0], int64(0), q.out, helpLooks
	for i := len(q.owed) - 1; i >= 0; i-- {
		r := q.owed[i]
		for l := r.First + Leaf(r.Count) - 1; l+1 > r.First; l-- {
			cost, d := s.t.cost(l), s.due(q, upTo)
			if l == q.head() || upTo-cost < begun || d <= wire || looks == 0 || p.out+gain+cost > p.allowed() ||
				s.fresh(p, gain+cost)*1.25+worth.Seconds() > d {
				s.scratch = list
				return list
			}
			upTo -= cost
			if s.t.copies(l) == 1 && p.haves.has(l) {
				list, gain = append(list, l), gain+cost
			} else {
				looks--
			}
			if l == 0 {
				break
			}
		}
	}
	s.scratch = list
	return list
}

// copyFor returns the leaf that is expected last, to be asked of an idle peer too
// if that would bring it much sooner.
func (s *State) copyFor(p *peerState) (last Leaf, worth bool) {
	latest := 0.0
	for _, q := range s.peers {
		if q == p || q.out == 0 {
			continue
		}
		upTo, looks := int64(0), helpLooks
		for _, r := range q.owed {
			for l := r.First; l < r.First+Leaf(r.Count) && looks > 0; l++ {
				looks--
				upTo += s.t.cost(l)
				if s.t.copies(l) >= maxCopies || !p.haves.has(l) {
					continue
				}
				if d := s.soonest(l, s.due(q, upTo)); d > latest {
					last, latest = l, d
				}
			}
		}
	}
	return last, latest > 0 && s.worthCopy(p, last, latest)
}

// soonest returns when a leaf is due that one peer will deliver in d seconds
// and others may owe us too.
func (s *State) soonest(l Leaf, d float64) float64 {
	if s.t.copies(l) == 1 {
		return d
	}
	for _, q := range s.peers {
		if i, ok := q.owes(l); ok {
			var upTo int64
			for _, r := range q.owed[:i] {
				upTo += int64(r.Count) * s.t.cost(r.First)
			}
			d = min(d, s.due(q, upTo+s.t.cost(l)))
		}
	}
	return d
}

// worthCopy weighs what asking a second peer may waste against what it gains.
func (s *State) worthCopy(p *peerState, l Leaf, d float64) bool {
	cost := s.t.cost(l)
	own := s.fresh(p, cost)
	if own*2+worthIt.Seconds() > d {
		return false
	}
	spent := max(s.copied, s.duplicate) + cost
	gain := d - own
	return spent <= s.t.total/copyPart || gain > copyAny.Seconds()
}
