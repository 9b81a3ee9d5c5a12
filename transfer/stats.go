package transfer

import (
	"maps"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// rateTicks is over how many ticks the rate is taken: 3 s.
const rateTicks = 30

// tally counts for Stats. It belongs to the session's owner.
type tally struct {
	started, first     time.Time
	leaves, have       int
	total, missing     int64
	bytes              int64
	duplicate, corrupt int64
	relayed            int // dials that ended with ErrRelayed
	from               map[peer.ID]int64
	partial            map[peer.ID]int64   // bytes of leaves that are not whole yet, by sender
	ahead              int64               // bytes that the rate counts before the leaf they are of
	history            [rateTicks + 1]mark // a ring of bytes at the last ticks
	ticks              int
	lost               int       // leaves that nobody has, when they were counted last
	countNext          time.Time // they are not counted again before
}

type mark struct {
	at    time.Time
	bytes int64
}

func (t *tally) init(now time.Time) {
	t.started = now
	t.from, t.partial = make(map[peer.ID]int64), make(map[peer.ID]int64)
	t.history[0] = mark{at: now}
}

// want counts a wanted leaf of size bytes, or -1.
func (t *tally) want(size int, has bool) {
	t.leaves++
	t.total += int64(max(size, 0))
	if has {
		t.have++
	} else {
		t.missing += int64(max(size, 0))
	}
}

// progressed counts bytes of a leaf that is not whole yet: at a low rate one takes
// longer than the rate is taken over.
func (t *tally) progressed(id peer.ID, n int) {
	t.partial[id] += int64(n)
	t.ahead += int64(n)
}

// arrived counts a leaf.
func (t *tally) arrived(now time.Time, id peer.ID, size int, surplus bool) {
	if n := min(t.partial[id], int64(size)); n > 0 {
		t.partial[id] -= n
		if !surplus {
			t.ahead -= n
		}
	}
	if surplus {
		t.duplicate += int64(size)
		return
	}
	if t.first.IsZero() {
		t.first = now
	}
	t.have++
	t.bytes += int64(size)
	t.from[id] += int64(size)
	if t.missing -= int64(size); t.missing < 0 { // a lone leaf of unknown size
		t.total -= t.missing
		t.missing = 0
	}
}

// damaged counts a leaf that was not what it should be. What came of it in parts counts for no rate: nothing comes of it.
func (t *tally) damaged(id peer.ID, size int) {
	t.corrupt += int64(size)
	t.ahead -= t.partial[id]
	delete(t.partial, id)
}

// appeared counts a wanted leaf that needed no fetching.
func (t *tally) appeared(size int) {
	t.have++
	t.missing = max(0, t.missing-int64(max(size, 0)))
}

func (t *tally) tick(now time.Time) {
	t.ticks++
	t.history[t.ticks%len(t.history)] = mark{now, t.bytes + t.ahead}
}

// rate is in bytes a second over the last ticks.
func (t *tally) rate(now time.Time) float64 {
	oldest := t.history[0]
	if t.ticks >= len(t.history) {
		oldest = t.history[(t.ticks+1)%len(t.history)]
	}
	if d := now.Sub(oldest.at).Seconds(); d > 0 {
		return max(0, float64(t.bytes+t.ahead-oldest.bytes)/d) // less than before: damaged leaves are taken back
	}
	return 0
}

// snapshot makes the Stats of now.
func (s *session) snapshot(now time.Time) Stats {
	t := &s.stats
	out := Stats{
		Leaves: t.leaves, Have: t.have, Bytes: t.bytes, Total: t.total, Missing: t.missing,
		Duplicate: t.duplicate, Corrupt: t.corrupt, Complete: s.complete, Rate: t.rate(now),
		Started: t.started, FirstByte: t.first, From: maps.Clone(t.from),
		Candidates: len(s.cands.order) - s.cands.using, Lost: s.countLost(now),
		Relayed: s.stats.relayed,
	}
	out.Known = s.cands.appendKnown(nil, func(id peer.ID) bool { return s.peers[id] != nil })
	for _, p := range s.sched.AppendPeers(nil) {
		have := p.Have
		if p.All {
			have = -1
		}
		out.Peers = append(out.Peers, PeerStats{
			ID: p.Peer, Bytes: t.from[p.Peer], Rate: p.Rate, RTT: p.RTT,
			Have: have, Waiting: p.Outstanding, Choked: p.Choked,
			Answered: s.peers[p.Peer] != nil && s.peers[p.Peer].answered, Err: s.cands.trouble(p.Peer),
			Lacks: s.lacks(p.Peer), Damaged: s.cands.spoilt(p.Peer),
		})
	}
	return out
}
