package sched

import (
	"math"
	"math/bits"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// PeerStats is what the scheduler knows of a peer.
type PeerStats struct {
	Peer        peer.ID
	Rate        float64 // bytes a second while it owes us leaves, smoothed; 0: not measured
	RTT         time.Duration
	Window      int64 // bytes it may owe us
	Outstanding int64 // bytes it owes us; leaves below 512 bytes count as 512
	Received    int64 // payload bytes of leaves that were needed
	Duplicate   int64 // payload bytes of leaves that were already here
	Have        int   // leaves it has, of those known
	All         bool  // it has every leaf
	Choked      bool  // it serves us nothing, by Choke or for the time of Busy
	Stalled     bool  // on probation after a silence
}

// Stats sums up the download.
type Stats struct {
	Leaves, Need, Have int   // known; needed (had ones included); needed and here
	HaveBytes          int64 // payload bytes received of needed leaves
	Missing            int64 // bytes still to come; leaves below 512 bytes count as 512
	Outstanding        int64 // bytes owed by peers, copies included
	Duplicate          int64 // payload bytes that came more than once
	Free               int   // leaves needed that nobody owes us: nobody has them, or windows are full
	Peers              int
	Ended, Done        bool
}

// Stats returns the state of the download. It costs little.
func (s *State) Stats() Stats {
	return Stats{
		Leaves: s.t.n(), Need: s.t.need, Have: s.t.have, Free: s.t.nfree,
		HaveBytes: s.received, Missing: s.t.missing, Outstanding: s.inFlight(),
		Duplicate: s.duplicate, Peers: len(s.peers), Ended: s.ended, Done: s.done,
	}
}

// Peer returns what is known of one peer.
func (s *State) Peer(id peer.ID) (PeerStats, bool) {
	p := s.byID[id]
	if p == nil {
		return PeerStats{}, false
	}
	return s.peerStats(p), true
}

// AppendPeers appends what is known of every peer to dst, in the order they joined.
func (s *State) AppendPeers(dst []PeerStats) []PeerStats {
	for _, p := range s.peers {
		dst = append(dst, s.peerStats(p))
	}
	return dst
}

func (s *State) peerStats(p *peerState) PeerStats {
	return PeerStats{
		Peer: p.id, Rate: s.rate(p), RTT: p.rtt,
		Window: p.window, Outstanding: p.out,
		Received: p.received, Duplicate: p.duplicate,
		Have: p.known, All: p.haves.seed(),
		Choked: !p.serves(s.now), Stalled: p.probation,
	}
}

// Outstanding returns the runs that a peer owes us, in the order it was asked.
func (s *State) Outstanding(id peer.ID) []Run {
	if p := s.byID[id]; p != nil {
		return append([]Run(nil), p.owed...)
	}
	return nil
}

// Owes reports whether the peer has been asked for the leaf and not yet sent it.
func (s *State) Owes(id peer.ID, l Leaf) bool {
	p := s.byID[id]
	if p == nil {
		return false
	}
	_, ok := p.owes(l)
	return ok
}

// Has reports whether the leaf is known and not missing: here or never needed.
func (s *State) Has(l Leaf) bool {
	return int(l) < s.t.n() && !s.t.wanted(l)
}

// Availability returns how many peers have a known leaf, choked ones included.
func (s *State) Availability(l Leaf) int {
	if int(l) >= s.t.n() {
		return 0
	}
	return s.seeds + int(s.t.avail[l])
}

// MinAvailability returns the lowest availability among missing leaves and how
// many of them have it; (0, 0) when none is missing. It looks at every leaf:
// for a person's question, not for every event.
func (s *State) MinAvailability() (peers, count int) {
	lowest := math.MaxInt
	for l := range Leaf(s.t.n()) {
		if !s.t.wanted(l) {
			continue
		}
		switch a := s.Availability(l); {
		case a < lowest:
			lowest, count = a, 1
		case a == lowest:
			count++
		}
	}
	if count == 0 {
		return 0, 0
	}
	return lowest, count
}

// AppendMissing appends the first leaves, at most limit, that are missing and
// that no peer here has: what a stuck download waits for.
func (s *State) AppendMissing(dst []Leaf, limit int) []Leaf {
	for w := range s.t.free {
		// Leaves that somebody owes are held by somebody.
		for m := s.t.free[w]; m != 0 && limit > 0; m &= m - 1 {
			l := Leaf(w*64 + bits.TrailingZeros64(m))
			if s.Availability(l) == 0 {
				dst = append(dst, l)
				limit--
			}
		}
	}
	return dst
}
