package sched

import (
	"math"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// maxOwedRuns bounds the pieces of a peer's queue, which are searched in turn.
const maxOwedRuns = 256

// peerState is what we know of a peer.
type peerState struct {
	id    peer.ID
	haves haves
	known int   // leaves it has of those known
	churn int64 // leaves it has taken back

	owed    []Run // in the order asked
	out     int64 // cost of what is owed
	partial int64 // bytes of the next leaf that have come (Progress)

	meter   meter
	rtt     time.Duration // 0: not measured
	window  int64         // bytes it may owe
	acked   int64         // cost received in this round of the window
	round   time.Time     // start of the round
	starved bool          // in this round we had too little to ask it for
	asked   time.Time     // when an idle peer was asked, until it first answers
	delay   time.Duration // from asking an idle peer to its first leaf
	first   int64         // cost of that leaf

	choked    bool
	offers    bool     // makes offers while it chokes us
	limit     int64    // at an offer: what it may owe then, else 0
	told      interest // what it has been told since it choked us
	busyUntil time.Time
	probation bool
	strikes   int
	retryAt   time.Time

	cursor  Leaf      // where its region goes on
	dry     bool      // there was no free leaf that it has
	hint    Leaf      // a leaf that ended the drought
	hinted  bool      // hint is set
	stealAt time.Time // not to look for work of others before

	received, duplicate int64
}

// usable reports whether the peer takes requests just now.
func (p *peerState) usable(now time.Time) bool {
	return (!p.choked || p.limit > 0) && !now.Before(p.busyUntil)
}

// serves reports whether the peer takes requests, now or when it is our turn.
func (p *peerState) serves(now time.Time) bool {
	return (!p.choked || p.offers) && !now.Before(p.busyUntil)
}

// allowed is how much the peer may owe.
func (p *peerState) allowed() int64 {
	if p.choked {
		return p.limit
	}
	return p.window
}

// owes reports whether the peer owes the leaf, and where in the queue.
func (p *peerState) owes(l Leaf) (int, bool) {
	for i, r := range p.owed {
		if l >= r.First && l-r.First < Leaf(r.Count) {
			return i, true
		}
	}
	return 0, false
}

// forget takes a leaf out of the queue and reports whether it was in it.
func (p *peerState) forget(l Leaf) bool {
	i, ok := p.owes(l)
	if !ok {
		return false
	}
	r := &p.owed[i]
	before, after := uint32(l-r.First), r.Count-uint32(l-r.First)-1
	switch {
	case before == 0 && after == 0:
		p.owed = append(p.owed[:i], p.owed[i+1:]...)
	case before == 0:
		r.First, r.Count = l+1, after
	case after == 0:
		r.Count = before
	default:
		r.Count = before
		p.owed = append(p.owed, Run{})
		copy(p.owed[i+2:], p.owed[i+1:])
		p.owed[i+1] = Run{l + 1, after}
	}
	return true
}

// head returns the leaf that is due next.
func (p *peerState) head() Leaf { return p.owed[0].First }

// meterMemory is how far back the smoothed rate looks.
const meterMemory = 2 * time.Second

// meter measures the rate of a peer over the time it owes us something: bytes
// and seconds, both fading, so that the first sample counts in full.
type meter struct {
	bytes, secs float64
	mark        time.Time // up to when secs counts
}

func (m *meter) add(now time.Time, n int64) {
	dt := max(0, now.Sub(m.mark).Seconds())
	if dt > 0 {
		fade := math.Exp(-dt / meterMemory.Seconds())
		m.bytes, m.secs = m.bytes*fade, m.secs*fade
	}
	m.bytes += float64(n)
	m.secs += dt
	m.mark = now
}

// rate returns bytes a second; 0: not measured yet.
func (m *meter) rate() float64 {
	return m.bytes / max(m.secs, 1e-3)
}

// rateAt is the rate less what a silence says: with next bytes overdue, it
// cannot be more than if they came just now.
func (m *meter) rateAt(now time.Time, next int64) float64 {
	if m.bytes == 0 {
		return 0
	}
	silent := max(0, now.Sub(m.mark).Seconds())
	return min(m.rate(), (m.bytes+float64(next))/max(m.secs+silent, 1e-3))
}
